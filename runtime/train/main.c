/* The main function of a trainer: resumes the run in its folder or begins a new one, runs
 * it, and prints the outcome. */
#include "train/train.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *program_name = "cai";

static int end_training(const cai_error *error) {
    cai_progress_clear();
    fflush(stdout);
    fprintf(stderr, "%s: error: %s\n", program_name, error->message);
    return error->status == CAI_NO_MEMORY || error->status == CAI_WRONG_CPU ? CAI_BAD_INPUT : error->status;
}

static bool check_program(const cai_training *training, cai_error *error) {
    if (training->abi != CAI_TRAINING_ABI)
        return cai_fail(error, CAI_INTERNAL,
                        "the trainer was built for version %u of the runtime, but this is version %u",
                        training->abi, CAI_TRAINING_ABI);
    return cai_cpu_runs(training->cpu) ||
           cai_fail(
               error, CAI_WRONG_CPU,
               "this trainer was built for %s, and this machine's CPU cannot run it: build it with `cai build --target`",
               training->target);
}

/* ---- the outcome ---- */

static void tell_skipped(const cai_trainer *trainer) {
    for (int i = 0; i < trainer->training->set_count; i++) {
        int64_t skipped = trainer->sets[i] ? cai_dataset_skipped(trainer->sets[i]) : 0;
        if (skipped)
            printf("%lld sample%s of `%s` left out, as was told\n", (long long)skipped,
                   skipped == 1 ? "" : "s", trainer->training->sets[i].name);
    }
}

static bool has_best(const cai_training *training) {
    for (int i = 0; i < training->phase_count; i++)
        for (int k = 0; k < training->phases[i].measure_count; k++)
            if (training->phases[i].measures[k].save != CAI_SAVE_NEVER) return true;
    return false;
}

/* Steps of all finished phases, in all items. */
static int64_t all_steps(const cai_trainer *trainer) {
    int64_t all = 0;
    for (int i = 0; i < trainer->point.phase; i++) all += cai_trainer_steps(trainer, i) * trainer->items;
    return all;
}

static void tell_end(const cai_trainer *trainer) {
    char steps[32], took[32];
    const char *folder = trainer->command->folder;
    printf("%s steps in %s", cai_count_text(all_steps(trainer), steps, sizeof steps),
           cai_time_text(cai_milliseconds() - trainer->progress.begun, took, sizeof took));
    if (*trainer->progress.measured) printf(": %s", trainer->progress.measured);
    printf("\n%s/last.safetensors has the weights%s\n", folder,
           has_best(trainer->training) ? ", best.safetensors those that measured best" : "");
    if (cai_items_set(trainer->training) >= 0) printf("%s/items has the results of each item\n", folder);
    tell_skipped(trainer);
}

static void tell_stop(const cai_trainer *trainer) {
    char step[32], steps[32];
    const cai_phase *phase = &trainer->training->phases[trainer->point.phase];
    char item[200];
    printf("stopped after step %s of %s%s%s%s%s: the same command again continues from there\n",
           cai_count_text(trainer->point.step, step, sizeof step),
           cai_count_text(cai_trainer_steps(trainer, trainer->point.phase), steps, sizeof steps),
           *phase->name ? " of phase " : "", phase->name, trainer->items > 1 ? ", " : "",
           cai_item_text(trainer, item, sizeof item));
}

/* ---- the run ---- */

static bool begin_or_resume(cai_trainer *trainer, cai_error *error) {
    bool found;
    char step[32];
    if (!cai_folder_resume(trainer, &found, error) || !cai_trainer_go_to_phase(trainer, found, error))
        return false;
    if (found && !cai_trainer_is_over(trainer) &&
        (trainer->point.item || trainer->point.phase || trainer->point.step))
        cai_progress_say(trainer, "continuing after step %s",
                         cai_count_text(trainer->point.step, step, sizeof step));
    if (!found && !(cai_folder_begin(trainer, error) &&
                    cai_states_start(&trainer->states, trainer->point.seed, error) &&
                    cai_trainer_begin_skipped(trainer, error)))
        return false;
    return cai_samples_cut(trainer, false, error) && cai_log_open(trainer, error);
}

static bool run_trainer(cai_trainer *trainer, cai_error *error) {
    if (!begin_or_resume(trainer, error)) return false;
    if (cai_trainer_is_over(trainer)) {
        char steps[32];
        cai_page_write(trainer, false); /* the process may have been killed before it wrote the page */
        printf("%s: this run is finished: %s steps (--fresh starts over)\n", trainer->command->folder,
               cai_count_text(all_steps(trainer), steps, sizeof steps));
        return true;
    }
    cai_stop_on_signals();
    bool done = cai_trainer_run(trainer, error);
    if (!done) trainer->page.wrong = error->message;
    cai_page_write(trainer, false);
    if (!done) return false;
    cai_progress_clear();
    if (cai_trainer_is_over(trainer)) tell_end(trainer);
    else tell_stop(trainer);
    return true;
}

/* --profile does not touch the folder. */
static bool train_or_profile(cai_trainer *trainer, cai_error *error) {
    if (trainer->command->profile)
        return cai_trainer_open(trainer, error) && cai_trainer_profile(trainer, error);
    bool (*train)(cai_trainer *, cai_error *) =
        cai_training_finds_rate(trainer->training) ? cai_rate_find : run_trainer;
    return cai_folder_open(trainer, error) && cai_trainer_open(trainer, error) && train(trainer, error);
}

static int run_command(const cai_training *training, const cai_train_command *command, cai_error *error) {
    cai_trainer trainer = {.training = training, .command = command};
    int status = 0;
    if (!check_program(training, error) || !train_or_profile(&trainer, error)) status = end_training(error);
    cai_trainer_close(&trainer);
    return status;
}

int cai_train_main(const cai_training *training, int argc, char **argv) {
    cai_error error;
    cai_train_command command;
    cai_clean_up_on_signals();
    bool parsed = cai_train_command_parse(training, argc, argv, &command, &error);
    program_name = command.program;
    int status = 0;
    if (!parsed) {
        status = end_training(&error);
        fprintf(stderr, "`%s --help` says what it takes\n", program_name);
        return status;
    }
    if (command.help) cai_train_help(training, command.program, stdout);
    else if (command.version)
        printf("%s, built by cai " CAI_VERSION " for %s\n", training->name, training->target);
    else status = run_command(training, &command, &error);
    cai_train_command_free(&command);
    fflush(stdout);
    return status;
}
