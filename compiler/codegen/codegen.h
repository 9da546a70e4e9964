/* The verbs with which emitters write kernels in LLVM IR: modules, control flow,
 * arithmetic, values in memory, expressions. */
#ifndef CAI_CODEGEN_H
#define CAI_CODEGEN_H

#include "plan/kernel.h"
#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>

/* ---- module.c: one LLVM module, and the basic verbs of emitters ---- */

typedef struct Module {
    Arena *arena;
    const Target *target;
    const Dims *dims;
    LLVMTargetMachineRef machine;
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMBuilderRef builder;
    LLVMTypeRef i1, i8, i16, i32, i64, f16, bf16, f32, f64, pointer, none;
    /* of the function being emitted */
    LLVMValueRef function, args, symbols, begin, end, scratch;
    LLVMBasicBlockRef entry; /* where size computations are placed, once for each function */
    Map *dim_values;         /* Dim and Symbol * -> LLVMValueRef within the function */
    Map *arguments;          /* 1 + index -> LLVMValueRef within the function */
    /* the hoist point: where expressions and addresses are computed that are invariant in
     * the innermost loop. It is the block before the loop, which ends in a branch by
     * then; or NULL */
    LLVMBasicBlockRef hoist;
    /* i1: whether some size so far has overflowed; NULL where sizes are known to fit
     * (everywhere but in prepare) */
    LLVMValueRef overflow;
    bool streams; /* stores past the caches */
} Module;

/* NULL with *error (in `arena`) where LLVM does not know the target. */
Module *module_new(Arena *arena, const Target *target, const Dims *dims, const char *name,
                   const char **error);
void module_free(Module *module);

/* A function that others can call or launch, with the attributes that all our functions
 * have (the target's cpu and features). */
LLVMValueRef get_function(Module *m, const char *name, LLVMTypeRef type);
/* without optimisations that take quadratic time: for long functions that run seldom */
void compile_fast(Module *m, LLVMValueRef function);
/* Begins the body of any function: an entry block for sizes, and a block for the rest,
 * where the builder is left. */
void begin_body(Module *m, LLVMValueRef function);
/* a function of this module, or a declaration of one in another module */
LLVMValueRef get_kernel(Module *m, const char *name);
/* Begins a function of type cai_kernel and places the builder in its body; finish_kernel
 * adds a fence where it stores past the caches, and the return. */
LLVMValueRef begin_kernel(Module *m, const char *name);
void finish_kernel(Module *m);

/* the builder continues at the end of the block, or before the branch that ends it */
void return_to_block(Module *m, LLVMBasicBlockRef block);
/* Moves the builder to m->hoist where the following code is invariant in the innermost
 * loop (inner is false, and there is a hoist point). Returns the block for step_back. */
LLVMBasicBlockRef step_out(Module *m, bool inner);
void step_back(Module *m, LLVMBasicBlockRef from);

