#include "library_support.h"

Model *model_of_text(Names *names, Diagnostics *diag, const char *text) {
    const ElaborateOptions options = {.stdlib_dir = "stdlib"};
    Model *model = elaborate_model(library_of_text(diag->arena, names, diag, text, &options), 0);
    diag_print(diag, stderr, DIAG_TEXT, false);
    return model;
}
