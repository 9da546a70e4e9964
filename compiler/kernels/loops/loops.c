/* The kind `loops`: any nest of elementwise, movement and reduction operators.
 *
 *     for task in begin .. end:                    # parallel groups before nest->split, and a chunk of it
 *         for the other parallel groups:           # with no anchor, the innermost one by vectors, then
 *             total = identity                     # a masked rest
 *             for the reduced groups but the last:
 *                 for block of the last one:       # at most 256 steps, so that long sums keep precision
 *                     a0 .. a3 = identity          # four chains hide the latency of an addition
 *                     for 4 steps in block: a0 += x[i]; .. a3 += x[i + 3]
 *                     for step in the rest: a0 += x[i]
 *                     total += (a0 + a1) + (a2 + a3)
 *             if lanes run through a reduced group: total = its lanes added by halves
 *             store epilogue(total)
 *
 * A reduction to few results has two functions. The tasks of the first compute parts,
 * which are contiguous in memory, and store their totals, with all lanes, in the
 * workspace. The second adds these up in order.
 *
 * Operands whose contiguous axis is not that of the lanes are read as squares and
 * transposed in registers (loop_nest.c says where): 64 shuffles for 256 elements. If this
 * would use few lanes, they are read as vectors and interleaved.
 *
 * Bound: bandwidth, or arithmetic for chains with transcendental functions. The order of
 * every sum depends on shapes and layouts only. */
#include "kernels/loops/loops.h"

int lanes_of_walk(const NestWalk *walk) { return walk->nest->lane < 0 ? 1 : walk->m->target->lanes; }

int64_t step_of_group(const NestWalk *walk, int group) {
    return nest_step(walk->nest, group, walk->m->target);
}

LLVMValueRef size_of_group(NestWalk *walk, int group) {
    return get_dim(walk->m, walk->nest->groups[group].size);
}

bool is_multiple_of_step(const NestWalk *walk, int group) {
    int64_t size;
    return group != walk->nest->lane ||
           (dim_is_const(walk->nest->groups[group].size, &size) && size % lanes_of_walk(walk) == 0);
}

/* ---- points ---- */

Point domain_point(const NestWalk *walk) {
    const Nest *nest = walk->nest;
    Point point = {
        .rank = nest->rank, .lanes = lanes_of_walk(walk), .mask = walk->mask, .mask_inner = walk->mask_inner};
    for (int i = 0; i < nest->rank; i++) point.at[i] = (Coord){.base = get_i64(walk->m, 0), .aligned = true};
    for (int g = 0; g < nest->count; g++) {
        const Group *group = &nest->groups[g];
        bool lane = g == nest->lane;
        point.at[group->axes[group->count - 1]] = (Coord){.base = walk->at[g],
                                                          .lane_step = lane && point.lanes > 1,
                                                          .aligned = lane,
                                                          .inner = g == walk->inner};
    }
    return point;
}

Point result_point(const NestWalk *walk) {
    const Nest *nest = walk->nest;
    Point point = domain_point(walk);
    for (int i = 0; i < nest->reduced_count; i++) {
        const Group *group = &nest->groups[nest->reduced[i]];
        point.at[group->axes[group->count - 1]] = (Coord){.base = get_i64(walk->m, 0), .aligned = true};
        if (nest->reduced[i] != nest->lane) continue;
        point.lanes = 1;
        point.mask = NULL;
    }
    return point;
}

void set_walk_hoist_point(NestWalk *walk, int inner) {
    LLVMBasicBlockRef here = LLVMGetInsertBlock(walk->m->builder);
    LLVMBasicBlockRef next = LLVMAppendBasicBlockInContext(walk->m->context, walk->m->function, "inner");
    LLVMMoveBasicBlockAfter(next, here);
    LLVMBuildBr(walk->m->builder, next);
    LLVMPositionBuilderAtEnd(walk->m->builder, next);
    walk->m->hoist = here;
    walk->epilogue.memo.count = 0;
    walk->inner = inner;
}

