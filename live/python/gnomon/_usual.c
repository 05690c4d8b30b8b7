/* What `gnomon.usual` does, in C: the same classes, with the same attributes and methods. What each means is said there;
 * here stands only what C has to be told.
 *
 * Two things of ours happen on the caller's thread of a usual call, before it and after it, and between two calls caches
 * grow cold: what Python walks through for them costs as much again as writing down the arguments and the answer.
 *
 * All of it runs under the interpreter's lock, and nothing in `Way_end` between the lock of the board and its release
 * calls Python, so nobody else sees a capture half taken.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <limits.h>
#include <stddef.h>
#include <structmember.h>

#if PY_VERSION_HEX < 0x030D0000
#include <time.h>
#endif

#ifdef Py_GIL_DISABLED
#error "relies on the interpreter's lock; gnomon.usual takes its place"
#endif

#define LONGEST_USER 1024 /* gnomon.flags.LONGEST_USER */
#define ENVELOPE_BYTES 512 /* gnomon.live_call.ENVELOPE_BYTES */

typedef long long i64;

/* the clock of `time.monotonic_ns`, which the rest of gnomon reads */
static i64 monotonic_ns(void)
{
#if PY_VERSION_HEX >= 0x030D0000
    PyTime_t now = 0;
    (void)PyTime_MonotonicRaw(&now);
    return now;
#elif defined(__linux__)
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (i64)now.tv_sec * 1000000000 + now.tv_nsec;
#else
#error "which clock time.monotonic_ns reads is not known here; gnomon.usual takes its place"
#endif
}

/* --- Board */

typedef struct {
    PyObject_HEAD
    char open, quiet, known, shedding, left;
    PyObject *stored, *phases, *numbers, *items, *writes, *lock, *acquire, *release;
    i64 offset_us, last_us, shifted_ns, captures, size_bytes, low, max_captures, max_bytes, largest;
} Board;

static PyTypeObject BoardType;

static int Board_traverse(Board *self, visitproc visit, void *arg)
{
    Py_VISIT(self->stored);
    Py_VISIT(self->phases);
    Py_VISIT(self->numbers);
    Py_VISIT(self->items);
    Py_VISIT(self->writes);
    Py_VISIT(self->lock);
    Py_VISIT(self->acquire);
    Py_VISIT(self->release);
    return 0;
}

static int Board_clear(Board *self)
{
    Py_CLEAR(self->stored);
    Py_CLEAR(self->phases);
    Py_CLEAR(self->numbers);
    Py_CLEAR(self->items);
    Py_CLEAR(self->writes);
    Py_CLEAR(self->lock);
    Py_CLEAR(self->acquire);
    Py_CLEAR(self->release);
    return 0;
}

