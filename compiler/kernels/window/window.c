/* Pools and resampling: the kind of kernel, and the loop over rows of the output that
 * most of them share. If the output is BLOCKED, lanes are channels, and a row is one
 * image, one block of channels, and one coordinate on all axes but the last. If it is
 * PLAIN, lanes run along the last axis. Operands may have any layout; they prefer that of
 * the output. */
#include "graph/class_rows.h"
#include "kernels/window/window.h"

static const Format *wanted_format(const Kernel *kernel) {
    int64_t channels;
    Shape shape = kernel->anchor->shape;
    if (shape.rank != 4 || !dtype_is_float(shape.type)) return &format_plain;
    if (!dim_is_const(shape.dims[1], &channels)) return &format_plain;
    return channels_fill_blocks(channels, kernel->program->target->lanes) ? kernel->program->blocked
                                                                          : &format_plain;
}

/* How many rows there are along an axis: those of the result or, of an upsampling, of the
 * source; or some groups of rows of the result. */
static Dim rows_along(const Kernel *kernel, int axis, int lanes) {
    const Node *node = kernel->anchor;
    if (axis == 1 && is_blocked(kernel->output))
        return dim_ceil_div(kernel->program->graph->dims, node->shape.dims[axis], lanes);
    if (axis == 2 && scatters_by_lines(kernel)) return count_scatter_tasks(kernel);
    return is_upsample(kernel) ? node->inputs[0]->shape.dims[axis] : node->shape.dims[axis];
}

Dim count_rows(const Kernel *kernel, int lanes) {
    Dims *dims = kernel->program->graph->dims;
    Dim rows = dim_const(dims, 1);
    for (int i = 0; i < kernel->anchor->shape.rank - 1; i++)
        rows = dim_mul(dims, rows, rows_along(kernel, i, lanes));
    return rows;
}

/* Memory is the bound: a vector of each operand in, a vector of the result out. */
static double window_cycles(const Kernel *kernel) {
    const Dims *dims = kernel->program->graph->dims;
    double bytes = 0;
    for (int i = 0; i <= kernel->anchor->input_count; i++) {
        Shape shape =
            i < kernel->anchor->input_count ? kernel->anchor->inputs[i]->shape : kernel->anchor->shape;
        double count = dtype_bytes(shape.type);
        for (int k = 0; k < shape.rank; k++) count *= (double)dim_typical(dims, shape.dims[k]);
        bytes += count;
    }
    return bytes / kernel->program->target->l3_bytes_per_cycle;
}

bool window_propose(const Kernel *kernel, Proposal *proposal) {
    const Node *anchor = kernel->anchor;
    if (!takes_anchor(KERNEL_window, kernel)) return false;
    const Format *format = wanted_format(kernel);
    prefer_formats(kernel, proposal, format, anchor->input_count);
    for (int i = anchor->input_count; i < kernel->input_count; i++)
        if (anchor->shape.rank == 4 && shape_dims_equal(kernel->inputs[i]->node->shape, anchor->shape))
            proposal->inputs[i].format = format;
    bool blocked = format == kernel->program->blocked;
    proposal->memory = has_taps(kernel) ? taps_memory(kernel, blocked) : scatter_memory(kernel, blocked);
    proposal->cycles = window_cycles(kernel);
    return true;
}

void window_settle(Program *program, Kernel *kernel) {
    const Node *anchor = kernel->anchor;
    if (has_taps(kernel)) {
        taps_settle(program, kernel);
        return;
    }
    bool by_size = anchor->op == OP_resample && !is_upsample(kernel);
    kernel->tasks = by_size ? count_resample_rows(kernel) : count_rows(kernel, program->target->lanes);
    if (scatters_by_lines(kernel)) store_sums(program, kernel, scatter_parts(kernel));
    kernel_set_name(kernel, "%s_%s", op_info[anchor->op].name, kernel->output->format->name);
}

/* ---- rows ---- */

Coord row_coord(const WindowRows *rows, LLVMValueRef x) {
    return rows->blocked ? coord_fixed(x) : coord_lanes(x, 1);
}

