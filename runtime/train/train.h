/* The runtime's wing of trainers: the program that the compiler builds from a `train`
 * block. It uses data/, files/ and core/, and program/ for --time and --profile; the
 * trainer's object contains the tables (core/training.h).
 *
 * A run is a folder. Its progress is a point: the states, and how many steps of which
 * phase are done. Everything else is a function of the point, the seed and the data:
 * which samples a step reads, which random numbers it draws, when it measures. So a
 * resumed run computes the same bits as one that was never interrupted.
 *
 * Functions that take a cai_error return false (or NULL) after an error, which *error
 * then describes. */
#ifndef CAI_TRAIN_H
#define CAI_TRAIN_H

#include "data/data.h"
#include <pthread.h>

/* ---- main.c ---- */

/* Runs a trainer from its command line. Returns the exit code. */
int cai_train_main(const cai_training *training, int argc, char **argv);

/* ---- command.c: the command line ---- */

typedef struct cai_operand { /* where data lies */
    int set;
    const char *name; /* of a field; NULL: `path` has all fields of the set */
    const char *path;
} cai_operand;

typedef struct cai_train_command {
    const char *program; /* the last component of argv[0] */
    const char *folder;
    cai_operand *operands;
    int operand_count;
    /* 0: not on the command line; for the seed 0 is the default, too */
    int64_t seed, steps, stop, checkpoint, patience;
    int64_t threads, held_out; /* held_out: in percent */
    int fold, folds;           /* of --fold K/N; 0: no folds */
    const char *phase;         /* of --phase; NULL: all phases */
    bool fresh, anyway, strict, time, profile, tensorboard, help, version;
} cai_train_command;

/* The paths point into argv. command->program is set even after an error. */
bool cai_train_command_parse(const cai_training *training, int argc, char **argv, cai_train_command *command,
                             cai_error *error);
void cai_train_command_free(cai_train_command *command);
void cai_train_help(const cai_training *training, const char *name, FILE *out);

/* ---- sets.c: opens the data sets that the command line names ---- */

/* Whether any phase reads or measures the set. */
bool cai_set_is_read(const cai_training *training, int set);
/* Opens a set. Samples are held out only if the block measures this set, or another that
 * reads the same data. */
cai_dataset *cai_set_open(const cai_training *training, const cai_train_command *command, int set,
                          uint64_t seed, cai_notice *notice, cai_error *error);

/* ---- pace.c: how long phases are and when intervals hold; pure arithmetic ---- */

typedef struct cai_pace { /* the pace of a phase, in samples of the set that counts its epochs */
    int64_t samples;      /* per step */
    int64_t count;        /* in the set, in an epoch */
    /* minutes since the trainer started: at the beginning of this step, and of the
     * previous step */
    double minutes[2];
} cai_pace;

/* The number of steps of a phase; -1 if its length is in minutes, and so must be
 * timed. */
int64_t cai_pace_steps(cai_pace pace, cai_interval length);
/* Whether an interval of n holds in step `step` (counted from 0) of `steps`: it holds in
 * the n-th, 2n-th, .. step or epoch and, with interval.last, in the last step. One in
 * minutes holds if a multiple of n minutes was reached since the previous step began. */
bool cai_pace_holds(cai_pace pace, cai_interval interval, int64_t step, int64_t steps);
int64_t cai_pace_epoch(cai_pace pace, int64_t step);
/* The seed for the random numbers of a step: mix(mix(mix(seed) + phase) + step), where
 * mix is splitmix64 (core/random.c). */
int64_t cai_step_seed(uint64_t seed, int32_t phase, int64_t step);

/* ---- states.c: the memory of all states ---- */

typedef struct cai_states {
    const cai_training *training;
    void **data;  /* of each state, aligned to CAI_ALIGNMENT */
    void *memory; /* of all */
} cai_states;

bool cai_states_new(const cai_training *training, cai_states *states, cai_error *error);
void cai_states_free(cai_states *states);
/* Sets all states to their first values. Element i of a state is drawn from (seed, the
 * state's stream, i). */
bool cai_states_start(cai_states *states, uint64_t seed, cai_error *error);
/* Sets only the states of optimizers to their first values. */
bool cai_states_start_optimizers(cai_states *states, uint64_t seed, cai_error *error);
void cai_states_copy(cai_states *to, const cai_states *from); /* both of the same training */
int64_t cai_state_count(const cai_state *state);              /* its number of elements */
/* The first state with an element that is infinite or NaN; -1 if all are finite. */
int cai_states_find_infinite(const cai_states *states);

