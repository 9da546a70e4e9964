/* Fitting pictures: sizes and centres as torchvision has them, weights that keep what
 * they must keep. */
#include "files/files.h"
#include "test.h"
#include <math.h>
#include <stdlib.h>

/* value(y, x) = 100 y + x */
static cai_image make(int64_t height, int64_t width) {
    cai_image image = {1, height, width, malloc((size_t)(height * width) * sizeof(float)), {0, 0, 1, 1}};
    for (int64_t i = 0; i < height * width; i++) image.pixels[i] = (float)(100 * (i / width) + i % width);
    return image;
}

static int has_size(const cai_image *image, int64_t height, int64_t width) {
    return image->height == height && image->width == width;
}

#define FIXED(n) ((cai_extent){.fixed = (n), .multiple = 1})
#define MULTIPLE(n) ((cai_extent){.multiple = (n)})

TEST(exact_only_checks_and_says_what_would_do) {
    cai_error error;
    cai_image image = make(6, 8);
    CU_ASSERT(cai_image_fit(&image, CAI_FIT_EXACT, FIXED(6), MULTIPLE(4), &error));
    CU_ASSERT_FALSE(cai_image_fit(&image, CAI_FIT_EXACT, MULTIPLE(4), MULTIPLE(4), &error));
    CU_ASSERT_STRING_EQUAL(
        error.message,
        "the picture is 8 wide and 6 high: its height must be a multiple of 4\n"
        "  help: bring it to size before (`convert in.png -resize 8x4! out.png`), or have the model do it:"
        " fit = \"pad\" in its image[...]");
    CU_ASSERT_EQUAL(error.status, CAI_BAD_INPUT);
    CU_ASSERT(has_size(&image, 6, 8));
    cai_image_free(&image);
}

TEST(pad_mirrors) {
    cai_error error;
    cai_image image = make(3, 2);
    CU_ASSERT_FATAL(cai_image_fit(&image, CAI_FIT_PAD, MULTIPLE(8), MULTIPLE(8), &error));
    CU_ASSERT_FATAL(has_size(&image, 8, 8));
    const int rows[] = {0, 1, 2, 1, 0, 1, 2, 1}, columns[] = {0, 1, 0, 1, 0, 1, 0, 1};
    for (int y = 0; y < 8; y++) {
        for (int x = 0; x < 8; x++) CU_ASSERT_EQUAL(image.pixels[8 * y + x], 100 * rows[y] + columns[x]);
    }
    CU_ASSERT_FALSE(cai_image_fit(&image, CAI_FIT_PAD, FIXED(7), FIXED(9), &error));
    cai_image_free(&image);
    image = make(1, 1);
    CU_ASSERT(cai_image_fit(&image, CAI_FIT_PAD, FIXED(3), FIXED(2), &error) && has_size(&image, 3, 2));
    cai_image_free(&image);
}

/* Ratio, gray and middle as Ultralytics' LetterBox has them: 640 by 480 into 320 by 320
 * is 320 by 240 with 40 rows above; what is odd is less above and on the left. */