DType operand_type(const WindowRows *rows, int operand) {
    return rows->kernel->anchor->inputs[operand]->shape.type;
}

LLVMValueRef load_operand(const WindowRows *rows, int operand, const Point *point) {
    return emit_value_load(rows->m, rows->kernel->inputs[operand], get_argument(rows->m, 1 + operand), point);
}

Coord coord_block(WindowRows *rows, LLVMValueRef block) {
    Module *m = rows->m;
    int64_t channels = dim_const_value(rows->kernel->anchor->shape.dims[1]);
    Coord coord = coord_lanes(emit_mul(m, block, get_i64(m, rows->lanes)), 1);
    coord.aligned = true;
    if (channels % rows->lanes != 0)
        rows->point.mask = emit_lane_mask(m, emit_sub(m, get_i64(m, channels), coord.base), rows->lanes);
    return coord;
}

/* Takes the number of a row apart, from the innermost axis outwards. */
static void find_row(WindowRows *rows, LLVMValueRef number) {
    Module *m = rows->m;
    rows->point.mask = NULL;
    for (int i = rows->rank - 2; i >= 0; i--) {
        bool blocks = i == 1 && rows->blocked;
        LLVMValueRef count = get_dim(m, rows_along(rows->kernel, i, rows->lanes));
        LLVMValueRef at = i > 0 ? emit_rem(m, number, count) : number;
        rows->point.at[i] = coord_fixed(at);
        if (blocks) rows->point.at[i] = coord_block(rows, at);
        if (i > 0) number = emit_div(m, number, count);
    }
}

LLVMValueRef emit_rows(Module *m, const Kernel *kernel, void (*emit_row)(WindowRows *rows)) {
    LLVMValueRef function = begin_kernel(m, kernel->name);
    Shape shape = kernel->anchor->shape;
    WindowRows rows = {
        .m = m, .kernel = kernel, .epilogue = {.module = m, .kernel = kernel}, .rank = shape.rank};
    rows.lanes = m->target->lanes;
    rows.blocked = is_blocked(kernel->output);
    rows.point = (Point){.rank = shape.rank, .lanes = rows.lanes};
    rows.width = get_dim(m, shape.dims[shape.rank - 1]);
    Loop tasks = begin_loop(m, m->begin, m->end, 1);
    find_row(&rows, tasks.index);
    emit_row(&rows);
    end_loop(m, &tasks);
    finish_kernel(m);
    return function;
}

/* ---- the family: an emitter for each operator ---- */

static LLVMValueRef resample_emit(Module *m, const Kernel *kernel) {
    return is_upsample(kernel) ? emit_rows(m, kernel, emit_upsample_row) : emit_resample(m, kernel);
}

static LLVMValueRef max_pool_scatter_emit(Module *m, const Kernel *kernel) {
    return emit_rows(m, kernel, scatters_by_lines(kernel) ? emit_scatter_row : emit_pool_transposed_row);
}

#define BY_ROWS(name, emit_row)                                        \
    static LLVMValueRef name##_emit(Module *m, const Kernel *kernel) { \
        return emit_rows(m, kernel, emit_row);                         \
    }
BY_ROWS(resample_input, emit_resample_transposed_row)
BY_ROWS(pool_sum, emit_pool_row)
BY_ROWS(pool_max, emit_pool_row)
BY_ROWS(max_pool_gather, emit_pool_row)
BY_ROWS(pool_sum_input, emit_pool_transposed_row)

static LLVMValueRef (*const windows[OP_COUNT])(Module *, const Kernel *) = {
#undef ROW_OF_CLASS_WINDOW
#define ROW_OF_CLASS_WINDOW(name) [OP_##name] = name##_emit,
#define OP(name, inputs, attributes, class, ...) ROW_OF_##class(name)
#include "graph/ops.def"
#undef OP
};

LLVMValueRef window_emit(Module *m, const Kernel *kernel) {
    return has_taps(kernel) ? emit_by_taps(m, kernel) : windows[kernel->anchor->op](m, kernel);
}
