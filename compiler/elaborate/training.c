/* Elaborates a train block: runs the passes in their order, and makes a Training of their
 * graphs. */
#include "elaborate/train.h"

#include <math.h>

/* ---- passes ---- */

static void run_pass(TrainPlan *plan, TrainGoal goal, int phase, int measure, Evaluator *ev,
                     TrainPass *pass) {
    *pass = (TrainPass){.plan = plan, .goal = goal, .phase = phase, .measure = measure, .guard = -1};
    const Decl *decl = plan->block->decl;
    evaluator_begin(ev, plan->library, plan->block);
    pass->of_input = map_new(ev->arena);
    pass->optimizers = map_new(ev->arena);
    pass->rounds = map_new(ev->arena);
    ev->train = pass;
    if (!train_has_lists(ev, decl)) return;
    bind_settings(ev, decl);
    train_bind_sets(ev, decl);
    if (!ev->errors) execute_all(ev, &decl->body);
    if (ev->frame->returned)
        report(ev, DIAG_train_place, ev->frame->returned_at,
               "a train block cannot return a value: its results are the weights");
}

/* ---- phases ---- */

static bool holds_phase(const StmtList *body) {
    for (int i = 0; i < body->count; i++)
        if (body->items[i]->kind == STMT_PHASE || holds_phase(&body->items[i]->body) ||
            holds_phase(&body->items[i]->else_body))
            return true;
    return false;
}

static bool statement_holds_phase(const Stmt *stmt) {
    return stmt->kind == STMT_PHASE || holds_phase(&stmt->body) || holds_phase(&stmt->else_body);
}

/* Statements after the last phase are an error: they would belong to every phase, but
 * come too late for any. */
static void check_behind(TrainPlan *plan, const StmtList *body) {
    int last = -1;
    for (int i = 0; i < body->count; i++)
        if (statement_holds_phase(body->items[i])) last = i;
    if (last < 0 || last + 1 == body->count) return;
    Diagnostic *d = diag_error(plan->library->diag, DIAG_train_phase, body->items[last + 1]->span,
                               "nothing can follow the last phase");
    diag_help(plan->library->diag, d, "what belongs to all phases goes before the first");
}

static void check_length(TrainPlan *plan) {
    const Decl *decl = plan->block->decl;
    Diagnostics *diag = plan->library->diag;
    if (plan->has_phases && decl->length.count) {
        Diagnostic *d = diag_error(diag, DIAG_train_length, decl->length.count->span,
                                   "`%s` has a length and phases with lengths of their own", decl->name);
        diag_help(diag, d, "take one of them out");
    } else if (!plan->has_phases && !decl->length.count) {
        Diagnostic *d = diag_error(diag, DIAG_train_length, decl->name_span,
                                   "nothing says how long `%s` trains", decl->name);
        diag_help(
            diag, d,
            "write it before the `{`, `for 20 epochs`, or give it phases, `phase \"all\" for 20 epochs { ... }`");
    }
}

static bool is_phase_named(const Training *training, int phase, Name name) {
    for (int i = 0; i < phase; i++)
        if (training->phases.items[i].name == name) return true;
    return false;
}

static void begin_phase(Evaluator *ev, const Stmt *stmt) {
    TrainingPhase *phase = train_phase(ev);
    Name name = evaluate_string(ev, stmt->value);
    bool good = train_interval(ev, &stmt->interval, &phase->length);
    if (!name || !good) return;
    phase->name = name;
    if (!*name || is_phase_named(ev->train->plan->training, ev->train->phase, name)) {
        Diagnostic *d = report(ev, DIAG_train_phase, stmt->value->span,
                               *name ? "two phases are called \"%s\"" : "a phase needs a name", name);
        report_help(ev, d, "checkpoints tell phases by their names: `phase \"level {level}\"` in a loop");
    }
}

