/* The command line of a trainer: options, and the data of each set, by position or as
 * NAME=PATH. */
#include "train/train.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- inputs ---- */

/* Sets that a phase or a measure declares anew stand behind those that have data of their
 * own. */
static int count_data(const cai_training *training) {
    int count = 0;
    while (count < training->set_count && !training->sets[count].anew) count++;
    return count;
}

static bool find_field(const cai_training *training, const char *text, size_t length, cai_operand *operand) {
    for (int set = 0; set < count_data(training); set++) {
        for (int i = 0; i < training->sets[set].field_count; i++) {
            const char *name = training->sets[set].fields[i].name;
            if (strlen(name) != length || memcmp(name, text, length) != 0) continue;
            operand->set = set;
            operand->name = name;
            return true;
        }
    }
    return false;
}

/* ---- options ---- */

typedef enum OptionKind { FLAG, NUMBER, TEXT, FOLD } OptionKind;

typedef struct Option {
    const char *name, *value; /* value NULL: an option without a value */
    OptionKind kind;
    size_t offset;     /* in cai_train_command */
    int64_t low, high; /* bounds of a number */
    const char *help;
} Option;

#define FIELD(name) offsetof(cai_train_command, name)
static const Option options[] = {
    {"-o", "FOLDER", TEXT, FIELD(folder), 0, 0,
     "the folder of the run (default: run): checkpoints, log.jsonl, run.json"},
    {"--phase", "NAME", TEXT, FIELD(phase), 0, 0, "run only this phase"},
    {"--steps", "N", NUMBER, FIELD(steps), 1, INT64_MAX / 2,
     "take N steps in each phase, instead of the length in the text"},
    {"--seed", "N", NUMBER, FIELD(seed), 0, INT64_MAX,
     "the seed of initial weights, sample order and random numbers (default: 0)"},
    {"--threads", "N", NUMBER, FIELD(threads), 1, CAI_MAX_THREADS,
     "the number of threads (default: all cores); results do not depend on it"},
    {"--held-out", "PERCENT", NUMBER, FIELD(held_out), 1, 90,
     "the share of samples held out for measuring, if the data has no such part (default: 10)"},
    {"--fold", "K/N", FOLD, FIELD(fold), 0, 0,
     "measure on the K-th of N shares of the samples, and train on the others"},
    {"--checkpoint", "N", NUMBER, FIELD(checkpoint), 1, INT64_MAX / 2,
     "write a checkpoint every N steps (default: every ten minutes)"},
    {"--stop", "N", NUMBER, FIELD(stop), 1, INT64_MAX / 2,
     "stop after step N of the phase, as if interrupted there"},
    {"--patience", "N", NUMBER, FIELD(patience), 1, INT64_MAX / 2,
     "end a phase after N measurements in a row without a new best"},
    {"--fresh", NULL, FLAG, FIELD(fresh), 0, 0, "start over: remove the run that is in the folder"},
    {"--anyway", NULL, FLAG, FIELD(anyway), 0, 0, "continue even if the data or the length has changed"},
    {"--tensorboard", NULL, FLAG, FIELD(tensorboard), 0, 0,
     "also write events for TensorBoard, into the folder's tensorboard/"},
    {"--strict", NULL, FLAG, FIELD(strict), 0, 0,
     "stop at a sample that cannot be read, instead of leaving it out"},
    {"--time", NULL, FLAG, FIELD(time), 0, 0,
     "print a line for each step: its losses, its time, and CPU time of all threads"},
    {"--profile", NULL, FLAG, FIELD(profile), 0, 0,
     "run a step of the first phase repeatedly, and print where its time goes; no run is started"},
    {"--help", NULL, FLAG, FIELD(help), 0, 0, "print this"},
    {"--version", NULL, FLAG, FIELD(version), 0, 0,
     "print the trainer's name, and the version of cai that built it"},
};
enum { OPTIONS = sizeof options / sizeof *options };

