/* Data sets of every form against what other programs read of them: tests/data/make.py
 * made the files and their values. */
#include "data/sources.h"
#include "test.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DATA "tests/data/"

/* ---- fields ---- */

#define SIZES(...) ((const int64_t[]){__VA_ARGS__})
#define PICTURE(field, channels, h, w, how)                                              \
    {                                                                                    \
        .name = field, .text = "image[N, ..]", .dims = SIZES(channels, h, w), .rank = 3, \
        .form = CAI_FORM_IMAGE, .fit = how, .on = -1                                     \
    }
#define CLASS(field) \
    { .name = field, .text = "i32[N]", .type = CAI_I32, .on = -1 }
#define MASK(field, h, w) \
    { .name = field, .text = "i32[N, H, W]", .dims = SIZES(h, w), .type = CAI_I32, .rank = 2, .on = -1 }
#define NUMBERS(field, count) \
    { .name = field, .text = "f32[N, ..]", .dims = SIZES(count), .rank = 1, .on = -1 }
#define BOXES(field, most, picture) \
    { .name = field, .text = "f32[N, M, 5, on = ..]", .dims = SIZES(most, 5), .rank = 2, .on = picture }
#define SET(...)                                                 \
    ((const cai_set){.name = "test",                             \
                     .fields = (const cai_field[]){__VA_ARGS__}, \
                     .field_count = sizeof((const cai_field[]){__VA_ARGS__}) / sizeof(cai_field)})

/* ---- what is told ---- */

static char told[4000];
static int told_count;

static void keep_notice(const char *path, const char *text) {
    size_t used = strlen(told);
    snprintf(told + used, sizeof told - used, "%s: %s\n", path, text);
    told_count++;
}

static bool was_told(const char *text) {
    if (strstr(told, text)) return true;
    printf("\n    not told: %s\n    but: %s", text, told);
    return false;
}

static const cai_data_options plain = {.seed = 1, .notice = keep_notice};

static cai_dataset *open_at(const cai_set *set, const char *path, const cai_data_options *options) {
    cai_error error = {0};
    *told = 0;
    cai_dataset *data = cai_dataset_open(set, &path, NULL, 1, options, &error);
    if (!data) printf("\n    %s\n", error.message);
    CU_ASSERT_FATAL(data != NULL);
    return data;
}

static const char *failure_of(const cai_set *set, const char *path, const cai_data_options *options) {
    static cai_error error;
    cai_dataset *data = cai_dataset_open(set, &path, NULL, 1, options, &error);
    CU_ASSERT_PTR_NULL(data);
    cai_dataset_free(data);
    return data ? "" : error.message;
}

static bool fails_with(const cai_set *set, const char *path, const char *text) {
    const char *message = failure_of(set, path, &plain);
    if (strstr(message, text)) return true;
    printf("\n    wanted: %s\n    but: %s\n", text, message);
    return false;
}

/* ---- folders of a test ---- */

/* A folder of its own, with copies of what is named. */
static const char *scratch_folder(const char *commands) {
    static char folder[64];
    char command[1500];
    snprintf(folder, sizeof folder, "/tmp/cai-data-XXXXXX");
    CU_ASSERT_FATAL(mkdtemp(folder) != NULL);
    snprintf(command, sizeof command, "here=$PWD/" DATA "; cd %s && %s", folder, commands);
    CU_ASSERT_EQUAL_FATAL(system(command), 0);
    return folder;
}

static void remove_scratch(const char *folder) {
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    CU_ASSERT_EQUAL(system(command), 0);
}

/* ---- what was expected ---- */

/* Compares a field of all samples of a portion, in the order of their names, whole or
 * from the middle. */
static void compare_field_of(const cai_dataset *data, int portion, int field, const char *expected) {
    cai_error error = {0};
    cai_tensor_file file;
    char path[200];
    snprintf(path, sizeof path, DATA "expected/%s.safetensors", expected);
    CU_ASSERT_FATAL(cai_tensors_open(path, &file, &error));
    const cai_field *to = &data->set->fields[field];
    const cai_tensor *values = cai_tensors_find(&file, to->name);
    CU_ASSERT_FATAL(values != NULL);
    int64_t rows = values->dims[0], each = values->count / rows;
    CU_ASSERT_EQUAL_FATAL(data->portions[portion]->count, rows);
    float *read = calloc((size_t)values->count, sizeof *read);
    void *buffers[8] = {0};
    buffers[field] = read;
    for (int64_t i = 0; i < rows; i++) {
        cai_sample at = {.middle = true, .row = i, .buffers = buffers};
        bool good = cai_sample_read(data, data->portions[portion], i, &at, &error);
        if (!good) printf("\n    %s\n", error.message);
        CU_ASSERT_FATAL(good);
    }
    double worst = 0;
    for (int64_t i = 0; i < values->count; i++) {
        double wanted, got = to->type == CAI_I32 ? ((int32_t *)read)[i] : (double)read[i];
        cai_tensor_to_f64(values, i, 1, &wanted);
        worst = fmax(worst, fabs(wanted - got));
    }
    if (worst > 1e-6)
        printf("\n    %s of %s differs by %g (%lld a sample)\n", to->name, expected, worst, (long long)each);
    CU_ASSERT(worst <= 1e-6);
    free(read);
    cai_tensors_close(&file);
}

/* ---- IDX ---- */

TEST(IDX_packed_and_plain) {
    cai_set set = SET(PICTURE("picture", 1, 5, 4, CAI_TAKE_EXACT), CLASS("label"));
    cai_dataset *data = open_at(&set, DATA "idx", &plain);
    CU_ASSERT_EQUAL(cai_dataset_count(data, CAI_PART_TRAINING), 7);
    CU_ASSERT_EQUAL(cai_dataset_count(data, CAI_PART_HELD_OUT), 2);
    for (int i = 0; i < 2; i++) {
        bool training = data->portions[i]->part == CAI_PART_TRAINING;
        if (training) compare_field_of(data, i, 0, "idx");
        if (training) compare_field_of(data, i, 1, "idx");
    }
    int count;
    CU_ASSERT_PTR_NULL(cai_dataset_classes(data, 1, &count));
    CU_ASSERT_EQUAL(count, 3);
    cai_dataset_free(data);
}

