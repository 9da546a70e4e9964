/* The stack machine of Python's pickles. It knows every opcode of protocols 0 to 5 that
 * builds data, and calls nothing: REDUCE, NEWOBJ and BUILD only record what they would
 * do. Each opcode takes time and memory in proportion to its bytes, so a hostile pickle
 * costs no more than its length. */
#include "weights/pickle.h"
#include <errno.h>
#include <stdlib.h>

enum { MAX_PICKLE = 1 << 30 }; /* bytes: data lies outside */

typedef struct Machine {
    Arena *arena;
    const char *path;
    const unsigned char *begin, *at, *end;
    PickledList stack;
    Vec(int) marks; /* heights of the stack */
    PickledList memo;
    Pickled none;
    cai_error *error;
    bool failed;
} Machine;

/* ---- bytes ---- */

static Pickled *pickle_fail(Machine *m, const char *what) {
    if (!m->failed)
        cai_fail(m->error, CAI_BAD_INPUT, "%s: broken pickle: %s at byte %lld", m->path, what,
                 (long long)(m->at - m->begin));
    m->failed = true;
    return &m->none;
}

static const unsigned char *take_bytes(Machine *m, uint64_t count) {
    if (m->failed || count > (uint64_t)(m->end - m->at)) {
        pickle_fail(m, "it is cut off");
        return NULL;
    }
    m->at += count;
    return m->at - count;
}

/* A little-endian number of up to eight bytes. */
static uint64_t take_number(Machine *m, int count) {
    const unsigned char *bytes = take_bytes(m, (uint64_t)count);
    uint64_t value = 0;
    for (int i = count - 1; bytes && i >= 0; i--) value = value << 8 | bytes[i];
    return value;
}

/* A line, without its newline. */
static const char *take_line(Machine *m) {
    const unsigned char *newline = memchr(m->at, '\n', (size_t)(m->end - m->at));
    if (m->failed || !newline) {
        pickle_fail(m, "it is cut off");
        return "";
    }
    const char *line = arena_strndup(m->arena, (const char *)m->at, (size_t)(newline - m->at));
    m->at = newline + 1;
    return line;
}

/* ---- values ---- */

static Pickled *new_value(Machine *m, PickleKind kind) {
    Pickled *value = NEW(m->arena, Pickled);
    value->kind = kind;
    return value;
}

static Pickled *new_int(Machine *m, int64_t whole) {
    Pickled *value = new_value(m, PICKLE_INT);
    value->whole = whole;
    return value;
}

static Pickled *new_bool(Machine *m, bool truth) {
    Pickled *value = new_value(m, PICKLE_BOOL);
    value->whole = truth;
    return value;
}

static Pickled *new_text(Machine *m, uint64_t length) {
    const unsigned char *bytes = take_bytes(m, length);
    Pickled *value = new_value(m, PICKLE_TEXT);
    value->text = bytes ? arena_strndup(m->arena, (const char *)bytes, (size_t)length) : "";
    value->length = bytes ? (size_t)length : 0;
    return value;
}

static Pickled *new_line_text(Machine *m, const char *line) {
    Pickled *value = new_value(m, PICKLE_TEXT);
    value->text = line;
    value->length = strlen(line);
    return value;
}

/* Protocol 0's STRING is quoted, which names of tensors never need more of. */
static Pickled *new_quoted_text(Machine *m) {
    const char *line = take_line(m);
    size_t length = strlen(line);
    bool quoted = length >= 2 && (*line == '\'' || *line == '"') && line[length - 1] == *line;
    if (!quoted) return pickle_fail(m, "a text without quotes");
    return new_line_text(m, arena_strndup(m->arena, line + 1, length - 2));
}

static Pickled *new_real(Machine *m, double real) {
    Pickled *value = new_value(m, PICKLE_REAL);
    value->real = real;
    return value;
}

