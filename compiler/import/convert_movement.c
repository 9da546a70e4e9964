/* Operators that move elements without computing: reshapes, slices, gathers,
 * permutations. */
#include "import/convert.h"

static void own_dims(Import *im, Wire *x, Dim *dims) {
    for (int i = 0; i < wire_rank(im, x); i++) dims[i] = wire_size(im, x, i);
}

/* ---- shapes ---- */

static Wire *flattened_wire(Import *im, Wire *x, const Dim *dims, int rank) {
    const bool is_flat = rank == 2 && wire_rank(im, x) > 2 && dims[0] == wire_size(im, x, 0) &&
                         dims[1] == size_product(im, x, 1, wire_rank(im, x));
    return is_flat ? stage(im, x, "flatten", "%s", "") : reshaped(im, x, dims, rank);
}

/* Rows that were found lie along an axis whose size is their number, copied, or what is
 * left; and a number that was counted is the size of rows. */
static Wire *with_rows_as_given(Import *im, Wire *y, const Dim *given, int rank) {
    const int rows = found_axis(im, y);
    int64_t size;
    for (int i = 0; i < rank; i++) {
        const bool fixed = dim_is_const(given[i], &size) && size > 0;
        if (i == rows ? fixed : found_is_count(im, given[i]))
            return cannot(im, "its shape is not that of rows whose number only a run knows");
    }
    return y;
}

/* A reshape that may join the axis of rows that were found with axes behind it: boxes of
 * each class, [rows, classes, 4], become rows of their own. */
static Wire *reshaped_rows(Import *im, Wire *x, const Dim *dims, int rank) {
    const int rows = found_axis(im, x);
    Dim before = rows > 0 ? size_product(im, x, 0, rows) : dim_const(im->dims, 1),
        product = dim_const(im->dims, 1);
    int axis = 0;
    while (axis < rank && product != before) product = dim_mul(im->dims, product, dims[axis++]);
    const bool joins = rows >= 0 && axis < rank && dims[axis] != wire_size(im, x, rows);
    for (int end = rows + 2; joins && end <= wire_rank(im, x); end++)
        if (size_product(im, x, rows, end) == dims[axis])
            return found_multiplied(im, x, dims, rank, axis, size_product(im, x, rows + 1, end));
    return flattened_wire(im, x, dims, rank);
}

void convert_reshape(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0);
    Dim given[16], dims[16], known = dim_const(im->dims, 1);
    int rank, open = -1;
    int64_t value;
    if (!x || !sizes_of(im, input_at(inputs, count, 1), "the shape", given, &rank)) return;
    for (int i = 0; i < rank; i++) {
        dims[i] = found_at_most(im, given[i]);
        const bool fixed = dim_is_const(dims[i], &value);
        if (fixed && value == 0 && !attribute_int(im, "allowzero", 0) && i < wire_rank(im, x))
            dims[i] = wire_size(im, x, i);
        if (fixed && value == -1) open = i;
        else known = dim_mul(im->dims, known, dims[i]);
    }
    if (open >= 0) dims[open] = dim_div_exact(im->dims, size_product(im, x, 0, wire_rank(im, x)), known);
    if (open >= 0 && !dims[open])
        cannot(im, "a shape whose -1 is not a whole number: %s over %s", onnx_shape_text(im, x),
               dim_string(im->arena, known));
    else outputs[0] = reshaped_rows(im, x, dims, rank);
    if (outputs[0]) outputs[0] = with_rows_as_given(im, outputs[0], given, rank);
}

void convert_flatten(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0);
    if (!x) return;
    int64_t axis = attribute_int(im, "axis", 1);
    const int rank = wire_rank(im, x);
    if (axis < 0) axis += rank;
    if (axis < 0 || axis > rank) {
        cannot(im, "there is no axis %lld", (long long)axis);
        return;
    }
    outputs[0] = reshaped_rows(
        im, x, (Dim[]){size_product(im, x, 0, (int)axis), size_product(im, x, (int)axis, rank)}, 2);
}

/* The axes that a node names: an attribute, or an input since opset 13; -1 if there are
 * none. */
int axes_given(Import *im, Wire *const *inputs, int count, int place, int64_t *axes) {
    const OnnxAttribute *a = attribute(im, "axes");
    int many = -1;
    if (a && a->kind == ATTRIBUTE_INTS && a->count <= 16)
        return memcpy(axes, a->integers, sizeof *axes * (size_t)a->count), a->count;
    if (input_at(inputs, count, place)) ints_of(im, inputs[place], "the axes", axes, &many);
    return many;
}

void convert_squeeze(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0);
    int64_t axes[16], size;
    Dim dims[16];
    if (!x) return;
    int many = axes_given(im, inputs, count, 1, axes), rank = 0;
    for (int i = 0; i < wire_rank(im, x) && !im->why; i++) {
        bool drop = many < 0 && wire_fixed(im, x, i, &size) && size == 1;
        for (int k = 0; k < many; k++) drop = drop || axis_of(im, axes[k], wire_rank(im, x)) == i;
        if (!drop) dims[rank++] = wire_size(im, x, i);
    }
    outputs[0] = im->why ? NULL : flattened_wire(im, x, dims, rank);
}