/* ---- checkpoint.c: a point of a run as a file ---- */

typedef struct cai_point {
    int64_t item; /* the item that the phases run for; 0 in a block without `each` */
    /* the current phase, and how many of its steps are done; phase_count when all phases
     * are over */
    int64_t phase, step;
    int64_t *lengths; /* the steps of each phase; -1: not known yet */
    uint64_t seed;
    double best;        /* the value that `save` kept in this phase; NAN: none yet */
    int64_t since_best; /* measurements since then */
} cai_point;

/* a shown value: its sum and count since the log last had it; `last` is the latest value,
 * or the mean that was logged */
typedef struct cai_value {
    double sum, last;
    double count;
} cai_value;

cai_tensor cai_state_tensor(const cai_state *state, const void *data);
/* Writes FOLDER/NAME with all states, the point, and the values of the phase that are not
 * in the log yet (`values` NULL: the phase is over). The file is on the disk when the
 * function returns. */
bool cai_checkpoint_write(const cai_states *states, const cai_point *point, const cai_value *values,
                          uint64_t data, const char *folder, const char *name, cai_error *error);

typedef struct cai_checkpoint {
    cai_tensor_file file;
    cai_point point;
    uint64_t identity, data;
    int64_t parts;
    const char *settings, *target; /* settings and target of the trainer that wrote it */
} cai_checkpoint;

/* `lengths` has room for all phases of the training. The file stays open until
 * cai_checkpoint_close. */
bool cai_checkpoint_open(const cai_training *training, const char *path, int64_t *lengths,
                         cai_checkpoint *checkpoint, cai_error *error);
/* The values that were written; zeros if there are none. */
void cai_checkpoint_values(const cai_checkpoint *checkpoint, cai_value *values, int count);
bool cai_checkpoint_load(const cai_checkpoint *checkpoint, const char *path, cai_states *states,
                         cai_error *error);
void cai_checkpoint_close(cai_checkpoint *checkpoint);

/* ---- trainer.c, entry.c, batch.c, ahead.c, measure.c: running ---- */

typedef struct cai_batch { /* samples of one set in one round, for the ports of an entry */
    int set, round;
    void **buffers, **next; /* by field; NULL: no port reads it; `next`: buffers for the next step */
} cai_batch;

typedef struct cai_running { /* an entry, ready to run */
    const cai_entry *entry;
    cai_context *context;
    void **inputs, **outputs; /* of ports: the memory of a state, or their own */
    void **next;              /* of inputs that are samples: the buffer for the next step, or NULL */
    /* bytes of a port's own memory, inputs first, then outputs; 0: the memory of a
     * state */
    uint64_t *capacities;
    int64_t (*shapes)[CAI_MAX_RANK]; /* shapes of inputs, for which the context is prepared */
    cai_batch *batches;
    int batch_count;
} cai_running;

typedef struct cai_reading { /* the samples of a step; threads read one at a time */
    const struct cai_trainer *trainer;
    const cai_running *running;
    bool ahead; /* into the buffers for the next step */
    int part;
    const int64_t *positions; /* by set: the position of the first sample */
    const int64_t *rows;      /* by set: how many samples, 0 for none; NULL: the batch size of each set */
    int64_t tasks;
    atomic_llong left; /* samples that no thread has taken yet */
    pthread_mutex_t lock;
    pthread_cond_t finished;
    int64_t unread; /* samples that are not finished */
    int64_t failed; /* the first sample that failed, or -1 */
    cai_error error;
} cai_reading;

typedef struct cai_ahead { /* what is read during a step, for later steps */
    cai_reading reading;
    const cai_running *running; /* the entry that the samples are for; NULL: nothing is being read */
    int64_t *positions;         /* by set, of the next step */
    pthread_t thread;           /* waits for the disk, if `fetches` */
    bool fetches;
    atomic_bool ending;
    pthread_mutex_t lock; /* protects the members below */
    pthread_cond_t asked;
    bool wanted;
    int64_t *wanted_from, *wanted_count; /* by set: the samples whose files are wanted */
} cai_ahead;

