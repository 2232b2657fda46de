/*
 * The usual case of a miss: a query passed to the first upstream in order, its reply passed back.
 * The data is Python's (dicts of questions, answers, flights; objects with slots); here it is only
 * done sooner what `relays`, `table.Table.submit` and `upstream.SharedUdp` would do with it.
 * Nothing is decided: whatever is not the usual case is left to them before anything is changed.
 */
#ifndef CONSULFWD_RELAY_H
#define CONSULFWD_RELAY_H

#include "fast.h"

struct Way;

/* No reply is longer without its ID. */
#define MOST_TAIL 65533

/* Where the attributes stand that classes of Python have in slots, and these classes. */
typedef struct {
    PyTypeObject *ask, *entry, *known, *waiter;
    Py_ssize_t ask_local, ask_key, ask_lane, ask_known, ask_alike, ask_kept_until;
    Py_ssize_t entry_expires_at;
    Py_ssize_t known_positive, known_on_host, known_off_host, known_length, known_size;
    Py_ssize_t known_begin, known_end, known_head, known_tail, known_ordered;
    Py_ssize_t listener, waiter_ask, client_id, peer, upstream, sent_at, others, ident;
} Shapes;

/* What relays need of one engine. */
typedef struct {
    PyObject_HEAD
    Shapes at;
    PyObject *asks, *entries, *flights, *failures, *firm, *loose;
    PyObject *table, *health, *shield, *clock, *counters, *relays, *exact_clock;
    Py_ssize_t most, outside; /* questions in flight: of relays at most; of others than Consul's */
    /* How things are, since `relays_look`. */
    double now;
    PyObject *moment; /* `now` as a float */
    long long version;
    Py_ssize_t room;
    char plain; /* nothing settles, nobody drains */
    long asked;
    struct Way *dirty;
} Relays;

/* The way to one upstream: a socket's lane that passes replies back. */
typedef struct Way {
    Lane lane;
    Relays *relays;
    PyObject *channel, *owner, *pending;
    Batch *batch; /* NULL: closed */
    Py_ssize_t window;
    char is_dirty;
    struct Way *next;
    int ids_left;
    unsigned char ids[2048];
} Way;

/*
 * The way to one upstream off the host, by ports lent to one query at a time: which is next, its ID
 * and the spelling are Python's (`pool.PortPool`).
 */
typedef struct {
    PyObject_HEAD
    Relays *relays;
    PyObject *channel, *owner, *speller;
    PyTypeObject *port;
    Py_ssize_t item, ident, spelled, again; /* where a port has these */
    Py_ssize_t settled;                     /* where the speller has it */
} PoolWay;

/* Takes of a listener's datagrams what can be passed on. */
typedef struct {
    Taker taker;
    Relays *relays;
    PyObject *listener;
} Passer;

extern PyTypeObject RelaysType, WayType, PoolWayType, PortLaneType, PasserType;

/* Names of attributes, interned. */
#define RELAY_NAMES(each)                                                                       \
    each(_batch) each(_failed) each(_timer) each(draining) each(freshness) each(keep) each(lost)   \
    each(most) each(now) each(on_drained) each(on_host) each(pass_back) each(queries)              \
    each(reuse) each(settle) each(settling) each(take) each(take_left) each(version)
#define RELAY_NAME(name) *name,
typedef struct {
    PyObject RELAY_NAMES(RELAY_NAME) *end;
} RelayNames;
extern RelayNames relay_names;

/* Make the names; return -1 with an exception set. */
int relay_ready(void);

/* Find where a class has a slot; return -1 with an exception set where it has none. */
int relay_slot(PyTypeObject *type, const char *name, Py_ssize_t *at);

/* Find the slots of these classes; return -1 with an exception set where one has no such. */
int relay_shapes(Shapes *at);

/* Note how things are now (for replies: the time, and whether all is plain); return 0, or -1. */
int relays_look(Relays *self);

