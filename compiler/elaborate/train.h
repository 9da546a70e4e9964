/* What the files that elaborate a train block share.
 *
 * A block is evaluated several times, each time with a graph of its own (a pass): for
 * each phase once to find its weights and which of them are trained, then for its step,
 * for what runs once before it, and for each of its measures. All passes walk the whole
 * text, so that layers get the same paths in each; a pass differs in what it lets take
 * effect. What one pass learns for the next is in the plan. */
#ifndef CAI_TRAIN_H
#define CAI_TRAIN_H

#include "elaborate/evaluator.h"
#include "elaborate/training.h"

typedef enum TrainGoal { GOAL_FIND, GOAL_STEP, GOAL_ONCE, GOAL_MEASURE } TrainGoal;
typedef Vec(int) Phases;

typedef struct StateFacts { /* of a row of Training.states */
    const char *identity;   /* as a weight's */
    double init, within;
    bool given; /* `param(init = tensor)` and the like: written before the first step */
    /* the state whose first elements it shares: of a copy its original, else itself */
    int like;
    int rows;                 /* of --parts: the first of the rows in which parts keep it; 0: it has none */
    Phases seen, trained;     /* in these phases */
    Vec(Definition *) models; /* those that, as stages without a name, have it as their weight */
} StateFacts;

typedef struct CopyOf { /* smooth = copy(G) */
    Layer *copy;
    Definition *model; /* the original, or */
    const Layer *layer;
    /* of the original's states there, where they are written before the first step; by
     * row; else NULL */
    Node **values;
    int count;
} CopyOf;

typedef struct Chosen { /* a place that an `every` changes: in its steps `changed`, else what it was */
    const Weight *place;
    const Node *value; /* what later lines of the step read */
    Node *before, *changed;
    int guard;
} Chosen;

typedef struct Anew {   /* a set that a phase or a measure declares anew */
    int phase, measure; /* measure -1: the phase */
    int of, set;
} Anew;

typedef struct TrainPlan {
    Library *library;
    Definition *block;
    Training *training;
    Dims *dims; /* of Training's shapes */
    Map *index; /* path to its place in Training.states, plus 1 */
    Vec(StateFacts) facts;
    Vec(LoadInfo) loads;
    Vec(CopyOf) copies;
    Vec(Anew) anew;
    Map *layers;     /* by path: those that the passes that find met */
    bool searching;  /* a part that is not known yet may be met by a later phase: it is no error, but */
    bool unresolved; /* all phases are gone through once more */
    bool has_phases;
    Phases once;       /* phases before which something is computed */
    Vec(int) measures; /* one a phase: how many */
} TrainPlan;

typedef struct PassOutput { /* an output of a pass's graph */
    Node *node;
    cai_binding binding;
    Name name;
    PortForm form;
    Span span;
} PassOutput;
typedef Vec(PassOutput) PassOutputs;

typedef struct FieldPlace { /* an input of the block, as the running pass has it */
    const Parameter *parameter;
    int set, field;
    Shape shape;
    Node *node; /* of the step's first batch */
    Name batch; /* what its first axis is written as; NULL: no plain name */
    bool whole; /* declared anew for one sample at a time, of any size */
} FieldPlace;

typedef struct Gradients { /* of the minimize that runs */
    int count;
    Node **items;
    Node *norm; /* NULL until an optimizer asks */
} Gradients;

struct TrainPass {
    TrainPlan *plan;
    TrainGoal goal;
    int phase;               /* that is elaborated */
    int measure;             /* GOAL_MEASURE: which */
    int phases, measures;    /* met so far */
    bool in_phase;           /* what runs stands within `phase` */
    int once;                /* depth of `once` whose lines take effect; */
    int other_once;          /* of others, which only say what they bind */
    int quiet;               /* depth of `show` and `measure`: nothing trains */
    bool measuring;          /* the body of a measure runs, and */
    int first_measured;      /* nodes from here on are its own, and */
    int batch_sizes[2];      /* symbols from .. to sizes of its batches; */
    Map *sizes_of_all;       /* the size along which `collect` joins batches, by that of a batch */
    int first_repeated;      /* within `repeat`: nodes from here on are of its rounds; else 0 */
    int round;               /* the batch of a step that input names mean */
    int shown_again;         /* a later round: the place of what it shows next, plus 1 */
    int guard;               /* of the `every` that runs; -1 */
    Vec(cai_binding) inputs; /* one a port of the graph */
    Map *of_input;           /* Node to its place there, plus 1 */
    PassOutputs outputs;
    Vec(FieldPlace) fields;
    Vec(Weight *) weights; /* places, in the order in which they were met */
    Vec(CopyOf) copies;
    Vec(Chosen) chosen;
    int batches;               /* of a step, that were named so far */
    TrainingMeasure *measured; /* whose body runs */
    Map *rounds;               /* by a layer's path, or a model's definition: how often it ran */
    Map *optimizers;           /* key of an optimizer's states to the place in the text that has it */
    Gradients *gradients;
    Vec(Node *) means;    /* as TrainingEntry's */
    const Stmt *minimize; /* the last one that took effect */
    Node *rate;           /* of --find-rate: that of the minimize which runs */
    TrainingText text;    /* of a step */
    Node **instead;       /* by node: the port of the state that has what is computed once; or NULL */
    int instead_count;    /* of nodes; 0: nothing stands for any */
    int in_player;        /* depth of layers with weights that run */
    /* of a layer's update: the path of a weight below the layer, for which its line
     * runs; */
    const char *below;
    Frame *below_frame;     /* in this body; */
    const char *below_path; /* below this; */
    Name below_name;        /* as the line names it, or NULL; */
    bool met_other;         /* and whether the line has a layer besides */
};

