/* The evaluator: names of weights, sharing, sizes, arithmetic of values, counts of
 * mistakes, and the figures of a summary. A case is the text of a file; what is asked of
 * it stands beside it. tests/golden/elaborate has the wording of mistakes, tests/tiny
 * whole small models. */
#include "elaborate/elaborate.h"
#include "test.h"

#include <stdlib.h>

typedef struct Run {
    Arena *arena;
    Names *names;
    Diagnostics *diag;
    Library *library;
    Model *model; /* the file's first */
} Run;

static Run run_with(const char *text, const char *name, const char *value) {
    Run run = {.arena = arena_new()};
    run.names = names_new(run.arena);
    run.diag = NEW(run.arena, Diagnostics);
    run.diag->arena = run.arena;
    Define define = {name ? intern(run.names, name) : NULL, value};
    ElaborateOptions options = {.stdlib_dir = "stdlib", .defines = &define, .define_count = name != NULL};
    run.library = library_of_text(run.arena, run.names, run.diag, text, &options);
    run.model = library_model_count(run.library) ? elaborate_model(run.library, 0) : NULL;
    return run;
}

static Run run_text(const char *text) { return run_with(text, NULL, NULL); }

/* A model of x: f32[N, 4, H, W] with this body, after these declarations. */
static Run run_body(const char *declarations, const char *body) {
    Arena *arena = arena_new();
    Run run = run_text(
        arena_printf(arena, "%s\nmodel m(x: f32[N, 4, H, W]) where H %% 4 == 0, W %% 4 == 0 {\n%s\n}\n",
                     declarations, body));
    arena_free(arena);
    return run;
}

static void finish(Run *run) { arena_free(run->arena); }

static void expect_errors(Run *run, int errors) {
    if (run->diag->errors != errors) diag_print(run->diag, stderr, DIAG_TEXT, false);
    CU_ASSERT_EQUAL(run->diag->errors, errors);
}

static void expect_text(const char *expected, const char *actual) {
    if (strcmp(expected, actual)) fprintf(stderr, "\nexpected %s\nis       %s\n", expected, actual);
    CU_ASSERT_STRING_EQUAL(expected, actual);
}

static void weights_are(const char *declarations, const char *body, const char *expected) {
    Run run = run_body(declarations, body);
    Text text = {.arena = run.arena};
    expect_errors(&run, 0);
    for (int i = 0; i < run.model->weights.count; i++)
        text_add(&text, "%s%s", i ? " " : "", run.model->weights.items[i].path);
    expect_text(expected, text_string(&text));
    finish(&run);
}

static void output_is(const char *expression, const char *expected) {
    Run run = run_body("", expression);
    expect_errors(&run, 0);
    CU_ASSERT_FATAL(run.model->graph != NULL);
    expect_text(expected, shape_string(run.arena, run.model->graph->outputs.items[0].node->shape));
    finish(&run);
}

static void errors_are(const char *declarations, const char *body, int errors) {
    Run run = run_body(declarations, body);
    expect_errors(&run, errors);
    CU_ASSERT_PTR_NULL(run.model->graph);
    finish(&run);
}

/* ---- names ---- */

#define ONE "block one(x) { return x -> c: conv(4, 1, bias = false) }\n"

