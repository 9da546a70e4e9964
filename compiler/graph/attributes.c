/* Hash, equality, copy and text of the attributes of any operator, by the table from
 * ops.def. */
#include "graph/ops.h"

#define FIELD(Type, attributes, info) (*(Type const *)((const char *)(attributes) + (info)->offset))

uint64_t attributes_hash(Op op, const void *attributes) {
    uint64_t hash = (uint64_t)op + 1;
    for (const AttrInfo *info = op_info[op].attributes(); info->name; info++) {
        const char *field = (const char *)attributes + info->offset;
        switch (info->kind) {
        case ATTR_INT: hash = hash_bytes(field, sizeof(int64_t), hash); break;
        case ATTR_REAL: hash = hash_bytes(field, sizeof(double), hash); break;
        case ATTR_NUMBER: hash = hash_bytes(field, sizeof(Number), hash); break;
        case ATTR_BOOL: hash = hash_bytes(field, sizeof(bool), hash); break;
        case ATTR_NAME: hash = hash_bytes(field, sizeof(Name), hash); break;
        case ATTR_TYPE: hash = hash_bytes(field, sizeof(DType), hash); break;
        case ATTR_INTS: {
            IntList list = FIELD(IntList, attributes, info);
            hash = hash_bytes(list.items, sizeof(int64_t) * (size_t)list.count, hash);
            break;
        }
        case ATTR_DIMS: {
            DimList list = FIELD(DimList, attributes, info);
            hash = hash_bytes(list.items, sizeof(Dim) * (size_t)list.count, hash);
            break;
        }
        case ATTR_DATA: {
            const Data *data = FIELD(const Data *, attributes, info);
            hash = hash_bytes(data->values, sizeof *data->values * (size_t)data->count, hash);
            break;
        }
        }
    }
    return hash;
}

static bool same_bytes(const void *a, const void *b, size_t bytes) {
    return bytes == 0 || memcmp(a, b, bytes) == 0;
}

static bool fields_equal(const AttrInfo *info, const void *a, const void *b) {
    switch (info->kind) {
    case ATTR_INT: return FIELD(int64_t, a, info) == FIELD(int64_t, b, info);
    case ATTR_REAL:
    case ATTR_NUMBER:
        /* -0 is not 0 */
        return same_bytes((const char *)a + info->offset, (const char *)b + info->offset, sizeof(double));
    case ATTR_BOOL: return FIELD(bool, a, info) == FIELD(bool, b, info);
    case ATTR_NAME: return FIELD(Name, a, info) == FIELD(Name, b, info);
    case ATTR_TYPE: return FIELD(DType, a, info) == FIELD(DType, b, info);
    case ATTR_INTS: {
        IntList x = FIELD(IntList, a, info), y = FIELD(IntList, b, info);
        return x.count == y.count && same_bytes(x.items, y.items, sizeof *x.items * (size_t)x.count);
    }
    case ATTR_DIMS: {
        DimList x = FIELD(DimList, a, info), y = FIELD(DimList, b, info);
        return x.count == y.count && same_bytes(x.items, y.items, sizeof *x.items * (size_t)x.count);
    }
    case ATTR_DATA: {
        const Data *x = FIELD(const Data *, a, info), *y = FIELD(const Data *, b, info);
        return x == y || (x->count == y->count &&
                          same_bytes(x->values, y->values, sizeof *x->values * (size_t)x->count));
    }
    }
    return false;
}

bool attributes_equal(Op op, const void *a, const void *b) {
    for (const AttrInfo *info = op_info[op].attributes(); info->name; info++)
        if (!fields_equal(info, a, b)) return false;
    return true;
}

const void *attributes_copy(Arena *arena, Op op, const void *attributes) {
    char *copy = arena_alloc(arena, op_info[op].attribute_bytes);
    if (attributes) memcpy(copy, attributes, op_info[op].attribute_bytes);
    for (const AttrInfo *info = op_info[op].attributes(); info->name; info++) {
        void *field = copy + info->offset;
        if (info->kind == ATTR_INTS) {
            IntList *list = field;
            list->items = arena_copy(arena, list->items, sizeof *list->items * (size_t)list->count);
        } else if (info->kind == ATTR_DIMS) {
            DimList *list = field;
            list->items = arena_copy(arena, list->items, sizeof *list->items * (size_t)list->count);
        } else if (info->kind == ATTR_DATA) {
            Data data = **(const Data **)field;
            data.values = arena_copy(arena, data.values, sizeof *data.values * (size_t)data.count);
            *(const Data **)field = arena_copy(arena, &data, sizeof data);
        }
    }
    return copy;
}

