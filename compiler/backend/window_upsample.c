/* Resampling by whole factors, up to eight on each axis, as networks do it on their way up: where a result reads depends only on its place
 * within its source pixel, its phase, and is known while the code is made. A task is a row of the source, and gives a row of the result
 * for each phase of rows:
 *
 *     for each phase of rows                              # two source rows and their mix; nearest: one row
 *       BLOCKED: for each column of the source
 *                  next = mix of the rows at the column behind
 *                  for each phase of columns: mix of two of last, this, next; tail, store
 *       PLAIN:   for each vector of columns of the source
 *                  last, this, next = mixes of the rows, from one column before, here, one behind
 *                  the phases of columns as vectors: mixes of two of them
 *                  interleaved: as many vectors of the result; tail, store
 *
 * Bound: the stores. A gather for each corner, as window_resample.c has it for any size, ran at 4 to 10 GB/s. The mixed row by way of memory
 * waits for its own stores (a third of this on rows of 64); one load of the columns of each vector of the result and two shuffles of it take
 * one and a half times as long, where shuffles across halves of a register are slow. */
#include "backend/window.h"

enum { MOST_FACTOR = MOST_INTERLEAVED, SHORT_ROW = 32 /* vectors of the result */ };

typedef enum Neighbour { LAST, THIS, NEXT } Neighbour;

typedef struct Mix { /* of low by 1 - part and high by part */
    Neighbour low, high;
    double part;
} Mix;

typedef struct Upsample {
    Module *m;
    WindowRows *rows;
    bool nearest, centred;    /* centred: the rules of half pixels */
    int64_t factors[2];
    LLVMValueRef sizes[2];    /* of the source */
} Upsample;

/* ---- what can be done so ---- */

static int64_t factor_of(const Kernel *kernel, int axis) {
    const Node *node = kernel->anchor;
    Dims *dims = kernel->program->graph->dims;
    Dim in = node->inputs[0]->shape.dims[axis], out = node->shape.dims[axis], factor = dim_div_exact(dims, out, in);
    int64_t value;
    if (!factor || !dim_is_const(factor, &value) || value < 1 || value > MOST_FACTOR) return 0;
    return value;
}

bool is_upsample(const Kernel *kernel) {
    const Node *node = kernel->anchor;
    if (node->op != OP_resample || has_taps(node) || strcmp(ATTRIBUTES(node, resample)->rule, "align_corners") == 0) return false;
    int rank = node->shape.rank;
    return factor_of(kernel, rank - 2) > 0 && factor_of(kernel, rank - 1) > 0;
}

static Upsample upsample_of(WindowRows *rows) {
    const Node *node = rows->kernel->anchor;
    const resample_attributes *a = ATTRIBUTES(node, resample);
    Upsample u = {.m = rows->m, .rows = rows, .nearest = strcmp(a->mode, "nearest") == 0, .centred = strcmp(a->rule, "asymmetric") != 0};
    for (int i = 0; i < 2; i++) {
        u.factors[i] = factor_of(rows->kernel, rows->rank - 2 + i);
        u.sizes[i] = get_dim(rows->m, node->inputs[0]->shape.dims[rows->rank - 2 + i]);
    }
    return u;
}

/* Phase k of `factor` lies at (k + 1/2) / factor - 1/2 from its source pixel, or at k / factor. */
static Mix mix_of(const Upsample *u, int64_t k, int64_t factor) {
    if (u->nearest) return (Mix){THIS, THIS, 0};
    double at = u->centred ? (double)(2 * k + 1 - factor) / (double)(2 * factor) : (double)k / (double)factor;
    if (at == 0) return (Mix){THIS, THIS, 0};
    return at < 0 ? (Mix){LAST, THIS, 1 + at} : (Mix){THIS, NEXT, at};
}

static LLVMValueRef emit_mix_of(Module *m, Mix mix, const LLVMValueRef neighbours[3]) {
    LLVMValueRef low = neighbours[mix.low], high = neighbours[mix.high];
    if (mix.low == mix.high) return low;
    int lanes = get_lanes(LLVMTypeOf(low));
    LLVMValueRef part = get_splat(m, get_f32(m, mix.part), lanes), rest = get_splat(m, get_f32(m, 1 - mix.part), lanes);
    return emit_muladd(m, high, part, emit_float(m, LLVMFMul, low, rest));
}

