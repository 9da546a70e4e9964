/* Gives layers their labels, which are part of the names of their weights. Labels come
 * from the names in the file, relative to the enclosing block. A weight
 * `layer1.0.conv1.weight` belongs to the layer layer1.0.conv1. Where weights have lost
 * their names, the name of a node is a path of modules, /layer1/layer1.0/conv1/Conv, in
 * which each part may repeat the part before it. */
#include "import/import.h"
#include <ctype.h>
#include <stdlib.h>

const char *without_kind(Arena *arena, const char *name) {
    static const char *const kinds[] = {".weight", ".bias", ".running_mean", ".running_var",
                                        ".gamma",  ".beta", "_weight",       "_bias"};
    const size_t length = strlen(name);
    for (int i = 0; i < COUNT_OF(kinds); i++) {
        const size_t kind = strlen(kinds[i]);
        if (length > kind && !strcmp(name + length - kind, kinds[i]))
            return arena_strndup(arena, name, length - kind);
    }
    return NULL;
}

/* Converts /layer1/layer1.0/conv1/Conv to layer1.0.conv1. NULL if the name is not such a
 * path. */
static const char *module_path(Arena *arena, const char *name) {
    if (*name != '/') return NULL;
    Text path = {.arena = arena};
    size_t begun = 0; /* where the last part begins in the path */
    for (const char *at = name + 1, *end; (end = strchr(at, '/')); at = end + 1) {
        const size_t length = (size_t)(end - at), before = path.length - begun;
        const bool longer =
            before && length > before && !strncmp(at, path.bytes + begun, before) && at[before] == '.';
        if (longer) text_add_bytes(&path, at + before, length - before);
        else {
            text_add(&path, path.length ? "." : "");
            begun = path.length;
            text_add_bytes(&path, at, length);
        }
    }
    return path.length ? text_string(&path) : NULL;
}

/* Keeps letters, digits and _; each run of other characters becomes a dot. */
static const char *plain_name(Arena *arena, const char *name) {
    Text text = {.arena = arena};
    for (const char *at = name; *at; at++) {
        if (isalnum((unsigned char)*at) || *at == '_') text_add_bytes(&text, at, 1);
        else if (text.length && text.bytes[text.length - 1] != '.') text_add(&text, ".");
    }
    if (text.length && text.bytes[text.length - 1] == '.') text.bytes[text.length - 1] = 0;
    return text_string(&text);
}

static const char *leaf_path(Import *im, const Line *line) {
    const char *path =
        line->hint && strncmp(line->hint, "onnx::", 6) ? without_kind(im->arena, line->hint) : NULL;
    if (!path && line->node) path = module_path(im->arena, line->node->name);
    if (!path && line->hint && strncmp(line->hint, "onnx::", 6) && *line->hint == '/')
        path = module_path(im->arena, line->hint);
    return path ? plain_name(im->arena, path) : NULL;
}

const char *common_path(Arena *arena, const char *a, const char *b) {
    size_t same = 0, last = 0;
    for (; a[same] && a[same] == b[same]; same++)
        if (a[same] == '.') last = same;
    const bool whole = (!a[same] || a[same] == '.') && (!b[same] || b[same] == '.');
    return arena_strndup(arena, a, whole ? same : last);
}

/* The common path of all weights in a line; NULL where one has no name. */
static const char *path_of(Import *im, const Line *line) {
    const Line *const *parts =
        (const Line *const *)(line->rounds.count ? line->rounds.items : line->own.items);
    const int count = line->rounds.count ? line->rounds.count : line->own.count;
    const char *path = NULL;
    if (!count) return leaf_path(im, line);
    for (int i = 0; i < count; i++) {
        if (!line_has_weights(parts[i])) continue;
        const char *part = path_of(im, parts[i]);
        if (!part) return NULL;
        path = path ? common_path(im->arena, path, part) : part;
    }
    return path;
}

