/* What building a program says when it cannot: no linker, an installation that lacks
 * files, nowhere to write to. Nothing is left behind. */
#include "backend_support.h"
#include "object/object.h"
#include <dirent.h>
#include <unistd.h>

typedef struct Site { Arena *arena; const char *folder, *output; } Site;

static void write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs(text, file);
    fclose(file);
}

/* A folder with an installation: link.txt with the given text, an empty archive, an
 * object that is none. */
static Site site_new(const char *list) {
    Site site = {.arena = arena_new()};
    char folder[] = "/tmp/cai_link_XXXXXX";
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    site.folder = arena_printf(site.arena, "%s", folder);
    site.output = arena_printf(site.arena, "%s/program", folder);
    if (list) write_text(arena_printf(site.arena, "%s/link.txt", folder), list);
    write_text(arena_printf(site.arena, "%s/libcai_runtime.a", folder), "!<arch>\n");
    write_text(arena_printf(site.arena, "%s/broken.o", folder), "this is no object\n");
    return site;
}

static int files_in(const char *folder) {
    DIR *dir = opendir(folder);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(dir));) count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

/* Links the broken object, which must fail with `words`, and leave no file. */
static void check_failure(Site *site, const char *output, bool images, const char *words) {
    const char *error = NULL, *object = arena_printf(site->arena, "%s/broken.o", site->folder);
    LinkOptions options = {.runtime_dir = site->folder, .images = images};
    int before = files_in(site->folder);
    CU_ASSERT_FALSE(link_objects(&object, 1, output, &options, site->arena, &error));
    if (!error || !strstr(error, words))
        fprintf(stderr, "\nwanted \"%s\", got \"%s\"\n", words, error ? error : "nothing");
    CU_ASSERT(error && strstr(error, words));
    CU_ASSERT_EQUAL(files_in(site->folder), before);
    (void)!system(arena_printf(site->arena, "rm -r %s", site->folder));
    arena_free(site->arena);
}

TEST(not_installed) {
    Site site = site_new(NULL);
    check_failure(&site, site.output, false, "make install");
}

TEST(a_library_is_missing) {
    Site site = site_new("start /nowhere/crt1.o\n");
    check_failure(&site, site.output, false, "/nowhere/crt1.o is missing");
    site = site_new("image /nowhere/libpng.a\n"); /* of programs with pictures only */
    check_failure(&site, site.output, true, "/nowhere/libpng.a is missing");
    site = site_new("image /nowhere/libpng.a\n");
    check_failure(&site, site.output, false, "the linker failed");
}

TEST(no_linker) {
    Site site = site_new("");
    char *path = strdup(getenv("PATH"));
    setenv("PATH", site.folder, 1);
    const char *error = NULL;
    LinkOptions options = {.runtime_dir = site.folder};
    CU_ASSERT_FALSE(link_objects(NULL, 0, site.output, &options, site.arena, &error));
    setenv("PATH", path, 1);
    free(path);
    CU_ASSERT(error && strstr(error, "no linker") && strstr(error, "binutils"));
    check_failure(&site, site.output, false, "the linker failed");
}

TEST(nowhere_to_write_objects) {
    TestGraph t = test_graph(1);
    new_output(&t, unary(&t, OP_neg, new_input(&t, -1, 1, SIZES(t.H))));
    LowerOptions options = WITH_TABLE(.target = target_at(0));
    Program *program = lower(t.graph, &options, t.arena);
    EmitOptions emit = {0};
    const char *error = NULL;
    CU_ASSERT_FALSE(backend_object(program, &emit, "/nowhere/code.o", &error));
    CU_ASSERT(error && strstr(error, "/nowhere/code.o"));
    error = NULL;
    CU_ASSERT_FALSE(weights_stub_write(program, "/nowhere/place.o", &error));
    CU_ASSERT(error && strstr(error, "/nowhere/place.o"));
    arena_free(t.arena);
}

/* A parameter of 3 floats, which are fewer bytes than the page that keeps their place. */
static Program *program_with_weights(TestGraph *t) {
    LowerOptions options = WITH_TABLE(.target = target_at(0));
    Node *x = new_input(t, -1, 1, SIZES(size(t, 3)));
    new_output(t, binary(t, OP_add, x, new_parameter(t, -1, 1, SIZES(size(t, 3)))));
    return lower(t->graph, &options, t->arena);
}

/* Between the linker's step and that of the weights. */
TEST(nowhere_to_write_weights) {
    TestGraph t = test_graph(1);
    Program *program = program_with_weights(&t);
    RefSource source = {.context = &t, .parameter = give_value, .input = give_value}, none = {0};
    PackedWeights weights = {program, &source, NULL}, missing = {program, &none, NULL};
    const char *error = NULL, *place = "/tmp/cai_link_place.o", *output = "/tmp/cai_link_weights.o";
    CU_ASSERT(weights_stub_write(program, place, &error));
    CU_ASSERT_EQUAL(weights_embed(&weights, "/nowhere/place.o", output, &error), EMBED_FAILED);
    CU_ASSERT(error && strstr(error, "/nowhere/place.o"));
    CU_ASSERT_EQUAL(weights_embed(&weights, place, "/nowhere/weights.o", &error), EMBED_FAILED);
    CU_ASSERT(error && strstr(error, "/nowhere/weights.o"));
    CU_ASSERT_EQUAL(weights_embed(&missing, place, output, &error), EMBED_FAILED);
    CU_ASSERT(error && strstr(error, "a weight is missing") && access(output, F_OK) != 0);
    CU_ASSERT_FALSE(linked_copy("/nowhere/program", output, t.arena, &error));
    CU_ASSERT(error && strstr(error, "/nowhere/program"));
    unlink(place);
    arena_free(t.arena);
}
