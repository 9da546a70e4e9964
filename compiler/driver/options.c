/* Options: one row each, by which they are parsed and their help is printed. */
#include "driver/driver.h"
#include <stdlib.h>

typedef enum OptionKind { OPTION_FLAG, OPTION_TEXT, OPTION_COUNT, OPTION_WEIGHTS, OPTION_DEFINE } OptionKind;

typedef struct Option {
    const char *name, *value; /* "--target", "NAME"; value NULL for flags */
    OptionKind kind;
    size_t offset;        /* of the field in Options */
    const char *commands; /* that take it, each between spaces */
    const char *help;
} Option;

#define FIELD(name) offsetof(Options, name)
#define CHECK_BUILD_RUN_SUMMARY " check build run train data summary graph compare "
static const Option table[] = {
    {"-o", "OUT", OPTION_TEXT, FIELD(output), " build ",
     "what to write: a program or a library (default: after the model's name); for a wheel, the folder"},
    {"-o", "OUT", OPTION_TEXT, FIELD(output), " graph ",
     "the picture to write, .svg, .png, .pdf or .dot (default: as .dot to standard output)"},
    {"-o", "OUT", OPTION_TEXT, FIELD(output), " compare ",
     "a chart to write: .svg, .png or .pdf; of runs, .svg"},
    {"-o", "OUT", OPTION_TEXT, FIELD(output), " import ",
     "the .cai file to write (default: after FILE), with its weights beside it, as .safetensors; -: only the text, to standard output"},
    {"-o", "OUT", OPTION_TEXT, FIELD(output), " weights ",
     "a .safetensors file to write: the same weights, or those below PATH of FILE.safetensors:PATH, without what only training needs"},
    {"-o", "SHEET", OPTION_TEXT, FIELD(output), " data ",
     "a picture to write, .png or .jpg: the first samples; those of a second set of pictures go into a second file, such as sheet2.png"},
    {"--seed", "N", OPTION_TEXT, FIELD(seed), " data ",
     "the seed of the order of samples and of their random crops (default: 0)"},
    {"--held-out", "PERCENT", OPTION_TEXT, FIELD(held_out), " data ",
     "the share of samples held out for measuring, if the data has no such part (default: 10)"},
    {"--fold", "K/N", OPTION_TEXT, FIELD(fold), " data ",
     "measure on the K-th of N shares of the samples, and train on the others"},
    {"--strict", NULL, OPTION_FLAG, FIELD(strict), " data ",
     "stop at a sample that cannot be used, instead of leaving it out"},
    {"--partial", NULL, OPTION_FLAG, FIELD(partial), " import ",
     "write what can be read: the results of the other nodes become inputs of the model"},
    {"--outputs", "NAME,..", OPTION_TEXT, FIELD(outputs), " import ",
     "the values of the file that become results, in place of its own: what only others need is left out"},
    {"--image", "INPUT[:bgr][:255],..", OPTION_TEXT, FIELD(images), " import ",
     "inputs that are pictures, image[..]; :bgr if blue comes first, :255 if the network takes levels from 0 to 255"},
    {"--kind", "KIND", OPTION_TEXT, FIELD(kind), " build ",
     "what to make: program (default); shared, static or object: a library, with its C header beside it; wheel: a package for Python; onnx: a model for other engines"},
    {"--opset", "N", OPTION_TEXT, FIELD(opset), " build ",
     "with --kind onnx: the version of ONNX's operators, 17 to 24 (default: 21)"},
    {"--external-data", NULL, OPTION_FLAG, FIELD(external_data), " build ",
     "with --kind onnx: write the weights to a file of their own, OUT.data; weights of more than 2 GB always go there"},
    {"--name", "PREFIX", OPTION_TEXT, FIELD(name), " build ",
     "the name for a library's functions and header, or for a Python package (default: that of the model)"},
    {"--package-version", "VERSION", OPTION_TEXT, FIELD(package_version), " build ",
     "the version of a wheel (default: 1.0)"},
    {"--weights", "[PATH=]FILE", OPTION_WEIGHTS, FIELD(weights), " build run ",
     "trained weights: .safetensors, .npz, a PyTorch checkpoint, or ncnn's .param; PATH=FILE is for the layers below PATH; FILE.safetensors:PATH takes the weights below PATH of the file; may be repeated"},
    {"--init", "SEED", OPTION_TEXT, FIELD(init), " build run ",
     "random weights, determined by SEED, instead of trained ones"},
    {"--rename", "FILE", OPTION_TEXT, FIELD(rename), " build run ",
     "how names in weight files map to the model's: lines `THEIRS -> OURS`, where * is any text"},
    {"--for", "MODEL.cai", OPTION_TEXT, FIELD(model), " weights ",
     "also list which of them the models of this file read, and what is missing"},
    {"-D", "NAME=VALUE", OPTION_DEFINE, FIELD(defines), CHECK_BUILD_RUN_SUMMARY,
     "fix a size or a hyperparameter of the model"},
    {"-D", "NAME=VALUE", OPTION_DEFINE, FIELD(defines), " import ",
     "fix a free size of the model, or an input of one number: -D H=48"},
    {"--target", "NAME", OPTION_TEXT, FIELD(target), " build run train summary compare ",
     "the machine to build for: native (default), or one that `cai --targets` lists"},
    {"--emit", "STAGE", OPTION_TEXT, FIELD(emit), " check build ",
     "print the result of a stage, and stop: ast, graph, program, llvm, asm"},
    {"--after", "PASS", OPTION_TEXT, FIELD(after), " build ", "print the graph after PASS, and stop"},
    {"--explain", NULL, OPTION_FLAG, FIELD(explain), " build ",
     "print which kernel computes what, with which tiles, and its estimated cost"},
    {"--time-passes", NULL, OPTION_FLAG, FIELD(time_passes), " check build train ",
     "print how long each stage took"},
    {"--blas", NULL, OPTION_FLAG, FIELD(blas), " build run ",
     "compute matrix products of two computed operands by OpenBLAS, which makes the program 25 MB larger"},
    {"--no-winograd", NULL, OPTION_FLAG, FIELD(no_winograd), " build run train compare ",
     "compute every convolution directly: smaller programs, smaller rounding errors, 2 to 3 times slower 3x3 convolutions"},
    {"--no-cache", NULL, OPTION_FLAG, FIELD(no_cache), " build run train ",
     "compile every kernel anew, and keep none for later builds"},
    {"--reference", NULL, OPTION_FLAG, FIELD(reference), " run ",
     "evaluate in double precision, without compiling"},
    {"--compare", NULL, OPTION_FLAG, FIELD(compare), " run ",
     "run both ways and print the error layer by layer"},
    {"--format", "FORMAT", OPTION_TEXT, FIELD(format), " summary compare ",
     "text (default), or json for tools; for a comparison also csv"},
    {"--format", "FORMAT", OPTION_TEXT, FIELD(format), " doc ",
     "text (default), or markdown, of the whole library if there is no WHAT"},
    {"--measure", NULL, OPTION_FLAG, FIELD(measure), " compare ",
     "build and run each network on this machine, and also compare its time on one thread and its memory"},
    {"--names", NULL, OPTION_FLAG, FIELD(names), " summary ",
     "list the weights instead: the name and the shape that each must have in a file of weights"},
    {"--train", NULL, OPTION_FLAG, FIELD(train), " summary ",
     "summarize a train block instead: what it trains and keeps, and what a step costs"},
    {"--layer", "PATH", OPTION_TEXT, FIELD(layer), " graph ",
     "draw this layer only, by its name in the weights: layer1.0"},
    {"--depth", "N", OPTION_TEXT, FIELD(depth), " graph ",
     "how many levels of nested layers to unfold (default: as many as fit into a readable picture)"},
    {"--gradient", NULL, OPTION_FLAG, FIELD(gradient), " graph ",
     "also draw the gradient of the first result with respect to all weights"},
    {"--find-rate", NULL, OPTION_FLAG, FIELD(find_rate), " train ",
     "do not train: try learning rates, as factors of the text's `lr`, and suggest one"},
    {"--parts", "P", OPTION_COUNT, FIELD(parts), " build train summary ",
     "divide each step into P parts, each with a batch as in the text: the batch becomes P times as large, the memory does not"},
    {"--check", NULL, OPTION_FLAG, FIELD(check), " fmt ",
     "change nothing: list the files that are not in canonical form, and fail if there are any"},
    {"--message-format", "json|text", OPTION_TEXT, FIELD(message_format),
     " check build run train data summary graph compare import weights ",
     "how errors are printed: text (default), or json, one object a line"},
    {"--help", NULL, OPTION_FLAG, FIELD(help),
     " check build run train data summary graph compare doc fmt new import weights ", "print this"},
};