/* Big-endian, unlike everything else. */
static Pickled *new_binary_real(Machine *m) {
    uint64_t bits = __builtin_bswap64(take_number(m, 8));
    double real;
    memcpy(&real, &bits, sizeof real);
    return new_real(m, real);
}

/* Two's complement of any length. */
static Pickled *new_long(Machine *m, uint64_t count) {
    const unsigned char *bytes = take_bytes(m, count);
    if (!bytes) return &m->none;
    uint64_t value = count && bytes[count - 1] & 0x80 ? UINT64_MAX : 0;
    for (uint64_t i = min_i64((int64_t)count, 8); i-- > 0;) value = value << 8 | bytes[i];
    return new_int(m, count > 8 ? INT64_MAX : (int64_t)value);
}

static Pickled *new_decimal(Machine *m) {
    const char *line = take_line(m);
    if (strcmp(line, "00") == 0 || strcmp(line, "01") == 0) return new_bool(m, line[1] == '1');
    char *end;
    errno = 0;
    int64_t value = strtoll(line, &end, 10);
    if (end == line || (*end && strcmp(end, "L") != 0)) return pickle_fail(m, "a number expected");
    return new_int(m, errno ? INT64_MAX : value);
}

static Pickled *new_decimal_real(Machine *m) {
    const char *line = take_line(m);
    char *end;
    double value = strtod(line, &end);
    return end == line || *end ? pickle_fail(m, "a number expected") : new_real(m, value);
}

static Pickled *new_class(Machine *m, const char *module, const char *name) {
    Pickled *value = new_value(m, PICKLE_CLASS);
    value->text = arena_printf(m->arena, "%s.%s", module, name);
    value->length = strlen(value->text);
    return value;
}

/* ---- the stack ---- */

static void push_pickled(Machine *m, Pickled *value) { vec_push(m->arena, &m->stack, value); }

/* The height below which an opcode may not pop: the values there belong to open lists. */
static int stack_floor(const Machine *m) { return m->marks.count ? vec_last(&m->marks) : 0; }

static Pickled *pop_pickled(Machine *m) {
    if (m->stack.count <= stack_floor(m)) return pickle_fail(m, "its stack is empty");
    return m->stack.items[--m->stack.count];
}

static Pickled *top_pickled(Machine *m) {
    if (m->stack.count <= stack_floor(m)) return pickle_fail(m, "its stack is empty");
    return vec_last(&m->stack);
}

/* Pops the values above the latest mark, and the mark. */
static PickledList pop_marked(Machine *m) {
    PickledList items = {0};
    if (m->marks.count == 0) {
        pickle_fail(m, "a mark is missing");
        return items;
    }
    int from = m->marks.items[--m->marks.count];
    for (int i = from; i < m->stack.count; i++) vec_push(m->arena, &items, m->stack.items[i]);
    m->stack.count = from;
    return items;
}

/* The top may be a mark. */
static void drop_top(Machine *m) {
    if (m->marks.count && m->stack.count == stack_floor(m)) m->marks.count--;
    else pop_pickled(m);
}

static Pickled *new_list(Machine *m, PickledList items) {
    Pickled *value = new_value(m, PICKLE_LIST);
    value->items = items;
    return value;
}

static Pickled *pop_tuple(Machine *m, int count) {
    Pickled *tuple = new_value(m, PICKLE_LIST);
    for (int i = 0; i < count; i++) vec_push(m->arena, &tuple->items, &m->none);
    for (int i = count - 1; i >= 0; i--) tuple->items.items[i] = pop_pickled(m);
    return tuple;
}

static void append_all(Machine *m, Pickled *to, PickledList items) {
    bool takes = to->kind == PICKLE_LIST || to->kind == PICKLE_DICT || to->kind == PICKLE_OBJECT;
    if (!takes) pickle_fail(m, "something is added to what is no list");
    for (int i = 0; takes && i < items.count; i++) vec_push(m->arena, &to->items, items.items[i]);
}

