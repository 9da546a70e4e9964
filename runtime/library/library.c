/* The library form: the functions of cai.h, over a context of run.c and a pool.
 * cai_the_program is the one model that is linked with it; the compiler
 * (object/symbols.c) then gives these functions the model's name, and hides all others.
 * Every mistake of a caller is found here, before a kernel runs. */
#include "core/core.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define PROGRAM (&cai_the_program)

struct cai_model_context {
    cai_context *context; /* made with the first sizes, as is the pool */
    cai_pool *pool;
    int threads;
    cai_parallel_for lent; /* the caller's pool, or NULL */
    void *lender;
    cai_reserve reserve; /* the caller's memory, or NULL */
    cai_release release;
    void *owner;
    int64_t seed;
    /* dims are the last valid sizes; the context is ready to run with them */
    bool sized, prepared;
    atomic_flag busy;
    cai_error error;
    int64_t (*dims)[CAI_MAX_RANK], (*wanted)[CAI_MAX_RANK]; /* sizes of the inputs: in use, and requested */
    const int64_t **shapes;
    const void **inputs;
    void **outputs;
};

/* ---- calls ---- */

/* Each call with a context is between enter and leave; where two threads use one context
 * at once, the second call fails. */
static cai_status enter_context(cai_model_context *c) {
    if (!c) return CAI_BAD_USAGE;
    if (atomic_flag_test_and_set_explicit(&c->busy, memory_order_acquire)) return CAI_BUSY;
    c->error.message[0] = 0;
    return CAI_OK;
}

static cai_status leave_context(cai_model_context *c, bool good) {
    cai_status status = good ? CAI_OK : (cai_status)c->error.status;
    atomic_flag_clear_explicit(&c->busy, memory_order_release);
    return status;
}

const char *cai_model_message(const cai_model_context *c) {
    return c ? c->error.message : "there is no context: it is NULL";
}

const char *cai_model_status_text(cai_status status) {
    switch (status) {
    case CAI_OK: return "all is well";
    case CAI_BAD_INPUT: return "an input's sizes are not what the model takes, or a buffer does not fit them";
    case CAI_BAD_USAGE: return "an argument is NULL or out of range";
    case CAI_NO_MEMORY: return "not enough memory";
    case CAI_WRONG_CPU: return "this machine's CPU cannot run the model: build it with `cai build --target`";
    case CAI_BUSY:
        return "another thread is within a call with this context: each thread takes a context of its own";
    case CAI_INTERNAL: break;
    }
    return "a mistake of cai's";
}

/* ---- contexts ---- */

cai_status cai_model_create(cai_model_context **context) {
    if (!context) return CAI_BAD_USAGE;
    *context = NULL;
    if (!cai_cpu_runs(PROGRAM->cpu)) return CAI_WRONG_CPU;
    size_t inputs = (size_t)PROGRAM->input_count + 1, outputs = (size_t)PROGRAM->output_count + 1;
    cai_model_context *c = calloc(1, sizeof *c);
    if (!c) return CAI_NO_MEMORY;
    atomic_flag_clear(&c->busy);
    c->dims = calloc(2 * inputs, sizeof *c->dims);
    c->wanted = c->dims ? c->dims + inputs : NULL;
    c->shapes = calloc(inputs, sizeof *c->shapes);
    c->inputs = calloc(inputs, sizeof *c->inputs);
    c->outputs = calloc(outputs, sizeof *c->outputs);
    if (!c->dims || !c->shapes || !c->inputs || !c->outputs) {
        cai_model_destroy(c);
        return CAI_NO_MEMORY;
    }
    *context = c;
    return CAI_OK;
}

static void drop_pool(cai_model_context *c) {
    cai_pool_free(c->pool);
    c->pool = NULL;
    c->prepared = false;
}

void cai_model_destroy(cai_model_context *c) {
    if (!c) return;
    cai_context_free(c->context);
    drop_pool(c);
    free(c->dims);
    free(c->shapes);
    free(c->inputs);
    free(c->outputs);
    free(c);
}

/* Sets where runs get their threads from, and ends the old pool. */
static bool set_pool(cai_model_context *c, int threads, cai_parallel_for run, void *user) {
    if (threads < 0 || threads > CAI_MAX_THREADS || (run && threads == 0))
        return cai_fail(&c->error, CAI_BAD_USAGE, "threads is %d, and must be from %d to %d", threads,
                        run ? 1 : 0, CAI_MAX_THREADS);
    drop_pool(c);
    c->threads = threads;
    c->lent = run;
    c->lender = user;
    return true;
}

