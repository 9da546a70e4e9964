/* Points, and the elements of values in memory at them.
 *
 * An address is a scalar part, the sum of base * stride over the axes, and a part that
 * differs between lanes. Where that part is a constant step, 1 is a vector load, -1 a
 * reversed one, 0 a broadcast; anything else is a gather. */
#include "codegen/codegen.h"

Coord coord_fixed(LLVMValueRef base) { return (Coord){.base = base}; }
Coord coord_lanes(LLVMValueRef base, int64_t lane_step) {
    return (Coord){.base = base, .lane_step = lane_step};
}
bool coord_varies(const Coord *coord) { return coord->vector || coord->lane_step; }

bool point_varies(const Point *point) {
    for (int i = 0; i < point->rank; i++)
        if (coord_varies(&point->at[i])) return true;
    return false;
}

LLVMValueRef get_coord_vector(Module *m, const Coord *coord, int lanes) {
    if (coord->vector) return coord->vector;
    LLVMValueRef base = get_splat(m, coord->base, lanes);
    if (!coord->lane_step || lanes == 1) return base;
    LLVMValueRef steps = LLVMBuildMul(m->builder, get_lane_numbers(m, m->i64, lanes),
                                      get_splat(m, get_i64(m, coord->lane_step), lanes), "");
    return LLVMBuildAdd(m->builder, base, steps, "");
}

LLVMValueRef get_inside(Module *m, const Coord *coord, int lanes, LLVMValueRef size) {
    if (!coord_varies(coord)) lanes = 1;
    return LLVMBuildICmp(m->builder, LLVMIntULT, get_coord_vector(m, coord, lanes), get_splat(m, size, lanes),
                         "");
}

/* ---- addresses ---- */

/* The address of lane 0's element, and those of the others: `step` elements apart, or at
 * `offsets`. */
typedef struct Access {
    LLVMValueRef index; /* i64: of lane 0 where `offsets` is NULL */
    int64_t step;
    LLVMValueRef offsets; /* <lanes x i64>, to be added to index; NULL: index + step * lane */
} Access;

static void add_offsets(Module *m, Access *at, LLVMValueRef offsets) {
    at->offsets = at->offsets ? LLVMBuildAdd(m->builder, at->offsets, offsets, "") : offsets;
}

/* Adds coordinate * stride. */
static void add_coord(Module *m, Access *at, const Coord *coord, LLVMValueRef stride, int lanes) {
    int64_t constant;
    if (coord->vector) {
        add_offsets(m, at, LLVMBuildMul(m->builder, coord->vector, get_splat(m, stride, lanes), ""));
        return;
    }
    at->index = emit_add(m, at->index, emit_mul(m, coord->base, stride));
    if (!coord->lane_step || lanes == 1) return;
    if (get_constant(stride, &constant)) {
        at->step += coord->lane_step * constant;
        return;
    }
    LLVMValueRef step = get_splat(m, emit_mul(m, stride, get_i64(m, coord->lane_step)), lanes);
    add_offsets(m, at, LLVMBuildMul(m->builder, get_lane_numbers(m, m->i64, lanes), step, ""));
}

/* Of an axis in blocks: c / block * stride + c % block. An aligned run of channels is
 * adjacent. */
static void add_blocked(Module *m, Access *at, const Coord *coord, LLVMValueRef stride, int lanes,
                        int64_t places) {
    LLVMValueRef block = get_i64(m, places);
    if (!coord_varies(coord) ||
        (coord->aligned && coord->lane_step == 1 && !coord->vector && lanes <= places)) {
        LLVMValueRef within = coord->aligned ? get_i64(m, 0) : emit_rem(m, coord->base, block);
        LLVMValueRef outer = emit_mul(m, emit_div(m, coord->base, block), stride);
        at->index = emit_add(m, at->index, emit_add(m, outer, within));
        at->step += coord->lane_step;
        return;
    }
    LLVMValueRef channels = get_coord_vector(m, coord, lanes), blocks = get_splat(m, block, lanes);
    LLVMValueRef within = LLVMBuildURem(m->builder, channels, blocks, "");
    LLVMValueRef outer = LLVMBuildMul(m->builder, LLVMBuildUDiv(m->builder, channels, blocks, ""),
                                      get_splat(m, stride, lanes), "");
    add_offsets(m, at, LLVMBuildAdd(m->builder, outer, within, ""));
}

/* The part of the address that changes in the innermost loop, or the part that does
 * not. */
