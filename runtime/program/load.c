/* Loads files into the buffers of a run: pictures are decoded, fitted and batched,
 * tensors converted to the type of the input. */
#include "program/main.h"
#include <stdlib.h>
#include <string.h>

extern const cai_pictures cai_the_pictures __attribute__((weak)); /* NULL in a program without pictures */

typedef struct Loader {
    const cai_program *program;
    int64_t *symbols; /* sizes that inputs loaded so far have set; 0: none */
    cai_notice *notice;
    cai_error *error;
} Loader;

static const char *shown_input(const char *path) { return strcmp(path, "-") == 0 ? "standard input" : path; }

static bool is_tensor_file(const cai_file *file) {
    return cai_format_of_bytes(file->data, file->count, CAI_HOLDS_NUMBERS) != CAI_NO_FORMAT;
}

static void remember_sizes(Loader *loader, const cai_port *port, const int64_t *dims) {
    for (int axis = 0; axis < port->rank; axis++) {
        int symbol = port->dims[axis].symbol;
        if (symbol >= 0 && loader->symbols[symbol] == 0)
            loader->symbols[symbol] = dims[axis] / port->dims[axis].multiple;
    }
}

/* ---- tensors ---- */

/* The tensor with the input's name, or the only one. */
static const cai_tensor *choose_tensor(const cai_tensor_file *file, const cai_port *port, const char *path,
                                       cai_error *error) {
    const cai_tensor *found = cai_tensors_find(file, port->name);
    if (found) return found;
    if (file->count == 1) return &file->tensors[0];
    cai_fail(error, CAI_BAD_INPUT, "%s: has %lld tensors, and none of them is named `%s`", path,
             (long long)file->count, port->name);
    return NULL;
}

static bool check_tensor(const cai_tensor *tensor, const cai_port *port, const char *path, cai_error *error) {
    char shape[400];
    cai_tensor_shape_text(tensor, shape, sizeof shape);
    if (tensor->rank != port->rank) {
        return cai_fail(error, CAI_BAD_INPUT, "%s: holds %s, and input `%s` is %s: %d axes are wanted%s",
                        path, shape, port->name, port->type_text, port->rank,
                        tensor->rank + 1 == port->rank ? " (x[None] adds one in front)" : "");
    }
    if (port->form == CAI_FORM_IMAGE && !cai_type_is_float(tensor->type)) {
        return cai_fail(
            error, CAI_BAD_INPUT,
            "%s: holds %s, and a picture's values are real numbers from 0 to 1 (x.astype('float32') / 255)",
            path, shape);
    }
    return true;
}

static bool load_tensor(Loader *loader, const cai_port *port, const cai_tensor_file *file, const char *path,
                        cai_loaded *loaded) {
    const cai_tensor *tensor = choose_tensor(file, port, path, loader->error);
    if (!tensor || !check_tensor(tensor, port, path, loader->error)) return false;
    memcpy(loaded->dims, tensor->dims, sizeof loaded->dims);
    loaded->data =
        cai_allocate((uint64_t)tensor->count * (uint64_t)cai_type_bytes(port->type), path, loader->error);
    if (!loaded->data) return false;
    return cai_tensor_convert(tensor, port->type, loaded->data, loader->error) ||
           cai_fail_within(loader->error, "%s", path);
}

static bool open_tensor(Loader *loader, const cai_port *port, const char *path, cai_loaded *loaded) {
    cai_tensor_file file;
    if (!cai_tensors_open(path, &file, loader->error)) return false;
    bool good = load_tensor(loader, port, &file, shown_input(path), loaded);
    cai_tensors_close(&file);
    return good;
}

/* ---- pictures ---- */

static cai_extent extent_of_dim(const Loader *loader, const cai_dim *dim) {
    if (dim->symbol == -1) return (cai_extent){.fixed = dim->multiple, .multiple = 1};
    if (dim->symbol < 0) return (cai_extent){.multiple = 1};
    int64_t value = loader->symbols[dim->symbol];
    return (cai_extent){.fixed = value * dim->multiple, .multiple = dim->multiple, .by_others = value > 0};
}

