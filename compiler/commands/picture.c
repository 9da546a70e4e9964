/* The format of a picture, by the ending of its name. */
#include "commands/commands.h"

const char *picture_format(Session *s, const char *path, const char *also) {
    const char *const formats[] = {"svg", "png", "pdf", also};
    const char *ending = strrchr(path, '.');
    for (int i = 0; ending && i < COUNT_OF(formats); i++)
        if (formats[i] && strcmp(ending + 1, formats[i]) == 0) return formats[i];
    Diagnostic *d =
        diag_error(&s->diag, DIAG_bad_output, (Span){0}, "%s: a picture's name ends in .svg, .png%s%s", path,
                   also ? ", .pdf or ." : " or .", also ? also : "pdf");
    diag_help(&s->diag, d, "-o %.*s.svg", (int)(ending ? ending - path : (ptrdiff_t)strlen(path)), path);
    return NULL;
}
