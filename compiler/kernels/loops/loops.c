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
 * A reduction to few results is two functions: tasks of the first are parts of the
 * longest reduced group, whose totals, lanes and all, go to the workspace; the second
 * adds those up in order, where the first would loop over all groups.
 *
 * Operands that lie across the lanes are read as squares and transposed in registers
 * (loop_nest.c says where): 64 shuffles for 256 elements. Where there would be few lanes,
 * they are vectors that are interleaved.
 *
 * Bound: bandwidth, or arithmetic for chains with transcendentals. The order of every sum
 * depends on shapes and layouts only. */
#include "graph/class_rows.h"
#include "codegen/codegen.h"
#include "kernels/kernels.h"
#include "plan/loop_nest.h"

#define BLOCK_STEPS 256
#define MAX_CHAINS 4
#define ADDITION_CYCLES 4 /* until an addition that depends on it can begin */

typedef struct Range { LLVMValueRef from, to; } Range;

typedef struct NestWalk {
    Module *m;
    const Kernel *kernel;
    const Nest *nest;
    Epilogue epilogue;
    LLVMValueRef at[16]; /* the coordinate of each group */
    int inner;           /* the group of the innermost loop, or -1 */
    LLVMValueRef mask;   /* of lanes, or NULL */
    bool mask_inner;
    bool square;       /* at a vector of the transposed group, not a coordinate */
    Range chunk;       /* of the parallel group at the split: the task's coordinates */
    LLVMValueRef task; /* of a reduction in parts: the number of the task; in the first phase, of the part */
    LLVMValueRef part; /* in the first phase: the number of the part within its result; else NULL */
} NestWalk;

static int lanes_of_walk(const NestWalk *walk) { return walk->nest->lane < 0 ? 1 : walk->m->target->lanes; }

static int64_t step_of_group(const NestWalk *walk, int group) {
    return nest_step(walk->nest, group, walk->m->target);
}

static LLVMValueRef group_size(NestWalk *walk, int group) {
    return get_dim(walk->m, walk->nest->groups[group].size);
}

/* whether the size is a multiple of the step for certain */
static bool is_multiple(const NestWalk *walk, int group) {
    int64_t size;
    return group != walk->nest->lane ||
           (dim_is_const(walk->nest->groups[group].size, &size) && size % lanes_of_walk(walk) == 0);
}

/* ---- points ---- */

