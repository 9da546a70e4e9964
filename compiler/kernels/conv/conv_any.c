/* Any convolution over any number of axes, forward or transposed, of any floats, with
 * constant or computed weights: everything that the special kinds do not take. Lanes run
 * along the last axis of PLAIN tensors.
 *
 *     task: one image, one group, OUTPUTS of its output channels, one row (all axes but the last)
 *       for each phase of the last axis                      of a transposed convolution, else one
 *         for each VECTORS vectors of the row                at the edges masked, inside not
 *           sums[OUTPUTS][VECTORS] = 0
 *           for each input channel, for each tap of the outer axes that lies inside
 *             for each tap of the last axis                  unrolled, unless they are more than 64
 *               x[VECTORS] = load; for each output: w = one weight, broadcast; sums += x * w
 *           epilogue, store
 *
 * Eight sums hide the latency of the multiply-adds; there are three loads to eight
 * multiply-adds. */
#include "kernels/conv/conv_any.h"
#include <math.h>

enum { OUTPUTS = 4, VECTORS = 2, MAX_UNROLLED = 64 };

typedef struct AnyWalk {
    AnyConv *c;
    ConvAxis last; /* of the phase */
    LLVMValueRef image, group, first_output, first_outer[MAX_AXES];
    LLVMValueRef j; /* position along the last axis */
    bool masked;
} AnyWalk;

/* ---- attributes ---- */

static void read_any_attributes(AnyConv *c, const Node *node) {
    const Geometry *a = geometry_of(node);
    for (int i = 0; i < c->axes; i++) {
        c->stride[i] = a->stride.items[i];
        c->dilation[i] = a->dilation.items[i];
        c->before[i] = a->before.items[i];
    }
    c->groups = a->groups;
}

static bool any_conv(const Kernel *kernel, AnyConv *c) {
    const Node *node = kernel->anchor;
    if (!takes_anchor(KERNEL_conv_any, kernel)) return false;
    *c = (AnyConv){.kernel = kernel, .op = node->op, .axes = node->shape.rank - 2};
    c->types = contraction_types(node);
    if (c->axes < 1 || c->axes > MAX_AXES) return false;
    read_any_attributes(c, node);
    const Node *weights = node->op == OP_convolution_backward_weights ? node : node->inputs[1];
    for (int i = 0; i < c->axes; i++)
        if (!dim_is_const(weights->shape.dims[2 + i], &c->taps[i])) return false;
    return true;
}

/* ---- choice ---- */

static Dim output_tiles(Dims *dims, const AnyConv *c) {
    return dim_ceil_div(dims, dim_floor_div(dims, c->kernel->anchor->shape.dims[1], c->groups), OUTPUTS);
}

/* Much slower than the special kinds: a fifth of peak, or less where small maps leave
 * lanes empty. Empty lanes are counted where the alternative is to pack a weight that the
 * run computes: 512 channels at 2x2 take 3.4 ms here, and 1.0 ms packed. */
static double conv_any_cycles(const Kernel *kernel) {
    const Target *target = kernel->program->target;
    const Node *node = kernel->anchor,
               *w = node->op == OP_convolution_backward_weights ? node : node->inputs[1];
    const Node *map =
        node->op == OP_convolution ? node : node->inputs[node->op == OP_convolution_backward_data ? 0 : 1];
    const Dims *dims = kernel->program->graph->dims;
    double products =
        (double)dim_typical(dims, map->shape.dims[0]) * (double)dim_typical(dims, w->shape.dims[0]);
    for (int i = 1; i < w->shape.rank; i++) products *= (double)dim_typical(dims, w->shape.dims[i]);
    for (int i = 2; i < map->shape.rank; i++) products *= (double)dim_typical(dims, map->shape.dims[i]);
    double width = (double)max_i64(1, dim_typical(dims, map->shape.dims[map->shape.rank - 1]));
    bool computed = kernel->inputs[1]->space != SPACE_WEIGHTS;
    double vectors = computed ? ceil(width / target->lanes) * target->lanes / width : 1;
    return 5 * vectors * products / target->lanes / target->fmas_per_cycle;
}

