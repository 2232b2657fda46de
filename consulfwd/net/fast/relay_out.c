/*
 * Queries that are passed on: the twin of `UdpListener._ask`, `Table.submit` and `SharedUdp.relay`
 * where nothing is unusual.
 */
#include "relay.h"

#define LEAST 10 /* octets of a header without its ID */

/* Return the question made ready (borrowed), NULL where there is none to be asked for now. */
static PyObject *ask_of(Relays *self, PyObject *key)
{
    PyObject *ask = PyDict_GetItemWithError(self->asks, key), *value, *entry;
    int there;

    if (ask == NULL || !Py_IS_TYPE(ask, self->at.ask) || slot(ask, self->at.ask_local) != Py_None)
        return NULL;
    value = slot(ask, self->at.ask_key);
    if (value == NULL || !PyBytes_CheckExact(value))
        return NULL;
    entry = PyDict_GetItemWithError(self->entries, value);
    if (entry != NULL) {
        if (!Py_IS_TYPE(entry, self->at.entry)
            || !(number(entry, self->at.entry_expires_at) <= self->now))
            return NULL;
    } else if (PyErr_Occurred()) {
        return NULL;
    }
    there = PyDict_Contains(self->flights, value);
    if (!there && PyDict_GET_SIZE(self->failures))
        there = PyDict_Contains(self->failures, value);
    return there ? NULL : ask;
}

/* Return the way of a question's lane (see `table.Lane`; borrowed) if that holds now. */
static PyObject *way_of(Relays *self, PyObject *lane)
{
    long long version;
    PyObject *way, *tail;

    if (lane == NULL || !PyTuple_CheckExact(lane) || PyTuple_GET_SIZE(lane) != 5)
        return NULL;
    version = PyLong_AsLongLong(PyTuple_GET_ITEM(lane, 0));
    way = PyTuple_GET_ITEM(lane, 4);
    tail = PyTuple_GET_ITEM(lane, 3);
    if (version != self->version)
        return NULL;
    if (!PyBytes_CheckExact(tail) || PyBytes_GET_SIZE(tail) > MOST_TAIL)
        return NULL;
    if (Py_IS_TYPE(way, &PoolWayType))
        return ((PoolWay *)way)->relays == self ? way : NULL;
    if (!Py_IS_TYPE(way, &WayType) || ((Way *)way)->relays != self
        || ((Way *)way)->batch == NULL
        || PyDict_GET_SIZE(((Way *)way)->pending) >= ((Way *)way)->window)
        return NULL;
    return way;
}

/* A `DatagramWaiter` that is on its way, with this ID if it has one yet, or NULL with an exception set. */
static PyObject *make_waiter(
    Relays *self, PyObject *listener, const Batch *batch, int index, PyObject *ask,
    PyObject *upstream, PyObject *ident)
{
    const Shapes *at = &self->at;
    PyObject *client, *peer, *made;

    client = PyBytes_FromStringAndSize((const char *)batch_message(batch, index), 2);
    peer = PyBytes_FromStringAndSize((const char *)batch_name(batch, index), batch->name_size);
    made = client == NULL || peer == NULL ? NULL : at->waiter->tp_alloc(at->waiter, 0);
    if (made != NULL) {
        fill(made, at->listener, listener);
        fill(made, at->waiter_ask, ask);
        fill(made, at->client_id, client);
        fill(made, at->peer, peer);
        fill(made, at->upstream, upstream);
        fill(made, at->sent_at, self->moment);
        fill(made, at->others, Py_None);
        if (ident != NULL)
            fill(made, at->ident, ident);
    }
    Py_XDECREF(client);
    Py_XDECREF(peer);
    return made;
}

/* Note who waits for which question, and for a reply with which ID; -1 with an exception set. */
static int note(Relays *self, Way *way, PyObject *key, PyObject *ident, PyObject *waiter)
{
    if (PyDict_SetItem(self->flights, key, waiter) < 0)
        return -1;
    if (PyDict_SetItem(way->pending, ident, waiter) < 0) {
        PyObject *type, *error, *trace;

        PyErr_Fetch(&type, &error, &trace);
        if (PyDict_DelItem(self->flights, key) < 0)
            PyErr_Clear();
        PyErr_Restore(type, error, trace);
        return -1;
    }
    return 0;
}

