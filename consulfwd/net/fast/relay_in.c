/*
 * Replies of a server on this host: the twin of `SharedUdp._readable` where nothing is unusual.
 */
#include "relay.h"

#define ROUNDS 64

/* Whether a message is a reply to be passed back. */
static int is_usual(Way *self, Round *round, int index, PyObject *ident, Usual *found)
{
    const Batch *batch = self->batch;
    size_t length = batch_length(batch, index);
    PyObject *relay = PyDict_GetItemWithError(self->pending, ident);

    return relay != NULL && length <= batch->size
        && relay_is_usual(
               self->relays, round, relay, batch_message(batch, index), length, found);
}

/* Pass a reply back; return -1 when an exception is to end the reading. */
static int pass_back(
    Way *self, Round *round, const Batch *batch, int index, PyObject *ident, const Usual *found)
{
    int state;

    Py_INCREF(found->relay); /* which holds the question, the client's ID and its address */
    if (PyDict_DelItem(self->pending, ident) < 0)
        PyErr_Clear();
    state = relay_pass_back(
        self->relays, self->owner, round, batch_message(batch, index), batch_length(batch, index),
        found);
    Py_DECREF(found->relay);
    return state;
}

/* Have Python take what is left; return -1 with an exception set. */
static int take_left(Way *self, Round *round)
{
    PyObject *left = round->left, *done;

    if (left == NULL)
        return 0;
    round->left = NULL;
    done = PyObject_CallMethodOneArg(self->channel, relay_names.take_left, left);
    Py_DECREF(left);
    if (done == NULL)
        return -1;
    /* (sample | None, relayed, ...) */
    if (PyTuple_Check(done) && PyTuple_GET_SIZE(done) > 1
        && PyTuple_GET_ITEM(done, 0) != Py_None) {
        PyObject *sample = PyTuple_GET_ITEM(done, 0);
        long passed = PyLong_AsLong(PyTuple_GET_ITEM(done, 1));

        Py_INCREF(sample);
        Py_XSETREF(round->sample, sample);
        round->passed += passed;
    }
    Py_DECREF(done);
    return PyErr_Occurred() ? -1 : relays_look(self->relays);
}

static int leave(Round *round, const Batch *batch, int index)
{
    PyObject *data = batch_whole(batch, index);
    int state = -1;

    if (round->left == NULL)
        round->left = PyList_New(0);
    if (data != NULL && round->left != NULL)
        state = PyList_Append(round->left, data);
    Py_XDECREF(data);
    return state;
}

/* Take the messages of one batch in their order; return -1 with an exception set. */
static int take(Way *self, Round *round, const Batch *batch, int count)
{
    int state = 0;

    for (int i = 0; i < count && state == 0; i++) {
        PyObject *ident = NULL;
        Usual found;
        int usual = 0;

        if (batch_length(batch, i) >= 2)
            ident = PyBytes_FromStringAndSize((const char *)batch_message(batch, i), 2);
        if (ident != NULL && self->batch == batch)
            usual = is_usual(self, round, i, ident, &found);
        if (usual && round->left != NULL) {
            /* What came before has its turn, and may have changed that. */
            state = take_left(self, round);
            usual = state == 0 && self->batch == batch
                && is_usual(self, round, i, ident, &found);
        }
        if (state == 0) {
            PyErr_Clear();
            state = usual ? pass_back(self, round, batch, i, ident, &found)
                          : leave(round, batch, i);
        }
        Py_XDECREF(ident);
    }
    return state == 0 ? take_left(self, round) : state;
}

/* Tell what became of the port, as the exception says that is set; -1 with another one set. */
static int tell_lost(Way *self)
{
    PyObject *error = fast_raised();
    PyObject *done = PyObject_CallMethodOneArg(self->channel, relay_names.lost, error);

    Py_DECREF(error);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

int way_serve(Lane *lane)
{
    Way *self = (Way *)lane;
    Batch *batch = self->batch;
    int count = BATCH, state = 0;

    if (batch == NULL)
        return LEFT;
    Py_INCREF(batch);
    for (int i = 0; i < ROUNDS && count == BATCH && state == 0 && self->batch == batch; i++) {
        Round round = {NULL, NULL, 0, 0, {{NULL, NULL, 0}}};

        /* Behind a whole batch there is likely to be more. */
        count = i ? batch_receive(batch, BATCH) : batch_look(batch, fast_now());
        if (count < 0)
            state = tell_lost(self);
        else if (count > 0) {
            state = relays_look(self->relays) < 0 ? -1 : take(self, &round, batch, count);
            state = relay_finish(self->relays, self->owner, &round, state);
        }
    }
    Py_DECREF(batch);
    return state == 0 ? SERVED : FAILED;
}