typedef struct cai_progress {
    double begun, shown; /* times: when the first step began, and when the line was last shown */
    double busy;         /* milliseconds of the `counted` steps */
    double waited;       /* milliseconds of these that were spent waiting for samples */
    int64_t counted;
    char measured[200]; /* the last measurement as text */
} cai_progress;

typedef struct cai_page {  /* index.html */
    double written, pause; /* when it was last written, and how long to wait before writing it again */
    bool is_lost;          /* like log_is_lost */
    const char *wrong;     /* what ended the run before its end; NULL: nothing did */
} cai_page;

typedef struct cai_events { /* the file for --tensorboard */
    FILE *file;
    int64_t *points; /* of each curve of the log: how many of its points are written */
    int curves;
    int64_t last_sample; /* the step of the last sheet, counted through all phases */
    bool is_lost;        /* like log_is_lost */
} cai_events;

typedef struct cai_trainer {
    const cai_training *training;
    const cai_train_command *command;
    cai_pool *pool;
    cai_ahead ahead;
    cai_states states;
    cai_dataset **sets; /* NULL: no phase reads the set */
    uint64_t data;      /* a fingerprint of all sets */
    int64_t items;      /* how many items the phases run for; 1 without `each` */
    cai_point point;
    FILE *log;
    bool log_is_lost; /* it cannot be written any more, which was reported */
    cai_progress progress;
    cai_value *values; /* of the phase's shown values; NULL: the phase has not begun */
    double written;    /* when the last checkpoint was written */
    double begun;      /* when this process began its first step */
    double minutes[2]; /* as in cai_pace; 0 while steps are repeated */
    cai_page page;
    bool samples_are_lost; /* like log_is_lost */
    cai_events events;
    int only;     /* the only phase to run (--phase); -1: all */
    double scale; /* the factor of --find-rate */
} cai_trainer;

bool cai_trainer_open(cai_trainer *trainer, cai_error *error);
void cai_trainer_close(cai_trainer *trainer);
/* Whether all phases are over, or with --phase that one. */
bool cai_trainer_is_over(const cai_trainer *trainer);
/* With --phase, moves the point to that phase. `resumed`: the folder had a run. */
bool cai_trainer_go_to_phase(cai_trainer *trainer, bool resumed, cai_error *error);
/* With --phase in a new run: runs what `once` does in the phases before. */
bool cai_trainer_begin_skipped(cai_trainer *trainer, cai_error *error);
/* Runs from the point to the end, or until a stop is asked for. */
bool cai_trainer_run(cai_trainer *trainer, cai_error *error);
cai_pace cai_trainer_pace(const cai_trainer *trainer, const cai_phase *phase);
/* Allocates the values of the current phase, unless they exist. */
bool cai_trainer_make_values(cai_trainer *trainer, cai_error *error);
/* The set that counts the phase's epochs; -1: none. */
int cai_trainer_paced_by(const cai_trainer *trainer, const cai_phase *phase);
int64_t cai_trainer_steps(const cai_trainer *trainer, int64_t phase); /* the number of steps of the phase */
/* The position in a set at which the current step begins. */
int64_t cai_trainer_drawn(const cai_trainer *trainer, int set);
/* The position of the sample of a `once` or `each` set in the current item. */
int64_t cai_trainer_staying(const cai_trainer *trainer, int set);
/* The seed of a step in the current phase and item. */
int64_t cai_trainer_seed(const cai_trainer *trainer, int64_t step);
/* --profile: how long each kernel takes in the first phase's step, on the first
 * samples. */
bool cai_trainer_profile(cai_trainer *trainer, cai_error *error);
/* Writes last.safetensors; the one before becomes previous.safetensors. */
bool cai_trainer_keep(cai_trainer *trainer, cai_error *error);

bool cai_running_open(cai_trainer *trainer, const cai_entry *entry, cai_running *running, cai_error *error);
/* Prepares the context for running->shapes, and allocates the ports' own memory. */
bool cai_running_prepare(cai_running *running, cai_error *error);
/* Allocates the buffers for the next step's samples, unless they exist. */
bool cai_running_double(cai_running *running, cai_error *error);
void cai_running_close(cai_running *running);
/* Sets the inputs that are counters and guards, then runs the entry. */
bool cai_running_run(cai_trainer *trainer, cai_running *running, int64_t step, uint32_t guards, int64_t seed,
                     cai_error *error);
