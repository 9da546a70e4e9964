/* Shared by the files that elaborate a train block.
 *
 * A block is evaluated in several passes, each with a graph of its own. For each phase, a
 * pass finds its weights and which of them are trained; then further passes make its
 * step, what runs once before the first step, and each of its measures. All passes walk
 * the complete text, so that layers get the same paths in each; they differ in the
 * statements that take effect. TrainPlan carries what one pass learns to the next. */
#ifndef CAI_TRAIN_H
#define CAI_TRAIN_H

#include "elaborate/evaluator.h"
#include "elaborate/training.h"

typedef enum TrainGoal { GOAL_FIND, GOAL_STEP, GOAL_ONCE, GOAL_MEASURE } TrainGoal;
typedef Vec(int) Phases;

typedef struct StateFacts { /* what is known of a row of Training.states */
    const char *identity;   /* like a weight's identity */
    double init, within;
    /* its first value is a tensor, as in `param(init = tensor)`, and is written before
     * the first step */
    bool given;
    /* the state whose first elements it shares: the original of a copy, else itself */
    int like;
    int rows;                 /* with --parts, if parts keep it: the first of its rows for parts; else 0 */
    Phases seen, trained;     /* in which phases it occurs, and is trained */
    Vec(Definition *) models; /* the models, run as stages without a name, to which this weight belongs */
} StateFacts;

typedef struct CopyOf { /* smooth = copy(G) */
    Layer *copy;
    Definition *model; /* the original: a model, */
    const Layer *layer;
    /* values of the original's states at the copy, by row, where they must be written
     * before the first step; else NULL */
    Node **values;
    int count;
} CopyOf;

/* a place that an `every` changes: `changed` in steps of the guard, `before` in others */
typedef struct Chosen {
    const Weight *place;
    const Node *value; /* the value that later lines of the step read */
    Node *before, *changed;
    int guard;
} Chosen;

typedef struct Anew {   /* a set that a phase or a measure declares anew, with other sizes */
    int phase, measure; /* measure -1: by the phase */
    int of, set;
} Anew;

typedef struct TrainPlan {
    Library *library;
    Definition *block;
    Training *training;
    Dims *dims; /* for the shapes in Training */
    Map *index; /* path -> row in Training.states, plus 1 */
    Vec(StateFacts) facts;
    Vec(LoadInfo) loads;
    Vec(CopyOf) copies;
    Vec(Anew) anew;
    Map *layers;     /* by path: the layers that GOAL_FIND passes met */
    bool searching;  /* a part that is not known yet is no error, since a later phase may meet it, but */
    bool unresolved; /* then all phases are searched a second time */
    bool has_phases;
    Phases once;       /* the phases that have something to compute before their first step */
    Vec(int) measures; /* by phase: how many measures it has */
} TrainPlan;

typedef struct PassOutput { /* an output of a pass's graph */
    Node *node;
    cai_binding binding;
    Name name;
    PortForm form;
    Span span;
} PassOutput;
typedef Vec(PassOutput) PassOutputs;

typedef struct FieldPlace { /* an input of the block, as the current pass has it */
    const Parameter *parameter;
    int set, field;
    Shape shape;
    Node *node; /* for the first batch of the step */
    Name batch; /* the name of the size of its first axis; NULL: that is not a plain name */
    bool whole; /* declared anew for one sample at a time, of any size */
} FieldPlace;

typedef struct Gradients { /* of the minimize that is being executed */
    int count;
    Node **items;
    Node *norm; /* NULL until an optimizer reads it */
} Gradients;

