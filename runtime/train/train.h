/* The runtime's wing of trainers: what a program does that the compiler made of a `train`
 * block. It stands on data/, files/ and core/, and on program/ for --time and --profile;
 * a trainer's object brings the tables (core/training.h).
 *
 * A run is a folder. What it has come to is a point: states, and how many steps of which
 * phase are done. All else follows from the point, the seed and the data: which samples a
 * step reads, what is drawn in it, when something is measured. So a run that goes on from
 * a checkpoint makes the same bits as one that never stopped. */
#ifndef CAI_TRAIN_H
#define CAI_TRAIN_H

#include "data/data.h"
#include <pthread.h>

/* ---- main.c ---- */

/* The whole run of a trainer from its command line; gives its exit code. */
int cai_train_main(const cai_training *training, int argc, char **argv);

/* ---- command.c: the words after the trainer's name ---- */

typedef struct cai_operand { /* of data */
    int set;
    const char *name; /* of a field, or NULL: of all fields of the set */
    const char *path;
} cai_operand;

typedef struct cai_train_command {
    const char *program; /* the last part of argv[0] */
    const char *folder;
    cai_operand *operands;
    int operand_count;
    int64_t seed, steps, stop, checkpoint, patience; /* 0: not given, the seed too */
    int64_t threads, held_out;                       /* held_out: a percentage */
    int fold, folds;                                 /* of --fold; 0: not given */
    const char *phase;                               /* NULL: all */
    bool fresh, anyway, strict, time, profile, tensorboard, help, version;
} cai_train_command;

/* Paths point into argv. After a failure, too, command->program is set. */
bool cai_train_command_parse(const cai_training *training, int argc, char **argv, cai_train_command *command,
                             cai_error *error);
void cai_train_command_free(cai_train_command *command);
void cai_train_help(const cai_training *training, const char *name, FILE *out);

/* ---- sets.c: data sets, from the command's operands ---- */

/* Whether a phase reads the set, or measures on it. */
bool cai_set_is_read(const cai_training *training, int set);
/* Something is held out only of what is measured on. */
cai_dataset *cai_set_open(const cai_training *training, const cai_train_command *command, int set,
                          uint64_t seed, cai_notice *notice, cai_error *error);

/* ---- pace.c: when what happens; arithmetic alone ---- */

typedef struct cai_pace { /* of a phase: of the set that counts its epochs */
    int64_t samples;      /* that a step takes */
    int64_t count;        /* that the set has */
    double minutes[2];    /* since the trainer began: when this step did, and the one before */
} cai_pace;

/* How many steps a phase takes; -1 where that is for a clock to say (minutes). */
int64_t cai_pace_steps(cai_pace pace, cai_interval length);
/* Whether step `step`, counted from 0, of `steps` is one of n, 2n, .. of the interval, or
 * the last; of minutes, whether the n-th, 2n-th, .. is over since the step before. */
bool cai_pace_holds(cai_pace pace, cai_interval interval, int64_t step, int64_t steps);
int64_t cai_pace_epoch(cai_pace pace, int64_t step);
/* The seed of the random streams of a step:
 * mix(mix(mix(seed) + phase) + step), mix being splitmix64 (core/random.c). */
int64_t cai_step_seed(uint64_t seed, int32_t phase, int64_t step);

/* ---- states.c: the memory of all states ---- */

typedef struct cai_states {
    const cai_training *training;
    void **data; /* one each, at multiples of CAI_ALIGNMENT */
} cai_states;

bool cai_states_new(const cai_training *training, cai_states *states, cai_error *error);
void cai_states_free(cai_states *states);
/* The elements that a run begins with: element i of a state is drawn from (seed, the
 * state's stream, i). */
bool cai_states_start(cai_states *states, uint64_t seed, cai_error *error);
/* Those of optimizers begin anew. */
bool cai_states_start_optimizers(cai_states *states, uint64_t seed, cai_error *error);
void cai_states_copy(cai_states *to, const cai_states *from); /* of the same training */
int64_t cai_state_count(const cai_state *state);              /* of elements */
/* The first state that has an element which is no finite number, or -1. */
int cai_states_find_infinite(const cai_states *states);