static void add_coords(Module *m, Access *at, const Value *value, const Point *point, bool inner) {
    LLVMBasicBlockRef from = step_out(m, inner);
    for (int i = 0; i < point->rank; i++) {
        if (point->at[i].inner != inner) continue;
        LLVMValueRef stride = get_dim(m, value->strides[i]);
        int64_t block = format_block(value->format, i);
        if (i == format_blocked_axis(value->format))
            add_blocked(m, at, &point->at[i], stride, point->lanes, block);
        else add_coord(m, at, &point->at[i], stride, point->lanes);
    }
    step_back(m, from);
}

static Access access_of(Module *m, const Value *value, const Point *point) {
    CHECK(value->strides && point->rank == value->node->shape.rank);
    Access at = {.index = get_i64(m, 0)};
    add_coords(m, &at, value, point, false);
    add_coords(m, &at, value, point, true);
    if (at.offsets && at.step) {
        Coord steps = coord_lanes(get_i64(m, 0), at.step);
        add_offsets(m, &at, get_coord_vector(m, &steps, point->lanes));
        at.step = 0;
    }
    return at;
}

/* The offsets of all lanes from the element at at->index; 32 bits wide where they are
 * known to fit, which halves the gathers. */
static LLVMValueRef get_offsets(Module *m, const Access *at, int lanes) {
    if (at->offsets) return at->offsets;
    bool narrow = at->step > -(1 << 24) && at->step < 1 << 24;
    LLVMTypeRef type = narrow ? m->i32 : m->i64;
    LLVMValueRef step = LLVMConstInt(type, (unsigned long long)at->step, 1);
    return LLVMBuildMul(m->builder, get_lane_numbers(m, type, lanes), get_splat(m, step, lanes), "");
}

/* ---- between memory and registers ---- */

LLVMTypeRef get_memory_type(Module *m, DType type) {
    return type == DTYPE_F16 || type == DTYPE_BF16 ? m->i16 : get_type(m, type);
}

static LLVMValueRef splat_like(Module *m, LLVMValueRef like, LLVMTypeRef element, uint64_t value) {
    return get_splat(m, LLVMConstInt(element, value, 0), get_lanes(LLVMTypeOf(like)));
}

static LLVMValueRef emit_from_memory(Module *m, LLVMValueRef raw, DType type) {
    int lanes = get_lanes(LLVMTypeOf(raw));
    if (type == DTYPE_BOOL)
        return LLVMBuildICmp(m->builder, LLVMIntNE, raw, LLVMConstNull(LLVMTypeOf(raw)), "");
    if (type == DTYPE_F16) {
        LLVMValueRef half = LLVMBuildBitCast(m->builder, raw, get_vector(m, m->f16, lanes), "");
        return LLVMBuildFPExt(m->builder, half, get_vector(m, m->f32, lanes), "");
    }
    if (type != DTYPE_BF16) return raw;
    LLVMValueRef wide = LLVMBuildZExt(m->builder, raw, get_vector(m, m->i32, lanes), "");
    wide = LLVMBuildShl(m->builder, wide, splat_like(m, wide, m->i32, 16), "");
    return LLVMBuildBitCast(m->builder, wide, get_vector(m, m->f32, lanes), "");
}

/* The bits of an f32 whose upper half is the bf16: to nearest, ties to even, and a NaN
 * stays one. The lower half means nothing. By integer arithmetic, since LLVM calls a
 * library on machines without the instruction, which also makes zeros of denormal
 * numbers. */
static LLVMValueRef emit_bf16_bits(Module *m, LLVMValueRef value) {
    int lanes = get_lanes(LLVMTypeOf(value));
    LLVMValueRef bits = LLVMBuildBitCast(m->builder, value, get_vector(m, m->i32, lanes), "");
    LLVMValueRef upper = LLVMBuildLShr(m->builder, bits, splat_like(m, bits, m->i32, 16), "");
    LLVMValueRef odd = LLVMBuildAnd(m->builder, upper, splat_like(m, bits, m->i32, 1), "");
    LLVMValueRef half = LLVMBuildAdd(m->builder, odd, splat_like(m, bits, m->i32, 0x7fff), "");
    LLVMValueRef rounded = LLVMBuildAdd(m->builder, bits, half, "");
    LLVMValueRef nan = LLVMBuildFCmp(m->builder, LLVMRealUNO, value, value, "");
    nan = LLVMBuildSExt(m->builder, nan, LLVMTypeOf(bits), "");
    nan = LLVMBuildLShr(m->builder, nan, splat_like(m, bits, m->i32, 1), ""); /* all but the sign */
    return LLVMBuildOr(m->builder, rounded, nan, "");
}

