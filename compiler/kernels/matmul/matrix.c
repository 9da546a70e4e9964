/* Matrix product C = A B over any leading axes: register tiles of P rows by Q blocks of
 * columns.
 *
 *     task: some row tiles (M), one panel of Q blocks of columns (N), one matrix
 *       for each piece of the sum (K), `depth` long
 *         copy B's rows of the piece, Q blocks wide, to the stack       unless B is packed, or is
 *                                                                       read where it lies
 *         for each row tile
 *           sums[P][Q] = 0
 *           for each k of the piece                                     rolled
 *             b[Q] = the panel's row k                                  Q registers
 *             for each row: a = broadcast A[row][k]                     1 register
 *               for each q: sums[row][q] += a * b[q]                    P * Q registers
 *           add what the pieces before gave
 *           last piece: epilogue, store; else: keep the sums on the stack
 *
 * A is read where it lies: with six rows, their addresses stay in registers, and packing
 * A would cost as much as half a tile. If A is f16 or bf16, a row tile's piece is copied
 * to the stack as f32, the type of the sums, a vector at a time, since a tile loads
 * single elements. A panel is on the stack because it belongs to a task: threads share
 * nothing, and no scratch memory is planned.
 *
 * With few rows (matvec) the bound is reading the weights from memory: one tile has all
 * rows, and every weight is read once. */
#include "kernels/matmul/matrix.h"
#include "kernels/conv/conv.h" /* split_evenly */

typedef struct Matrix {
    Module *m;
    const Kernel *kernel;
    const MatrixTile *tile;
    MatrixShape shape;
    Epilogue epilogue;
    int lanes, rank;
    LLVMTypeRef element, vector; /* as they are multiplied and added up: of shape.types.sum */
    LLVMValueRef rows, depth, columns;
    LLVMValueRef panel_space, sums_space; /* on the stack; sums only where the sum may have several pieces */
    LLVMValueRef left_space; /* a tile's piece of A in the type of the sums; NULL: A is read where it lies */
    int64_t matrix_weights;  /* elements of one packed matrix */
    /* of the task */
    Point point; /* leading axes */
    LLVMValueRef matrix, panel, first_row, first_column;
    int blocks;
    bool last; /* the panel has the last column, or may have it */
    /* of the piece */
    /* panel_row: elements from one row to the next */
    LLVMValueRef piece, piece_depth, panel_base, panel_offset, panel_row;
} Matrix;

bool matrix_shape(const Kernel *kernel, MatrixShape *shape) {
    const Node *anchor = kernel->anchor;
    if (!takes_anchor(KERNEL_matmul, kernel)) return false;
    Dims *dims = kernel->program->graph->dims;
    Shape a = anchor->inputs[0]->shape, c = anchor->shape;
    *shape =
        (MatrixShape){.rows = c.dims[c.rank - 2], .depth = a.dims[a.rank - 1], .columns = c.dims[c.rank - 1]};
    shape->matrices = dim_const(dims, 1);
    for (int i = 0; i < c.rank - 2; i++) shape->matrices = dim_mul(dims, shape->matrices, c.dims[i]);
    shape->types = contraction_types(anchor);
    shape->shared = !shape_dims_equal(kernel->inputs[1]->node->shape, anchor->inputs[1]->shape);
    return true;
}

Format matrix_format(const Node *b, DType type, int lanes, int blocks) {
    enum { ROWS, COLUMNS, MATRICES };
    int rank = b->shape.rank;
    Format format = {.name = "matrix", .converts = true, .type = type};
    format_add_axis(&format, format_axis(rank - 2));
    format_add_axis(&format, format_axis(rank - 1));
    format.axes[COLUMNS].multiple = lanes;
    if (rank > 2) {
        format_add_axis(&format, format_axes(0, rank - 3));
        format_add_level(&format, MATRICES, 1);
    }
    format_add_level(&format, COLUMNS, (int64_t)blocks * lanes);
    format_add_level(&format, ROWS, 1);
    format_add_level(&format, COLUMNS, 1);
    return format;
}

int matrix_blocks(const Target *target, int rows) {
    int blocks = (target->registers - 2) / (rows + 1);
    return blocks < 1 ? 1 : blocks > 8 ? 8 : blocks;
}