/*
 * `begin`, then `ask` for each query of a batch, then `end`, with nothing of Python's run between
 * them but `PortPool.relay`, which tells nobody anything. `begin` and `end` return 0, or -1 with an exception set; `ask` whether the query is on its
 * way: if not it is Python's (`UdpListener._ask`). `key` is what message `index` is without its ID.
 */
int relays_begin(Relays *self);
int relays_ask(Relays *self, PyObject *listener, const Batch *batch, int index, PyObject *key);
int relays_end(Relays *self);

/* The next random ID, or NULL with an exception set. */
const unsigned char *way_ident(Way *self);

/* Send what was queued on a way; return 0, or -1 with an exception set. */
int way_flush(Way *self);

static inline PyObject *slot(PyObject *one, Py_ssize_t at)
{
    return *(PyObject **)((char *)one + at);
}

/* Fill a slot of a new object. */
static inline void fill(PyObject *one, Py_ssize_t at, PyObject *value)
{
    Py_INCREF(value);
    *(PyObject **)((char *)one + at) = value;
}

/* The number in a slot, or NaN where there is none. */
static inline double number(PyObject *one, Py_ssize_t at)
{
    PyObject *value = slot(one, at);

    return value != NULL && PyFloat_CheckExact(value) ? PyFloat_AS_DOUBLE(value) : Py_NAN;
}

/*
 * Return the reply seen before that a message of a question is (borrowed), or NULL, maybe with an
 * exception set: the twin of what `Relays.on_relayed` begins with.
 */
PyObject *relay_recognise(
    const Shapes *at, PyObject *ask, const unsigned char *data, size_t length);

/* What a reply to a client is made of behind its ID (`known.Pieces`; borrowed). */
typedef struct {
    const unsigned char *head, *middle, *tail;
    size_t head_size, middle_size, tail_size;
} Pieces;

/* Find the pieces of the reply that a message makes; return whether they are there. */
int relay_pieces(PyObject *pieces, const unsigned char *data, size_t length, Pieces *found);

/* How many listeners' replies are collected at a time. */
#define LISTENERS 8

/* A listener that replies go out by. */
typedef struct {
    PyObject *listener;
    Batch *batch;
    int on_host;
} Place;

/* What was read in one go, and what became of it. */
typedef struct {
    PyObject *left;   /* messages for Python, in a list */
    PyObject *sample; /* the last relay that was answered */
    long passed;
    int places;
    Place place[LISTENERS];
} Round;

/* Return where a listener's replies go out; NULL where Python has to send them. */
Place *relay_place(Round *round, PyObject *listener);

/*
 * Send and count what one batch came to; `state` is -1 where there is an exception already. Return
 * 0, or -1 with the first exception set.
 */
int relay_finish(const Relays *relays, PyObject *owner, Round *round, int state);

/* The same, but what is to be sent waits for `fast_send_later`. */
int relay_finish_later(const Relays *relays, PyObject *owner, Round *round, int state);

/* A reply that is to be passed back as it is (all borrowed). */
typedef struct {
    PyObject *relay, *ask, *known, *pieces;
    Place *place;
    Pieces parts;
    int is_kept; /* the cache has it already */
} Usual;

/* Whether a message with a relay's ID is such a reply: seen before, and nobody has joined. */
int relay_is_usual(
    const Relays *relays, Round *round, PyObject *relay, const unsigned char *data, size_t length,
    Usual *found);

/*
 * Pass a reply back that is usual, or have Python keep it and see; the caller holds the relay.
 * Return -1 when an exception is to end the reading.
 */
int relay_pass_back(
    Relays *relays, PyObject *owner, Round *round, const unsigned char *data, size_t length,
    const Usual *found);

/* Tell of the exception that is set what it came between; return -1 when that fails as well. */
int relay_tell_broken(PyObject *owner, PyObject *relay);

#endif
