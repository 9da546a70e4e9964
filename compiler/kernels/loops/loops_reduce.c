/* The reductions of the kind `loops`: the sum of one result, by chains, blocks and lanes,
 * in the order that the head comment of loops.c gives; and reductions in parts, where
 * tasks keep the sums of their shares in the workspace until the second phase adds them
 * up. */
#include "graph/class_rows.h"
#include "kernels/loops/loops.h"

enum {
    BLOCK_STEPS = 256,
    MAX_CHAINS = 4,
    ADDITION_CYCLES = 4 /* until an addition that depends on it can begin */
};

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

static void set_carried_sum(Loop *loop, int which, RunningSum next) {
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
        set_carried_sum(&loop, c, combine_sums(walk, sums[c], emit_reduced_term(walk)));
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
    set_carried_sum(&loop, 0, combine_sums(walk, phi, emit_reduced_term(walk)));
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
    if (is_multiple_of_step(walk, group)) return emit_steps(walk, group, from, to, sum, false);
    LLVMValueRef whole = emit_whole_steps(walk->m, from, to, step);
    sum = emit_steps(walk, group, from, whole, sum, false);
    return emit_steps(walk, group, whole, to, sum, true);
}

/* The range of reduced group `number`: all of it, or what a part has of it. */
static Range reduced_range(NestWalk *walk, int number) {
    Module *m = walk->m;
    const Nest *nest = walk->nest;
    LLVMValueRef size = size_of_group(walk, nest->reduced[number]), rest = walk->part, piece = NULL;
    if (!walk->part || number > nest->split_reduction) return (Range){get_i64(m, 0), size};
    for (int i = nest->split_reduction; i >= number; i--)
        piece = take_part(m, &rest, get_dim(m, nest_pieces(walk->kernel->program, nest, i)));
    int64_t length = nest_piece(nest, number, m->target);
    LLVMValueRef from = emit_affine(m, piece, length, 0);
    return (Range){from, emit_min(m, emit_affine(m, from, 1, length), size)};
}

/* The innermost reduced group. */
static RunningSum emit_group_run(NestWalk *walk, int number, RunningSum total) {
    Module *m = walk->m;
    int group = walk->nest->reduced[number];
    int64_t block = BLOCK_STEPS * step_of_group(walk, group), constant;
    Range range = reduced_range(walk, number);
    set_walk_hoist_point(walk, group);
    if (get_constant(range.to, &constant) && constant <= block) {
        total = combine_sums(walk, total, emit_block(walk, group, range.from, range.to));
    } else {
        Loop loop = begin_loop(m, range.from, range.to, block);
        RunningSum phi = carry_sum(walk, &loop, total);
        LLVMValueRef end = emit_min(m, emit_add(m, loop.index, get_i64(m, block)), range.to);
        set_carried_sum(&loop, 0, combine_sums(walk, phi, emit_block(walk, group, loop.index, end)));
        end_loop(m, &loop);
        total = carried_sum(&loop, 0, total.index != NULL);
    }
    clear_walk_hoist_point(walk);
    return total;
}

static RunningSum emit_reduced(NestWalk *walk, int number, RunningSum total) {
    const Nest *nest = walk->nest;
    /* all reduced axes have size 1 */
    if (number == nest->reduced_count) return combine_sums(walk, total, emit_reduced_term(walk));
    int group = nest->reduced[number];
    if (number == nest->reduced_count - 1) return emit_group_run(walk, number, total);
    LLVMValueRef outer_mask = walk->mask;
    Range range = reduced_range(walk, number);
    Loop loop = begin_loop(walk->m, range.from, range.to, step_of_group(walk, group));
    RunningSum phi = carry_sum(walk, &loop, total);
    walk->at[group] = loop.index;
    set_lane_mask(walk, group);
    set_carried_sum(&loop, 0, emit_reduced(walk, number + 1, phi));
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
    LLVMValueRef base = get_argument(m, walk->nest->gathered ? 1 : 1 + walk->kernel->input_count);
    const StoredSum *gathers = walk->kernel->gathers;
    int64_t wide = gathers ? stored_part_bytes(m->target, gathers)
                           : nest_part_bytes(m->target, walk->kernel->anchor),
            places = wide - m->target->lanes * dtype_bytes(DTYPE_I32);
    LLVMValueRef value = get_element(m, m->i8, base, emit_mul(m, number, get_i64(m, wide)));
    return (RunningSum){value, identity.index ? get_element(m, m->i8, value, get_i64(m, places)) : NULL};
}

static void store_part(NestWalk *walk, RunningSum sum) {
    RunningSum at = part_address(walk, walk->task);
    emit_store(walk->m, sum.value, at.value);
    if (sum.index) emit_store(walk->m, sum.index, at.index);
}

/* The squares of differences from `about`, of a part that is a spread: of n places, whose
 * mean is m above their center, they are squares - n * m * m about that mean, and n times
 * the square of its distance from `about` more. */
static LLVMValueRef emit_spread_squares(NestWalk *walk, LLVMTypeRef type, LLVMValueRef part,
                                        LLVMValueRef about) {
    Module *m = walk->m;
    LLVMValueRef of[SPREAD_VECTORS];
    for (int i = 0; i < SPREAD_VECTORS; i++)
        of[i] = emit_load(m, type, get_element(m, type, part, get_i64(m, i)));
    /* of a part without any, all is 0 */
    LLVMValueRef places = get_splat(m, get_f32(m, 1), lanes_of_walk(walk));
    places =
        LLVMBuildSelect(m->builder, LLVMBuildFCmp(m->builder, LLVMRealOGT, of[SPREAD_PLACES], places, ""),
                        of[SPREAD_PLACES], places, "");
    LLVMValueRef mean = emit_float(m, LLVMFDiv, of[SPREAD_SUM], places),
                 squares = emit_float(m, LLVMFSub, of[SPREAD_SQUARES],
                                      emit_float(m, LLVMFMul, of[SPREAD_SUM], mean)),
                 apart = emit_float(m, LLVMFAdd, emit_float(m, LLVMFSub, of[SPREAD_CENTER], about), mean);
    return emit_muladd(m, emit_float(m, LLVMFMul, apart, apart), of[SPREAD_PLACES], squares);
}

static RunningSum emit_parts(NestWalk *walk) {
    Module *m = walk->m;
    Point point = result_point(walk);
    const Node *spread_about = walk->kernel->gathers ? walk->kernel->gathers->about : NULL;
    LLVMValueRef about = spread_about ? emit_expr(&walk->epilogue, spread_about, &point) : NULL;
    RunningSum total = get_identity(walk);
    LLVMValueRef count = get_dim(m, nest_parts(walk->kernel->program, walk->nest)),
                 first = emit_mul(m, walk->task, count);
    Loop loop = begin_loop(m, get_i64(m, 0), count, 1);
    RunningSum phi = carry_sum(walk, &loop, total), at = part_address(walk, emit_add(m, first, loop.index));
    LLVMTypeRef type = LLVMTypeOf(total.value);
    RunningSum part = {
        about ? emit_spread_squares(walk, type, at.value, about) : emit_load(m, type, at.value), NULL};
    if (total.index) part.index = emit_load(m, LLVMTypeOf(total.index), at.index);
    set_carried_sum(&loop, 0, combine_sums(walk, phi, part));
    end_loop(m, &loop);
    return carried_sum(&loop, 0, total.index != NULL);
}

void emit_reduction(NestWalk *walk) {
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
