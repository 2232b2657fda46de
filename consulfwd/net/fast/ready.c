/*
 * A hot answer: replies without their ID that take turns, or one plain RRset of which each record
 * comes first equally often (`dns.turns.rotations`). It grows older in place. The twin of
 * `core.ready.PureReady`; nothing is copied but into the reply that is given.
 */
#include "fast.h"

#define HEAD 10      /* where the question of a reply without its ID stands */
#define ANCOUNT 4
#define TTL_AT 6     /* of a record that begins with a pointer */
#define MAX_AGE 0x7FFFFFFF
#define MOST_REPLIES 64

/* -- a plain RRset in another order -------------------------------------------------------- */

/* One of `below` numbers; which one need not be a secret, only evenly spread. */
static uint32_t draw(Ready *self, uint32_t below)
{
    self->state ^= self->state << 13;
    self->state ^= self->state >> 7;
    self->state ^= self->state << 17;
    return (uint32_t)((self->state >> 32) % below);
}

/* A step that comes by every one of `count` places before it comes by one again. */
static uint32_t draw_step(Ready *self, uint32_t count)
{
    for (;;) {
        uint32_t step = count > 2 ? 1 + draw(self, count - 1) : count - 1, a = step, b = count;

        while (b) {
            uint32_t rest = a % b;

            a = b;
            b = rest;
        }
        if (a == 1)
            return step;
    }
}

static unsigned char *copy_run(
    const Ready *self, unsigned char *to, const unsigned char *end, uint32_t from, uint32_t until)
{
    size_t size = (size_t)(until - from) * self->size, room = (size_t)(end - to);

    if (size > room)
        size = room;
    memcpy(to, self->octets + self->ends[0] + (size_t)from * self->size, size);
    return to + size;
}

/* Put the records in the reply: one comes first, the others follow as they stand, from one on. */
static void put_in_order(Ready *self)
{
    unsigned char *to = self->octets + self->begin, *end = to + (size_t)self->shown * self->size;
    uint32_t count = self->records, first, then;

    if (!self->left) {
        self->left = count;
        self->first = draw(self, count);
        self->step = draw_step(self, count);
        self->then = draw(self, count - 1);
        self->jump = draw_step(self, count - 1);
    }
    first = self->first;
    then = self->then;
    to = copy_run(self, to, end, first, first + 1);
    if (then < first) {
        to = copy_run(self, to, end, then, first);
        to = copy_run(self, to, end, first + 1, count);
        copy_run(self, to, end, 0, then);
    } else {
        to = copy_run(self, to, end, then + 1, count);
        to = copy_run(self, to, end, 0, first);
        copy_run(self, to, end, first + 1, then + 1);
    }
    self->first = (first + self->step) % count;
    self->then = (then + self->jump) % (count - 1);
    self->left--;
}

const unsigned char *ready_next(Ready *self, size_t *length)
{
    uint32_t start = self->turn ? self->ends[self->turn - 1] : 0;

    *length = self->ends[self->turn] - start;
    if (++self->turn == self->count)
        self->turn = 0;
    if (self->records)
        put_in_order(self);
    self->hits++;
    return self->octets + start;
}

/* -- for Python ----------------------------------------------------------------------------- */

static PyObject *call(Ready *self, PyObject *args, PyObject *words)
{
    const unsigned char *reply;
    size_t length;

    if (PyTuple_GET_SIZE(args) || (words != NULL && PyDict_GET_SIZE(words))) {
        PyErr_SetString(PyExc_TypeError, "nothing is needed");
        return NULL;
    }
    reply = ready_next(self, &length);
    return PyBytes_FromStringAndSize((const char *)reply, (Py_ssize_t)length);
}

static PyObject *age(Ready *self, PyObject *given)
{
    long seconds = PyLong_AsLong(given);
    uint32_t start = 0;

    if (seconds == -1 && PyErr_Occurred())
        return NULL;
    if (seconds < 0) {
        PyErr_SetString(PyExc_ValueError, "time does not go back");
        return NULL;
    }
    if ((unsigned long)seconds > MAX_AGE)
        seconds = MAX_AGE;
    for (int i = 0; i < self->count; i++) {
        age_reply(self->octets + start, self->ends[i] - start, (uint32_t)seconds);
        start = self->ends[i];
    }
    for (uint32_t i = 0; i < self->records; i++)
        age_ttl(self->octets + start + (size_t)i * self->size + TTL_AT, (uint32_t)seconds);
    Py_RETURN_TRUE;
}

static PyObject *given(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    Py_INCREF(self);
    return self;
}

