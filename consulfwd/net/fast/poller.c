/*
 * Waits for sockets, and has those that are watched directly run their callbacks: the twin of
 * `loop.PureSelector.select`. A socket with a lane is read by that, without Python, as long as
 * there is nothing else to do.
 */
#include "fast.h"

#include <errno.h>
#include <math.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 256
#define TURNS 3

typedef struct {
    PyObject *callback; /* NULL: not watched directly */
    Lane *lane;
    int turn;
} Watched;

typedef struct {
    PyObject_HEAD
    int epoll;
    char touched;
    int timer;     /* -1: the system has none left, and each wait has its own */
    double armed;  /* when it goes off (s), 0: not at all */
    int known; /* how many descriptors there is room for */
    Watched *watched;
    PyObject *failed;
    struct epoll_event events[EVENTS];
} Poller;

static Watched *watched_of(Poller *self, int fd)
{
    return fd >= 0 && fd < self->known && self->watched[fd].callback ? self->watched + fd : NULL;
}

static int make_room(Poller *self, int fd)
{
    int known = self->known ? self->known : 64;
    Watched *more;

    if (fd < self->known)
        return 0;
    while (known <= fd)
        known *= 2;
    more = PyMem_RawRealloc(self->watched, (size_t)known * sizeof *more);
    if (more == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    memset(more + self->known, 0, (size_t)(known - self->known) * sizeof *more);
    self->watched = more;
    self->known = known;
    return 0;
}

static void forget(Watched *one)
{
    PyObject *callback = one->callback;
    Lane *lane = one->lane;

    *one = (Watched){NULL, NULL, 0};
    Py_XDECREF(callback);
    Py_XDECREF(lane);
}

static PyObject *add(Poller *self, PyObject *args)
{
    PyObject *callback, *lane = Py_None;
    int fd, turn;

    if (!PyArg_ParseTuple(args, "iOi|O", &fd, &callback, &turn, &lane))
        return NULL;
    if (fd < 0 || turn < 0 || turn >= TURNS) {
        PyErr_SetString(PyExc_ValueError, "no descriptor, or no turn");
        return NULL;
    }
    if (lane != Py_None && !PyObject_TypeCheck(lane, &LaneType)) {
        PyErr_SetString(PyExc_TypeError, "a lane is needed, or None");
        return NULL;
    }
    if (make_room(self, fd) < 0)
        return NULL;
    forget(self->watched + fd);
    Py_INCREF(callback);
    if (lane != Py_None)
        Py_INCREF(lane);
    self->watched[fd] = (Watched){callback, lane == Py_None ? NULL : (Lane *)lane, turn};
    Py_RETURN_NONE;
}

static PyObject *take_out(Poller *self, PyObject *number)
{
    int fd = (int)PyLong_AsLong(number);
    Watched *one;

    if (fd == -1 && PyErr_Occurred())
        return NULL;
    one = watched_of(self, fd);
    if (one != NULL)
        forget(one);
    Py_RETURN_NONE;
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/*
 * Have the timer go off at `until`, or before; return whether it does. One that stays armed from one
 * wait to the next costs nothing, where a time to wait costs two programmings of the clock each.
 */
static int arm(Poller *self, double until)
{
    double whole = floor(until);
    struct itimerspec at = {{0, 0}, {(time_t)whole, (long)((until - whole) * 1e9)}};

    if (self->timer < 0)
        return 0;
    if (self->armed > 0 && self->armed <= until)
        return 1;
    if (timerfd_settime(self->timer, TFD_TIMER_ABSTIME, &at, NULL) < 0)
        return 0;
    self->armed = until;
    return 1;
}

/* Leave the timer's event out; return whether it was there. */
static int gone_off(Poller *self, int *count)
{
    for (int i = 0; i < *count; i++)
        if (self->events[i].data.fd == self->timer) {
            self->events[i] = self->events[--*count];
            self->armed = 0;
            return 1;
        }
    return 0;
}

/*
 * Wait for events, until then (s; 0: for ever) if not `now`; return how many there are, 0 also
 * when it was interrupted, -1 on an exception.
 */
static int look(Poller *self, double until, int now)
{
    int count, pause = now ? 0 : -1;

    if (!now && until > 0 && !arm(self, until)) {
        double left = until - seconds();

        pause = left > 86400 ? 86400000 : left > 0 ? (int)ceil(left * 1e3) : 0;
    }
    if (now) {
        count = epoll_wait(self->epoll, self->events, EVENTS, 0);
    } else {
        Py_BEGIN_ALLOW_THREADS
        count = epoll_wait(self->epoll, self->events, EVENTS, pause);
        Py_END_ALLOW_THREADS
    }
    if (count >= 0)
        return count;
    if (errno == EINTR)
        return PyErr_CheckSignals() < 0 ? -1 : 0;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

/* Tell of the exception that is set, unless it is to end everything; return -1 in that case. */
static int tell(Poller *self)
{
    PyObject *error, *done;

    if (!PyErr_ExceptionMatches(PyExc_Exception) || self->failed == NULL)
        return -1;
    error = fast_raised();
    done = PyObject_CallOneArg(self->failed, error);
    Py_DECREF(error);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Run what is watched at a descriptor; return -1 when an exception is to end the waiting. */
static int run(Poller *self, int fd)
{
    Watched *one = watched_of(self, fd);
    PyObject *callback, *done;
    int state = LEFT;

    if (one == NULL)
        return 0; /* its watching ended just now */
    callback = one->callback;
    Py_INCREF(callback);
    if (one->lane != NULL) {
        Lane *lane = one->lane;

        Py_INCREF(lane);
        state = lane->serve(lane);
        Py_DECREF(lane);
    }
    if (state == LEFT) {
        done = PyObject_CallNoArgs(callback);
        Py_XDECREF(done);
        if (done == NULL)
            state = FAILED;
    }
    Py_DECREF(callback);
    return state == FAILED ? tell(self) : 0;
}

/* Send what lanes have put off; return -1 when an exception is to end the waiting. */
static int send_later(Poller *self)
{
    return fast_send_later() < 0 ? tell(self) : 0;
}

/* Run what is watched directly, in turns; list the other events. Return their number, or -1. */
static Py_ssize_t work(Poller *self, int count, PyObject *rest)
{
    struct epoll_event events[EVENTS];

    if (count == 1 && watched_of(self, self->events[0].data.fd) != NULL)
        return run(self, self->events[0].data.fd) < 0 ? -1 : send_later(self);
    /* A callback may have others wait, too. */
    memcpy(events, self->events, (size_t)count * sizeof *events);
    for (int turn = 0; turn < TURNS - 1; turn++) {
        for (int i = 0; i < count; i++) {
            Watched *one = watched_of(self, events[i].data.fd);

            if (one == NULL || one->turn != turn)
                continue;
            if (run(self, events[i].data.fd) < 0)
                return -1;
            events[i].events = 0;
        }
        if (send_later(self) < 0)
            return -1;
    }
    for (int i = 0; i < count; i++) {
        PyObject *one;
        int failed;

        if (!events[i].events || watched_of(self, events[i].data.fd) != NULL)
            continue;
        one = Py_BuildValue("iI", events[i].data.fd, (unsigned)events[i].events);
        failed = one == NULL || PyList_Append(rest, one) < 0;
        Py_XDECREF(one);
        if (failed)
            return -1;
    }
    return PyList_GET_SIZE(rest);
}

/* wait(timeout: float | None) -> list[tuple[int, int]]: events of what is not watched directly. */
static PyObject *wait_for(Poller *self, PyObject *given)
{
    double timeout = given == Py_None ? -1 : PyFloat_AsDouble(given), until = 0;
    int now = given != Py_None && !(timeout > 0);
    PyObject *rest;

    if (timeout == -1 && PyErr_Occurred())
        return NULL;
    if (timeout > 0) /* whole ms: what is due at almost the same time is done at once */
        until = seconds() + ceil((timeout > 86400 ? 86400 : timeout) * 1e3) * 1e-3;
    rest = PyList_New(0);
    if (rest == NULL)
        return NULL;
    for (;;) {
        int count, fired, none;
        Py_ssize_t left;

        self->touched = 0;
        count = look(self, until, now);
        none = count == 0;
        fired = count > 0 && gone_off(self, &count);
        left = count < 0 ? -1 : work(self, count, rest);
        if (left < 0) {
            Py_DECREF(rest);
            return NULL;
        }
        if (left || self->touched || none || now)
            return rest;
        /* Without a timer only the clock can tell. */
        if (until > 0 && (fired || self->timer < 0) && seconds() >= until)
            return rest;
    }
}

/* What tells when a wait is over; where there is none, each wait has its own time. */
static void make_timer(Poller *self)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};

    self->armed = 0;
    self->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    event.data.fd = self->timer;
    if (self->timer >= 0 && epoll_ctl(self->epoll, EPOLL_CTL_ADD, self->timer, &event) < 0) {
        close(self->timer);
        self->timer = -1;
    }
}

static int init(Poller *self, PyObject *args, PyObject *keywords)
{
    static char *words[] = {"epoll", "failed", NULL};
    PyObject *failed;

    if (!PyArg_ParseTupleAndKeywords(args, keywords, "iO", words, &self->epoll, &failed))
        return -1;
    Py_INCREF(failed);
    Py_XSETREF(self->failed, failed);
    if (self->timer >= 0)
        close(self->timer);
    make_timer(self);
    return 0;
}

static PyObject *create(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(words))
{
    Poller *self = (Poller *)type->tp_alloc(type, 0);

    if (self != NULL)
        self->timer = self->epoll = -1;
    return (PyObject *)self;
}

static int traverse(Poller *self, visitproc visit, void *arg)
{
    Py_VISIT(self->failed);
    for (int i = 0; i < self->known; i++) {
        Py_VISIT(self->watched[i].callback);
        Py_VISIT(self->watched[i].lane);
    }
    return 0;
}

static int clear(Poller *self)
{
    Py_CLEAR(self->failed);
    for (int i = 0; i < self->known; i++)
        forget(self->watched + i);
    return 0;
}

static void dealloc(Poller *self)
{
    PyObject_GC_UnTrack(self);
    clear(self);
    if (self->timer >= 0)
        close(self->timer);
    PyMem_RawFree(self->watched);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyMethodDef METHODS[] = {
    {"add", (PyCFunction)add, METH_VARARGS, NULL},
    {"remove", (PyCFunction)take_out, METH_O, NULL},
    {"wait", (PyCFunction)wait_for, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef MEMBERS[] = {
    {"touched", T_BOOL, offsetof(Poller, touched), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject PollerType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "consulfwd.net._fast.Poller",
    .tp_basicsize = sizeof(Poller),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = create,
    .tp_init = (initproc)init,
    .tp_dealloc = (destructor)dealloc,
    .tp_traverse = (traverseproc)traverse,
    .tp_clear = (inquiry)clear,
    .tp_methods = METHODS,
    .tp_members = MEMBERS,
};