void clear_walk_hoist_point(NestWalk *walk) {
    walk->m->hoist = NULL;
    walk->inner = -1;
}

LLVMValueRef emit_whole_steps(Module *m, LLVMValueRef from, LLVMValueRef to, int64_t step) {
    LLVMValueRef whole = emit_div(m, emit_sub(m, to, from), get_i64(m, step));
    return emit_add(m, from, emit_mul(m, whole, get_i64(m, step)));
}

void set_lane_mask(NestWalk *walk, int group) {
    if (group != walk->nest->lane || is_multiple_of_step(walk, group)) return;
    walk->mask = emit_lane_mask(walk->m, emit_sub(walk->m, size_of_group(walk, group), walk->at[group]),
                                lanes_of_walk(walk));
    walk->mask_inner = false;
}

/* ---- elementwise and movement ---- */

static void emit_square_tiles(NestWalk *walk);
static void emit_interleaved(NestWalk *walk);

static void emit_point(NestWalk *walk) {
    Point point = domain_point(walk);
    emit_epilogue_store(&walk->epilogue, &point, NULL);
}

static void emit_elements(NestWalk *walk) {
    if (walk->square) emit_square_tiles(walk);
    else if (walk->nest->interleaved >= 0) emit_interleaved(walk);
    else emit_point(walk);
}

/* Vectors of the lane group, then the rest under a mask. */
static void emit_vectors(NestWalk *walk, int group, Range range) {
    Module *m = walk->m;
    int64_t lanes = lanes_of_walk(walk), size;
    LLVMValueRef whole =
        is_multiple_of_step(walk, group) ? range.to : emit_whole_steps(m, range.from, range.to, lanes);
    if (!(dim_is_const(walk->nest->groups[group].size, &size) && size < lanes)) {
        Loop loop = begin_loop(m, range.from, whole, lanes);
        walk->at[group] = loop.index;
        emit_elements(walk);
        end_loop(m, &loop);
    }
    if (is_multiple_of_step(walk, group)) return;
    Branch rest = begin_if(m, LLVMBuildICmp(m->builder, LLVMIntSLT, whole, range.to, ""));
    walk->at[group] = whole;
    walk->mask = emit_lane_mask(m, emit_sub(m, range.to, whole), (int)lanes);
    walk->mask_inner = true;
    emit_elements(walk);
    walk->mask = NULL;
    walk->mask_inner = false;
    end_if(m, &rest);
}

/* ---- squares ---- */

/* One square of a transposed operand: row i is the operand at lane i, along the
 * transposed group. Lanes beyond the end repeat the last lane. */
static void emit_square(NestWalk *walk, const Node *node, LLVMValueRef *rows) {
    Module *m = walk->m;
    const Nest *nest = walk->nest;
    const Group *across = &nest->groups[nest->lane], *along = &nest->groups[nest->transposed];
    LLVMValueRef last = emit_sub(m, size_of_group(walk, nest->lane), get_i64(m, 1));
    for (int i = 0; i < lanes_of_walk(walk); i++) {
        Point point = domain_point(walk);
        LLVMValueRef row = emit_add(m, walk->at[nest->lane], get_i64(m, i));
        point.mask = NULL;
        point.at[across->axes[across->count - 1]] = coord_fixed(walk->mask ? emit_min(m, row, last) : row);
        point.at[along->axes[along->count - 1]] =
            (Coord){.base = walk->at[nest->transposed], .lane_step = 1, .aligned = true, .inner = true};
        rows[i] = emit_expr(&walk->epilogue, node, &point);
    }
    emit_transpose(m, rows, lanes_of_walk(walk));
}

