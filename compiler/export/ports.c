/* What an exported model says about itself: what its inputs expect, what its outputs
 * mean, and which conditions its sizes must meet. */
#include "export/export.h"

static const char *fit_words(Fit fit) {
    switch (fit) {
    case FIT_CROP: return "; larger pictures are cropped in the middle";
    case FIT_STRETCH: return "; other pictures are stretched to that size";
    case FIT_PAD: return "; smaller pictures are padded";
    default: return "";
    }
}

static const char *picture_doc(Arena *arena, const Port *port) {
    const Shape shape = port->node->shape;
    const int rank = shape.rank;
    int64_t channels = 0;
    if (rank >= 3) dim_is_const(shape.dims[rank - 3], &channels);
    return arena_printf(arena, "a picture, %s, of numbers from 0 to 1%s%s",
                        channels == 3   ? "red, green and blue"
                        : channels == 1 ? "gray"
                                        : "in planes",
                        rank == 4 ? ", [picture, channel, row, column]" : "", fit_words(port->fit));
}

const char *port_doc(Arena *arena, const Graph *graph, const Port *port) {
    switch (port->form) {
    case FORM_IMAGE: return picture_doc(arena, port);
    case FORM_LABELS:
        return arena_printf(
            arena, "scores of classes, of which the best %d are reported; their names are in the metadata",
            port->top);
    case FORM_BOXES:
        return arena_printf(
            arena, "rows of left, top, right, bottom, score, class on `%s`; none where the score is below %g",
            graph->inputs.items[port->of].name, (double)port->score);
    case FORM_NAMES:
        return arena_printf(arena, "places among the files of `%s`", graph->inputs.items[port->of].name);
    default: return NULL;
    }
}

const char *checks_doc(Arena *arena, const Graph *graph) {
    Text text = {.arena = arena};
    for (int i = 0; i < dims_symbol_count(graph->dims); i++) {
        const Symbol *symbol = dims_symbol(graph->dims, i);
        if (symbol->multiple > 1)
            text_add(&text, "%s%s %% %lld == 0", text.length ? "\n" : "", symbol->name,
                     (long long)symbol->multiple);
    }
    for (int i = 0; i < graph->checks.count; i++)
        text_add(&text, "%s%s", text.length ? "\n" : "", graph->checks.items[i].message);
    return text.length ? text_string(&text) : NULL;
}
