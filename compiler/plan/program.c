/* Functions on the parts of a program that several steps use: values, kernels, names. */
#include "plan/stages.h"

/* ---- values ---- */

Value *value_new(Program *program, Node *node, const Format *format, Space space) {
    Value *value = NEW(program->arena, Value);
    *value = (Value){.node = node, .format = format, .space = space, .slot = -1, .first = -1, .last = -1};
    value->id = program->values.count;
    value->offset = dim_const(program->graph->dims, 0);
    value->bytes = value->offset;
    vec_push(program->arena, &program->values, value);
    return value;
}

bool is_blocked(const Value *value) { return format_blocked_axis(value->format) >= 0; }
bool is_packed(const Value *value) { return value->format && !format_is_strided(value->format); }

Value *value_root(const Value *value) {
    while (value->parent) value = value->parent;
    return (Value *)value;
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

Contraction contraction_types(const Node *anchor) {
    DType left = anchor->inputs[0]->shape.type, right = anchor->inputs[1]->shape.type;
    return (Contraction){left, right, dtype_sum(left), anchor->shape.type};
}

/* ---- names: everything that code depends on, as bytes, and the hash of it ---- */

static void put_word(Text *out, uint64_t word) { text_add_bytes(out, (const char *)&word, sizeof word); }

static void put_bytes(Text *out, const void *bytes, size_t count) {
    put_word(out, count);
    text_add_bytes(out, bytes, count);
}

static void put_dim(Text *out, Dim dim) {
    put_word(out, (uint64_t)dim->term_count);
    for (int t = 0; t < dim->term_count; t++) {
        const DimTerm *term = &dim->terms[t];
        put_word(out, (uint64_t)term->coefficient);
        put_word(out, (uint64_t)term->factor_count);
        for (int f = 0; f < term->factor_count; f++) {
            const DimFactor *factor = &term->factors[f];
            put_word(out, factor->symbol ? 0 : (uint64_t)factor->divisor);
            if (factor->symbol) put_word(out, (uint64_t)factor->symbol->index);
            else put_dim(out, factor->dividend);
        }
    }
}

static void put_dims(Text *out, int count, const Dim *dims) {
    put_word(out, (uint64_t)count);
    for (int i = 0; i < count; i++) put_dim(out, dims[i]);
}

static void put_shape(Text *out, Shape shape) {
    put_word(out, shape.type);
    put_dims(out, shape.rank, shape.dims);
}

static void put_attribute(Text *out, const AttrInfo *info, const void *at) {
    switch (info->kind) {
    case ATTR_INT: text_add_bytes(out, at, sizeof(int64_t)); break;
    case ATTR_REAL: case ATTR_NUMBER: text_add_bytes(out, at, sizeof(double)); break;
    case ATTR_BOOL: put_word(out, *(const bool *)at); break;
    case ATTR_NAME: put_bytes(out, *(const Name *)at, strlen(*(const Name *)at)); break;
    case ATTR_TYPE: put_word(out, *(const DType *)at); break;
    case ATTR_INTS:
        put_bytes(out, ((const IntList *)at)->items, sizeof(int64_t) * (size_t)((const IntList *)at)->count);
        break;
    case ATTR_DIMS: put_dims(out, ((const DimList *)at)->count, ((const DimList *)at)->items); break;
    case ATTR_DATA:
        put_bytes(out, (*(const Data *const *)at)->values,
                  sizeof(Number) * (size_t)(*(const Data *const *)at)->count);
        break;
    }
}

static void add_attribute_bytes(Text *out, const Node *node) {
    for (const AttrInfo *info = op_info[node->op].attributes(); info->name; info++)
        put_attribute(out, info, (const char *)node->attributes + info->offset);
}

static void put_format(Text *out, const Format *format) {
    put_bytes(out, format->name, strlen(format->name));
    for (int i = 0; i < format->axis_count; i++) {
        const FormatAxis *axis = &format->axes[i];
        put_word(out, (uint64_t)axis->first), put_word(out, (uint64_t)axis->last);
        put_word(out, (uint64_t)axis->step), put_word(out, (uint64_t)axis->size),
            put_word(out, (uint64_t)axis->multiple);
    }
    for (int i = 0; i < format->level_count; i++)
        put_word(out, (uint64_t)format->levels[i].axis), put_word(out, (uint64_t)format->levels[i].block);
    put_word(out, (uint64_t)format->rotation);
    put_word(out, (uint64_t)format->winograd);
    put_word(out, (uint64_t)format->stride);
    put_word(out, format->transposed);
}

static void put_value(Text *out, const Value *value) {
    put_shape(out, value->node->shape);
    put_format(out, value->format);
    put_word(out, value->space);
    if (value->strides) put_dims(out, value->node->shape.rank, value->strides);
}

/* The number of a node in its kernel: members from 0 on, inputs from 1000 on. */
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

/* A node of a stored sum: its members from 2000 on. */
static uint64_t number_in_sum(const Kernel *kernel, const StoredSum *sum, const Node *node) {
    for (int i = 0; i < sum->member_count; i++)
        if (sum->members[i] == node) return 2000u + (uint64_t)i;
    return local_number(kernel, node);
}

static void put_member(Text *out, const Kernel *kernel, const Node *node) {
    put_word(out, node->op);
    put_shape(out, node->shape);
    add_attribute_bytes(out, node);
    put_word(out, kernel->program->shared[node->id]);
    /* the seed is passed after the sizes of all symbols */
    if (node->op == OP_uniform) put_word(out, (uint64_t)dims_symbol_count(kernel->program->graph->dims));
}

static void put_sum(Text *out, const Kernel *kernel, const StoredSum *sum) {
    put_word(out, sum->about != NULL);
    put_word(out, number_in_sum(kernel, sum, sum->term));
    for (int i = 0; i < sum->member_count; i++) {
        const Node *node = sum->members[i];
        put_member(out, kernel, node);
        for (int k = 0; k < node->input_count; k++)
            put_word(out, number_in_sum(kernel, sum, node->inputs[k]));
    }
}

static void put_kernel(Text *out, const Kernel *kernel) {
    put_word(out, kernel->anchor ? local_number(kernel, kernel->anchor) : 998);
    put_value(out, kernel->output);
    put_word(out, kernel->output->streamed);
    put_word(out, (uint64_t)kernel->input_count);
    for (int i = 0; i < kernel->input_count; i++) put_value(out, kernel->inputs[i]);
    for (int i = 0; i < kernel->member_count; i++) {
        const Node *node = kernel->members[i];
        put_member(out, kernel, node);
        for (int k = 0; k < node->input_count; k++) put_word(out, local_number(kernel, node->inputs[k]));
    }
    for (int i = 0; i < kernel->sum_count; i++) put_sum(out, kernel, &kernel->sums[i]);
    if (kernel->gathers && kernel->gathers->about)
        put_word(out, local_number(kernel, kernel->gathers->about));
}

/* What has a name. */
typedef struct Identity { size_t count; const char *bytes; } Identity;

/* The first of NAME, NAME_2, NAME_3 .. that is free or names the same kernel. */
static Name name_for(Program *program, const char *name, const Text *identity) {
    for (int number = 1;; number++) {
        const char *text = number == 1 ? name : arena_printf(program->arena, "%s_%d", name, number);
        Name found = intern(program->graph->names, text);
        const Identity *known = map_get(program->names, found);
        if (known &&
            (known->count != identity->length || memcmp(known->bytes, identity->bytes, known->count) != 0))
            continue;
        if (known) return found;
        Identity *made = NEW(program->arena, Identity);
        *made = (Identity){identity->length, arena_copy(program->arena, identity->bytes, identity->length)};
        map_set(program->names, found, made);
        return found;
    }
}

void kernel_set_name(Kernel *kernel, const char *format, ...) {
    Program *program = kernel->program;
    Text identity = {.arena = arena_new()};
    va_list arguments;
    va_start(arguments, format);
    const char *name = arena_vprintf(identity.arena, format, arguments);
    va_end(arguments);
    put_bytes(&identity, name, strlen(name));
    put_kernel(&identity, kernel);
    uint64_t hash = program->weak_names ? 0 : hash_bytes(identity.bytes, identity.length, 0);
    kernel->name = name_for(
        program, arena_printf(identity.arena, "%s_%016llx", name, (unsigned long long)hash), &identity);
    arena_free(identity.arena);
}

int program_shared_input(const Program *program, int output) {
    return program->outputs ? program->outputs[output].shares - 1 : -1;
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

/* ---- where a kernel reads ---- */

bool kernel_reads_at_point(const Kernel *kernel, const Node *node, KeepsPoint *keeps, const void *context) {
    int count = kernel->member_count;
    bool *at_point = NEW_ARRAY(kernel->program->arena, bool, count);
    at_point[count - 1] = true;
    for (int i = count - 1; i >= 0; i--) {
        const Node *user = kernel->members[i];
        bool kept = at_point[i] && keeps(kernel, user, context);
        for (int k = 0; k < user->input_count; k++) {
            if (user->inputs[k] == node && !kept) return false;
            for (int m = i - 1; kept && m >= 0; m--)
                if (kernel->members[m] == user->inputs[k]) at_point[m] = true;
        }
    }
    return true;
}

void kernel_set_phases(Kernel *kernel, const char *const *endings, const Dim *tasks, int count) {
    Program *program = kernel->program;
    Phase *phases = NEW_ARRAY(program->arena, Phase, count);
    kernel->tasks = dim_const(program->graph->dims, 0);
    for (int i = 0; i < count; i++) {
        const char *name = kernel->name;
        phases[i] =
            (Phase){endings[i] ? arena_printf(program->arena, "%s_%s", name, endings[i]) : name, tasks[i]};
        kernel->tasks = dim_add(program->graph->dims, kernel->tasks, tasks[i]);
    }
    kernel->phases = phases;
    kernel->phase_count = count;
}
