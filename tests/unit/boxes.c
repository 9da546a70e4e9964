/* Boxes: which rows are some, where they lie, and what is drawn of them. */
#include "program/main.h"
#include "test.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const labels[] = {"cat", "dog"};
static const cai_port port = {
    .name = "found", .form = CAI_FORM_BOXES, .labels = labels, .label_count = 2, .score = 0.25f};
static const cai_placement same = {0, 0, 1, 1};

static cai_found find(const float (*rows)[6], int64_t count, cai_placement place) {
    cai_error error;
    cai_found found;
    CU_ASSERT_FATAL(cai_boxes_find(&port, rows[0], count, place, 100, 200, &found, &error));
    return found;
}

TEST(rows_that_are_boxes) {
    const float rows[][6] = {{1, 2, 3, 4, 0.25f, 0}, {1, 2, 3, 4, 0.2f, 0},  {1, 2, 3, 4, 0, 0},
                             {1, 2, 3, 4, NAN, 0},   {1, NAN, 3, 4, 1, 0},   {1, 2, 3, 4, 1, NAN},
                             {5, 2, 3, 4, 1, 0},     {-5, 2, -1, 4, 1, 0},   {1, 100, 3, 400, 1, 0},
                             {9, 2, 10, 4, 0.5f, 1}, {1, 2, 3, 4, 0.5f, 17}, {0, 0, 1, 1, INFINITY, 1}};
    cai_found found = find(rows, 12, same);
    CU_ASSERT_FATAL(found.count == 4);
    /* of equals the first */
    CU_ASSERT(isinf(found.boxes[0].score) && found.boxes[1].left == 9 && found.boxes[1].class == 1);
    CU_ASSERT(found.boxes[2].class == 17 && found.boxes[3].score == 0.25);
    char text[32];
    CU_ASSERT_STRING_EQUAL(cai_class_label(&port, found.boxes[1].class, text, sizeof text), "dog");
    CU_ASSERT_STRING_EQUAL(cai_class_label(&port, found.boxes[2].class, text, sizeof text), "class 17");
    CU_ASSERT_STRING_EQUAL(cai_class_label(&port, -1, text, sizeof text), "class -1");
    cai_boxes_free(&found);
    found = find(rows, 0, same);
    CU_ASSERT(found.count == 0);
    cai_boxes_free(&found);
}

TEST(places_in_the_users_picture) {
    const float rows[][6] = {{10, 20, 30, INFINITY, 1, 0}, {-INFINITY, 1, 4, 8, 1, 0}};
    cai_found found = find(rows, 2, (cai_placement){5, -7, 2, 0.5});
    CU_ASSERT_FATAL(found.count == 1); /* the second lies above the picture */
    CU_ASSERT(found.boxes[0].left == 25 && found.boxes[0].top == 3 && found.boxes[0].right == 65 &&
              found.boxes[0].bottom == 100);
    cai_boxes_free(&found);
}

/* Whether the three channels of a pixel are those of another. */
static bool alike(const cai_image *image, int64_t x, int64_t y, int64_t of_x, int64_t of_y) {
    int64_t plane = image->height * image->width, a = y * image->width + x, b = of_y * image->width + of_x;
    const float *p = image->pixels;
    return p[a] == p[b] && p[plane + a] == p[plane + b] && p[2 * plane + a] == p[2 * plane + b];
}

TEST(frames_and_labels) {
    const float rows[][6] = {
        {20, 40, 90, 80, 1, 0}, {150, 30, 180, 90, 0.5f, 1}, {120, 50, 140, 60, 0.5f, 0}};
    cai_error error;
    cai_image image = {1, 100, 200, calloc(100 * 200, sizeof(float)), same};
    cai_found found = find(rows, 3, same);
    CU_ASSERT_FATAL(cai_boxes_draw(&image, &port, &found, &error) && image.channels == 3);
    /* a class, a colour */
    CU_ASSERT(alike(&image, 20, 40, 89, 79) && alike(&image, 20, 40, 20, 79) &&
              alike(&image, 20, 40, 120, 50));
    CU_ASSERT(!alike(&image, 20, 40, 150, 30) && !alike(&image, 20, 40, 0, 0));
    CU_ASSERT(alike(&image, 50, 60, 0, 0) && alike(&image, 90, 60, 0, 0) && alike(&image, 19, 60, 0, 0) &&
              alike(&image, 50, 80, 0, 0));
    /* "cat 1.00" in letters of one dot stands above the box, on a ground of its
     * colour. */
    CU_ASSERT(alike(&image, 20, 30, 20, 40) && !alike(&image, 21, 34, 20, 40) && alike(&image, 20, 29, 0, 0));
    for (int y = 0; y < CAI_LETTER_HEIGHT; y++) {
        for (int x = 0; x < cai_text_width("cat 1.00"); x++)
            CU_ASSERT_EQUAL(alike(&image, 21 + x, 31 + y, 20, 40), !cai_text_dot("cat 1.00", x, y));
    }
    cai_boxes_free(&found);
    cai_image_free(&image);
}

/* A picture of one pixel has room for nothing, and stays one. */
TEST(the_least_picture) {
    const float rows[][6] = {{-9, -9, 9, 9, 1, 0}};
    cai_error error;
    cai_found found;
    cai_image image = {3, 1, 1, calloc(3, sizeof(float)), same};
    CU_ASSERT_FATAL(cai_boxes_find(&port, rows[0], 1, same, 1, 1, &found, &error) && found.count == 1);
    CU_ASSERT(cai_boxes_draw(&image, &port, &found, &error) && image.height == 1 && image.width == 1);
    cai_boxes_free(&found);
    cai_image_free(&image);
}

TEST(letters) {
    CU_ASSERT(cai_text_width("") == 0 && cai_text_width("a") == 5 && cai_text_width("ab") == 11);
    CU_ASSERT_EQUAL(cai_text_width("\xc3\xa9t\xc3\xa9"), 17); /* two letters beyond ASCII and a t */
    for (int y = 0; y < CAI_LETTER_HEIGHT; y++) {
        for (int x = 0; x < 5; x++) {
            CU_ASSERT_EQUAL(cai_text_dot("\xc3\xa9", x, y), cai_text_dot("?", x, y));
            CU_ASSERT_FALSE(cai_text_dot(" ", x, y));
        }
        CU_ASSERT_EQUAL(cai_text_dot("a|", 8, y), y < 7);
    }
    CU_ASSERT(cai_text_dot("_", 0, 7) && !cai_text_dot("_", 0, 6) && !cai_text_dot("a", 5, 3) &&
              !cai_text_dot("a", 99, 3));
    for (char text[2] = " "; text[0] <= '~'; text[0]++) { /* each has dots, and no two the same */
        for (char other[2] = " "; other[0] < text[0]; other[0]++) {
            int differ = 0;
            for (int i = 0; i < CAI_LETTER_HEIGHT * 5; i++)
                differ += cai_text_dot(text, i % 5, i / 5) != cai_text_dot(other, i % 5, i / 5);
            CU_ASSERT(differ > 0);
        }
    }
}