/* ---- checkpoint.c: a point of the run in a file ---- */

typedef struct cai_point {
    int64_t item;        /* through which the phases run; 0 of a block without `each` */
    int64_t phase, step; /* steps of that phase that are done; phase is phase_count when all is done */
    int64_t *lengths;    /* steps of each phase; -1: not known yet */
    uint64_t seed;
    double best;        /* value that `save` kept in this phase; NAN: none yet */
    int64_t since_best; /* measurements since then */
} cai_point;

typedef struct cai_value { /* that is shown: the mean since it was last written down */
    double sum, last;
    double count;
} cai_value;

cai_tensor cai_state_tensor(const cai_state *state, const void *data);
/* Writes FOLDER/NAME with all states, the point, and what the log has not written down
 * yet of the phase's values (NULL: the phase is through); it is on the disk then. */
bool cai_checkpoint_write(const cai_states *states, const cai_point *point, const cai_value *values,
                          uint64_t data, const char *folder, const char *name, cai_error *error);

typedef struct cai_checkpoint {
    cai_tensor_file file;
    cai_point point;
    uint64_t identity, data;
    int64_t parts;
    const char *settings, *target; /* of the one that wrote it */
} cai_checkpoint;

/* lengths: room for those of training's phases. The file stays open until it is
 * closed. */
bool cai_checkpoint_open(const cai_training *training, const char *path, int64_t *lengths,
                         cai_checkpoint *checkpoint, cai_error *error);
/* The values as they were written; zeroed where there are none. */
void cai_checkpoint_values(const cai_checkpoint *checkpoint, cai_value *values, int count);
bool cai_checkpoint_load(const cai_checkpoint *checkpoint, const char *path, cai_states *states,
                         cai_error *error);
void cai_checkpoint_close(cai_checkpoint *checkpoint);

/* ---- trainer.c, entry.c, batch.c, ahead.c, measure.c: what runs ---- */

typedef struct cai_batch { /* samples of a set for one round, into the ports of an entry */
    int set, round;
    void **buffers, **next; /* by field; NULL: no port takes it; `next`: those of the next step */
} cai_batch;

typedef struct cai_running { /* an entry that is ready to run */
    const cai_entry *entry;
    cai_context *context;
    void **inputs, **outputs;        /* memory of ports: a state's, or its own */
    void **next;                     /* of inputs that are samples: those of the next step, or NULL */
    uint64_t *capacities;            /* of its own: of inputs, then of outputs; 0: it is a state's */
    int64_t (*shapes)[CAI_MAX_RANK]; /* of inputs, to prepare with */
    cai_batch *batches;
    int batch_count;
} cai_running;

typedef struct cai_reading { /* samples of a step, which threads take one by one */
    const struct cai_trainer *trainer;
    const cai_running *running;
    bool ahead; /* into the buffers of the next step */
    int part;
    const int64_t *positions; /* by set */
    const int64_t *rows;      /* by set, 0 where nothing is read; NULL: the sets' own numbers */
    int64_t tasks;
    atomic_llong left; /* that nobody has taken */
    pthread_mutex_t lock;
    pthread_cond_t finished;
    int64_t unread; /* that are not finished */
    int64_t failed; /* the first task that failed, or -1 */
    cai_error error;
} cai_reading;

typedef struct cai_ahead { /* what is read beside a step */
    cai_reading reading;
    const cai_running *running; /* whose next step it is for; NULL: nothing is read */
    int64_t *positions;         /* by set */
    pthread_t thread;           /* that waits for the disk, if `fetches` */
    bool fetches;
    atomic_bool ending;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t asked;
    bool wanted;
    int64_t *wanted_from, *wanted_count; /* by set: positions of samples whose files are wanted */
} cai_ahead;

typedef struct cai_progress {
    double begun, shown; /* times; of the line that was shown last */
    double busy;         /* milliseconds that `counted` steps took */
    double waited;       /* of these, for samples that were not read yet */
    int64_t counted;
    char measured[200]; /* what was last measured */
} cai_progress;

typedef struct cai_page {  /* index.html */
    double written, pause; /* when it was, and how long it stays so */
    bool is_lost;          /* as log_is_lost */
    const char *wrong;     /* what ended the run before its end; NULL: nothing did */
} cai_page;

