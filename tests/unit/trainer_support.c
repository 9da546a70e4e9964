/* See trainer_support.h. */
#include "trainer_support.h"
#include "kernels/kernels.h"
#include "passes/passes.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

Block *block_new(const char *name) {
    Arena *arena = arena_new();
    Block *block = NEW(arena, Block);
    *block = (Block){.arena = arena, .names = names_new(arena), .dims = dims_new(arena)};
    block->training.name = intern(block->names, name);
    return block;
}

void block_free(Block *block) {
    if (block->library) dlclose(block->library);
    arena_free(block->arena);
}

Dim block_size(Block *block, int64_t value) { return dim_const(block->dims, value); }

const Dim *block_dims(Block *block, int rank, const int64_t *sizes) {
    Dim *dims = NEW_ARRAY(block->arena, Dim, rank + 1);
    for (int i = 0; i < rank; i++) dims[i] = block_size(block, sizes[i]);
    return dims;
}

int block_state(Block *block, const char *path, int kind, int start, double number, int rank,
                const Dim *dims) {
    TrainingState state = {.path = intern(block->names, path),
                           .shape = {DTYPE_F32, rank, dims},
                           .kind = kind,
                           .start = start,
                           .number = number};
    vec_push(block->arena, &block->training.states, state);
    return block->training.states.count - 1;
}

TrainingSet *block_set(Block *block, const char *name, int64_t batch) {
    vec_push(block->arena, &block->training.sets,
             ((TrainingSet){.name = intern(block->names, name), .batch = batch}));
    return &block->training.sets.items[block->training.sets.count - 1];
}

void block_field(Block *block, TrainingSet *set, const char *name, DType type, int rank, const Dim *dims) {
    TrainingField field = {
        .name = intern(block->names, name), .shape = {type, rank, dims}, .form = FORM_TENSOR};
    vec_push(block->arena, &set->fields, field);
}

/* Phases do not move while their entries are built: a test has a few. */
TrainingPhase *block_phase(Block *block, const char *name, cai_interval length) {
    enum { MOST = 4 };
    if (block->training.phases.capacity == 0) {
        for (int i = 0; i < MOST; i++) vec_push(block->arena, &block->training.phases, (TrainingPhase){0});
        block->training.phases.count = 0;
    }
    TrainingPhase *phase = &block->training.phases.items[block->training.phases.count++];
    *phase = (TrainingPhase){.name = intern(block->names, name), .length = length};
    phase->rounds = NEW_ARRAY(block->arena, int, block->training.sets.count + 1);
    for (int i = 0; i < block->training.sets.count; i++) phase->rounds[i] = 1;
    return phase;
}

/* ---- entries ---- */

Entry entry_new(Block *block, TrainingEntry *entry, const char *name) {
    entry->graph = graph_new(block->arena, block->names, block->dims);
    entry->graph->model = intern(block->names, name);
    return (Entry){block, entry, entry->graph};
}

Node *entry_input(Entry *e, const char *name, DType type, int rank, const Dim *dims, cai_binding binding) {
    input_attributes attributes = {.name = intern(e->block->names, name), .type = type, .dims = {rank, dims}};
    Node *node = graph_make(e->graph, OP_input, NULL, 0, &attributes);
    vec_push(e->block->arena, &e->graph->inputs, ((Port){.name = attributes.name, .node = node}));
    vec_push(e->block->arena, &e->entry->inputs, binding);
    return node;
}

Node *entry_state(Entry *e, int state) {
    const TrainingState *described = &e->block->training.states.items[state];
    return entry_input(e, described->path, described->shape.type, described->shape.rank,
                       described->shape.dims,
                       (cai_binding){.kind = CAI_BIND_STATE, .index = state, .guard = -1});
}

void entry_output(Entry *e, const char *name, Node *node, cai_binding binding) {
    vec_push(e->block->arena, &e->graph->outputs,
             ((Port){.name = intern(e->block->names, name), .node = node}));
    vec_push(e->block->arena, &e->entry->outputs, binding);
}

void entry_store(Entry *e, int state, Node *node, int guard) {
    const char *name = arena_printf(e->block->arena, "next.%s", e->block->training.states.items[state].path);
    entry_output(e, name, node, (cai_binding){.kind = CAI_BIND_STATE, .index = state, .guard = guard});
}

void entry_show(Entry *e, ShownList *shown, const char *name, Node *node, bool loss, int guard) {
    TrainingShown described = {.name = arena_printf(e->block->arena, "%s", name),
                               .form = CAI_SHOW_CURVE,
                               .row = -1,
                               .guard = guard,
                               .is_loss = loss};
    vec_push(e->block->arena, shown, described);
    entry_output(e, described.name, node,
                 (cai_binding){.kind = CAI_BIND_SHOWN, .index = shown->count - 1, .guard = guard});
}