static void emit_square_tiles(NestWalk *walk) {
    const Nest *nest = walk->nest;
    LLVMValueRef rows[COUNT_OF(nest->transposed_nodes)][64], first = walk->at[nest->transposed];
    Module *m = walk->m;
    LLVMBasicBlockRef hoist = m->hoist;
    for (int t = 0; t < nest->transposed_count; t++) {
        m->hoist = NULL; /* the coordinates of a row are computed here, even the invariant ones */
        emit_square(walk, nest->transposed_nodes[t], rows[t]);
        m->hoist = hoist;
    }
    walk->epilogue.memo.count = 0;
    for (int j = 0; j < lanes_of_walk(walk); j++) {
        LLVMBasicBlockRef from = step_out(m, nest->transposed == walk->inner);
        walk->at[nest->transposed] = emit_add(m, first, get_i64(m, j));
        step_back(m, from);
        walk->epilogue.known_count = 0;
        for (int t = 0; t < nest->transposed_count; t++)
            walk->epilogue.known[walk->epilogue.known_count++] =
                (KnownNode){nest->transposed_nodes[t], rows[t][j]};
        emit_point(walk);
    }
    walk->epilogue.known_count = 0;
    walk->at[nest->transposed] = first;
}

static void emit_nest_inside(NestWalk *walk, int number);

/* The transposed group, number `number` of the parallel ones, by vectors; then the rest
 * by coordinates. */
static void emit_transposed(NestWalk *walk, int number, Range range) {
    Module *m = walk->m;
    int group = walk->nest->parallel[number];
    LLVMValueRef whole = emit_whole_steps(m, range.from, range.to, lanes_of_walk(walk));
    Loop squares = begin_loop(m, range.from, whole, lanes_of_walk(walk));
    walk->at[group] = squares.index;
    walk->square = true;
    emit_nest_inside(walk, number + 1);
    walk->square = false;
    end_loop(m, &squares);
    int64_t size;
    if (dim_is_const(walk->nest->groups[group].size, &size) && size % lanes_of_walk(walk) == 0) return;
    Loop rest = begin_loop(m, whole, range.to, 1);
    walk->at[group] = rest.index;
    emit_nest_inside(walk, number + 1);
    end_loop(m, &rest);
}

/* ---- interleaved ---- */

/* Stores the vectors of results, which are contiguous from the current coordinate of the
 * lanes' group on. */
static void store_interleaved(NestWalk *walk, const LLVMValueRef *vectors, int count) {
    Module *m = walk->m;
    const Nest *nest = walk->nest;
    const Group *narrow = &nest->groups[nest->interleaved], *wide = &nest->groups[nest->lane];
    Point point = domain_point(walk);
    point.at[wide->axes[wide->count - 1]].lane_step = 0;
    LLVMValueRef left =
        emit_mul(m, emit_sub(m, size_of_group(walk, nest->lane), walk->at[nest->lane]), get_i64(m, count));
    for (int i = 0; i < count; i++) {
        LLVMValueRef first = get_i64(m, (int64_t)i * lanes_of_walk(walk));
        point.at[narrow->axes[narrow->count - 1]] = (Coord){.base = first, .lane_step = 1};
        if (walk->mask) point.mask = emit_lane_mask(m, emit_sub(m, left, first), lanes_of_walk(walk));
        emit_value_store(m, walk->kernel->output, get_argument(m, 0), &point, vectors[i]);
    }
}

static void emit_interleaved(NestWalk *walk) {
    const Nest *nest = walk->nest;
    int count = (int)dim_const_value(nest->groups[nest->interleaved].size);
    LLVMValueRef vectors[MAX_INTERLEAVED];
    for (int i = 0; i < count; i++) {
        walk->at[nest->interleaved] = get_i64(walk->m, i);
        Point point = domain_point(walk);
        vectors[i] = emit_expr(&walk->epilogue, walk->kernel->output->node, &point);
    }
    walk->at[nest->interleaved] = get_i64(walk->m, 0);
    emit_interleave(walk->m, vectors, count);
    store_interleaved(walk, vectors, count);
}

static void emit_innermost(NestWalk *walk, int number, Range range) {
    int group = walk->nest->parallel[number];
    set_walk_hoist_point(walk, group);
    if (group == walk->nest->lane) {
        emit_vectors(walk, group, range);
    } else if (group == walk->nest->transposed) {
        emit_transposed(walk, number, range);
    } else {
        Loop loop = begin_loop(walk->m, range.from, range.to, 1);
        walk->at[group] = loop.index;
        emit_elements(walk);
        end_loop(walk->m, &loop);
    }
    clear_walk_hoist_point(walk);
}