typedef struct cai_events { /* of --tensorboard */
    FILE *file;
    int64_t *points; /* of each curve of the log, that were written */
    int curves;
    int64_t last_sample; /* the step, through all phases */
    bool is_lost;        /* as log_is_lost */
} cai_events;

typedef struct cai_trainer {
    const cai_training *training;
    const cai_train_command *command;
    cai_pool *pool;
    cai_ahead ahead;
    cai_states states;
    cai_dataset **sets; /* NULL: no phase reads it */
    uint64_t data;      /* a fingerprint of all of them */
    int64_t items;      /* for each of which the phases run; 1 where no set is `each` */
    cai_point point;
    FILE *log;
    bool log_is_lost; /* it could not be written, which has been said */
    cai_progress progress;
    cai_value *values; /* of what the phase shows; NULL: it has not begun */
    double written;    /* when the last checkpoint was */
    double begun;      /* when the first step of this process was */
    double minutes[2]; /* as cai_pace's; 0 while steps are taken again */
    cai_page page;
    bool samples_are_lost; /* as log_is_lost */
    cai_events events;
    int only;     /* the phase of --phase, or -1 */
    double scale; /* of --find-rate */
} cai_trainer;

bool cai_trainer_open(cai_trainer *trainer, cai_error *error);
void cai_trainer_close(cai_trainer *trainer);
/* All phases, or that of --phase. */
bool cai_trainer_is_over(const cai_trainer *trainer);
/* To that of --phase, in a run that begins or goes on. */
bool cai_trainer_go_to_phase(cai_trainer *trainer, bool resumed, cai_error *error);
/* Behind the states' beginning: what `once` does in the phases before that one. */
bool cai_trainer_begin_skipped(cai_trainer *trainer, cai_error *error);
/* Goes on from the point to the end, or until it is asked to stop. */
bool cai_trainer_run(cai_trainer *trainer, cai_error *error);
cai_pace cai_trainer_pace(const cai_trainer *trainer, const cai_phase *phase);
/* Makes room for the values of the point's phase, unless there is. */
bool cai_trainer_make_values(cai_trainer *trainer, cai_error *error);
/* the set that counts; -1: there is none */
int cai_trainer_paced_by(const cai_trainer *trainer, const cai_phase *phase);
int64_t cai_trainer_steps(const cai_trainer *trainer, int64_t phase); /* that the phase takes */
/* The position of a set's sequence at which the point's step begins. */
int64_t cai_trainer_drawn(const cai_trainer *trainer, int set);
/* The position of the sample of a set that stays the same through this item. */
int64_t cai_trainer_staying(const cai_trainer *trainer, int set);
/* The seed of the random streams of a step of the point's phase and item. */
int64_t cai_trainer_seed(const cai_trainer *trainer, int64_t step);
/* --profile: what each kernel takes in a step of the first phase, on its first samples. */
bool cai_trainer_profile(cai_trainer *trainer, cai_error *error);
/* Writes last.safetensors; the one before it is then previous.safetensors. */
bool cai_trainer_keep(cai_trainer *trainer, cai_error *error);

bool cai_running_open(cai_trainer *trainer, const cai_entry *entry, cai_running *running, cai_error *error);
/* For the shapes that stand there: gives ports their memory. */
bool cai_running_prepare(cai_running *running, cai_error *error);
/* Makes room for the samples of the next step, unless there is. */
bool cai_running_double(cai_running *running, cai_error *error);
void cai_running_close(cai_running *running);
/* Sets the inputs that are counters and guards, and runs. */
bool cai_running_run(cai_trainer *trainer, cai_running *running, int64_t step, uint32_t guards, int64_t seed,
                     cai_error *error);
uint32_t cai_trainer_guards(const cai_trainer *trainer, int64_t step); /* that hold in the step */

/* Reads what the entry's ports take: of each set so many rows, its samples from a
 * position on. Without `rows` it is the set's batch; where it is 0 nothing is read. */
bool cai_batch_read(const cai_trainer *trainer, const cai_running *running, int part,
                    const int64_t *positions, const int64_t *rows, cai_error *error);