static bool set_channels(Loader *loader, const cai_port *port, const char *path, cai_image *image) {
    cai_extent channels = extent_of_dim(loader, &port->dims[port->rank - 3]);
    int64_t wanted = channels.fixed > 0 ? channels.fixed : image->channels;
    if (wanted != 1 && wanted != 3) {
        return cai_fail(loader->error, CAI_BAD_INPUT,
                        "input `%s` is %s: a picture has 1 or 3 channels: give these as %s", port->name,
                        port->type_text, cai_format_endings(CAI_HOLDS_NUMBERS).text);
    }
    if (wanted != image->channels && loader->notice) {
        loader->notice(path, wanted == 3 ? "gray, widened to the 3 channels that the model takes"
                                         : "in colour, reduced to the gray that the model takes (BT.601)");
    }
    return cai_the_pictures.set_channels(image, wanted, loader->error);
}

static bool copy_image(const cai_image *image, cai_image *to, cai_error *error) {
    uint64_t bytes = (uint64_t)(image->channels * image->height * image->width) * sizeof *image->pixels;
    *to = *image;
    to->pixels = cai_allocate(bytes, "a picture", error);
    if (to->pixels) memcpy(to->pixels, image->pixels, bytes);
    return to->pixels != NULL;
}

/* original: receives a copy of the picture before it is fitted, or NULL. */
static bool prepare_picture(Loader *loader, const cai_port *port, const char *path, const cai_file *file,
                            cai_image *image, cai_padding *padding, cai_image *original) {
    if (!cai_the_pictures.decode(path, file->data, file->count, image, loader->error)) return false;
    if (original && !copy_image(image, original, loader->error)) {
        free(image->pixels);
        return false;
    }
    *padding = (cai_padding){.height = image->height, .width = image->width};
    cai_extent height = extent_of_dim(loader, &port->dims[port->rank - 2]),
               width = extent_of_dim(loader, &port->dims[port->rank - 1]);
    if (set_channels(loader, port, path, image) &&
        cai_the_pictures.fit(image, port->fit, height, width, loader->error)) {
        padding->padded_height = image->height;
        padding->padded_width = image->width;
        if (original) original->place = image->place;
        if (port->fit != CAI_FIT_PAD)
            *padding = (cai_padding){image->height, image->width, image->height, image->width};
        return true;
    }
    free(image->pixels);
    return cai_fail_within(loader->error, "%s", path);
}

/* Appends a picture to the batch, and frees it; all have the size of the first. */
static bool append_picture(Loader *loader, const cai_port *port, const char *path, int total,
                           cai_image *image, cai_loaded *loaded) {
    int64_t dims[4] = {total, image->channels, image->height, image->width},
            each = image->channels * image->height * image->width;
    const int64_t *used = dims + 4 - port->rank;
    bool good = true;
    if (loaded->picture_count == 0) {
        memcpy(loaded->dims, used, sizeof *used * (size_t)port->rank);
        remember_sizes(loader, port, loaded->dims);
        loaded->data = total == 1 ? image->pixels
                                  : cai_allocate((uint64_t)(total * each) * sizeof(float),
                                                 "the pictures together", loader->error);
        good = loaded->data != NULL;
    } else if (memcmp(loaded->dims, used, sizeof *used * (size_t)port->rank) != 0) {
        good = cai_fail(
            loader->error, CAI_BAD_INPUT,
            "%s: is %lld wide and %lld high: pictures that go in together must have one size, and the first has %lld and %lld",
            path, (long long)image->width, (long long)image->height, (long long)loaded->dims[port->rank - 1],
            (long long)loaded->dims[port->rank - 2]);
    }
    if (good && total > 1)
        memcpy((float *)loaded->data + loaded->picture_count * each, image->pixels,
               (size_t)each * sizeof(float));
    if (total > 1 || !good) free(image->pixels);
    loaded->picture_count += good;
    return good;
}

