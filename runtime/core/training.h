/* The tables of a trainer, which the compiler makes of a `train` block. A trainer has
 * states (parameters, running statistics, moments of optimizers: everything that lives
 * from one step to the next), sets of samples, and phases. A phase consists of entries:
 * each is a cai_program whose ports are bound to states, to fields of samples, to
 * counters, or to shown values. So a step is a pure function from (states, samples,
 * counters, seed) to (new states, shown values), and the runtime's trainer
 * (runtime/train) calls entries one after the other. */
#ifndef CAI_TRAINING_H
#define CAI_TRAINING_H

#include "core/program.h"

#define CAI_TRAINING_ABI 5

/* ---- states ---- */

enum {                      /* of cai_state.kind: determines the state's name in a checkpoint */
       CAI_STATE_PARAMETER, /* trained or frozen; has the model's own path */
       CAI_STATE_LAYER,     /* a state of a layer, such as running means; has the model's own path */
       /* of the block itself, such as values of `once`: "train.", the phase, ...; models
        * do not read it */
       CAI_STATE_TRAINING,
       /* of an optimizer, such as moments; like CAI_STATE_TRAINING, but starts again in
        * each item */
       CAI_STATE_OPTIMIZER
};

/* of cai_state.start: first values. Element i is drawn from (seed, stream, i), like
 * cai_uniform. */
enum {
    CAI_START_VALUE,   /* all are `number` */
    CAI_START_UNIFORM, /* -number to number */
    CAI_START_NORMAL   /* mean 0, deviation `number` */
};

typedef struct cai_state {
    const char *path; /* "layer1.0.conv1.weight", "train.adam.layer1.0.conv1.weight.m" */
    const int64_t *dims;
    int32_t type, rank; /* cai_type */
    int32_t kind, start;
    double number;
    uint64_t stream;  /* selects the random numbers of its first values */
    const char *load; /* FILE:NAME of the tensor with its first values; or NULL */
} cai_state;

/* ---- sets of samples ---- */

enum { /* of cai_field.fit: those of models, and beside them */
       CAI_TAKE_EXACT = CAI_FIT_EXACT,
       CAI_TAKE_CROP = CAI_FIT_CROP,
       CAI_TAKE_STRETCH = CAI_FIT_STRETCH,
       CAI_TAKE_PAD = CAI_FIT_PAD,
       CAI_TAKE_LETTERBOX = CAI_FIT_LETTERBOX,
       /* a window of the field's size at a random position, in the picture scaled by a
        * random factor in `scale` */
       CAI_TAKE_RANDOM_CROP,
       /* a window with a random share (in `scale`) of the area and a random aspect,
        * stretched to the field's size */
       CAI_TAKE_RANDOM_RESIZED,
       CAI_TAKE_RANDOM_BOX_CROP /* a random window that contains boxes, for detectors */
};

typedef struct cai_field { /* a field of a sample */
    const char *name;
    const char *text; /* "image[64, 3, 28, 28]", for messages */
    /* of one sample, without the batch; -1: free, the size of the sample (in a
     * measure) */
    const int64_t *dims;
    int32_t type, rank; /* cai_type; the rank of one sample */
    int32_t form;       /* cai_form: IMAGE, or TENSOR */
    int32_t fit;        /* CAI_TAKE_* */
    double scale[2];
    const char *names; /* a file of class names; NULL: names of folders, sorted */
    /* How many classes the text has, 0 where it does not say; and numbers above that mean
     * none of them, as 255 in masks. With `index`, for how many samples it has a
     * place. */
    int64_t classes;
    const int64_t *ignored;
    int32_t ignored_count;
    int32_t on;       /* of boxes: the field with the picture that they are on; else -1 */
    int32_t together; /* how many samples of one class are consecutive; 0: any */
    int32_t balanced; /* all classes are drawn equally often */
    int32_t index;    /* 1: it is the number of the sample in its set */
    int32_t once;     /* 1: one batch for the whole run */
    int32_t each;     /* 1: the phases run once for each sample, an item */
} cai_field;

typedef struct cai_set {
    const char *name; /* the name of its first field, for messages */
    /* of `load`: where the data is, unless the command line gives another place; or
     * NULL */
    const char *place;
    const cai_field *fields;
    int32_t field_count;
    int64_t batch; /* samples of a batch */
    /* 1 + the set whose data it reads with other sizes or batches, declared by a phase or
     * a measure; 0: it has data of its own */
    int32_t anew;
} cai_set;

/* The set under which the command line knows the data. */
static inline int cai_set_of_data(const cai_set *sets, int set) {
    return sets[set].anew ? sets[set].anew - 1 : set;
}

/* Whether its samples stay the same from step to step. All fields of a set agree in
 * this. */
