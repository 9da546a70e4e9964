/* What the compiler has to say to a person: errors and warnings with their places, causes
 * and cures. */
#ifndef CAI_DIAG_H
#define CAI_DIAG_H

#include "base/source.h"

/* ---- diagnostics.c: the table of diagnostics, made from diagnostics.def ---- */

typedef enum DiagCode {
#define GROUP(title, text)
#define DIAGNOSTIC(name, cause, cure) DIAG_##name,
#include "base/diagnostics.def"
#undef GROUP
#undef DIAGNOSTIC
    DIAG_COUNT
} DiagCode;

typedef struct DiagInfo { const char *name, *cause, *cure; } DiagInfo; /* name: not_text */
extern const DiagInfo diag_info[DIAG_COUNT];

/* as messages and docs/errors.md have it: "not-text" */
const char *diag_code_text(Arena *arena, DiagCode code);
const DiagInfo *diag_find(Arena *arena, const char *code); /* by that text, or NULL */
void diag_document(FILE *out);                             /* docs/errors.md */

/* ---- diag.c: what the compiler has to say to a person ---- */

typedef enum Severity {
    SEVERITY_ERROR,
    SEVERITY_WARNING,
    SEVERITY_NOTE, /* nothing is wrong: tells what was chosen where a person may have meant something else */
    SEVERITY_COUNT
} Severity;
const char *severity_text(Severity severity); /* "error" */

typedef struct DiagLabel { /* carets under a span of the same line as the main one, with words */
    Span span;
    const char *text;
} DiagLabel;

typedef struct DiagNote { /* "note: d lost one row at `maxpool(2)` (unet.cai:6:12), which took 55 to 27" */
    Span span;            /* may be nowhere */
    const char *text;
} DiagNote;

typedef struct Diagnostic {
    Severity severity;
    DiagCode code;
    Span span;
    const char *text;
    Vec(DiagLabel) labels;
    Vec(DiagNote) notes;
    const char *help; /* what would mend it, or NULL */
} Diagnostic;

typedef struct Diagnostics {
    Arena *arena;
    Vec(Diagnostic *) list; /* the first DIAG_KEPT_MAX of each severity */
    int errors, warnings, remarks;
} Diagnostics;
enum { DIAG_KEPT_MAX = 100 }; /* of each severity */

/* Adds an error and returns it, so that labels, notes and help can be added to it. Its
 * text lives in diag->arena. */
Diagnostic *diag_error(Diagnostics *diag, DiagCode code, Span span, const char *format, ...)
    PRINTF_LIKE(4, 5);
Diagnostic *diag_warning(Diagnostics *diag, DiagCode code, Span span, const char *format, ...)
    PRINTF_LIKE(4, 5);
Diagnostic *diag_remark(Diagnostics *diag, DiagCode code, Span span, const char *format, ...)
    PRINTF_LIKE(4, 5);
void diag_label(Diagnostics *diag, Diagnostic *d, Span span, const char *format, ...) PRINTF_LIKE(4, 5);
void diag_note(Diagnostics *diag, Diagnostic *d, Span span, const char *format, ...) PRINTF_LIKE(4, 5);
void diag_help(Diagnostics *diag, Diagnostic *d, const char *format, ...) PRINTF_LIKE(3, 4);

typedef enum DiagFormat { DIAG_TEXT, DIAG_JSON } DiagFormat;
/* Prints all diagnostics to `out`, in source order; in colour only where asked for. */
void diag_print(const Diagnostics *diag, FILE *out, DiagFormat format, bool color);

/* Prints a JSON string, in quotes and escaped. */
void print_json_string(FILE *out, const char *text);

#endif
