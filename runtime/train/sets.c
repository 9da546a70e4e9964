/* Opens the data sets of a train block, as the command line says. */
#include "train/train.h"
#include <stdlib.h>
#include <string.h>

#define HELD_OUT 0.1 /* the share of a set that is held out if the data has no part for measuring */

static bool is_measured(const cai_training *training, int set) {
    for (int i = 0; i < training->phase_count; i++)
        for (int k = 0; k < training->phases[i].measure_count; k++)
            if (training->phases[i].measures[k].sets >> set & 1) return true;
    return false;
}

/* Whether the block measures this set, or another one that reads the same data. */
static bool measures_on(const cai_training *training, int set) {
    const int data = cai_set_of_data(training->sets, set);
    bool measured = false;
    for (int i = 0; i < training->set_count; i++)
        measured |= cai_set_of_data(training->sets, i) == data && is_measured(training, i);
    return measured;
}

static bool is_read_by(const cai_entry *entry, int set) {
    for (int i = 0; i < entry->input_count; i++)
        if (entry->inputs[i].kind == CAI_BIND_FIELD && entry->inputs[i].index == set) return true;
    return false;
}

bool cai_set_is_read(const cai_training *training, int set) {
    bool read = is_measured(training, set);
    for (int i = 0; i < training->phase_count; i++) {
        const cai_phase *phase = &training->phases[i];
        read |= phase->rounds[set] > 0 || is_read_by(&phase->once, set) || is_read_by(&phase->kept, set);
        for (int k = 0; k < phase->measure_count; k++)
            read |= is_read_by(&phase->measures[k].batch, set) || is_read_by(&phase->measures[k].last, set);
    }
    return read;
}

static cai_data_options options_of(const cai_training *training, const cai_train_command *command, int set) {
    bool measured = measures_on(training, set);
    double share = command->held_out ? (double)command->held_out / 100 : HELD_OUT;
    return (cai_data_options){.set = cai_set_of_data(training->sets, set),
                              .strict = command->strict,
                              .held_out = measured ? share : 0,
                              .fold = command->fold,
                              .folds = measured ? command->folds : 0};
}

/* `cai train cut.cai discs`, where both the block and a folder are called so. */
static bool fail_called_alike(const cai_training *training, int set, cai_error *error) {
    return cai_fail(
        error, CAI_BAD_USAGE,
        "the set of `%s` has no files: `%s` is the block\n  help: write ./%s for the folder of this name",
        training->sets[set].name, training->name, training->name);
}

cai_dataset *cai_set_open(const cai_training *training, const cai_train_command *command, int set,
                          uint64_t seed, cai_notice *notice, cai_error *error) {
    const char *paths[command->operand_count + 1], *names[command->operand_count + 1];
    cai_data_options options = options_of(training, command, set);
    int count = 0;
    options.seed = seed;
    options.notice = notice;
    for (int i = 0; i < command->operand_count; i++) {
        if (command->operands[i].set != cai_set_of_data(training->sets, set)) continue;
        paths[count] = command->operands[i].path;
        names[count++] = command->operands[i].name;
    }
    if (count == 0 && !training->sets[set].place && cai_is_folder(training->name))
        return fail_called_alike(training, set, error), NULL;
    cai_dataset *data = cai_dataset_open(&training->sets[set], paths, names, count, &options, error);
    if (data && is_measured(training, set) && cai_dataset_count(data, CAI_PART_HELD_OUT) == 0)
        notice(training->sets[set].name, "none of its samples are held out, so there is nothing to measure: "
                                         "--held-out PERCENT sets their share");
    return data;
}
