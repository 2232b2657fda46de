/* The module `consulfwd.net._fast`: optional, and used by its twins in Python where it is there. */
#include "relay.h"

/* serve() -> bool: whether nothing is left for the callback; for loops that know of no lanes. */
static PyObject *serve(Lane *self, PyObject *Py_UNUSED(ignored))
{
    int state = self->serve == NULL ? LEFT : self->serve(self);

    if (state != FAILED && fast_send_later() < 0)
        state = FAILED;
    return state == FAILED ? NULL : PyBool_FromLong(state == SERVED);
}

static PyMethodDef LANE_METHODS[] = {
    {"serve", (PyCFunction)serve, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

PyTypeObject LaneType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "consulfwd.net._fast.Lane",
    .tp_basicsize = sizeof(Lane),
    .tp_methods = LANE_METHODS,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
};

PyTypeObject TakerType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "consulfwd.net._fast.Taker",
    .tp_basicsize = sizeof(Taker),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
};

static struct PyModuleDef MODULE = {
    PyModuleDef_HEAD_INIT,
    .m_name = "consulfwd.net._fast",
    .m_doc = "The compiled fast lane. What belongs here moves bytes; nothing here decides.",
    .m_size = -1,
};

static int add(PyObject *module, PyTypeObject *type, const char *name)
{
    if (PyType_Ready(type) < 0)
        return -1;
    Py_INCREF(type);
    if (PyModule_AddObject(module, name, (PyObject *)type) < 0) {
        Py_DECREF(type);
        return -1;
    }
    return 0;
}

PyMODINIT_FUNC PyInit__fast(void)
{
    PyObject *module = PyModule_Create(&MODULE);

    if (module == NULL)
        return NULL;
    if (add(module, &LaneType, "Lane") < 0 || add(module, &BatchType, "Batch") < 0
        || add(module, &PollerType, "Poller") < 0 || add(module, &ReadyType, "Ready") < 0
        || add(module, &TakerType, "Taker") < 0 || add(module, &HotLaneType, "HotLane") < 0
        || add(module, &RelaysType, "Relays") < 0 || add(module, &WayType, "Way") < 0
        || add(module, &PoolWayType, "PoolWay") < 0 || PyType_Ready(&PortLaneType) < 0
        || add(module, &PasserType, "Passer") < 0 || relay_ready() < 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
