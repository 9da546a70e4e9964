/* What a tile prefetches into L2 if L3 does not hold the maps: what the tile below it
 * will read for the first time, and the lines in which that tile will store. Both come
 * from memory in runs as wide as a tile, from several rows at once, and hardware
 * prefetchers begin to follow such a run only when it is nearly over. The prefetched
 * lines are there when the next row of tiles is computed. */
#include "kernels/conv/conv.h"

/* Rows of a map, each some pixels long. */
typedef struct AheadRows {
    LLVMValueRef base, first, stride; /* address; elements: of the first row, from one to the next */
    int64_t rows, pixels, pixel;      /* pixel: elements from one to the next */
} AheadRows;

static void prefetch_rows(const Conv *c, const AheadRows *ahead) {
    Module *m = c->m;
    int64_t line = max_i64(ahead->pixel, LINE_BYTES / get_bytes(m, c->element));
    for (int64_t row = 0; row < ahead->rows; row++) {
        LLVMValueRef at = emit_add(m, ahead->first, emit_mul(m, get_i64(m, row), ahead->stride));
        for (int64_t x = 0; x < ahead->pixels * ahead->pixel; x += line)
            emit_prefetch(m, get_element_anywhere(m, c->element, ahead->base, emit_affine(m, at, 1, x)), 2);
    }
}

/* Of what tiles read as it lies. */
static bool is_beyond_l3(const Conv *c) {
    const Program *program = c->kernel->program;
    const Node *anchor = c->kernel->anchor;
    if (conv_needs_strip(&c->shape)) return false;
    return node_typical_bytes(program, anchor->inputs[0]) + node_typical_bytes(program, anchor) >
           c->m->target->l3_bytes;
}

void conv_prefetch_rows_below(const Conv *c, const ConvSite *site, LLVMValueRef input) {
    Module *m = c->m;
    if (!is_beyond_l3(c) || c->tile->plain || c->flat_length) return;
    int64_t reach = (site->rows - 1) * c->rows.scale + (c->rows.taps - 1) * c->rows.step + 1;
    prefetch_rows(c, &(AheadRows){.base = c->input,
                                  .first = emit_add(m, input, emit_mul(m, get_i64(m, reach), c->row_stride)),
                                  .stride = c->row_stride,
                                  .rows = site->rows * c->rows.scale,
                                  .pixels = site->columns * c->columns.scale,
                                  .pixel = c->pixel_stride});
}

/* Of the result, or of a map that the epilogue reads. */
static void prefetch_like_results(const Conv *c, const ConvSite *site, const Value *map, LLVMValueRef base) {
    Module *m = c->m;
    LLVMValueRef row = c->flat_length ? get_i64(m, c->flat_length * dim_const_value(map->strides[3]))
                                      : get_dim(m, map->strides[2]),
                 block = get_dim(m, map->strides[1]),
                 at[] = {c->image, emit_div(m, c->first_channel, get_i64(m, c->lanes)),
                         emit_affine(m, emit_affine(m, site->y, 1, site->rows), c->rows.out_step,
                                     c->rows.out_first),
                         emit_affine(m, site->x, c->columns.out_step, c->columns.out_first)};
    AheadRows ahead = {.base = base,
                       .first = get_i64(m, 0),
                       .stride = emit_mul(m, row, get_i64(m, c->rows.out_step)),
                       .rows = site->rows,
                       .pixels = site->columns,
                       .pixel = c->columns.out_step * dim_const_value(map->strides[3])};
    for (int i = 0; i < 4; i++)
        ahead.first = emit_add(m, ahead.first, emit_mul(m, at[i], get_dim(m, map->strides[i])));
    for (int q = 0; q < site->blocks; q++, ahead.first = emit_add(m, ahead.first, block))
        prefetch_rows(c, &ahead);
}

void conv_prefetch_maps_below(const Conv *c, const ConvSite *site) {
    const Kernel *kernel = c->kernel;
    if (!is_beyond_l3(c) && !kernel->sum_count) return;
    for (int i = 2; i < kernel->input_count; i++) {
        const Value *map = kernel->inputs[i];
        if (is_blocked(map) && shape_dims_equal(map->node->shape, kernel->anchor->shape))
            prefetch_like_results(c, site, map, get_argument(c->m, 1 + i));
    }
}

void conv_prefetch_results_below(const Conv *c, const ConvSite *site) {
    if (!c->kernel->output->streamed && (is_beyond_l3(c) || c->kernel->sum_count))
        prefetch_like_results(c, site, c->kernel->output, get_argument(c->m, 0));
    conv_prefetch_maps_below(c, site);
}
