/* The layouts of values of the reference. Operators that move elements copy nothing: a
 * transposed, sliced or broadcast tensor is another layout of the same memory, as in
 * numpy. Sums, products and elementwise operators read it in place. */
#include "graph/ops.h"

RefLayout layout_plain(const RefShape *shape) {
    RefLayout layout = {0};
    int64_t stride = 1;
    for (int i = shape->rank - 1; i >= 0; i--) {
        layout.strides[i] = stride;
        stride *= shape->dims[i];
    }
    return layout;
}

RefLayout ref_layout(const RefCall *call, int input) {
    return call->layouts ? call->layouts[input] : layout_plain(&call->input_shapes[input]);
}

/* Axes of size 1 may have any stride. */
bool layout_is_plain(const RefShape *shape, const RefLayout *layout) {
    RefLayout plain = layout_plain(shape);
    bool same = true;
    for (int i = 0; i < shape->rank; i++)
        same = same && (shape->dims[i] == 1 || layout->strides[i] == plain.strides[i]);
    return same || shape->count == 0;
}

bool layout_has_rows(const RefShape *shape, const RefLayout *layout) {
    int last = shape->rank - 1;
    while (last >= 0 && shape->dims[last] == 1) last--;
    return last < 0 || layout->strides[last] == 1 || layout->strides[last] == 0;
}

/* ---- walks ---- */

/* Whether in all layouts axis `i` can be merged with the walk's last one. */
static bool layouts_go_on(const RefWalk *walk, const RefShape *shape, const RefLayout *layouts, int i) {
    bool as_one = walk->rank > 0;
    for (int k = 0; k < walk->operands; k++)
        as_one = as_one && walk->of[k].strides[walk->rank - 1] == layouts[k].strides[i] * shape->dims[i];
    return as_one;
}

RefWalk walk_begin(const RefShape *shape, const RefLayout *layouts, int operands) {
    RefWalk walk = {.operands = operands, .inner = 1};
    for (int i = 0; i < shape->rank; i++) {
        if (shape->dims[i] == 1) continue;
        bool as_one = layouts_go_on(&walk, shape, layouts, i);
        int at = as_one ? walk.rank - 1 : walk.rank++;
        walk.dims[at] = as_one ? walk.dims[at] * shape->dims[i] : shape->dims[i];
        for (int k = 0; k < operands; k++) walk.of[k].strides[at] = layouts[k].strides[i];
    }
    if (walk.rank > 0) walk.inner = walk.dims[--walk.rank];
    for (int k = 0; k < operands; k++) walk.of[k].step = walk.of[k].strides[walk.rank];
    walk.rows = walk.inner ? shape->count / walk.inner : 0;
    return walk;
}

void walk_next(RefWalk *walk) {
    for (int axis = walk->rank - 1; axis >= 0; axis--) {
        bool ends = ++walk->index[axis] == walk->dims[axis];
        if (ends) walk->index[axis] = 0;
        for (int k = 0; k < walk->operands; k++)
            walk->of[k].at += walk->of[k].strides[axis] * (ends ? 1 - walk->dims[axis] : 1);
        if (!ends) return;
    }
}

void walk_seek(RefWalk *walk, int64_t row) {
    for (int k = 0; k < walk->operands; k++) walk->of[k].at = 0;
    for (int axis = walk->rank - 1; axis >= 0; row /= walk->dims[axis--]) {
        walk->index[axis] = row % walk->dims[axis];
        for (int k = 0; k < walk->operands; k++)
            walk->of[k].at += walk->index[axis] * walk->of[k].strides[axis];
    }
}

/* Each axis of `to` must be a run of contiguous elements, or divide one. */
bool layout_reshape(const RefShape *from, const RefLayout *in, const RefShape *to, RefLayout *out) {
    if (layout_is_plain(from, in)) return *out = layout_plain(to), true;
    RefWalk walk = walk_begin(from, in, 1);
    int axis = walk.rank;
    int64_t left = walk.inner, stride = walk.of[0].step;
    for (int i = to->rank - 1; i >= 0; i--) {
        if (to->dims[i] == 1) continue;
        if (left == 1) left = walk.dims[--axis], stride = walk.of[0].strides[axis];
        if (left % to->dims[i] != 0) return false;
        out->strides[i] = stride;
        stride *= to->dims[i];
        left /= to->dims[i];
    }
    return true;
}

/* ---- copies ---- */

static void copy_row(Number *to, int64_t to_step, const Number *from, int64_t step, int64_t count) {
    if (step == 1 && to_step == 1) memcpy(to, from, sizeof *to * (size_t)count);
    else
        for (int64_t i = 0; i < count; i++) to[i * to_step] = from[i * step];
}

/* How many rows to copy together: a transpose reads cache lines across its rows, so eight
 * rows share each line. */
static int64_t rows_together(const RefWalk *walk) {
    int axis = walk->rank - 1;
    if (axis < 0 || walk->of[0].strides[axis] != 1) return 1;
    return min_i64(8, walk->dims[axis] - walk->index[axis]);
}

static void copy_rows(const RefWalk *walk, int64_t rows, Number *to, const Number *from) {
    int64_t step = walk->of[0].step, to_step = walk->of[1].step, to_row = walk->of[1].strides[walk->rank - 1];
    for (int64_t i = 0; i < walk->inner; i++)
        for (int64_t r = 0; r < rows; r++) to[r * to_row + i * to_step] = from[i * step + r];
}

typedef struct Copy {
    RefWalk walk;
    const Number *from;
    Number *to;
} Copy;

static void copy_part(void *context, int64_t begin, int64_t end) {
    const Copy *copy = context;
    RefWalk walk = copy->walk;
    walk_seek(&walk, begin);
    for (int64_t row = begin, rows; row < end; row += rows) {
        const Number *from = copy->from + walk.of[0].at;
        Number *to = copy->to + walk.of[1].at;
        rows = min_i64(rows_together(&walk), end - row);
        if (rows == 1) copy_row(to, walk.of[1].step, from, walk.of[0].step, walk.inner);
        else copy_rows(&walk, rows, to, from);
        for (int64_t r = 0; r < rows; r++) walk_next(&walk);
    }
}

void layout_copy(const RefShape *shape, const Number *from, const RefLayout *from_layout, Number *to,
                 const RefLayout *to_layout) {
    Copy copy = {walk_begin(shape, (RefLayout[]){*from_layout, *to_layout}, 2), from, to};
    parallel_for(copy.walk.rows, copy.walk.inner, copy_part, &copy);
}

void layout_read(const RefShape *shape, const Number *from, const RefLayout *layout, Number *out) {
    RefLayout plain = layout_plain(shape);
    layout_copy(shape, from, layout, out, &plain);
}