/* those that hold in the step, as bits */
uint32_t cai_trainer_guards(const cai_trainer *trainer, int64_t step);

/* Reads samples for the entry's ports: rows[set] of each set, from positions[set] on.
 * rows NULL: the batch size of each set. */
bool cai_batch_read(const cai_trainer *trainer, const cai_running *running, int part,
                    const int64_t *positions, const int64_t *rows, cai_error *error);

/* The same in pieces. Any thread may take samples between begin and finish or drop. */
void cai_reading_open(cai_reading *reading, const cai_trainer *trainer);
void cai_reading_close(cai_reading *reading);
void cai_reading_begin(cai_reading *reading, const cai_running *running, bool ahead, int part,
                       const int64_t *positions, const int64_t *rows);
/* Reads the next sample; false if none is left. Is a cai_work_beside: a call after the
 * reading is finished does nothing. */
bool cai_reading_take(void *reading);
bool cai_reading_finish(cai_reading *reading, cai_error *error); /* with all threads of the pool */
void cai_reading_drop(cai_reading *reading);                     /* skips samples that nobody has begun */

bool cai_ahead_open(cai_trainer *trainer, cai_error *error); /* after the pool and the sets are opened */
void cai_ahead_close(cai_trainer *trainer);                  /* after the pool is freed */
/* Provides the entry with the samples at these positions: swaps in the buffers that were
 * read ahead, or reads the samples now. */
bool cai_ahead_take(cai_trainer *trainer, cai_running *running, const int64_t *positions, cai_error *error);
/* Begins to read ahead for the step after the one at these positions. */
bool cai_ahead_begin(cai_trainer *trainer, cai_running *running, const int64_t *positions, cai_error *error);
void cai_ahead_drop(cai_trainer *trainer); /* abandons what is being read ahead */

/* Runs the entry on the samples of the current step. */
bool cai_trainer_run_entry(cai_trainer *trainer, cai_running *running, int64_t step, uint32_t guards,
                           cai_error *error);
/* Opens the entry and prepares it for the shapes that it was compiled for. */
bool cai_trainer_open_entry(cai_trainer *trainer, const cai_entry *entry, cai_running *running,
                            cai_error *error);
bool cai_trainer_run_once(cai_trainer *trainer, const cai_phase *phase, cai_error *error);

bool cai_measure_run(cai_trainer *trainer, const cai_measure *measure, cai_error *error);
/* Before the first step, checks that the last batch, which is smaller, has sizes that the
 * text allows. */
bool cai_measure_check(cai_trainer *trainer, const cai_measure *measure, cai_error *error);
/* Measures again only for its updates of states: prints and saves nothing. */
bool cai_measure_again(cai_trainer *trainer, const cai_measure *measure, cai_error *error);

/* ---- items.c: the results of each item ---- */

/* The set whose samples are the items; -1: none. */
int cai_items_set(const cai_training *training);
/* Sets trainer->items: the number of samples of the `each` set, or 1. */
bool cai_items_count(cai_trainer *trainer, cai_error *error);
/* At the end of an item, writes the pictures that the last step shows, and the trained
 * weights. */
void cai_items_keep(cai_trainer *trainer, const cai_running *running);
bool cai_items_forget(const cai_trainer *trainer, cai_error *error);
/* "photo 3 of 20"; "" without `each` */
const char *cai_item_text(const cai_trainer *trainer, char *out, size_t size);

/* ---- infinite.c ---- */

/* Finds the first step, up to `last`, and in it the first layer, whose result was not
 * finite. Writes lines for the end of an error message; "" if it finds none. Leaves
 * states and point changed, so the run cannot go on. */
void cai_infinite_find(cai_trainer *trainer, const cai_phase *phase, cai_running *running, int64_t last,
                       char *out, size_t size);

/* ---- folder.c: the folder of a run ---- */

/* Makes the folder and locks it against other trainers. With --fresh, removes the run in
 * it. */
bool cai_folder_open(cai_trainer *trainer, cai_error *error);
/* The seed of the command line, else of the run in the folder. */
uint64_t cai_folder_seed(const cai_trainer *trainer);
/* If the folder has a run, goes to its point. Fails if that run is of another text, other
 * data or other lengths. */