static Dim panels_of(Dims *dims, const MatrixShape *shape, const MatrixTile *tile, int lanes) {
    return dim_ceil_div(dims, dim_ceil_div(dims, shape->columns, lanes), tile->blocks);
}

static Dim row_tiles(Dims *dims, const MatrixShape *shape, const MatrixTile *tile) {
    return dim_ceil_div(dims, shape->rows, tile->rows);
}

static Dim row_tasks(Dims *dims, const MatrixShape *shape, const MatrixTile *tile) {
    return dim_ceil_div(dims, row_tiles(dims, shape, tile), tile->task_tiles);
}

void matrix_propose(const Kernel *kernel, const MatrixTile *tile, Proposal *proposal) {
    prefer_formats(kernel, proposal, &format_plain, 2);
    proposal->tile = arena_copy(kernel->program->arena, tile, sizeof *tile);
    if (tile->right != RIGHT_PACKED) return;
    Format format = matrix_format(kernel->inputs[1]->node, tile->shape.types.sum,
                                  kernel->program->target->lanes, tile->blocks);
    prefer_packed(kernel, proposal, 1, &format);
}

void matrix_settle(Program *program, Kernel *kernel) {
    const MatrixTile *tile = kernel->proposal.tile;
    const MatrixShape *shape = &tile->shape;
    Dims *dims = program->graph->dims;
    int lanes = program->target->lanes;
    Dim panels = dim_mul(dims, shape->matrices, panels_of(dims, shape, tile, lanes));
    kernel->tasks = dim_mul(dims, panels, row_tasks(dims, shape, tile));
}

static Dims *dims_of_matrix(const Matrix *x) { return x->kernel->program->graph->dims; }

static LLVMValueRef emit_at_least(Matrix *x, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildICmp(x->m->builder, LLVMIntSGE, a, b, "");
}

/* ---- one register tile ---- */

typedef struct Rows {   /* of one tile */
    LLVMValueRef first; /* counted from the first row of the matrix */
    int count;
    bool limited; /* some may be beyond the last row: they read the last row, and are not stored */
} Rows;

/* Whether some columns of the panel may be beyond the last. */
static bool has_spare_columns(const Matrix *x) {
    int64_t fixed;
    return !dim_is_const(x->shape.columns, &fixed) || (x->last && fixed % x->lanes);
}

static LLVMValueRef column_of_block(const Matrix *x, int q) {
    return emit_add(x->m, x->first_column, get_i64(x->m, q * x->lanes));
}

/* Of block q. Stores by a mask are slow, so what may be whole has none: of a fixed number
 * of columns only the last block has spare ones. */
static LLVMValueRef column_mask(const Matrix *x, int q) {
    if (!has_spare_columns(x) || (dim_is_const(x->shape.columns, NULL) && q < x->blocks - 1)) return NULL;
    return emit_lane_mask(x->m, emit_sub(x->m, x->columns, column_of_block(x, q)), x->lanes);
}

static LLVMValueRef readable_row(const Matrix *x, const Rows *rows, int p) {
    LLVMValueRef row = emit_add(x->m, rows->first, get_i64(x->m, p));
    return rows->limited ? emit_min(x->m, row, emit_sub(x->m, x->rows, get_i64(x->m, 1))) : row;
}

/* Address of A[row][piece]. */
static LLVMValueRef row_address(const Matrix *x, LLVMValueRef row) {
    Module *m = x->m;
    const Value *a = x->kernel->inputs[0];
    LLVMValueRef row_stride = get_dim(m, a->strides[x->rank - 2]), step = get_dim(m, a->strides[x->rank - 1]);
    LLVMValueRef at = emit_add(m, emit_mul(m, row, row_stride), emit_mul(m, x->piece, step));
    for (int i = 0; i < x->rank - 2; i++)
        at = emit_add(m, at, emit_mul(m, x->point.at[i].base, get_dim(m, a->strides[i])));
    return get_element(m, get_memory_type(m, x->shape.types.left), get_argument(m, 1), at);
}

static LLVMValueRef left_step(const Matrix *x) {
    return get_dim(x->m, x->kernel->inputs[0]->strides[x->rank - 1]);
}