struct TrainPass {
    TrainPlan *plan;
    TrainGoal goal;
    int phase;               /* the phase that is elaborated */
    int measure;             /* GOAL_MEASURE: the measure */
    int phases, measures;    /* how many were met so far */
    bool in_phase;           /* the code that runs is within `phase` */
    int once;                /* depth of `once` blocks that take effect in this pass */
    int other_once;          /* depth of other `once` blocks, which only bind names */
    int quiet;               /* depth of `show` and `measure`, in which `training` is false */
    bool measuring;          /* within the body of a measure; then */
    int first_measured;      /* nodes from here on belong to the measure, */
    int batch_sizes[2];      /* and these symbols (from .. to) are the sizes of its batches */
    Map *sizes_of_all;       /* size of a batch -> size along which `collect` joins batches */
    int first_repeated;      /* within `repeat`: nodes from here on belong to it; else 0 */
    int round;               /* which batch of a step the names of inputs mean */
    int shown_again;         /* in a later round of `repeat`: index of the next shown value, plus 1 */
    int guard;               /* of the `every` that is being executed; -1: none */
    Vec(cai_binding) inputs; /* one for each port of the graph */
    Map *of_input;           /* Node -> its index in `inputs`, plus 1 */
    PassOutputs outputs;
    Vec(FieldPlace) fields;
    Vec(Weight *) weights; /* places, in the order in which they were met */
    Vec(CopyOf) copies;
    Vec(Chosen) chosen;
    int batches;               /* how many batches the step has used so far */
    TrainingMeasure *measured; /* the measure whose body runs */
    Map *rounds;               /* path of a layer, or a model's definition -> how often it ran */
    Map *optimizers;           /* key of an optimizer's states -> the place in the text that uses it */
    Gradients *gradients;
    Vec(Node *) means;    /* as in TrainingEntry */
    const Stmt *minimize; /* the last one that took effect */
    Node *rate;           /* with --find-rate: the learning rate of the current minimize */
    TrainingText text;    /* of the step */
    Node **instead;       /* by node: the port of the state that holds its value, computed once; or NULL */
    int instead_count;    /* length of `instead`; 0: not in use */
    int in_player;        /* depth of running layers that have weights */
    /* while an `update` of a layer runs: the path, below the layer, of the weight that
     * its line runs for; */
    const char *below;
    Frame *below_frame;     /* the line runs in this frame, */
    const char *below_path; /* for the layer with this path, */
    Name below_name;        /* which the line calls so, or NULL; */
    bool met_other;         /* whether the line also reads another layer */
};

/* ---- train_graph.c: ports of a pass's graph, and entries that are cut out of it ---- */

Node *train_input(Evaluator *ev, Name name, Shape shape, PortForm form, Fit fit, cai_binding binding,
                  Span span);
void train_output(Evaluator *ev, Node *node, cai_binding binding, const char *name, Span span);
/* Marks the nodes that a node depends on, but none before a node that a port replaces
 * (`instead`). */
void train_mark(const Graph *graph, const Node *node, const TrainPass *pass, bool *needed);
/* Cuts out the graph of the outputs for which `wanted` holds. Without any, its graph is
 * NULL. */
TrainingEntry train_entry(Evaluator *ev, bool (*wanted)(const TrainPass *pass, const PassOutput *output));
/* What a node depends on, as bits. */
enum {
    OF_SAMPLES = 1, /* samples of sets that move from step to step */
    OF_DRAWS = 2,
    OF_TOTALS = 4,
    OF_OUTSIDE = 8, /* samples or random numbers of the step, from before the measure's body */
    OF_BATCH = 16,  /* the size of a measure's batch */
    OF_ITEM = 32    /* samples of `each` sets */
};
unsigned train_sources(Evaluator *ev, const Node *node);
/* The path of the layer with weights that draws random numbers for a node, or NULL. */
const char *train_drawing_layer(Evaluator *ev, const Node *node);

/* ---- train_still.c: nodes that are the same in each step are computed once ---- */

/* The entry that computes it before the first step. From now on, entries read it from
 * ports. */
TrainingEntry train_cut_still(Evaluator *ev);

/* ---- train_text.c: the step as drawn by `cai graph` ---- */