/* An ID that nobody waits for a reply with, or NULL with an exception set. */
static PyObject *free_ident(Way *way)
{
    for (;;) {
        const unsigned char *octets = way_ident(way);
        PyObject *ident;
        int there;

        if (octets == NULL)
            return NULL;
        ident = PyBytes_FromStringAndSize((const char *)octets, 2);
        there = ident == NULL ? -1 : PyDict_Contains(way->pending, ident);
        if (there == 0)
            return ident;
        Py_XDECREF(ident);
        if (there < 0)
            return NULL;
    }
}

static int pass_on(
    Relays *self, PyObject *listener, const Batch *batch, int index, PyObject *ask, PyObject *lane,
    Way *way)
{
    PyObject *upstream = PyTuple_GET_ITEM(lane, 1), *tail = PyTuple_GET_ITEM(lane, 3);
    PyObject *ident = free_ident(way), *waiter;
    int done = 0;

    if (ident == NULL)
        return 0;
    waiter = make_waiter(self, listener, batch, index, ask, upstream, ident);
    if (waiter != NULL && way->batch != NULL
        && note(self, way, slot(ask, self->at.ask_key), ident, waiter) == 0) {
        batch_put(
            way->batch, (const unsigned char *)PyBytes_AS_STRING(ident),
            (const unsigned char *)PyBytes_AS_STRING(tail), (size_t)PyBytes_GET_SIZE(tail), NULL);
        done = 1;
    }
    Py_XDECREF(waiter);
    Py_DECREF(ident);
    return done;
}

/* Have a way that sends each query by a port of its own send one: which port is Python's. */
static int pass_on_by_port(
    Relays *self, PyObject *listener, const Batch *batch, int index, PyObject *ask, PyObject *lane)
{
    PyObject *upstream = PyTuple_GET_ITEM(lane, 1), *relay = PyTuple_GET_ITEM(lane, 2);
    PyObject *key = slot(ask, self->at.ask_key), *waiter, *sent = NULL;
    int done = 0;

    waiter = make_waiter(self, listener, batch, index, ask, upstream, NULL);
    if (waiter != NULL && PyDict_SetItem(self->flights, key, waiter) == 0) {
        sent = PyObject_CallFunctionObjArgs(relay, waiter, PyTuple_GET_ITEM(lane, 3), NULL);
        done = sent == Py_True;
        if (sent == NULL)
            PyErr_Clear();
        if (!done && PyDict_DelItem(self->flights, key) < 0)
            PyErr_Clear();
    }
    Py_XDECREF(sent);
    Py_XDECREF(waiter);
    return done;
}

/* Note that there is something to be sent by a way. */
static void note_dirty(Relays *self, Way *way)
{
    if (way->is_dirty)
        return;
    Py_INCREF(way);
    way->is_dirty = 1;
    way->next = self->dirty;
    self->dirty = way;
}

int relays_ask(Relays *self, PyObject *listener, const Batch *batch, int index, PyObject *key)
{
    PyObject *ask = NULL, *lane = NULL, *way = NULL;
    int done = 0;

    if (PyBytes_GET_SIZE(key) >= LEAST && PyDict_GET_SIZE(self->flights) < self->room)
        ask = ask_of(self, key);
    if (ask != NULL) {
        lane = slot(ask, self->at.ask_lane);
        way = way_of(self, lane);
    }
    if (way != NULL) {
        /* Making an object may have the garbage collector run, and that anything. */
        Py_INCREF(ask);
        Py_INCREF(lane);
        if (Py_IS_TYPE(way, &PoolWayType)) {
            done = pass_on_by_port(self, listener, batch, index, ask, lane);
        } else {
            done = pass_on(self, listener, batch, index, ask, lane, (Way *)way);
            if (done)
                note_dirty(self, (Way *)way);
        }
        Py_DECREF(lane);
        Py_DECREF(ask);
    }
    if (done)
        self->asked++;
    else
        PyErr_Clear(); /* No memory, at worst: Python will see. */
    return done;
}
