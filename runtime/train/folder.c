/* The folder of a run:
 *
 *     run.cai               the text that the run was begun with
 *     run.json              its settings, seed and data
 *     log.jsonl             what was shown and measured (log.c)
 *     last.safetensors      the latest checkpoint; previous.safetensors: the one before
 *     best.safetensors      the checkpoint that `save` chose
 *     samples/              sheets of what is shown (samples.c)
 *     curves.svg            the curves of the log; index.html: with the samples (page.c)
 *     items/                the results of each item (items.c)
 *     lock                  held while a trainer works in the folder */
#include "train/train.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

char *cai_folder_path(const cai_trainer *trainer, const char *name, char *out, size_t size) {
    snprintf(out, size, "%s/%s", trainer->command->folder, name);
    return out;
}

/* ---- making and locking ---- */

static bool make_folder(const char *path, cai_error *error) {
    char copy[4096];
    snprintf(copy, sizeof copy, "%s", path);
    for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(copy, 0777);
        *slash = '/';
    }
    struct stat status;
    if (mkdir(copy, 0777) != 0 && errno != EEXIST)
        return cai_fail(error, CAI_BAD_INPUT, "%s: cannot be created: %s", path, strerror(errno));
    if (stat(copy, &status) == 0 && S_ISDIR(status.st_mode)) return true;
    return cai_fail(error, CAI_BAD_INPUT, "%s: is not a folder, and a run needs one: -o names another", path);
}

/* The system releases the lock when the process ends, however it ends. */
static bool lock_folder(const cai_trainer *trainer, cai_error *error) {
    char path[4096];
    int descriptor =
        open(cai_folder_path(trainer, "lock", path, sizeof path), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor < 0)
        return cai_fail(error, CAI_BAD_INPUT, "%s: cannot be written: %s", trainer->command->folder,
                        strerror(errno));
    if (flock(descriptor, LOCK_EX | LOCK_NB) == 0) return true;
    close(descriptor);
    if (errno != EWOULDBLOCK) return true; /* the file system has no locks */
    return cai_fail(error, CAI_BAD_INPUT, "%s: another trainer is using this folder",
                    trainer->command->folder);
}

static bool forget_run(const cai_trainer *trainer, cai_error *error) {
    static const char *const names[] = {
        "run.cai",          "run.json",   "log.jsonl", "last.safetensors", "previous.safetensors",
        "best.safetensors", "curves.svg", "index.html"};
    char path[4096];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (unlink(cai_folder_path(trainer, names[i], path, sizeof path)) != 0 && errno != ENOENT)
            return cai_fail(error, CAI_BAD_INPUT, "%s: cannot be removed: %s", path, strerror(errno));
    cai_events_forget(trainer);
    if (!cai_items_forget(trainer, error)) return false;
    return cai_samples_cut(trainer, true, error);
}

/* ---- whether the run in the folder may be resumed ---- */

/* Describes the first difference: "line 12 was `lr = 0.1`, and is now `lr = 0.01`"; false
 * if the texts are equal. */
static bool describe_difference(const char *was, const char *is, char *out, size_t size) {
    int line = cai_first_difference(&was, &is);
    size_t a = strcspn(was, "\n"), b = strcspn(is, "\n");
    snprintf(out, size, "line %d was `%.*s`, and is now `%.*s`", line, (int)(a > 100 ? 100 : a), was,
             (int)(b > 100 ? 100 : b), is);
    return line > 0;
}

static bool texts_differ(const cai_trainer *trainer, char *out, size_t size) {
    char path[4096], *text;
    cai_file file;
    cai_error error;
    if (!trainer->training->text ||
        !cai_file_read(cai_folder_path(trainer, "run.cai", path, sizeof path), &file, &error))
        return false;
    text = cai_allocate(file.count + 1, path, &error);
    if (text) memcpy(text, file.data, file.count), text[file.count] = 0;
    bool differ = text && describe_difference(text, trainer->training->text, out, size);
    free(text);
    cai_file_close(&file);
    return differ;
}

static bool fail_identity(const cai_trainer *trainer, const cai_checkpoint *checkpoint, cai_error *error) {
    char difference[400];
    const char *settings = trainer->training->settings ? trainer->training->settings : "{}";
    if (checkpoint->settings && strcmp(checkpoint->settings, settings) != 0)
        snprintf(difference, sizeof difference, "its settings were %.150s, and are now %.150s",
                 checkpoint->settings, settings);
    else if (!texts_differ(trainer, difference, sizeof difference))
        snprintf(difference, sizeof difference, "what the text uses has changed, or cai itself has");
    return cai_fail(
        error, CAI_BAD_INPUT,
        "%s: has a run of a different text: %s\n  help: --fresh starts over there; -o names another folder",
        trainer->command->folder, difference);
}

static bool fail_change(const char *what, cai_error *error) {
    return cai_fail(error, CAI_BAD_INPUT, "%s\n  help: --anyway continues all the same; --fresh starts over",
                    what);
}