bool conv_any_propose(const Kernel *kernel, Proposal *proposal) {
    AnyConv c;
    if (!any_conv(kernel, &c)) return false;
    prefer_formats(kernel, proposal, &format_plain, 2);
    proposal->tile = arena_copy(kernel->program->arena, &c, sizeof c);
    proposal->cycles = conv_any_cycles(kernel);
    return true;
}

void conv_any_settle(Program *program, Kernel *kernel) {
    static const char *const names[] = {
        [OP_convolution] = "forward", [OP_convolution_backward_data] = "transposed"};
    const AnyConv *c = kernel->proposal.tile;
    Dims *dims = program->graph->dims;
    Shape shape = kernel->anchor->shape;
    if (c->op == OP_convolution_backward_weights) {
        kernel->tasks = conv_weight_tasks(c);
        kernel_set_name(kernel, "conv_any_weight");
        return;
    }
    kernel->tasks = dim_scale(dims, dim_mul(dims, shape.dims[0], output_tiles(dims, c)), c->groups);
    for (int i = 0; i < c->axes - 1; i++) kernel->tasks = dim_mul(dims, kernel->tasks, shape.dims[2 + i]);
    kernel_set_name(kernel, "conv_any_%s", names[c->op]);
}

/* ---- the sums ---- */

LLVMValueRef any_load(AnyConv *c, int operand, const Point *point) {
    Module *m = c->m;
    LLVMValueRef value = emit_value_load(m, c->kernel->inputs[operand], get_argument(m, 1 + operand), point);
    value = emit_cast(m, value, operand == 0 ? c->types.left : c->types.right, c->types.sum);
    if (!point->mask) return value;
    return LLVMBuildSelect(m->builder, point->mask, value, LLVMConstNull(LLVMTypeOf(value)), "");
}

void any_clear_sums(const AnyConv *c, LoopCarried *sums) {
    for (int i = 0; i < sums->count; i++)
        sums->at[i] = LLVMConstNull(get_register_type(c->m, c->types.sum, c->lanes));
}

static Coord vector_coord(const AnyWalk *w, int vector, int64_t step, LLVMValueRef first) {
    Module *m = w->c->m;
    LLVMValueRef j = emit_add(m, w->j, get_i64(m, vector * w->c->lanes));
    return coord_lanes(emit_add(m, emit_affine(m, j, step, 0), first), step);
}

/* A tap of the last axis, for all outputs and vectors. `x` and `weight` are set except
 * for the last axis (and the weight's output). */
static void add_any_tap(AnyWalk *w, Point x, Point weight, LLVMValueRef tap, LoopCarried *sums) {
    AnyConv *c = w->c;
    Module *m = c->m;
    int last = 2 + c->axes - 1;
    LLVMValueRef input[VECTORS];
    for (int v = 0; v < VECTORS; v++) {
        x.at[last] = vector_coord(w, v, w->last.scale, emit_affine(m, tap, w->last.step, w->last.first));
        x.mask = w->masked ? get_inside(m, &x.at[last], c->lanes, get_dim(m, w->last.input)) : NULL;
        input[v] = any_load(c, 0, &x);
    }
    weight.at[last] = coord_fixed(emit_affine(m, tap, w->last.kernel_step, w->last.kernel_first));
    for (int o = 0; o < OUTPUTS; o++) {
        LLVMValueRef last_output = emit_sub(m, c->group_outputs, get_i64(m, 1));
        LLVMValueRef channel = emit_min(m, emit_add(m, w->first_output, get_i64(m, o)), last_output);
        if (c->op == OP_convolution)
            weight.at[0] = coord_fixed(emit_add(m, emit_mul(m, w->group, c->group_outputs), channel));
        else weight.at[1] = coord_fixed(channel);
        LLVMValueRef factor = get_splat(m, any_load(c, 1, &weight), c->lanes);
        for (int v = 0; v < VECTORS; v++)
            sums->at[o * VECTORS + v] = emit_muladd(m, input[v], factor, sums->at[o * VECTORS + v]);
    }
}

/* The place that tap `tap` of an outer axis reads for the row at `at`, and whether it is
 * inside the map. */
