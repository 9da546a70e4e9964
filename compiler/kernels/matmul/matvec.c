/* Dense layers on few rows: matrix.c with all rows in one tile, as many blocks as registers allow. Weights pass through the core once,
 * packed by matrix_format in the order in which they are read; those that the run computes where they lie.
 *
 * The bound is the memory they come from. Measured on a core that reads 17 GB/s: 16.5 to 17.8 GB/s with eight blocks and one
 * row, and prefetching, several streams and huge pages together bring no more than 6 %; non-temporal prefetch halves it. */
#include "kernels/matmul/matrix.h"

enum { MOST_ROWS = 8 };

static bool is_computed(const Kernel *kernel) { return kernel->inputs[1]->space != SPACE_WEIGHTS; }

/* Else its rows would have to be made first, at three times the bytes. */
static bool lies_in_rows(const Node *matrix) {
    if (matrix->op != OP_transpose) return true;
    IntList from = ATTRIBUTES(matrix, transpose)->permutation;
    return from.items[from.count - 1] == from.count - 1;
}

bool matvec_fits(const Kernel *kernel, const Target *target) {
    MatrixShape s;
    int64_t rows;
    (void)target;
    if (!matrix_shape(kernel, &s) || !s.floats || (is_computed(kernel) && !lies_in_rows(kernel->inputs[1]->node))) return false;
    if (!dim_is_const(s.depth, NULL) || !dim_is_const(s.columns, NULL)) return false;
    return dim_is_const(s.rows, &rows) && rows <= MOST_ROWS;
}

void matvec_layouts(const Kernel *kernel, const Target *target, LayoutKind *output, LayoutKind *inputs) {
    (void)target;
    *output = LAYOUT_PLAIN;
    for (int i = 0; i < kernel->input_count; i++) inputs[i] = i < 2 ? LAYOUT_PLAIN : LAYOUT_ANY;
}

/* A width that leaves no narrower last panel, if one is near the most. */
static int choose_blocks(const Target *target, int rows, int64_t columns) {
    int most = matrix_blocks(target, rows);
    int64_t blocks = (columns + target->lanes - 1) / target->lanes;
    for (int b = most; b >= 1 && b * 4 >= most * 3; b--)
        if (blocks % b == 0) return b;
    return (int)min_i64(most, blocks);
}

void matvec_choose(Program *program, Kernel *kernel) {
    MatrixShape s;
    CHECK(matrix_shape(kernel, &s));
    int lanes = program->target->lanes;
    int64_t rows = dim_const_value(s.rows), columns = dim_const_value(s.columns), depth = dim_const_value(s.depth);
    MatrixTile *tile = NEW(program->arena, MatrixTile);
    *tile = (MatrixTile){.rows = (int)max_i64(rows, 1), .task_tiles = 1, .depth = (int)max_i64(depth, 1)};
    tile->right = is_computed(kernel) ? RIGHT_AS_IS : RIGHT_PACKED;
    tile->blocks = choose_blocks(program->target, tile->rows, columns);
    kernel->tile = tile;
    kernel->tasks = matrix_tasks(program->graph->dims, &s, tile, lanes);
    if (tile->right == RIGHT_PACKED) {
        PackFormat format = matrix_format(kernel->inputs[1]->node, lanes, tile->blocks);
        program_pack(program, kernel, 1, &format);
    }
    kernel_set_name(kernel, "matvec_m%lldk%lldn%lld_t%dx%d", (long long)rows, (long long)depth, (long long)columns, tile->rows,
                    tile->blocks);
}

double matvec_cost(const Kernel *kernel, const Target *target) {
    MatrixShape s;
    CHECK(matrix_shape(kernel, &s));
    const Dims *dims = kernel->program->graph->dims;
    int64_t columns = round_up(dim_const_value(s.columns), target->lanes);
    double weights = (double)(dim_const_value(s.depth) * columns) * (double)dim_typical(dims, s.matrices);
    double rate = weights * 4 > (double)target->l2_bytes ? target->memory_bytes_per_cycle : target->l2_bytes_per_cycle;
    double memory = weights * 4 / rate, compute = weights * (double)dim_typical(dims, s.rows) / target->lanes / target->fmas_per_cycle;
    return memory > compute ? memory : compute;
}

LLVMValueRef matvec_emit(Module *m, const Kernel *kernel) {
    return emit_matrix(m, kernel);
}
