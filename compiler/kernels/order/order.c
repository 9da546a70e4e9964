/* The kind of kernel for operators of order. Operands and results are PLAIN, and each
 * operator has its own emitter. */
#include "kernels/order/order.h"

static const struct {
    Dim (*scratch)(const Kernel *kernel);
    void (*settle)(Program *program, Kernel *kernel);
    void (*emit)(Module *m, const Kernel *kernel);
} orders[OP_COUNT] = {
#undef ROW_OF_CLASS_ORDER
#define ROW_OF_CLASS_ORDER(name) [OP_##name] = {name##_scratch, name##_settle, name##_emit},
#define OP(name, inputs, attributes, class, ...) ROW_OF_##class(name)
#include "graph/ops.def"
#undef OP
};

/* One element at a time. */
bool order_propose(const Kernel *kernel, Proposal *proposal) {
    const Target *target = kernel->program->target;
    if (!takes_anchor(KERNEL_order, kernel)) return false;
    prefer_formats(kernel, proposal, &format_plain, kernel->input_count);
    proposal->memory.scratch = orders[kernel->anchor->op].scratch(kernel);
    proposal->cycles =
        cost_cycles(target, kernel_typical_flops(kernel), 1.0 / target->lanes, kernel_typical_bytes(kernel));
    return true;
}

void order_settle(Program *program, Kernel *kernel) { orders[kernel->anchor->op].settle(program, kernel); }

LLVMValueRef order_emit(Module *m, const Kernel *kernel) {
    LLVMValueRef function = begin_kernel(m, kernel->name);
    orders[kernel->anchor->op].emit(m, kernel);
    finish_kernel(m);
    return function;
}

/* ---- lines ---- */

Dim count_lines(const Kernel *kernel, Shape shape, int axis) {
    Dims *dims = kernel->program->graph->dims;
    Dim lines = dim_const(dims, 1);
    for (int i = 0; i < shape.rank; i++)
        if (i != axis) lines = dim_mul(dims, lines, shape.dims[i]);
    return lines;
}

void find_line(Module *m, Shape shape, int axis, LLVMValueRef number, Point *point) {
    for (int i = shape.rank - 1; i >= 0; i--)
        if (i != axis) point->at[i] = coord_fixed(take_part(m, &number, get_dim(m, shape.dims[i])));
}

/* ---- keys ---- */

/* 32 bits that as unsigned numbers have the order of the elements: of a negative float
 * all bits are inverted, of any other the sign. -0 becomes 0, and every NaN the same one,
 * above infinity. */
static LLVMValueRef emit_rising_bits(Module *m, LLVMValueRef element, DType type) {
    LLVMValueRef sign = LLVMConstInt(m->i32, 0x80000000u, 0);
    if (!dtype_is_float(type))
        return LLVMBuildXor(m->builder, LLVMBuildSExt(m->builder, element, m->i32, ""), sign, "");
    LLVMValueRef nan = LLVMConstBitCast(LLVMConstInt(m->i32, 0x7fc00000u, 0), m->f32);
    LLVMValueRef is_nan = LLVMBuildFCmp(m->builder, LLVMRealUNO, element, element, "");
    element = LLVMBuildFAdd(m->builder, element, get_f32(m, 0), "");
    element = LLVMBuildSelect(m->builder, is_nan, nan, element, "");
    LLVMValueRef bits = LLVMBuildBitCast(m->builder, element, m->i32, "");
    LLVMValueRef turned =
        LLVMBuildOr(m->builder, LLVMBuildAShr(m->builder, bits, get_i32(m, 31), ""), sign, "");
    return LLVMBuildXor(m->builder, bits, turned, "");
}

LLVMValueRef emit_sort_key(Module *m, LLVMValueRef element, DType type, bool largest, LLVMValueRef place) {
    LLVMValueRef bits = emit_rising_bits(m, element, type);
    if (largest) bits = LLVMBuildNot(m->builder, bits, "");
    LLVMValueRef high =
        LLVMBuildShl(m->builder, LLVMBuildZExt(m->builder, bits, m->i64, ""), get_i64(m, 32), "");
    return LLVMBuildOr(m->builder, high, place, "");
}

LLVMValueRef emit_key_place(Module *m, LLVMValueRef key) {
    return LLVMBuildTrunc(m->builder, key, m->i32, "");
}