static void Board_dealloc(Board *self)
{
    PyObject_GC_UnTrack(self);
    Board_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *Board_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"lock", "numbers", "max_captures", "max_bytes", "largest", NULL};
    PyObject *lock, *numbers;
    i64 max_captures, max_bytes, largest;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$OOLLL", names, &lock, &numbers, &max_captures, &max_bytes, &largest))
        return NULL;
    Board *self = (Board *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->stored = Py_NewRef(Py_None);
    self->numbers = Py_NewRef(numbers);
    self->lock = Py_NewRef(lock);
    self->phases = PyDict_New();
    self->items = PyList_New(0);
    self->writes = PyDict_New();
    self->acquire = PyObject_GetAttrString(lock, "acquire");
    self->release = PyObject_GetAttrString(lock, "release");
    self->max_captures = max_captures;
    self->max_bytes = max_bytes;
    self->largest = largest;
    self->low = LLONG_MAX;
    if (self->phases == NULL || self->items == NULL || self->writes == NULL || self->acquire == NULL ||
        self->release == NULL)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static PyMemberDef Board_members[] = {
    {"open", T_BOOL, offsetof(Board, open), 0, NULL},
    {"quiet", T_BOOL, offsetof(Board, quiet), 0, NULL},
    {"known", T_BOOL, offsetof(Board, known), 0, NULL},
    {"shedding", T_BOOL, offsetof(Board, shedding), 0, NULL},
    {"left", T_BOOL, offsetof(Board, left), 0, NULL},
    {"stored", T_OBJECT_EX, offsetof(Board, stored), 0, NULL},
    {"phases", T_OBJECT_EX, offsetof(Board, phases), 0, NULL},
    {"numbers", T_OBJECT_EX, offsetof(Board, numbers), READONLY, NULL},
    {"items", T_OBJECT_EX, offsetof(Board, items), 0, NULL},
    {"writes", T_OBJECT_EX, offsetof(Board, writes), READONLY, NULL},
    {"lock", T_OBJECT_EX, offsetof(Board, lock), READONLY, NULL},
    {"offset_us", T_LONGLONG, offsetof(Board, offset_us), 0, NULL},
    {"last_us", T_LONGLONG, offsetof(Board, last_us), 0, NULL},
    {"shifted_ns", T_LONGLONG, offsetof(Board, shifted_ns), 0, NULL},
    {"captures", T_LONGLONG, offsetof(Board, captures), 0, NULL},
    {"size_bytes", T_LONGLONG, offsetof(Board, size_bytes), 0, NULL},
    {"low", T_LONGLONG, offsetof(Board, low), 0, NULL},
    {"max_captures", T_LONGLONG, offsetof(Board, max_captures), READONLY, NULL},
    {"max_bytes", T_LONGLONG, offsetof(Board, max_bytes), READONLY, NULL},
    {"largest", T_LONGLONG, offsetof(Board, largest), READONLY, NULL},
    {NULL},
};

static PyTypeObject BoardType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gnomon._usual.Board",
    .tp_basicsize = sizeof(Board),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = Board_new,
    .tp_traverse = (traverseproc)Board_traverse,
    .tp_clear = (inquiry)Board_clear,
    .tp_dealloc = (destructor)Board_dealloc,
    .tp_members = Board_members,
};

/* --- Mark: not seen by the garbage collector, which would walk through all that waits */

typedef struct {
    PyObject_HEAD
    PyObject *way, *user, *stored, *phase, *args, *answer, *number;
    i64 started_ns, start, ended_ns, end, low, size_bytes;
} Mark;

static void Mark_dealloc(Mark *self)
{
    Py_XDECREF(self->way);
    Py_XDECREF(self->user);
    Py_XDECREF(self->stored);
    Py_XDECREF(self->phase);
    Py_XDECREF(self->args);
    Py_XDECREF(self->answer);
    Py_XDECREF(self->number);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyMemberDef Mark_members[] = {
    {"way", T_OBJECT_EX, offsetof(Mark, way), READONLY, NULL},
    {"user", T_OBJECT_EX, offsetof(Mark, user), READONLY, NULL},
    {"stored", T_OBJECT_EX, offsetof(Mark, stored), READONLY, NULL},
    {"phase", T_OBJECT_EX, offsetof(Mark, phase), READONLY, NULL},
    {"args", T_OBJECT_EX, offsetof(Mark, args), READONLY, NULL},
    {"answer", T_OBJECT_EX, offsetof(Mark, answer), READONLY, NULL},
    {"number", T_OBJECT_EX, offsetof(Mark, number), READONLY, NULL},
    {"started_ns", T_LONGLONG, offsetof(Mark, started_ns), READONLY, NULL},
    {"start", T_LONGLONG, offsetof(Mark, start), 0, NULL},
    {"ended_ns", T_LONGLONG, offsetof(Mark, ended_ns), READONLY, NULL},
    {"end", T_LONGLONG, offsetof(Mark, end), READONLY, NULL},
    {"low", T_LONGLONG, offsetof(Mark, low), READONLY, NULL},
    {"size_bytes", T_LONGLONG, offsetof(Mark, size_bytes), READONLY, NULL},
    {NULL},
};

static PyTypeObject MarkType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gnomon._usual.Mark",
    .tp_basicsize = sizeof(Mark),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = (destructor)Mark_dealloc,
    .tp_members = Mark_members,
};

/* --- Way */

typedef struct {
    PyObject_HEAD
    Board *board;
    PyObject *binding, *tap, *parameters, *defaults, *encode_args, *encode_value, *current, *flag, *shadow;
    Py_ssize_t user_at;
    i64 lanes;
    char writes;
} Way;