static void set_items(Machine *m, PickledList items) {
    if (items.count % 2) pickle_fail(m, "a key without a value");
    else append_all(m, top_pickled(m), items);
}

static Pickled *new_dict(Machine *m, PickledList items) {
    Pickled *dict = new_value(m, PICKLE_DICT);
    if (items.count % 2) return pickle_fail(m, "a key without a value");
    dict->items = items;
    return dict;
}

/* ---- memo ---- */

static void store_memo(Machine *m, uint64_t index) {
    if (index > (uint64_t)(m->at - m->begin)) { /* so far there are no more values than bytes */
        pickle_fail(m, "a place in its memo beyond its length");
        return;
    }
    while ((uint64_t)m->memo.count <= index) vec_push(m->arena, &m->memo, NULL);
    m->memo.items[index] = top_pickled(m);
}

static void load_memo(Machine *m, uint64_t index) {
    if (index >= (uint64_t)m->memo.count || !m->memo.items[index])
        pickle_fail(m, "an empty place in its memo");
    else push_pickled(m, m->memo.items[index]);
}

static uint64_t take_index_line(Machine *m) {
    const char *line = take_line(m);
    char *end;
    uint64_t index = strtoull(line, &end, 10);
    if (end == line || *end) pickle_fail(m, "a number expected");
    return index;
}

/* ---- objects ---- */

static bool is_pair(const Pickled *value) { return value->kind == PICKLE_LIST && value->items.count == 2; }

/* OrderedDict([[key, value], ..]), as Python 2 writes it, or OrderedDict() to be
 * filled. */
static Pickled *new_ordered_dict(Machine *m, const Pickled *arguments) {
    Pickled *dict = new_value(m, PICKLE_DICT);
    if (arguments->items.count == 0) return dict;
    const Pickled *pairs = arguments->items.items[0];
    for (int i = 0; pairs->kind == PICKLE_LIST && i < pairs->items.count; i++) {
        const Pickled *pair = pairs->items.items[i];
        if (!is_pair(pair)) return pickle_fail(m, "a dictionary of what are no pairs");
        vec_push(m->arena, &dict->items, pair->items.items[0]);
        vec_push(m->arena, &dict->items, pair->items.items[1]);
    }
    return dict;
}

static Pickled *new_object(Machine *m, Pickled *made_by, Pickled *arguments) {
    if (arguments->kind != PICKLE_LIST) return pickle_fail(m, "arguments that are no tuple");
    if (pickle_is_class(made_by, "collections.OrderedDict") || pickle_is_class(made_by, "builtins.dict"))
        return new_ordered_dict(m, arguments);
    Pickled *object = new_value(m, PICKLE_OBJECT);
    object->made_by = made_by;
    object->arguments = arguments;
    return object;
}

static void apply_reduce(Machine *m) {
    Pickled *arguments = pop_pickled(m), *made_by = pop_pickled(m);
    push_pickled(m, new_object(m, made_by, arguments));
}

static void reduce_with_names(Machine *m) {
    pop_pickled(m); /* arguments by name say nothing of tensors */
    apply_reduce(m);
}

/* A mark, then (where it is not given) the class, then arguments. */
static void instantiate_class(Machine *m, Pickled *made_by) {
    PickledList items = pop_marked(m);
    if (!made_by && items.count == 0) {
        pickle_fail(m, "a class is missing");
        return;
    }
    if (!made_by) {
        made_by = items.items[0];
        items.items++, items.count--, items.capacity = items.count;
    }
    push_pickled(m, new_object(m, made_by, new_list(m, items)));
}

/* The state of a dict is of its class alone. */
static void set_state(Machine *m) {
    Pickled *state = pop_pickled(m), *object = top_pickled(m);
    if (object->kind == PICKLE_OBJECT) object->state = state;
}

