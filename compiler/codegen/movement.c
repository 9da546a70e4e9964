/* Movement operators as maps of coordinates: a node's element at a point is its operand's
 * element at another point.
 *
 * Coordinates that are invariant in the innermost loop are mapped before it (step_out),
 * so that expressions of them alone can be computed there too. A coordinate that is the
 * same in all lanes never leaves its tensor: where it could, it is clamped, and the
 * loaded value replaced; a coordinate that runs through the lanes is guarded by the mask
 * instead. */
#include "codegen/codegen.h"
#include "graph/class_rows.h"

static LLVMValueRef size_of(Epilogue *epilogue, const Node *node, int axis) {
    return get_dim(epilogue->module, node->shape.dims[axis]);
}

/* ---- coordinates ---- */

static Coord coord_zero(Module *m) { return (Coord){.base = get_i64(m, 0), .aligned = true}; }

static bool is_block_multiple(Module *m, LLVMValueRef value) {
    int64_t constant;
    return get_constant(value, &constant) && constant % m->target->lanes == 0;
}

/* coord * factor + addend, factor a constant. */
static Coord coord_affine(Epilogue *epilogue, const Coord *coord, int64_t factor, LLVMValueRef addend,
                          int lanes) {
    Module *m = epilogue->module;
    LLVMBasicBlockRef from = step_out(epilogue->module, coord->inner);
    Coord to = *coord;
    to.aligned = coord->aligned && factor == 1 && is_block_multiple(m, addend);
    to.lane_step = coord->lane_step * factor;
    if (coord->vector) {
        to.vector = LLVMBuildMul(m->builder, coord->vector, get_splat(m, get_i64(m, factor), lanes), "");
        to.vector = LLVMBuildAdd(m->builder, to.vector, get_splat(m, addend, lanes), "");
    } else {
        to.base = emit_add(m, emit_mul(m, coord->base, get_i64(m, factor)), addend);
    }
    step_back(epilogue->module, from);
    return to;
}

/* A function of an integer coordinate, on a scalar or on all lanes: reflections and
 * clamps. */
typedef LLVMValueRef (*CoordMap)(Module *m, LLVMValueRef coord, LLVMValueRef size);

static Coord coord_mapped(Epilogue *epilogue, const Coord *coord, LLVMValueRef size, int lanes,
                          CoordMap map) {
    Module *m = epilogue->module;
    LLVMBasicBlockRef from = step_out(epilogue->module, coord->inner);
    Coord to = {.inner = coord->inner, .base = get_i64(m, 0)};
    if (!coord_varies(coord) || lanes == 1) to.base = map(m, coord->base, size);
    else to.vector = map(m, get_coord_vector(m, coord, lanes), get_splat(m, size, lanes));
    step_back(epilogue->module, from);
    return to;
}

static LLVMValueRef map_clamp(Module *m, LLVMValueRef coord, LLVMValueRef size) {
    LLVMTypeRef type = LLVMTypeOf(coord);
    LLVMValueRef last = LLVMBuildAdd(m->builder, size, LLVMConstAllOnes(type), "");
    return emit_max(m, emit_min(m, coord, last), LLVMConstNull(type));
}

/* Reflects at either edge, without repeating the edge itself; clamped, too, for lanes
 * that do not exist. */
static LLVMValueRef map_reflect(Module *m, LLVMValueRef coord, LLVMValueRef size) {
    LLVMTypeRef type = LLVMTypeOf(coord);
    LLVMValueRef last = LLVMBuildAdd(m->builder, size, LLVMConstAllOnes(type), "");
    LLVMValueRef left = emit_max(m, coord, LLVMBuildNeg(m->builder, coord, ""));
    LLVMValueRef over = LLVMBuildSub(m->builder, last, left, "");
    LLVMValueRef mirrored =
        LLVMBuildSub(m->builder, last, emit_max(m, over, LLVMBuildNeg(m->builder, over, "")), "");
    return map_clamp(m, mirrored, size);
}

/* ---- guards ---- */

LLVMValueRef emit_and(Module *m, LLVMValueRef a, LLVMValueRef b) {
    if (!a || !b) return a ? a : b;
    if (LLVMTypeOf(a) == LLVMTypeOf(b)) return LLVMBuildAnd(m->builder, a, b, "");
    return get_lanes(LLVMTypeOf(a)) > 1
               ? LLVMBuildAnd(m->builder, a, get_splat(m, b, get_lanes(LLVMTypeOf(a))), "")
               : emit_and(m, b, a);
}

