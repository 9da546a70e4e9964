/* The blocks of stdlib/ against PyTorch: tests/numerics/library/make.py says how
 * library.txt is written. */
#include "library_support.h"
#include "weights/weights.h"

#include <math.h>
#include <stdlib.h>

static bool weight_values(void *context, const Node *node, RefTensor *out) {
    (void)context;
    bool state = node->op == OP_state;
    const char *path = state ? ATTRIBUTES(node, state)->path : ATTRIBUTES(node, parameter)->path;
    init_fill(7, path, &out->shape, state ? ATTRIBUTES(node, state)->init : ATTRIBUTES(node, parameter)->init,
              state, out->values);
    return true;
}

static bool input_values(void *context, const Node *node, RefTensor *out) {
    const Graph *graph = context;
    int k = 0;
    while (graph->inputs.items[k].node != node) k++;
    for (int64_t i = 0; i < out->shape.count; i++) {
        double x = (double)i;
        if (dtype_is_float(node->shape.type)) out->values[i].real = sin(0.37 * x + k) + 0.25 * cos(1.7 * x);
        else out->values[i].whole = i % 3;
    }
    return true;
}

/* What a model uses stands before it: `use gan model m(...`. */
static Model *read_model(Arena *arena, const char *text) {
    const char *begin = strstr(text, "model ");
    CU_ASSERT_FATAL(begin != NULL);
    Diagnostics *diag = NEW(arena, Diagnostics);
    diag->arena = arena;
    return model_of_text(names_new(arena), diag,
                         arena_printf(arena, "%.*s\n%s", (int)(begin - text), text, begin));
}

static const char *dims_text(Arena *arena, const RefShape *shape) {
    Text text = {.arena = arena};
    for (int i = 0; i < shape->rank; i++) text_add(&text, "%s%lld", i ? "," : "", (long long)shape->dims[i]);
    return shape->rank ? text_string(&text) : "-";
}

/* line: expect SHAPE STEP V... */
static bool matches(Arena *arena, const RefTensor *result, char *line) {
    char *rest = line + strlen("expect "), *shape = strsep(&rest, " ");
    int64_t step = strtoll(strsep(&rest, " "), NULL, 10), i = 0;
    if (strcmp(shape, dims_text(arena, &result->shape))) return false;
    for (char *value; (value = strsep(&rest, " ")); i += step) {
        double expected = strtod(value, NULL);
        if (i >= result->shape.count) return false;
        double found = number_value(result->values[i], result->shape.type);
        bool equal = found == expected; /* infinite ones too */
        if (!equal && !(fabs(found - expected) <= 1e-9 * (1 + fabs(expected)))) return false;
    }
    return i >= result->shape.count;
}

static bool run_case(const char *text, char *expected) {
    Arena *arena = arena_new();
    Model *model = read_model(arena, text);
    bool good = false;
    if (model->graph) {
        RefSource source = {.context = model->graph, .parameter = weight_values, .input = input_values};
        RefTensor result;
        Node *wanted = model->graph->outputs.items[0].node;
        int64_t symbols[1] = {1};
        good = reference_evaluate(model->graph, &wanted, 1, symbols, 7, &source, arena, &result) &&
               matches(arena, &result, expected);
    }
    if (!good) fprintf(stderr, "\ndiffers from PyTorch: %s", text);
    arena_free(arena);
    return good;
}

TEST(blocks_against_PyTorch) {
    FILE *file = fopen("tests/numerics/library/library.txt", "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    char *text = NULL, *expected = NULL;
    size_t text_room = 0, expected_room = 0;
    int count = 0;
    while (getline(&text, &text_room, file) > 0 && getline(&expected, &expected_room, file) > 0) {
        CU_ASSERT(run_case(text, expected));
        count++;
    }
    CU_ASSERT(count > 100);
    free(text);
    free(expected);
    fclose(file);
}