static LLVMValueRef emit_upper_half(Module *m, LLVMValueRef value) {
    LLVMValueRef bits =
        LLVMBuildBitCast(m->builder, value, get_vector(m, m->i32, get_lanes(LLVMTypeOf(value))), "");
    LLVMValueRef upper = LLVMBuildLShr(m->builder, bits, splat_like(m, bits, m->i32, 16), "");
    return LLVMBuildTrunc(m->builder, upper, get_vector(m, m->i16, get_lanes(LLVMTypeOf(value))), "");
}

static LLVMValueRef emit_rounded_bf16(Module *m, LLVMValueRef value) {
    LLVMValueRef bits = emit_bf16_bits(m, value);
    bits = LLVMBuildAnd(m->builder, bits, splat_like(m, bits, m->i32, 0xffff0000), "");
    return LLVMBuildBitCast(m->builder, bits, LLVMTypeOf(value), "");
}

static LLVMValueRef emit_to_memory(Module *m, LLVMValueRef value, DType type) {
    int lanes = get_lanes(LLVMTypeOf(value));
    if (type == DTYPE_BOOL) return LLVMBuildZExt(m->builder, value, get_vector(m, m->i8, lanes), "");
    if (type == DTYPE_BF16) return emit_upper_half(m, emit_bf16_bits(m, value));
    if (type != DTYPE_F16) return value;
    LLVMValueRef half = LLVMBuildFPTrunc(m->builder, value, get_vector(m, m->f16, lanes), "");
    return LLVMBuildBitCast(m->builder, half, get_vector(m, m->i16, lanes), "");
}

LLVMValueRef emit_rounded(Module *m, LLVMValueRef value, DType type) {
    if (type == DTYPE_BF16) return emit_rounded_bf16(m, value);
    if (type != DTYPE_F16) return value;
    return emit_from_memory(m, emit_to_memory(m, value, type), type);
}

/* ---- loads ---- */

LLVMValueRef emit_load_as(Module *m, DType from, DType to, LLVMValueRef address, int lanes, bool aligned,
                          LLVMValueRef mask) {
    LLVMTypeRef vector = get_vector(m, get_memory_type(m, from), lanes);
    int bytes = dtype_bytes(from), align = aligned ? lanes * bytes : bytes;
    return emit_cast(m, emit_from_memory(m, emit_masked_load(m, vector, address, align, mask), from), from,
                     to);
}

static LLVMValueRef emit_reverse(Module *m, LLVMValueRef vector) {
    int lanes = get_lanes(LLVMTypeOf(vector));
    LLVMValueRef order[64];
    for (int i = 0; i < lanes; i++) order[i] = get_i32(m, lanes - 1 - i);
    return LLVMBuildShuffleVector(m->builder, vector, LLVMGetPoison(LLVMTypeOf(vector)),
                                  LLVMConstVector(order, (unsigned)lanes), "");
}

/* Whether full vectors are readable here whatever the mask: in blocks, which have spare
 * lanes, and in weights, which are padded to 64 bytes. */
static bool fills_vectors(const Module *m, const Value *value, const Point *point) {
    int varying = -1;
    for (int i = 0; i < point->rank; i++)
        if (coord_varies(&point->at[i])) varying = i;
    if (varying < 0 || !point->at[varying].aligned) return false;
    if (is_blocked(value)) return varying == format_blocked_axis(value->format);
    for (int i = 0; i < point->rank; i++)
        if (i != varying && !dim_is_one(value->node->shape.dims[i])) return false;
    bool one_vector = dtype_bytes(value->node->shape.type) * point->lanes <= m->target->vector_bytes;
    return value->space == SPACE_WEIGHTS && !value->parent && one_vector;
}

static int alignment_of(Module *m, const Value *value, const Point *point) {
    int bytes = dtype_bytes(value->node->shape.type);
    bool whole = is_blocked(value) && point->lanes == m->target->lanes && fills_vectors(m, value, point);
    return whole ? bytes * m->target->lanes : bytes;
}

