/*
 * Many datagrams per system call, or one where no more are likely to wait: the twin of
 * `mmsg.PureBatch`, which says what each method does. Knows nothing of DNS.
 */
#include "fast.h"

#include <errno.h>
#include <time.h>

/* A socket that was read less than so long ago (ns) is likely to have more than one message. */
#define BUSY 300000

PyObject *fast_raised(void)
{
    PyObject *type, *error, *trace;

    PyErr_Fetch(&type, &error, &trace);
    PyErr_NormalizeException(&type, &error, &trace);
    if (trace != NULL)
        PyException_SetTraceback(error, trace);
    Py_XDECREF(type);
    Py_XDECREF(trace);
    return error;
}

int64_t fast_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* -- receiving ------------------------------------------------------------------------------ */

/* Receive one, which costs less than the same by the call for many. */
static int receive_one(Batch *self)
{
    socklen_t size = (socklen_t)self->name_size;
    ssize_t length;

    do
        length = recvfrom(
            self->fd, self->single, self->size + self->spill, MSG_DONTWAIT,
            size ? (struct sockaddr *)self->names : NULL, size ? &size : NULL);
    while (length < 0 && errno == EINTR);
    if (length < 0)
        return -1;
    self->heads[0].msg_len = (unsigned)length;
    if ((size_t)length <= self->size) {
        memcpy(self->in, self->single, (size_t)length);
    } else {
        memcpy(self->in, self->single, self->size);
        memcpy(self->beside, self->single + self->size, (size_t)length - self->size);
    }
    return 1;
}

static int receive_many(Batch *self, int most)
{
    int count;

    do
        count = recvmmsg(self->fd, self->heads, (unsigned)most, MSG_DONTWAIT, NULL);
    while (count < 0 && errno == EINTR);
    /* The kernel notes how long each address is: they are all alike, but it goes by that. */
    for (int i = 0; i < count; i++)
        self->heads[i].msg_hdr.msg_namelen = (socklen_t)self->name_size;
    return count;
}

int batch_receive(Batch *self, int most)
{
    int count;

    self->count = 0;
    count = most == 1 ? receive_one(self) : receive_many(self, most);
    if (count < 0) {
        if (errno == EAGAIN)
            return 0;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return self->count = count;
}

int batch_look(Batch *self, int64_t now)
{
    int most = now - self->looked < BUSY ? BATCH : 1;

    self->looked = now;
    return batch_receive(self, most);
}

/* A message from octet `from` (0 to 2) on. */
static PyObject *since(const Batch *self, int index, size_t from)
{
    size_t length = batch_length(self, index), first = length;
    PyObject *made;
    char *to;

    if (length < from)
        from = length;
    if (first > self->size)
        first = self->size;
    if (length == first)
        return PyBytes_FromStringAndSize(
            (const char *)batch_message(self, index) + from, (Py_ssize_t)(length - from));
    made = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(length - from));
    if (made == NULL)
        return NULL;
    to = PyBytes_AS_STRING(made);
    memcpy(to, batch_message(self, index) + from, first - from);
    memcpy(to + first - from, self->beside + (size_t)index * self->spill, length - first);
    return made;
}

PyObject *batch_whole(const Batch *self, int index)
{
    return since(self, index, 0);
}

PyObject *batch_key(const Batch *self, int index)
{
    return since(self, index, 2);
}

/* -- sending -------------------------------------------------------------------------------- */

static int transmit_one(Batch *self)
{
    struct msghdr *head = &self->out_heads[0].msg_hdr;
    int failure = 0;

    for (;;) {
        int number;

        if (sendto(self->fd, head->msg_iov->iov_base, head->msg_iov->iov_len, MSG_DONTWAIT,
                   head->msg_name, head->msg_namelen) >= 0)
            return failure;
        number = errno;
        if (number == EINTR)
            continue;
        /* ECONNREFUSED is news of an earlier message; this one is tried again, once. */
        if (number != ECONNREFUSED || failure == number)
            return number;
        failure = number;
    }
}

static int transmit(Batch *self)
{
    int done = 0, failure = 0;

    if (self->queued == 1)
        return transmit_one(self);
    while (done < self->queued) {
        int number, sent = sendmmsg(
            self->fd, self->out_heads + done, (unsigned)(self->queued - done), MSG_DONTWAIT);

        if (sent > 0) {
            done += sent;
            continue;
        }
        number = errno;
        if (number == EINTR)
            continue;
        if (number == EAGAIN || number == ENOBUFS)
            return number;
        if (number != ECONNREFUSED || failure == number)
            done++; /* no route, a vanished client: the others can still be sent */
        failure = number;
    }
    return failure;
}

static void send_queued(Batch *self)
{
    if (self->queued && self->fd >= 0) {
        int failure = transmit(self);

        if (failure)
            self->failure = failure;
    }
    self->queued = 0;
    self->used = 0;
}

int batch_flush(Batch *self)
{
    int failure;

    send_queued(self);
    failure = self->failure;
    self->failure = 0;
    return failure;
}

unsigned char *batch_put(
    Batch *self, const unsigned char *ident, const unsigned char *tail, size_t length,
    const unsigned char *name)
{
    struct mmsghdr *head;
    unsigned char *to;

    if (length + 2 > MOST_OCTETS || self->out == NULL)
        return NULL;
    if (self->queued == BATCH || self->used + length + 2 > BATCH_OUT)
        send_queued(self);
    to = self->out + self->used;
    memcpy(to, ident, 2);
    if (tail != NULL && length)
        memcpy(to + 2, tail, length);
    head = self->out_heads + self->queued;
    head->msg_hdr.msg_iov->iov_base = to;
    head->msg_hdr.msg_iov->iov_len = length + 2;
    if (self->name_size)
        memcpy(head->msg_hdr.msg_name, name, (size_t)self->name_size);
    self->used += length + 2;
    self->queued++;
    return to + 2;
}