TEST(IDX_of_big_endian_floats) {
    cai_set set = SET(PICTURE("picture", 1, 2, 2, CAI_TAKE_EXACT), CLASS("label"));
    cai_dataset *data = open_at(&set, DATA "idx_floats", &plain);
    compare_field_of(data, 0, 0, "idx_floats");
    compare_field_of(data, 0, 1, "idx_floats");
    cai_dataset_free(data);
}

/* ---- folders ---- */

TEST(folders_by_class) {
    cai_set set = SET(PICTURE("picture", 3, 6, 8, CAI_TAKE_EXACT), CLASS("label"));
    cai_dataset *data = open_at(&set, DATA "classes", &plain);
    compare_field_of(data, 0, 0, "classes");
    compare_field_of(data, 0, 1, "classes");
    int count;
    const char *const *names = cai_dataset_classes(data, 1, &count);
    CU_ASSERT_EQUAL_FATAL(count, 3);
    CU_ASSERT(strcmp(names[0], "ant") == 0 && strcmp(names[1], "cat") == 0 && strcmp(names[2], "dog") == 0);
    cai_dataset_free(data);
}

TEST(classes_from_a_file) {
    cai_set set =
        SET(PICTURE("picture", 3, 6, 8, CAI_TAKE_EXACT),
            {.name = "label", .text = "i32[N]", .type = CAI_I32, .on = -1, .names = DATA "classes.txt"});
    cai_dataset *data = open_at(&set, DATA "classes", &plain);
    int count;
    CU_ASSERT_STRING_EQUAL(cai_dataset_classes(data, 1, &count)[1], "wolf");
    CU_ASSERT_EQUAL(count, 4);
    const int wanted[] = {3, 2, 2, 0};
    for (int i = 0; i < 4; i++) CU_ASSERT_EQUAL(cai_dataset_class(data, 1, i), wanted[i]);
    cai_dataset_free(data);
    CU_ASSERT(fails_with(&set, DATA "parts",
                         "class `a` is not in " DATA "classes.txt, which has 4 names, the first `dog`"));
}

TEST(folders_by_input) {
    cai_set set = SET(PICTURE("photo", 3, 9, 12, CAI_TAKE_EXACT), PICTURE("sketch", 1, 9, 12, CAI_TAKE_EXACT),
                      MASK("mask", 9, 12));
    cai_dataset *data = open_at(&set, DATA "inputs", &plain);
    for (int field = 0; field < 3; field++) compare_field_of(data, 0, field, "inputs");
    CU_ASSERT(was_told("photo: 1 of 5 entries have no partner: there is no `sketch` for alone"));
    CU_ASSERT(was_told("sketch: 1 of 5 entries have no partner: there is no `photo` for other"));
    CU_ASSERT_EQUAL(cai_dataset_skipped(data), 2);
    cai_dataset_free(data);
    cai_data_options strict = plain;
    strict.strict = true;
    CU_ASSERT_PTR_NOT_NULL(
        strstr(failure_of(&set, DATA "inputs", &strict), "1 of 5 entries have no partner"));
}

TEST(inputs_named_one_by_one) {
    cai_set set = SET(PICTURE("here", 3, 9, 12, CAI_TAKE_EXACT), MASK("numbers", 9, 12));
    const char *paths[] = {DATA "inputs/mask", DATA "inputs/photo"}, *names[] = {"numbers", "here"};
    cai_error error = {0};
    cai_dataset *data = cai_dataset_open(&set, paths, names, 2, &plain, &error);
    CU_ASSERT_FATAL(data != NULL);
    CU_ASSERT_EQUAL(data->count, 4);
    cai_dataset_free(data);
    names[0] = "number";
    CU_ASSERT_PTR_NULL(cai_dataset_open(&set, paths, names, 2, &plain, &error));
    CU_ASSERT_STRING_EQUAL(error.message, "the set of `test` has no input `number`");
}

TEST(parts_in_folders) {
    cai_set set = SET(PICTURE("picture", 3, 4, 4, CAI_TAKE_EXACT), CLASS("label"));
    cai_data_options options = plain;
    options.held_out = 0.5; /* idle: the data says it itself */
    cai_dataset *data = open_at(&set, DATA "parts", &options);
    CU_ASSERT_EQUAL(cai_dataset_count(data, CAI_PART_TRAINING), 3);
    CU_ASSERT_EQUAL(cai_dataset_count(data, CAI_PART_HELD_OUT), 2);
    cai_dataset_free(data);
}

/* ---- arrays ---- */

static void compare_arrays(const char *path) {
    cai_set set = SET(PICTURE("picture", 3, 5, 4, CAI_TAKE_EXACT), CLASS("label"), NUMBERS("code", 3));
    cai_dataset *data = open_at(&set, path, &plain);
    for (int field = 0; field < 3; field++) compare_field_of(data, 0, field, "arrays");
    cai_dataset_free(data);
}

TEST(arrays_of_numpy_and_safetensors) {
    compare_arrays(DATA "arrays");
    compare_arrays(DATA "arrays.npz");
    compare_arrays(DATA "arrays_packed.npz");
    compare_arrays(DATA "arrays.safetensors");
}

/* A picture of 3 channels, 4 rows and 5 columns whose element of channel c, row y and
 * column x is 100 * c + 10 * y + x, and a part of it, of columns 2 to 4 and rows 1 to
 * 3. */
static void compare_part(cai_picture picture, double unit) {
    cai_error error = {0};
    cai_image part;
    picture.channels = 3, picture.height = 4, picture.width = 5;
    CU_ASSERT_FATAL(cai_picture_part(&picture, 1, 2, 3, 3, 3, &part, &error));
    for (int i = 0; i < 27; i++) {
        int c = i / 9, y = i / 3 % 3 + 1, x = i % 3 + 2;
        CU_ASSERT_EQUAL(part.pixels[i], (float)((100 * c + 10 * y + x) / unit));
    }
    cai_image_free(&part);
}