static LLVMValueRef emit_strided_load(Module *m, LLVMTypeRef vector, LLVMValueRef base, const Access *at,
                                      int align, LLVMValueRef mask) {
    LLVMTypeRef element = LLVMGetElementType(vector);
    int lanes = get_lanes(vector);
    LLVMValueRef first = get_element_anywhere(m, element, base, at->index);
    if (!at->offsets && at->step == 1) return emit_masked_load(m, vector, first, align, mask);
    if (!at->offsets && at->step == -1) {
        LLVMValueRef last = get_element_anywhere(m, element, first, get_i64(m, 1 - lanes));
        return emit_reverse(m, emit_masked_load(m, vector, last, align, mask ? emit_reverse(m, mask) : NULL));
    }
    return emit_gather(m, vector, first, get_offsets(m, at, lanes), mask);
}

/* A scalar that may be out of bounds: the address then becomes that of the buffer's first
 * element, which exists. */
static LLVMValueRef emit_scalar_load(Module *m, LLVMTypeRef type, LLVMValueRef base, LLVMValueRef index,
                                     LLVMValueRef mask) {
    if (mask) index = LLVMBuildSelect(m->builder, mask, index, get_i64(m, 0), "");
    return emit_load(m, type, get_element(m, type, base, index));
}

LLVMValueRef emit_value_load(Module *m, const Value *value, LLVMValueRef base, const Point *point) {
    DType type = value->node->shape.type;
    LLVMTypeRef element = get_memory_type(m, type);
    int align = alignment_of(m, value, point);
    if (point->lanes > 1 && !point_varies(point)) {
        Point single = *point;
        single.lanes = 1;
        single.mask = NULL;
        return get_splat(m, emit_value_load(m, value, base, &single), point->lanes);
    }
    Access at = access_of(m, value, point);
    if (point->lanes == 1)
        return emit_from_memory(m, emit_scalar_load(m, element, base, at.index, point->mask), type);
    LLVMValueRef mask = point->mask && fills_vectors(m, value, point) ? NULL : point->mask;
    return emit_from_memory(
        m, emit_strided_load(m, get_vector(m, element, point->lanes), base, &at, align, mask), type);
}

/* ---- stores ---- */

static void emit_strided_store(Module *m, LLVMValueRef raw, LLVMValueRef base, const Access *at, int align,
                               LLVMValueRef mask) {
    LLVMTypeRef element = LLVMGetElementType(LLVMTypeOf(raw));
    int lanes = get_lanes(LLVMTypeOf(raw));
    LLVMValueRef first = get_element_anywhere(m, element, base, at->index);
    if (!at->offsets && at->step == 1) emit_masked_store(m, raw, first, align, mask);
    else emit_scatter(m, raw, first, get_offsets(m, at, lanes), mask);
}

static void emit_scalar_store(Module *m, LLVMValueRef raw, LLVMValueRef address, LLVMValueRef mask) {
    if (!mask) {
        emit_store(m, raw, address);
        return;
    }
    Branch there = begin_if(m, mask);
    emit_store(m, raw, address);
    end_if(m, &there);
}

static void emit_raw_store(Module *m, const Value *value, LLVMValueRef base, const Point *point,
                           LLVMValueRef raw) {
    LLVMValueRef mask = point->mask;
    int align = alignment_of(m, value, point);
    Access at = access_of(m, value, point);
    if (point->lanes == 1) {
        emit_scalar_store(m, raw, get_element(m, LLVMTypeOf(raw), base, at.index), mask);
        return;
    }
    if (mask && is_blocked(value) && fills_vectors(m, value, point)) {
        raw = LLVMBuildSelect(m->builder, mask, raw, LLVMConstNull(LLVMTypeOf(raw)), "");
        mask = NULL;
    }
    if (value->streamed && !mask && align == LINE_BYTES)
        emit_streamed_store(m, raw,
                            get_element_anywhere(m, LLVMGetElementType(LLVMTypeOf(raw)), base, at.index));
    else emit_strided_store(m, raw, base, &at, align, mask);
}

void emit_value_store(Module *m, const Value *value, LLVMValueRef base, const Point *point,
                      LLVMValueRef elements) {
    emit_raw_store(m, value, base, point, emit_to_memory(m, elements, value->node->shape.type));
}

void emit_rounded_store(Module *m, const Value *value, LLVMValueRef base, const Point *point,
                        LLVMValueRef elements) {
    DType type = value->node->shape.type;
    LLVMValueRef raw = type == DTYPE_BF16 ? emit_upper_half(m, elements) : emit_to_memory(m, elements, type);
    emit_raw_store(m, value, base, point, raw);
}
