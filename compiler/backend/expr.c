/* The elements of a node at a point: elementwise operators become arithmetic, movement operators become maps of coordinates, and
 * what the kernel does not compute itself is loaded.
 *
 * Two things keep the code small and fast. What has the same coordinates in all lanes is computed once, as a scalar, and splatted.
 * And what does not change within the innermost loop is computed before it (tail->hoist): LLVM could not do that for us, as it does
 * not know that stores leave our inputs alone. A memo keeps a value that several operators share from being computed again. */
#include "backend/backend.h"

static LLVMValueRef value_at(Tail *tail, const Node *node, const Point *point);

static LLVMValueRef size_of(Tail *tail, const Node *node, int axis) { return get_dim(tail->module, node->shape.dims[axis]); }

static bool is_one(Dim dim) {
    int64_t value;
    return dim_is_const(dim, &value) && value == 1;
}

/* ---- coordinates ---- */

static Coord coord_zero(Module *m) { return (Coord){.base = get_i64(m, 0), .aligned = true}; }

static bool is_block_multiple(Module *m, LLVMValueRef value) {
    int64_t constant;
    return get_constant(value, &constant) && constant % m->target->lanes == 0;
}

/* coord * factor + addend, factor a constant. */
static Coord coord_affine(Module *m, const Coord *coord, int64_t factor, LLVMValueRef addend, int lanes) {
    Coord to = *coord;
    to.aligned = coord->aligned && factor == 1 && is_block_multiple(m, addend);
    to.lane_step = coord->lane_step * factor;
    if (coord->vector) {
        to.vector = LLVMBuildMul(m->builder, coord->vector, get_splat(m, get_i64(m, factor), lanes), "");
        to.vector = LLVMBuildAdd(m->builder, to.vector, get_splat(m, addend, lanes), "");
    } else {
        to.base = emit_add(m, emit_mul(m, coord->base, get_i64(m, factor)), addend);
    }
    return to;
}

/* The coordinate a function of integers gives, on a scalar or on all lanes: reflections and clamps. */
typedef LLVMValueRef (*CoordMap)(Module *m, LLVMValueRef coord, LLVMValueRef size);

static Coord coord_mapped(Module *m, const Coord *coord, LLVMValueRef size, int lanes, CoordMap map) {
    Coord to = {.inner = coord->inner, .base = get_i64(m, 0)};
    if (!coord_varies(coord) || lanes == 1) to.base = map(m, coord->base, size);
    else to.vector = map(m, get_coord_vector(m, coord, lanes), get_splat(m, size, lanes));
    return to;
}

static LLVMValueRef map_clamp(Module *m, LLVMValueRef coord, LLVMValueRef size) {
    LLVMTypeRef type = LLVMTypeOf(coord);
    LLVMValueRef last = LLVMBuildAdd(m->builder, size, LLVMConstAllOnes(type), "");
    return emit_max(m, emit_min(m, coord, last), LLVMConstNull(type));
}

/* Back from either edge, the edge itself not repeated; clamped too, for lanes that do not exist. */
static LLVMValueRef map_reflect(Module *m, LLVMValueRef coord, LLVMValueRef size) {
    LLVMTypeRef type = LLVMTypeOf(coord);
    LLVMValueRef last = LLVMBuildAdd(m->builder, size, LLVMConstAllOnes(type), "");
    LLVMValueRef left = emit_max(m, coord, LLVMBuildNeg(m->builder, coord, ""));
    LLVMValueRef over = LLVMBuildSub(m->builder, last, left, "");
    LLVMValueRef mirrored = LLVMBuildSub(m->builder, last, emit_max(m, over, LLVMBuildNeg(m->builder, over, "")), "");
    return map_clamp(m, mirrored, size);
}

/* ---- guards: coordinates that may lie outside ---- */

static LLVMValueRef emit_and(Module *m, LLVMValueRef a, LLVMValueRef b) {
    if (!a || !b) return a ? a : b;
    if (LLVMTypeOf(a) == LLVMTypeOf(b)) return LLVMBuildAnd(m->builder, a, b, "");
    return get_lanes(LLVMTypeOf(a)) > 1 ? LLVMBuildAnd(m->builder, a, get_splat(m, b, get_lanes(LLVMTypeOf(a))), "") : emit_and(m, b, a);
}

static LLVMValueRef emit_lane_bound(Module *m, LLVMValueRef bound, int lanes) {
    LLVMValueRef narrow = emit_max(m, emit_min(m, bound, get_i64(m, lanes)), get_i64(m, 0));
    return get_splat(m, LLVMBuildTrunc(m->builder, narrow, m->i32, ""), lanes);
}

