/* Formats: their sizes, their cells, and packing while building. */
#include "plan/format.h"

enum {
    /* places of a cell's outermost axis that are written together, to stay in the
     * cache */
    CHUNK = 64,
    WRITTEN_TOGETHER = 1 << 17 /* elements of small cells that are written together */
};

/* ---- making formats ---- */

const Format format_plain = {.name = "plain"};

FormatAxis format_axes(int first, int last) {
    return (FormatAxis){.first = first, .last = last, .step = 1, .multiple = 1};
}

FormatAxis format_axis(int axis) { return format_axes(axis, axis); }

void format_add_axis(Format *format, FormatAxis axis) {
    CHECK(format->axis_count < MAX_FORMAT_AXES);
    format->axes[format->axis_count++] = axis;
}

void format_add_level(Format *format, int axis, int64_t block) {
    CHECK(format->level_count < MAX_FORMAT_LEVELS);
    format->levels[format->level_count++] = (FormatLevel){axis, block};
}

Format format_blocked(int lanes) {
    enum { CHANNELS = 1, RANK = 4 };
    Format format = {.name = "blocked"};
    for (int i = 0; i < RANK; i++) {
        format_add_axis(&format, format_axis(i));
        format_add_level(&format, i, i == CHANNELS ? lanes : 1);
    }
    format.axes[CHANNELS].multiple = lanes;
    format_add_level(&format, CHANNELS, 1);
    return format;
}

/* ---- strided formats ---- */

/* Whether the levels are all axes of the node in order, and at the end the places of a
 * block. */
bool format_is_strided(const Format *format) {
    if (format->converts || format->level_count > format->axis_count + 1) return false;
    for (int i = 0; i < format->axis_count; i++) {
        const FormatAxis *axis = &format->axes[i];
        if (axis->first != i || axis->last != i || axis->step != 1 || format->levels[i].axis != i)
            return false;
    }
    return true;
}

int format_blocked_axis(const Format *format) {
    bool blocked = format->level_count > format->axis_count;
    return blocked ? format->levels[format->axis_count].axis : -1;
}

int64_t format_block(const Format *format, int axis) {
    return axis >= 0 && axis == format_blocked_axis(format) ? format->levels[axis].block : 1;
}

/* ---- comparing ---- */

static bool axes_equal(const FormatAxis *a, const FormatAxis *b) {
    return a->first == b->first && a->last == b->last && a->step == b->step && a->size == b->size &&
           a->multiple == b->multiple;
}

bool format_equal(const Format *a, const Format *b) {
    bool equal = a->converts == b->converts && a->type == b->type && a->axis_count == b->axis_count &&
                 a->level_count == b->level_count && a->rotation == b->rotation &&
                 a->winograd == b->winograd && a->stride == b->stride && a->transposed == b->transposed;
    for (int i = 0; equal && i < a->axis_count; i++) equal = axes_equal(&a->axes[i], &b->axes[i]);
    for (int i = 0; equal && i < a->level_count; i++)
        equal = a->levels[i].axis == b->levels[i].axis && a->levels[i].block == b->levels[i].block;
    return equal;
}

/* Axes first .. last of a transpose as axes of its operand; false where they are not
 * adjacent there, in the same order. */
static bool axis_before_transpose(FormatAxis *axis, IntList permutation) {
    int first = (int)permutation.items[axis->first];
    for (int i = axis->first; i <= axis->last; i++)
        if (permutation.items[i] != first + i - axis->first) return false;
    axis->last = first + axis->last - axis->first;
    axis->first = first;
    return true;
}

bool format_before_transpose(Format *format, const Node *transpose) {
    Format before = *format;
    if (before.rotation) return false; /* a rotation names the axes of the node by number */
    for (int i = 0; i < before.axis_count; i++)
        if (!axis_before_transpose(&before.axes[i], ATTRIBUTES(transpose, transpose)->permutation))
            return false;
    *format = before;
    return true;
}

/* ---- sizes ---- */

int64_t format_size(const Format *format, const Node *node, int axis) {
    const FormatAxis *a = &format->axes[axis];
    int64_t size = 1;
    if (a->size) return a->size;
    for (int i = a->first; i <= a->last; i++) size *= dim_const_value(node->shape.dims[i]);
    return size;
}

