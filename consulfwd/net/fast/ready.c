/*
 * A hot answer: replies without their ID that take turns, or one plain RRset of which each record
 * comes first equally often (`dns.records.rotations`). It grows older in place. The twin of
 * `core.hot.PureReady`; nothing is copied but into the reply that is given.
 */
#include "fast.h"

#define COUNTS 2  /* where the counts stand in a reply without its ID */
#define HEAD 10   /* and where its question does */
#define FIXED 10  /* type, class, TTL and length of a record */
#define TTL_AT 4
#define OPT 41
#define MAX_TTL 0x7FFFFFFFu
#define MOST 65535
#define MOST_REPLIES 64

static unsigned read16(const unsigned char *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

static void take_off(unsigned char *ttl_at, uint32_t seconds)
{
    uint32_t ttl = (uint32_t)read16(ttl_at) << 16 | read16(ttl_at + 2);

    ttl = ttl > MAX_TTL || ttl < seconds ? 0 : ttl - seconds;
    ttl_at[0] = (unsigned char)(ttl >> 24);
    ttl_at[1] = (unsigned char)(ttl >> 16);
    ttl_at[2] = (unsigned char)(ttl >> 8);
    ttl_at[3] = (unsigned char)ttl;
}

/* Where the name at `at` ends; 0 when it does not, or is none. */
static size_t skip_name(const unsigned char *reply, size_t length, size_t at)
{
    while (at < length) {
        unsigned octet = reply[at];

        if (octet == 0)
            return at + 1;
        if (octet >= 0xC0)
            return at + 2 <= length ? at + 2 : 0;
        if (octet > 63)
            return 0;
        at += 1 + octet;
    }
    return 0;
}

/* Count every TTL but the OPT's down; return -1 when it is no message. */
static int age_reply(unsigned char *reply, size_t length, uint32_t seconds)
{
    size_t at = HEAD;
    unsigned records = 0;

    if (length < HEAD)
        return -1;
    for (unsigned left = read16(reply + COUNTS); left; left--) {
        at = skip_name(reply, length, at);
        if (!at || at + 4 > length)
            return -1;
        at += 4;
    }
    for (int section = 1; section < 4; section++)
        records += read16(reply + COUNTS + 2 * section);
    for (; records; records--) {
        at = skip_name(reply, length, at);
        if (!at || at + FIXED > length)
            return -1;
        if (seconds && read16(reply + at) != OPT)
            take_off(reply + at + TTL_AT, seconds);
        at += FIXED + read16(reply + at + FIXED - 2);
        if (at > length)
            return -1;
    }
    return 0;
}

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
    if ((unsigned long)seconds > MAX_TTL)
        seconds = MAX_TTL;
    for (int i = 0; i < self->count; i++) {
        age_reply(self->octets + start, self->ends[i] - start, (uint32_t)seconds);
        start = self->ends[i];
    }
    /* A record of these is a pointer to the question, and then as any other. */
    for (uint32_t i = 0; i < self->records; i++)
        take_off(self->octets + start + (size_t)i * self->size + 2 + TTL_AT, (uint32_t)seconds);
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
    size_t size = self->size, shown = read16(reply + COUNTS + 2);

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
    if (count < 1 || count > MOST_REPLIES || records.len > MOST || begin > MOST) {
        list = refuse(list, "too many, or none");
        goto end;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *one = PySequence_Fast_GET_ITEM(list, i);

        if (!PyBytes_Check(one) || PyBytes_GET_SIZE(one) > MOST - 2) {
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
            self->shown = read16(self->octets + COUNTS + 2);
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
