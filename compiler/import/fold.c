/* Evaluates constants and the arithmetic of shapes while importing: Shape, Gather, Concat
 * and the like become polynomials over the model's symbols, and conditions and axes
 * become known. */
#include "import/import.h"
#include <math.h>
#include <stdlib.h>

enum { MAX_FOLDED = 1 << 14 };

typedef const Known *const *Knowns;

static void element_copy(const Known *from, int64_t i, Known *to, int64_t k) {
    if (to->reals) to->reals[k] = from->reals[i];
    else to->sizes[k] = from->sizes[i];
}

static bool constant_int(const Known *k, int64_t i, int64_t *out) {
    return k && k->sizes && i < k->count && dim_is_const(k->sizes[i], out);
}

/* Stores all elements of a list of ints; false if one depends on a symbol. */
static bool all_ints(const Known *k, int64_t *out, int max) {
    if (!k || !k->sizes || k->count > max) return false;
    for (int64_t i = 0; i < k->count; i++)
        if (!dim_is_const(k->sizes[i], &out[i])) return false;
    return true;
}

static Known *known_new(Import *im, int type, int rank, const int64_t *dims) {
    int64_t count = 1;
    for (int i = 0; i < rank; i++)
        if (dims[i] < 0 || __builtin_mul_overflow(count, dims[i], &count) || count > MAX_FOLDED) return NULL;
    return wire_known(im, type, rank, dims)->known;
}

/* A known value of the same kind as `like`; a float that comes from a size is kept as a
 * size. */
static Known *known_like(Import *im, const Known *like, int rank, const int64_t *dims) {
    Known *known = known_new(im, like->type, rank, dims);
    if (!known || !like->sizes || known->sizes) return known;
    known->reals = NULL, known->sizes = NEW_ARRAY(im->arena, Dim, known->count);
    return known;
}

/* The elements as sizes if they are integers; else NULL. */
static const Known *as_sizes(Import *im, const Known *k) {
    if (!k || k->sizes) return k;
    Known *out = arena_copy(im->arena, k, sizeof *k);
    out->reals = NULL, out->sizes = NEW_ARRAY(im->arena, Dim, k->count);
    for (int64_t i = 0; i < k->count; i++) {
        if (k->reals[i] != floor(k->reals[i]) || fabs(k->reals[i]) > 0x1p53) return NULL;
        out->sizes[i] = dim_const(im->dims, (int64_t)k->reals[i]);
    }
    return out;
}

const Known *known_sizes(Import *im, Wire *wire) { return as_sizes(im, known_of(im, wire)); }

/* ---- element by element ---- */

/* The steps of floats of fewer bits are computed in f32. */
static double real_as_held(double x, int type) { return type == ONNX_DOUBLE ? x : (double)(float)x; }

static double real_as_stored(double x, int type) {
    return number_cast((Number){.real = real_as_held(x, type)}, DTYPE_F32, stored_dtype(type)).real;
}

static bool divide_sizes(Dims *dims, Dim a, Dim b, Dim *out) {
    int64_t x, y;
    if (!dim_is_const(b, &y)) return (*out = dim_div_exact(dims, a, b)) != NULL;
    if (y == 0) return false;
    if (dim_is_const(a, &x))
        return y != -1 ? (*out = dim_const(dims, x / y), true) : (*out = dim_scale(dims, a, -1), true);
    if (y < 0) return false;
    return (*out = dim_floor_div(dims, a, y)), true; /* sizes are not negative */
}

static bool compare_sizes(Dims *dims, char op, Dim a, Dim b, bool *out) {
    int64_t low, high;
    dim_bounds(dim_sub(dims, a, b), &low, &high);
    bool less = high<0, more = low> 0, equal = low == 0 && high == 0, not_less = low >= 0,
         not_more = high <= 0;
    switch (op) {
    case '=': return *out = equal, equal || less || more;
    case '<': return *out = less, less || not_less;
    case '>': return *out = more, more || not_more;
    case 'l': return *out = not_more, more || not_more;
    case 'g': return *out = not_less, less || not_less;
    default: return false;
    }
}

static bool combine_sizes(Dims *dims, char op, Dim a, Dim b, Dim *out) {
    bool truth;
    int64_t x, y;
    const bool fixed = dim_is_const(a, &x) && dim_is_const(b, &y);
    switch (op) {
    case '+': *out = dim_add(dims, a, b); return true;
    case '-': *out = dim_sub(dims, a, b); return true;
    case '*': *out = dim_mul(dims, a, b); return true;
    case '/': return divide_sizes(dims, a, b, out);
    case '%': return fixed && y != 0 && y != -1 && (*out = dim_const(dims, ((x % y) + y) % y), true);
    case '^': {
        if (!fixed || y < 0) return false;
        double power = real_pow((double)x, (double)y);
        return fabs(power) < 0x1p53 && (*out = dim_const(dims, (int64_t)power), true);
    }
    case 'm':
    case 'M':
        if (!compare_sizes(dims, op == 'm' ? 'l' : 'g', a, b, &truth)) return false;
        *out = truth ? a : b;
        return true;
    case '&': return fixed && (*out = dim_const(dims, x && y), true);
    case '|': return fixed && (*out = dim_const(dims, x || y), true);
    default:
        if (!compare_sizes(dims, op, a, b, &truth)) return false;
        *out = dim_const(dims, truth);
        return true;
    }
}

