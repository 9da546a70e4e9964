/* convolution_weight: dw[o, i, k] = the sum over images and outputs p of x[n, i, stride * p + dilation * k - before] * dy[n,
 * o, p].
 *
 *     task: OUTPUTS x INPUTS channels of one group, one tap
 *       sums[OUTPUTS][INPUTS] = 0
 *       for each image, for each row of dy whose tap lies on the map
 *         for each vector of the row                     masked where x or dy ends
 *           sums[o][i] += dy[o] * x[i]
 *       each sum: its lanes added up, tail, store
 *
 * Eight loads go to sixteen multiply-adds. */
#include "kernels/conv/conv_any.h"

enum { OUTPUTS = 4, INPUTS = 4 };

static const Node *anchor_of(const AnyConv *c) {
    return c->kernel->anchor;
}

static LLVMValueRef operand_size(const AnyConv *c, int operand, int axis) {
    return get_dim(c->m, anchor_of(c)->inputs[operand]->shape.dims[2 + axis]);
}

static Dim tiles(Dims *dims, Dim channels, int64_t groups, int64_t each) {
    return dim_ceil_div(dims, dim_floor_div(dims, channels, groups), each);
}

Dim conv_weight_tasks(const AnyConv *c) {
    Dims *dims = c->kernel->program->graph->dims;
    Shape w = anchor_of(c)->shape;
    Dim tasks = dim_mul(dims, tiles(dims, w.dims[0], c->groups, OUTPUTS), tiles(dims, w.dims[1], 1, INPUTS));
    tasks = dim_scale(dims, tasks, c->groups);
    for (int i = 0; i < c->axes; i++) tasks = dim_scale(dims, tasks, c->taps[i]);
    return tasks;
}

typedef struct Walk {
    AnyConv *c;
    LLVMValueRef group, first_output, first_input, tap[MOST_AXES];
    LLVMValueRef outputs, inputs; /* channels of a group */
    Point x, dy;
} Walk;

/* Channel `i` of the tile, or the last there is. */
static LLVMValueRef readable(Walk *w, LLVMValueRef first, int i, LLVMValueRef count) {
    Module *m = w->c->m;
    LLVMValueRef channel = emit_min(m, emit_add(m, first, get_i64(m, i)), emit_sub(m, count, get_i64(m, 1)));
    return emit_add(m, emit_mul(m, w->group, count), channel);
}

static LLVMValueRef place(Walk *w, int axis, LLVMValueRef p) {
    Module *m = w->c->m;
    LLVMValueRef offset = emit_sub(m, emit_mul(m, w->tap[axis], get_i64(m, w->c->dilation[axis])), get_i64(m, w->c->before[axis]));
    return emit_add(m, emit_mul(m, p, get_i64(m, w->c->stride[axis])), offset);
}

static void add_vectors(Walk *w, Carried *sums) {
    AnyConv *c = w->c;
    Module *m = c->m;
    int last = c->axes - 1;
    LLVMValueRef width = operand_size(c, 1, last), map = operand_size(c, 0, last);
    Loop loop = begin_carrying(m, sums, get_i64(m, 0), width, c->lanes);
    w->dy.at[2 + last] = coord_lanes(loop.index, 1);
    w->x.at[2 + last] = coord_lanes(place(w, last, loop.index), c->stride[last]);
    LLVMValueRef exists = get_inside(m, &w->dy.at[2 + last], c->lanes, width);
    LLVMValueRef inside = get_inside(m, &w->x.at[2 + last], c->lanes, map);
    LLVMValueRef mask = LLVMBuildAnd(m->builder, exists, inside, "");
    w->dy.mask = w->x.mask = mask;
    LLVMValueRef x[INPUTS];
    for (int i = 0; i < INPUTS; i++) {
        w->x.at[1] = coord_fixed(readable(w, w->first_input, i, w->inputs));
        x[i] = any_load(c, 0, &w->x);
    }
    for (int o = 0; o < OUTPUTS; o++) {
        w->dy.at[1] = coord_fixed(readable(w, w->first_output, o, w->outputs));
        LLVMValueRef dy = any_load(c, 1, &w->dy);
        for (int i = 0; i < INPUTS; i++) sums->at[o * INPUTS + i] = emit_muladd(m, x[i], dy, sums->at[o * INPUTS + i]);
    }
    end_carrying(m, &loop, sums);
}

