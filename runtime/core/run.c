/* A context: the sizes of one program, the memory for its intermediate results, and its
 * launches in order. */
#include "core/core.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE ((uint64_t)4096)
#define HUGE_PAGE ((uint64_t)1 << 21)

/* slots and scratch; in pages mapped here, `base` is such that an inaccessible page
 * begins at base + bytes + CAI_READ_SLACK */
typedef struct RunArena {
    unsigned char *base, *memory;
    uint64_t bytes, reserved;
    cai_reserve reserve; /* the caller's, or NULL */
    cai_release release;
    void *user;
} RunArena;

struct cai_context {
    const cai_program *program;
    cai_pool *pool;
    bool prepared;
    cai_runner runner;
    int64_t *symbols, *sizes;         /* in use, as in program.h */
    int64_t *new_symbols, *new_sizes; /* being prepared: swapped in on success */
    void **arguments;                 /* of the launch that runs */
    RunArena arena;
    void (*watch)(void *data, int launch);
    void *watch_data;
    uint32_t guards;
};

/* ---- memory ---- */

static uint64_t aligned_bytes(int64_t bytes) {
    return ((uint64_t)bytes + CAI_ALIGNMENT - 1) / CAI_ALIGNMENT * CAI_ALIGNMENT;
}

typedef struct ArenaRegion {
    unsigned char *begin, *end;
    int advice;
} ArenaRegion;

static void touch_parts(void *data, int64_t first, int64_t last, int worker) {
    (void)worker;
    const ArenaRegion *region = data;
    /* two threads never touch the same huge page */
    uintptr_t start = (uintptr_t)region->begin / HUGE_PAGE * HUGE_PAGE;
    unsigned char *from = (unsigned char *)(start + (uint64_t)first * HUGE_PAGE),
                  *to = (unsigned char *)(start + (uint64_t)last * HUGE_PAGE);
    if (from < region->begin) from = region->begin;
    if (to > region->end) to = region->end;
    madvise(from, (size_t)(to - from), region->advice);
}

/* Makes the system provide pages now, on all threads, and not by single faults during the
 * first run: that costs a third of the faults. Kernels before 5.14 refuse, and pages
 * fault as usual. begin and end are page-aligned. */
static void touch_pages(cai_pool *pool, const unsigned char *begin, const unsigned char *end, int advice) {
    ArenaRegion region = {(unsigned char *)begin, (unsigned char *)end, advice};
    if (begin >= end) return;
    cai_pool_enter(pool);
    cai_pool_run(pool, touch_parts, &region,
                 (int64_t)(((uintptr_t)end - 1) / HUGE_PAGE - (uintptr_t)begin / HUGE_PAGE + 1));
    cai_pool_leave(pool);
}

static void touch_weights(cai_pool *pool, const cai_program *program) {
    uint64_t whole = program->weights_bytes / PAGE * PAGE;
    if (whole > 0 && (uintptr_t)program->weights % PAGE == 0)
        touch_pages(pool, program->weights, program->weights + whole, MADV_POPULATE_READ);
}

static void arena_release(RunArena *arena) {
    if (!arena->memory) return;
    if (arena->release) arena->release(arena->user, arena->memory, arena->reserved);
    else munmap(arena->memory, arena->reserved);
    arena->memory = NULL;
    arena->bytes = 0;
}

static bool arena_borrow(RunArena *arena, uint64_t bytes, cai_error *error) {
    const uint64_t reserved = bytes + CAI_READ_SLACK;
    unsigned char *memory = arena->reserve(arena->user, reserved, CAI_ALIGNMENT);
    if (!memory) return cai_fail_memory(error, reserved, "intermediate results of this size");
    if ((uintptr_t)memory % CAI_ALIGNMENT != 0) {
        arena->release(arena->user, memory, reserved);
        return cai_fail(error, CAI_BAD_USAGE,
                        "the memory that was reserved does not begin at a multiple of %d", CAI_ALIGNMENT);
    }
    arena_release(arena);
    arena->base = arena->memory = memory;
    arena->bytes = bytes;
    arena->reserved = reserved;
    return true;
}