TEST(paths_of_layers_and_weights) {
    weights_are("", "return x -> conv(4, 1, bias = false) -> conv(4, 1, bias = false)",
                "conv.weight conv_2.weight");
    weights_are("", "return x -> a: conv(4, 1, bias = false) -> \"b.{1 + 1}\": conv(4, 1, bias = false)",
                "a.weight b.2.weight");
    weights_are("", "E = conv(4, 1, bias = false)\n y = x -> E\n return y -> E", "E.weight");
    weights_are("", "E = conv(4, 1, bias = false)\n F = E\n return x -> F", "E.weight");
    weights_are("", "L = [conv(4, 1, bias = false), conv(4, 1, bias = false)]\n return x -> L[1] -> L[0]",
                "L.1.weight L.0.weight");
    weights_are("", "(A, B) = (conv(4, 1, bias = false), conv(4, 1, bias = false))\n return x -> A -> B",
                "A.weight B.weight");
    weights_are(
        "",
        "return x -> s: { relu -> conv(4, 1, bias = false) -> a: conv(4, 1, bias = false) -> conv(4, 1, bias = false) }",
        "s.1.weight s.a.weight s.3.weight");
    weights_are("", "f = { conv(4, 1, bias = false) -> relu }\n return x -> f -> f", "f.0.weight");
    weights_are("", "return x -> { conv(4, 1, bias = false) }", "braces.0.weight");
    weights_are("", "n = 0\n for i in 0 .. 2 { x = x -> \"l{i}\": conv(4, 1, bias = false) }\n return x",
                "l0.weight l1.weight");
    weights_are(ONE, "return x -> one -> one", "one.c.weight one_2.c.weight");
    weights_are(ONE "E = one()", "return x -> E -> E", "E.c.weight");
    weights_are("block uses(f)(x) { return x -> f -> f }\n" ONE, "return x -> u: uses(one)",
                "u.one.c.weight u.one_2.c.weight");
    weights_are("block uses(f)(x) { return x -> f -> f }\n" ONE, "return x -> u: uses(one())",
                "u.f.c.weight");
    weights_are("block uses(fs)(x) { return x -> fs[0] -> fs[1] }\n" ONE,
                "return x -> u: uses([one(), one()])", "u.fs.0.c.weight u.fs.1.c.weight");
    weights_are("block gain(w)(x) { return x * per_channel(w) }", "return x -> g: gain(param([4], init = 1))",
                "g.w");
    weights_are(
        "",
        "ws = [param([4], init = 1), param([4], init = 0)]\n return x * per_channel(ws[0]) + per_channel(ws[1])",
        "ws.0 ws.1");
    weights_are("", "return x * per_channel(param([4], init = 1))", "param");
}

TEST(parts_of_layers) {
    weights_are(
        "", "E = { conv(4, 1, bias = false) -> conv(4, 1, bias = false) }\n y = x -> E\n return y -> E[1]",
        "E.0.weight E.1.weight");
    weights_are(ONE, "E = one()\n y = x -> E\n return (y -> E.c) * E.c.weight[0, 0, 0, 0]", "E.c.weight");
    errors_are(ONE, "E = one()\n y = x -> E\n return y -> E.d", 1);
    errors_are(ONE, "E = one()\n return x -> E.c", 1);
}

TEST(repeat_if_and_braces) {
    weights_are("", "return x -> a: repeat 2 { conv(4, 1, bias = false) -> relu }", "a.0.weight a.2.weight");
    weights_are(
        "",
        "return x -> a: { repeat 2 { conv(4, 1, bias = false) } -> if true { conv(4, 1, bias = false) } }",
        "a.0.weight a.1.weight a.2.weight");
    weights_are("", "return x -> a: { if false { relu } -> conv(4, 1, bias = false) }", "a.0.weight");
    weights_are("", "return x -> a: repeat 2 { { conv(4, 1, bias = false) -> conv(4, 1, bias = false) } }",
                "a.0.0.weight a.0.1.weight a.1.0.weight a.1.1.weight");
    weights_are("", "return x -> repeat 2 { conv(4, 1, bias = false) }", "conv.weight conv_2.weight");
    weights_are("", "return x -> a: if 1 < 2 { conv(4, 1, bias = false) } else { relu }", "a.0.weight");
}

TEST(paths_made_twice) {
    errors_are("", "a = x -> c: conv(4, 1)\n b = x -> c: conv(4, 1)\n return a + b", 1);
    errors_are("", "for i in 0 .. 3 { x = x -> c: conv(4, 1) }\n return x", 1);
    errors_are("", "f = { conv(8, 1) }\n y = x -> f\n return y -> f", 1); /* 4 channels, then 8 */
    errors_are("", "w = param([4])\n w = param([4])\n return x", 1);
    weights_are("", "a = x -> act: relu\n b = x -> act: relu\n return a + b",
                ""); /* without weights there is nothing to mix up */
    weights_are("", "f = { conv(4, 1, bias = false) }\n y = x -> f\n z = y -> f\n return z -> f",
                "f.0.weight");
}

