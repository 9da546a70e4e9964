/* The transforms of Winograd convolution and of its gradient, a vector of channels at a
 * time.
 *
 *     for each map tile                              its place carried along, not divided out
 *       at an edge of the map: copy what is inside into a tile of zeros
 *       for each column of the tile: B^T down        size loads, size stores to the stack
 *       for each row:                B^T across      size loads, size stores, one to each plane
 *
 * and likewise A^T for the results, whose rows go through the epilogue into the map, and
 * G for what a gradient reads of dy, tiles that do not overlap. With stride 2 a parity of
 * a map is transformed like a map of its own, whose places are every second one. Both
 * passes are rolled: size vectors in, size vectors out, which 16 registers hold; between
 * the passes they are in an array on the stack. A pair of opposite points shares its
 * sums: 12 operations a pass of F(4, 3) for 6 values in, and as many for 4 out. */
#include "kernels/winograd/conv_winograd.h"
#include <math.h>

/* ---- one dimension ---- */

static bool is_near(double a, double b) { return fabs(a - b) < 1e-9; }

/* a + factor * b; a may be NULL. */
static LLVMValueRef emit_transform_term(Winograder *c, LLVMValueRef a, double factor, LLVMValueRef b) {
    Module *m = c->m;
    LLVMValueRef splat = get_splat(m, get_f32(m, factor), c->lanes);
    if (is_near(factor, 0)) return a;
    if (!a) return is_near(factor, 1) ? b : emit_float(m, LLVMFMul, splat, b);
    if (is_near(fabs(factor), 1)) return emit_float(m, factor > 0 ? LLVMFAdd : LLVMFSub, a, b);
    return emit_muladd(m, splat, b, a);
}

/* The sum of factors[k] * in[k] over k = first, first + step ..; a term that needs no
 * multiplication comes first. */
static LLVMValueRef emit_combination(Winograder *c, const double *factors, int count, double scale,
                                     const LLVMValueRef *in, int first, int step) {
    LLVMValueRef sum = NULL;
    int start = -1;
    for (int k = first; k < count && start < 0; k += step)
        if (is_near(factors[k] * scale, 1)) sum = in[start = k];
    for (int k = first; k < count; k += step)
        if (k != start) sum = emit_transform_term(c, sum, factors[k] * scale, in[k]);
    return sum;
}

/* The rows of two opposite points from what they share: in the even or the odd places
 * their factors are the same, in the others, of which `unit` is one, opposite. */
static void emit_pair(Winograder *c, const double *row, const double *opposite, int count, int unit,
                      const LLVMValueRef *in, LLVMValueRef *out) {
    LLVMValueRef alike = emit_combination(c, row, count, 1, in, 1 - unit % 2, 2),
                 unlike = emit_combination(c, row, count, 1 / row[unit], in, unit % 2, 2);
    out[0] = emit_transform_term(c, alike, row[unit], unlike);
    out[1] = emit_transform_term(c, alike, opposite[unit], unlike);
}

/* B^T: size values to size values. */
static void emit_inputs_pass(Winograder *c, const LLVMValueRef *in, LLVMValueRef *out) {
    const Winograd *w = &c->w;
    int last = w->size - 1;
    if (w->first_pair) out[0] = emit_combination(c, w->inputs[0], w->size, 1, in, 0, 1);
    for (int i = w->first_pair; i < last; i += 2)
        emit_pair(c, w->inputs[i], w->inputs[i + 1], w->size, w->size - 3, in, out + i);
    out[last] = emit_combination(c, w->inputs[last], w->size, 1, in, 0, 1);
}

/* G: `taps` values to `size`. */
static void emit_weights_pass(Winograder *c, const LLVMValueRef *in, LLVMValueRef *out) {
    const Winograd *w = &c->w;
    int last = w->size - 1;
    if (w->first_pair) out[0] = emit_transform_term(c, NULL, w->weights[0][0], in[0]);
    for (int i = w->first_pair; i < last; i += 2)
        emit_pair(c, w->weights[i], w->weights[i + 1], w->taps, 1 - w->size % 2, in, out + i);
    out[last] = in[w->taps - 1];
}