/* One file for an input that takes pictures; it may hold a tensor instead, which is used
 * unchanged. */
static bool load_picture(Loader *loader, const cai_port *port, const cai_feed *feed, int index,
                         cai_loaded *loaded) {
    const char *path = shown_input(feed->paths[index]);
    cai_file file;
    if (!cai_file_read(feed->paths[index], &file, loader->error)) return false;
    bool good;
    if (feed->count == 1 && is_tensor_file(&file)) {
        cai_tensor_file tensors;
        good = cai_tensors_parse(path, file.data, file.count, &tensors, loader->error);
        if (good) {
            good = load_tensor(loader, port, &tensors, path, loaded);
            cai_tensors_close(&tensors);
        }
    } else {
        cai_image image;
        cai_image *original = loaded->originals ? &loaded->originals[index] : NULL;
        good = prepare_picture(loader, port, path, &file, &image, &loaded->paddings[index], original) &&
               append_picture(loader, port, path, feed->count, &image, loaded);
    }
    cai_file_close(&file);
    return good;
}

static bool are_drawn_on(const cai_program *program, const cai_port *input) {
    for (int i = 0; i < program->output_count; i++) {
        const cai_port *port = &program->outputs[i];
        if (port->form == CAI_FORM_BOXES && &program->inputs[port->of] == input) return true;
    }
    return false;
}

static bool load_pictures(Loader *loader, const cai_port *port, const cai_feed *feed, cai_loaded *loaded) {
    if (!&cai_the_pictures)
        return cai_fail(loader->error, CAI_INTERNAL, "the program was linked without pictures");
    loaded->paddings =
        cai_allocate((uint64_t)feed->count * sizeof *loaded->paddings, "the pictures", loader->error);
    if (!loaded->paddings) return false;
    if (are_drawn_on(loader->program, port)) {
        loaded->originals = calloc((size_t)feed->count, sizeof *loaded->originals);
        if (!loaded->originals)
            return cai_fail_memory(loader->error, sizeof *loaded->originals, "the pictures");
        loaded->original_count = feed->count;
    }
    for (int i = 0; i < feed->count; i++) {
        if (!load_picture(loader, port, feed, i, loaded)) return false;
    }
    return true;
}

/* ---- all inputs ---- */

bool cai_load(const cai_program *program, const cai_feed *feeds, cai_loaded *loaded, cai_notice *notice,
              cai_error *error) {
    Loader loader = {.program = program, .notice = notice, .error = error};
    memset(loaded, 0, sizeof *loaded * (size_t)program->input_count);
    loader.symbols = calloc((size_t)program->symbol_count + 1, sizeof *loader.symbols);
    bool good = loader.symbols || cai_fail_memory(error, sizeof *loader.symbols, "the sizes");
    for (int i = 0; i < program->input_count && good; i++) {
        const cai_port *port = &program->inputs[i];
        bool pictures =
            port->form == CAI_FORM_IMAGE && (port->rank == 3 || port->rank == 4) && port->type == CAI_F32;
        good = pictures ? load_pictures(&loader, port, &feeds[i], &loaded[i])
                        : open_tensor(&loader, port, feeds[i].paths[0], &loaded[i]);
        if (good) remember_sizes(&loader, port, loaded[i].dims);
    }
    free(loader.symbols);
    if (!good) cai_loaded_free(program, loaded);
    return good;
}

void cai_loaded_free(const cai_program *program, cai_loaded *loaded) {
    for (int i = 0; i < program->input_count; i++) {
        free(loaded[i].data);
        free(loaded[i].paddings);
        for (int64_t k = 0; k < loaded[i].original_count; k++) free(loaded[i].originals[k].pixels);
        free(loaded[i].originals);
        loaded[i] = (cai_loaded){0};
    }
}