static bool command_takes(const Option *option, const char *command) {
    size_t length = strlen(command);
    for (const char *at = option->commands; (at = strstr(at, command)) != NULL; at++)
        if (at[-1] == ' ' && at[length] == ' ') return true;
    return false;
}

static const Option *find_command_option(const char *command, const char *name, size_t length) {
    for (int i = 0; i < COUNT_OF(table); i++)
        if (strlen(table[i].name) == length && strncmp(table[i].name, name, length) == 0 &&
            command_takes(&table[i], command))
            return &table[i];
    return NULL;
}

static bool unknown_option(const char *command, const char *name, size_t length) {
    const char *candidates[COUNT_OF(table)];
    char given[64];
    int count = 0;
    snprintf(given, sizeof given, "%.*s", (int)length, name);
    for (int i = 0; i < COUNT_OF(table); i++)
        if (command_takes(&table[i], command)) candidates[count++] = table[i].name;
    const char *nearest = nearest_name(given, candidates, count);
    fprintf(stderr, "cai %s: unknown option %s", command, given);
    if (nearest) fprintf(stderr, " (did you mean %s?)", nearest);
    fprintf(stderr, "\n`cai %s --help` lists the options\n", command);
    return false;
}

static bool add_weights_option(Options *options, Arena *arena, const char *value) {
    const char *equals = strchr(value, '=');
    WeightFile file = {.file = value};
    if (equals) file = (WeightFile){arena_strndup(arena, value, (size_t)(equals - value)), equals + 1};
    if (*file.file) {
        vec_push(arena, &options->weights, file);
        return true;
    }
    fprintf(stderr, "cai %s: --weights needs a file: --weights model.safetensors\n", options->command);
    return false;
}

