/* The sums of conv_gradient: strips, turns, register tiles (conv_gradient.c has the
 * nest). */
#include "kernels/conv/conv_gradient.h"

enum { EDGE_ENTRIES = 4 };

typedef struct Range { LLVMValueRef from, to; } Range;

/* A strip of dy under one turn of one block of x. */
typedef struct Strip {
    const Gradient *g;
    GradientMap x, dy;
    LLVMValueRef in_size[2], size[2]; /* of the maps as they are walked */
    LLVMValueRef zeros;
    Range images, far_rows, far_columns; /* of the strip of strips */
    Range rows, columns;                 /* of the strip */
    LLVMValueRef first;                  /* i1: these are the task's first, which none are added to */
    int blocks;                          /* of output channels: Q, or one less */
    int64_t entries;                     /* of a turn */
    LLVMValueRef x_at, dy_at;            /* elements: where the blocks begin */
    LLVMValueRef sums;                   /* element: of the block's and the group's */
    LLVMValueRef tap[2];                 /* of the turn; tap[1] NULL: entries have their own */
    LLVMValueRef turn;
    /* elements from what is read to what is prefetched into L2 meanwhile; NULL:
     * nothing */
    LLVMValueRef x_ahead, dy_ahead;
    /* rows and columns of dy for which all entries of the turn lie on the map */
    Range reads[2];
} Strip;

/* ---- entries ---- */

/* Tap of the columns and channel of an entry of a kernel row. */
static int64_t tap_of(const Gradient *g, int64_t entry) {
    return g->tile->form == GRADIENT_PLAIN ? entry % g->shape->kernel[1] : entry / g->plan->width;
}

static int64_t channel_of(const Gradient *g, int64_t entry) {
    return g->tile->form == GRADIENT_PLAIN ? entry / g->shape->kernel[1] : entry % g->plan->width;
}

/* In each lane, channel `channel` of the lane's group. */
static LLVMValueRef spread_channel(const Gradient *g, LLVMValueRef x, int64_t channel) {
    LLVMValueRef places[64];
    if (g->plan->width == 1) return x;
    for (int l = 0; l < g->lanes; l++)
        places[l] = get_i32(g->m, (int32_t)(l / g->plan->width * g->plan->width + channel));
    return LLVMBuildShuffleVector(g->m->builder, x, x, LLVMConstVector(places, (unsigned)g->lanes), "");
}

/* x of an entry of a kernel row at a column of dy: zero outside the map, where `edge`
 * says that it may lie there. In groups, that of block q. */
static LLVMValueRef load_of_row(const Strip *s, LLVMValueRef row, LLVMValueRef column, int64_t entry, int q,
                                bool edge) {
    const Gradient *g = s->g;
    Module *m = g->m;
    bool plain = g->tile->form == GRADIENT_PLAIN;
    LLVMValueRef at = emit_affine(m, column, g->shape->stride[1],
                                  tap_of(g, entry) * g->shape->dilation[1] - g->shape->before[1]);
    LLVMValueRef place = emit_add(m, row, emit_mul(m, at, get_i64(m, s->x.pixel)));
    place = emit_add(m, place, emit_mul(m, s->x.block, get_i64(m, plain ? channel_of(g, entry) : q)));
    LLVMValueRef address = get_element(m, g->element, s->x.address, place);
    if (edge) {
        LLVMValueRef inside = LLVMBuildICmp(m->builder, LLVMIntULT, at, s->in_size[1], "inside");
        address = LLVMBuildSelect(m->builder, inside, address, s->zeros, "");
    }
    if (plain) return get_splat(m, emit_load(m, g->element, address), g->lanes);
    return spread_channel(g, emit_aligned_load(m, g->vector, address), channel_of(g, entry));
}