static int Way_traverse(Way *self, visitproc visit, void *arg)
{
    Py_VISIT(self->board);
    Py_VISIT(self->binding);
    Py_VISIT(self->tap);
    Py_VISIT(self->parameters);
    Py_VISIT(self->defaults);
    Py_VISIT(self->encode_args);
    Py_VISIT(self->encode_value);
    Py_VISIT(self->current);
    Py_VISIT(self->flag);
    Py_VISIT(self->shadow);
    return 0;
}

static int Way_clear(Way *self)
{
    Py_CLEAR(self->board);
    Py_CLEAR(self->binding);
    Py_CLEAR(self->tap);
    Py_CLEAR(self->parameters);
    Py_CLEAR(self->defaults);
    Py_CLEAR(self->encode_args);
    Py_CLEAR(self->encode_value);
    Py_CLEAR(self->current);
    Py_CLEAR(self->flag);
    Py_CLEAR(self->shadow);
    return 0;
}

static void Way_dealloc(Way *self)
{
    PyObject_GC_UnTrack(self);
    Way_clear(self);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyObject *Way_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"board", "binding", "tap",         "parameters",   "defaults", "user_at", "writes",
                            "flag",  "lanes",   "encode_args", "encode_value", "current",  "shadow",  NULL};
    PyObject *board, *binding, *tap, *parameters, *defaults, *flag, *encode_args, *encode_value, *current, *shadow;
    Py_ssize_t user_at;
    i64 lanes;
    int writes;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$O!OOO!O!npOLOOOO", names, &BoardType, &board, &binding, &tap,
                                     &PyTuple_Type, &parameters, &PyTuple_Type, &defaults, &user_at, &writes, &flag,
                                     &lanes, &encode_args, &encode_value, &current, &shadow))
        return NULL;
    if (user_at < 0 || user_at >= PyTuple_GET_SIZE(parameters) ||
        PyTuple_GET_SIZE(defaults) > PyTuple_GET_SIZE(parameters) || !PyContextVar_CheckExact(current)) {
        PyErr_SetString(PyExc_ValueError, "a way needs its user among the parameters, and a context variable");
        return NULL;
    }
    Way *self = (Way *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->board = (Board *)Py_NewRef(board);
    self->binding = Py_NewRef(binding);
    self->tap = Py_NewRef(tap);
    self->parameters = Py_NewRef(parameters);
    self->defaults = Py_NewRef(defaults);
    self->encode_args = Py_NewRef(encode_args);
    self->encode_value = Py_NewRef(encode_value);
    self->current = Py_NewRef(current);
    self->flag = Py_NewRef(flag);
    self->shadow = Py_NewRef(shadow);
    self->user_at = user_at;
    self->lanes = lanes;
    self->writes = (char)writes;
    return (PyObject *)self;
}

/* The arguments in the parameters' order, defaults filled in; NULL, without an error, where they are not all there. */
static PyObject *in_order(Way *self, PyObject *args, PyObject *kwargs)
{
    Py_ssize_t all = PyTuple_GET_SIZE(self->parameters), given = PyTuple_GET_SIZE(args);
    Py_ssize_t named = PyDict_GET_SIZE(kwargs), found = 0, required = all - PyTuple_GET_SIZE(self->defaults);
    if (named == 0 && given == all)
        return Py_NewRef(args);
    if (given + named > all)
        return NULL;
    PyObject *every = PyTuple_New(all);
    if (every == NULL) {
        PyErr_Clear();
        return NULL;
    }
    for (Py_ssize_t place = 0; place < all; place++) {
        PyObject *value = NULL;
        if (place < given)
            value = PyTuple_GET_ITEM(args, place);
        else if (named && (value = PyDict_GetItemWithError(kwargs, PyTuple_GET_ITEM(self->parameters, place))) != NULL)
            found++;
        else if (place >= required && !PyErr_Occurred())
            value = PyTuple_GET_ITEM(self->defaults, place - required);
        if (value == NULL) {
            PyErr_Clear();
            Py_DECREF(every);
            return NULL;
        }
        PyTuple_SET_ITEM(every, place, Py_NewRef(value));
    }
    if (found != named) /* one that it does not know, or that stands in its place as well */
        Py_CLEAR(every);
    return every;
}

