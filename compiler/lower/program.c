/* The stage as a pipeline, and the parts of a program that several steps touch: values, kernels, their names. */
#include "lower/stages.h"

#include <stdlib.h>

Program *lower(Graph *graph, const LowerOptions *options, Arena *arena) {
    const char *own_slots = getenv("CAI_OWN_SLOTS");
    Program *program = NEW(arena, Program);
    program->arena = arena;
    program->graph = graph;
    program->target = options->target;
    program->blas = options->blas;
    program->winograd = options->winograd;
    program->own_slots = options->own_slots || (own_slots && strcmp(own_slots, "0") != 0);
    Lowering low = {.program = program, .options = options, .scratch = arena_new()};
    count_parameters(program);
    fuse(&low);         /* nodes to kernels; nothing later changes what a kernel computes */
    find_ties(program, low.scratch); /* before selection, which goes by it */
    select_kinds(&low); /* before layout, since the kinds say which layouts they want */
    layout(&low);       /* after this the list of launches is complete */
    for (int i = 0; i < program->launches.count; i++) {
        Kernel *kernel = program->launches.items[i];
        kernel->id = i;
        kernel->kind->choose(program, kernel);
        CHECK(kernel->name && kernel->tasks);
        pack_remaining(program, kernel); /* here, so that weights lie in order of execution */
        estimate(kernel);
    }
    loops_run_along(program);
    pack_assign(program);
    plan(program);      /* last: the buffers of all launches are known */
    program_verify(program);
    arena_free(low.scratch);
    return program;
}

/* ---- values ---- */

Value *value_new(Program *program, Node *node, LayoutKind layout, Space space) {
    Value *value = NEW(program->arena, Value);
    *value = (Value){.node = node, .layout = layout, .space = space, .slot = -1, .first = -1, .last = -1};
    value->id = program->values.count;
    value->offset = dim_const(program->graph->dims, 0);
    value->bytes = value->offset;
    vec_push(program->arena, &program->values, value);
    return value;
}

Value *value_root(const Value *value) {
    while (value->parent) value = value->parent;
    return (Value *)value;
}

int64_t node_typical_bytes(const Program *program, const Node *node) {
    int64_t bytes = dtype_bytes(node->shape.type);
    for (int i = 0; i < node->shape.rank; i++) bytes *= max_i64(1, dim_typical(program->graph->dims, node->shape.dims[i]));
    return bytes;
}

/* ---- kernels ---- */

Kernel *kernel_new(Program *program, Node *anchor, Value *output) {
    Kernel *kernel = NEW(program->arena, Kernel);
    kernel->program = program;
    kernel->anchor = anchor;
    kernel->output = output;
    return kernel;
}

void kernel_add_input(Kernel *kernel, Value *value) {
    int capacity = kernel->input_count; /* grows by powers of two */
    if ((capacity & (capacity - 1)) == 0) {
        Value **grown = NEW_ARRAY(kernel->program->arena, Value *, capacity ? 2 * capacity : 1);
        if (capacity) memcpy(grown, kernel->inputs, sizeof *grown * (size_t)capacity);
        kernel->inputs = grown;
    }
    kernel->inputs[kernel->input_count++] = value;
}

void kernel_set_workspace(Kernel *kernel, Dim bytes) {
    kernel->workspace = value_new(kernel->program, kernel->anchor, LAYOUT_PLAIN, SPACE_SLOT);
    kernel->workspace->bytes = bytes;
}

int kernel_operand_count(const Kernel *kernel) {
    if (!kernel->anchor || op_info[kernel->anchor->op].class == CLASS_REDUCTION) return 0;
    return kernel->anchor->input_count;
}

Value *kernel_input(const Kernel *kernel, const Node *node, int *argument) {
    for (int i = kernel_operand_count(kernel); i < kernel->input_count; i++) {
        if (kernel->inputs[i]->node != node) continue;
        if (argument) *argument = i + 1;
        return kernel->inputs[i];
    }
    return NULL;
}

/* ---- names: what code depends on, hashed ---- */

static uint64_t mix(uint64_t hash, uint64_t word) {
    return hash_bytes(&word, sizeof word, hash);
}

static uint64_t mix_shape(uint64_t hash, Shape shape) {
    hash = mix(mix(hash, shape.type), (uint64_t)shape.rank);
    for (int i = 0; i < shape.rank; i++) hash = mix(hash, dim_hash(shape.dims[i]));
    return hash;
}

