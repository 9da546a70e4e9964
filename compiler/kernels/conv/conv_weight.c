/* convolution_backward_weights: dw[o, i, k] = the sum over images and outputs p of x[n,
 * i, stride * p + dilation * k - before] * dy[n, o, p].
 *
 *     task: OUTPUTS x INPUTS channels of one group, one tap
 *       sums[OUTPUTS][INPUTS] = 0
 *       for each image, for each row of dy whose tap lies on the map
 *         for each vector of the row                     masked where x or dy ends
 *           sums[o][i] += dy[o] * x[i]
 *       each sum: its lanes added up, epilogue, store
 *
 * There are eight loads to sixteen multiply-adds. */
#include "kernels/conv/conv_any.h"

enum { OUTPUTS = 4, INPUTS = 4 };

static const Node *weight_anchor(const AnyConv *c) { return c->kernel->anchor; }

static LLVMValueRef operand_size(const AnyConv *c, int operand, int axis) {
    return get_dim(c->m, weight_anchor(c)->inputs[operand]->shape.dims[2 + axis]);
}

static Dim channel_tiles(Dims *dims, Dim channels, int64_t groups, int64_t each) {
    return dim_ceil_div(dims, dim_floor_div(dims, channels, groups), each);
}

Dim conv_weight_tasks(const AnyConv *c) {
    Dims *dims = c->kernel->program->graph->dims;
    Shape w = weight_anchor(c)->shape;
    Dim tasks = dim_mul(dims, channel_tiles(dims, w.dims[0], c->groups, OUTPUTS),
                        channel_tiles(dims, w.dims[1], 1, INPUTS));
    tasks = dim_scale(dims, tasks, c->groups);
    for (int i = 0; i < c->axes; i++) tasks = dim_scale(dims, tasks, c->taps[i]);
    return tasks;
}

typedef struct WeightWalk {
    AnyConv *c;
    LLVMValueRef group, first_output, first_input, tap[MAX_AXES];
    LLVMValueRef outputs, inputs; /* channels of a group */
    Point x, dy;
} WeightWalk;

/* Channel `i` of the tile, or the last channel. */
static LLVMValueRef readable_lanes(WeightWalk *w, LLVMValueRef first, int i, LLVMValueRef count) {
    Module *m = w->c->m;
    LLVMValueRef channel = emit_min(m, emit_add(m, first, get_i64(m, i)), emit_sub(m, count, get_i64(m, 1)));
    return emit_add(m, emit_mul(m, w->group, count), channel);
}

static LLVMValueRef source_of_place(WeightWalk *w, int axis, LLVMValueRef p) {
    Module *m = w->c->m;
    LLVMValueRef offset = emit_sub(m, emit_mul(m, w->tap[axis], get_i64(m, w->c->dilation[axis])),
                                   get_i64(m, w->c->before[axis]));
    return emit_add(m, emit_mul(m, p, get_i64(m, w->c->stride[axis])), offset);
}

static void add_vectors(WeightWalk *w, LoopCarried *sums) {
    AnyConv *c = w->c;
    Module *m = c->m;
    int last = c->axes - 1;
    LLVMValueRef width = operand_size(c, 1, last), map = operand_size(c, 0, last);
    Loop loop = begin_loop_carried(m, sums, get_i64(m, 0), width, c->lanes);
    w->dy.at[2 + last] = coord_lanes(loop.index, 1);
    w->x.at[2 + last] = coord_lanes(source_of_place(w, last, loop.index), c->stride[last]);
    LLVMValueRef exists = get_inside(m, &w->dy.at[2 + last], c->lanes, width);
    LLVMValueRef inside = get_inside(m, &w->x.at[2 + last], c->lanes, map);
    LLVMValueRef mask = LLVMBuildAnd(m->builder, exists, inside, "");
    w->dy.mask = w->x.mask = mask;
    LLVMValueRef x[INPUTS];
    for (int i = 0; i < INPUTS; i++) {
        w->x.at[1] = coord_fixed(readable_lanes(w, w->first_input, i, w->inputs));
        x[i] = any_load(c, 0, &w->x);
    }
    for (int o = 0; o < OUTPUTS; o++) {
        w->dy.at[1] = coord_fixed(readable_lanes(w, w->first_output, o, w->outputs));
        LLVMValueRef dy = any_load(c, 1, &w->dy);
        for (int i = 0; i < INPUTS; i++)
            sums->at[o * INPUTS + i] = emit_muladd(m, x[i], dy, sums->at[o * INPUTS + i]);
    }
    end_loop_carried(m, &loop, sums);
}

