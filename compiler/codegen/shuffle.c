/* Elements that change places among vectors: squares transposed, vectors interleaved. */
#include "codegen/codegen.h"

/* In step d, each pair of vectors that are d apart exchanges the lanes that are d
 * apart. */
void emit_transpose(Module *m, LLVMValueRef *rows, int lanes) {
    for (int d = 1; d < lanes; d *= 2) {
        LLVMValueRef first[64], second[64];
        for (int l = 0; l < lanes; l++) {
            first[l] = get_i32(m, l & d ? lanes + l - d : l);
            second[l] = get_i32(m, l & d ? lanes + l : l + d);
        }
        LLVMValueRef low = LLVMConstVector(first, (unsigned)lanes),
                     high = LLVMConstVector(second, (unsigned)lanes);
        for (int i = 0; i < lanes; i++) {
            if (i & d) continue;
            LLVMValueRef a = rows[i], b = rows[i + d];
            rows[i] = LLVMBuildShuffleVector(m->builder, a, b, low, "");
            rows[i + d] = LLVMBuildShuffleVector(m->builder, a, b, high, "");
        }
    }
}

/* a0 b0 a1 b1 .. as two vectors. */
static void interleave_pair(Module *m, LLVMValueRef a, LLVMValueRef b, LLVMValueRef out[2]) {
    int lanes = get_lanes(LLVMTypeOf(a));
    for (int half = 0; half < 2; half++) {
        LLVMValueRef places[64];
        for (int l = 0; l < lanes; l++) places[l] = get_i32(m, (half * lanes + l) / 2 + (l & 1) * lanes);
        out[half] = LLVMBuildShuffleVector(m->builder, a, b, LLVMConstVector(places, (unsigned)lanes), "");
    }
}

/* Those of even numbers and those of odd ones first, then both together. */
static void interleave_even(Module *m, LLVMValueRef *vectors, int count) {
    LLVMValueRef even[MAX_INTERLEAVED], odd[MAX_INTERLEAVED];
    for (int i = 0; i < count / 2; i++) {
        even[i] = vectors[2 * i];
        odd[i] = vectors[2 * i + 1];
    }
    emit_interleave(m, even, count / 2);
    emit_interleave(m, odd, count / 2);
    for (int i = 0; i < count / 2; i++) interleave_pair(m, even[i], odd[i], vectors + 2 * i);
}

/* Vector number `at` of the result, to which one vector after the other gives its
 * elements. */
static LLVMValueRef gather_from(Module *m, const LLVMValueRef *vectors, int count, int at) {
    LLVMValueRef result = vectors[0];
    int lanes = get_lanes(LLVMTypeOf(result));
    for (int i = 1; i < count; i++) {
        LLVMValueRef places[64];
        for (int l = 0; l < lanes; l++) {
            int from = (at * lanes + l) % count, element = (at * lanes + l) / count;
            places[l] = from == i  ? get_i32(m, lanes + element)
                        : from < i ? get_i32(m, i > 1 ? l : element)
                                   : LLVMGetPoison(m->i32);
        }
        result = LLVMBuildShuffleVector(m->builder, result, vectors[i],
                                        LLVMConstVector(places, (unsigned)lanes), "");
    }
    return result;
}

void emit_interleave(Module *m, LLVMValueRef *vectors, int count) {
    LLVMValueRef results[MAX_INTERLEAVED];
    if (count == 1) return;
    if (count % 2 == 0) {
        interleave_even(m, vectors, count);
        return;
    }
    for (int i = 0; i < count; i++) results[i] = gather_from(m, vectors, count, i);
    memcpy(vectors, results, sizeof *vectors * (size_t)count);
}