static bool check_lengths(const cai_trainer *trainer, cai_point *point, cai_error *error) {
    char what[300];
    for (int64_t i = point->phase; i < trainer->training->phase_count; i++) {
        int64_t was = point->lengths[i], is = trainer->point.lengths[i];
        if (is < 0) continue; /* in minutes: the length was measured when the phase began */
        point->lengths[i] = is;
        if (was == is || trainer->command->anyway) continue;
        snprintf(what, sizeof what,
                 "%s: this run was started with %lld steps, and now has %lld: schedules would change",
                 trainer->command->folder, (long long)was, (long long)is);
        return fail_change(what, error);
    }
    return true;
}

static bool check_checkpoint(cai_trainer *trainer, cai_checkpoint *checkpoint, cai_error *error) {
    char what[300];
    if (checkpoint->identity != trainer->training->identity) return fail_identity(trainer, checkpoint, error);
    if (checkpoint->parts != trainer->training->parts)
        return cai_fail(error, CAI_BAD_INPUT,
                        "%s: this run takes %lld part%s a step, not %d\n  help: --parts %lld continues it; "
                        "--fresh starts over",
                        trainer->command->folder, (long long)checkpoint->parts,
                        checkpoint->parts == 1 ? "" : "s", trainer->training->parts,
                        (long long)checkpoint->parts);
    if (trainer->command->seed && (uint64_t)trainer->command->seed != checkpoint->point.seed)
        return cai_fail(
            error, CAI_BAD_INPUT,
            "%s: this run has seed %llu, not %lld\n  help: leave --seed out, or start over with --fresh",
            trainer->command->folder, (unsigned long long)checkpoint->point.seed,
            (long long)trainer->command->seed);
    if (checkpoint->data != trainer->data && !trainer->command->anyway) {
        snprintf(what, sizeof what, "%s: this run was started with other data", trainer->command->folder);
        return fail_change(what, error);
    }
    if (checkpoint->target && strcmp(checkpoint->target, trainer->training->target) != 0)
        cai_progress_say(
            trainer,
            "notice: the run continues with code for %s, but was started with code for %s: bits may differ",
            trainer->training->target, checkpoint->target);
    return check_lengths(trainer, &checkpoint->point, error);
}

/* ---- resuming ---- */

static bool take_saved_values(cai_trainer *trainer, const cai_checkpoint *checkpoint, cai_error *error) {
    if (trainer->point.phase >= trainer->training->phase_count) return true;
    if (!cai_trainer_make_values(trainer, error)) return false;
    cai_checkpoint_values(checkpoint, trainer->values,
                          trainer->training->phases[trainer->point.phase].shown_count);
    return true;
}

static bool resume_from(cai_trainer *trainer, const char *path, cai_error *error) {
    cai_checkpoint checkpoint;
    int64_t *lengths = trainer->point.lengths, read[trainer->training->phase_count + 1];
    if (!cai_checkpoint_open(trainer->training, path, read, &checkpoint, error)) return false;
    bool good = check_checkpoint(trainer, &checkpoint, error) &&
                cai_checkpoint_load(&checkpoint, path, &trainer->states, error);
    if (good) {
        memcpy(lengths, read, sizeof *read * (size_t)trainer->training->phase_count);
        trainer->point = checkpoint.point;
        trainer->point.lengths = lengths;
        good = take_saved_values(trainer, &checkpoint, error);
    }
    cai_checkpoint_close(&checkpoint);
    return good;
}

static bool file_exists(const char *path) { return access(path, F_OK) == 0; }

/* Sets are opened with the seed, before the run is resumed; so the seed of the run in the
 * folder is needed first. */
uint64_t cai_folder_seed(const cai_trainer *trainer) {
    char path[4096];
    cai_checkpoint checkpoint;
    cai_error error;
    int64_t lengths[trainer->training->phase_count + 1];
    uint64_t seed = (uint64_t)trainer->command->seed;
    if (trainer->command->fresh || seed) return seed;
    if (!cai_checkpoint_open(trainer->training,
                             cai_folder_path(trainer, "last.safetensors", path, sizeof path), lengths,
                             &checkpoint, &error))
        return seed;
    seed = checkpoint.point.seed;
    cai_checkpoint_close(&checkpoint);
    return seed;
}

/* A trainer that was killed while writing leaves an unfinished file with a temporary
 * name: .last.safetensors.4711.0. */
static void remove_unfinished_files(const char *folder) {
    char path[4400];
    DIR *entries = opendir(folder);
    for (struct dirent *entry; entries && (entry = readdir(entries)) != NULL;) {
        const char *name = entry->d_name;
        bool ours = *name == '.' &&
                    (strstr(name, ".safetensors.") || strstr(name, ".png.") || strstr(name, ".html.") ||
                     strstr(name, ".svg.") || strstr(name, ".json") || strstr(name, "run.cai."));
        snprintf(path, sizeof path, "%s/%s", folder, name);
        if (ours) unlink(path);
    }
    if (entries) closedir(entries);
}

