/* Element types and shapes. */
#include "graph/graph.h"

static const struct {
    const char *name;
    int bytes;
    bool is_float;
    DType sum;
} types[] = {
    [DTYPE_F32] = {"f32", 4, true, DTYPE_F32},    [DTYPE_F16] = {"f16", 2, true, DTYPE_F32},
    [DTYPE_BF16] = {"bf16", 2, true, DTYPE_F32},  [DTYPE_I8] = {"i8", 1, false, DTYPE_I32},
    [DTYPE_I32] = {"i32", 4, false, DTYPE_I32},   [DTYPE_I64] = {"i64", 8, false, DTYPE_I64},
    [DTYPE_BOOL] = {"bool", 1, false, DTYPE_I32},
};

const char *dtype_name(DType type) { return types[type].name; }
int dtype_bytes(DType type) { return types[type].bytes; }
bool dtype_is_float(DType type) { return types[type].is_float; }
DType dtype_sum(DType type) { return types[type].sum; }

bool shape_dims_equal(Shape a, Shape b) {
    if (a.rank != b.rank) return false;
    for (int i = 0; i < a.rank; i++)
        if (a.dims[i] != b.dims[i]) return false;
    return true;
}

bool shape_equal(Shape a, Shape b) { return a.type == b.type && shape_dims_equal(a, b); }

void shape_print(Text *out, Shape shape) {
    text_add(out, "%s[", dtype_name(shape.type));
    for (int i = 0; i < shape.rank; i++) {
        if (i) text_add(out, ", ");
        dim_print(out, shape.dims[i]);
    }
    text_add(out, "]");
}

const char *shape_string(Arena *arena, Shape shape) {
    Text text = {.arena = arena};
    shape_print(&text, shape);
    return text_string(&text);
}

bool shape_element_count(Shape shape, int64_t *count) {
    *count = 1;
    for (int i = 0; i < shape.rank; i++) {
        int64_t size;
        if (!dim_is_const(shape.dims[i], &size) || __builtin_mul_overflow(*count, size, count)) return false;
    }
    return true;
}

int64_t node_element_count(const Node *node) {
    int64_t count;
    CHECK(shape_element_count(node->shape, &count));
    return count;
}

Dim shape_elements(Dims *dims, Shape shape) {
    Dim count = dim_const(dims, 1);
    for (int i = 0; i < shape.rank; i++) count = dim_mul(dims, count, shape.dims[i]);
    return count;
}