/* ---- rows of the source ---- */

typedef struct SourceRow { /* what a row of the result reads */
    Point low, high;
    Mix mix;
    Coord to; /* the row of the result */
} SourceRow;

enum { ROWS_TOGETHER = 2 }; /* PLAIN: they read the same columns, and a loop over both ends half as often */

typedef struct SourceRows { SourceRow row[ROWS_TOGETHER]; int count; } SourceRows;

/* The coordinate of a neighbour of `at`, within the source. */
static LLVMValueRef neighbour_of(const Upsample *u, LLVMValueRef at, int axis, Neighbour neighbour) {
    Module *m = u->m;
    if (neighbour == LAST) return emit_max(m, LLVMBuildSub(m->builder, at, get_i64(m, 1), ""), get_i64(m, 0));
    if (neighbour == NEXT) return emit_min(m, emit_add(m, at, get_i64(m, 1)), emit_sub(m, u->sizes[axis], get_i64(m, 1)));
    return at;
}

static SourceRow source_row(const Upsample *u, LLVMValueRef row, int64_t k) {
    SourceRow source = {.low = u->rows->point, .high = u->rows->point, .mix = mix_of(u, k, u->factors[0])};
    int axis = u->rows->rank - 2;
    source.low.at[axis] = coord_fixed(neighbour_of(u, row, 0, source.mix.low));
    source.high.at[axis] = coord_fixed(neighbour_of(u, row, 0, source.mix.high));
    source.to = coord_fixed(emit_add(u->m, emit_mul(u->m, row, get_i64(u->m, u->factors[0])), get_i64(u->m, k)));
    return source;
}

/* The mix of the two rows at a coordinate of columns. */
static LLVMValueRef emit_source(const Upsample *u, const SourceRow *row, Coord x, LLVMValueRef mask) {
    Point low = row->low, high = row->high;
    int axis = u->rows->rank - 1;
    low.at[axis] = high.at[axis] = x;
    if (mask) low.mask = high.mask = mask;
    LLVMValueRef neighbours[3] = {NULL};
    neighbours[row->mix.low] = load_operand(u->rows, 0, &low);
    if (row->mix.high != row->mix.low) neighbours[row->mix.high] = load_operand(u->rows, 0, &high);
    return emit_mix_of(u->m, row->mix, neighbours);
}

/* ---- BLOCKED ---- */

/* A coordinate of the innermost loop: one column where BLOCKED, else a vector of them. */
static Coord column_coord(const Upsample *u, LLVMValueRef x) {
    return (Coord){.base = x, .lane_step = u->rows->blocked ? 0 : 1, .inner = true};
}

static void store_at(Upsample *u, const SourceRow *row, LLVMValueRef x, LLVMValueRef value) {
    Point point = u->rows->point;
    point.at[point.rank - 2] = row->to;
    point.at[point.rank - 1] = column_coord(u, x);
    emit_tail_store(&u->rows->tail, &point, value);
}

/* The rows' part of addresses is computed once, before a loop over columns. Gives what is to be set again behind it. */
static LLVMBasicBlockRef hoist_here(Module *m) {
    LLVMBasicBlockRef before = m->hoist;
    m->hoist = LLVMGetInsertBlock(m->builder);
    return before;
}