TEST(parts_of_pictures_of_numbers) {
    float first[60], last[60];
    uint16_t first_levels[60], last_levels[60];
    for (int i = 0; i < 60; i++) {
        int c = i / 20, y = i / 5 % 4, x = i % 5, at = (y * 5 + x) * 3 + c;
        first_levels[i] = last_levels[at] = (uint16_t)(100 * c + 10 * y + x);
        first[i] = last[at] = (float)first_levels[i];
    }
    const cai_picture planes = {.channel = 20, .row = 5, .column = 1},
                      pixels = {.channel = 1, .row = 15, .column = 3};
    const struct {
        cai_picture lies;
        int32_t type;
        const void *data;
        double unit;
    } each[] = {
        {planes, CAI_F32, first, 1},
        {pixels, CAI_F32, last, 1},
        {planes, CAI_U16, first_levels, 65535},
        {pixels, CAI_U16, last_levels, 65535},
    };
    for (int i = 0; i < 4; i++) {
        cai_picture picture = each[i].lies;
        picture.type = each[i].type;
        picture.data = each[i].data;
        compare_part(picture, each[i].unit);
    }
}

TEST(arrays_that_do_not_fit) {
    cai_set other = SET(PICTURE("picture", 3, 5, 4, CAI_TAKE_EXACT), NUMBERS("code", 4));
    CU_ASSERT(fails_with(&other, DATA "arrays.npz",
                         "arrays.npz: each sample is f64[3], which does not match `code: f32[N, ..]`"));
    cai_set missing = SET(PICTURE("photo", 3, 5, 4, CAI_TAKE_EXACT));
    CU_ASSERT(fails_with(&missing, DATA "arrays.npz",
                         "arrays.npz: has no tensor `photo`: its tensors are code, label, picture"));
}

TEST(CIFAR) {
    cai_set set = SET(PICTURE("picture", 3, 32, 32, CAI_TAKE_EXACT), CLASS("label"));
    cai_dataset *data = open_at(&set, DATA "cifar", &plain);
    for (int field = 0; field < 2; field++) compare_field_of(data, 0, field, "cifar");
    CU_ASSERT_EQUAL(cai_dataset_count(data, CAI_PART_HELD_OUT), 1);
    int count;
    CU_ASSERT_STRING_EQUAL(cai_dataset_classes(data, 1, &count)[2], "cup");
    CU_ASSERT_EQUAL(count, 3);
    cai_dataset_free(data);
}

/* ---- lists ---- */

TEST(lists) {
    cai_set set = SET(PICTURE("photo", 3, 9, 12, CAI_TAKE_EXACT), CLASS("class"), NUMBERS("code", 3));
    cai_dataset *data = open_at(&set, DATA "list.csv", &plain);
    for (int field = 0; field < 3; field++) compare_field_of(data, 0, field, "list");
    CU_ASSERT(was_told("missing.png: does not exist"));
    CU_ASSERT_EQUAL(cai_dataset_count(data, CAI_PART_HELD_OUT), 1);
    cai_dataset_free(data);
    cai_set two = SET(PICTURE("photo", 3, 9, 12, CAI_TAKE_EXACT), CLASS("class"));
    data = open_at(&two, DATA "list.tsv", &plain);
    CU_ASSERT(cai_dataset_class(data, 1, 0) == 7 && cai_dataset_class(data, 1, 1) == 3);
    cai_dataset_free(data);
}

TEST(tar_archives) {
    cai_set set = SET(PICTURE("photo", 3, 9, 12, CAI_TAKE_EXACT), CLASS("label"));
    const char *const paths[] = {DATA "ustar.tar", DATA "pax.tar", DATA "gnu.tar"};
    for (int i = 0; i < 3; i++) {
        cai_dataset *data = open_at(&set, paths[i], &plain);
        for (int field = 0; field < 2; field++) compare_field_of(data, 0, field, "tar");
        cai_dataset_free(data);
    }
    cai_dataset *all = open_at(&set, DATA, &plain); /* all archives of a folder */
    CU_ASSERT_EQUAL(all->count, 9);
    cai_dataset_free(all);
}

/* ---- boxes ---- */

static void compare_boxes(const char *path, bool named) {
    cai_set set = SET(PICTURE("photo", 3, 9, 12, CAI_TAKE_EXACT), BOXES("boxes", 3, 0));
    const char *paths[] = {DATA "inputs/photo", path}, *names[] = {"photo", "boxes"};
    cai_error error = {0};
    *told = 0;
    cai_dataset *data = cai_dataset_open(&set, paths, names, 2, &plain, &error);
    if (!data) printf("\n    %s\n", error.message);
    CU_ASSERT_FATAL(data != NULL);
    compare_field_of(data, 0, 1, "boxes");
    int count;
    const char *const *classes = cai_dataset_classes(data, 1, &count);
    if (named) CU_ASSERT(count == 3 && strcmp(classes[0], "ant") == 0);
    cai_dataset_free(data);
}

TEST(boxes_of_VOC_COCO_and_YOLO) {
    compare_boxes(DATA "voc", true);
    compare_boxes(DATA "coco.json", true);
    compare_boxes(DATA "yolo", false);
}

/* ---- letterboxes ---- */

static const int64_t ignored[] = {255};

TEST(letterboxes_as_PIL_makes_them) {
    cai_field mask = MASK("mask", 9, 6);
    mask.ignored = ignored;
    mask.ignored_count = 1;
    cai_set set = SET(PICTURE("photo", 3, 9, 6, CAI_TAKE_LETTERBOX),
                      PICTURE("sketch", 1, 9, 6, CAI_TAKE_EXACT), mask, BOXES("boxes", 3, 0));
    const char *paths[] = {DATA "inputs", DATA "voc"}, *names[] = {NULL, "boxes"};
    cai_error error = {0};
    cai_dataset *data = cai_dataset_open(&set, paths, names, 2, &plain, &error);
    if (!data) printf("\n    %s\n", error.message);
    CU_ASSERT_FATAL(data != NULL);
    for (int field = 0; field < 4; field++) compare_field_of(data, 0, field, "letterbox");
    cai_dataset_free(data);
}

/* ---- classes that the text does not have ---- */

static cai_field counted_class(const char *name, int64_t classes) {
    cai_field field = CLASS(name);
    field.classes = classes;
    return field;
}