typedef struct RunMark {
    int first;
    bool player;
} RunMark;
RunMark train_run_begin(Evaluator *ev, const Layer *layer);
void train_run_end(Evaluator *ev, const Layer *layer, RunMark mark);
void train_keep_text(Evaluator *ev); /* at the end of a step's pass */

/* ---- train_sets.c: a train block's parameter lists ---- */

/* Whether the set is `once` or `each`, so that its samples do not change from step to
 * step. */
static inline bool training_stays(const TrainingSet *set) {
    return set->fields.count > 0 && (set->fields.items[0].once || set->fields.items[0].each);
}
bool train_has_each(const TrainPlan *plan);

bool train_has_lists(Evaluator *ev, const Decl *decl);
void train_bind_sets(Evaluator *ev, const Decl *decl);
bool train_interval(Evaluator *ev, const Interval *interval, cai_interval *out);
/* Makes the names of inputs mean batch `round` of the step. */
void train_rebind_fields(Evaluator *ev, int round);
/* Makes the names of inputs mean held-out samples, in batches of any size for which
 * `where` holds; `anew`: of any size, since the measure declares inputs anew. */
void train_bind_measured(Evaluator *ev, bool anew);
/* Reads the sizes and batches that a phase or a measure declares anew. */
void train_declare_anew(Evaluator *ev, const ParameterList *inputs, bool measured);
/* `load x from`, where x is an input; false if it is none */
bool train_load_set(Evaluator *ev, const Expr *target, Value file);

/* ---- train_state.c: places of states and weights ---- */

bool train_has_phase(const Phases *phases, int phase);
void train_add_phase(Evaluator *ev, Phases *phases, int phase);
bool train_in_phase(const Evaluator *ev);
bool train_runs_model(const Evaluator *ev); /* whether the body of a model runs */
/* The path if the name is bound further down, since order matters only for values; else
 * NULL. */
const char *train_path_below(Evaluator *ev, const Expr *expr);
/* Whether the body of a train block runs, not one of its layers. */
bool train_is_body(const Evaluator *ev);
bool train_is_training(const Evaluator *ev);                  /* the value of `training` */
bool train_is_model(const Evaluator *ev, const Layer *layer); /* whether it is a model that runs as a stage */
bool train_is_frozen(Evaluator *ev, const Layer *layer);
/* The same for one that has begun to run, and so has names of its own. */
bool train_is_stage(const Evaluator *ev, const Layer *layer);
/* how often it ran in this pass before; counts this run */
int train_round(Evaluator *ev, const Layer *layer);
/* what tells apart the random streams of a layer's runs */
const char *train_round_text(const Evaluator *ev);
Value train_read(Evaluator *ev, Name name, Value v, Span span); /* a name of this body is read */
/* Reports that step, epoch and progress cannot name anything else. */
bool train_refuses_name(Evaluator *ev, Name name, Span span);
/* step, epoch, progress or gradient_norm */
Value train_moment(Evaluator *ev, int which, Name name, Span span);
/* The port of a place that this pass has not met. */
Node *train_state(Evaluator *ev, const Weight *weight, int kind); /* CAI_STATE_* */
Node *train_state_port(Evaluator *ev, int index, Span span);      /* the port of a row of Training.states */
/* notes that the running code reads the place; does nothing in a model */
void train_meet(Evaluator *ev, Weight *place);
Value train_given(Evaluator *ev, Node *start, Span span);
/* A state whose first value is a layer's result on zeros of its shape. */
Value train_made(Evaluator *ev, Value layer, Shape shape, Span span);
/* Sets the first value of a place that an earlier run of its body made without one. */
void train_begin_given(Evaluator *ev, Weight *place, Node *given);
/* Whether this is `stop(E)` of a layer, in training. */
bool train_stops(const Evaluator *ev, const Builtin *builtin, const Arguments *arguments);
Value train_stopped(Evaluator *ev, const Arguments *arguments, Span span);
void train_remember_layer(Evaluator *ev, Layer *layer); /* notes a layer that got its path */
/* The part of a layer that has not run yet, as earlier passes know it; VALUE_NONE if
 * there is none. */