/* The phase of a user whom legacy alone answers; NULL, without an error, where it is not known to. Borrowed. */
static PyObject *phase_of(Way *self, PyObject *user)
{
    Board *board = self->board;
    if (board->quiet || self->flag == Py_None)
        return self->shadow;
    PyObject *users = PyDict_Check(board->phases) ? PyDict_GetItemWithError(board->phases, self->flag) : NULL;
    PyObject *phase = users != NULL && PyDict_Check(users) ? PyDict_GetItemWithError(users, user) : NULL;
    if (phase == NULL)
        PyErr_Clear();
    return self->writes && phase != self->shadow ? NULL : phase; /* a write of who is dual goes to both sides */
}

/* Whether an enhanced callable is what calls, or that cannot be told. */
static int called_from_within(Way *self)
{
    PyObject *current;
    if (PyContextVar_Get(self->current, Py_None, &current) < 0) {
        PyErr_Clear();
        return 1;
    }
    Py_DECREF(current);
    return current != Py_None;
}

/* Have a value encoded: bytes, or NULL with the error set. */
static PyObject *encoded(PyObject *encode, PyObject *value)
{
    PyObject *json = PyObject_CallOneArg(encode, value);
    if (json != NULL && !PyBytes_CheckExact(json)) {
        Py_DECREF(json);
        PyErr_SetString(PyExc_TypeError, "an encoder returns bytes");
        return NULL;
    }
    return json;
}

/* The exception that is set, as an object, and no longer set. */
static PyObject *raised(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *error, *traceback;
    PyErr_Fetch(&type, &error, &traceback);
    PyErr_NormalizeException(&type, &error, &traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return error;
#endif
}

/* Take, or give back, the lock of the board; 0 where a signal's handler raised meanwhile. */
static int locked(PyObject *method)
{
    PyObject *answer = PyObject_CallNoArgs(method);
    Py_XDECREF(answer);
    return answer != NULL;
}

/* The time of a reading of the clock, as `AlignedClock.us_of`. */
static i64 us_of(Board *board, i64 ns) { return ns / 1000 + board->offset_us; }

static i64 larger(i64 one, i64 other) { return one > other ? one : other; }

/* Stamp the start of a write, which holds the watermark from then on; 0 with an error set. */
static int hold(Board *board, Mark *mark)
{
    if (!locked(board->acquire))
        return 0;
    mark->started_ns = monotonic_ns();
    mark->start = board->last_us = larger(us_of(board, mark->started_ns), board->last_us + 1);
    int kept = PyDict_SetItem(board->writes, mark->number, (PyObject *)mark) == 0;
    if (!kept)
        PyErr_Clear();
    return locked(board->release) && kept;
}

/* None: the long way says what is wrong. But what ends the program, an interruption for one, is no error of ours. */
static PyObject *given_up(void)
{
    if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_Exception))
        return NULL;
    PyErr_Clear();
    Py_RETURN_NONE;
}

static PyObject *Way_begin(Way *self, PyObject *const *given, Py_ssize_t count)
{
    Board *board = self->board;
    if (count != 2 || !PyTuple_CheckExact(given[0]) || !PyDict_CheckExact(given[1])) {
        PyErr_SetString(PyExc_TypeError, "begin takes a tuple and a dict");
        return NULL;
    }
    if (!board->open || board->shedding || (self->writes && !board->known))
        Py_RETURN_NONE;
    PyObject *every = in_order(self, given[0], given[1]);
    if (every == NULL)
        Py_RETURN_NONE;
    PyObject *user = PyTuple_GET_ITEM(every, self->user_at), *phase = NULL, *json = NULL;
    /* before what is decided by it, and both before anything is encoded: whoever does that may let others go on */
    PyObject *stored = Py_NewRef(board->stored);
    if (PyUnicode_CheckExact(user) && PyUnicode_GET_LENGTH(user) > 0 && PyUnicode_GET_LENGTH(user) <= LONGEST_USER)
        phase = Py_XNewRef(phase_of(self, user));
    if (phase != NULL && !called_from_within(self))
        json = encoded(self->encode_args, every);
    Mark *mark = json == NULL ? NULL : PyObject_New(Mark, &MarkType);
    if (mark == NULL) {
        Py_DECREF(every);
        Py_DECREF(stored);
        Py_XDECREF(phase);
        Py_XDECREF(json);
        return given_up();
    }
    mark->way = Py_NewRef(self);
    mark->user = Py_NewRef(user);
    mark->stored = stored;
    mark->phase = phase;
    mark->args = json;
    mark->answer = Py_NewRef(Py_None);
    mark->number = PyIter_Next(board->numbers);
    mark->ended_ns = mark->end = mark->low = mark->size_bytes = 0;
    Py_DECREF(every);
    if (mark->number == NULL || (self->writes && !hold(board, mark))) {
        Py_DECREF(mark);
        return given_up();
    }
    if (!self->writes) {
        mark->started_ns = monotonic_ns();
        mark->start = larger(us_of(board, mark->started_ns), board->last_us);
    }
    return (PyObject *)mark;
}