/* The transform of a map that is read: B^T, or that of dy. */
static void emit_map_pass(Winograder *c, const WinogradMap *map, const LLVMValueRef *in, LLVMValueRef *out) {
    if (map->side == c->w.size) emit_inputs_pass(c, in, out);
    else emit_weights_pass(c, in, out);
}

/* A^T: size values to `outputs` values. */
static void emit_results_pass(Winograder *c, const LLVMValueRef *in, LLVMValueRef *out) {
    const Winograd *w = &c->w;
    int last = w->size - 1;
    for (int k = 0; k < w->outputs; k++) out[k] = k == w->outputs - 1 ? in[last] : NULL;
    for (int i = w->first_pair; i < last; i += 2) {
        LLVMValueRef sum = emit_float(c->m, LLVMFAdd, in[i], in[i + 1]),
                     difference = emit_float(c->m, LLVMFSub, in[i], in[i + 1]);
        for (int k = 0; k < w->outputs; k++)
            out[k] = emit_transform_term(c, out[k], w->results[k][i], k % 2 ? difference : sum);
    }
    if (w->first_pair) out[0] = emit_float(c->m, LLVMFAdd, out[0], in[0]);
}

/* ---- what they cost ---- */

static int count_pairs(const Winograd *w) { return (w->size - 1) / 2; }

/* Both passes, each with so many operations for a row or column, and the overhead of
 * their loops. */
static double transform_cycles(const Target *t, int rows, int operations, int loads, int stores) {
    return rows * operations / t->fmas_per_cycle + loads / t->loads_per_cycle + stores + 25;
}

double winograd_inputs_cycles(const Winograd *w, const Target *t) {
    int pairs = count_pairs(w), all = 2 * w->size * w->size;
    return transform_cycles(t, 2 * w->size, pairs * (2 * pairs + 1 + w->first_pair), all, all);
}

double winograd_weights_cycles(const Winograd *w, const Target *t) {
    int rows = w->size + w->taps;
    return transform_cycles(t, rows, count_pairs(w) * (w->taps + 1), w->taps * rows, w->size * rows);
}

double winograd_results_cycles(const Winograd *w, const Target *t) {
    int rows = w->size + w->outputs;
    return transform_cycles(t, rows, count_pairs(w) * (w->outputs + 2), w->size * rows, w->outputs * rows);
}

/* ---- vectors in memory ---- */

static LLVMTypeRef transform_vector(const Winograder *c) { return get_vector(c->m, c->m->f32, c->lanes); }

static LLVMValueRef load_plane_vector(Winograder *c, LLVMValueRef base, LLVMValueRef element) {
    return emit_aligned_load(c->m, transform_vector(c), get_element(c->m, c->m->f32, base, element));
}

static void store_plane_vector(Winograder *c, LLVMValueRef value, LLVMValueRef base, LLVMValueRef element) {
    emit_aligned_store(c->m, value, get_element(c->m, c->m->f32, base, element));
}

/* Element of place [row, column] in a tile on the stack. */
static LLVMValueRef place_of_cell(Winograder *c, LLVMValueRef row, LLVMValueRef column) {
    Module *m = c->m;
    return emit_affine(m, emit_add(m, emit_mul(m, row, get_i64(m, c->w.size)), column), c->lanes, 0);
}

/* ---- the walk over map tiles ---- */

MapTiles winograd_part_of_tiles(Winograder *c, MapTiles tiles, LLVMValueRef part, int64_t of) {
    Module *m = c->m;
    LLVMValueRef parts = get_i64(m, of);
    LLVMValueRef begin = emit_div(m, emit_mul(m, tiles.count, part), parts);
    LLVMValueRef end = emit_div(m, emit_mul(m, tiles.count, emit_add(m, part, get_i64(m, 1))), parts);
    return (MapTiles){emit_add(m, tiles.from, begin), emit_sub(m, end, begin), begin};
}

