/*
 * Replies that are passed back: the twin of `SharedUdp._readable`, `Relays.on_relayed` and
 * `DatagramWaiter.relayed` where nothing is unusual.
 */
#include "relay.h"

#define ROUNDS 64

/* A reply that is to be passed back as it is (all borrowed). */
typedef struct {
    PyObject *relay, *ask, *known, *pieces;
    Place *place;
    Pieces parts;
    int is_kept; /* the cache has it already */
} Usual;

/* Return whether a relay has to do with nobody but the one client that waits. */
static int is_alone(const Relays *relays, PyObject *relay, PyObject *ask)
{
    PyObject *key = slot(ask, relays->at.ask_key);

    if (!relays->plain || key == NULL || !PyBytes_CheckExact(key))
        return 0;
    return slot(relay, relays->at.others) == Py_None
        && PyDict_GetItemWithError(relays->flights, key) == relay;
}

static int is_usual(Way *self, Round *round, int index, PyObject *ident, Usual *found)
{
    const Relays *relays = self->relays;
    const Shapes *at = &relays->at;
    const Batch *batch = self->batch;
    size_t length = batch_length(batch, index);
    PyObject *relay = PyDict_GetItemWithError(self->pending, ident), *ask, *peer, *client;

    if (relay == NULL || !Py_IS_TYPE(relay, at->waiter) || length < 12 || length > batch->size)
        return 0;
    ask = slot(relay, at->waiter_ask);
    if (ask == NULL || !Py_IS_TYPE(ask, at->ask) || !is_alone(relays, relay, ask))
        return 0;
    client = slot(relay, at->client_id);
    peer = slot(relay, at->peer);
    if (client == NULL || !PyBytes_CheckExact(client) || PyBytes_GET_SIZE(client) != 2
        || peer == NULL || !PyBytes_CheckExact(peer) || slot(relay, at->listener) == NULL)
        return 0;
    found->relay = relay;
    found->ask = ask;
    found->known = relay_recognise(at, ask, batch_message(batch, index), length);
    if (found->known == NULL)
        return 0;
    found->place = relay_place(round, slot(relay, at->listener));
    if (found->place == NULL || PyBytes_GET_SIZE(peer) != found->place->batch->name_size)
        return 0;
    found->pieces = slot(
        found->known, found->place->on_host ? at->known_on_host : at->known_off_host);
    if (!relay_pieces(found->pieces, batch_message(batch, index), length, &found->parts))
        return 0;
    found->is_kept = slot(found->known, at->known_positive) == Py_True
        && relays->now < number(ask, at->ask_kept_until);
    return 1;
}

/* Tell of the exception that is set what it came between; return -1 when that fails as well. */
static int tell_broken(Way *self, PyObject *relay)
{
    PyObject *type, *error, *trace, *done;

    if (!PyErr_ExceptionMatches(PyExc_Exception))
        return -1;
    PyErr_Fetch(&type, &error, &trace);
    PyErr_NormalizeException(&type, &error, &trace);
    if (trace != NULL)
        PyException_SetTraceback(error, trace);
    done = PyObject_CallMethod(self->owner, "on_broken", "OO", relay, error);
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(trace);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Have a reply kept by Python; return whether it is still to be passed back from here. */
static int keep(Way *self, Round *round, PyObject *relay, PyObject *known, PyObject *data)
{
    Relays *relays = self->relays;
    PyObject *ask = slot(relay, relays->at.waiter_ask), *done;
    int still;

    done = PyObject_CallMethodObjArgs(
        relays->relays, relay_names.keep, relay, known, data, relays->moment, NULL);
    still = done == NULL ? -1 : PyObject_IsTrue(done);
    Py_XDECREF(done);
    if (still > 0 && relays_look(relays) < 0)
        still = -1;
    if (still > 0 && !is_alone(relays, relay, ask)) {
        done = PyObject_CallMethodObjArgs(
            relays->relays, relay_names.pass_back, relay, known, data, NULL);
        still = done == NULL ? -1 : 0;
        Py_XDECREF(done);
        if (done != NULL) {
            Py_INCREF(relay);
            Py_XSETREF(round->sample, relay);
            round->passed++;
        }
    }
    return still < 0 ? tell_broken(self, relay) : still;
}

static void put_reply(Batch *batch, PyObject *client, PyObject *peer, const Pieces *parts)
{
    unsigned char *to = batch_put(
        batch, (const unsigned char *)PyBytes_AS_STRING(client), NULL,
        parts->head_size + parts->middle_size + parts->tail_size,
        (const unsigned char *)PyBytes_AS_STRING(peer));

    memcpy(to, parts->head, parts->head_size);
    memcpy(to + parts->head_size, parts->middle, parts->middle_size);
    memcpy(to + parts->head_size + parts->middle_size, parts->tail, parts->tail_size);
}

/* Pass a reply back; return -1 when an exception is to end the reading. */
static int pass_back(
    Way *self, Round *round, const Batch *batch, int index, PyObject *ident, const Usual *found)
{
    Relays *relays = self->relays;
    PyObject *relay = found->relay, *known = found->known;
    PyObject *pieces = found->pieces, *ask = found->ask;
    PyObject *client = slot(relay, relays->at.client_id);
    PyObject *peer = slot(relay, relays->at.peer);
    int still = 1;

    Py_INCREF(relay); /* which holds the question, the client's ID and its address */
    Py_INCREF(known);
    Py_INCREF(pieces);
    if (PyDict_DelItem(self->pending, ident) < 0)
        PyErr_Clear();
    if (!found->is_kept) {
        PyObject *data = batch_whole(batch, index);

        still = data == NULL ? tell_broken(self, relay) : keep(self, round, relay, known, data);
        Py_XDECREF(data);
    }
    if (still > 0) {
        if (PyDict_DelItem(relays->flights, slot(ask, relays->at.ask_key)) < 0)
            PyErr_Clear();
        put_reply(found->place->batch, client, peer, &found->parts);
        Py_INCREF(relay);
        Py_XSETREF(round->sample, relay);
        round->passed++;
    }
    Py_DECREF(pieces);
    Py_DECREF(known);
    Py_DECREF(relay);
    return still < 0 ? -1 : 0;
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
    PyObject *type, *error, *trace, *done;

    PyErr_Fetch(&type, &error, &trace);
    PyErr_NormalizeException(&type, &error, &trace);
    done = PyObject_CallMethodOneArg(self->channel, relay_names.lost, error);
    Py_XDECREF(type);
    Py_XDECREF(error);
    Py_XDECREF(trace);
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
            state = relay_finish(self, &round, state);
        }
    }
    Py_DECREF(batch);
    return state == 0 ? SERVED : FAILED;
}