static double combine_reals(char op, double a, double b) {
    switch (op) {
    case '+': return a + b;
    case '-': return a - b;
    case '*': return a * b;
    case '/': return a / b;
    case '^': return real_pow(a, b);
    case 'm': return fmin(a, b);
    case 'M': return fmax(a, b);
    case '=': return a == b;
    case '<': return a < b;
    case '>': return a > b;
    case 'l': return a <= b;
    default: return a >= b;
    }
}

/* The index in a tensor of the element that broadcasts to element `i` of a shape. */
static int64_t broadcast_place(const Known *k, int rank, const int64_t *dims, int64_t i) {
    int64_t place = 0, step = 1;
    for (int axis = rank - 1, own = k->rank - 1; own >= 0; axis--, own--) {
        int64_t at = i % dims[axis];
        i /= dims[axis];
        if (k->dims[own] != 1) place += at * step;
        step *= k->dims[own];
    }
    return place;
}

static bool broadcast_shape(Knowns in, int count, int *rank, int64_t *dims) {
    *rank = 0;
    for (int i = 0; i < count; i++) *rank = in[i]->rank > *rank ? in[i]->rank : *rank;
    for (int axis = 0; axis < *rank; axis++) {
        dims[axis] = 1;
        for (int i = 0; i < count; i++) {
            int own = axis - (*rank - in[i]->rank);
            if (own < 0 || in[i]->dims[own] == 1) continue;
            if (dims[axis] != 1 && dims[axis] != in[i]->dims[own]) return false;
            dims[axis] = in[i]->dims[own];
        }
    }
    return true;
}

/* Arithmetic on sizes. A quotient of floats that are sizes must be exact; a quotient of
 * ints is truncated. */
static Known *fold_sizes(Import *im, Known *out, Knowns in, int rank, const int64_t *dims, char op) {
    const bool real = onnx_type_is_float(in[0]->type);
    for (int64_t i = 0; i < out->count; i++) {
        Dim a = in[0]->sizes[broadcast_place(in[0], rank, dims, i)],
            b = in[1]->sizes[broadcast_place(in[1], rank, dims, i)];
        if (real && op == '/') out->sizes[i] = dim_div_exact(im->dims, a, b);
        else if (!combine_sizes(im->dims, op, a, b, &out->sizes[i])) return NULL;
        if (!out->sizes[i]) return NULL;
    }
    return out;
}

static Known *fold_binary(Import *im, Knowns given, char op, bool truth) {
    int rank;
    int64_t dims[16];
    const Known *in[] = {given[0], given[1]};
    if (!in[0] || !in[1] || !broadcast_shape(in, 2, &rank, dims)) return NULL;
    if (!in[0]->reals != !in[1]->reals) in[0] = as_sizes(im, in[0]), in[1] = as_sizes(im, in[1]);
    if (!in[0] || !in[1]) return NULL;
    Known *out = truth ? known_new(im, ONNX_BOOL, rank, dims) : known_like(im, in[0], rank, dims);
    if (!out || in[0]->sizes) return out ? fold_sizes(im, out, in, rank, dims, op) : NULL;
    for (int64_t i = 0; i < out->count; i++) {
        const int64_t a = broadcast_place(in[0], rank, dims, i), b = broadcast_place(in[1], rank, dims, i);
        const double value = combine_reals(op, in[0]->reals[a], in[1]->reals[b]);
        if (truth) out->sizes[i] = dim_const(im->dims, (int64_t)value);
        else out->reals[i] = real_as_held(value, out->type);
    }
    return out;
}

static Known *fold_where(Import *im, Knowns in) {
    int rank;
    int64_t dims[16], chosen;
    if (!in[0] || !in[1] || !in[2] || !broadcast_shape(in, 3, &rank, dims)) return NULL;
    Known *out = !in[1]->reals == !in[2]->reals ? known_like(im, in[1], rank, dims) : NULL;
    for (int64_t i = 0; out && i < out->count; i++) {
        if (!constant_int(in[0], broadcast_place(in[0], rank, dims, i), &chosen)) return NULL;
        const Known *from = chosen ? in[1] : in[2];
        element_copy(from, broadcast_place(from, rank, dims, i), out, i);
    }
    return out;
}