/* number: among those transformed together; y, x: in map tiles */
typedef struct TilePlace {
    LLVMValueRef number, image, y, x;
} TilePlace;

typedef struct TransformWalk {
    Loop loop;
    LoopCarried at; /* image, y, x */
} TransformWalk;

static TransformWalk begin_walk(Winograder *c, const MapTiles *tiles, TilePlace *place) {
    Module *m = c->m;
    LLVMValueRef rest = tiles->from;
    TransformWalk walk = {.at = {.count = 3}};
    walk.at.at[2] = take_part(m, &rest, c->columns);
    walk.at.at[1] = take_part(m, &rest, c->rows);
    walk.at.at[0] = rest;
    walk.loop = begin_loop_carried(m, &walk.at, get_i64(m, 0), tiles->count, 1);
    *place =
        (TilePlace){emit_add(m, tiles->at, walk.loop.index), walk.at.at[0], walk.at.at[1], walk.at.at[2]};
    return walk;
}

/* Steps along an axis; at its end, back to the beginning and one step along the next. */
static LLVMValueRef step_coordinate(Module *m, LLVMValueRef *at, LLVMValueRef by, LLVMValueRef size) {
    LLVMValueRef next = emit_add(m, *at, by), over = LLVMBuildICmp(m->builder, LLVMIntEQ, next, size, "");
    *at = LLVMBuildSelect(m->builder, over, get_i64(m, 0), next, "");
    return LLVMBuildZExt(m->builder, over, m->i64, "");
}

static void end_walk(Winograder *c, TransformWalk *walk) {
    Module *m = c->m;
    LLVMValueRef more = step_coordinate(m, &walk->at.at[2], get_i64(m, 1), c->columns);
    more = step_coordinate(m, &walk->at.at[1], more, c->rows);
    walk->at.at[0] = emit_add(m, walk->at.at[0], more);
    end_loop_carried(m, &walk->loop, &walk->at);
}

/* ---- inputs, until the first pass loads them ---- */

static LLVMTypeRef input_type(const Winograder *c, const WinogradMap *map) {
    return get_memory_type(c->m, map->type);
}

typedef struct InputTile { /* where a tile of a map is read */
    const WinogradMap *map;
    LLVMValueRef base, row, pixel; /* address of its first place; elements from one to the next */
    LLVMValueRef first[2];         /* row and column of the map, perhaps negative */
} InputTile;

static LLVMValueRef map_size(Winograder *c, const WinogradMap *map, int axis) {
    return get_dim(c->m, map->size[axis]);
}

void winograd_take_parity(Module *m, LLVMValueRef *number, int parities, LLVMValueRef parity[2]) {
    for (int axis = 1; axis >= 0; axis--)
        parity[axis] = parities > 1 ? take_part(m, number, get_i64(m, 2)) : get_i64(m, 0);
}

/* The number that belongs to a parity. */
static LLVMValueRef of_parity(Module *m, const int64_t numbers[2], LLVMValueRef parity) {
    return emit_affine(m, parity, numbers[1] - numbers[0], numbers[0]);
}

static InputTile find_input_tile(Winograder *c, const WinogradMap *map, const TilePlace *place,
                                 const WinogradBlock *block) {
    Module *m = c->m;
    const Dim *strides = map->strides;
    LLVMValueRef tile[2] = {place->y, place->x}, row = get_dim(m, strides[2]);
    InputTile s = {.map = map, .row = emit_mul(m, row, get_i64(m, map->stride))};
    s.pixel = get_i64(m, map->stride * c->lanes);
    for (int axis = 0; axis < 2; axis++)
        s.first[axis] = emit_add(m, emit_affine(m, tile[axis], map->step, 0),
                                 of_parity(m, map->first[axis], block->parity[axis]));
    LLVMValueRef at = emit_add(m, emit_mul(m, place->image, get_dim(m, strides[0])),
                               emit_mul(m, block->block, get_dim(m, strides[1])));
    at = emit_add(m, at,
                  emit_add(m, emit_mul(m, s.first[0], row), emit_mul(m, s.first[1], get_dim(m, strides[3]))));
    s.base = get_element_anywhere(m, input_type(c, map), map->address, at);
    return s;
}

