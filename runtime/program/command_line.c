/* The command line of a built program: options, and files for inputs and outputs,
 * `name=file` or by position. */
#include "program/main.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    OPTION_OUTPUT,
    OPTION_THREADS,
    OPTION_SEED,
    OPTION_TIME,
    OPTION_PROFILE,
    OPTION_REPEAT,
    OPTION_HELP,
    OPTION_VERSION,
    OPTION_COUNT
};

typedef struct ProgramOption {
    const char *name;
    char letter;                                 /* 0: none */
    enum { NO_VALUE, VALUE, MAYBE_VALUE } takes; /* MAYBE_VALUE: only in the same word */
} ProgramOption;

static const ProgramOption options[OPTION_COUNT] = {
    [OPTION_OUTPUT] = {"--output", 'o', VALUE}, [OPTION_THREADS] = {"--threads", 0, VALUE},
    [OPTION_SEED] = {"--seed", 0, VALUE},       [OPTION_TIME] = {"--time", 0, NO_VALUE},
    [OPTION_REPEAT] = {"--repeat", 0, VALUE},   [OPTION_PROFILE] = {"--profile", 0, MAYBE_VALUE},
    [OPTION_HELP] = {"--help", 'h', NO_VALUE},  [OPTION_VERSION] = {"--version", 0, NO_VALUE},
};

/* ---- names that are nearly right ---- */

static bool is_near_word(const char *a, const char *b) {
    int limit = strlen(b) > 4 ? 2 : 1;
    return cai_edit_distance(a, b, limit) <= limit;
}

/* ---- numbers ---- */

static bool parse_number(const char *option, const char *text, int64_t low, int64_t high, int64_t *value,
                         cai_error *error) {
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    *value = number;
    if (end != text && *end == 0 && errno == 0 && number >= low && number <= high) return true;
    return cai_fail(error, CAI_BAD_USAGE, "%s takes a whole number from %lld to %lld, not `%s`", option,
                    (long long)low, (long long)high, text);
}

/* ---- files ---- */

static int find_port(const cai_port *ports, int count, const char *name, size_t length) {
    for (int i = 0; i < count; i++) {
        if (strlen(ports[i].name) == length && memcmp(ports[i].name, name, length) == 0) return i;
    }
    return -1;
}

static size_t name_length(const char *text) {
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
}

static bool fail_port(const cai_port *ports, int count, const char *kind, const char *text, size_t length,
                      cai_error *error) {
    char name[64], list[300] = "";
    snprintf(name, sizeof name, "%.*s", (int)length, text);
    for (int i = 0; i < count; i++) {
        if (is_near_word(name, ports[i].name)) {
            return cai_fail(error, CAI_BAD_USAGE, "there is no %s `%s`: did you mean `%s`?", kind, name,
                            ports[i].name);
        }
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s`%s`", i ? ", " : "", ports[i].name);
    }
    return cai_fail(error, CAI_BAD_USAGE, "there is no %s `%s`: there %s %s%s", kind, name,
                    count == 1 ? "is" : "are", count ? list : "none",
                    access(text, F_OK) == 0 ? " (if it is a file, write ./ before its name)" : "");
}

/* `name=file`, or a file. A file with `=` in its name can be given as ./name=rest. */
static bool parse_named_file(const cai_port *ports, int count, const char *kind, const char *text,
                             cai_named_file *file, cai_error *error) {
    size_t length = name_length(text);
    *file = (cai_named_file){.port = -1, .path = text};
    if (length == 0 || text[length] != '=')
        return *text || cai_fail(error, CAI_BAD_USAGE, "the name of an %s is empty", kind);
    file->port = find_port(ports, count, text, length);
    file->path = text + length + 1;
    if (file->port < 0) return fail_port(ports, count, kind, text, length, error);
    return *file->path || cai_fail(error, CAI_BAD_USAGE, "`%s` does not name a file", text);
}

static bool parse_input(const cai_program *program, const char *text, cai_command *command,
                        cai_error *error) {
    return parse_named_file(program->inputs, program->input_count, "input", text,
                            &command->inputs[command->input_count++], error);
}

static bool parse_output(const cai_program *program, const char *text, cai_command *command,
                         cai_error *error) {
    return parse_named_file(program->outputs, program->output_count, "output", text,
                            &command->outputs[command->output_count++], error);
}

/* ---- options ---- */

