/* Resampling by whole factors, up to eight on each axis, as in decoders. What a result
 * reads depends only on its place within its source pixel, its phase, and so is known
 * while compiling. A task is a row of the source, and computes a row of the result for
 * each phase of rows:
 *
 *     for each phase of rows                              # a mix of source rows: one (nearest),
 *       BLOCKED: for each column of the source            # two (bilinear) or four (cubic)
 *                  the last neighbour = mix of the rows, one or two columns behind; the others
 *                  are known
 *                  for each phase of columns: mix of the neighbours; epilogue, store
 *       PLAIN:   for each vector of columns of the source
 *                  neighbours = mixes of the rows, from up to two columns before to two behind
 *                  the phases of columns as vectors: mixes of them
 *                  interleaved: as many vectors of the result; epilogue, store
 *
 * Bound: the stores. A gather for each corner, as window_resample.c has it for any size,
 * ran at 4 to 10 GB/s. Tried, and slower: the mixed row through memory, which waits for
 * its own stores (a third of this speed on rows of 64); one load of the columns of each
 * vector of the result and two shuffles, which takes one and a half times as long where
 * shuffles across halves of a register are slow. */
#include "kernels/window/window.h"

enum { MAX_FACTOR = MAX_INTERLEAVED, SHORT_ROW = 32 /* vectors of the result */ };

/* The neighbours of a source pixel, itself among them, by their distance from it: at most
 * REACH. */
enum { REACH = 2, NEIGHBOURS = 2 * REACH + 1 };

typedef struct Neighbours { LLVMValueRef at[NEIGHBOURS]; } Neighbours; /* [REACH] is the pixel itself */

typedef struct Mix { /* of neighbours first, first + 1, .. */
    int first, count;
    double weights[4];
} Mix;

typedef struct Upsample {
    Module *m;
    WindowRows *rows;
    const resample_attributes *way;
    int64_t factors[2];
    LLVMValueRef sizes[2]; /* of the source */
    int reach;             /* along a row: 0 to REACH */
} Upsample;

/* ---- what can be done so ---- */

static int64_t factor_of(const Kernel *kernel, int axis) {
    const Node *node = kernel->anchor;
    Dims *dims = kernel->program->graph->dims;
    Dim in = node->inputs[0]->shape.dims[axis], out = node->shape.dims[axis],
        factor = dim_div_exact(dims, out, in);
    int64_t value;
    if (!factor || !dim_is_const(factor, &value) || value < 1 || value > MAX_FACTOR) return 0;
    return value;
}

bool is_upsample(const Kernel *kernel) {
    const Node *node = kernel->anchor;
    if (node->op != OP_resample) return false;
    const resample_attributes *way = ATTRIBUTES(node, resample);
    if (way->antialias || strcmp(way->mode, "area") == 0 || strcmp(way->rule, "align_corners") == 0)
        return false;
    int rank = node->shape.rank;
    return factor_of(kernel, rank - 2) > 0 && factor_of(kernel, rank - 1) > 0;
}

/* Phase k of `factor` is at (k + 1/2) / factor - 1/2 from its source pixel, or at k /
 * factor. */
static Mix mix_of(const Upsample *u, int64_t k, int64_t factor) {
    const bool centred = strcmp(u->way->rule, "asymmetric") != 0;
    double at = centred ? (double)(2 * k + 1 - factor) / (double)(2 * factor) : (double)k / (double)factor;
    if (at == 0 || strcmp(u->way->mode, "nearest") == 0) return (Mix){.first = 0, .count = 1, .weights = {1}};
    int below = at < 0 ? -1 : 0;
    double part = at - below;
    if (strcmp(u->way->mode, "cubic") != 0)
        return (Mix){.first = below, .count = 2, .weights = {1 - part, part}};
    Mix mix = {.first = below - 1, .count = 4};
    for (int i = 0; i < mix.count; i++) mix.weights[i] = resample_cubic(i - 1 - part, u->way->a);
    return mix;
}

static Upsample upsample_of(WindowRows *rows) {
    const Node *node = rows->kernel->anchor;
    Upsample u = {.m = rows->m, .rows = rows, .way = ATTRIBUTES(node, resample)};
    for (int i = 0; i < 2; i++) {
        u.factors[i] = factor_of(rows->kernel, rows->rank - 2 + i);
        u.sizes[i] = get_dim(rows->m, node->inputs[0]->shape.dims[rows->rank - 2 + i]);
    }
    for (int64_t k = 0; k < u.factors[1]; k++) {
        Mix mix = mix_of(&u, k, u.factors[1]);
        u.reach = (int)max_i64(u.reach, max_i64(-mix.first, mix.first + mix.count - 1));
    }
    return u;
}