/* ---- the nest ---- */

static void emit_parallel_groups(NestWalk *walk, int number, Range range);

static void emit_nest_inside(NestWalk *walk, int number) {
    const Nest *nest = walk->nest;
    if (number == nest->split && number < nest->parallel_count) {
        emit_parallel_groups(walk, number, walk->chunk);
    } else if (number < nest->parallel_count) {
        emit_parallel_groups(walk, number,
                             (Range){get_i64(walk->m, 0), size_of_group(walk, nest->parallel[number])});
    } else if (walk->kernel->anchor) {
        emit_reduction(walk);
    } else {
        emit_elements(walk);
    }
}

/* Stand around the code for a vector of the lane group some lanes of which do not exist.
 * Full vectors have code of their own: a masked store costs twenty cycles and more on
 * some machines. */
static void begin_masked(NestWalk *walk, int group) {
    walk->epilogue.memo.count = 0;
    set_lane_mask(walk, group);
}

static void end_masked(NestWalk *walk) {
    walk->epilogue.memo.count = 0;
    walk->mask = NULL;
}

static void emit_parallel_groups(NestWalk *walk, int number, Range range) {
    Module *m = walk->m;
    const Nest *nest = walk->nest;
    int group = nest->parallel[number];
    if (!walk->kernel->anchor && number == nest->parallel_count - 1) {
        emit_innermost(walk, number, range);
        return;
    }
    if (group == nest->transposed) {
        emit_transposed(walk, number, range);
        return;
    }
    LLVMValueRef whole = is_multiple_of_step(walk, group)
                             ? range.to
                             : emit_whole_steps(m, range.from, range.to, step_of_group(walk, group));
    Loop loop = begin_loop(m, range.from, whole, step_of_group(walk, group));
    walk->at[group] = loop.index;
    emit_nest_inside(walk, number + 1);
    end_loop(m, &loop);
    if (is_multiple_of_step(walk, group)) return;
    Branch rest = begin_if(m, LLVMBuildICmp(m->builder, LLVMIntSLT, whole, range.to, ""));
    walk->at[group] = whole;
    begin_masked(walk, group);
    emit_nest_inside(walk, number + 1);
    end_masked(walk);
    end_if(m, &rest);
}

/* The number of a task has a digit for each group before the split, and one for the
 * chunk. */
static void emit_digits(NestWalk *walk, LLVMValueRef task) {
    Module *m = walk->m;
    const Nest *nest = walk->nest;
    for (int i = nest->split; i >= 0; i--) {
        int64_t step = i == nest->split ? nest->chunk : step_of_group(walk, nest->parallel[i]);
        LLVMValueRef size = size_of_group(walk, nest->parallel[i]);
        LLVMValueRef steps = emit_div(m, emit_add(m, size, get_i64(m, step - 1)), get_i64(m, step));
        LLVMValueRef digit = i ? emit_rem(m, task, steps) : task;
        LLVMValueRef from = emit_mul(m, digit, get_i64(m, step));
        if (i) task = emit_div(m, task, steps);
        if (i == nest->split)
            walk->chunk = (Range){from, emit_min(m, emit_add(m, from, get_i64(m, step)), size)};
        else walk->at[nest->parallel[i]] = from;
    }
}

static bool is_digit(const NestWalk *walk, int group) {
    for (int i = 0; i < walk->nest->split; i++)
        if (walk->nest->parallel[i] == group) return true;
    return false;
}

/* A task of one vector of the lane group, which may be partial. */
static void emit_lane_task(NestWalk *walk) {
    Module *m = walk->m;
    const Nest *nest = walk->nest;
    LLVMValueRef left = emit_sub(m, size_of_group(walk, nest->lane), walk->at[nest->lane]);
    Branch whole =
        begin_if(m, LLVMBuildICmp(m->builder, LLVMIntSGE, left, get_i64(m, lanes_of_walk(walk)), "whole"));
    emit_nest_inside(walk, nest->split);
    begin_else(m, &whole);
    begin_masked(walk, nest->lane);
    emit_nest_inside(walk, nest->split);
    end_masked(walk);
    end_if(m, &whole);
}