void convert_unsqueeze(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0);
    int64_t axes[16];
    Dim dims[16];
    bool fresh[16] = {false};
    if (!x) return;
    const int many = axes_given(im, inputs, count, 1, axes), rank = wire_rank(im, x) + many;
    if (many < 0 || rank > 16) cannot(im, "axes that are not known");
    for (int i = 0; i < many && !im->why; i++) {
        const int axis = axis_of(im, axes[i], rank);
        if (axis >= 0) fresh[axis] = true;
    }
    for (int i = 0, own = 0; i < rank && !im->why; i++)
        dims[i] = fresh[i] || own >= wire_rank(im, x) ? dim_const(im->dims, 1) : wire_size(im, x, own++);
    outputs[0] = im->why ? NULL : reshaped(im, x, dims, rank);
}

void convert_transpose(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0);
    int64_t axes[16];
    int order[16];
    if (!x) return;
    const int rank = wire_rank(im, x);
    const bool given = attribute_ints(im, "perm", rank, axes);
    for (int i = 0; i < rank; i++) order[i] = given ? (int)axes[i] : rank - 1 - i;
    outputs[0] = permuted(im, x, order);
}

Wire *broadcasted(Import *im, Wire *x, const Dim *dims, int rank) {
    Dim own[16], wanted[16], one = dim_const(im->dims, 1);
    if (!x) return NULL;
    const int have = wire_rank(im, x), max = have > rank ? have : rank;
    bool same = true;
    for (int i = 0; i < max; i++) {
        const int a = i - (max - have), b = i - (max - rank);
        own[i] = a >= 0 ? wire_size(im, x, a) : one;
        wanted[i] = b >= 0 && dims[b] != one ? dims[b] : own[i];
        if (!own[i] || !wanted[i]) return cannot(im, "sizes that depend on values that only a run knows");
        same = same && own[i] == wanted[i];
    }
    Wire *y = reshaped(im, x, own, max);
    return same || !y
               ? y
               : call(im, "primitive.broadcast", &y, 1, "dims = %s", dims_text(im->arena, wanted, max));
}

void convert_expand(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Dim dims[16];
    int rank;
    if (sizes_of(im, input_at(inputs, count, 1), "the shape", dims, &rank))
        outputs[0] = broadcasted(im, input_at(inputs, count, 0), dims, rank);
}

/* Repeats x along an axis: inserts an axis of `times` before it, and merges the two. */
static Wire *tiled_wire(Import *im, Wire *x, int axis, Dim times) {
    Dim dims[16], wide[17], thin[17];
    if (!x) return NULL;
    const int rank = wire_rank(im, x);
    int64_t few;
    own_dims(im, x, dims);
    if (dim_is_const(times, &few) && few <= 3)
        return few == 1 ? x : stage_of(im, (Wire *[]){x, x, x}, (int)few, "concat", "axis = %d", axis);
    for (int i = 0, k = 0; i < rank; i++) {
        if (i == axis) thin[k] = dim_const(im->dims, 1), wide[k++] = times;
        thin[k] = wide[k] = dims[i], k++;
    }
    Wire *y = broadcasted(im, reshaped(im, x, thin, rank + 1), wide, rank + 1);
    dims[axis] = dim_mul(im->dims, dims[axis], times);
    return reshaped(im, y, dims, rank);
}

void convert_tile(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Dim times[16];
    int many;
    Wire *x = input_at(inputs, count, 0);
    if (!x || !sizes_of(im, input_at(inputs, count, 1), "the repeats", times, &many)) return;
    if (many != wire_rank(im, x) || many > 15) cannot(im, "Tile with %d repeats", many);
    for (int i = 0; i < many && x && !im->why; i++) x = tiled_wire(im, x, i, times[i]);
    outputs[0] = im->why ? NULL : x;
}

/* ---- parts ---- */

/* Exporters mark an end of free size by INT32_MAX or more; tf2onnx uses 10^9. */
enum { END_OF_AXIS = 1000000000 };

/* The bounds of a slice, counted from 0 and within the axis. False if nothing lies
 * between them. */
static bool clamp_slice(int64_t size, int64_t *from, int64_t *to, int64_t step) {
    *from += *from < 0 ? size : 0, *to += *to < 0 ? size : 0;
    *from = max_i64(0, min_i64(*from, step > 0 ? size : size - 1));
    *to = max_i64(step > 0 ? 0 : -1, min_i64(*to, step > 0 ? size : size - 1));
    return step > 0 ? *from < *to : *from > *to;
}

static bool is_empty_slice(Import *im, Wire *x, int axis, Dim begin, Dim end, int64_t step) {
    int64_t from, to, size;
    if (step == 0) return false;
    return begin == end || (wire_fixed(im, x, axis, &size) && dim_is_const(begin, &from) &&
                            dim_is_const(end, &to) && !clamp_slice(size, &from, &to, step));
}

/* A part without elements, which may only be concatenated with others. */
static Wire *empty_wire(Import *im, Wire *x, int axis) {
    const int rank = wire_rank(im, x);
    Dim *dims = NEW_ARRAY(im->arena, Dim, rank);
    Wire *wire = NEW(im->arena, Wire);
    for (int i = 0; i < rank; i++) dims[i] = i == axis ? dim_const(im->dims, 0) : wire_size(im, x, i);
    *wire = (Wire){.type = x->type, .shape = {dtype_of(x->type), rank, dims}};
    return wire;
}