static Known *fold_clip(Import *im, Knowns in, int count) {
    Known *out = arena_copy(im->arena, in[0], sizeof *in[0]);
    if (attribute(im, "min") || attribute(im, "max")) return NULL;
    for (int i = 1; i < count && out; i++) {
        const Known *both[] = {out, in[i]};
        if (in[i]) out = fold_binary(im, both, i == 1 ? 'M' : 'm', false);
    }
    return out;
}

static double unary_real(const char *op, double x) {
    if (!strcmp(op, "Floor")) return floor(x);
    if (!strcmp(op, "Ceil")) return ceil(x);
    if (!strcmp(op, "Round")) return nearbyint(x);
    if (!strcmp(op, "Sqrt")) return sqrt(x);
    if (!strcmp(op, "Neg")) return -x;
    if (!strcmp(op, "Reciprocal")) return 1 / x;
    if (!strcmp(op, "Exp")) return real_exp(x);
    if (!strcmp(op, "Log")) return real_log(x);
    return fabs(x);
}

static bool unary_size(Import *im, const char *op, Dim x, Dim *out) {
    int64_t value;
    if (!strcmp(op, "Neg")) return *out = dim_scale(im->dims, x, -1), true;
    if (!strcmp(op, "Floor") || !strcmp(op, "Ceil") || !strcmp(op, "Round")) return *out = x, true;
    if (!dim_is_const(x, &value)) return false;
    if (!strcmp(op, "Not")) return *out = dim_const(im->dims, !value), true;
    return !strcmp(op, "Abs") && (*out = dim_const(im->dims, llabs(value)), true);
}

static Known *fold_unary(Import *im, Knowns in, const char *op) {
    Known *out = in[0] ? known_like(im, in[0], in[0]->rank, in[0]->dims) : NULL;
    for (int64_t i = 0; out && i < out->count; i++) {
        if (out->reals) out->reals[i] = unary_real(op, in[0]->reals[i]);
        else if (!unary_size(im, op, in[0]->sizes[i], &out->sizes[i])) return NULL;
    }
    return out;
}

static int64_t wrapped_to_onnx(int64_t value, int type) {
    const int bits = 8 * onnx_type_bytes(type);
    if (type == ONNX_BOOL) return value != 0;
    if (bits >= 64 || bits == 0) return value;
    const int64_t low = (int64_t)((uint64_t)value & ((UINT64_C(1) << bits) - 1));
    const bool is_signed = type == ONNX_INT8 || type == ONNX_INT16 || type == ONNX_INT32;
    return is_signed && low >> (bits - 1) ? low - (INT64_C(1) << bits) : low;
}

static Known *fold_cast(Import *im, const Known *in, int type) {
    if (!in || !onnx_type_bytes(type)) return NULL;
    Known *out = known_new(im, type, in->rank, in->dims);
    bool free = false;
    for (int64_t i = 0; in->sizes && i < in->count; i++) free = free || !dim_is_const(in->sizes[i], NULL);
    if (out && out->reals && free) out->reals = NULL, out->sizes = in->sizes;
    for (int64_t i = 0; out && i < out->count; i++) {
        int64_t whole;
        if (in->reals && out->reals) out->reals[i] = real_as_stored(in->reals[i], type);
        else if (in->reals) {
            if (!(fabs(in->reals[i]) < 0x1p62)) return NULL;
            out->sizes[i] =
                dim_const(im->dims, type == ONNX_BOOL ? in->reals[i] != 0
                                                      : wrapped_to_onnx((int64_t)in->reals[i], type));
        } else if (dim_is_const(in->sizes[i], &whole)) {
            if (out->reals) out->reals[i] = real_as_stored((double)whole, type);
            else if (out->sizes != in->sizes)
                out->sizes[i] = dim_const(im->dims, wrapped_to_onnx(whole, type));
        } else if (type == ONNX_BOOL || onnx_type_bytes(type) < 4) return NULL;
        else out->sizes[i] = in->sizes[i];
    }
    return out;
}

/* ---- movement ---- */

static Known *with_dims(Import *im, const Known *in, int rank, const int64_t *dims) {
    Known *out = NEW(im->arena, Known);
    *out = *in;
    out->rank = rank, out->count = 1;
    for (int i = 0; i < rank; i++) {
        out->dims[i] = dims[i];
        if (dims[i] < 0 || __builtin_mul_overflow(out->count, dims[i], &out->count)) return NULL;
    }
    return out->count == in->count ? out : NULL;
}

static bool axis_from(int64_t axis, int rank, int *out) {
    if (axis < -rank || axis >= rank) return false;
    *out = (int)(axis < 0 ? axis + rank : axis);
    return true;
}

static void outer_inner(const Known *k, int axis, int64_t *outer, int64_t *inner) {
    *outer = *inner = 1;
    for (int i = 0; i < axis; i++) *outer *= k->dims[i];
    for (int i = axis + 1; i < k->rank; i++) *inner *= k->dims[i];
}

