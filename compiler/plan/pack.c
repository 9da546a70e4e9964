/* What is computed from parameters alone is computed while building, and lies in one blob that generated code reads: kernels of
 * convolutions in the order in which they are read, vectors padded to whole registers. This file keeps the list of such jobs and
 * writes the blob, one job at a time and of that a tile at a time, so that no more than the largest weight is in memory. */
#include "plan/stages.h"
#include "plan/winograd.h"
#include "files/files.h"

#include <stdlib.h>

enum { BLOB_ALIGNMENT = CAI_ALIGNMENT };

/* ---- sizes ---- */

static int64_t dim_at(const Node *node, int axis) {
    return dim_const_value(node->shape.dims[axis]);
}

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

typedef struct ConvPack { /* the kernel of a convolution as PACK_CONV sees it, see lower.h */
    int64_t lanes, tile, order, groups, outputs, inputs, group_outputs, blocks, kernel_rows, kernel_columns;
    int64_t second; /* B of a transposed one, else 0 */
} ConvPack;

static ConvPack conv_pack(const PackJob *job) {
    const Node *node = job->node;
    ConvPack p = {.lanes = job->arguments[0], .tile = job->arguments[1], .order = job->arguments[2], .groups = job->arguments[3]};
    bool transposed = job->arguments[4] != 0;
    p.outputs = transposed ? dim_at(node, 1) * p.groups : dim_at(node, 0);
    p.inputs = transposed ? dim_at(node, 0) / p.groups : dim_at(node, 1);
    p.second = transposed ? dim_at(node, 1) : 0;
    p.group_outputs = p.outputs / p.groups;
    p.blocks = ceil_div(p.group_outputs, p.lanes);
    p.kernel_rows = dim_at(node, 2);
    p.kernel_columns = dim_at(node, 3);
    return p;
}

typedef struct MatrixPack { /* K rows, N columns */
    int64_t lanes, tile, rows, columns, matrices, blocks;
    bool transposed;
} MatrixPack;

static MatrixPack matrix_pack(const PackJob *job) {
    const Node *node = job->node;
    int rank = node->shape.rank;
    MatrixPack p = {.lanes = job->arguments[0], .tile = job->arguments[1], .transposed = job->arguments[2] != 0};
    p.rows = dim_at(node, p.transposed ? rank - 1 : rank - 2);
    p.columns = dim_at(node, p.transposed ? rank - 2 : rank - 1);
    p.matrices = p.rows * p.columns == 0 ? 0 : node_element_count(node) / (p.rows * p.columns);
    p.blocks = ceil_div(p.columns, p.lanes);
    return p;
}

typedef struct WinogradPack { int64_t lanes, tile, planes, outputs, inputs, blocks; } WinogradPack;

static WinogradPack winograd_pack(const PackJob *job) {
    int64_t size = job->arguments[2] + 2;
    WinogradPack p = {.lanes = job->arguments[0], .tile = job->arguments[1], .planes = size * size};
    p.outputs = dim_at(job->node, 0);
    p.inputs = dim_at(job->node, 1);
    p.blocks = ceil_div(p.outputs, p.lanes);
    return p;
}

static int64_t packed_bytes(const PackJob *job, int lanes) {
    switch (job->kind) {
    case PACK_PLAIN: case PACK_VECTOR: return node_element_count(job->node) * dtype_bytes(job->node->shape.type);
    case PACK_BLOCKED: {
        int64_t pixels = dim_at(job->node, 2) * dim_at(job->node, 3);
        return dim_at(job->node, 0) * ceil_div(dim_at(job->node, 1), lanes) * pixels * lanes * 4;
    }
    case PACK_CONV: {
        ConvPack p = conv_pack(job);
        int64_t taps = p.kernel_rows * p.kernel_columns;
        if (p.order == CONV_ORDER_FEW) return ceil_div(p.inputs, p.lanes) * p.lanes * taps * p.outputs * 4;
        return p.blocks * p.groups * p.lanes * p.inputs * taps * 4;
    }
    case PACK_MATRIX: {
        MatrixPack p = matrix_pack(job);
        return p.matrices * p.blocks * p.lanes * p.rows * 4;
    }
    case PACK_WINOGRAD: {
        WinogradPack p = winograd_pack(job);
        return p.planes * p.blocks * p.lanes * p.inputs * 4;
    }
    }
    return 0;
}

/* ---- the list of jobs ---- */