bool has_elements(Import *im, Wire *x) {
    for (int i = 0; i < wire_rank(im, x); i++)
        if (dim_is_zero(wire_size(im, x, i))) return false;
    return true;
}

/* One slice of a subscript as text, FROM:TO:STEP; ":" for a complete axis. */
static const char *slice_text(Import *im, Wire *x, int axis, Dim begin, Dim end, int64_t step) {
    int64_t from, to, size = -1;
    const bool fixed = wire_fixed(im, x, axis, &size),
               known = dim_is_const(begin, &from) && dim_is_const(end, &to);
    const char *step_text = step == 1 ? "" : arena_printf(im->arena, ":%lld", (long long)step);
    const char *from_text = dim_string(im->arena, begin), *to_text = dim_string(im->arena, end);
    if (!known && step == 1) {
        if (dim_is_const(begin, &from) && from == 0) from_text = "";
        if (end == wire_size(im, x, axis)) to_text = "";
        if (dim_is_const(end, &to) && to >= END_OF_AXIS) to_text = "";
        return arena_printf(im->arena, "%s:%s", from_text, to_text);
    }
    if (!known) return cannot(im, "a slice whose ends are free, with steps"), "";
    if (fixed) clamp_slice(size, &from, &to, step);
    const bool all_before = step > 0 ? from == 0 : fixed && from == size - 1;
    const bool all_behind =
        step > 0 ? to >= END_OF_AXIS || (fixed && to == size) : to < (fixed ? 0 : -END_OF_AXIS);
    return arena_printf(im->arena, "%s:%s%s",
                        all_before ? "" : arena_printf(im->arena, "%lld", (long long)from),
                        all_behind ? "" : arena_printf(im->arena, "%lld", (long long)to), step_text);
}

/* x[:, a:b, ..]; trailing `:` are left out. */
static Wire *cut_wire(Import *im, Wire *x, const char *const *places) {
    Text text = {.arena = im->arena};
    int last = -1;
    for (int i = 0; i < wire_rank(im, x); i++)
        if (strcmp(places[i], ":")) last = i;
    for (int i = 0; i <= last; i++) text_add(&text, "%s%s", i ? ", " : "", places[i]);
    return im->why ? NULL : last < 0 ? x : indexed(im, x, "%s", text_string(&text));
}

static Wire *part_of_wire(Import *im, Wire *x, int axis, Dim begin, Dim end) {
    const char *places[16];
    if (is_empty_slice(im, x, axis, begin, end, 1)) return empty_wire(im, x, axis);
    for (int i = 0; i < 16; i++) places[i] = ":";
    places[axis] = slice_text(im, x, axis, begin, end, 1);
    return cut_wire(im, x, places);
}

static bool is_negative(Dim place) {
    int64_t value;
    return dim_is_const(place, &value) && value < 0;
}

/* An end that is the number of x's own rows takes all of them. */
static bool end_of_found(Import *im, Wire *x, int axis, Dim *end) {
    if (!found_is_count(im, *end)) return true;
    if (*end != found_size(im, x, axis))
        return cannot(im, "where the slice ends depends on values that only a run knows");
    *end = wire_size(im, x, axis);
    return true;
}

/* Slice. Begins, ends, axes and steps are attributes up to opset 9, inputs since opset
 * 10. */
void convert_slice(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0);
    Dim begins[16], ends[16];
    int64_t axes[16], steps[16];
    int many = 0, other, axis;
    if (!x) return;
    const OnnxAttribute *starts = attribute(im, "starts"), *stops = attribute(im, "ends");
    if (starts && stops && starts->count == stops->count && starts->count <= 16) {
        for (many = 0; many < starts->count; many++)
            begins[many] = dim_const(im->dims, starts->integers[many]),
            ends[many] = dim_const(im->dims, stops->integers[many]);
    } else if (!sizes_of(im, input_at(inputs, count, 1), "where the slice begins", begins, &many) ||
               !sizes_of(im, input_at(inputs, count, 2), "where the slice ends", ends, &other))
        return;
    else if (other != many) cannot(im, "it begins at %d places and ends at %d", many, other);
    if (im->why) return;
    for (int i = 0; i < 16; i++) axes[i] = i, steps[i] = 1;
    if (axes_given(im, inputs, count, 3, axes) < 0 && im->why) return;
    if (input_at(inputs, count, 4) && !ints_of(im, inputs[4], "the steps", steps, &other)) return;
    const char *places[16];
    for (int i = 0; i < 16; i++) places[i] = ":";
    for (int i = 0; i < many; i++) {
        if ((axis = axis_of(im, axes[i], wire_rank(im, x))) < 0 || !end_of_found(im, x, axis, &ends[i]))
            return;
        if (axis == found_axis(im, x) && (is_negative(begins[i]) || is_negative(ends[i]))) {
            cannot(im, "it counts from the end of rows whose number only a run knows");
            return;
        }
        if (is_empty_slice(im, x, axis, begins[i], ends[i], steps[i])) {
            outputs[0] = empty_wire(im, x, axis);
            return;
        }
        places[axis] = slice_text(im, x, axis, begins[i], ends[i], steps[i]);
    }
    outputs[0] = cut_wire(im, x, places);
    found_cut(im, outputs[0]);
}