/* Stamp the end and take it, under the board's lock: 1, or 0 where somebody has to see to it. */
static int taken(Board *board, Way *way, Mark *mark)
{
    if (board->captures >= board->max_captures || board->size_bytes + mark->size_bytes > board->max_bytes ||
        mark->started_ns < board->shifted_ns)
        return 0;
    if (PyList_Append(board->items, (PyObject *)mark) < 0) {
        PyErr_Clear();
        return 0;
    }
    mark->end = mark->low = board->last_us = larger(us_of(board, mark->ended_ns), board->last_us + 1);
    if (way->writes) {
        if (PyDict_DelItem(board->writes, mark->number) == 0)
            mark->low = mark->start;
        else
            PyErr_Clear(); /* in flight for too long: let go of */
    }
    board->captures++;
    board->size_bytes += mark->size_bytes;
    if (mark->low < board->low)
        board->low = mark->low;
    return 1;
}

static PyObject *Way_end(Way *self, PyObject *const *given, Py_ssize_t count)
{
    i64 ended_ns = monotonic_ns();
    Board *board = self->board;
    if (count != 2 || !Py_IS_TYPE(given[0], &MarkType)) {
        PyErr_SetString(PyExc_TypeError, "end takes a mark and a value");
        return NULL;
    }
    Mark *mark = (Mark *)given[0];
    if (board->left)
        Py_RETURN_NONE;
    mark->ended_ns = ended_ns;
    PyObject *json = encoded(self->encode_value, given[1]);
    if (json == NULL)
        return PyErr_ExceptionMatches(PyExc_Exception) ? raised() : NULL;
    mark->size_bytes = ENVELOPE_BYTES + PyBytes_GET_SIZE(mark->args) + PyBytes_GET_SIZE(json);
    Py_SETREF(mark->answer, json);
    if (mark->size_bytes > board->largest)
        Py_RETURN_FALSE;
    if (!locked(board->acquire))
        return NULL;
    int done = taken(board, self, mark), first = done && PyList_GET_SIZE(board->items) == 1;
    if (!locked(board->release))
        return NULL;
    if (!done)
        Py_RETURN_FALSE;
    if (first)
        Py_RETURN_TRUE;
    Py_RETURN_NONE;
}

static PyMethodDef Way_methods[] = {
    {"begin", (PyCFunction)(void (*)(void))Way_begin, METH_FASTCALL, NULL},
    {"end", (PyCFunction)(void (*)(void))Way_end, METH_FASTCALL, NULL},
    {NULL},
};

static PyMemberDef Way_members[] = {
    {"board", T_OBJECT_EX, offsetof(Way, board), READONLY, NULL},
    {"binding", T_OBJECT_EX, offsetof(Way, binding), READONLY, NULL},
    {"tap", T_OBJECT_EX, offsetof(Way, tap), READONLY, NULL},
    {"lanes", T_LONGLONG, offsetof(Way, lanes), READONLY, NULL},
    {NULL},
};

static PyTypeObject WayType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "gnomon._usual.Way",
    .tp_basicsize = sizeof(Way),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = Way_new,
    .tp_traverse = (traverseproc)Way_traverse,
    .tp_clear = (inquiry)Way_clear,
    .tp_dealloc = (destructor)Way_dealloc,
    .tp_methods = Way_methods,
    .tp_members = Way_members,
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "gnomon._usual",
    .m_doc = "The usual live call, in C; see gnomon.usual.",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit__usual(void)
{
    PyTypeObject *types[] = {&BoardType, &MarkType, &WayType};
    PyObject *made = PyModule_Create(&module);
    for (size_t at = 0; made != NULL && at < sizeof types / sizeof *types; at++)
        if (PyModule_AddType(made, types[at]) < 0)
            Py_CLEAR(made);
    return made;
}