void execute_phase(Evaluator *ev, const Stmt *stmt) {
    if (!train_allows(ev, stmt, "phase")) return;
    TrainPass *pass = ev->train;
    if (pass->in_phase || pass->measuring || pass->guard >= 0 || pass->once || pass->other_once) {
        report(ev, DIAG_train_phase, stmt->span,
               "a phase must be in the body of a train block, or in its loops and conditions");
        return;
    }
    if (pass->phases++ != pass->phase) return;
    if (pass->goal == GOAL_FIND) begin_phase(ev, stmt);
    train_declare_anew(ev, &stmt->inputs, false);
    pass->in_phase = true;
    execute_all(ev, &stmt->body);
    pass->in_phase = false;
}

static int shown_so_far(const Evaluator *ev) {
    const TrainPass *pass = ev->train;
    return pass->measuring ? pass->measured->shown.count : train_phase(ev)->shown.count;
}

/* Each round uses the next batch. Its shown values have the indices of the first round,
 * so that a trainer shows the mean over the rounds. */
void train_repeat(Evaluator *ev, const Stmt *stmt, int64_t rounds) {
    TrainPass *pass = ev->train;
    int around = pass->round, outer = pass->first_repeated, again = pass->shown_again,
        first = again ? again : shown_so_far(ev) + 1;
    pass->first_repeated = rounds > 1 ? ev->graph->nodes.count : outer;
    for (int64_t i = 0; i < rounds && !ev->frame->returned && spend(ev, stmt->span, 1); i++) {
        if (i > 0) pass->shown_again = first;
        if (!pass->measuring) train_rebind_fields(ev, pass->batches++);
        execute_all(ev, &stmt->body);
    }
    if (!again) pass->shown_again = 0;
    pass->first_repeated = outer;
    if (!pass->measuring) train_rebind_fields(ev, around);
}

/* ---- what GOAL_FIND passes find ---- */

static void find_copies(TrainPlan *plan, Evaluator *ev) {
    for (int i = 0; i < ev->train->copies.count; i++) {
        const CopyOf *copy = &ev->train->copies.items[i];
        if (copy->copy->path) vec_push(ev->arena, &plan->copies, *copy);
    }
    for (int i = 0; i < ev->model->loads.count; i++)
        vec_push(ev->arena, &plan->loads, ev->model->loads.items[i]);
}

static Target original_of(const CopyOf *copy) {
    return (Target){.path = copy->layer->path, .model = copy->model};
}

/* Adds a row for the copy of each state of an original, whether or not the copy is ever
 * run. */
static void add_copies(TrainPlan *plan, Evaluator *ev) {
    for (int i = 0; i < plan->copies.count; i++) {
        const CopyOf *copy = &plan->copies.items[i];
        Target target = original_of(copy);
        for (int k = 0, count = plan->facts.count; k < count; k++) {
            TrainingState row = plan->training->states.items[k];
            StateFacts facts = plan->facts.items[k];
            if (train_is_own(&row) || !train_matches(plan, &target, k)) continue;
            row.path =
                intern(ev->names, path_join(ev->arena, copy->copy->path, train_below(&target, row.path)));
            facts.like = facts.like == k ? k : facts.like;
            facts.identity = arena_printf(ev->arena, "%s%s", copy->copy->identity,
                                          facts.identity + strlen(copy->model ? "" : copy->layer->identity));
            facts.given = false;
            facts.trained = facts.seen = (Phases){0};
            memset(&facts.models, 0, sizeof facts.models); /* the copy needs lists of its own */
            intptr_t known = (intptr_t)map_get(plan->index, row.path);
            if (known) {
                plan->facts.items[known - 1].like = facts.like;
                continue;
            }
            vec_push(ev->arena, &plan->training->states, row);
            vec_push(ev->arena, &plan->facts, facts);
            map_set(plan->index, row.path, (void *)(intptr_t)plan->facts.count);
        }
    }
}

