/* See shape.h. */
#include "shape.h"
#include <ctype.h>

/* ---- reading ---- */

static void set_number(ShapeLine *s, const char *key, int64_t value) {
    struct {
        const char *key;
        int64_t *at[2];
    } table[] = {{"n", {&s->n}},       {"ic", {&s->ic}},        {"oc", {&s->oc}},   {"h", {&s->h}},
                 {"w", {&s->w}},       {"k", {&s->kh, &s->kw}}, {"kh", {&s->kh}},   {"kw", {&s->kw}},
                 {"s", {&s->s}},       {"p", {&s->p}},          {"d", {&s->d}},     {"g", {&s->g}},
                 {"op", {&s->op_pad}}, {"m", {&s->m}},          {"depth", {&s->k}}, {"n2", {&s->n2}},
                 {"to", {&s->to}},     {"tile", {&s->tile}}};
    if (strcmp(key, "free") == 0) {
        s->free = value;
        return;
    }
    if (strcmp(key, "hw") == 0) {
        s->h = value, s->w = value + 1;
        return;
    }
    if (strcmp(key, "square") == 0) {
        s->h = s->w = value;
        return;
    }
    if (strcmp(key, "ceil") == 0) {
        s->ceil = value;
        return;
    }
    if (strcmp(key, "computed") == 0) {
        s->computed = value;
        return;
    }
    if (strcmp(key, "turned") == 0) {
        s->turned = value;
        return;
    }
    if (strcmp(key, "shared") == 0) {
        s->shared = value;
        return;
    }
    if (strcmp(key, "timed") == 0) {
        s->timed = value;
        return;
    }
    for (int i = 0; i < COUNT_OF(table); i++) {
        if (strcmp(table[i].key, key) != 0) continue;
        *table[i].at[0] = value;
        if (table[i].at[1]) *table[i].at[1] = value;
        return;
    }
    fprintf(stderr, "shapes.txt: no such key: %s\n", key);
    exit(2);
}

static DType type_named(const char *name) {
    const DType types[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    for (int i = 0; i < COUNT_OF(types); i++)
        if (strcmp(dtype_name(types[i]), name) == 0) return types[i];
    fprintf(stderr, "shapes.txt: no such type: %s\n", name);
    exit(2);
}

static void set_key(ShapeLine *s, const char *key, const char *value) {
    if (strcmp(key, "by") == 0) snprintf(s->by, sizeof s->by, "%.31s", value);
    else if (strcmp(key, "mode") == 0) snprintf(s->mode, sizeof s->mode, "%.15s", value);
    else if (strcmp(key, "rule") == 0) snprintf(s->rule, sizeof s->rule, "%.31s", value);
    else if (strcmp(key, "type") == 0) s->type = type_named(value);
    else if (strcmp(key, "epilogue") == 0) s->epilogue = strcmp(value, "relu") == 0;
    else set_number(s, key, atoll(value));
}

typedef struct Reading {
    void (*visit)(const ShapeLine *shape, const char *text, void *context);
    void *context;
    int count;
} Reading;

/* `rest` is what is left of the line, `text` what has been read, with one value for each
 * list. */
static void read_rest(Reading *r, ShapeLine shape, const char *text, const char *rest) {
    while (isspace((unsigned char)*rest)) rest++;
    if (!*rest) {
        r->visit(&shape, text, r->context);
        r->count++;
        return;
    }
    char key[32], values[256], joined[512];
    int used = 0;
    if (sscanf(rest, "%31[^= ]=%255s%n", key, values, &used) != 2) {
        fprintf(stderr, "shapes.txt: not key=value: %s\n", rest);
        exit(2);
    }
    for (char *value = values, *end; value; value = end) {
        end = strchr(value, ',');
        if (end) *end++ = 0;
        ShapeLine one = shape;
        set_key(&one, key, value);
        snprintf(joined, sizeof joined, "%s %s=%s", text, key, value);
        read_rest(r, one, joined, rest + used);
    }
}

int each_shape(const char *line, void (*visit)(const ShapeLine *shape, const char *text, void *context),
               void *context) {
    ShapeLine shape = {.n = 1,
                       .ic = 16,
                       .oc = 16,
                       .h = 8,
                       .w = 8,
                       .kh = 1,
                       .kw = 1,
                       .s = 1,
                       .d = 1,
                       .g = 1,
                       .m = 1,
                       .k = 1,
                       .n2 = 1,
                       .to = 20};
    Reading reading = {visit, context, 0};
    int used = 0;
    if (sscanf(line, "%31s%n", shape.op, &used) != 1) return 0;
    read_rest(&reading, shape, shape.op, line + used);
    return reading.count;
}

int each_line(const char *path, void (*visit)(const char *line, void *context), void *context) {
    char line[512];
    int count = 0;
    FILE *file = fopen(path, "r");
    if (!file) {
        perror(path);
        exit(2);
    }
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (!line[0] || line[0] == '#') continue;
        visit(line, context);
        count++;
    }
    fclose(file);
    return count;
}