TEST(letterbox_keeps_the_ratio) {
    cai_error error;
    cai_image image = make(480, 640);
    CU_ASSERT_FATAL(cai_image_fit(&image, CAI_FIT_LETTERBOX, FIXED(320), FIXED(320), &error));
    CU_ASSERT_FATAL(has_size(&image, 320, 320));
    CU_ASSERT_DOUBLE_EQUAL(image.pixels[39 * 320 + 5], 114 / 255.0, 1e-7);
    CU_ASSERT(image.pixels[41 * 320 + 5] > 1);
    CU_ASSERT_DOUBLE_EQUAL(image.pixels[280 * 320], 114 / 255.0, 1e-7);
    /* the corners of the picture, from those of what is within */
    CU_ASSERT_DOUBLE_EQUAL(image.place.top + image.place.down * 40, 0, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(image.place.top + image.place.down * 280, 480, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(image.place.left + image.place.across * 320, 640, 1e-9);
    cai_image_free(&image);
    image = make(5, 3);
    CU_ASSERT_FATAL(cai_image_fit(&image, CAI_FIT_LETTERBOX, MULTIPLE(8), MULTIPLE(8), &error));
    CU_ASSERT_FATAL(has_size(&image, 8, 8));
    CU_ASSERT_EQUAL(image.pixels[1 * 8 + 2], 0);
    CU_ASSERT_EQUAL(image.pixels[5 * 8 + 4], 402);
    CU_ASSERT_EQUAL(image.place.left, -2);
    cai_image_free(&image);
    image = make(853, 1280); /* half of 853 is rounded to even */
    CU_ASSERT_FATAL(cai_image_fit(&image, CAI_FIT_LETTERBOX, FIXED(640), FIXED(640), &error));
    CU_ASSERT_DOUBLE_EQUAL(image.place.top, -107 * 853 / 426.0, 1e-9);
    cai_image_free(&image);
    image = make(1, 1000); /* a side that would vanish */
    CU_ASSERT(cai_image_fit(&image, CAI_FIT_LETTERBOX, FIXED(8), FIXED(8), &error) && has_size(&image, 8, 8));
    cai_image_free(&image);
}

TEST(crop) {
    cai_error error;
    cai_image image = make(333, 501);
    CU_ASSERT(cai_image_fit(&image, CAI_FIT_CROP, FIXED(224), FIXED(224), &error) &&
              has_size(&image, 224, 224));
    cai_image_free(&image);
    image = make(10, 3000); /* far from square */
    CU_ASSERT(cai_image_fit(&image, CAI_FIT_CROP, FIXED(16), FIXED(16), &error) && has_size(&image, 16, 16));
    cai_image_free(&image);
    image = make(21, 35); /* free sizes keep the scale */
    CU_ASSERT(cai_image_fit(&image, CAI_FIT_CROP, MULTIPLE(16), MULTIPLE(16), &error) &&
              has_size(&image, 16, 32));
    CU_ASSERT_EQUAL(image.pixels[0], 100 * 2 + 2); /* 2.5 to even; 1.5 to even */
    cai_image_free(&image);
    image = make(15, 35);
    CU_ASSERT_FALSE(cai_image_fit(&image, CAI_FIT_CROP, MULTIPLE(16), MULTIPLE(16), &error));
    cai_image_free(&image);
}

TEST(stretch) {
    cai_error error;
    cai_image image = make(30, 33);
    CU_ASSERT(cai_image_fit(&image, CAI_FIT_STRETCH, MULTIPLE(16), MULTIPLE(16), &error) &&
              has_size(&image, 32, 32));
    CU_ASSERT(cai_image_fit(&image, CAI_FIT_STRETCH, FIXED(5), FIXED(70), &error) && has_size(&image, 5, 70));
    cai_image_free(&image);
}

TEST(resize_by_half) {
    cai_error error;
    cai_image image = make(1, 8);
    CU_ASSERT_FATAL(cai_image_resize(&image, 1, 4, &error));
    /* A triangle two wide on either side: 1/8 3/8 3/8 1/8, and 3/7 3/7 1/7 at the
     * edge. */
    CU_ASSERT_DOUBLE_EQUAL(image.pixels[0], (0 * 3 + 1 * 3 + 2 * 1) / 7.0, 1e-6);
    CU_ASSERT_DOUBLE_EQUAL(image.pixels[1], 2.5, 1e-6);
    CU_ASSERT_DOUBLE_EQUAL(image.pixels[2], 4.5, 1e-6);
    cai_image_free(&image);
}

TEST(resize_keeps_constants) {
    const int64_t sizes[][2] = {{1, 1}, {7, 3}, {64, 64}, {13, 200}};
    cai_error error;
    for (int i = 0; i < 4; i++) {
        cai_image image = make(17, 23);
        for (int k = 0; k < 17 * 23; k++) image.pixels[k] = 0.75f;
        CU_ASSERT_FATAL(cai_image_resize(&image, sizes[i][0], sizes[i][1], &error));
        for (int64_t k = 0; k < image.height * image.width; k++)
            CU_ASSERT_DOUBLE_EQUAL(image.pixels[k], 0.75, 1e-6);
        cai_image_free(&image);
    }
}

TEST(sizes_beyond_the_limit) {
    cai_error error;
    cai_image image = make(1, 3);
    CU_ASSERT_FALSE(cai_image_resize(&image, (int64_t)1 << 20, (int64_t)1 << 20, &error));
    CU_ASSERT_FALSE(
        cai_image_fit(&image, CAI_FIT_PAD, MULTIPLE((int64_t)1 << 40), MULTIPLE((int64_t)1 << 40), &error));
    CU_ASSERT(has_size(&image, 1, 3));
    cai_image_free(&image);
}

/* Where a corner of the fitted picture lies in the one it was made from. */
TEST(places_in_the_picture_that_it_was) {
    cai_error error;
    cai_image image = make(100, 400);
    CU_ASSERT(cai_image_fit(&image, CAI_FIT_STRETCH, FIXED(50), FIXED(100), &error));
    CU_ASSERT(image.place.left == 0 && image.place.top == 0 && image.place.across == 4 &&
              image.place.down == 2);
    cai_image_free(&image);
    image = make(512, 1024); /* to 256 by 512, the middle 224 of which are kept */
    CU_ASSERT(cai_image_fit(&image, CAI_FIT_CROP, FIXED(224), FIXED(224), &error));
    CU_ASSERT(image.place.left == 2 * 144 && image.place.top == 2 * 16 && image.place.across == 2 &&
              image.place.down == 2);
    cai_image_free(&image);
    image = make(3, 5);
    CU_ASSERT(cai_image_fit(&image, CAI_FIT_PAD, MULTIPLE(8), MULTIPLE(8), &error));
    CU_ASSERT(image.place.left == 0 && image.place.top == 0 && image.place.across == 1 &&
              image.place.down == 1);
    cai_image_free(&image);
}