LLVMValueRef load_key(Module *m, LLVMValueRef keys, LLVMValueRef index) {
    return emit_load(m, m->i64, get_element(m, m->i64, keys, index));
}

void store_key(Module *m, LLVMValueRef keys, LLVMValueRef index, LLVMValueRef key) {
    emit_store(m, key, get_element(m, m->i64, keys, index));
}

/* ---- sorting by digits ----
 *
 * A radix sort by the upper 32 bits only: keys come in the order of their places, and
 * each pass keeps the order of keys of equal digits. There are four passes of 8 bits,
 * whose digits were counted as the keys were stored:
 *
 *     for each digit, the lowest first
 *       places = sums of the counts before each value
 *       for each key: other[places[digit of key]++] = key; then the two change
 *
 * The memory holds the counts, the keys, and the other keys. */

enum { DIGITS = 4, DIGIT_VALUES = 256, COUNT_BYTES = DIGITS * DIGIT_VALUES * (int)sizeof(int32_t) };

Dim sort_bytes(Dims *dims, Dim count) { return dim_offset(dims, dim_scale(dims, count, 16), COUNT_BYTES); }

LLVMValueRef sort_keys(Module *m, LLVMValueRef memory) {
    return get_element(m, m->i8, memory, get_i64(m, COUNT_BYTES));
}

void begin_keys(Module *m, LLVMValueRef memory) {
    LLVMTypeRef vector = get_vector(m, m->i32, m->target->lanes);
    Loop loop = begin_loop(m, get_i64(m, 0), get_i64(m, DIGITS * DIGIT_VALUES), m->target->lanes);
    emit_store(m, LLVMConstNull(vector), get_element(m, m->i32, memory, loop.index));
    end_loop(m, &loop);
}

/* The address of the count of a key's digit. */
static LLVMValueRef emit_count_address(Module *m, LLVMValueRef memory, LLVMValueRef key, int digit) {
    LLVMValueRef value = LLVMBuildLShr(m->builder, key, get_i64(m, 32 + 8 * digit), "");
    value = LLVMBuildAnd(m->builder, value, get_i64(m, DIGIT_VALUES - 1), "");
    return get_element(m, m->i32, memory, emit_add(m, value, get_i64(m, digit * DIGIT_VALUES)));
}

/* Adds one, and returns the old value. */
static LLVMValueRef emit_count(Module *m, LLVMValueRef address) {
    LLVMValueRef count = emit_load(m, m->i32, address);
    emit_store(m, LLVMBuildAdd(m->builder, count, get_i32(m, 1), ""), address);
    return count;
}

void count_key(Module *m, LLVMValueRef memory, LLVMValueRef key) {
    for (int digit = 0; digit < DIGITS; digit++) emit_count(m, emit_count_address(m, memory, key, digit));
}

/* From counts to the places at which each value of the digit begins. */
static void emit_digit_places(Module *m, LLVMValueRef memory, int digit) {
    LoopCarried sum = {.at = {get_i32(m, 0)}, .count = 1};
    Loop loop = begin_loop_carried(m, &sum, get_i64(m, digit * DIGIT_VALUES),
                                   get_i64(m, (digit + 1) * DIGIT_VALUES), 1);
    LLVMValueRef address = get_element(m, m->i32, memory, loop.index), count = emit_load(m, m->i32, address);
    emit_store(m, sum.at[0], address);
    sum.at[0] = LLVMBuildAdd(m->builder, sum.at[0], count, "");
    end_loop_carried(m, &loop, &sum);
}

void sort_keys_by_digits(Module *m, LLVMValueRef memory, LLVMValueRef room, LLVMValueRef count) {
    LLVMValueRef from = sort_keys(m, memory), to = get_element(m, m->i64, from, room);
    for (int digit = 0; digit < DIGITS; digit++) {
        emit_digit_places(m, memory, digit);
        Loop loop = begin_loop(m, get_i64(m, 0), count, 1);
        LLVMValueRef key = load_key(m, from, loop.index);
        LLVMValueRef place = emit_count(m, emit_count_address(m, memory, key, digit));
        store_key(m, to, LLVMBuildZExt(m->builder, place, m->i64, ""), key);
        end_loop(m, &loop);
        LLVMValueRef other = from;
        from = to;
        to = other;
    }
}
