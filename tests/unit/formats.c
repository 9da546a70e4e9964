/* Every row of formats.def, whatever rows there are: names and beginnings are told apart,
 * what is written reads back, no part of it is taken for the whole, and each format of
 * pictures reads one that another program wrote (tests/programs/pictures/make.py). */
#include "files/files.h"
#include "test.h"
#include <ctype.h>
#include <glob.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[100];

/* A file of this name whose ending is that of a format, in capitals. */
static const char *named(const char *ending) {
    snprintf(path, sizeof path, "/tmp/cai_formats_%d%s", (int)getpid(), ending);
    for (char *at = strrchr(path, '.'); *at; at++) *at = (char)toupper((unsigned char)*at);
    return path;
}

static void each_ending(void (*check)(int format, const char *ending)) {
    for (int i = 0; i < CAI_FORMAT_COUNT; i++)
        for (int k = 0; k < CAI_MAX_ENDINGS && *cai_formats[i].endings[k]; k++)
            check(i, cai_formats[i].endings[k]);
}

/* ---- names ---- */

static void check_name(int format, const char *ending) {
    CU_ASSERT_EQUAL(cai_format_of_name(named(ending), CAI_HOLDS_ANYTHING), format);
    CU_ASSERT_EQUAL(cai_format_of_name(ending, CAI_HOLDS_ANYTHING), CAI_NO_FORMAT); /* nothing before it */
    CU_ASSERT_EQUAL(cai_format_of_name(named(ending), CAI_HOLDS_ANYTHING & ~cai_formats[format].holds),
                    CAI_NO_FORMAT);
    CU_ASSERT_PTR_NOT_NULL(strstr(cai_format_endings(cai_formats[format].holds).text, ending));
}

TEST(names) {
    each_ending(check_name);
    CU_ASSERT_EQUAL(cai_format_of_name("a.unknown", CAI_HOLDS_ANYTHING), CAI_NO_FORMAT);
}

/* "a, b or c": one dot, and one comma or `or`, for each ending but the first. */
TEST(lists) {
    int endings = 0, dots = 0, between = 0;
    for (int i = 0; i < CAI_FORMAT_COUNT; i++)
        for (int k = 0; k < CAI_MAX_ENDINGS; k++) endings += *cai_formats[i].endings[k] != 0;
    cai_list all = cai_format_endings(CAI_HOLDS_ANYTHING);
    for (const char *at = all.text; *at; at++)
        dots += *at == '.', between += *at == ',' || strncmp(at, " or ", 4) == 0;
    CU_ASSERT_EQUAL(dots, endings);
    CU_ASSERT_EQUAL(between, endings - 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(all.text, " or ."));
    CU_ASSERT(strlen(all.text) + 20 < sizeof all.text); /* room for the next format */
    CU_ASSERT_EQUAL(strncmp(cai_picture_formats().text, "PNG", 3), 0);
}

/* ---- files that we wrote ---- */

static bool decodes(const void *bytes, size_t count) {
    cai_error error;
    cai_image image;
    if (!cai_image_decode("f", bytes, count, &image, &error)) return false;
    cai_image_free(&image);
    return true;
}

static bool parses(const void *bytes, size_t count) {
    cai_error error;
    cai_tensor_file file;
    if (!cai_tensors_parse("f", bytes, count, &file, &error)) return false;
    cai_tensors_close(&file);
    return true;
}

/* It is of its format alone, and so is no part of it: memory of just this size shows who
 * reads further. */
static void check_bytes(int format, const char *name) {
    cai_error error;
    cai_file file;
    CU_ASSERT_FATAL(cai_file_read(name, &file, &error));
    CU_ASSERT_EQUAL(cai_format_of_bytes(file.data, file.count, CAI_HOLDS_ANYTHING), format);
    bool (*reads)(const void *, size_t) = cai_formats[format].holds & CAI_HOLDS_PICTURE ? decodes : parses;
    CU_ASSERT(reads(file.data, file.count));
    for (size_t length = 0; length < file.count; length++) {
        unsigned char *exact = malloc(length ? length : 1);
        memcpy(exact, file.data, length);
        if (reads(exact, length)) CU_FAIL("a part of a file is taken for the whole");
        free(exact);
    }
    cai_file_close(&file);
}

enum { HEIGHT = 5, WIDTH = 7 };

