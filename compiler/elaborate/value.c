/* Compile-time values: making, comparing and printing them. */
#include "elaborate/evaluator.h"

const Value value_error = {.kind = VALUE_ERROR};
const Value value_none = {.kind = VALUE_NONE};

Value value_bool(bool truth) { return (Value){.kind = VALUE_BOOL, .truth = truth}; }
Value value_int(int64_t integer) { return (Value){.kind = VALUE_INT, .integer = integer}; }
Value value_real(double real) { return (Value){.kind = VALUE_REAL, .real = real}; }
double value_as_real(Value v) { return v.kind == VALUE_INT ? (double)v.integer : v.real; }
Value value_string(Name string) { return (Value){.kind = VALUE_STRING, .string = string}; }

Value value_dim(Dim dim) {
    int64_t value;
    if (dim_is_fixed(dim, &value)) return value_int(value);
    return (Value){.kind = VALUE_DIM, .dim = dim};
}

Value value_node(Node *node) { return node ? (Value){.kind = VALUE_TENSOR, .node = node} : value_error; }

Value value_list(Arena *arena, ValueKind kind, const Value *items, const Name *names, int count) {
    List *list = NEW(arena, List);
    list->count = count;
    list->items = arena_copy(arena, items, sizeof *items * (size_t)count);
    for (int i = 0; i < count; i++) list->total += value_is_sequence(items[i]) ? items[i].list->total : 1;
    for (int i = 0; names && i < count; i++)
        if (names[i]) list->names = arena_copy(arena, names, sizeof *names * (size_t)count);
    return (Value){.kind = kind, .list = list};
}

bool value_is_number(Value v) { return v.kind == VALUE_INT || v.kind == VALUE_REAL; }
bool value_is_sequence(Value v) { return v.kind == VALUE_LIST || v.kind == VALUE_TUPLE; }

static bool lists_equal(const List *a, const List *b) {
    if (a->count != b->count) return false;
    for (int i = 0; i < a->count; i++)
        if (!value_equal(a->items[i], b->items[i])) return false;
    return true;
}

bool value_equal(Value a, Value b) {
    if (value_is_number(a) && value_is_number(b) && a.kind != b.kind) {
        double x = a.kind == VALUE_INT ? (double)a.integer : a.real,
               y = b.kind == VALUE_INT ? (double)b.integer : b.real;
        return x == y;
    }
    if (value_is_sequence(a) && value_is_sequence(b)) return lists_equal(a.list, b.list);
    if (a.kind != b.kind) return false;
    switch (a.kind) {
    case VALUE_ERROR: case VALUE_NONE: return true;
    case VALUE_BOOL: return a.truth == b.truth;
    case VALUE_INT: return a.integer == b.integer;
    case VALUE_REAL: return a.real == b.real;
    case VALUE_STRING: return strcmp(a.string, b.string) == 0;
    case VALUE_DIM: return a.dim == b.dim;
    case VALUE_BLOCK: return a.block == b.block;
    case VALUE_LAYER: return a.layer == b.layer;
    case VALUE_PRIMITIVE: return a.builtin == b.builtin;
    case VALUE_MODULE: return a.module == b.module;
    case VALUE_WEIGHT: return a.weight == b.weight;
    case VALUE_TENSOR: return a.node == b.node;
    case VALUE_LIST: case VALUE_TUPLE: return false; /* handled above */
    }
    return false;
}

const char *value_kind_name(Value v) {
    switch (v.kind) {
    case VALUE_ERROR: return "an error";
    case VALUE_NONE: return "nothing";
    case VALUE_BOOL: return "a bool";
    case VALUE_INT: return "an int";
    case VALUE_REAL: return "a float";
    case VALUE_STRING: return "a string";
    case VALUE_DIM: return "a size";
    case VALUE_LIST: return "a list";
    case VALUE_TUPLE: return "a tuple";
    case VALUE_BLOCK: return "a block";
    case VALUE_LAYER: return "a layer";
    case VALUE_PRIMITIVE: return "a function";
    case VALUE_MODULE: return "a file";
    case VALUE_WEIGHT: case VALUE_TENSOR: return "a tensor";
    }
    return "";
}

static void print_list(Text *out, const List *list, const char *open, const char *close) {
    text_add(out, "%s", open);
    for (int i = 0; i < list->count && i < 12; i++) {
        if (i) text_add(out, ", ");
        if (list->names && list->names[i]) text_add(out, "%s = ", list->names[i]);
        value_print(out, list->items[i]);
    }
    text_add(out, list->count > 12 ? ", ...%s" : "%s", close);
}

void value_print(Text *out, Value v) {
    switch (v.kind) {
    case VALUE_BOOL: text_add(out, v.truth ? "true" : "false"); break;
    case VALUE_INT: text_add(out, "%lld", (long long)v.integer); break;
    case VALUE_REAL: text_add_real(out, v.real); break;
    case VALUE_STRING: text_add(out, "%s", v.string); break;
    case VALUE_DIM: dim_print(out, v.dim); break;
    case VALUE_LIST: print_list(out, v.list, "[", "]"); break;
    case VALUE_TUPLE: print_list(out, v.list, "(", v.list->count == 1 ? ",)" : ")"); break;
    case VALUE_BLOCK: text_add(out, "%s", v.block->decl->name); break;
    case VALUE_LAYER: text_add(out, "%s", v.layer->path ? v.layer->path : layer_callee(v.layer)); break;
    case VALUE_PRIMITIVE: text_add(out, "%s", v.builtin->name); break;
    case VALUE_MODULE: text_add(out, "%s", v.module->name); break;
    case VALUE_WEIGHT: shape_print(out, v.weight->shape); break;
    case VALUE_TENSOR: shape_print(out, v.node->shape); break;
    case VALUE_ERROR: case VALUE_NONE: text_add(out, "%s", value_kind_name(v)); break;
    }
}

const char *value_describe(Arena *arena, Value v) {
    Text text = {.arena = arena};
    const char *quote = v.kind == VALUE_STRING ? "\"" : "";
    if (v.kind == VALUE_BLOCK || v.kind == VALUE_LAYER || v.kind == VALUE_PRIMITIVE || v.kind == VALUE_MODULE)
        text_add(&text, "%s ", value_kind_name(v) + 2);
    text_add(&text, "%s", quote);
    value_print(&text, v);
    text_add(&text, "%s", quote);
    return text_string(&text);
}