static Known *fold_gather(Import *im, Knowns in) {
    int axis;
    int64_t dims[32], outer, inner, place;
    if (!in[0] || !in[1] || !in[1]->sizes || !axis_from(attribute_int(im, "axis", 0), in[0]->rank, &axis) ||
        in[0]->rank - 1 + in[1]->rank > 16)
        return NULL;
    int rank = 0;
    for (int i = 0; i < axis; i++) dims[rank++] = in[0]->dims[i];
    for (int i = 0; i < in[1]->rank; i++) dims[rank++] = in[1]->dims[i];
    for (int i = axis + 1; i < in[0]->rank; i++) dims[rank++] = in[0]->dims[i];
    outer_inner(in[0], axis, &outer, &inner);
    Known *out = known_like(im, in[0], rank, dims);
    if (!out) return NULL;
    const int64_t size = in[0]->dims[axis], many = in[1]->count;
    for (int64_t j = 0; j < many; j++) {
        if (!constant_int(in[1], j, &place) || place < -size || place >= size) return NULL;
        place += place < 0 ? size : 0;
        for (int64_t o = 0; o < outer; o++)
            for (int64_t i = 0; i < inner; i++)
                element_copy(in[0], (o * size + place) * inner + i, out, (o * many + j) * inner + i);
    }
    return out;
}

static Known *fold_concat(Import *im, Knowns in, int count) {
    int axis;
    int64_t dims[16], outer, inner;
    if (!in[0] || !axis_from(attribute_int(im, "axis", 0), in[0]->rank, &axis)) return NULL;
    memcpy(dims, in[0]->dims, sizeof dims);
    for (int i = 1; i < count; i++) {
        if (!in[i] || in[i]->rank != in[0]->rank || !in[i]->reals != !in[0]->reals) return NULL;
        dims[axis] += in[i]->dims[axis];
    }
    outer_inner(in[0], axis, &outer, &inner);
    Known *out = known_like(im, in[0], in[0]->rank, dims);
    for (int64_t part = 0, before = 0; out && part < count; before += in[part++]->dims[axis])
        for (int64_t o = 0; o < outer; o++)
            for (int64_t i = 0;
                 i < in[part]->dims[axis] * inner && in[part]->count == outer * inner * in[part]->dims[axis];
                 i++)
                element_copy(in[part], o * in[part]->dims[axis] * inner + i, out,
                             (o * dims[axis] + before) * inner + i);
    return out;
}

/* The axes of Squeeze, Unsqueeze and the reductions: an attribute, or an input since
 * opset 13. Returns their count; -1 if there are none; -2 if they are not known. */
static int axes_of_known(const Import *im, const Known *input, bool given, int64_t *out) {
    const OnnxAttribute *a = attribute(im, "axes");
    if (a && a->kind == ATTRIBUTE_INTS && a->count <= 16)
        return memcpy(out, a->integers, sizeof *out * (size_t)a->count), a->count;
    if (!given) return -1;
    return all_ints(input, out, 16) ? (int)input->count : -2;
}

static Known *fold_unsqueeze(Import *im, Knowns in, int count) {
    int64_t axes[16], dims[16];
    int added = axes_of_known(im, count > 1 ? in[1] : NULL, count > 1, axes), axis;
    bool is_new[16] = {false};
    if (!in[0] || added < 0 || in[0]->rank + added > 16) return NULL;
    const int rank = in[0]->rank + added;
    for (int i = 0; i < added; i++) {
        if (!axis_from(axes[i], rank, &axis)) return NULL;
        is_new[axis] = true;
    }
    for (int i = 0, own = 0; i < rank; i++)
        dims[i] = is_new[i] || own >= in[0]->rank ? 1 : in[0]->dims[own++];
    return with_dims(im, in[0], rank, dims);
}

static Known *fold_squeeze(Import *im, Knowns in, int count) {
    int64_t axes[16], dims[16];
    int gone = axes_of_known(im, count > 1 ? in[1] : NULL, count > 1, axes), rank = 0, axis;
    if (!in[0] || gone == -2) return NULL;
    for (int i = 0; i < in[0]->rank; i++) {
        bool drop = gone == -1 && in[0]->dims[i] == 1;
        for (int k = 0; k < gone; k++) drop = drop || (axis_from(axes[k], in[0]->rank, &axis) && axis == i);
        if (!drop) dims[rank++] = in[0]->dims[i];
    }
    return with_dims(im, in[0], rank, dims);
}

static Known *fold_reshape(Import *im, Knowns in) {
    int64_t dims[16], known = 1;
    if (!in[0] || !all_ints(in[1], dims, 16)) return NULL;
    int open = -1;
    for (int i = 0; i < in[1]->count; i++) {
        if (dims[i] == 0 && i < in[0]->rank && !attribute_int(im, "allowzero", 0)) dims[i] = in[0]->dims[i];
        if (dims[i] == -1) open = i;
        else if (__builtin_mul_overflow(known, dims[i], &known)) return NULL;
    }
    if (open >= 0) dims[open] = known > 0 ? in[0]->count / known : 0;
    return with_dims(im, in[0], (int)in[1]->count, dims);
}