static LLVMValueRef load_of_block(const Strip *s, LLVMValueRef row, LLVMValueRef column, int64_t entry) {
    const Gradient *g = s->g;
    Module *m = g->m;
    LLVMValueRef at = emit_mul(m, column, get_i64(m, g->shape->stride[1] * s->x.pixel));
    LLVMValueRef address =
        get_element(m, g->element, s->x.address, emit_add(m, emit_add(m, row, at), get_i64(m, entry)));
    return get_splat(m, emit_load(m, g->element, address), g->lanes);
}

static LLVMValueRef load_x(const Strip *s, LLVMValueRef row, LLVMValueRef column, int64_t entry, int q,
                           bool edge) {
    return s->tap[1] ? load_of_block(s, row, column, entry) : load_of_row(s, row, column, entry, q, edge);
}

/* ---- prefetching ----
 *
 * A strip is short, and comes from outer caches in several blocks at once: hardware
 * prefetchers begin to follow such a run when it is nearly over. So at each place the
 * code prefetches into L2 what the next block of x, and the next strip of dy, have
 * there. */

/* Whether a strip has all rows (axis 0) or columns of the map. */
static bool strip_covers(const Strip *s, int axis) {
    const GradientTile *tile = s->g->tile;
    int64_t size;
    return get_constant(s->size[axis], &size) && size <= (axis == 0 ? tile->rows : tile->columns);
}

/* Elements of a map from a strip to the next one. */
static LLVMValueRef find_next_strip(const Strip *s, const GradientMap *map, const int64_t *stride) {
    const GradientTile *tile = s->g->tile;
    Module *m = s->g->m;
    if (!strip_covers(s, 1)) return get_i64(m, tile->columns * stride[1] * map->pixel);
    if (!strip_covers(s, 0)) return emit_mul(m, map->row, get_i64(m, tile->rows * stride[0]));
    return emit_mul(m, map->image, get_i64(m, tile->images));
}

/* Behind the last block of x its first one's next strip is read. Depthwise kernels ask
 * for nothing: some become faster by it, some take twice the time. */
static void find_ahead(Strip *s, const GradientSums *sums, LLVMValueRef x_block) {
    const Gradient *g = s->g;
    Module *m = g->m;
    s->x_ahead = s->dy_ahead = NULL;
    if (g->tile->form == GRADIENT_GROUPS) return;
    s->dy_ahead = find_next_strip(s, &s->dy, (const int64_t[]){1, 1});
    if (g->tile->form == GRADIENT_PLAIN) return;
    LLVMValueRef done = emit_mul(m, emit_sub(m, x_block, sums->x_from), s->x.block),
                 last = emit_sub(m, sums->x_to, get_i64(m, 1));
    s->x_ahead =
        LLVMBuildSelect(m->builder, LLVMBuildICmp(m->builder, LLVMIntSLT, x_block, last, ""), s->x.block,
                        emit_sub(m, find_next_strip(s, &s->x, g->shape->stride), done), "");
}

/* Of a turn that asks for nothing: what it reads itself. */
static LLVMValueRef ahead_where(Module *m, LLVMValueRef condition, LLVMValueRef ahead) {
    return ahead ? LLVMBuildSelect(m->builder, condition, ahead, get_i64(m, 0), "") : NULL;
}

/* Each line once: of dy in the first turn, of x in as many as its places are apart. */
static void find_ahead_of_turn(Strip *s) {
    const Gradient *g = s->g;
    Module *m = g->m;
    LLVMValueRef first = LLVMBuildICmp(m->builder, LLVMIntEQ, s->turn, get_i64(m, 0), "");
    s->dy_ahead = ahead_where(m, first, s->dy_ahead);
    for (int i = 0; i < 2 && s->x_ahead; i++)
        s->x_ahead = ahead_where(
            m, LLVMBuildICmp(m->builder, LLVMIntSLT, s->tap[i], get_i64(m, g->shape->stride[i]), ""),
            s->x_ahead);
}

/* ---- one register tile ---- */

typedef struct Entries {
    int64_t first, count;
    bool ask_for_x, ask_for_dy;
} Entries;