static LLVMValueRef emit_neighbour_mix(Module *m, const Mix *mix, const Neighbours *neighbours) {
    const LLVMValueRef *from = &neighbours->at[REACH + mix->first];
    if (mix->count == 1) return from[0];
    int lanes = get_lanes(LLVMTypeOf(from[0]));
    LLVMValueRef sum = emit_float(m, LLVMFMul, from[0], get_splat(m, get_f32(m, mix->weights[0]), lanes));
    for (int i = 1; i < mix->count; i++)
        sum = emit_muladd(m, from[i], get_splat(m, get_f32(m, mix->weights[i]), lanes), sum);
    return sum;
}

/* ---- rows of the source ---- */

typedef struct SourceRow { /* what a row of the result reads */
    Point points[4];       /* those of its mix */
    Mix mix;
    Coord to; /* the row of the result */
} SourceRow;

/* PLAIN: two rows read the same columns, and one loop over both has half the overhead */
enum { ROWS_TOGETHER = 2 };

typedef struct SourceRows { SourceRow row[ROWS_TOGETHER]; int count; } SourceRows;

/* The coordinate of the neighbour at distance `far` from `at`, clamped to the source. */
static LLVMValueRef neighbour_of(const Upsample *u, LLVMValueRef at, int axis, int far) {
    Module *m = u->m;
    LLVMValueRef there = emit_add(m, at, get_i64(m, far));
    if (far < 0) return emit_max(m, there, get_i64(m, 0));
    return far == 0 ? at : emit_min(m, there, emit_sub(m, u->sizes[axis], get_i64(m, 1)));
}

static SourceRow source_row(const Upsample *u, LLVMValueRef row, int64_t k) {
    SourceRow source = {.mix = mix_of(u, k, u->factors[0])};
    for (int i = 0; i < source.mix.count; i++) {
        source.points[i] = u->rows->point;
        source.points[i].at[u->rows->rank - 2] = coord_fixed(neighbour_of(u, row, 0, source.mix.first + i));
    }
    source.to =
        coord_fixed(emit_add(u->m, emit_mul(u->m, row, get_i64(u->m, u->factors[0])), get_i64(u->m, k)));
    return source;
}

/* The mix of the rows at a coordinate of columns. */
static LLVMValueRef emit_source(const Upsample *u, const SourceRow *row, Coord x, LLVMValueRef mask) {
    Neighbours neighbours = {0};
    for (int i = 0; i < row->mix.count; i++) {
        Point point = row->points[i];
        point.at[u->rows->rank - 1] = x;
        if (mask) point.mask = mask;
        neighbours.at[REACH + row->mix.first + i] = load_operand(u->rows, 0, &point);
    }
    return emit_neighbour_mix(u->m, &row->mix, &neighbours);
}

/* ---- BLOCKED ---- */

/* A coordinate of the innermost loop: one column where BLOCKED, else a vector of them. */
static Coord column_coord(const Upsample *u, LLVMValueRef x) {
    return (Coord){.base = x, .lane_step = u->rows->blocked ? 0 : 1, .inner = true};
}

static void store_upsampled(Upsample *u, const SourceRow *row, LLVMValueRef x, LLVMValueRef value) {
    Point point = u->rows->point;
    point.at[point.rank - 2] = row->to;
    point.at[point.rank - 1] = column_coord(u, x);
    emit_epilogue_store(&u->rows->epilogue, &point, value);
}

/* Sets the hoist point, so that the part of addresses that depends on rows is computed
 * once, before a loop over columns. Returns the old hoist point, to restore after the
 * loop. */
static LLVMBasicBlockRef hoist_here(Module *m) {
    LLVMBasicBlockRef before = m->hoist;
    m->hoist = LLVMGetInsertBlock(m->builder);
    return before;
}

