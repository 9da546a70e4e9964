/* What random fits take of a picture, and that all of a sample is cut at the same
 * place. */
#include "data/sources.h"
#include "test.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { HEIGHT = 40, WIDTH = 50 };

/* Pictures whose channels say where a pixel lies: row / 100, column / 100, 0; masks of
 * row * 50 + column. */
static float pixels[3][HEIGHT][WIDTH];
static int32_t places[HEIGHT][WIDTH];
static const float boxes[2][5] = {{10, 5, 20, 25, 3}, {30, 30, 44, 38, 1}};

static void draw_places(void) {
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++) {
            pixels[0][y][x] = (float)y / 100;
            pixels[1][y][x] = (float)x / 100;
            places[y][x] = y * WIDTH + x;
        }
}

#define SIZES(...) ((const int64_t[]){__VA_ARGS__})
static cai_field leading_photo(int fit, const int64_t *dims, double low, double high) {
    return (cai_field){.name = "photo",
                       .text = "image",
                       .dims = dims,
                       .rank = 3,
                       .form = CAI_FORM_IMAGE,
                       .fit = fit,
                       .scale = {low, high},
                       .on = -1};
}

typedef struct Bench { /* a set of one sample: photo, the same again, a mask, boxes */
    cai_field fields[4];
    cai_set set;
    cai_dataset data;
    cai_column columns[4];
    int64_t *entries[4];
    cai_portion portion, *portions[1];
} Bench;

static void set_up(Bench *b, cai_field photo, const int64_t *mask_dims) {
    static const int64_t box_dims[] = {2, 5};
    draw_places();
    *b = (Bench){
        .fields = {photo,
                   photo,
                   {.name = "mask", .text = "i32", .dims = mask_dims, .type = CAI_I32, .rank = 2, .on = -1},
                   {.name = "boxes", .text = "f32", .dims = box_dims, .rank = 2, .on = 0}}};
    b->fields[1].fit = CAI_TAKE_EXACT;
    b->set = (cai_set){.fields = b->fields, .field_count = 4};
    cai_tensor photos = {.name = "",
                         .rank = 4,
                         .dims = {1, 3, HEIGHT, WIDTH},
                         .count = 3 * HEIGHT * WIDTH,
                         .data = (unsigned char *)pixels};
    cai_tensor masks = {.name = "",
                        .type = CAI_I32,
                        .rank = 3,
                        .dims = {1, HEIGHT, WIDTH},
                        .count = HEIGHT * WIDTH,
                        .data = (unsigned char *)places};
    cai_tensor lists = {
        .name = "", .rank = 3, .dims = {1, 2, 5}, .count = 10, .data = (unsigned char *)boxes};
    cai_column_of_rows(&b->columns[0], "photos", &photos);
    cai_column_of_rows(&b->columns[1], "photos", &photos);
    cai_column_of_rows(&b->columns[2], "masks", &masks);
    cai_column_of_rows(&b->columns[3], "boxes", &lists);
    b->portion = (cai_portion){.columns = b->columns, .entries = b->entries, .count = 1};
    b->portions[0] = &b->portion;
    b->data = (cai_dataset){.set = &b->set, .portions = b->portions, .portion_count = 1, .count = 1};
}

static void read_one(Bench *b, uint64_t key, bool middle, float *photo, float *again, int32_t *mask,
                     float *found) {
    cai_error error = {0};
    void *buffers[] = {photo, again, mask, found};
    cai_sample at = {.key = key, .middle = middle, .buffers = buffers};
    bool read = cai_sample_read(&b->data, &b->portion, 0, &at, &error);
    if (!read) printf("\n    %s\n", error.message);
    CU_ASSERT_FATAL(read);
}