static Known *fold_transpose(Import *im, const Known *in) {
    int64_t order[16], dims[16], steps[16], step = 1;
    if (!in) return NULL;
    if (!attribute_ints(im, "perm", in->rank, order))
        for (int i = 0; i < in->rank; i++) order[i] = in->rank - 1 - i;
    for (int i = 0; i < in->rank; i++)
        if (order[i] < 0 || order[i] >= in->rank) return NULL;
    for (int i = in->rank - 1; i >= 0; i--) steps[i] = step, step *= in->dims[i];
    for (int i = 0; i < in->rank; i++) dims[i] = in->dims[order[i]];
    Known *out = known_like(im, in, in->rank, dims);
    for (int64_t i = 0; out && i < out->count; i++) {
        int64_t place = 0, rest = i;
        for (int axis = in->rank - 1; axis >= 0; rest /= dims[axis--])
            place += rest % dims[axis] * steps[order[axis]];
        element_copy(in, place, out, i);
    }
    return out;
}

/* How many of begin, begin + step, .. lie before end. */
static int64_t count_of_range(int64_t begin, int64_t end, int64_t step) {
    if (step > 0 ? begin >= end : begin <= end) return 0;
    const uint64_t from = (uint64_t)begin, to = (uint64_t)end, by = (uint64_t)step;
    const uint64_t behind = step > 0 ? (to - from - 1) / by : (from - to - 1) / (0 - by);
    return behind < INT64_MAX ? (int64_t)behind + 1 : INT64_MAX;
}

static bool slice_bounds(int64_t size, int64_t *begin, int64_t *end, int64_t step) {
    if (step == 0) return false;
    *begin += *begin < 0 ? size : 0;
    *end += *end < 0 ? size : 0;
    *begin = max_i64(step > 0 ? 0 : -1, min_i64(*begin, step > 0 ? size : size - 1));
    *end = max_i64(step > 0 ? 0 : -1, min_i64(*end, step > 0 ? size : size - 1));
    return true;
}

static Known *slice_axis(Import *im, const Known *in, int axis, int64_t begin, int64_t end, int64_t step) {
    int64_t dims[16], outer, inner;
    if (!slice_bounds(in->dims[axis], &begin, &end, step)) return NULL;
    memcpy(dims, in->dims, sizeof dims);
    dims[axis] = count_of_range(begin, end, step);
    outer_inner(in, axis, &outer, &inner);
    Known *out = known_like(im, in, in->rank, dims);
    for (int64_t o = 0; out && o < outer; o++)
        for (int64_t j = 0; j < dims[axis]; j++)
            for (int64_t i = 0; i < inner; i++)
                element_copy(in, (o * in->dims[axis] + begin + j * step) * inner + i, out,
                             (o * dims[axis] + j) * inner + i);
    return out;
}

static Known *fold_slice(Import *im, Knowns in, int count) {
    int64_t begins[16], ends[16], axes[16], steps[16];
    int many, axis;
    if (!in[0]) return NULL;
    if (count == 1) {
        const OnnxAttribute *starts = attribute(im, "starts");
        many = starts ? starts->count : 0;
        if (many > 16 || !attribute_ints(im, "starts", many, begins) ||
            !attribute_ints(im, "ends", many, ends))
            return NULL;
        if (!attribute_ints(im, "axes", many, axes))
            for (int i = 0; i < many; i++) axes[i] = i;
    } else {
        if (count < 3 || !all_ints(in[1], begins, 16) || !all_ints(in[2], ends, 16) ||
            in[1]->count != in[2]->count)
            return NULL;
        many = (int)in[1]->count;
        for (int i = 0; i < many; i++) axes[i] = i;
        if (count > 3 && in[3] && (!all_ints(in[3], axes, 16) || in[3]->count != many)) return NULL;
    }
    for (int i = 0; i < many; i++) steps[i] = 1;
    if (count > 4 && in[4] && (!all_ints(in[4], steps, 16) || in[4]->count != many)) return NULL;
    const Known *out = in[0];
    for (int i = 0; out && i < many; i++)
        out = axis_from(axes[i], in[0]->rank, &axis) ? slice_axis(im, out, axis, begins[i], ends[i], steps[i])
                                                     : NULL;
    return (Known *)out;
}

static Known *fold_expand(Import *im, Knowns in) {
    int64_t wanted[16], dims[16];
    int rank;
    if (!in[0] || !all_ints(in[1], wanted, 16)) return NULL;
    Known shape = {.rank = (int)in[1]->count};
    memcpy(shape.dims, wanted, sizeof wanted);
    const Known *both[] = {in[0], &shape};
    if (!broadcast_shape(both, 2, &rank, dims)) return NULL;
    Known *out = known_like(im, in[0], rank, dims);
    for (int64_t i = 0; out && i < out->count; i++)
        element_copy(in[0], broadcast_place(in[0], rank, dims, i), out, i);
    return out;
}

