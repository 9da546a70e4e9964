/* Resampling whose results read any number of places: area, antialiased, cubic by factors
 * that are not whole (window_upsample.c has whole ones), and the transposes of these.
 * Tables in the workspace, computed once, say which places each place of a row or column
 * reads (op_resize.c has the rules). So a transpose is the same work with transposed
 * tables.
 *
 *     tables      a task is a place of the result of `resample`, down first, then across
 *     transposed  a task is a place of its source, whose readers stand side by side: two
 *                 binary searches
 *     rows        a task is a row of the result, of one channel or of a block of them:
 *                   mixed = the rows that it reads, weighted         one row of the source, in scratch
 *                   for each column (PLAIN: vector of columns):
 *                     the places of mixed that it reads, weighted; epilogue, store
 *
 * The weights of area are 1, and its sum is divided by the number of terms, so that the
 * mean is rounded once. (Transposed, the weights are shares.)
 *
 * Bound: reading each row of the source, from the cache, as often as rows of the result
 * need it. */
#include "kernels/window/window.h"

static bool is_area(const resample_attributes *attributes) { return strcmp(attributes->mode, "area") == 0; }

/* Whether a result reads more places than window_resample.c handles, and not by integer
 * factors. */
bool has_taps(const Kernel *kernel) {
    const Node *node = kernel->anchor;
    if ((node->op != OP_resample && node->op != OP_resample_input) || is_upsample(kernel)) return false;
    const resample_attributes *attributes = node->attributes; /* resample_input has the same */
    return attributes->antialias || strcmp(attributes->mode, "cubic") == 0 || is_area(attributes);
}

static bool is_transposed(const Kernel *kernel) { return kernel->anchor->op == OP_resample_input; }

/* ---- tables ----
 *
 * A table of n entries is rows of n numbers: the first place of each entry, its number of
 * places, and as many rows of weights as an entry has at most. */

typedef enum TableRow { FIRST, COUNT, WEIGHTS } TableRow;

typedef struct TableSize { Dim entries, max; } TableSize;

/* Sizes along axis 0 or 1 of what `resample` reads and of what it makes. */
static Dim size_in(const Kernel *kernel, int axis) {
    Shape shape = is_transposed(kernel) ? kernel->anchor->shape : kernel->anchor->inputs[0]->shape;
    return shape.dims[shape.rank - 2 + axis];
}

static Dim size_out(const Kernel *kernel, int axis) {
    Shape shape = is_transposed(kernel) ? kernel->anchor->inputs[0]->shape : kernel->anchor->shape;
    return shape.dims[shape.rank - 2 + axis];
}

/* a / b rounded up, or an upper bound of it; NULL where none is known. */
static Dim max_times(Dims *dims, Dim a, Dim b) {
    int64_t value;
    Dim exact = dim_div_exact(dims, a, b);
    if (exact) return exact;
    if (dim_is_const(b, &value) && value > 0) return dim_ceil_div(dims, a, value);
    bool floor = b->term_count == 1 && b->terms[0].coefficient == 1 && b->terms[0].factor_count == 1 &&
                 !b->terms[0].factors[0].symbol;
    if (floor && b->terms[0].factors[0].dividend == a)
        return dim_const(dims, 2 * b->terms[0].factors[0].divisor - 1);
    return NULL;
}

/* The most places that an entry of one side reads on the other, where `longer` is the
 * ratio of their sizes. */
static Dim max_within_reach(Dims *dims, const resample_attributes *attributes, Dim longer) {
    bool cubic = strcmp(attributes->mode, "cubic") == 0;
    return dim_offset(dims, dim_scale(dims, longer, attributes->antialias ? (cubic ? 4 : 2) : 1), 1);
}

static TableSize forward_size(const Kernel *kernel, int axis) {
    const resample_attributes *attributes = kernel->anchor->attributes;
    Dims *dims = kernel->program->graph->dims;
    Dim in = size_in(kernel, axis), out = size_out(kernel, axis), times = max_times(dims, in, out);
    if (!attributes->antialias && strcmp(attributes->mode, "cubic") == 0)
        return (TableSize){out, dim_const(dims, 4)};
    return (TableSize){out, times ? max_within_reach(dims, attributes, times) : in};
}