/* Whether all places of the tile are on the map. */
static LLVMValueRef is_inside(Winograder *c, const InputTile *s, int axis) {
    Module *m = c->m;
    int64_t reach = (s->map->side - 1) * s->map->stride + 1;
    LLVMValueRef last = emit_sub(m, map_size(c, s->map, axis), get_i64(m, reach)), zero = get_i64(m, 0);
    LLVMValueRef after = LLVMBuildICmp(m->builder, LLVMIntSGE, s->first[axis], zero, "");
    return LLVMBuildAnd(m->builder, after, LLVMBuildICmp(m->builder, LLVMIntSLE, s->first[axis], last, ""),
                        "");
}

/* Whether place `at` of the tile is on the map. */
static LLVMValueRef is_on_map(Winograder *c, const InputTile *s, int axis, LLVMValueRef at) {
    Module *m = c->m;
    LLVMValueRef place = emit_add(m, s->first[axis], emit_affine(m, at, s->map->stride, 0));
    return LLVMBuildICmp(m->builder, LLVMIntULT, place, map_size(c, s->map, axis), "");
}

/* The tile with zeros for padding, on the stack. On small maps most tiles are at an edge,
 * each at another, so that the copy has no branches: what is not on the map is read from
 * zeros behind the copy. */
static void copy_edge(Winograder *c, const InputTile *s) {
    Module *m = c->m;
    const int side = s->map->side, size = c->w.size;
    LLVMTypeRef element = input_type(c, s->map), block = get_vector(m, element, c->lanes);
    LLVMValueRef zeros = get_element(m, element, c->edge, get_i64(m, size * size * c->lanes)),
                 inside[MAX_WINOGRAD];
    emit_aligned_store(m, LLVMConstNull(block), zeros);
    for (int x = 0; x < side; x++) inside[x] = is_on_map(c, s, 1, get_i64(m, x));
    Loop rows = begin_loop(m, get_i64(m, 0), get_i64(m, side), 1);
    LLVMValueRef on_map = is_on_map(c, s, 0, rows.index);
    LLVMValueRef row = get_element_anywhere(m, element, s->base, emit_mul(m, rows.index, s->row));
    for (int x = 0; x < side; x++) {
        LLVMValueRef pixel = get_element_anywhere(m, element, row, emit_mul(m, get_i64(m, x), s->pixel));
        pixel = LLVMBuildSelect(m->builder, emit_and(m, on_map, inside[x]), pixel, zeros, "");
        LLVMValueRef cell = place_of_cell(c, rows.index, get_i64(m, x));
        emit_aligned_store(m, emit_aligned_load(m, block, pixel), get_element(m, element, c->edge, cell));
    }
    end_loop(m, &rows);
}

/* The tile, or its copy where it is not `inside`. */
static InputTile choose_input_tile(Winograder *c, InputTile s, LLVMValueRef inside) {
    Module *m = c->m;
    s.base = LLVMBuildSelect(m->builder, inside, s.base, c->edge, "tile");
    s.row = LLVMBuildSelect(m->builder, inside, s.row, get_i64(m, c->w.size * c->lanes), "");
    s.pixel = LLVMBuildSelect(m->builder, inside, s.pixel, get_i64(m, c->lanes), "");
    return s;
}

