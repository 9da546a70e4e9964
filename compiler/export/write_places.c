/* Elements at places: taken, put, or added up. ONNX puts rows of the first axis
 * (ScatterND): another axis is turned to the front, and back. */
#include "export/export.h"

/* ---- places ---- */

/* Whether all places are known, and there are so many. */
static bool is_index_within(Export *e, Node *index, Dim size) {
    const bool known = !(node_sources(&e->sources, e->graph, index) & ~(unsigned)MADE_OF_PLACES);
    int64_t limit, count;
    if (!known || !dim_is_const(size, &limit) || !shape_element_count(index->shape, &count) ||
        count > MAX_FOLDED)
        return false;
    Arena *scratch = arena_new();
    RefTensor places;
    bool within = reference_evaluate(e->graph, &index, 1, NULL, 0, &e->options->weights, scratch, &places);
    for (int64_t i = 0; i < count && within; i++)
        within = places.values[i].whole >= 0 && places.values[i].whole < limit;
    arena_free(scratch);
    return within;
}

static const char *last_index(Export *e, Dim size, DType type) {
    int64_t count;
    if (dim_is_const(size, &count)) return value_of_number(e, (double)(count - 1), type);
    const char *last = scalar_of_size(e, dim_offset(e->graph->dims, size, -1));
    return last && type != DTYPE_I64 ? call_cast(e, last, type) : last;
}

/* An index outside means the nearest inside. */
static const char *nearest_index(Export *e, const char *place, Dim size, DType type) {
    const char *last = last_index(e, size, type);
    return last ? call_2(e, "Min", call_2(e, "Max", place, value_of_number(e, 0, type)), last) : NULL;
}

static const char *value_of_places(Export *e, Node *index, Dim size) {
    const char *place = value_of(e, index);
    return is_index_within(e, index, size) ? place : nearest_index(e, place, size, index->shape.type);
}

const char *write_gather(Export *e, const Chosen *chosen) {
    Node *x = bound(chosen, "x")->node;
    const int64_t axis = ATTRIBUTES(chosen->node, gather)->axis;
    const char *place = value_of_places(e, bound(chosen, "y")->node, x->shape.dims[axis]);
    if (!place) return NULL;
    OnnxCall *call = call_begin(e, "Gather");
    call_input(call, value_of(e, x)), call_input(call, place);
    call_int(call, "axis", axis);
    return call_end(call);
}

/* ---- rows that are put at places ---- */

/* `count` axes from `first` on before the others. */
static const char *with_axes_first(Export *e, const char *x, int rank, int first, int count) {
    int64_t order[REF_MAX_RANK];
    if (first == 0 || count == 0) return x;
    for (int i = 0; i < rank; i++) order[i] = i < count ? first + i : i < first + count ? i - count : i;
    return call_transpose(e, x, (IntList){rank, order});
}

static const char *with_first_axis_at(Export *e, const char *x, int rank, int place) {
    int64_t order[REF_MAX_RANK];
    if (place == 0) return x;
    for (int i = 0; i < rank; i++) order[i] = i < place ? i + 1 : i == place ? 0 : i;
    return call_transpose(e, x, (IntList){rank, order});
}

/* Places [..] of ScatterND: i64[.., 1]. */
static const char *value_of_row_places(Export *e, Node *index, Dim size) {
    const Shape shape = index->shape;
    Dim dims[REF_MAX_RANK + 1];
    for (int i = 0; i < shape.rank; i++) dims[i] = shape.dims[i];
    dims[shape.rank] = dim_const(e->graph->dims, 1);
    const char *place = value_of_places(e, index, size);
    if (place && shape.type != DTYPE_I64) place = call_cast(e, place, DTYPE_I64);
    return value_reshaped(e, place, shape, (Shape){DTYPE_I64, shape.rank + 1, dims});
}

/* `values` of a gather's shape along `axis`, put onto `onto`, whose axis is the first
 * already. */
static const char *scattered_rows(Export *e, const Node *node, int axis, const char *onto, Node *index,
                                  Node *values, const char *reduction) {
    const char *places = value_of_row_places(e, index, node->shape.dims[axis]);
    if (!onto || !places) return NULL;
    const char *rows = with_axes_first(e, value_of(e, values), values->shape.rank, axis, index->shape.rank);
    OnnxCall *call = call_begin(e, "ScatterND");
    call_input(call, onto), call_input(call, places), call_input(call, rows);
    if (reduction) call_text(call, "reduction", reduction);
    return with_first_axis_at(e, call_end(call), node->shape.rank, axis);
}

const char *write_put(Export *e, const Chosen *chosen) {
    const int axis = (int)ATTRIBUTES(chosen->node, put)->axis;
    const char *onto =
        with_axes_first(e, value_of(e, bound(chosen, "x")->node), chosen->node->shape.rank, axis, 1);
    return scattered_rows(e, chosen->node, axis, onto, bound(chosen, "y")->node, bound(chosen, "z")->node,
                          NULL);
}

const char *write_scatter_add(Export *e, const Chosen *chosen) {
    const int axis = (int)ATTRIBUTES(chosen->node, scatter_add)->axis;
    const Shape y = chosen->node->shape;
    Dim dims[REF_MAX_RANK];
    for (int i = 0; i < y.rank; i++) dims[i] = y.dims[i == 0 ? axis : i <= axis ? i - 1 : i];
    const char *sizes = value_of_sizes(e, dims, y.rank);
    const char *onto = sizes ? call_2(e, "Expand", value_of_number(e, 0, y.type), sizes) : NULL;
    return scattered_rows(e, chosen->node, axis, onto, bound(chosen, "y")->node, bound(chosen, "x")->node,
                          "add");
}