/* Split. The sizes are an attribute, an input since opset 13, or equal parts of which the
 * last may be smaller. */
void convert_split(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0);
    Dim sizes[64];
    int many = im->node->output_count, given = 0;
    if (!x) return;
    const int axis = axis_of(im, attribute_int(im, "axis", 0), wire_rank(im, x));
    const OnnxAttribute *a = attribute(im, "split");
    if (many > 64) cannot(im, "a split into %d", many);
    if (axis == found_axis(im, x)) cannot(im, "a split of rows whose number only a run knows");
    if (axis < 0 || im->why) return;
    if (a && a->kind == ATTRIBUTE_INTS && a->count == many)
        for (given = 0; given < many; given++) sizes[given] = dim_const(im->dims, a->integers[given]);
    else if (input_at(inputs, count, 1) && !sizes_of(im, inputs[1], "the sizes of the parts", sizes, &given))
        return;
    int64_t whole, each = 0;
    if (!given && wire_fixed(im, x, axis, &whole)) each = ceil_div(whole, many);
    for (int i = 0; i < many && !given && each; i++)
        sizes[i] = dim_const(im->dims, min_i64(each, whole - i * each));
    if (!given && !each) {
        Dim part = dim_div_exact(im->dims, wire_size(im, x, axis), dim_const(im->dims, many));
        if (!part) cannot(im, "a split of %s into %d", dim_string(im->arena, wire_size(im, x, axis)), many);
        for (int i = 0; i < many; i++) sizes[i] = part;
    } else if (given && given != many) cannot(im, "a split into %d of %d", many, given);
    Dim begin = dim_const(im->dims, 0);
    for (int i = 0; i < many && !im->why; i++) {
        Dim end = dim_add(im->dims, begin, sizes[i]);
        outputs[i] = part_of_wire(im, x, axis, begin, end);
        begin = end;
    }
}

static bool any_found_along(Import *im, Wire *const *parts, int count, int axis) {
    for (int i = 0; i < count; i++)
        if (found_axis(im, parts[i]) == axis) return true;
    return false;
}

void convert_concat(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *parts[256];
    int many = 0;
    for (int i = 0; i < count && many < 256; i++)
        if (inputs[i] && has_elements(im, inputs[i])) parts[many++] = inputs[i];
    if (count > 256 || many == 0) {
        cannot(im, "a concatenation of %d", count);
        return;
    }
    const int axis = axis_of(im, attribute_int(im, "axis", 1), wire_rank(im, parts[0]));
    if (axis < 0) return;
    if (many == 1) outputs[0] = parts[0];
    else if (any_found_along(im, parts, many, axis)) outputs[0] = rows_joined(im, parts, many, axis);
    else
        outputs[0] = axis == 1 ? stage_of(im, parts, many, "concat", "%s", "")
                               : stage_of(im, parts, many, "concat", "axis = %d", axis);
}

/* ---- elements at places ---- */

static bool may_be_negative(Import *im, Wire *index) {
    if (found_are_places(im, index)) return false;
    static const char *const callees[] = {"argmax", "primitive.top_k", "arange"};
    const Known *k = known_of(im, index);
    int64_t place;
    bool below = false;
    for (int64_t i = 0; k && k->sizes && i < k->count; i++)
        below = below || !dim_is_const(k->sizes[i], &place) || place < 0;
    if (k && k->sizes) return below;
    for (int i = 0; index->line && i < COUNT_OF(callees); i++)
        if (!strcmp(index->line->callee, callees[i])) return false;
    return true;
}

static bool is_constant_of(Import *im, Wire *wire, Dim value) {
    const Known *k = wire && wire_is_constant(wire) ? known_of(im, wire) : NULL;
    return k && k->sizes && k->count == 1 && k->sizes[0] == value;
}

/* x where the wire is max(x, value), or min; else NULL. */
static Wire *bounded_by(Import *im, Wire *wire, const char *callee, Dim value) {
    const Line *line = wire ? wire->line : NULL;
    const bool bounds = line && !strcmp(line->callee, callee) && line->inputs.count == 2;
    return bounds && is_constant_of(im, line->inputs.items[1].wire, value) ? line->inputs.items[0].wire
                                                                           : NULL;
}

Wire *places_of(Import *im, Wire *index, Dim size) {
    Wire *whole = index ? cast_to(im, index, ONNX_INT32) : NULL;
    if (!whole || !may_be_negative(im, whole) || (wire_is_constant(index) && !known_of(im, index)))
        return whole;
    Wire *turned = infix_size(im, "+", whole, size),
         *negative = typed(infix_number(im, "<", whole, 0), ONNX_BOOL);
    return typed(call(im, "select", (Wire *[]){negative, turned, whole}, 3, "%s", ""), ONNX_INT32);
}

Wire *nearest_places(Import *im, Wire *index, Dim size) {
    Wire *whole = index ? cast_to(im, index, ONNX_INT32) : NULL;
    Wire *below = bounded_by(im, whole, "min", dim_offset(im->dims, size, -1)),
         *bare = bounded_by(im, below, "max", dim_const(im->dims, 0));
    return bare ? bare : places_of(im, index, size);
}

static Wire *gathered_wire(Import *im, Wire *x, Wire *places, int axis) {
    return call(im, "primitive.gather", (Wire *[]){x, places}, 2, "axis = %d", axis);
}