/* The rows of dy whose tap lies on the map, axis by axis. */
static void add_rows(Walk *w, int axis, Carried *sums) {
    AnyConv *c = w->c;
    Module *m = c->m;
    if (axis == c->axes - 1) {
        add_vectors(w, sums);
        return;
    }
    LLVMValueRef count = operand_size(c, 1, axis), map = operand_size(c, 0, axis);
    Loop loop = begin_carrying(m, sums, get_i64(m, 0), count, 1);
    LLVMValueRef row = place(w, axis, loop.index);
    Loop reads = begin_carrying_if(m, sums, LLVMBuildICmp(m->builder, LLVMIntULT, row, map, ""));
    w->dy.at[2 + axis] = coord_fixed(loop.index);
    w->x.at[2 + axis] = coord_fixed(row);
    add_rows(w, axis + 1, sums);
    end_carrying(m, &reads, sums);
    end_carrying(m, &loop, sums);
}

static void store_sum(Walk *w, int o, int i, LLVMValueRef sum) {
    AnyConv *c = w->c;
    Module *m = c->m;
    LLVMValueRef output = emit_add(m, w->first_output, get_i64(m, o)), input = emit_add(m, w->first_input, get_i64(m, i));
    LLVMValueRef has_output = LLVMBuildICmp(m->builder, LLVMIntSLT, output, w->outputs, "");
    LLVMValueRef has_input = LLVMBuildICmp(m->builder, LLVMIntSLT, input, w->inputs, "");
    Branch exists = begin_if(m, LLVMBuildAnd(m->builder, has_output, has_input, ""));
    Point point = {.rank = c->axes + 2, .lanes = 1};
    point.at[0] = coord_fixed(emit_add(m, emit_mul(m, w->group, w->outputs), output));
    point.at[1] = coord_fixed(input);
    for (int k = 0; k < c->axes; k++) point.at[2 + k] = coord_fixed(w->tap[k]);
    emit_tail_store(&c->tail, &point, emit_lane_sum(m, sum));
    end_if(m, &exists);
}

static void find_task(Walk *w, LLVMValueRef task) {
    AnyConv *c = w->c;
    Module *m = c->m;
    Dims *dims = c->kernel->program->graph->dims;
    Shape shape = anchor_of(c)->shape;
    for (int i = c->axes - 1; i >= 0; i--) w->tap[i] = take_part(m, &task, get_i64(m, c->taps[i]));
    w->first_input = emit_mul(m, take_part(m, &task, get_dim(m, tiles(dims, shape.dims[1], 1, INPUTS))), get_i64(m, INPUTS));
    LLVMValueRef output_tiles = get_dim(m, tiles(dims, shape.dims[0], c->groups, OUTPUTS));
    w->first_output = emit_mul(m, take_part(m, &task, output_tiles), get_i64(m, OUTPUTS));
    w->group = task;
    w->inputs = get_dim(m, shape.dims[1]);
    w->outputs = get_dim(m, dim_floor_div(dims, shape.dims[0], c->groups));
}

void emit_conv_weight_task(AnyConv *c, LLVMValueRef task) {
    Module *m = c->m;
    Walk w = {.c = c, .x = {.rank = c->axes + 2, .lanes = c->lanes}, .dy = {.rank = c->axes + 2, .lanes = c->lanes}};
    find_task(&w, task);
    Carried sums = {.count = OUTPUTS * INPUTS};
    for (int i = 0; i < sums.count; i++) sums.at[i] = LLVMConstNull(get_vector(m, m->f32, c->lanes));
    Loop images = begin_carrying(m, &sums, get_i64(m, 0), get_dim(m, anchor_of(c)->inputs[0]->shape.dims[0]), 1);
    w.x.at[0] = w.dy.at[0] = coord_fixed(images.index);
    add_rows(&w, 0, &sums);
    end_carrying(m, &images, &sums);
    for (int o = 0; o < OUTPUTS; o++)
        for (int i = 0; i < INPUTS; i++) store_sum(&w, o, i, sums.at[o * INPUTS + i]);
}
