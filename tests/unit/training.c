/* Train blocks, step by step, against PyTorch: the texts of tests/unit/training, whose
 * make.py has written what losses and states come to. A trainer in small: states in
 * memory, the entries of a phase evaluated in double precision one after the other. */
#include "elaborate/training.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>

typedef struct Trainer {
    Arena *arena;
    Library *library;
    Training *training;
    TrainingPhase *phase;
    RefTensor *states;
    int step;
    bool measuring;
    int set_batch; /* of a measure: the batch within the set */
    /* of a measure: totals added up, collected tensors joined */
    Vec(RefTensor) totals, collected;
    const TrainingEntry *entry; /* that runs */
    RefTensor *results;
} Trainer;

enum { SAMPLES = 10 }; /* of each set */

/* ---- the same whole-number arithmetic as in make.py ---- */

static double value_of(const char *path, int64_t i) {
    return (double)((fnv1a64(path) + (uint64_t)i * 2654435761u) % 1000) / 1000 - 0.5;
}

static Number sample_of(const TrainingField *field, int64_t batch, int64_t count, int64_t i) {
    int64_t place = batch * count + i;
    if (!dtype_is_float(field->shape.type)) return (Number){.whole = place * 7 % 5 % 3};
    return (Number){.real = (double)((fnv1a64(field->name) + (uint64_t)place * 7919 * 104729) % 1000) / 1000};
}

/* ---- opening ---- */

static int64_t count_of(Shape shape) {
    int64_t count = 0;
    CU_ASSERT_FATAL(shape_element_count(shape, &count));
    return count;
}

static RefTensor tensor_of(Trainer *t, Shape shape) {
    return (RefTensor){.values = NEW_ARRAY(t->arena, Number, count_of(shape))};
}

static void begin_states(Trainer *t) {
    Training *training = t->training;
    t->states = NEW_ARRAY(t->arena, RefTensor, training->states.count);
    for (int i = 0; i < training->states.count; i++) {
        const TrainingState *state = &training->states.items[i];
        t->states[i] = tensor_of(t, state->shape);
        for (int64_t k = 0; k < count_of(state->shape); k++)
            t->states[i].values[k].real =
                state->start == CAI_START_VALUE ? state->number : value_of(state->drawn_as, k);
    }
}

static Trainer open_trainer(const char *path) {
    Trainer t = {.arena = arena_new()};
    Diagnostics *diag = NEW(t.arena, Diagnostics);
    diag->arena = t.arena;
    ElaborateOptions options = {.stdlib_dir = "stdlib"};
    t.library = library_open(t.arena, names_new(t.arena), diag, path, &options);
    t.training = elaborate_training(t.library, 0);
    if (!t.training) diag_print(diag, stderr, DIAG_TEXT, false);
    CU_ASSERT_PTR_NOT_NULL_FATAL(t.training);
    t.phase = &t.training->phases.items[0];
    begin_states(&t);
    return t;
}

/* ---- running an entry ---- */

static bool holds(const Trainer *t, int guard) {
    return guard < 0 || (t->step + 1) % (int)t->phase->guards.items[guard].count == 0;
}

static const cai_binding *binding_of(const Trainer *t, const Node *node) {
    for (int i = 0; i < t->entry->graph->inputs.count; i++)
        if (t->entry->graph->inputs.items[i].node == node) return &t->entry->inputs.items[i];
    CU_FAIL_FATAL("an input that is no port");
    return NULL;
}

static int64_t batch_of(const Trainer *t, const cai_binding *b) {
    return t->measuring ? t->set_batch : t->step * t->phase->rounds[b->index] + b->round;
}

/* Epochs of the first set. */
static double epoch_of(const Trainer *t) {
    return floor((double)(t->step * t->phase->rounds[0] * t->training->sets.items[0].batch) / SAMPLES);
}

static void copy_values(RefTensor *out, const RefTensor *from) {
    memcpy(out->values, from->values, sizeof(Number) * (size_t)out->shape.count);
}