/* Without antialias a cubic result reads 4 places; by align_corners results are up to
 * twice as close as the sizes say. */
static TableSize transposed_size(const Kernel *kernel, int axis) {
    const resample_attributes *attributes = kernel->anchor->attributes;
    Dims *dims = kernel->program->graph->dims;
    Dim in = size_in(kernel, axis), out = size_out(kernel, axis), times = max_times(dims, out, in);
    if (!times) return (TableSize){in, out};
    bool plain_cubic = !attributes->antialias && strcmp(attributes->mode, "cubic") == 0;
    return (TableSize){in, plain_cubic ? dim_offset(dims, dim_scale(dims, times, 8), 2)
                                       : max_within_reach(dims, attributes, times)};
}

enum { TABLES = 4 }; /* of rows and of columns, then their transposes */

static TableSize table_size(const Kernel *kernel, int table) {
    return table < 2 ? forward_size(kernel, table) : transposed_size(kernel, table - 2);
}

static Dim table_bytes(const Kernel *kernel, int table) {
    Dims *dims = kernel->program->graph->dims;
    TableSize size = table_size(kernel, table);
    Dim bytes = dim_scale(dims, dim_mul(dims, size.entries, dim_offset(dims, size.max, WEIGHTS)),
                          dtype_bytes(DTYPE_F32));
    return dim_scale(dims, dim_ceil_div(dims, bytes, 64), 64);
}

static Dim tables_before(const Kernel *kernel, int table) {
    Dims *dims = kernel->program->graph->dims;
    Dim bytes = dim_const(dims, 0);
    for (int i = 0; i < table; i++) bytes = dim_add(dims, bytes, table_bytes(kernel, i));
    return bytes;
}

/* A row of the source, and the tables. */
WorkingMemory taps_memory(const Kernel *kernel, bool blocked) {
    Dims *dims = kernel->program->graph->dims;
    int lanes = kernel->program->target->lanes;
    bool transposed = is_transposed(kernel);
    Dim width = transposed ? size_out(kernel, 1) : size_in(kernel, 1);
    Dim row = blocked ? dim_scale(dims, width, lanes) : dim_offset(dims, width, lanes);
    return (WorkingMemory){.scratch = dim_scale(dims, row, dtype_bytes(DTYPE_F32)),
                           .workspace = tables_before(kernel, transposed ? TABLES : 2)};
}

void taps_settle(Program *program, Kernel *kernel) {
    Dims *dims = program->graph->dims;
    int lanes = program->target->lanes;
    kernel_set_name(kernel, "%s_taps_%s", op_info[kernel->anchor->op].name, kernel->output->format->name);
    Dim places_out = dim_add(dims, size_out(kernel, 0), size_out(kernel, 1)),
        places_in = dim_add(dims, size_in(kernel, 0), size_in(kernel, 1)), rows = count_rows(kernel, lanes);
    if (is_transposed(kernel))
        kernel_set_phases(kernel, (const char *[]){"tables", "transposed", NULL},
                          (Dim[]){places_out, places_in, rows}, 3);
    else kernel_set_phases(kernel, (const char *[]){"tables", NULL}, (Dim[]){places_out, rows}, 2);
}

typedef struct TapTable { LLVMValueRef base, entries; } TapTable;

static TapTable get_table(Module *m, const Kernel *kernel, int table) {
    LLVMValueRef workspace = get_argument(m, 1 + kernel->input_count);
    return (TapTable){get_element(m, m->i8, workspace, get_dim(m, tables_before(kernel, table))),
                      get_dim(m, table_size(kernel, table).entries)};
}

/* The address of entry `at` in a row of the table, which may be WEIGHTS and more. */
static LLVMValueRef table_place(Module *m, TapTable table, LLVMValueRef row, LLVMValueRef at) {
    return get_element(m, m->i32, table.base, emit_add(m, emit_mul(m, row, table.entries), at));
}

static LLVMValueRef load_place(Module *m, TapTable table, TableRow row, LLVMValueRef at) {
    LLVMValueRef place = emit_load(m, m->i32, table_place(m, table, get_i64(m, row), at));
    return LLVMBuildSExt(m->builder, place, m->i64, "");
}