/* Which lanes of base + lane lie in [0, size), by 32-bit comparisons. */
static LLVMValueRef emit_run_guard(Module *m, const Coord *coord, LLVMValueRef size, int lanes) {
    LLVMValueRef numbers = get_lane_numbers(m, m->i32, lanes);
    LLVMValueRef from = emit_lane_bound(m, LLVMBuildNeg(m->builder, coord->base, ""), lanes);
    LLVMValueRef to = emit_lane_bound(m, LLVMBuildSub(m->builder, size, coord->base, ""), lanes);
    LLVMValueRef begun = LLVMBuildICmp(m->builder, LLVMIntSGE, numbers, from, "");
    return LLVMBuildAnd(m->builder, begun, LLVMBuildICmp(m->builder, LLVMIntSLT, numbers, to, ""), "");
}

/* Makes a coordinate that may lie outside [0, size) safe, and gives the condition that it lay inside: a mask where lanes differ,
 * else one bit (and the coordinate is clamped, since what is the same in all lanes is loaded without a mask). */
static LLVMValueRef emit_guard(Module *m, Coord *coord, LLVMValueRef size, int lanes) {
    if (coord_varies(coord) && lanes > 1) {
        if (!coord->vector && coord->lane_step == 1) return emit_run_guard(m, coord, size, lanes);
        LLVMValueRef vector = get_coord_vector(m, coord, lanes);
        return LLVMBuildICmp(m->builder, LLVMIntULT, vector, get_splat(m, size, lanes), "");
    }
    LLVMValueRef inside = LLVMBuildICmp(m->builder, LLVMIntULT, coord->base, size, "");
    coord->base = map_clamp(m, coord->base, size);
    return inside;
}

/* ---- movement ---- */

static Point like_point(const Point *point, int rank) {
    return (Point){.rank = rank, .lanes = point->lanes, .mask = point->mask};
}

static LLVMValueRef broadcast_at(Tail *tail, const Node *node, const Point *point) {
    const Node *x = node->inputs[0];
    Point from = *point;
    for (int i = 0; i < point->rank; i++)
        if (x->shape.dims[i] != node->shape.dims[i]) from.at[i] = coord_zero(tail->module);
    return value_at(tail, x, &from);
}

static LLVMValueRef transpose_at(Tail *tail, const Node *node, const Point *point) {
    IntList permutation = ATTRIBUTES(node, transpose)->permutation;
    Point from = like_point(point, point->rank);
    for (int i = 0; i < point->rank; i++) from.at[permutation.items[i]] = point->at[i];
    return value_at(tail, node->inputs[0], &from);
}

static LLVMValueRef slice_at(Tail *tail, const Node *node, const Point *point) {
    const slice_attributes *a = ATTRIBUTES(node, slice);
    Point from = *point;
    for (int i = 0; i < point->rank; i++) {
        int64_t step = a->step.count ? a->step.items[i] : 1;
        from.at[i] = coord_affine(tail->module, &point->at[i], step, get_dim(tail->module, a->begin.items[i]), point->lanes);
    }
    return value_at(tail, node->inputs[0], &from);
}

static LLVMValueRef flip_at(Tail *tail, const Node *node, const Point *point) {
    IntList axes = ATTRIBUTES(node, flip)->axes;
    Point from = *point;
    for (int i = 0; i < axes.count; i++) {
        int axis = (int)axes.items[i];
        LLVMValueRef last = emit_add(tail->module, size_of(tail, node, axis), get_i64(tail->module, -1));
        from.at[axis] = coord_affine(tail->module, &point->at[axis], -1, last, point->lanes);
    }
    return value_at(tail, node->inputs[0], &from);
}

static bool is_zero(Dim dim) { return dim->term_count == 0; }

static LLVMValueRef pad_at(Tail *tail, const Node *node, const Point *point) {
    Module *m = tail->module;
    const pad_attributes *a = ATTRIBUTES(node, pad);
    const Node *x = node->inputs[0];
    bool constant = strcmp(a->mode, "constant") == 0;
    CoordMap map = strcmp(a->mode, "reflect") == 0 ? map_reflect : map_clamp;
    Point from = *point;
    LLVMValueRef mask = NULL, inside = NULL; /* of lanes, and of all lanes at once */
    for (int i = 0; i < point->rank; i++) {
        if (is_zero(a->before.items[i]) && is_zero(a->after.items[i])) continue;
        LLVMValueRef size = size_of(tail, x, i), before = get_dim(m, a->before.items[i]);
        from.at[i] = coord_affine(m, &point->at[i], 1, LLVMBuildNeg(m->builder, before, ""), point->lanes);
        from.at[i].aligned = false;
        if (constant) {
            LLVMValueRef guard = emit_guard(m, &from.at[i], size, point->lanes);
            if (get_lanes(LLVMTypeOf(guard)) > 1) mask = emit_and(m, mask, guard);
            else inside = emit_and(m, inside, guard);
        } else {
            from.at[i] = coord_mapped(m, &from.at[i], size, point->lanes, map);
        }
    }
    from.mask = emit_and(m, point->mask, mask);
    LLVMValueRef value = value_at(tail, x, &from), other = get_number(m, node->shape.type, a->value, point->lanes);
    if (mask) value = LLVMBuildSelect(m->builder, mask, value, other, "");
    if (inside) value = LLVMBuildSelect(m->builder, inside, value, other, "");
    return value;
}

