/* `HotLane` as Python sees it; what it does is in hotlane.c. */
#include "fast.h"

/* take() -> list[int]: which of the last batch were left, once. */
static PyObject *take(HotLane *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *made = PyList_New(self->left);

    for (int i = 0; made != NULL && i < self->left; i++) {
        PyObject *one = PyLong_FromLong(self->rest[i]);

        if (one == NULL)
            Py_CLEAR(made);
        else
            PyList_SET_ITEM(made, i, one);
    }
    hotlane_forget_rest(self);
    return made;
}

static PyObject *get_taker(HotLane *self, void *Py_UNUSED(closure))
{
    PyObject *taker = self->taker == NULL ? Py_None : (PyObject *)self->taker;

    Py_INCREF(taker);
    return taker;
}

static int set_taker(HotLane *self, PyObject *taker, void *Py_UNUSED(closure))
{
    PyObject *before = (PyObject *)self->taker;

    if (taker == NULL || (taker != Py_None
        && (!PyObject_TypeCheck(taker, &TakerType) || ((Taker *)taker)->take == NULL))) {
        PyErr_SetString(PyExc_TypeError, "a taker is needed, or None");
        return -1;
    }
    if (taker != Py_None)
        Py_INCREF(taker);
    self->taker = taker == Py_None ? NULL : (Taker *)taker;
    Py_XDECREF(before);
    return 0;
}

static PyObject *create(PyTypeObject *type, PyObject *args, PyObject *words)
{
    static char *names[] = {
        "batch", "answers", "ending", "access", "warmth", "clock", "usual_now", "counters", NULL};
    PyObject *batch, *answers, *ending, *access, *warmth, *clock, *usual_now, *counters;
    HotLane *self;

    if (!PyArg_ParseTupleAndKeywords(
            args, words, "O!O!O!OOOOO", names, &BatchType, &batch, &PyDict_Type, &answers,
            &PyDict_Type, &ending, &access, &warmth, &clock, &usual_now, &counters)
        || hotlane_know_names() < 0)
        return NULL;
    if (((Batch *)batch)->name_size == 0) {
        PyErr_SetString(PyExc_ValueError, "who asks has an address");
        return NULL;
    }
    self = (HotLane *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->lane.serve = hotlane_serve;
    Py_INCREF(batch);
    self->batch = (Batch *)batch;
    self->answers = Py_NewRef(answers);
    self->ending = Py_NewRef(ending);
    self->access = Py_NewRef(access);
    self->warmth = Py_NewRef(warmth);
    self->clock = Py_NewRef(clock);
    self->usual_now = Py_NewRef(usual_now);
    self->counters = Py_NewRef(counters);
    self->trusted = Py_NewRef(Py_None);
    return (PyObject *)self;
}

static int traverse(HotLane *self, visitproc visit, void *arg)
{
    Py_VISIT(self->answers);
    Py_VISIT(self->ending);
    Py_VISIT(self->access);
    Py_VISIT(self->warmth);
    Py_VISIT(self->clock);
    Py_VISIT(self->usual_now);
    Py_VISIT(self->counters);
    Py_VISIT(self->trusted);
    Py_VISIT(self->taker);
    return 0;
}

static void dealloc(HotLane *self)
{
    PyObject_GC_UnTrack(self);
    hotlane_forget_rest(self);
    Py_XDECREF(self->batch);
    Py_XDECREF(self->answers);
    Py_XDECREF(self->ending);
    Py_XDECREF(self->access);
    Py_XDECREF(self->warmth);
    Py_XDECREF(self->clock);
    Py_XDECREF(self->usual_now);
    Py_XDECREF(self->counters);
    Py_XDECREF(self->trusted);
    Py_XDECREF(self->taker);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

/* What it holds is held by the listener anyway; the taker is what may lead back here. */
static int clear(HotLane *self)
{
    Py_CLEAR(self->taker);
    return 0;
}

static PyMethodDef METHODS[] = {
    {"take", (PyCFunction)take, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef MEMBERS[] = {
    {"trusted", T_OBJECT, offsetof(HotLane, trusted), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef PROPERTIES[] = {
    {"taker", (getter)get_taker, (setter)set_taker, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject HotLaneType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "consulfwd.net._fast.HotLane",
    .tp_basicsize = sizeof(HotLane),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_base = &LaneType,
    .tp_new = create,
    .tp_dealloc = (destructor)dealloc,
    .tp_traverse = (traverseproc)traverse,
    .tp_clear = (inquiry)clear,
    .tp_methods = METHODS,
    .tp_members = MEMBERS,
    .tp_getset = PROPERTIES,
};