typedef struct Row { LLVMValueRef x, dy; } Row; /* elements where a row of each begins */

static void ask_for_line(const Gradient *g, const GradientMap *map, LLVMValueRef at) {
    emit_prefetch(g->m, get_element_anywhere(g->m, g->element, map->address, at), 2);
}

static void ask_ahead(const Strip *s, Entries entries, Row row, LLVMValueRef column) {
    const Gradient *g = s->g;
    Module *m = g->m;
    if (entries.ask_for_x && s->x_ahead) {
        LLVMValueRef at = emit_mul(m, column, get_i64(m, g->shape->stride[1] * s->x.pixel));
        ask_for_line(g, &s->x, emit_add(m, emit_add(m, row.x, at), s->x_ahead));
    }
    for (int q = 0; entries.ask_for_dy && s->dy_ahead && q < s->blocks; q++) {
        LLVMValueRef at = emit_add(m, emit_mul(m, column, get_i64(m, s->dy.pixel)),
                                   emit_mul(m, s->dy.block, get_i64(m, q)));
        ask_for_line(g, &s->dy, emit_add(m, emit_add(m, row.dy, at), s->dy_ahead));
    }
}

/* A run of columns of a row of dy, for entries `from` to `to` of the tile's. LLVM would
 * else keep what the next column reads of x once more, and spill sums for it. */
static void add_columns(const Strip *s, Entries entries, int64_t from, int64_t to, Row row, Range columns,
                        bool edge, LoopCarried *sums) {
    const Gradient *g = s->g;
    Module *m = g->m;
    LLVMValueRef dy[16];
    Loop loop = begin_loop_carried(m, sums, columns.from, columns.to, 1);
    if (!s->tap[1]) emit_barrier(m);
    LLVMValueRef at = emit_add(m, row.dy, emit_mul(m, loop.index, get_i64(m, s->dy.pixel)));
    for (int q = 0; q < s->blocks; q++) {
        LLVMValueRef place = emit_add(m, at, emit_mul(m, s->dy.block, get_i64(m, q)));
        dy[q] = emit_aligned_load(m, g->vector, get_element(m, g->element, s->dy.address, place));
    }
    if (!edge) ask_ahead(s, entries, row, loop.index);
    for (int64_t r = from; r < to; r++) {
        LLVMValueRef x = NULL;
        for (int q = 0; q < s->blocks; q++) {
            if (q == 0 || g->tile->form == GRADIENT_GROUPS)
                x = load_x(s, row.x, loop.index, entries.first + r, q, edge);
            sums->at[r * s->blocks + q] = emit_muladd(m, x, dy[q], sums->at[r * s->blocks + q]);
        }
    }
    end_loop_carried(m, &loop, sums);
}

/* A few entries at a time: LLVM loads all beforehand where addresses are chosen. */
static void add_edge(const Strip *s, Entries entries, Row row, Range columns, LoopCarried *sums) {
    for (int64_t r = 0; r < entries.count; r += EDGE_ENTRIES)
        add_columns(s, entries, r, min_i64(entries.count, r + EDGE_ENTRIES), row, columns, true, sums);
}

static void add_row(const Strip *s, Entries entries, Row row, LoopCarried *sums) {
    if (!s->tap[1]) add_edge(s, entries, row, (Range){s->columns.from, s->reads[1].from}, sums);
    add_columns(s, entries, 0, entries.count, row, s->reads[1], false, sums);
    if (!s->tap[1]) add_edge(s, entries, row, (Range){s->reads[1].to, s->columns.to}, sums);
}

static LLVMValueRef offset_of(const Strip *s, int axis) {
    const Gradient *g = s->g;
    return emit_affine(g->m, s->tap[axis], g->shape->dilation[axis], -g->shape->before[axis]);
}

