/* Values that are known while importing: small constants, element by element. */
#include "import/import.h"
#include "files/files.h"

enum { MAX_KNOWN = 1 << 14 }; /* elements */

bool onnx_type_is_float(int type) {
    return type == ONNX_FLOAT || type == ONNX_FLOAT16 || type == ONNX_DOUBLE || type == ONNX_BFLOAT16;
}

Wire *wire_known(Import *im, int type, int rank, const int64_t *dims) {
    Known *known = NEW(im->arena, Known);
    *known = (Known){.type = type, .rank = rank, .count = 1};
    for (int i = 0; i < rank; i++) known->dims[i] = dims[i], known->count *= dims[i];
    if (onnx_type_is_float(type)) known->reals = NEW_ARRAY(im->arena, double, known->count);
    else known->sizes = NEW_ARRAY(im->arena, Dim, known->count);
    Wire *wire = NEW(im->arena, Wire);
    *wire = (Wire){.type = type, .known = known};
    return wire;
}

static int runtime_type(int type) {
    static const int types[] = {
        [ONNX_FLOAT] = CAI_F32,    [ONNX_UINT8] = CAI_U8,   [ONNX_INT8] = CAI_I8,    [ONNX_UINT16] = CAI_U16,
        [ONNX_INT16] = CAI_I16,    [ONNX_INT32] = CAI_I32,  [ONNX_INT64] = CAI_I64,  [ONNX_BOOL] = CAI_BOOL,
        [ONNX_FLOAT16] = CAI_F16,  [ONNX_DOUBLE] = CAI_F64, [ONNX_UINT32] = CAI_U32, [ONNX_UINT64] = CAI_U64,
        [ONNX_BFLOAT16] = CAI_BF16};
    return types[type];
}

cai_tensor runtime_tensor(const OnnxTensor *tensor) {
    cai_tensor out = {.name = tensor->name,
                      .type = runtime_type(tensor->type),
                      .rank = tensor->rank,
                      .count = tensor->count,
                      .data = tensor->data};
    for (int i = 0; i < tensor->rank && i < CAI_MAX_RANK; i++) out.dims[i] = tensor->dims[i];
    return out;
}

static Known *decoded_tensor(Import *im, const OnnxTensor *tensor) {
    Known *known = wire_known(im, tensor->type, tensor->rank, tensor->dims)->known;
    const cai_tensor numbers = runtime_tensor(tensor);
    if (known->reals) cai_tensor_to_f64(&numbers, 0, numbers.count, known->reals);
    for (int64_t i = 0; known->sizes && i < known->count; i++) {
        int64_t value;
        cai_tensor_to_i64(&numbers, i, 1, &value);
        known->sizes[i] = dim_const(im->dims, value);
    }
    return known;
}

const Known *known_of(Import *im, Wire *wire) {
    if (!wire || wire->known || !wire->data || !wire->data->data || wire->data->count > MAX_KNOWN)
        return wire ? wire->known : NULL;
    return wire->known = decoded_tensor(im, wire->data);
}

bool known_is_symbolic(const Known *k) {
    for (int64_t i = 0; k->sizes && i < k->count; i++)
        if (!dim_is_const(k->sizes[i], NULL)) return true;
    return false;
}

bool known_is_filled(const Known *k) {
    for (int64_t i = 1; i < k->count; i++)
        if (k->reals ? !(k->reals[i] == k->reals[0]) : k->sizes[i] != k->sizes[0]) return false;
    return k->count > 0;
}

bool is_filled_with(Import *im, Wire *wire, double value) {
    const Known *k = known_of(im, wire);
    int64_t whole;
    for (int64_t i = 0; k && i < k->count; i++)
        if (k->reals ? k->reals[i] != value : !dim_is_const(k->sizes[i], &whole) || (double)whole != value)
            return false;
    return k && k->count;
}

bool wire_is_constant(const Wire *wire) { return wire->data || wire->known; }

int wire_rank(Import *im, Wire *wire) {
    (void)im;
    return wire->data ? wire->data->rank : wire->known ? wire->known->rank : wire->shape.rank;
}

Dim wire_size(Import *im, Wire *wire, int axis) {
    if (wire->data) return dim_const(im->dims, wire->data->dims[axis]);
    return wire->known ? dim_const(im->dims, wire->known->dims[axis]) : wire->shape.dims[axis];
}

bool wire_fixed(Import *im, Wire *wire, int axis, int64_t *size) {
    return dim_is_const(wire_size(im, wire, axis), size);
}