/* ---- shapes ---- */

TEST(sizes) {
    output_is("return x -> maxpool(2) -> maxpool(2) -> upsample(4)", "f32[N, 4, H, W]");
    output_is("return x[:, 0]", "f32[N, H, W]");
    output_is("return x[0, 1:3, :, -1]", "f32[2, H]");
    output_is("return reshape(x, [x.batch, -1])", "f32[N, 4*H*W]");
    output_is("return reshape(x, [-1, x.width])", "f32[4*N*H, W]");
    output_is("return x -> flatten(start = 2)", "f32[N, 4, H*W]");
    output_is("return x -> conv(2, 3, stride = 2)", "f32[N, 2, H/2, W/2]");
    output_is("return x -> conv(2, 3, pad = 0)", "f32[N, 2, H-2, W-2]");
    output_is("return x -> reduce_mean(axes = (2, 3))", "f32[N, 4]");
    output_is("return (x, x, x) -> concat", "f32[N, 12, H, W]");
    output_is("return [x, x] -> concat(axis = 2)", "f32[N, 4, 2*H, W]");
    output_is("return (x > 0) and (x < 1)", "bool[N, 4, H, W]");
    output_is("return argmax(x, axis = 1)", "i32[N, H, W]");
    output_is("return argmin(x, axis = -1, keep = true)", "i32[N, 4, H, 1]");
    output_is("return argmax(x)", "i32[]");
    output_is("return x * x.width", "f32[N, 4, H, W]");
    output_is("return tensor(x.width * 0.5)", "f32[]");
    output_is("return x -> pixel_shuffle(2)", "f32[N, 1, 2*H, 2*W]");
}

TEST(broadcasting) {
    output_is("return x + zeros([4, 1, 1])", "f32[N, 4, H, W]");
    output_is("return x[:, 0:1, 0:1, 0:1] + zeros([7, 1, 5, 1, 3])", "f32[7, N, 5, 1, 3]");
    errors_are("", "return x + zeros([4])", 1);
    errors_are("", "return x[:, :, 0:1, :] + x[:, :, :, 0]", 1); /* H is not N, whatever their values */
}

/* ---- compile-time values ---- */

TEST(arithmetic) {
    static const char *const truths[] = {
        "7 // 2 == 3 and -7 // 2 == -4 and -7 % 3 == 2 and 2 ** 10 == 1024 and 6 / 3 == 2 and 7.0 / 2 == 3.5 and -2 ** 2 == -4",
        "1 < 2 and not (2 < 1) and 1 <= 1 and \"a\" < \"b\" and \"ab\" == \"a\" + \"b\" and 1 == 1.0 and 1 != \"1\" and none == none",
        "[1, 2] + [3] == [1, 2, 3] and [0] * 3 == [0, 0, 0] and (1, 2)[1] == 2 and [1, 2, 3][1:] == [2, 3] and [1, 2, 3][-1] == 3",
        "len(range(3, 9, 2)) == 3 and range(3, 0, -1) == [3, 2, 1] and len(\"abc\") == 3 and int(\"42\") == 42 and int(2.9) == 2",
        "min(3, 1, 2) == 1 and max(1, 2.5) == 2.5 and abs(-3) == 3 and floor(2.7) == 2 and round(2.5) == 2 and sqrt(4.0) == 2",
        "\"{1 + 1}{[1, true]}{2.5}\" == \"2[1, true]2.5\" and kind(3) == \"int\" and kind(x) == \"tensor\" and str(3) == \"3\"",
        "(1 if true else 1 / 0) == 1 and not (false and 1 / 0 == 1) and zip([1, 2], [3, 4])[1] == (2, 4) and (true or 1 / 0 == 1)",
        "(a = 1, b = 2).b == 2 and (a = 1, b = 2)[\"a\"] == 1 and enumerate([5])[0] == (0, 5) and reversed([1, 2]) == [2, 1]",
        "x.height // 2 * 2 == x.height and x.height / 4 * 4 == x.height and x.height % 4 == 0 and x.shape[1] == 4 and x.rank == 4",
        "x.height + 1 > x.height and x.height >= 4 and x.height != 3 and x.height * x.width >= 16 and max(x.height, 2) == x.height",
        "[*[1, 2], 3] == [1, 2, 3] and (1, *(2, 3)) == (1, 2, 3)",
    };
    for (int i = 0; i < COUNT_OF(truths); i++) {
        Arena *arena = arena_new();
        Run run = run_body("", arena_printf(arena, "assert %s, \"wrong\"\nreturn x", truths[i]));
        expect_errors(&run, 0);
        CU_ASSERT(run.model->graph && run.model->graph->checks.count == 0);
        finish(&run);
        arena_free(arena);
    }
}