static void add_strip_rows(const Strip *s, Entries entries, LoopCarried *sums) {
    const Gradient *g = s->g;
    Module *m = g->m;
    Loop images = begin_loop_carried(m, sums, s->images.from, s->images.to, 1);
    LLVMValueRef x_image = emit_add(m, s->x_at, emit_mul(m, images.index, s->x.image));
    LLVMValueRef dy_image = emit_add(m, s->dy_at, emit_mul(m, images.index, s->dy.image));
    if (s->tap[1]) x_image = emit_add(m, x_image, emit_mul(m, offset_of(s, 1), get_i64(m, s->x.pixel)));
    Loop rows = begin_loop_carried(m, sums, s->reads[0].from, s->reads[0].to, 1);
    LLVMValueRef row = emit_add(m, emit_mul(m, rows.index, get_i64(m, g->shape->stride[0])), offset_of(s, 0));
    Row both = {emit_add(m, x_image, emit_mul(m, row, s->x.row)),
                emit_add(m, dy_image, emit_mul(m, rows.index, s->dy.row))};
    add_row(s, entries, both, sums);
    end_loop_carried(m, &rows, sums);
    end_loop_carried(m, &images, sums);
}

/* Adds the tile's sums to the task's. */
static void add_to_task_sums(const Strip *s, Entries entries, const LoopCarried *sums) {
    const Gradient *g = s->g;
    Module *m = g->m;
    int64_t width = (int64_t)g->tile->blocks * g->lanes;
    LLVMValueRef turn =
        emit_add(m, s->sums, emit_affine(m, s->turn, g->entries * width, entries.first * width));
    LLVMValueRef base = get_element(m, g->element, g->memory, turn);
    for (int i = 0; i < sums->count; i++) {
        LLVMValueRef address =
            get_element(m, g->element, base, get_i64(m, i / s->blocks * width + i % s->blocks * g->lanes));
        LLVMValueRef before = emit_aligned_load(m, g->vector, address);
        before = LLVMBuildSelect(m->builder, s->first, LLVMConstNull(g->vector), before, "");
        emit_aligned_store(m, emit_sum(m, before, sums->at[i]), address);
    }
}

static void emit_turn(Strip s) {
    const Gradient *g = s.g;
    int64_t tiles, longer,
        max = split_evenly(s.entries, gradient_entries_at_once(g->m->target, s.blocks), &tiles, &longer);
    Entries entries = {0};
    find_ahead_of_turn(&s);
    for (int64_t t = 0; t < tiles; t++) {
        LoopCarried sums = {.count = 0};
        entries.count = t < longer ? max : max - 1;
        entries.ask_for_x = t == 0;
        entries.ask_for_dy = t == min_i64(1, tiles - 1);
        sums.count = (int)entries.count * s.blocks;
        for (int i = 0; i < sums.count; i++) sums.at[i] = LLVMConstNull(g->vector);
        add_strip_rows(&s, entries, &sums);
        add_to_task_sums(&s, entries, &sums);
        entries.first += entries.count;
    }
}

/* ---- turns ---- */

/* ceil(a / stride), or 0 where a < 0. */
static LLVMValueRef places_before(const Gradient *g, LLVMValueRef a, int64_t stride) {
    Module *m = g->m;
    return emit_div(m, emit_add(m, emit_max(m, a, get_i64(m, 0)), get_i64(m, stride - 1)),
                    get_i64(m, stride));
}

/* The places of dy among `within` for which taps `low` to `high` lie on the map. */
static Range find_reads(const Strip *s, int axis, Range within, LLVMValueRef low, LLVMValueRef high) {
    const Gradient *g = s->g;
    Module *m = g->m;
    int64_t stride = g->shape->stride[axis], dilation = g->shape->dilation[axis],
            before = g->shape->before[axis];
    LLVMValueRef from = places_before(g, emit_affine(m, low, -dilation, before), stride);
    LLVMValueRef to =
        places_before(g, emit_add(m, s->in_size[axis], emit_affine(m, high, -dilation, before)), stride);
    from = emit_min(m, emit_max(m, from, within.from), within.to);
    return (Range){from, emit_max(m, emit_min(m, to, within.to), from)};
}