static LLVMValueRef load_left(const Matrix *x, LLVMValueRef *address, int p, LLVMValueRef k) {
    Module *m = x->m;
    LLVMValueRef step = x->left_space ? get_i64(m, 1) : left_step(x);
    return emit_load(m, x->element, get_element(m, x->element, address[p], emit_mul(m, k, step)));
}

/* Block q of a row of the panel; the row begins at element `at` of panel_base. */
static LLVMValueRef load_right(const Matrix *x, LLVMValueRef at, int q) {
    Module *m = x->m;
    bool as_is = x->tile->right == RIGHT_AS_IS;
    DType type = as_is ? x->shape.types.right : x->shape.types.sum;
    LLVMValueRef address = get_element(m, get_memory_type(m, type), x->panel_base, at);
    return emit_load_as(m, type, x->shape.types.sum, address, x->lanes, !as_is,
                        as_is ? column_mask(x, q) : NULL);
}

/* A tile's product over part of the piece of K. */
typedef struct MatrixProduct {
    const Matrix *matrix;
    const Rows *rows;
    LLVMValueRef *address;
} MatrixProduct;

static void multiply_part(void *context, LLVMValueRef from, LLVMValueRef to, LoopCarried *sums) {
    const MatrixProduct *product = context;
    const Matrix *x = product->matrix;
    Module *m = x->m;
    LLVMValueRef b[16];
    Loop loop = begin_loop_carried(m, sums, from, to, 1);
    LLVMValueRef at = emit_add(m, x->panel_offset, emit_mul(m, loop.index, x->panel_row));
    for (int q = 0; q < x->blocks; q++) {
        b[q] = load_right(x, emit_add(m, at, get_i64(m, q * x->lanes)), q);
    }
    for (int p = 0; p < product->rows->count; p++) {
        LLVMValueRef a = get_splat(m, load_left(x, product->address, p, loop.index), x->lanes);
        for (int q = 0; q < x->blocks; q++)
            sums->at[p * x->blocks + q] = emit_muladd(m, a, b[q], sums->at[p * x->blocks + q]);
    }
    end_loop_carried(m, &loop, sums);
}

static LLVMValueRef load_operand_as_sums(const Matrix *x, int operand, const Point *point) {
    const Contraction *types = &x->shape.types;
    LLVMValueRef value =
        emit_value_load(x->m, x->kernel->inputs[operand], get_argument(x->m, 1 + operand), point);
    return emit_cast(x->m, value, operand == 0 ? types->left : types->right, types->sum);
}

/* Converts the row's piece from element `begin` on, `lanes` at a time; returns the first
 * element that is left. */
static LLVMValueRef convert_elements(const Matrix *x, LLVMValueRef row, LLVMValueRef to, LLVMValueRef begin,
                                     int lanes) {
    Module *m = x->m;
    LLVMValueRef end = emit_mul(m, emit_div(m, x->piece_depth, get_i64(m, lanes)), get_i64(m, lanes));
    Loop loop = begin_loop(m, begin, end, lanes);
    Point point = x->point;
    point.lanes = lanes;
    point.at[x->rank - 2] = coord_fixed(row);
    point.at[x->rank - 1] = coord_lanes(emit_add(m, x->piece, loop.index), 1);
    LLVMValueRef elements = load_operand_as_sums(x, 0, &point);
    emit_store(m, elements, get_element(m, x->element, to, loop.index));
    end_loop(m, &loop);
    return end;
}

/* Converts row p of the tile; returns the address of the copy. */
static LLVMValueRef convert_matrix_row(const Matrix *x, LLVMValueRef row, int p) {
    Module *m = x->m;
    LLVMValueRef to = get_element(m, x->element, x->left_space, get_i64(m, (int64_t)p * x->tile->depth));
    LLVMValueRef end = convert_elements(x, row, to, get_i64(m, 0), x->lanes);
    convert_elements(x, row, to, end, 1);
    return to;
}

static void multiply_rows(const Matrix *x, const Rows *rows, LoopCarried *sums) {
    LLVMValueRef address[MAX_CARRIED];
    for (int p = 0; p < rows->count; p++) {
        LLVMValueRef row = readable_row(x, rows, p);
        address[p] = x->left_space ? convert_matrix_row(x, row, p) : row_address(x, row);
    }
    MatrixProduct product = {.matrix = x, .rows = rows, .address = address};
    if (x->tile->chain >= x->tile->depth) multiply_part(&product, get_i64(x->m, 0), x->piece_depth, sums);
    else emit_sum_in_parts(x->m, sums, x->piece_depth, x->tile->chain, multiply_part, &product);
}