static bool find_phase(TrainPlan *plan, int phase, int *phases) {
    Evaluator ev;
    TrainPass pass;
    TrainingPhase row = {.name = intern(plan->library->names, ""), .length = {.unit = -1}};
    vec_push(plan->library->arena, &plan->training->phases, row);
    run_pass(plan, GOAL_FIND, phase, -1, &ev, &pass);
    if (!plan->has_phases && plan->block->decl->length.count && !ev.errors)
        train_interval(&ev, &plan->block->decl->length, &plan->training->phases.items[phase].length);
    *phases = plan->has_phases ? pass.phases : 1;
    vec_push(ev.arena, &plan->measures, pass.measures);
    find_copies(plan, &ev);
    bool learns = false;
    for (int i = 0; i < plan->facts.count; i++) learns |= plan->facts.items[i].trained.count > 0;
    if (!ev.errors && !learns && !plan->unresolved && phase + 1 >= *phases && !pass.outputs.count) {
        Diagnostic *d = report(&ev, DIAG_minimize, plan->block->decl->name_span, "`%s` trains nothing",
                               plan->block->decl->name);
        report_help(&ev, d, "`minimize loss over net with adam()` is what changes weights");
    }
    if (phase + 1 >= *phases) add_copies(plan, &ev);
    return ev.errors == 0 && !ev.stopped;
}

/* ---- first values of states ---- */

static int64_t fan_in(Shape shape) {
    int64_t product = 1;
    for (int i = 1; i < shape.rank; i++) product *= dim_const_value(shape.dims[i]);
    return product;
}

/* A bias is drawn with the fan-in of the weight beside it. */
static const TrainingState *weight_beside(const TrainPlan *plan, const char *path) {
    Arena *arena = plan->library->arena;
    const char *dot = strrchr(path, '.');
    const char *below = dot ? arena_strndup(arena, path, (size_t)(dot - path) + 1) : "";
    static const char *const names[] = {"weight", "weight_orig"};
    for (int i = 0; i < COUNT_OF(names); i++) {
        Name beside = intern(plan->library->names, arena_printf(arena, "%s%s", below, names[i]));
        intptr_t place = (intptr_t)map_get(plan->index, beside);
        if (place) return &plan->training->states.items[place - 1];
    }
    return NULL;
}

/* Most layers of PyTorch start within 1 / sqrt(fan_in) of 0. */
static double usual_bound(const TrainPlan *plan, const TrainingState *state) {
    const TrainingState *weight = state->shape.rank < 2 ? weight_beside(plan, state->path) : state;
    int64_t inputs = weight && weight->shape.rank > 1
                         ? fan_in(weight->shape)
                         : max_i64(1, dim_const_value(shape_elements(plan->dims, state->shape)));
    return 1 / sqrt((double)inputs);
}

static void begin_at_random(const TrainPlan *plan, TrainingState *state, double within) {
    state->start = CAI_START_UNIFORM;
    state->number = within > 0 ? within : usual_bound(plan, state);
}

static void begin_state(const TrainPlan *plan, int index) {
    TrainingState *state = &plan->training->states.items[index];
    const StateFacts *facts = &plan->facts.items[index];
    state->drawn_as = state->path;
    if (facts->like != index) {
        const TrainingState *original = &plan->training->states.items[facts->like];
        state->start = original->start;
        state->number = original->number;
        state->drawn_as = original->path;
        state->load = original->load;
    } else if (facts->init == INIT_NORMAL) {
        state->start = CAI_START_NORMAL;
        state->number = 1;
    } else if (!isnan(facts->init)) state->number = facts->init;
    else if (!facts->given) begin_at_random(plan, state, facts->within);
}

/* The `load` with the longest path above this one, or NULL. */
const LoadInfo *train_file_of(const TrainPlan *plan, const char *path) {
    const LoadInfo *found = NULL;
    for (int i = 0; i < plan->loads.count; i++) {
        const LoadInfo *load = &plan->loads.items[i];
        size_t length = strlen(load->prefix);
        bool above = !strncmp(path, load->prefix, length) && path[length] == '.';
        if (above && (!found || length >= strlen(found->prefix))) found = load;
    }
    return found;
}