static LLVMValueRef emit_lane_bound(Module *m, LLVMValueRef bound, int lanes) {
    LLVMValueRef narrow = emit_max(m, emit_min(m, bound, get_i64(m, lanes)), get_i64(m, 0));
    return get_splat(m, LLVMBuildTrunc(m->builder, narrow, m->i32, ""), lanes);
}

/* Which lanes of base + lane are in [0, size), by 32-bit comparisons. */
static LLVMValueRef emit_run_guard(Module *m, const Coord *coord, LLVMValueRef size, int lanes) {
    LLVMValueRef numbers = get_lane_numbers(m, m->i32, lanes);
    LLVMValueRef from = emit_lane_bound(m, LLVMBuildNeg(m->builder, coord->base, ""), lanes);
    LLVMValueRef to = emit_lane_bound(m, LLVMBuildSub(m->builder, size, coord->base, ""), lanes);
    LLVMValueRef begun = LLVMBuildICmp(m->builder, LLVMIntSGE, numbers, from, "");
    return LLVMBuildAnd(m->builder, begun, LLVMBuildICmp(m->builder, LLVMIntSLT, numbers, to, ""), "");
}

/* The guard of a point whose coordinates may be outside: a mask of the lanes inside, and
 * a condition for all lanes together. */
typedef struct BorderGuard {
    LLVMValueRef lanes, all; /* NULL: no condition */
    bool inner;              /* `lanes` changes within the innermost loop */
} BorderGuard;

static void guard_with(Epilogue *epilogue, BorderGuard *guard, LLVMValueRef condition, bool inner) {
    if (get_lanes(LLVMTypeOf(condition)) == 1) {
        guard->all = emit_and(epilogue->module, guard->all, condition);
        return;
    }
    guard->inner = guard->inner || inner;
    LLVMBasicBlockRef from = step_out(epilogue->module, guard->inner);
    guard->lanes = emit_and(epilogue->module, guard->lanes, condition);
    step_back(epilogue->module, from);
}

/* Makes a coordinate that may be outside [0, size) safe, and adds the condition that it
 * is inside to the guard. */
static void guard_coord(Epilogue *epilogue, BorderGuard *guard, Coord *coord, LLVMValueRef size, int lanes) {
    Module *m = epilogue->module;
    LLVMBasicBlockRef from = step_out(epilogue->module, coord->inner);
    LLVMValueRef inside;
    coord->aligned = false;
    if (!coord_varies(coord) || lanes == 1) {
        inside = LLVMBuildICmp(m->builder, LLVMIntULT, coord->base, size, "");
        coord->base = map_clamp(m, coord->base, size);
    } else if (!coord->vector && coord->lane_step == 1) {
        inside = emit_run_guard(m, coord, size, lanes);
    } else {
        inside = LLVMBuildICmp(m->builder, LLVMIntULT, get_coord_vector(m, coord, lanes),
                               get_splat(m, size, lanes), "");
    }
    step_back(epilogue->module, from);
    guard_with(epilogue, guard, inside, coord->inner);
}

static LLVMValueRef emit_guarded(Epilogue *epilogue, const BorderGuard *guard, const Node *node, Point *point,
                                 LLVMValueRef other) {
    Module *m = epilogue->module;
    if (guard->lanes) {
        point->mask_inner = point->mask_inner || guard->inner;
        LLVMBasicBlockRef from = step_out(epilogue->module, point->mask_inner);
        point->mask = emit_and(m, point->mask, guard->lanes);
        step_back(epilogue->module, from);
    }
    LLVMValueRef value = emit_member(epilogue, node, point);
    if (guard->lanes) value = LLVMBuildSelect(m->builder, guard->lanes, value, other, "");
    if (guard->all) value = LLVMBuildSelect(m->builder, guard->all, value, other, "");
    return value;
}

/* ---- movement ---- */

static Point like_point(const Point *point, int rank) {
    return (Point){.rank = rank, .lanes = point->lanes, .mask = point->mask, .mask_inner = point->mask_inner};
}

static LLVMValueRef broadcast_at(Epilogue *epilogue, const Node *node, const Point *point) {
    const Node *x = node->inputs[0];
    Point from = *point;
    for (int i = 0; i < point->rank; i++)
        if (x->shape.dims[i] != node->shape.dims[i]) from.at[i] = coord_zero(epilogue->module);
    return emit_member(epilogue, x, &from);
}