LLVMTypeRef get_type(Module *m, DType type);                       /* as in memory; bool is a byte */
LLVMTypeRef get_vector(Module *m, LLVMTypeRef element, int lanes); /* the element itself where lanes is 1 */
int get_lanes(LLVMTypeRef type);                                   /* 1 for scalars */
LLVMTypeRef get_element_type(LLVMTypeRef type); /* of a vector; the type itself where it is none */
LLVMValueRef get_i64(Module *m, int64_t value);
LLVMValueRef get_i32(Module *m, int32_t value);
LLVMValueRef get_f32(Module *m, double value);
bool get_constant(LLVMValueRef value, int64_t *constant);                 /* whether an i64 is a constant */
LLVMValueRef get_lane_numbers(Module *m, LLVMTypeRef element, int lanes); /* <0, 1, 2, ...> */
LLVMValueRef get_splat(Module *m, LLVMValueRef scalar, int lanes);        /* constant or insert + shuffle */
/* i64: a constant, or computed from symbols at the entry, once */
LLVMValueRef get_dim(Module *m, Dim dim);
/* args[index], loaded at the entry, once */
LLVMValueRef get_argument(Module *m, int index);
LLVMValueRef get_element(Module *m, LLVMTypeRef type, LLVMValueRef base, LLVMValueRef index); /* address */
/* The same where lane 0 may be out of bounds, for a vector whose mask excludes it. */
LLVMValueRef get_element_anywhere(Module *m, LLVMTypeRef type, LLVMValueRef base, LLVMValueRef index);
int get_bytes(Module *m, LLVMTypeRef type); /* of a number in memory, or a vector of them */
/* Where an element may lie; aligned: where a whole vector may. */
LLVMValueRef emit_load(Module *m, LLVMTypeRef type, LLVMValueRef address);
LLVMValueRef emit_aligned_load(Module *m, LLVMTypeRef type, LLVMValueRef address);
void emit_store(Module *m, LLVMValueRef value, LLVMValueRef address);
void emit_aligned_store(Module *m, LLVMValueRef value, LLVMValueRef address);
/* Past the caches: a line that is written whole is not read before. finish_kernel adds a
 * fence behind all such stores, so that other threads see them. */
void emit_streamed_store(Module *m, LLVMValueRef value, LLVMValueRef address);
/* Lanes whose mask bit is 0 are neither read nor written; they load as zero. mask NULL:
 * all lanes. */
LLVMValueRef emit_masked_load(Module *m, LLVMTypeRef type, LLVMValueRef address, int align,
                              LLVMValueRef mask);
void emit_masked_store(Module *m, LLVMValueRef value, LLVMValueRef address, int align, LLVMValueRef mask);
/* type: the vector's */
LLVMValueRef emit_gather(Module *m, LLVMTypeRef type, LLVMValueRef base, LLVMValueRef indices,
                         LLVMValueRef mask);