static void store_tap_place(Module *m, TapTable table, TableRow row, LLVMValueRef at, LLVMValueRef place) {
    emit_store(m, LLVMBuildTrunc(m->builder, place, m->i32, ""), table_place(m, table, get_i64(m, row), at));
}

static LLVMValueRef tap_weight_place(Module *m, TapTable table, LLVMValueRef k, LLVMValueRef at) {
    return table_place(m, table, emit_add(m, k, get_i64(m, WEIGHTS)), at);
}

/* ---- what places of the result read: scalars, integers for places, doubles for weights ---- */

typedef struct TapEntry {
    Module *m;
    const resample_attributes *attributes;
    TapTable table;
    LLVMValueRef at, in, out; /* the place, and the sizes of its axis */
} TapEntry;

static LLVMValueRef get_real(Module *m, double value) { return LLVMConstReal(m->f64, value); }
static LLVMValueRef emit_minus(Module *m, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildSub(m->builder, a, b, "");
}
static LLVMValueRef emit_plus_number(Module *m, LLVMValueRef a, int64_t b) {
    return emit_add(m, a, get_i64(m, b));
}
static LLVMValueRef emit_times_number(Module *m, LLVMValueRef a, int64_t b) {
    return emit_mul(m, a, get_i64(m, b));
}

static LLVMValueRef clamped_tap(TapEntry *e, LLVMValueRef at) {
    return emit_max(e->m, emit_min(e->m, at, emit_plus_number(e->m, e->in, -1)), get_i64(e->m, 0));
}

static LLVMValueRef emit_floor_quotient(Module *m, LLVMValueRef top, LLVMValueRef bottom) {
    LLVMValueRef quotient = LLVMBuildSDiv(m->builder, top, bottom, "");
    LLVMValueRef below =
        LLVMBuildICmp(m->builder, LLVMIntSLT, LLVMBuildSRem(m->builder, top, bottom, ""), get_i64(m, 0), "");
    return LLVMBuildAdd(m->builder, quotient, LLVMBuildSExt(m->builder, below, m->i64, ""), "");
}

/* ((c[0] t + c[1]) t + c[2]) t + c[3] */
static LLVMValueRef emit_cubic_polynomial(Module *m, LLVMValueRef t, const double c[4]) {
    LLVMValueRef sum = get_real(m, c[0]);
    for (int i = 1; i < 4; i++)
        sum = emit_real_op(m, LLVMFAdd, emit_real_op(m, LLVMFMul, sum, t), get_real(m, c[i]));
    return sum;
}

/* The weight at distance `t`: a triangle, or Keys' cubic. */
static LLVMValueRef emit_filter(TapEntry *e, LLVMValueRef t) {
    Module *m = e->m;
    double a = e->attributes->a;
    LLVMValueRef zero = get_real(m, 0), away = emit_intrinsic(m, "llvm.fabs", m->f64, &t, 1);
    LLVMValueRef within_one = LLVMBuildFCmp(m->builder, LLVMRealOLT, away, get_real(m, 1), "");
    if (strcmp(e->attributes->mode, "cubic"))
        return LLVMBuildSelect(m->builder, within_one, emit_real_op(m, LLVMFSub, get_real(m, 1), away), zero,
                               "");
    LLVMValueRef near = emit_cubic_polynomial(m, away, (double[]){a + 2, -(a + 3), 0, 1}),
                 far = emit_cubic_polynomial(m, away, (double[]){a, -5 * a, 8 * a, -4 * a});
    LLVMValueRef within_two = LLVMBuildFCmp(m->builder, LLVMRealOLT, away, get_real(m, 2), "");
    return LLVMBuildSelect(m->builder, within_one, near,
                           LLVMBuildSelect(m->builder, within_two, far, zero, ""), "");
}

/* Writes the places of the entry, and returns their number. */
static LLVMValueRef store_places(TapEntry *e, LLVMValueRef first, LLVMValueRef end) {
    LLVMValueRef count = emit_minus(e->m, end, first);
    store_tap_place(e->m, e->table, FIRST, e->at, first);
    store_tap_place(e->m, e->table, COUNT, e->at, count);
    return count;
}

static void store_weight(TapEntry *e, LLVMValueRef k, LLVMValueRef weight) {
    emit_store(e->m, LLVMBuildFPTrunc(e->m->builder, weight, e->m->f32, ""),
               tap_weight_place(e->m, e->table, k, e->at));
}