/* ---- train_graph.c: ports of a pass's graph, and the entries that are cut out of it ---- */

Node *train_input(Evaluator *ev, Name name, Shape shape, PortForm form, Fit fit, cai_binding binding,
                  Span span);
void train_output(Evaluator *ev, Node *node, cai_binding binding, const char *name, Span span);
/* Marks all that a node is made of, but nothing behind what a port stands for. */
void train_mark(const Graph *graph, const Node *node, const TrainPass *pass, bool *needed);
/* The graph of some outputs: `wanted` says which. Without any its graph is NULL. */
TrainingEntry train_entry(Evaluator *ev, bool (*wanted)(const TrainPass *pass, const PassOutput *output));
/* What a node is made of: bits. */
enum {
    OF_SAMPLES = 1, /* but not those of the run or the item, which are */
    OF_DRAWS = 2,
    OF_TOTALS = 4,
    OF_OUTSIDE = 8, /* samples or draws from before a measure's body */
    OF_BATCH = 16,  /* a size of a measure's batch */
    OF_ITEM = 32    /* a sample of `each` */
};
unsigned train_sources(Evaluator *ev, const Node *node);
/* The path of a layer with weights that draws random numbers for a node, or NULL. */
const char *train_drawing_layer(Evaluator *ev, const Node *node);

/* ---- train_still.c: what is the same in each step ---- */

/* The entry that computes it before the first; from now on ports stand for it in
 * others. */
TrainingEntry train_cut_still(Evaluator *ev);

/* ---- train_text.c: a step as its text has it ---- */

typedef struct RunMark {
    int first;
    bool player;
} RunMark;
RunMark train_run_begin(Evaluator *ev, const Layer *layer);
void train_run_end(Evaluator *ev, const Layer *layer, RunMark mark);
void train_keep_text(Evaluator *ev); /* at the end of a step's pass */

/* ---- train_sets.c: a train block's lists ---- */

/* `once` or `each`: its samples are those of the run or of the item, whatever the step */
static inline bool training_stays(const TrainingSet *set) {
    return set->fields.count > 0 && (set->fields.items[0].once || set->fields.items[0].each);
}
bool train_has_each(const TrainPlan *plan);

bool train_has_lists(Evaluator *ev, const Decl *decl);
void train_bind_sets(Evaluator *ev, const Decl *decl);
bool train_interval(Evaluator *ev, const Interval *interval, cai_interval *out);
/* names of inputs mean another batch of the step from now on */
void train_rebind_fields(Evaluator *ev, int round);
/* and here the samples that are held out, of any number for which `where` holds, or,
 * where the measure declares inputs anew, of any */
void train_bind_measured(Evaluator *ev, bool anew);
/* sizes and batches of a phase or a measure */
void train_declare_anew(Evaluator *ev, const ParameterList *inputs, bool measured);
bool train_load_set(Evaluator *ev, const Expr *target, Value file); /* `load x from`, of an input */

/* ---- train_state.c: places of states and weights ---- */