/* A task of one vector of the transposed group, which is before the split. */
static void emit_transposed_task(NestWalk *walk) {
    Module *m = walk->m;
    const Nest *nest = walk->nest;
    LLVMValueRef from = walk->at[nest->transposed], to = emit_add(m, from, get_i64(m, lanes_of_walk(walk)));
    emit_transposed(walk, nest->split - 1,
                    (Range){from, emit_min(m, to, size_of_group(walk, nest->transposed))});
}

static void emit_loops_task(NestWalk *walk, LLVMValueRef task, bool parts) {
    Module *m = walk->m;
    const Nest *nest = walk->nest;
    walk->task = task;
    walk->part = parts ? take_part(m, &task, get_dim(m, nest_parts(walk->kernel->program, nest))) : NULL;
    if (nest->split < nest->parallel_count) emit_digits(walk, task);
    if (is_digit(walk, nest->transposed)) emit_transposed_task(walk);
    else if (is_digit(walk, nest->lane) && !is_multiple_of_step(walk, nest->lane)) emit_lane_task(walk);
    else emit_nest_inside(walk, nest->split);
}

/* ---- the kind ---- */

bool loops_propose(const Kernel *kernel, Proposal *proposal) {
    if (kernel->anchor ? !takes_anchor(KERNEL_loops, kernel) : is_packed(kernel->output)) return false;
    proposal->is_nest = true;
    proposal->cycles = cost_cycles(kernel->program->target, kernel_typical_flops(kernel), 0.25,
                                   kernel_typical_bytes(kernel));
    return true;
}

static void set_nest_name(Kernel *kernel) {
    const char *last = op_info[kernel->output->node->op].name,
               *anchor = kernel->anchor ? op_info[kernel->anchor->op].name : NULL;
    if (kernel->rows)
        kernel_set_name(kernel, "%s_%s%d", kernel->rows, anchor ? anchor : last, kernel->member_count);
    else if (kernel->gathers)
        kernel_set_name(kernel, "gather%lld_%s%d", (long long)((const Nest *)kernel->proposal.tile)->gathered,
                        kernel->gathers->about ? "spread" : anchor, kernel->member_count);
    else if (anchor) kernel_set_name(kernel, "%s_%s%d", anchor, last, kernel->member_count);
    else kernel_set_name(kernel, "map_%s%d", last, kernel->member_count);
}

void loops_settle(Program *program, Kernel *kernel) {
    const Nest *nest = kernel->proposal.tile;
    kernel->tasks = nest_tasks(program, nest);
    set_nest_name(kernel);
    if (nest->split_reduction < 0 || nest->gathered) return;
    Dim parts = dim_mul(program->graph->dims, kernel->tasks, nest_parts(program, nest));
    kernel_set_phases(kernel, (const char *[]){"parts", NULL}, (Dim[]){parts, kernel->tasks}, 2);
}

static LLVMValueRef emit_nest(Module *m, const Kernel *kernel, const char *name, bool parts) {
    LLVMValueRef function = begin_kernel(m, name);
    NestWalk walk = {.m = m,
                     .kernel = kernel,
                     .nest = kernel->proposal.tile,
                     .epilogue = {.module = m, .kernel = kernel},
                     .inner = -1};
    Loop tasks = begin_loop(m, m->begin, m->end, 1);
    emit_loops_task(&walk, tasks.index, parts);
    end_loop(m, &tasks);
    finish_kernel(m);
    return function;
}

LLVMValueRef loops_emit(Module *m, const Kernel *kernel) {
    if (kernel->phases) emit_nest(m, kernel, kernel->phases[0].name, true);
    return emit_nest(m, kernel, kernel->name, false);
}
