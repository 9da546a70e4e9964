/* What a `train` block is elaborated to: states, sets of samples, and phases, each of
 * some graphs. The same in data as the tables of runtime/core/training.h, in whose words
 * it is written; codegen/ makes those tables of it. */
#ifndef CAI_ELABORATE_TRAINING_H
#define CAI_ELABORATE_TRAINING_H

#include "core/training.h"
#include "elaborate/elaborate.h"

typedef struct TrainingState {
    Name path;
    Shape shape;
    int kind, start; /* CAI_STATE_*, CAI_START_* */
    double number;
    const char *load; /* FILE:NAME of `load`, NAME the tensor's in the file; NULL */
    /* the path whose stream its first elements are drawn from: of a copy its original's,
     * else its own */
    Name drawn_as;
    Span span;
} TrainingState;

typedef struct TrainingField {
    Name name;
    Shape shape; /* of a batch: its first axis is the set's batch */
    PortForm form;
    int fit; /* CAI_TAKE_* */
    double scale[2];
    const char *names; /* NULL: none */
    Name on;           /* NULL: none */
    int together;
    bool balanced, index, once, each;
    int64_t classes;       /* that the text has of what it numbers; 0: the text does not say */
    Vec(int64_t) compared; /* numbers that the text compares it with, and */
    Vec(int64_t) ignored;  /* those of them that are none of its classes */
    Span span;
} TrainingField;

typedef struct TrainingSet {
    Name name;
    const char *place;
    Vec(TrainingField) fields;
    int64_t batch;
    int anew; /* as cai_set's */
} TrainingSet;

/* A graph whose ports are bound: bindings.items[i] is that of port i. */
typedef Vec(cai_binding) BindingList;
typedef struct TrainingEntry {
    Graph *graph; /* NULL: there is none */
    BindingList inputs, outputs;
    Vec(Node *) means; /* of --parts: stops whose value is the mean over the parts of a step */
} TrainingEntry;

typedef struct TrainingShown {
    const char *name;
    int form, row, guard;
    bool is_loss;
    Span span;
} TrainingShown;
typedef Vec(TrainingShown) ShownList;

typedef struct TrainingMeasure {
    cai_interval when;
    TrainingEntry batch, last;
    ShownList shown;
    int totals, collected, sets, save, save_by;
} TrainingMeasure;

/* ---- a step as its text has it, for `cai graph` ---- */

typedef struct TrainingRun { /* of a layer, or of a block without weights, whose nodes are first .. end - 1 */
    const char *path;        /* of a layer with weights, or the name of a model that is a stage; else NULL */
    const char *callee;
    int first, end;
} TrainingRun;

typedef struct TrainingPlace { /* a state, and a value that it has somewhere in the step */
    int state;
    const Node *value;
} TrainingPlace;

typedef struct TrainingPair { /* over .. with .. */
    const char *optimizer;
    const char *over;
    Vec(int) states; /* the weights that the gradient reaches, in Training.states */
} TrainingPair;

typedef struct TrainingLoss { /* a minimize */
    const char *name, *text;
    const Node *node;
    int guard; /* in the phase's guards; -1 */
    Vec(TrainingPair) pairs;
} TrainingLoss;

typedef struct TrainingText {
    const Graph *graph;
    const cai_binding *bindings; /* of the graph's inputs */
    Vec(TrainingRun) runs;       /* inner ones before those around them */
    Vec(TrainingPlace) places;
    Vec(TrainingLoss) losses;
} TrainingText;

typedef struct TrainingPhase {
    TrainingText text;
    Name name;
    cai_interval length;
    TrainingEntry once, kept, step;
    Vec(cai_interval) guards;
    ShownList shown;
    Vec(TrainingMeasure) measures;
    int *rounds; /* one a set */
} TrainingPhase;

typedef struct Training {
    Decl *decl;
    Name name;
    const char *comment, *settings;
    Vec(TrainingState) states;
    Vec(TrainingSet) sets;
    Vec(TrainingPhase) phases;
    int parts; /* of a step */
} Training;

int library_train_count(const Library *library);
Name library_train_name(const Library *library, int index);
/* Whether the models of the file can read what is trained: equal paths of unequal shape
 * are told, and, as a warning, weights that no model has. */
void library_check_trained(Library *library, const Training *training, Model *const *models, int count);
/* NULL where there were errors. */
Training *elaborate_training(Library *library, int index);

/* ---- training_tables.c: the tables of core/training.h ---- */

/* A file that the text names lies beside the text, and a trainer may run in another
 * folder: its absolute name; NULL stays NULL. */
const char *training_file(Arena *arena, const char *file, Span span);
/* All but what only the compiled trainer has: its target, text, identity, and the
 * programs of its entries. */
cai_training training_tables(Arena *arena, const Training *training);

#endif