static void emit_blocked(Upsample *u, const SourceRow *row) {
    Module *m = u->m;
    LoopCarried columns = {.count = 2 * u->reach}; /* all neighbours but the last */
    for (int i = 0; i < columns.count; i++) {
        LLVMValueRef x = neighbour_of(u, get_i64(m, 0), 1, i - u->reach);
        columns.at[i] = emit_source(u, row, coord_fixed(x), NULL);
    }
    LLVMBasicBlockRef hoist = hoist_here(m);
    Loop loop = begin_loop_carried(m, &columns, get_i64(m, 0), u->sizes[1], 1);
    Neighbours neighbours = {0};
    for (int i = 0; i < columns.count; i++) neighbours.at[REACH - u->reach + i] = columns.at[i];
    neighbours.at[REACH + u->reach] =
        emit_source(u, row, column_coord(u, neighbour_of(u, loop.index, 1, u->reach)), NULL);
    LLVMValueRef first = emit_mul(m, loop.index, get_i64(m, u->factors[1]));
    for (int64_t k = 0; k < u->factors[1]; k++) {
        Mix mix = mix_of(u, k, u->factors[1]);
        store_upsampled(u, row, emit_add(m, first, get_i64(m, k)), emit_neighbour_mix(m, &mix, &neighbours));
    }
    for (int i = 0; i < columns.count; i++) columns.at[i] = neighbours.at[REACH - u->reach + i + 1];
    end_loop_carried(m, &loop, &columns);
    m->hoist = hoist;
}

/* ---- PLAIN ---- */

/* A vector of columns of the source. Beyond the row's ends its first and last columns are
 * repeated. */
typedef struct Stretch {
    LLVMValueRef at;
    bool first, last; /* begins the row, or ends it with its last lane */
    bool edge;        /* the stretch, or its neighbours, may be partly beyond the end of the row */
} Stretch;

/* Repeats the last column beyond the end of the row. */
static LLVMValueRef repeat_last(const Upsample *u, const SourceRow *row, LLVMValueRef values,
                                LLVMValueRef inside) {
    Coord at = {.base = emit_sub(u->m, u->sizes[1], get_i64(u->m, 1)), .inner = true};
    LLVMValueRef last = emit_source(u, row, at, NULL);
    return LLVMBuildSelect(u->m->builder, inside, values, last, "");
}

static LLVMValueRef load_columns(const Upsample *u, const SourceRow *row, const Stretch *stretch, int far) {
    Module *m = u->m;
    LLVMValueRef at = emit_add(m, stretch->at, get_i64(m, far));
    Coord x = column_coord(u, at);
    if (!stretch->edge) return emit_source(u, row, x, NULL);
    LLVMValueRef inside = emit_lane_mask(m, emit_sub(m, u->sizes[1], at), u->rows->lanes);
    LLVMValueRef values = emit_source(u, row, x, inside);
    return u->reach ? repeat_last(u, row, values, inside) : values;
}

/* The neighbours of the row's first columns, a0 a0 a1 a2 .., or of its last, .. y z z:
 * the columns shifted by `step` lanes. */
static LLVMValueRef repeat_end(Module *m, LLVMValueRef values, int step) {
    LLVMValueRef places[64];
    int lanes = get_lanes(LLVMTypeOf(values));
    for (int l = 0; l < lanes; l++) places[l] = get_i32(m, max_i64(0, min_i64(l + step, lanes - 1)));
    return LLVMBuildShuffleVector(m->builder, values, values, LLVMConstVector(places, (unsigned)lanes), "");
}

static void emit_column_phases(const Upsample *u, const SourceRow *row, const Stretch *stretch,
                               LLVMValueRef *phases) {
    Neighbours neighbours = {0};
    LLVMValueRef here = load_columns(u, row, stretch, 0);
    for (int far = -u->reach; far <= u->reach; far++) {
        bool beyond = far < 0 ? stretch->first : stretch->last;
        LLVMValueRef there = far == 0 ? here
                             : beyond ? repeat_end(u->m, here, far)
                                      : load_columns(u, row, stretch, far);
        neighbours.at[REACH + far] = there;
    }
    for (int64_t k = 0; k < u->factors[1]; k++) {
        Mix mix = mix_of(u, k, u->factors[1]);
        phases[k] = emit_neighbour_mix(u->m, &mix, &neighbours);
    }
    emit_interleave(u->m, phases, (int)u->factors[1]);
}

/* Full vectors are stored without a mask: a masked store costs twenty cycles and more on
 * some machines. */
static void store_edge(Upsample *u, const SourceRow *row, LLVMValueRef x, LLVMValueRef value) {
    Module *m = u->m;
    LLVMValueRef left = emit_sub(m, u->rows->width, x), lanes = get_i64(m, u->rows->lanes);
    Branch whole = begin_if(m, LLVMBuildICmp(m->builder, LLVMIntSGE, left, lanes, "whole"));
    store_upsampled(u, row, x, value);
    begin_else(m, &whole);
    u->rows->point.mask = emit_lane_mask(m, left, u->rows->lanes);
    store_upsampled(u, row, x, value);
    u->rows->point.mask = NULL;
    end_if(m, &whole);
}