/* The job for a node in a form, made if there is none. Jobs of one node are chained, from the latest back. */
static int find_job(Program *program, Node *node, PackKind kind, const int64_t arguments[6]) {
    if (!program->packed) program->packed = map_new(program->arena);
    int latest = (int)(intptr_t)map_get(program->packed, node);
    for (int i = latest; i > 0; i = program->packs.items[i - 1].previous) {
        const PackJob *job = &program->packs.items[i - 1];
        if (job->kind == kind && memcmp(job->arguments, arguments, sizeof job->arguments) == 0) return i - 1;
    }
    PackJob job = {.node = node, .kind = kind, .previous = latest};
    memcpy(job.arguments, arguments, sizeof job.arguments);
    vec_push(program->arena, &program->packs, job);
    map_set(program->packed, node, (void *)(intptr_t)program->packs.count);
    return program->packs.count - 1;
}

static bool swaps_last_axes(const Node *node) {
    if (node->op != OP_transpose) return false;
    IntList to = ATTRIBUTES(node, transpose)->permutation;
    for (int i = 0; i < to.count - 2; i++)
        if (to.items[i] != i) return false;
    return to.count >= 2 && to.items[to.count - 1] == to.count - 2;
}

/* A dense layer multiplies by its weight transposed; packing reads it as it lies instead, since such weights are the largest. */
static int find_matrix_job(Program *program, Node *node, const int64_t arguments[6]) {
    int64_t changed[6];
    memcpy(changed, arguments, sizeof changed);
    while (swaps_last_axes(node)) {
        node = node->inputs[0];
        changed[2] = !changed[2];
    }
    return find_job(program, node, PACK_MATRIX, changed);
}

Value *program_pack(Program *program, Kernel *kernel, int index, PackKind kind, const int64_t arguments[6]) {
    const Value *input = kernel->inputs[index];
    CHECK(input->space == SPACE_WEIGHTS);
    Value *packed = value_new(program, input->node, kind == PACK_BLOCKED ? LAYOUT_BLOCKED : LAYOUT_PLAIN, SPACE_WEIGHTS);
    bool own_format = kind == PACK_CONV || kind == PACK_MATRIX || kind == PACK_WINOGRAD;
    bool as_it_is = kind == PACK_PLAIN || kind == PACK_VECTOR || input->layout == packed->layout;
    if (as_it_is && !own_format) packed->strides = input->strides;
    packed->slot = kind == PACK_MATRIX ? find_matrix_job(program, input->node, arguments)
                                       : find_job(program, input->node, kind, arguments);
    kernel->inputs[index] = packed;
    return packed;
}

static PackKind natural_pack(const Value *value) {
    int long_axes = 0;
    if (value->layout == LAYOUT_BLOCKED) return PACK_BLOCKED;
    for (int i = 0; i < value->node->shape.rank; i++) long_axes += dim_at(value->node, i) != 1;
    return long_axes <= 1 && value->node->shape.type == DTYPE_F32 ? PACK_VECTOR : PACK_PLAIN;
}

void pack_remaining(Program *program, Kernel *kernel) {
    const int64_t none[6] = {0};
    for (int i = 0; i < kernel->input_count; i++) {
        Value *value = kernel->inputs[i];
        if (value->space != SPACE_WEIGHTS || value->slot >= 0) continue;
        value->slot = find_job(program, value->node, natural_pack(value), none);
    }
}

void pack_assign(Program *program) {
    for (int i = 0; i < program->packs.count; i++) {
        PackJob *job = &program->packs.items[i];
        job->offset = program->weights_bytes;
        job->bytes = (uint64_t)round_up(packed_bytes(job, program->target->lanes), BLOB_ALIGNMENT);
        program->weights_bytes += job->bytes;
    }
}

void count_parameters(Program *program) {
    for (int i = 0; i < program->graph->nodes.count; i++) {
        const Node *node = program->graph->nodes.items[i];
        int64_t count;
        if ((node->op == OP_parameter || node->op == OP_state) && shape_element_count(node->shape, &count))
            program->raw_weights_bytes += (uint64_t)(count * dtype_bytes(node->shape.type));
    }
}

/* ---- the packed forms; `out` is zeroed where some places stay free ---- */