static void push_outside(Machine *m, Pickled *id) {
    Pickled *value = new_value(m, PICKLE_OUTSIDE);
    value->arguments = id;
    push_pickled(m, value);
}

static void push_class(Machine *m) {
    const char *module = take_line(m), *name = take_line(m);
    push_pickled(m, new_class(m, module, name));
}

static void push_class_of_stack(Machine *m) {
    const Pickled *name = pop_pickled(m), *module = pop_pickled(m);
    if (name->kind != PICKLE_TEXT || module->kind != PICKLE_TEXT) pickle_fail(m, "a class without a name");
    else push_pickled(m, new_class(m, module->text, name->text));
}

/* ---- opcodes ---- */

static void unknown_opcode(Machine *m, int opcode) {
    if (!m->failed)
        cai_fail(m->error, CAI_BAD_INPUT,
                 "%s: has the pickle opcode 0x%02x at byte %lld, which no file of tensors has", m->path,
                 (unsigned)opcode, (long long)(m->at - 1 - m->begin));
    m->failed = true;
}

/* By pickletools' names of the opcodes. */
static void execute_opcode(Machine *m, int opcode) {
    switch (opcode) {
    case 0x80: take_bytes(m, 1); break;                                                 /* PROTO */
    case 0x95: take_bytes(m, 8); break;                                                 /* FRAME */
    case 'N': push_pickled(m, new_value(m, PICKLE_NONE)); break;                        /* NONE */
    case 0x88: push_pickled(m, new_bool(m, true)); break;                               /* NEWTRUE */
    case 0x89: push_pickled(m, new_bool(m, false)); break;                              /* NEWFALSE */
    case 'J': push_pickled(m, new_int(m, (int32_t)take_number(m, 4))); break;           /* BININT */
    case 'K': push_pickled(m, new_int(m, (int64_t)take_number(m, 1))); break;           /* BININT1 */
    case 'M': push_pickled(m, new_int(m, (int64_t)take_number(m, 2))); break;           /* BININT2 */
    case 'I': case 'L': push_pickled(m, new_decimal(m)); break;                         /* INT, LONG */
    case 0x8a: push_pickled(m, new_long(m, take_number(m, 1))); break;                  /* LONG1 */
    case 0x8b: push_pickled(m, new_long(m, take_number(m, 4))); break;                  /* LONG4 */
    case 'F': push_pickled(m, new_decimal_real(m)); break;                              /* FLOAT */
    case 'G': push_pickled(m, new_binary_real(m)); break;                               /* BINFLOAT */
    case 'S': push_pickled(m, new_quoted_text(m)); break;                               /* STRING */
    case 'V': push_pickled(m, new_line_text(m, take_line(m))); break;                   /* UNICODE */
    case 'U': case 'C': case 0x8c: push_pickled(m, new_text(m, take_number(m, 1))); break; /* SHORT_BIN.. */
    case 'T': case 'B': case 'X': push_pickled(m, new_text(m, take_number(m, 4))); break;  /* BIN.. */
    case 0x8d: case 0x8e: case 0x96: push_pickled(m, new_text(m, take_number(m, 8))); break; /* ..8 */
    case '(': vec_push(m->arena, &m->marks, m->stack.count); break;                          /* MARK */
    case ')': case ']': case 0x8f: push_pickled(m, new_value(m, PICKLE_LIST)); break;   /* EMPTY_.. */
    case '}':
        push_pickled(m, new_value(m, PICKLE_DICT));
        break; /* EMPTY_DICT */
    /* TUPLE, LIST, FROZENSET */
    case 't': case 'l': case 0x91: push_pickled(m, new_list(m, pop_marked(m))); break;
    case 0x85: push_pickled(m, pop_tuple(m, 1)); break; /* TUPLE1 */
    case 0x86: push_pickled(m, pop_tuple(m, 2)); break; /* TUPLE2 */
    case 0x87: push_pickled(m, pop_tuple(m, 3)); break; /* TUPLE3 */
    case 'd':
        push_pickled(m, new_dict(m, pop_marked(m)));
        break; /* DICT */
    /* APPEND */
    case 'a': {
        PickledList one = pop_tuple(m, 1)->items;
        append_all(m, top_pickled(m), one);
        break;
    }
    /* APPENDS */
    case 'e': case 0x90: { PickledList all = pop_marked(m); append_all(m, top_pickled(m), all); break; }
    case 's': {
        PickledList pair = pop_tuple(m, 2)->items;
        set_items(m, pair);
        break;
    } /* SETITEM */
    case 'u': {
        PickledList all = pop_marked(m);
        set_items(m, all);
        break;
    }                                                                                 /* SETITEMS */
    case '0': drop_top(m); break;                                                     /* POP */
    case '1': pop_marked(m); break;                                                   /* POP_MARK */
    case '2': push_pickled(m, top_pickled(m)); break;                                 /* DUP */
    case 'p': store_memo(m, take_index_line(m)); break;                               /* PUT */
    case 'q': store_memo(m, take_number(m, 1)); break;                                /* BINPUT */
    case 'r': store_memo(m, take_number(m, 4)); break;                                /* LONG_BINPUT */
    case 0x94: store_memo(m, (uint64_t)m->memo.count); break;                         /* MEMOIZE */
    case 'g': load_memo(m, take_index_line(m)); break;                                /* GET */
    case 'h': load_memo(m, take_number(m, 1)); break;                                 /* BINGET */
    case 'j': load_memo(m, take_number(m, 4)); break;                                 /* LONG_BINGET */
    case 'c': push_class(m); break;                                                   /* GLOBAL */
    case 0x93: push_class_of_stack(m); break;                                         /* STACK_GLOBAL */
    case 'R': case 0x81: apply_reduce(m); break;                                      /* REDUCE, NEWOBJ */
    case 0x92:
        reduce_with_names(m);
        break; /* NEWOBJ_EX */
    /* INST */
    case 'i': {
        const char *module = take_line(m), *name = take_line(m);
        instantiate_class(m, new_class(m, module, name));
        break;
    }
    case 'o': instantiate_class(m, NULL); break;                      /* OBJ */
    case 'b': set_state(m); break;                                    /* BUILD */
    case 'P': push_outside(m, new_line_text(m, take_line(m))); break; /* PERSID */
    case 'Q': push_outside(m, pop_pickled(m)); break;                 /* BINPERSID */
    default: unknown_opcode(m, opcode);
    }
}

