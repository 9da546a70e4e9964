/* The tables of a trainer: what the compiler makes of a `train` block. A trainer has
 * states (parameters, running statistics, moments of optimizers, whatever lives from one
 * step to the next), sets of samples, and phases. What a phase computes are entries: a
 * cai_program each, whose ports are bound to states, to fields of samples, to counters,
 * or to what is shown. So a step is a pure function from (states, samples, counters,
 * seed) to (new states, shown values), and the runtime's trainer (runtime/train) calls
 * entries one after the other. */
#ifndef CAI_TRAINING_H
#define CAI_TRAINING_H

#include "core/program.h"

#define CAI_TRAINING_ABI 5

/* ---- states ---- */

enum {                      /* of cai_state.kind: what a checkpoint calls it by */
       CAI_STATE_PARAMETER, /* trained or frozen; under the model's own path */
       CAI_STATE_LAYER,     /* a layer's state, as running means; under the model's own path */
       /* the block's own, values of `once`: "train.", the phase, ...; no model reads
        * it */
       CAI_STATE_TRAINING,
       /* an optimizer's, as moments: as CAI_STATE_TRAINING, and begun anew in each
        * item */
       CAI_STATE_OPTIMIZER
};

/* of cai_state.start: elements at the beginning; element i is drawn from (seed, stream,
 * i) as cai_uniform has it */
enum {
    CAI_START_VALUE,   /* all of them `number` */
    CAI_START_UNIFORM, /* -number to number */
    CAI_START_NORMAL   /* of mean 0 and deviation `number` */
};

typedef struct cai_state {
    const char *path; /* "layer1.0.conv1.weight", "train.adam.layer1.0.conv1.weight.m" */
    const int64_t *dims;
    int32_t type, rank; /* cai_type */
    int32_t kind, start;
    double number;
    uint64_t stream;  /* of the first draw */
    const char *load; /* FILE:NAME: it begins as that tensor; or NULL */
} cai_state;

/* ---- sets of samples ---- */

enum { /* of cai_field.fit: those of models, and beside them */
       CAI_TAKE_EXACT = CAI_FIT_EXACT,
       CAI_TAKE_CROP = CAI_FIT_CROP,
       CAI_TAKE_STRETCH = CAI_FIT_STRETCH,
       CAI_TAKE_PAD = CAI_FIT_PAD,
       CAI_TAKE_LETTERBOX = CAI_FIT_LETTERBOX,
       /* a window of the field's size at a random place, of the picture scaled by a
        * random factor of `scale` */
       CAI_TAKE_RANDOM_CROP,
       /* a window of a random share `scale` of the picture, of a random aspect,
        * stretched */
       CAI_TAKE_RANDOM_RESIZED,
       CAI_TAKE_RANDOM_BOX_CROP /* a window that holds boxes, for detectors */
};

typedef struct cai_field { /* of a sample */
    const char *name;
    const char *text;    /* "image[64, 3, 28, 28]", for messages */
    const int64_t *dims; /* of one sample, without the batch's axis; -1: free, the whole picture (measure) */
    int32_t type, rank;  /* cai_type; rank is that of one sample */
    int32_t form;        /* cai_form: IMAGE, or TENSOR */
    int32_t fit;         /* CAI_TAKE_* */
    double scale[2];
    const char *names; /* file of class names, or NULL: folder names, sorted */
    /* How many classes the text has, 0 where it does not say; and numbers above that mean
     * none of them, as 255 in masks. */
    int64_t classes;
    const int64_t *ignored;
    int32_t ignored_count;
    int32_t on;       /* boxes: the field on whose picture they lie; else -1 */
    int32_t together; /* so many of a class in a row; 0: does not matter */
    int32_t balanced; /* classes are drawn equally often */
    int32_t index;    /* 1: the number of the sample in its set */
    int32_t once;     /* 1: the same for the whole run */
    int32_t each;     /* 1: the same for all phases, which run once for each sample, an item */
} cai_field;

typedef struct cai_set {
    const char *name;  /* of its first field, for messages */
    const char *place; /* of `load`: where it lies unless the command line says; or NULL */
    const cai_field *fields;
    int32_t field_count;
    int64_t batch; /* samples of a step's batch */
    /* 1 + the set whose data it reads in other sizes or batches, as a phase or a measure
     * declares them; 0: it has its own */
    int32_t anew;
} cai_set;

/* The set that the command line knows. */
static inline int cai_set_of_data(const cai_set *sets, int set) {
    return sets[set].anew ? sets[set].anew - 1 : set;
}