bool cai_folder_open(cai_trainer *trainer, cai_error *error) {
    char within[4096];
    if (!make_folder(trainer->command->folder, error) || !lock_folder(trainer, error)) return false;
    remove_unfinished_files(trainer->command->folder);
    remove_unfinished_files(cai_folder_path(trainer, "samples", within, sizeof within));
    remove_unfinished_files(cai_folder_path(trainer, "items", within, sizeof within));
    return !trainer->command->fresh || forget_run(trainer, error);
}

bool cai_folder_resume(cai_trainer *trainer, bool *found, cai_error *error) {
    char path[4096];
    *found = file_exists(cai_folder_path(trainer, "last.safetensors", path, sizeof path)) ||
             file_exists(cai_folder_path(trainer, "previous.safetensors", path, sizeof path));
    return !*found || resume_from(trainer, path, error);
}

/* ---- a new run ---- */

static void print_run_data(const cai_trainer *trainer, FILE *out) {
    const char *comma = "";
    for (int i = 0; i < trainer->training->set_count; i++) {
        const cai_dataset *set = trainer->sets[i];
        if (!set || trainer->training->sets[i].anew) continue;
        fprintf(out, "%s{\"set\": ", comma);
        cai_print_json_string(trainer->training->sets[i].name, out);
        fprintf(out, ", \"samples\": %lld, \"held out\": %lld}",
                (long long)cai_dataset_count(set, CAI_PART_TRAINING),
                (long long)cai_dataset_count(set, CAI_PART_HELD_OUT));
        comma = ", ";
    }
}

static void print_classes_of(const cai_trainer *trainer, int set, FILE *out, const char **comma) {
    const cai_set *described = &trainer->training->sets[set];
    for (int field = 0; field < described->field_count; field++) {
        int count;
        const char *const *classes = cai_dataset_classes(trainer->sets[set], field, &count);
        if (!classes) continue;
        fputs(*comma, out);
        cai_print_json_string(described->fields[field].name, out);
        for (int i = 0; i < count; i++) {
            fputs(i ? ", " : ": [", out);
            cai_print_json_string(classes[i], out);
        }
        fputs("]", out);
        *comma = ", ";
    }
}

static void print_run(const cai_trainer *trainer, FILE *out) {
    const cai_training *training = trainer->training;
    const char *comma = "";
    fputs("{\n  \"block\": ", out);
    cai_print_json_string(training->name, out);
    fprintf(out,
            ",\n  \"cai\": \"" CAI_VERSION
            "\",\n  \"target\": \"%s\",\n  \"identity\": \"%016llx\",\n  \"seed\": %llu,\n  \"parts\": %d",
            training->target, (unsigned long long)training->identity, (unsigned long long)trainer->point.seed,
            training->parts);
    fprintf(out, ",\n  \"settings\": %s,\n  \"data\": [", training->settings ? training->settings : "{}");
    print_run_data(trainer, out);
    fputs("],\n  \"classes\": {", out);
    for (int i = 0; i < training->set_count; i++)
        if (trainer->sets[i] && !training->sets[i].anew) print_classes_of(trainer, i, out, &comma);
    fputs("}\n}\n", out);
}

static bool write_run(const cai_trainer *trainer, cai_error *error) {
    char path[4096], *text;
    size_t count;
    FILE *out = open_memstream(&text, &count);
    if (!out) return cai_fail_memory(error, 0, "run.json");
    print_run(trainer, out);
    fclose(out);
    bool done = cai_file_write(cai_folder_path(trainer, "run.json", path, sizeof path), text, count, error);
    free(text);
    return done;
}

static bool write_origin(const cai_trainer *trainer, cai_error *error) {
    char path[4096];
    const char *text = trainer->training->text;
    return write_run(trainer, error) &&
           (!text || cai_file_write(cai_folder_path(trainer, "run.cai", path, sizeof path), text,
                                    strlen(text), error));
}

bool cai_folder_begin(cai_trainer *trainer, cai_error *error) {
    return forget_run(trainer, error) && write_origin(trainer, error);
}

/* The lock is enough to see whether the folder is still there, since nobody removes that
 * file alone. */
bool cai_folder_restore(cai_trainer *trainer, cai_error *error) {
    char lock[4096];
    if (file_exists(cai_folder_path(trainer, "lock", lock, sizeof lock))) return true;
    if (!make_folder(trainer->command->folder, error) || !lock_folder(trainer, error) ||
        !write_origin(trainer, error) || !cai_log_open(trainer, error))
        return false;
    cai_events_close(&trainer->events);
    trainer->events = (cai_events){0};
    trainer->log_is_lost = trainer->page.is_lost = trainer->samples_are_lost = false;
    cai_progress_say(trainer, "%s was removed: it is created again, without what it had before step %lld",
                     trainer->command->folder, (long long)trainer->point.step);
    return true;
}
