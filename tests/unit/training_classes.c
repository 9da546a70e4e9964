/* How many classes a text has of what an input numbers, and what it ignores: the blocks
 * of tests/unit/training/classes.cai. */
#include "elaborate/training.h"
#include "test.h"

typedef struct Expected {
    const char *block;
    int64_t classes; /* 0: it does not say */
    int64_t ignored[2];
    int ignored_count;
} Expected;

static const Expected all[] = {{"scores", 10, {0}, 0},
                               {"smooth", 9, {0}, 0},
                               {"mask", 21, {255}, 1},
                               {"first_ignored", 3, {0}, 0},
                               {"two_ignored", 3, {255, 254}, 2},
                               {"augmented", 5, {255}, 1},
                               {"coded", 7, {0}, 0},
                               {"boxed", 20, {0}, 0},
                               {"boxed_and_mirrored", 20, {0}, 0},
                               {"embedded", 12, {0}, 0},
                               {"words", 30, {0}, 0},
                               {"taken", 5, {0}, 0},
                               {"put_there", 8, {0}, 0},
                               {"from_one", 11, {0}, 0},
                               {"coarse_too", 3, {0}, 0},
                               {"measured", 6, {0}, 0},
                               {"anew", 4, {0}, 0},
                               {"bounded", 0, {0}, 0},
                               {"capped", 0, {0}, 0},
                               {"in_threes", 0, {0}, 0},
                               {"two_levels", 0, {0}, 0},
                               {"a_number", 0, {0}, 0}};

static void check_field(const cai_field *field, const Expected *expected) {
    bool right = field->classes == expected->classes && field->ignored_count == expected->ignored_count;
    for (int i = 0; right && i < expected->ignored_count; i++)
        right = field->ignored[i] == expected->ignored[i];
    if (!right)
        printf("\n    %s: %lld classes, %d ignored, and not %lld, %d\n", expected->block,
               (long long)field->classes, field->ignored_count, (long long)expected->classes,
               expected->ignored_count);
    CU_ASSERT(right);
}

static const Expected *expected_of(const char *block) {
    for (int i = 0; i < COUNT_OF(all); i++)
        if (!strcmp(all[i].block, block)) return &all[i];
    CU_FAIL_FATAL("a block that nothing is expected of");
    return NULL;
}

/* Of sets that a phase declares anew, too, which have the same data. */
static void check_block(Arena *arena, Library *library, int index) {
    Training *training = elaborate_training(library, index);
    CU_ASSERT_PTR_NOT_NULL_FATAL(training);
    const cai_training tables = training_tables(arena, training);
    for (int i = 0; i < tables.set_count; i++)
        for (int k = 0; k < tables.sets[i].field_count; k++)
            if (!strcmp(tables.sets[i].fields[k].name, "label"))
                check_field(&tables.sets[i].fields[k], expected_of(training->name));
}

TEST(classes_of_texts) {
    Arena *arena = arena_new();
    Diagnostics *diag = NEW(arena, Diagnostics);
    diag->arena = arena;
    ElaborateOptions options = {.stdlib_dir = "stdlib"};
    Library *library =
        library_open(arena, names_new(arena), diag, "tests/unit/training/classes.cai", &options);
    CU_ASSERT_PTR_NOT_NULL_FATAL(library);
    CU_ASSERT_EQUAL(library_train_count(library), COUNT_OF(all));
    for (int i = 0; i < library_train_count(library); i++) check_block(arena, library, i);
    diag_print(diag, stderr, DIAG_TEXT, false);
    CU_ASSERT_EQUAL(diag->errors, 0);
    arena_free(arena);
}