static void emit_area(TapEntry *e, bool shares) {
    Module *m = e->m;
    LLVMValueRef begin = emit_mul(m, e->at, e->in),
                 behind = emit_add(m, emit_add(m, begin, e->in), emit_plus_number(m, e->out, -1));
    LLVMValueRef count = store_places(e, emit_div(m, begin, e->out), emit_div(m, behind, e->out));
    LLVMValueRef weight =
        shares ? emit_real_op(m, LLVMFDiv, get_real(m, 1), emit_f64(m, count)) : get_real(m, 1);
    Loop loop = begin_loop(m, get_i64(m, 0), count, 1);
    store_weight(e, loop.index, weight);
    end_loop(m, &loop);
}

static void emit_without_alias(TapEntry *e) {
    Module *m = e->m;
    LLVMValueRef wide = emit_max(m, e->in, e->out),
                 reach = emit_times_number(m, wide, strcmp(e->attributes->mode, "cubic") ? 2 : 4),
                 two_out = emit_times_number(m, e->out, 2);
    LLVMValueRef middle = emit_mul(m, emit_plus_number(m, emit_times_number(m, e->at, 2), 1), e->in);
    LLVMValueRef least = emit_floor_quotient(m, emit_add(m, emit_minus(m, middle, reach), e->out), two_out);
    LLVMValueRef end =
        emit_min(m, emit_floor_quotient(m, emit_add(m, emit_add(m, middle, reach), e->out), two_out), e->in);
    LLVMValueRef first = emit_max(m, least, get_i64(m, 0)), count = store_places(e, first, end);
    LoopCarried total = {.at = {get_real(m, 0)}, .count = 1};
    LLVMValueRef scale = emit_f64(m, emit_times_number(m, wide, 2));
    for (int pass = 0; pass < 2; pass++) { /* adds up the weights, then writes them */
        LLVMValueRef sum = total.at[0];
        Loop loop = begin_loop_carried(m, &total, get_i64(m, 0), count, 1);
        LLVMValueRef place = emit_plus_number(m, emit_times_number(m, emit_add(m, first, loop.index), 2), 1);
        LLVMValueRef away = emit_f64(m, emit_minus(m, emit_mul(m, place, e->out), middle));
        LLVMValueRef weight = emit_filter(e, emit_real_op(m, LLVMFDiv, away, scale));
        if (pass == 0) total.at[0] = emit_real_op(m, LLVMFAdd, total.at[0], weight);
        else store_weight(e, loop.index, emit_real_op(m, LLVMFDiv, weight, sum));
        end_loop_carried(m, &loop, &total);
    }
}

/* s = top / bottom */
static void emit_source_coordinate(TapEntry *e, LLVMValueRef *top, LLVMValueRef *bottom) {
    Module *m = e->m;
    LLVMValueRef one = get_i64(m, 1), zero = get_i64(m, 0),
                 many = LLVMBuildICmp(m->builder, LLVMIntSGT, e->out, one, "");
    const char *rule = e->attributes->rule;
    *bottom = e->out;
    *top = emit_mul(m, e->at, e->in);
    if (strcmp(rule, "asymmetric") == 0) return;
    if (strcmp(rule, "align_corners") == 0) {
        *bottom = emit_max(m, emit_plus_number(m, e->out, -1), one);
        *top =
            LLVMBuildSelect(m->builder, many, emit_mul(m, e->at, emit_plus_number(m, e->in, -1)), zero, "");
        return;
    }
    *bottom = emit_times_number(m, e->out, 2);
    *top = emit_minus(m, emit_mul(m, emit_plus_number(m, emit_times_number(m, e->at, 2), 1), e->in), e->out);
    if (strcmp(rule, "pytorch_half_pixel") == 0) *top = LLVMBuildSelect(m->builder, many, *top, zero, "");
}