static void emit_input_passes(Winograder *c, const InputTile *s, LLVMValueRef to) {
    Module *m = c->m;
    const WinogradMap *map = s->map;
    LLVMValueRef in[MAX_WINOGRAD] = {0}, out[MAX_WINOGRAD];
    int size = c->w.size;
    Loop down = begin_loop(m, get_i64(m, 0), get_i64(m, map->side), 1);
    LLVMValueRef column = get_element(m, input_type(c, map), s->base, emit_mul(m, down.index, s->pixel));
    for (int i = 0; i < map->side; i++) {
        LLVMValueRef pixel = get_element(m, input_type(c, map), column, emit_mul(m, s->row, get_i64(m, i)));
        in[i] = emit_load_as(m, map->type, DTYPE_F32, pixel, c->lanes, true, NULL);
    }
    emit_map_pass(c, map, in, out);
    for (int i = 0; i < size; i++)
        store_plane_vector(c, out[i], c->between, place_of_cell(c, get_i64(m, i), down.index));
    end_loop(m, &down);
    Loop across = begin_loop(m, get_i64(m, 0), get_i64(m, size), 1);
    for (int j = 0; j < map->side; j++)
        in[j] = load_plane_vector(c, c->between, place_of_cell(c, across.index, get_i64(m, j)));
    emit_map_pass(c, map, in, out);
    LLVMValueRef planes = get_element(m, m->f32, to, emit_affine(m, across.index, size * c->plane, 0));
    for (int j = 0; j < size; j++) store_plane_vector(c, out[j], planes, get_i64(m, j * c->plane));
    end_loop(m, &across);
}

void winograd_emit_inputs(Winograder *c, const WinogradMap *map, const MapTiles *tiles,
                          const WinogradBlock *block) {
    Module *m = c->m;
    TilePlace place;
    TransformWalk walk = begin_walk(c, tiles, &place);
    InputTile s = find_input_tile(c, map, &place, block);
    LLVMValueRef inside = LLVMBuildAnd(m->builder, is_inside(c, &s, 0), is_inside(c, &s, 1), "inside");
    Branch edge = begin_if(m, LLVMBuildNot(m->builder, inside, ""));
    copy_edge(c, &s);
    end_if(m, &edge);
    s = choose_input_tile(c, s, inside);
    LLVMValueRef to =
        emit_add(m, emit_affine(m, block->number, c->block, 0), emit_affine(m, place.number, c->lanes, 0));
    emit_input_passes(c, &s, get_element(m, m->f32, map->planes, to));
    end_walk(c, &walk);
}

/* ---- results ---- */

/* Where the results of a map tile go: a block of channels, of a parity of the map. */
typedef struct ResultTile {
    const TilePlace *place;
    LLVMValueRef channel;  /* the first */
    LLVMValueRef first[2]; /* row and column of the map */
} ResultTile;

static LLVMValueRef result_size(Winograder *c, int axis) { return get_dim(c->m, c->shape.out_size[axis]); }

/* Whether every map tile is fully inside the map along the axis. */
static bool always_whole(Winograder *c, int axis) {
    Dims *dims = c->kernel->program->graph->dims;
    Dim side = dim_const(dims, c->w.outputs * c->axes[axis].out_step);
    return dim_div_exact(dims, c->shape.out_size[axis], side) != NULL;
}

static LLVMValueRef find_result(Winograder *c, const ResultTile *r, int axis, LLVMValueRef number) {
    return emit_add(c->m, r->first[axis], emit_affine(c->m, number, c->axes[axis].out_step, 0));
}

static void store_map_pixel(Winograder *c, const ResultTile *r, LLVMValueRef y, LLVMValueRef x,
                            LLVMValueRef value, StoredTerms *terms) {
    Module *m = c->m;
    Point point = {.rank = 4, .lanes = c->lanes};
    point.at[0] = coord_fixed(r->place->image);
    point.at[1] = coord_lanes(r->channel, 1);
    point.at[1].aligned = true;
    point.at[2] = coord_fixed(y);
    point.at[3] = coord_fixed(x);
    if (c->shape.outputs % c->lanes != 0)
        point.mask = emit_lane_mask(m, emit_sub(m, get_i64(m, c->shape.outputs), r->channel), c->lanes);
    emit_epilogue_store_next(&c->epilogue, &point, value, terms);
}