static void pack_plain(DType type, const Number *in, int64_t count, unsigned char *out) {
    for (int64_t i = 0; i < count; i++) {
        switch (type) {
        case DTYPE_F32: ((float *)out)[i] = (float)in[i].real; break;
        case DTYPE_F16: ((uint16_t *)out)[i] = cai_f32_to_f16((float)in[i].real); break;
        case DTYPE_BF16: ((uint16_t *)out)[i] = cai_f32_to_bf16((float)in[i].real); break;
        case DTYPE_I8: ((int8_t *)out)[i] = (int8_t)in[i].whole; break;
        case DTYPE_I32: ((int32_t *)out)[i] = (int32_t)in[i].whole; break;
        case DTYPE_I64: ((int64_t *)out)[i] = in[i].whole; break;
        case DTYPE_BOOL: out[i] = in[i].whole != 0; break;
        }
    }
}

/* [N, C, H, W] to [N, ceil(C/lanes), H, W, lanes]. */
static void pack_blocked(const Node *node, const double *in, int64_t lanes, float *out) {
    int64_t images = dim_at(node, 0), channels = dim_at(node, 1), pixels = dim_at(node, 2) * dim_at(node, 3);
    int64_t blocks = ceil_div(channels, lanes);
    for (int64_t n = 0; n < images; n++)
        for (int64_t c = 0; c < channels; c++)
            for (int64_t p = 0; p < pixels; p++)
                out[((n * blocks + c / lanes) * pixels + p) * lanes + c % lanes] = (float)in[(n * channels + c) * pixels + p];
}

/* The rows, of `width` vectors, that an input channel's taps have in its output tile: first + y * down + x * right. */
typedef struct ConvRows { int64_t first, down, right; } ConvRows;

static ConvRows conv_rows(const ConvPack *p, int64_t input) {
    if (p->order == CONV_ORDER_PLAIN) return (ConvRows){input * p->kernel_columns, p->inputs * p->kernel_columns, 1};
    int64_t block = input / p->lanes * p->lanes, right = min_i64(p->lanes, p->inputs - block);
    return (ConvRows){block * p->kernel_rows * p->kernel_columns + input - block, p->kernel_columns * right, right};
}

/* Where the taps of input i for output o begin in the node. */
static const double *conv_source(const ConvPack *p, const double *in, int64_t o, int64_t i) {
    int64_t taps = p->kernel_rows * p->kernel_columns;
    if (p->second == 0) return in + (o * p->inputs + i) * taps;
    return in + ((o / p->second * p->inputs + i) * p->second + o % p->second) * taps;
}

static void pack_conv_few(const ConvPack *p, const double *in, float *out) {
    int64_t taps = p->kernel_rows * p->kernel_columns;
    for (int64_t o = 0; o < p->outputs; o++)
        for (int64_t i = 0; i < p->inputs; i++)
            for (int64_t k = 0; k < taps; k++)
                out[((i / p->lanes * taps + k) * p->outputs + o) * p->lanes + i % p->lanes] = (float)conv_source(p, in, o, i)[k];
}

/* Where an output keeps its weight for an input in CONV_ORDER_ROTATED: in the input's lane, by how far on in the group it lies itself. */
static void rotate(const ConvPack *p, int64_t output, int64_t *lane, int64_t *input) {
    int64_t place = output % p->inputs, on = (place - *input + p->inputs) % p->inputs;
    *lane += *input - place;
    *input = on;
}

/* A tile's outputs: those of blocks tile .. tile + width of a group. */
static void pack_conv_tile(const ConvPack *p, int64_t group, int64_t tile, int64_t width, const double *in, float *out) {
    int64_t end = min_i64((tile + width) * p->lanes, p->group_outputs), row = width * p->lanes;
    for (int64_t r = tile * p->lanes; r < end; r++) {
        float *block = out + (r / p->lanes - tile) * p->lanes;
        for (int64_t i = 0; i < p->inputs; i++) {
            int64_t lane = r % p->lanes, input = i;
            if (p->order == CONV_ORDER_ROTATED) rotate(p, r, &lane, &input);
            const double *from = conv_source(p, in, group * p->group_outputs + r, i);
            const ConvRows rows = conv_rows(p, input);
            for (int64_t y = 0; y < p->kernel_rows; y++)
                for (int64_t x = 0; x < p->kernel_columns; x++)
                    block[(rows.first + y * rows.down + x * rows.right) * row + lane] = (float)*from++;
        }
    }
}

enum { TOGETHER = 4 }; /* kernels that are transformed together, in the lanes of vectors; vectors of weights are whole fours */