static uint64_t mix_attribute(uint64_t hash, const AttrInfo *info, const void *at) {
    switch (info->kind) {
    case ATTR_INT: return hash_bytes(at, sizeof(int64_t), hash);
    case ATTR_REAL: case ATTR_NUMBER: return hash_bytes(at, sizeof(double), hash);
    case ATTR_BOOL: return mix(hash, *(const bool *)at);
    case ATTR_NAME: return hash_bytes(*(const Name *)at, strlen(*(const Name *)at), hash);
    case ATTR_TYPE: return mix(hash, *(const DType *)at);
    case ATTR_INTS: {
        const IntList *list = at;
        return hash_bytes(list->items, sizeof *list->items * (size_t)list->count, mix(hash, (uint64_t)list->count));
    }
    case ATTR_DIMS: {
        const DimList *list = at;
        hash = mix(hash, (uint64_t)list->count);
        for (int i = 0; i < list->count; i++) hash = mix(hash, dim_hash(list->items[i]));
        return hash;
    }
    case ATTR_DATA: {
        const Data *data = *(const Data *const *)at;
        return hash_bytes(data->values, sizeof *data->values * (size_t)data->count, hash);
    }
    }
    return hash;
}

static uint64_t mix_attributes(uint64_t hash, const Node *node) {
    for (const AttrInfo *info = op_info[node->op].attributes(); info->name; info++)
        hash = mix_attribute(hash, info, (const char *)node->attributes + info->offset);
    return hash;
}

static uint64_t mix_value(uint64_t hash, const Value *value) {
    hash = mix(mix(mix_shape(hash, value->node->shape), value->layout), value->space);
    for (int i = 0; value->strides && i < value->node->shape.rank; i++) hash = mix(hash, dim_hash(value->strides[i]));
    return hash;
}

/* The place of a node in its kernel: members count from 0, inputs from 1000. */
static uint64_t local_number(const Kernel *kernel, const Node *node) {
    int low = 0, high = kernel->member_count - 1;
    while (low <= high) { /* members are in order of ids */
        int middle = (low + high) / 2;
        if (kernel->members[middle] == node) return (uint64_t)middle;
        if (kernel->members[middle]->id < node->id) low = middle + 1;
        else high = middle - 1;
    }
    int argument = 0;
    return kernel_input(kernel, node, &argument) ? 1000u + (uint64_t)argument : 999;
}

static uint64_t hash_kernel(const Kernel *kernel) {
    uint64_t hash = mix_value(kernel->anchor ? local_number(kernel, kernel->anchor) : 998, kernel->output);
    for (int i = 0; i < kernel->input_count; i++) hash = mix_value(hash, kernel->inputs[i]);
    for (int i = 0; i < kernel->member_count; i++) {
        const Node *node = kernel->members[i];
        hash = mix_attributes(mix_shape(mix(hash, node->op), node->shape), node);
        hash = mix(hash, kernel->program->shared[node->id]);
        for (int k = 0; k < node->input_count; k++) hash = mix(hash, local_number(kernel, node->inputs[k]));
    }
    return hash;
}

void kernel_set_name(Kernel *kernel, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *name = arena_vprintf(kernel->program->arena, format, arguments);
    va_end(arguments);
    uint64_t hash = hash_kernel(kernel);
    kernel->name = arena_printf(kernel->program->arena, "%s_%08x", name, (unsigned)(hash ^ hash >> 32));
}

/* ---- kernels that only hand on ---- */

bool kernel_is_concat(const Kernel *kernel) {
    return kernel->member_count == 1 && kernel->members[0]->op == OP_concat;
}

bool kernel_is_view(const Kernel *kernel) {
    if (kernel->anchor || kernel->member_count == 0 || kernel->input_count != 1) return false;
    for (int i = 0; i < kernel->member_count; i++) { /* a chain, each on the one before */
        const Node *node = kernel->members[i], *before = i ? kernel->members[i - 1] : kernel->inputs[0]->node;
        bool moves = node->op == OP_slice || node->op == OP_transpose || reshape_is_trivial(node);
        if (node->op == OP_reshape && kernel->member_count == 1) moves = true;
        if (!moves || node->inputs[0] != before) return false;
    }
    return true;
}