static void find_file(TrainPlan *plan, TrainingState *state) {
    const LoadInfo *load = train_is_own(state) ? NULL : train_file_of(plan, state->path);
    if (load)
        state->load = arena_printf(plan->library->arena, strchr(load->file, ':') ? "%s.%s" : "%s:%s",
                                   load->file, state->path + strlen(load->prefix) + 1);
}

static void begin_states(TrainPlan *plan) {
    for (int i = 0; i < plan->facts.count; i++) find_file(plan, &plan->training->states.items[i]);
    /* originals come before their copies */
    for (int i = 0; i < plan->facts.count; i++) begin_state(plan, i);
}

/* ---- entries ---- */

static bool is_any(const TrainPass *pass, const PassOutput *output) {
    (void)pass, (void)output;
    return true;
}

/* A GOAL_ONCE pass runs measures, too, for the first values of their states; their other
 * outputs belong to entries of their own. */
static bool is_state_output(const TrainPass *pass, const PassOutput *output) {
    (void)pass;
    return output->binding.kind == CAI_BIND_STATE;
}

static bool is_of_batch(const TrainPass *pass, const PassOutput *output) {
    int kind = output->binding.kind;
    bool picture =
        kind == CAI_BIND_SHOWN && pass->measured->shown.items[output->binding.index].form == CAI_SHOW_PICTURE;
    return kind == CAI_BIND_TOTAL || kind == CAI_BIND_COLLECTED || picture;
}

static bool is_of_set(const TrainPass *pass, const PassOutput *output) { return !is_of_batch(pass, output); }

static const Chosen *chosen_last(const TrainPass *pass, const Weight *place) {
    for (int i = 0; i < pass->chosen.count; i++)
        if (pass->chosen.items[i].value == place->value && pass->chosen.items[i].before == place->node)
            return &pass->chosen.items[i];
    return NULL;
}

/* Outputs for the new values of states. A state that only an `every` changes is written
 * in those steps alone. */
static void write_states(Evaluator *ev) {
    const TrainPass *pass = ev->train;
    for (int i = 0; i < pass->weights.count; i++) {
        const Weight *place = pass->weights.items[i];
        if (place->value == place->node) continue;
        const Chosen *chosen = chosen_last(pass, place);
        cai_binding binding = {
            .kind = CAI_BIND_STATE, .index = place->index, .guard = chosen ? chosen->guard : -1};
        train_output(ev, chosen ? chosen->changed : place->value, binding, place->path, place->span);
    }
}

static void write_copies(Evaluator *ev) {
    TrainPass *pass = ev->train;
    for (int i = 0; i < pass->copies.count; i++) {
        const CopyOf *copy = &pass->copies.items[i];
        Target target = original_of(copy);
        for (int k = 0; k < copy->count; k++) {
            if (!copy->values[k] || !copy->copy->path) continue;
            const char *below = train_below(&target, pass->plan->training->states.items[k].path);
            Name path = intern(ev->names, path_join(ev->arena, copy->copy->path, below));
            intptr_t known = (intptr_t)map_get(pass->plan->index, path);
            const Weight *original = train_place(ev, k);
            Weight *place = known ? train_place(ev, (int)known - 1) : NULL;
            /* the first value of the original may be given below the copy in the text */
            Node *value = copy->values[k] == original->node ? original->start : copy->values[k];
            if (place && place->value == place->start) train_assign(ev, place, train_first(ev, place, value));
        }
    }
}

static void count_rounds(const Training *training, TrainingPhase *phase, Arena *arena) {
    phase->rounds = NEW_ARRAY(arena, int, training->sets.count);
    for (int i = 0; i < phase->step.inputs.count; i++) {
        const cai_binding *binding = &phase->step.inputs.items[i];
        if (binding->kind == CAI_BIND_FIELD && phase->rounds[binding->index] <= binding->round)
            phase->rounds[binding->index] = binding->round + 1;
    }
}

