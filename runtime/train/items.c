/* The results of each item, in a block that trains for one sample after the other
 * (`each`): items/NAME.png is what the last step shows, items/NAME.safetensors the
 * trained weights. NAME is the name of the sample, so that a folder of photographs
 * becomes a folder of results. */
#include "train/train.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the number of items ---- */

int cai_items_set(const cai_training *training) {
    for (int i = 0; i < training->set_count; i++)
        if (training->sets[i].fields[0].each && cai_set_is_read(training, i)) return i;
    return -1;
}

/* Several `each` sets are read side by side, and must have equally many samples. */
bool cai_items_count(cai_trainer *trainer, cai_error *error) {
    const cai_training *training = trainer->training;
    int first = cai_items_set(training);
    trainer->items = first < 0 ? 1 : cai_dataset_count(trainer->sets[first], CAI_PART_TRAINING);
    for (int i = first + 1; first >= 0 && i < training->set_count; i++) {
        if (!training->sets[i].fields[0].each || !trainer->sets[i]) continue;
        int64_t count = cai_dataset_count(trainer->sets[i], CAI_PART_TRAINING);
        if (count != trainer->items)
            return cai_fail(error, CAI_BAD_INPUT,
                            "`%s` has %lld samples, and `%s` has %lld: `each` needs equally many of both",
                            training->sets[first].name, (long long)trainer->items, training->sets[i].name,
                            (long long)count);
    }
    return true;
}

const char *cai_item_text(const cai_trainer *trainer, char *out, size_t size) {
    int set = cai_items_set(trainer->training);
    char number[32], count[32];
    *out = 0;
    if (set >= 0)
        snprintf(out, size, "%s %s of %s", trainer->training->sets[set].name,
                 cai_count_text(trainer->point.item + 1, number, sizeof number),
                 cai_count_text(trainer->items, count, sizeof count));
    return out;
}

/* ---- files ---- */

static char *items_folder(const cai_trainer *trainer, char *path, size_t size) {
    return cai_folder_path(trainer, "items", path, size);
}

/* Samples from nested folders also have their number in the name, so that no two names
 * are equal. */
static void name_item(const cai_trainer *trainer, char *out, size_t size) {
    char number[24];
    const cai_dataset *set = trainer->sets[cai_items_set(trainer->training)];
    snprintf(out, size, "items/%s", cai_dataset_name(set, CAI_PART_TRAINING, trainer->point.item, number));
    char *at = out + strlen("items/");
    bool nested = strchr(at, '/') != NULL;
    for (; *at; at++)
        if (*at == '/') *at = '_';
    if (nested && at + 24 < out + size) sprintf(at, "-%lld", (long long)trainer->point.item + 1);
}

static bool is_trained_in_phases(const cai_training *training, int state) {
    for (int i = 0; i < training->phase_count; i++) {
        const cai_entry *step = &training->phases[i].step;
        for (int k = 0; k < step->output_count; k++)
            if (step->outputs[k].kind == CAI_BIND_STATE && step->outputs[k].index == state) return true;
    }
    return false;
}

static bool write_item_weights(const cai_trainer *trainer, const char *path, cai_error *error) {
    const cai_training *training = trainer->training;
    cai_tensor *tensors =
        cai_allocate(sizeof *tensors * ((size_t)training->state_count + 1), "the weights of an item", error);
    int count = 0;
    if (!tensors) return false;
    for (int i = 0; i < training->state_count; i++) {
        const cai_state *state = &training->states[i];
        if (state->kind == CAI_STATE_PARAMETER && is_trained_in_phases(training, i))
            tensors[count++] = cai_state_tensor(state, trainer->states.data[i]);
    }
    bool done = count == 0 || cai_tensors_write_with(path, tensors, count, NULL, 0, error);
    free(tensors);
    return done;
}

/* An item that cannot be written does not end the run. */
void cai_items_keep(cai_trainer *trainer, const cai_running *running) {
    char name[300], path[4500];
    cai_error error;
    if (cai_items_set(trainer->training) < 0) return;
    mkdir(items_folder(trainer, path, sizeof path), 0777);
    name_item(trainer, name, sizeof name);
    cai_folder_path(trainer, name, path, sizeof path - 16);
    size_t length = strlen(path);
    bool written = cai_samples_item(trainer, running, path, &error);
    strcpy(path + length, ".safetensors");
    if (written && write_item_weights(trainer, path, &error)) return;
    cai_progress_say(trainer, "an item could not be written, and the run goes on: %s", error.message);
}

bool cai_items_forget(const cai_trainer *trainer, cai_error *error) {
    char folder[4096], path[4500];
    bool good = true;
    DIR *entries = opendir(items_folder(trainer, folder, sizeof folder));
    for (struct dirent *entry; entries && good && (entry = readdir(entries)) != NULL;) {
        const char *dot = strrchr(entry->d_name, '.');
        if (!dot || (strcmp(dot, ".png") != 0 && strcmp(dot, ".safetensors") != 0)) continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        good = unlink(path) == 0 || errno == ENOENT ||
               cai_fail(error, CAI_BAD_INPUT, "%s: cannot be removed: %s", path, strerror(errno));
    }
    if (entries) closedir(entries);
    rmdir(folder);
    return good;
}
