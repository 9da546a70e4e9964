/* Gradients through the blocks of stdlib/, as a `minimize` has them, against PyTorch:
 * each case of tests/numerics/library becomes a train block whose optimizer keeps the
 * gradients; tests/numerics/gradients/make.py says how gradients.txt is written. By the
 * reference in double precision, and in compiled steps of f32. */
#include "backend_support.h"
#include "elaborate/training.h"
#include "weights/weights.h"

static const char gradients_path[] = "tests/numerics/gradients/gradients.txt";

typedef struct Expected { /* gradient NAME STEP V... */
    const char *name;
    int step, count;
    double *values;
} Expected;

typedef struct Case {
    const char *text;
    double error; /* PyTorch's own, in f32 */
    Vec(Expected) gradients;
} Case;
typedef Vec(Case) Cases;

/* ---- reading ---- */

static Expected read_gradient(Arena *arena, char *line) {
    strsep(&line, " ");
    Expected e = {.name = strsep(&line, " ")};
    e.step = (int)strtol(strsep(&line, " "), NULL, 10);
    e.values = NEW_ARRAY(arena, double, strlen(line));
    for (char *value; (value = strsep(&line, " "));) e.values[e.count++] = strtod(value, NULL);
    return e;
}

static Cases read_cases(Arena *arena) {
    FILE *file = fopen(gradients_path, "r");
    Cases cases = {0};
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    while ((length = getline(&line, &room, file)) > 0) {
        char *copy = arena_strndup(arena, line, (size_t)length - 1);
        if (strncmp(copy, "gradient ", 9) == 0)
            vec_push(arena, &vec_last(&cases).gradients, read_gradient(arena, copy));
        else if (strncmp(copy, "error ", 6) == 0) vec_last(&cases).error = strtod(copy + 6, NULL);
        else if (strcmp(copy, "none") != 0) vec_push(arena, &cases, ((Case){.text = copy}));
    }
    free(line);
    fclose(file);
    return cases;
}

/* ---- a case as a train block ---- */

static const char head[] = "optimizer kept(w, g) {\n"
                           "  gradient = state(w.shape)\n"
                           "  update gradient = g\n"
                           "  return w\n"
                           "}\n"
                           "block elements(y) { return flatten(y, start = 0).shape[0] }\n"
                           "block weighed(y) {\n"
                           "  places = reshape(arange(elements(y)), y.shape)\n"
                           "  return sum(y * (cast(places * 37 % 64, type = \"f32\") / 32 - 0.984375))\n"
                           "}\n"
                           "train gradients(N = 1)(unread: f32[N, 1]) for 1 steps {\n";

/* `NAME: TYPE[SIZES]` of a signature: f32 is a parameter, i32 what library.txt has. */
static void add_operand(Text *text, const char *name, const char *type, const char *sizes) {
    if (*type == 'f') text_add(text, "  %s = param([%s])\n", name, sizes);
    else text_add(text, "  %s = reshape(arange(elements(zeros([%s]))) %% 3, [%s])\n", name, sizes, sizes);
}

/* Behind `model m(`. */
static void add_operands(Text *text, char *signature) {
    bool last = false;
    while (!last) {
        const char *name = strsep(&signature, ":"), *type = strsep(&signature, "[") + 1,
                   *sizes = strsep(&signature, "]");
        add_operand(text, name, type, sizes);
        last = *signature == ')';
        signature += 2;
    }
}

/* Inputs by their names, all weights as the layer l; gives whether it has some. */
static bool add_trained(Text *text, const Case *c) {
    bool layer = false;
    for (int i = 0; i < c->gradients.count; i++) {
        const char *name = c->gradients.items[i].name;
        if (strncmp(name, "l.", 2) == 0) layer = true;
        else text_add(text, "%s, ", name);
    }
    if (layer) text_add(text, "l");
    return layer;
}

/* Of `STAGE`, `STAGE)[0]` or `STAGE }`, which is no part of it. */
static size_t stage_length(const char *stage) {
    size_t length = 0;
    for (int depth = 0; depth >= 0; length++) {
        depth += strchr("([{", stage[length]) != NULL;
        depth -= strchr(")]}", stage[length]) != NULL;
    }
    length--;
    return stage[length] == '}' ? length - 1 : length;
}

/* `x -> l: STAGE` of the library's cases: what is trained needs a name. */
static const char *name_layer(Text *text, const char *body) {
    static const char label[] = " -> l: ";
    const char *stage = strstr(body, label) + strlen(label);
    size_t length = stage_length(stage);
    const char *layer = arena_strndup(text->arena, stage, length);
    text_add(text, "  l = %s%s\n", layer, strchr(layer, '(') ? "" : "()");
    return arena_printf(text->arena, "%.*s -> l%s", (int)(stage - strlen(label) - body), body,
                        stage + length);
}