/* The four places around s; places beyond the picture count as its ends. */
static void emit_cubic(TapEntry *e) {
    Module *m = e->m;
    LLVMValueRef top, bottom, weights[4], places[4];
    emit_source_coordinate(e, &top, &bottom);
    LLVMValueRef base = emit_floor_quotient(m, top, bottom);
    LLVMValueRef part = emit_real_op(m, LLVMFDiv, emit_f64(m, emit_minus(m, top, emit_mul(m, base, bottom))),
                                     emit_f64(m, bottom));
    for (int j = 0; j < 4; j++) {
        weights[j] = emit_filter(e, emit_real_op(m, LLVMFSub, get_real(m, j - 1), part));
        places[j] = clamped_tap(e, emit_plus_number(m, base, j - 1));
    }
    LLVMValueRef count = store_places(e, places[0], emit_plus_number(m, places[3], 1));
    Loop loop = begin_loop(m, get_i64(m, 0), count, 1);
    LLVMValueRef place = emit_add(m, places[0], loop.index), weight = get_real(m, 0);
    for (int j = 0; j < 4; j++) {
        LLVMValueRef here = LLVMBuildICmp(m->builder, LLVMIntEQ, places[j], place, "");
        weight = emit_real_op(m, LLVMFAdd, weight,
                              LLVMBuildSelect(m->builder, here, weights[j], get_real(m, 0), ""));
    }
    store_weight(e, loop.index, weight);
    end_loop(m, &loop);
}

/* ---- the phases of tables ---- */

/* Of two values, the one for the axis of the task. */
static LLVMValueRef of_axis(Module *m, LLVMValueRef down, LLVMValueRef rows, LLVMValueRef columns) {
    return LLVMBuildSelect(m->builder, down, rows, columns, "");
}

static TapTable table_of_axis(Module *m, LLVMValueRef down, TapTable rows, TapTable columns) {
    return (TapTable){of_axis(m, down, rows.base, columns.base),
                      of_axis(m, down, rows.entries, columns.entries)};
}

static void emit_tap_tables(Module *m, const Kernel *kernel, const char *name) {
    begin_kernel(m, name);
    TapTable rows = get_table(m, kernel, 0), columns = get_table(m, kernel, 1);
    Loop tasks = begin_loop(m, m->begin, m->end, 1);
    LLVMValueRef down = LLVMBuildICmp(m->builder, LLVMIntSLT, tasks.index, rows.entries, "");
    TapEntry e = {
        .m = m, .attributes = kernel->anchor->attributes, .table = table_of_axis(m, down, rows, columns)};
    e.at = of_axis(m, down, tasks.index, emit_minus(m, tasks.index, rows.entries));
    e.in = of_axis(m, down, get_dim(m, size_in(kernel, 0)), get_dim(m, size_in(kernel, 1)));
    e.out = e.table.entries;
    if (e.attributes->antialias) emit_without_alias(&e);
    else if (is_area(e.attributes)) emit_area(&e, is_transposed(kernel));
    else emit_cubic(&e);
    end_loop(m, &tasks);
    finish_kernel(m);
}

/* The first entry of `table` whose places begin (`ends`: end) after `place`: first places
 * and ends are in ascending order. */
static LLVMValueRef emit_search(Module *m, TapTable table, LLVMValueRef place, bool ends) {
    LoopCarried range = {.at = {get_i64(m, 0), table.entries}, .count = 2};
    Loop loop = begin_loop_carried(m, &range, get_i64(m, 0), get_i64(m, 32), 1);
    LLVMValueRef low = range.at[0], high = range.at[1],
                 open = LLVMBuildICmp(m->builder, LLVMIntSLT, low, high, "");
    LLVMValueRef middle = LLVMBuildLShr(m->builder, emit_add(m, low, high), get_i64(m, 1), "");
    LLVMValueRef at = emit_min(m, middle, emit_plus_number(m, table.entries, -1)),
                 reaches = load_place(m, table, FIRST, at);
    if (ends) reaches = emit_add(m, reaches, load_place(m, table, COUNT, at));
    LLVMValueRef behind = LLVMBuildICmp(m->builder, LLVMIntSGT, reaches, place, "");
    LLVMValueRef lower = LLVMBuildAnd(m->builder, open, behind, ""),
                 upper = LLVMBuildAnd(m->builder, open, LLVMBuildNot(m->builder, behind, ""), "");
    range.at[0] = LLVMBuildSelect(m->builder, upper, emit_plus_number(m, middle, 1), low, "");
    range.at[1] = LLVMBuildSelect(m->builder, lower, middle, high, "");
    end_loop_carried(m, &loop, &range);
    return range.at[0];
}