/* Opens pictures of any size with classes beside them, of which the text has so many. */
static void check_unknown_class(const char *path, const char *field, int64_t classes, int left,
                                const char *wanted) {
    cai_set set = SET(PICTURE(strcmp(field, "class") == 0 ? "photo" : "picture", 3, 2, 2, CAI_TAKE_STRETCH),
                      counted_class(field, classes));
    cai_dataset *data = open_at(&set, path, &plain);
    CU_ASSERT(was_told(wanted));
    int64_t counted = data->counts[CAI_PART_TRAINING] + data->counts[CAI_PART_HELD_OUT];
    CU_ASSERT_EQUAL(data->count - counted, left);
    for (int64_t i = 0; i < 3 * data->counts[CAI_PART_TRAINING]; i++) {
        int32_t class;
        void *buffers[] = {NULL, &class};
        cai_error error;
        CU_ASSERT(cai_dataset_read(data, CAI_PART_TRAINING, i, 0, buffers, &error) && class < classes);
    }
    cai_dataset_free(data);
}

TEST(labels_above_the_classes_of_the_text) {
    check_unknown_class(
        DATA "idx_floats", "label", 2, 1,
        "idx_floats/some-labels-idx1-float: 1 of 3 left out: `label` of 2 has class 300, and the "
        "text has 2 classes, 0 to 1\n  help: number classes from 0, ");
    check_unknown_class(DATA "arrays", "label", 3, 1,
                        "arrays/label.npy: 1 of 6 left out: `label` of 3 has class 3, and");
    check_unknown_class(DATA "arrays.npz", "label", 3, 1,
                        "arrays.npz: 1 of 6 left out: `label` of 3 has class 3, and");
    check_unknown_class(DATA "cifar", "label", 2, 2,
                        "cifar/train.bin: 1 of 3 left out: `label` of 0 has class 2 (`cup`), and");
    check_unknown_class(DATA "classes", "label", 2, 1,
                        "classes: 1 of 4 left out: `label` of dog/deep/er has class 2 (`dog`), and");
    check_unknown_class(DATA "ustar.tar", "label", 8, 1, "ustar.tar: 1 of 3 left out: `label` of ");
    check_unknown_class(DATA "list.tsv", "class", 5, 1,
                        "list.tsv: 1 of 2 left out: `class` of inputs/photo/2.png has class 7, and");
    check_unknown_class(
        DATA "list.csv", "class", 2, 1,
        "list.csv: 1 of 2 left out: `class` of inputs/photo/2.png has class 2 (`big, red`), and");
}

TEST(strict_stops_at_a_class_that_the_text_does_not_have) {
    cai_data_options strict = plain;
    strict.strict = true;
    cai_set set = SET(PICTURE("picture", 3, 2, 2, CAI_TAKE_STRETCH), counted_class("label", 3));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(failure_of(&set, DATA "arrays", &strict),
               "label.npy: 1 of 6 left out: `label` of 3 has class 3, and the text has 3"));
}

/* Of two classes, which the text or a file has. */
static void check_unknown_box(const char *path, int64_t classes, const char *file, const char *class) {
    cai_field boxes = BOXES("boxes", 3, 0);
    boxes.classes = classes;
    boxes.names = file;
    cai_set set = SET(PICTURE("photo", 3, 9, 12, CAI_TAKE_EXACT), boxes);
    const char *paths[] = {DATA "inputs/photo", path}, *names[] = {"photo", "boxes"};
    char wanted[200];
    cai_error error = {0};
    *told = 0;
    cai_dataset *data = cai_dataset_open(&set, paths, names, 2, &plain, &error);
    CU_ASSERT_FATAL(data != NULL);
    snprintf(wanted, sizeof wanted, "%s: 1 of 4 left out: `boxes` of 1 has class %s, and %s has 2", path,
             class, file ? file : "the text");
    CU_ASSERT(was_told(wanted));
    CU_ASSERT_EQUAL(cai_dataset_count(data, CAI_PART_TRAINING), 3);
    cai_dataset_free(data);
}

TEST(boxes_above_the_classes_of_the_text) {
    check_unknown_box(DATA "voc", 2, NULL, "2 (`dog`)");
    check_unknown_box(DATA "coco.json", 2, NULL, "2 (`dog`)");
    check_unknown_box(DATA "yolo", 2, NULL, "2");
}

/* Numbers below 0 are no classes, and stay. */
TEST(labels_without_a_class) {
    const char *folder = scratch_folder(
        "/usr/bin/python3 -c 'import numpy; numpy.save(\"picture.npy\", numpy.zeros((4, 2, 2), \"u1\")); "
        "numpy.save(\"label.npy\", numpy.array([1, -1, 2, -100]))'");
    cai_set set = SET(PICTURE("picture", 1, 2, 2, CAI_TAKE_EXACT), counted_class("label", 2));
    cai_dataset *data = open_at(&set, folder, &plain);
    CU_ASSERT_EQUAL(cai_dataset_count(data, CAI_PART_TRAINING), 3);
    CU_ASSERT(was_told("label.npy: 1 of 4 left out: `label` of 2 has class 2, and"));
    cai_dataset_free(data);
    remove_scratch(folder);
}

/* Whether masks are files or arrays, the one with a 3 is left out, wherever it is cut,
 * and 255 is ignored. */
static void check_masks(const char *path, int64_t size, const char *wanted) {
    cai_field mask = MASK("mask", size, size);
    mask.classes = 3;
    mask.ignored = ignored;
    mask.ignored_count = 1;
    cai_set set = SET(PICTURE("photo", 3, size, size, CAI_TAKE_RANDOM_CROP), mask);
    const char *paths[] = {DATA "masks/photo", path}, *names[] = {"photo", "mask"};
    cai_error error = {0};
    *told = 0;
    cai_dataset *data = cai_dataset_open(&set, paths, names, 2, &plain, &error);
    CU_ASSERT_FATAL(data != NULL);
    int32_t numbers[16];
    float photo[3 * 16];
    void *buffers[] = {photo, numbers};
    for (int64_t i = 0; i < 12; i++) {
        CU_ASSERT(cai_dataset_read(data, CAI_PART_TRAINING, i, 0, buffers, &error));
        for (int k = 0; k < size * size; k++) CU_ASSERT(numbers[k] < 3 || numbers[k] == 255);
    }
    CU_ASSERT(was_told(wanted));
    CU_ASSERT(
        was_told("`mask` has class 3, and the text has 3 classes, 0 to 2, and 255 for none: left out\n"));
    CU_ASSERT(was_told("\n  help: number classes from 0, "));
    CU_ASSERT_EQUAL(cai_dataset_skipped(data), 1);
    cai_dataset_free(data);
}