static bool option_is_near(const char *a, const char *b) { return cai_edit_distance(a, b, 2) <= 2; }

static bool fail_train_option(const cai_training *training, const char *text, cai_error *error) {
    char name[64];
    cai_operand operand;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(text, "="), text);
    if (strncmp(name, "--", 2) == 0 && find_field(training, name + 2, strlen(name) - 2, &operand))
        return cai_fail(error, CAI_BAD_USAGE, "there is no option %s: an input is given as %s=PATH", name,
                        operand.name);
    for (int i = 0; i < OPTIONS; i++)
        if (strlen(name) > 3 && option_is_near(name, options[i].name))
            return cai_fail(error, CAI_BAD_USAGE, "there is no option %s: did you mean %s?", name,
                            options[i].name);
    return cai_fail(error, CAI_BAD_USAGE, "there is no option %s", name);
}

/* The option that `text` names, and its value if that is in the same word: --seed=3,
 * -orun. */
static const Option *find_train_option(const char *text, const char **value) {
    *value = NULL;
    for (int i = 0; i < OPTIONS; i++) {
        size_t length = strlen(options[i].name);
        if (strncmp(text, options[i].name, length) != 0) continue;
        if (text[length] == 0) return &options[i];
        if (text[length] != '=' && length > 2) continue;
        *value = text + length + (text[length] == '=');
        return &options[i];
    }
    return NULL;
}

static bool read_option_number(const Option *option, const char *text, int64_t *number, cai_error *error) {
    char *end;
    errno = 0;
    *number = strtoll(text, &end, 10);
    if (end != text && *end == 0 && errno == 0 && *number >= option->low && *number <= option->high)
        return true;
    return cai_fail(error, CAI_BAD_USAGE, "%s takes a whole number from %lld to %lld, not `%s`", option->name,
                    (long long)option->low, (long long)option->high, text);
}

/* Parses K/N into two consecutive ints. */
static bool read_fold(const Option *option, const char *text, int *fold, cai_error *error) {
    int end = 0;
    bool read = sscanf(text, "%d/%d%n", &fold[0], &fold[1], &end) == 2 && !text[end];
    return (read && fold[0] >= 1 && fold[1] >= 2 && fold[0] <= fold[1]) ||
           cai_fail(error, CAI_BAD_USAGE, "%s takes a share and the number of shares, such as 1/5, not `%s`",
                    option->name, text);
}

/* Parses the option at argv[*at], and moves *at to its value if that is the next word. */
static bool parse_train_option(const cai_training *training, int argc, char **argv, int *at,
                               cai_train_command *command, cai_error *error) {
    const char *value;
    const Option *option = find_train_option(argv[*at], &value);
    if (!option) return fail_train_option(training, argv[*at], error);
    void *field = (char *)command + option->offset;
    if (option->kind == FLAG) {
        *(bool *)field = true;
        return !value || cai_fail(error, CAI_BAD_USAGE, "%s takes no value", option->name);
    }
    if (!value && *at + 1 >= argc)
        return cai_fail(error, CAI_BAD_USAGE, "%s needs a value after it", option->name);
    if (!value) value = argv[++*at];
    if (option->kind == NUMBER) return read_option_number(option, value, field, error);
    if (option->kind == FOLD) return read_fold(option, value, field, error);
    *(const char **)field = value;
    return *value || cai_fail(error, CAI_BAD_USAGE, "%s needs a name, and this one is empty", option->name);
}

/* ---- data ---- */

static size_t field_name_length(const char *text) {
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
}

static bool fail_field(const cai_training *training, const char *text, size_t length, cai_error *error) {
    char list[500] = "";
    for (int set = 0; set < count_data(training); set++)
        for (int i = 0; i < training->sets[set].field_count; i++) {
            size_t used = strlen(list);
            snprintf(list + used, sizeof list - used, "%s`%s`", used ? ", " : "",
                     training->sets[set].fields[i].name);
        }
    return cai_fail(error, CAI_BAD_USAGE,
                    "there is no input `%.*s`: the inputs are %s (if it is a file, write ./ before its name)",
                    (int)length, text, list);
}

