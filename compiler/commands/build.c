/* cai build: makes a program or a library of a model. */
#include "commands/commands.h"
#include "export/export.h"
#include "passes/passes.h"
#include <stdlib.h>

static bool is_stage(const char *emit) {
    static const char *const stages[] = {"ast", "graph", "program", "llvm", "asm"};
    for (int i = 0; i < COUNT_OF(stages); i++)
        if (strcmp(emit, stages[i]) == 0) return true;
    return false;
}

static bool is_pass(const char *after) {
    for (int i = 0; i < pass_count; i++)
        if (strcmp(after, passes[i].name) == 0) return true;
    return false;
}

static int no_pass(Session *session) {
    Text all = {.arena = session->arena};
    for (int i = 0; i < pass_count; i++) text_add(&all, "%s%s", i ? ", " : "", passes[i].name);
    return session_usage(session, "there is no pass `%s`; the passes are %s", session->options->after,
                         text_string(&all));
}

/* The options that are ONNX's alone, and those that are not for it. */
static int check_onnx(Session *session, bool onnx) {
    const Options *o = session->options;
    if (!onnx && (o->opset || o->external_data))
        return session_usage(session, "%s is of --kind onnx", o->opset ? "--opset" : "--external-data");
    if (onnx && (o->target || o->explain || o->blas))
        return session_usage(session, "%s is of code, which --kind onnx does not make",
                             o->target    ? "--target"
                             : o->explain ? "--explain"
                                          : "--blas");
    if (!o->opset) return EXIT_GOOD;
    char *end;
    const long opset = strtol(o->opset, &end, 10);
    if (*end || end == o->opset || opset < LEAST_OPSET || opset > LATEST_OPSET)
        return session_usage(session, "--opset is %d to %d, not `%s`", LEAST_OPSET, LATEST_OPSET, o->opset);
    return EXIT_GOOD;
}

static int check_kind(Session *session) {
    const Options *o = session->options;
    OutputKind kind;
    if (!output_kind(o->kind, &kind))
        return session_usage(session, "--kind is program, shared, static, object, wheel or onnx, not `%s`",
                             o->kind);
    if (check_onnx(session, kind == OUTPUT_ONNX)) return EXIT_USAGE;
    if ((kind == OUTPUT_PROGRAM || kind == OUTPUT_ONNX) && o->name)
        return session_usage(session, "--name is of libraries: give --kind shared, static, object or wheel");
    if (kind != OUTPUT_WHEEL && o->package_version)
        return session_usage(session, "--package-version is of Python packages: give --kind wheel");
    if (o->package_version && !is_package_version(o->package_version))
        return session_usage(session, "--package-version is like 1.0, 2.1.3 or 3.0rc1, and `%s` is not",
                             o->package_version);
    if (kind != OUTPUT_PROGRAM && o->blas)
        return session_usage(session, "--blas makes programs only: a library would bring all of OpenBLAS");
    if (o->name && !is_c_name(o->name))
        return session_usage(
            session, "--name becomes the beginning of C names, letters, digits and _, and `%s` cannot",
            o->name);
    return EXIT_GOOD;
}

int command_build(Session *session) {
    const Options *o = session->options;
    if (check_kind(session)) return EXIT_USAGE;
    if (o->rest.count > 1)
        return session_usage(session, "one model is built, and `%s` is one more", o->rest.items[1]);
    if (o->init && o->weights.count > 0)
        return session_usage(session, "--weights and --init exclude each other");
    if (o->emit && !is_stage(o->emit))
        return session_usage(session, "--emit is ast, graph, program, llvm or asm, not `%s`", o->emit);
    if (o->after && !is_pass(o->after)) return no_pass(session);
    build(session, o->rest.count ? o->rest.items[0] : NULL, o->output);
    return session_end(session);
}