TEST(scopes) {
    static const char *const bodies[] = {
        "n = 1\n if true { n = 2 }\n assert n == 2, \"\"\n return x",
        "n = 0\n for i in 0 .. 5 { n = n + i }\n assert n == 10, \"\"\n return x",
        "n = 0\n for (i, v) in enumerate([3, 4]) { n = n + i * v }\n assert n == 4, \"\"\n return x",
        "n = 0\n repeat 3 { n = n + 2 }\n assert n == 6, \"\"\n return x",
        "(a, (b, _)) = (1, (2, 3))\n assert a + b == 3, \"\"\n return x",
        "c = 4\n f = { conv(c, 1) }\n c = 5\n y = x -> f\n assert y.channels == 4, \"\"\n return y",
        "for i in 0 .. 3 { if i == 1 { return x } }\n return 1 / 0",
        "if training { update x = x }\n return x",
    };
    for (int i = 0; i < COUNT_OF(bodies); i++) {
        Run run = run_body("", bodies[i]);
        expect_errors(&run, 0);
        finish(&run);
    }
}

TEST(arguments) {
    Run run =
        run_body("block f(a, b = a + 1, *c)(x) { assert a == 1 and b == 2 and c == [], \"\"\n return x }\n"
                 "block g(a, *c)(x, y = 3) { assert c == [2, 3] and y == 3, \"\"\n return x }\n"
                 "block h(x, y) { return x - y }\n"
                 "block none_given()(x) { return x }",
                 "return x -> f(1) -> g(1, 2, 3) -> none_given -> none_given() -> h(y = 2)");
    expect_errors(&run, 0);
    finish(&run);
}

/* ---- mistakes come one at a time ---- */

TEST(independent_mistakes) {
    errors_are("", "a = wrong\n b = a + 1\n c = b -> conv(3, 3)\n return c", 1);
    errors_are("", "a = x -> conv(8, 4)\n b = x -> nowhere\n c = a + b\n d = 1 / 0\n return c -> conv(d, 3)",
               3);
    errors_are("block f(x) { return x -> conv(x.channels / 3, 3) }", "return x -> f -> f -> f", 1);
    errors_are("", "if x { y = 1 } else { y = 2 }\n return x -> conv(y, 3)", 1);
    errors_are("", "for i in 0 .. x { y = i }\n return x -> conv(y, 3)", 1);
    errors_are("", "return x -> conv(8, 3, wrong = nowhere)", 1);
    errors_are("a = nowhere", "return x -> conv(a, 3)", 1);
}

/* ---- models ---- */

TEST(checks_of_a_run) {
    Run run = run_text(
        "model m(x: f32[N, H]) where H >= 8, H % 2 == 0 { assert x.shape[1] <= 100, \"too wide\"\n return x[:, 0:6] }");
    expect_errors(&run, 0);
    CU_ASSERT_EQUAL_FATAL(run.model->graph->checks.count, 3);
    CU_ASSERT_EQUAL(run.model->graph->checks.items[0].kind, CHECK_AT_LEAST);
    CU_ASSERT_PTR_NOT_NULL(strstr(run.model->graph->checks.items[1].message, ": too wide"));
    finish(&run);
}

