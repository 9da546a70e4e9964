/* Random weights are the same bits as tests/numerics/init_weights.py gives; names match
 * patterns and are mapped. Loading itself is tested in tests/golden/commands. */
#include "library_support.h"
#include "weights/weights.h"
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

static void check_values(uint64_t seed, const char *path, RefShape shape, double init, bool state,
                         const double *expected) {
    Number values[4];
    shape.count = 4;
    init_fill(seed, path, &shape, init, state, values);
    for (int i = 0; i < 4; i++) CU_ASSERT_EQUAL(values[i].real, expected[i]);
}

/* The first four of each, printed by init_weights.py. */
TEST(the_same_bits_as_Pythons) {
    const RefShape kernel = {.rank = 4, .dims = {64, 64, 3, 3}}, matrix = {.rank = 2, .dims = {64, 64}},
                   vector = {.rank = 1, .dims = {64}};
    const double conv[] = {0x1.f1e96p-6, -0x1.1f7c14p-8, 0x1.29f38cp-4, -0x1.e5eb1p-9};
    const double scale[] = {0x1.12e112p-1, 0x1.74ab9p+0, 0x1.e8be54p-1, 0x1.2bc03cp-1};
    const double bias[] = {0x1.0172b6p-4, -0x1.86b57p-4, -0x1.288cfap-5, -0x1.17c28p-4};
    const double normal[] = {0x1.98b148p-1, 0x1.87044ep+0, -0x1.9146bap+0, 0x1.fc1f04p-2};
    const double variance[] = {0x1.1b9dbap+0, 0x1.a6a8d2p-1, 0x1.d8bf9ep-1, 0x1.16e62p+0};
    check_values(1, "layer1.0.conv1.weight", kernel, NAN, false, conv);
    check_values(1, "G.Dense.weight", matrix, INIT_NORMAL, false, normal);
    check_values(1, "bn1.weight", vector, 1, false, scale);
    check_values(1, "bn1.bias", vector, 0, false, bias);
    check_values(7, "bn1.running_var", vector, 1, true, variance);
}

TEST(declared_values_stay) {
    const RefShape vector = {.rank = 1, .dims = {4}};
    const double quarter[] = {0.25, 0.25, 0.25, 0.25};
    check_values(3, "slope", vector, 0.25, false, quarter);
}

TEST(seeds) {
    uint64_t seed;
    CU_ASSERT(init_seed("18446744073709551615", &seed) && seed == UINT64_MAX);
    CU_ASSERT(!init_seed("18446744073709551616", &seed));
    CU_ASSERT(!init_seed("-1", &seed));
    CU_ASSERT(!init_seed("1x", &seed));
    CU_ASSERT(!init_seed("", &seed));
}

TEST(patterns) {
    CU_ASSERT(pattern_matches("AuxLogits.*", "AuxLogits.conv.weight"));
    CU_ASSERT(pattern_matches("*", ""));
    CU_ASSERT(pattern_matches("a*b*c", "aXXbYYbc"));
    CU_ASSERT(pattern_matches("a", "a"));
    CU_ASSERT(!pattern_matches("a*b*c", "aXXbYYb"));
    CU_ASSERT(!pattern_matches("a", "ab"));
    CU_ASSERT(!pattern_matches("", "a"));
}

static Renames *renames_of(Arena *arena, Diagnostics *diag, const char *text) {
    char path[] = "/tmp/cai-renames-XXXXXX";
    int descriptor = mkstemp(path);
    CU_ASSERT_FATAL(descriptor >= 0 && write(descriptor, text, strlen(text)) == (ssize_t)strlen(text));
    close(descriptor);
    *diag = (Diagnostics){.arena = arena};
    Renames *renames = renames_read(arena, diag, path);
    unlink(path);
    return renames;
}

/* The names that are in the file, each between blanks. */
static bool is_listed(void *context, const char *name) {
    char word[100];
    snprintf(word, sizeof word, " %s ", name);
    return strstr(context, word) != NULL;
}

/* "ours = theirs theirs [word], ..": what a tensor is made to. */
static const char *renamed_text(const Renames *renames, Arena *arena, const char *names, const char *name) {
    RenamedList list = {0};
    Text text = {.arena = arena};
    renames_apply(renames, arena, name, is_listed, (void *)names, &list);
    for (int i = 0; i < list.count; i++) {
        const Renamed *made = &list.items[i];
        text_add(&text, "%s%s =", i ? ", " : "", made->ours);
        for (int k = 0; k < made->count; k++) text_add(&text, " %s", made->theirs[k]);
        if (made->transform)
            text_add(&text, " [%s %d/%d]", transform_word(made->transform), made->part, made->parts);
    }
    return text_string(&text);
}

