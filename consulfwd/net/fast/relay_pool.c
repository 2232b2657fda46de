/*
 * Replies of a server off this host: the twin of `pool.PortPool._readable` where nothing is
 * unusual. A port is lent to one query; only what has its ID, and its question to the letter, is
 * looked at here. All else, and whether a port is lent again, is Python's, which gets it as it came.
 */
#include "relay.h"

#include <errno.h>

#define LARGEST 65535
/* No reply longer than this is recognised (`relays.KNOWN_SIZE` is less). */
#define FOLDED 4096
#define HEADER 12

/* The lane of one port. */
typedef struct {
    Lane lane;
    PoolWay *way;
    PyObject *port;
    int fd;
} PortLane;

/*
 * Make of a reply one to a question in small letters, as `speller.Speller.read` does once a server
 * is sure to repeat what it is asked; return 0 where that is Python's to tell.
 */
static int fold(const PoolWay *way, PyObject *spelled, unsigned char *data, size_t length)
{
    PyObject *sent, *name;
    unsigned char *at = data + HEADER, *end = data + length;
    size_t size;

    if (slot(way->speller, way->settled) != Py_True || !PyTuple_CheckExact(spelled)
        || PyTuple_GET_SIZE(spelled) != 3)
        return 0;
    sent = PyTuple_GET_ITEM(spelled, 0);
    name = PyTuple_GET_ITEM(spelled, 1);
    if (!PyBytes_CheckExact(sent) || !PyBytes_CheckExact(name)
        || PyBytes_GET_SIZE(sent) != PyBytes_GET_SIZE(name) || PyBytes_GET_SIZE(sent) == 0)
        return 0;
    size = (size_t)PyBytes_GET_SIZE(sent);
    if (length < HEADER + size || memcmp(at, PyBytes_AS_STRING(sent), size) != 0)
        return 0;
    do {
        memcpy(at, PyBytes_AS_STRING(name), size);
        at += size;
        /* With its end, which bytes of Python's have: without, a short one is there by chance. */
        at = memmem(at, (size_t)(end - at), PyBytes_AS_STRING(sent), size + 1);
    } while (at != NULL);
    return 1;
}

/* Copy what came as it is recognised; return whether it has the ID and the spelling of its query. */
static int is_reply(
    const PortLane *self, PyObject *ident, const unsigned char *data, size_t length,
    unsigned char *folded)
{
    const PoolWay *way = self->way;
    PyObject *spelled = slot(self->port, way->spelled);

    if (length < HEADER || length > FOLDED || memcmp(data, PyBytes_AS_STRING(ident), 2) != 0
        || spelled == NULL || slot(self->port, way->again) != Py_False)
        return 0;
    memcpy(folded, data, length);
    return spelled == Py_None || fold(way, spelled, folded, length);
}

/* Call a method of the pool with this port and one more thing, which is given away. */
static int have_python(PortLane *self, PyObject *method, PyObject *what)
{
    PyObject *done = NULL;

    if (what != NULL)
        done = PyObject_CallMethodObjArgs(self->way->channel, method, self->port, what, NULL);
    Py_XDECREF(what);
    Py_XDECREF(done);
    return done == NULL ? FAILED : SERVED;
}

/* Tell of the errno that reading came to. */
static int tell_failure(PortLane *self)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
        return SERVED;
    PyErr_SetFromErrno(PyExc_OSError);
    return have_python(self, relay_names._failed, fast_raised());
}

/* Pass a reply to a relay back if that is usual; return LEFT, with nothing done, if not. */
static int pass_back(PortLane *self, PyObject *relay, const unsigned char *data, size_t length)
{
    Relays *relays = self->way->relays;
    PyObject *owner = self->way->owner;
    Round round = {NULL, NULL, 0, 0, {{NULL, NULL, 0}}};
    Usual found;
    int usual, state = 0;

    usual = relays_look(relays) == 0 && relay_is_usual(relays, &round, relay, data, length, &found);
    if (usual)
        state = relay_pass_back(relays, owner, &round, data, length, &found);
    else
        PyErr_Clear(); /* Python will see. */
    if (relay_finish_later(relays, owner, &round, state) < 0
        && relay_tell_broken(owner, relay) < 0)
        return FAILED;
    if (!usual)
        return LEFT;
    Py_INCREF(relays->moment);
    return have_python(self, relay_names.settle, relays->moment);
}

