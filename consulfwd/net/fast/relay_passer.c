/* What a listener's lane leaves is passed on where it can be: see relay.h and fast.h (Taker). */
#include "relay.h"

static int take(Taker *taker, HotLane *lane, int64_t Py_UNUSED(now))
{
    Passer *self = (Passer *)taker;
    int left = 0;

    if (self->relays == NULL)
        return 0;
    if (relays_begin(self->relays) < 0)
        return -1;
    for (int i = 0; i < lane->left; i++) {
        uint8_t index = lane->rest[i];
        PyObject *key = lane->keys[i];

        lane->keys[i] = NULL;
        if (relays_ask(self->relays, self->listener, lane->batch, index, key)) {
            Py_DECREF(key);
        } else {
            lane->rest[left] = index;
            lane->keys[left++] = key;
        }
    }
    lane->left = left;
    return 0;
}

static int flush(Taker *taker, HotLane *Py_UNUSED(lane))
{
    Passer *self = (Passer *)taker;

    return self->relays == NULL ? 0 : relays_end(self->relays);
}

static PyObject *create(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(words))
{
    PyObject *relays, *listener;
    Passer *self;

    if (!PyArg_ParseTuple(args, "O!O", &RelaysType, &relays, &listener))
        return NULL;
    if (((Relays *)relays)->at.ask_local == 0) {
        PyErr_SetString(PyExc_TypeError, "relays that are not made");
        return NULL;
    }
    self = (Passer *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->taker.take = take;
    self->taker.flush = flush;
    self->relays = (Relays *)Py_NewRef(relays);
    self->listener = Py_NewRef(listener);
    return (PyObject *)self;
}

static int traverse(Passer *self, visitproc visit, void *arg)
{
    Py_VISIT(self->relays);
    Py_VISIT(self->listener);
    return 0;
}

static void dealloc(Passer *self)
{
    PyObject_GC_UnTrack(self);
    Py_XDECREF(self->relays);
    Py_XDECREF(self->listener);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

PyTypeObject PasserType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "consulfwd.net._fast.Passer",
    .tp_basicsize = sizeof(Passer),
    .tp_base = &TakerType,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = create,
    .tp_dealloc = (destructor)dealloc,
    .tp_traverse = (traverseproc)traverse,
};