TEST(a_random_crop_is_of_whole_pixels_and_all_follow) {
    enum { H = 16, W = 24 };
    static float photo[3 * H * W], again[3 * H * W], found[2][5];
    static int32_t mask[H * W];
    Bench b;
    set_up(&b, leading_photo(CAI_TAKE_RANDOM_CROP, SIZES(3, H, W), 0, 0), SIZES(H, W));
    int tops[HEIGHT] = {0}, lefts[WIDTH] = {0};
    for (uint64_t key = 0; key < 3000; key++) {
        read_one(&b, key, false, photo, again, mask, found[0]);
        int top = (int)lrintf(photo[0] * 100), left = (int)lrintf(photo[H * W] * 100);
        CU_ASSERT_FATAL(top >= 0 && top <= HEIGHT - H && left >= 0 && left <= WIDTH - W);
        tops[top]++;
        lefts[left]++;
        CU_ASSERT(memcmp(photo, again, sizeof photo) == 0);
        CU_ASSERT(photo[H * W - 1] == pixels[0][top + H - 1][0]);
        CU_ASSERT(mask[0] == top * WIDTH + left && mask[H * W - 1] == (top + H - 1) * WIDTH + left + W - 1);
        /* The first box, of middle (15, 15), where that lies in the window. */
        bool inside = 15 >= left && 15 < left + W && 15 >= top && 15 < top + H;
        if (!inside) continue;
        CU_ASSERT(found[0][0] == fmaxf(10 - left, 0) && found[0][1] == fmaxf(5 - top, 0));
        CU_ASSERT(found[0][2] == fminf(20 - left, W) && found[0][3] == fminf(25 - top, H) &&
                  found[0][4] == 3);
    }
    for (int i = 0; i <= HEIGHT - H; i++) CU_ASSERT(tops[i] > 3000 / (HEIGHT - H + 1) / 2);
    for (int i = 0; i <= WIDTH - W; i++) CU_ASSERT(lefts[i] > 3000 / (WIDTH - W + 1) / 2);
}

/* A picture whose pixels are their own places stays one when it is scaled, but near its
 * edges. */
TEST(a_scaled_crop_lies_where_its_mask_does) {
    enum { H = 16, W = 16 };
    static float photo[3 * H * W], again[3 * H * W], found[2][5];
    static int32_t mask[(2 * H) * (2 * W)];
    Bench b;
    set_up(&b, leading_photo(CAI_TAKE_RANDOM_CROP, SIZES(3, H, W), 0.5, 2), SIZES(2 * H, 2 * W));
    double least = 100, most = 0;
    for (uint64_t key = 0; key < 200; key++) {
        read_one(&b, key, false, photo, again, mask, found[0]);
        double down = (photo[10 * W] - photo[6 * W]) * 100 / 4; /* rows of the picture from one to the next */
        least = fmin(least, down);
        most = fmax(most, down);
        double row = photo[8 * W + 8] * 100, column = photo[H * W + 8 * W + 8] * 100;
        int at = mask[17 * 2 * W + 17]; /* a quarter of a pixel further */
        CU_ASSERT(fabs(at / WIDTH - row - down / 4) <= 1 && fabs(at % WIDTH - column - down / 4) <= 1);
    }
    CU_ASSERT(least > 0.49 && least < 0.6 && most > 1.9 && most < 2.01);
}

TEST(shares_and_shapes_of_random_resized) {
    cai_field field = leading_photo(CAI_TAKE_RANDOM_RESIZED, SIZES(3, 8, 8), 0.25, 0.75);
    cai_picture picture = {.height = 4000, .width = 5000};
    double least = 1, most = 0, narrow = 9, wide = 0, logs = 0;
    enum { DRAWS = 5000 };
    for (uint64_t key = 0; key < DRAWS; key++) {
        cai_window w = cai_view_drawn(&field, &picture, 8, 8, NULL, key).window;
        double share = w.width * w.height / 2e7, shape = w.width / w.height;
        CU_ASSERT_FATAL(w.left >= 0 && w.top >= 0 && w.left + w.width <= 5000 && w.top + w.height <= 4000);
        least = fmin(least, share), most = fmax(most, share), narrow = fmin(narrow, shape),
        wide = fmax(wide, shape);
        logs += log(shape) / DRAWS;
    }
    CU_ASSERT(least > 0.249 && least < 0.26 && most < 0.751 && most > 0.74);
    CU_ASSERT(narrow > 0.749 && narrow < 0.76 && wide < 1.335 && wide > 1.31);
    CU_ASSERT(fabs(logs) < 0.02);
    /* The middle, where no window of the shape fits: torchvision's fallback. */
    cai_field all = leading_photo(CAI_TAKE_RANDOM_RESIZED, SIZES(3, 8, 8), 1, 1);
    cai_picture flat = {.height = 10, .width = 100};
    cai_window w = cai_view_drawn(&all, &flat, 8, 8, NULL, 1).window;
    CU_ASSERT(w.height == 10 && w.width == 13 && w.left == 43 && w.top == 0);
}