static int port_serve(Lane *lane)
{
    PortLane *self = (PortLane *)lane;
    PoolWay *way = self->way;
    PyObject *relay = slot(self->port, way->item), *ident = slot(self->port, way->ident);
    unsigned char data[LARGEST], folded[FOLDED];
    ssize_t length;
    int state = LEFT;

    if (relay == NULL || !Py_IS_TYPE(relay, way->relays->at.waiter) || ident == NULL
        || !PyBytes_CheckExact(ident) || PyBytes_GET_SIZE(ident) != 2)
        return LEFT;
    length = recv(self->fd, data, sizeof data, MSG_DONTWAIT);
    if (length < 0)
        return tell_failure(self);
    Py_INCREF(relay); /* which holds the question, the client's ID and its address */
    if (is_reply(self, ident, data, (size_t)length, folded))
        state = pass_back(self, relay, folded, (size_t)length);
    Py_DECREF(relay);
    if (state != LEFT)
        return state;
    return have_python(
        self, relay_names.take, PyBytes_FromStringAndSize((const char *)data, length));
}

static int traverse_lane(PortLane *self, visitproc visit, void *arg)
{
    Py_VISIT(self->way);
    Py_VISIT(self->port);
    return 0;
}

static void dealloc_lane(PortLane *self)
{
    PyObject_GC_UnTrack(self);
    Py_XDECREF(self->way);
    Py_XDECREF(self->port);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

PyTypeObject PortLaneType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "consulfwd.net._fast.PortLane",
    .tp_basicsize = sizeof(PortLane),
    .tp_base = &LaneType,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = (destructor)dealloc_lane,
    .tp_traverse = (traverseproc)traverse_lane,
};

/* lane(port, fd) -> the lane of a port. */
static PyObject *lane_of(PoolWay *self, PyObject *args)
{
    PyObject *port;
    PortLane *made;
    int fd;

    if (!PyArg_ParseTuple(args, "O!i", self->port, &port, &fd))
        return NULL;
    made = (PortLane *)PortLaneType.tp_alloc(&PortLaneType, 0);
    if (made == NULL)
        return NULL;
    made->lane.serve = port_serve;
    made->way = (PoolWay *)Py_NewRef(self);
    made->port = Py_NewRef(port);
    made->fd = fd;
    return (PyObject *)made;
}

static PyObject *create(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(words))
{
    PyObject *relays, *channel, *owner, *speller, *port;
    PoolWay *self;

    if (!PyArg_ParseTuple(
            args, "O!OOOO!", &RelaysType, &relays, &channel, &owner, &speller, &PyType_Type,
            &port))
        return NULL;
    if (((Relays *)relays)->at.ask_local == 0) {
        PyErr_SetString(PyExc_TypeError, "relays that are not made");
        return NULL;
    }
    self = (PoolWay *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->relays = (Relays *)Py_NewRef(relays);
    self->channel = Py_NewRef(channel);
    self->owner = Py_NewRef(owner);
    self->speller = Py_NewRef(speller);
    self->port = (PyTypeObject *)Py_NewRef(port);
    if (relay_slot(self->port, "item", &self->item) < 0
        || relay_slot(self->port, "ident", &self->ident) < 0
        || relay_slot(self->port, "spelled", &self->spelled) < 0
        || relay_slot(self->port, "again", &self->again) < 0
        || relay_slot(Py_TYPE(speller), "settled", &self->settled) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static int traverse(PoolWay *self, visitproc visit, void *arg)
{
    Py_VISIT(self->relays);
    Py_VISIT(self->channel);
    Py_VISIT(self->owner);
    Py_VISIT(self->speller);
    Py_VISIT(self->port);
    return 0;
}

static void dealloc(PoolWay *self)
{
    PyObject_GC_UnTrack(self);
    Py_XDECREF(self->relays);
    Py_XDECREF(self->channel);
    Py_XDECREF(self->owner);
    Py_XDECREF(self->speller);
    Py_XDECREF(self->port);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyMethodDef METHODS[] = {
    {"lane", (PyCFunction)lane_of, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

PyTypeObject PoolWayType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "consulfwd.net._fast.PoolWay",
    .tp_basicsize = sizeof(PoolWay),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = create,
    .tp_dealloc = (destructor)dealloc,
    .tp_traverse = (traverseproc)traverse,
    .tp_methods = METHODS,
};
