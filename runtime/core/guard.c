/* A run that detects accesses of kernels outside their buffers, for tests and for bug
 * reports (CAI_GUARD=1 before a program).
 *
 * Every buffer of the plan, every input and output and the weights have pages of their
 * own, with inaccessible pages on both sides:
 *
 *     no access | pattern .. | buffer | slack | no access
 *
 * A buffer of the plan ends CAI_READ_SLACK bytes, which kernels may read, before the page
 * without access; an input, an output and the weights end right there. While a launch
 * runs its inputs are read-only, and everything but its inputs and its output is
 * inaccessible, so that a stray access stops the program at once, with the kernel, its
 * layer and the buffer. Writes around the output within its pages show afterwards in the
 * pattern. The pattern is a signalling NaN, and fills new buffers as well.
 *
 * The tasks of a launch run last to first, one by one: results must not depend on their
 * order. */
#include "core/core.h"
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE ((size_t)4096)
#define PATTERN UINT32_C(0x7fa5c3e1)

typedef struct GuardedRegion {      /* a buffer and its surroundings */
    unsigned char *mapping, *start; /* start: of the buffer */
    size_t mapped, bytes;
    int access; /* PROT_* of the pages between the outer ones */
} GuardedRegion;

typedef struct Guard {
    const cai_program *program;
    const int64_t *sizes;
    GuardedRegion *regions; /* buffers, inputs, outputs, weights; the working memory of each thread */
    int count, launch;
    const cai_run *run;
} Guard;

/* ---- regions ---- */

