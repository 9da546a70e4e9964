/* Computes values a second time instead of keeping them. A step of training reads most
 * values in the forward pass and again in the backward pass, and keeps them in between.
 * Elementwise work whose operands are kept in any case is often cheaper to repeat than
 * its result is to keep: an activation after a norm, from the convolution's result and
 * the norm's two vectors; a gelu, from its operand; the quotients of a softmax, from its
 * exponentials.
 *
 * The pass looks at the launch at which most memory is live (the peak). Among the values
 * that are not used there and that can be computed again, it takes the one that saves
 * most bytes for its time. It repeats this until no value is left, or the added work
 * exceeds SHARE_AGAIN of the program's time. A value is computed again by the same launch
 * on the same operands, right before the first launch that reads it after the peak, or
 * before an operand is overwritten; results stay the same to the bit.
 *
 * Needs: final launches, of which those that update states do so in place, so that all
 * memory but the addresses of buffers is known.
 * Result: more launches. */
#include "plan/stages.h"

enum { LEAST_WAITING = 1 << 16 /* bytes; less is not worth a launch */ };

#define SHARE_AGAIN 0.02 /* most of the program's time that may be added */

typedef struct Waiting { /* how a root is used around the peak */
    int before;          /* the last launch before the peak that uses it; -1: none */
    int next;            /* the first launch after the peak that reads it; -1: none */
    const Value *read;   /* the value in it that is read after the peak, directly or through views */
    /* cannot be dropped: it is used at the peak, or written, or read through several
     * values, after it */
    bool stays;
} Waiting;

typedef struct Peak {
    Program *program;
    Arena *scratch;
    int64_t *live;     /* bytes that are live, by launch */
    int launch;        /* the peak */
    int first, last;   /* the launches that run together with it */
    Waiting *waiting;  /* by id of a root */
    int *made;         /* by id of a value: the launch that writes it; -1: none */
    bool *overwritten; /* by id of a root: another value takes its buffer when it ends */
} Peak;

/* ---- what is live, and where it is used ---- */

static void find_peak(Peak *peak) {
    peak->live = find_live_bytes(peak->program, peak->scratch, &peak->launch);
    peak->first = first_along(peak->program, peak->launch);
    peak->last = peak->launch + peak->program->launches.items[peak->launch]->fused;
}

static void find_made(Peak *peak) {
    const Program *program = peak->program;
    peak->made = NEW_ARRAY(peak->scratch, int, program->values.count);
    peak->overwritten = NEW_ARRAY(peak->scratch, bool, program->values.count);
    for (int i = 0; i < program->values.count; i++) peak->made[i] = -1;
    for (int i = 0; i < program->launches.count; i++) peak->made[program->launches.items[i]->output->id] = i;
    for (int i = 0; i < program->values.count; i++)
        if (program->values.items[i]->over) peak->overwritten[program->values.items[i]->over->id] = true;
}

/* The value, written by a launch, of which this one is a view. */
static const Value *value_made(const Peak *peak, const Value *value) {
    while (value->parent && peak->made[value->id] < 0) value = value->parent;
    return value;
}

static void use_at_peak(Peak *peak, const Value *value, int launch) {
    Waiting *waiting = &peak->waiting[value_root(value)->id];
    if (launch < peak->first) waiting->before = launch;
    else waiting->stays = true;
}

static void read_behind_peak(Peak *peak, const Value *value, int launch) {
    Waiting *waiting = &peak->waiting[value_root(value)->id];
    const Value *made = value_made(peak, value);
    if (waiting->next < 0) waiting->next = launch, waiting->read = made;
    else if (waiting->read != made) waiting->stays = true;
}

static void find_waiting(Peak *peak) {
    const Program *program = peak->program;
    peak->waiting = NEW_ARRAY(peak->scratch, Waiting, program->values.count);
    for (int i = 0; i < program->values.count; i++) peak->waiting[i].before = peak->waiting[i].next = -1;
    for (int i = 0; i < program->launches.count; i++) {
        const Kernel *kernel = program->launches.items[i];
        use_at_peak(peak, kernel->output, i);
        for (int k = 0; k < kernel->input_count; k++)
            if (i > peak->last) read_behind_peak(peak, kernel->inputs[k], i);
            else use_at_peak(peak, kernel->inputs[k], i);
    }
}

/* ---- what can be made again ---- */

/* The elements must be strided as in a buffer of their own, since the code of the readers
 * has the strides. */
static bool lies_densely(Program *program, const Value *value) {
    if (is_packed(value)) return true;
    const Dim *dense = dense_strides(program, value->node->shape, value->format);
    for (int i = 0; i < value->node->shape.rank; i++)
        if (value->strides[i] != dense[i] && !dim_is_one(value->node->shape.dims[i])) return false;
    return true;
}

/* The state in whose memory a value lies, as the index of an input; -1: in none. */
static int state_of_value(const Program *program, const Value *root) {
    if (root->space == SPACE_INPUT) return root->slot;
    return root->space == SPACE_OUTPUT ? program_shared_input(program, root->slot) : -1;
}

/* The first launch up to `next` that writes another value into the state's memory in
 * which the operand lies; else `next`. */
static int last_with_operand(const Program *program, const Value *root, int next) {
    int state = state_of_value(program, root);
    for (int i = state < 0 ? next : root->first; i < next; i++) {
        const Value *written = value_root(program->launches.items[i]->output);
        if (written != root && written->space == SPACE_OUTPUT && state_of_value(program, written) == state)
            return i;
    }
    return next;
}

/* The last launch up to `next` before which all operands of the kernel still have their
 * values. */
static int last_with_operands(const Peak *peak, const Kernel *kernel, int next) {
    for (int i = 0; i < kernel->input_count; i++)
        next = last_with_operand(peak->program, value_root(kernel->inputs[i]), next);
    return first_along(peak->program, next);
}

