/* Files as they were read, and places in them (source.c). */
#ifndef CAI_SOURCE_H
#define CAI_SOURCE_H

#include "base/base.h"

typedef struct Source {
    const char *path; /* as the user would write it; "<stdlib>/norm.cai" for the library */
    const char *text; /* ends in 0 */
    size_t length;
    bool library; /* part of the stdlib: an error is then shown at the user's call of it */
    Vec(uint32_t) line_starts;
} Source;

/* The bytes [begin, end) of a source. {0} is "nowhere". */
typedef struct Span {
    const Source *source;
    uint32_t begin, end;
} Span;

typedef struct Place {
    int line, column; /* from 1; columns count code points */
} Place;

Source *source_new(Arena *arena, const char *path, const char *text, size_t length);
Place source_place(const Source *source, uint32_t offset);
Span span_join(Span first, Span last);
/* "net.cai:7:10", where it begins; "" where there is no source */
const char *span_place(Arena *arena, Span span);

#endif