enum { MAX_PLACES = 24 }; /* in a list of indices in the text; longer lists become a gather */

/* x[:, 3] or x[:, [2, 1, 0]]; NULL where there are too many indices. */
static Wire *taken_wire(Import *im, Wire *x, Wire *index, int axis) {
    const Known *k = known_of(im, index);
    const char *places[16];
    int64_t place;
    Text text = {.arena = im->arena};
    if (!k || k->rank > 1 || k->count == 0 || k->count > MAX_PLACES) return NULL;
    for (int64_t i = 0; i < k->count; i++) {
        if (!dim_is_const(k->sizes[i], &place)) return NULL;
        text_add(&text, "%s%lld", i ? ", " : "", (long long)place);
    }
    for (int i = 0; i < 16; i++) places[i] = ":";
    places[axis] = k->rank ? arena_printf(im->arena, "[%s]", text_string(&text)) : text_string(&text);
    return cut_wire(im, x, places);
}

/* What is taken from a tensor without elements: the axes of the index, the first `many`,
 * stand for `count` of its own, from `first` on. */
static Wire *empty_places(Import *im, Wire *x, Wire *index, int first, int count, int many) {
    Wire *wire = NEW(im->arena, Wire);
    Dim *dims = NEW_ARRAY(im->arena, Dim, 32);
    int rank = 0;
    for (int i = 0; i < first; i++) dims[rank++] = wire_size(im, x, i);
    for (int i = 0; i < many; i++) dims[rank++] = found_size(im, index, i);
    for (int i = first + count; i < wire_rank(im, x); i++) dims[rank++] = wire_size(im, x, i);
    if (rank > 16) return cannot(im, "a tensor of more than 16 axes");
    *wire = (Wire){.type = x->type, .shape = {dtype_of(x->type), rank, dims}};
    return wire;
}

void convert_gather(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0), *index = input_at(inputs, count, 1);
    if (!x || !index) return;
    const int axis = axis_of(im, attribute_int(im, "axis", 0), wire_rank(im, x));
    if (axis >= 0 && !has_elements(im, x))
        outputs[0] = empty_places(im, x, index, axis, 1, wire_rank(im, index));
    if (axis < 0 || outputs[0] || (outputs[0] = taken_wire(im, x, index, axis)) || im->why) return;
    outputs[0] = gathered_wire(im, x, nearest_places(im, index, wire_size(im, x, axis)), axis);
}

void convert_gather_elements(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0), *index = input_at(inputs, count, 1);
    if (!x || !index) return;
    const int axis = axis_of(im, attribute_int(im, "axis", 0), wire_rank(im, x));
    const char *places[16];
    for (int i = 0; i < 16; i++) places[i] = ":";
    for (int i = 0; i < wire_rank(im, x) && axis >= 0;
         i++) /* along the other axes only the part that the index covers is read */
        if (i != axis && wire_size(im, index, i) != wire_size(im, x, i))
            places[i] = arena_printf(im->arena, ":%s", dim_string(im->arena, wire_size(im, index, i)));
    if (axis >= 0)
        outputs[0] = call(im, "take_along",
                          (Wire *[]){cut_wire(im, x, places), places_of(im, index, wire_size(im, x, axis))},
                          2, "axis = %d", axis);
}

/* What was reshaped so that each of its elements has an axis of its own; else NULL. */
static Wire *without_last_axis(Import *im, Wire *index) {
    const Line *line = index->line;
    Wire *x = line && !strcmp(line->callee, "reshape") ? line->inputs.items[0].wire : NULL;
    const int rank = wire_rank(im, index) - 1;
    bool same = x && wire_rank(im, x) == rank && found_axis(im, index) < 0;
    for (int i = 0; same && i < rank; i++) same = wire_size(im, x, i) == wire_size(im, index, i);
    return same ? x : NULL;
}

/* Place `column` of the last axis, which goes. */
static Wire *column_of_places(Import *im, Wire *index, int column) {
    const int last = wire_rank(im, index) - 1;
    const Known *k = known_of(im, index);
    if (k && k->sizes) {
        Wire *known = wire_known(im, k->type, last, k->dims);
        for (int64_t i = 0; i < known->known->count; i++)
            known->known->sizes[i] = k->sizes[i * k->dims[last] + column];
        return known;
    }
    Wire *whole = without_last_axis(im, index);
    if (whole) return whole;
    const char *places[16];
    for (int i = 0; i < last; i++) places[i] = ":";
    places[last] = arena_printf(im->arena, "%d", column);
    return cut_wire(im, index, places);
}

Wire *rows_at(Import *im, Wire *x, Wire *index, Places *places, int *count) {
    int64_t deep;
    const int last = wire_rank(im, index) - 1, rank = wire_rank(im, x);
    if (last < 0 || !wire_fixed(im, index, last, &deep) || deep > rank)
        return cannot(im, "indices of a depth that is free");
    Wire *place = NULL;
    for (int i = 0; !im->why && i < (int)deep; i++) {
        Wire *one = (deep == 1 ? places : places_of)(im, column_of_places(im, index, i), wire_size(im, x, i));
        place = place ? infix(im, "+", infix_size(im, "*", place, wire_size(im, x, i)), one) : one;
    }
    *count = (int)deep;
    return im->why ? NULL : place;
}