/* The same in pieces. Between begin and finish, or drop, any thread may take samples. */
void cai_reading_open(cai_reading *reading, const cai_trainer *trainer);
void cai_reading_close(cai_reading *reading);
void cai_reading_begin(cai_reading *reading, const cai_running *running, bool ahead, int part,
                       const int64_t *positions, const int64_t *rows);
/* Reads the next sample; false where all are taken. A cai_work_beside: late calls, of one
 * that was finished, do no harm. */
bool cai_reading_take(void *reading);
bool cai_reading_finish(cai_reading *reading, cai_error *error); /* by all threads of the pool */
void cai_reading_drop(cai_reading *reading);                     /* leaves out what is not begun */

bool cai_ahead_open(cai_trainer *trainer, cai_error *error); /* when pool and sets are there */
void cai_ahead_close(cai_trainer *trainer);                  /* behind the pool's own end */
/* Gives the entry the samples from these positions on: those that were read ahead, or
 * else it reads them. */
bool cai_ahead_take(cai_trainer *trainer, cai_running *running, const int64_t *positions, cai_error *error);
/* Has those of the step behind the one at these positions read from now on. */
bool cai_ahead_begin(cai_trainer *trainer, cai_running *running, const int64_t *positions, cai_error *error);
void cai_ahead_drop(cai_trainer *trainer); /* nobody will take them */

/* The entry on the batch of a step of the point's phase. */
bool cai_trainer_run_entry(cai_trainer *trainer, cai_running *running, int64_t step, uint32_t guards,
                           cai_error *error);
/* For the shapes that an entry was compiled for. */
bool cai_trainer_open_entry(cai_trainer *trainer, const cai_entry *entry, cai_running *running,
                            cai_error *error);
bool cai_trainer_run_once(cai_trainer *trainer, const cai_phase *phase, cai_error *error);

bool cai_measure_run(cai_trainer *trainer, const cai_measure *measure, cai_error *error);
/* Before the first step: the last batch, which is smaller, has sizes that the text
 * allows. */
bool cai_measure_check(cai_trainer *trainer, const cai_measure *measure, cai_error *error);
/* Only for what it leaves in states: nothing is told or kept. */
bool cai_measure_again(cai_trainer *trainer, const cai_measure *measure, cai_error *error);

/* ---- items.c: what is left of each item ---- */

/* the set whose samples are the items; -1: there is none */
int cai_items_set(const cai_training *training);
/* As many as the set of `each` has, or 1. */
bool cai_items_count(cai_trainer *trainer, cai_error *error);
/* At the end of an item: its pictures, as the last step shows them, and its weights. */
void cai_items_keep(cai_trainer *trainer, const cai_running *running);
bool cai_items_forget(const cai_trainer *trainer, cai_error *error);
/* "photo 3 of 20"; "" without items */
const char *cai_item_text(const cai_trainer *trainer, char *out, size_t size);

/* ---- infinite.c ---- */

/* Says in which step, up to `last`, and in which layer something became infinite first:
 * lines behind a message, or "" where that cannot be found. States and point are not what
 * they were then. */
void cai_infinite_find(cai_trainer *trainer, const cai_phase *phase, cai_running *running, int64_t last,
                       char *out, size_t size);

/* ---- folder.c: the folder of a run ---- */

/* Makes the folder and keeps other trainers out of it. Nothing of a run stays there with
 * --fresh. */
bool cai_folder_open(cai_trainer *trainer, cai_error *error);
/* of the command line, else of the run that lies there */
uint64_t cai_folder_seed(const cai_trainer *trainer);
/* Goes to the point of the run that lies there, if there is one; refuses one of another
 * text or of other data. */
bool cai_folder_resume(cai_trainer *trainer, bool *found, cai_error *error);
bool cai_folder_begin(cai_trainer *trainer, cai_error *error); /* writes run.cai and run.json */
/* Makes the folder anew where somebody has removed it, which is told. */
bool cai_folder_restore(cai_trainer *trainer, cai_error *error);
char *cai_folder_path(const cai_trainer *trainer, const char *name, char *out, size_t size);

/* ---- log.c, progress.c: what a person sees ---- */

