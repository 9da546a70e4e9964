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

enum { MOST_FACTOR = 8, SHORT_ROW = 32 /* vectors of the result */ };

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

/* PLAIN columns are interleaved in pairs. */
bool is_upsample(const Kernel *kernel) {
    const Node *node = kernel->anchor;
    if (node->op != OP_resample || has_taps(node) || strcmp(ATTRIBUTES(node, resample)->rule, "align_corners") == 0) return false;
    int rank = node->shape.rank;
    int64_t y = factor_of(kernel, rank - 2), x = factor_of(kernel, rank - 1);
    bool power = (x & (x - 1)) == 0;
    return y > 0 && x > 0 && (kernel->output->layout == LAYOUT_BLOCKED || power);
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

typedef struct SourceRow { Point low, high; Mix mix; } SourceRow;

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

static void store_at(Upsample *u, LLVMValueRef x, LLVMValueRef value) {
    Point point = u->rows->point;
    point.at[point.rank - 1] = u->rows->blocked ? coord_fixed(x) : (Coord){.base = x, .lane_step = 1, .inner = true};
    emit_tail_store(&u->rows->tail, &point, value);
}

static void emit_blocked(Upsample *u, const SourceRow *row) {
    Module *m = u->m;
    Carried values = {.count = u->nearest ? 0 : 2}; /* last, this */
    for (int i = 0; i < values.count; i++) values.at[i] = emit_source(u, row, coord_fixed(get_i64(m, 0)), NULL);
    Loop loop = begin_carrying(m, &values, get_i64(m, 0), u->sizes[1], 1);
    LLVMValueRef neighbours[3] = {values.at[0], values.at[1], NULL};
    if (u->nearest) neighbours[THIS] = emit_source(u, row, coord_fixed(loop.index), NULL);
    else neighbours[NEXT] = emit_source(u, row, coord_fixed(neighbour_of(u, loop.index, 1, NEXT)), NULL);
    LLVMValueRef first = emit_mul(m, loop.index, get_i64(m, u->factors[1]));
    for (int64_t k = 0; k < u->factors[1]; k++)
        store_at(u, emit_add(m, first, get_i64(m, k)), emit_mix_of(m, mix_of(u, k, u->factors[1]), neighbours));
    values.at[0] = neighbours[THIS];
    values.at[1] = neighbours[NEXT];
    end_carrying(m, &loop, &values);
}

/* ---- PLAIN ---- */

/* A vector of columns of the source. `edge`: what it reads may lie beyond the row's ends, which are repeated there. */
typedef struct Stretch {
    LLVMValueRef at;
    bool first, edge; /* first: at column 0 */
} Stretch;

static bool mixes_columns(const Upsample *u) { return !u->nearest && u->factors[1] > 1; }

/* Beyond the row's end its last column. */
static LLVMValueRef repeat_last(const Upsample *u, const SourceRow *row, LLVMValueRef values, LLVMValueRef inside) {
    LLVMValueRef last = emit_source(u, row, coord_fixed(emit_sub(u->m, u->sizes[1], get_i64(u->m, 1))), NULL);
    return LLVMBuildSelect(u->m->builder, inside, values, last, "");
}

static LLVMValueRef load_columns(const Upsample *u, const SourceRow *row, const Stretch *stretch, Neighbour neighbour) {
    Module *m = u->m;
    LLVMValueRef at = emit_add(m, stretch->at, get_i64(m, (int64_t)neighbour - THIS));
    Coord x = {.base = at, .lane_step = 1, .inner = true};
    if (!stretch->edge) return emit_source(u, row, x, NULL);
    LLVMValueRef inside = emit_lane_mask(m, emit_sub(m, u->sizes[1], at), u->rows->lanes);
    LLVMValueRef values = emit_source(u, row, x, inside);
    return mixes_columns(u) ? repeat_last(u, row, values, inside) : values;
}

/* a0 a0 a1 a2 .., which is what stands before column 0. */
static LLVMValueRef repeat_first(Module *m, LLVMValueRef values) {
    LLVMValueRef places[64];
    int lanes = get_lanes(LLVMTypeOf(values));
    for (int l = 0; l < lanes; l++) places[l] = get_i32(m, l > 0 ? l - 1 : 0);
    return LLVMBuildShuffleVector(m->builder, values, values, LLVMConstVector(places, (unsigned)lanes), "");
}

/* a0 b0 a1 b1 .. as two vectors. */
static void interleave_pair(Module *m, LLVMValueRef a, LLVMValueRef b, LLVMValueRef out[2]) {
    int lanes = get_lanes(LLVMTypeOf(a));
    for (int half = 0; half < 2; half++) {
        LLVMValueRef places[64];
        for (int l = 0; l < lanes; l++) places[l] = get_i32(m, (half * lanes + l) / 2 + (l & 1) * lanes);
        out[half] = LLVMBuildShuffleVector(m->builder, a, b, LLVMConstVector(places, (unsigned)lanes), "");
    }
}

/* Vectors of phases 0, 1, .. to vectors of the result: those of even phases and those of odd ones first, then both together. */
static void interleave(Module *m, LLVMValueRef *phases, int64_t count) {
    if (count == 1) return;
    LLVMValueRef even[MOST_FACTOR], odd[MOST_FACTOR];
    for (int64_t i = 0; i < count / 2; i++) {
        even[i] = phases[2 * i];
        odd[i] = phases[2 * i + 1];
    }
    interleave(m, even, count / 2);
    interleave(m, odd, count / 2);
    for (int64_t i = 0; i < count / 2; i++) interleave_pair(m, even[i], odd[i], phases + 2 * i);
}

static void emit_phases(const Upsample *u, const SourceRow *row, const Stretch *stretch, LLVMValueRef *phases) {
    LLVMValueRef neighbours[3] = {NULL};
    neighbours[THIS] = load_columns(u, row, stretch, THIS);
    if (mixes_columns(u)) {
        neighbours[LAST] = stretch->first ? repeat_first(u->m, neighbours[THIS]) : load_columns(u, row, stretch, LAST);
        neighbours[NEXT] = load_columns(u, row, stretch, NEXT);
    }
    for (int64_t k = 0; k < u->factors[1]; k++) phases[k] = emit_mix_of(u->m, mix_of(u, k, u->factors[1]), neighbours);
    interleave(u->m, phases, u->factors[1]);
}

/* Whole vectors as such: a store by a mask costs twenty cycles and more on some machines. */
static void store_edge(Upsample *u, LLVMValueRef x, LLVMValueRef value) {
    Module *m = u->m;
    LLVMValueRef left = emit_sub(m, u->rows->width, x), lanes = get_i64(m, u->rows->lanes);
    Branch whole = begin_if(m, LLVMBuildICmp(m->builder, LLVMIntSGE, left, lanes, "whole"));
    store_at(u, x, value);
    begin_else(m, &whole);
    u->rows->point.mask = emit_lane_mask(m, left, u->rows->lanes);
    store_at(u, x, value);
    u->rows->point.mask = NULL;
    end_if(m, &whole);
}

static void emit_stretch(Upsample *u, const SourceRow *row, const Stretch *stretch) {
    Module *m = u->m;
    LLVMValueRef phases[MOST_FACTOR], first = emit_mul(m, stretch->at, get_i64(m, u->factors[1]));
    emit_phases(u, row, stretch, phases);
    for (int64_t k = 0; k < u->factors[1]; k++) {
        LLVMValueRef x = emit_add(m, first, get_i64(m, k * u->rows->lanes));
        if (!stretch->edge) {
            store_at(u, x, phases[k]);
            continue;
        }
        Branch inside = begin_if(m, LLVMBuildICmp(m->builder, LLVMIntSLT, x, u->rows->width, ""));
        store_edge(u, x, phases[k]);
        end_if(m, &inside);
    }
}

/* Rows of a few vectors, as stretches of their own: a loop of so few rounds is left at a guess, and wrongly. */
static void emit_short_row(Upsample *u, const SourceRow *row, int64_t size) {
    int64_t lanes = u->rows->lanes;
    for (int64_t at = 0; at < size; at += lanes)
        emit_stretch(u, row, &(Stretch){.at = get_i64(u->m, at), .first = at == 0, .edge = at == 0 || at + 2 * lanes > size});
}

/* The first vector of columns, those all of whose neighbours lie within the row, and the rest. */
static void emit_plain(Upsample *u, const SourceRow *row) {
    Module *m = u->m;
    int64_t known, lanes = u->rows->lanes;
    if (get_constant(u->sizes[1], &known) && known <= SHORT_ROW * lanes / u->factors[1]) {
        emit_short_row(u, row, known);
        return;
    }
    LLVMValueRef width = get_i64(m, lanes), size = u->sizes[1];
    emit_stretch(u, row, &(Stretch){.at = get_i64(m, 0), .first = true, .edge = true});
    LLVMValueRef whole = emit_mul(m, emit_div(m, size, width), width), within = emit_max(m, emit_sub(m, whole, width), width);
    LLVMBasicBlockRef hoist = m->hoist;
    m->hoist = LLVMGetInsertBlock(m->builder); /* the rows' part of addresses is computed once */
    Loop loop = begin_loop(m, width, within, lanes);
    emit_stretch(u, row, &(Stretch){.at = loop.index});
    end_loop(m, &loop);
    m->hoist = hoist;
    Loop rest = begin_loop(m, within, size, lanes);
    emit_stretch(u, row, &(Stretch){.at = rest.index, .edge = true});
    end_loop(m, &rest);
}

void emit_upsample_row(WindowRows *rows) {
    Upsample u = upsample_of(rows);
    int axis = rows->rank - 2;
    LLVMValueRef row = rows->point.at[axis].base, first = emit_mul(u.m, row, get_i64(u.m, u.factors[0]));
    for (int64_t k = 0; k < u.factors[0]; k++) {
        SourceRow source = source_row(&u, row, k);
        rows->point.at[axis] = coord_fixed(emit_add(u.m, first, get_i64(u.m, k)));
        if (rows->blocked) emit_blocked(&u, &source);
        else emit_plain(&u, &source);
    }
}
