/* The way to one upstream as an object: see relay.h. Made by `upstream.SharedUdp`. */
#include "relay.h"

#include <errno.h>
#include <sys/random.h>

int way_serve(Lane *lane);

const unsigned char *way_ident(Way *self)
{
    /* IDs are the system's random octets, as those of `channel.random_ids`. */
    if (self->ids_left == 0) {
        ssize_t got;

        do
            got = getrandom(self->ids, sizeof self->ids, 0);
        while (got < 0 && errno == EINTR);
        if (got < 2) {
            PyErr_SetFromErrno(PyExc_OSError);
            return NULL;
        }
        self->ids_left = (int)got / 2;
    }
    return self->ids + 2 * --self->ids_left;
}

int way_flush(Way *self)
{
    PyObject *timer, *done;
    int failure;

    if (self->batch == NULL)
        return 0;
    failure = batch_flush(self->batch);
    timer = PyObject_GetAttr(self->channel, relay_names._timer);
    if (timer == NULL)
        return -1;
    Py_DECREF(timer);
    if (!failure && timer != Py_None)
        return 0;
    done = PyObject_CallMethod(self->channel, "passed_on", "i", failure);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* use(batch): read from and write to this one from now on; None: be closed. */
static PyObject *use(Way *self, PyObject *batch)
{
    if (batch != Py_None
        && (!Py_IS_TYPE(batch, &BatchType) || ((Batch *)batch)->out == NULL)) {
        PyErr_SetString(PyExc_TypeError, "a batch is needed, or None");
        return NULL;
    }
    Py_XINCREF(batch == Py_None ? NULL : batch);
    Py_XSETREF(self->batch, batch == Py_None ? NULL : (Batch *)batch);
    Py_RETURN_NONE;
}

static int init(Way *self, PyObject *args, PyObject *keywords)
{
    static char *words[] = {"relays", "channel", "owner", "pending", "window", NULL};
    PyObject *relays, *channel, *owner, *pending;
    Py_ssize_t window;

    if (!PyArg_ParseTupleAndKeywords(
            args, keywords, "O!OOO!n", words, &RelaysType, &relays, &channel, &owner,
            &PyDict_Type, &pending, &window))
        return -1;
    if (((Relays *)relays)->at.ask_local == 0 || self->relays != NULL) {
        PyErr_SetString(PyExc_TypeError, "made already, or relays that are not made");
        return -1;
    }
    Py_INCREF(relays);
    Py_INCREF(channel);
    Py_INCREF(owner);
    Py_INCREF(pending);
    self->relays = (Relays *)relays;
    self->channel = channel;
    self->owner = owner;
    self->pending = pending;
    self->window = window;
    self->lane.serve = way_serve;
    return 0;
}

static int nothing(Lane *Py_UNUSED(lane))
{
    return LEFT;
}

static PyObject *create(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(words))
{
    Way *self = (Way *)type->tp_alloc(type, 0);

    if (self != NULL)
        self->lane.serve = nothing;
    return (PyObject *)self;
}

static int traverse(Way *self, visitproc visit, void *arg)
{
    Py_VISIT(self->relays);
    Py_VISIT(self->channel);
    Py_VISIT(self->owner);
    Py_VISIT(self->pending);
    Py_VISIT(self->batch);
    return 0;
}

static void dealloc(Way *self)
{
    PyObject_GC_UnTrack(self);
    Py_XDECREF(self->relays);
    Py_XDECREF(self->channel);
    Py_XDECREF(self->owner);
    Py_XDECREF(self->pending);
    Py_XDECREF(self->batch);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyMethodDef METHODS[] = {
    {"use", (PyCFunction)use, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

PyTypeObject WayType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "consulfwd.net._fast.Way",
    .tp_basicsize = sizeof(Way),
    .tp_base = &LaneType,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = create,
    .tp_init = (initproc)init,
    .tp_dealloc = (destructor)dealloc,
    .tp_traverse = (traverseproc)traverse,
    .tp_methods = METHODS,
};