static const char *train_text(Arena *arena, const Case *c) {
    static const char before[] = "model m(", between[] = ") { return ";
    const char *model = strstr(c->text, before), *body = strstr(model, between) + strlen(between);
    Text text = {.arena = arena}, trained = {.arena = arena};
    text_add(&text, "%.*s\n%s", (int)(model - c->text), c->text, head);
    add_operands(&text, arena_printf(arena, "%s", model + strlen(before)));
    if (add_trained(&trained, c)) body = name_layer(&text, body);
    text_add(&text, "  minimize weighed(%.*s) over (%s) with kept()\n}\n", (int)strlen(body) - 2, body,
             text_string(&trained));
    return text_string(&text);
}

static Training *elaborate_case(Arena *arena, const Case *c) {
    Diagnostics *diag = NEW(arena, Diagnostics);
    diag->arena = arena;
    Library *library = library_of_text(arena, names_new(arena), diag, train_text(arena, c),
                                       &(ElaborateOptions){.stdlib_dir = "stdlib"});
    Training *training = elaborate_training(library, 0);
    diag_print(diag, stderr, DIAG_TEXT, false);
    return training;
}

/* ---- what it begins with ---- */

static double declared_init(const TrainingState *state) {
    return state->start == CAI_START_VALUE    ? state->number
           : state->start == CAI_START_NORMAL ? INIT_NORMAL
                                              : NAN;
}

/* Inputs as library.txt has them, rounded; weights as --init 7 has them. */
static void begin_state(const TrainingState *state, RefTensor *out) {
    const char *operands = "xyz", *operand = strchr(operands, *state->path);
    if (strlen(state->path) > 1) {
        init_fill(7, state->path, &out->shape, declared_init(state), state->kind == CAI_STATE_LAYER,
                  out->values);
        return;
    }
    for (int64_t i = 0; i < out->shape.count; i++)
        out->values[i].real =
            (float)(sin(0.37 * (double)i + (double)(operand - operands)) + 0.25 * cos(1.7 * (double)i));
}

static void add_inputs(TestGraph *t, const Training *training, const TrainingEntry *step);

/* What is the same in each step is computed before it, as state `index`. */
static bool add_computed_once(TestGraph *t, const Training *training, Node *node, int index) {
    const TrainingEntry *kept = &training->phases.items[0].kept;
    TestGraph before = {.arena = t->arena, .graph = kept->graph, .symbols = {1, 1}};
    for (int i = 0; i < kept->outputs.count; i++) {
        if (kept->outputs.items[i].index != index) continue;
        add_inputs(&before, training, kept);
        vec_push(
            t->arena, &t->inputs,
            ((TestInput){node, output_values(&before, kept->graph)[i].values, count_of(t, node->shape)}));
        return true;
    }
    return false;
}

static void add_inputs(TestGraph *t, const Training *training, const TrainingEntry *step) {
    for (int i = 0; i < step->inputs.count; i++) {
        Node *node = step->graph->inputs.items[i].node;
        const TrainingState *state = &training->states.items[step->inputs.items[i].index];
        CU_ASSERT_EQUAL_FATAL(step->inputs.items[i].kind, CAI_BIND_STATE);
        if (add_computed_once(t, training, node, step->inputs.items[i].index)) continue;
        RefTensor tensor = {.shape = {.type = node->shape.type, .rank = node->shape.rank}};
        for (int axis = 0; axis < node->shape.rank; axis++)
            tensor.shape.dims[axis] = dim_const_value(node->shape.dims[axis]);
        tensor.shape.count = count_of(t, node->shape);
        tensor.values = NEW_ARRAY(t->arena, Number, tensor.shape.count);
        begin_state(state, &tensor);
        vec_push(t->arena, &t->inputs, ((TestInput){node, tensor.values, tensor.shape.count}));
    }
}

/* The step of a case, with values for its inputs. */
static TestGraph step_of(const Case *c, Training **training, const TrainingEntry **step) {
    TestGraph t = {.arena = arena_new(), .symbols = {1, 1}};
    *training = elaborate_case(t.arena, c);
    if (!*training) return t;
    *step = &(*training)->phases.items[0].step;
    t.graph = (*step)->graph;
    add_inputs(&t, *training, *step);
    return t;
}

/* ---- comparing ---- */

/* The output that has the gradient by NAME; -1. */
static int output_of(const Training *training, const TrainingEntry *step, const char *name) {
    for (int i = 0; i < step->outputs.count; i++) {
        const char *path = training->states.items[step->outputs.items[i].index].path;
        size_t length = strlen(name);
        if (step->outputs.items[i].kind == CAI_BIND_STATE && strncmp(path, "train.kept.", 11) == 0 &&
            strncmp(path + 11, name, length) == 0 && strcmp(path + 11 + length, ".gradient") == 0)
            return i;
    }
    return -1;
}

static int gradients_of(const Training *training) {
    int count = 0;
    for (int i = 0; i < training->states.count; i++)
        count += strncmp(training->states.items[i].path, "train.kept.", 11) == 0;
    return count;
}

