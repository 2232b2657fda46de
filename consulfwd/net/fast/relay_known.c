/*
 * Replies seen before, found again: the twin of `known.Known.is_in` and of how pieces are used by
 * `DatagramWaiter.relayed`.
 */
#include "relay.h"

#define MOST_RECORDS 4096

/* The length in a slot, -1 where there is none. */
static Py_ssize_t length_in(PyObject *one, Py_ssize_t at)
{
    PyObject *value = slot(one, at);
    Py_ssize_t found = value != NULL && PyLong_CheckExact(value) ? PyLong_AsSsize_t(value) : -1;

    if (found == -1)
        PyErr_Clear();
    return found;
}

static int is_like(PyObject *bytes, const unsigned char *data, size_t length)
{
    return bytes != NULL && PyBytes_CheckExact(bytes) && (size_t)PyBytes_GET_SIZE(bytes) == length
        && memcmp(PyBytes_AS_STRING(bytes), data, length) == 0;
}

static int compare(const void *one, const void *other, void *size)
{
    return memcmp(one, other, *(size_t *)size);
}

/* Whether records are these in some order. */
static int are_these(PyObject *ordered, const unsigned char *records, size_t length, size_t size)
{
    size_t count = length / size;
    unsigned char few[64 * 28], *sorted = few;
    int same;

    if (!PyBytes_CheckExact(ordered) || (size_t)PyBytes_GET_SIZE(ordered) != length)
        return 0;
    if (length > sizeof few) {
        if (count > MOST_RECORDS)
            return 0;
        sorted = PyMem_RawMalloc(length);
        if (sorted == NULL)
            return 0;
    }
    memcpy(sorted, records, length);
    qsort_r(sorted, count, size, compare, &size);
    same = memcmp(sorted, PyBytes_AS_STRING(ordered), length) == 0;
    if (sorted != few)
        PyMem_RawFree(sorted);
    return same;
}

static int is_in(const Shapes *at, PyObject *known, const unsigned char *data, size_t length)
{
    Py_ssize_t size, begin, end;
    PyObject *ordered;

    if (!Py_IS_TYPE(known, at->known) || length_in(known, at->known_length) != (Py_ssize_t)length)
        return 0;
    size = length_in(known, at->known_size);
    begin = length_in(known, at->known_begin);
    end = length_in(known, at->known_end);
    ordered = slot(known, at->known_ordered);
    if (size <= 0 || begin < 2 || end <= begin || end > (Py_ssize_t)length
        || (end - begin) % size || ordered == NULL)
        return 0;
    return is_like(slot(known, at->known_head), data + 2, (size_t)begin - 2)
        && is_like(slot(known, at->known_tail), data + end, length - (size_t)end)
        && are_these(ordered, data + begin, (size_t)(end - begin), (size_t)size);
}

PyObject *relay_recognise(
    const Shapes *at, PyObject *ask, const unsigned char *data, size_t length)
{
    PyObject *alike = slot(ask, at->ask_alike), *all = slot(ask, at->ask_known), *key, *known;

    if (alike == NULL || !PyTuple_CheckExact(alike))
        return NULL;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(alike); i++)
        if (is_in(at, PyTuple_GET_ITEM(alike, i), data, length))
            return PyTuple_GET_ITEM(alike, i);
    if (all == NULL || !PyDict_CheckExact(all))
        return NULL;
    key = PyBytes_FromStringAndSize((const char *)data + 2, (Py_ssize_t)length - 2);
    known = key == NULL ? NULL : PyDict_GetItemWithError(all, key);
    Py_XDECREF(key);
    return known != NULL && Py_IS_TYPE(known, at->known) ? known : NULL;
}

int relay_pieces(PyObject *pieces, const unsigned char *data, size_t length, Pieces *found)
{
    PyObject *head, *tail;
    Py_ssize_t begin, end;

    /* A named tuple. */
    if (pieces == NULL || !PyTuple_Check(pieces) || PyTuple_GET_SIZE(pieces) != 4)
        return 0;
    head = PyTuple_GET_ITEM(pieces, 0);
    begin = PyLong_AsSsize_t(PyTuple_GET_ITEM(pieces, 1));
    end = PyLong_AsSsize_t(PyTuple_GET_ITEM(pieces, 2));
    tail = PyTuple_GET_ITEM(pieces, 3);
    if (!PyBytes_CheckExact(head) || !PyBytes_CheckExact(tail) || begin < 0 || end < begin
        || end > (Py_ssize_t)length)
        return 0;
    found->head = (const unsigned char *)PyBytes_AS_STRING(head);
    found->head_size = (size_t)PyBytes_GET_SIZE(head);
    found->middle = data + begin;
    found->middle_size = (size_t)(end - begin);
    found->tail = (const unsigned char *)PyBytes_AS_STRING(tail);
    found->tail_size = (size_t)PyBytes_GET_SIZE(tail);
    return found->head_size + found->middle_size + found->tail_size <= MOST_TAIL;
}