static bool add_define(Options *options, Arena *arena, Names *names, const char *value) {
    const char *equals = strchr(value, '=');
    if (!equals || equals == value || !equals[1]) {
        fprintf(stderr, "cai %s: -D needs a name and a value: -D H=512\n", options->command);
        return false;
    }
    vec_push(arena, &options->defines,
             (Define){intern_range(names, value, (size_t)(equals - value)), equals + 1});
    return true;
}

#define MOST_COUNTED 4096

static bool read_count(const Options *options, const Option *option, const char *value, int *count) {
    char *end;
    long number = strtol(value, &end, 10);
    *count = (int)number;
    if (end != value && *end == 0 && number >= 1 && number <= MOST_COUNTED) return true;
    fprintf(stderr, "cai %s: %s is a number from 1 to %d, not `%s`\n", options->command, option->name,
            MOST_COUNTED, value);
    return false;
}

static bool store_option(Options *options, const Option *option, Arena *arena, Names *names,
                         const char *value) {
    void *field = (char *)options + option->offset;
    switch (option->kind) {
    case OPTION_FLAG: *(bool *)field = true; return true;
    case OPTION_TEXT: *(const char **)field = value; return true;
    case OPTION_COUNT: return read_count(options, option, value, field);
    case OPTION_WEIGHTS: return add_weights_option(options, arena, value);
    case OPTION_DEFINE: return add_define(options, arena, names, value);
    }
    return false;
}

/* Reads one option at arguments[*at], as --name value, --name=value or -Dvalue; moves *at
 * past it. */
static bool read_option(Options *options, const Option *option, Arena *arena, Names *names, int count,
                        char **arguments, int *at) {
    const char *given = arguments[(*at)++], *value = NULL;
    size_t length = strlen(option->name);
    if (given[length] == '=') value = given + length + 1;
    else if (given[length]) value = given + length;
    if (!option->value && value) {
        fprintf(stderr, "cai %s: %s takes no value\n", options->command, option->name);
        return false;
    }
    if (option->value && !value) {
        if (*at == count) {
            fprintf(stderr, "cai %s: %s needs %s\n", options->command, option->name, option->value);
            return false;
        }
        value = arguments[(*at)++];
    }
    return store_option(options, option, arena, names, value);
}

static const Option *option_at(const char *command, const char *given) {
    const Option *option = find_command_option(command, given, strcspn(given, "="));
    return option || strncmp(given, "-D", 2) != 0 ? option : find_command_option(command, given, 2);
}

bool options_read(Options *options, Arena *arena, Names *names, int count, char **arguments) {
    /* what is not an option of cai belongs to the program */
    bool passes_on = strcmp(options->command, "run") == 0 || strcmp(options->command, "train") == 0;
    for (int at = 0; at < count;) {
        const char *given = arguments[at];
        bool is_option = given[0] == '-' && given[1] &&
                         (!options->file || !passes_on || option_at(options->command, given));
        if (passes_on && options->file && strcmp(given, "--") == 0) {
            for (at++; at < count; at++) vec_push(arena, &options->rest, arguments[at]);
        } else if (is_option && passes_on && options->file && strcmp(given, "--help") == 0) {
            vec_push(arena, &options->rest, arguments[at++]);
        } else if (is_option) {
            const Option *option = option_at(options->command, given);
            if (!option) return unknown_option(options->command, given, strcspn(given, "="));
            if (!read_option(options, option, arena, names, count, arguments, &at)) return false;
        } else if (!options->file) {
            options->file = arguments[at++];
        } else {
            vec_push(arena, &options->rest, arguments[at++]);
        }
    }
    return true;
}

void options_each(const char *command, OptionVisit *visit, void *context) {
    for (int i = 0; i < COUNT_OF(table); i++)
        if (command_takes(&table[i], command)) visit(table[i].name, table[i].value, table[i].help, context);
}

static void print_option_help(const char *name, const char *value, const char *help, void *context) {
    char left[64];
    snprintf(left, sizeof left, "%s%s%s", name, value ? " " : "", value ? value : "");
    fprintf(context, "  %-28s %s\n", left, help);
}

void options_help(FILE *out, const char *command) { options_each(command, print_option_help, out); }
