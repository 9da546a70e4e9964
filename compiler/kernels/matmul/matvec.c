/* Dense layers on few rows: matrix.c with all rows in one tile, as many blocks as
 * registers allow. Each weight is read once: constant weights packed by matrix_format in
 * the order in which they are read, weights that the run computes in place. The bound is
 * memory. Measured on a core that reads 17 GB/s: 16.5 to 17.8 GB/s with eight blocks and
 * one row. Prefetching, several streams and huge pages together gain no more than 6 %;
 * non-temporal prefetch halves the speed. */
#include "kernels/matmul/matrix.h"

enum {
    MAX_ROWS = 8,
    CONVERTED = 4096, /* elements of A as f32, in L1 */
    CHAIN = 64        /* dense layers have long sums, and one row has few chains */
};

static bool is_computed(const Kernel *kernel) { return kernel->inputs[1]->space != SPACE_WEIGHTS; }

/* Else its rows would have to be made contiguous first, at three times the bytes. */
static bool lies_in_rows(const Node *matrix) {
    if (matrix->op != OP_transpose) return true;
    IntList from = ATTRIBUTES(matrix, transpose)->permutation;
    return from.items[from.count - 1] == from.count - 1;
}

static bool takes_matvec(const Kernel *kernel, const MatrixShape *s) {
    int64_t rows;
    if (is_computed(kernel) && !lies_in_rows(kernel->inputs[1]->node)) return false;
    if (!dim_is_const(s->depth, NULL) || !dim_is_const(s->columns, NULL)) return false;
    return dim_is_const(s->rows, &rows) && rows <= MAX_ROWS;
}

/* A width that leaves no narrower last panel, if there is one close to the maximum. */
static int choose_blocks(const Target *target, int rows, int64_t columns) {
    int max = matrix_blocks(target, rows);
    int64_t blocks = ceil_div(columns, target->lanes);
    for (int b = max; b >= 1 && b * 4 >= max * 3; b--)
        if (blocks % b == 0) return b;
    return (int)min_i64(max, blocks);
}

static MatrixTile choose_matvec_tile(const Kernel *kernel, const MatrixShape *s) {
    int64_t rows = dim_const_value(s->rows), depth = dim_const_value(s->depth);
    MatrixTile tile = {.shape = *s,
                       .rows = (int)max_i64(rows, 1),
                       .depth = (int)max_i64(depth, 1),
                       .chain = CHAIN,
                       .task_tiles = 1};
    if (s->types.left != s->types.sum) tile.depth = (int)min_i64(tile.depth, CONVERTED / tile.rows);
    tile.right = is_computed(kernel) ? RIGHT_AS_IS : RIGHT_PACKED;
    tile.blocks = choose_blocks(kernel->program->target, tile.rows, dim_const_value(s->columns));
    return tile;
}

static double matvec_cycles(const Kernel *kernel, const MatrixShape *s) {
    const Dims *dims = kernel->program->graph->dims;
    const Target *target = kernel->program->target;
    int64_t columns = round_up(dim_const_value(s->columns), target->lanes);
    double weights = (double)(dim_const_value(s->depth) * columns) * (double)dim_typical(dims, s->matrices);
    double bytes = weights * dtype_bytes(is_computed(kernel) ? s->types.right : s->types.sum);
    double rate =
        bytes > (double)target->l2_bytes ? target->memory_bytes_per_cycle : target->l2_bytes_per_cycle;
    double memory = bytes / rate,
           compute = weights * (double)dim_typical(dims, s->rows) / target->lanes / target->fmas_per_cycle;
    return memory > compute ? memory : compute;
}

bool matvec_propose(const Kernel *kernel, Proposal *proposal) {
    MatrixShape s;
    if (!matrix_shape(kernel, &s) || !takes_matvec(kernel, &s)) return false;
    MatrixTile tile = choose_matvec_tile(kernel, &s);
    matrix_propose(kernel, &tile, proposal);
    proposal->cycles = matvec_cycles(kernel, &s);
    return true;
}

void matvec_settle(Program *program, Kernel *kernel) {
    const MatrixTile *tile = kernel->proposal.tile;
    long long rows = dim_const_value(tile->shape.rows), depth = dim_const_value(tile->shape.depth),
              columns = dim_const_value(tile->shape.columns);
    matrix_settle(program, kernel);
    kernel_set_name(kernel, "matvec_m%lldk%lldn%lld_t%dx%d", rows, depth, columns, tile->rows, tile->blocks);
}

LLVMValueRef matvec_emit(Module *m, const Kernel *kernel) { return emit_matrix(m, kernel); }
