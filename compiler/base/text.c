/* Text that is built piece by piece. */
#include "base/base.h"

#include <math.h>

static void make_room(Text *text, size_t more) {
    if (text->length + more + 1 <= text->capacity) return;
    size_t capacity = text->capacity ? text->capacity * 2 : 64;
    while (capacity < text->length + more + 1) capacity *= 2;
    char *bytes = arena_alloc(text->arena, capacity);
    if (text->length) memcpy(bytes, text->bytes, text->length);
    text->bytes = bytes;
    text->capacity = capacity;
}

void text_add_bytes(Text *text, const char *bytes, size_t count) {
    make_room(text, count);
    if (count) memcpy(text->bytes + text->length, bytes, count);
    text->length += count;
    text->bytes[text->length] = 0;
}

void text_add(Text *text, const char *format, ...) {
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    CHECK(length >= 0);
    make_room(text, (size_t)length);
    vsnprintf(text->bytes + text->length, (size_t)length + 1, format, arguments);
    va_end(arguments);
    text->length += (size_t)length;
}

void text_add_real(Text *text, double value) {
    if (isnan(value)) text_add(text, "nan"); /* printf would print a meaningless sign */
    else text_add(text, "%.9g", value);
}

const char *text_string(Text *text) { return text->bytes ? text->bytes : ""; }