/* NAME=PATH, or PATH for the next set. A path that contains `=` can be written as
 * ./name=rest. */
static bool parse_operand(const cai_training *training, const char *text, int *next_set, cai_operand *operand,
                          cai_error *error) {
    size_t length = field_name_length(text);
    if (length == 0 || text[length] != '=') {
        *operand = (cai_operand){(*next_set)++, NULL, text};
        if (operand->set < count_data(training)) return true;
        return cai_fail(error, CAI_BAD_USAGE, "`%s` is one data argument too many: the block reads %d set%s",
                        text, count_data(training), count_data(training) == 1 ? "" : "s");
    }
    if (!find_field(training, text, length, operand)) return fail_field(training, text, length, error);
    operand->path = text + length + 1;
    return *operand->path || cai_fail(error, CAI_BAD_USAGE, "`%s` does not name a file", text);
}

/* ---- the command line ---- */

bool cai_train_command_parse(const cai_training *training, int argc, char **argv, cai_train_command *command,
                             cai_error *error) {
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    *command = (cai_train_command){.program = slash      ? slash + 1
                                              : argc > 0 ? argv[0]
                                                         : training->name,
                                   .folder = "run"};
    command->operands =
        cai_allocate(sizeof *command->operands * ((size_t)argc + 1), "the command line", error);
    if (!command->operands) return false;
    bool only_data = false, good = true;
    int next_set = 0;
    for (int i = 1; i < argc && good; i++) {
        cai_operand *operand = &command->operands[command->operand_count];
        if (!only_data && strcmp(argv[i], "--") == 0) only_data = true;
        else if (!only_data && argv[i][0] == '-' && argv[i][1])
            good = parse_train_option(training, argc, argv, &i, command, error);
        else good = parse_operand(training, argv[i], &next_set, operand, error), command->operand_count++;
    }
    if (good && command->patience && cai_items_set(training) >= 0)
        good =
            cai_fail(error, CAI_BAD_USAGE,
                     "--patience cannot be used with `each`: its phases have the same length for every item");
    if (!good) cai_train_command_free(command);
    return good;
}

void cai_train_command_free(cai_train_command *command) {
    free(command->operands);
    command->operands = NULL;
}

/* ---- help ---- */

static void print_train_sets(const cai_training *training, FILE *out) {
    for (int i = 0; i < count_data(training); i++) {
        const cai_set *set = &training->sets[i];
        char parts[64] = "";
        if (training->parts > 1) snprintf(parts, sizeof parts, "%d parts of ", training->parts);
        fprintf(out, "  data %d: %s%lld samples a batch%s%s\n", i + 1, parts, (long long)set->batch,
                set->place ? ", by default from " : "", set->place ? set->place : "");
        for (int k = 0; k < set->field_count; k++)
            fprintf(out, "    %s: %s\n", set->fields[k].name, set->fields[k].text);
    }
}

void cai_train_help(const cai_training *training, const char *name, FILE *out) {
    fprintf(out, "usage: %s [option]...", name);
    for (int i = 0; i < count_data(training); i++)
        fprintf(out, " DATA%s", count_data(training) > 1 ? (char[]){(char)('1' + i % 9), 0} : "");
    fputs("\n\n", out);
    if (training->comment) fprintf(out, "%s\n\n", training->comment);
    print_train_sets(training, out);
    fputs(
        "\nDATA is a folder or a file; NAME=PATH gives the path of a single input. The same command again resumes a run that was stopped.\n\nOptions:\n",
        out);
    for (int i = 0; i < OPTIONS; i++) {
        char left[64];
        snprintf(left, sizeof left, "%s%s%s", options[i].name, options[i].value ? " " : "",
                 options[i].value ? options[i].value : "");
        fprintf(out, "  %-20s %s\n", left, options[i].help);
    }
}