typedef struct Again { /* a value to compute again */
    const Value *value;
    int at;               /* the launch before which */
    double cycles, worth; /* worth: bytes saved for each cycle */
} Again;

/* The bytes by which memory at the peak shrinks, less what must be kept longer for it. 0
 * if another launch would then have as much memory live as the peak has. */
static int64_t bytes_saved(const Peak *peak, const Again *again) {
    const Kernel *kernel = peak->program->launches.items[peak->made[again->value->id]];
    const Value *from = value_root(again->value);
    int64_t bytes = buffer_bytes(peak->program, from), saved = bytes;
    int before = peak->waiting[from->id].before;
    for (int i = 0; i < kernel->input_count; i++) {
        const Value *root = value_root(kernel->inputs[i]);
        int64_t more = buffer_bytes(peak->program, root);
        /* the first launch at which a longer life takes memory */
        int longer = root->last + !peak->overwritten[root->id];
        if (longer <= peak->launch) saved -= more;
        for (int k = longer; more > 0 && k <= again->at; k++) {
            bool waits = k > before && k < again->at;
            if (peak->live[k] + more - (waits ? bytes : 0) >= peak->live[peak->launch]) return 0;
        }
    }
    return saved;
}

static bool is_repeatable(const Kernel *kernel) {
    if (is_packed(kernel->output)) return true;
    return !kernel->anchor && kernel->proposal.is_nest && kernel->member_count > 0;
}

static Again consider_again(const Peak *peak, const Value *root) {
    const Waiting *waiting = &peak->waiting[root->id];
    const Again none = {0};
    int64_t bytes = buffer_bytes(peak->program, root);
    if (root->parent || bytes < LEAST_WAITING || waiting->stays || waiting->before < 0 || waiting->next < 0)
        return none;
    int made = peak->made[waiting->read->id];
    const Kernel *kernel = made >= 0 ? peak->program->launches.items[made] : NULL;
    if (!kernel || !is_repeatable(kernel)) return none;
    Again again = {waiting->read, last_with_operands(peak, kernel, waiting->next), kernel->proposal.cycles,
                   0};
    if (again.at <= peak->last || !lies_densely(peak->program, waiting->read)) return none;
    again.worth = (double)bytes_saved(peak, &again) / again.cycles;
    return again;
}

static Again choose_again(const Peak *peak, double most_cycles) {
    Again best = {0};
    for (int i = 0; i < peak->program->values.count; i++) {
        Again again = consider_again(peak, peak->program->values.items[i]);
        if (again.worth > best.worth && again.cycles <= most_cycles) best = again;
    }
    return best;
}

/* ---- making it again ---- */

static Value *value_copied(Program *program, const Value *value, Value *parent, Dim begin) {
    Value *copy = value_new(program, value->node, value->format, SPACE_SLOT);
    copy->strides = value->strides;
    copy->parent = parent;
    copy->offset = dim_sub(program->graph->dims, value->offset, begin);
    copy->bytes = value->bytes;
    return copy;
}

/* The view of `again` that corresponds to `view` of `value`. */
static Value *view_again(Program *program, Value *view, const Value *value, Value *again) {
    if (view == value) return again;
    return value_copied(program, view, view_again(program, view->parent, value, again), value->offset);
}

static void insert_launch(Program *program, int at, Kernel *kernel) {
    vec_push(program->arena, &program->launches, kernel);
    Kernel **launches = program->launches.items;
    for (int i = program->launches.count - 1; i > at; i--) launches[i] = launches[i - 1];
    launches[at] = kernel;
    for (int i = at; i < program->launches.count; i++) launches[i]->id = i;
}

/* Of a buffer of its own. */
static Dim bytes_alone(Program *program, const Value *value) {
    if (is_packed(value)) return value->bytes;
    const Node *node = value->node;
    const Dim *dense = dense_strides(program, node->shape, value->format);
    return dim_scale(program->graph->dims, dense[node->shape.rank], dtype_bytes(node->shape.type));
}

static void make_again(Peak *peak, const Again *again) {
    Program *program = peak->program;
    const Kernel *before = program->launches.items[peak->made[again->value->id]];
    Kernel *kernel = arena_copy(program->arena, before, sizeof *before);
    kernel->fused = 0;
    /* a list of its own, since a later round may replace an operand of one of the two
     * launches */
    kernel->inputs =
        arena_copy(program->arena, before->inputs, sizeof(Value *) * (size_t)before->input_count);
    kernel->output = value_copied(program, again->value, NULL, again->value->offset);
    kernel->output->bytes = bytes_alone(program, again->value);
    for (int i = again->at; i < program->launches.count; i++) {
        Kernel *reader = program->launches.items[i];
        for (int k = 0; k < reader->input_count; k++)
            if (value_made(peak, reader->inputs[k]) == again->value)
                reader->inputs[k] = view_again(program, reader->inputs[k], again->value, kernel->output);
    }
    insert_launch(program, again->at, kernel);
}

static bool lower_peak(Program *program, double *cycles) {
    Peak peak = {.program = program, .scratch = arena_new()};
    find_lives(program);
    find_peak(&peak);
    find_made(&peak);
    find_waiting(&peak);
    Again again = choose_again(&peak, *cycles);
    if (again.value) make_again(&peak, &again);
    *cycles -= again.cycles;
    arena_free(peak.scratch);
    return again.value;
}

void recompute(Program *program, double share) {
    double cycles = 0;
    for (int i = 0; i < program->launches.count; i++) cycles += program->launches.items[i]->proposal.cycles;
    cycles *= share > 0 ? share : SHARE_AGAIN;
    while (program->launches.count > 0 && lower_peak(program, &cycles)) continue;
}