static size_t round_up_size(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

static void set_access(GuardedRegion *region, int access) {
    if (region->access == access || !region->mapping) return;
    mprotect(region->mapping + PAGE, region->mapped - 2 * PAGE, access);
    region->access = access;
}

static void fill_pattern(unsigned char *begin, const unsigned char *end) {
    const uint32_t pattern = PATTERN;
    for (; begin < end; begin++) *begin = (unsigned char)(pattern >> 8 * ((uintptr_t)begin % 4));
}

/* `behind`: how many bytes may be read after the buffer, which begins at a multiple of
 * `alignment`. */
static bool reserve_region(GuardedRegion *region, uint64_t bytes, size_t alignment, size_t behind,
                           const char *what, cai_error *error) {
    size_t inner = round_up_size(CAI_ALIGNMENT + round_up_size(bytes, alignment) + behind, PAGE);
    unsigned char *mapping = mmap(NULL, inner + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED) return cai_fail_memory(error, bytes, what);
    unsigned char *end = mapping + PAGE + inner;
    *region = (GuardedRegion){mapping, end - behind - round_up_size(bytes, alignment), inner + 2 * PAGE,
                              bytes, PROT_NONE};
    set_access(region, PROT_READ | PROT_WRITE);
    fill_pattern(mapping + PAGE, end);
    return true;
}

static void release_region(GuardedRegion *region) {
    if (region->mapping) munmap(region->mapping, region->mapped);
    *region = (GuardedRegion){0};
}

/* The first byte around the buffer that differs from the pattern, or NULL. */
static const unsigned char *find_damage(const GuardedRegion *region) {
    const unsigned char *end = region->mapping + region->mapped - PAGE;
    const uint32_t pattern = PATTERN;
    for (const unsigned char *at = region->mapping + PAGE; at < end; at++) {
        if (at == region->start) at += region->bytes;
        if (at < end && *at != (unsigned char)(pattern >> 8 * ((uintptr_t)at % 4))) return at;
    }
    return NULL;
}

static GuardedRegion *input_region(Guard *guard, int64_t port) {
    return &guard->regions[guard->program->buffer_count + port];
}
static GuardedRegion *output_region(Guard *guard, int64_t port) {
    int32_t shares = guard->program->outputs[port].shares;
    return input_region(guard, shares ? shares - 1 : guard->program->input_count + port);
}
static GuardedRegion *weights_region(Guard *guard) {
    return input_region(guard, guard->program->input_count + guard->program->output_count);
}
static GuardedRegion *scratch_region(Guard *guard, int thread) { return weights_region(guard) + 1 + thread; }

/* ---- words ---- */

static const char *region_text(const Guard *guard, int index, char *out, size_t size) {
    const cai_program *p = guard->program;
    int input = index - p->buffer_count, output = input - p->input_count;
    if (input < 0) {
        const cai_launch *maker = &p->launches[p->buffers[index].first];
        snprintf(out, size, "buffer %d, the result of %s (%s)", index,
                 *maker->path ? maker->path : maker->name, maker->source);
    } else if (output < 0) {
        snprintf(out, size, "input `%s`", p->inputs[input].name);
    } else {
        bool port = output < p->output_count;
        snprintf(out, size, "%s%s%s",
                 port                        ? "output `"
                 : output == p->output_count ? "the weights"
                                             : "a thread's working memory",
                 port ? p->outputs[output].name : "", port ? "`" : "");
    }
    return out;
}

/* "40 bytes after input `x`, which has 96". */
static void address_text(const Guard *guard, const void *address, char *out, size_t size) {
    const unsigned char *at = address;
    char text[300];
    snprintf(out, size, "at %p, near no buffer", address);
    for (int i = 0; i < guard->count; i++) {
        const GuardedRegion *r = &guard->regions[i];
        if (!r->mapping || at < r->mapping || at >= r->mapping + r->mapped) continue;
        bool before = at < r->start, after = at >= r->start + r->bytes;
        snprintf(out, size, "%zu bytes %s %s, which has %zu",
                 before ? (size_t)(r->start - at) : (size_t)(at - r->start) - (after ? r->bytes : 0),
                 before  ? "before"
                 : after ? "after"
                         : "into",
                 region_text(guard, i, text, sizeof text), r->bytes);
    }
}

static bool fail_at_address(const Guard *guard, const char *verb, const void *address, cai_error *error) {
    const cai_launch *launch = &guard->program->launches[guard->launch];
    char place[500];
    address_text(guard, address, place, sizeof place);
    return cai_fail(error, CAI_INTERNAL, "guard: launch %d, kernel %s of layer %s (%s), %s %s", guard->launch,
                    launch->name, *launch->path ? launch->path : "-", launch->source, verb, place);
}

/* ---- faults ---- */

static _Atomic(const Guard *) running; /* the latest guarded run: tests have one at a time */

static void on_fault(int number, siginfo_t *info, void *context) {
    (void)context;
    const Guard *guard = atomic_load(&running);
    cai_error error;
    signal(number, SIG_DFL);
    if (!guard) return; /* the fault recurs with the default action */
    fail_at_address(guard, "touches what it may not:", info->si_addr, &error);
    (void)!write(STDERR_FILENO, error.message, strlen(error.message));
    (void)!write(STDERR_FILENO, "\n", 1);
    _exit(CAI_INTERNAL);
}

/* ---- a launch ---- */

typedef struct GuardedCall {
    Guard *guard;
    cai_kernel kernel;
    int64_t end; /* of the round's tasks */
} GuardedCall;

static void call_backwards(void *context, int64_t begin, int64_t end, int thread) {
    const GuardedCall *call = context;
    const cai_run *run = call->guard->run;
    GuardedRegion *scratch = scratch_region(call->guard, thread);
    if (scratch->start) fill_pattern(scratch->start, scratch->start + scratch->bytes);
    for (int64_t task = call->end - begin; task > call->end - end; task--)
        call->kernel(run->arguments, run->symbols, task - 1, task, scratch->start);
}

static GuardedRegion *region_of(Guard *guard, const cai_argument *argument) {
    switch (argument->space) {
    case CAI_ARG_SLOT: return &guard->regions[argument->offset];
    case CAI_ARG_WEIGHTS: return weights_region(guard);
    case CAI_ARG_INPUT: return input_region(guard, argument->index);
    default: return output_region(guard, argument->index);
    }
}

static void *resolve_guarded(Guard *guard, const cai_argument *argument) {
    const int64_t *sizes = guard->sizes;
    unsigned char *start = region_of(guard, argument)->start;
    if (argument->space == CAI_ARG_SLOT)
        return start + (sizes[argument->index] - sizes[guard->program->buffers[argument->offset].begin]);
    if (argument->space == CAI_ARG_WEIGHTS) return start + argument->index;
    return start + (argument->offset >= 0 ? sizes[argument->offset] : 0);
}

/* Makes the pages of buffers that begin with this kernel. */
static bool begin_buffers(Guard *guard, cai_error *error) {
    for (int i = 0; i < guard->program->buffer_count; i++) {
        const cai_buffer *buffer = &guard->program->buffers[i];
        if (buffer->first == guard->launch &&
            !reserve_region(&guard->regions[i], (uint64_t)guard->sizes[buffer->bytes], CAI_ALIGNMENT,
                            CAI_READ_SLACK, "a buffer", error))
            return false;
    }
    return true;
}

/* Sets the access to a kernel's arguments: the output and the workspace are written, the
 * others are read. */
static void begin_guarded_kernel(Guard *guard, const cai_launch *launch) {
    for (int i = 0; &guard->regions[i] <= weights_region(guard); i++)
        set_access(&guard->regions[i], PROT_NONE);
    for (int i = launch->argument_count - 1; i >= 0; i--) {
        const cai_argument *argument = &launch->arguments[i];
        bool begins = argument->space == CAI_ARG_SLOT &&
                      guard->program->buffers[argument->offset].first == guard->launch;
        set_access(region_of(guard, argument), i == 0 || begins ? PROT_READ | PROT_WRITE : PROT_READ);
        guard->run->arguments[i] = resolve_guarded(guard, argument);
    }
}

static bool end_kernel(Guard *guard, cai_error *error) {
    const unsigned char *damage = NULL;
    for (int i = 0; i < guard->count && !damage; i++) {
        const GuardedRegion *region = &guard->regions[i];
        if (region->mapping && region->access & PROT_WRITE) damage = find_damage(region);
    }
    return !damage || fail_at_address(guard, "wrote", damage, error);
}

static void end_buffers(Guard *guard, const cai_launch *launch) {
    for (int i = 0; i < guard->program->buffer_count; i++)
        if (guard->program->buffers[i].last == guard->launch + launch->more)
            release_region(&guard->regions[i]);
}

static bool run_kernel(Guard *guard, cai_error *error) {
    const cai_launch *first = &guard->program->launches[guard->launch];
    int64_t rounds = first->rounds < 0 ? 1 : guard->sizes[first->rounds];
    if (!begin_buffers(guard, error)) return false;
    if (!cai_launch_runs(first, guard->run->guards)) rounds = 0;
    else begin_guarded_kernel(guard, first);
    for (int64_t round = 0; round < rounds; round++) {
        for (int k = 0; k <= first->more; k++) {
            if (first->fused) begin_guarded_kernel(guard, &first[k]); /* a kernel each, one after the other */
            int64_t tasks = guard->sizes[first[k].tasks];
            GuardedCall call = {guard, first[k].kernel, (round + 1) * tasks};
            cai_pool_run(guard->run->pool, call_backwards, &call, tasks);
            if (first->fused && !end_kernel(guard, error)) return false;
        }
    }
    if (!end_kernel(guard, error)) return false;
    end_buffers(guard, first);
    return true;
}

/* ---- a run ---- */

/* Checks that buffers that are live at the same time do not overlap in the arena, at the
 * sizes of this run. */
static bool check_plan(const Guard *guard, cai_error *error) {
    const cai_buffer *buffers = guard->program->buffers;
    for (int i = 0; i < guard->program->buffer_count; i++) {
        for (int k = 0; k < i; k++) {
            int64_t a = guard->sizes[buffers[i].begin], b = guard->sizes[buffers[k].begin];
            bool apart = a + guard->sizes[buffers[i].bytes] <= b || b + guard->sizes[buffers[k].bytes] <= a;
            if (apart || buffers[i].last < buffers[k].first || buffers[k].last < buffers[i].first) continue;
            return cai_fail(error, CAI_INTERNAL, "guard: buffers %d and %d overlap", k, i);
        }
    }
    return true;
}

static uint64_t guarded_port_bytes(const Guard *guard, const cai_port *port) {
    uint64_t bytes = (uint64_t)cai_type_bytes(port->type);
    for (int axis = 0; axis < port->rank; axis++) bytes *= (uint64_t)guard->sizes[port->dims[axis].size];
    return bytes;
}

static bool reserve_ports(Guard *guard, const void *const *inputs, cai_error *error) {
    const cai_program *program = guard->program;
    GuardedRegion *weights = weights_region(guard);
    for (int i = 0; i < program->input_count; i++) {
        const cai_port *port = &program->inputs[i];
        GuardedRegion *region = input_region(guard, i);
        if (!reserve_region(region, guarded_port_bytes(guard, port), (size_t)cai_type_bytes(port->type), 0,
                            port->name, error))
            return false;
        memcpy(region->start, inputs[i], region->bytes);
    }
    for (int i = 0; i < program->output_count; i++) {
        const cai_port *port = &program->outputs[i];
        uint64_t bytes = guarded_port_bytes(guard, port);
        if (port->shares) continue;
        if (!reserve_region(output_region(guard, i), bytes, (size_t)cai_type_bytes(port->type), 0, port->name,
                            error))
            return false;
    }
    if (!program->weights) return true;
    if (!reserve_region(weights, program->weights_bytes, CAI_ALIGNMENT, 0, "the weights", error))
        return false;
    memcpy(weights->start, program->weights, weights->bytes);
    return true;
}

static bool reserve_scratch(Guard *guard, cai_error *error) {
    uint64_t bytes = (uint64_t)guard->sizes[guard->program->scratch];
    for (int i = 0; bytes && i < cai_pool_threads(guard->run->pool); i++)
        if (!reserve_region(scratch_region(guard, i), bytes, CAI_ALIGNMENT, CAI_READ_SLACK, "working memory",
                            error))
            return false;
    return true;
}

static bool run_kernels(Guard *guard, cai_error *error) {
    const cai_run *run = guard->run;
    for (guard->launch = 0; guard->launch < guard->program->launch_count;
         guard->launch += 1 + guard->program->launches[guard->launch].more) {
        if (run->watch) run->watch(run->watch_data, guard->launch);
        if (!run_kernel(guard, error)) return false;
    }
    if (run->watch) run->watch(run->watch_data, guard->launch);
    return true;
}

static bool run_watched(Guard *guard, cai_error *error) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO}, segv, bus;
    sigaction(SIGSEGV, &action, &segv);
    sigaction(SIGBUS, &action, &bus);
    atomic_store(&running, guard);
    uint64_t mode = cai_flush_denormals();
    bool good = run_kernels(guard, error);
    cai_restore_denormals(mode);
    atomic_store(&running, NULL);
    sigaction(SIGSEGV, &segv, NULL);
    sigaction(SIGBUS, &bus, NULL);
    return good;
}

bool cai_run_guarded(const cai_program *program, const cai_run *run, cai_error *error) {
    int count = program->buffer_count + program->input_count + program->output_count + 1 +
                cai_pool_threads(run->pool);
    Guard guard = {.program = program, .sizes = run->sizes, .count = count, .run = run};
    guard.regions = calloc((size_t)count, sizeof *guard.regions);
    if (!guard.regions) return cai_fail_memory(error, sizeof *guard.regions * (size_t)count, "the guard");
    bool good = check_plan(&guard, error) && reserve_ports(&guard, run->inputs, error) &&
                reserve_scratch(&guard, error) && run_watched(&guard, error);
    for (int i = 0; i < program->output_count && good; i++) {
        GuardedRegion *region = output_region(&guard, i);
        set_access(region, PROT_READ);
        memcpy(run->outputs[i], region->start, region->bytes);
    }
    for (int i = 0; i < count; i++) release_region(&guard.regions[i]);
    free(guard.regions);
    return good;
}