/* The place of a row of `deep` axes, which index `row` names; false where it is
 * outside. */
static bool scattered_place(const Known *x, const Known *index, int64_t row, int64_t deep, int64_t *place) {
    *place = 0;
    for (int64_t i = 0; i < deep; i++) {
        int64_t at;
        if (!constant_int(index, row * deep + i, &at) || at < -x->dims[i] || at >= x->dims[i]) return false;
        *place = *place * x->dims[i] + at + (at < 0 ? x->dims[i] : 0);
    }
    return true;
}

static Known *fold_scatter_nd(Import *im, Knowns in) {
    const Known *x = in[0], *index = in[1], *updates = in[2];
    if (!x || !index || !updates || index->rank < 1 || !x->reals != !updates->reals ||
        strcmp(attribute_string(im, "reduction", "none"), "none"))
        return NULL;
    const int64_t deep = index->dims[index->rank - 1];
    int64_t inner = 1, place;
    for (int i = (int)deep; i < x->rank; i++) inner *= x->dims[i];
    if (deep < 1 || deep > x->rank || updates->count != index->count / deep * inner) return NULL;
    Known *out = known_like(im, x, x->rank, x->dims);
    for (int64_t i = 0; out && i < x->count; i++) element_copy(x, i, out, i);
    for (int64_t row = 0; out && row < index->count / deep; row++) {
        if (!scattered_place(x, index, row, deep, &place)) return NULL;
        for (int64_t i = 0; i < inner; i++) element_copy(updates, row * inner + i, out, place * inner + i);
    }
    return out;
}

/* ---- out of nothing ---- */

static Known *fold_shape(Import *im, Wire *x) {
    const int rank = wire_rank(im, x);
    int64_t begin = attribute_int(im, "start", 0), end = attribute_int(im, "end", INT64_MAX);
    slice_bounds(rank, &begin, &end, 1);
    int64_t count = max_i64(0, end - begin);
    Known *out = known_new(im, ONNX_INT64, 1, &count);
    for (int64_t i = 0; i < count; i++) out->sizes[i] = found_size(im, x, (int)(begin + i));
    return out;
}

static Known *fold_wire_size(Import *im, Wire *x) {
    Known *out = known_new(im, ONNX_INT64, 0, NULL);
    out->sizes[0] = dim_const(im->dims, 1);
    for (int i = 0; i < wire_rank(im, x); i++)
        out->sizes[0] = dim_mul(im->dims, out->sizes[0], found_size(im, x, i));
    return out;
}

static Known *fold_range(Import *im, Knowns in) {
    if (!in[0] || !in[1] || !in[2] || in[0]->count != 1 || in[1]->count != 1 || in[2]->count != 1)
        return NULL;
    int64_t begin, end, step, count;
    if (in[0]->reals) {
        if (!in[1]->reals || !in[2]->reals || in[2]->reals[0] == 0) return NULL;
        const double many = ceil((in[1]->reals[0] - in[0]->reals[0]) / in[2]->reals[0]);
        if (!(many < MAX_FOLDED)) return NULL;
        count = (int64_t)fmax(many, 0);
    } else {
        if (!constant_int(in[0], 0, &begin) || !constant_int(in[1], 0, &end) ||
            !constant_int(in[2], 0, &step) || step == 0)
            return NULL;
        count = count_of_range(begin, end, step);
    }
    Known *out = known_new(im, in[0]->type, 1, &count);
    for (int64_t i = 0; out && i < count; i++) {
        if (out->reals) out->reals[i] = in[0]->reals[0] + (double)i * in[2]->reals[0];
        else out->sizes[i] = dim_const(im->dims, (int64_t)((uint64_t)begin + (uint64_t)i * (uint64_t)step));
    }
    return out;
}

static Known *fold_constant_of_shape(Import *im, const Known *shape) {
    int64_t dims[16];
    if (!all_ints(shape, dims, 16)) return NULL;
    const OnnxAttribute *value = attribute(im, "value");
    Wire from = {.data = value ? value->tensor : NULL};
    const Known *one = known_of(im, &from);
    if (value && (!one || one->count != 1)) return NULL;
    Known *out = known_new(im, one ? one->type : ONNX_FLOAT, (int)shape->count, dims);
    for (int64_t i = 0; out && one && i < out->count; i++) element_copy(one, 0, out, i);
    return out;
}