static LLVMValueRef find_outer(AnyWalk *w, int axis, LLVMValueRef at, LLVMValueRef tap, LLVMValueRef *place) {
    AnyConv *c = w->c;
    Module *m = c->m;
    LLVMValueRef size = get_dim(m, c->kernel->anchor->inputs[0]->shape.dims[2 + axis]);
    if (c->op == OP_convolution) {
        *place = emit_add(m, emit_affine(m, at, c->stride[axis], -c->before[axis]),
                          emit_affine(m, tap, c->dilation[axis], 0));
        return LLVMBuildICmp(m->builder, LLVMIntULT, *place, size, "");
    }
    LLVMValueRef reach =
        emit_sub(m, emit_add(m, at, get_i64(m, c->before[axis])), emit_affine(m, tap, c->dilation[axis], 0));
    LLVMValueRef stride = get_i64(m, c->stride[axis]);
    *place = LLVMBuildSDiv(m->builder, reach, stride, "");
    LLVMValueRef whole = LLVMBuildICmp(m->builder, LLVMIntEQ, emit_mul(m, *place, stride), reach, "");
    return emit_and(m, whole, LLVMBuildICmp(m->builder, LLVMIntULT, *place, size, ""));
}

static void add_last_taps(AnyWalk *w, Point x, Point weight, LoopCarried *sums) {
    Module *m = w->c->m;
    if (w->last.taps <= MAX_UNROLLED) {
        for (int64_t tap = 0; tap < w->last.taps; tap++) add_any_tap(w, x, weight, get_i64(m, tap), sums);
        return;
    }
    Loop loop = begin_loop_carried(m, sums, get_i64(m, 0), get_i64(m, w->last.taps), 1);
    add_any_tap(w, x, weight, loop.index, sums);
    end_loop_carried(m, &loop, sums);
}

static void add_taps(AnyWalk *w, int axis, Point x, Point weight, LoopCarried *sums) {
    AnyConv *c = w->c;
    Module *m = c->m;
    if (axis == c->axes - 1) {
        add_last_taps(w, x, weight, sums);
        return;
    }
    LLVMValueRef place;
    Loop loop = begin_loop_carried(m, sums, get_i64(m, 0), get_i64(m, c->taps[axis]), 1);
    LLVMValueRef inside = find_outer(w, axis, w->first_outer[axis], loop.index, &place);
    Loop reads = begin_loop_carried_if(m, sums, inside);
    x.at[2 + axis] = coord_fixed(place);
    weight.at[2 + axis] = coord_fixed(loop.index);
    add_taps(w, axis + 1, x, weight, sums);
    end_loop_carried(m, &reads, sums);
    end_loop_carried(m, &loop, sums);
}

static void add_channels(AnyWalk *w, LoopCarried *sums) {
    AnyConv *c = w->c;
    Module *m = c->m;
    int rank = c->axes + 2;
    Point x = {.rank = rank, .lanes = c->lanes}, weight = {.rank = rank, .lanes = 1};
    Loop loop = begin_loop_carried(m, sums, get_i64(m, 0), c->group_inputs, 1);
    LLVMValueRef channel = emit_add(m, emit_mul(m, w->group, c->group_inputs), loop.index);
    x.at[0] = coord_fixed(w->image);
    x.at[1] = coord_fixed(channel);
    if (c->op == OP_convolution) weight.at[1] = coord_fixed(loop.index);
    else weight.at[0] = coord_fixed(channel);
    add_taps(w, 0, x, weight, sums);
    end_loop_carried(m, &loop, sums);
}

/* ---- the walk ---- */

static void store_any_output(AnyWalk *w, int output, const LoopCarried *sums) {
    AnyConv *c = w->c;
    Module *m = c->m;
    int last = 2 + c->axes - 1;
    LLVMValueRef channel = emit_add(m, w->first_output, get_i64(m, output));
    Point point = {.rank = c->axes + 2, .lanes = c->lanes};
    Branch exists = begin_if(m, LLVMBuildICmp(m->builder, LLVMIntSLT, channel, c->group_outputs, ""));
    point.at[0] = coord_fixed(w->image);
    point.at[1] = coord_fixed(emit_add(m, emit_mul(m, w->group, c->group_outputs), channel));
    for (int i = 0; i < c->axes - 1; i++) point.at[2 + i] = coord_fixed(w->first_outer[i]);
    for (int v = 0; v < VECTORS; v++) {
        Coord j = vector_coord(w, v, 1, get_i64(m, 0));
        point.mask = w->masked ? get_inside(m, &j, c->lanes, get_dim(m, w->last.count)) : NULL;
        point.at[last] = vector_coord(w, v, w->last.out_step, get_i64(m, w->last.out_first));
        emit_epilogue_store(&c->epilogue, &point, sums->at[output * VECTORS + v]);
    }
    end_if(m, &exists);
}

