/* cai new: writes a first model to edit. */
#include "commands/commands.h"
#include "files/files.h"
#include <ctype.h>
#include <unistd.h>

/* @ is the model's name. */
static const char first_model[] =
    "# A small network that changes a picture: three convolutions whose result is added to what came in.\n"
    "#\n"
    "#   cai summary @.cai                                   what each layer makes and costs\n"
    "#   cai build @.cai --init 1                            a program with random weights\n"
    "#   ./@ photo.png -o changed.png\n"
    "#   cai build @.cai --weights @.safetensors      with trained ones, named as PyTorch names them\n"
    "\n"
    "# A convolution, its normalization and its activation: one layer of many networks.\n"
    "block layer(c)(x) {\n"
    "  return x -> conv(c, 3, bias = false) -> batchnorm -> relu\n"
    "}\n"
    "\n"
    "model @(photo: image[N, 3, H, W]) -> result: image[N, 3, H, W] {\n"
    "  change = photo -> first: layer(16) -> second: layer(16) -> last: conv(3, 3)\n"
    "  return photo + 0.1 * change\n"
    "}\n";

static const char *with_name(Arena *arena, const char *name) {
    Text text = {.arena = arena};
    for (const char *at = first_model; *at; at++)
        text_add_bytes(&text, *at == '@' ? name : at, *at == '@' ? strlen(name) : 1);
    return text_string(&text);
}

static bool is_project_name(const char *name) {
    if (!isalpha((unsigned char)*name)) return false;
    for (const char *at = name; *at; at++)
        if (!isalnum((unsigned char)*at) && *at != '_') return false;
    return true;
}

int command_new(Session *session) {
    const char *name = session->options->file;
    if (session->options->rest.count > 0)
        return session_usage(session, "one NAME is wanted, and `%s` is one more",
                             session->options->rest.items[0]);
    size_t length = strlen(name);
    if (length > 4 && strcmp(name + length - 4, ".cai") == 0)
        name = arena_strndup(session->arena, name, length - 4);
    if (!is_project_name(name))
        return session_usage(session, "`%s` cannot be a model's name: letters, digits and _, a letter first",
                             name);
    const char *path = arena_printf(session->arena, "%s.cai", name), *text = with_name(session->arena, name);
    Diagnostics wrong = {.arena = session->arena};
    parse_file(session->arena, session->names, &wrong, source_new(session->arena, path, text, strlen(text)));
    if (wrong.errors)
        return session_usage(session, "`%s` is a reserved word and cannot be a model's name", name);
    if (access(path, F_OK) == 0) {
        diag_error(&session->diag, DIAG_file_exists, (Span){0}, "%s is there already", path);
        return session_end(session);
    }
    cai_error error;
    if (!cai_file_write(path, text, strlen(text), &error))
        diag_error(&session->diag, DIAG_file, (Span){0}, "%s", error.message);
    else
        printf(
            "%s is written: read it, change it, and try\n  cai summary %s\n  cai build %s --init 1 && ./%s photo.png -o changed.png\n",
            path, path, path, name);
    return session_end(session);
}
