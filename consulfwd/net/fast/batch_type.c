/* `Batch` as Python sees it; what it does is in batch.c. */
#include "fast.h"

#include <errno.h>
#include <netinet/in.h>

static PyObject *receive(Batch *self, PyObject *Py_UNUSED(ignored))
{
    int count = batch_receive(self, BATCH);

    return count < 0 ? NULL : PyLong_FromLong(count);
}

static PyObject *message(Batch *self, PyObject *number)
{
    long index = PyLong_AsLong(number);

    if (index == -1 && PyErr_Occurred())
        return NULL;
    if (index < 0 || index >= self->count) {
        PyErr_SetString(PyExc_IndexError, "no such message");
        return NULL;
    }
    return batch_whole(self, (int)index);
}

static PyObject *messages(Batch *self, PyObject *Py_UNUSED(ignored))
{
    PyObject *made = PyList_New(self->count);

    for (int i = 0; made != NULL && i < self->count; i++) {
        PyObject *one = batch_whole(self, i);

        if (one == NULL)
            Py_CLEAR(made);
        else
            PyList_SET_ITEM(made, i, one);
    }
    return made;
}

static PyObject *get_lengths(Batch *self, void *Py_UNUSED(closure))
{
    PyObject *made = PyList_New(self->count);

    for (int i = 0; made != NULL && i < self->count; i++) {
        PyObject *one = PyLong_FromSize_t(batch_length(self, i));

        if (one == NULL)
            Py_CLEAR(made);
        else
            PyList_SET_ITEM(made, i, one);
    }
    return made;
}

static PyObject *get_data(Batch *self, void *Py_UNUSED(closure))
{
    size_t size = self->name_size ? (size_t)self->count * self->size : 0;

    return PyBytes_FromStringAndSize((char *)self->in, (Py_ssize_t)size);
}

static PyObject *get_names(Batch *self, void *Py_UNUSED(closure))
{
    return PyBytes_FromStringAndSize(
        (char *)self->names, (Py_ssize_t)self->count * self->name_size);
}

/* Queue messages out of a list of bytes; those that no datagram can hold are noted as a failure. */
static int put_bytes(Batch *self, PyObject *one, const unsigned char *name)
{
    const unsigned char *octets;
    Py_ssize_t length;

    if (!PyBytes_Check(one)) {
        PyErr_SetString(PyExc_TypeError, "messages and addresses are bytes");
        return -1;
    }
    octets = (const unsigned char *)PyBytes_AS_STRING(one);
    length = PyBytes_GET_SIZE(one);
    if (length < 2 || batch_put(self, octets, octets + 2, (size_t)length - 2, name) == NULL)
        self->failure = EMSGSIZE;
    return 0;
}

static PyObject *send_messages(Batch *self, PyObject *const *args, Py_ssize_t count)
{
    PyObject *replies, *names = NULL, *result = NULL;

    if (count < 1 || count > 2) {
        PyErr_SetString(PyExc_TypeError, "send(replies, names=())");
        return NULL;
    }
    replies = PySequence_Fast(args[0], "replies are a sequence");
    if (replies == NULL)
        return NULL;
    if (self->name_size) {
        names = count == 2 ? PySequence_Fast(args[1], "names are a sequence") : NULL;
        if (names == NULL) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_TypeError, "addresses are needed");
            goto end;
        }
        if (PySequence_Fast_GET_SIZE(names) != PySequence_Fast_GET_SIZE(replies)) {
            PyErr_SetString(PyExc_ValueError, "each message has one address");
            goto end;
        }
    }
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(replies); i++) {
        const unsigned char *name = NULL;

        if (names != NULL) {
            PyObject *one = PySequence_Fast_GET_ITEM(names, i);

            if (!PyBytes_Check(one) || PyBytes_GET_SIZE(one) != self->name_size) {
                PyErr_SetString(PyExc_TypeError, "an address is no address of this socket");
                goto end;
            }
            name = (const unsigned char *)PyBytes_AS_STRING(one);
        }
        if (put_bytes(self, PySequence_Fast_GET_ITEM(replies, i), name) < 0)
            goto end;
    }
    result = PyLong_FromLong(batch_flush(self));
end:
    Py_DECREF(replies);
    Py_XDECREF(names);
    return result;
}

static PyObject *send_back(Batch *self, PyObject *tails)
{
    if (!PyList_Check(tails) || PyList_GET_SIZE(tails) != self->count) {
        PyErr_SetString(PyExc_ValueError, "each message has one tail, in a list");
        return NULL;
    }
    for (int i = 0; i < self->count; i++) {
        PyObject *tail = PyList_GET_ITEM(tails, i);

        if (!PyBytes_Check(tail)) {
            PyErr_SetString(PyExc_TypeError, "tails are bytes");
            return NULL;
        }
        if (batch_put(
                self, batch_message(self, i), (const unsigned char *)PyBytes_AS_STRING(tail),
                (size_t)PyBytes_GET_SIZE(tail), batch_name(self, i)) == NULL)
            self->failure = EMSGSIZE;
    }
    return PyLong_FromLong(batch_flush(self));
}

/* -- being made, and going ------------------------------------------------------------------ */

