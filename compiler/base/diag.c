/* Diagnostics: made by the stages, printed here, for people and for tools. */
#include "base/diag.h"
#include <json-c/json.h>
#include <stdlib.h>

#define LINE_COLUMNS 160 /* of a source line that are shown */
#define TAB_COLUMNS 4

/* ---- making ---- */

const char *severity_text(Severity severity) {
    static const char *const texts[SEVERITY_COUNT] = {"error", "warning", "note"};
    return texts[severity];
}

static Diagnostic *add_diagnostic(Diagnostics *diag, Severity severity, DiagCode code, Span span,
                                  const char *format, va_list arguments) {
    Diagnostic *d = NEW(diag->arena, Diagnostic);
    *d = (Diagnostic){.severity = severity,
                      .code = code,
                      .span = span,
                      .text = arena_vprintf(diag->arena, format, arguments)};
    int *count = severity == SEVERITY_ERROR     ? &diag->errors
                 : severity == SEVERITY_WARNING ? &diag->warnings
                                                : &diag->remarks;
    if (++*count <= DIAG_KEPT_MAX) vec_push(diag->arena, &diag->list, d);
    return d;
}

Diagnostic *diag_error(Diagnostics *diag, DiagCode code, Span span, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    Diagnostic *d = add_diagnostic(diag, SEVERITY_ERROR, code, span, format, arguments);
    va_end(arguments);
    return d;
}

Diagnostic *diag_warning(Diagnostics *diag, DiagCode code, Span span, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    Diagnostic *d = add_diagnostic(diag, SEVERITY_WARNING, code, span, format, arguments);
    va_end(arguments);
    return d;
}

Diagnostic *diag_remark(Diagnostics *diag, DiagCode code, Span span, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    Diagnostic *d = add_diagnostic(diag, SEVERITY_NOTE, code, span, format, arguments);
    va_end(arguments);
    return d;
}

void diag_label(Diagnostics *diag, Diagnostic *d, Span span, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vec_push(diag->arena, &d->labels, (DiagLabel){span, arena_vprintf(diag->arena, format, arguments)});
    va_end(arguments);
}

void diag_note(Diagnostics *diag, Diagnostic *d, Span span, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vec_push(diag->arena, &d->notes, (DiagNote){span, arena_vprintf(diag->arena, format, arguments)});
    va_end(arguments);
}

void diag_help(Diagnostics *diag, Diagnostic *d, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    d->help = arena_vprintf(diag->arena, format, arguments);
    va_end(arguments);
}

/* ---- order: by source as first met, then by place; equal ones once ---- */

typedef struct Ranked {
    const Diagnostic *d;
    int source, index;
} Ranked;

