/* The data sets of a train block, from the words of a command line. */
#include "train/train.h"
#include <stdlib.h>
#include <string.h>

#define HELD_OUT                                                                                   \
    0.1 /* the share of a set that is measured on, where the data has no part for that */

/* Whether something is measured on the data of a set, by whatever inputs. */
static bool measures_on(const cai_training *training, int data) {
    for (int i = 0; i < training->phase_count; i++)
        for (int k = 0; k < training->phases[i].measure_count; k++)
            if (cai_set_of_data(training->sets, training->phases[i].measures[k].set) == data)
                return true;
    return false;
}

static bool is_measured(const cai_training *training, int set) {
    for (int i = 0; i < training->phase_count; i++)
        for (int k = 0; k < training->phases[i].measure_count; k++)
            if (training->phases[i].measures[k].set == set) return true;
    return false;
}

bool cai_set_is_read(const cai_training *training, int set) {
    for (int i = 0; i < training->phase_count; i++)
        if (training->phases[i].rounds[set] > 0) return true;
    return is_measured(training, set);
}

static cai_data_options options_of(const cai_training *training, const cai_train_command *command,
                                   int set) {
    bool measured = measures_on(training, set);
    double share = command->held_out ? (double)command->held_out / 100 : HELD_OUT;
    return (cai_data_options){.set = set,
                              .strict = command->strict,
                              .held_out = measured ? share : 0,
                              .fold = command->fold,
                              .folds = measured ? command->folds : 0};
}

cai_dataset *cai_set_open(const cai_training *training, const cai_train_command *command, int set,
                          uint64_t seed, cai_notice *notice, cai_error *error) {
    const char *paths[command->operand_count + 1], *names[command->operand_count + 1];
    int data = cai_set_of_data(training->sets, set), count = 0;
    cai_data_options options = options_of(training, command, data);
    options.seed = seed;
    options.notice = notice;
    for (int i = 0; i < command->operand_count; i++) {
        if (command->operands[i].set != data) continue;
        paths[count] = command->operands[i].path;
        names[count++] = command->operands[i].name;
    }
    return cai_dataset_open(&training->sets[set], paths, names, count, &options, error);
}