bool line_has_weights(const Line *line) {
    bool has = line->weights.count > 0;
    for (int i = 0; !has && i < line->own.count; i++) has = line_has_weights(line->own.items[i]);
    for (int i = 0; !has && i < line->rounds.count; i++) has = line_has_weights(line->rounds.items[i]);
    return has;
}

static const char *short_callee(const Line *line) {
    return strncmp(line->callee, "primitive.", 10) ? line->callee : line->callee + 10;
}

const char *scope_of(Import *im, const Line *line) {
    if (line->own.count || line->rounds.count) return path_of(im, line);
    const char *path = line->node ? module_path(im->arena, line->node->name) : NULL;
    return path ? path : leaf_path(im, line);
}

bool is_param(const Line *line) { return line->style == STYLE_CALL && line->weights.count; }

/* ---- labels within a body: none is a prefix of another, so that no two weights have the
 * same path ---- */

typedef struct Labels {
    Import *im;
    Vec(const char *) taken;
} Labels;

static bool begins_with(const char *path, const char *head) {
    const size_t length = strlen(head);
    return !strncmp(path, head, length) && (!path[length] || path[length] == '.');
}

static bool is_free_label(const Labels *labels, const char *label) {
    for (int i = 0; i < labels->taken.count; i++)
        if (begins_with(labels->taken.items[i], label) || begins_with(label, labels->taken.items[i]))
            return false;
    return true;
}

/* The label, or a similar one that is not taken. */
static const char *free_label(Labels *labels, const char *wanted) {
    Arena *arena = labels->im->arena;
    const char *label = wanted, *base = wanted;
    if (!is_free_label(labels, label) && strchr(wanted, '.')) {
        char *flat = arena_strndup(arena, wanted, strlen(wanted));
        for (char *dot; (dot = strchr(flat, '.'));) *dot = '_';
        label = base = flat;
    }
    for (int i = 2; !is_free_label(labels, label); i++) label = arena_printf(arena, "%s_%d", base, i);
    vec_push(arena, &labels->taken, label);
    return label;
}

static const char *relative_path(const char *path, const char *within) {
    const size_t length = strlen(within);
    if (!length || !path) return path;
    if (strncmp(path, within, length) || (path[length] && path[length] != '.')) return path;
    return path[length] ? path + length + 1 : NULL;
}

/* The common label of a loop's iterations that are called head.3.tail, head.4.tail: with
 * i in place of the number. NULL if they have other names. */
static const char *numbered_label(Import *im, const Line *loop, const char *within) {
    Text label = {.arena = im->arena};
    const char *first = relative_path(path_of(im, loop->rounds.items[0]), within);
    for (const char *at = first; at && *at; at += strcspn(at, ".") + (at[strcspn(at, ".")] == '.')) {
        if (!isdigit((unsigned char)*at)) continue;
        char *tail;
        const long from = strtol(at, &tail, 10);
        bool all = !*tail || *tail == '.';
        for (int i = 1; all && i < loop->rounds.count; i++) {
            const char *path = relative_path(path_of(im, loop->rounds.items[i]), within);
            all = path && !strcmp(path, arena_printf(im->arena, "%.*s%ld%s", (int)(at - first), first,
                                                     from + i, tail));
        }
        if (!all) continue;
        text_add(&label, "%.*s", (int)(at - first), first);
        if (from) text_add(&label, "{i + %ld}%s", from, tail);
        else text_add(&label, "{i}%s", tail);
        return text_string(&label);
    }
    return NULL;
}

const char *round_label(Arena *arena, const char *label, int round) {
    const char *open = strchr(label, '{'), *close = open ? strchr(open, '}') : NULL;
    if (!close) return label;
    const char *plus = strstr(open, "+ ");
    return arena_printf(arena, "%.*s%d%s", (int)(open - label), label,
                        round + (plus && plus < close ? atoi(plus + 2) : 0), close + 1);
}

