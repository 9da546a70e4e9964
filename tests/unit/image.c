/* Pictures in every form, turned, cut off, flipped; and the way back.
 * tests/programs/pictures/make.py made the pictures. */
#include "files/files.h"
#include "test.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PICTURES "tests/programs/pictures/"
enum { HEIGHT = 12, WIDTH = 10 };

/* What make.py drew. */
static double drawn(int64_t channel, int64_t y, int64_t x) {
    const int64_t values[] = {y * 10, x * 12, (y + x) * 5};
    return (double)values[channel] / 255;
}

static double worst_difference(const cai_image *image) {
    double worst = 0;
    for (int64_t c = 0; c < image->channels; c++) {
        for (int64_t y = 0; y < HEIGHT; y++) {
            for (int64_t x = 0; x < WIDTH; x++) {
                worst = fmax(worst, fabs(image->pixels[(c * HEIGHT + y) * WIDTH + x] - drawn(c, y, x)));
            }
        }
    }
    return worst;
}

static void check_picture(const char *name, int64_t channels, double tolerance) {
    cai_error error = {0};
    cai_image image;
    char path[100];
    snprintf(path, sizeof path, PICTURES "%s", name);
    int read = cai_image_read(path, &image, &error);
    if (!read) printf("\n    %s\n", error.message);
    CU_ASSERT_FATAL(read);
    CU_ASSERT_EQUAL(image.channels, channels);
    CU_ASSERT_EQUAL_FATAL(image.height, HEIGHT);
    CU_ASSERT_EQUAL_FATAL(image.width, WIDTH);
    double worst = worst_difference(&image);
    if (!(worst <= tolerance)) printf("\n    %s differs by %g\n", name, worst);
    CU_ASSERT(worst <= tolerance);
    cai_image_free(&image);
}

TEST(forms_of_PNG_and_JPEG) {
    check_picture("rgb.png", 3, 1e-7);
    check_picture("rgba.png", 3, 1e-7);
    check_picture("interlaced.png", 3, 1e-7);
    check_picture("rgb16.png", 3, 4.0 / 65535);
    check_picture("gray.png", 1, 1e-7);
    check_picture("palette.png", 3, 0.3);
    check_picture("rgb.jpg", 3, 0.03);
    check_picture("progressive.jpg", 3, 0.1);
    check_picture("cmyk.jpg", 3, 0.1);
    check_picture("gray.jpg", 1, 0.03);
}

TEST(forms_of_WebP_BMP_and_TIFF) {
    check_picture("rgb.webp", 3, 1e-7);
    check_picture("rgba.webp", 3, 1e-7);
    check_picture("lossy.webp", 3, 0.1);
    check_picture("rgb.bmp", 3, 1e-7);
    check_picture("rgba.bmp", 3, 1e-7);
    check_picture("gray.bmp", 1, 1e-7);
    check_picture("palette.bmp", 3, 0.3);
    check_picture("masks16.bmp", 3, 8.0 / 255);
    check_picture("core.bmp", 3, 1e-7);
    check_picture("rgb.tif", 3, 1e-7);
    check_picture("rgba.tif", 3, 1e-7);
    check_picture("deflated.tif", 3, 1e-7);
    check_picture("jpeg.tif", 3, 0.1);
    check_picture("gray.tif", 1, 1e-7);
    check_picture("gray16.tif", 1, 4.0 / 65535);
    check_picture("palette.tif", 3, 0.3);
    check_picture("cmyk.tif", 3, 1.0 / 255);
}

TEST(16_bits_are_kept) {
    cai_error error;
    cai_image image;
    CU_ASSERT_FATAL(cai_image_read(PICTURES "rgb16.png", &image, &error));
    CU_ASSERT_DOUBLE_EQUAL(image.pixels[1 * WIDTH], (10 * 257 + 3) / 65535.0, 1e-7);
    cai_image_free(&image);
}

TEST(one_bit) {
    cai_error error;
    cai_image image;
    CU_ASSERT_FATAL(cai_image_read(PICTURES "one_bit.png", &image, &error));
    for (int64_t y = 0; y < HEIGHT; y++) CU_ASSERT_EQUAL(image.pixels[y * WIDTH], y * 10 > 50);
    cai_image_free(&image);
}