static bool make_step(TrainPlan *plan, int index) {
    Evaluator ev;
    TrainPass pass;
    TrainingPhase *phase = &plan->training->phases.items[index];
    phase->shown.count = phase->guards.count = 0;
    run_pass(plan, GOAL_STEP, index, -1, &ev, &pass);
    if (ev.errors || ev.stopped) return false;
    train_keep_text(&ev);
    write_states(&ev);
    phase->kept = train_cut_still(&ev);
    phase->step = train_entry(&ev, is_any);
    count_rounds(plan->training, phase, ev.arena);
    return true;
}

/* Warns of a first value that depends on the item: states continue from item to item, and
 * only `once` runs for each. */
static void warn_of_first_items(Evaluator *ev) {
    const TrainPass *pass = ev->train;
    for (int i = 0; i < pass->weights.count; i++) {
        const Weight *place = pass->weights.items[i];
        bool begun = place->given && place->value == place->start && place->start != place->node;
        if (!begun || !(train_sources(ev, place->given) & OF_ITEM)) continue;
        const char *text = arena_printf(
            ev->arena, "`%s` starts with the value of the first item, and continues from item to item",
            place->path);
        report_warning(
            ev, DIAG_train_once, place->span, text,
            arena_printf(ev->arena, "`once { update %s = .. }` starts it again for each item", place->path));
    }
}

static bool make_once(TrainPlan *plan, int index) {
    Evaluator ev;
    TrainPass pass;
    if (!train_has_phase(&plan->once, index)) return true;
    run_pass(plan, GOAL_ONCE, index, -1, &ev, &pass);
    if (ev.errors || ev.stopped) return false;
    write_copies(&ev);
    write_states(&ev);
    plan->training->phases.items[index].once = train_entry(&ev, is_state_output);
    warn_of_first_items(&ev);
    return true;
}

/* The set of which an input of a measure is a field, as a bit; 0 for other inputs. */
static int set_of_input(const TrainPlan *plan, const TrainingEntry *batch, int input) {
    const cai_binding *binding = &batch->inputs.items[input];
    if (binding->kind != CAI_BIND_FIELD) return 0;
    const TrainingSet *set = &plan->training->sets.items[binding->index];
    return training_stays(set) ? 0 : 1 << binding->index;
}

/* The sets that a node without operands belongs to: it is one of their samples, or it has
 * as many rows as their batches. */
static int own_sets(const TrainPlan *plan, const TrainingEntry *batch, const Node *node) {
    int sets = 0;
    for (int i = 0; node->input_count == 0 && node->shape.rank > 0 && i < batch->inputs.count; i++) {
        const Node *input = batch->graph->inputs.items[i].node;
        bool of_input =
            node == input || (node->op != OP_input && node->shape.dims[0] == input->shape.dims[0] &&
                              !dim_is_const(input->shape.dims[0], NULL));
        if (of_input) sets |= set_of_input(plan, batch, i);
    }
    return sets;
}

/* The first set whose samples move, as a bit; 0 if there is none, and a measure then has
 * one batch. */
static int first_that_moves(const TrainPlan *plan) {
    for (int i = 0; i < plan->training->sets.count; i++)
        if (!training_stays(&plan->training->sets.items[i])) return 1 << i;
    return 0;
}

/* Values made of one set run over the batches of that set. Values made of several sets
 * run over these side by side, as far as the shortest set reaches. */