static void fill_samples(const Trainer *t, const cai_binding *b, RefTensor *out) {
    const TrainingField *field = &t->training->sets.items[b->index].fields.items[b->field];
    for (int64_t i = 0; i < out->shape.count; i++)
        out->values[i] = sample_of(field, batch_of(t, b), count_of(field->shape), i);
}

static bool fill(void *context, const Node *node, RefTensor *out) {
    Trainer *t = context;
    const cai_binding *b = binding_of(t, node);
    switch (b->kind) {
    case CAI_BIND_FIELD: fill_samples(t, b, out); break;
    case CAI_BIND_STATE: copy_values(out, &t->states[b->index]); break;
    case CAI_BIND_TOTAL: copy_values(out, &t->totals.items[b->index]); break;
    case CAI_BIND_COLLECTED: copy_values(out, &t->collected.items[b->index]); break;
    case CAI_BIND_STEP: out->values->real = t->step; break;
    case CAI_BIND_EPOCH: out->values->real = epoch_of(t); break;
    case CAI_BIND_PROGRESS: out->values->real = t->step / t->phase->length.count; break;
    case CAI_BIND_ACTIVE: out->values->whole = holds(t, b->index); break;
    default: CU_FAIL_FATAL("a binding that no text of these has");
    }
    return true;
}

/* The step's number is the seed of its draws. */
static void run_entry(Trainer *t, const TrainingEntry *entry, const int64_t *symbols) {
    int count = entry->graph->outputs.count;
    Node **wanted = NEW_ARRAY(t->arena, Node *, count);
    RefSource source = {.context = t, .input = fill};
    t->entry = entry;
    t->results = NEW_ARRAY(t->arena, RefTensor, count);
    for (int i = 0; i < count; i++) wanted[i] = entry->graph->outputs.items[i].node;
    graph_verify(entry->graph, "elaboration");
    CU_ASSERT_FATAL(reference_evaluate(entry->graph, wanted, count, symbols, (uint64_t)t->step, &source,
                                       t->arena, t->results));
}

static void store_states(Trainer *t) {
    for (int i = 0; i < t->entry->outputs.count; i++) {
        const cai_binding *b = &t->entry->outputs.items[i];
        if (b->kind == CAI_BIND_STATE && holds(t, b->guard)) t->states[b->index] = t->results[i];
    }
}

/* ---- comparing ---- */

static const RefTensor *shown(const Trainer *t, const ShownList *list, const char *name) {
    for (int i = 0; i < t->entry->outputs.count; i++) {
        const cai_binding *b = &t->entry->outputs.items[i];
        if (b->kind == CAI_BIND_SHOWN && !strcmp(list->items[b->index].name, name)) return &t->results[i];
    }
    return NULL;
}

static const RefTensor *found(const Trainer *t, const ShownList *list, const char *name) {
    const RefTensor *tensor = shown(t, list, name);
    for (int i = 0; i < t->training->states.count && !tensor; i++)
        if (!strcmp(t->training->states.items[i].path, name)) tensor = &t->states[i];
    return tensor;
}

enum { LONGEST_LINE = 1 << 16 };

static void compare_line(const Trainer *t, const ShownList *list, char *line) {
    char *rest, *name = strchr(line, ' ') + 1;
    rest = strchr(name, ' ');
    *rest++ = 0;
    const RefTensor *tensor = found(t, list, name);
    if (!tensor) fprintf(stderr, "\nnothing is called %s\n", name);
    CU_ASSERT_PTR_NOT_NULL_FATAL(tensor);
    for (int64_t i = 0; *rest && *rest != '\n'; i++) {
        double wanted = strtod(rest, &rest), is = tensor->values[i].real;
        bool equal = fabs(is - wanted) <= 1e-9 * (1 + fabs(wanted));
        if (!equal)
            fprintf(stderr, "\nstep %d, %s[%d]: expected %.12g, is %.12g\n", t->step, name, (int)i, wanted,
                    is);
        CU_ASSERT_TRUE_FATAL(equal);
    }
}

