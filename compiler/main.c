/* cai: the table of commands, and what every command shares: help, errors, exit codes. */
#include "commands/commands.h"
#include "files/files.h"
#include "import/import.h"
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

static const Command commands[] = {
    {"new", "NAME", "write NAME.cai, a first model to edit", command_new,
     "Writes a small model into the current folder. An existing file is not overwritten.\n"},
    {"check", "FILE", "report the errors of a file", command_check,
     "Elaborates every model of FILE: names, shapes, weights, and what `expect` states. Prints nothing if all is well.\n"},
    {"build", "FILE [MODEL]", "make a program of a model", command_build,
     "Makes one static program of the model in FILE (of MODEL if there are several), with its weights inside; or a trainer of a train block.\n"
     "The program's own --help says what it takes and writes: pictures, or tensors in files.\n"},
    {"run", "FILE [MODEL] [INPUT...]", "build a model into the cache and run it", command_run,
     "Builds the program, unless it is in the cache ($XDG_CACHE_HOME/cai or ~/.cache/cai), and runs it with the arguments after FILE. Options that\n"
     "are not listed here are passed to the program: `cai run denoise.cai photo.png -o clean.png`. Everything after `--` is passed to it.\n"
     "`cai run FILE --help` prints the program's own help.\n"},
    {"train", "FILE [BLOCK] DATA...", "build a trainer of a train block and run it", command_train,
     "Builds the trainer, unless it is in the cache ($XDG_CACHE_HOME/cai or ~/.cache/cai), and runs it with the arguments after FILE. Options that\n"
     "are not listed here are passed to the trainer: `cai train classifier.cai clothes/ -o run --threads 2`. The same command again resumes a run\n"
     "that was stopped. `cai train FILE --help` prints the trainer's own help; `cai build FILE BLOCK` makes a trainer that needs no other file.\n"},
    {"data", "FILE [BLOCK] DATA...", "show what a train block would read of data", command_data,
     "Takes the same data arguments as `cai train`, and prints what it finds there: samples, sizes, classes, files without a partner, held-out samples.\n"
     "-o draws the first sixteen samples of each set as they are cropped for the network, with masks beside them and boxes on them. docs/data.md\n"
     "describes all forms of data.\n"},
    {"summary", "FILE [MODEL]", "list the layers of a model, with their outputs and costs", command_summary,
     "Prints a line for each layer: its name in the weights, its output, parameters, multiply-adds (MACs) of convolutions and\n"
     "matrix products (those of a transposed convolution are counted on its input), and its receptive field in pixels of the input.\n"},
    {"graph", "FILE [MODEL]", "draw a model, all models of a file, or a train block", command_graph,
     "Draws layers as boxes: convolutions blue, products violet, pools and resizing red, blocks of layers green, other layers yellow. Frames\n"
     "enclose the layers of a block that is unfolded; arrows are labelled with shapes, without the batch; numbers of weights are in grey. Equal blocks\n"
     "that follow each other are drawn once. Of a train block, it draws the layers that are trained, and the losses. Needs Graphviz (dot).\n"},
    {"compare", "FILE...|RUN...", "compare networks, or runs of trainers and their results", command_compare,
     "For networks: prints a line for each model of each FILE, and for each variant whose figures it states (`expect`): parameters, multiply-adds, memory\n"
     "for intermediate results, receptive field, and the stated accuracy (top1 = ...). -o draws accuracy over multiply-adds, with circles sized by\n"
     "parameters, as in Canziani et al. (2016); without accuracies, and with --measure, it draws the time of a run.\n"
     "For run folders of `cai train`: prints settings and texts that differ, the last and the least value of each curve, and all curves in one\n"
     "picture, which -o draws as .svg.\n"},
    {"import", "FILE", "make a .cai file of an ONNX model", command_import,
     "Reads FILE, an ONNX model of opset 7 or later, and writes it as text of the language, FILE.cai, with its weights in FILE.safetensors.\n"
     "If something cannot be read, lists it and writes nothing (but see --partial). docs/onnx.md lists the operators that can be read.\n"},
    {"weights", "FILE", "list the tensors of a file of weights", command_weights,
     "Prints a line for each tensor: its name, type and shape, its least and largest number, and how many numbers are not finite. FILE is of any format\n"
     "that --weights of other commands reads: .safetensors, an index of several, .npz, what torch.save writes, or ncnn's .param. With --for MODEL.cai, it\n"
     "also lists which tensors the models of that file read, which have another shape, and which are missing.\n"},
    {"doc", "[WHAT...]", "print what a block, an operator, a file or an error is", command_doc,
     "Prints signatures and the comments above them. WHAT is a name (conv), a file (unet, as `use` finds it; blocks.cai), a name in\n"
     "a file (unet.level), an operator (primitive.sum), or the code that a message has in brackets (shape), whose cause and cure are printed. Without\n"
     "WHAT, prints a line for each name of the library. Names that begin with _ are left out.\n"},
    {"fmt", "FILE...", "bring files to their canonical form", command_fmt,
     "Sets spaces, indentation and blank lines of each FILE (`-`: standard input to standard output). Lines and comments are kept, and what is aligned\n"
     "stays aligned. A file that has errors is left alone.\n"},
};

static void print_usage(FILE *out) {
    fputs("cai " CAI_VERSION ": builds neural networks on images into native programs\n\n", out);
    for (int i = 0; i < COUNT_OF(commands); i++) {
        char left[64];
        snprintf(left, sizeof left, "cai %s %s", commands[i].name, commands[i].arguments);
        fprintf(out, "  %-36s %s\n", left, commands[i].what);
    }
    fputs(
        "\n`cai COMMAND --help` describes a command. `cai --version` prints the version, `cai --targets` the machines for which programs\n"
        "can be built, `cai --completion bash` (or zsh) a script that lets a shell complete commands and options, `cai --man` the manual page.\n",
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