/* Anonymous pages come zeroed when first touched; large ones save most of the faults. */
static bool arena_map(RunArena *arena, cai_pool *pool, uint64_t bytes, cai_error *error) {
    uint64_t limit = cai_memory_limit();
    if (bytes > limit) {
        return cai_fail(
            error, CAI_NO_MEMORY,
            "not enough memory: intermediate results of this size take %.1f GB, and only %.1f GB are available",
            (double)bytes / 1e9, (double)limit / 1e9);
    }
    uint64_t usable = (bytes + CAI_READ_SLACK + PAGE - 1) / PAGE * PAGE, reserved = usable + PAGE;
    unsigned char *mapping = mmap(NULL, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED) return cai_fail_memory(error, bytes, "intermediate results of this size");
    mprotect(mapping + usable, PAGE, PROT_NONE);
    if (usable >= (UINT64_C(1) << 22)) madvise(mapping, usable, MADV_HUGEPAGE);
    arena_release(arena);
    touch_pages(pool, mapping, mapping + usable, MADV_POPULATE_WRITE);
    arena->memory = mapping;
    arena->reserved = reserved;
    arena->bytes = bytes;
    arena->base = mapping + (usable - bytes - CAI_READ_SLACK);
    return true;
}

static bool arena_reserve(RunArena *arena, cai_pool *pool, uint64_t bytes, cai_error *error) {
    if (arena->memory && bytes <= arena->bytes) return true;
    bytes = aligned_bytes((int64_t)bytes);
    return arena->reserve ? arena_borrow(arena, bytes, error) : arena_map(arena, pool, bytes, error);
}

/* The most arguments of a launch, or of launches that are fused by rows. */
static int32_t max_arguments(const cai_program *program) {
    int32_t max = 0;
    for (int i = 0; i < program->launch_count; i++) {
        int32_t count = 0, more = program->launches[i].fused ? program->launches[i].more : 0;
        for (int k = i; k <= i + more; k++) count += program->launches[k].argument_count;
        if (count > max) max = count;
    }
    return max;
}

cai_context *cai_context_new(const cai_program *program, cai_pool *pool, cai_error *error) {
    if (program->abi != CAI_PROGRAM_ABI) {
        cai_fail(error, CAI_INTERNAL,
                 "the program was built for version %u of the runtime, but this is version %u", program->abi,
                 CAI_PROGRAM_ABI);
        return NULL;
    }
    cai_context *context = calloc(1, sizeof *context);
    size_t symbols = (size_t)program->symbol_count + 1, sizes = (size_t)program->size_count + 1;
    int64_t *numbers = calloc(2 * (symbols + sizes), sizeof *numbers);
    void **arguments = calloc((size_t)max_arguments(program) + 1, sizeof *arguments);
    if (!context || !numbers || !arguments) {
        free(context);
        free(numbers);
        free(arguments);
        cai_fail_memory(error, sizeof *numbers * (symbols + sizes), "a context");
        return NULL;
    }
    *context = (cai_context){.program = program,
                             .guards = UINT32_MAX,
                             .pool = pool,
                             .arguments = arguments,
                             .symbols = numbers,
                             .new_symbols = numbers + symbols,
                             .sizes = numbers + 2 * symbols,
                             .new_sizes = numbers + 2 * symbols + sizes};
    touch_weights(pool, program);
    return context;
}

void cai_context_set_pool(cai_context *context, cai_pool *pool) {
    context->pool = pool;
    context->prepared = false; /* the size of its memory depends on the number of threads */
}

void cai_context_set_memory(cai_context *context, cai_reserve reserve, cai_release release, void *user) {
    arena_release(&context->arena);
    context->arena = (RunArena){.reserve = reserve, .release = release, .user = user};
    context->prepared = false;
}

void cai_context_free(cai_context *context) {
    if (!context) return;
    arena_release(&context->arena);
    free(context->symbols < context->new_symbols ? context->symbols : context->new_symbols);
    free(context->arguments);
    free(context);
}

/* ---- sizes ---- */

/* "height", or "axis 2" where the port is not a picture. */
static const char *port_axis_text(const cai_port *port, int axis, char *out, size_t size) {
    const char *const sides[] = {"number of pictures", "number of channels", "height", "width"};
    if (port->form == CAI_FORM_IMAGE && port->rank == 4) return sides[axis];
    snprintf(out, size, "axis %d", axis);
    return out;
}