TEST(masks_above_the_classes_of_the_text) {
    check_masks(DATA "masks/mask", 4, "masks/mask/1.png: `mask` has class 3");
    check_masks(DATA "masks/mask", 1, "masks/mask/1.png: `mask` has class 3");
    check_masks(DATA "masks.npy", 1, "masks.npy: sample 1 of 3: `mask` has class 3");
}

/* A name for each class is as good as a text that counts them. */
TEST(numbers_above_the_names_of_classes) {
    cai_field label = CLASS("class");
    label.names = DATA "classes.txt";
    cai_set set = SET(PICTURE("photo", 3, 9, 12, CAI_TAKE_EXACT), label);
    cai_dataset *data = open_at(&set, DATA "list.tsv", &plain);
    CU_ASSERT(was_told(
        "`class` of inputs/photo/2.png has class 7, and tests/data/classes.txt has 4 classes, 0 to 3"));
    CU_ASSERT_EQUAL(cai_dataset_count(data, CAI_PART_TRAINING), 1);
    cai_dataset_free(data);
    const char *folder = scratch_folder("printf 'ant\\ncat\\n' > names.txt");
    char file[100];
    snprintf(file, sizeof file, "%s/names.txt", folder);
    check_unknown_box(DATA "yolo", 0, file, "2");
    remove_scratch(folder);
}

/* ---- single files ---- */

TEST(a_file_is_a_set_of_one_sample) {
    cai_set set = SET(PICTURE("photo", 3, 9, 12, CAI_TAKE_EXACT));
    cai_dataset *data = open_at(&set, DATA "inputs/photo/10.png", &plain);
    char number[24];
    CU_ASSERT_EQUAL(data->count, 1);
    CU_ASSERT_STRING_EQUAL(cai_dataset_name(data, CAI_PART_TRAINING, 0, number), "10");
    cai_dataset_free(data);
    CU_ASSERT(fails_with(&set, DATA "none.jpg", "none.jpg: cannot be opened: No such file or directory"));
}

/* Each is named, so that its partner may be called otherwise. */
TEST(files_that_are_named_one_by_one_are_a_sample) {
    cai_set set = SET(PICTURE("photo", 3, 9, 12, CAI_TAKE_EXACT), MASK("mask", 9, 12), BOXES("boxes", 3, 0));
    const char *paths[] = {DATA "inputs/photo/2.png", DATA "inputs/mask/four.png", DATA "yolo/1.txt"},
               *names[] = {"photo", "mask", "boxes"};
    cai_error error = {0};
    cai_dataset *data = cai_dataset_open(&set, paths, names, 3, &plain, &error);
    if (!data) printf("\n    %s\n", error.message);
    CU_ASSERT_FATAL(data != NULL);
    char number[24];
    float photo[3 * 9 * 12], boxes[3][5];
    int32_t mask[9 * 12];
    void *buffers[] = {photo, mask, boxes};
    CU_ASSERT_EQUAL(data->count, 1);
    CU_ASSERT_STRING_EQUAL(cai_dataset_name(data, CAI_PART_TRAINING, 0, number), "2");
    CU_ASSERT(cai_dataset_read(data, CAI_PART_TRAINING, 0, 0, buffers, &error));
    CU_ASSERT(boxes[0][4] == 2 && boxes[1][4] == 1 && boxes[2][4] == -1);
    cai_dataset_free(data);
}

/* ---- the clothes of Debian's dataset-fashion-mnist, where they are installed ---- */

TEST(clothes) {
    const char *path = "/usr/share/datasets/fashion-mnist";
    if (access(path, R_OK) != 0) return;
    cai_set set = SET(PICTURE("picture", 1, 28, 28, CAI_TAKE_EXACT), CLASS("label"));
    cai_dataset *data = open_at(&set, path, &plain);
    CU_ASSERT_EQUAL(cai_dataset_count(data, CAI_PART_TRAINING), 60000);
    CU_ASSERT_EQUAL(cai_dataset_count(data, CAI_PART_HELD_OUT), 10000);
    float picture[784];
    int32_t labels[4];
    void *buffers[] = {NULL, labels};
    cai_error error;
    for (int i = 0; i < 4; i++) CU_ASSERT(cai_dataset_read(data, CAI_PART_HELD_OUT, i, i, buffers, &error));
    CU_ASSERT(labels[0] == 9 && labels[1] == 2 && labels[2] == 1 && labels[3] == 1);
    double sum = 0; /* numpy: the mean of all training pictures is 72.94035223214286 of 255 */
    buffers[0] = picture;
    for (int i = 0; i < 60000; i++) {
        CU_ASSERT_FATAL(cai_dataset_read(data, CAI_PART_TRAINING, i, 0, buffers, &error));
        for (int k = 0; k < 784; k++) sum += (double)picture[k];
    }
    CU_ASSERT_DOUBLE_EQUAL(sum / 60000 / 784 * 255, 72.94035223214286, 1e-4);
    cai_dataset_free(data);
}

/* ---- parts, classes and order together ---- */

static int count_names(cai_dataset *data, int part, const char *begin) {
    char number[24];
    int count = 0;
    for (int64_t i = 0; i < cai_dataset_count(data, part); i++)
        count += strncmp(cai_dataset_name(data, part, i, number), begin, strlen(begin)) == 0;
    return count;
}

TEST(folds_share_out_all_samples) {
    cai_set set = SET(PICTURE("picture", 3, 5, 4, CAI_TAKE_EXACT), CLASS("label"));
    int held_out = 0;
    for (int fold = 1; fold <= 3; fold++) {
        cai_data_options options = {.fold = fold, .folds = 3};
        cai_dataset *data = open_at(&set, DATA "arrays", &options);
        held_out += (int)cai_dataset_count(data, CAI_PART_HELD_OUT);
        CU_ASSERT_EQUAL(
            cai_dataset_count(data, CAI_PART_TRAINING) + cai_dataset_count(data, CAI_PART_HELD_OUT), 6);
        cai_dataset_free(data);
    }
    CU_ASSERT_EQUAL(held_out, 6);
}