static bool fail_option(const char *text, cai_error *error) {
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(text, "="), text);
    for (int i = 0; i < OPTION_COUNT; i++) {
        if (is_near_word(name, options[i].name))
            return cai_fail(error, CAI_BAD_USAGE, "there is no option %s: did you mean %s?", name,
                            options[i].name);
    }
    return cai_fail(error, CAI_BAD_USAGE, "there is no option %s", name);
}

/* Finds the option in `text`, with its value if that is in the same word: --seed=3,
 * -oFILE. */
static int find_option(const char *text, const char **value) {
    *value = NULL;
    for (int i = 0; i < OPTION_COUNT; i++) {
        size_t length = strlen(options[i].name);
        if (options[i].letter && text[0] == '-' && text[1] == options[i].letter) {
            if (text[2] && options[i].takes == NO_VALUE) return -1;
            if (text[2]) *value = text + 2;
            return i;
        }
        if (strncmp(text, options[i].name, length) != 0 || (text[length] && text[length] != '=')) continue;
        if (text[length] == '=') *value = text + length + 1;
        return i;
    }
    return -1;
}

static bool set_option(const cai_program *program, cai_command *command, int option, const char *value,
                       cai_error *error) {
    int64_t number;
    switch (option) {
    case OPTION_OUTPUT: return parse_output(program, value, command, error);
    case OPTION_THREADS:
        if (!parse_number("--threads", value, 1, CAI_MAX_THREADS, &number, error)) return false;
        command->threads = (int)number;
        return true;
    case OPTION_SEED: return parse_number("--seed", value, INT64_MIN, INT64_MAX, &command->seed, error);
    case OPTION_TIME: command->time = true; return true;
    case OPTION_PROFILE:
        command->profile = true;
        command->profile_json = value && strcmp(value, "json") == 0;
        return !value || command->profile_json ||
               cai_fail(error, CAI_BAD_USAGE, "--profile takes no value but `json`, not `%s`", value);
    case OPTION_REPEAT:
        if (!parse_number("--repeat", value, 1, CAI_MAX_RUNS, &number, error)) return false;
        command->repeat = (int)number;
        return true;
    case OPTION_HELP: command->help = true; return true;
    default: command->version = true; return true;
    }
}

/* Parses the option at argv[*at]; moves *at past its value. */
static bool parse_option(const cai_program *program, int argc, char **argv, int *at, cai_command *command,
                         cai_error *error) {
    const char *value;
    int option = find_option(argv[*at], &value);
    if (option < 0) return fail_option(argv[*at], error);
    if (value && options[option].takes == NO_VALUE)
        return cai_fail(error, CAI_BAD_USAGE, "%s takes no value", options[option].name);
    if (!value && options[option].takes == VALUE) {
        if (*at + 1 >= argc) return cai_fail(error, CAI_BAD_USAGE, "%s needs a value after it", argv[*at]);
        value = argv[++*at];
    }
    return set_option(program, command, option, value, error);
}

static const char *last_part_of_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool check_streams(const cai_command *command, cai_error *error) {
    int inputs = 0, outputs = 0;
    for (int i = 0; i < command->input_count; i++) inputs += strcmp(command->inputs[i].path, "-") == 0;
    for (int i = 0; i < command->output_count; i++) outputs += strcmp(command->outputs[i].path, "-") == 0;
    if (inputs <= 1 && outputs <= 1) return true;
    return cai_fail(error, CAI_BAD_USAGE, "standard %s can be named once, and `-` is there twice",
                    inputs > 1 ? "input" : "output");
}

bool cai_command_parse(const cai_program *program, int argc, char **argv, cai_command *command,
                       cai_error *error) {
    *command = (cai_command){.program = argc > 0 ? last_part_of_name(argv[0]) : program->name};
    command->inputs =
        cai_allocate(2 * ((uint64_t)argc + 1) * sizeof *command->inputs, "the command line", error);
    if (!command->inputs) return false;
    command->outputs = command->inputs + argc + 1;
    bool only_files = false, good = true;
    for (int i = 1; i < argc && good; i++) {
        if (!only_files && strcmp(argv[i], "--") == 0) only_files = true;
        else if (!only_files && argv[i][0] == '-' && argv[i][1])
            good = parse_option(program, argc, argv, &i, command, error);
        else good = parse_input(program, argv[i], command, error);
    }
    good = good && check_streams(command, error);
    if (!good) cai_command_free(command);
    return good;
}

void cai_command_free(cai_command *command) {
    free(command->inputs);
    command->inputs = command->outputs = NULL;
}