static bool fail_size(const cai_program *program, const cai_port *port, int axis, int64_t found,
                      int64_t wanted, int symbol, cai_error *error) {
    char text[32];
    const char *side = port_axis_text(port, axis, text, sizeof text);
    const char *of = symbol >= 0 ? program->symbols[symbol].name : NULL;
    return cai_fail(error, CAI_BAD_INPUT, "input `%s` is %s: its %s must be %lld%s%s%s, and is %lld",
                    port->name, port->type_text, side, (long long)wanted, of ? " (" : "", of ? of : "",
                    of ? " is set by another size)" : "", (long long)found);
}

/* One size of one input: a number, or the value of a symbol. */
static bool bind_size(const cai_program *program, const cai_port *port, int axis, int64_t found,
                      int64_t *symbols, cai_error *error) {
    const cai_dim *dim = &port->dims[axis];
    char text[32];
    const char *side = port_axis_text(port, axis, text, sizeof text);
    if (found < 1) {
        return cai_fail(error, CAI_BAD_INPUT, "input `%s` is %s: its %s is %lld, and must be at least 1",
                        port->name, port->type_text, side, (long long)found);
    }
    if (dim->symbol == -2) return true; /* compared when all symbols are known */
    if (dim->symbol < 0)
        return found == dim->multiple || fail_size(program, port, axis, found, dim->multiple, -1, error);
    if (found % dim->multiple != 0) {
        return cai_fail(error, CAI_BAD_INPUT,
                        "input `%s` is %s: its %s must be a multiple of %lld, and is %lld", port->name,
                        port->type_text, side, (long long)dim->multiple, (long long)found);
    }
    int64_t *symbol = &symbols[dim->symbol], value = found / dim->multiple;
    if (*symbol == 0) *symbol = value;
    return *symbol == value ||
           fail_size(program, port, axis, found, *symbol * dim->multiple, dim->symbol, error);
}

/* " (N = 1, H = 512)", in the user's units. */
static void describe_symbols(const cai_program *program, const int64_t *symbols, char *out, size_t size) {
    size_t used = 0;
    out[0] = 0;
    for (int i = 0; i < program->symbol_count && used < size; i++) {
        const cai_symbol *symbol = &program->symbols[i];
        used += (size_t)snprintf(out + used, size - used, "%s%s = %lld", i ? ", " : " (", symbol->name,
                                 (long long)(symbol->multiple * symbols[i]));
    }
    if (program->symbol_count && used < size) snprintf(out + used, size - used, ")");
}

/* Slots, followed by the working memory of each thread. A sum that overflows saturates,
 * and fails as too large. */
static bool reserve_memory(cai_context *context, const int64_t *sizes, cai_error *error) {
    const uint64_t too_large = UINT64_C(1) << 62, threads = (uint64_t)cai_pool_threads(context->pool);
    uint64_t slots = aligned_bytes(sizes[context->program->arena]),
             each = aligned_bytes(sizes[context->program->scratch]), all;
    if (__builtin_mul_overflow(threads, each, &all) || __builtin_add_overflow(all, slots, &all) ||
        all > too_large)
        all = too_large;
    return arena_reserve(&context->arena, context->pool, all, error);
}

/* Computes new_sizes from new_symbols and reserves memory. */
static bool prepare_symbols(cai_context *context, cai_error *error) {
    const cai_program *program = context->program;
    char sizes[200];
    describe_symbols(program, context->new_symbols, sizes, sizeof sizes);
    int64_t found = program->prepare(context->new_symbols, context->new_sizes);
    if (found == CAI_OVERFLOW)
        return cai_fail(error, CAI_BAD_INPUT, "sizes are too large to compute with%s", sizes);
    if (found != CAI_PREPARED) {
        if (found < 0 || found >= program->check_count)
            return cai_fail(error, CAI_INTERNAL, "check %lld does not exist", (long long)found);
        return cai_fail(error, CAI_BAD_INPUT, "%s%s", program->checks[found].message, sizes);
    }
    return reserve_memory(context, context->new_sizes, error);
}

static void accept_sizes(cai_context *context) {
    int64_t *symbols = context->symbols, *sizes = context->sizes;
    context->symbols = context->new_symbols;
    context->sizes = context->new_sizes;
    context->new_symbols = symbols;
    context->new_sizes = sizes;
    context->prepared = true;
}

