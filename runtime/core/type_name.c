/* Sizes and names of the types of elements. */
#include "core/core.h"

static const struct TypeRow {
    const char *name;
    int bytes;
    bool is_float;
} types[CAI_TYPE_COUNT] = {
    [CAI_F32] = {"f32", 4, true},   [CAI_F16] = {"f16", 2, true},  [CAI_BF16] = {"bf16", 2, true},
    [CAI_F64] = {"f64", 8, true},   [CAI_I8] = {"i8", 1, false},   [CAI_I16] = {"i16", 2, false},
    [CAI_I32] = {"i32", 4, false},  [CAI_I64] = {"i64", 8, false}, [CAI_U8] = {"u8", 1, false},
    [CAI_U16] = {"u16", 2, false},  [CAI_U32] = {"u32", 4, false}, [CAI_U64] = {"u64", 8, false},
    [CAI_BOOL] = {"bool", 1, false}};

int cai_type_bytes(int type) { return types[type].bytes; }
const char *cai_type_name(int type) { return types[type].name; }
bool cai_type_is_float(int type) { return types[type].is_float; }

const char *cai_tensor_shape_text(const cai_tensor *tensor, char *out, size_t size) {
    size_t used = (size_t)snprintf(out, size, "%s[", cai_type_name(tensor->type));
    for (int i = 0; i < tensor->rank && used < size; i++) {
        used +=
            (size_t)snprintf(out + used, size - used, "%s%lld", i ? ", " : "", (long long)tensor->dims[i]);
    }
    if (used < size) snprintf(out + used, size - used, "]");
    return out;
}