static Point domain_point(const NestWalk *walk) {
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

/* The point of a reduction's result: reduced axes are 0, and where lanes ran through one
 * of them the result is a scalar. */
static Point result_point(const NestWalk *walk) {
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

/* Ends the current basic block, so that what is invariant in the following loops can be
 * hoisted to its end. */
static void set_hoist_point(NestWalk *walk, int inner) {
    LLVMBasicBlockRef here = LLVMGetInsertBlock(walk->m->builder);
    LLVMBasicBlockRef next = LLVMAppendBasicBlockInContext(walk->m->context, walk->m->function, "inner");
    LLVMMoveBasicBlockAfter(next, here);
    LLVMBuildBr(walk->m->builder, next);
    LLVMPositionBuilderAtEnd(walk->m->builder, next);
    walk->m->hoist = here;
    walk->epilogue.memo.count = 0;
    walk->inner = inner;
}

static void clear_hoist_point(NestWalk *walk) {
    walk->m->hoist = NULL;
    walk->inner = -1;
}

/* The end of the full steps from `from` on: from + (to - from) / step * step. */
static LLVMValueRef emit_whole_steps(Module *m, LLVMValueRef from, LLVMValueRef to, int64_t step) {
    LLVMValueRef whole = emit_div(m, emit_sub(m, to, from), get_i64(m, step));
    return emit_add(m, from, emit_mul(m, whole, get_i64(m, step)));
}

/* ---- reductions ---- */

typedef struct RunningSum { LLVMValueRef value, index; } RunningSum; /* index: of argmax only */

static Op reduction_of_walk(const NestWalk *walk) { return walk->kernel->anchor->op; }
static DType reduced_type(const NestWalk *walk) { return walk->kernel->anchor->inputs[0]->shape.type; }

/* The identity of the reduction. */
static RunningSum sum_identity(NestWalk *walk) {
    return (RunningSum){get_number(walk->m, reduced_type(walk), 0, lanes_of_walk(walk)), NULL};
}

static RunningSum reduce_max_identity(NestWalk *walk) {
    DType type = reduced_type(walk);
    return (RunningSum){get_exact(walk->m, type, number_least(type), lanes_of_walk(walk)), NULL};
}

static RunningSum argmax_identity(NestWalk *walk) {
    return (RunningSum){reduce_max_identity(walk).value,
                        get_splat(walk->m, get_i32(walk->m, 0), lanes_of_walk(walk))};
}

static RunningSum choose_sum(Module *m, LLVMValueRef takes_b, RunningSum a, RunningSum b) {
    LLVMValueRef value = LLVMBuildSelect(m->builder, takes_b, b.value, a.value, "");
    return (RunningSum){value, LLVMBuildSelect(m->builder, takes_b, b.index, a.index, "")};
}

static RunningSum sum_combine(Module *m, DType type, RunningSum a, RunningSum b) {
    (void)type;
    return (RunningSum){emit_sum(m, a.value, b.value), NULL};
}

static RunningSum reduce_max_combine(Module *m, DType type, RunningSum a, RunningSum b) {
    return (RunningSum){emit_larger(m, type, a.value, b.value), NULL};
}

static RunningSum argmax_combine(Module *m, DType type, RunningSum a, RunningSum b) {
    return choose_sum(m, emit_above(m, type, b.value, a.value), a, b);
}

static const struct {
    RunningSum (*identity)(NestWalk *walk);
    RunningSum (*combine)(Module *m, DType type, RunningSum a, RunningSum b);
} reductions[OP_COUNT] = {
#undef ROW_OF_CLASS_REDUCTION
#define ROW_OF_CLASS_REDUCTION(name) [OP_##name] = {name##_identity, name##_combine},
#define OP(name, inputs, attributes, class, ...) ROW_OF_##class(name)
#include "graph/ops.def"
#undef OP
};

static RunningSum get_identity(NestWalk *walk) { return reductions[reduction_of_walk(walk)].identity(walk); }

/* Combines `a` with a term or a sum `b` whose places come after those of `a`, lane by
 * lane. */
static RunningSum combine_sums(NestWalk *walk, RunningSum a, RunningSum b) {
    return reductions[reduction_of_walk(walk)].combine(walk->m, reduced_type(walk), a, b);
}

/* Combines sums whose places interleave: of equal values the first place wins. */
static RunningSum merge_sums(NestWalk *walk, RunningSum a, RunningSum b) {
    Module *m = walk->m;
    if (reduction_of_walk(walk) != OP_argmax) return combine_sums(walk, a, b);
    DType type = reduced_type(walk);
    LLVMValueRef above = emit_above(m, type, b.value, a.value), below = emit_above(m, type, a.value, b.value);
    LLVMValueRef before = LLVMBuildICmp(m->builder, LLVMIntSLT, b.index, a.index, "");
    return choose_sum(m,
                      LLVMBuildOr(m->builder, above,
                                  LLVMBuildAnd(m->builder, before, LLVMBuildNot(m->builder, below, ""), ""),
                                  ""),
                      a, b);
}

/* The operand at the current coordinates; the identity in lanes that do not exist. */
static RunningSum emit_reduced_term(NestWalk *walk) {
    Module *m = walk->m;
    Point point = domain_point(walk);
    RunningSum term = {emit_expr(&walk->epilogue, walk->kernel->anchor->inputs[0], &point), NULL};
    RunningSum identity = get_identity(walk);
    if (walk->mask) term.value = LLVMBuildSelect(m->builder, walk->mask, term.value, identity.value, "");
    if (reduction_of_walk(walk) != OP_argmax) return term;
    LLVMValueRef place =
        get_coord_vector(m, &point.at[ATTRIBUTES(walk->kernel->anchor, argmax)->axis], point.lanes);
    term.index = LLVMBuildTrunc(m->builder, place, LLVMTypeOf(identity.index), "");
    if (walk->mask) term.index = LLVMBuildSelect(m->builder, walk->mask, term.index, identity.index, "");
    return term;
}

static RunningSum carry_sum(NestWalk *walk, Loop *loop, RunningSum sum) {
    RunningSum phi = {add_carried(walk->m, loop, sum.value), NULL};
    if (sum.index) phi.index = add_carried(walk->m, loop, sum.index);
    return phi;
}

static void carry_on(Loop *loop, int which, RunningSum next) {
    int values = next.index ? 2 : 1;
    set_carried(loop, which * values, next.value);
    if (next.index) set_carried(loop, which * values + 1, next.index);
}

static RunningSum carried_sum(const Loop *loop, int which, bool index) {
    int values = index ? 2 : 1;
    return (RunningSum){carried_result(loop, which * values),
                        index ? carried_result(loop, which * values + 1) : NULL};
}

/* Steps `from` to `to` of a group, in `chains` sums that are added up at the end. */
static RunningSum emit_chains(NestWalk *walk, int group, LLVMValueRef from, LLVMValueRef to, int chains) {
    int64_t step = step_of_group(walk, group);
    Loop loop = begin_loop(walk->m, from, to, step * chains);
    RunningSum sums[MAX_CHAINS];
    for (int c = 0; c < chains; c++) sums[c] = carry_sum(walk, &loop, get_identity(walk));
    for (int c = 0; c < chains; c++) {
        walk->at[group] = emit_add(walk->m, loop.index, get_i64(walk->m, c * step));
        carry_on(&loop, c, combine_sums(walk, sums[c], emit_reduced_term(walk)));
    }
    end_loop(walk->m, &loop);
    bool index = reduction_of_walk(walk) == OP_argmax;
    for (int c = 0; c < chains; c++) sums[c] = carried_sum(&loop, c, index);
    for (int width = 1; width < chains; width *= 2)
        for (int c = 0; c + width < chains; c += 2 * width)
            sums[c] = merge_sums(walk, sums[c], sums[c + width]);
    return sums[0];
}

/* Adds one step after the other to `sum`; where `masked`, lanes end at `to`. */
static RunningSum emit_steps(NestWalk *walk, int group, LLVMValueRef from, LLVMValueRef to, RunningSum sum,
                             bool masked) {
    int64_t low, high;
    if (get_constant(from, &low) && get_constant(to, &high) && low >= high) return sum;
    LLVMValueRef outer_mask = walk->mask;
    Loop loop = begin_loop(walk->m, from, to, step_of_group(walk, group));
    RunningSum phi = carry_sum(walk, &loop, sum);
    walk->at[group] = loop.index;
    if (masked) {
        walk->mask = emit_lane_mask(walk->m, emit_sub(walk->m, to, loop.index), lanes_of_walk(walk));
        walk->mask_inner = true;
    }
    carry_on(&loop, 0, combine_sums(walk, phi, emit_reduced_term(walk)));
    end_loop(walk->m, &loop);
    walk->mask = outer_mask;
    walk->mask_inner = walk->mask_inner && !masked;
    return carried_sum(&loop, 0, sum.index != NULL);
}

/* Whether a term takes longer than the latency of an addition, so that one chain is
 * enough. */
static bool is_heavy(const Kernel *kernel) {
    for (int i = 0; i < kernel->member_count; i++)
        if (op_info[kernel->members[i]->op].cost > ADDITION_CYCLES) return true;
    return kernel->member_count > 16;
}

static int chains_of(const NestWalk *walk, int group) {
    int64_t size;
    if (is_heavy(walk->kernel)) return 1;
    if (dim_is_const(walk->nest->groups[group].size, &size) && size < MAX_CHAINS * step_of_group(walk, group))
        return 1;
    return MAX_CHAINS;
}

static RunningSum emit_block(NestWalk *walk, int group, LLVMValueRef from, LLVMValueRef to) {
    int64_t step = step_of_group(walk, group);
    int chains = chains_of(walk, group);
    RunningSum sum = get_identity(walk);
    if (chains > 1) {
        LLVMValueRef whole = emit_whole_steps(walk->m, from, to, step * chains);
        sum = emit_chains(walk, group, from, whole, chains);
        from = whole;
    }
    if (is_multiple(walk, group)) return emit_steps(walk, group, from, to, sum, false);
    LLVMValueRef whole = emit_whole_steps(walk->m, from, to, step);
    sum = emit_steps(walk, group, from, whole, sum, false);
    return emit_steps(walk, group, whole, to, sum, true);
}

/* The range of a reduced group: all of it, or the task's part. */
static Range reduced_range(NestWalk *walk, int group) {
    Module *m = walk->m;
    Range all = {get_i64(m, 0), group_size(walk, group)};
    if (!walk->part || group != walk->nest->split_reduction) return all;
    LLVMValueRef part = get_i64(m, walk->nest->part), from = emit_mul(m, walk->part, part);
    return (Range){from, emit_min(m, emit_add(m, from, part), all.to)};
}

/* The innermost reduced group. */
static RunningSum emit_group_run(NestWalk *walk, int group, RunningSum total) {
    Module *m = walk->m;
    int64_t block = BLOCK_STEPS * step_of_group(walk, group), constant;
    Range range = reduced_range(walk, group);
    set_hoist_point(walk, group);
    if (get_constant(range.to, &constant) && constant <= block) {
        total = combine_sums(walk, total, emit_block(walk, group, range.from, range.to));
    } else {
        Loop loop = begin_loop(m, range.from, range.to, block);
        RunningSum phi = carry_sum(walk, &loop, total);
        LLVMValueRef end = emit_min(m, emit_add(m, loop.index, get_i64(m, block)), range.to);
        carry_on(&loop, 0, combine_sums(walk, phi, emit_block(walk, group, loop.index, end)));
        end_loop(m, &loop);
        total = carried_sum(&loop, 0, total.index != NULL);
    }
    clear_hoist_point(walk);
    return total;
}

/* Sets the mask of the current vector of the lane group, where the group may end within
 * it. */
static void set_lane_mask(NestWalk *walk, int group) {
    if (group != walk->nest->lane || is_multiple(walk, group)) return;
    walk->mask = emit_lane_mask(walk->m, emit_sub(walk->m, group_size(walk, group), walk->at[group]),
                                lanes_of_walk(walk));
    walk->mask_inner = false;
}

static RunningSum emit_reduced(NestWalk *walk, int number, RunningSum total) {
    const Nest *nest = walk->nest;
    /* all reduced axes have size 1 */
    if (number == nest->reduced_count) return combine_sums(walk, total, emit_reduced_term(walk));
    int group = nest->reduced[number];
    if (number == nest->reduced_count - 1) return emit_group_run(walk, group, total);
    LLVMValueRef outer_mask = walk->mask;
    Range range = reduced_range(walk, group);
    Loop loop = begin_loop(walk->m, range.from, range.to, step_of_group(walk, group));
    RunningSum phi = carry_sum(walk, &loop, total);
    walk->at[group] = loop.index;
    set_lane_mask(walk, group);
    carry_on(&loop, 0, emit_reduced(walk, number + 1, phi));
    end_loop(walk->m, &loop);
    walk->mask = outer_mask;
    return carried_sum(&loop, 0, total.index != NULL);
}

/* Adds the upper half of the lanes to the lower half, until one lane is left: a fixed
 * order. */
static RunningSum emit_across_lanes(NestWalk *walk, RunningSum sum) {
    Module *m = walk->m;
    for (int half = lanes_of_walk(walk) / 2; half > 0; half /= 2) {
        LLVMValueRef lower[32], upper[32];
        for (int i = 0; i < half; i++) {
            lower[i] = get_i32(m, i);
            upper[i] = get_i32(m, half + i);
        }
        LLVMValueRef first = LLVMConstVector(lower, (unsigned)half),
                     second = LLVMConstVector(upper, (unsigned)half);
        RunningSum a = sum, b = sum;
        for (int k = 0; k < (sum.index ? 2 : 1); k++) {
            LLVMValueRef *to_a = k ? &a.index : &a.value, *to_b = k ? &b.index : &b.value;
            LLVMValueRef all = *to_a, poison = LLVMGetPoison(LLVMTypeOf(all));
            *to_a = LLVMBuildShuffleVector(m->builder, all, poison, first, "");
            *to_b = LLVMBuildShuffleVector(m->builder, all, poison, second, "");
        }
        sum = merge_sums(walk, a, b);
    }
    LLVMValueRef zero = get_i32(m, 0);
    sum.value = LLVMBuildExtractElement(m->builder, sum.value, zero, "");
    if (sum.index) sum.index = LLVMBuildExtractElement(m->builder, sum.index, zero, "");
    return sum;
}

/* ---- reductions in parts ---- */

/* The addresses of a part's total in the workspace: values, and places for argmax. */
static RunningSum part_address(NestWalk *walk, LLVMValueRef number) {
    Module *m = walk->m;
    RunningSum identity = get_identity(walk);
    LLVMValueRef base = get_argument(m, 1 + walk->kernel->input_count);
    int64_t wide = nest_part_bytes(m->target, walk->kernel->anchor),
            places = wide - m->target->lanes * dtype_bytes(DTYPE_I32);
    LLVMValueRef value = get_element(m, m->i8, base, emit_mul(m, number, get_i64(m, wide)));
    return (RunningSum){value, identity.index ? get_element(m, m->i8, value, get_i64(m, places)) : NULL};
}

static void store_part(NestWalk *walk, RunningSum sum) {
    RunningSum at = part_address(walk, walk->task);
    emit_store(walk->m, sum.value, at.value);
    if (sum.index) emit_store(walk->m, sum.index, at.index);
}

static RunningSum emit_parts(NestWalk *walk) {
    Module *m = walk->m;
    RunningSum total = get_identity(walk);
    LLVMValueRef count = get_dim(m, nest_parts(walk->kernel->program, walk->nest)),
                 first = emit_mul(m, walk->task, count);
    Loop loop = begin_loop(m, get_i64(m, 0), count, 1);
    RunningSum phi = carry_sum(walk, &loop, total), at = part_address(walk, emit_add(m, first, loop.index));
    RunningSum part = {emit_load(m, LLVMTypeOf(total.value), at.value), NULL};
    if (total.index) part.index = emit_load(m, LLVMTypeOf(total.index), at.index);
    carry_on(&loop, 0, combine_sums(walk, phi, part));
    end_loop(m, &loop);
    return carried_sum(&loop, 0, total.index != NULL);
}

static void emit_reduction(NestWalk *walk) {
    bool gathers = walk->nest->split_reduction >= 0 && !walk->part;
    RunningSum sum = gathers ? emit_parts(walk) : emit_reduced(walk, 0, get_identity(walk));
    if (walk->part) {
        store_part(walk, sum);
        return;
    }
    bool along = walk->nest->lane >= 0 && walk->nest->groups[walk->nest->lane].reduced;
    if (along) sum = emit_across_lanes(walk, sum);
    LLVMValueRef value = reduction_of_walk(walk) == OP_argmax ? sum.index : sum.value;
    Point point = result_point(walk);
    if (walk->nest->blocked_one) { /* one channel: a block of its own, padded with zeros */
        point.lanes = walk->m->target->lanes;
        point.at[1].lane_step = 1;
        point.mask = emit_lane_mask(walk->m, get_i64(walk->m, 1), point.lanes);
        value = get_splat(walk->m, value, point.lanes);
    }
    emit_epilogue_store(&walk->epilogue, &point, value);
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
        is_multiple(walk, group) ? range.to : emit_whole_steps(m, range.from, range.to, lanes);
    if (!(dim_is_const(walk->nest->groups[group].size, &size) && size < lanes)) {
        Loop loop = begin_loop(m, range.from, whole, lanes);
        walk->at[group] = loop.index;
        emit_elements(walk);
        end_loop(m, &loop);
    }
    if (is_multiple(walk, group)) return;
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
    LLVMValueRef last = emit_sub(m, group_size(walk, nest->lane), get_i64(m, 1));
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

/* ---- zipped ---- */

/* Stores the vectors of results, which are contiguous from the current coordinate of the
 * lanes' group on. */
static void store_interleaved(NestWalk *walk, const LLVMValueRef *vectors, int count) {
    Module *m = walk->m;
    const Nest *nest = walk->nest;
    const Group *narrow = &nest->groups[nest->interleaved], *wide = &nest->groups[nest->lane];
    Point point = domain_point(walk);
    point.at[wide->axes[wide->count - 1]].lane_step = 0;
    LLVMValueRef left =
        emit_mul(m, emit_sub(m, group_size(walk, nest->lane), walk->at[nest->lane]), get_i64(m, count));
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
    set_hoist_point(walk, group);
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
    clear_hoist_point(walk);
}

/* ---- the nest ---- */

static void emit_parallel_groups(NestWalk *walk, int number, Range range);

static void emit_nest_inside(NestWalk *walk, int number) {
    const Nest *nest = walk->nest;
    if (number == nest->split && number < nest->parallel_count) {
        emit_parallel_groups(walk, number, walk->chunk);
    } else if (number < nest->parallel_count) {
        emit_parallel_groups(walk, number,
                             (Range){get_i64(walk->m, 0), group_size(walk, nest->parallel[number])});
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
    LLVMValueRef whole = is_multiple(walk, group)
                             ? range.to
                             : emit_whole_steps(m, range.from, range.to, step_of_group(walk, group));
    Loop loop = begin_loop(m, range.from, whole, step_of_group(walk, group));
    walk->at[group] = loop.index;
    emit_nest_inside(walk, number + 1);
    end_loop(m, &loop);
    if (is_multiple(walk, group)) return;
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
        LLVMValueRef size = group_size(walk, nest->parallel[i]);
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
    LLVMValueRef left = emit_sub(m, group_size(walk, nest->lane), walk->at[nest->lane]);
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
                    (Range){from, emit_min(m, to, group_size(walk, nest->transposed))});
}

static void emit_loops_task(NestWalk *walk, LLVMValueRef task, bool parts) {
    Module *m = walk->m;
    const Nest *nest = walk->nest;
    walk->task = task;
    walk->part = parts ? take_part(m, &task, get_dim(m, nest_parts(walk->kernel->program, nest))) : NULL;
    if (nest->split < nest->parallel_count) emit_digits(walk, task);
    if (is_digit(walk, nest->transposed)) emit_transposed_task(walk);
    else if (is_digit(walk, nest->lane) && !is_multiple(walk, nest->lane)) emit_lane_task(walk);
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
    else if (anchor) kernel_set_name(kernel, "%s_%s%d", anchor, last, kernel->member_count);
    else kernel_set_name(kernel, "map_%s%d", last, kernel->member_count);
}

void loops_settle(Program *program, Kernel *kernel) {
    const Nest *nest = kernel->proposal.tile;
    kernel->tasks = nest_tasks(program, nest);
    set_nest_name(kernel);
    if (nest->split_reduction < 0) return;
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