/* Results of a row that are all on the map. */
static void store_map_pixels(Winograder *c, const ResultTile *r, LLVMValueRef y, const LLVMValueRef *x,
                             const LLVMValueRef *values, int count, LoopCarried *parts) {
    StoredTerms terms = {.count = 0};
    for (int j = 0; j < count; j++) store_map_pixel(c, r, y, x[j], values[j], &terms);
    emit_add_to_parts(c->m, c->kernel, parts, &terms);
}

static LLVMValueRef is_column_of_map(Winograder *c, LLVMValueRef x) {
    return LLVMBuildICmp(c->m->builder, LLVMIntSLT, x, result_size(c, 1), "");
}

static void store_pixels_on_map(Winograder *c, const ResultTile *r, LLVMValueRef y, const LLVMValueRef *x,
                                const LLVMValueRef *values, LoopCarried *parts) {
    for (int j = 0; j < c->w.outputs; j++) {
        Loop exists = begin_loop_carried_if(c->m, parts, is_column_of_map(c, x[j]));
        store_map_pixels(c, r, y, &x[j], &values[j], 1, parts);
        end_loop_carried(c->m, &exists, parts);
    }
}

/* A row of a map tile. Where there are stored sums, a whole one is added up before it
 * meets the part: one pixel after the other would wait for the last. */
static void store_map_row(Winograder *c, const ResultTile *r, LLVMValueRef row, const LLVMValueRef *values,
                          LoopCarried *parts) {
    Module *m = c->m;
    const int outputs = c->w.outputs;
    LLVMValueRef y = find_result(c, r, 0, row), x[MAX_WINOGRAD];
    for (int j = 0; j < outputs; j++) x[j] = find_result(c, r, 1, get_i64(m, j));
    if (always_whole(c, 1)) {
        store_map_pixels(c, r, y, x, values, outputs, parts);
    } else if (c->kernel->sum_count == 0) {
        store_pixels_on_map(c, r, y, x, values, parts);
    } else {
        LLVMValueRef whole = is_column_of_map(c, x[outputs - 1]);
        Loop at_once = begin_loop_carried_if(m, parts, whole);
        store_map_pixels(c, r, y, x, values, outputs, parts);
        end_loop_carried(m, &at_once, parts);
        Loop one_by_one = begin_loop_carried_if(m, parts, LLVMBuildNot(m->builder, whole, ""));
        store_pixels_on_map(c, r, y, x, values, parts);
        end_loop_carried(m, &one_by_one, parts);
    }
}

/* The first pass: all planes of a vector at `from`, `plane` elements from one to the
 * next, to rows on the stack. */
static void emit_results_down(Winograder *c, LLVMValueRef from, int64_t plane) {
    Module *m = c->m;
    LLVMValueRef in[MAX_WINOGRAD] = {0}, out[MAX_WINOGRAD];
    int size = c->w.size;
    Loop down = begin_loop(m, get_i64(m, 0), get_i64(m, size), 1);
    LLVMValueRef planes = get_element(m, m->f32, from, emit_affine(m, down.index, plane, 0));
    for (int i = 0; i < size; i++) in[i] = load_plane_vector(c, planes, get_i64(m, i * size * plane));
    emit_results_pass(c, in, out);
    for (int k = 0; k < c->w.outputs; k++)
        store_plane_vector(c, out[k], c->between, place_of_cell(c, get_i64(m, k), down.index));
    end_loop(m, &down);
}

/* The second pass, of one of those rows. */
static void emit_results_across(Winograder *c, LLVMValueRef row, LLVMValueRef *out) {
    Module *m = c->m;
    LLVMValueRef in[MAX_WINOGRAD] = {0};
    for (int j = 0; j < c->w.size; j++)
        in[j] = load_plane_vector(c, c->between, place_of_cell(c, row, get_i64(m, j)));
    emit_results_pass(c, in, out);
}