static void emit_transposed_tables(Module *m, const Kernel *kernel, const char *name) {
    begin_kernel(m, name);
    TapTable rows = get_table(m, kernel, 2), columns = get_table(m, kernel, 3);
    TapTable read_rows = get_table(m, kernel, 0), read_columns = get_table(m, kernel, 1);
    Loop tasks = begin_loop(m, m->begin, m->end, 1);
    LLVMValueRef down = LLVMBuildICmp(m->builder, LLVMIntSLT, tasks.index, rows.entries, "");
    TapTable to = table_of_axis(m, down, rows, columns),
             from = table_of_axis(m, down, read_rows, read_columns);
    LLVMValueRef place = of_axis(m, down, tasks.index, emit_minus(m, tasks.index, rows.entries));
    LLVMValueRef first = emit_search(m, from, place, true),
                 count = emit_minus(m, emit_search(m, from, place, false), first);
    store_tap_place(m, to, FIRST, place, first);
    store_tap_place(m, to, COUNT, place, count);
    Loop loop = begin_loop(m, get_i64(m, 0), count, 1);
    LLVMValueRef reader = emit_add(m, first, loop.index),
                 k = emit_minus(m, place, load_place(m, from, FIRST, reader));
    LLVMValueRef weight = emit_load(m, m->f32, tap_weight_place(m, from, k, reader));
    emit_store(m, weight, tap_weight_place(m, to, loop.index, place));
    end_loop(m, &loop);
    end_loop(m, &tasks);
    finish_kernel(m);
}

/* ---- rows ---- */

static LLVMValueRef scratch_place(WindowRows *rows, LLVMValueRef column) {
    return get_element(rows->m, rows->m->f32, rows->m->scratch,
                       rows->blocked ? emit_times_number(rows->m, column, rows->lanes) : column);
}

/* The rows of the source that row `y` reads, mixed into one. */
static void emit_mixed(WindowRows *rows, TapTable table, LLVMValueRef width) {
    Module *m = rows->m;
    int down = rows->rank - 2;
    LLVMValueRef y = rows->point.at[down].base, first = load_place(m, table, FIRST, y),
                 count = load_place(m, table, COUNT, y);
    Loop loop = begin_loop(m, get_i64(m, 0), width, rows->blocked ? 1 : rows->lanes);
    Point point = rows->point;
    point.at[down + 1] = row_coord(rows, loop.index);
    if (!rows->blocked) point.mask = emit_lane_mask(m, emit_sub(m, width, loop.index), rows->lanes);
    LoopCarried sum = {.at = {LLVMConstNull(get_vector(m, m->f32, rows->lanes))}, .count = 1};
    Loop taps = begin_loop_carried(m, &sum, get_i64(m, 0), count, 1);
    LLVMValueRef weight = emit_load(m, m->f32, tap_weight_place(m, table, taps.index, y));
    point.at[down] = coord_fixed(emit_add(m, first, taps.index));
    sum.at[0] = emit_muladd(m, get_splat(m, weight, rows->lanes), load_operand(rows, 0, &point), sum.at[0]);
    end_loop_carried(m, &taps, &sum);
    emit_store(m, sum.at[0], scratch_place(rows, loop.index));
    end_loop(m, &loop);
}

static LLVMValueRef emit_blocked_column(WindowRows *rows, TapTable table, LLVMValueRef x) {
    Module *m = rows->m;
    LLVMTypeRef vector = get_vector(m, m->f32, rows->lanes);
    LLVMValueRef first = load_place(m, table, FIRST, x);
    LoopCarried sum = {.at = {LLVMConstNull(vector)}, .count = 1};
    Loop taps = begin_loop_carried(m, &sum, get_i64(m, 0), load_place(m, table, COUNT, x), 1);
    LLVMValueRef weight = emit_load(m, m->f32, tap_weight_place(m, table, taps.index, x));
    LLVMValueRef mixed = emit_load(m, vector, scratch_place(rows, emit_add(m, first, taps.index)));
    sum.at[0] = emit_muladd(m, get_splat(m, weight, rows->lanes), mixed, sum.at[0]);
    end_loop_carried(m, &taps, &sum);
    return sum.at[0];
}

