/* What the emitters of pools and of resampling share. */
#ifndef CAI_WINDOW_H
#define CAI_WINDOW_H

#include "codegen/codegen.h"
#include "kernels/kernels.h"

enum { MAX_AXES = 3 };

typedef struct WindowRows {
    Module *m;
    const Kernel *kernel;
    Epilogue epilogue;
    int rank, lanes;
    bool blocked; /* lanes are channels; else they run along the last axis */
    /* of the row of outputs: all coordinates but the last, and where blocked the mask of
     * channels */
    Point point;
    LLVMValueRef width; /* outputs in a row */
} WindowRows;

/* window.c: the rows of the output, each a task of its own. `emit_row` computes the
 * current row. */
LLVMValueRef emit_rows(Module *m, const Kernel *kernel, void (*emit_row)(WindowRows *rows));
/* The channels of a block; sets the row's mask to those that exist. */
Coord coord_block(WindowRows *rows, LLVMValueRef block);
Dim count_rows(const Kernel *kernel, int lanes);
/* Coordinates of outputs from `x` on: one where blocked, else a vector of them along the
 * row. */
Coord row_coord(const WindowRows *rows, LLVMValueRef x);
/* Loads an operand of the anchor, 0 or 1. */
LLVMValueRef load_operand(const WindowRows *rows, int operand, const Point *point);
DType operand_type(const WindowRows *rows, int operand);

static inline LLVMValueRef emit_f64(Module *m, LLVMValueRef value) {
    return LLVMBuildSIToFP(m->builder, value, m->f64, "");
}
static inline LLVMValueRef emit_real_op(Module *m, LLVMOpcode op, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildBinOp(m->builder, op, a, b, "");
}

/* window_pool.c */
void emit_pool_row(WindowRows *rows);
void emit_pool_transposed_row(WindowRows *rows);

/* window_scatter.c: max_pool_scatter of small windows where lanes are channels */
bool scatters_by_lines(const Kernel *kernel);
Dim count_scatter_tasks(const Kernel *kernel); /* its rows: some groups of rows of the map */
/* Of a result that lies BLOCKED, or not. */
WorkingMemory scatter_memory(const Kernel *kernel, bool blocked);
int64_t scatter_parts(const Kernel *kernel); /* for stored sums */
void emit_scatter_row(WindowRows *rows);

/* window_resample.c */
Dim count_resample_rows(const Kernel *kernel); /* all channels of a row are one task */
LLVMValueRef emit_resample(Module *m, const Kernel *kernel);
void emit_resample_transposed_row(WindowRows *rows);

/* window_upsample.c: resampling by whole factors; its rows are those of the source */
bool is_upsample(const Kernel *kernel);
void emit_upsample_row(WindowRows *rows);

/* window_taps.c: resampling from any number of places */
bool has_taps(const Kernel *kernel);
/* Of a result that lies BLOCKED, or not. */
WorkingMemory taps_memory(const Kernel *kernel, bool blocked);
void taps_settle(Program *program, Kernel *kernel);
LLVMValueRef emit_by_taps(Module *m, const Kernel *kernel);

#endif