static void emit_row_stretch(Upsample *u, const SourceRow *row, const Stretch *stretch) {
    Module *m = u->m;
    LLVMValueRef phases[MAX_FACTOR], first = emit_mul(m, stretch->at, get_i64(m, u->factors[1]));
    emit_column_phases(u, row, stretch, phases);
    for (int64_t k = 0; k < u->factors[1]; k++) {
        LLVMValueRef x = emit_add(m, first, get_i64(m, k * u->rows->lanes));
        if (!stretch->edge) {
            store_upsampled(u, row, x, phases[k]);
            continue;
        }
        Branch inside = begin_if(m, LLVMBuildICmp(m->builder, LLVMIntSLT, x, u->rows->width, ""));
        store_edge(u, row, x, phases[k]);
        end_if(m, &inside);
    }
}

static void emit_stretch(Upsample *u, const SourceRows *rows, const Stretch *stretch) {
    for (int i = 0; i < rows->count; i++) emit_row_stretch(u, &rows->row[i], stretch);
}

/* Rows of a few vectors, unrolled: the exit of a loop of so few iterations is
 * mispredicted. */
static void emit_short_row(Upsample *u, const SourceRows *rows, int64_t size) {
    int64_t lanes = u->rows->lanes;
    for (int64_t at = 0; at < size; at += lanes) {
        const bool last = at + lanes == size;
        emit_stretch(u, rows,
                     &(Stretch){.at = get_i64(u->m, at),
                                .first = at == 0,
                                .last = last,
                                .edge = !last && at + lanes + u->reach > size});
    }
}

static void emit_stretches(Upsample *u, const SourceRows *rows, LLVMValueRef from, LLVMValueRef to,
                           bool edge) {
    Loop loop = begin_loop(u->m, from, to, u->rows->lanes);
    emit_stretch(u, rows, &(Stretch){.at = loop.index, .edge = edge});
    end_loop(u->m, &loop);
}

/* Stretches with all their neighbours, then the rest: where results mix columns, mostly a
 * full vector. */
static void emit_long_row(Upsample *u, const SourceRows *rows) {
    Module *m = u->m;
    LLVMValueRef lanes = get_i64(m, u->rows->lanes), size = u->sizes[1];
    LLVMValueRef within = emit_mul(m, emit_div(m, emit_sub(m, size, get_i64(m, u->reach)), lanes), lanes);
    emit_stretch(u, rows, &(Stretch){.at = get_i64(m, 0), .first = true});
    emit_stretches(u, rows, lanes, within, false);
    Branch whole =
        begin_if(m, LLVMBuildICmp(m->builder, LLVMIntEQ, emit_sub(m, size, within), lanes, "whole"));
    emit_stretch(u, rows, &(Stretch){.at = within, .last = true});
    begin_else(m, &whole);
    emit_stretches(u, rows, within, size, true);
    end_if(m, &whole);
}

static void emit_plain(Upsample *u, const SourceRows *rows) {
    Module *m = u->m;
    int64_t known, lanes = u->rows->lanes;
    LLVMBasicBlockRef hoist = hoist_here(m);
    /* with four weights each way, registers allow only one stretch at a time */
    bool simple = u->reach < REACH;
    if (simple && get_constant(u->sizes[1], &known) && known <= SHORT_ROW * lanes / u->factors[1]) {
        emit_short_row(u, rows, known);
    } else {
        LLVMValueRef least = get_i64(m, lanes + u->reach);
        Branch is_long = begin_if(m, LLVMBuildICmp(m->builder, LLVMIntSGE, u->sizes[1], least, "long"));
        emit_long_row(u, rows);
        begin_else(m, &is_long);
        emit_stretch(u, rows, &(Stretch){.at = get_i64(m, 0), .first = true, .edge = true});
        emit_stretches(u, rows, get_i64(m, lanes), u->sizes[1], true);
        end_if(m, &is_long);
    }
    m->hoist = hoist;
}

void emit_upsample_row(WindowRows *rows) {
    Upsample u = upsample_of(rows);
    LLVMValueRef at = rows->point.at[rows->rank - 2].base;
    for (int64_t k = 0; k < u.factors[0];) {
        SourceRows some = {0};
        while (some.count < ROWS_TOGETHER && k < u.factors[0])
            some.row[some.count++] = source_row(&u, at, k++);
        if (!rows->blocked) emit_plain(&u, &some);
        for (int i = 0; i < some.count && rows->blocked; i++) emit_blocked(&u, &some.row[i]);
    }
}