static Known *fold_constant(Import *im) {
    const OnnxAttribute *a = attribute(im, "value_int"), *list = attribute(im, "value_ints");
    const int64_t count = list ? list->count : 1;
    if (a || list) {
        Known *out = known_new(im, ONNX_INT64, list ? 1 : 0, &count);
        for (int64_t i = 0; out && i < count; i++)
            out->sizes[i] = dim_const(im->dims, list ? list->integers[i] : a->integer);
        return out;
    }
    a = attribute(im, "value_float"), list = attribute(im, "value_floats");
    if (!a && !list) return NULL;
    const int64_t many = list ? list->count : 1;
    Known *out = known_new(im, ONNX_FLOAT, list ? 1 : 0, &many);
    for (int64_t i = 0; out && i < many; i++) out->reals[i] = (double)(list ? list->reals[i] : a->real);
    return out;
}

/* All elements of a list in one: their product, sum, least or largest. */
static Known *fold_reduced(Import *im, const Known *in, char op) {
    const int64_t one = 1;
    if (!in || in->rank > 1 || in->count == 0 || attribute_int(im, "noop_with_empty_axes", 0)) return NULL;
    Known *out = known_like(im, in, attribute_int(im, "keepdims", 1) ? in->rank : 0, &one);
    element_copy(in, 0, out, 0);
    for (int64_t i = 1; i < in->count; i++) {
        if (out->reals) out->reals[0] = (float)combine_reals(op, out->reals[0], in->reals[i]);
        else if (!combine_sizes(im->dims, op, out->sizes[0], in->sizes[i], &out->sizes[0])) return NULL;
    }
    return out;
}

/* ---- the table ---- */

static const struct {
    const char *name;
    char op;
    bool truth;
} binaries[] = {
    {"Add", '+', false},    {"Sub", '-', false},        {"Mul", '*', false},           {"Div", '/', false},
    {"Mod", '%', false},    {"Pow", '^', false},        {"Min", 'm', false},           {"Max", 'M', false},
    {"And", '&', true},     {"Or", '|', true},          {"Equal", '=', true},          {"Less", '<', true},
    {"Greater", '>', true}, {"LessOrEqual", 'l', true}, {"GreaterOrEqual", 'g', true},
};
static const struct {
    const char *name;
    char op;
} reduced[] = {{"ReduceProd", '*'}, {"ReduceSum", '+'}, {"ReduceMin", 'm'}, {"ReduceMax", 'M'}};
static const char *const unaries[] = {"Floor",      "Ceil", "Round", "Sqrt", "Neg",
                                      "Reciprocal", "Abs",  "Not",   "Exp",  "Log"};

static Known *fold_wires(Import *im, Wire *const *inputs, Knowns in, int count) {
    const char *op = im->node->op;
    if (!strcmp(op, "Constant")) return fold_constant(im);
    if (count == 0 || !inputs[0]) return NULL;
    if (!strcmp(op, "Shape")) return fold_shape(im, inputs[0]);
    if (!strcmp(op, "Size")) return fold_wire_size(im, inputs[0]);
    if (!strcmp(op, "Clip")) return in[0] ? fold_clip(im, in, count) : NULL;
    if (!strcmp(op, "ConstantOfShape")) return fold_constant_of_shape(im, in[0]);
    for (int i = 0; i < COUNT_OF(binaries); i++)
        if (!strcmp(op, binaries[i].name))
            return count == 2 ? fold_binary(im, in, binaries[i].op, binaries[i].truth) : NULL;
    for (int i = 0; i < COUNT_OF(unaries); i++)
        if (!strcmp(op, unaries[i])) return fold_unary(im, in, op);
    if (!strcmp(op, "Cast")) return fold_cast(im, in[0], (int)attribute_int(im, "to", 0));
    if (!strcmp(op, "CastLike"))
        return count == 2 && inputs[1] ? fold_cast(im, in[0], inputs[1]->type) : NULL;
    if (!strcmp(op, "Gather")) return count == 2 ? fold_gather(im, in) : NULL;
    if (!strcmp(op, "Concat")) return fold_concat(im, in, count);
    if (!strcmp(op, "Unsqueeze")) return fold_unsqueeze(im, in, count);
    if (!strcmp(op, "Squeeze")) return fold_squeeze(im, in, count);
    if (!strcmp(op, "Reshape")) return count == 2 ? fold_reshape(im, in) : NULL;
    if (!strcmp(op, "Transpose")) return fold_transpose(im, in[0]);
    if (!strcmp(op, "Slice")) return fold_slice(im, in, count);
    if (!strcmp(op, "Expand")) return count == 2 ? fold_expand(im, in) : NULL;
    if (!strcmp(op, "Where")) return count == 3 ? fold_where(im, in) : NULL;
    if (!strcmp(op, "ScatterND")) return count == 3 ? fold_scatter_nd(im, in) : NULL;
    if (!strcmp(op, "Range")) return count == 3 ? fold_range(im, in) : NULL;
    for (int i = 0; i < COUNT_OF(reduced); i++)
        if (!strcmp(op, reduced[i].name)) return fold_reduced(im, in[0], reduced[i].op);
    return NULL;
}

