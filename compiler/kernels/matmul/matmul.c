/* Matrix products in general: matrix.c with tiles of six rows. B is packed while building where it is a weight, and before the
 * product where several tasks read the same; else each task copies the panel that it reads. */
#include "kernels/matmul/matrix.h"

enum { ROWS = 6, DEPTH = 512, TASK_ROWS = 192, PACKING_TASK_ROWS = 768 };

bool matmul_fits(const Kernel *kernel, const Target *target) {
    MatrixShape s;
    (void)target;
    return matrix_shape(kernel, &s);
}

void matmul_layouts(const Kernel *kernel, const Target *target, LayoutKind *output, LayoutKind *inputs) {
    (void)target;
    *output = LAYOUT_PLAIN;
    for (int i = 0; i < kernel->input_count; i++) inputs[i] = i < 2 ? LAYOUT_PLAIN : LAYOUT_ANY;
}

/* How many tasks would copy the same panel. */
static int64_t copies_of_panel(const Kernel *kernel, const MatrixShape *s) {
    int64_t tasks = (typical(kernel, s->rows) + PACKING_TASK_ROWS - 1) / PACKING_TASK_ROWS;
    return s->shared ? tasks * typical(kernel, s->matrices) : tasks;
}

static bool is_packed_before(const Kernel *kernel, const MatrixShape *s) {
    if (!s->floats || !dim_is_const(s->depth, NULL) || !dim_is_const(s->columns, NULL)) return false;
    if (!s->shared && !dim_is_const(s->matrices, NULL)) return false;
    return kernel->inputs[1]->space == SPACE_WEIGHTS || copies_of_panel(kernel, s) > 1;
}

void matmul_choose(Program *program, Kernel *kernel) {
    MatrixShape s;
    CHECK(matrix_shape(kernel, &s));
    const Dims *dims = program->graph->dims;
    int lanes = program->target->lanes;
    int64_t rows, columns = dim_typical(dims, s.columns), fixed;
    MatrixTile *tile = NEW(program->arena, MatrixTile);
    *tile = (MatrixTile){.rows = ROWS, .depth = DEPTH, .right = is_packed_before(kernel, &s) ? RIGHT_PACKED : RIGHT_PANEL};
    bool packed = tile->right == RIGHT_PACKED;
    rows = packed ? TASK_ROWS : PACKING_TASK_ROWS; /* a task copies its panel once for them; where they are free they may be many */
    if (dim_is_const(s.rows, &fixed)) rows = min_i64(rows, fixed), tile->rows = (int)max_i64(1, min_i64(fixed, ROWS));
    tile->blocks = (int)min_i64(min_i64(matrix_blocks(program->target, tile->rows), 4), (columns + lanes - 1) / lanes);
    tile->task_tiles = (int)max_i64(1, rows / tile->rows);
    kernel->tile = tile;
    kernel->tasks = matrix_tasks(program->graph->dims, &s, tile, lanes);
    if (packed) {
        PackFormat format = matrix_format(kernel->inputs[1]->node, lanes, tile->blocks);
        program_pack(program, kernel, 1, &format);
    }
    kernel_set_name(kernel, "matmul_%st%dx%d", packed ? "weights_" : "", tile->rows, tile->blocks);
}

double matmul_cost(const Kernel *kernel, const Target *target) {
    MatrixShape s;
    CHECK(matrix_shape(kernel, &s));
    const Dims *dims = kernel->program->graph->dims;
    double columns = (double)round_up(dim_typical(dims, s.columns), target->lanes);
    double rows = (double)round_up(dim_typical(dims, s.rows), ROWS);
    double matrix = columns * (double)dim_typical(dims, s.depth) * (double)dim_typical(dims, s.matrices), tiles = rows / ROWS;
    double rate = 4 * matrix < (double)target->l2_bytes ? target->l2_bytes_per_cycle : target->memory_bytes_per_cycle;
    double compute = 1.1 * matrix * rows / target->lanes / target->fmas_per_cycle;
    double memory = 4 * matrix / rate * (tiles < 4 ? tiles : 4);
    return compute > memory ? compute : memory;
}

LLVMValueRef matmul_emit(Module *m, const Kernel *kernel) {
    return emit_matrix(m, kernel);
}
