/* Packs weights in the order in which kernels read them. What depends on parameters alone
 * is computed and packed while building, into one blob that generated code reads. This
 * file keeps the list of pack jobs and writes the blob, one job at a time and some cells
 * of it at a time, so that no more than the largest weight is in memory. A launch packs
 * what the run computes. */
#include "plan/stages.h"
#include "core/program.h"

#include <stdlib.h>

enum { BLOB_ALIGNMENT = CAI_ALIGNMENT };

/* ---- the list of jobs ---- */

/* Finds the job for a node in a format, or makes it. Jobs of one node are chained, the
 * latest first. */
static int find_job(Program *program, Node *node, const Format *format) {
    if (!program->packed) program->packed = map_new(program->arena);
    int latest = (int)(intptr_t)map_get(program->packed, node);
    for (int i = latest; i > 0; i = program->packs.items[i - 1].previous)
        if (format_equal(program->packs.items[i - 1].format, format)) return i - 1;
    vec_push(program->arena, &program->packs, (PackJob){.node = node, .format = format, .previous = latest});
    map_set(program->packed, node, (void *)(intptr_t)program->packs.count);
    return program->packs.count - 1;
}

/* A dense layer multiplies by its weight transposed. Packing reads the untransposed
 * weight instead, since such weights are the largest. */
static int find_job_before_transposes(Program *program, Node *node, const Format *format) {
    Format *before = arena_copy(program->arena, format, sizeof *format);
    while (node->op == OP_transpose && format_before_transpose(before, node)) node = node->inputs[0];
    return find_job(program, node, before);
}

void pack_weights(Program *program, Kernel *kernel) {
    for (int i = 0; i < kernel->input_count; i++) {
        Value *value = kernel->inputs[i];
        if (value->space != SPACE_WEIGHTS || value->slot >= 0) continue;
        value->slot =
            (is_packed(value) ? find_job_before_transposes : find_job)(program, value->node, value->format);
    }
}

void pack_assign(Program *program) {
    for (int i = 0; i < program->packs.count; i++) {
        PackJob *job = &program->packs.items[i];
        job->offset = program->weights_bytes;
        job->bytes = (uint64_t)round_up(format_bytes(job->format, job->node), BLOB_ALIGNMENT);
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

/* ---- the blob ---- */

typedef struct PackWriter {
    const PackJob *job;
    const Number *values;
    Arena *scratch; /* of the job */
    bool (*write)(void *context, const void *bytes, size_t count);
    void *context;
    uint64_t written; /* of the job's bytes */
} PackWriter;

static bool write_pack_bytes(PackWriter *w, const void *bytes, int64_t count) {
    w->written += (uint64_t)count;
    return w->write(w->context, bytes, (size_t)count);
}

static bool write_plain(PackWriter *w) {
    enum { ELEMENTS_AT_ONCE = 1 << 18 };
    DType type = w->job->node->shape.type;
    int64_t count = node_element_count(w->job->node), bytes = dtype_bytes(type);
    unsigned char *out = arena_alloc(w->scratch, (size_t)(min_i64(count, ELEMENTS_AT_ONCE) * bytes));
    for (int64_t from = 0; from < count; from += ELEMENTS_AT_ONCE) {
        int64_t some = min_i64(ELEMENTS_AT_ONCE, count - from);
        numbers_store(type, w->values + from, 1, some, out, 1);
        if (!write_pack_bytes(w, out, some * bytes)) return false;
    }
    return true;
}

static bool put_packed(void *context, const void *bytes, int64_t count) {
    return write_pack_bytes(context, bytes, count);
}

static bool write_packed(PackWriter *w) {
    const PackJob *job = w->job;
    if (job->format == &format_plain) return write_plain(w);
    return format_write(job->format, job->node, w->values, w->scratch, put_packed, w);
}

/* Computes the job's values. A parameter is read directly, which takes no more memory
 * than its own. */
static bool evaluate_pack_job(const Program *program, const PackJob *job, const RefSource *weights,
                              Arena *scratch, const Number **values) {
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
    value.shape =
        (RefShape){.type = node->shape.type, .rank = node->shape.rank, .count = node_element_count(node)};
    for (int i = 0; i < node->shape.rank; i++) value.shape.dims[i] = dim_const_value(node->shape.dims[i]);
    value.values = NEW_ARRAY(scratch, Number, value.shape.count);
    *values = value.values;
    if (!weights->parameter || !weights->parameter(weights->context, node, &value)) return false;
    reference_round(&value);
    return true;
}

static bool write_job(const Program *program, const PackJob *job, const RefSource *weights, PackWriter w) {
    static const char zeros[BLOB_ALIGNMENT];
    w.job = job;
    w.scratch = arena_new();
    bool done = evaluate_pack_job(program, job, weights, w.scratch, &w.values) && write_packed(&w);
    if (done) CHECK(w.written <= job->bytes && job->bytes - w.written < BLOB_ALIGNMENT);
    done = done && write_pack_bytes(&w, zeros, (int64_t)(job->bytes - w.written));
    arena_free(w.scratch);
    return done;
}

bool program_write_weights(const Program *program, const RefSource *weights,
                           bool (*write)(void *context, const void *bytes, size_t count), void *context,
                           void (*progress)(uint64_t done, uint64_t all)) {
    for (int i = 0; i < program->packs.count; i++) {
        const PackJob *job = &program->packs.items[i];
        if (!write_job(program, job, weights, (PackWriter){.write = write, .context = context})) return false;
        if (progress) progress(job->offset + job->bytes, program->weights_bytes);
    }
    return true;
}