TEST(renames) {
    Arena *arena = arena_new();
    Diagnostics diag;
    const Renames *renames =
        renames_of(arena, &diag,
                   "# theirs ours\n\n  *.gamma\t*.weight \r\nhead.* -\nblocks.*.mlp.* *.ffn.*\n"
                   "*.kernel -> *.weight [permute 3 2 0 1]\nmodule.* -> *\n");
    CU_ASSERT_PTR_NOT_NULL_FATAL(renames);
#define CHECK_RENAMED(name, expected) CU_ASSERT_STRING_EQUAL(renamed_text(renames, arena, "", name), expected)
    CHECK_RENAMED("bn.gamma", "bn.weight = bn.gamma");
    CHECK_RENAMED("blocks.3.mlp.0.bias", "3.ffn.0.bias = blocks.3.mlp.0.bias");
    CHECK_RENAMED("module.head.x", "head.x = module.head.x");
    CHECK_RENAMED("c.kernel", "c.weight = c.kernel [permute 0/1]");
    CHECK_RENAMED("other", "other = other");
    CHECK_RENAMED("head.fc.weight", "");
    arena_free(arena);
}

TEST(folds_take_what_is_there) {
    static const char names[] = " a.weight_g a.weight_v b.weight_v q.x k.x qkv ";
    Arena *arena = arena_new();
    Diagnostics diag;
    const Renames *renames = renames_of(arena, &diag,
                                        "*.weight_g *.weight_v -> *.weight [weight_norm]\n"
                                        "q.* k.* -> qk.* [concat 1]\nqkv -> q k v [split]\n* -> m.*\n");
    CU_ASSERT_PTR_NOT_NULL_FATAL(renames);
#define CHECK_FOLDED(name, expected) \
    CU_ASSERT_STRING_EQUAL(renamed_text(renames, arena, names, name), expected)
    CHECK_FOLDED("a.weight_g", "a.weight = a.weight_g a.weight_v [weight_norm 0/1]");
    CHECK_FOLDED("a.weight_v", "");
    CHECK_FOLDED("b.weight_v", "m.b.weight_v = b.weight_v");
    CHECK_FOLDED("q.x", "qk.x = q.x k.x [concat 0/1]");
    CHECK_FOLDED("qkv", "q = qkv [split 0/3], k = qkv [split 1/3], v = qkv [split 2/3]");
    arena_free(arena);
}

TEST(renames_that_are_none) {
    static const char *const wrong[] = {"a",
                                        "a b c",
                                        "a -> b c",
                                        "a b -> c",
                                        "a.* -> *.*",
                                        "a.* b -> c.* [concat]",
                                        "a -> b [turn]",
                                        "a -> b [concat]",
                                        "a b -> c [transpose]",
                                        "a b -> c [batchnorm]",
                                        "a -> b [split]",
                                        "a b c d e f g h i -> j [concat]"};
    for (int i = 0; i < COUNT_OF(wrong); i++) {
        Arena *arena = arena_new();
        Diagnostics diag;
        CU_ASSERT_PTR_NULL(renames_of(arena, &diag, wrong[i]));
        CU_ASSERT_EQUAL(diag.errors, 1);
        arena_free(arena);
    }
}

/* ---- checkpoints of cai train ---- */

static const char model_text[] =
    "model m(x: f32[1, 2]) -> y: f32[1, 2] {\n    scale = param((2,))\n    return x * scale\n}\n";

static int errors_with(const char *weights, const cai_metadata *metadata, int metadata_count, double *first) {
    static const float values[3][2] = {{1, 2}, {3, 4}, {5, 6}};
    const cai_tensor tensors[] = {
        {"scale", CAI_F32, 1, {2}, 2, (const unsigned char *)values[0]},
        {"smooth.scale", CAI_F32, 1, {2}, 2, (const unsigned char *)values[1]},
        {"train.adam.scale.m", CAI_F32, 1, {2}, 2, (const unsigned char *)values[2]}};
    cai_error error;
    CU_ASSERT_FATAL(cai_tensors_write_with("/tmp/cai-weights-last.safetensors", tensors, 3, metadata,
                                           metadata_count, &error));
    Arena *arena = arena_new();
    Names *names = names_new(arena);
    Diagnostics diag = {.arena = arena};
    Model *model = model_of_text(names, &diag, model_text);
    WeightFile given = {NULL, weights};
    Weights *found =
        weights_open(arena, names, &diag, &model, 1, 0, &(WeightOptions){.files = &given, .file_count = 1});
    for (int i = 0; found && i < model->graph->nodes.count; i++) {
        Number numbers[2];
        RefTensor out = {.shape = {.type = DTYPE_F32, .rank = 1, .dims = {2}, .count = 2}, .values = numbers};
        if (model->graph->nodes.items[i]->op != OP_parameter) continue;
        RefSource source = weights_source(found);
        if (source.parameter(source.context, model->graph->nodes.items[i], &out)) *first = numbers[0].real;
    }
    weights_close(found);
    unlink("/tmp/cai-weights-last.safetensors");
    int errors = diag.errors;
    arena_free(arena);
    return errors;
}

