/* The compiled fast lane: what its parts share. Each is the twin of a Python one named beside it. */
#ifndef CONSULFWD_FAST_H
#define CONSULFWD_FAST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <stdint.h>
#include <sys/socket.h>

/* Datagrams per system call, at most. */
#define BATCH 64

/* Buffers for receiving and sending on one socket: the twin of `mmsg.PureBatch`. */
typedef struct {
    PyObject_HEAD
    int fd;
    int name_size; /* octets of an address; 0 on a connected socket */
    size_t size, spill;
    int count;      /* messages of the last receive */
    int64_t looked; /* when it was read last, in ns */
    unsigned char *in, *beside, *names;
    struct mmsghdr *heads;
    struct iovec *parts;
    int queued; /* messages that wait to be sent */
    int failure; /* the errno of the last failure since it was asked for */
    size_t used;
    unsigned char *out, *out_names;
    struct mmsghdr *out_heads;
    struct iovec *out_parts;
} Batch;

extern PyTypeObject BatchType;

/*
 * Receive up to `most` messages; return how many, 0 when there are none, -1 with an OSError set.
 * Message i begins at in + i * size, and goes on at beside + i * spill when longer than size.
 */
int batch_receive(Batch *self, int most);

/* As many as are likely to wait: one where the socket was idle a moment ago. `now` in ns. */
int batch_look(Batch *self, int64_t now);

static inline size_t batch_length(const Batch *self, int index)
{
    return self->heads[index].msg_len;
}

static inline const unsigned char *batch_message(const Batch *self, int index)
{
    return self->in + (size_t)index * self->size;
}

static inline const unsigned char *batch_name(const Batch *self, int index)
{
    return self->names + (size_t)index * (size_t)self->name_size;
}

/*
 * Queue a message of two octets and a tail to an address (ignored on a connected socket); when
 * there is no room what was queued is sent first. Return the tail's place to be changed until the
 * next call, NULL when no message may be as long. A tail that is NULL is written there by the
 * caller.
 */
unsigned char *batch_put(
    Batch *self, const unsigned char *ident, const unsigned char *tail, size_t length,
    const unsigned char *name);

/* Message `index` of the last receive as bytes; NULL with an exception set. */
PyObject *batch_whole(const Batch *self, int index);

/* Send what is queued; return the errno of the last failure since the last call, or 0. */
int batch_flush(Batch *self);

/* CLOCK_BOOTTIME in ns: `clock.Clock.now`. */
int64_t fast_now(void);

/*
 * Something that reads a socket by itself, without Python. `serve` returns SERVED, or LEFT when
 * the callback it was registered with has something to do, or FAILED with an exception set.
 */
enum { SERVED, LEFT, FAILED };

typedef struct Lane {
    PyObject_HEAD
    int (*serve)(struct Lane *self);
} Lane;

extern PyTypeObject LaneType;
extern PyTypeObject PollerType;

/*
 * Relays of one engine (`fast.Relays`): what listeners pass on to upstreams. `begin`, then `ask`
 * for each query of a batch, then `end`, with nothing of Python's run between them. `begin` and
 * `end` return 0, or -1 with an exception set; `ask` whether the query is on its way: if not it is
 * Python's (`UdpListener._ask`). `message` says which query of the batch, received from a client
 * who may ask.
 */
typedef struct Relays Relays;

int relays_begin(Relays *self);
int relays_ask(Relays *self, PyObject *listener, Batch *batch, int message);
int relays_end(Relays *self);

#endif