TEST(defines) {
    const char *text =
        "model m(c = 2, wide = false, name = \"a\", more = [])(x: f32[N, 4, H, H]) where H % 8 == 0 {\n"
        "  assert name == \"b\" or c != 3, \"\"\n  for k in more { x = x -> \"l{k}\": conv(k, 1) }\n"
        "  return x -> conv(c, 3) -> if wide { relu }\n}";
    static const struct {
        const char *name, *value, *shape;
        int errors;
    } cases[] = {{"c", "5", "f32[N, 5, H, H]", 0},
                 {"H", "16", "f32[N, 2, 16, 16]", 0},
                 {"N", "1", "f32[1, 2, H, H]", 0},
                 {"more", "[5, 6]", "f32[N, 2, H, H]", 0},
                 {"more", "5", NULL, 1},
                 {"c", "1 / 0", NULL, 1},
                 {"c", "-1", NULL, 1},
                 {"wide", "true", "f32[N, 2, H, H]", 0},
                 {"H", "12", NULL, 1},
                 {"H", "0", NULL, 1},
                 {"H", "big", NULL, 1},
                 {"c", "3", NULL, 1},
                 {"k", "3", NULL, 1},
                 {"wide", "3", NULL, 1}};
    for (int i = 0; i < COUNT_OF(cases); i++) {
        Run run = run_with(text, cases[i].name, cases[i].value);
        expect_errors(&run, cases[i].errors);
        if (cases[i].shape)
            expect_text(cases[i].shape,
                        shape_string(run.arena, run.model->graph->outputs.items[0].node->shape));
        finish(&run);
    }
}

TEST(signatures) {
    Run run = run_text(
        "model m(a: image[N, 3, H, W, fit = \"pad\"], b: i32[K]) -> (y: image[N, 1, H, W], z: f32[N, 3] as labels(top = 2)) {\n"
        "  return (z = a -> global_avgpool, y = a -> conv(1, 3))\n}");
    expect_errors(&run, 0);
    const Graph *graph = run.model->graph;
    CU_ASSERT_FATAL(graph && graph->inputs.count == 2 && graph->outputs.count == 2);
    CU_ASSERT(graph->inputs.items[0].form == FORM_IMAGE && graph->inputs.items[0].fit == FIT_PAD);
    CU_ASSERT(graph->inputs.items[1].form == FORM_TENSOR &&
              graph->inputs.items[1].node->shape.type == DTYPE_I32);
    CU_ASSERT(graph->outputs.items[0].form == FORM_IMAGE && !strcmp(graph->outputs.items[0].name, "y"));
    CU_ASSERT(graph->outputs.items[1].form == FORM_LABELS && graph->outputs.items[1].top == 2);
    finish(&run);
}

TEST(receptive_fields) {
    static const struct {
        const char *stages;
        int64_t field;
    } cases[] = {{"conv(4, 3)", 3},
                 {"conv(4, 3, dilation = 3)", 7},
                 {"conv(4, 3, stride = 2) -> conv(4, 3)", 7},
                 {"conv(4, 3) -> maxpool(2) -> conv(4, 3)", 8},
                 {"conv(4, 7, stride = 2) -> maxpool(3, stride = 2, pad = 1) -> conv(4, 3)", 19},
                 {"relu -> batchnorm", 1},
                 {"maxpool(2) -> conv(4, 3) -> upsample(2) -> conv(4, 3)", 8},
                 {"conv(4, 3) -> global_avgpool", 3},
                 {"conv(4, (3, 5))", 5},
                 {"conv(4, 3) -> instancenorm -> conv(4, 3)", 5},
                 {"conv(4, 3) -> groupnorm(2) -> conv(4, 3)", 5},
                 {"conv(4, 3) -> { conv(4, 1) -> softmax(axis = 3) } -> conv(4, 3)", 3},
                 {"global_avgpool", 0}};
    for (int i = 0; i < COUNT_OF(cases); i++) {
        Arena *arena = arena_new();
        Run run = run_body("", arena_printf(arena, "return x -> %s", cases[i].stages));
        expect_errors(&run, 0);
        CU_ASSERT_EQUAL(run.model->receptive_field, cases[i].field);
        finish(&run);
        arena_free(arena);
    }
}

