/* Reports mistakes. A mistake inside the library is shown at the call in the user's text,
 * with a note for the place in the library; the same mistake at the same place (in a
 * block that runs eight times) is reported once. */
#include "elaborate/evaluator.h"

static bool is_users(Span span) { return span.source && !span.source->library; }

Span user_span(const Evaluator *ev, Span span) {
    if (is_users(span)) return span;
    for (const Frame *frame = ev->frame; frame; frame = frame->caller)
        if (is_users(frame->call)) return frame->call;
    return span;
}

static bool reported_before(Evaluator *ev, DiagCode code, Span span) {
    Name key =
        intern(ev->names, arena_printf(ev->arena, "%d:%p:%u", code, (const void *)span.source, span.begin));
    if (map_get(ev->library->reported, key)) return true;
    map_set(ev->library->reported, key, (void *)key);
    return false;
}

/* The library block that is running, as the note names it. */
static const char *running_block(const Evaluator *ev) {
    for (const Frame *frame = ev->frame; frame; frame = frame->caller)
        if (frame->layer && frame->layer->kind == LAYER_BLOCK) return layer_callee(frame->layer);
    return NULL;
}

Diagnostic *report(Evaluator *ev, DiagCode code, Span span, const char *format, ...) {
    ev->errors++;
    Span shown = user_span(ev, span);
    if (reported_before(ev, code, shown)) return NULL;
    va_list arguments;
    va_start(arguments, format);
    const char *text = arena_vprintf(ev->arena, format, arguments);
    va_end(arguments);
    Diagnostic *d = diag_error(ev->diag, code, shown, "%s", text);
    const char *block = running_block(ev);
    if (is_users(shown) && !is_users(span) && span.source && block)
        diag_note(ev->diag, d, span, "found in the library's `%s`", block);
    return d;
}

Diagnostic *report_warning(Evaluator *ev, DiagCode code, Span span, const char *text, const char *help) {
    if (!is_users(span) || reported_before(ev, code, span)) return NULL;
    Diagnostic *d = diag_warning(ev->diag, code, span, "%s", text);
    diag_help(ev->diag, d, "%s", help);
    return d;
}

void report_note(Evaluator *ev, Diagnostic *d, Span span, const char *format, ...) {
    if (!d) return;
    va_list arguments;
    va_start(arguments, format);
    diag_note(ev->diag, d, span, "%s", arena_vprintf(ev->arena, format, arguments));
    va_end(arguments);
}

void report_help(Evaluator *ev, Diagnostic *d, const char *format, ...) {
    if (!d) return;
    va_list arguments;
    va_start(arguments, format);
    diag_help(ev->diag, d, "%s", arena_vprintf(ev->arena, format, arguments));
    va_end(arguments);
}

/* A label where it can be drawn (on the line of the error), else a note. */
void report_label(Evaluator *ev, Diagnostic *d, Span span, const char *format, ...) {
    if (!d || !span.source) return;
    va_list arguments;
    va_start(arguments, format);
    const char *text = arena_vprintf(ev->arena, format, arguments);
    va_end(arguments);
    if (span.source == d->span.source &&
        source_place(span.source, span.begin).line == source_place(d->span.source, d->span.begin).line)
        diag_label(ev->diag, d, span, "%s", text);
    else if (is_users(span)) diag_note(ev->diag, d, span, "%s", text);
}

void report_suggestion(Evaluator *ev, Diagnostic *d, const char *wrong, const char *const *candidates,
                       int count) {
    const char *near = d ? nearest_name(wrong, candidates, count) : NULL;
    if (near) report_help(ev, d, "did you mean `%s`?", near);
}

const char *span_text(Arena *arena, Span span) {
    if (!span.source) return "";
    Text text = {.arena = arena};
    bool blank = false;
    for (uint32_t i = span.begin; i < span.end && text.length < 60; i++) {
        char c = span.source->text[i];
        bool space = c == ' ' || c == '\n' || c == '\t' || c == '\r';
        if (space && !blank) text_add(&text, " ");
        if (!space) text_add_bytes(&text, &c, 1);
        blank = space;
    }
    if (text.length >= 60) text_add(&text, "...");
    return text_string(&text);
}

const char *place_text(Arena *arena, Span span) {
    if (!span.source) return "?";
    Place place = source_place(span.source, span.begin);
    return arena_printf(arena, "%s:%d:%d", span.source->path, place.line, place.column);
}

static Span operand_span(const Frame *frame, int index) {
    const Expr *operand = frame->operand;
    if (!operand) return frame->inputs->items[index].span;
    if (operand->kind == EXPR_TUPLE && operand->arguments.count == frame->inputs->count)
        return operand->arguments.items[index].value->span;
    return operand->span;
}