/* The address on the stack that keeps the sum of row p of the tile and block q. */
static LLVMValueRef kept_matrix_sum(const Matrix *x, const Rows *rows, int p, int q) {
    Module *m = x->m;
    LLVMValueRef row = emit_add(m, emit_sub(m, rows->first, x->first_row), get_i64(m, p));
    LLVMValueRef at =
        emit_add(m, emit_mul(m, row, get_i64(m, x->blocks * x->lanes)), get_i64(m, q * x->lanes));
    return get_element(m, x->element, x->sums_space, at);
}

static void store_results(Matrix *x, const Rows *rows, const LoopCarried *sums) {
    Module *m = x->m;
    for (int p = 0; p < rows->count; p++) {
        LLVMValueRef row = emit_add(m, rows->first, get_i64(m, p));
        Branch exists;
        if (rows->limited) exists = begin_if(m, LLVMBuildICmp(m->builder, LLVMIntSLT, row, x->rows, ""));
        for (int q = 0; q < x->blocks; q++) {
            Point point = x->point;
            point.at[x->rank - 2] = coord_fixed(row);
            point.at[x->rank - 1] = coord_lanes(column_of_block(x, q), 1);
            point.at[x->rank - 1].aligned = true;
            point.mask = column_mask(x, q);
            emit_epilogue_store(&x->epilogue, &point, sums->at[p * x->blocks + q]);
        }
        if (rows->limited) end_if(m, &exists);
    }
}

static void emit_matrix_tile(Matrix *x, Rows rows) {
    Module *m = x->m;
    LoopCarried sums = {.count = rows.count * x->blocks};
    for (int i = 0; i < sums.count; i++) sums.at[i] = LLVMConstNull(x->vector);
    multiply_rows(x, &rows, &sums);
    if (!x->sums_space) {
        store_results(x, &rows, &sums);
        return;
    }
    for (int i = 0; i < sums.count; i++) {
        LLVMValueRef kept = kept_matrix_sum(x, &rows, i / x->blocks, i % x->blocks);
        sums.at[i] = emit_sum(m, sums.at[i], emit_aligned_load(m, x->vector, kept));
    }
    Branch last = begin_if(m, emit_at_least(x, emit_add(m, x->piece, x->piece_depth), x->depth));
    store_results(x, &rows, &sums);
    begin_else(m, &last);
    for (int i = 0; i < sums.count; i++)
        emit_aligned_store(m, sums.at[i], kept_matrix_sum(x, &rows, i / x->blocks, i % x->blocks));
    end_if(m, &last);
}

/* ---- the row tiles of a task ---- */

/* Fixed M: tiles of `widest` rows; from number `longer` on they have one row less. */
static void emit_fixed_tiles(Matrix *x, LLVMValueRef from, LLVMValueRef to, int64_t rows) {
    Module *m = x->m;
    int64_t tiles, longer, widest = split_evenly(rows, x->tile->rows, &tiles, &longer);
    LLVMValueRef middle = get_i64(m, longer);
    Loop wide = begin_loop(m, from, emit_min(m, to, middle), 1);
    emit_matrix_tile(x, (Rows){.first = emit_mul(m, wide.index, get_i64(m, widest)), .count = (int)widest});
    end_loop(m, &wide);
    if (longer == tiles) return;
    Loop narrow = begin_loop(m, emit_max(m, from, middle), to, 1);
    LLVMValueRef first = emit_add(m, emit_mul(m, narrow.index, get_i64(m, widest - 1)), middle);
    emit_matrix_tile(x, (Rows){.first = first, .count = (int)widest - 1});
    end_loop(m, &narrow);
}

/* Free M: full tiles; the last rows are tiles of one row, or a tile whose spare rows are
 * not stored. */