/* A vector of columns, in as many steps as the column with the most places has. */
static LLVMValueRef emit_tap_columns(WindowRows *rows, TapTable table, LLVMValueRef x, LLVMValueRef mask) {
    Module *m = rows->m;
    LLVMTypeRef vector = get_vector(m, m->f32, rows->lanes), places = get_vector(m, m->i32, rows->lanes);
    LLVMValueRef first = emit_masked_load(m, places, table_place(m, table, get_i64(m, FIRST), x), 4, mask);
    LLVMValueRef counts = emit_masked_load(m, places, table_place(m, table, get_i64(m, COUNT), x), 4, mask);
    LLVMValueRef max = LLVMBuildZExt(
        m->builder, emit_intrinsic(m, "llvm.vector.reduce.umax", places, &counts, 1), m->i64, "");
    LoopCarried sum = {.at = {LLVMConstNull(vector)}, .count = 1};
    Loop taps = begin_loop_carried(m, &sum, get_i64(m, 0), max, 1);
    LLVMValueRef k = get_splat(m, LLVMBuildTrunc(m->builder, taps.index, m->i32, ""), rows->lanes);
    LLVMValueRef reads = LLVMBuildICmp(m->builder, LLVMIntSLT, k, counts, "");
    LLVMValueRef weight = emit_masked_load(m, vector, tap_weight_place(m, table, taps.index, x), 4, reads);
    LLVMValueRef mixed = emit_gather(m, vector, m->scratch, LLVMBuildAdd(m->builder, first, k, ""), reads);
    sum.at[0] = emit_muladd(m, weight, mixed, sum.at[0]);
    end_loop_carried(m, &taps, &sum);
    return sum.at[0];
}

/* The numbers of places that the columns from x on read, as floats. */
static LLVMValueRef emit_counts(WindowRows *rows, TapTable table, LLVMValueRef x, LLVMValueRef mask) {
    Module *m = rows->m;
    LLVMValueRef at = table_place(m, table, get_i64(m, COUNT), x);
    LLVMValueRef counts = mask ? emit_masked_load(m, get_vector(m, m->i32, rows->lanes), at, 4, mask)
                               : get_splat(m, emit_load(m, m->i32, at), rows->lanes);
    return LLVMBuildSIToFP(m->builder, counts, get_vector(m, m->f32, rows->lanes), "");
}

static void emit_taps_row(WindowRows *rows) {
    Module *m = rows->m;
    const Kernel *kernel = rows->kernel;
    bool transposed = is_transposed(kernel), divides = !transposed && is_area(kernel->anchor->attributes);
    TapTable down = get_table(m, kernel, transposed ? 2 : 0),
             across = get_table(m, kernel, transposed ? 3 : 1);
    emit_mixed(rows, down, get_dim(m, transposed ? size_out(kernel, 1) : size_in(kernel, 1)));
    LLVMValueRef high = divides ? emit_counts(rows, down, rows->point.at[rows->rank - 2].base, NULL) : NULL;
    Loop loop = begin_loop(m, get_i64(m, 0), rows->width, rows->blocked ? 1 : rows->lanes);
    Point point = rows->point;
    point.at[rows->rank - 1] = row_coord(rows, loop.index);
    if (!rows->blocked) point.mask = emit_lane_mask(m, emit_sub(m, rows->width, loop.index), rows->lanes);
    LLVMValueRef value = rows->blocked ? emit_blocked_column(rows, across, loop.index)
                                       : emit_tap_columns(rows, across, loop.index, point.mask);
    if (divides) {
        LLVMValueRef wide = emit_counts(rows, across, loop.index, rows->blocked ? NULL : point.mask);
        value = emit_real_op(m, LLVMFDiv, value, emit_real_op(m, LLVMFMul, high, wide));
    }
    emit_epilogue_store(&rows->epilogue, &point, value);
    end_loop(m, &loop);
}

LLVMValueRef emit_by_taps(Module *m, const Kernel *kernel) {
    emit_tap_tables(m, kernel, kernel->phases[0].name);
    if (is_transposed(kernel)) emit_transposed_tables(m, kernel, kernel->phases[1].name);
    return emit_rows(m, kernel, emit_taps_row);
}