static LLVMValueRef transpose_at(Epilogue *epilogue, const Node *node, const Point *point) {
    IntList permutation = ATTRIBUTES(node, transpose)->permutation;
    Point from = like_point(point, point->rank);
    for (int i = 0; i < point->rank; i++) from.at[permutation.items[i]] = point->at[i];
    return emit_member(epilogue, node->inputs[0], &from);
}

static LLVMValueRef slice_at(Epilogue *epilogue, const Node *node, const Point *point) {
    const slice_attributes *a = ATTRIBUTES(node, slice);
    Point from = *point;
    for (int i = 0; i < point->rank; i++) {
        int64_t step = a->step.count ? a->step.items[i] : 1;
        from.at[i] = coord_affine(epilogue, &point->at[i], step, get_dim(epilogue->module, a->begin.items[i]),
                                  point->lanes);
    }
    return emit_member(epilogue, node->inputs[0], &from);
}

static LLVMValueRef flip_at(Epilogue *epilogue, const Node *node, const Point *point) {
    IntList axes = ATTRIBUTES(node, flip)->axes;
    Point from = *point;
    for (int i = 0; i < axes.count; i++) {
        int axis = (int)axes.items[i];
        LLVMBasicBlockRef back = step_out(epilogue->module, false);
        LLVMValueRef last =
            emit_add(epilogue->module, size_of(epilogue, node, axis), get_i64(epilogue->module, -1));
        step_back(epilogue->module, back);
        from.at[axis] = coord_affine(epilogue, &point->at[axis], -1, last, point->lanes);
    }
    return emit_member(epilogue, node->inputs[0], &from);
}

static LLVMValueRef emit_neg(Epilogue *epilogue, Dim dim) {
    LLVMBasicBlockRef from = step_out(epilogue->module, false);
    LLVMValueRef value = LLVMBuildNeg(epilogue->module->builder, get_dim(epilogue->module, dim), "");
    step_back(epilogue->module, from);
    return value;
}

static LLVMValueRef pad_at(Epilogue *epilogue, const Node *node, const Point *point) {
    Module *m = epilogue->module;
    const pad_attributes *a = ATTRIBUTES(node, pad);
    bool constant = strcmp(a->mode, "constant") == 0;
    CoordMap map = strcmp(a->mode, "reflect") == 0 ? map_reflect : map_clamp;
    Point from = *point;
    BorderGuard guard = {0};
    for (int i = 0; i < point->rank; i++) {
        if (dim_is_zero(a->before.items[i]) && dim_is_zero(a->after.items[i])) continue;
        LLVMValueRef size = size_of(epilogue, node->inputs[0], i),
                     minus = emit_neg(epilogue, a->before.items[i]);
        from.at[i] = coord_affine(epilogue, &point->at[i], 1, minus, point->lanes);
        if (constant) guard_coord(epilogue, &guard, &from.at[i], size, point->lanes);
        else from.at[i] = coord_mapped(epilogue, &from.at[i], size, point->lanes, map);
    }
    return emit_guarded(epilogue, &guard, node->inputs[0], &from,
                        get_exact(m, node->shape.type, a->value, point->lanes));
}

/* ---- pad_input: the places of the padded tensor that show this element, added up axis by axis ---- */

typedef struct Border {
    Epilogue *epilogue;
    const Node *node;
    const Point *point; /* of the node */
} Border;

static LLVMValueRef border_sum(const Border *border, int axis, const Point *from, const BorderGuard *guard);

/* The padded place `coord` shows the element where also `condition` holds (NULL:
 * always). */
static LLVMValueRef border_term(const Border *border, int axis, const Point *from, const BorderGuard *guard,
                                Coord coord, LLVMValueRef condition) {
    Point there = *from;
    BorderGuard also = *guard;
    there.at[axis] = coord;
    guard_coord(border->epilogue, &also, &there.at[axis],
                size_of(border->epilogue, border->node->inputs[0], axis), from->lanes);
    if (condition) guard_with(border->epilogue, &also, condition, true);
    return border_sum(border, axis + 1, &there, &also);
}

static LLVMValueRef emit_same(const Border *border, int axis, LLVMIntPredicate predicate,
                              LLVMValueRef place) {
    const Coord *coord = &border->point->at[axis];
    int lanes = coord_varies(coord) ? border->point->lanes : 1;
    Module *m = border->epilogue->module;
    return LLVMBuildICmp(m->builder, predicate, get_coord_vector(m, coord, lanes), get_splat(m, place, lanes),
                         "");
}