static void emit_free_tiles(Matrix *x, LLVMValueRef from, LLVMValueRef to) {
    Module *m = x->m;
    LLVMValueRef count = get_i64(m, x->tile->rows), one = get_i64(m, 1);
    Loop loop = begin_loop(m, from, to, 1);
    LLVMValueRef first = emit_mul(m, loop.index, count), left = emit_sub(m, x->rows, first);
    Branch whole = begin_if(m, emit_at_least(x, left, count));
    emit_matrix_tile(x, (Rows){.first = first, .count = x->tile->rows});
    begin_else(m, &whole);
    Branch several = begin_if(m, LLVMBuildICmp(m->builder, LLVMIntSGT, left, one, ""));
    emit_matrix_tile(x, (Rows){.first = first, .count = x->tile->rows, .limited = true});
    begin_else(m, &several);
    emit_matrix_tile(x, (Rows){.first = first, .count = 1});
    end_if(m, &several);
    end_if(m, &whole);
    end_loop(m, &loop);
}

static LLVMValueRef tile_row(const Matrix *x, LLVMValueRef tile) {
    Module *m = x->m;
    int64_t rows, tiles, longer, widest;
    if (!dim_is_const(x->shape.rows, &rows)) return emit_mul(m, tile, get_i64(m, x->tile->rows));
    widest = split_evenly(rows, x->tile->rows, &tiles, &longer);
    if (longer == tiles) return emit_mul(m, tile, get_i64(m, widest));
    return emit_add(m, emit_mul(m, tile, get_i64(m, widest - 1)), emit_min(m, tile, get_i64(m, longer)));
}

/* ---- the pieces of the sum ---- */

/* Address of B[k][column] of the task's matrix, of floats. */
static LLVMValueRef right_address(const Matrix *x, LLVMValueRef k, LLVMValueRef column) {
    Module *m = x->m;
    const Value *b = x->kernel->inputs[1];
    LLVMValueRef row = get_dim(m, b->strides[x->rank - 2]), step = get_dim(m, b->strides[x->rank - 1]);
    LLVMValueRef at = emit_add(m, emit_mul(m, k, row), emit_mul(m, column, step));
    for (int i = 0; i < x->rank - 2 && !x->shape.shared; i++)
        at = emit_add(m, at, emit_mul(m, x->point.at[i].base, get_dim(m, b->strides[i])));
    return get_element(m, get_memory_type(m, x->shape.types.right), get_argument(m, 2), at);
}

static void pack_rows(Matrix *x) {
    Module *m = x->m;
    Loop loop = begin_loop(m, get_i64(m, 0), x->piece_depth, 1);
    for (int q = 0; q < x->blocks; q++) {
        Point point = x->point;
        for (int i = 0; x->shape.shared && i < x->rank - 2; i++) point.at[i] = coord_fixed(get_i64(m, 0));
        point.at[x->rank - 2] = coord_fixed(emit_add(m, x->piece, loop.index));
        point.at[x->rank - 1] = coord_lanes(column_of_block(x, q), 1);
        point.mask = column_mask(x, q);
        LLVMValueRef at =
            emit_add(m, emit_mul(m, loop.index, get_i64(m, x->blocks * x->lanes)), get_i64(m, q * x->lanes));
        LLVMValueRef b = load_operand_as_sums(x, 1, &point);
        emit_aligned_store(m, b, get_element(m, x->element, x->panel_space, at));
    }
    end_loop(m, &loop);
}

/* Packs `lanes` rows of the piece, from k on, of the block of columns that is `block`
 * columns into the panel. Columns of B are contiguous, and transposed in registers. Rows
 * beyond the piece are zeros; columns beyond the last repeat the last. */
static void pack_square(Matrix *x, LLVMValueRef k, LLVMValueRef block, LLVMValueRef mask) {
    Module *m = x->m;
    LLVMValueRef rows[64], first = emit_add(m, x->first_column, block),
                           last = emit_sub(m, x->columns, get_i64(m, 1));
    bool whole = !has_spare_columns(x);
    for (int l = 0; l < x->lanes; l++) {
        LLVMValueRef column = emit_add(m, first, get_i64(m, l));
        LLVMValueRef address =
            right_address(x, emit_add(m, x->piece, k), whole ? column : emit_min(m, column, last));
        rows[l] = emit_load_as(m, x->shape.types.right, x->shape.types.sum, address, x->lanes, false, mask);
    }
    emit_transpose(m, rows, x->lanes);
    for (int l = 0; l < x->lanes; l++) {
        LLVMValueRef at = emit_add(
            m, emit_affine(m, emit_add(m, k, get_i64(m, l)), (int64_t)x->blocks * x->lanes, 0), block);
        emit_aligned_store(m, rows[l], get_element(m, x->element, x->panel_space, at));
    }
}

