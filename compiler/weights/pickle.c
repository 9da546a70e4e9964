/* The stack machine of Python's pickles. It knows every opcode of protocols 0 to 5 that
 * builds data, and calls nothing: REDUCE, NEWOBJ and BUILD only record what they would
 * do. Each opcode takes time and memory in proportion to its bytes, so a hostile pickle
 * costs no more than its length. */
#include "weights/pickle.h"
#include <errno.h>
#include <stdlib.h>

enum { MAX_PICKLE = 1 << 30 }; /* bytes; elements are outside of the pickle */

typedef struct Machine {
    Arena *arena;
    const char *path;
    const unsigned char *begin, *at, *end;
    PickledList stack;
    Vec(int) marks; /* heights of the stack at open marks */
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

/* The STRING of protocol 0 is quoted; names of tensors need no escapes. */
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
    if (end == line || (*end && strcmp(end, "L") != 0)) return pickle_fail(m, "expected a number");
    return new_int(m, errno ? INT64_MAX : value);
}

static Pickled *new_decimal_real(Machine *m) {
    const char *line = take_line(m);
    char *end;
    double value = strtod(line, &end);
    return end == line || *end ? pickle_fail(m, "expected a number") : new_real(m, value);
}

static Pickled *new_class(Machine *m, const char *module, const char *name) {
    Pickled *value = new_value(m, PICKLE_CLASS);
    value->text = arena_printf(m->arena, "%s.%s", module, name);
    value->length = strlen(value->text);
    return value;
}

/* ---- the stack ---- */

static void push_pickled(Machine *m, Pickled *value) { vec_push(m->arena, &m->stack, value); }

/* The height of the latest mark: an opcode may not pop values below it, which belong to
 * lists that are still open. */
static int stack_floor(const Machine *m) { return m->marks.count ? vec_last(&m->marks) : 0; }

static Pickled *pop_pickled(Machine *m) {
    if (m->stack.count <= stack_floor(m)) return pickle_fail(m, "its stack is empty");
    return m->stack.items[--m->stack.count];
}

static Pickled *top_pickled(Machine *m) {
    if (m->stack.count <= stack_floor(m)) return pickle_fail(m, "its stack is empty");
    return vec_last(&m->stack);
}

/* Pops all values above the latest mark, and the mark. */
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

/* Drops the top of the stack, which may be a mark. */
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
    if (!takes) pickle_fail(m, "something is added to what is not a list");
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
    if (index > (uint64_t)(m->at - m->begin)) { /* a pickle cannot have more values than bytes so far */
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
    if (end == line || *end) pickle_fail(m, "expected a number");
    return index;
}

/* ---- objects ---- */

static bool is_pair(const Pickled *value) { return value->kind == PICKLE_LIST && value->items.count == 2; }

/* OrderedDict([[key, value], ..]), as written by Python 2, or an empty OrderedDict() to
 * be filled. */
static Pickled *new_ordered_dict(Machine *m, const Pickled *arguments) {
    Pickled *dict = new_value(m, PICKLE_DICT);
    if (arguments->items.count == 0) return dict;
    const Pickled *pairs = arguments->items.items[0];
    for (int i = 0; pairs->kind == PICKLE_LIST && i < pairs->items.count; i++) {
        const Pickled *pair = pairs->items.items[i];
        if (!is_pair(pair)) return pickle_fail(m, "a dictionary of things that are not pairs");
        vec_push(m->arena, &dict->items, pair->items.items[0]);
        vec_push(m->arena, &dict->items, pair->items.items[1]);
    }
    return dict;
}

static Pickled *new_object(Machine *m, Pickled *made_by, Pickled *arguments) {
    if (arguments->kind != PICKLE_LIST) return pickle_fail(m, "arguments that are not a tuple");
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
    pop_pickled(m); /* keyword arguments do not matter for tensors */
    apply_reduce(m);
}

/* Pops a mark, the class (unless it is given), and the arguments. */
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

/* Only the class of a dict knows what its state means, so it is ignored. */
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
                 "%s: has the pickle opcode 0x%02x at byte %lld, which no file of tensors needs", m->path,
                 (unsigned)opcode, (long long)(m->at - 1 - m->begin));
    m->failed = true;
}

/* Executes an opcode; `number` comes from its row. */
typedef void OpcodeAction(Machine *m, int number);

