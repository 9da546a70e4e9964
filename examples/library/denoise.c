/* Takes the noise out of a PNG with the model as a shared library.
 *
 *   cai build ../denoise.cai --weights ../denoise.safetensors --kind shared
 *   cc denoise.c -L. -ldenoise -lpng -Wl,-rpath,. -o denoise
 *   ./denoise ../pictures/astronaut_noisy.png clean.png
 */
#include "denoise.h"
#include <png.h>
#include <stdio.h>
#include <stdlib.h>

static int end(const char *what) {
    fprintf(stderr, "denoise: %s\n", what);
    return 1;
}

int main(int argc, char **argv) {
    png_image png = {.version = PNG_IMAGE_VERSION};
    if (argc != 3 || !png_image_begin_read_from_file(&png, argv[1])) return end("usage: denoise IN.png OUT.png");
    png.format = PNG_FORMAT_RGB;
    unsigned char *picture = malloc(PNG_IMAGE_SIZE(png));
    if (!picture || !png_image_finish_read(&png, NULL, picture, 0, NULL)) return end("no picture");

    cai_info photo; /* height and width must be multiples of 4: what is over at the edges stays as it is */
    denoise_input_info(0, &photo);
    int64_t height = png.height - png.height % photo.axes[2].multiple, width = png.width - png.width % photo.axes[3].multiple;
    cai_pixels pixels = {picture, height, width, 3, 3, 3 * png.width};
    size_t bytes = sizeof(float) * 3 * height * width;
    float *noisy = malloc(bytes), *clean = malloc(bytes);
    if (!noisy || !clean || denoise_from_pixels(&pixels, noisy, bytes)) return end("no planes");

    denoise_context *context;
    cai_status status = denoise_create(&context);
    if (status) return end(denoise_status_text(status));
    int64_t shape[] = {1, 3, height, width};
    cai_in in = {noisy, bytes, shape, 4};
    cai_out out = {clean, bytes};
    if (denoise_run(context, &in, 1, &out, 1)) return end(denoise_message(context));
    denoise_destroy(context);

    denoise_to_pixels(clean, bytes, &pixels);
    if (!png_image_write_to_file(&png, argv[2], 0, picture, 0, NULL)) return end(png.message);
    free(picture), free(noisy), free(clean);
    return 0;
}
