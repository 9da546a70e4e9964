/* The transforms of Winograd convolution and of its gradient, a vector of channels at a
 * time.
 *
 *     for each map tile                              its place carried along, not divided out
 *       at an edge of the map: copy what is inside into a tile of zeros
 *       for each column of the tile: B^T down        size loads, size stores to the stack
 *       for each row:                B^T across      size loads, size stores, one to each plane
 *
 * and likewise A^T for the results, whose rows go through the epilogue into the map, and
 * G for what a gradient reads of dy, tiles that do not overlap. Both passes are rolled:
 * size vectors in, size vectors out, which 16 registers hold; between the passes they are
 * in an array on the stack. A pair of opposite points shares its sums: 12 operations a
 * pass of F(4, 3) for 6 values in, and as many for 4 out. */
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
static LLVMValueRef emit_combination(Winograder *c, const double *factors, double scale,
                                     const LLVMValueRef *in, int first, int step) {
    LLVMValueRef sum = NULL;
    int start = -1;
    for (int k = first; k < c->w.size && start < 0; k += step)
        if (is_near(factors[k] * scale, 1)) sum = in[start = k];
    for (int k = first; k < c->w.size; k += step)
        if (k != start) sum = emit_transform_term(c, sum, factors[k] * scale, in[k]);
    return sum;
}

/* B^T: size values to size values. */
static void emit_inputs_pass(Winograder *c, const LLVMValueRef *in, LLVMValueRef *out) {
    const Winograd *w = &c->w;
    int last = w->size - 1;
    out[0] = emit_combination(c, w->inputs[0], 1, in, 0, 1);
    for (int i = 1; i < last; i += 2) {
        LLVMValueRef even = emit_combination(c, w->inputs[i], 1, in, 0, 2);
        LLVMValueRef odd = emit_combination(c, w->inputs[i], 1 / w->points[i], in, 1, 2);
        out[i] = emit_transform_term(c, even, w->points[i], odd);
        out[i + 1] = emit_transform_term(c, even, -w->points[i], odd);
    }
    out[last] = emit_combination(c, w->inputs[last], 1, in, 0, 1);
}

/* G: `taps` values to `size`. A pair of opposite points shares the even and the odd
 * part. */