static int by_place(const void *left, const void *right) {
    const Ranked *a = left, *b = right;
    if (a->source != b->source) return a->source < b->source ? -1 : 1;
    if (a->d->span.begin != b->d->span.begin) return a->d->span.begin < b->d->span.begin ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static bool same_diagnostic(const Diagnostic *a, const Diagnostic *b) {
    return a->severity == b->severity && a->span.source == b->span.source && a->span.begin == b->span.begin &&
           strcmp(a->text, b->text) == 0;
}

/* The diagnostics in the order of printing, without duplicates; *count is set to their
 * number. */
static const Diagnostic **diagnostics_in_order(const Diagnostics *diag, int *count) {
    int all = diag->list.count;
    Ranked *ranked = NEW_ARRAY(diag->arena, Ranked, all);
    const Diagnostic **ordered = NEW_ARRAY(diag->arena, const Diagnostic *, all);
    Map *ranks = map_new(diag->arena);
    for (int i = 0; i < all; i++) {
        const Diagnostic *d = diag->list.items[i];
        const void *key = d->span.source;
        if (key && !map_get(ranks, key)) map_set(ranks, key, (void *)(intptr_t)(map_count(ranks) + 1));
        ranked[i] = (Ranked){d, key ? (int)(intptr_t)map_get(ranks, key) : 0, i};
    }
    qsort(ranked, (size_t)all, sizeof *ranked, by_place);
    *count = 0;
    for (int i = 0; i < all; i++) {
        bool repeated = false;
        for (int j = *count - 1; j >= 0 && ordered[j]->span.begin == ranked[i].d->span.begin && !repeated;
             j--)
            repeated = same_diagnostic(ordered[j], ranked[i].d);
        if (!repeated) ordered[(*count)++] = ranked[i].d;
    }
    return ordered;
}

/* ---- for people ---- */

typedef struct TextStyle {
    const char *bold, *red, *yellow, *blue, *cyan, *plain;
} TextStyle;
static const TextStyle colored = {"\033[1m",    "\033[1;31m", "\033[1;33m",
                                  "\033[1;34m", "\033[1;36m", "\033[0m"};
static const TextStyle colorless = {"", "", "", "", "", ""};

/* Messages may quote the user's file, so control characters are replaced before they
 * reach the terminal. */
static void print_words(FILE *out, const char *text, int indent) {
    for (const char *at = text; *at; at++) {
        if (*at == '\n') fprintf(out, "\n%*s", indent, "");
        else if (*at == '\t') putc(' ', out);
        else putc((unsigned char)*at < ' ' || *at == 127 ? '?' : *at, out);
    }
}

/* A source line as it is shown: tabs expanded, control characters replaced, and only the
 * part around the carets if the line is long. */
typedef struct Shown {
    const Source *source;
    uint32_t begin, end; /* bytes of the line, without its newline */
    int first, limit;    /* columns shown */
} Shown;

static int width_at(const char *at) {
    if (*at == '\t') return TAB_COLUMNS;
    return ((unsigned char)*at & 0xC0) == 0x80 ? 0 : 1; /* a code point counts at its first byte */
}

static int column_at(const Shown *line, uint32_t offset) {
    int column = 0;
    for (uint32_t i = line->begin; i < offset && i < line->end; i++)
        column += width_at(line->source->text + i);
    return column + (offset > line->end); /* a newline's place is one past the line */
}

static Shown line_at(Span span) {
    const Source *source = span.source;
    int line = source_place(source, span.begin).line;
    Shown shown = {.source = source, .begin = source->line_starts.items[line - 1]};
    shown.end =
        line < source->line_starts.count ? source->line_starts.items[line] - 1 : (uint32_t)source->length;
    if (shown.end > shown.begin && source->text[shown.end - 1] == '\r') shown.end--;
    int column = column_at(&shown, span.begin), all = column_at(&shown, shown.end);
    shown.first = all <= LINE_COLUMNS || column < LINE_COLUMNS / 2 ? 0 : column - LINE_COLUMNS / 4;
    shown.limit = shown.first + LINE_COLUMNS;
    return shown;
}

static void print_line(FILE *out, const Shown *line) {
    int column = 0;
    if (line->first > 0) fputs("...", out);
    for (uint32_t i = line->begin; i < line->end && column < line->limit; i++) {
        const char *at = line->source->text + i;
        int width = width_at(at);
        if (column + width > line->first || (width == 0 && column > line->first)) {
            if (*at == '\t') fprintf(out, "%*s", TAB_COLUMNS, "");
            else putc((unsigned char)*at < ' ' || *at == 127 ? '?' : *at, out);
        }
        column += width;
    }
    fputs(column >= line->limit && line->limit > LINE_COLUMNS ? "...\n" : "\n", out);
}

typedef struct SpanMark { /* a label as it is drawn: carets at [begin, end), then its words */
    int begin, end;
    const char *text;
} SpanMark;
typedef Vec(SpanMark) MarkList;

static int by_column(const void *left, const void *right) {
    const SpanMark *a = left, *b = right;
    return a->begin != b->begin ? (a->begin < b->begin ? -1 : 1) : (a->end > b->end) - (a->end < b->end);
}

static SpanMark mark_of_span(const Shown *line, Span span, const char *text) {
    uint32_t end = span.end < line->end ? span.end : line->end;
    int shift = line->first > 0 ? 3 - line->first : 0, begin = column_at(line, span.begin),
        stop = column_at(line, end);
    if (stop > line->limit) stop = line->limit;
    return (SpanMark){begin + shift, (stop > begin ? stop : begin + 1) + shift, text};
}

static bool on_line(const Shown *line, Span span) {
    return span.source == line->source && span.begin >= line->begin && span.begin <= line->end;
}

/* The labels of this line, and the main span where it would have no carets otherwise. */
static MarkList marks_of(const Diagnostics *diag, const Diagnostic *d, const Shown *line) {
    MarkList marks = {0};
    for (int i = 0; i < d->labels.count; i++)
        if (on_line(line, d->labels.items[i].span))
            vec_push(diag->arena, &marks,
                     mark_of_span(line, d->labels.items[i].span, d->labels.items[i].text));
    if (marks.count == 0 && on_line(line, d->span))
        vec_push(diag->arena, &marks, mark_of_span(line, d->span, ""));
    if (marks.count > 1) qsort(marks.items, (size_t)marks.count, sizeof *marks.items, by_column);
    return marks;
}

static void print_gutter(FILE *out, const TextStyle *style, int width) {
    fprintf(out, "%s%*s |%s ", style->blue, width, "", style->plain);
}

/* The row of carets ends in the text of the last label; each further row puts the text of
 * one label under its caret. */
static void print_marks(FILE *out, const TextStyle *style, const MarkList *marks, int gutter) {
    if (marks->count == 0) return;
    const SpanMark *last = &marks->items[marks->count - 1];
    int column = 0;
    print_gutter(out, style, gutter);
    for (int i = 0; i < marks->count; i++) {
        for (; column < marks->items[i].begin; column++) putc(' ', out);
        fputs(style->red, out);
        for (; column < marks->items[i].end; column++) putc('^', out);
        fputs(style->plain, out);
    }
    if (*last->text) putc(' ', out), print_words(out, last->text, column + gutter + 4);
    putc('\n', out);
    for (int row = marks->count - 2; row >= 0; row--) {
        if (!*marks->items[row].text) continue;
        print_gutter(out, style, gutter);
        column = 0;
        for (int i = 0; i < row; i++) {
            if (!*marks->items[i].text || marks->items[i].begin < column ||
                marks->items[i].begin >= marks->items[row].begin)
                continue;
            fprintf(out, "%*s%s|%s", marks->items[i].begin - column, "", style->red, style->plain);
            column = marks->items[i].begin + 1;
        }
        fprintf(out, "%*s", marks->items[row].begin - column, "");
        print_words(out, marks->items[row].text, marks->items[row].begin + gutter + 3);
        putc('\n', out);
    }
}

static void print_span_place(FILE *out, Span span) {
    Place place = source_place(span.source, span.begin);
    print_words(out, span.source->path, 0);
    fprintf(out, ":%d:%d", place.line, place.column);
}

static bool spans_line_before(const Diagnostic *d, int label) {
    Place own = source_place(d->labels.items[label].span.source, d->labels.items[label].span.begin);
    Shown line = line_at(d->span);
    if (on_line(&line, d->labels.items[label].span)) return true;
    for (int i = 0; i < label; i++) {
        Span other = d->labels.items[i].span;
        if (other.source == d->labels.items[label].span.source &&
            source_place(other.source, other.begin).line == own.line)
            return true;
    }
    return false;
}

static void print_snippet(const Diagnostics *diag, FILE *out, const TextStyle *style, const Diagnostic *d,
                          Span span) {
    Shown line = line_at(span);
    int number = source_place(span.source, span.begin).line, gutter = number > 9999 ? 6 : 4;
    fprintf(out, "%s%*d |%s ", style->blue, gutter, number, style->plain);
    print_line(out, &line);
    MarkList marks = marks_of(diag, d, &line);
    print_marks(out, style, &marks, gutter);
}

static void print_for_people(const Diagnostics *diag, FILE *out, const TextStyle *style,
                             const Diagnostic *d) {
    const char *const colors[SEVERITY_COUNT] = {style->red, style->yellow, style->cyan};
    fputs(style->bold, out);
    if (d->span.source) print_span_place(out, d->span);
    else fputs("cai", out);
    fprintf(out, ": %s%s[%s]:%s%s ", colors[d->severity], severity_text(d->severity),
            diag_code_text(diag->arena, d->code), style->plain, style->bold);
    print_words(out, d->text, 4);
    fprintf(out, "%s\n", style->plain);
    if (d->span.source) print_snippet(diag, out, style, d, d->span);
    for (int i = 0; i < d->labels.count; i++)
        if (d->labels.items[i].span.source && d->span.source && !spans_line_before(d, i))
            print_snippet(diag, out, style, d, d->labels.items[i].span);
    for (int i = 0; i < d->notes.count; i++) {
        fprintf(out, "  %snote:%s ", style->cyan, style->plain);
        print_words(out, d->notes.items[i].text, 8);
        if (d->notes.items[i].span.source)
            fputs(" (", out), print_span_place(out, d->notes.items[i].span), putc(')', out);
        putc('\n', out);
    }
    if (d->help) {
        fprintf(out, "  %shelp:%s ", style->cyan, style->plain);
        print_words(out, d->help, 8);
        putc('\n', out);
    }
}

/* ---- for tools: an object a line ---- */

void print_json_string(FILE *out, const char *text) {
    struct json_object *string = json_object_new_string(text);
    const char *quoted =
        string
            ? json_object_to_json_string_ext(string, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
            : NULL;
    if (!quoted) out_of_memory(strlen(text));
    fputs(quoted, out);
    json_object_put(string);
}

static void print_json_span(FILE *out, Span span) {
    if (!span.source) {
        fputs("\"file\": null", out);
        return;
    }
    Place begin = source_place(span.source, span.begin), end = source_place(span.source, span.end);
    fputs("\"file\": ", out);
    print_json_string(out, span.source->path);
    fprintf(out, ", \"line\": %d, \"column\": %d, \"end_line\": %d, \"end_column\": %d", begin.line,
            begin.column, end.line, end.column);
}

static void print_json_item(FILE *out, const char *before, Span span, const char *text) {
    fprintf(out, "%s{", before);
    print_json_span(out, span);
    fputs(", \"text\": ", out);
    print_json_string(out, text);
    putc('}', out);
}

static void print_for_tools(const Diagnostics *diag, FILE *out, const Diagnostic *d) {
    fprintf(out, "{\"severity\": \"%s\", \"code\": ", severity_text(d->severity));
    print_json_string(out, diag_code_text(diag->arena, d->code));
    fputs(", ", out);
    print_json_span(out, d->span);
    fputs(", \"text\": ", out);
    print_json_string(out, d->text);
    fputs(", \"labels\": [", out);
    for (int i = 0; i < d->labels.count; i++)
        print_json_item(out, i ? ", " : "", d->labels.items[i].span, d->labels.items[i].text);
    fputs("], \"notes\": [", out);
    for (int i = 0; i < d->notes.count; i++)
        print_json_item(out, i ? ", " : "", d->notes.items[i].span, d->notes.items[i].text);
    fputs("], \"help\": ", out);
    if (d->help) print_json_string(out, d->help);
    else fputs("null", out);
    fputs("}\n", out);
}

static void print_one(const Diagnostics *diag, FILE *out, DiagFormat format, bool color,
                      const Diagnostic *d) {
    if (format == DIAG_JSON) print_for_tools(diag, out, d);
    else print_for_people(diag, out, color ? &colored : &colorless, d);
}

static void print_rest(const Diagnostics *diag, FILE *out, DiagFormat format, bool color, Severity severity,
                       int count) {
    if (count <= DIAG_KEPT_MAX) return;
    const char *text = arena_printf(diag->arena, "%d more %ss are not shown", count - DIAG_KEPT_MAX,
                                    severity_text(severity));
    print_one(diag, out, format, color, &(Diagnostic){.severity = severity, .code = DIAG_more, .text = text});
}

void diag_print(const Diagnostics *diag, FILE *out, DiagFormat format, bool color) {
    int count;
    const Diagnostic **ordered = diagnostics_in_order(diag, &count);
    for (int i = 0; i < count; i++) print_one(diag, out, format, color, ordered[i]);
    print_rest(diag, out, format, color, SEVERITY_NOTE, diag->remarks);
    print_rest(diag, out, format, color, SEVERITY_WARNING, diag->warnings);
    print_rest(diag, out, format, color, SEVERITY_ERROR, diag->errors);
}