/* Packs one block at a time: it reads as many streams as there are lanes. */
static void pack_columns(Matrix *x) {
    Module *m = x->m;
    int64_t depth;
    bool even =
        dim_is_const(x->shape.depth, &depth) && depth % x->lanes == 0 && x->tile->depth % x->lanes == 0;
    LLVMValueRef lanes = get_i64(m, x->lanes), whole = emit_mul(m, emit_div(m, x->piece_depth, lanes), lanes);
    Loop blocks = begin_loop(m, get_i64(m, 0), get_i64(m, (int64_t)x->blocks * x->lanes), x->lanes);
    Loop loop = begin_loop(m, get_i64(m, 0), whole, x->lanes);
    pack_square(x, loop.index, blocks.index, NULL);
    end_loop(m, &loop);
    if (!even) {
        LLVMValueRef left = emit_sub(m, x->piece_depth, whole);
        Branch rest = begin_if(m, LLVMBuildICmp(m->builder, LLVMIntSGT, left, get_i64(m, 0), ""));
        pack_square(x, whole, blocks.index, emit_lane_mask(m, left, x->lanes));
        end_if(m, &rest);
    }
    end_loop(m, &blocks);
}

static bool has_unit_stride(const Value *value, int axis) { return dim_is_one(value->strides[axis]); }

static void pack_panel(Matrix *x) {
    const Value *b = x->kernel->inputs[1];
    bool columns = has_unit_stride(b, x->rank - 2) && !has_unit_stride(b, x->rank - 1);
    if (columns) pack_columns(x);
    else pack_rows(x);
}

static void find_matrix_panel(Matrix *x) {
    Module *m = x->m;
    x->panel_base = x->panel_space;
    x->panel_offset = get_i64(m, 0);
    x->panel_row = get_i64(m, x->blocks * x->lanes);
    if (x->tile->right == RIGHT_AS_IS) {
        x->panel_base = right_address(x, x->piece, x->first_column);
        x->panel_row = get_dim(m, x->kernel->inputs[1]->strides[x->rank - 2]);
    }
    if (x->tile->right != RIGHT_PACKED) return;
    x->panel_base = get_argument(m, 2);
    int64_t before = (int64_t)x->tile->blocks * x->lanes * dim_const_value(x->shape.depth);
    LLVMValueRef at = emit_mul(m, x->panel, get_i64(m, before));
    if (!x->shape.shared) at = emit_add(m, at, emit_mul(m, x->matrix, get_i64(m, x->matrix_weights)));
    x->panel_offset = emit_add(m, at, emit_mul(m, x->piece, get_i64(m, x->blocks * x->lanes)));
}

static void clear_sums(Matrix *x, LLVMValueRef rows) {
    Module *m = x->m;
    LLVMValueRef count = emit_mul(m, rows, get_i64(m, x->blocks * x->lanes));
    Loop loop = begin_loop(m, get_i64(m, 0), count, x->lanes);
    emit_aligned_store(m, LLVMConstNull(x->vector), get_element(m, x->element, x->sums_space, loop.index));
    end_loop(m, &loop);
}

static void emit_piece(Matrix *x, LLVMValueRef piece, LLVMValueRef depth, LLVMValueRef from,
                       LLVMValueRef to) {
    int64_t rows;
    x->piece = piece;
    x->piece_depth = depth;
    if (x->tile->right == RIGHT_PANEL) pack_panel(x);
    find_matrix_panel(x);
    if (dim_is_const(x->shape.rows, &rows)) emit_fixed_tiles(x, from, to, rows);
    else emit_free_tiles(x, from, to);
}