static void check_picture(int format, int64_t channels) {
    float planes[3 * HEIGHT * WIDTH];
    for (int i = 0; i < 3 * HEIGHT * WIDTH; i++) planes[i] = (float)(i % (HEIGHT * WIDTH) * 6) / 255;
    cai_error error = {0};
    cai_image image;
    CU_ASSERT_FATAL(cai_image_write(path, planes, channels, HEIGHT, WIDTH, &error));
    CU_ASSERT_FATAL(cai_image_read(path, &image, &error));
    CU_ASSERT(image.channels >= channels && image.height == HEIGHT && image.width == WIDTH);
    CU_ASSERT_FATAL(cai_image_set_channels(&image, channels, &error)); /* not every format has gray */
    for (int i = 0; i < channels * HEIGHT * WIDTH; i++)
        CU_ASSERT_DOUBLE_EQUAL(image.pixels[i], planes[i], 0.02);
    cai_image_free(&image);
    check_bytes(format, path);
}

static void check_tensor(int format) {
    const float values[] = {1, -2.5f, 3e38f, 0, 5, 6};
    cai_tensor tensor = {
        .name = "a", .type = CAI_F32, .rank = 2, .dims = {2, 3}, .count = 6, .data = (const void *)values};
    cai_error error = {0};
    cai_tensor_file file;
    CU_ASSERT_FATAL(cai_tensors_write(path, &tensor, 1, &error));
    CU_ASSERT_FATAL(cai_tensors_open(path, &file, &error));
    CU_ASSERT(file.format == format && file.count == 1 && file.tensors[0].rank == 2 &&
              file.tensors[0].dims[1] == 3);
    CU_ASSERT_STRING_EQUAL(file.tensors[0].name, cai_formats[format].holds == CAI_HOLDS_TENSORS ? "a" : "");
    CU_ASSERT_EQUAL(memcmp(file.tensors[0].data, values, sizeof values), 0);
    cai_tensors_close(&file);
    check_bytes(format, path);
}

/* Several tensors go into a format that has names for them, and into no other. */
static void check_tensors(int format) {
    const cai_tensor tensors[] = {{.name = "a", .type = CAI_I8, .count = 1, .data = (const void *)"1"},
                                  {.name = "b", .type = CAI_I8, .count = 1, .data = (const void *)"2"}};
    cai_error error = {0};
    bool several = cai_formats[format].holds == CAI_HOLDS_TENSORS;
    CU_ASSERT_EQUAL(cai_tensors_write(path, tensors, 2, &error), several);
    CU_ASSERT(several || strstr(error.message, "holds one tensor, and there are 2: name a ."));
}

static void check_file(int format, const char *ending) {
    named(ending);
    if (cai_formats[format].holds & CAI_HOLDS_PICTURE) {
        check_picture(format, 3);
        check_picture(format, 1);
    } else if (cai_formats[format].holds & CAI_HOLDS_NUMBERS) {
        check_tensor(format);
        check_tensors(format);
    }
    unlink(path);
}

TEST(files) { each_ending(check_file); }

/* ---- files that others wrote ---- */

/* make.py draws red as 10 * y, green as 12 * x, blue as 5 * (y + x), in 12 rows of 10. */
static void check_drawn(const char *name) {
    cai_error error = {0};
    cai_image image;
    if (!cai_image_read(name, &image, &error)) CU_FAIL_FATAL("a picture of make.py's is not read");
    CU_ASSERT_FATAL(image.channels == 3 && image.height == 12 && image.width == 10);
    for (int y = 0; y < 12; y++) {
        for (int x = 0; x < 10; x++) {
            const int drawn[] = {10 * y, 12 * x, 5 * (y + x)};
            for (int c = 0; c < 3; c++)
                CU_ASSERT_DOUBLE_EQUAL(image.pixels[(c * 12 + y) * 10 + x], drawn[c] / 255.0, 0.03);
        }
    }
    cai_image_free(&image);
}

TEST(others) {
    int seen = 0, wanted = 0;
    glob_t found;
    CU_ASSERT_FATAL(glob("tests/programs/pictures/rgb.*", 0, NULL, &found) == 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        check_drawn(found.gl_pathv[i]);
        seen |= 1 << cai_format_of_name(found.gl_pathv[i], CAI_HOLDS_PICTURE);
    }
    globfree(&found);
    for (int i = 0; i < CAI_FORMAT_COUNT; i++)
        wanted |= cai_formats[i].holds == CAI_HOLDS_PICTURE ? 1 << i : 0;
    CU_ASSERT_EQUAL(seen, wanted); /* each format has its rgb.* */
}