static void lay_out(Batch *self)
{
    for (int i = 0; i < BATCH; i++) {
        size_t at = (size_t)i;
        struct msghdr *in = &self->heads[i].msg_hdr, *out = &self->out_heads[i].msg_hdr;

        self->parts[2 * i] = (struct iovec){self->in + at * self->size, self->size};
        self->parts[2 * i + 1] = (struct iovec){self->beside + at * self->spill, self->spill};
        in->msg_iov = self->parts + 2 * i;
        in->msg_iovlen = self->spill ? 2 : 1;
        out->msg_iov = self->out_parts + i;
        out->msg_iovlen = 1;
        if (self->name_size) {
            in->msg_name = self->names + at * (size_t)self->name_size;
            out->msg_name = self->out_names + at * (size_t)self->name_size;
            in->msg_namelen = out->msg_namelen = (socklen_t)self->name_size;
        }
    }
}

static void set_free(Batch *self)
{
    PyMem_RawFree(self->in);
    PyMem_RawFree(self->beside);
    PyMem_RawFree(self->single);
    PyMem_RawFree(self->names);
    PyMem_RawFree(self->out);
    PyMem_RawFree(self->out_names);
    PyMem_RawFree(self->heads);
    PyMem_RawFree(self->out_heads);
    PyMem_RawFree(self->parts);
    PyMem_RawFree(self->out_parts);
    self->in = self->beside = self->single = self->names = self->out = self->out_names = NULL;
    self->heads = self->out_heads = NULL;
    self->parts = self->out_parts = NULL;
    self->count = self->queued = 0;
}

static int init(Batch *self, PyObject *args, PyObject *keywords)
{
    static char *words[] = {"sock", "size", "spill", "named", NULL};
    PyObject *sock, *family;
    Py_ssize_t size = 256, spill = 4096 - 256;
    int named = 1, fd;
    long which;
    size_t names;

    if (!PyArg_ParseTupleAndKeywords(
            args, keywords, "O|nn$p", words, &sock, &size, &spill, &named))
        return -1;
    if (size < 2 || spill < 0 || size > MOST_OCTETS || spill > MOST_OCTETS) {
        PyErr_SetString(PyExc_ValueError, "no size for a datagram");
        return -1;
    }
    fd = PyObject_AsFileDescriptor(sock);
    if (fd < 0)
        return -1;
    family = PyObject_GetAttrString(sock, "family");
    which = family == NULL ? -1 : PyLong_AsLong(family);
    Py_XDECREF(family);
    if (PyErr_Occurred())
        return -1;
    set_free(self);
    self->fd = fd;
    self->size = (size_t)size;
    self->spill = (size_t)spill;
    self->name_size = !named ? 0
        : (int)(which == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
    names = (size_t)BATCH * (size_t)self->name_size;
    /* What is never used of these is never the kernel's memory either. */
    self->in = PyMem_RawCalloc(BATCH, self->size);
    self->beside = PyMem_RawCalloc(BATCH, self->spill + 1);
    self->single = PyMem_RawCalloc(1, self->size + self->spill);
    self->names = PyMem_RawCalloc(1, names + 1);
    self->out = PyMem_RawCalloc(1, BATCH_OUT);
    self->out_names = PyMem_RawCalloc(1, names + 1);
    self->heads = PyMem_RawCalloc(BATCH, sizeof *self->heads);
    self->out_heads = PyMem_RawCalloc(BATCH, sizeof *self->out_heads);
    self->parts = PyMem_RawCalloc(BATCH * 2, sizeof *self->parts);
    self->out_parts = PyMem_RawCalloc(BATCH, sizeof *self->out_parts);
    if (!self->in || !self->beside || !self->single || !self->names || !self->out || !self->out_names
        || !self->heads || !self->out_heads || !self->parts || !self->out_parts) {
        set_free(self);
        PyErr_NoMemory();
        return -1;
    }
    lay_out(self);
    return 0;
}

static PyObject *create(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(words))
{
    Batch *self = (Batch *)type->tp_alloc(type, 0);

    if (self != NULL)
        self->fd = -1;
    return (PyObject *)self;
}

static void dealloc(Batch *self)
{
    set_free(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *close_batch(Batch *self, PyObject *Py_UNUSED(ignored))
{
    self->fd = -1;
    Py_RETURN_NONE;
}

static PyMethodDef METHODS[] = {
    {"receive", (PyCFunction)receive, METH_NOARGS, NULL},
    {"message", (PyCFunction)message, METH_O, NULL},
    {"messages", (PyCFunction)messages, METH_NOARGS, NULL},
    {"send", (PyCFunction)(void (*)(void))send_messages, METH_FASTCALL, NULL},
    {"send_back", (PyCFunction)send_back, METH_O, NULL},
    {"close", (PyCFunction)close_batch, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef MEMBERS[] = {
    {"name_size", T_INT, offsetof(Batch, name_size), READONLY, NULL},
    {"looked", T_LONGLONG, offsetof(Batch, looked), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef PROPERTIES[] = {
    {"lengths", (getter)get_lengths, NULL, NULL, NULL},
    {"data", (getter)get_data, NULL, NULL, NULL},
    {"names", (getter)get_names, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject BatchType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "consulfwd.net._fast.Batch",
    .tp_basicsize = sizeof(Batch),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = create,
    .tp_init = (initproc)init,
    .tp_dealloc = (destructor)dealloc,
    .tp_methods = METHODS,
    .tp_members = MEMBERS,
    .tp_getset = PROPERTIES,
};