cai_status cai_model_set_threads(cai_model_context *c, int threads) {
    cai_status status = enter_context(c);
    return status ? status : leave_context(c, set_pool(c, threads, NULL, NULL));
}

cai_status cai_model_set_parallel_for(cai_model_context *c, cai_parallel_for run, void *user, int threads) {
    cai_status status = enter_context(c);
    if (status) return status;
    return leave_context(c,
                         run ? set_pool(c, threads, run, user)
                             : cai_fail(&c->error, CAI_BAD_USAGE, "the function to run tasks with is NULL"));
}

static bool set_memory(cai_model_context *c, cai_reserve reserve, cai_release release, void *user) {
    if (!reserve != !release)
        return cai_fail(&c->error, CAI_BAD_USAGE,
                        "%s is NULL: memory is both reserved and released by the caller, or neither",
                        reserve ? "release" : "reserve");
    c->reserve = reserve;
    c->release = release;
    c->owner = user;
    c->prepared = false;
    if (c->context) cai_context_set_memory(c->context, reserve, release, user);
    return true;
}

cai_status cai_model_set_memory(cai_model_context *c, cai_reserve reserve, cai_release release, void *user) {
    cai_status status = enter_context(c);
    return status ? status : leave_context(c, set_memory(c, reserve, release, user));
}

cai_status cai_model_set_seed(cai_model_context *c, int64_t seed) {
    cai_status status = enter_context(c);
    if (status) return status;
    c->seed = seed;
    return leave_context(c, true);
}

static bool provide_pool(cai_model_context *c) {
    if (c->pool) return true;
    c->pool = c->lent ? cai_pool_lent(c->threads, c->lent, c->lender) : cai_pool_new(c->threads);
    if (!c->pool) return cai_fail(&c->error, CAI_NO_MEMORY, "not enough memory: for threads");
    if (c->context) {
        cai_context_set_pool(c->context, c->pool);
        return true;
    }
    c->context = cai_context_new(PROGRAM, c->pool, &c->error);
    if (c->context) cai_context_set_memory(c->context, c->reserve, c->release, c->owner);
    else drop_pool(c);
    return c->context != NULL;
}

/* ---- what the model takes and gives ---- */

int cai_model_input_count(void) { return PROGRAM->input_count; }
int cai_model_output_count(void) { return PROGRAM->output_count; }

static cai_axis axis_of_dim(const cai_dim *dim) {
    if (dim->symbol == -1) return (cai_axis){dim->multiple, 1, NULL};
    if (dim->symbol < 0) return (cai_axis){-1, 1, NULL};
    const cai_symbol *symbol = &PROGRAM->symbols[dim->symbol];
    return (cai_axis){-1, dim->multiple, dim->multiple == symbol->multiple ? symbol->name : NULL};
}

static cai_status describe_port(const cai_port *ports, int count, int index, cai_info *info) {
    if (!info || index < 0 || index >= count) return CAI_BAD_USAGE;
    const cai_port *port = &ports[index];
    *info = (cai_info){.name = port->name,
                       .text = port->type_text,
                       .type = (cai_type)port->type,
                       .rank = port->rank,
                       .is_picture = port->form == CAI_FORM_IMAGE,
                       .label_count = port->label_count,
                       .labels = port->labels,
                       .form = (cai_form)port->form,
                       .of = port->form == CAI_FORM_BOXES || port->form == CAI_FORM_NAMES ? port->of : -1,
                       .score = port->score};
    for (int axis = 0; axis < port->rank; axis++) info->axes[axis] = axis_of_dim(&port->dims[axis]);
    return CAI_OK;
}

cai_status cai_model_input_info(int index, cai_info *info) {
    return describe_port(PROGRAM->inputs, PROGRAM->input_count, index, info);
}
cai_status cai_model_output_info(int index, cai_info *info) {
    return describe_port(PROGRAM->outputs, PROGRAM->output_count, index, info);
}

/* ---- sizes ---- */

static bool check_count(cai_model_context *c, const char *what, const void *array, int given, int wanted) {
    if (given != wanted)
        return cai_fail(&c->error, CAI_BAD_USAGE, "%s: %d given, and the model has %d", what, given, wanted);
    return array || !wanted || cai_fail(&c->error, CAI_BAD_USAGE, "%s: the array is NULL", what);
}

/* Sets `dims` to the sizes of an input: the given ones, else the current ones, else those
 * of the model. */