bool cai_context_prepare(cai_context *context, const int64_t *const *shapes, cai_error *error) {
    const cai_program *program = context->program;
    int64_t *symbols = context->new_symbols;
    memset(symbols, 0, sizeof *symbols * ((size_t)program->symbol_count + 1));
    for (int i = 0; i < program->input_count; i++) {
        for (int axis = 0; axis < program->inputs[i].rank; axis++) {
            if (!bind_size(program, &program->inputs[i], axis, shapes[i][axis], symbols, error)) return false;
        }
    }
    for (int i = 0; i < program->symbol_count; i++) {
        if (symbols[i] == 0) symbols[i] = 1; /* no input has it */
    }
    if (!prepare_symbols(context, error)) return false;
    for (int i = 0; i < program->input_count; i++) {
        const cai_port *port = &program->inputs[i];
        for (int axis = 0; axis < port->rank; axis++) {
            int64_t wanted = context->new_sizes[port->dims[axis].size];
            if (shapes[i][axis] != wanted)
                return fail_size(program, port, axis, shapes[i][axis], wanted, -1, error);
        }
    }
    accept_sizes(context);
    return true;
}

bool cai_context_prepare_symbols(cai_context *context, const int64_t *symbols, cai_error *error) {
    const cai_program *program = context->program;
    for (int i = 0; i < program->symbol_count; i++) {
        const cai_symbol *symbol = &program->symbols[i];
        if (symbols[i] < 1 || symbols[i] % symbol->multiple != 0) {
            return cai_fail(error, CAI_BAD_INPUT, "%s is %lld, and must be a multiple of %lld", symbol->name,
                            (long long)symbols[i], (long long)symbol->multiple);
        }
        context->new_symbols[i] = symbols[i] / symbol->multiple;
    }
    if (!prepare_symbols(context, error)) return false;
    accept_sizes(context);
    return true;
}

int64_t cai_context_dim(const cai_context *context, const cai_port *port, int axis) {
    return context->sizes[port->dims[axis].size];
}

int64_t cai_context_size(const cai_context *context, int32_t index) {
    return index < 0 ? 0 : context->sizes[index];
}

int64_t cai_context_elements(const cai_context *context, const cai_port *port) {
    int64_t elements = 1;
    for (int axis = 0; axis < port->rank; axis++) elements *= cai_context_dim(context, port, axis);
    return elements;
}

cai_memory cai_context_memory(const cai_context *context) {
    const cai_program *program = context->program;
    cai_memory memory = {.weights = program->weights_bytes, .intermediate = context->arena.bytes};
    for (int i = 0; i < program->input_count + program->output_count; i++) {
        const cai_port *port =
            i < program->input_count ? &program->inputs[i] : &program->outputs[i - program->input_count];
        memory.ports += (uint64_t)cai_context_elements(context, port) * (uint64_t)cai_type_bytes(port->type);
    }
    return memory;
}

/* ---- a run ---- */

typedef struct KernelCall {
    cai_kernel kernel;
    void *const *arguments;
    const int64_t *symbols;
    unsigned char *scratch;
    uint64_t scratch_each;
    int64_t first; /* task of the round */
} KernelCall;

static void call_kernel(void *context, int64_t begin, int64_t end, int worker) {
    const KernelCall *call = context;
    unsigned char *scratch = call->scratch + (uint64_t)worker * call->scratch_each;
    call->kernel(call->arguments, call->symbols, call->first + begin, call->first + end, scratch);
}

static void *resolve_argument(const cai_context *context, const cai_argument *argument,
                              const void *const *inputs, void *const *outputs) {
    if (argument->space == CAI_ARG_SLOT) return context->arena.base + context->sizes[argument->index];
    if (argument->space == CAI_ARG_WEIGHTS) return (void *)(context->program->weights + argument->index);
    /* for a slot, `offset` is something else */
    int64_t offset = argument->offset >= 0 ? context->sizes[argument->offset] : 0;
    return (char *)(argument->space == CAI_ARG_INPUT ? inputs
                                                     : (const void *const *)outputs)[argument->index] +
           offset;
}

static int64_t argument_bytes(const cai_context *context, const cai_argument *argument) {
    const cai_program *program = context->program;
    const cai_buffer *buffer = &program->buffers[argument->space == CAI_ARG_SLOT ? argument->offset : 0];
    if (argument->space == CAI_ARG_SLOT)
        return context->sizes[buffer->begin] + context->sizes[buffer->bytes] -
               context->sizes[argument->index];
    const cai_port *port = argument->space == CAI_ARG_INPUT ? &program->inputs[argument->index]
                                                            : &program->outputs[argument->index];
    int64_t before = argument->offset >= 0 ? context->sizes[argument->offset] : 0;
    return cai_context_elements(context, port) * cai_type_bytes(port->type) - before;
}