static void emit_turns(Strip s) {
    const Gradient *g = s.g;
    Module *m = g->m;
    LLVMValueRef zero = get_i64(m, 0), last = get_i64(m, g->shape->kernel[1] - 1);
    Loop rows = begin_loop(m, zero, get_i64(m, g->shape->kernel[0]), 1);
    s.tap[0] = s.turn = rows.index;
    s.reads[0] = find_reads(&s, 0, s.rows, rows.index, rows.index);
    if (g->tile->form == GRADIENT_BLOCKS) {
        Loop columns = begin_loop(m, zero, get_i64(m, g->shape->kernel[1]), 1);
        s.tap[1] = columns.index;
        s.turn = emit_add(m, emit_mul(m, rows.index, get_i64(m, g->shape->kernel[1])), columns.index);
        s.reads[1] = find_reads(&s, 1, s.columns, columns.index, columns.index);
        emit_turn(s);
        end_loop(m, &columns);
    } else {
        s.reads[1] = find_reads(&s, 1, s.columns, zero, last);
        emit_turn(s);
    }
    end_loop(m, &rows);
}

/* ---- strips ---- */

static LLVMValueRef emit_equal(Module *m, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildICmp(m->builder, LLVMIntEQ, a, b, "");
}

static void emit_x_block(Strip s, int64_t entries) {
    s.entries = entries;
    emit_turns(s);
}

/* The blocks of x beside a strip of a group's blocks of dy, which stays in L1. */
static void emit_x_blocks(Strip s, const GradientSums *sums, LLVMValueRef group, LLVMValueRef y_block) {
    const Gradient *g = s.g;
    Module *m = g->m;
    LLVMValueRef first =
        emit_add(m, sums->first, emit_mul(m, emit_sub(m, group, sums->from), sums->group_stride));
    Loop loop = begin_loop(m, sums->x_from, sums->x_to, 1);
    LLVMValueRef x_block = emit_add(m, emit_mul(m, sums->group, get_i64(m, g->x_blocks)), loop.index);
    if (g->tile->form == GRADIENT_GROUPS) x_block = y_block;
    s.x_at = emit_mul(m, x_block, s.x.block);
    s.sums = emit_add(m, first, emit_mul(m, emit_sub(m, loop.index, sums->x_from), get_i64(m, g->cell)));
    find_ahead(&s, sums, loop.index);
    if (g->x_blocks == 1 || g->last_entries == g->entries) {
        emit_x_block(s, g->last_entries);
    } else {
        Branch last = begin_if(m, emit_equal(m, loop.index, get_i64(m, g->x_blocks - 1)));
        emit_x_block(s, g->last_entries);
        begin_else(m, &last);
        emit_x_block(s, g->entries);
        end_if(m, &last);
    }
    end_loop(m, &loop);
}

static void emit_strips(Strip s, const GradientSums *sums, LLVMValueRef group, int blocks) {
    const Gradient *g = s.g;
    Module *m = g->m;
    LLVMValueRef y_block =
        emit_add(m, emit_mul(m, sums->group, get_i64(m, g->y_blocks)), gradient_first_block(g, group));
    s.blocks = blocks;
    s.dy_at = emit_mul(m, y_block, s.dy.block);
    Loop rows = begin_loop(m, s.far_rows.from, s.far_rows.to, g->tile->rows);
    Loop columns = begin_loop(m, s.far_columns.from, s.far_columns.to, g->tile->columns);
    s.rows =
        (Range){rows.index, emit_min(m, emit_add(m, rows.index, get_i64(m, g->tile->rows)), s.far_rows.to)};
    s.columns = (Range){columns.index, emit_min(m, emit_add(m, columns.index, get_i64(m, g->tile->columns)),
                                                s.far_columns.to)};
    LLVMValueRef begins = LLVMBuildAnd(m->builder, emit_equal(m, rows.index, s.far_rows.from),
                                       emit_equal(m, columns.index, s.far_columns.from), "");
    s.first = LLVMBuildAnd(m->builder, s.first, begins, "");
    emit_x_blocks(s, sums, group, y_block);
    end_loop(m, &columns);
    end_loop(m, &rows);
}