/* The border of `size` places from `first` on all shows the element at `edge`. */
static LLVMValueRef border_run(const Border *border, int axis, const Point *from, const BorderGuard *guard,
                               LLVMValueRef first, LLVMValueRef end, LLVMValueRef edge, LLVMValueRef sum) {
    Module *m = border->epilogue->module;
    Loop loop = begin_loop(m, first, end, 1);
    LLVMValueRef carried = add_carried(m, &loop, sum);
    LLVMValueRef term = border_term(border, axis, from, guard, coord_fixed(loop.index),
                                    emit_same(border, axis, LLVMIntEQ, edge));
    set_carried(&loop, 0, emit_sum(m, carried, term));
    end_loop(m, &loop);
    return carried_result(&loop, 0);
}

static LLVMValueRef border_axis(const Border *border, int axis, const Point *from, const BorderGuard *guard) {
    Epilogue *epilogue = border->epilogue;
    Module *m = epilogue->module;
    const pad_input_attributes *a = ATTRIBUTES(border->node, pad_input);
    const Coord *coord = &border->point->at[axis];
    LLVMValueRef before = get_dim(m, a->before.items[axis]),
                 last = emit_add(m, size_of(epilogue, border->node, axis), get_i64(m, -1));
    LLVMValueRef sum =
        border_term(border, axis, from, guard, coord_affine(epilogue, coord, 1, before, from->lanes), NULL);
    if (strcmp(a->mode, "replicate") == 0) {
        sum = border_run(border, axis, from, guard, get_i64(m, 0), before, get_i64(m, 0), sum);
        LLVMValueRef first = emit_add(m, emit_add(m, before, last), get_i64(m, 1));
        return border_run(border, axis, from, guard, first, size_of(epilogue, border->node->inputs[0], axis),
                          last, sum);
    }
    if (strcmp(a->mode, "reflect") != 0) return sum;
    Coord left = coord_affine(epilogue, coord, -1, before, from->lanes);
    Coord right =
        coord_affine(epilogue, coord, -1, emit_add(m, emit_mul(m, last, get_i64(m, 2)), before), from->lanes);
    sum = emit_sum(
        m, sum,
        border_term(border, axis, from, guard, left, emit_same(border, axis, LLVMIntNE, get_i64(m, 0))));
    return emit_sum(m, sum,
                    border_term(border, axis, from, guard, right, emit_same(border, axis, LLVMIntNE, last)));
}

static LLVMValueRef border_sum(const Border *border, int axis, const Point *from, const BorderGuard *guard) {
    const Node *x = border->node->inputs[0];
    if (axis == from->rank) {
        Point there = *from;
        return emit_guarded(border->epilogue, guard, x, &there,
                            get_number(border->epilogue->module, x->shape.type, 0, from->lanes));
    }
    if (x->shape.dims[axis] == border->node->shape.dims[axis])
        return border_sum(border, axis + 1, from, guard);
    return border_axis(border, axis, from, guard);
}

/* Its loops make blocks of their own, so values computed in them must be forgotten
 * afterwards, and none may be hoisted out of them. */
static LLVMValueRef pad_input_at(Epilogue *epilogue, const Node *node, const Point *point) {
    LLVMBasicBlockRef hoist = epilogue->module->hoist;
    int known = epilogue->memo.count;
    epilogue->module->hoist = NULL;
    Border border = {epilogue, node, point};
    LLVMValueRef value = border_sum(&border, 0, point, &(BorderGuard){0});
    epilogue->memo.count = known;
    epilogue->module->hoist = hoist;
    return value;
}

/* ---- gather ---- */

/* An index as a coordinate; one that lies outside is clamped. */
static Coord index_coord(Epilogue *epilogue, LLVMValueRef index, LLVMValueRef size, bool inner) {
    Module *m = epilogue->module;
    LLVMBasicBlockRef from = step_out(epilogue->module, inner);
    int lanes = get_lanes(LLVMTypeOf(index));
    LLVMValueRef wide = LLVMBuildSExt(m->builder, index, get_vector(m, m->i64, lanes), "");
    wide = map_clamp(m, wide, get_splat(m, size, lanes));
    step_back(epilogue->module, from);
    return lanes > 1 ? (Coord){.base = get_i64(m, 0), .vector = wide, .inner = inner}
                     : (Coord){.base = wide, .inner = inner};
}