TEST(classes_that_stay_together_are_held_out_whole) {
    cai_field label = CLASS("label");
    label.together = 2;
    cai_set set = SET(PICTURE("picture", 3, 6, 8, CAI_TAKE_EXACT), label);
    cai_data_options options = {.fold = 1, .folds = 2};
    for (; options.fold <= 2; options.fold++) {
        cai_dataset *data = open_at(&set, DATA "classes", &options);
        int trained = count_names(data, CAI_PART_TRAINING, "cat/"),
            held_out = count_names(data, CAI_PART_HELD_OUT, "cat/");
        CU_ASSERT((trained == 2 && held_out == 0) || (trained == 0 && held_out == 2));
        cai_dataset_free(data);
    }
}

TEST(the_number_of_a_sample) {
    cai_field index = CLASS("number");
    index.index = 1;
    cai_set set = SET(PICTURE("picture", 3, 5, 4, CAI_TAKE_EXACT), CLASS("label"), index);
    cai_dataset *data = open_at(&set, DATA "arrays.npz", &plain);
    cai_error error;
    for (int64_t p = 0; p < 12; p++) {
        int32_t label, number;
        void *buffers[] = {NULL, &label, &number};
        CU_ASSERT(cai_dataset_read(data, CAI_PART_TRAINING, p, 0, buffers, &error));
        CU_ASSERT(label == number % 4 &&
                  number ==
                      cai_permuted(cai_data_mix(cai_data_mix(data->order.key, 1 << 20), (uint64_t)p / 6), 6,
                                   p % 6));
    }
    cai_dataset_free(data);
}

TEST(fingerprints_tell_data_apart) {
    cai_set pictures = SET(PICTURE("picture", 3, 4, 4, CAI_TAKE_STRETCH), CLASS("label"));
    const char *const paths[] = {DATA "arrays", DATA "arrays.npz", DATA "classes", DATA "parts",
                                 DATA "cifar"};
    uint64_t found[5];
    for (int i = 0; i < 5; i++) {
        cai_dataset *data = open_at(&pictures, paths[i], &plain),
                    *again = open_at(&pictures, paths[i], &plain);
        found[i] = cai_dataset_fingerprint(data);
        CU_ASSERT_EQUAL(cai_dataset_fingerprint(again), found[i]);
        /* the same arrays */
        for (int k = 0; k < i; k++) CU_ASSERT((found[k] == found[i]) == (k == 0 && i == 1));
        cai_dataset_free(data);
        cai_dataset_free(again);
    }
}

TEST(sizes_that_are_free) {
    cai_set set = SET(PICTURE("photo", 3, -1, -1, CAI_TAKE_EXACT), MASK("mask", -1, -1));
    cai_dataset *data = open_at(&set, DATA "inputs", &plain);
    int64_t dims[3] = {0}, mask[2] = {0};
    cai_error error;
    CU_ASSERT(cai_dataset_sizes(data, CAI_PART_TRAINING, 0, 0, dims, &error) &&
              cai_dataset_sizes(data, CAI_PART_TRAINING, 0, 1, mask, &error));
    CU_ASSERT(dims[0] == 3 && dims[1] == 9 && dims[2] == 12 && mask[0] == 9 && mask[1] == 12);
    float photo[3 * 9 * 12];
    void *buffers[] = {photo, NULL};
    CU_ASSERT(cai_dataset_read(data, CAI_PART_TRAINING, 0, 0, buffers, &error));
    cai_dataset_free(data);
}

/* The same samples are held out wherever the list is called from. */
TEST(samples_of_lists_are_called_as_they_stand_there) {
    cai_set set = SET(PICTURE("photo", 3, 9, 12, CAI_TAKE_EXACT), CLASS("class"));
    cai_dataset *data = open_at(&set, DATA "list.tsv", &plain);
    char number[24];
    CU_ASSERT_STRING_EQUAL(cai_portion_name(data->portions[0], 1, number), "inputs/photo/10.png");
    cai_dataset_free(data);
}

/* ---- threads ---- */

enum { THREADS = 8, POSITIONS = 300, EACH = 3 * 6 * 6 };
static float by_threads[POSITIONS][EACH];
static cai_dataset *threads_data;

static void *read_many(void *first) {
    cai_error error;
    for (int64_t p = *(int *)first; p < POSITIONS; p += THREADS) {
        void *buffers[] = {by_threads, NULL};
        CU_ASSERT(cai_dataset_read(threads_data, CAI_PART_TRAINING, p, p, buffers, &error));
    }
    return NULL;
}

static void read_by(int threads) {
    pthread_t ids[THREADS];
    int firsts[THREADS];
    cai_set set = SET(PICTURE("photo", 3, 6, 6, CAI_TAKE_RANDOM_RESIZED));
    threads_data = open_at(&set, DATA "inputs/photo", &plain);
    memset(by_threads, 0, sizeof by_threads);
    for (int i = 0; i < THREADS; i++) {
        firsts[i] = i;
        if (threads == 1) read_many(&firsts[i]);
        else pthread_create(&ids[i], NULL, read_many, &firsts[i]);
    }
    for (int i = 0; threads > 1 && i < THREADS; i++) pthread_join(ids[i], NULL);
    cai_dataset_free(threads_data);
}

TEST(any_number_of_threads_reads_the_same) {
    static float alone[POSITIONS][EACH];
    read_by(1);
    memcpy(alone, by_threads, sizeof alone);
    for (int i = 0; i < 5; i++) {
        read_by(THREADS);
        CU_ASSERT(memcmp(alone, by_threads, sizeof alone) == 0);
    }
}

/* ---- what goes wrong ---- */