Winograd format_winograd(const Format *format, const Node *node) {
    return winograd(format->winograd, (int)(dim_const_value(node->shape.dims[3]) / format->stride));
}

int format_parities(const Format *format) { return (int)(format->stride * format->stride); }

static int64_t count_winograd_places(const Format *format, const Node *node) {
    Winograd w = format_winograd(format, node);
    return format_parities(format) * winograd_planes(&w);
}

WinogradPlace format_winograd_place(const Format *format, int planes, int64_t place) {
    int parities = format_parities(format), number = (int)place;
    if (format->transposed) return (WinogradPlace){number % planes, number / planes};
    return (WinogradPlace){number / parities, number % parities};
}

int64_t format_padded(const Format *format, const Node *node, int axis) {
    if (format->winograd && axis == WINOGRAD_TAPS) return count_winograd_places(format, node);
    return round_up(format_size(format, node, axis), format->axes[axis].multiple);
}

int64_t format_elements(const Format *format, const Node *node) {
    int64_t elements = 1;
    if (format->axis_count == 0) return node_element_count(node);
    for (int i = 0; i < format->axis_count; i++) elements *= format_padded(format, node, i);
    return elements;
}

DType format_type(const Format *format, const Node *node) {
    return format->converts ? format->type : node->shape.type;
}

int64_t format_bytes(const Format *format, const Node *node) {
    return format_elements(format, node) * dtype_bytes(format_type(format, node));
}

/* ---- cells ---- */

int format_outer_levels(const Format *format) {
    int count = 0;
    for (int i = 0; i < format->level_count; i++)
        if (format->levels[i].block > 1) count = i + 1;
    return count;
}

int64_t format_blocks(const Format *format, const Node *node, int level) {
    return ceil_div(format_padded(format, node, format->levels[level].axis), format->levels[level].block);
}

int64_t format_cells(const Format *format, const Node *node) {
    int64_t cells = 1;
    for (int i = 0; i < format_outer_levels(format); i++) cells *= format_blocks(format, node, i);
    return cells;
}

typedef struct Cell {
    int64_t first[MAX_FORMAT_AXES], extent[MAX_FORMAT_AXES]; /* places of each axis */
    int64_t stride[MAX_FORMAT_AXES]; /* elements of the packed form from one place to the next */
    int64_t elements;
} Cell;

static Cell find_format_cell(const Format *format, const Node *node, int64_t number) {
    Cell cell = {.elements = 1};
    int outer = format_outer_levels(format);
    for (int a = 0; a < format->axis_count; a++) cell.extent[a] = format_padded(format, node, a);
    for (int i = outer - 1; i >= 0; i--) {
        int axis = format->levels[i].axis;
        int64_t blocks = format_blocks(format, node, i);
        cell.first[axis] = number % blocks * format->levels[i].block;
        cell.extent[axis] =
            min_i64(format->levels[i].block, format_padded(format, node, axis) - cell.first[axis]);
        number /= blocks;
    }
    for (int i = format->level_count - 1; i >= outer; i--) {
        int axis = format->levels[i].axis;
        cell.stride[axis] = cell.elements;
        cell.elements *= cell.extent[axis];
    }
    return cell;
}

/* ---- writing ---- */

typedef struct Fill { /* of a cell */
    const Format *format;
    const Node *node;
    const Cell *cell;
    const Number *values;
    DType type; /* of the elements */
    unsigned char *out;
    int64_t node_strides[16];
    /* the axes of the cell, the one with the largest stride in the node first */
    int order[MAX_FORMAT_AXES], count;
    int64_t at[MAX_FORMAT_AXES];
} Fill;

static int64_t way_along_axis(const Fill *fill, int axis) {
    const FormatAxis *a = &fill->format->axes[axis];
    return a->step * fill->node_strides[a->last];
}

/* The offset in the node of the element at fill->at. */
static int64_t source_offset(const Fill *fill) {
    const Format *format = fill->format;
    int64_t place = 0, rotation = format->rotation;
    for (int i = rotation ? 2 : 0; i < format->axis_count; i++)
        place += fill->at[i] * way_along_axis(fill, i);
    if (!rotation) return place;
    int64_t channel = fill->at[0], turned = (channel + fill->at[1]) % rotation;
    if (format->transposed) return place + channel * fill->node_strides[0] + turned * fill->node_strides[1];
    return place + (channel - channel % rotation + turned) * fill->node_strides[0] +
           channel % rotation * fill->node_strides[1];
}