bool cai_folder_resume(cai_trainer *trainer, bool *found, cai_error *error);
bool cai_folder_begin(cai_trainer *trainer, cai_error *error); /* writes run.cai and run.json of a new run */
/* If somebody has removed the folder, makes it again and reports that. */
bool cai_folder_restore(cai_trainer *trainer, cai_error *error);
char *cai_folder_path(const cai_trainer *trainer, const char *name, char *out, size_t size);

/* ---- log.c, progress.c: what the user sees ---- */

#define CAI_LOG_HELD_OUT "held out" /* key of log lines; true in lines of measurements */

/* Opens the log, without lines of steps after the point. */
bool cai_log_open(cai_trainer *trainer, cai_error *error);
void cai_log_step(cai_trainer *trainer, const cai_phase *phase, uint32_t guards);
void cai_log_measured(cai_trainer *trainer, const cai_measure *measure, const double *values, bool saved);

void cai_progress_step(cai_trainer *trainer, double milliseconds);
/* The line of --time for the last step:
 *     step 3  loss 6.95338297  612.312 ms  1201.733 ms of CPU time  waited 0.004 ms
 * `of_processors` is the CPU time of all threads; `waited` is the time until the samples
 * were read. */
void cai_progress_time(const cai_trainer *trainer, double milliseconds, double of_processors, double waited);
/* removes the progress line, so that other text can be printed */
void cai_progress_say(cai_trainer *trainer, const char *format, ...) CAI_PRINTF(2, 3);
void cai_progress_clear(void);
const char *cai_count_text(int64_t count, char *out, size_t size);      /* "80,000" */
const char *cai_time_text(double milliseconds, char *out, size_t size); /* "1 h 52" */

/* ---- history.c: log.jsonl as curves ---- */

typedef struct cai_curve {
    char *name;
    bool held_out; /* from measurements */
    int64_t count, room;
    double *points; /* x and y in turn: the step, counted through all phases, and the value; NaN is a gap */
    int64_t best;   /* the last point that `save` kept; -1: none */
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
    bool logarithmic; /* x is on a logarithmic scale */
} cai_panel;

void cai_chart_print(const cai_panel *panels, int count, FILE *out);
void cai_print_xml(const char *text, FILE *out); /* escapes text for elements and quoted attributes */

/* ---- samples.c: sheets of shown pictures ---- */

typedef struct cai_sample_name { /* of a file in samples/ */
    char show[100];
    int phase; /* from 1 */
    long long step;
} cai_sample_name;

bool cai_sample_parse(const char *name, cai_sample_name *out);
void cai_sample_file(const cai_sample_name *name, char *out, size_t size); /* "samples/fake-00000400.png" */
/* Lists the sheets, ordered by show, then by step. The caller frees *list. Returns the
 * count. */
int cai_samples_list(const cai_trainer *trainer, cai_sample_name **list);
/* Removes the sheets of steps after the point, or all sheets. */
bool cai_samples_cut(const cai_trainer *trainer, bool all, cai_error *error);
void cai_samples_step(cai_trainer *trainer, const cai_phase *phase, const cai_running *running,
                      uint32_t guards);
/* Writes the pictures that the phase shows as PATH.png or, where it shows several, each
 * as PATH.SHOW.png. */
bool cai_samples_item(const cai_trainer *trainer, const cai_running *running, const char *path,
                      cai_error *error);
void cai_samples_measured(cai_trainer *trainer, const cai_measure *measure, const cai_running *running);

/* ---- page.c: curves.svg and index.html ---- */

void cai_page_step(cai_trainer *trainer); /* now and then, during a run */
void cai_page_write(cai_trainer *trainer, bool running);

/* ---- events.c: files for TensorBoard ---- */

/* Appends what is new in the log and the samples. */
void cai_events_write(cai_trainer *trainer, const cai_history *history);
void cai_events_forget(const cai_trainer *trainer);
void cai_events_close(cai_events *events);

/* ---- rate.c: --find-rate ---- */

/* whether the trainer was built for --find-rate, and can do nothing else */
bool cai_training_finds_rate(const cai_training *training);
bool cai_rate_find(cai_trainer *trainer, cai_error *error);

/* ---- signals.c ---- */

/* From now on SIGINT, SIGTERM and SIGHUP ask the run to stop after its current step; a
 * second signal ends the process. */
void cai_stop_on_signals(void);
bool cai_stop_is_asked(void);

#endif