static void find_sets(const TrainPlan *plan, TrainingMeasure *measured) {
    TrainingEntry *batch = &measured->batch;
    if (!batch->graph) return;
    Arena *scratch = arena_new();
    int *sets = NEW_ARRAY(scratch, int, batch->graph->nodes.count);
    for (int id = 0; id < batch->graph->nodes.count; id++) {
        const Node *node = batch->graph->nodes.items[id];
        sets[id] = own_sets(plan, batch, node);
        for (int i = 0; i < node->input_count; i++) sets[id] |= sets[node->inputs[i]->id];
        measured->sets |= sets[id];
    }
    if (!measured->sets) measured->sets = first_that_moves(plan);
    int first = measured->sets & -measured->sets; /* which counts the batches of values made of no set */
    for (int i = 0; i < batch->outputs.count; i++) {
        int of = sets[batch->graph->outputs.items[i].node->id];
        batch->outputs.items[i].sets = of ? of : first;
    }
    arena_free(scratch);
}

/* A block that draws its samples has no held-out ones. */
static bool has_samples_to_measure(Evaluator *ev) {
    if (ev->train->plan->training->sets.count) return true;
    report(ev, DIAG_measure, ev->train->plan->block->decl->name_span,
           "a `measure` reads held-out samples, and this block has none");
    return false;
}

static bool make_measure(TrainPlan *plan, int index, int number) {
    Evaluator ev;
    TrainPass pass;
    run_pass(plan, GOAL_MEASURE, index, number, &ev, &pass);
    if (ev.errors || ev.stopped || !pass.measured || !has_samples_to_measure(&ev)) return false;
    pass.measuring = false;
    write_states(&ev);
    pass.measured->batch = train_entry(&ev, is_of_batch);
    pass.measured->last = train_entry(&ev, is_of_set);
    find_sets(plan, pass.measured);
    vec_push(ev.arena, &plan->training->phases.items[index].measures, *pass.measured);
    return true;
}

/* ---- settings as JSON ---- */

static void add_json(Text *out, Value v) {
    if (v.kind == VALUE_INT || v.kind == VALUE_BOOL) value_print(out, v);
    else if (v.kind == VALUE_REAL && isfinite(v.real)) value_print(out, v);
    else if (v.kind == VALUE_NONE) text_add(out, "null");
    else if (value_is_sequence(v))
        for (int i = 0; i <= v.list->count; i++) {
            text_add(out, i == 0 ? "[" : i < v.list->count ? ", " : "");
            if (i < v.list->count) add_json(out, v.list->items[i]);
            else text_add(out, "]");
        }
    else {
        Text plain = {.arena = out->arena};
        value_print(&plain, v);
        text_add(out, "\"");
        for (const char *at = text_string(&plain); *at; at++)
            text_add(out, strchr("\"\\", *at) ? "\\%c" : "%c", *at);
        text_add(out, "\"");
    }
}

static const char *settings_text(const Evaluator *ev) {
    Text text = {.arena = ev->arena};
    text_add(&text, "{");
    for (int i = 0; i < ev->settings.count; i++) {
        text_add(&text, "%s\"%s\": ", i ? ", " : "", ev->settings.items[i].name);
        add_json(&text, ev->settings.items[i].value);
    }
    text_add(&text, "}");
    return text_string(&text);
}

static const char *settings_of(TrainPlan *plan) {
    Evaluator ev;
    TrainPass pass = {.plan = plan};
    evaluator_begin(&ev, plan->library, plan->block);
    ev.train = &pass;
    pass.of_input = map_new(ev.arena);
    bind_settings(&ev, plan->block->decl);
    return settings_text(&ev);
}

/* ---- comparing with the models of the file ---- */

static bool is_trained_state(const Training *training, int state) {
    for (int i = 0; i < training->phases.count; i++) {
        const BindingList *outputs = &training->phases.items[i].step.outputs;
        for (int k = 0; k < outputs->count; k++)
            if (outputs->items[k].kind == CAI_BIND_STATE && outputs->items[k].index == state) return true;
    }
    return false;
}

static bool same_sizes(Shape a, Shape b) {
    bool same = a.type == b.type && a.rank == b.rank;
    for (int i = 0; same && i < a.rank; i++) same = dim_const_value(a.dims[i]) == dim_const_value(b.dims[i]);
    return same;
}