/* The lines of one step; how many there were. */
static int compare_step(const Trainer *t, const ShownList *list, const char *path) {
    FILE *file = fopen(path, "r");
    char *line = NEW_ARRAY(t->arena, char, LONGEST_LINE);
    int count = 0;
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    while (fgets(line, LONGEST_LINE, file)) {
        if (atoi(line) != t->step) continue;
        compare_line(t, list, line);
        count++;
    }
    fclose(file);
    return count;
}

/* ---- whole runs ---- */

static void run_before_steps(Trainer *t, const TrainingEntry *entry) {
    if (!entry->graph) return;
    run_entry(t, entry, NULL);
    store_states(t);
}

static void train_and_compare(Trainer *t, const char *name, int steps) {
    const char *expected = arena_printf(t->arena, "tests/unit/training/%s.txt", name);
    run_before_steps(t, &t->phase->once);
    run_before_steps(t, &t->phase->kept);
    for (t->step = 0; t->step < steps; t->step++) {
        run_entry(t, &t->phase->step, NULL);
        store_states(t);
        CU_ASSERT(compare_step(t, &t->phase->shown, expected) > 2);
    }
}

static void add_to_total(RefTensor *total, const RefTensor *batch) {
    for (int64_t k = 0; k < batch->shape.count; k++) total->values[k].real += batch->values[k].real;
}

static void join(Trainer *t, RefTensor *all, const RefTensor *batch) {
    int64_t count = all->shape.count + batch->shape.count;
    Number *values = NEW_ARRAY(t->arena, Number, count);
    memcpy(values, all->values, sizeof *values * (size_t)all->shape.count);
    memcpy(values + all->shape.count, batch->values, sizeof *values * (size_t)batch->shape.count);
    *all = (RefTensor){.shape.count = count, .values = values};
}

static void add_batch(Trainer *t) {
    for (int i = 0, total = 0, collected = 0; i < t->entry->outputs.count; i++) {
        int kind = t->entry->outputs.items[i].kind;
        if (kind == CAI_BIND_TOTAL) {
            if (total == t->totals.count) vec_push(t->arena, &t->totals, t->results[i]);
            else add_to_total(&t->totals.items[total], &t->results[i]);
            total++;
        }
        if (kind == CAI_BIND_COLLECTED) {
            if (collected == t->collected.count) vec_push(t->arena, &t->collected, t->results[i]);
            else join(t, &t->collected.items[collected], &t->results[i]);
            collected++;
        }
    }
}

/* Ten samples, the last batch the rest; gives how many numbers were compared. */
static int measure_and_compare(Trainer *t, const char *name) {
    TrainingMeasure *m = &t->phase->measures.items[0];
    const int64_t batches[] = {4, 4, 2};
    int symbols = dims_symbol_count(m->last.graph->dims);
    int64_t *all = NEW_ARRAY(t->arena, int64_t, symbols);
    t->measuring = true;
    for (t->set_batch = 0; t->set_batch < COUNT_OF(batches); t->set_batch++) {
        run_entry(t, &m->batch, &batches[t->set_batch]);
        add_batch(t);
    }
    for (int i = 0; i < symbols; i++) all[i] = SAMPLES;
    run_entry(t, &m->last, all);
    return compare_step(t, &m->shown, arena_printf(t->arena, "tests/unit/training/%s.txt", name));
}

static Trainer trained(const char *name, int steps) {
    Arena *arena = arena_new();
    Trainer t = open_trainer(arena_printf(arena, "tests/unit/training/%s.cai", name));
    train_and_compare(&t, name, steps);
    arena_free(arena);
    return t;
}

TEST(batch_norm_momentum_and_what_is_measured) {
    Trainer t = trained("classifier", 4);
    CU_ASSERT_EQUAL(measure_and_compare(&t, "classifier"), 2);
    const TrainingMeasure *m = &t.phase->measures.items[0];
    CU_ASSERT_EQUAL(m->save, CAI_SAVE_LARGEST);
    CU_ASSERT_STRING_EQUAL(m->shown.items[m->save_by].name, "accuracy");
    arena_free(t.arena);
}