/* An index as a coordinate; one that lies outside is clamped. */
static Coord index_coord(Module *m, LLVMValueRef index, LLVMValueRef size, bool inner) {
    int lanes = get_lanes(LLVMTypeOf(index));
    LLVMValueRef wide = LLVMBuildSExt(m->builder, index, get_vector(m, m->i64, lanes), "");
    wide = map_clamp(m, wide, get_splat(m, size, lanes));
    return lanes > 1 ? (Coord){.base = get_i64(m, 0), .vector = wide, .inner = inner} : (Coord){.base = wide, .inner = inner};
}

static LLVMValueRef gather_at(Tail *tail, const Node *node, const Point *point) {
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
    from.at[axis] = index_coord(tail->module, value_at(tail, index, &place), size_of(tail, x, axis), inner);
    return value_at(tail, x, &from);
}

/* ---- reshape ---- */

/* Axes of size 1 come and go; the others carry over. */
static void reshape_trivially(Tail *tail, const Node *node, const Point *point, Point *from) {
    const Node *x = node->inputs[0];
    int axis = 0;
    for (int i = 0; i < from->rank; i++) {
        from->at[i] = coord_zero(tail->module);
        if (is_one(x->shape.dims[i])) continue;
        while (is_one(node->shape.dims[axis])) axis++;
        from->at[i] = point->at[axis++];
    }
}

/* The general case: to the element's number, and from it to the other coordinates, on all lanes. */
static void reshape_generally(Tail *tail, const Node *node, const Point *point, Point *from) {
    Module *m = tail->module;
    int lanes = point_varies(point) ? point->lanes : 1;
    bool inner = false;
    LLVMValueRef number = get_splat(m, get_i64(m, 0), lanes);
    for (int i = 0; i < point->rank; i++) {
        LLVMValueRef coord = get_coord_vector(m, &point->at[i], lanes);
        number = LLVMBuildMul(m->builder, number, get_splat(m, size_of(tail, node, i), lanes), "");
        number = LLVMBuildAdd(m->builder, number, coord, "");
        inner = inner || point->at[i].inner;
    }
    for (int i = from->rank - 1; i >= 0; i--) {
        LLVMValueRef size = get_splat(m, size_of(tail, node->inputs[0], i), lanes);
        LLVMValueRef coord = i ? LLVMBuildURem(m->builder, number, size, "") : number;
        from->at[i] = (Coord){.base = lanes > 1 ? get_i64(m, 0) : coord, .vector = lanes > 1 ? coord : NULL, .inner = inner};
        if (i) number = LLVMBuildUDiv(m->builder, number, size, "");
    }
}

static LLVMValueRef reshape_at(Tail *tail, const Node *node, const Point *point) {
    Point from = like_point(point, node->inputs[0]->shape.rank);
    if (reshape_is_trivial(node)) reshape_trivially(tail, node, point, &from);
    else reshape_generally(tail, node, point, &from);
    return value_at(tail, node->inputs[0], &from);
}

/* ---- sources ---- */

static LLVMValueRef constant_at(Tail *tail, const Node *node, const Point *point) {
    const Data *data = ATTRIBUTES(node, constant)->data;
    if (data->count != 1) INTERNAL_ERROR("a constant of many values must be an input of the kernel");
    return get_number(tail->module, node->shape.type, data->values[0], point->lanes);
}

static LLVMValueRef emit_from_i64(Module *m, LLVMValueRef value, DType type) {
    return emit_cast(m, value, DTYPE_I64, type);
}

static LLVMValueRef iota_at(Tail *tail, const Node *node, const Point *point) {
    const Coord *coord = &point->at[ATTRIBUTES(node, iota)->axis];
    return emit_from_i64(tail->module, get_coord_vector(tail->module, coord, point->lanes), node->shape.type);
}

static LLVMValueRef size_at(Tail *tail, const Node *node, const Point *point) {
    Module *m = tail->module;
    LLVMValueRef value = emit_from_i64(m, get_dim(m, ATTRIBUTES(node, size)->value.items[0]), node->shape.type);
    return get_splat(m, value, point->lanes);
}