TEST(figures) {
    Run run = run_text(
        "model m(x: f32[N, 4, 8, 8]) {\n"
        "  E = conv(4, 3)\n"
        "  return x -> E -> E -> up: conv_transpose(2, 2, stride = 2) -> flatten -> d: dense(10)\n}");
    expect_errors(&run, 0);
    int64_t one = 1, macs, parameters = dim_const_value(run.model->parameters);
    CU_ASSERT(dim_evaluate(run.model->macs, &one, &macs));
    CU_ASSERT_EQUAL(parameters, 4 * 4 * 9 + 4 + 4 * 2 * 4 + 2 + 512 * 10 + 10);
    CU_ASSERT_EQUAL(macs, 2 * 4 * 64 * 36 + 64 * 4 * 2 * 4 + 10 * 512);
    int64_t sum = 0, part;
    for (int i = 0; i < run.model->layers.count; i++)
        if (dim_is_const(run.model->layers.items[i].parameters, &part)) sum += part;
    CU_ASSERT_EQUAL(sum, parameters); /* what is shared counts once */
    finish(&run);
}

TEST(examples) {
    static const char *const files[] = {"examples/resnet18.cai", "examples/unet.cai",
                                        "examples/mobilenet_v2.cai"};
    static const int64_t parameters[] = {11689512, 31037633, 3504872};
    for (int i = 0; i < COUNT_OF(files); i++) {
        Run run = {.arena = arena_new()};
        run.names = names_new(run.arena);
        run.diag = NEW(run.arena, Diagnostics);
        run.diag->arena = run.arena;
        run.library = library_open(run.arena, run.names, run.diag, files[i],
                                   &(ElaborateOptions){.stdlib_dir = "stdlib"});
        CU_ASSERT_FATAL(run.library != NULL);
        run.model = elaborate_model(run.library, 0);
        expect_errors(&run, 0);
        CU_ASSERT_EQUAL(dim_const_value(run.model->parameters), parameters[i]);
        finish(&run);
    }
}

TEST(one_namespace_of_weights) {
    const char *text =
        "code = dense(%d)\nmodel a(x: f32[N, 8]) { return x -> code }\nmodel b(x: f32[N, 8]) { return x -> code: dense(4) }";
    for (int width = 4; width <= 5; width++) {
        Arena *arena = arena_new();
        Run run = run_text(arena_printf(arena, text, width));
        Model *models[2] = {run.model, elaborate_model(run.library, 1)};
        CU_ASSERT_EQUAL(library_check_weights(run.library, models, 2), width == 4);
        expect_errors(&run, width == 4 ? 0 : 1); /* of one layer, told once */
        finish(&run);
        arena_free(arena);
    }
}

/* ---- what would never end, or not fit ---- */

TEST(bounds) {
    errors_are("block f(x) { return x -> f }", "return x -> f", 1);
    errors_are("block f(x) { return x -> g }\nblock g(x) { return x -> f }", "return x -> f", 1);
    errors_are("", "for i in 0 .. 1000000000 { n = i }\n return x", 1);
    errors_are("", "s = \"ab\"\n for i in 0 .. 100 { s = \"{s}{s}\" }\n return x", 1);
    errors_are("", "s = [1]\n for i in 0 .. 100 { s = [s, s] }\n return x", 1);
    errors_are("", "s = range(1000000000)\n return x", 1);
    errors_are("", "d = x.height\n for i in 0 .. 100 { d = d * d + 1 }\n return x", 1);
    errors_are("", "d = x.height\n for i in 0 .. 500 { d = (d + 1) // 3 + d }\n return x", 1);
    errors_are("", "return x -> repeat 1000000000 { relu }", 1);
    errors_are("", "w = param([1000000000, 1000000000, 1000000000])\n return x", 1);
    errors_are("", "a = 2 ** 70\n return x", 1);
}
