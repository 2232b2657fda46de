/* What relays need of one engine, and how things are: see relay.h. Made by `passing.compiled`. */
#include "relay.h"

/* An attribute that is a whole number; return -1 with an exception set where it is none. */
static int whole_number(PyObject *of, PyObject *name, long long *found)
{
    PyObject *value = PyObject_GetAttr(of, name);

    if (value == NULL)
        return -1;
    *found = PyLong_AsLongLong(value);
    Py_DECREF(value);
    return *found == -1 && PyErr_Occurred() ? -1 : 0;
}

/* Whether an attribute is None; -1 with an exception set where there is no such. */
static int is_none(PyObject *of, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(of, name);
    int none = value == Py_None;

    if (value == NULL)
        return -1;
    Py_DECREF(value);
    return none;
}

static int look_at_clock(Relays *self)
{
    PyObject *clock = PyObject_GetAttr(self->clock, relay_names.now), *moment;

    if (clock == NULL)
        return -1;
    if (clock == self->exact_clock)
        moment = PyFloat_FromDouble((double)fast_now() / 1e9);
    else
        moment = PyObject_CallNoArgs(clock);
    Py_DECREF(clock);
    if (moment == NULL)
        return -1;
    self->now = PyFloat_AsDouble(moment);
    Py_XSETREF(self->moment, moment);
    return self->now == -1 && PyErr_Occurred() ? -1 : 0;
}

int relays_look(Relays *self)
{
    PyObject *reuse, *freshness, *settling = NULL;
    int calm = 1;

    if (look_at_clock(self) < 0)
        return -1;
    reuse = PyObject_GetAttr(self->table, relay_names.reuse);
    if (reuse == NULL)
        return -1;
    if (reuse != Py_None) {
        freshness = PyObject_GetAttr(reuse, relay_names.freshness);
        if (freshness != NULL)
            settling = PyObject_GetAttr(freshness, relay_names.settling);
        calm = settling == NULL ? -1 : PyObject_Not(settling);
        Py_XDECREF(freshness);
        Py_XDECREF(settling);
    }
    Py_DECREF(reuse);
    if (calm > 0)
        calm = is_none(self->table, relay_names.draining);
    self->plain = calm > 0;
    return calm < 0 ? -1 : 0;
}

int relays_begin(Relays *self)
{
    long long unknown;

    if (look_at_clock(self) < 0
        || whole_number(self->health, relay_names.version, &self->version) < 0
        || whole_number(self->shield, relay_names.most, &unknown) < 0)
        return -1;
    self->room = self->most;
    /* `Shield.begins`: from there on it is looked at who asks for what. */
    if (unknown && unknown / 2 < self->room)
        self->room = (Py_ssize_t)(unknown / 2);
    if (PyDict_GET_SIZE(self->firm) + PyDict_GET_SIZE(self->loose) >= self->outside)
        self->room = 0;
    return 0;
}

static int add_up(PyObject *counters, PyObject *name, long more)
{
    long long before;
    PyObject *sum;
    int state;

    if (whole_number(counters, name, &before) < 0)
        return -1;
    sum = PyLong_FromLongLong(before + more);
    if (sum == NULL)
        return -1;
    state = PyObject_SetAttr(counters, name, sum);
    Py_DECREF(sum);
    return state;
}

int relays_end(Relays *self)
{
    PyObject *type = NULL, *error = NULL, *trace = NULL;
    long asked = self->asked;

    self->asked = 0;
    if (asked && add_up(self->counters, relay_names.queries, asked) < 0)
        PyErr_Fetch(&type, &error, &trace);
    while (self->dirty != NULL) {
        Way *way = self->dirty;

        self->dirty = way->next;
        way->next = NULL;
        way->is_dirty = 0;
        if (way_flush(way) < 0) {
            /* The others are sent all the same; one exception tells. */
            if (type == NULL)
                PyErr_Fetch(&type, &error, &trace);
            else
                PyErr_Clear();
        }
        Py_DECREF(way);
    }
    if (type == NULL)
        return 0;
    PyErr_Restore(type, error, trace);
    return -1;
}

static int init(Relays *self, PyObject *args, PyObject *keywords)
{
    static char *words[] = {
        "ask", "entry", "known", "waiter", "asks", "entries", "flights", "failures", "firm",
        "loose", "table", "health", "shield", "clock", "counters", "relays", "exact_clock",
        "most", "outside", NULL};
    PyObject **kept[] = {
        (PyObject **)&self->at.ask, (PyObject **)&self->at.entry, (PyObject **)&self->at.known,
        (PyObject **)&self->at.waiter, &self->asks, &self->entries, &self->flights,
        &self->failures, &self->firm, &self->loose, &self->table, &self->health, &self->shield,
        &self->clock, &self->counters, &self->relays, &self->exact_clock};

    if (self->asks != NULL) {
        PyErr_SetString(PyExc_TypeError, "made already");
        return -1;
    }
    if (!PyArg_ParseTupleAndKeywords(
            args, keywords, "$O!O!O!O!O!O!O!O!O!O!OOOOOOOnn", words, &PyType_Type, kept[0],
            &PyType_Type, kept[1], &PyType_Type, kept[2], &PyType_Type, kept[3], &PyDict_Type,
            kept[4], &PyDict_Type, kept[5], &PyDict_Type, kept[6], &PyDict_Type, kept[7],
            &PyDict_Type, kept[8], &PyDict_Type, kept[9], kept[10], kept[11], kept[12], kept[13],
            kept[14], kept[15], kept[16], &self->most, &self->outside)) {
        /* Borrowed ones may stand there already. */
        for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
            *kept[i] = NULL;
        return -1;
    }
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        Py_INCREF(*kept[i]);
    if (relay_shapes(&self->at) == 0)
        return 0;
    self->at.ask_local = 0; /* so it is not made */
    return -1;
}

static int traverse(Relays *self, visitproc visit, void *arg)
{
    Py_VISIT(self->at.ask);
    Py_VISIT(self->at.entry);
    Py_VISIT(self->at.known);
    Py_VISIT(self->at.waiter);
    Py_VISIT(self->asks);
    Py_VISIT(self->entries);
    Py_VISIT(self->flights);
    Py_VISIT(self->failures);
    Py_VISIT(self->firm);
    Py_VISIT(self->loose);
    Py_VISIT(self->table);
    Py_VISIT(self->health);
    Py_VISIT(self->shield);
    Py_VISIT(self->clock);
    Py_VISIT(self->counters);
    Py_VISIT(self->relays);
    Py_VISIT(self->exact_clock);
    return 0;
}

static void dealloc(Relays *self)
{
    PyObject_GC_UnTrack(self);
    Py_XDECREF(self->at.ask);
    Py_XDECREF(self->at.entry);
    Py_XDECREF(self->at.known);
    Py_XDECREF(self->at.waiter);
    Py_XDECREF(self->asks);
    Py_XDECREF(self->entries);
    Py_XDECREF(self->flights);
    Py_XDECREF(self->failures);
    Py_XDECREF(self->firm);
    Py_XDECREF(self->loose);
    Py_XDECREF(self->table);
    Py_XDECREF(self->health);
    Py_XDECREF(self->shield);
    Py_XDECREF(self->clock);
    Py_XDECREF(self->counters);
    Py_XDECREF(self->relays);
    Py_XDECREF(self->exact_clock);
    Py_XDECREF(self->moment);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

PyTypeObject RelaysType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "consulfwd.net._fast.Relays",
    .tp_basicsize = sizeof(Relays),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)init,
    .tp_dealloc = (destructor)dealloc,
    .tp_traverse = (traverseproc)traverse,
};