/* Its samples do not move on from step to step. All fields of a set are of one kind. */
static inline int cai_set_stays(const cai_set *set) {
    return set->field_count > 0 && (set->fields[0].once || set->fields[0].each);
}

/* ---- entries ---- */

enum { /* of cai_binding.kind */
       /* input: `index` is the set, `field` its field, `round` the batch within the step,
     * from 0 */
       CAI_BIND_FIELD,
       /* input: the state as it is; output: its new value, in the same memory
     * (cai_port.shares) */
       CAI_BIND_STATE,
       CAI_BIND_STEP,
       CAI_BIND_EPOCH,
       CAI_BIND_PROGRESS, /* input: f32[] */
       CAI_BIND_ACTIVE,   /* input: bool[], whether guard `index` holds in this step */
       CAI_BIND_SHOWN,    /* output: cai_phase.shown[index] */
       /* output of a measure's batch entry: added up in double over the batches; input of
     * its last entry: f32 of that */
       CAI_BIND_TOTAL,
       /* output of a measure's batch entry: joined along axis 0; input of its last entry:
     * all of them */
       CAI_BIND_COLLECTED,
       CAI_BIND_SCALE, /* input: f32[], by what --find-rate multiplies `lr` */
       CAI_BIND_FIRST  /* input: bool[], whether this is the run's first item */
};

typedef struct cai_binding {
    int32_t kind, index, field, round;
    int32_t guard; /* outputs: written only in steps in which this guard holds; -1: always */
    int32_t sets;  /* outputs of a measure's batch entry: bits of the sets that it is made of */
} cai_binding;

typedef struct cai_entry {
    const cai_program *program;
    const cai_binding *inputs, *outputs; /* one a port of the program */
    int32_t input_count, output_count;
} cai_entry;

/* ---- phases ---- */

enum { CAI_UNIT_STEPS, CAI_UNIT_EPOCHS, CAI_UNIT_IMAGES, CAI_UNIT_MINUTES };

typedef struct cai_interval { /* in steps n, 2n, ..; and at the phase's end where `last` is 1 */
    double count;
    int32_t unit, last;
} cai_interval;

#define CAI_SHOWN_RATE "lr" /* what a trainer of --find-rate shows beside the loss */

enum { CAI_SHOW_CURVE, CAI_SHOW_PICTURE };

typedef struct cai_shown {
    const char *name; /* of the value in the text, or the text itself */
    int32_t form;     /* CAI_SHOW_* */
    int32_t row;      /* pictures of the same row stand side by side; -1: by itself */
    int32_t is_loss;  /* of a minimize */
    int32_t guard;    /* index into guards; -1: every step */
} cai_shown;

enum { CAI_SAVE_NEVER, CAI_SAVE_LARGEST, CAI_SAVE_SMALLEST };

typedef struct cai_measure {
    cai_interval when;
    cai_entry batch, last; /* last.program is NULL where nothing is made of totals */
    const cai_shown *shown;
    int32_t shown_count, total_count, collected_count;
    int32_t sets; /* bits: whose held-out parts are gone through */
    int32_t save; /* CAI_SAVE_*, by shown[save_by] */
    int32_t save_by;
} cai_measure;

typedef struct cai_phase {
    const char *name; /* "" of a block without phases */
    cai_interval length;
    /* Before the first step: what `once` does; and what is the same in each step of the
     * item, to be kept. Their programs are NULL where there is none. */
    cai_entry once, kept;
    cai_entry step;
    const cai_interval *guards; /* what stands behind `every` */
    const cai_shown *shown;
    const cai_measure *measures;
    const int32_t *rounds; /* a set: how many batches of it a step takes; 0: the phase does not read it */
    int32_t guard_count, shown_count, measure_count, round_count;
    /* the set that counts epochs and images: the largest; -1: the runtime takes the
     * largest that is read */
    int32_t paced_by;
} cai_phase;

typedef struct cai_training {
    uint32_t abi;
    uint32_t cpu;        /* CAI_CPU_* */
    const char *name;    /* of the block */
    const char *comment; /* above it, for --help; or NULL */
    const char *target;
    const char *text;     /* the .cai file, for run.cai */
    const char *settings; /* JSON object of hyperparameters, for the metadata */
    /* of the block's text and all that it uses, settings and version of cai: a run folder
     * of another is refused */
    uint64_t identity;
    const cai_state *states;
    const cai_set *sets;
    const cai_phase *phases;
    int32_t state_count, set_count, phase_count;
    /* into which a step is divided: part p of P has the batches p, P + p, .. of each set,
     * so that a phase's rounds count those of all parts */
    int32_t parts;
} cai_training;

/* The one symbol that a trainer's object exports. */
extern const cai_training cai_the_training;

#endif