/* A loop's label if those of all its iterations are free, which are taken then; else
 * NULL. */
static const char *free_rounds(Labels *labels, const Line *loop, const char *label) {
    for (int i = 0; label && i < loop->rounds.count; i++)
        if (!is_free_label(labels, round_label(labels->im->arena, label, i))) return NULL;
    for (int i = 0; label && i < loop->rounds.count; i++)
        vec_push(labels->im->arena, &labels->taken, round_label(labels->im->arena, label, i));
    return label;
}

/* The last word of a name that a person gave, and not an exporter: class_token; or
 * NULL. */
static const char *given_word(const char *name) {
    if (!name || !strncmp(name, "val_", 4) || strpbrk(name, "/:")) return NULL;
    const char *dot = strrchr(name, '.'), *word = dot ? dot + 1 : name;
    return isalpha((unsigned char)*word) ? word : NULL;
}

/* Whether the text calls something else by the name: an input, a size, a block or its
 * parameter. Names of one or two letters are those of tensors and sizes. */
static bool is_name_of_another(Import *im, const char *name) {
    bool found = strlen(name) <= 2;
    for (int i = 0; i < im->inputs.count; i++) found = found || !strcmp(im->inputs.items[i]->name, name);
    for (int i = 0; i < dims_symbol_count(im->dims); i++)
        found = found || !strcmp(dims_symbol(im->dims, i)->name, name);
    for (int i = 0; i < im->blocks.count; i++) {
        const Block *block = im->blocks.items[i];
        found = found || !strcmp(block->name, name);
        for (int k = 0; k < block->parameters.count; k++)
            found = found || !strcmp(block->parameters.items[k].name, name);
    }
    return found;
}

/* A weight without a layer is a name in the text. */
static const char *param_label(Labels *labels, const Line *own, const char *path) {
    Arena *arena = labels->im->arena;
    const bool of_layer = own->hint && without_kind(arena, own->hint);
    const char *word = of_layer ? NULL : given_word(own->hint),
               *name = identifier(labels->im, word ? word : path, "weight");
    if (is_name_of_another(labels->im, name)) name = arena_printf(arena, "%s_weight", name);
    return free_label(labels, name);
}

static const char *label_of(Labels *labels, const Line *line, const Line *own, const char *within) {
    const char *path = relative_path(path_of(labels->im, own), within);
    if (!path || !*path) path = short_callee(line);
    if (is_param(line)) return param_label(labels, own, path);
    if (!own->rounds.count) return free_label(labels, path);
    const char *numbered = free_rounds(labels, own, numbered_label(labels->im, own, within));
    return numbered ? numbered : arena_printf(labels->im->arena, "%s.{i}", free_label(labels, path));
}

/* The order in which lines get labels: first layers, whose weights have names; then runs
 * of blocks; then weights without a layer, whose names come from the body. */
static int turn_of(const Line *own) { return is_param(own) ? 2 : own->block ? 1 : 0; }

static void name_body(Import *im, Line *const *lines, const Line *const *own, int count, const char *within) {
    Labels labels = {.im = im};
    for (int i = 0; i < count; i++) /* what has no label is called after what it runs */
        if (!line_has_weights(own[i])) vec_push(im->arena, &labels.taken, short_callee(lines[i]));
    for (int turn = 0; turn < 3; turn++)
        for (int i = 0; i < count; i++) {
            if (turn_of(own[i]) != turn) continue;
            lines[i]->label = line_has_weights(own[i]) ? label_of(&labels, lines[i], own[i], within) : NULL;
        }
}

void name_lines(Import *im) {
    name_body(im, im->lines.items, (const Line *const *)im->lines.items, im->lines.count, "");
    for (int i = 0; i < im->blocks.count; i++) {
        Block *block = im->blocks.items[i];
        const char *within = path_of(im, block->first);
        name_body(im, block->lines.items, (const Line *const *)block->first->own.items, block->lines.count,
                  within ? within : "");
    }
}