static void emit_blocked(Upsample *u, const SourceRow *row) {
    Module *m = u->m;
    Carried values = {.count = u->nearest ? 0 : 2}; /* last, this */
    for (int i = 0; i < values.count; i++) values.at[i] = emit_source(u, row, coord_fixed(get_i64(m, 0)), NULL);
    LLVMBasicBlockRef hoist = hoist_here(m);
    Loop loop = begin_carrying(m, &values, get_i64(m, 0), u->sizes[1], 1);
    LLVMValueRef neighbours[3] = {values.at[0], values.at[1], NULL};
    if (u->nearest) neighbours[THIS] = emit_source(u, row, column_coord(u, loop.index), NULL);
    else neighbours[NEXT] = emit_source(u, row, column_coord(u, neighbour_of(u, loop.index, 1, NEXT)), NULL);
    LLVMValueRef first = emit_mul(m, loop.index, get_i64(m, u->factors[1]));
    for (int64_t k = 0; k < u->factors[1]; k++)
        store_at(u, row, emit_add(m, first, get_i64(m, k)), emit_mix_of(m, mix_of(u, k, u->factors[1]), neighbours));
    values.at[0] = neighbours[THIS];
    values.at[1] = neighbours[NEXT];
    end_carrying(m, &loop, &values);
    m->hoist = hoist;
}

/* ---- PLAIN ---- */

/* A vector of columns of the source. Beyond the row's ends its first and last columns are repeated. */
typedef struct Stretch {
    LLVMValueRef at;
    bool first, last; /* begins the row, or ends it with its last lane */
    bool edge;        /* may lie beyond the row's end in part, or with the columns behind it */
} Stretch;

static bool mixes_columns(const Upsample *u) { return !u->nearest && u->factors[1] > 1; }

/* Beyond the row's end its last column. */
static LLVMValueRef repeat_last(const Upsample *u, const SourceRow *row, LLVMValueRef values, LLVMValueRef inside) {
    Coord at = {.base = emit_sub(u->m, u->sizes[1], get_i64(u->m, 1)), .inner = true};
    LLVMValueRef last = emit_source(u, row, at, NULL);
    return LLVMBuildSelect(u->m->builder, inside, values, last, "");
}

static LLVMValueRef load_columns(const Upsample *u, const SourceRow *row, const Stretch *stretch, Neighbour neighbour) {
    Module *m = u->m;
    LLVMValueRef at = emit_add(m, stretch->at, get_i64(m, (int64_t)neighbour - THIS));
    Coord x = column_coord(u, at);
    if (!stretch->edge) return emit_source(u, row, x, NULL);
    LLVMValueRef inside = emit_lane_mask(m, emit_sub(m, u->sizes[1], at), u->rows->lanes);
    LLVMValueRef values = emit_source(u, row, x, inside);
    return mixes_columns(u) ? repeat_last(u, row, values, inside) : values;
}

/* The neighbours of the row's first columns, a0 a0 a1 a2 .., or of its last, .. y z z: what the row has, by `step` lanes on. */
static LLVMValueRef repeat_end(Module *m, LLVMValueRef values, int step) {
    LLVMValueRef places[64];
    int lanes = get_lanes(LLVMTypeOf(values));
    for (int l = 0; l < lanes; l++) places[l] = get_i32(m, max_i64(0, min_i64(l + step, lanes - 1)));
    return LLVMBuildShuffleVector(m->builder, values, values, LLVMConstVector(places, (unsigned)lanes), "");
}

static void emit_phases(const Upsample *u, const SourceRow *row, const Stretch *stretch, LLVMValueRef *phases) {
    LLVMValueRef neighbours[3] = {NULL};
    neighbours[THIS] = load_columns(u, row, stretch, THIS);
    if (mixes_columns(u)) {
        neighbours[LAST] = stretch->first ? repeat_end(u->m, neighbours[THIS], -1) : load_columns(u, row, stretch, LAST);
        neighbours[NEXT] = stretch->last ? repeat_end(u->m, neighbours[THIS], 1) : load_columns(u, row, stretch, NEXT);
    }
    for (int64_t k = 0; k < u->factors[1]; k++) phases[k] = emit_mix_of(u->m, mix_of(u, k, u->factors[1]), neighbours);
    emit_interleave(u->m, phases, (int)u->factors[1]);
}

/* Whole vectors as such: a store by a mask costs twenty cycles and more on some machines. */
static void store_edge(Upsample *u, const SourceRow *row, LLVMValueRef x, LLVMValueRef value) {
    Module *m = u->m;
    LLVMValueRef left = emit_sub(m, u->rows->width, x), lanes = get_i64(m, u->rows->lanes);
    Branch whole = begin_if(m, LLVMBuildICmp(m->builder, LLVMIntSGE, left, lanes, "whole"));
    store_at(u, row, x, value);
    begin_else(m, &whole);
    u->rows->point.mask = emit_lane_mask(m, left, u->rows->lanes);
    store_at(u, row, x, value);
    u->rows->point.mask = NULL;
    end_if(m, &whole);
}

