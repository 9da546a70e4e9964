/* Graphs: nodes are hash-consed on operator, attributes and inputs, so that equal
 * expressions are one node. The origin of a node is side data: the first one wins, later
 * ones are appended. */
#include "graph/ops.h"

struct Interned { /* open addressing, a power of two */
    Node **table;
    uint64_t *hashes;
    int capacity;
};

#define MAX_ORIGINS 8 /* ten thousand places may make a scalar 1; nobody reads them all */

static const Origin nowhere = {.path = ""};

static struct Interned *interned_new(Arena *arena, int capacity) {
    struct Interned *interned = NEW(arena, struct Interned);
    *interned =
        (struct Interned){NEW_ARRAY(arena, Node *, capacity), NEW_ARRAY(arena, uint64_t, capacity), capacity};
    return interned;
}

Graph *graph_new(Arena *arena, Names *names, Dims *dims) {
    Graph *graph = NEW(arena, Graph);
    *graph = (Graph){
        .arena = arena, .names = names, .dims = dims, .here = &nowhere, .interned = interned_new(arena, 256)};
    return graph;
}

Graph *graph_like(const Graph *graph) {
    Graph *copy = graph_new(graph->arena, graph->names, graph->dims);
    copy->model = graph->model;
    copy->comment = graph->comment;
    copy->weights = graph->weights;
    for (int i = 0; i < graph->inputs.count; i++)
        vec_push(copy->arena, &copy->inputs, graph->inputs.items[i]);
    for (int i = 0; i < graph->outputs.count; i++)
        vec_push(copy->arena, &copy->outputs, graph->outputs.items[i]);
    for (int i = 0; i < graph->checks.count; i++)
        vec_push(copy->arena, &copy->checks, graph->checks.items[i]);
    for (int i = 0; i < copy->inputs.count; i++) copy->inputs.items[i].node = NULL;
    for (int i = 0; i < copy->outputs.count; i++) copy->outputs.items[i].node = NULL;
    return copy;
}

const Origin *graph_at(Graph *graph, const Origin *origin) {
    const Origin *old = graph->here;
    graph->here = origin;
    return old;
}

const Origin *origin_new(Graph *graph, Span span, const char *path) {
    Origin origin = {span, path, NULL};
    return arena_copy(graph->arena, &origin, sizeof origin);
}

/* ---- the table ---- */

static uint64_t hash_node(Op op, Node *const *inputs, int count, const void *attributes) {
    return hash_bytes(inputs, sizeof *inputs * (size_t)count, attributes_hash(op, attributes));
}

static int find_node(const struct Interned *interned, uint64_t hash, Op op, Node *const *inputs, int count,
                     const void *attributes) {
    for (uint64_t at = hash;; at++) {
        int slot = (int)(at & (uint64_t)(interned->capacity - 1));
        const Node *node = interned->table[slot];
        if (!node) return slot;
        if (interned->hashes[slot] != hash || node->op != op || node->input_count != count) continue;
        if (count && memcmp(node->inputs, inputs, sizeof *inputs * (size_t)count) != 0) continue;
        if (attributes_equal(op, node->attributes, attributes)) return slot;
    }
}

static void grow_graph(Graph *graph) {
    struct Interned *old = graph->interned, *bigger = interned_new(graph->arena, old->capacity * 2);
    for (int i = 0; i < old->capacity; i++) {
        if (!old->table[i]) continue;
        uint64_t at = old->hashes[i];
        while (bigger->table[at & (uint64_t)(bigger->capacity - 1)]) at++;
        bigger->table[at & (uint64_t)(bigger->capacity - 1)] = old->table[i];
        bigger->hashes[at & (uint64_t)(bigger->capacity - 1)] = old->hashes[i];
    }
    graph->interned = bigger;
}

static bool same_origin(const Origin *a, const Origin *b) {
    return a->span.source == b->span.source && a->span.begin == b->span.begin && a->span.end == b->span.end &&
           strcmp(a->path, b->path) == 0;
}

/* Adds the origins in `more` that the node lacks. Lists are shared between nodes, so a
 * longer list is a new one. */
static void add_origins(Graph *graph, Node *node, const Origin *more) {
    for (; more; more = more->next) {
        int count = 0;
        bool known = false;
        for (const Origin *o = node->origin; o && !known; o = o->next, count++) known = same_origin(o, more);
        if (known) continue;
        if (count >= MAX_ORIGINS) return;
        Origin *first = NULL, **end = &first;
        for (const Origin *o = node->origin; o; o = o->next) {
            *end = arena_copy(graph->arena, o, sizeof *o);
            end = (Origin **)&(*end)->next;
        }
        *end = (Origin *)origin_new(graph, more->span, more->path);
        node->origin = first;
    }
}

