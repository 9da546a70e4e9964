/* The reference functions against PyTorch's results in tests/numerics/ops (make.py there
 * says how the files are written), random numbers against their definition, and the
 * evaluator. */
#include "graph_test.h"

/* ---- reading the files ---- */

typedef struct Script {
    TestGraph t;
    Map *names; /* from interned names to nodes, within a case */
    const char *path;
    char case_name[80];
    int cases, expectations;
} Script;

static int64_t read_list(char *text, int64_t *items) {
    int64_t count = 0;
    if (strcmp(text, "-") == 0) return 0;
    for (char *at = text; *at && count < 16; count++) {
        items[count] = strtoll(at, &at, 10);
        if (*at == ',') at++;
    }
    return count;
}

static Node *named(Script *s, const char *name) { return map_get(s->names, intern(s->t.graph->names, name)); }

static DType type_named(const char *name) {
    for (int type = DTYPE_F32; type <= DTYPE_BOOL; type++)
        if (strcmp(dtype_name((DType)type), name) == 0) return (DType)type;
    CU_FAIL_FATAL("no such type");
    return DTYPE_F32;
}

static Number read_number(char **rest, DType type) {
    if (!dtype_is_float(type)) return (Number){.whole = strtoll(*rest, rest, 10)};
    return (Number){.real = strtod(*rest, rest)};
}

/* Writes the value of attribute `name=text` where the operator's table says that it
 * lies. */
static void set_attribute(Script *s, Op op, char *struct_bytes, const Node *first, const char *name,
                          char *text) {
    int64_t *items = NEW_ARRAY(s->t.arena, int64_t, 16);
    for (const AttrInfo *info = op_info[op].attributes(); info->name; info++) {
        if (strcmp(info->name, name) != 0) continue;
        void *field = struct_bytes + info->offset;
        Dim *dims = NEW_ARRAY(s->t.arena, Dim, 16);
        switch (info->kind) {
        case ATTR_INT: *(int64_t *)field = strtoll(text, NULL, 10); return;
        case ATTR_REAL: *(double *)field = strtod(text, NULL); return;
        case ATTR_NUMBER: *(Number *)field = read_number(&text, first->shape.type); return;
        case ATTR_BOOL: *(bool *)field = strtoll(text, NULL, 10) != 0; return;
        case ATTR_NAME: *(Name *)field = intern(s->t.graph->names, text); return;
        case ATTR_TYPE: *(DType *)field = type_named(text); return;
        case ATTR_INTS: *(IntList *)field = (IntList){(int)read_list(text, items), items}; return;
        case ATTR_DIMS:
            *(DimList *)field = (DimList){(int)read_list(text, items), dims};
            for (int i = 0; i < ((DimList *)field)->count; i++) dims[i] = size(&s->t, items[i]);
            return;
        default: break;
        }
    }
    CU_FAIL_FATAL("no such attribute");
}

/* name = input 2,3 V..., or input_i32 and so on */
static Node *read_input(Script *s, const char *name, DType type, char *rest) {
    int64_t items[16], count = 1;
    int rank = (int)read_list(strtok_r(rest, " ", &rest), items);
    Dim dims[16];
    for (int i = 0; i < rank; i++) dims[i] = size(&s->t, items[i]), count *= items[i];
    Node *node = MAKE(&s->t, input, NULL, 0,
                      intern(s->t.graph->names, arena_printf(s->t.arena, "%s %s", s->case_name, name)), type,
                      {rank, dims});
    add_values(&s->t, node, 0, 1);
    for (int64_t i = 0; i < count; i++) vec_last(&s->t.inputs).values[i] = read_number(&rest, type);
    return node;
}

static bool has_case[OP_COUNT]; /* in the files that this process read */