/* Places behind the first axes, which x and the index share, as places on all axes: the
 * number of each sample is put before them. */
static Wire *with_own_samples(Import *im, Wire *index, int shared) {
    const int rank = wire_rank(im, index);
    Dim dims[16];
    Wire *columns[16];
    if (shared < 0 || shared >= rank) return cannot(im, "batch_dims = %d", shared);
    for (int i = 0; i < rank; i++) dims[i] = wire_size(im, index, i);
    dims[rank - 1] = dim_const(im->dims, 1);
    for (int i = 0; i < shared; i++) {
        Wire *numbers = typed(call(im, "arange", NULL, 0, "%s, dtype = \"%s\"",
                                   dim_string(im->arena, dims[i]), dtype_name(dtype_of(index->type))),
                              index->type);
        columns[i] = broadcasted(im, on_axis(im, numbers, rank, i), dims, rank);
    }
    columns[shared] = index;
    return shared ? stage_of(im, columns, shared + 1, "concat", "axis = %d", rank - 1) : index;
}

void convert_gather_nd(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0), *index = input_at(inputs, count, 1);
    int deep;
    if (!x || !index) return;
    index = with_own_samples(im, index, (int)attribute_int(im, "batch_dims", 0));
    int64_t last;
    if (index && !has_elements(im, x) && wire_fixed(im, index, wire_rank(im, index) - 1, &last)) {
        outputs[0] = empty_places(im, x, index, 0, (int)last, wire_rank(im, index) - 1);
        return;
    }
    Wire *place = index ? rows_at(im, x, index, nearest_places, &deep) : NULL;
    if (im->why) return;
    const int rank = wire_rank(im, x);
    Dim dims[16] = {size_product(im, x, 0, deep)};
    for (int i = deep; i < rank; i++) dims[i - deep + 1] = wire_size(im, x, i);
    outputs[0] = gathered_wire(im, reshaped(im, x, dims, rank - deep + 1), place, 0);
}

void convert_one_hot(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *index = input_at(inputs, count, 0), *values = input_at(inputs, count, 2);
    double many;
    if (!index || !values || !number_of(im, input_at(inputs, count, 1), "the depth", &many)) return;
    if (!(many >= 1 && many <= 0x1p31)) {
        cannot(im, "a depth of %g", many);
        return;
    }
    const int64_t depth = (int64_t)many;
    const int rank = wire_rank(im, index) + 1, axis = axis_of(im, attribute_int(im, "axis", -1), rank);
    Dim dims[16];
    if (axis < 0 || rank > 16) return;
    for (int i = 0, k = 0; i < rank; i++)
        dims[i] = i == axis ? dim_const(im->dims, 1) : wire_size(im, index, k++);
    Wire *places = places_of(im, index, dim_const(im->dims, depth)),
         *all = typed(call(im, "arange", NULL, 0, "%lld", (long long)depth), ONNX_INT32);
    Wire *hit =
        typed(infix(im, "==", reshaped(im, places, dims, rank), on_axis(im, all, rank, axis)), ONNX_BOOL);
    outputs[0] = typed(
        call(im, "select", (Wire *[]){hit, indexed(im, values, "1"), indexed(im, values, "0")}, 3, "%s", ""),
        values->type);
}

/* ---- borders ---- */

/* Negative padding crops: slices x where `before` or `after` is negative. */
static Wire *cropped_wire(Import *im, Wire *x, Dim *before, Dim *after) {
    const char *places[16];
    int64_t pad;
    for (int i = 0; i < wire_rank(im, x); i++) {
        Dim begin = dim_const(im->dims, 0), end = wire_size(im, x, i);
        if (dim_is_const(before[i], &pad) && pad < 0)
            begin = dim_const(im->dims, -pad), before[i] = dim_const(im->dims, 0);
        if (dim_is_const(after[i], &pad) && pad < 0)
            end = dim_offset(im->dims, end, pad), after[i] = dim_const(im->dims, 0);
        places[i] = slice_text(im, x, i, begin, end, 1);
    }
    return cut_wire(im, x, places);
}

static bool pads_of(Import *im, Wire *const *inputs, int count, Wire *x, Dim *before, Dim *after) {
    const OnnxAttribute *a = attribute(im, "pads");
    const int rank = wire_rank(im, x);
    Dim pads[32];
    int64_t axes[16];
    int many = 0;
    for (int i = 0; i < rank; i++) before[i] = after[i] = dim_const(im->dims, 0), axes[i] = i;
    if (a && a->kind == ATTRIBUTE_INTS && a->count <= 32)
        for (many = 0; many < a->count; many++) pads[many] = dim_const(im->dims, a->integers[many]);
    else if (!sizes_of(im, input_at(inputs, count, 1), "the pads", pads, &many)) return false;
    int own = axes_given(im, inputs, count, 3, axes);
    if (own < 0) own = rank;
    if (im->why || many != 2 * own) return cannot(im, "%d pads for %d axes", many, own);
    for (int i = 0; i < own; i++) {
        const int axis = axis_of(im, axes[i], rank);
        if (axis < 0) return false;
        before[axis] = pads[i], after[axis] = pads[own + i];
    }
    return true;
}

/* What repeats beyond both ends: before and after it stand its own last and first
 * elements. */