/* The sort key of the axes. A rotated axis has no constant stride, so it cannot be a
 * line. */
static int64_t rank_of(const Fill *fill, int axis) {
    return fill->format->rotation && axis <= 1 ? INT64_MAX : way_along_axis(fill, axis);
}

static void set_order(Fill *fill) {
    const Format *format = fill->format;
    fill->count = 0;
    for (int i = format_outer_levels(format); i < format->level_count; i++) {
        int at = fill->count++, axis = format->levels[i].axis;
        for (; at > 0 && rank_of(fill, fill->order[at - 1]) < rank_of(fill, axis); at--)
            fill->order[at] = fill->order[at - 1];
        fill->order[at] = axis;
    }
}

/* The end of the places that hold elements, of an axis in a part of the cell: from .. the
 * result. */
static int64_t end_of_part(const Fill *fill, int axis, int64_t from, int64_t count) {
    return min_i64(from + count, format_size(fill->format, fill->node, axis));
}

static unsigned char *element_after(const Fill *fill, unsigned char *out, int64_t elements) {
    return out + elements * dtype_bytes(fill->type);
}

/* `from` and `count`: the part of the axis `cut` that is being written. */
static void copy_axes(Fill *fill, int depth, int cut, int64_t from, int64_t count, unsigned char *out) {
    const Cell *cell = fill->cell;
    int axis = fill->order[depth];
    int64_t begin = cell->first[axis] + (axis == cut ? from : 0),
            end = end_of_part(fill, axis, begin, axis == cut ? count : cell->extent[axis]);
    out = element_after(fill, out, (begin - cell->first[axis]) * cell->stride[axis]);
    fill->at[axis] = begin;
    if (depth == fill->count - 1) {
        numbers_store(fill->type, fill->values + source_offset(fill), way_along_axis(fill, axis), end - begin,
                      out, cell->stride[axis]);
        return;
    }
    for (; fill->at[axis] < end; fill->at[axis]++, out = element_after(fill, out, cell->stride[axis]))
        copy_axes(fill, depth + 1, cut, from, count, out);
}

static void copy_cell(Fill *fill) {
    const Cell *cell = fill->cell;
    int cut = fill->format->levels[format_outer_levels(fill->format)].axis;
    for (int a = 0; a < fill->format->axis_count; a++) fill->at[a] = cell->first[a];
    for (int64_t from = 0; from < cell->extent[cut]; from += CHUNK)
        copy_axes(fill, 0, cut, from, min_i64(CHUNK, cell->extent[cut] - from), fill->out);
}

/* ---- Winograd ---- */

/* Kernels that are transformed together, in the lanes of vectors; there are a multiple of
 * four in a vector of weights. */
enum { TOGETHER = 4 };

typedef double Together[TOGETHER];

enum { MAX_KERNEL = 8 };

/* Keeps the taps of kernels o .. o + TOGETHER, in the order in which the convolution has
 * them. */
static void read_kernels(Fill *fill, int64_t o, int64_t end, int64_t count, Together *kernels) {
    int64_t taps = way_along_axis(fill, WINOGRAD_TAPS);
    for (int64_t l = 0; l < TOGETHER; l++) {
        fill->at[WINOGRAD_OUTPUTS] = min_i64(o + l, end - 1);
        const Number *from = fill->values + source_offset(fill);
        for (int64_t k = 0; k < count; k++)
            kernels[fill->format->transposed ? count - 1 - k : k][l] = o + l < end ? from[k * taps].real : 0;
    }
}