static LLVMValueRef gather_at(Epilogue *epilogue, const Node *node, const Point *point) {
    const Node *x = node->inputs[0], *index = node->inputs[1];
    int axis = (int)ATTRIBUTES(node, gather)->axis, wide = index->shape.rank;
    Point place = like_point(point, wide), from = like_point(point, x->shape.rank);
    bool inner = false;
    for (int i = 0; i < wide; i++) {
        place.at[i] = point->at[axis + i];
        inner = inner || place.at[i].inner;
    }
    if (!point_varies(&place)) {
        place.lanes = 1;
        place.mask = NULL;
    }
    for (int i = 0; i < axis; i++) from.at[i] = point->at[i];
    for (int i = axis + 1; i < from.rank; i++) from.at[i] = point->at[i + wide - 1];
    from.at[axis] =
        index_coord(epilogue, emit_member(epilogue, index, &place), size_of(epilogue, x, axis), inner);
    return emit_member(epilogue, x, &from);
}

/* ---- reshape ---- */

/* Axes of size 1 come and go; the others carry over. */
static void reshape_trivially(Epilogue *epilogue, const Node *node, const Point *point, Point *from) {
    const Node *x = node->inputs[0];
    int axis = 0;
    for (int i = 0; i < from->rank; i++) {
        from->at[i] = coord_zero(epilogue->module);
        if (dim_is_one(x->shape.dims[i])) continue;
        while (dim_is_one(node->shape.dims[axis])) axis++;
        from->at[i] = point->at[axis++];
    }
}

LLVMValueRef emit_element_number(Module *m, const Node *node, const Point *point) {
    LLVMValueRef number = get_splat(m, get_i64(m, 0), point->lanes);
    for (int i = 0; i < point->rank; i++) {
        LLVMValueRef size = get_splat(m, get_dim(m, node->shape.dims[i]), point->lanes);
        number = LLVMBuildMul(m->builder, number, size, "");
        number = LLVMBuildAdd(m->builder, number, get_coord_vector(m, &point->at[i], point->lanes), "");
    }
    return number;
}

/* The general case: to the element's number, and from it to the other coordinates, on all
 * lanes. */
static void reshape_generally(Epilogue *epilogue, const Node *node, const Point *point, Point *from) {
    Module *m = epilogue->module;
    int lanes = point->lanes;
    bool inner = false;
    LLVMValueRef number = emit_element_number(m, node, point);
    for (int i = 0; i < point->rank; i++) inner = inner || point->at[i].inner;
    for (int i = from->rank - 1; i >= 0; i--) {
        LLVMValueRef size = get_splat(m, size_of(epilogue, node->inputs[0], i), lanes);
        LLVMValueRef coord = i ? LLVMBuildURem(m->builder, number, size, "") : number;
        from->at[i] = (Coord){
            .base = lanes > 1 ? get_i64(m, 0) : coord, .vector = lanes > 1 ? coord : NULL, .inner = inner};
        if (i) number = LLVMBuildUDiv(m->builder, number, size, "");
    }
}

static LLVMValueRef reshape_at(Epilogue *epilogue, const Node *node, const Point *point) {
    Point from = like_point(point, node->inputs[0]->shape.rank);
    if (reshape_is_trivial(node)) reshape_trivially(epilogue, node, point, &from);
    else reshape_generally(epilogue, node, point, &from);
    return emit_member(epilogue, node->inputs[0], &from);
}

static LLVMValueRef concat_at(Epilogue *epilogue, const Node *node, const Point *point) {
    (void)epilogue, (void)node, (void)point;
    INTERNAL_ERROR("a concatenation is laid out in memory, its parts are computed there");
}

/* ---- the family ---- */

static LLVMValueRef (*const movements[OP_COUNT])(Epilogue *, const Node *, const Point *) = {
#undef ROW_OF_CLASS_MOVEMENT
#define ROW_OF_CLASS_MOVEMENT(name) [OP_##name] = name##_at,
#define OP(name, inputs, attributes, class, ...) ROW_OF_##class(name)
#include "graph/ops.def"
#undef OP
};

LLVMValueRef emit_movement(Epilogue *epilogue, const Node *node, const Point *point) {
    return movements[node->op](epilogue, node, point);
}