/* The innermost frame that the user's text called. */
static const Frame *users_frame(const Evaluator *ev) {
    const Frame *frame = ev->frame;
    while (frame && !(is_users(frame->call) && frame->inputs)) frame = frame->caller;
    return frame;
}

/* The source text of a tensor that goes into the running call; NULL where that is
 * long. */
const char *operand_text(Evaluator *ev, const Node *node) {
    const Frame *frame = users_frame(ev);
    for (int i = 0; frame && i < frame->inputs->count; i++) {
        Span span = operand_span(frame, i);
        bool is_it =
            frame->inputs->items[i].value.kind == VALUE_TENSOR && frame->inputs->items[i].value.node == node;
        if (is_it && span.source && span.end - span.begin <= 24) return span_text(ev->arena, span);
    }
    return NULL;
}

/* A mistake in a block of the user's may be the caller's. */
static void note_caller(Evaluator *ev, Diagnostic *d, const Frame *frame) {
    while (frame && frame->layer && frame->layer->kind != LAYER_BLOCK) frame = frame->caller;
    if (frame && frame->layer && is_users(frame->call))
        report_note(ev, d, frame->call, "in `%s`, which runs here", layer_callee(frame->layer));
}

void report_operands(Evaluator *ev, Diagnostic *d) {
    const Frame *frame = users_frame(ev);
    if (!d || !frame) return;
    bool inside = frame->operand && d->span.source == frame->operand->span.source &&
                  d->span.begin < frame->operand->span.end;
    if (!inside && frame->operand) report_label(ev, d, d->span, "%s", "");
    for (int i = 0; i < frame->inputs->count && i < 6; i++) {
        Value v = frame->inputs->items[i].value;
        Span span = operand_span(frame, i);
        if (v.kind != VALUE_TENSOR) continue;
        const char *text = span_text(ev->arena, span), *shape = shape_string(ev->arena, v.node->shape);
        bool is_short = span.source && span.end - span.begin <= 24;
        if (is_short) report_label(ev, d, span, "%s: %s", text, shape);
        else
            report_note(ev, d, (Span){0},
                        frame->inputs->count == 1 ? "what comes in is %s" : "one of what comes in is %s",
                        shape);
    }
    note_caller(ev, d, frame->caller);
}

/* The calls that led here, each place once. */
static void note_calls(Evaluator *ev, Diagnostic *d) {
    Span shown[6];
    int count = 0;
    for (const Frame *frame = ev->frame; frame && count < COUNT_OF(shown); frame = frame->caller) {
        bool again = !frame->call.source;
        for (int i = 0; i < count; i++)
            again |= shown[i].source == frame->call.source && shown[i].begin == frame->call.begin;
        if (again) continue;
        shown[count++] = frame->call;
        report_note(ev, d, frame->call, "called by `%s` here", span_text(ev->arena, frame->call));
    }
}

Value stop_evaluation(Evaluator *ev, DiagCode code, Span span, const char *format, ...) {
    if (ev->stopped) return value_error;
    va_list arguments;
    va_start(arguments, format);
    const char *text = arena_vprintf(ev->arena, format, arguments);
    va_end(arguments);
    Diagnostic *d = report(ev, code, span, "%s", text);
    note_calls(ev, d);
    ev->stopped = true;
    return value_error;
}

enum { MAX_ROUNDS = 2000000, MAX_CELLS = 8000000 };

static int64_t limit_of_report(const Evaluator *ev, int64_t max) {
    int patience = ev->library->options.patience;
    return patience ? max / patience : max;
}

bool spend(Evaluator *ev, Span span, int64_t cells) {
    if (ev->stopped) return false;
    ev->cells += cells;
    if (++ev->rounds > limit_of_report(ev, MAX_ROUNDS))
        stop_evaluation(ev, DIAG_too_long, span,
                        "this takes more than %d iterations of loops and calls at compile time", MAX_ROUNDS);
    if (ev->cells > limit_of_report(ev, MAX_CELLS))
        stop_evaluation(ev, DIAG_too_large, span,
                        "lists and strings take more than %d elements at compile time", MAX_CELLS);
    return !ev->stopped;
}

Value bounded_list(Evaluator *ev, Value list, Span span) {
    if (list.list->total <= limit_of_report(ev, MAX_CELLS)) return list;
    return stop_evaluation(ev, DIAG_too_large, span, "this list holds more than %d elements", MAX_CELLS);
}