/* name = operator x ... attribute=value ... */
static Node *read_operator(Script *s, const char *op_name, char *rest) {
    int op = 0, count = 0;
    while (op < OP_COUNT && strcmp(op_info[op].name, op_name) != 0) op++;
    CU_ASSERT_FATAL(op < OP_COUNT);
    Node *inputs[8];
    char *attributes = NEW_ARRAY(s->t.arena, char, op_info[op].attribute_bytes);
    for (char *word = strtok_r(rest, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        char *equals = strchr(word, '=');
        if (!equals) {
            inputs[count++] = named(s, word);
            CU_ASSERT_PTR_NOT_NULL_FATAL(inputs[count - 1]);
            continue;
        }
        *equals = 0;
        set_attribute(s, (Op)op, attributes, count ? inputs[0] : NULL, word, equals + 1);
    }
    has_case[op] = true;
    ShapeError error;
    Node *node = graph_try(s->t.graph, (Op)op, inputs, count, attributes, &error);
    if (!node) printf("\n  %s, %s: %s\n", s->path, s->case_name, error.text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(node);
    return node;
}

static void read_expectation(Script *s, char *rest) {
    Node *node = named(s, strtok_r(rest, " ", &rest));
    CU_ASSERT_PTR_NOT_NULL_FATAL(node);
    RefTensor result;
    evaluate(&s->t, s->t.graph, &node, 1, &result);
    s->expectations++;
    for (int64_t i = 0; i < result.shape.count; i++) {
        char *begin = rest;
        DType type = result.shape.type;
        Number number = read_number(&rest, type);
        CU_ASSERT_FATAL(rest != begin); /* a number for each element */
        double wanted = number_value(number, type), found = element(&result, i);
        bool near = wanted == found || (isnan(wanted) && isnan(found)) ||
                    fabs(wanted - found) <= 1e-11 * (1 + fabs(wanted));
        if (dtype_is_float(type) ? near : number.whole == result.values[i].whole) continue;
        printf("\n  %s, %s: %s[%lld] is %.13g, not %.*s\n", s->path, s->case_name, op_info[node->op].name,
               (long long)i, found, (int)(rest - begin), begin);
        CU_FAIL("not PyTorch's value");
        return;
    }
    CU_ASSERT_EQUAL(strspn(rest, " \n"), strlen(rest));
}

static void read_line(Script *s, char *line) {
    line[strcspn(line, "\n")] = 0;
    char *rest, *first = strtok_r(line, " ", &rest);
    if (!first) return;
    if (strcmp(first, "case") == 0) {
        snprintf(s->case_name, sizeof s->case_name, "%s", rest);
        s->names = map_new(s->t.arena);
        s->cases++;
    } else if (strcmp(first, "expect") == 0) {
        read_expectation(s, rest);
    } else {
        strtok_r(NULL, " ", &rest); /* = */
        char *kind = strtok_r(NULL, " ", &rest);
        char *type = strncmp(kind, "input", 5) == 0 ? kind + 5 : NULL;
        Node *node = type ? read_input(s, first, *type ? type_named(type + 1) : DTYPE_F32, rest)
                          : read_operator(s, kind, rest);
        map_set(s->names, intern(s->t.graph->names, first), node);
    }
}

static void check_file(const char *family, int cases) {
    Script s = {.t = test_graph(1), .path = family};
    FILE *file = fopen(arena_printf(s.t.arena, "tests/numerics/ops/%s.txt", family), "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, file) > 0) read_line(&s, line);
    free(line);
    fclose(file);
    CU_ASSERT(s.cases >= cases);
    CU_ASSERT(s.expectations >= s.cases);
    arena_free(s.t.arena);
}

TEST(convolutions_are_PyTorchs) { check_file("convolution", 12); }
TEST(pools_are_PyTorchs) { check_file("pool", 13); }
TEST(resizing_is_PyTorchs) { check_file("resize", 30); }
TEST(smooth_resizing_is_PyTorchs) { check_file("smooth_resize", 25); }
TEST(movement_is_PyTorchs) { check_file("movement", 10); }
TEST(arithmetic_is_PyTorchs) { check_file("arithmetic", 6); }
TEST(reductions_are_PyTorchs) { check_file("reduction", 4); }
TEST(ints_bools_and_casts_are_numpys) { check_file("integers", 40); }
TEST(order_is_PyTorchs) { check_file("order", 16); }
TEST(NaN_and_infinities_are_PyTorchs) { check_file("extremes", 2); }

/* The reference is the oracle of all other tests: values of others stand behind each
 * operator. */
TEST(every_operator_has_values_of_others) {
    static const char *const families[] = {"convolution", "pool",       "resize",    "smooth_resize",
                                           "movement",    "arithmetic", "reduction", "integers",
                                           "order",       "extremes"};
    for (int i = 0; i < COUNT_OF(families); i++) check_file(families[i], 1);
    for (int op = 0; op < OP_COUNT; op++) {
        bool found = has_case[op] || op_info[op].class == CLASS_SOURCE;
        if (!found) printf("\n  no case of %s in tests/numerics/ops/make.py\n", op_info[op].name);
        CU_ASSERT(found);
    }
}

/* ---- the evaluator ---- */

/* The numbers that graph/op_source.c's comment defines, by another route: a few lines of
 * Python gave them. */
TEST(random_numbers_are_as_defined) {
    TestGraph t = test_graph(1);
    Node *u = MAKE(&t, uniform, NULL, 0, intern(t.graph->names, "noise"), DTYPE_F32,
                   DIMS(size(&t, 100), size(&t, 100)));
    RefTensor result;
    evaluate(&t, t.graph, &u, 1, &result);
    double sum = 0, squares = 0;
    for (int i = 0; i < 10000; i++)
        sum += result.values[i].real, squares += result.values[i].real * result.values[i].real;
    CU_ASSERT_DOUBLE_EQUAL(sum / 10000, 0.5, 0.01);
    CU_ASSERT_DOUBLE_EQUAL(squares / 10000, 1.0 / 3, 0.01);
    CU_ASSERT_EQUAL(result.values[0].real, 5532944 * 0x1p-24);
    CU_ASSERT_EQUAL(result.values[9999].real, 9074145 * 0x1p-24);
    arena_free(t.arena);
}

TEST(values_are_rounded_to_their_type) {
    TestGraph t = test_graph(1);
    Node *x = new_input(&t, 0.1, 0.1, 0, NULL),
         *third = build_binary(t.graph, OP_div, x, build_scalar(t.graph, 3, DTYPE_F32));
    RefTensor result;
    evaluate(&t, t.graph, &third, 1, &result);
    CU_ASSERT_EQUAL(result.values[0].real, 0.1 / 3); /* f32 stays double */
    Node *half = build_cast(t.graph, x, DTYPE_F16), *sum = build_binary(t.graph, OP_add, half, half);
    evaluate(&t, t.graph, &sum, 1, &result);
    CU_ASSERT_EQUAL(result.values[0].real, 2 * 0.0999755859375);
    arena_free(t.arena);
}

TEST(a_value_that_is_not_given) {
    TestGraph t = test_graph(1);
    Node *x = new_input(&t, 0, 1, 0, NULL), *y = build_unary(t.graph, OP_exp, x);
    RefTensor result;
    CU_ASSERT_FALSE(reference_evaluate(t.graph, &y, 1, t.symbols, 0, NULL, t.arena, &result));
    arena_free(t.arena);
}

/* The sizes of a run decide: one graph, two batches. */
TEST(symbolic_sizes) {
    TestGraph t = test_graph(1);
    Node *ones = build_splat(t.graph, 1, (Shape){DTYPE_F32, 2, (Dim[]){t.N, t.H}}),
         *sum = build_sum(t.graph, ones, (int64_t[]){0, 1}, 2);
    for (int64_t n = 1; n < 4; n++) {
        t.symbols[0] = n;
        RefTensor result;
        evaluate(&t, t.graph, &sum, 1, &result);
        CU_ASSERT_EQUAL(result.values[0].real, (double)(5 * n));
    }
    arena_free(t.arena);
}