/* ---- text of graphs ---- */

Node *number_times(Graph *g, double number, Node *x) {
    return build_binary(g, OP_mul, build_scalar(g, number, DTYPE_F32), x);
}

Node *sum_all(Graph *g, Node *x) {
    int64_t axes[8];
    for (int i = 0; i < x->shape.rank; i++) axes[i] = i;
    return build_reshape(g, build_sum(g, x, axes, x->shape.rank), 0, NULL);
}

Node *cross_entropy(Graph *g, Node *logits, Node *labels) {
    const int64_t axis = 1;
    Dim rows = logits->shape.dims[0], column[] = {rows, dim_const(g->dims, 1)};
    iota_attributes places = {.type = DTYPE_I32, .dims = {2, logits->shape.dims}, .axis = 1};
    Node *classes = graph_make(g, OP_iota, NULL, 0, &places);
    Node *hit =
        build_cast(g, build_binary(g, OP_eq, build_reshape(g, labels, 2, column), classes), DTYPE_F32);
    Node *whole = build_unary(g, OP_log, build_sum(g, build_unary(g, OP_exp, logits), &axis, 1));
    Node *taken = build_sum(g, build_binary(g, OP_mul, hit, logits), &axis, 1);
    Node *sum = sum_all(g, build_binary(g, OP_sub, whole, taken));
    return number_times(g, 1.0 / (double)dim_const_value(rows), sum);
}

/* ---- compiling ---- */

typedef struct Compiling {
    Block *block;
    Trainer trainer;
    LowerOptions options;
} Compiling;

static void lower_entry(void *context, const TrainingEntry *entry) {
    Compiling *c = context;
    Graph *graph = passes_run(entry->graph, &(PassOptions){.verify = true});
    trainer_lower(&c->trainer, entry, graph, &c->options, c->block->arena);
}

static void fail(const char *stage, const char *error) {
    fprintf(stderr, "\n%s: %s\n", stage, error);
    CU_FAIL_FATAL("compilation");
}

void block_compile(Block *block, const BlockOptions *options) {
    const char *error = "", *base = arena_printf(block->arena, "/tmp/cai_trainer_%ld_%d", (long)getpid(),
                                                 options->own_slots);
    const char *code = arena_printf(block->arena, "%s.o", base),
               *library = arena_printf(block->arena, "%s.so", base);
    Compiling c = {
        .block = block,
        .trainer = {.training = &block->training, .text = options->text, .identity = options->identity},
        .options = {.target = target_find(options->target ? options->target : "x86-64-v3"),
                    .table = &kernel_table,
                    .own_slots = options->own_slots,
                    .names = map_new(block->arena)}};
    trainer_each_entry(&block->training, lower_entry, &c);
    EmitOptions emit = {.verify = true};
    if (!backend_trainer(&c.trainer, &emit, code, &error)) fail("code", error);
    const char *command = arena_printf(block->arena, "ld -shared -z noexecstack -o %s %s", library, code);
    if (system(command)) fail("ld", command);
    block->library = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!block->library) fail("dlopen", dlerror());
    block->compiled = dlsym(block->library, "cai_the_training");
    unlink(code);
    unlink(library);
}

/* ---- running ---- */

static const char *said_path(const char *folder) {
    static char path[300];
    snprintf(path, sizeof path, "%s.said", folder);
    return path;
}

static int split_words(char *text, char **words, int most) {
    int count = 0;
    for (char *word = strtok(text, " "); word && count < most; word = strtok(NULL, " "))
        words[count++] = word;
    return count;
}

pid_t block_start(Block *block, const char *folder, const char *command) {
    enum { MOST = 40 };
    pid_t child = fork();
    if (child) return child;
    char *words[MOST] = {"trainer", "-o", arena_printf(block->arena, "%s", folder)},
         *text = arena_printf(block->arena, "%s", command);
    int count = 3 + split_words(text, words + 3, MOST - 4),
        said = open(said_path(folder), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(said, STDOUT_FILENO);
    dup2(said, STDERR_FILENO);
    _exit(cai_train_main(block->compiled, count, words));
}

int block_run(Block *block, const char *folder, const char *command) {
    int status;
    pid_t child = block_start(block, folder, command);
    CU_ASSERT_FATAL(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

bool block_said(const char *folder, const char *text) {
    cai_file file;
    cai_error error;
    if (!cai_file_read(said_path(folder), &file, &error)) return false;
    bool found = memmem(file.data, file.count, text, strlen(text)) != NULL;
    if (!found) fprintf(stderr, "\n`%s` is not in:\n%.*s\n", text, (int)file.count, (const char *)file.data);
    cai_file_close(&file);
    return found;
}