static Map *weights_of(Library *library, Model *const *models, int count) {
    Map *weights = map_new(library->arena);
    for (int m = 0; m < count; m++)
        for (int i = 0; i < models[m]->weights.count; i++)
            map_set(weights, models[m]->weights.items[i].path, &models[m]->weights.items[i]);
    return weights;
}

void library_check_trained(Library *library, const Training *training, Model *const *models, int count) {
    Map *weights = weights_of(library, models, count);
    Name first = NULL;
    int more = 0;
    for (int i = 0; i < training->states.count && count > 0; i++) {
        const TrainingState *state = &training->states.items[i];
        const WeightInfo *weight = map_get(weights, state->path);
        if (weight && !same_sizes(weight->shape, state->shape)) {
            Diagnostic *d = diag_error(library->diag, DIAG_weight_shape, state->span,
                                       "`%s` is %s in `%s`, but %s in a model of this file", state->path,
                                       shape_string(library->arena, state->shape), training->name,
                                       shape_string(library->arena, weight->shape));
            diag_note(library->diag, d, weight->span, "the other one is here");
            return;
        }
        /* a copy is no model's weight */
        bool of_layer =
            state->kind == CAI_STATE_PARAMETER && strchr(state->path, '.') && state->drawn_as == state->path;
        if (weight || !of_layer || !is_trained_state(training, i)) continue;
        if (first) more++;
        else first = state->path;
    }
    if (!first) return;
    const char *others = more ? arena_printf(library->arena, " and %d more", more) : "";
    Diagnostic *d = diag_warning(library->diag, DIAG_unread, training->decl->name_span,
                                 "no model of this file has the weights `%s`%s, which `%s` trains", first,
                                 others, training->name);
    diag_help(
        library->diag, d,
        "a model finds its weights by their paths: name the layers here as in the model, or run the model itself, `x -> name`");
}

/* ---- all of it ---- */

static bool find_phases(TrainPlan *plan) {
    bool good = true;
    plan->training->phases.count = plan->measures.count = plan->copies.count = plan->loads.count = 0;
    for (int phase = 0, phases = 1; phase < phases; phase++) good &= find_phase(plan, phase, &phases);
    return good;
}

/* Searches a second time if a part was named before its whole, which a later line or
 * phase runs: order matters only for values. */
static bool find_all(TrainPlan *plan) {
    plan->searching = true;
    bool good = find_phases(plan);
    plan->searching = false;
    if (!good || !plan->unresolved) return good;
    plan->unresolved = false;
    return find_phases(plan);
}

static bool make_all(TrainPlan *plan) {
    bool good = true;
    for (int i = 0; i < plan->training->phases.count; i++) {
        good &= make_step(plan, i) && make_once(plan, i);
        for (int k = 0; k < plan->measures.items[i] && good; k++) good &= make_measure(plan, i, k);
    }
    return good;
}

Training *elaborate_training(Library *library, int index) {
    Arena *arena = library->arena;
    Definition *block = library->trains.items[index];
    TrainPlan plan = {
        .library = library, .block = block, .training = NEW(arena, Training), .dims = dims_new(arena)};
    plan.index = map_new(arena);
    plan.layers = map_new(arena);
    if (library->broken) return NULL;
    *plan.training =
        (Training){.decl = block->decl, .name = block->decl->name, .comment = block->decl->comment};
    plan.has_phases = holds_phase(&block->decl->body);
    int errors = library->diag->errors;
    check_length(&plan);
    check_behind(&plan, &block->decl->body);
    if (library->diag->errors > errors || !find_all(&plan) || !make_all(&plan)) return NULL;
    train_find_classes(&plan);
    train_divide(&plan);
    begin_states(&plan);
    plan.training->settings = settings_of(&plan);
    return plan.training;
}