/* ---- graphs ---- */

static Node *typed(TestGraph *t, const ShapeLine *s, Node *x) {
    return s->type == DTYPE_F32 ? x : build_cast(t->graph, x, s->type);
}

static Node *new_operand(TestGraph *t, const ShapeLine *s, double low, double high, int rank,
                         const Dim *dims) {
    return typed(t, s, new_input(t, low, high, rank, dims));
}

static Node *epilogue(TestGraph *t, const ShapeLine *s, Node *x) {
    if (!s->epilogue) return x;
    Graph *g = t->graph;
    Dim one = size(t, 1);
    Node *bias = typed(t, s, new_parameter(t, -3, 3, SIZES(one, x->shape.dims[1], one, one)));
    Node *residual = new_operand(t, s, -3, 3, x->shape.rank, x->shape.dims);
    Node *sum = build_binary(g, OP_add, build_binary(g, OP_add, x, bias), residual);
    return build_binary(g, OP_max, sum, build_splat(g, 0, sum->shape));
}

static Dim map_size(TestGraph *t, const ShapeLine *s, int axis) {
    int64_t value = axis ? s->w : s->h;
    return s->free ? (axis ? dim_offset(t->graph->dims, t->H, s->w - s->h) : t->H) : size(t, value);
}

/* Windows of a kernel over a map. */
static Dim window_count(TestGraph *t, const ShapeLine *s, Dim map, int64_t kernel) {
    Dims *dims = t->graph->dims;
    Dim room = dim_offset(dims, map, 2 * s->p - s->d * (kernel - 1) - 1);
    return dim_offset(dims, s->ceil ? dim_ceil_div(dims, room, s->s) : dim_floor_div(dims, room, s->s), 1);
}

static Dim transposed_size(TestGraph *t, const ShapeLine *s, Dim map, int64_t kernel) {
    Dims *dims = t->graph->dims;
    return dim_offset(dims, dim_scale(dims, dim_offset(dims, map, -1), s->s),
                      s->d * (kernel - 1) + 1 - 2 * s->p + s->op_pad);
}

static Node *make_weights(TestGraph *t, const ShapeLine *s, int rank, const Dim *dims) {
    return typed(t, s, s->computed ? new_input(t, -2, 2, rank, dims) : new_parameter(t, -2, 2, rank, dims));
}

static Node *make_conv(TestGraph *t, const ShapeLine *s) {
    Dim h = map_size(t, s, 0), w = map_size(t, s, 1), n = size(t, s->n), kh = size(t, s->kh),
        kw = size(t, s->kw);
    bool transposed = strcmp(s->op, "tconv") == 0, by_weight = strcmp(s->op, "convw") == 0;
    Node *x = new_operand(t, s, -3, 3, SIZES(n, size(t, s->ic), h, w));
    Dim out_h = transposed ? transposed_size(t, s, h, s->kh) : window_count(t, s, h, s->kh);
    Dim out_w = transposed ? transposed_size(t, s, w, s->kw) : window_count(t, s, w, s->kw);
    IntList stride = INTS(s->s, s->s), dilation = INTS(s->d, s->d), before = INTS(s->p, s->p);
    if (by_weight) {
        Node *dy = new_operand(t, s, -3, 3, SIZES(n, size(t, s->oc), out_h, out_w));
        return MAKE(t, convolution_backward_weights, ((Node *[]){x, dy}), 2, stride, dilation, before,
                    DIMS(kh, kw), s->g);
    }
    if (transposed) {
        Node *k = make_weights(t, s, SIZES(size(t, s->ic), size(t, s->oc / s->g), kh, kw));
        return MAKE(t, convolution_backward_data, ((Node *[]){x, k}), 2, stride, dilation, before,
                    DIMS(out_h, out_w), s->g);
    }
    Node *k = make_weights(t, s, SIZES(size(t, s->oc), size(t, s->ic / s->g), kh, kw));
    return MAKE(t, convolution, ((Node *[]){x, k}), 2, stride, dilation, before, DIMS(out_h, out_w), s->g);
}

static Node *make_pool(TestGraph *t, const ShapeLine *s) {
    Dim h = map_size(t, s, 0), w = map_size(t, s, 1), n = size(t, s->n), c = size(t, s->ic);
    Dim out_h = window_count(t, s, h, s->kh), out_w = window_count(t, s, w, s->kw);
    IntList kernel = INTS(s->kh, s->kw), stride = INTS(s->s, s->s), dilation = INTS(s->d, s->d),
            before = INTS(s->p, s->p);
    if (strcmp(s->op, "pool_sum_input") == 0) {
        Node *dy = new_operand(t, s, -9, 9, SIZES(n, c, out_h, out_w));
        return MAKE(t, pool_sum_input, &dy, 1, kernel, stride, dilation, before, DIMS(h, w));
    }
    Node *x = new_operand(t, s, -9, 9, SIZES(n, c, h, w));
    if (strcmp(s->op, "pool_sum") == 0)
        return MAKE(t, pool_sum, &x, 1, kernel, stride, dilation, before, DIMS(out_h, out_w));
    if (strcmp(s->op, "pool_max") == 0)
        return MAKE(t, pool_max, &x, 1, kernel, stride, dilation, before, DIMS(out_h, out_w));
    if (strcmp(s->op, "max_pool_gather") == 0) {
        Node *v = new_operand(t, s, -9, 9, SIZES(n, c, h, w));
        return MAKE(t, max_pool_gather, ((Node *[]){x, v}), 2, kernel, stride, dilation, before,
                    DIMS(out_h, out_w));
    }
    Node *dy = new_operand(t, s, -9, 9, SIZES(n, c, out_h, out_w));
    return MAKE(t, max_pool_scatter, ((Node *[]){x, dy}), 2, kernel, stride, dilation, before);
}