const void *attributes_first(Op op, const void *attributes, AttrKind kind) {
    for (const AttrInfo *info = op_info[op].attributes(); info->name; info++)
        if (info->kind == kind) return (const char *)attributes + info->offset;
    INTERNAL_ERROR("%s has no attribute of that kind", op_info[op].name);
}

bool node_names_axis(const Node *node, int64_t axis) {
    for (const AttrInfo *info = op_info[node->op].attributes(); info->name; info++) {
        if (same_name(info->name, "axis")) return FIELD(int64_t, node->attributes, info) == axis;
        if (same_name(info->name, "axes")) return has_axis(FIELD(IntList, node->attributes, info), axis);
    }
    return false;
}

bool node_sizes_are_known(const Node *node) {
    int64_t count;
    for (const AttrInfo *info = op_info[node->op].attributes(); info->name; info++) {
        if (info->kind != ATTR_DIMS) continue;
        DimList sizes = FIELD(DimList, node->attributes, info);
        for (int i = 0; i < sizes.count; i++)
            if (!dim_is_const(sizes.items[i], NULL)) return false;
    }
    return shape_element_count(node->shape, &count);
}

static bool sizes_mention(const Dim *sizes, int count, int symbol) {
    for (int i = 0; i < count; i++)
        if (dim_mentions(sizes[i], symbol)) return true;
    return false;
}

bool node_mentions(const Node *node, int symbol) {
    for (const AttrInfo *info = op_info[node->op].attributes(); info->name; info++) {
        if (info->kind != ATTR_DIMS) continue;
        DimList sizes = FIELD(DimList, node->attributes, info);
        if (sizes_mention(sizes.items, sizes.count, symbol)) return true;
    }
    return sizes_mention(node->shape.dims, node->shape.rank, symbol);
}

/* ---- printing ---- */

static void print_ints(Text *out, IntList list) {
    text_add(out, "[");
    for (int i = 0; i < list.count; i++) text_add(out, "%s%lld", i ? ", " : "", (long long)list.items[i]);
    text_add(out, "]");
}

static void print_dims(Text *out, DimList list) {
    text_add(out, "[");
    for (int i = 0; i < list.count; i++) {
        if (i) text_add(out, ", ");
        dim_print(out, list.items[i]);
    }
    text_add(out, "]");
}

static void print_data(Text *out, const Data *data, DType type) {
    if (data->count > 1) text_add(out, "[");
    for (int64_t i = 0; i < data->count && i < 4; i++) {
        if (i) text_add(out, ", ");
        number_print(out, data->values[i], type);
    }
    if (data->count > 1) text_add(out, data->count > 4 ? ", ...]" : "]");
}

void attributes_print(Text *out, const Node *node) {
    const void *attributes = node->attributes;
    for (const AttrInfo *info = op_info[node->op].attributes(); info->name; info++) {
        text_add(out, " %s=", info->name);
        switch (info->kind) {
        case ATTR_INT: text_add(out, "%lld", (long long)FIELD(int64_t, attributes, info)); break;
        case ATTR_REAL: text_add_real(out, FIELD(double, attributes, info)); break;
        case ATTR_BOOL: text_add(out, "%s", FIELD(bool, attributes, info) ? "true" : "false"); break;
        case ATTR_NAME: text_add(out, "%s", FIELD(Name, attributes, info)); break;
        case ATTR_TYPE: text_add(out, "%s", dtype_name(FIELD(DType, attributes, info))); break;
        case ATTR_INTS: print_ints(out, FIELD(IntList, attributes, info)); break;
        case ATTR_DIMS: print_dims(out, FIELD(DimList, attributes, info)); break;
        case ATTR_NUMBER:
            number_print(out, FIELD(Number, attributes, info), node->inputs[0]->shape.type);
            break;
        case ATTR_DATA: print_data(out, FIELD(const Data *, attributes, info), node->shape.type); break;
        }
    }
}