bool train_has_phase(const Phases *phases, int phase);
void train_add_phase(Evaluator *ev, Phases *phases, int phase);
bool train_in_phase(const Evaluator *ev);
bool train_runs_model(const Evaluator *ev); /* what runs is a model's body */
/* of a name that is bound further down: order decides values only; else NULL */
const char *train_path_below(Evaluator *ev, const Expr *expr);
/* the body of a train block runs, not one of its layers */
bool train_is_body(const Evaluator *ev);
bool train_is_training(const Evaluator *ev);                  /* the value of `training` */
bool train_is_model(const Evaluator *ev, const Layer *layer); /* a model as a stage of training */
bool train_is_frozen(Evaluator *ev, const Layer *layer);
/* the same of one that has begun to run: its names are its own */
bool train_is_stage(const Evaluator *ev, const Layer *layer);
int train_round(Evaluator *ev, const Layer *layer); /* how often it ran before in this pass */
const char *train_round_text(const Evaluator *ev);  /* what a random stream is called by beside its layer */
Value train_read(Evaluator *ev, Name name, Value v, Span span); /* what is read by a name of this body */
/* step, epoch, progress: told that nothing else is called so */
bool train_refuses_name(Evaluator *ev, Name name, Span span);
Value train_moment(Evaluator *ev, int which, Name name, Span span); /* step, epoch, progress, gradient_norm */
/* the port of a place that is new to this pass */
Node *train_state(Evaluator *ev, const Weight *weight, int kind); /* CAI_STATE_* */
Node *train_state_port(Evaluator *ev, int index, Span span);      /* of a row of Training.states */
void train_meet(Evaluator *ev, Weight *place); /* it is read by what runs; does nothing in a model */
Value train_given(Evaluator *ev, Node *start, Span span);
/* A state that starts as what a layer makes of zeros of its shape. */
Value train_made(Evaluator *ev, Value layer, Shape shape, Span span);
/* A second run of the body that made the place says what it starts as. */
void train_begin_given(Evaluator *ev, Weight *place, Node *given);
/* `stop(E)` of a layer, in training */
bool train_stops(const Evaluator *ev, const Builtin *builtin, const Arguments *arguments);
Value train_stopped(Evaluator *ev, const Arguments *arguments, Span span);
void train_remember_layer(Evaluator *ev, Layer *layer); /* that got its path */
/* A part that is met before what it is a part of has run: of what other passes know.
 * VALUE_NONE where there is none. */
Value train_part(Evaluator *ev, Layer *whole, Name path);
const LoadInfo *train_file_of(const TrainPlan *plan, const char *path); /* of a weight; NULL: none */
Value train_copy(Evaluator *ev, const Arguments *arguments, Span span);
Weight *train_place(Evaluator *ev, int index); /* a place by its row in Training.states */
bool train_is_own(const TrainingState *state); /* no model reads it */
/* What begins the run: in a block with `each`, `value` in the first item alone. */
Node *train_first(Evaluator *ev, const Weight *place, Node *value);
void train_assign(Evaluator *ev, Weight *place, Node *value);
/* With --parts the mean of a value over the parts of the step. */
Node *train_mean(Evaluator *ev, Node *value);
bool train_acts(const Evaluator *ev); /* an update here takes effect in this pass */
/* a state of the training's own; its row */
int train_own_state(Evaluator *ev, Name path, Shape shape, Span span);

typedef struct Target { /* what `over`, `update` and `copy` speak of */
    const char *path;   /* of a layer or a weight */
    Definition *model;  /* or a model that is a stage */
    const char *text;   /* as it is written */
} Target;
typedef Vec(Target) Targets;
/* False after an error, told of `what`. */
bool train_targets(Evaluator *ev, const Expr *expr, const char *what, Targets *out);
bool train_matches(const TrainPlan *plan, const Target *target, int state);
bool train_holds_weights(const TrainPlan *plan, const Target *target);
const char *train_below(const Target *target, const char *path); /* "conv1.weight" of "G.conv1.weight" */

/* ---- train_classes.c ---- */

void train_find_classes(TrainPlan *plan); /* of all fields, by what entries compare them with */

/* ---- train_parts.c ---- */

void train_divide(TrainPlan *plan); /* makes of all steps that they are taken in parts */

/* ---- train_mixing.c ---- */

/* With --parts: warns where a loss is not made of what each sample has by itself. */
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
/* A statement of a train block's body; told where it stands elsewhere. */
bool train_allows(Evaluator *ev, const Stmt *stmt, const char *word);
/* what acts in each step stands within a phase, where there are some */
bool train_is_timed(Evaluator *ev, const Stmt *stmt, const char *word);
bool train_once_acts(const Evaluator *ev); /* `once` here is that of the phase which is elaborated */
int train_guard(Evaluator *ev, const cai_interval *interval);
/* A place for what is shown: each round of a `repeat` has the same, and two of one name
 * are told apart by a number. */
int train_shown(ShownList *list, Evaluator *ev, const char *name, int form, int row, int guard, bool is_loss,
                Span span);
TrainingPhase *train_phase(const Evaluator *ev);

#endif