void emit_scatter(Module *m, LLVMValueRef value, LLVMValueRef base, LLVMValueRef indices, LLVMValueRef mask);
LLVMValueRef emit_lane_mask(Module *m, LLVMValueRef count, int lanes); /* lane < count, count an i64 */
LLVMValueRef emit_add(Module *m, LLVMValueRef a, LLVMValueRef b);      /* i64, folding constants 0 */
/* sets m->overflow where the sum does not fit */
LLVMValueRef emit_checked_add(Module *m, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef emit_sub(Module *m, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef emit_mul(Module *m, LLVMValueRef a, LLVMValueRef b); /* i64, folding constants 0 and 1 */
LLVMValueRef emit_div(Module *m, LLVMValueRef a, LLVMValueRef b); /* i64, a >= 0, b > 0 */
LLVMValueRef emit_rem(Module *m, LLVMValueRef a, LLVMValueRef b);
/* of signed integers, scalars or vectors */
LLVMValueRef emit_min(Module *m, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef emit_max(Module *m, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef emit_affine(Module *m, LLVMValueRef a, int64_t factor, int64_t addend); /* i64 */
/* Returns number % count, and divides *number by count: takes the number of a task apart,
 * the innermost part first. */
LLVMValueRef take_part(Module *m, LLVMValueRef *number, LLVMValueRef count);
/* a OP b on floats, which may be contracted into a multiply-add: LLVMFAdd, LLVMFSub,
 * LLVMFMul, LLVMFDiv. */
LLVMValueRef emit_float(Module *m, LLVMOpcode op, LLVMValueRef a, LLVMValueRef b);
/* a * b + c: on floats rounded once, for which every target has the instruction; ints
 * wrap. */
LLVMValueRef emit_muladd(Module *m, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c);
/* a + b: on floats as emit_float's; ints wrap. */
LLVMValueRef emit_sum(Module *m, LLVMValueRef a, LLVMValueRef b);
/* overload NULL: none */
LLVMValueRef emit_intrinsic(Module *m, const char *name, LLVMTypeRef overload, LLVMValueRef *args, int count);
/* space in the function's frame, 64-byte aligned */
LLVMValueRef emit_stack(Module *m, LLVMTypeRef element, int64_t count);
void emit_prefetch(Module *m, LLVMValueRef address, int locality); /* 3: L1, 2: L2 */

/* ---- control.c: loops and branches ---- */

/* A counted loop: `Loop l = begin_loop(m, from, to, step); ... l.index ...; end_loop(m,
 * &l);` body runs while index < to. Loop-carried values are phis: add_carried before the
 * body, set_carried within it, carried_result after end_loop. */
typedef struct Loop {
    LLVMValueRef index, to, step;
    LLVMBasicBlockRef before, body, after;
    struct { LLVMValueRef phi, next, initial, result; } carried[64];
    int carried_count;
    bool runs;   /* known at compile time to run at least once */
    bool unroll; /* default false: the loop is marked llvm.loop.unroll.disable */
} Loop;
Loop begin_loop(Module *m, LLVMValueRef from, LLVMValueRef to, int64_t step);
LLVMValueRef add_carried(Module *m, Loop *loop, LLVMValueRef initial); /* gives the phi */
void set_carried(Loop *loop, int which, LLVMValueRef next);
void end_loop(Module *m, Loop *loop);
/* valid after end_loop, also where the loop ran no iteration */
LLVMValueRef carried_result(const Loop *loop, int which);

/* `Branch b = begin_if(m, condition); ...; end_if(m, &b);`, with `begin_else(m, &b)`
 * between where wanted. */
typedef struct Branch { LLVMBasicBlockRef other, after; } Branch;
Branch begin_if(Module *m, LLVMValueRef condition);
void begin_else(Module *m, Branch *branch);
void end_if(Module *m, Branch *branch);

/* ---- loop_carried.c: loops with several loop-carried values ----
 *
 * Within the loop and after it, `at` has them. */
enum { MAX_CARRIED = 64 };
typedef struct LoopCarried {
    LLVMValueRef at[MAX_CARRIED];
    int count;
} LoopCarried;
Loop begin_loop_carried(Module *m, LoopCarried *values, LLVMValueRef from, LLVMValueRef to, int64_t step);
void end_loop_carried(Module *m, Loop *loop, LoopCarried *values);
/* a loop of one iteration, or none */
Loop begin_loop_carried_if(Module *m, LoopCarried *values, LLVMValueRef condition);

/* Totals on the stack, to which the sums of each part are added, since rounding errors
 * grow with the length of a chain of additions: begin_partial_sums stores `sums` there
 * and sets them to zero, emit_add_partial_sums adds `sums` to the totals,
 * end_partial_sums loads the totals. No sum is wider than the first. Costs four
 * instructions for each register and part. */
typedef struct PartialSums {
    LLVMValueRef at[MAX_CARRIED];
} PartialSums;
PartialSums begin_partial_sums(Module *m, LoopCarried *sums);
void emit_add_partial_sums(Module *m, const PartialSums *partial_sums, const LoopCarried *sums);
void end_partial_sums(Module *m, const PartialSums *partial_sums, LoopCarried *sums);

/* Adds the terms 0 <= i < count to `sums`; emit_part adds up a range of them. More than
 * `part` terms are added up in parts, as partial sums. */
enum { MAX_TERMS = 288 }; /* in one chain */
typedef void (*SumPart)(void *context, LLVMValueRef from, LLVMValueRef to, LoopCarried *sums);
void emit_sum_in_parts(Module *m, LoopCarried *sums, LLVMValueRef count, int64_t part, SumPart emit_part,
                       void *context);
LLVMValueRef emit_lane_sum(Module *m, LLVMValueRef vector); /* its lanes added up, halves first */
/* No load moves across the barrier or is shared between both sides: else LLVM would keep
 * more values than there are registers in unrolled code. */
void emit_barrier(Module *m);

/* ---- elementwise.c, math.c: the arithmetic of elementwise operators on registers ----
 *
 * exp, log, tanh and their like are inlined polynomials; the head comment of math.c
 * states each one's largest error in ULP, measured over all f32 by tests/unit/math.
 * In registers f16 and bf16 are f32, bool is i1, other types are themselves; a value of
 * one lane is a scalar. */

LLVMTypeRef get_register_type(Module *m, DType type, int lanes);
/* a small integer where the type is an int */
LLVMValueRef get_number(Module *m, DType type, double value, int lanes);
LLVMValueRef get_exact(Module *m, DType type, Number value, int lanes);
LLVMValueRef emit_cast(Module *m, LLVMValueRef value, DType from, DType to);
LLVMValueRef emit_elementwise(Module *m, const Node *node, const LLVMValueRef *operands);
/* by the order of graph/ops.h: NaN is above all numbers */
LLVMValueRef emit_above(Module *m, DType type, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef emit_larger(Module *m, DType type, LLVMValueRef a, LLVMValueRef b); /* NaN where either is */

/* ---- access.c: points, and values in memory at them ----
 *
 * A point is the logical coordinates (on the node's own axes, NCHW) of `lanes` elements
 * at once. On each axis a coordinate is the same in all lanes (lane_step 0), or base +
 * lane_step * lane, or arbitrary (`vector`). */

typedef struct Coord {
    LLVMValueRef base; /* i64 */
    int64_t lane_step;
    LLVMValueRef vector; /* <lanes x i64> where neither form above fits; else NULL */
    bool aligned;        /* base is a multiple of the channel block (for BLOCKED values) */
    /* changes within the innermost loop; expressions without such coordinates are
     * computed before it (Module.hoist) */
    bool inner;
} Coord;

typedef struct Point {
    int rank, lanes; /* lanes 1: scalars */
    Coord at[16];
    LLVMValueRef mask; /* <lanes x i1> (i1 where lanes is 1): lanes that exist, or NULL where all do */
    bool mask_inner;   /* the mask changes within the innermost loop */
} Point;

Coord coord_fixed(LLVMValueRef base);                    /* the same in all lanes */
Coord coord_lanes(LLVMValueRef base, int64_t lane_step); /* base + lane_step * lane */
/* <lanes x i64>; i64 where lanes is 1 */
LLVMValueRef get_coord_vector(Module *m, const Coord *coord, int lanes);
bool coord_varies(const Coord *coord); /* between lanes */
/* i1, of lanes where it varies: 0 <= it < size */
LLVMValueRef get_inside(Module *m, const Coord *coord, int lanes, LLVMValueRef size);
bool point_varies(const Point *point);

/* Loads from and stores to a value at a point: registers of the value's type; contiguous,
 * broadcast or gathered, as the layout requires. Lanes outside the mask are read only
 * where memory is readable, and are undefined; they are not written, except that spare
 * lanes of a BLOCKED value are stored as zero. Coordinates that are the same in all lanes
 * must be inside the value. */
/* rounds to f16 or bf16 as a store would */
LLVMValueRef emit_rounded(Module *m, LLVMValueRef value, DType type);
LLVMTypeRef get_memory_type(Module *m, DType type); /* as elements are loaded: f16 and bf16 are i16 */
/* Loads contiguous elements of type `from`, and casts them to `to`. aligned: to the whole
 * vector, else to an element. Lanes outside the mask are not read. */
LLVMValueRef emit_load_as(Module *m, DType from, DType to, LLVMValueRef address, int lanes, bool aligned,
                          LLVMValueRef mask);
LLVMValueRef emit_value_load(Module *m, const Value *value, LLVMValueRef base, const Point *point);
void emit_value_store(Module *m, const Value *value, LLVMValueRef base, const Point *point,
                      LLVMValueRef elements);
/* The same for elements that are already rounded to the value's type. */
void emit_rounded_store(Module *m, const Value *value, LLVMValueRef base, const Point *point,
                        LLVMValueRef elements);

/* ---- expr.c: the elements of a node at a point ---- */

typedef struct KnownNode { const Node *node; LLVMValueRef value; } KnownNode;
typedef struct Memo { const Node *node; Point point; LLVMValueRef value; bool hoisted; } Memo;

typedef struct Epilogue {
    Module *module;
    const Kernel *kernel;
    KnownNode known[8]; /* nodes whose value at the point is already in a register: the anchor */
    int known_count;
    Vec(Memo) memo; /* values computed so far, so that a value that two operators share is computed once */
} Epilogue;

/* The value of `node` at `point`: a vector of point->lanes elements in registers (see
 * elementwise.c), or a scalar where lanes is 1. Recurses through the kernel's members
 * down to its inputs (loaded from any layout) and known nodes. */
LLVMValueRef emit_expr(Epilogue *epilogue, const Node *node, const Point *point);
/* Computes the epilogue on the anchor's result `elements` at `point`, and stores it to
 * the output: the last step of every emitter. */
void emit_epilogue_store(Epilogue *epilogue, const Point *point, LLVMValueRef elements);
/* The same of a kernel that has stored sums: terms[i] becomes the term of sums[i] at the
 * point. */
void emit_epilogue_store_terms(Epilogue *epilogue, const Point *point, LLVMValueRef elements,
                               LLVMValueRef *terms);

/* For expr.c and movement.c: emit_member is the value of a node at a point, through the
 * memo. */
LLVMValueRef emit_member(Epilogue *epilogue, const Node *node, const Point *point);
/* The conjunction of masks and conditions: NULL is all lanes, and a condition holds for
 * all lanes of a mask. */
LLVMValueRef emit_and(Module *m, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef emit_movement(Epilogue *epilogue, const Node *node, const Point *point);
LLVMValueRef emit_element_number(Module *m, const Node *node, const Point *point); /* row major, i64 lanes */

/* ---- stored_parts.c: parts of stored sums (plan/program.h) ---- */

/* Part number `number` of a block of channels, of each stored sum. */
typedef struct PartPlace { LLVMValueRef block, number; } PartPlace;

/* What is added to each sum at so many points. */
typedef struct StoredTerms {
    LLVMValueRef at[MAX_STORED_SUMS][MAX_CARRIED];
    int count;
} StoredTerms;

/* They begin as zero. */
void emit_start_parts(Module *m, const Kernel *kernel, const PartPlace *at);
/* The parts of all stored sums, none where there are none, from memory and to it. */
void emit_load_parts(Module *m, const Kernel *kernel, const PartPlace *at, LoopCarried *parts);
void emit_store_parts(Module *m, const Kernel *kernel, const PartPlace *at, LoopCarried *parts);
void emit_add_to_parts(Module *m, const Kernel *kernel, LoopCarried *parts, const StoredTerms *terms);
/* All three. */
void emit_add_terms(Module *m, const Kernel *kernel, const PartPlace *at, const StoredTerms *terms);
/* emit_epilogue_store_terms, behind those that are there. */
void emit_epilogue_store_next(Epilogue *epilogue, const Point *point, LLVMValueRef elements,
                              StoredTerms *terms);

/* ---- program_image.c: the tables of runtime/core/program.h ----
 *
 * Once all kernels are functions of the module. */
void emit_program_image(Module *m, const Program *program);
void emit_entry_image(Module *m, const Program *program, const char *name); /* of a trainer */

/* ---- shuffle.c ---- */

/* as many rows as lanes, a power of two: rows become columns */
void emit_transpose(Module *m, LLVMValueRef *rows, int lanes);
/* a0 a1 .., b0 b1 .., .. become a0 b0 .., as many vectors, at most MAX_INTERLEAVED. */
void emit_interleave(Module *m, LLVMValueRef *vectors, int count);

#endif