/* The rows of a map tile that are on the map. */
static LLVMValueRef count_result_rows(Winograder *c, const ResultTile *r) {
    Module *m = c->m;
    LLVMValueRef rows = get_i64(m, c->w.outputs), step = get_i64(m, c->axes[0].out_step);
    if (always_whole(c, 0)) return rows;
    LLVMValueRef left = emit_sub(m, result_size(c, 0), r->first[0]);
    left = emit_max(m, emit_affine(m, left, 1, c->axes[0].out_step - 1), get_i64(m, 0));
    return emit_min(m, rows, emit_div(m, left, step));
}

static ResultTile find_result_tile(Winograder *c, const TilePlace *place, const WinogradBlock *block) {
    Module *m = c->m;
    LLVMValueRef tile[2] = {place->y, place->x};
    ResultTile r = {.place = place, .channel = emit_affine(m, block->block, c->lanes, 0)};
    for (int axis = 0; axis < 2; axis++) {
        const WinogradAxis *a = &c->axes[axis];
        r.first[axis] = emit_add(m, emit_affine(m, tile[axis], c->w.outputs * a->out_step, 0),
                                 of_parity(m, a->out_first, block->parity[axis]));
    }
    return r;
}

void winograd_emit_results(Winograder *c, const MapTiles *tiles, const WinogradBlock *block) {
    Module *m = c->m;
    TilePlace place;
    LLVMValueRef out[MAX_WINOGRAD];
    const PartPlace part = {block->block, c->part};
    LoopCarried parts;
    emit_start_parts(m, c->kernel, &part);
    TransformWalk walk = begin_walk(c, tiles, &place);
    ResultTile r = find_result_tile(c, &place, block);
    LLVMValueRef from =
        emit_add(m, emit_affine(m, block->number, c->block, 0), emit_affine(m, place.number, c->lanes, 0));
    emit_results_down(c, get_element(m, m->f32, c->products, from), c->plane);
    emit_load_parts(m, c->kernel, &part, &parts);
    Loop across = begin_loop_carried(m, &parts, get_i64(m, 0), count_result_rows(c, &r), 1);
    emit_results_across(c, across.index, out);
    store_map_row(c, &r, across.index, out, &parts);
    end_loop_carried(m, &across, &parts);
    emit_store_parts(m, c->kernel, &part, &parts);
    end_walk(c, &walk);
}

void winograd_emit_taps(Winograder *c, LLVMValueRef from, int64_t plane, LLVMValueRef to, int64_t row,
                        int64_t column) {
    Module *m = c->m;
    LLVMValueRef out[MAX_WINOGRAD];
    emit_results_down(c, from, plane);
    Loop across = begin_loop(m, get_i64(m, 0), get_i64(m, c->w.outputs), 1);
    emit_results_across(c, across.index, out);
    for (int j = 0; j < c->w.outputs; j++)
        store_plane_vector(c, out[j], to, emit_affine(m, across.index, row, j * column));
    end_loop(m, &across);
}

/* ---- weights ---- */

void winograd_emit_weights(Module *m, const Winograd *w, int row, LLVMValueRef taps, int64_t tap_row,
                           int64_t tap_column, LLVMValueRef to, LLVMValueRef plane, PlaneStore store) {
    Winograder c = {.m = m, .w = *w, .lanes = m->target->lanes};
    LLVMValueRef down[MAX_WINOGRAD] = {NULL}, across[MAX_WINOGRAD];
    for (int x = 0; x < w->taps; x++)
        for (int k = 0; k < w->taps; k++)
            down[x] =
                emit_transform_term(&c, down[x], w->weights[row][k],
                                    load_plane_vector(&c, taps, get_i64(m, k * tap_row + x * tap_column)));
    emit_weights_pass(&c, down, across);
    for (int x = 0; x < w->size; x++)
        store(m, across[x], get_element(m, m->f32, to, emit_mul(m, plane, get_i64(m, row * w->size + x))));
}
