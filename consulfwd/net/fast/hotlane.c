/*
 * Answers what is hot of one listener's datagrams, as long as all its clients may ask: the twin
 * of `udp.UdpListener._trusting`. Whatever it does not know is the taker's, if there is one, and
 * then Python's. Knows of DNS that a message begins with two octets of its own.
 */
#include "fast.h"

/* So often in a row it is looked for more, when so many came (`udp.ROUNDS`, `WORTH_ANOTHER`). */
#define ROUNDS 8
#define WORTH_ANOTHER 24

static PyObject *NETWORKS, *LIMITER, *OWN_HOST, *GOOD_UNTIL, *NOW, *HOT, *QUERIES;

/* -- whether it may ------------------------------------------------------------------------- */

/* 1 when an attribute of an attribute is what it should be, 0 when it is not, -1 on an exception. */
static int is_trusted(const HotLane *self)
{
    PyObject *networks, *limiter, *own_host;
    int right;

    if (self->trusted == Py_None || self->trusted == NULL)
        return 0;
    networks = PyObject_GetAttr(self->access, NETWORKS);
    if (networks == NULL)
        return -1;
    right = networks == self->trusted;
    Py_DECREF(networks);
    if (!right)
        return 0;
    limiter = PyObject_GetAttr(self->access, LIMITER);
    own_host = limiter == NULL ? NULL : PyObject_GetAttr(limiter, OWN_HOST);
    right = own_host == NULL ? -1 : own_host == Py_False;
    Py_XDECREF(limiter);
    Py_XDECREF(own_host);
    return right;
}

/* The time in ns, by the clock all go by; -1 with an exception set. */
static int64_t look_at_clock(const HotLane *self)
{
    PyObject *now = PyObject_GetAttr(self->clock, NOW), *made;
    double seconds;

    if (now == NULL)
        return -1;
    if (now == self->usual_now) {
        Py_DECREF(now);
        return fast_now();
    }
    made = PyObject_CallNoArgs(now);
    Py_DECREF(now);
    if (made == NULL)
        return -1;
    seconds = PyFloat_AsDouble(made);
    Py_DECREF(made);
    if (seconds == -1 && PyErr_Occurred())
        return -1;
    return (int64_t)(seconds * 1e9);
}

/* 1 when it is not too late for what is hot, 0 when it is, -1 on an exception. */
static int is_good(const HotLane *self, int64_t now)
{
    PyObject *made = PyObject_GetAttr(self->warmth, GOOD_UNTIL);
    double until;

    if (made == NULL)
        return -1;
    until = PyFloat_AsDouble(made);
    Py_DECREF(made);
    if (until == -1 && PyErr_Occurred())
        return -1;
    return (double)now * 1e-9 < until;
}

/* -- one batch ------------------------------------------------------------------------------ */

static int add_to(PyObject *counters, PyObject *name, int count)
{
    PyObject *before = PyObject_GetAttr(counters, name), *more, *after = NULL;
    int failed = -1;

    more = before == NULL ? NULL : PyLong_FromLong(count);
    if (more != NULL)
        after = PyNumber_Add(before, more);
    if (after != NULL)
        failed = PyObject_SetAttr(counters, name, after);
    Py_XDECREF(before);
    Py_XDECREF(more);
    Py_XDECREF(after);
    return failed;
}

/* Queue the next reply of what is ready for message `index`; 0, or -1 with an exception set. */
static int answer(HotLane *self, int index, PyObject *ready)
{
    Batch *batch = self->batch;
    const unsigned char *reply;
    PyObject *made = NULL;
    size_t length;

    if (Py_IS_TYPE(ready, &ReadyType)) {
        reply = ready_next((Ready *)ready, &length);
    } else {
        made = PyObject_CallNoArgs(ready);
        if (made == NULL)
            return -1;
        if (!PyBytes_Check(made)) {
            Py_DECREF(made);
            PyErr_SetString(PyExc_TypeError, "replies are bytes");
            return -1;
        }
        reply = (const unsigned char *)PyBytes_AS_STRING(made);
        length = (size_t)PyBytes_GET_SIZE(made);
    }
    /* What is longer than any datagram no listener makes. */
    batch_put(batch, batch_message(batch, index), reply, length, batch_name(batch, index));
    Py_XDECREF(made);
    return 0;
}

static void forget_rest(HotLane *self)
{
    while (self->left) {
        self->left--;
        Py_CLEAR(self->keys[self->left]);
    }
}