TEST(box_crops_hold_a_box) {
    cai_field field = leading_photo(CAI_TAKE_RANDOM_BOX_CROP, SIZES(3, 8, 8), 0, 0);
    cai_picture picture = {.height = 300, .width = 500};
    cai_box one = {{200, 100, 260, 160}, 1};
    cai_boxes list = {&one, 1, false};
    int whole = 0;
    for (uint64_t key = 0; key < 1000; key++) {
        cai_window w = cai_view_drawn(&field, &picture, 8, 8, &list, key).window;
        CU_ASSERT_FATAL(w.left >= 0 && w.top >= 0 && w.left + w.width <= 500 && w.top + w.height <= 300);
        CU_ASSERT(230 > w.left && 230 < w.left + w.width && 130 > w.top && 130 < w.top + w.height);
        CU_ASSERT(w.width <= 2 * w.height && w.height <= 2 * w.width);
        whole += w.width == 500 && w.height == 300;
    }
    CU_ASSERT(whole > 270 && whole < 400); /* a third: no window overlaps so small a box by 0.3 */
    CU_ASSERT(cai_view_drawn(&field, &picture, 8, 8, &(cai_boxes){0}, 1).window.width == 500);
}

TEST(the_middle_is_taken_of_what_is_held_out) {
    enum { H = 16, W = 24 };
    static float photo[3 * H * W], again[3 * H * W], found[2][5];
    static int32_t mask[H * W];
    Bench b;
    set_up(&b, leading_photo(CAI_TAKE_RANDOM_CROP, SIZES(3, H, W), 0.5, 2), SIZES(H, W));
    read_one(&b, 1, true, photo, again, mask, found[0]);
    CU_ASSERT(mask[0] == 12 * WIDTH + 13);
    CU_ASSERT_DOUBLE_EQUAL(photo[0], 0.12, 1e-7);
}

/* fit = "pad" shows more than the picture: masks are mirrored like it, and boxes stay. */
TEST(all_follow_a_fixed_fit) {
    enum { H = 48, W = 64 };
    static float photo[3 * H * W], again[3 * H * W], found[2][5];
    static int32_t mask[H * W];
    Bench b;
    set_up(&b, leading_photo(CAI_TAKE_PAD, SIZES(3, H, W), 0, 0), SIZES(H, W));
    read_one(&b, 1, false, photo, again, mask, found[0]);
    CU_ASSERT(memcmp(photo, again, sizeof photo) == 0);
    for (int i = 0; i < H * W; i++)
        CU_ASSERT_FATAL(mask[i] / WIDTH == lrintf(photo[i] * 100) &&
                        mask[i] % WIDTH == lrintf(photo[H * W + i] * 100));
    CU_ASSERT(memcmp(found, boxes, sizeof boxes) == 0);
    b.fields[0].fit = CAI_TAKE_STRETCH;
    b.fields[0].dims = b.fields[1].dims = SIZES(3, 20, 25);
    read_one(&b, 1, false, photo, again, NULL, found[0]);
    CU_ASSERT(found[0][0] == 5 && found[0][1] == 2.5f && found[0][2] == 10 && found[0][3] == 12.5f);
    for (int i = 0; i < 3 * 20 * 25; i++) CU_ASSERT_DOUBLE_EQUAL(photo[i], again[i], 1e-6);
}

/* tests/data/make.py has PIL cut a part that begins and ends within a pixel. */
TEST(parts_of_pictures_as_PIL_resizes_them) {
    cai_error error;
    cai_tensor_file file;
    CU_ASSERT_FATAL(cai_tensors_open("tests/data/expected/window.safetensors", &file, &error));
    const cai_tensor *box = cai_tensors_find(&file, "box"), *result = cai_tensors_find(&file, "result");
    double sides[4];
    float wanted[3 * 7 * 5];
    cai_tensor_to_f64(box, 0, 4, sides);
    CU_ASSERT_EQUAL_FATAL(result->count, 3 * 7 * 5);
    cai_tensor_to_f32(result, 0, result->count, wanted);
    cai_image image;
    CU_ASSERT_FATAL(cai_image_read("tests/data/inputs/photo/1.png", &image, &error));
    cai_window window = {sides[0], sides[1], sides[2] - sides[0], sides[3] - sides[1]};
    CU_ASSERT_FATAL(cai_image_take(&image, window, 7, 5, &error));
    for (int i = 0; i < 3 * 7 * 5; i++) CU_ASSERT_DOUBLE_EQUAL(image.pixels[i], wanted[i], 1e-6);
    cai_image_free(&image);
    cai_tensors_close(&file);
}
