/* cai: the table of commands, and what every command shares: help, errors, exit codes. */
#include "commands/commands.h"
#include "files/files.h"
#include "import/import.h"
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

static const Command commands[] = {
    {"new", "NAME", "write NAME.cai, a first model to edit", command_new,
     "Writes a small model into this folder. A file that is there already is left alone.\n"},
    {"check", "FILE", "read a file and say what is wrong with it", command_check,
     "Elaborates every model of FILE: names, shapes, weights, and what `expect` states. Silent where all is well.\n"},
    {"build", "FILE [MODEL]", "make a program of a model", command_build,
     "Makes one static program of the model in FILE (of MODEL, where there are several), with its weights inside; of a train block, a trainer.\n"
     "Its own --help says what it takes: pictures in and pictures out, or tensors in files.\n"},
    {"run", "FILE [MODEL] [INPUT...]", "build a model into the cache and run it", command_run,
     "Builds the program, unless the cache ($XDG_CACHE_HOME/cai or ~/.cache/cai) has it, and runs it on what stands behind FILE;\n"
     "what is no option of ours is the program's: `cai run denoise.cai photo.png -o clean.png`. Behind `--` all is the program's.\n"
     "`cai run FILE --help` is the program's own help.\n"},
    {"train", "FILE [BLOCK] DATA...", "build a trainer of a train block and run it", command_train,
     "Builds the trainer, unless the cache ($XDG_CACHE_HOME/cai or ~/.cache/cai) has it, and runs it on what stands behind FILE; what is no option\n"
     "of ours is the trainer's: `cai train classifier.cai clothes/ -o run --threads 2`. The same command again goes on with a run that was stopped.\n"
     "`cai train FILE --help` is the trainer's own help; `cai build FILE BLOCK` makes a trainer that runs anywhere.\n"},
    {"data", "FILE [BLOCK] DATA...", "show what a train block would read of data", command_data,
     "Takes the places of data as `cai train` does, and prints what is there: samples, sizes, classes, files without a partner, what is held out.\n"
     "-o draws the first sixteen samples of each set as they are cut for the network, masks beside and boxes on them. docs/data.md has all forms.\n"},
    {"summary", "FILE [MODEL]", "list the layers of a model, what each makes and costs", command_summary,
     "A line a layer: its name in the weights, its output, parameters, multiply-adds (MACs) of convolutions and\n"
     "matrix products (a transposed one counts on its inputs), and its receptive field in pixels of the input.\n"},
    {"graph", "FILE [MODEL]", "draw a model, or all models of a file", command_graph,
     "Draws layers as boxes, by colour: convolutions blue, products violet, pools and resizing red, blocks of layers green; frames around the layers of a\n"
     "block that is unfolded, shapes on the arrows (the batch left out), weights in small. Equal blocks that follow each other are drawn once. Pictures\n"
     "are made by Graphviz (dot).\n"},
    {"compare", "FILE...|RUN...", "compare networks, or runs: what they have, and what came of them",
     command_compare,
     "A line for each model of each FILE, and for each variant that it states figures for (`expect`): parameters, multiply-adds, memory for intermediate\n"
     "results, receptive field, and the accuracy that it states (top1 = ...). -o draws accuracy over multiply-adds, circles by parameters, as Canziani et\n"
     "al. (2016) do; without accuracies, and with --measure, how long a run takes.\n"
     "Of folders that `cai train` made: settings and texts that differ, the last and the best figures of each curve, and the curves one over another; -o\n"
     "draws these as .svg.\n"},
    {"import", "FILE", "make a .cai file of an ONNX model", command_import,
     "Reads FILE, a model in ONNX's format of opset 7 or later, and writes it as text of the language, FILE.cai, with its weights beside it,\n"
     "FILE.safetensors. What can't be read is listed, and nothing is written then. docs/onnx.md has the operators that are read.\n"},
    {"weights", "FILE", "list what a file of weights holds", command_weights,
     "A line a tensor: its name, type and shape, its least and largest number, and whether anything in it is not finite. FILE is what\n"
     "--weights of other commands takes: .safetensors, the index of several, .npz, or what torch.save writes. --for MODEL.cai sets beside it what\n"
     "the models of that file want: what fits, what has another shape, what is missing.\n"},
    {"doc", "[WHAT...]", "say what a block, an operator, a file or an error is about", command_doc,
     "Prints signatures and the comments above them. WHAT is a name (conv), a file (unet, as `use` finds it; blocks.cai), or a name in\n"
     "its file (unet.level); `primitive.sum` is the operator, and what a message has in brackets (shape) gets cause and cure. Without WHAT, a\n"
     "line for each name of the library. Names that begin with _ are left out.\n"},
    {"fmt", "FILE...", "bring files to their canonical form", command_fmt,
     "Sets spaces, indentation and blank lines of each FILE (`-`: standard input to standard output); lines and comments stay as they are, and what\n"
     "is set under each other stays so. A file that has errors is left alone.\n"},
};

