/* The compiled fast lane: what its parts share. Each is the twin of a Python one named beside it. */
#ifndef CONSULFWD_FAST_H
#define CONSULFWD_FAST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <stdint.h>
#include <sys/socket.h>

/* Datagrams per system call, at most. */
#define BATCH 64
/* Octets of what waits to be sent, and of one datagram, at most. */
#define BATCH_OUT (256 * 1024)
#define MOST_OCTETS 65535

/* Buffers for receiving and sending on one socket: the twin of `mmsg.PureBatch`. */
typedef struct {
    PyObject_HEAD
    int fd;
    int name_size; /* octets of an address; 0 on a connected socket */
    size_t size, spill;
    int count;      /* messages of the last receive */
    int64_t looked; /* when it was read last, in ns */
    unsigned char *in, *beside, *names;
    unsigned char *single; /* where one is received that is read alone */
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

/* Message `index` without its ID, as bytes (a new reference): empty when there is no more. */
PyObject *batch_key(const Batch *self, int index);

/* Send what is queued; return the errno of the last failure since the last call, or 0. */
int batch_flush(Batch *self);

/* The exception that is set, which is set no longer: a new reference, with its traceback. */
PyObject *fast_raised(void);

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

/*
 * Send what lanes have put off to be sent together: to be called behind the last of those that have
 * something to read at the same time. Return 0, or -1 with an exception set.
 */
int fast_send_later(void);

extern PyTypeObject LaneType;
extern PyTypeObject PollerType;

/* A hot answer: replies without their ID that take turns, or one plain RRset in many orders. */
typedef struct {
    PyObject_HEAD
    unsigned char *octets; /* the replies one behind the other, then records to be put in order */
    uint32_t *ends;        /* where each reply ends */
    int count, turn;       /* how many, and whose turn it is */
    unsigned hits;         /* how often one was given since it was set to 0 */
    double until;          /* when its answer is fresh no more, where that is to be looked at */
    uint32_t in_all;
    /* Of a plain RRset: where its records begin, how large each is, how many there are and how many
     * fit, and in which order they come next. */
    uint32_t begin, size, records, shown, first, step, then, jump, left;
    uint64_t state;
} Ready;

extern PyTypeObject ReadyType;

/* The next reply without its ID, good until the next call. */
const unsigned char *ready_next(Ready *self, size_t *length);

static inline unsigned fast_read16(const unsigned char *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

/* Count a TTL down (four octets, not below 0). */
void age_ttl(unsigned char *ttl_at, uint32_t seconds);

/* Count down every TTL of a reply without its ID but the OPT's; -1 when it is no message. */
int age_reply(unsigned char *reply, size_t length, uint32_t seconds);

struct HotLane;

/* Takes of a batch what the hot table does not know, before Python does. */
typedef struct Taker {
    PyObject_HEAD
    /*
     * Take what it can of lane->rest, with lane->keys beside, both of lane->left elements. The
     * others stay there, in order and moved to the front, and lane->left says how many; the
     * references of keys that are taken are the taker's. Return 0, or -1 with an exception set.
     */
    int (*take)(struct Taker *self, struct HotLane *lane, int64_t now);
    /* Behind all rounds in which something was to take: send what was collected. 0, or -1. */
    int (*flush)(struct Taker *self, struct HotLane *lane);
} Taker;

extern PyTypeObject TakerType;

/* Answers what is hot of one listener's datagrams: the twin of `udp.UdpListener._trusting`. */
typedef struct HotLane {
    Lane lane;
    Batch *batch;
    PyObject *answers; /* dict[bytes, what gives the next reply without its ID] */
    PyObject *ending;  /* dict[bytes, Ready]: the same of what ends within this second */
    PyObject *access, *warmth, *counters; /* the attributes of these, each a dict */
    PyObject *limiter, *limits; /* that of access, and its attributes */
    PyObject *clock, *usual_now;
    PyObject *trusted; /* the networks with which all clients of this socket may ask, or None */
    Taker *taker;
    char busy; /* it is being served */
    int ones; /* how many came one at a time since all there were were looked for */
    int left;            /* how many of the last batch are nobody's so far */
    uint8_t rest[BATCH];   /* their numbers, ascending */
    PyObject *keys[BATCH]; /* these without their ID */
} HotLane;

extern PyTypeObject HotLaneType;

/* `HotLane.serve`, what it needs once before, and how it forgets what is left. */
int hotlane_serve(Lane *lane);
int hotlane_know_names(void);
void hotlane_forget_rest(HotLane *self);

#endif