static bool read_shape(cai_model_context *c, int index, const cai_in *in, int64_t *dims) {
    const cai_port *port = &PROGRAM->inputs[index];
    if (in->shape && in->rank != port->rank)
        return cai_fail(&c->error, CAI_BAD_INPUT, "input `%s` is %s: its shape has rank %d, and must have %d",
                        port->name, port->type_text, in->rank, port->rank);
    for (int axis = 0; axis < port->rank; axis++) {
        const cai_dim *dim = &port->dims[axis];
        if (in->shape) dims[axis] = in->shape[axis];
        else if (c->sized) dims[axis] = c->dims[index][axis];
        else if (dim->symbol == -1) dims[axis] = dim->multiple;
        else
            return cai_fail(&c->error, CAI_BAD_INPUT,
                            "input `%s` is %s: its shape is NULL, and no earlier call has set its sizes",
                            port->name, port->type_text);
    }
    return true;
}

static bool prepare_inputs(cai_model_context *c, const cai_in *inputs, int count) {
    size_t row = sizeof *c->dims;
    if (!check_count(c, "inputs", inputs, count, PROGRAM->input_count)) return false;
    for (int i = 0; i < count; i++) {
        if (!read_shape(c, i, &inputs[i], c->wanted[i])) return false;
        c->shapes[i] = c->wanted[i];
    }
    if (c->prepared && memcmp(c->dims, c->wanted, (size_t)count * row) == 0) return true;
    if (!provide_pool(c) || !cai_context_prepare(c->context, c->shapes, &c->error)) return false;
    memcpy(c->dims, c->wanted, (size_t)count * row);
    return c->sized = c->prepared = true;
}

cai_status cai_model_prepare(cai_model_context *c, const cai_in *inputs, int input_count) {
    cai_status status = enter_context(c);
    return status ? status : leave_context(c, prepare_inputs(c, inputs, input_count));
}

static bool output_shape(cai_model_context *c, int index, int64_t *shape, int rank) {
    if (index < 0 || index >= PROGRAM->output_count)
        return cai_fail(&c->error, CAI_BAD_USAGE, "there is no output %d: the model has %d, from 0 on", index,
                        PROGRAM->output_count);
    const cai_port *port = &PROGRAM->outputs[index];
    if (!c->sized) return cai_fail(&c->error, CAI_BAD_USAGE, "sizes are known only after prepare or run");
    if (rank < port->rank || !shape)
        return cai_fail(&c->error, CAI_BAD_USAGE, "output `%s` is %s: the array for its shape %s %d",
                        port->name, port->type_text,
                        shape ? "has too little room:" : "is NULL, and needs room for",
                        shape ? rank : port->rank);
    for (int axis = 0; axis < port->rank; axis++) shape[axis] = cai_context_dim(c->context, port, axis);
    return true;
}

cai_status cai_model_output_shape(cai_model_context *c, int index, int64_t *shape, int rank) {
    cai_status status = enter_context(c);
    return status ? status : leave_context(c, output_shape(c, index, shape, rank));
}

/* ---- text ---- */

static bool check_text(cai_model_context *c, int index, const float *scores, int64_t row, const char *text,
                       size_t room) {
    if (index < 0 || index >= PROGRAM->output_count || PROGRAM->outputs[index].form != CAI_FORM_TEXT)
        return cai_fail(&c->error, CAI_BAD_USAGE, "output %d is none that is read as text", index);
    if (!c->sized) return cai_fail(&c->error, CAI_BAD_USAGE, "sizes are known only after prepare or run");
    const cai_port *port = &PROGRAM->outputs[index];
    int64_t rows = cai_context_dim(c->context, port, 0);
    if (row < 0 || row >= rows)
        return cai_fail(&c->error, CAI_BAD_USAGE,
                        "output `%s` has %lld rows, from 0 on: there is no row %lld", port->name,
                        (long long)rows, (long long)row);
    return (scores && (text || !room)) || cai_fail(&c->error, CAI_BAD_USAGE, "output `%s`: %s is NULL",
                                                   port->name, scores ? "the text" : "scores");
}

/* A label that has no room whole is left out, with all after it. */
static void write_text(cai_model_context *c, const cai_port *port, const float *scores, int64_t row,
                       char *text, size_t room, size_t *length) {
    int64_t places = cai_context_dim(c->context, port, 1), classes = cai_context_dim(c->context, port, 2);
    cai_ctc ctc = cai_ctc_begin(scores + row * places * classes, places, classes);
    size_t whole = 0, written = 0;
    for (int64_t class; (class = cai_ctc_next(&ctc)) >= 0;) {
        size_t bytes = strlen(port->labels[class]);
        if (whole == written && whole + bytes < room) {
            memcpy(text + written, port->labels[class], bytes);
            written += bytes;
        }
        whole += bytes;
    }
    if (room) text[written] = 0;
    if (length) *length = whole;
}