static void emit_row_stretch(Upsample *u, const SourceRow *row, const Stretch *stretch) {
    Module *m = u->m;
    LLVMValueRef phases[MOST_FACTOR], first = emit_mul(m, stretch->at, get_i64(m, u->factors[1]));
    emit_phases(u, row, stretch, phases);
    for (int64_t k = 0; k < u->factors[1]; k++) {
        LLVMValueRef x = emit_add(m, first, get_i64(m, k * u->rows->lanes));
        if (!stretch->edge) {
            store_at(u, row, x, phases[k]);
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

/* Rows of a few vectors, as stretches of their own: a loop of so few rounds is left at a guess, and wrongly. */
static void emit_short_row(Upsample *u, const SourceRows *rows, int64_t size) {
    int64_t lanes = u->rows->lanes;
    for (int64_t at = 0; at < size; at += lanes) {
        const bool last = at + lanes == size;
        emit_stretch(u, rows, &(Stretch){.at = get_i64(u->m, at), .first = at == 0, .last = last, .edge = !last && at + lanes >= size});
    }
}

static void emit_stretches(Upsample *u, const SourceRows *rows, LLVMValueRef from, LLVMValueRef to, bool edge) {
    Loop loop = begin_loop(u->m, from, to, u->rows->lanes);
    emit_stretch(u, rows, &(Stretch){.at = loop.index, .edge = edge});
    end_loop(u->m, &loop);
}

/* All but the row's last columns, at most a vector of them, are whole vectors with all their neighbours. */
static void emit_long_row(Upsample *u, const SourceRows *rows) {
    Module *m = u->m;
    LLVMValueRef lanes = get_i64(m, u->rows->lanes), last = emit_sub(m, u->sizes[1], get_i64(m, 1));
    LLVMValueRef within = emit_mul(m, emit_div(m, last, lanes), lanes);
    emit_stretch(u, rows, &(Stretch){.at = get_i64(m, 0), .first = true});
    emit_stretches(u, rows, lanes, within, false);
    LLVMValueRef left = emit_sub(m, u->sizes[1], within);
    Branch whole = begin_if(m, LLVMBuildICmp(m->builder, LLVMIntEQ, left, lanes, "whole"));
    emit_stretch(u, rows, &(Stretch){.at = within, .last = true});
    begin_else(m, &whole);
    emit_stretch(u, rows, &(Stretch){.at = within, .edge = true});
    end_if(m, &whole);
}

static void emit_plain(Upsample *u, const SourceRows *rows) {
    Module *m = u->m;
    int64_t known, lanes = u->rows->lanes;
    LLVMBasicBlockRef hoist = hoist_here(m);
    if (get_constant(u->sizes[1], &known) && known <= SHORT_ROW * lanes / u->factors[1]) {
        emit_short_row(u, rows, known);
    } else {
        Branch is_long = begin_if(m, LLVMBuildICmp(m->builder, LLVMIntSGT, u->sizes[1], get_i64(m, lanes), "long"));
        emit_long_row(u, rows);
        begin_else(m, &is_long);
        emit_stretch(u, rows, &(Stretch){.at = get_i64(m, 0), .first = true, .edge = true});
        end_if(m, &is_long);
    }
    m->hoist = hoist;
}

void emit_upsample_row(WindowRows *rows) {
    Upsample u = upsample_of(rows);
    LLVMValueRef at = rows->point.at[rows->rank - 2].base;
    for (int64_t k = 0; k < u.factors[0];) {
        SourceRows some = {0};
        while (some.count < ROWS_TOGETHER && k < u.factors[0]) some.row[some.count++] = source_row(&u, at, k++);
        if (!rows->blocked) emit_plain(&u, &some);
        for (int i = 0; i < some.count && rows->blocked; i++) emit_blocked(&u, &some.row[i]);
    }
}
