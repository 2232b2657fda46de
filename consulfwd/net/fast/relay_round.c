/* What was read of an upstream in one go: the replies it comes to are sent, and counted as one. */
#include "relay.h"

static int tell(Place *place)
{
    int failure = batch_flush(place->batch);
    PyObject *done;

    if (!failure)
        return 0;
    done = PyObject_CallMethod(place->listener, "_tell", "i", failure);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Send what was queued by listeners; return -1 when there is an exception. */
static int send_replies(Round *round)
{
    int state = 0;

    for (int i = 0; i < round->places; i++) {
        Place *place = round->place + i;

        if (state == 0)
            state = tell(place);
        else
            batch_flush(place->batch);
        Py_DECREF(place->listener);
        Py_DECREF(place->batch);
    }
    round->places = 0;
    return state;
}

Place *relay_place(Round *round, PyObject *listener)
{
    PyObject *batch, *on_host;
    Place *place = round->place;

    for (int i = 0; i < round->places; i++, place++)
        if (place->listener == listener)
            return place;
    if (round->places == LISTENERS)
        return NULL;
    batch = PyObject_GetAttr(listener, relay_names._batch);
    on_host = batch == NULL ? NULL : PyObject_GetAttr(listener, relay_names.on_host);
    if (on_host == NULL || !Py_IS_TYPE(batch, &BatchType)) {
        /* One that sends in another way. */
        Py_XDECREF(batch);
        Py_XDECREF(on_host);
        PyErr_Clear();
        return NULL;
    }
    place->on_host = on_host == Py_True;
    place->listener = listener;
    place->batch = (Batch *)batch;
    Py_INCREF(listener);
    Py_DECREF(on_host);
    round->places++;
    return place;
}

/* Tell that so many relays were answered at once; return -1 with an exception set. */
static int tell_answered(const Relays *relays, PyObject *owner, Round *round)
{
    PyObject *number, *done;

    if (round->sample == NULL)
        return 0;
    number = PyLong_FromLong(round->passed);
    if (number == NULL)
        return -1;
    done = PyObject_CallMethodObjArgs(
        owner, relay_names.on_drained, round->sample, number, relays->moment, NULL);
    Py_DECREF(number);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

int relay_finish(const Relays *relays, PyObject *owner, Round *round, int state)
{
    PyObject *type, *error, *trace;

    PyErr_Fetch(&type, &error, &trace);
    for (int step = 0; step < 2; step++) {
        if ((step ? tell_answered(relays, owner, round) : send_replies(round)) == 0)
            continue;
        if (state < 0)
            PyErr_Clear();
        else
            PyErr_Fetch(&type, &error, &trace);
        state = -1;
    }
    PyErr_Restore(type, error, trace);
    Py_CLEAR(round->left);
    Py_CLEAR(round->sample);
    return state;
}

/* Listeners whose replies leave once more of them are there: of the loop that runs in this thread. */
static _Thread_local struct {
    int places;
    Place place[LISTENERS];
} later;

int relay_finish_later(const Relays *relays, PyObject *owner, Round *round, int state)
{
    int left = 0;

    for (int i = 0; i < round->places; i++) {
        Place *place = round->place + i;
        int at = 0;

        while (at < later.places && later.place[at].batch != place->batch)
            at++;
        if (at < later.places) {
            Py_DECREF(place->listener);
            Py_DECREF(place->batch);
        } else if (at < LISTENERS) {
            later.place[later.places++] = *place;
        } else {
            round->place[left++] = *place;
        }
    }
    round->places = left;
    return relay_finish(relays, owner, round, state);
}

int fast_send_later(void)
{
    Round round = {NULL, NULL, 0, 0, {{NULL, NULL, 0}}};

    if (later.places == 0)
        return 0;
    round.places = later.places;
    memcpy(round.place, later.place, sizeof round.place);
    later.places = 0;
    return send_replies(&round);
}