cai_status cai_model_text(cai_model_context *c, int index, const float *scores, int64_t row, char *text,
                          size_t room, size_t *length) {
    cai_status status = enter_context(c);
    if (status) return status;
    bool good = check_text(c, index, scores, row, text, room);
    if (good) write_text(c, &PROGRAM->outputs[index], scores, row, text, room, length);
    return leave_context(c, good);
}

/* ---- runs ---- */

typedef struct PortBuffer { /* an input or output in memory */
    const cai_port *port;
    const char *what; /* "input" */
    uintptr_t begin;
    uint64_t given, bytes;
} PortBuffer;

/* Bytes of a port's elements; UINT64_MAX where they do not fit 63 bits. */
static uint64_t bytes_of_port(const cai_context *context, const cai_port *port) {
    int64_t bytes = cai_type_bytes(port->type);
    for (int axis = 0; axis < port->rank; axis++)
        if (__builtin_mul_overflow(bytes, cai_context_dim(context, port, axis), &bytes)) return UINT64_MAX;
    return (uint64_t)bytes;
}

static const char *port_shape_text(const cai_context *context, const cai_port *port, char *out, size_t size) {
    cai_tensor tensor = {.type = port->type, .rank = port->rank};
    for (int axis = 0; axis < port->rank; axis++) tensor.dims[axis] = cai_context_dim(context, port, axis);
    return cai_tensor_shape_text(&tensor, out, size);
}

static PortBuffer input_buffer(const cai_model_context *c, int i, const cai_in *in) {
    const cai_port *port = &PROGRAM->inputs[i];
    return (PortBuffer){port, "input", (uintptr_t)in->data, in->bytes, bytes_of_port(c->context, port)};
}

static PortBuffer output_buffer(const cai_model_context *c, int i, const cai_out *out) {
    const cai_port *port = &PROGRAM->outputs[i];
    return (PortBuffer){port, "output", (uintptr_t)out->data, out->bytes, bytes_of_port(c->context, port)};
}

static bool check_buffer(cai_model_context *c, PortBuffer b, bool exactly) {
    char shape[400];
    if (!b.begin)
        return cai_fail(&c->error, CAI_BAD_USAGE, "%s `%s` (%s): data is NULL", b.what, b.port->name,
                        b.port->type_text);
    if (b.begin % (uintptr_t)cai_type_bytes(b.port->type) != 0)
        return cai_fail(&c->error, CAI_BAD_USAGE, "%s `%s` (%s): data is not aligned to its elements", b.what,
                        b.port->name, b.port->type_text);
    if (exactly ? b.given == b.bytes : b.given >= b.bytes) return true;
    return cai_fail(&c->error, CAI_BAD_INPUT, "%s `%s` is %s: %llu bytes are given, and it takes %llu",
                    b.what, b.port->name, port_shape_text(c->context, b.port, shape, sizeof shape),
                    (unsigned long long)b.given, (unsigned long long)b.bytes);
}

static bool check_apart(cai_model_context *c, PortBuffer a, PortBuffer b) {
    if (a.begin + a.bytes <= b.begin || b.begin + b.bytes <= a.begin) return true;
    return cai_fail(&c->error, CAI_BAD_USAGE, "%s `%s` and %s `%s` overlap in memory", a.what, a.port->name,
                    b.what, b.port->name);
}

static bool check_buffers(cai_model_context *c, const cai_in *inputs, const cai_out *outputs) {
    for (int i = 0; i < PROGRAM->input_count; i++) {
        if (!check_buffer(c, input_buffer(c, i, &inputs[i]), true)) return false;
        c->inputs[i] = inputs[i].data;
    }
    for (int i = 0; i < PROGRAM->output_count; i++) {
        PortBuffer out = output_buffer(c, i, &outputs[i]);
        if (!check_buffer(c, out, false)) return false;
        for (int k = 0; k < PROGRAM->input_count; k++)
            if (!check_apart(c, out, input_buffer(c, k, &inputs[k]))) return false;
        for (int k = 0; k < i; k++)
            if (!check_apart(c, out, output_buffer(c, k, &outputs[k]))) return false;
        c->outputs[i] = outputs[i].data;
    }
    return true;
}

cai_status cai_model_run(cai_model_context *c, const cai_in *inputs, int input_count, const cai_out *outputs,
                         int output_count) {
    cai_status status = enter_context(c);
    if (status) return status;
    bool good = prepare_inputs(c, inputs, input_count) &&
                check_count(c, "outputs", outputs, output_count, PROGRAM->output_count) &&
                check_buffers(c, inputs, outputs) &&
                cai_context_run(c->context, c->inputs, c->outputs, c->seed, &c->error);
    return leave_context(c, good);
}