static void release(Ready *self)
{
    PyMem_Free(self->octets);
    PyMem_Free(self->ends);
    self->octets = NULL;
    self->ends = NULL;
    self->count = 0;
    self->records = 0;
}

static PyObject *refuse(PyObject *replies, const char *why)
{
    Py_XDECREF(replies);
    PyErr_SetString(PyExc_ValueError, why);
    return NULL;
}

/* Whether the records, of which the reply shows some, are all alike and stand where they should. */
static int is_plain(const Ready *self, const Py_buffer *records)
{
    const unsigned char *reply = self->octets;
    size_t size = self->size, shown = fast_read16(reply + ANCOUNT);

    if ((size != 16 && size != 28) || records->len % (Py_ssize_t)size)
        return 0;
    return self->begin >= HEAD && shown && self->begin + shown * size <= self->ends[0]
        && (size_t)records->len / size >= shown && (size_t)records->len / size > 1;
}

static int fill(Ready *self, PyObject *list, const Py_buffer *records)
{
    size_t size = (size_t)records->len;
    uint32_t at = 0;

    for (int i = 0; i < self->count; i++)
        size += (size_t)PyBytes_GET_SIZE(PySequence_Fast_GET_ITEM(list, i));
    self->octets = PyMem_Malloc(size + 1);
    self->ends = PyMem_Malloc((size_t)self->count * sizeof *self->ends);
    if (self->octets == NULL || self->ends == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (int i = 0; i < self->count; i++) {
        PyObject *one = PySequence_Fast_GET_ITEM(list, i);
        uint32_t length = (uint32_t)PyBytes_GET_SIZE(one);

        memcpy(self->octets + at, PyBytes_AS_STRING(one), length);
        if (age_reply(self->octets + at, length, 0) < 0) {
            PyErr_SetString(PyExc_ValueError, "a reply is no message");
            return -1;
        }
        self->ends[i] = at += length;
    }
    if (records->len)
        memcpy(self->octets + at, records->buf, (size_t)records->len);
    self->in_all = (uint32_t)size;
    return 0;
}

static PyObject *create(PyTypeObject *type, PyObject *args, PyObject *words)
{
    static char *names[] = {"replies", "begin", "size", "records", "seed", NULL};
    PyObject *replies, *list;
    unsigned begin = 0, size = 0;
    unsigned long long seed = 1;
    Py_buffer records = {0};
    Ready *self = NULL;
    Py_ssize_t count;

    if (!PyArg_ParseTupleAndKeywords(
            args, words, "O|IIy*K", names, &replies, &begin, &size, &records, &seed))
        return NULL;
    list = PySequence_Fast(replies, "replies are a sequence");
    if (list == NULL)
        goto end;
    count = PySequence_Fast_GET_SIZE(list);
    if (count < 1 || count > MOST_REPLIES || records.len > MOST_OCTETS || begin > MOST_OCTETS) {
        list = refuse(list, "too many, or none");
        goto end;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *one = PySequence_Fast_GET_ITEM(list, i);

        if (!PyBytes_Check(one) || PyBytes_GET_SIZE(one) > MOST_OCTETS - 2) {
            list = refuse(list, "replies are bytes, no longer than a datagram");
            goto end;
        }
    }
    self = (Ready *)type->tp_alloc(type, 0);
    if (self == NULL)
        goto end;
    self->count = (int)count;
    self->begin = begin;
    self->size = size;
    self->state = seed ? seed : 1;
    if (fill(self, list, &records) < 0) {
        Py_CLEAR(self);
    } else if (records.len) {
        if (count != 1 || !is_plain(self, &records)) {
            PyErr_SetString(PyExc_ValueError, "no plain RRset");
            Py_CLEAR(self);
        } else {
            self->records = (uint32_t)((size_t)records.len / size);
            self->shown = fast_read16(self->octets + ANCOUNT);
        }
    }
end:
    Py_XDECREF(list);
    PyBuffer_Release(&records);
    return (PyObject *)self;
}

static void dealloc(Ready *self)
{
    release(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyMethodDef METHODS[] = {
    {"age", (PyCFunction)age, METH_O, NULL},
    {"given", given, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef MEMBERS[] = {
    {"hits", T_UINT, offsetof(Ready, hits), 0, NULL},
    {"until", T_DOUBLE, offsetof(Ready, until), 0, NULL},
    {"octets", T_UINT, offsetof(Ready, in_all), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject ReadyType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "consulfwd.net._fast.Ready",
    .tp_basicsize = sizeof(Ready),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = create,
    .tp_call = (ternaryfunc)call,
    .tp_dealloc = (destructor)dealloc,
    .tp_methods = METHODS,
    .tp_members = MEMBERS,
};