/* u = G w G^T. */
static void transform_kernels(const Winograd *w, double kernels[9][TOGETHER], double u[][TOGETHER]) {
    double half[MOST_WINOGRAD][3][TOGETHER];
    for (int y = 0; y < w->size; y++)
        for (int x = 0; x < 3; x++)
            for (int l = 0; l < TOGETHER; l++)
                half[y][x][l] = w->weights[y][0] * kernels[x][l] + w->weights[y][1] * kernels[3 + x][l] + w->weights[y][2] * kernels[6 + x][l];
    for (int y = 0; y < w->size; y++)
        for (int x = 0; x < w->size; x++, u++)
            for (int l = 0; l < TOGETHER; l++)
                (*u)[l] = half[y][0][l] * w->weights[x][0] + half[y][1][l] * w->weights[x][1] + half[y][2][l] * w->weights[x][2];
}

static void pack_winograd_tile(const WinogradPack *p, const Winograd *w, int64_t tile, int64_t width, const double *in, float *out) {
    int64_t end = min_i64((tile + width) * p->lanes, p->outputs), row = width * p->lanes;
    double kernels[9][TOGETHER] = {0}, u[MOST_WINOGRAD * MOST_WINOGRAD][TOGETHER];
    for (int64_t i = 0; i < p->inputs; i++)
        for (int64_t o = tile * p->lanes; o < end; o += TOGETHER) {
            for (int64_t l = 0; l < TOGETHER; l++)
                for (int k = 0; k < 9; k++) kernels[k][l] = o + l < end ? in[((o + l) * p->inputs + i) * 9 + k] : 0;
            transform_kernels(w, kernels, u);
            float *to = out + i * row + o - tile * p->lanes;
            for (int64_t k = 0; k < p->planes; k++, to += p->inputs * row)
                for (int l = 0; l < TOGETHER; l++) to[l] = (float)u[k][l];
        }
}

/* Columns of blocks tile .. tile + width of a matrix, some rows at a time, so that what is written stays near. */
static void pack_matrix_tile(const MatrixPack *p, int64_t tile, int64_t width, const double *in, float *out) {
    enum { ROWS_AT_ONCE = 64 };
    int64_t end = min_i64((tile + width) * p->lanes, p->columns);
    for (int64_t from = 0; from < p->rows; from += ROWS_AT_ONCE)
        for (int64_t n = tile * p->lanes; n < end; n++) {
            float *column = out + (n / p->lanes - tile) * p->lanes + n % p->lanes;
            for (int64_t k = from; k < min_i64(from + ROWS_AT_ONCE, p->rows); k++)
                column[k * width * p->lanes] = (float)(p->transposed ? in[n * p->rows + k] : in[k * p->columns + n]);
        }
}

/* ---- the blob ---- */

typedef struct Writer {
    const PackJob *job;
    const Number *values;
    int lanes;
    Arena *scratch;      /* of the job */
    bool (*write)(void *context, const void *bytes, size_t count);
    void *context;
    uint64_t written;    /* of the job's bytes */
} Writer;

static bool put(Writer *w, const void *bytes, int64_t count) {
    w->written += (uint64_t)count;
    return w->write(w->context, bytes, (size_t)count);
}

static bool write_conv(Writer *w) {
    ConvPack p = conv_pack(w->job);
    int64_t vector = p.lanes * p.inputs * p.kernel_rows * p.kernel_columns;
    float *out = arena_alloc(w->scratch, (size_t)(p.tile * vector) * sizeof *out);
    for (int64_t group = 0; group < p.groups; group++)
        for (int64_t tile = 0; tile < p.blocks; tile += p.tile) {
            int64_t width = min_i64(p.tile, p.blocks - tile);
            memset(out, 0, (size_t)(width * vector) * sizeof *out);
            pack_conv_tile(&p, group, tile, width, &w->values->real, out);
            if (!put(w, out, width * vector * (int64_t)sizeof *out)) return false;
        }
    return true;
}

static bool write_matrix(Writer *w) {
    MatrixPack p = matrix_pack(w->job);
    int64_t vector = p.lanes * p.rows;
    float *out = arena_alloc(w->scratch, (size_t)(p.tile * vector) * sizeof *out);
    for (int64_t m = 0; m < p.matrices; m++)
        for (int64_t tile = 0; tile < p.blocks; tile += p.tile) {
            int64_t width = min_i64(p.tile, p.blocks - tile);
            memset(out, 0, (size_t)(width * vector) * sizeof *out);
            pack_matrix_tile(&p, tile, width, &w->values->real + m * p.rows * p.columns, out);
            if (!put(w, out, width * vector * (int64_t)sizeof *out)) return false;
        }
    return true;
}