/* What is ready for a message (borrowed); NULL, with an exception set or not, where nothing is. */
static PyObject *look_up(const HotLane *self, PyObject *key, int64_t now)
{
    PyObject *ready = PyDict_GetItemWithError(self->answers, key);

    if (ready != NULL || PyErr_Occurred() || !PyDict_GET_SIZE(self->ending))
        return ready;
    ready = PyDict_GetItemWithError(self->ending, key);
    if (ready != NULL && Py_IS_TYPE(ready, &ReadyType)
        && (double)now * 1e-9 < ((Ready *)ready)->until)
        return ready;
    return NULL;
}

/* Look one message up and queue its reply: 1, or leave it to others: 0; -1 with an exception set. */
static int answer_one(HotLane *self, int index, int64_t now)
{
    PyObject *key = batch_key(self->batch, index), *ready;
    int done;

    if (key == NULL)
        return -1;
    ready = look_up(self, key, now);
    if (ready != NULL) {
        Py_INCREF(ready);
        done = answer(self, index, ready);
        Py_DECREF(ready);
        if (done == 0) {
            Py_DECREF(key);
            return 1;
        }
    }
    if (PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_Exception)) {
            Py_DECREF(key);
            return -1;
        }
        /* Python has the same happen to it, and tells. */
        PyErr_Clear();
    }
    self->rest[self->left] = (uint8_t)index;
    self->keys[self->left++] = key;
    return 0;
}

/* Answer what is hot of a batch; 0, or -1 with an exception set. */
static int answer_batch(HotLane *self, int count, int64_t now)
{
    int hits = 0, done = 0;

    for (int i = 0; i < count && done >= 0; i++) {
        done = answer_one(self, i, now);
        hits += done > 0;
    }
    batch_flush(self->batch);
    if (done < 0)
        return -1;
    if (hits && (add_to(self->counters, HOT, hits) < 0 || add_to(self->counters, QUERIES, hits) < 0))
        return -1;
    return 0;
}

/* One round; SERVED and `*more` when it is worth to look again. */
static int round_of(HotLane *self, int64_t now, int *more, int *taken)
{
    /*
     * As many as there are: to look in vain for a second one costs a hundredth of an answer, and
     * with one for each turn of a busy loop we would fall behind.
     */
    int count = batch_receive(self->batch, BATCH);

    *more = count >= WORTH_ANOTHER;
    if (count < 0) {
        /* News of what was sent; if it is more than that, Python is told the same. */
        PyErr_Clear();
        return LEFT;
    }
    if (answer_batch(self, count, now) < 0)
        return FAILED;
    if (self->left && self->taker != NULL) {
        *taken = 1;
        if (self->taker->take(self->taker, self, now) < 0)
            return FAILED;
    }
    return self->left ? LEFT : SERVED;
}

static int serve(Lane *lane)
{
    HotLane *self = (HotLane *)lane;
    int64_t now;
    int may, state = SERVED, more = 1, taken = 0;

    forget_rest(self);
    may = is_trusted(self);
    if (may <= 0)
        return may ? FAILED : LEFT;
    now = look_at_clock(self);
    may = now < 0 ? -1 : is_good(self, now);
    if (may <= 0)
        return may ? FAILED : LEFT;
    for (int i = 0; state == SERVED && more && i < ROUNDS; i++)
        state = round_of(self, now, &more, &taken);
    if (taken && state != FAILED && self->taker != NULL
        && self->taker->flush(self->taker, self) < 0)
        state = FAILED;
    if (state == FAILED)
        forget_rest(self);
    return state;
}

/* -- for Python ----------------------------------------------------------------------------- */

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
    forget_rest(self);
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

static int know_names(void)
{
    static const struct {
        PyObject **place;
        const char *name;
    } names[] = {
        {&NETWORKS, "networks"}, {&LIMITER, "limiter"}, {&OWN_HOST, "own_host"},
        {&GOOD_UNTIL, "good_until"}, {&NOW, "now"}, {&HOT, "hot"}, {&QUERIES, "queries"},
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (*names[i].place == NULL
            && (*names[i].place = PyUnicode_InternFromString(names[i].name)) == NULL)
            return -1;
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
        || know_names() < 0)
        return NULL;
    if (((Batch *)batch)->name_size == 0) {
        PyErr_SetString(PyExc_ValueError, "who asks has an address");
        return NULL;
    }
    self = (HotLane *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->lane.serve = serve;
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
    forget_rest(self);
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