TEST(checkpoints_have_more_than_a_model_reads) {
    const cai_metadata checkpoint[] = {{"format", "cai run 1"}}, other[] = {{"format", "pt"}};
    double first = 0;
    CU_ASSERT_EQUAL(errors_with("/tmp/cai-weights-last.safetensors", other, 1, &first), 1);
    CU_ASSERT_EQUAL(errors_with("/tmp/cai-weights-last.safetensors", checkpoint, 1, &first), 0);
    CU_ASSERT_EQUAL(first, 1);
    CU_ASSERT_EQUAL(errors_with("/tmp/cai-weights-last.safetensors:smooth", other, 1, &first), 0);
    CU_ASSERT_EQUAL(first, 3);
    CU_ASSERT_EQUAL(errors_with("/tmp/cai-weights-last.safetensors:smoth", other, 1, &first), 1);
}

/* ---- what --rename does to elements ---- */

static bool parses(const char *text) {
    Transform transform;
    return transform_parse(text, strlen(text), &transform);
}

TEST(transforms_are_read_or_refused) {
    CU_ASSERT(parses("transpose") && parses("permute 1 0") && parses("permute 1, 0") &&
              parses("reshape 64 -1 1 1"));
    CU_ASSERT(!parses("") && !parses("turn") && !parses("transpose 1") && !parses("permute") &&
              !parses("permute "));
    CU_ASSERT(!parses("permute 0 0") && !parses("permute 0 2") && !parses("permute -1 0") &&
              !parses("permute 1 0 x"));
    CU_ASSERT(!parses("reshape 0") && !parses("reshape -1 -1") && !parses("reshape 99999999999999999999"));
    CU_ASSERT(parses("concat") && parses("concat 1") && !parses("concat -1") && !parses("concat 0 1"));
    CU_ASSERT(parses("batchnorm") && parses("batchnorm 1e-3") && !parses("batchnorm 0") &&
              !parses("batchnorm x"));
}

/* [2, 3] of 0 .. 5, turned; NumPy's x.T, x.transpose(1, 0) and x.reshape(3, -1). */
static void check_turned(const char *text, const int8_t *expected) {
    static const int8_t elements[] = {0, 1, 2, 3, 4, 5};
    cai_tensor from = {.type = CAI_I8,
                       .rank = 2,
                       .dims = {2, 3},
                       .count = 6,
                       .data = (const unsigned char *)elements},
               to;
    Transform transform;
    unsigned char out[6];
    const TransformPlace at = {.theirs = {&from}, .count = 1, .parts = 1};
    CU_ASSERT_FATAL(transform_parse(text, strlen(text), &transform) && transform_sizes(&transform, &at, &to));
    CU_ASSERT(to.rank == 2 && to.dims[0] == 3 && to.dims[1] == 2);
    transform_elements(&transform, &at, &to, out);
    CU_ASSERT(memcmp(out, expected, 6) == 0);
}

TEST(transforms_turn_elements) {
    static const int8_t turned[] = {0, 3, 1, 4, 2, 5}, same[] = {0, 1, 2, 3, 4, 5};
    check_turned("transpose", turned);
    check_turned("permute 1 0", turned);
    check_turned("reshape 3 -1", same);
}

static bool makes_sizes(const char *text, const TransformPlace *at) {
    cai_tensor to;
    Transform transform;
    return transform_parse(text, strlen(text), &transform) && transform_sizes(&transform, at, &to);
}

TEST(transforms_want_the_right_sizes) {
    const cai_tensor from = {.type = CAI_F32, .rank = 2, .dims = {2, 3}, .count = 6},
                     wide = {.type = CAI_F32, .rank = 2, .dims = {2, 4}, .count = 8},
                     two = {.type = CAI_F32, .rank = 1, .dims = {2}, .count = 2},
                     half = {.type = CAI_F16, .rank = 2, .dims = {2, 3}, .count = 6},
                     whole = {.type = CAI_I64, .rank = 2, .dims = {2, 3}, .count = 6};
    const TransformPlace one = {.theirs = {&from}, .count = 1, .parts = 3},
                         both = {.theirs = {&from, &wide}, .count = 2, .parts = 1},
                         types = {.theirs = {&from, &half}, .count = 2, .parts = 1},
                         ints = {.theirs = {&whole, &whole}, .count = 2, .parts = 1},
                         norm = {.theirs = {&two, &from}, .count = 2, .parts = 1},
                         no_norm = {.theirs = {&from, &two}, .count = 2, .parts = 1};
    CU_ASSERT(!makes_sizes("permute 2 0 1", &one) && !makes_sizes("reshape 4 -1", &one) &&
              !makes_sizes("reshape 7", &one));
    CU_ASSERT(makes_sizes("split 1", &one) && !makes_sizes("split", &one) && !makes_sizes("split 2", &one));
    CU_ASSERT(makes_sizes("concat 1", &both) && !makes_sizes("concat", &both) && !makes_sizes("sum", &both));
    CU_ASSERT(!makes_sizes("concat", &types) && makes_sizes("sum", &types) && makes_sizes("concat", &ints) &&
              !makes_sizes("sum", &ints));
    CU_ASSERT(makes_sizes("weight_norm", &norm) && !makes_sizes("weight_norm", &no_norm));
}
