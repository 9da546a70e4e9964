/* Trainers: what they compute, against PyTorch's numbers (tests/unit/trainer_torch.py);
 * that neither memory that states share, nor the number of threads, nor any interruption
 * changes a bit; and what they say. */
#include "trainer_support.h"
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/cai_trainer_test_XXXXXX";

static int make_folder(void) { return mkdtemp(folder) ? 0 : 1; }
static int remove_folder(void) {
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) != 0;
}
FIXTURE(make_folder, remove_folder)

static const char *in_folder(const char *name) {
    static char paths[1000][100];
    static int turn;
    char *path = paths[turn++ % 1000];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

/* ---- data: formulas, so that trainer_torch.py has the same ---- */

static void write_npy(const char *name, int type, const void *data, int rank, const int64_t *dims) {
    cai_error error;
    cai_tensor tensor = {.name = "", .type = type, .rank = rank, .count = 1, .data = data};
    for (int i = 0; i < rank; i++) tensor.dims[i] = dims[i], tensor.count *= dims[i];
    CU_ASSERT_FATAL(cai_tensors_write(in_folder(name), &tensor, 1, &error));
}

/* x [samples, sizes..] = 2 unit(7, i) - 1, label [samples] = (i * i + i / 5) %
 * classes. */
static void write_data(int64_t samples, int64_t each, int rank, const int64_t *dims, int32_t classes) {
    float *x = malloc(sizeof *x * (size_t)(samples * each));
    int32_t *label = malloc(sizeof *label * (size_t)samples);
    for (int64_t i = 0; i < samples * each; i++) x[i] = 2 * cai_unit(7, i) - 1;
    for (int64_t i = 0; i < samples; i++) label[i] = (int32_t)((i * i + i / 5) % classes);
    write_npy("x.npy", CAI_F32, x, rank, dims);
    write_npy("label.npy", CAI_I32, label, 1, &samples);
    free(x);
    free(label);
}

static const char *with_data(const char *options) {
    static char command[600];
    snprintf(command, sizeof command, "x=%s label=%s %s", in_folder("x.npy"), in_folder("label.npy"),
             options);
    return command;
}

static double last_number(const char *run, const char *tensor, int64_t index) {
    char path[200];
    cai_tensor_file file;
    cai_error error;
    float number;
    snprintf(path, sizeof path, "%s/last.safetensors", run);
    CU_ASSERT_FATAL(cai_tensors_open(path, &file, &error));
    const cai_tensor *found = cai_tensors_find(&file, tensor);
    CU_ASSERT_PTR_NOT_NULL_FATAL(found);
    cai_tensor_to_f32(found, index, 1, &number);
    cai_tensors_close(&file);
    return (double)number;
}

/* The loss of a step, in the run's log. */
static double logged(const char *run, int step, const char *name) {
    char path[200], line[500], begins[60], key[60];
    double value = NAN;
    snprintf(path, sizeof path, "%s/log.jsonl", run);
    snprintf(begins, sizeof begins, "{\"phase\": 0, \"step\": %d,", step);
    snprintf(key, sizeof key, "\"%s\": ", name);
    FILE *log = fopen(path, "r");
    while (log && fgets(line, sizeof line, log))
        if (strncmp(line, begins, strlen(begins)) == 0 && strstr(line, key))
            value = strtod(strstr(line, key) + strlen(key), NULL);
    if (log) fclose(log);
    return value;
}

static bool same_files(const char *a, const char *b, const char *name) {
    char path[2][200];
    cai_file file[2];
    cai_error error;
    snprintf(path[0], sizeof path[0], "%s/%s", a, name);
    snprintf(path[1], sizeof path[1], "%s/%s", b, name);
    if (!cai_file_read(path[0], &file[0], &error) || !cai_file_read(path[1], &file[1], &error)) return false;
    bool same = file[0].count == file[1].count && memcmp(file[0].data, file[1].data, file[0].count) == 0;
    cai_file_close(&file[0]);
    cai_file_close(&file[1]);
    return same;
}

/* ---- optimizers ---- */

/* w - lr * (momentum * v + g), and v. */
static void sgd(Entry *e, int w_state, Node *w, Node *g, const char *path, double lr) {
    Block *b = e->block;
    int v_state = block_state(b, arena_printf(b->arena, "train.sgd.%s.v", path), CAI_STATE_TRAINING,
                              CAI_START_VALUE, 0, w->shape.rank, w->shape.dims);
    Node *v = build_binary(e->graph, OP_add, number_times(e->graph, 0.9, entry_state(e, v_state)), g);
    entry_store(e, v_state, v, -1);
    entry_store(e, w_state, build_binary(e->graph, OP_sub, w, number_times(e->graph, lr, v)), -1);
}

/* Adam as PyTorch has it; t: steps so far and 1 more. */
static void adam(Entry *e, int w_state, Node *w, Node *g, Node *t, const char *path, double lr) {
    Block *b = e->block;
    Graph *graph = e->graph;
    int m_state = block_state(b, arena_printf(b->arena, "train.adam.%s.m", path), CAI_STATE_TRAINING,
                              CAI_START_VALUE, 0, w->shape.rank, w->shape.dims);
    int v_state = block_state(b, arena_printf(b->arena, "train.adam.%s.v", path), CAI_STATE_TRAINING,
                              CAI_START_VALUE, 0, w->shape.rank, w->shape.dims);
    Node *m = build_binary(graph, OP_add, number_times(graph, 0.9, entry_state(e, m_state)),
                           number_times(graph, 0.1, g));
    Node *square = build_binary(graph, OP_mul, g, g);
    Node *v = build_binary(graph, OP_add, number_times(graph, 0.999, entry_state(e, v_state)),
                           number_times(graph, 0.001, square));
    Node *one = build_scalar(graph, 1, DTYPE_F32);
    Node *m_scale =
        build_binary(graph, OP_sub, one, build_binary(graph, OP_pow, build_scalar(graph, 0.9, DTYPE_F32), t));
    Node *v_scale = build_binary(graph, OP_sub, one,
                                 build_binary(graph, OP_pow, build_scalar(graph, 0.999, DTYPE_F32), t));
    Node *root =
        build_binary(graph, OP_add, build_unary(graph, OP_sqrt, build_binary(graph, OP_div, v, v_scale)),
                     build_scalar(graph, 1e-8, DTYPE_F32));
    Node *step = build_binary(graph, OP_div, build_binary(graph, OP_div, m, m_scale), root);
    entry_store(e, m_state, m, -1);
    entry_store(e, v_state, v, -1);
    entry_store(e, w_state, build_binary(graph, OP_sub, w, number_times(graph, lr, step)), -1);
}

/* ---- blocks ---- */

/* All 24 samples in each step: softmax(x w + b), by Adam. */
static Block *logistic(cai_interval length) {
    Block *b = block_new("logistic");
    TrainingSet *set = block_set(b, "x", 24);
    block_field(b, set, "x", DTYPE_F32, BLOCK_DIMS(b, 24, 7));
    block_field(b, set, "label", DTYPE_I32, BLOCK_DIMS(b, 24));
    int w_state =
        block_state(b, "head.weight", CAI_STATE_PARAMETER, CAI_START_UNIFORM, 0.5, BLOCK_DIMS(b, 7, 3));
    int b_state = block_state(b, "head.bias", CAI_STATE_PARAMETER, CAI_START_VALUE, 0, BLOCK_DIMS(b, 3));
    TrainingPhase *phase = block_phase(b, "", length);
    Entry e = entry_new(b, &phase->step, "logistic.step");
    Node *x = entry_input(&e, "x", DTYPE_F32, BLOCK_DIMS(b, 24, 7),
                          (cai_binding){.kind = CAI_BIND_FIELD, .field = 0});
    Node *label = entry_input(&e, "label", DTYPE_I32, BLOCK_DIMS(b, 24),
                              (cai_binding){.kind = CAI_BIND_FIELD, .field = 1});
    Node *step = entry_input(&e, "step", DTYPE_F32, 0, NULL, (cai_binding){.kind = CAI_BIND_STEP});
    Node *weights[] = {entry_state(&e, w_state), entry_state(&e, b_state)}, *gradients[2];
    Node *product = graph_make(e.graph, OP_matmul, (Node *[]){x, weights[0]}, 2, NULL);
    Node *loss = cross_entropy(e.graph, build_binary(e.graph, OP_add, product, weights[1]), label);
    graph_gradient(e.graph, loss, weights, 2, gradients);
    entry_show(&e, &phase->shown, "loss", loss, true, -1);
    Node *t = build_binary(e.graph, OP_add, step, build_scalar(e.graph, 1, DTYPE_F32));
    adam(&e, w_state, weights[0], gradients[0], t, "head.weight", 0.05);
    adam(&e, b_state, weights[1], gradients[1], t, "head.bias", 0.05);
    return b;
}

static cai_interval steps(double count) { return (cai_interval){.count = count, .unit = CAI_UNIT_STEPS}; }

/* A convolution, ReLU, the mean over pixels, a dense layer; by momentum. */
static Block *convolutions(double count) {
    Block *b = block_new("convolutions");
    TrainingSet *set = block_set(b, "x", 12);
    block_field(b, set, "x", DTYPE_F32, BLOCK_DIMS(b, 12, 2, 6, 6));
    block_field(b, set, "label", DTYPE_I32, BLOCK_DIMS(b, 12));
    int c_state = block_state(b, "conv.weight", CAI_STATE_PARAMETER, CAI_START_UNIFORM, 0.4,
                              BLOCK_DIMS(b, 16, 2, 3, 3));
    int w_state =
        block_state(b, "head.weight", CAI_STATE_PARAMETER, CAI_START_UNIFORM, 0.5, BLOCK_DIMS(b, 16, 3));
    TrainingPhase *phase = block_phase(b, "", steps(count));
    Entry e = entry_new(b, &phase->step, "convolutions.step");
    Node *x = entry_input(&e, "x", DTYPE_F32, BLOCK_DIMS(b, 12, 2, 6, 6),
                          (cai_binding){.kind = CAI_BIND_FIELD, .field = 0});
    Node *label = entry_input(&e, "label", DTYPE_I32, BLOCK_DIMS(b, 12),
                              (cai_binding){.kind = CAI_BIND_FIELD, .field = 1});
    Node *weights[] = {entry_state(&e, c_state), entry_state(&e, w_state)}, *gradients[2];
    int64_t ones[] = {1, 1}, pixels[] = {2, 3};
    convolution_attributes attributes = {
        {2, ones}, {2, ones}, {2, ones}, {2, block_dims(b, 2, (int64_t[]){6, 6})}, 1};
    Node *y = graph_make(e.graph, OP_convolution, (Node *[]){x, weights[0]}, 2, &attributes);
    y = build_binary(e.graph, OP_max, y, build_scalar(e.graph, 0, DTYPE_F32));
    y = number_times(e.graph, 1.0 / 36, build_sum(e.graph, y, pixels, 2));
    y = build_reshape(e.graph, y, BLOCK_DIMS(b, 12, 16));
    Node *loss =
        cross_entropy(e.graph, graph_make(e.graph, OP_matmul, (Node *[]){y, weights[1]}, 2, NULL), label);
    graph_gradient(e.graph, loss, weights, 2, gradients);
    entry_show(&e, &phase->shown, "loss", loss, true, -1);
    sgd(&e, c_state, weights[0], gradients[0], "conv.weight", 0.3);
    sgd(&e, w_state, weights[1], gradients[1], "head.weight", 0.3);
    return b;
}

/* Batches of 5 of 60 samples across the ends of epochs; noise of its own in each step;
 * once drawn noise; a state of every third step, read where it is old or new; what is
 * shown every 4 steps; totals, collected places and a state of the measurement; two
 * phases. */
static void everything_measure(Block *b, TrainingPhase *phase, int w_state, int best_state) {
    Dim rows = dim_symbol(b->dims, intern(b->names, "N"), 1), x_dims[] = {rows, block_size(b, 7)};
    vec_push(b->arena, &phase->measures, (TrainingMeasure){0});
    TrainingMeasure *measure = &phase->measures.items[0];
    *measure = (TrainingMeasure){.when = {.count = 1, .unit = CAI_UNIT_EPOCHS, .last = 1},
                                 .totals = 2,
                                 .collected = 1,
                                 .sets = 1,
                                 .save = CAI_SAVE_LARGEST};
    Entry e = entry_new(b, &measure->batch, "everything.measure");
    Node *x = entry_input(&e, "x", DTYPE_F32, 2, x_dims, (cai_binding){.kind = CAI_BIND_FIELD, .field = 0});
    Node *label =
        entry_input(&e, "label", DTYPE_I32, 1, x_dims, (cai_binding){.kind = CAI_BIND_FIELD, .field = 1});
    Node *logits = graph_make(e.graph, OP_matmul, (Node *[]){x, entry_state(&e, w_state)}, 2, NULL);
    Node *found = graph_make(e.graph, OP_argmax, &logits, 1, &(argmax_attributes){.axis = 1});
    found = build_reshape(e.graph, found, 1, x_dims);
    Node *right = build_cast(e.graph, build_binary(e.graph, OP_eq, found, label), DTYPE_F32);
    Node *all = build_broadcast(e.graph, build_scalar(e.graph, 1, DTYPE_F32), 1, x_dims);
    entry_output(&e, "right", sum_all(e.graph, right),
                 (cai_binding){.kind = CAI_BIND_TOTAL, .index = 0, .guard = -1});
    entry_output(&e, "all", sum_all(e.graph, all),
                 (cai_binding){.kind = CAI_BIND_TOTAL, .index = 1, .guard = -1});
    entry_output(&e, "found", found, (cai_binding){.kind = CAI_BIND_COLLECTED, .index = 0, .guard = -1});
    e = entry_new(b, &measure->last, "everything.measured");
    Node *total =
        entry_input(&e, "right", DTYPE_F32, 0, NULL, (cai_binding){.kind = CAI_BIND_TOTAL, .index = 0});
    Node *count =
        entry_input(&e, "all", DTYPE_F32, 0, NULL, (cai_binding){.kind = CAI_BIND_TOTAL, .index = 1});
    Node *joined =
        entry_input(&e, "found", DTYPE_I32, 1, x_dims, (cai_binding){.kind = CAI_BIND_COLLECTED, .index = 0});
    Node *share = build_binary(e.graph, OP_div, total, count);
    entry_show(&e, &measure->shown, "accuracy", share, false, -1);
    entry_show(&e, &measure->shown, "classes", sum_all(e.graph, build_cast(e.graph, joined, DTYPE_F32)),
               false, -1);
    entry_store(&e, best_state, build_binary(e.graph, OP_max, entry_state(&e, best_state), share), -1);
}

static void everything_once(Block *b, TrainingPhase *phase, int z_state) {
    Entry e = entry_new(b, &phase->once, "everything.once");
    uniform_attributes noise = {
        .stream = intern(b->names, "once"), .type = DTYPE_F32, .dims = {BLOCK_DIMS(b, 5, 3)}};
    entry_store(&e, z_state, graph_make(e.graph, OP_uniform, NULL, 0, &noise), -1);
}

static Block *everything(void) {
    Block *b = block_new("everything");
    TrainingSet *set = block_set(b, "x", 5);
    block_field(b, set, "x", DTYPE_F32, BLOCK_DIMS(b, 5, 7));
    block_field(b, set, "label", DTYPE_I32, BLOCK_DIMS(b, 5));
    int w_state =
        block_state(b, "head.weight", CAI_STATE_PARAMETER, CAI_START_NORMAL, 0.3, BLOCK_DIMS(b, 7, 3));
    int smooth_state =
        block_state(b, "smooth.head.weight", CAI_STATE_PARAMETER, CAI_START_VALUE, 0, BLOCK_DIMS(b, 7, 3));
    int z_state = block_state(b, "train.z", CAI_STATE_TRAINING, CAI_START_VALUE, 0, BLOCK_DIMS(b, 5, 3));
    int best_state = block_state(b, "train.best", CAI_STATE_TRAINING, CAI_START_VALUE, 0, 0, NULL);
    for (int number = 0; number < 2; number++) {
        TrainingPhase *phase = block_phase(b, number ? "second" : "first", steps(number ? 10 : 30));
        vec_push(b->arena, &phase->guards, steps(3));
        vec_push(b->arena, &phase->guards, ((cai_interval){.count = 4, .unit = CAI_UNIT_STEPS, .last = 1}));
        if (number == 0) everything_once(b, phase, z_state);
        Entry e = entry_new(b, &phase->step, "everything.step");
        Node *x = entry_input(&e, "x", DTYPE_F32, BLOCK_DIMS(b, 5, 7),
                              (cai_binding){.kind = CAI_BIND_FIELD, .field = 0});
        Node *label = entry_input(&e, "label", DTYPE_I32, BLOCK_DIMS(b, 5),
                                  (cai_binding){.kind = CAI_BIND_FIELD, .field = 1});
        Node *progress =
            entry_input(&e, "progress", DTYPE_F32, 0, NULL, (cai_binding){.kind = CAI_BIND_PROGRESS});
        Node *active = entry_input(&e, "active", DTYPE_BOOL, 0, NULL,
                                   (cai_binding){.kind = CAI_BIND_ACTIVE, .index = 0});
        Node *w = entry_state(&e, w_state), *smooth = entry_state(&e, smooth_state),
             *z = entry_state(&e, z_state), *gradient;
        uniform_attributes noise = {
            .stream = intern(b->names, "noise"), .type = DTYPE_F32, .dims = {BLOCK_DIMS(b, 5, 7)}};
        Node *noisy = build_binary(
            e.graph, OP_add, x, number_times(e.graph, 0.1, graph_make(e.graph, OP_uniform, NULL, 0, &noise)));
        Node *logits = graph_make(e.graph, OP_matmul, (Node *[]){noisy, w}, 2, NULL);
        Node *loss = cross_entropy(e.graph, build_binary(e.graph, OP_add, logits, z), label);
        graph_gradient(e.graph, loss, &w, 1, &gradient);
        Node *rate = build_binary(e.graph, OP_sub, build_scalar(e.graph, 1, DTYPE_F32), progress);
        Node *next = build_binary(e.graph, OP_sub, w, build_binary(e.graph, OP_mul, rate, gradient));
        Node *newer = build_binary(e.graph, OP_add, number_times(e.graph, 0.5, smooth),
                                   number_times(e.graph, 0.5, next));
        Node *seen =
            build_select(e.graph, build_broadcast(e.graph, active, 2, newer->shape.dims), newer, smooth);
        entry_show(&e, &phase->shown, "loss", loss, true, -1);
        entry_show(&e, &phase->shown, "size", sum_all(e.graph, build_unary(e.graph, OP_abs, seen)), false, 1);
        entry_store(&e, w_state, next, -1);
        entry_store(&e, smooth_state, newer, 0);
        if (number == 0) everything_measure(b, phase, w_state, best_state);
    }
    return b;
}

/* ---- what is computed ---- */

TEST(logistic_regression_as_pytorch_has_it) {
    const int64_t dims[] = {24, 7};
    write_data(24, 7, 2, dims, 3);
    Block *b = logistic(steps(30));
    block_compile(b, &(BlockOptions){0});
    const char *run = in_folder("logistic");
    CU_ASSERT_EQUAL_FATAL(block_run(b, run, with_data("--threads 2")), 0);
    /* trainer_torch.py */
    CU_ASSERT_DOUBLE_EQUAL(logged(run, 1, "loss"), 1.20517157, 1e-5);
    CU_ASSERT_DOUBLE_EQUAL(logged(run, 10, "loss"), 0.93037003, 1e-5);
    CU_ASSERT_DOUBLE_EQUAL(logged(run, 30, "loss"), 0.81752815, 1e-5);
    CU_ASSERT_DOUBLE_EQUAL(last_number(run, "head.weight", 0), 0.36120915, 1e-5);
    CU_ASSERT_DOUBLE_EQUAL(last_number(run, "head.weight", 20), -1.25945567, 1e-5);
    CU_ASSERT_DOUBLE_EQUAL(last_number(run, "head.bias", 1), 0.19463195, 1e-5);
    block_free(b);
}

TEST(convolutions_as_pytorch_has_them) {
    const int64_t dims[] = {12, 2, 6, 6};
    write_data(12, 72, 4, dims, 3);
    const char *targets[] = {"x86-64-v3", "x86-64-v4"};
    for (int i = 0; i < COUNT_OF(targets); i++) {
        if (!cai_cpu_runs(target_find(targets[i])->cpu)) continue;
        Block *b = convolutions(20);
        block_compile(b, &(BlockOptions){.target = targets[i]});
        const char *run = in_folder(targets[i]);
        CU_ASSERT_EQUAL_FATAL(block_run(b, run, with_data("--threads 2")), 0);
        /* trainer_torch.py */
        CU_ASSERT_DOUBLE_EQUAL(logged(run, 1, "loss"), 1.09869008, 1e-5);
        CU_ASSERT_DOUBLE_EQUAL(logged(run, 20, "loss"), 0.79872281, 1e-5);
        CU_ASSERT_DOUBLE_EQUAL(last_number(run, "conv.weight", 100), -0.04425385, 1e-5);
        CU_ASSERT_DOUBLE_EQUAL(last_number(run, "head.weight", 30), 0.93997736, 1e-5);
        block_free(b);
    }
}

/* ---- equal bits ---- */

static Block *compiled_everything(bool own_slots) {
    Block *b = everything();
    block_compile(
        b, &(BlockOptions){.own_slots = own_slots, .identity = 1, .text = "train everything\nlr = 1\n"});
    return b;
}

static void write_sixty(void) {
    const int64_t dims[] = {60, 7};
    write_data(60, 7, 2, dims, 3);
}

TEST(memory_and_threads_change_no_bit) {
    write_sixty();
    Block *b = compiled_everything(false), *own = compiled_everything(true);
    const char *one = in_folder("one"), *two = in_folder("two"), *apart = in_folder("apart");
    CU_ASSERT_EQUAL_FATAL(block_run(b, one, with_data("--threads 1 --seed 3")), 0);
    CU_ASSERT_EQUAL_FATAL(block_run(b, two, with_data("--threads 2 --seed 3")), 0);
    CU_ASSERT_EQUAL_FATAL(block_run(own, apart, with_data("--threads 2 --seed 3")), 0);
    CU_ASSERT(same_files(one, two, "last.safetensors") && same_files(one, apart, "last.safetensors"));
    CU_ASSERT(same_files(one, two, "best.safetensors") && same_files(one, two, "log.jsonl"));
    setenv("CAI_GUARD", "1", 1);
    const char *guarded = in_folder("guarded");
    CU_ASSERT_EQUAL_FATAL(block_run(b, guarded, with_data("--threads 1 --seed 3")), 0);
    CU_ASSERT(same_files(one, guarded, "last.safetensors"));
    CU_ASSERT(isfinite(logged(one, 4, "size")) && isnan(logged(one, 5, "size")) &&
              isfinite(logged(one, 30, "size")));
    block_free(own);
    block_free(b);
}

TEST(seventeen_and_twentythree_steps_are_forty) {
    write_sixty();
    Block *b = compiled_everything(false);
    const char *whole = in_folder("whole"), *parts = in_folder("parts");
    CU_ASSERT_EQUAL_FATAL(block_run(b, whole, with_data("--threads 1")), 0);
    CU_ASSERT_EQUAL_FATAL(block_run(b, parts, with_data("--threads 2 --stop 17")), 0);
    CU_ASSERT(block_said(parts, "stopped after step 17 of 30 of phase first"));
    CU_ASSERT_FALSE(same_files(whole, parts, "last.safetensors"));
    CU_ASSERT_EQUAL_FATAL(block_run(b, parts, with_data("--threads 1")), 0);
    CU_ASSERT(block_said(parts, "continuing after step 17"));
    CU_ASSERT(same_files(whole, parts, "last.safetensors") && same_files(whole, parts, "best.safetensors"));
    CU_ASSERT(same_files(whole, parts, "log.jsonl"));
    CU_ASSERT_EQUAL_FATAL(block_run(b, parts, with_data("")), 0);
    CU_ASSERT(block_said(parts, "is finished: 40 steps"));
    block_free(b);
}

/* Killed at any moment, a run goes on from its last checkpoint. */
TEST(killed_runs_go_on) {
    write_sixty();
    Block *b = compiled_everything(false);
    const char *whole = in_folder("whole"), *killed = in_folder("killed");
    CU_ASSERT_EQUAL_FATAL(block_run(b, whole, with_data("")), 0);
    int kills = 0, status = 0;
    for (int turn = 0; turn < 200; turn++) {
        pid_t child = block_start(b, killed, with_data("--checkpoint 1"));
        usleep((useconds_t)(2000 + 700 * turn));
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        if (WIFEXITED(status)) break;
        kills++;
    }
    CU_ASSERT(kills > 0);
    CU_ASSERT_EQUAL(block_run(b, killed, with_data("")), 0);
    CU_ASSERT(same_files(whole, killed, "last.safetensors") && same_files(whole, killed, "best.safetensors"));
    CU_ASSERT(same_files(whole, killed, "log.jsonl"));
    block_free(b);
}

/* ---- what is said ---- */

TEST(asked_to_stop) {
    write_sixty();
    Block *b = everything();
    for (int i = 0; i < b->training.phases.count; i++) b->training.phases.items[i].length = steps(1e9);
    block_compile(b, &(BlockOptions){.identity = 1});
    const int signals[] = {SIGINT, SIGTERM};
    const char *run = in_folder("stopped");
    for (int i = 0; i < COUNT_OF(signals); i++) {
        int status;
        signal(signals[i], SIG_DFL); /* a shell has jobs in the background ignore SIGINT, for ever here */
        pid_t child = block_start(b, run, with_data(""));
        usleep(300000);
        kill(child, signals[i]);
        waitpid(child, &status, 0);
        CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        CU_ASSERT(block_said(run, "the same command again continues from there"));
        CU_ASSERT(i == 0 || block_said(run, "continuing after step"));
    }
    block_free(b);
}

TEST(another_text_is_refused) {
    write_sixty();
    Block *b = compiled_everything(false), *other = everything();
    block_compile(other,
                  &(BlockOptions){.own_slots = true, .identity = 2, .text = "train everything\nlr = 2\n"});
    const char *run = in_folder("other");
    CU_ASSERT_EQUAL_FATAL(block_run(b, run, with_data("--stop 5")), 0);
    CU_ASSERT_EQUAL(block_run(other, run, with_data("")), 1);
    CU_ASSERT(block_said(run, "has a run of a different text: line 2 was `lr = 1`, and is now `lr = 2`"));
    CU_ASSERT_EQUAL(block_run(b, run, with_data("--steps 50")), 1);
    CU_ASSERT(block_said(run, "this run was started with 30 steps, and now has 50"));
    CU_ASSERT_EQUAL(block_run(b, run, with_data("--seed 9")), 1);
    CU_ASSERT(block_said(run, "this run has seed 0, not 9"));
    CU_ASSERT_EQUAL(block_run(b, run, with_data("--steps 6 --anyway")), 0);
    const int64_t dims[] = {55, 7};
    CU_ASSERT_EQUAL_FATAL(block_run(b, run, with_data("--fresh --stop 5")), 0);
    write_data(55, 7, 2, dims, 3);
    CU_ASSERT_EQUAL(block_run(b, run, with_data("")), 1);
    CU_ASSERT(block_said(run, "this run was started with other data"));
    CU_ASSERT_EQUAL(block_run(other, run, with_data("--fresh --stop 5")), 0);
    block_free(other);
    block_free(b);
}

TEST(what_is_no_number_stops_the_run) {
    const int64_t dims[] = {12, 2, 6, 6};
    write_data(12, 72, 4, dims, 3);
    Block *b = convolutions(100);
    TrainingPhase *phase = &b->training.phases.items[0];
    Node **loss = &phase->step.graph->outputs.items[0].node;
    Entry e = {b, &phase->step, phase->step.graph}; /* log(10 - step): step 11 is infinite */
    Node *step = entry_input(&e, "step", DTYPE_F32, 0, NULL, (cai_binding){.kind = CAI_BIND_STEP});
    Node *end = build_unary(e.graph, OP_log,
                            build_binary(e.graph, OP_sub, build_scalar(e.graph, 10, DTYPE_F32), step));
    *loss = build_binary(e.graph, OP_add, *loss, end);
    block_compile(b, &(BlockOptions){0});
    const char *run = in_folder("infinite");
    CU_ASSERT_EQUAL(block_run(b, run, with_data("--checkpoint 5")), 1);
    CU_ASSERT(block_said(run, "`loss` is infinite in step 11"));
    CU_ASSERT(access(in_folder("infinite/last.safetensors"), R_OK) == 0);
    block_free(b);
}

TEST(folders_that_cannot_be_written) {
    write_sixty();
    Block *b = compiled_everything(false);
    CU_ASSERT_EQUAL(block_run(b, "/dev/null/run", with_data("")), 1);
    const char *file = in_folder("x.npy");
    CU_ASSERT_EQUAL(block_run(b, file, with_data("")), 1);
    CU_ASSERT(block_said(file, "is not a folder"));
    const char *run = in_folder("words");
    CU_ASSERT_EQUAL(block_run(b, run, "--stpes 3"), 2);
    CU_ASSERT(block_said(run, "did you mean --steps?"));
    CU_ASSERT_EQUAL(block_run(b, run, "--steps 0"), 2);
    CU_ASSERT_EQUAL(block_run(b, run, "a b"), 2);
    CU_ASSERT(block_said(run, "`b` is one data argument too many: the block reads 1 set"));
    CU_ASSERT_EQUAL(block_run(b, run, "y=a"), 2);
    CU_ASSERT(block_said(run, "there is no input `y`: the inputs are `x`, `label`"));
    CU_ASSERT_EQUAL(block_run(b, run, ""), 2);
    CU_ASSERT(block_said(run, "the set of `x` has no files"));
    CU_ASSERT_EQUAL(block_run(b, run, "--help"), 0);
    CU_ASSERT(block_said(run, "label: i32[5]"));
    block_free(b);
}