/* An initializer in another shape is one, too; NULL where the node does more. */
static Wire *reshaped_initializer(Import *im, Wire *const *inputs, int count) {
    const char *op = im->node->op;
    const OnnxTensor *tensor = count && inputs[0] ? inputs[0]->data : NULL;
    if (!tensor || count > 2 || im->node->output_count != 1) return NULL;
    Known shape = {.type = tensor->type, .rank = tensor->rank, .count = tensor->count};
    for (int i = 0; i < tensor->rank; i++) shape.dims[i] = tensor->dims[i];
    const Known *in[] = {&shape, count == 2 ? known_of(im, inputs[1]) : NULL}, *out = NULL;
    if (!strcmp(op, "Reshape") && in[1]) out = fold_reshape(im, in);
    if (!strcmp(op, "Unsqueeze")) out = fold_unsqueeze(im, in, count);
    if (!strcmp(op, "Squeeze")) out = fold_squeeze(im, in, count);
    if (!out) return NULL;
    OnnxTensor *made = NEW(im->arena, OnnxTensor);
    Wire *wire = NEW(im->arena, Wire);
    *made = *tensor;
    made->rank = out->rank, made->dims = out->dims;
    *wire = (Wire){.type = tensor->type, .data = made, .stated = inputs[0]->stated, .hint = inputs[0]->hint};
    return wire;
}

static bool is_weight_to_keep(const Wire *wire, const Known *k) {
    return wire && wire->data && !wire->stated && k->reals && k->count > MAX_WRITTEN;
}

/* Whether several nodes read the weight. It is then kept as it is, since copies in other
 * forms would be weights of their own. */
static bool is_shared_weight(const Import *im, const Wire *wire) {
    return wire->data && !wire->stated && onnx_type_is_float(wire->type) && wire->data->count > MAX_WRITTEN &&
           (intptr_t)map_get(im->readers, intern(im->names, wire->data->name)) > 1;
}

/* A part of a weight, and arithmetic with one, stay in the text. */
static bool works_on_weight(const Import *im, Wire *const *inputs, Knowns in, int count) {
    static const char *const of_first[] = {"Slice", "Gather"}, *const of_both[] = {"Add", "Sub", "Mul",
                                                                                   "Div"};
    bool works = false;
    for (int i = 0; i < COUNT_OF(of_first) && count; i++)
        works = works || (!strcmp(im->node->op, of_first[i]) && is_weight_to_keep(inputs[0], in[0]));
    for (int i = 0; i < COUNT_OF(of_both) && count == 2; i++)
        works = works || (!strcmp(im->node->op, of_both[i]) &&
                          (is_weight_to_keep(inputs[0], in[0]) || is_weight_to_keep(inputs[1], in[1])));
    return works;
}

enum { DEEPEST_FOLDED = 64 };

/* How to compute what is made of a range and of numbers of the text; NULL for all
 * else. */
static const Folded *folded_of(const Import *im, Wire *const *inputs, Knowns in, int count) {
    int depth = !strcmp(im->node->op, "Range");
    for (int i = 0; i < count; i++) {
        if (inputs[i] && inputs[i]->folded) depth = (int)max_i64(depth, inputs[i]->folded->depth + 1);
        else if (in[i] && in[i]->count > MAX_WRITTEN) return NULL;
    }
    if (depth < 1 || depth > DEEPEST_FOLDED) return NULL;
    Folded *folded = NEW(im->arena, Folded);
    *folded = (Folded){im->node, im->opset, depth, inputs};
    return folded;
}

/* Of how many inputs the elements are read; of others only types and shapes. */
static int inputs_read(const OnnxNode *node, int count) {
    if (!strcmp(node->op, "Shape") || !strcmp(node->op, "Size")) return 0;
    return strcmp(node->op, "CastLike") ? count : (int)min_i64(count, 1);
}

/* Many elements that depend on free sizes are left to the model to compute: as constants
 * they could not be written. */
bool fold_node(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    const int read = inputs_read(im->node, count);
    if (read && inputs[0] && is_shared_weight(im, inputs[0])) return false;
    Wire *reshaped = reshaped_initializer(im, inputs, count);
    if (reshaped) return outputs[0] = reshaped, true;
    const Known **in = NEW_ARRAY(im->arena, const Known *, count + 1);
    for (int i = 0; i < count; i++) {
        in[i] = known_of(im, inputs[i]);
        if (inputs[i] && !in[i] && i < read) return false;
    }
    if (im->node->output_count != 1 || works_on_weight(im, inputs, in, count)) return false;
    Known *known = fold_wires(im, inputs, in, count);
    if (!known || (known->count > MAX_WRITTEN && known_is_symbolic(known))) return false;
    outputs[0] = NEW(im->arena, Wire);
    *outputs[0] = (Wire){.type = known->type, .known = known, .folded = folded_of(im, inputs, in, count)};
    for (int i = 0; i < count && !outputs[0]->hint; i++)
        outputs[0]->hint = inputs[i] ? inputs[i]->hint : NULL;
    return true;
}