/* How far the gradients lie from PyTorch's, as a share of their norm. */
static double distance(const Case *c, const Training *training, const TrainingEntry *step,
                       Number *const *values) {
    double wrong = 0, norm = 0;
    for (int i = 0; i < c->gradients.count; i++) {
        const Expected *e = &c->gradients.items[i];
        int output = output_of(training, step, e->name);
        if (output < 0) fprintf(stderr, "\nno gradient reaches %s", e->name);
        if (output < 0) return INFINITY;
        for (int k = 0; k < e->count; k++) {
            double d = values[output][k * e->step].real - e->values[k];
            wrong += d * d;
            norm += e->values[k] * e->values[k];
        }
    }
    return sqrt(wrong) / fmax(sqrt(norm), 1e-30);
}

static void expect_within(const Case *c, const char *by, double distance, double limit) {
    bool good = distance <= limit;
    if (!good) fprintf(stderr, "\n%s: %.3g, not %.3g: %s", by, distance, limit, c->text);
    CU_ASSERT(good);
}

static void check_rules(const Case *c) {
    Training *training;
    const TrainingEntry *step;
    TestGraph t = step_of(c, &training, &step);
    CU_ASSERT_PTR_NOT_NULL(training);
    if (training) {
        RefTensor *results = output_values(&t, t.graph);
        Number **values = NEW_ARRAY(t.arena, Number *, step->outputs.count);
        for (int i = 0; i < step->outputs.count; i++) values[i] = results[i].values;
        CU_ASSERT_EQUAL(gradients_of(training), c->gradients.count);
        expect_within(c, "the rules", distance(c, training, step, values), 1e-9);
    }
    arena_free(t.arena);
}

/* ---- compiled ---- */

/* Two roundings, where PyTorch happens to have none; Winograd's bound is its own. */
static double limit_of(const Case *c, const Program *program) {
    for (int i = 0; i < program->launches.count; i++)
        if (strstr(program->launches.items[i]->kind->name, "winograd")) return 1e-5;
    return fmax(2 * c->error, 0x1p-22);
}

static void check_compiled(const Case *c, const char *target) {
    Training *training;
    const TrainingEntry *step;
    TestGraph t = step_of(c, &training, &step);
    Number **one = NEW_ARRAY(t.arena, Number *, step->outputs.count),
           **three = NEW_ARRAY(t.arena, Number *, step->outputs.count);
    Compiled compiled;
    t.graph = passes_run(t.graph, &(PassOptions){.verify = true});
    if (compile_and_load(&t, &WITH_TABLE(.target = target_find(target)), &compiled) &&
        run_compiled(&compiled, 1, one) && run_compiled(&compiled, 3, three)) {
        expect_within(c, target, distance(c, training, step, one), limit_of(c, compiled.lowered));
        CU_ASSERT_EQUAL(distance(c, training, step, one), distance(c, training, step, three));
    }
    unload(&compiled);
    arena_free(t.arena);
}

/* ---- tests ---- */

enum { PARTS = 8 };

static void for_each_case(int part, int parts, int every, void (*check)(const Case *c)) {
    Arena *arena = arena_new();
    Cases cases = read_cases(arena);
    CU_ASSERT(cases.count > 300);
    for (int i = part; i < cases.count; i += parts)
        if (cases.items[i].gradients.count && i / parts % every == 0) check(&cases.items[i]);
    arena_free(arena);
}

TEST_IN_PARTS(rules_against_PyTorch, PARTS) { for_each_case(part, parts, 1, check_rules); }

static void check_v3(const Case *c) { check_compiled(c, "x86-64-v3"); }
static void check_v4(const Case *c) { check_compiled(c, "x86-64-v4"); }

/* A sample; with CAI_SWEEP all of them, on each target that runs here. */
TEST_IN_PARTS(steps_against_PyTorch, PARTS) {
    int every = getenv("CAI_SWEEP") ? 1 : 6;
    for_each_case(part, parts, every, check_v3);
    if (every == 1 && can_run("x86-64-v4")) for_each_case(part, parts, every, check_v4);
}

/* ---- that nothing is left out ---- */

static void mark_operators(const Node *node, Map *seen, bool *found) {
    if (map_get(seen, node)) return;
    map_set(seen, node, (void *)(intptr_t)1);
    found[node->op] = true;
    for (int i = 0; i < node->input_count; i++) mark_operators(node->inputs[i], seen, found);
}

/* What the loss is made of: not what is made of its gradient. */
static void add_operators(const Case *c, bool *found) {
    Training *training;
    const TrainingEntry *step;
    TestGraph t = step_of(c, &training, &step);
    for (int i = 0; training && i < step->outputs.count; i++)
        if (step->outputs.items[i].kind == CAI_BIND_SHOWN)
            mark_operators(t.graph->outputs.items[i].node, map_new(t.arena), found);
    arena_free(t.arena);
}

TEST(every_operator_has_a_case) {
    Arena *arena = arena_new();
    Cases cases = read_cases(arena);
    bool found[OP_COUNT] = {false};
    for (int i = 0; i < cases.count; i++)
        if (cases.items[i].gradients.count) add_operators(&cases.items[i], found);
    for (Op op = 0; op < OP_COUNT; op++) {
        bool good = found[op] || !op_is_differentiable(op);
        if (!good)
            fprintf(stderr, "\ntests/numerics/library has no case with %s in a loss", op_info[op].name);
        CU_ASSERT(good);
    }
    arena_free(arena);
}
