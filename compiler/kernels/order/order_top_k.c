/* The places of the k largest or smallest elements along an axis. A task is a line.
 * Elements become sort keys that contain their places (order.h).
 *
 * If k is small, or the line is short, the best keys so far are a sorted list, into which
 * better ones are inserted:
 *
 *     for each element: if key < list[k - 1]:
 *       for p = k - 1 .. 1: list[p] = max(list[p - 1], min(list[p], key)); list[0] = min(list[0], key)
 *
 * With random elements, this happens k log(n / k) times. Otherwise all elements are
 * sorted by digits, in four passes over the line. */
#include "kernels/order/order.h"

enum { MAX_LISTED = 16, SHORT_LINE = 32 };

typedef struct TopK {
    Module *m;
    const Kernel *kernel;
    const top_k_attributes *attributes;
    Point at; /* the line's coordinates, and those of an element */
    LLVMValueRef size, k;
} TopK;

static bool is_listed_output(const Node *node) {
    const top_k_attributes *top = ATTRIBUTES(node, top_k);
    int64_t k, size;
    if (!dim_is_const(top->k.items[0], &k)) return false;
    return k <= MAX_LISTED ||
           (dim_is_const(node->inputs[0]->shape.dims[top->axis], &size) && size <= SHORT_LINE);
}

/* The keys of the list, or of all elements. */
Dim top_k_scratch(const Kernel *kernel) {
    const Node *node = kernel->anchor;
    Dims *dims = kernel->program->graph->dims;
    const top_k_attributes *top = ATTRIBUTES(node, top_k);
    return is_listed_output(node) ? dim_scale(dims, top->k.items[0], sizeof(int64_t))
                                  : sort_bytes(dims, node->inputs[0]->shape.dims[top->axis]);
}

void top_k_settle(Program *program, Kernel *kernel) {
    (void)program;
    const Node *node = kernel->anchor;
    kernel->tasks = count_lines(kernel, node->shape, (int)ATTRIBUTES(node, top_k)->axis);
    kernel_set_name(kernel, "top_k_%s", is_listed_output(node) ? "list" : "digits");
}

static LLVMValueRef emit_element_key(TopK *t, LLVMValueRef place) {
    Point point = t->at;
    point.at[t->attributes->axis] = coord_fixed(place);
    LLVMValueRef element = emit_value_load(t->m, t->kernel->inputs[0], get_argument(t->m, 1), &point);
    return emit_sort_key(t->m, element, t->kernel->inputs[0]->node->shape.type, t->attributes->largest,
                         place);
}

static void emit_key_places(TopK *t, LLVMValueRef keys) {
    Module *m = t->m;
    Loop loop = begin_loop(m, get_i64(m, 0), t->k, 1);
    Point point = t->at;
    point.at[t->attributes->axis] = coord_fixed(loop.index);
    emit_value_store(m, t->kernel->output, get_argument(m, 0), &point,
                     emit_key_place(m, load_key(m, keys, loop.index)));
    end_loop(m, &loop);
}

/* ---- the list of the best ---- */

static LLVMValueRef key_min(Module *m, LLVMValueRef a, LLVMValueRef b) {
    return emit_intrinsic(m, "llvm.umin", m->i64, (LLVMValueRef[]){a, b}, 2);
}

static LLVMValueRef key_max(Module *m, LLVMValueRef a, LLVMValueRef b) {
    return emit_intrinsic(m, "llvm.umax", m->i64, (LLVMValueRef[]){a, b}, 2);
}

static void emit_enter(TopK *t, LLVMValueRef list, LLVMValueRef key) {
    Module *m = t->m;
    LLVMValueRef one = get_i64(m, 1), zero = get_i64(m, 0);
    Loop loop = begin_loop(m, one, t->k, 1);
    LLVMValueRef at = emit_sub(m, t->k, loop.index), above = load_key(m, list, emit_sub(m, at, one));
    store_key(m, list, at, key_max(m, above, key_min(m, load_key(m, list, at), key)));
    end_loop(m, &loop);
    store_key(m, list, zero, key_min(m, load_key(m, list, zero), key));
}

static void emit_by_list(TopK *t) {
    Module *m = t->m;
    LLVMValueRef list = m->scratch;
    Loop clear = begin_loop(m, get_i64(m, 0), t->k, 1);
    store_key(m, list, clear.index, get_i64(m, -1));
    end_loop(m, &clear);
    Loop loop = begin_loop(m, get_i64(m, 0), t->size, 1);
    LLVMValueRef key = emit_element_key(t, loop.index),
                 worst = load_key(m, list, emit_sub(m, t->k, get_i64(m, 1)));
    Branch enters = begin_if(m, LLVMBuildICmp(m->builder, LLVMIntULT, key, worst, ""));
    emit_enter(t, list, key);
    end_if(m, &enters);
    end_loop(m, &loop);
    emit_key_places(t, list);
}

/* ---- all of them ---- */

static void emit_by_digits(TopK *t) {
    Module *m = t->m;
    LLVMValueRef keys = sort_keys(m, m->scratch);
    begin_keys(m, m->scratch);
    Loop loop = begin_loop(m, get_i64(m, 0), t->size, 1);
    LLVMValueRef key = emit_element_key(t, loop.index);
    store_key(m, keys, loop.index, key);
    count_key(m, m->scratch, key);
    end_loop(m, &loop);
    sort_keys_by_digits(m, m->scratch, t->size, t->size);
    emit_key_places(t, keys);
}

void top_k_emit(Module *m, const Kernel *kernel) {
    const Node *node = kernel->anchor;
    TopK t = {.m = m,
              .kernel = kernel,
              .attributes = ATTRIBUTES(node, top_k),
              .at = {.rank = node->shape.rank, .lanes = 1}};
    int axis = (int)t.attributes->axis;
    t.size = get_dim(m, node->inputs[0]->shape.dims[axis]);
    t.k = get_dim(m, node->shape.dims[axis]);
    Loop tasks = begin_loop(m, m->begin, m->end, 1);
    find_line(m, node->shape, axis, tasks.index, &t.at);
    if (is_listed_output(node)) emit_by_list(&t);
    else emit_by_digits(&t);
    end_loop(m, &tasks);
}