static Wire *padded_by_wrapping(Import *im, Wire *x, const Dim *before, const Dim *after) {
    const int rank = wire_rank(im, x);
    for (int i = 0; i < rank && x; i++) {
        const char *places[16];
        Dim size = wire_size(im, x, i), none = dim_const(im->dims, 0);
        Wire *parts[3];
        int many = 0;
        int64_t front, behind, all;
        if (before[i] == none && after[i] == none) continue;
        if (!dim_is_const(before[i], &front) || !dim_is_const(after[i], &behind) ||
            !wire_fixed(im, x, i, &all) || front > all || behind > all)
            return cannot(im, "the mode wrap beyond a turn, or by sizes that are free");
        for (int k = 0; k < rank; k++) places[k] = ":";
        places[i] = slice_text(im, x, i, dim_offset(im->dims, size, -front), size, 1);
        if (front) parts[many++] = cut_wire(im, x, places);
        parts[many++] = x;
        places[i] = slice_text(im, x, i, none, after[i], 1);
        if (behind) parts[many++] = cut_wire(im, x, places);
        x = stage_of(im, parts, many, "concat", "axis = %d", i);
    }
    return x;
}

/* Rows that were found, and as many more as make a fixed number of all. */
static Wire *filled_up(Import *im, Wire *x, Dim *after, const char *mode, const char *number) {
    const int axis = found_axis(im, x);
    if (axis < 0 || dim_is_zero(after[axis])) return x;
    Dim all = dim_add(im->dims, after[axis], found_size(im, x, axis));
    if (!dim_is_const(all, NULL) || strcmp(mode, "constant"))
        return cannot(im, "it pads rows whose number only a run knows, and not to a number that is known");
    after[axis] = dim_sub(im->dims, all, wire_size(im, x, axis));
    return found_filled(im, x, number);
}

void convert_pad(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0);
    Dim before[16], after[16], zero = dim_const(im->dims, 0);
    double value = attribute_real(im, "value", 0);
    if (!x || !pads_of(im, inputs, count, x, before, after)) return;
    if (input_at(inputs, count, 2) && !number_of(im, inputs[2], "the value of the border", &value)) return;
    const char *mode = attribute_string(im, "mode", "constant"), *ours = !strcmp(mode, "edge") ? "replicate"
                                                                         : !strcmp(mode, "reflect")
                                                                             ? "reflect"
                                                                             : "constant";
    const int rank = wire_rank(im, x);
    x = filled_up(im, x, after, mode, number_text(im->arena, value, onnx_type_is_float(x->type)));
    if (!x || !(x = cropped_wire(im, x, before, after))) return;
    if (!strcmp(mode, "wrap")) {
        outputs[0] = padded_by_wrapping(im, x, before, after);
        return;
    }
    bool any = false;
    for (int i = 0; i < rank; i++) any = any || before[i] != zero || after[i] != zero;
    const bool plain =
        rank == 4 && before[0] == zero && after[0] == zero && before[1] == zero && after[1] == zero;
    const char *number = number_text(im->arena, value, onnx_type_is_float(x->type));
    if (!any) outputs[0] = x;
    else if (plain) {
        const char *amount = dims_text(im->arena, (Dim[]){before[2], after[2], before[3], after[3]}, 4);
        const char *way = strcmp(ours, "constant") ? arena_printf(im->arena, ", mode = \"%s\"", ours)
                          : value != 0             ? arena_printf(im->arena, ", value = %s", number)
                                                   : "";
        const bool equal = before[2] == after[2] && before[2] == before[3] && before[2] == after[3];
        outputs[0] = stage(im, x, "pad", "%s%s", equal ? dim_string(im->arena, before[2]) : amount, way);
    } else
        outputs[0] =
            call(im, "primitive.pad", &x, 1, "before = %s, after = %s, mode = \"%s\", value = %s",
                 dims_text(im->arena, before, rank), dims_text(im->arena, after, rank), ours, number);
}

void convert_reverse_sequence(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0), *lengths = input_at(inputs, count, 1);
    const int64_t axis = attribute_int(im, "time_axis", 0), batch = attribute_int(im, "batch_axis", 1);
    if (!x || !lengths || !(lengths = cast_to(im, lengths, ONNX_INT32))) return;
    if (wire_rank(im, x) < 2 || axis < 0 || axis > 1 || batch != 1 - axis)
        cannot(im, "sequences along axis %lld of samples along axis %lld", (long long)axis, (long long)batch);
    outputs[0] = call(im, "onnx.reverse_first", (Wire *[]){x, lengths}, 2, "%lld, %lld", (long long)axis,
                      (long long)batch);
}