/* EXIF's orientation says where the stored first row and first column are to be seen. */
static void check_turned(const char *name, int orientation, double tolerance) {
    cai_error error;
    cai_image image;
    char path[100];
    snprintf(path, sizeof path, PICTURES "%s", name);
    CU_ASSERT_FATAL(cai_image_read(path, &image, &error));
    CU_ASSERT_EQUAL_FATAL(image.height, orientation >= 5 ? WIDTH : HEIGHT);
    for (int64_t y = 0; y < HEIGHT; y++) {
        for (int64_t x = 0; x < WIDTH; x++) {
            int64_t right = WIDTH - 1 - x, bottom = HEIGHT - 1 - y;
            const int64_t rows[] = {y, y, bottom, bottom, x, x, right, right},
                          columns[] = {x, right, right, x, y, bottom, bottom, y};
            float seen = image.pixels[rows[orientation - 1] * image.width + columns[orientation - 1]];
            if (fabs(seen - drawn(0, y, x)) > tolerance) CU_FAIL_FATAL("turned the wrong way");
        }
    }
    cai_image_free(&image);
}

TEST(orientation) {
    char name[32];
    for (int orientation = 1; orientation <= 8; orientation++) {
        snprintf(name, sizeof name, "turned%d.png", orientation);
        check_turned(name, orientation, 1e-7);
    }
    check_turned("turned8.jpg", 8, 0.03);
    check_turned("turned6.webp", 6, 1e-7);
    check_turned("turned6.tif", 6, 1e-7);
}

static int exif_orientation(const unsigned char *tiff, size_t count) {
    int orientation = 0;
    cai_read_exif(tiff, count, &orientation);
    return orientation;
}

TEST(EXIF_is_not_trusted) {
    const unsigned char good[] = "II*\0\10\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0";
    CU_ASSERT_EQUAL(exif_orientation(good, 22), 6);
    for (size_t count = 0; count < 22; count++) CU_ASSERT_EQUAL(exif_orientation(good, count), 0);
    unsigned char far[] = "II*\0\xff\xff\xff\xff\1\0\x12\1\3\0\1\0\0\0\6\0\0\0";
    CU_ASSERT_EQUAL(exif_orientation(far, 22), 0);
}

TEST(bombs_liars_and_other_files) {
    cai_error error;
    cai_image image;
    CU_ASSERT_FALSE(cai_image_read(PICTURES "bomb.png", &image, &error));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(error.message, "30000 x 30000: pictures may have 134217728 pixels at most"));
    CU_ASSERT_FALSE(cai_image_read(PICTURES "lying.png", &image, &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "too small for the size it claims"));
    CU_ASSERT_FALSE(cai_image_read(PICTURES "moving.webp", &image, &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "moving.webp: is an animation"));
    CU_ASSERT_FALSE(cai_image_read(PICTURES "packed.bmp", &image, &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "of 8 bits a pixel packed by method 1"));
    CU_ASSERT_FALSE(cai_image_read(PICTURES "make.py", &image, &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "make.py: is not a PNG"));
    CU_ASSERT_FALSE(cai_image_decode("f", "", 0, &image, &error));
}

/* Every prefix fails; every flipped bit is refused or gives some picture. */
static void damage(const char *name) {
    cai_error error;
    cai_file file;
    cai_image image;
    char path[100];
    snprintf(path, sizeof path, PICTURES "%s", name);
    CU_ASSERT_FATAL(cai_file_read(path, &file, &error));
    unsigned char *bytes = malloc(file.count);
    for (size_t length = 0; length < file.count; length++) {
        unsigned char *exact = malloc(length ? length : 1);
        memcpy(exact, file.data, length);
        if (cai_image_decode("f", exact, length, &image, &error)) {
            printf("\n    %s: its first %zu bytes are taken for the whole\n", name, length);
            CU_FAIL("a prefix was accepted");
            cai_image_free(&image);
        }
        free(exact);
    }
    for (size_t bit = 0; bit < 8 * file.count; bit++) {
        memcpy(bytes, file.data, file.count);
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        if (cai_image_decode("f", bytes, file.count, &image, &error)) cai_image_free(&image);
    }
    free(bytes);
    cai_file_close(&file);
}