static void print_usage(FILE *out) {
    fputs("cai " CAI_VERSION ": builds neural networks on images into native programs\n\n", out);
    for (int i = 0; i < COUNT_OF(commands); i++) {
        char left[64];
        snprintf(left, sizeof left, "cai %s %s", commands[i].name, commands[i].arguments);
        fprintf(out, "  %-36s %s\n", left, commands[i].what);
    }
    fputs(
        "\n`cai COMMAND --help` says more of each; `cai --version` prints the version, `cai --targets` the machines that programs are\n"
        "built for, `cai --completion bash` (or zsh) what makes a shell complete commands and options, `cai --man` the manual page.\n",
        out);
}

static void print_command_help(const Command *command) {
    printf("usage: cai %s %s [options]\n\n%s\nOptions:\n", command->name, command->arguments, command->more);
    options_help(stdout, command->name);
}

static int unknown_command(const char *name) {
    const char *names[COUNT_OF(commands)];
    for (int i = 0; i < COUNT_OF(commands); i++) names[i] = commands[i].name;
    const char *nearest = nearest_name(name, names, COUNT_OF(commands));
    fprintf(stderr, "cai: there is no command `%s`", name);
    if (nearest) fprintf(stderr, " (did you mean `cai %s`?)", nearest);
    fputs("\n`cai --help` lists the commands\n", stderr);
    return EXIT_USAGE;
}

/* Output that could not be written is a failure too: a full disk, a closed pipe. */
static int flush_stdout(int code) {
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) return code;
    fprintf(stderr, "cai: error: standard output: cannot be written%s%s\n", errno ? ": " : "",
            errno ? strerror(errno) : "");
    return code ? code : EXIT_DIAGNOSED;
}

static int run_named_command(const Command *command, int count, char **arguments) {
    Arena *arena = arena_new();
    Names *names = names_new(arena);
    Options options = {.command = command->name};
    Session session;
    int code = EXIT_USAGE;
    if (!options_read(&options, arena, names, count, arguments)) {
        code = EXIT_USAGE;
    } else if (options.help) {
        print_command_help(command);
        code = EXIT_GOOD;
    } else if (!options.file && command->arguments[0] != '[') {
        fprintf(stderr, "usage: cai %s %s [options]\n`cai %s --help` says more\n", command->name,
                command->arguments, command->name);
    } else if (options.message_format && strcmp(options.message_format, "text") != 0 &&
               strcmp(options.message_format, "json") != 0) {
        fprintf(stderr, "cai %s: --message-format is text or json, not `%s`\n", command->name,
                options.message_format);
    } else {
        session_begin(&session, &options, arena, names);
        code = command->run(&session);
    }
    arena_free(arena);
    return code;
}

static int dispatch_command(int argc, char **argv) {
    if (argc < 2) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_usage(stdout);
        return EXIT_GOOD;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("cai " CAI_VERSION);
        return EXIT_GOOD;
    }
    if (strcmp(argv[1], "--operators") == 0) { /* docs/operators.md: `make docs` */
        ops_document(stdout);
        return EXIT_GOOD;
    }
    if (strcmp(argv[1], "--onnx-operators") == 0) { /* the table of docs/onnx.md: `make docs` */
        operators_document(stdout);
        return EXIT_GOOD;
    }
    if (strcmp(argv[1], "--errors") == 0) { /* docs/errors.md: `make docs` */
        diag_document(stdout);
        return EXIT_GOOD;
    }
    if (strcmp(argv[1], "--targets") == 0) {
        targets_print(stdout);
        return EXIT_GOOD;
    }
    if (strcmp(argv[1], "--man") == 0) { /* `make install` */
        manual_print(stdout, commands, COUNT_OF(commands));
        return EXIT_GOOD;
    }
    if (strcmp(argv[1], "--completion") == 0 && argc == 3 &&
        completion_print(stdout, argv[2], commands, COUNT_OF(commands)))
        return EXIT_GOOD;
    for (int i = 0; i < COUNT_OF(commands); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return run_named_command(&commands[i], argc - 2, argv + 2);
    return unknown_command(argv[1]);
}

/* Tensors of weights are allocated and freed by the megabyte. If free() returned their
 * memory to the system, the next tensor would cost a page fault for every 4 KB: a sixth
 * of the time that weights take. */
static void keep_freed_memory(void) {
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
    mallopt(M_TOP_PAD, 4 << 20);
#endif
}

int main(int argc, char **argv) {
    keep_freed_memory();
    cai_clean_up_on_signals();
    return flush_stdout(dispatch_command(argc, argv));
}