static void emit_groups(const Strip *s, const GradientSums *sums) {
    const Gradient *g = s->g;
    Module *m = g->m;
    int blocks = g->tile->blocks;
    Loop loop = begin_loop(m, sums->from, sums->to, 1);
    if (g->longer == g->group_count) {
        emit_strips(*s, sums, loop.index, blocks);
    } else {
        Branch long_one =
            begin_if(m, LLVMBuildICmp(m->builder, LLVMIntSLT, loop.index, get_i64(m, g->longer), ""));
        emit_strips(*s, sums, loop.index, blocks);
        begin_else(m, &long_one);
        emit_strips(*s, sums, loop.index, blocks - 1);
        end_if(m, &long_one);
    }
    end_loop(m, &loop);
}

/* ---- units ---- */

static GradientMap get_gradient_map(const Gradient *g, int index) {
    const Value *value = g->kernel->inputs[index];
    Module *m = g->m;
    return (GradientMap){.address = get_argument(m, 1 + index),
                         .image = get_dim(m, value->strides[0]),
                         .block = get_dim(m, value->strides[1]),
                         .row = get_dim(m, value->strides[2]),
                         .pixel = dim_const_value(value->strides[3])};
}

static Strip begin_strips(const Gradient *g) {
    Module *m = g->m;
    Strip s = {.g = g,
               .x = get_gradient_map(g, g->plan->swapped ? 1 : 0),
               .dy = get_gradient_map(g, g->plan->swapped ? 0 : 1),
               .zeros = conv_zeros(m, g->element)};
    for (int i = 0; i < 2; i++) {
        s.in_size[i] = get_dim(m, g->shape->in_size[i]);
        s.size[i] = get_dim(m, g->shape->out_size[i]);
    }
    if (!g->tile->flat) return s;
    s.in_size[1] = s.size[1] = emit_mul(m, s.size[0], s.size[1]);
    s.in_size[0] = s.size[0] = get_i64(m, 1);
    return s;
}

static Range take_piece(Module *m, LLVMValueRef *unit, LLVMValueRef size, int64_t length) {
    LLVMValueRef pieces = emit_div(m, emit_add(m, size, get_i64(m, length - 1)), get_i64(m, length));
    LLVMValueRef from = emit_mul(m, take_part(m, unit, pieces), get_i64(m, length));
    return (Range){from, emit_min(m, emit_add(m, from, get_i64(m, length)), size)};
}

void gradient_emit_sums(const Gradient *g, const GradientSums *sums, LLVMValueRef from, LLVMValueRef to) {
    Module *m = g->m;
    Strip s = begin_strips(g);
    Loop units = begin_loop(m, from, to, 1);
    LLVMValueRef unit = units.index;
    s.first = emit_equal(m, unit, from);
    s.far_columns = take_piece(m, &unit, s.size[1], g->tile->far_columns);
    s.far_rows = take_piece(m, &unit, s.size[0], g->tile->far_rows);
    s.images = take_piece(m, &unit, get_dim(m, g->shape->images), g->tile->images);
    emit_groups(&s, sums);
    end_loop(m, &units);
}

void gradient_emit_row_sums(const Gradient *g, const GradientSums *sums, const GradientMap *x,
                            const GradientMap *dy, LLVMValueRef count, LLVMValueRef first) {
    Module *m = g->m;
    LLVMValueRef zero = get_i64(m, 0), one = get_i64(m, 1);
    Strip s = {.g = g, .x = *x, .dy = *dy, .first = first};
    s.in_size[0] = s.size[0] = one;
    s.in_size[1] = s.size[1] = count;
    s.images = s.far_rows = (Range){zero, one};
    s.far_columns = (Range){zero, count};
    emit_groups(&s, sums);
}