/* Loops over the rows of dy whose tap is inside the map, axis by axis. */
static void add_rows(WeightWalk *w, int axis, LoopCarried *sums) {
    AnyConv *c = w->c;
    Module *m = c->m;
    if (axis == c->axes - 1) {
        add_vectors(w, sums);
        return;
    }
    LLVMValueRef count = operand_size(c, 1, axis), map = operand_size(c, 0, axis);
    Loop loop = begin_loop_carried(m, sums, get_i64(m, 0), count, 1);
    LLVMValueRef row = source_of_place(w, axis, loop.index);
    Loop reads = begin_loop_carried_if(m, sums, LLVMBuildICmp(m->builder, LLVMIntULT, row, map, ""));
    w->dy.at[2 + axis] = coord_fixed(loop.index);
    w->x.at[2 + axis] = coord_fixed(row);
    add_rows(w, axis + 1, sums);
    end_loop_carried(m, &reads, sums);
    end_loop_carried(m, &loop, sums);
}

static void store_sum(WeightWalk *w, int o, int i, LLVMValueRef sum) {
    AnyConv *c = w->c;
    Module *m = c->m;
    LLVMValueRef output = emit_add(m, w->first_output, get_i64(m, o)),
                 input = emit_add(m, w->first_input, get_i64(m, i));
    LLVMValueRef has_output = LLVMBuildICmp(m->builder, LLVMIntSLT, output, w->outputs, "");
    LLVMValueRef has_input = LLVMBuildICmp(m->builder, LLVMIntSLT, input, w->inputs, "");
    Branch exists = begin_if(m, LLVMBuildAnd(m->builder, has_output, has_input, ""));
    Point point = {.rank = c->axes + 2, .lanes = 1};
    point.at[0] = coord_fixed(emit_add(m, emit_mul(m, w->group, w->outputs), output));
    point.at[1] = coord_fixed(input);
    for (int k = 0; k < c->axes; k++) point.at[2 + k] = coord_fixed(w->tap[k]);
    emit_epilogue_store(&c->epilogue, &point, emit_lane_sum(m, sum));
    end_if(m, &exists);
}

static void find_weight_task(WeightWalk *w, LLVMValueRef task) {
    AnyConv *c = w->c;
    Module *m = c->m;
    Dims *dims = c->kernel->program->graph->dims;
    Shape shape = weight_anchor(c)->shape;
    for (int i = c->axes - 1; i >= 0; i--) w->tap[i] = take_part(m, &task, get_i64(m, c->taps[i]));
    w->first_input =
        emit_mul(m, take_part(m, &task, get_dim(m, channel_tiles(dims, shape.dims[1], 1, INPUTS))),
                 get_i64(m, INPUTS));
    LLVMValueRef output_tiles = get_dim(m, channel_tiles(dims, shape.dims[0], c->groups, OUTPUTS));
    w->first_output = emit_mul(m, take_part(m, &task, output_tiles), get_i64(m, OUTPUTS));
    w->group = task;
    w->inputs = get_dim(m, shape.dims[1]);
    w->outputs = get_dim(m, dim_floor_div(dims, shape.dims[0], c->groups));
}

void emit_conv_weight_task(AnyConv *c, LLVMValueRef task) {
    Module *m = c->m;
    WeightWalk w = {.c = c,
                    .x = {.rank = c->axes + 2, .lanes = c->lanes},
                    .dy = {.rank = c->axes + 2, .lanes = c->lanes}};
    find_weight_task(&w, task);
    LoopCarried sums = {.count = OUTPUTS * INPUTS};
    any_clear_sums(c, &sums);
    Loop images = begin_loop_carried(m, &sums, get_i64(m, 0),
                                     get_dim(m, weight_anchor(c)->inputs[0]->shape.dims[0]), 1);
    w.x.at[0] = w.dy.at[0] = coord_fixed(images.index);
    add_rows(&w, 0, &sums);
    end_loop_carried(m, &images, &sums);
    for (int o = 0; o < OUTPUTS; o++)
        for (int i = 0; i < INPUTS; i++) store_sum(&w, o, i, sums.at[o * INPUTS + i]);
}