#define ACTION(name) static void name(Machine *m, __attribute__((unused)) int number)
ACTION(skip_bytes) { take_bytes(m, (uint64_t)number); }
ACTION(push_empty) { push_pickled(m, new_value(m, (PickleKind)number)); }
ACTION(push_bool) { push_pickled(m, new_bool(m, number)); }
ACTION(push_unsigned) { push_pickled(m, new_int(m, (int64_t)take_number(m, number))); }
ACTION(push_signed) { push_pickled(m, new_int(m, (int32_t)take_number(m, number))); }
ACTION(push_long) { push_pickled(m, new_long(m, take_number(m, number))); }
ACTION(push_decimal) { push_pickled(m, new_decimal(m)); }
ACTION(push_real) { push_pickled(m, new_binary_real(m)); }
ACTION(push_decimal_real) { push_pickled(m, new_decimal_real(m)); }
ACTION(push_text) { push_pickled(m, new_text(m, take_number(m, number))); }
ACTION(push_quoted_text) { push_pickled(m, new_quoted_text(m)); }
ACTION(push_line) { push_pickled(m, new_line_text(m, take_line(m))); }
ACTION(push_mark) { vec_push(m->arena, &m->marks, m->stack.count); }
ACTION(push_marked) { push_pickled(m, new_list(m, pop_marked(m))); }
ACTION(push_tuple) { push_pickled(m, pop_tuple(m, number)); }
ACTION(push_dict) { push_pickled(m, new_dict(m, pop_marked(m))); }
ACTION(pop_value) { drop_top(m); }
ACTION(pop_to_mark) { pop_marked(m); }
ACTION(push_again) { push_pickled(m, top_pickled(m)); }
ACTION(remember_by_line) { store_memo(m, take_index_line(m)); }
ACTION(remember_by_number) { store_memo(m, take_number(m, number)); }
ACTION(remember_next) { store_memo(m, (uint64_t)m->memo.count); }
ACTION(recall_by_line) { load_memo(m, take_index_line(m)); }
ACTION(recall_by_number) { load_memo(m, take_number(m, number)); }
ACTION(push_outside_line) { push_outside(m, new_line_text(m, take_line(m))); }
ACTION(push_outside_value) { push_outside(m, pop_pickled(m)); }
ACTION(push_named_class) { push_class(m); }
ACTION(push_stacked_class) { push_class_of_stack(m); }
ACTION(push_reduced) { apply_reduce(m); }
ACTION(push_reduced_by_name) { reduce_with_names(m); }
ACTION(build_state) { set_state(m); }
ACTION(instantiate_marked) { instantiate_class(m, NULL); }

ACTION(append_one) {
    PickledList one = pop_tuple(m, 1)->items;
    append_all(m, top_pickled(m), one);
}

ACTION(append_marked) {
    PickledList all = pop_marked(m);
    append_all(m, top_pickled(m), all);
}

ACTION(set_one_item) { set_items(m, pop_tuple(m, 2)->items); }
ACTION(set_marked_items) { set_items(m, pop_marked(m)); }

ACTION(instantiate_named) {
    const char *module = take_line(m), *name = take_line(m);
    instantiate_class(m, new_class(m, module, name));
}
#undef ACTION