const void *cai_context_result(const cai_context *context, int launch, const void *const *inputs,
                               void *const *outputs, uint64_t *bytes) {
    const cai_argument *result = &context->program->launches[launch].arguments[0];
    *bytes = (uint64_t)argument_bytes(context, result);
    return resolve_argument(context, result, inputs, outputs);
}

void cai_context_watch(cai_context *context, void (*watch)(void *data, int launch), void *data) {
    context->watch = watch;
    context->watch_data = data;
}

/* Makes the call of a launch; its arguments are written to `arguments`. */
static KernelCall make_call(const cai_context *context, const cai_launch *launch, void **arguments,
                            const void *const *inputs, void *const *outputs) {
    const int64_t *sizes = context->sizes;
    const cai_program *program = context->program;
    for (int k = 0; k < launch->argument_count; k++)
        arguments[k] = resolve_argument(context, &launch->arguments[k], inputs, outputs);
    return (KernelCall){.kernel = launch->kernel,
                        .arguments = arguments,
                        .symbols = context->symbols,
                        .scratch = context->arena.base + aligned_bytes(sizes[program->arena]),
                        .scratch_each = aligned_bytes(sizes[program->scratch])};
}

static void run_launch(cai_context *context, const cai_launch *launch, int64_t round,
                       const void *const *inputs, void *const *outputs) {
    KernelCall call = make_call(context, launch, context->arguments, inputs, outputs);
    call.first = round * context->sizes[launch->tasks];
    cai_pool_run(context->pool, call_kernel, &call, context->sizes[launch->tasks]);
}

typedef struct FusedCalls {
    KernelCall calls[CAI_MAX_FUSED];
    int count;
} FusedCalls;

static void call_fused(void *context, int64_t begin, int64_t end, int worker) {
    FusedCalls *fused = context;
    for (int64_t task = begin; task < end; task++) {
        for (int k = 0; k < fused->count; k++) call_kernel(&fused->calls[k], task, task + 1, worker);
    }
}

static void run_fused(cai_context *context, const cai_launch *first, int count, const void *const *inputs,
                      void *const *outputs) {
    FusedCalls fused = {.count = count};
    void **arguments = context->arguments;
    for (int k = 0; k < fused.count; k++) {
        fused.calls[k] = make_call(context, &first[k], arguments, inputs, outputs);
        arguments += first[k].argument_count;
    }
    cai_pool_run(context->pool, call_fused, &fused, context->sizes[first->tasks]);
}

void cai_context_set_guards(cai_context *context, uint32_t guards) { context->guards = guards; }

bool cai_launch_runs(const cai_launch *launch, uint32_t guards) {
    return !launch->guards || (launch->guards & guards);
}

void cai_context_run_by(cai_context *context, cai_runner runner) { context->runner = runner; }

bool cai_context_run(cai_context *context, const void *const *inputs, void *const *outputs, int64_t seed,
                     cai_error *error) {
    if (!context->prepared)
        return cai_fail(error, CAI_BAD_USAGE, "a context runs only after its sizes were prepared");
    const cai_program *program = context->program;
    context->symbols[program->symbol_count] = seed;
    if (context->runner) {
        cai_run run = {context->pool,      context->symbols, context->sizes,      inputs,         outputs,
                       context->arguments, context->watch,   context->watch_data, context->guards};
        return context->runner(program, &run, error);
    }
    uint64_t mode = cai_flush_denormals();
    cai_pool_enter(context->pool);
    for (int i = 0, more; i < program->launch_count; i += 1 + more) {
        const cai_launch *first = &program->launches[i];
        int64_t rounds = first->rounds < 0 ? 1 : context->sizes[first->rounds];
        more = first->more;
        if (!cai_launch_runs(first, context->guards)) continue;
        if (context->watch) context->watch(context->watch_data, i);
        for (int k = 0; first->fused && k <= more; k += first->fused)
            run_fused(context, &first[k], first->fused, inputs, outputs);
        for (int64_t round = 0; round < rounds && !first->fused; round++)
            for (int k = 0; k <= more; k++) run_launch(context, &first[k], round, inputs, outputs);
    }
    if (context->watch) context->watch(context->watch_data, program->launch_count);
    cai_pool_leave(context->pool);
    cai_restore_denormals(mode);
    return true;
}