/* One task, whose panel is `blocks` wide: row tiles `from` to `to`. */
static void emit_panel(Matrix *x, int blocks, bool last, LLVMValueRef from, LLVMValueRef to) {
    Module *m = x->m;
    x->blocks = blocks;
    x->last = last;
    if (!x->sums_space) {
        emit_piece(x, get_i64(m, 0), x->depth, from, to);
        return;
    }
    clear_sums(x, emit_mul(m, emit_sub(m, to, from), get_i64(m, x->tile->rows)));
    Loop pieces = begin_loop(m, get_i64(m, 0), x->depth, x->tile->depth);
    LLVMValueRef left = emit_sub(m, x->depth, pieces.index);
    emit_piece(x, pieces.index, emit_min(m, get_i64(m, x->tile->depth), left), from, to);
    end_loop(m, &pieces);
}

static void find_matrix(Matrix *x, LLVMValueRef number) {
    Module *m = x->m;
    x->matrix = number;
    for (int i = x->rank - 3; i >= 0; i--)
        x->point.at[i] = coord_fixed(take_part(m, &number, get_dim(m, x->kernel->anchor->shape.dims[i])));
}

static void emit_matrix_task(Matrix *x, LLVMValueRef task) {
    Module *m = x->m;
    Dims *dims = dims_of_matrix(x);
    LLVMValueRef each = get_i64(m, x->tile->task_tiles);
    LLVMValueRef from =
        emit_mul(m, take_part(m, &task, get_dim(m, row_tasks(dims, &x->shape, x->tile))), each);
    LLVMValueRef to = emit_min(m, emit_add(m, from, each), get_dim(m, row_tiles(dims, &x->shape, x->tile)));
    x->panel = take_part(m, &task, get_dim(m, panels_of(dims, &x->shape, x->tile, x->lanes)));
    find_matrix(x, task);
    x->first_row = tile_row(x, from);
    x->first_column = emit_mul(m, x->panel, get_i64(m, x->tile->blocks * x->lanes));
    int64_t width = (int64_t)x->tile->blocks * x->lanes, columns;
    bool fixed = dim_is_const(x->shape.columns, &columns);
    if (!fixed || columns <= width || columns % width == 0) {
        int64_t blocks = fixed ? ceil_div(columns, x->lanes) : x->tile->blocks;
        emit_panel(x, (int)min_i64(blocks, x->tile->blocks), true, from, to);
        return;
    }
    LLVMValueRef whole = get_i64(m, columns / width);
    Branch last = begin_if(m, LLVMBuildICmp(m->builder, LLVMIntEQ, x->panel, whole, ""));
    emit_panel(x, (int)ceil_div(columns % width, x->lanes), true, from, to);
    begin_else(m, &last);
    emit_panel(x, x->tile->blocks, false, from, to);
    end_if(m, &last);
}

LLVMValueRef emit_matrix(Module *m, const Kernel *kernel) {
    LLVMValueRef function = begin_kernel(m, kernel->name);
    Matrix x = {.m = m,
                .kernel = kernel,
                .tile = kernel->proposal.tile,
                .epilogue = {.module = m, .kernel = kernel},
                .lanes = m->target->lanes};
    x.shape = x.tile->shape;
    x.element = get_register_type(m, x.shape.types.sum, 1);
    x.vector = get_vector(m, x.element, x.lanes);
    x.rank = kernel->anchor->shape.rank;
    x.point = (Point){.rank = x.rank, .lanes = x.lanes};
    x.rows = get_dim(m, x.shape.rows);
    x.depth = get_dim(m, x.shape.depth);
    x.columns = get_dim(m, x.shape.columns);
    int64_t depth, width = (int64_t)x.tile->blocks * x.lanes;
    bool one_piece = dim_is_const(x.shape.depth, &depth) && depth <= x.tile->depth;
    if (x.tile->right == RIGHT_PANEL)
        x.panel_space = emit_stack(m, x.element, round_up(x.tile->depth, x.lanes) * width);
    if (x.tile->right == RIGHT_PACKED)
        x.matrix_weights = round_up(dim_const_value(x.shape.columns), x.lanes) * depth;
    if (x.shape.types.left != x.shape.types.sum)
        x.left_space = emit_stack(m, x.element, (int64_t)x.tile->depth * x.tile->rows);
    if (!one_piece)
        x.sums_space = emit_stack(m, x.element, (int64_t)x.tile->task_tiles * x.tile->rows * width);
    Loop tasks = begin_loop(m, m->begin, m->end, 1);
    emit_matrix_task(&x, tasks.index);
    end_loop(m, &tasks);
    finish_kernel(m);
    return function;
}