static bool write_winograd(Writer *w) {
    WinogradPack p = winograd_pack(w->job);
    Winograd matrices = winograd((int)w->job->arguments[2]);
    int64_t vector = p.planes * p.lanes * p.inputs;
    float *out = arena_alloc(w->scratch, (size_t)(p.tile * vector) * sizeof *out);
    for (int64_t tile = 0; tile < p.blocks; tile += p.tile) {
        int64_t width = min_i64(p.tile, p.blocks - tile);
        memset(out, 0, (size_t)(width * vector) * sizeof *out);
        pack_winograd_tile(&p, &matrices, tile, width, &w->values->real, out);
        if (!put(w, out, width * vector * (int64_t)sizeof *out)) return false;
    }
    return true;
}

static bool write_plain(Writer *w) {
    enum { ELEMENTS_AT_ONCE = 1 << 18 };
    DType type = w->job->node->shape.type;
    int64_t count = node_element_count(w->job->node), bytes = dtype_bytes(type);
    unsigned char *out = arena_alloc(w->scratch, (size_t)(min_i64(count, ELEMENTS_AT_ONCE) * bytes));
    for (int64_t from = 0; from < count; from += ELEMENTS_AT_ONCE) {
        int64_t some = min_i64(ELEMENTS_AT_ONCE, count - from);
        pack_plain(type, w->values + from, some, out);
        if (!put(w, out, some * bytes)) return false;
    }
    return true;
}

/* Forms that are small, or rare: packed as a whole. */
static bool write_whole(Writer *w) {
    float *out = arena_alloc(w->scratch, w->job->bytes);
    if (w->job->kind == PACK_BLOCKED) {
        pack_blocked(w->job->node, &w->values->real, w->lanes, out);
    } else {
        ConvPack p = conv_pack(w->job);
        pack_conv_few(&p, &w->values->real, out);
    }
    return put(w, out, (int64_t)w->job->bytes);
}

static bool write_packed(Writer *w) {
    switch (w->job->kind) {
    case PACK_PLAIN: case PACK_VECTOR: return write_plain(w);
    case PACK_MATRIX: return write_matrix(w);
    case PACK_WINOGRAD: return write_winograd(w);
    case PACK_CONV: return w->job->arguments[2] == CONV_ORDER_FEW ? write_whole(w) : write_conv(w);
    case PACK_BLOCKED: return write_whole(w);
    }
    return false;
}

/* The job's values. A parameter itself is asked for directly, in no more memory than it takes. */
static bool evaluate(const Program *program, const PackJob *job, const RefSource *weights, Arena *scratch, const Number **values) {
    const Node *node = job->node;
    RefTensor value = {0};
    while (node->op == OP_reshape) node = node->inputs[0];
    if (node->op != OP_parameter && node->op != OP_state) {
        RefSource source = *weights;
        source.product = product_blocked;
        bool done = reference_evaluate(program->graph, &job->node, 1, NULL, 0, &source, scratch, &value);
        *values = value.values;
        return done;
    }
    value.shape = (RefShape){.type = node->shape.type, .rank = node->shape.rank, .count = node_element_count(node)};
    for (int i = 0; i < node->shape.rank; i++) value.shape.dims[i] = dim_at(node, i);
    value.values = NEW_ARRAY(scratch, Number, value.shape.count);
    *values = value.values;
    if (!weights->parameter || !weights->parameter(weights->context, node, &value)) return false;
    reference_round(&value);
    return true;
}

static bool write_job(const Program *program, const PackJob *job, const RefSource *weights, Writer w) {
    static const char zeros[BLOB_ALIGNMENT];
    w.job = job;
    w.lanes = program->target->lanes;
    w.scratch = arena_new();
    bool done = evaluate(program, job, weights, w.scratch, &w.values) && write_packed(&w);
    if (done) CHECK(w.written <= job->bytes && job->bytes - w.written < BLOB_ALIGNMENT);
    done = done && put(&w, zeros, (int64_t)(job->bytes - w.written));
    arena_free(w.scratch);
    return done;
}

bool program_write_weights(const Program *program, const RefSource *weights, bool (*write)(void *context, const void *bytes, size_t count),
                           void *context, void (*progress)(uint64_t done, uint64_t all)) {
    for (int i = 0; i < program->packs.count; i++) {
        const PackJob *job = &program->packs.items[i];
        if (!write_job(program, job, weights, (Writer){.write = write, .context = context})) return false;
        if (progress) progress(job->offset + job->bytes, program->weights_bytes);
    }
    return true;
}