/* ---- the walk ---- */

static LLVMValueRef elementwise_at(Tail *tail, const Node *node, const Point *point) {
    LLVMValueRef operands[3];
    for (int i = 0; i < node->input_count; i++) operands[i] = value_at(tail, node->inputs[i], point);
    return emit_elementwise(tail->module, node, operands);
}

static LLVMValueRef member_at(Tail *tail, const Node *node, const Point *point) {
    if (op_info[node->op].class == CLASS_ELEMENTWISE) return elementwise_at(tail, node, point);
    switch (node->op) {
    case OP_broadcast: return broadcast_at(tail, node, point);
    case OP_transpose: return transpose_at(tail, node, point);
    case OP_slice: return slice_at(tail, node, point);
    case OP_flip: return flip_at(tail, node, point);
    case OP_pad: return pad_at(tail, node, point);
    case OP_gather: return gather_at(tail, node, point);
    case OP_reshape: return reshape_at(tail, node, point);
    case OP_constant: return constant_at(tail, node, point);
    case OP_iota: return iota_at(tail, node, point);
    case OP_size: return size_at(tail, node, point);
    default: INTERNAL_ERROR("%s cannot stand within a kernel's expression", op_info[node->op].name);
    }
}

static LLVMValueRef computed_at(Tail *tail, const Node *node, const Point *point) {
    int argument;
    const Value *input = kernel_input(tail->kernel, node, &argument);
    if (input) return emit_value_load(tail->module, input, get_argument(tail->module, argument), point);
    return member_at(tail, node, point);
}

static bool changes_inside(const Point *point) {
    for (int i = 0; i < point->rank; i++)
        if (point->at[i].inner) return true;
    return false;
}

static bool same_point(const Point *a, const Point *b) {
    if (a->rank != b->rank || a->lanes != b->lanes || a->mask != b->mask) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->at[i].base != b->at[i].base || a->at[i].lane_step != b->at[i].lane_step || a->at[i].vector != b->at[i].vector) return false;
    return true;
}

static LLVMValueRef remembered(const Tail *tail, const Node *node, const Point *point) {
    for (int i = 0; i < tail->memo.count; i++)
        if (tail->memo.items[i].node == node && same_point(&tail->memo.items[i].point, point)) return tail->memo.items[i].value;
    return NULL;
}

/* Computes the value before the innermost loop. */
static LLVMValueRef hoisted_at(Tail *tail, const Node *node, const Point *point) {
    LLVMBasicBlockRef from = LLVMGetInsertBlock(tail->module->builder), hoist = tail->hoist;
    LLVMPositionBuilderBefore(tail->module->builder, LLVMGetBasicBlockTerminator(hoist));
    tail->hoist = NULL;
    LLVMValueRef value = computed_at(tail, node, point);
    tail->hoist = hoist;
    LLVMPositionBuilderAtEnd(tail->module->builder, from);
    return value;
}

static LLVMValueRef value_at(Tail *tail, const Node *node, const Point *point) {
    for (int i = 0; i < tail->known_count; i++)
        if (tail->known[i].node == node) return tail->known[i].value;
    if (point->lanes > 1 && !point_varies(point)) {
        Point single = *point;
        single.lanes = 1;
        single.mask = NULL;
        return get_splat(tail->module, value_at(tail, node, &single), point->lanes);
    }
    LLVMValueRef value = remembered(tail, node, point);
    if (value) return value;
    bool hoisted = tail->hoist && !changes_inside(point);
    value = hoisted ? hoisted_at(tail, node, point) : computed_at(tail, node, point);
    vec_push(tail->module->arena, &tail->memo, (Memo){.node = node, .point = *point, .value = value, .hoisted = hoisted});
    return value;
}

/* What was computed before the loop stays known for as long as the loop's emitter keeps tail->hoist; the rest is forgotten, since
 * its code need not come before the next use. */
static void forget(Tail *tail) {
    int kept = 0;
    for (int i = 0; i < tail->memo.count; i++)
        if (tail->memo.items[i].hoisted && tail->hoist) tail->memo.items[kept++] = tail->memo.items[i];
    tail->memo.count = kept;
}

LLVMValueRef emit_expr(Tail *tail, const Node *node, const Point *point) {
    forget(tail);
    return value_at(tail, node, point);
}

void emit_tail_store(Tail *tail, const Point *point, LLVMValueRef elements) {
    if (tail->kernel->anchor) tail->known[tail->known_count++] = (Known){tail->kernel->anchor, elements};
    LLVMValueRef value = emit_expr(tail, tail->kernel->output->node, point);
    if (tail->kernel->anchor) tail->known_count--;
    emit_value_store(tail->module, tail->kernel->output, get_argument(tail->module, 0), point, value);
}