static Node *make_resample(TestGraph *t, const ShapeLine *s) {
    Dims *dims = t->graph->dims;
    Dim h = map_size(t, s, 0), w = map_size(t, s, 1), n = size(t, s->n), c = size(t, s->ic);
    Dim out_h = dim_ceil_div(dims, dim_scale(dims, h, s->to), 10),
        out_w = dim_ceil_div(dims, dim_scale(dims, w, s->to), 10);
    Name rule = intern(t->graph->names, s->rule),
         mode = intern_range(t->graph->names, s->mode, strcspn(s->mode, "+"));
    bool antialias = strchr(s->mode, '+'); /* "cubic+" */
    if (strcmp(s->op, "resample") == 0) {
        Node *x = new_operand(t, s, -9, 9, SIZES(n, c, h, w));
        return MAKE(t, resample, &x, 1, DIMS(out_h, out_w), mode, rule, antialias, -0.75);
    }
    Node *dy = new_operand(t, s, -9, 9, SIZES(n, c, out_h, out_w));
    return MAKE(t, resample_input, &dy, 1, DIMS(h, w), mode, rule, antialias, -0.75);
}

static Node *make_matrix(TestGraph *t, const ShapeLine *s) {
    Dim n = size(t, s->n), one = size(t, s->shared ? 1 : s->n), k = size(t, s->k), columns = size(t, s->n2);
    Node *b = make_weights(t, s, 3, s->turned ? (Dim[]){one, columns, k} : (Dim[]){one, k, columns});
    if (s->turned) b = build_transpose(t->graph, b, (int64_t[]){0, 2, 1});
    return s->shared ? build_broadcast(t->graph, b, 3, (Dim[]){n, k, columns}) : b;
}

static Node *make_matmul(TestGraph *t, const ShapeLine *s) {
    Dim rows = s->free ? t->H : size(t, s->m), n = size(t, s->n), k = size(t, s->k), columns = size(t, s->n2);
    Dim right = s->free ? dim_offset(t->graph->dims, t->H, s->n2) : columns;
    Node *a = new_operand(t, s, -3, 3, SIZES(n, rows, k)), *b;
    if (strcmp(s->op, "dense") == 0) b = make_matrix(t, s);
    else b = new_operand(t, s, -2, 2, SIZES(n, k, right));
    return graph_make(t->graph, OP_matmul, (Node *[]){a, b}, 2, NULL);
}

static bool is_matrix(const ShapeLine *s) {
    return strcmp(s->op, "matmul") == 0 || strcmp(s->op, "dense") == 0;
}

void add_shape(TestGraph *t, const ShapeLine *s) {
    int before = t->inputs.count;
    bool conv = strstr(s->op, "conv"), pool = strstr(s->op, "pool");
    Node *y = is_matrix(s) ? make_matmul(t, s)
              : conv       ? make_conv(t, s)
              : pool       ? make_pool(t, s)
                           : make_resample(t, s);
    new_output(t, epilogue(t, s, y));
    for (int i = before; i < t->inputs.count; i++)
        for (int64_t k = 0; k < t->inputs.items[i].count; k++)
            t->inputs.items[i].values[k].real = round(t->inputs.items[i].values[k].real);
}

TestGraph shape_graph(const ShapeLine *s, uint64_t seed) {
    TestGraph t = test_graph(seed);
    t.symbols[1] = is_matrix(s) ? s->m : s->h;
    dims_symbol(t.graph->dims, 1)->typical = t.symbols[1];
    add_shape(&t, s);
    return t;
}

double shape_flops(const ShapeLine *s) {
    if (is_matrix(s)) return 2.0 * (double)(s->n * s->m * s->k * s->n2);
    if (!strstr(s->op, "conv")) return 0;
    double taps = (double)(s->kh * s->kw * s->ic / s->g * s->oc * s->n);
    if (strcmp(s->op, "tconv") == 0) return 2 * taps * (double)(s->h * s->w);
    int64_t h = (s->h + 2 * s->p - s->d * (s->kh - 1) - 1) / s->s + 1,
            w = (s->w + 2 * s->p - s->d * (s->kw - 1) - 1) / s->s + 1;
    return 2 * taps * (double)(h * w);
}