#define CAI_LOG_HELD_OUT "held out" /* true in lines of measurements */

/* without lines of steps that the point has not come to */
bool cai_log_open(cai_trainer *trainer, cai_error *error);
void cai_log_step(cai_trainer *trainer, const cai_phase *phase, uint32_t guards);
void cai_log_measured(cai_trainer *trainer, const cai_measure *measure, const double *values, bool saved);

void cai_progress_step(cai_trainer *trainer, double milliseconds);
/* --time: "step 3  loss 6.95338297  612.312 ms  1201.733 ms of CPU time  waited 0.004 ms",
 * of the step that was last taken; what all threads used; until its samples were read */
void cai_progress_time(const cai_trainer *trainer, double milliseconds, double of_processors, double waited);
void cai_progress_say(cai_trainer *trainer, const char *format, ...) CAI_PRINTF(2, 3); /* a line that stays */
void cai_progress_clear(void);                                     /* so that another line can be written */
const char *cai_count_text(int64_t count, char *out, size_t size); /* "80,000" */
const char *cai_time_text(double milliseconds, char *out, size_t size); /* "1 h 52" */

/* ---- history.c: log.jsonl as curves ---- */

typedef struct cai_curve {
    char *name;
    bool held_out; /* it was measured */
    int64_t count, room;
    double *points; /* x and y in turn: steps of all phases, and what was shown; a NaN is a gap */
    int64_t best;   /* the last one that `save` kept; -1 */
} cai_curve;

typedef struct cai_history {
    cai_curve *curves;
    int count;
} cai_history;

bool cai_history_read(const char *path, cai_history *history, cai_error *error);
void cai_history_free(cai_history *history);

/* ---- chart.c: curves as SVG ---- */

typedef struct cai_line {
    const char *label;
    const double *points; /* x and y in turn */
    int64_t count;
} cai_line;

typedef struct cai_panel {
    const char *title;
    const cai_line *lines;
    int count;
    bool logarithmic; /* over the logarithm of x */
} cai_panel;

void cai_chart_print(const cai_panel *panels, int count, FILE *out);
void cai_print_xml(const char *text, FILE *out); /* what stands between marks and in quotes */

/* ---- samples.c: sheets of what is shown ---- */

typedef struct cai_sample_name { /* of a file in samples/ */
    char show[100];
    int phase; /* from 1 */
    long long step;
} cai_sample_name;

bool cai_sample_parse(const char *name, cai_sample_name *out);
void cai_sample_file(const cai_sample_name *name, char *out, size_t size); /* "samples/fake-00000400.png" */
/* By show, and by steps; free(*list). */
int cai_samples_list(const cai_trainer *trainer, cai_sample_name **list);
/* Removes those of steps that the point has not come to, or all. */
bool cai_samples_cut(const cai_trainer *trainer, bool all, cai_error *error);
void cai_samples_step(cai_trainer *trainer, const cai_phase *phase, const cai_running *running,
                      uint32_t guards);
/* PATH.png of what the phase shows, or PATH.SHOW.png of each where it shows several. */
bool cai_samples_item(const cai_trainer *trainer, const cai_running *running, const char *path,
                      cai_error *error);
void cai_samples_measured(cai_trainer *trainer, const cai_measure *measure, const cai_running *running);

/* ---- page.c: curves.svg and index.html ---- */

void cai_page_step(cai_trainer *trainer); /* now and then, while it runs */
void cai_page_write(cai_trainer *trainer, bool running);

/* ---- events.c ---- */

/* What is new in the log and the samples. */
void cai_events_write(cai_trainer *trainer, const cai_history *history);
void cai_events_forget(const cai_trainer *trainer);
void cai_events_close(cai_events *events);

/* ---- rate.c ---- */

bool cai_training_finds_rate(const cai_training *training); /* it can do nothing else */
bool cai_rate_find(cai_trainer *trainer, cai_error *error);

/* ---- signals.c ---- */

/* From now on SIGINT, SIGTERM and SIGHUP ask the run to stop behind its step; a second
 * one ends it. */
void cai_stop_on_signals(void);
bool cai_stop_is_asked(void);

#endif
