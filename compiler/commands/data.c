/* cai data: shows what a train block would read of the given data, as a table and a sheet
 * of samples. The words after FILE are those of `cai train`, and the sets are opened as
 * by its trainer (runtime/train). */
#include "commands/commands.h"
#include "train/train.h"

/* ---- parsing the words as the trainer does ---- */

static char *copy_word(Arena *arena, const char *text) { return arena_printf(arena, "%s", text); }

static char **trainer_words(Session *s, int first, int *count) {
    const Options *o = s->options;
    const struct {
        const char *name, *value;
    } given[] = {{"--seed", o->seed}, {"--held-out", o->held_out}, {"--fold", o->fold}};
    char **words = NEW_ARRAY(s->arena, char *, o->rest.count + 10);
    *count = 0;
    words[(*count)++] = copy_word(s->arena, "cai data");
    for (int i = 0; i < COUNT_OF(given); i++)
        if (given[i].value)
            words[(*count)++] = arena_printf(s->arena, "%s=%s", given[i].name, given[i].value);
    if (o->strict) words[(*count)++] = copy_word(s->arena, "--strict");
    words[(*count)++] = copy_word(s->arena, "--");
    for (int i = first; i < o->rest.count; i++) words[(*count)++] = copy_word(s->arena, o->rest.items[i]);
    return words;
}

/* ---- showing ---- */

static void data_notice(const char *path, const char *text) {
    fprintf(stderr, "notice: %s: %s\n", path, text);
}

/* NAME.png for the first set that has pictures, NAME2.png for the second. */
static const char *sheet_path(Session *s, int number) {
    const char *path = s->options->output, *dot = strrchr(path, '.');
    if (number == 1) return path;
    int stem = dot ? (int)(dot - path) : (int)strlen(path);
    return arena_printf(s->arena, "%.*s%d%s", stem, path, number, dot ? dot : "");
}

static bool show_set(Session *s, const cai_training *training, const cai_train_command *command, int set,
                     int *sheets, cai_error *error) {
    cai_dataset *data = cai_set_open(training, command, set, (uint64_t)command->seed, data_notice, error);
    if (!data) return false;
    cai_dataset_print(data, stdout);
    bool good = true;
    if (s->options->output && cai_dataset_has_pictures(data)) {
        const char *path = sheet_path(s, ++*sheets);
        good = cai_dataset_draw(data, path, error);
        if (good) printf("%s: the first samples as they are cut\n", path);
    }
    cai_dataset_free(data);
    return good;
}

static bool show_sets(Session *s, const cai_training *training, int first, cai_error *error) {
    cai_train_command command;
    int count, sheets = 0;
    char **words = trainer_words(s, first, &count);
    if (!cai_train_command_parse(training, count, words, &command, error)) return false;
    bool good = true;
    for (int i = 0; good && i < training->set_count; i++)
        if (cai_set_is_read(training, i) && !training->sets[i].anew)
            good = show_set(s, training, &command, i, &sheets, error);
    cai_train_command_free(&command);
    return good;
}

int command_data(Session *s) {
    const Options *o = s->options;
    Library *library = build_open(s);
    if (!library) return session_end(s);
    bool named = o->rest.count > 0 && trainer_find(library, o->rest.items[0]) >= 0;
    int block = trainer_pick(s, library, named ? o->rest.items[0] : NULL);
    const Training *training = block < 0 ? NULL : elaborate_training(library, block);
    int code = session_end(s);
    if (!training || code != EXIT_GOOD) return code ? code : EXIT_DIAGNOSED;
    const cai_training tables = training_tables(s->arena, training);
    cai_error error;
    if (show_sets(s, &tables, named, &error)) return EXIT_GOOD;
    fprintf(stderr, "error: %s\n", error.message);
    return error.status == CAI_BAD_USAGE ? EXIT_USAGE : EXIT_DIAGNOSED;
}