Pickled *pickle_read(Arena *arena, const char *path, const unsigned char *bytes, size_t count, size_t *at,
                     cai_error *error) {
    const unsigned char *begin = bytes + *at,
                        *end = bytes + min_i64((int64_t)count, (int64_t)*at + MAX_PICKLE);
    Machine m = {.arena = arena, .path = path, .begin = begin, .at = begin, .end = end, .error = error};
    while (!m.failed) {
        const unsigned char *opcode = take_bytes(&m, 1);
        if (!opcode || *opcode == '.') break;
        execute_opcode(&m, *opcode);
    }
    Pickled *result = m.failed ? NULL : pop_pickled(&m);
    *at = (size_t)(m.at - bytes);
    return m.failed ? NULL : result;
}

/* ---- what is in values ---- */

Pickled *pickle_get(const Pickled *dict, const char *key) {
    if (!dict || dict->kind != PICKLE_DICT) return NULL;
    for (int i = dict->items.count - 2; i >= 0; i -= 2) { /* of equal keys the last counts */
        const Pickled *name = dict->items.items[i];
        if (name->kind == PICKLE_TEXT && strcmp(name->text, key) == 0) return dict->items.items[i + 1];
    }
    return NULL;
}

bool pickle_is_class(const Pickled *value, const char *name) {
    return value && value->kind == PICKLE_CLASS && strcmp(value->text, name) == 0;
}
