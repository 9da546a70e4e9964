/* Matrix products in general: matrix.c with tiles of six rows. B is packed while building
 * if it is a weight, and before the product if several tasks read the same panel;
 * otherwise each task copies the panel that it reads. A piece of the sum is one chain of
 * additions. It is short, so that the error of the long sums of dense layers stays small
 * and its panel is in L1. */
#include "kernels/conv/conv.h" /* even_length */
#include "kernels/matmul/matrix.h"

enum { ROWS = 6, DEPTH = 72, TASK_ROWS = 192, PACKING_TASK_ROWS = 768 };

/* How many tasks would copy the same panel. */
static int64_t copies_of_panel(const Kernel *kernel, const MatrixShape *s) {
    int64_t tasks = ceil_div(typical(kernel, s->rows), PACKING_TASK_ROWS);
    return s->shared ? tasks * typical(kernel, s->matrices) : tasks;
}

static bool is_packed_before(const Kernel *kernel, const MatrixShape *s) {
    if (!dim_is_const(s->depth, NULL) || !dim_is_const(s->columns, NULL)) return false;
    if (!s->shared && !dim_is_const(s->matrices, NULL)) return false;
    return kernel->inputs[1]->space == SPACE_WEIGHTS || copies_of_panel(kernel, s) > 1;
}

static MatrixTile choose_matmul_tile(const Kernel *kernel, const MatrixShape *s) {
    const Program *program = kernel->program;
    int64_t lanes = program->target->lanes, columns = dim_typical(program->graph->dims, s->columns), fixed;
    MatrixTile tile = {.shape = *s,
                       .rows = ROWS,
                       .depth = DEPTH,
                       .right = is_packed_before(kernel, s) ? RIGHT_PACKED : RIGHT_PANEL};
    /* for which a task copies its panel once */
    int64_t rows = tile.right == RIGHT_PACKED ? TASK_ROWS : PACKING_TASK_ROWS;
    if (dim_is_const(s->depth, &fixed)) tile.depth = (int)even_length(max_i64(1, fixed), DEPTH);
    tile.chain = tile.depth;
    if (dim_is_const(s->rows, &fixed))
        rows = min_i64(rows, fixed), tile.rows = (int)max_i64(1, min_i64(fixed, ROWS));
    tile.blocks =
        (int)even_length(ceil_div(columns, lanes), min_i64(matrix_blocks(program->target, tile.rows), 4));
    tile.task_tiles = (int)max_i64(1, rows / tile.rows);
    return tile;
}

static double matmul_cycles(const Kernel *kernel, const MatrixShape *s) {
    const Dims *dims = kernel->program->graph->dims;
    const Target *target = kernel->program->target;
    double columns = (double)round_up(dim_typical(dims, s->columns), target->lanes);
    double rows = (double)round_up(dim_typical(dims, s->rows), ROWS);
    double matrix = columns * (double)dim_typical(dims, s->depth) * (double)dim_typical(dims, s->matrices),
           tiles = rows / ROWS;
    double bytes = matrix * dtype_bytes(s->types.sum);
    double rate =
        bytes < (double)target->l2_bytes ? target->l2_bytes_per_cycle : target->memory_bytes_per_cycle;
    double compute = 1.1 * matrix * rows / target->lanes / target->fmas_per_cycle;
    double memory = bytes / rate * (tiles < 4 ? tiles : 4);
    return compute > memory ? compute : memory;
}

/* A whose columns lie side by side is read a line a step: in L2 that costs less than a
 * copy. */
static bool fits_l2_as_columns(const Kernel *kernel, const MatrixShape *s) {
    int64_t bytes = typical(kernel, s->rows) * typical(kernel, s->depth) * dtype_bytes(s->types.left);
    return bytes <= kernel->program->target->l2_bytes / 4;
}

bool matmul_propose(const Kernel *kernel, Proposal *proposal) {
    MatrixShape s;
    if (!matrix_shape(kernel, &s)) return false;
    MatrixTile tile = choose_matmul_tile(kernel, &s);
    matrix_propose(kernel, &tile, proposal);
    proposal->inputs[1].strides = STRIDES_ANY;
    if (fits_l2_as_columns(kernel, &s)) proposal->inputs[0].strides = STRIDES_ANY;
    proposal->cycles = matmul_cycles(kernel, &s);
    return true;
}

void matmul_settle(Program *program, Kernel *kernel) {
    const MatrixTile *tile = kernel->proposal.tile;
    matrix_settle(program, kernel);
    kernel_set_name(kernel, "matmul_%st%dx%d", tile->right == RIGHT_PACKED ? "weights_" : "", tile->rows,
                    tile->blocks);
}

LLVMValueRef matmul_emit(Module *m, const Kernel *kernel) { return emit_matrix(m, kernel); }
