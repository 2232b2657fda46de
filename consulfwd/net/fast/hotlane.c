/*
 * Answers what is hot of one listener's datagrams, as long as all its clients may ask: the twin
 * of `udp.UdpListener._trusting`. Whatever it does not know is the taker's, if there is one, and
 * then Python's. Knows of DNS that a message begins with two octets of its own.
 */
#include "fast.h"

/* So often in a row it is looked for more, when so many came (`udp.ROUNDS`, `WORTH_ANOTHER`). */
#define ROUNDS 8
#define WORTH_ANOTHER 24
/* A socket that was read less than so long ago (ns) is likely to have more than one message; how
 * many there are is looked at all the same after so many of which one came at a time. */
#define BUSY 300000
#define CALM 8

static PyObject *NETWORKS, *LIMITER, *OWN_HOST, *GOOD_UNTIL, *NOW, *HOT, *QUERIES, *DICT;

int hotlane_know_names(void)
{
    static const struct {
        PyObject **place;
        const char *name;
    } names[] = {
        {&NETWORKS, "networks"}, {&LIMITER, "limiter"}, {&OWN_HOST, "own_host"},
        {&GOOD_UNTIL, "good_until"}, {&NOW, "now"}, {&HOT, "hot"}, {&QUERIES, "queries"},
        {&DICT, "__dict__"},
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (*names[i].place == NULL
            && (*names[i].place = PyUnicode_InternFromString(names[i].name)) == NULL)
            return -1;
    return 0;
}

/* -- whether it may ------------------------------------------------------------------------- */

/* An attribute as it is now (borrowed), out of an object's __dict__: half of what to ask it costs. */
static PyObject *held(PyObject *attributes, PyObject *name)
{
    PyObject *value = PyDict_GetItemWithError(attributes, name);

    if (value == NULL && !PyErr_Occurred())
        PyErr_SetObject(PyExc_AttributeError, name);
    return value;
}

/* 1 when all who can reach this socket may ask, 0 when it is not known, -1 on an exception. */
static int is_trusted(HotLane *self)
{
    PyObject *networks, *limiter, *own_host;

    if (self->trusted == Py_None || self->trusted == NULL)
        return 0;
    networks = held(self->access, NETWORKS);
    limiter = networks == NULL ? NULL : held(self->access, LIMITER);
    if (limiter == NULL)
        return -1;
    if (limiter != self->limiter) {
        PyObject *limits = PyObject_GetAttr(limiter, DICT);

        if (limits == NULL || !PyDict_Check(limits)) {
            Py_XDECREF(limits);
            return PyErr_Occurred() ? -1 : 0;
        }
        Py_XSETREF(self->limits, limits);
        Py_INCREF(limiter);
        Py_XSETREF(self->limiter, limiter);
    }
    own_host = held(self->limits, OWN_HOST);
    return own_host == NULL ? -1 : own_host == Py_False && networks == self->trusted;
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
    PyObject *until = held(self->warmth, GOOD_UNTIL);
    double good = until == NULL ? -1 : PyFloat_AsDouble(until);

    return good == -1 && PyErr_Occurred() ? -1 : (double)now * 1e-9 < good;
}

/* -- one batch ------------------------------------------------------------------------------ */

static int add_to(PyObject *counters, PyObject *name, int count)
{
    PyObject *before = held(counters, name), *after;
    long long number = before == NULL ? -1 : PyLong_AsLongLong(before);
    int failed;

    if (number == -1 && PyErr_Occurred())
        return -1;
    after = PyLong_FromLongLong(number + count);
    if (after == NULL)
        return -1;
    failed = PyDict_SetItem(counters, name, after);
    Py_DECREF(after);
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

void hotlane_forget_rest(HotLane *self)
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

/* Look one message up and queue its reply: 1, or leave it: 0; -1 with an exception set. */
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
    if (!hits)
        return 0;
    return add_to(self->counters, HOT, hits) < 0 ? -1 : add_to(self->counters, QUERIES, hits);
}

/*
 * Receive one message where the socket was idle, and all there are where it was not. Idle it is not
 * while more wait than are looked for: a loop that has much else to do comes here late each time.
 */
static int receive(HotLane *self, int64_t now)
{
    Batch *batch = self->batch;
    int one = now - batch->looked >= BUSY && self->ones < CALM, count;

    batch->looked = now;
    count = batch_receive(batch, one ? 1 : BATCH);
    if (one)
        self->ones += count > 0;
    else
        self->ones = count > 1 ? CALM : 0;
    return count;
}

/* One round; SERVED and `*more` when it is worth to look again. */
static int round_of(HotLane *self, int64_t now, int *more, int *taken)
{
    int count = receive(self, now);

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

/* Send what was taken in all rounds, also where the last one failed: that exception tells. */
static int flush(HotLane *self, int state)
{
    PyObject *type, *error, *trace;

    PyErr_Fetch(&type, &error, &trace);
    if (self->taker->flush(self->taker, self) == 0) {
        PyErr_Restore(type, error, trace);
        return state;
    }
    if (state == FAILED) {
        PyErr_Clear();
        PyErr_Restore(type, error, trace);
    }
    return FAILED;
}

static int serve_rounds(HotLane *self)
{
    int64_t now;
    int may, state = SERVED, more = 1, taken = 0;

    hotlane_forget_rest(self);
    may = is_trusted(self);
    if (may <= 0)
        return may ? FAILED : LEFT;
    now = look_at_clock(self);
    may = now < 0 ? -1 : is_good(self, now);
    if (may <= 0)
        return may ? FAILED : LEFT;
    for (int i = 0; state == SERVED && more && i < ROUNDS; i++)
        state = round_of(self, now, &more, &taken);
    if (taken && self->taker != NULL)
        state = flush(self, state);
    if (state == FAILED)
        hotlane_forget_rest(self);
    return state;
}

int hotlane_serve(Lane *lane)
{
    HotLane *self = (HotLane *)lane;
    int state;

    /* By an answer that is Python's it could be entered again, in the middle of a batch. */
    if (self->busy)
        return LEFT;
    self->busy = 1;
    state = serve_rounds(self);
    self->busy = 0;
    return state;
}