TEST(a_broken_picture_is_told_once_and_left_out) {
    const char *folder = scratch_folder(
        "mkdir a b && cp $here/classes/cat/a.png a/1.png && cp $here/classes/cat/b.png b/2.png && head -c 90 a/1.png > a/0.png");
    cai_set set = SET(PICTURE("picture", 3, 6, 8, CAI_TAKE_EXACT), CLASS("label"));
    cai_dataset *data = open_at(&set, folder, &plain);
    float picture[3 * 6 * 8];
    int32_t label;
    void *buffers[] = {picture, &label};
    cai_error error;
    int ones = 0;
    for (int64_t p = 0; p < 30; p++) {
        CU_ASSERT(cai_dataset_read(data, CAI_PART_TRAINING, p, 0, buffers, &error));
        ones += label;
    }
    CU_ASSERT_EQUAL(ones, 10); /* the next one of its class stands in its place */
    CU_ASSERT_EQUAL(cai_dataset_skipped(data), 1);
    CU_ASSERT(was_told("a/0.png: broken PNG: the file is cut off: left out\n"));
    CU_ASSERT_PTR_NULL(strstr(strstr(told, "0.png") + 1, "0.png"));
    cai_dataset_free(data);
    cai_data_options strict = {.strict = true};
    data = open_at(&set, folder, &strict);
    bool all = true;
    for (int64_t p = 0; p < 3; p++) all &= cai_dataset_read(data, CAI_PART_TRAINING, p, 0, buffers, &error);
    CU_ASSERT_FALSE(all);
    cai_dataset_free(data);
    remove_scratch(folder);
}

TEST(nothing_that_can_be_read) {
    const char *folder = scratch_folder("mkdir a && echo this > a/1.png && echo that > a/2.png");
    cai_set set = SET(PICTURE("picture", 3, 6, 8, CAI_TAKE_EXACT), CLASS("label"));
    cai_dataset *data = open_at(&set, folder, &plain);
    float picture[3 * 6 * 8];
    int32_t label;
    void *buffers[] = {picture, &label};
    cai_error error;
    CU_ASSERT_FALSE(cai_dataset_read(data, CAI_PART_TRAINING, 0, 0, buffers, &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "none of the 2 samples of the set of `test` can be read: "));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, ".png: is not a PNG, JPEG, WebP, BMP or TIFF"));
    CU_ASSERT_FALSE(cai_dataset_read(data, CAI_PART_TRAINING, 1, 0, buffers, &error));
    CU_ASSERT_STRING_EQUAL(error.message,
                           "none of the 2 samples of the set of `test` can be read: the notices say why");
    CU_ASSERT_FALSE(cai_dataset_read(data, CAI_PART_HELD_OUT, 0, 0, buffers, &error));
    cai_dataset_free(data);
    remove_scratch(folder);
}

/* Samples without elements take no space, so that a few bytes can promise billions. */
TEST(samples_without_elements) {
    const char *folder = scratch_folder(
        "printf '\\0\\0\\10\\2\\377\\0\\0\\0\\0\\0\\0\\0' > x-idx2-ubyte"
        " && /usr/bin/python3 -c 'import numpy; numpy.save(\"x.npy\", numpy.zeros((10**12, 0), \"i4\"))'");
    cai_set set = SET(CLASS("label"));
    char path[100];
    snprintf(path, sizeof path, "%s/x-idx2-ubyte", folder);
    CU_ASSERT(fails_with(&set, path, "its 4278190080 samples have no elements: it is u8[4278190080, 0]"));
    snprintf(path, sizeof path, "%s/x.npy", folder);
    CU_ASSERT(fails_with(&set, path, "its 1000000000000 samples have no elements: it is i32["));
    remove_scratch(folder);
}

TEST(sets_that_cannot_be_opened) {
    cai_set set = SET(PICTURE("picture", 3, 6, 8, CAI_TAKE_EXACT), CLASS("label"));
    CU_ASSERT(fails_with(&set, DATA "nothing", "nothing: cannot be opened"));
    CU_ASSERT(fails_with(&set, DATA "expected",
                         "expected: the folder has no .png, .jpg, .jpeg, .webp, .bmp, .tif or .tiff"));
    CU_ASSERT(fails_with(&set, DATA "inputs/photo", "photo: has no data for `label: i32[N]`"));
    CU_ASSERT(fails_with(&set, DATA "idx_floats/some-labels-idx1-float",
                         "each sample is i16[], which does not match `picture: image[N, ..]`"));
    cai_error error;
    CU_ASSERT_PTR_NULL(cai_dataset_open(&set, NULL, NULL, 0, &plain, &error));
    CU_ASSERT_STRING_EQUAL(
        error.message,
        "the set of `test` has no files\n"
        "  help: name its folder on the command line, or in the text: load test from \"PATH\"");
    cai_data_options all = {.held_out = 1};
    CU_ASSERT_PTR_NOT_NULL(strstr(failure_of(&set, DATA "classes", &all), "none is left to train on"));
}

/* What people do at first. */
TEST(files_that_are_none_of_the_input) {
    const char *folder = scratch_folder(
        "mkdir pixels jpegs boxes other && echo '0 50 40 20 10' > pixels/1.txt && cp pixels/1.txt boxes && "
        "cp $here/inputs/photo/1.png jpegs/1.jpg && mkdir other/images other/labels");
    cai_set boxes = SET(PICTURE("photo", 3, 9, 12, CAI_TAKE_EXACT), BOXES("boxes", 3, 0));
    cai_set numbers =
        SET({.name = "boxes", .text = "f32[N, 3, 5]", .dims = SIZES(3, 5), .rank = 2, .on = -1});
    cai_set mask = SET(MASK("mask", 9, 12));
    char path[100];
    const char *paths[] = {DATA "inputs/photo", path}, *names[] = {"photo", "boxes"};
    cai_error error = {0};
    *told = 0;
    snprintf(path, sizeof path, "%s/pixels", folder);
    CU_ASSERT_PTR_NULL(cai_dataset_open(&boxes, paths, names, 2, &plain, &error));
    CU_ASSERT(was_told(
        "pixels/1.txt: line 1 is not a box: CLASS X Y WIDTH HEIGHT, as fractions of the picture, 0 to 1"));
    CU_ASSERT_PTR_NULL(strstr(told, "pixels/1.txt: /"));
    snprintf(path, sizeof path, "%s/boxes", folder);
    CU_ASSERT(fails_with(&numbers, path,
                         "help: boxes name the picture that they lie on: f32[N, M, 5, on = photo]"));
    snprintf(path, sizeof path, "%s/jpegs", folder);
    CU_ASSERT(fails_with(&mask, path,
                         "the folder has no .png\n  help: masks are PNG files, with a palette or gray"));
    snprintf(path, sizeof path, "%s/other", folder);
    CU_ASSERT(fails_with(&boxes, path, "named `photo`, but images, labels\n"));
    CU_ASSERT(fails_with(
        &boxes, DATA "inputs/photo/1.png",
        "1.png: is the file of one input, and a sample has several\n  help: give the path of each: photo=PATH boxes=PATH"));
    remove_scratch(folder);
}