static void emit_any_tile(AnyWalk *w, bool masked) {
    LoopCarried sums = {.count = OUTPUTS * VECTORS};
    w->masked = masked;
    any_clear_sums(w->c, &sums);
    if (w->last.taps > 0) add_channels(w, &sums);
    for (int o = 0; o < OUTPUTS; o++) store_any_output(w, o, &sums);
}

static void emit_phase(AnyWalk *w) {
    AnyConv *c = w->c;
    Module *m = c->m;
    int64_t width = VECTORS * c->lanes;
    LLVMValueRef count = get_dim(m, w->last.count);
    LLVMValueRef end =
        emit_min(m, count, get_dim(m, axis_interior_end(c->kernel->program->graph->dims, &w->last)));
    Loop loop = begin_loop(m, get_i64(m, 0), count, width);
    w->j = loop.index;
    LLVMValueRef begun =
        LLVMBuildICmp(m->builder, LLVMIntSGE, w->j, get_i64(m, axis_interior_begin(&w->last)), "");
    LLVMValueRef open = LLVMBuildICmp(m->builder, LLVMIntSLE, emit_add(m, w->j, get_i64(m, width)), end, "");
    Branch inside = begin_if(m, emit_and(m, begun, open));
    emit_any_tile(w, false);
    begin_else(m, &inside);
    emit_any_tile(w, true);
    end_if(m, &inside);
    end_loop(m, &loop);
}

/* The last axis in the form of conv_shape.c. */
static ConvShape last_axis_shape(const AnyConv *c) {
    int last = c->axes - 1;
    const Node *anchor = c->kernel->anchor;
    return (ConvShape){.transposed = c->op == OP_convolution_backward_data,
                       .stride = {1, c->stride[last]},
                       .dilation = {1, c->dilation[last]},
                       .before = {0, c->before[last]},
                       .kernel = {1, c->taps[last]},
                       .in_size = {NULL, anchor->inputs[0]->shape.dims[2 + last]},
                       .out_size = {NULL, anchor->shape.dims[2 + last]}};
}

static void emit_any_task(AnyConv *c, LLVMValueRef task) {
    Module *m = c->m;
    Dims *dims = c->kernel->program->graph->dims;
    ConvShape shape = last_axis_shape(c);
    AnyWalk w = {.c = c};
    for (int i = c->axes - 2; i >= 0; i--)
        w.first_outer[i] = take_part(m, &task, get_dim(m, c->kernel->anchor->shape.dims[2 + i]));
    w.first_output = emit_mul(m, take_part(m, &task, get_dim(m, output_tiles(dims, c))), get_i64(m, OUTPUTS));
    w.group = take_part(m, &task, get_i64(m, c->groups));
    w.image = task;
    int64_t phases = shape.transposed ? shape.stride[1] : 1;
    for (int64_t phase = 0; phase < phases; phase++) {
        w.last = conv_axis(dims, &shape, 1, (int)phase);
        emit_phase(&w);
    }
}

LLVMValueRef conv_any_emit(Module *m, const Kernel *kernel) {
    AnyConv c = *(const AnyConv *)kernel->proposal.tile;
    LLVMValueRef function = begin_kernel(m, kernel->name);
    Dims *dims = kernel->program->graph->dims;
    c.m = m;
    c.lanes = m->target->lanes;
    c.epilogue = (Epilogue){.module = m, .kernel = kernel};
    Loop tasks = begin_loop(m, m->begin, m->end, 1);
    if (c.op == OP_convolution_backward_weights) {
        emit_conv_weight_task(&c, tasks.index);
    } else {
        c.group_outputs = get_dim(m, dim_floor_div(dims, kernel->anchor->shape.dims[1], c.groups));
        c.group_inputs = get_dim(m, dim_floor_div(dims, kernel->anchor->inputs[0]->shape.dims[1], c.groups));
        emit_any_task(&c, tasks.index);
    }
    end_loop(m, &tasks);
    finish_kernel(m);
    return function;
}
