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

/* Which objects are held from the first to the last, in the order in which they are given. */
#define HELD(each)                                                                                \
    each(at.ask) each(at.entry) each(at.known) each(at.waiter) each(asks) each(entries)           \
    each(flights) each(failures) each(firm) each(loose) each(table) each(health) each(shield)     \
    each(clock) each(counters) each(relays) each(exact_clock)
#define PLACE(one) (PyObject **)&self->one,
#define VISIT(one) Py_VISIT(self->one);
#define LET_GO(one) Py_XDECREF(self->one);

static int init(Relays *self, PyObject *args, PyObject *keywords)
{
    static char *words[] = {
        "ask", "entry", "known", "waiter", "asks", "entries", "flights", "failures", "firm",
        "loose", "table", "health", "shield", "clock", "counters", "relays", "exact_clock",
        "most", "outside", NULL};
    PyObject **kept[] = {HELD(PLACE)};

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
    HELD(VISIT)
    return 0;
}

static void dealloc(Relays *self)
{
    PyObject_GC_UnTrack(self);
    HELD(LET_GO)
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