TEST(pipes_and_devices_are_no_samples) {
    const char *folder = scratch_folder(
        "mkdir a && cp $here/classes/cat/a.png a && mkfifo a/b.png && ln -s /dev/zero a/c.png && ln -s . a/again && "
        "printf 'picture,label\\na/a.png,1\\na/b.png,2\\n' > list.csv");
    cai_set set = SET(PICTURE("picture", 3, 6, 8, CAI_TAKE_EXACT), CLASS("label"));
    cai_dataset *data = open_at(&set, folder, &plain);
    char path[100];
    CU_ASSERT_EQUAL(data->count, 8); /* through the link to itself, eight folders deep */
    cai_dataset_free(data);
    snprintf(path, sizeof path, "%s/list.csv", folder);
    data = open_at(&set, path, &plain);
    CU_ASSERT_EQUAL(data->count, 1);
    CU_ASSERT(was_told("a/b.png: is not a regular file"));
    cai_dataset_free(data);
    cai_set one = SET(PICTURE("picture", 3, 6, 8, CAI_TAKE_EXACT));
    snprintf(path, sizeof path, "%s/a/b.png", folder);
    CU_ASSERT(fails_with(&one, path, "b.png: is no regular file"));
    remove_scratch(folder);
}

TEST(arrays_of_other_sizes_are_told_once) {
    cai_set set = SET(PICTURE("picture", 1, 5, 6, CAI_TAKE_EXACT), CLASS("label"));
    CU_ASSERT(fails_with(&set, DATA "idx",
                         "ubyte: sample 0 of 2: the picture is 4 wide and 5 high: its width must be 6"));
}

TEST(many_broken_samples_are_not_all_told) {
    const char *folder = scratch_folder(
        "mkdir a && cp $here/classes/cat/a.png a && for i in $(seq 50); do echo > a/$i.png; done");
    cai_set set = SET(PICTURE("picture", 3, 6, 8, CAI_TAKE_EXACT), CLASS("label"));
    told_count = 0;
    cai_dataset *data = open_at(&set, folder, &plain);
    float picture[3 * 6 * 8];
    int32_t label;
    void *buffers[] = {picture, &label};
    cai_error error;
    for (int64_t p = 0; p < 51; p++)
        CU_ASSERT(cai_dataset_read(data, CAI_PART_TRAINING, p, 0, buffers, &error));
    CU_ASSERT_EQUAL(cai_dataset_skipped(data), 50);
    CU_ASSERT_EQUAL(told_count, 20);
    cai_dataset_free(data);
    remove_scratch(folder);
}

TEST(broken_lists_and_boxes) {
    cai_set list = SET(PICTURE("photo", 3, 9, 12, CAI_TAKE_EXACT), CLASS("class"));
    const char *folder = scratch_folder(
        "printf 'photo,class\\n\"a,b\\n' > quote.csv; printf 'photo,class\\na\\n' > short.csv; printf 'photo,class\\n' > empty.csv; "
        "printf 'photo,class,part\\na,b,some\\n' > part.csv; mkdir xml && cp $here/voc/* xml && echo '<a>' > xml/1.xml");
    char path[100];
    const char *const names[][2] = {{"quote.csv", "quote.csv:2: a quoted cell has no closing quote"},
                                    {"short.csv", "short.csv:2: the line has more or fewer cells"},
                                    {"empty.csv", "empty.csv: has no samples"},
                                    {"part.csv", "`some` is not a part of a data set"}};
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i][0]);
        CU_ASSERT(fails_with(&list, path, names[i][1]));
    }
    cai_set other = SET(PICTURE("photo", 3, 9, 12, CAI_TAKE_EXACT), CLASS("kind"));
    CU_ASSERT(fails_with(&other, DATA "list.csv",
                         "has no column for `kind: i32[N]`: the columns are photo, class, code, part"));
    cai_set boxes = SET(PICTURE("photo", 3, 9, 12, CAI_TAKE_EXACT), BOXES("boxes", 3, 0));
    snprintf(path, sizeof path, "%s/xml", folder);
    const char *paths[] = {DATA "inputs/photo", path}, *fields[] = {"photo", "boxes"};
    cai_error error;
    *told = 0;
    cai_dataset *data = cai_dataset_open(&boxes, paths, fields, 2, &plain, &error);
    CU_ASSERT_FATAL(data != NULL);
    CU_ASSERT_EQUAL(data->count, 3);
    CU_ASSERT(was_told("1.xml: "));
    CU_ASSERT(was_told("line 2: no element found"));
    cai_dataset_free(data);
    remove_scratch(folder);
}

/* An .npz whose directory names one packed file a thousand times would fill any
 * memory. */
TEST(files_that_lie_over_each_other) {
    const char *folder = scratch_folder(
        "/usr/bin/python3 - << 'END'\n"
        "import io, numpy, struct, zlib\n"
        "file = io.BytesIO(); numpy.save(file, numpy.zeros(10**7, 'u1')); size = len(file.getvalue())\n"
        "data = zlib.compress(file.getvalue(), 9)[2:-4]\n"
        "name = struct.pack('<3I2H', 0, len(data), size, 5, 0)\n"
        "local = struct.pack('<4s5H', b'PK\\3\\4', 20, 0, 8, 0, 0) + name + b'x.npy' + data\n"
        "one = struct.pack('<4s6H', b'PK\\1\\2', 20, 20, 0, 8, 0, 0) + name + bytes(14) + b'x.npy'\n"
        "end = struct.pack('<4s4H2IH', b'PK\\5\\6', 0, 0, 1000, 1000, 1000 * len(one), len(local), 0)\n"
        "open('bomb.npz', 'wb').write(local + 1000 * one + end)\n"
        "END");
    cai_set set = SET(PICTURE("picture", 3, 6, 8, CAI_TAKE_EXACT));
    char path[100];
    snprintf(path, sizeof path, "%s/bomb.npz", folder);
    CU_ASSERT(fails_with(&set, path, "bomb.npz: broken zip file: its members overlap"));
    remove_scratch(folder);
}
