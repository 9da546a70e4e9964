/* Data sets, as a trainer opens and reads them. */
#include "data/data.h"
#include "test.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLOTHES "/usr/share/datasets/fashion-mnist"

static const int64_t picture_28[] = {1, 28, 28};
static const cai_field clothes_fields[] = {
    {.name = "picture", .text = "image[N, 1, 28, 28]", .dims = picture_28, .rank = 3, .form = CAI_FORM_IMAGE, .on = -1},
    {.name = "label", .text = "i32[N]", .type = CAI_I32, .on = -1},
};
static const cai_set clothes = {.name = "picture", .fields = clothes_fields, .field_count = 2, .batch = 4};

TEST(clothes_as_they_are) {
    if (access(CLOTHES, R_OK) != 0) return;
    const char *path = CLOTHES;
    cai_data_options options = {.seed = 1};
    cai_error error = {0};
    cai_dataset *data = cai_dataset_open(&clothes, &path, NULL, 1, &options, &error);
    CU_ASSERT_STRING_EQUAL(error.message, "");
    CU_ASSERT_FATAL(data != NULL);
    CU_ASSERT_EQUAL(cai_dataset_count(data, CAI_PART_TRAINING), 60000);
    CU_ASSERT_EQUAL(cai_dataset_count(data, CAI_PART_HELD_OUT), 10000);
    float pixels[4 * 784];
    int32_t labels[4];
    void *buffers[] = {pixels, labels};
    for (int i = 0; i < 4; i++) CU_ASSERT(cai_dataset_read(data, CAI_PART_HELD_OUT, i, i, buffers, &error));
    CU_ASSERT(labels[0] == 9 && labels[1] == 2 && labels[2] == 1 && labels[3] == 1);
    int count;
    CU_ASSERT_PTR_NULL(cai_dataset_classes(data, 1, &count));
    CU_ASSERT_EQUAL(count, 10);
    cai_dataset_free(data);
}