/* Cuts from both ends, or puts zeros there, until some axes have the sizes wanted. */
void convert_center_crop_pad(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0);
    const OnnxAttribute *along = attribute(im, "axes");
    Dim before[16], after[16];
    int64_t sizes[16], own;
    int many;
    bool any = false;
    if (!x || !ints_of(im, input_at(inputs, count, 1), "the size", sizes, &many)) return;
    const int rank = wire_rank(im, x);
    for (int i = 0; i < rank; i++) before[i] = after[i] = dim_const(im->dims, 0);
    if (many != (along ? along->count : rank)) cannot(im, "%d sizes for other axes", many);
    for (int i = 0; i < many && !im->why; i++) {
        const int axis = along ? axis_of(im, along->integers[i], rank) : i;
        if (axis < 0) return;
        if (!wire_fixed(im, x, axis, &own)) cannot(im, "the middle of a size that is free");
        if (im->why) return;
        const int64_t more = sizes[i] - own;
        before[axis] = dim_const(im->dims, more / 2), after[axis] = dim_const(im->dims, more - more / 2);
        any = any || more > 0;
    }
    if (im->why || !(x = cropped_wire(im, x, before, after))) return;
    outputs[0] =
        any ? call(im, "primitive.pad", &x, 1, "before = %s, after = %s, mode = \"constant\", value = %s",
                   dims_text(im->arena, before, rank), dims_text(im->arena, after, rank),
                   number_text(im->arena, 0, onnx_type_is_float(x->type)))
            : x;
}

/* ---- pixels and channels ---- */

void convert_depth_to_space(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0);
    const int64_t r = attribute_int(im, "blocksize", 1);
    int64_t channels;
    if (!x || wire_rank(im, x) != 4 || !wire_fixed(im, x, 1, &channels) || r < 1 || r > channels ||
        channels % (r * r))
        cannot(im, "DepthToSpace of this shape");
    if (im->why) return;
    if (!strcmp(attribute_string(im, "mode", "DCR"), "CRD")) {
        outputs[0] = stage(im, x, "pixel_shuffle", "%lld", (long long)r);
        return;
    }
    Dim n = wire_size(im, x, 0), h = wire_size(im, x, 2), w = wire_size(im, x, 3),
        c = dim_const(im->dims, channels / (r * r)), f = dim_const(im->dims, r);
    Wire *y = permuted(im, reshaped(im, x, (Dim[]){n, f, f, c, h, w}, 6), (int[]){0, 3, 4, 1, 5, 2});
    outputs[0] = reshaped(im, y, (Dim[]){n, c, dim_mul(im->dims, h, f), dim_mul(im->dims, w, f)}, 4);
}

void convert_space_to_depth(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0);
    const int64_t r = attribute_int(im, "blocksize", 1);
    if (!x || wire_rank(im, x) != 4 || r < 1 || r > INT32_MAX) cannot(im, "SpaceToDepth of this shape");
    if (im->why) return;
    if (!strcmp(attribute_string(im, "mode", "DCR"), "CRD")) {
        outputs[0] = stage(im, x, "pixel_unshuffle", "%lld", (long long)r);
        return;
    }
    Dim n = wire_size(im, x, 0), c = wire_size(im, x, 1), f = dim_const(im->dims, r);
    Dim h = dim_div_exact(im->dims, wire_size(im, x, 2), f),
        w = dim_div_exact(im->dims, wire_size(im, x, 3), f);
    if (!h || !w) {
        cannot(im, "SpaceToDepth of %s by %lld", onnx_shape_text(im, x), (long long)r);
        return;
    }
    Wire *y = permuted(im, reshaped(im, x, (Dim[]){n, c, h, f, w, f}, 6), (int[]){0, 3, 5, 1, 2, 4});
    outputs[0] = reshaped(im, y, (Dim[]){n, dim_scale(im->dims, c, r * r), h, w}, 4);
}

/* ---- triangles ---- */

void convert_trilu(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0);
    int64_t k = 0;
    if (!x || (input_at(inputs, count, 1) && !int_of(im, inputs[1], "the diagonal", &k))) return;
    const int rank = wire_rank(im, x);
    if (rank < 2) return;
    Dim rows = wire_size(im, x, rank - 2), columns = wire_size(im, x, rank - 1);
    Wire *row = typed(call(im, "arange", NULL, 0, "%s", dim_string(im->arena, rows)), ONNX_INT32);
    Wire *column = typed(call(im, "arange", NULL, 0, "%s", dim_string(im->arena, columns)), ONNX_INT32);
    Wire *apart = infix(im, "-", column, reshaped(im, row, (Dim[]){rows, dim_const(im->dims, 1)}, 2));
    const bool upper = attribute_int(im, "upper", 1);
    Wire *kept =
        typed(infix_number(im, upper ? ">=" : "<=", apart, (double)max_i64(INT32_MIN, min_i64(k, INT32_MAX))),
              ONNX_BOOL);
    if (x->type == ONNX_BOOL) outputs[0] = infix(im, "and", x, kept);
    else
        outputs[0] =
            typed(call(im, "select", (Wire *[]){kept, x, infix_number(im, "*", x, 0)}, 3, "%s", ""), x->type);
}

void convert_eye_like(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0);
    if (!x || wire_rank(im, x) != 2) return;
    const int type = (int)attribute_int(im, "dtype", x->type);
    Dim rows = wire_size(im, x, 0), columns = wire_size(im, x, 1);
    Wire *row = typed(call(im, "arange", NULL, 0, "%s", dim_string(im->arena, rows)), ONNX_INT32);
    Wire *column = typed(call(im, "arange", NULL, 0, "%s", dim_string(im->arena, columns)), ONNX_INT32);
    Wire *apart = infix(im, "-", column, reshaped(im, row, (Dim[]){rows, dim_const(im->dims, 1)}, 2));
    outputs[0] =
        cast_to(im, typed(infix_number(im, "==", apart, (double)attribute_int(im, "k", 0)), ONNX_BOOL), type);
}