Value train_part(Evaluator *ev, Layer *whole, Name path);
/* the file that a weight is loaded from; NULL: none */
const LoadInfo *train_file_of(const TrainPlan *plan, const char *path);
Value train_copy(Evaluator *ev, const Arguments *arguments, Span span);
Weight *train_place(Evaluator *ev, int index); /* the place of a row of Training.states */
/* whether it belongs to the training alone, so that models do not read it */
bool train_is_own(const TrainingState *state);
/* A value that a place takes at the beginning of the run: with `each`, only in the first
 * item. */
Node *train_first(Evaluator *ev, const Weight *place, Node *value);
void train_assign(Evaluator *ev, Weight *place, Node *value);
/* With --parts, the mean of the value over the parts of the step; else the value. */
Node *train_mean(Evaluator *ev, Node *value);
bool train_acts(const Evaluator *ev); /* whether an update takes effect in this pass */
/* The row of a state of the training's own. */
int train_own_state(Evaluator *ev, Name path, Shape shape, Span span);

typedef struct Target { /* what `over`, `update` and `copy` name */
    const char *path;   /* of a layer or a weight, or */
    Definition *model;  /* a model that runs as a stage */
    const char *text;   /* as in the text */
} Target;
typedef Vec(Target) Targets;
/* Finds what an expression names; false after an error, which mentions `what`. */
bool train_targets(Evaluator *ev, const Expr *expr, const char *what, Targets *out);
bool train_matches(const TrainPlan *plan, const Target *target, int state);
bool train_holds_weights(const TrainPlan *plan, const Target *target);
const char *train_below(const Target *target, const char *path); /* "conv1.weight" of "G.conv1.weight" */

/* ---- train_classes.c ---- */

void train_find_classes(TrainPlan *plan); /* of all fields, by what entries compare them with */

/* ---- train_parts.c ---- */

void train_divide(TrainPlan *plan); /* divides all steps into parts */

/* ---- train_mixing.c ---- */

/* With --parts, warns of a loss that depends on which samples are in a batch. */
void train_tell_mixing(Evaluator *ev, const Stmt *stmt, const Node *loss);

/* ---- statements ---- */

void execute_phase(Evaluator *ev, const Stmt *stmt);
void train_repeat(Evaluator *ev, const Stmt *stmt, int64_t rounds);
void execute_minimize(Evaluator *ev, const Stmt *stmt); /* train_minimize.c */
void execute_update(Evaluator *ev, const Stmt *stmt);   /* train_update.c */
void execute_once(Evaluator *ev, const Stmt *stmt);
void execute_every(Evaluator *ev, const Stmt *stmt); /* train_show.c */
void execute_show(Evaluator *ev, const Stmt *stmt);
void execute_measure(Evaluator *ev, const Stmt *stmt);
void execute_save(Evaluator *ev, const Stmt *stmt);
Value train_total(Evaluator *ev, const Arguments *arguments, Span span);
Value train_collect(Evaluator *ev, const Arguments *arguments, Span span);
/* False after an error if the statement is not in a train block's body. */
bool train_allows(Evaluator *ev, const Stmt *stmt, const char *word);
/* False after an error if the block has phases and the statement is outside of them. */
bool train_is_timed(Evaluator *ev, const Stmt *stmt, const char *word);
bool train_once_acts(const Evaluator *ev); /* whether `once` here belongs to the phase of this pass */
int train_guard(Evaluator *ev, const cai_interval *interval);
/* Adds a shown value, and returns its index. Rounds of a `repeat` share the indices of
 * the first round; of two equal names the second gets a number. */
int train_shown(ShownList *list, Evaluator *ev, const char *name, int form, int row, int guard, bool is_loss,
                Span span);
TrainingPhase *train_phase(const Evaluator *ev);

#endif