static inline int cai_set_stays(const cai_set *set) {
    return set->field_count > 0 && (set->fields[0].once || set->fields[0].each);
}

/* ---- entries ---- */

enum { /* of cai_binding.kind */
       /* input: `index` is the set, `field` its field, `round` the number of the batch
        * within the step, from 0 */
       CAI_BIND_FIELD,
       /* input: the state; output: its new value, in the same memory (cai_port.shares) */
       CAI_BIND_STATE,
       CAI_BIND_STEP,
       CAI_BIND_EPOCH,
       CAI_BIND_PROGRESS, /* input: f32[] */
       CAI_BIND_ACTIVE,   /* input: bool[], whether guard `index` holds in this step */
       CAI_BIND_SHOWN,    /* output: cai_phase.shown[index] */
       /* output of a measure's batch entry: added in double over all batches; input of
        * its last entry: the sum as f32 */
       CAI_BIND_TOTAL,
       /* output of a measure's batch entry: joined along axis 0 over all batches; input
        * of its last entry: the joined tensor */
       CAI_BIND_COLLECTED,
       CAI_BIND_SCALE, /* input: f32[], the factor of `lr` with --find-rate */
       CAI_BIND_FIRST  /* input: bool[], whether this is the run's first item */
};

typedef struct cai_binding {
    int32_t kind, index, field, round;
    int32_t guard; /* outputs: written only in steps in which this guard holds; -1: always */
    int32_t sets;  /* outputs of a measure's batch entry: bits of the sets that the value is made of */
} cai_binding;

typedef struct cai_entry {
    const cai_program *program;
    const cai_binding *inputs, *outputs; /* one for each port of the program */
    int32_t input_count, output_count;
} cai_entry;

/* ---- phases ---- */

enum { CAI_UNIT_STEPS, CAI_UNIT_EPOCHS, CAI_UNIT_IMAGES, CAI_UNIT_MINUTES };

typedef struct cai_interval { /* holds in steps n, 2n, ..; and at the end of the phase if `last` is 1 */
    double count;
    int32_t unit, last;
} cai_interval;

#define CAI_SHOWN_RATE "lr" /* the name under which a trainer of --find-rate shows the rate */

enum { CAI_SHOW_CURVE, CAI_SHOW_PICTURE };

typedef struct cai_shown {
    const char *name; /* the name of the value in the text, or the expression itself */
    int32_t form;     /* CAI_SHOW_* */
    int32_t row;      /* pictures with the same row are shown side by side; -1: alone */
    int32_t is_loss;  /* it is the loss of a minimize */
    int32_t guard;    /* index into guards; -1: it is shown in every step */
} cai_shown;

enum { CAI_SAVE_NEVER, CAI_SAVE_LARGEST, CAI_SAVE_SMALLEST };

typedef struct cai_measure {
    cai_interval when;
    cai_entry batch, last; /* last.program is NULL if there is nothing to compute after the batches */
    const cai_shown *shown;
    int32_t shown_count, total_count, collected_count;
    int32_t sets; /* bits: the sets whose held-out samples it reads */
    int32_t save; /* CAI_SAVE_*, by shown[save_by] */
    int32_t save_by;
} cai_measure;

typedef struct cai_phase {
    const char *name; /* "" in a block without phases */
    cai_interval length;
    /* Run before the first step: `once` computes what `once` lines say, `kept` what is
     * the same in each step of the item. Their programs are NULL if there is nothing to
     * compute. */
    cai_entry once, kept;
    cai_entry step;
    const cai_interval *guards; /* the intervals of `every` and `show` */
    const cai_shown *shown;
    const cai_measure *measures;
    const int32_t *rounds; /* by set: how many batches of it a step takes; 0: the phase does not read it */
    int32_t guard_count, shown_count, measure_count, round_count;
    /* the set that counts epochs and images; -1: the runtime chooses the largest set that
     * the phase reads */
    int32_t paced_by;
} cai_phase;

typedef struct cai_training {
    uint32_t abi;
    uint32_t cpu;        /* CAI_CPU_* */
    const char *name;    /* of the block */
    const char *comment; /* the comment above the block, for --help; or NULL */
    const char *target;
    const char *text;     /* the .cai file, for run.cai */
    const char *settings; /* JSON object of hyperparameters, for the metadata */
    /* a hash of the block's text and all that it uses, of settings and cai's version. A
     * run folder with another identity is refused. */
    uint64_t identity;
    const cai_state *states;
    const cai_set *sets;
    const cai_phase *phases;
    int32_t state_count, set_count, phase_count;
    /* into which a step is divided: part p of P has the batches p, P + p, .. of each set,
     * so that a phase's rounds count the batches of all parts */
    int32_t parts;
} cai_training;

/* The only symbol that a trainer's object exports. */
extern const cai_training cai_the_training;

#endif
