/* A train block made by hand, for suites of the trainer: its entries are graphs that a
 * test builds, compiled, linked as a shared object, loaded into this process, and run as
 * a command line would run them, in a process of their own. */
#ifndef TRAINER_SUPPORT_H
#define TRAINER_SUPPORT_H

#include "codegen/emit.h"
#include "train/train.h"
#include "test.h"

typedef struct Block {
    Arena *arena;
    Names *names;
    Dims *dims;
    Training training;
    void *library;
    const cai_training *compiled;
} Block;

/* An entry under construction. */
typedef struct Entry {
    Block *block;
    TrainingEntry *entry;
    Graph *graph;
} Entry;

Block *block_new(const char *name);
void block_free(Block *block);
Dim block_size(Block *block, int64_t value);
#define BLOCK_DIMS(b, ...)                \
    COUNT_OF(((int64_t[]){__VA_ARGS__})), \
        block_dims(b, COUNT_OF(((int64_t[]){__VA_ARGS__})), (int64_t[]){__VA_ARGS__})
const Dim *block_dims(Block *block, int rank, const int64_t *sizes);
int block_state(Block *block, const char *path, int kind, int start, double number, int rank,
                const Dim *dims);
/* A set of one .npy a field; the first axis of each shape is the batch. */
TrainingSet *block_set(Block *block, const char *name, int64_t batch);
void block_field(Block *block, TrainingSet *set, const char *name, DType type, int rank, const Dim *dims);
TrainingPhase *block_phase(Block *block, const char *name, cai_interval length);

Entry entry_new(Block *block, TrainingEntry *entry, const char *name);
Node *entry_input(Entry *e, const char *name, DType type, int rank, const Dim *dims, cai_binding binding);
Node *entry_state(Entry *e, int state);
void entry_output(Entry *e, const char *name, Node *node, cai_binding binding);
void entry_store(Entry *e, int state, Node *node, int guard);
void entry_show(Entry *e, ShownList *shown, const char *name, Node *node, bool loss, int guard);

/* Mean over rows of -log softmax(logits)[label]. */
Node *cross_entropy(Graph *g, Node *logits, Node *labels);
Node *sum_all(Graph *g, Node *x); /* f32[] */
Node *number_times(Graph *g, double number, Node *x);

typedef struct BlockOptions {
    const char *target;
    bool own_slots;
    uint64_t identity;
    const char *text;
} BlockOptions;
void block_compile(Block *block, const BlockOptions *options);

/* Runs the trainer in a child, words as of a command line; output goes to FOLDER/said. */
pid_t block_start(Block *block, const char *folder, const char *command);
int block_run(Block *block, const char *folder, const char *command); /* its exit code */
bool block_said(const char *folder, const char *text);                /* the last run of the folder */

#endif