static void emit_weights_pass(Winograder *c, const LLVMValueRef *in, LLVMValueRef *out) {
    const Winograd *w = &c->w;
    int last = w->size - 1;
    out[0] = emit_transform_term(c, NULL, w->weights[0][0], in[0]);
    for (int i = 1; i < last; i += 2) {
        LLVMValueRef even = NULL, odd = NULL;
        for (int k = 0; k < w->taps; k += 2) even = emit_transform_term(c, even, w->weights[i][k], in[k]);
        for (int k = 1; k < w->taps; k += 2)
            odd = emit_transform_term(c, odd, w->weights[i][k] / w->weights[i][1], in[k]);
        for (int k = i; k <= i + 1; k++) out[k] = emit_transform_term(c, even, w->weights[k][1], odd);
    }
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
    for (int i = 1; i < last; i += 2) {
        LLVMValueRef sum = emit_float(c->m, LLVMFAdd, in[i], in[i + 1]),
                     difference = emit_float(c->m, LLVMFSub, in[i], in[i + 1]);
        for (int k = 0; k < w->outputs; k++)
            out[k] = emit_transform_term(c, out[k], w->results[k][i], k % 2 ? difference : sum);
    }
    out[0] = emit_float(c->m, LLVMFAdd, out[0], in[0]);
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

int64_t winograd_block(const WinogradTile *tile) {
    return (tile->outputs + 2) * (tile->outputs + 2) * tile->plane;
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
typedef struct TilePlace { LLVMValueRef number, image, y, x; } TilePlace;

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
    LLVMValueRef base, row_stride; /* address of its first pixel */
    LLVMValueRef top, left;        /* of the map, perhaps negative */
} InputTile;

static LLVMValueRef map_size(Winograder *c, const WinogradMap *map, int axis) {
    return get_dim(c->m, map->size[axis]);
}

static InputTile find_input_tile(Winograder *c, const WinogradMap *map, const TilePlace *place,
                                 LLVMValueRef block) {
    Module *m = c->m;
    const Dim *strides = map->strides;
    InputTile s = {.map = map, .row_stride = get_dim(m, strides[2])};
    s.top = emit_affine(m, place->y, c->step, -map->before[0]);
    s.left = emit_affine(m, place->x, c->step, -map->before[1]);
    LLVMValueRef at = emit_add(m, emit_mul(m, place->image, get_dim(m, strides[0])),
                               emit_mul(m, block, get_dim(m, strides[1])));
    at = emit_add(m, at,
                  emit_add(m, emit_mul(m, s.top, s.row_stride), emit_mul(m, s.left, get_dim(m, strides[3]))));
    s.base = get_element_anywhere(m, input_type(c, map), map->address, at);
    return s;
}

/* 0 <= first <= size of the map - size of the tile */
static LLVMValueRef is_inside(Winograder *c, const WinogradMap *map, LLVMValueRef first, int axis) {
    Module *m = c->m;
    LLVMValueRef last = emit_sub(m, map_size(c, map, axis), get_i64(m, map->side)), zero = get_i64(m, 0);
    LLVMValueRef after = LLVMBuildICmp(m->builder, LLVMIntSGE, first, zero, "");
    return LLVMBuildAnd(m->builder, after, LLVMBuildICmp(m->builder, LLVMIntSLE, first, last, ""), "");
}

/* Of `side` places from `first` on, those that are inside the map. */
static void find_range(Winograder *c, const WinogradMap *map, LLVMValueRef first, int axis,
                       LLVMValueRef *from, LLVMValueRef *to) {
    Module *m = c->m;
    *from = emit_max(m, emit_sub(m, get_i64(m, 0), first), get_i64(m, 0));
    *to = emit_min(m, emit_sub(m, map_size(c, map, axis), first), get_i64(m, map->side));
}

/* The tile with zeros for padding, on the stack. */
static void copy_edge(Winograder *c, const InputTile *s) {
    Module *m = c->m;
    LLVMTypeRef element = input_type(c, s->map), block = get_vector(m, element, c->lanes);
    LLVMValueRef top, bottom, left, right, zero = LLVMConstNull(block);
    Loop clear = begin_loop(m, get_i64(m, 0), get_i64(m, c->w.size * c->w.size), 1);
    LLVMValueRef place = get_element(m, element, c->edge, emit_affine(m, clear.index, c->lanes, 0));
    emit_aligned_store(m, zero, place);
    end_loop(m, &clear);
    find_range(c, s->map, s->top, 0, &top, &bottom);
    find_range(c, s->map, s->left, 1, &left, &right);
    Loop rows = begin_loop(m, top, bottom, 1);
    LLVMValueRef row = get_element_anywhere(m, element, s->base, emit_mul(m, rows.index, s->row_stride));
    Loop columns = begin_loop(m, left, right, 1);
    LLVMValueRef pixel = get_element_anywhere(m, element, row, emit_affine(m, columns.index, c->lanes, 0));
    LLVMValueRef to = place_of_cell(c, rows.index, columns.index), value = emit_aligned_load(m, block, pixel);
    emit_aligned_store(m, value, get_element(m, element, c->edge, to));
    end_loop(m, &columns);
    end_loop(m, &rows);
}

static void emit_input_passes(Winograder *c, const WinogradMap *map, LLVMValueRef base,
                              LLVMValueRef row_stride, LLVMValueRef to) {
    Module *m = c->m;
    LLVMValueRef in[MAX_WINOGRAD] = {0}, out[MAX_WINOGRAD];
    int size = c->w.size;
    Loop down = begin_loop(m, get_i64(m, 0), get_i64(m, map->side), 1);
    LLVMValueRef column = get_element(m, input_type(c, map), base, emit_affine(m, down.index, c->lanes, 0));
    for (int i = 0; i < map->side; i++) {
        LLVMValueRef pixel =
            get_element(m, input_type(c, map), column, emit_mul(m, row_stride, get_i64(m, i)));
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

void winograd_emit_inputs(Winograder *c, const WinogradMap *map, const MapTiles *tiles, LLVMValueRef block) {
    Module *m = c->m;
    TilePlace place;
    TransformWalk walk = begin_walk(c, tiles, &place);
    InputTile s = find_input_tile(c, map, &place, block);
    LLVMValueRef inside =
        LLVMBuildAnd(m->builder, is_inside(c, map, s.top, 0), is_inside(c, map, s.left, 1), "inside");
    Branch edge = begin_if(m, LLVMBuildNot(m->builder, inside, ""));
    copy_edge(c, &s);
    end_if(m, &edge);
    LLVMValueRef base = LLVMBuildSelect(m->builder, inside, s.base, c->edge, "tile");
    LLVMValueRef row_stride =
        LLVMBuildSelect(m->builder, inside, s.row_stride, get_i64(m, c->w.size * c->lanes), "");
    LLVMValueRef to =
        emit_add(m, emit_affine(m, block, c->block, 0), emit_affine(m, place.number, c->lanes, 0));
    emit_input_passes(c, map, base, row_stride, get_element(m, m->f32, map->planes, to));
    end_walk(c, &walk);
}

/* ---- results ---- */

static LLVMValueRef result_size(Winograder *c, int axis) { return get_dim(c->m, c->shape.out_size[axis]); }

/* Whether every map tile is fully inside the map along the axis. */
static bool always_whole(Winograder *c, int axis) {
    Dims *dims = c->kernel->program->graph->dims;
    return dim_div_exact(dims, c->shape.out_size[axis], dim_const(dims, c->w.outputs)) != NULL;
}

static void store_map_pixel(Winograder *c, const TilePlace *place, LLVMValueRef channel, LLVMValueRef y,
                            LLVMValueRef x, LLVMValueRef value) {
    Module *m = c->m;
    Point point = {.rank = 4, .lanes = c->lanes};
    point.at[0] = coord_fixed(place->image);
    point.at[1] = coord_lanes(channel, 1);
    point.at[1].aligned = true;
    point.at[2] = coord_fixed(y);
    point.at[3] = coord_fixed(x);
    if (c->shape.outputs % c->lanes != 0)
        point.mask = emit_lane_mask(m, emit_sub(m, get_i64(m, c->shape.outputs), channel), c->lanes);
    emit_epilogue_store(&c->epilogue, &point, value);
}

/* Row `row` of a map tile. Its first column is inside the map, since the tile exists. */
static void store_map_row(Winograder *c, const TilePlace *place, LLVMValueRef channel, LLVMValueRef row,
                          const LLVMValueRef *values) {
    Module *m = c->m;
    LLVMValueRef y = emit_add(m, emit_affine(m, place->y, c->w.outputs, 0), row);
    for (int j = 0; j < c->w.outputs; j++) {
        LLVMValueRef x = emit_affine(m, place->x, c->w.outputs, j);
        if (j == 0 || always_whole(c, 1)) {
            store_map_pixel(c, place, channel, y, x, values[j]);
            continue;
        }
        Branch exists = begin_if(m, LLVMBuildICmp(m->builder, LLVMIntSLT, x, result_size(c, 1), ""));
        store_map_pixel(c, place, channel, y, x, values[j]);
        end_if(m, &exists);
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

static void emit_result_passes(Winograder *c, const TilePlace *place, LLVMValueRef from,
                               LLVMValueRef channel) {
    Module *m = c->m;
    LLVMValueRef out[MAX_WINOGRAD], rows = get_i64(m, c->w.outputs);
    emit_results_down(c, from, c->plane);
    if (!always_whole(c, 0))
        rows = emit_min(m, rows, emit_sub(m, result_size(c, 0), emit_affine(m, place->y, c->w.outputs, 0)));
    Loop across = begin_loop(m, get_i64(m, 0), rows, 1);
    emit_results_across(c, across.index, out);
    store_map_row(c, place, channel, across.index, out);
    end_loop(m, &across);
}

void winograd_emit_results(Winograder *c, const MapTiles *tiles, LLVMValueRef product, LLVMValueRef block) {
    Module *m = c->m;
    TilePlace place;
    LLVMValueRef channel = emit_affine(m, block, c->lanes, 0);
    TransformWalk walk = begin_walk(c, tiles, &place);
    LLVMValueRef from =
        emit_add(m, emit_affine(m, product, c->block, 0), emit_affine(m, place.number, c->lanes, 0));
    emit_result_passes(c, &place, get_element(m, m->f32, c->products, from), channel);
    end_walk(c, &walk);
}

void winograd_emit_taps(Winograder *c, LLVMValueRef from, int64_t plane, LLVMValueRef to,
                        int64_t tap_stride) {
    Module *m = c->m;
    LLVMValueRef out[MAX_WINOGRAD];
    int64_t row_stride = c->w.outputs * tap_stride;
    emit_results_down(c, from, plane);
    Loop across = begin_loop(m, get_i64(m, 0), get_i64(m, c->w.outputs), 1);
    emit_results_across(c, across.index, out);
    for (int j = 0; j < c->w.outputs; j++)
        store_plane_vector(c, out[j], to, emit_affine(m, across.index, row_stride, j * tap_stride));
    end_loop(m, &across);
}

/* ---- weights ---- */

void winograd_emit_weights(Module *m, int outputs, int row, LLVMValueRef taps, LLVMValueRef to,
                           LLVMValueRef plane) {
    Winograder c = {.m = m, .w = winograd(outputs, 3), .lanes = m->target->lanes};
    LLVMValueRef down[3] = {NULL}, across[MAX_WINOGRAD];
    for (int x = 0; x < 3; x++)
        for (int k = 0; k < 3; k++)
            down[x] = emit_transform_term(&c, down[x], c.w.weights[row][k],
                                          load_plane_vector(&c, taps, get_i64(m, (3 * k + x) * c.lanes)));
    emit_weights_pass(&c, down, across);
    for (int x = 0; x < c.w.size; x++)
        store_plane_vector(&c, across[x], to, emit_mul(m, plane, get_i64(m, row * c.w.size + x)));
}
