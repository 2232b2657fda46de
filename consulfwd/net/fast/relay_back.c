/*
 * One reply that is passed back: the twin of `Relays.on_relayed` and `DatagramWaiter.relayed` where
 * nothing is unusual. By which socket it came is not looked at here.
 */
#include "relay.h"

/* Return whether a relay has to do with nobody but the one client that waits. */
static int is_alone(const Relays *relays, PyObject *relay, PyObject *ask)
{
    PyObject *key = slot(ask, relays->at.ask_key);

    if (!relays->plain || key == NULL || !PyBytes_CheckExact(key))
        return 0;
    return slot(relay, relays->at.others) == Py_None
        && PyDict_GetItemWithError(relays->flights, key) == relay;
}

int relay_is_usual(
    const Relays *relays, Round *round, PyObject *relay, const unsigned char *data, size_t length,
    Usual *found)
{
    const Shapes *at = &relays->at;
    PyObject *ask, *peer, *client;

    if (!Py_IS_TYPE(relay, at->waiter) || length < 12)
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
    found->known = relay_recognise(at, ask, data, length);
    if (found->known == NULL)
        return 0;
    found->place = relay_place(round, slot(relay, at->listener));
    if (found->place == NULL || PyBytes_GET_SIZE(peer) != found->place->batch->name_size)
        return 0;
    found->pieces = slot(
        found->known, found->place->on_host ? at->known_on_host : at->known_off_host);
    if (!relay_pieces(found->pieces, data, length, &found->parts))
        return 0;
    found->is_kept = slot(found->known, at->known_positive) == Py_True
        && relays->now < number(ask, at->ask_kept_until);
    return 1;
}

int relay_tell_broken(PyObject *owner, PyObject *relay)
{
    PyObject *error, *done;

    if (!PyErr_ExceptionMatches(PyExc_Exception))
        return -1;
    error = fast_raised();
    done = PyObject_CallMethod(owner, "on_broken", "OO", relay, error);
    Py_DECREF(error);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Have a reply kept by Python; return whether it is still to be passed back from here. */
static int keep(
    Relays *relays, PyObject *owner, Round *round, PyObject *relay, PyObject *known,
    PyObject *data)
{
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
    return still < 0 ? relay_tell_broken(owner, relay) : still;
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

int relay_pass_back(
    Relays *relays, PyObject *owner, Round *round, const unsigned char *data, size_t length,
    const Usual *found)
{
    PyObject *relay = found->relay, *known = found->known;
    PyObject *pieces = found->pieces, *ask = found->ask;
    PyObject *client = slot(relay, relays->at.client_id);
    PyObject *peer = slot(relay, relays->at.peer);
    int still = 1;

    Py_INCREF(known);
    Py_INCREF(pieces);
    if (!found->is_kept) {
        PyObject *whole = PyBytes_FromStringAndSize((const char *)data, (Py_ssize_t)length);

        still = whole == NULL ? relay_tell_broken(owner, relay)
                              : keep(relays, owner, round, relay, known, whole);
        Py_XDECREF(whole);
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
    return still < 0 ? -1 : 0;
}
