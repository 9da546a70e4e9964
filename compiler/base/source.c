/* Sources and places in them. */
#include "base/source.h"

Source *source_new(Arena *arena, const char *path, const char *text, size_t length) {
    Source *source = NEW(arena, Source);
    *source = (Source){.path = path, .text = text, .length = length};
    vec_push(arena, &source->line_starts, 0);
    for (const char *at = text; (at = memchr(at, '\n', length - (size_t)(at - text))) != NULL;) {
        at++;
        vec_push(arena, &source->line_starts, (uint32_t)(at - text));
    }
    return source;
}

/* The last line that starts at or before `offset`. */
static int line_of(const Source *source, uint32_t offset) {
    int low = 0, high = source->line_starts.count - 1;
    while (low < high) {
        int middle = low + (high - low + 1) / 2;
        if (source->line_starts.items[middle] <= offset) low = middle;
        else high = middle - 1;
    }
    return low;
}

Place source_place(const Source *source, uint32_t offset) {
    int line = line_of(source, offset), column = 1;
    for (uint32_t i = source->line_starts.items[line]; i < offset && i < source->length; i++)
        /* i + 1 may be the terminating 0 */
        if (((unsigned char)source->text[i + 1] & 0xC0) != 0x80) column++;
    return (Place){line + 1, column};
}

Span span_join(Span first, Span last) {
    if (!first.source) return last;
    if (last.source != first.source) return first;
    return (Span){first.source, first.begin < last.begin ? first.begin : last.begin,
                  first.end > last.end ? first.end : last.end};
}

const char *span_place(Arena *arena, Span span) {
    if (!span.source) return "";
    Place place = source_place(span.source, span.begin);
    return arena_printf(arena, "%s:%d:%d", span.source->path, place.line, place.column);
}