/* Indexed by opcode. Names are those of Python's pickletools. */
static const struct Opcode {
    OpcodeAction *act;
    int number;
} opcodes[256] = {
    [0x80] = {skip_bytes, 1},           /* PROTO */
    [0x95] = {skip_bytes, 8},           /* FRAME */
    ['N'] = {push_empty, PICKLE_NONE},  /* NONE */
    [')'] = {push_empty, PICKLE_LIST},  /* EMPTY_TUPLE */
    [']'] = {push_empty, PICKLE_LIST},  /* EMPTY_LIST */
    [0x8f] = {push_empty, PICKLE_LIST}, /* EMPTY_SET */
    ['}'] = {push_empty, PICKLE_DICT},  /* EMPTY_DICT */
    [0x88] = {push_bool, true},         /* NEWTRUE */
    [0x89] = {push_bool, false},        /* NEWFALSE */
    ['J'] = {push_signed, 4},           /* BININT */
    ['K'] = {push_unsigned, 1},         /* BININT1 */
    ['M'] = {push_unsigned, 2},         /* BININT2 */
    ['I'] = {push_decimal, 0},          /* INT */
    ['L'] = {push_decimal, 0},          /* LONG */
    [0x8a] = {push_long, 1},            /* LONG1 */
    [0x8b] = {push_long, 4},            /* LONG4 */
    ['F'] = {push_decimal_real, 0},     /* FLOAT */
    ['G'] = {push_real, 0},             /* BINFLOAT */
    ['S'] = {push_quoted_text, 0},      /* STRING */
    ['V'] = {push_line, 0},             /* UNICODE */
    ['U'] = {push_text, 1},             /* SHORT_BINSTRING */
    ['C'] = {push_text, 1},             /* SHORT_BINBYTES */
    [0x8c] = {push_text, 1},            /* SHORT_BINUNICODE */
    ['T'] = {push_text, 4},             /* BINSTRING */
    ['B'] = {push_text, 4},             /* BINBYTES */
    ['X'] = {push_text, 4},             /* BINUNICODE */
    [0x8d] = {push_text, 8},            /* BINUNICODE8 */
    [0x8e] = {push_text, 8},            /* BINBYTES8 */
    [0x96] = {push_text, 8},            /* BYTEARRAY8 */
    ['('] = {push_mark, 0},             /* MARK */
    ['t'] = {push_marked, 0},           /* TUPLE */
    ['l'] = {push_marked, 0},           /* LIST */
    [0x91] = {push_marked, 0},          /* FROZENSET */
    [0x85] = {push_tuple, 1},           /* TUPLE1 */
    [0x86] = {push_tuple, 2},           /* TUPLE2 */
    [0x87] = {push_tuple, 3},           /* TUPLE3 */
    ['d'] = {push_dict, 0},             /* DICT */
    ['a'] = {append_one, 0},            /* APPEND */
    ['e'] = {append_marked, 0},         /* APPENDS */
    [0x90] = {append_marked, 0},        /* ADDITEMS */
    ['s'] = {set_one_item, 0},          /* SETITEM */
    ['u'] = {set_marked_items, 0},      /* SETITEMS */
    ['0'] = {pop_value, 0},             /* POP */
    ['1'] = {pop_to_mark, 0},           /* POP_MARK */
    ['2'] = {push_again, 0},            /* DUP */
    ['p'] = {remember_by_line, 0},      /* PUT */
    ['q'] = {remember_by_number, 1},    /* BINPUT */
    ['r'] = {remember_by_number, 4},    /* LONG_BINPUT */
    [0x94] = {remember_next, 0},        /* MEMOIZE */
    ['g'] = {recall_by_line, 0},        /* GET */
    ['h'] = {recall_by_number, 1},      /* BINGET */
    ['j'] = {recall_by_number, 4},      /* LONG_BINGET */
    ['c'] = {push_named_class, 0},      /* GLOBAL */
    [0x93] = {push_stacked_class, 0},   /* STACK_GLOBAL */
    ['R'] = {push_reduced, 0},          /* REDUCE */
    [0x81] = {push_reduced, 0},         /* NEWOBJ */
    [0x92] = {push_reduced_by_name, 0}, /* NEWOBJ_EX */
    ['i'] = {instantiate_named, 0},     /* INST */
    ['o'] = {instantiate_marked, 0},    /* OBJ */
    ['b'] = {build_state, 0},           /* BUILD */
    ['P'] = {push_outside_line, 0},     /* PERSID */
    ['Q'] = {push_outside_value, 0},    /* BINPERSID */
};

static void execute_opcode(Machine *m, int opcode) {
    const struct Opcode *row = &opcodes[opcode];
    if (row->act) row->act(m, row->number);
    else unknown_opcode(m, opcode);
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

/* ---- access to values ---- */

Pickled *pickle_get(const Pickled *dict, const char *key) {
    if (!dict || dict->kind != PICKLE_DICT) return NULL;
    for (int i = dict->items.count - 2; i >= 0; i -= 2) { /* of equal keys the last one counts */
        const Pickled *name = dict->items.items[i];
        if (name->kind == PICKLE_TEXT && strcmp(name->text, key) == 0) return dict->items.items[i + 1];
    }
    return NULL;
}

bool pickle_is_class(const Pickled *value, const char *name) {
    return value && value->kind == PICKLE_CLASS && strcmp(value->text, name) == 0;
}