/* u = G w G^T, of taps that are so far apart. */
static void transform_kernels(const Winograd *w, Together *kernels, int64_t row, int64_t column,
                              Together *u) {
    double half[MAX_WINOGRAD][MAX_WINOGRAD][TOGETHER] = {0};
    memset(u, 0, sizeof *u * (size_t)winograd_planes(w));
    for (int y = 0; y < w->size; y++)
        for (int x = 0; x < w->taps; x++)
            for (int k = 0; k < w->taps; k++)
                for (int l = 0; l < TOGETHER; l++)
                    half[y][x][l] += w->weights[y][k] * kernels[k * row + x * column][l];
    for (int y = 0; y < w->size; y++)
        for (int x = 0; x < w->size; x++, u++)
            for (int k = 0; k < w->taps; k++)
                for (int l = 0; l < TOGETHER; l++) (*u)[l] += half[y][k][l] * w->weights[x][k];
}

static void transform_cell(Fill *fill) {
    const Cell *cell = fill->cell;
    const Format *format = fill->format;
    const int64_t *stride = cell->stride, side = dim_const_value(fill->node->shape.dims[3]),
                  by = format->stride;
    Winograd w = format_winograd(format, fill->node);
    int planes = winograd_planes(&w);
    Together kernels[MAX_KERNEL * MAX_KERNEL], u[4][MAX_WINOGRAD * MAX_WINOGRAD];
    int64_t begin = cell->first[WINOGRAD_OUTPUTS],
            end = end_of_part(fill, WINOGRAD_OUTPUTS, begin, cell->extent[WINOGRAD_OUTPUTS]);
    fill->at[WINOGRAD_TAPS] = 0;
    for (int64_t i = 0; i < cell->extent[WINOGRAD_INPUTS]; i++)
        for (int64_t o = begin; o < end; o += TOGETHER) {
            fill->at[WINOGRAD_INPUTS] = cell->first[WINOGRAD_INPUTS] + i;
            read_kernels(fill, o, end, side * side, kernels);
            for (int64_t parity = 0; parity < by * by; parity++)
                transform_kernels(&w, kernels + parity / by * side + parity % by, by * side, by, u[parity]);
            float *to =
                (float *)fill->out + i * stride[WINOGRAD_INPUTS] + (o - begin) * stride[WINOGRAD_OUTPUTS];
            for (int64_t k = 0; k < cell->extent[WINOGRAD_TAPS]; k++, to += stride[WINOGRAD_TAPS]) {
                WinogradPlace at = format_winograd_place(format, planes, cell->first[WINOGRAD_TAPS] + k);
                for (int l = 0; l < TOGETHER; l++) to[l] = (float)u[at.parity][at.plane][l];
            }
        }
}

static void fill_cell(Fill *fill, const Cell *cell, unsigned char *out) {
    fill->cell = cell;
    fill->out = out;
    memset(out, 0, (size_t)(cell->elements * dtype_bytes(fill->type)));
    if (fill->format->winograd) transform_cell(fill);
    else copy_cell(fill);
}

static Fill begin_fill(const Format *format, const Node *node, const Number *values) {
    Fill fill = {.format = format, .node = node, .values = values, .type = format_type(format, node)};
    CHECK(dtype_is_float(fill.type) == dtype_is_float(node->shape.type));
    CHECK(!format->winograd || fill.type == DTYPE_F32);
    int64_t stride = 1;
    for (int i = node->shape.rank - 1; i >= 0; i--) {
        fill.node_strides[i] = stride;
        stride *= dim_const_value(node->shape.dims[i]);
    }
    set_order(&fill);
    return fill;
}

bool format_write(const Format *format, const Node *node, const Number *values, Arena *scratch,
                  FormatWriter write, void *context) {
    Fill fill = begin_fill(format, node, values);
    int64_t cells = format_cells(format, node), used = 0;
    if (cells == 0) return true;
    int64_t bytes = dtype_bytes(fill.type);
    int64_t room = max_i64(min_i64(WRITTEN_TOGETHER, format_elements(format, node)),
                           find_format_cell(format, node, 0).elements); /* no cell is larger */
    unsigned char *out = arena_alloc(scratch, (size_t)(room * bytes));
    for (int64_t i = 0; i < cells; i++) {
        Cell cell = find_format_cell(format, node, i);
        if (used + cell.elements > room) {
            if (!write(context, out, used * bytes)) return false;
            used = 0;
        }
        fill_cell(&fill, &cell, element_after(&fill, out, used));
        used += cell.elements;
    }
    return write(context, out, used * bytes);
}