TEST(every_prefix_and_every_flipped_bit) {
    const char *const names[] = {"rgb.png",    "interlaced.png",  "palette.png", "turned6.png",
                                 "rgb.jpg",    "progressive.jpg", "cmyk.jpg",    "rgb.webp",
                                 "lossy.webp", "rgb.bmp",         "palette.bmp", "masks16.bmp",
                                 "rgb.tif",    "jpeg.tif",        "cmyk.tif",    "gray16.tif"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) damage(names[i]);
    CU_PASS("nothing crashed");
}

TEST(gray_and_colour) {
    cai_error error;
    cai_image image;
    CU_ASSERT_FATAL(cai_image_read(PICTURES "rgb.png", &image, &error));
    CU_ASSERT_FATAL(cai_image_set_channels(&image, 1, &error));
    CU_ASSERT_DOUBLE_EQUAL(image.pixels[3 * WIDTH + 4],
                           0.299 * drawn(0, 3, 4) + 0.587 * drawn(1, 3, 4) + 0.114 * drawn(2, 3, 4), 1e-6);
    CU_ASSERT_FATAL(cai_image_set_channels(&image, 3, &error));
    CU_ASSERT_EQUAL(image.pixels[(2 * HEIGHT + 3) * WIDTH + 4], image.pixels[3 * WIDTH + 4]);
    CU_ASSERT_FALSE(cai_image_set_channels(&image, 4, &error));
    cai_image_free(&image);
}

static void check_written(const char *path, int64_t channels, double tolerance) {
    const float values[] = {0, 1, -3, 7, NAN, 0.5f / 255, 1.5f / 255, 0.25f, 100.6f / 255};
    /* clamped; halves to even */
    const double expected[] = {0, 1, 0, 1, 0, 0, 2 / 255.0, 64 / 255.0, 101 / 255.0};
    float planes[3 * 9];
    for (int64_t c = 0; c < channels; c++) memcpy(planes + 9 * c, values, sizeof values);
    cai_error error;
    cai_image image;
    CU_ASSERT_FATAL(cai_image_write(path, planes, channels, 3, 3, &error));
    CU_ASSERT_FATAL(cai_image_read(path, &image, &error));
    CU_ASSERT(image.channels >= channels); /* WebP has no gray */
    CU_ASSERT_FATAL(cai_image_set_channels(&image, channels, &error));
    for (int i = 0; i < 9 * channels; i++)
        CU_ASSERT_DOUBLE_EQUAL(image.pixels[i], expected[i % 9], tolerance);
    cai_image_free(&image);
    unlink(path);
}

TEST(writing_clamps_and_rounds) {
    cai_error error;
    check_written("/tmp/cai_test_image.png", 3, 1e-7);
    check_written("/tmp/cai_test_image.png", 1, 1e-7);
    check_written("/tmp/cai_test_image.jpg", 3, 0.2);
    check_written("/tmp/cai_test_image.JPEG", 1, 0.2);
    for (int64_t channels = 1; channels <= 3; channels += 2) {
        check_written("/tmp/cai_test_image.webp", channels, 1e-7);
        check_written("/tmp/cai_test_image.bmp", channels, 1e-7);
        check_written("/tmp/cai_test_image.tiff", channels, 1e-7);
    }
    const float one = 1;
    CU_ASSERT_FALSE(cai_image_write("/tmp/cai_test_image.gif", &one, 1, 1, 1, &error));
    CU_ASSERT_EQUAL(error.status, CAI_BAD_USAGE);
    CU_ASSERT_FALSE(cai_image_write("/dev/full", &one, 1, 1, 1, &error));
    CU_ASSERT_FALSE(cai_image_write("/tmp/cai_no_such_folder/a.jpg", &one, 1, 1, 1, &error));
}