TEST(two_optimizers_in_one_minimize) { arena_free(trained("adamw", 4).arena); }
TEST(players_in_turn) { arena_free(trained("players", 4).arena); }
TEST(frozen_layers_and_averages) { arena_free(trained("frozen", 4).arena); }
TEST(rounds_every_and_once) { arena_free(trained("critic", 4).arena); }
TEST(places_that_change_within_a_step) { arena_free(trained("places", 4).arena); }
TEST(a_layer_whose_weights_are_constants) { arena_free(trained("code", 4).arena); }

TEST(spectral_norms_turn_their_directions) { arena_free(trained("spectral", 4).arena); }
TEST(frozen_spectral_norms) { arena_free(trained("judge", 4).arena); }
TEST(a_pool_of_pictures) { arena_free(trained("replay", 4).arena); }
TEST(ten_steps_of_each_optimizer) { arena_free(trained("optimizers", 10).arena); }
TEST(schedules) { arena_free(trained("schedules", 10).arena); }

TEST(what_is_measured_over_a_set) {
    Trainer t = open_trainer("tests/unit/training/measures.cai");
    CU_ASSERT_EQUAL(measure_and_compare(&t, "measures"), 10);
    arena_free(t.arena);
}

/* ---- how weights begin ---- */

static const TrainingState *state_named(const Trainer *t, const char *path) {
    for (int i = 0; i < t->training->states.count; i++)
        if (!strcmp(t->training->states.items[i].path, path)) return &t->training->states.items[i];
    return NULL;
}

static double deviation_of(const TrainingState *state) {
    return state->start == CAI_START_UNIFORM ? state->number / sqrt(3) : fabs(state->number);
}

TEST(weights_begin_as_those_of_pytorch) {
    Trainer t = open_trainer("tests/unit/training/starts.cai");
    FILE *file = fopen("tests/unit/training/starts.txt", "r");
    char path[200];
    double bound, deviation;
    int count = 0;
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    for (; fscanf(file, "0 %199s %lf %lf ", path, &bound, &deviation) == 3; count++) {
        const TrainingState *state = state_named(&t, path),
                            *twin = state_named(&t, arena_printf(t.arena, "twin_%s", path));
        CU_ASSERT_FATAL(state && twin);
        /* the largest of thousands lies just below its bound */
        CU_ASSERT_DOUBLE_EQUAL(state->number, bound, 0.01 * bound);
        CU_ASSERT_DOUBLE_EQUAL(deviation_of(state), deviation, 0.03 * deviation);
        CU_ASSERT_STRING_EQUAL(twin->drawn_as, path);
        CU_ASSERT(twin->start == state->start && twin->number == state->number);
    }
    CU_ASSERT_EQUAL(count, 28);
    fclose(file);
    arena_free(t.arena);
}

/* ---- what is drawn ---- */

TEST(draws_of_augmentation_and_dropout) {
    static const struct {
        const char *name;
        double value, tolerance;
    } expected[] = {{"apart", 0, 0},          /* what belongs to one sample gets the same window and turn, */
                    {"same_pixels", 0, 1e-9}, /* which keeps its pixels; */
                    {"least", 0, 0},
                    {"most", 21, 0},       /* windows begin in each corner, */
                    {"first", 0.25, 0.08}, /* and each corner comes to the front as often; */
                    {"kept", 1, 0.02},
                    {"largest", 1 / 0.75, 1e-6}, /* what dropout leaves has the mean of before; */
                    {"again", 0.5, 0.03}}; /* and its next run draws anew: 2 * 0.25 * 0.75 differ, by 4 / 3 */
    Trainer t = open_trainer("tests/unit/training/draws.cai");
    run_entry(&t, &t.phase->step, NULL);
    for (int i = 0; i < COUNT_OF(expected); i++) {
        const RefTensor *tensor = shown(&t, &t.phase->shown, expected[i].name);
        CU_ASSERT_PTR_NOT_NULL_FATAL(tensor);
        double is = tensor->values->real;
        bool good = fabs(is - expected[i].value) <= expected[i].tolerance;
        if (!good) fprintf(stderr, "\n%s: expected %g, is %g\n", expected[i].name, expected[i].value, is);
        CU_ASSERT(good);
    }
    arena_free(t.arena);
}
