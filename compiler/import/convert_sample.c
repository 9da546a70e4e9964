/* Sampling of pictures and volumes at places that the model computes, of regions,
 * deformable convolution, and pictures put together from patches (Col2Im). */
#include "import/convert.h"

void convert_grid_sample(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    const char *mode = attribute_string(im, "mode", "bilinear"),
               *border = attribute_string(im, "padding_mode", "zeros");
    const int axes = count >= 2 && inputs[0] ? wire_rank(im, inputs[0]) - 2 : 0;
    if (!strcmp(mode, "linear")) mode = "bilinear"; /* since opset 20 */
    if (!strcmp(mode, "cubic")) mode = "bicubic";
    if (axes != 2 && (axes != 3 || !strcmp(mode, "bicubic")))
        cannot(im, "sampling over %d axes by %s", axes, mode);
    if (!im->why)
        outputs[0] = call(im, "grid_sample", inputs, 2, "mode = \"%s\", border = \"%s\", align_corners = %s",
                          mode, border, attribute_int(im, "align_corners", 0) ? "true" : "false");
}

void convert_affine_grid(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Dim size[16];
    int rank;
    if (!sizes_of(im, input_at(inputs, count, 1), "the size", size, &rank)) return;
    if (rank != 4 && rank != 5) cannot(im, "a grid of %d axes", rank - 2);
    if (!im->why)
        outputs[0] = call(im, "affine_grid", inputs, 1, "%s%s", dims_text(im->arena, size + 2, rank - 2),
                          attribute_int(im, "align_corners", 0) ? ", align_corners = true" : "");
}

void convert_deform_conv(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0), *weight = input_at(inputs, count, 1),
         *offset = input_at(inputs, count, 2), *bias = input_at(inputs, count, 3),
         *mask = input_at(inputs, count, 4), *read[] = {x, offset, weight, mask};
    OnnxWindows w;
    int64_t kernel[3];
    if (!x || !weight || !offset || !kernel_of(im, weight, wire_rank(im, x) - 2, kernel) ||
        !windows_of_node(im, wire_rank(im, x) - 2, kernel, &w))
        return;
    if (w.axes != 2) cannot(im, "a deformable convolution over %d axes", w.axes);
    if (im->why) return;
    const char *settings = window_settings(im, &w, LIKE_TRANSPOSED, groups_of_node(im));
    outputs[0] =
        with_bias(im, call(im, "deform_convolve", read, mask ? 4 : 3, "%s", first_settings(settings)), bias);
}

/* Before opset 16 boxes were never aligned. */
void convert_roi_align(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    const char *usual = im->opset < 16 ? "output_half_pixel" : "half_pixel";
    const bool aligned = !strcmp(attribute_string(im, "coordinate_transformation_mode", usual), "half_pixel");
    const bool largest = !strcmp(attribute_string(im, "mode", "avg"), "max");
    const int64_t samples = attribute_int(im, "sampling_ratio", 0),
                  size[] = {attribute_int(im, "output_height", 1), attribute_int(im, "output_width", 1)};
    const double scale = attribute_real(im, "spatial_scale", 1);
    Wire *pictures = input_at(inputs, count, 2),
         *read[] = {input_at(inputs, count, 0), input_at(inputs, count, 1), NULL};
    if (samples <= 0)
        cannot(
            im,
            "sampling_ratio 0, as many samples as a box is large, which only a run knows: export it with 2");
    read[2] = pictures ? cast_to(im, pictures, ONNX_INT32) : NULL;
    Text settings = {.arena = im->arena};
    text_add(&settings, "%s", ints_text(im->arena, size, 2));
    if (scale != 1) text_add(&settings, ", scale = %s", number_text(im->arena, scale, true));
    if (samples != 2) text_add(&settings, ", samples = %lld", (long long)samples);
    text_add(&settings, "%s%s", aligned ? ", aligned = true" : "", largest ? ", mode = \"max\"" : "");
    outputs[0] = call(im, "roi_align", read, 3, "%s", text_string(&settings));
}

/* Patches that are put back: the kernel and the picture's size are inputs. */
void convert_col2im(Import *im, Wire *const *inputs, int count, Wire **outputs) {
    Wire *x = input_at(inputs, count, 0);
    int64_t size[16], kernel[16];
    int axes, kernel_axes;
    OnnxWindows w;
    if (!x || !ints_of(im, input_at(inputs, count, 1), "the picture's size", size, &axes) ||
        !ints_of(im, input_at(inputs, count, 2), "the size of a patch", kernel, &kernel_axes))
        return;
    if (axes != 2 || kernel_axes != 2 || wire_rank(im, x) != 3) cannot(im, "patches of %d axes", axes);
    if (im->why || !windows_of_node(im, 2, kernel, &w)) return;
    outputs[0] = stage(im, x, "fold", "%s, %s%s", tuple_text(im->arena, size, 2),
                       ints_text(im->arena, kernel, 2), window_settings(im, &w, LIKE_TRANSPOSED, 1));
}