static Node *insert_node(Graph *graph, int slot, uint64_t hash, Op op, Node *const *inputs, int count,
                         const void *attributes, Shape shape) {
    Node *node = NEW(graph->arena, Node);
    shape.dims = arena_copy(graph->arena, shape.dims, sizeof *shape.dims * (size_t)shape.rank);
    *node = (Node){.op = op,
                   .id = graph->nodes.count,
                   .input_count = count,
                   .attributes = attributes,
                   .shape = shape,
                   .origin = graph->here,
                   .inputs = arena_copy(graph->arena, inputs, sizeof *inputs * (size_t)count)};
    graph->interned->table[slot] = node;
    graph->interned->hashes[slot] = hash;
    vec_push(graph->arena, &graph->nodes, node);
    return node;
}

/* ---- making nodes ---- */

static const char empty_attributes[sizeof(int64_t)]; /* of operators without any */

/* The node, or NULL with *error filled. Shared attributes live as long as the graph. */
static Node *intern_node(Graph *graph, Op op, Node *const *inputs, int count, const void *attributes,
                         bool shared, ShapeError *error) {
    const OpInfo *info = &op_info[op];
    if (!attributes) attributes = empty_attributes;
    CHECK(count >= info->min_inputs && (info->max_inputs < 0 || count <= info->max_inputs));
    if (graph->nodes.count * 2 >= graph->interned->capacity) grow_graph(graph);
    uint64_t hash = hash_node(op, inputs, count, attributes);
    int slot = find_node(graph->interned, hash, op, inputs, count, attributes);
    Node *known = graph->interned->table[slot];
    if (known) {
        add_origins(graph, known, graph->here);
        return known;
    }
    Shape shape = {0};
    if (!info->shape(graph, op, inputs, count, attributes, &shape, error)) return NULL;
    return insert_node(graph, slot, hash, op, inputs, count,
                       shared ? attributes : attributes_copy(graph->arena, op, attributes), shape);
}

static Node *node_or_error(Op op, Node *node, const ShapeError *error) {
    if (!node) INTERNAL_ERROR("%s refuses its inputs: %s", op_info[op].name, error->text);
    return node;
}

Node *graph_make(Graph *graph, Op op, Node *const *inputs, int count, const void *attributes) {
    ShapeError error = {0};
    return node_or_error(op, intern_node(graph, op, inputs, count, attributes, false, &error), &error);
}

Node *graph_copy(Graph *graph, const Node *node, Node *const *inputs) {
    ShapeError error = {0};
    return node_or_error(
        node->op, intern_node(graph, node->op, inputs, node->input_count, node->attributes, true, &error),
        &error);
}

/* No machine holds more elements than this, and every byte count then fits 63 bits. */
#define MAX_ELEMENTS ((int64_t)1 << 48)

static bool check_sizes(Graph *graph, const Node *node, ShapeError *error) {
    Shape shape = node->shape;
    int64_t low, high;
    for (int i = 0; i < shape.rank; i++) /* the cheap test first: the text is expensive */
        if ((dim_bounds(shape.dims[i], &low, &high), low < 1) &&
            !graph_require(graph, CHECK_AT_LEAST, shape.dims[i], dim_const(graph->dims, 1), error,
                           "axis %d of the result of %s would have size %s", i, op_info[node->op].name,
                           size_text(graph, shape.dims[i]))) {
            error->axis = i;
            return false;
        }
    int64_t count;
    Dim elements = shape_elements(graph->dims, shape);
    if (!dim_is_const(elements, &count) || count <= MAX_ELEMENTS) return true;
    return shape_error(graph, error, -1, -1, "%s would be a tensor of %lld elements",
                       shape_string(graph->arena, shape), (long long)count);
}

Node *graph_try(Graph *graph, Op op, Node *const *inputs, int count, const void *attributes,
                ShapeError *error) {
    *error = (ShapeError){NULL, -1, -1};
    graph->adding_checks = true;
    Node *node = intern_node(graph, op, inputs, count, attributes, false, error);
    bool good = node && check_sizes(graph, node, error);
    graph->adding_checks = false;
    return good ? node : NULL;
}
