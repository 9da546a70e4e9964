/* Any bytes as a picture and as a file of tensors: whatever is accepted must be readable
 * to its last element. */
#include "fuzz.h"
#include "files/files.h"
#include <stdlib.h>

static void try_tensors(const unsigned char *bytes, size_t count) {
    cai_error error;
    cai_tensor_file file;
    if (!cai_tensors_parse("f", bytes, count, &file, &error)) return;
    for (int64_t i = 0; i < file.count; i++) {
        const cai_tensor *tensor = &file.tensors[i];
        double value;
        for (int64_t k = 0; k < tensor->count; k++) cai_tensor_to_f64(tensor, k, 1, &value);
        DEMAND(cai_tensors_find(&file, tensor->name) == tensor);
    }
    cai_tensors_close(&file);
}

static void try_picture(const unsigned char *bytes, size_t count) {
    cai_error error;
    cai_image image;
    if (!cai_image_decode("f", bytes, count, &image, &error)) return;
    for (int64_t i = 0; i < image.channels * image.height * image.width; i++)
        DEMAND(image.pixels[i] >= 0 && image.pixels[i] <= 1);
    cai_image_free(&image);
}

void fuzz_files(const unsigned char *bytes, size_t count) {
    try_tensors(bytes, count);
    try_picture(bytes, count);
}
