/* A `train` block after elaboration: states, sets of samples, and phases, which consist
 * of graphs. It has the same contents and names as the tables of runtime/core/training.h,
 * which codegen/ makes of it. */
#ifndef CAI_ELABORATE_TRAINING_H
#define CAI_ELABORATE_TRAINING_H

#include "core/training.h"
#include "elaborate/elaborate.h"

typedef struct TrainingState {
    Name path;
    Shape shape;
    int kind, start; /* CAI_STATE_*, CAI_START_* */
    double number;
    const char *load; /* FILE:NAME of a `load`, where NAME is a tensor in the file; or NULL */
    /* the path that selects the random stream of its first elements: of a copy the
     * original's, else its own */
    Name drawn_as;
    Span span;
} TrainingState;

typedef struct TrainingField {
    Name name;
    Shape shape; /* of a batch: the first axis is the set's batch */
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
    int anew; /* as in cai_set */
} TrainingSet;

/* A graph with bound ports: bindings.items[i] belongs to port i. */
typedef Vec(cai_binding) BindingList;
typedef struct TrainingEntry {
    Graph *graph; /* NULL: the entry does not exist */
    BindingList inputs, outputs;
    Vec(Node *) means; /* with --parts: `stop` nodes whose value is to be the mean over the parts of a step */
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

/* ---- a step as in its text, for `cai graph` ---- */

/* a run of a layer, or of a block without weights; its nodes are first .. end - 1 */
typedef struct TrainingRun {
    const char *path; /* of a layer with weights, or the name of a model as a stage; else NULL */
    const char *callee;
    int first, end;
} TrainingRun;

typedef struct TrainingPlace { /* a state, and a value that it has at some point of the step */
    int state;
    const Node *value;
} TrainingPlace;

typedef struct TrainingPair { /* `over .. with ..` */
    const char *optimizer;
    const char *over;
    Vec(int) states; /* rows of the weights that the gradient reaches */
} TrainingPair;

typedef struct TrainingLoss { /* a minimize */
    const char *name, *text;
    const Node *node;
    int guard; /* index in the phase's guards; -1: none */
    Vec(TrainingPair) pairs;
} TrainingLoss;

typedef struct TrainingText {
    const Graph *graph;
    const cai_binding *bindings; /* of the graph's inputs */
    Vec(TrainingRun) runs;       /* inner runs before those around them */
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
    int *rounds; /* by set */
} TrainingPhase;

typedef struct Training {
    Decl *decl;
    Name name;
    const char *comment, *settings;
    Vec(TrainingState) states;
    Vec(TrainingSet) sets;
    Vec(TrainingPhase) phases;
    int parts; /* into which a step is divided; 1: it is not */
} Training;

int library_train_count(const Library *library);
Name library_train_name(const Library *library, int index);
/* Checks that the models of the file can read what is trained: reports equal paths with
 * unequal shapes as errors, and trained weights that no model has as a warning. */
void library_check_trained(Library *library, const Training *training, Model *const *models, int count);
/* NULL after errors. */
Training *elaborate_training(Library *library, int index);

/* ---- training_tables.c: the tables of core/training.h ---- */

/* The absolute name of a file that the text names relative to itself: a trainer may run
 * in any folder. NULL stays NULL. */
const char *training_file(Arena *arena, const char *file, Span span);
/* All tables except what only the compiled trainer has: its target, text, identity, and
 * the programs of its entries. */
cai_training training_tables(Arena *arena, const Training *training);

#endif
