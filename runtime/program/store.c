/* Writes results to where they are requested. Without -o a picture goes beside its input,
 * under the name NAME.MODEL.png, a folder of pictures into a folder beside it
 * (FOLDER.MODEL), and tensors are printed to standard output. */
#include "program/main.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

extern const cai_pictures cai_the_pictures __attribute__((weak)); /* NULL in a program without pictures */
extern const cai_boxes cai_the_boxes __attribute__((weak));

/* ---- paths ---- */

static bool is_output_folder(const char *path) {
    struct stat status;
    size_t length = strlen(path);
    return (length > 0 && path[length - 1] == '/') || (stat(path, &status) == 0 && S_ISDIR(status.st_mode));
}

static bool is_named_for(const char *path, int holds) {
    return cai_format_of_name(path, holds) != CAI_NO_FORMAT;
}

/* Whether files of the output are pictures unless another format is requested. */
static bool is_shown(const cai_port *port) {
    return port->form == CAI_FORM_IMAGE || port->form == CAI_FORM_BOXES;
}

static const char *file_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static size_t stem_length(const char *path) { /* without the extension */
    const char *dot = strrchr(file_name(path), '.');
    return dot && dot != file_name(path) ? (size_t)(dot - path) : strlen(path);
}

/* ---- what was asked for ---- */

/* The -o for output `port` by name, or the -o without a name where port is -1; NULL where
 * there is none. */
static const char *asked_output(const cai_command *command, int port) {
    for (int i = 0; i < command->output_count; i++) {
        if (command->outputs[i].port == port) return command->outputs[i].path;
    }
    return NULL;
}

static bool check_counts(const cai_program *program, const cai_command *command, cai_error *error) {
    for (int i = 0; i < command->output_count; i++) {
        for (int k = 0; k < i; k++) {
            if (command->outputs[k].port != command->outputs[i].port) continue;
            return cai_fail(error, CAI_BAD_USAGE, "-o is given twice%s: `%s` and `%s`",
                            command->outputs[i].port >= 0 ? " for one output" : "", command->outputs[k].path,
                            command->outputs[i].path);
        }
    }
    const char *path = asked_output(command, -1);
    if (!path || program->output_count == 1 || is_output_folder(path) ||
        is_named_for(path, CAI_HOLDS_TENSORS))
        return true;
    char list[300] = "";
    for (int i = 0; i < program->output_count; i++) {
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, " -o %s=FILE", program->outputs[i].name);
    }
    return cai_fail(error, CAI_BAD_USAGE,
                    "-o %s names one file, and the model has %d outputs: give%s, or one %s, or a folder",
                    path, program->output_count, list, cai_format_endings(CAI_HOLDS_TENSORS).text);
}

static bool check_extension(const cai_port *port, const char *path, cai_error *error) {
    const int form = port->form;
    const int holds = CAI_HOLDS_NUMBERS | (form == CAI_FORM_BOXES ? CAI_HOLDS_BOXES : 0) |
                      (is_shown(port) ? CAI_HOLDS_PICTURE : 0);
    if (cai_is_stream(path) || is_output_folder(path) || is_named_for(path, holds)) return true;
    if (form == CAI_FORM_BOXES)
        return cai_fail(
            error, CAI_BAD_USAGE,
            "%s: boxes are drawn on a %s, or written as %s: the name must end so, or be that of a folder",
            path, cai_format_endings(CAI_HOLDS_PICTURE).text,
            cai_format_endings(CAI_HOLDS_BOXES | CAI_HOLDS_NUMBERS).text);
    if (form == CAI_FORM_IMAGE)
        return cai_fail(error, CAI_BAD_USAGE,
                        "%s: a picture is written as %s: the name must end so, or be that of a folder", path,
                        cai_format_endings(holds).text);
    return cai_fail(error, CAI_BAD_USAGE, "%s: `%s` is written as %s: the name must end so", path, port->name,
                    cai_format_endings(holds).text);
}

static bool make_output_folder(const char *path, cai_error *error) {
    struct stat status;
    if (mkdir(path, 0777) == 0 || (errno == EEXIST && stat(path, &status) == 0 && S_ISDIR(status.st_mode)))
        return true;
    return cai_fail(error, CAI_BAD_INPUT, "%s: the folder cannot be made: %s", path, strerror(errno));
}

/* Several runs need a folder, which is made where the name is not that of a file. */
static bool check_path(const cai_jobs *jobs, const cai_port *port, const char *path, cai_error *error) {
    struct stat status;
    bool new_folder = jobs->count > 1 && strcmp(path, "-") != 0 && stat(path, &status) != 0 &&
                      !is_named_for(path, CAI_HOLDS_ANYTHING);
    if (is_output_folder(path) || new_folder) return make_output_folder(path, error);
    if (jobs->count > 1) {
        return cai_fail(error, CAI_BAD_USAGE,
                        "-o %s is one file, and there are %d inputs: name a folder, as in -o results/", path,
                        jobs->count);
    }
    return check_extension(port, path, error);
}

static int compare_input_names(const void *a, const void *b) {
    return strcmp(file_name(*(char *const *)a), file_name(*(char *const *)b));
}

/* Inputs of equal names would overwrite each other's results in one folder. */
static bool check_input_names(const cai_program *program, const cai_jobs *jobs, cai_error *error) {
    if (program->input_count != 1 || jobs->count < 2) return true;
    int count = 0;
    for (int i = 0; i < jobs->count; i++) count += jobs->feeds[i].count;
    const char **paths = cai_allocate((uint64_t)count * sizeof *paths, "names of files", error);
    if (!paths) return false;
    for (int i = 0, next = 0; i < jobs->count; i++) {
        for (int k = 0; k < jobs->feeds[i].count; k++) paths[next++] = jobs->feeds[i].paths[k];
    }
    qsort(paths, (size_t)count, sizeof *paths, compare_input_names);
    bool good = true;
    for (int i = 1; i < count && good; i++) {
        if (compare_input_names(&paths[i - 1], &paths[i]) != 0) continue;
        good =
            cai_fail(error, CAI_BAD_USAGE, "%s and %s would be written under one name: run them one by one",
                     paths[i - 1], paths[i]);
    }
    free(paths);
    return good;
}

/* The folder for results of a folder of pictures where none is named. */
static void default_folder(const char *folder, const char *model, char *out, size_t size) {
    size_t length = strlen(folder);
    while (length > 1 && folder[length - 1] == '/') length--;
    /* "." or "..", or rarely a name that ends like that */
    bool dots = length > 0 && folder[length - 1] == '.';
    char *whole = dots ? realpath(folder, NULL) : NULL;
    snprintf(out, size, "%.*s.%s", whole ? (int)strlen(whole) : (int)length, whole ? whole : folder, model);
    free(whole);
}

static bool needs_default_folder(const cai_program *program, const cai_command *command, const cai_jobs *jobs,
                                 int port) {
    return jobs->folder && is_shown(&program->outputs[port]) && !asked_output(command, port) &&
           !asked_output(command, -1);
}

bool cai_store_check(const cai_program *program, const cai_command *command, const cai_jobs *jobs,
                     cai_error *error) {
    if (!check_counts(program, command, error)) return false;
    for (int i = 0; i < program->output_count; i++) {
        const char *path = asked_output(command, i) ? asked_output(command, i) : asked_output(command, -1);
        if (path && !check_path(jobs, &program->outputs[i], path, error)) return false;
        if (path && is_output_folder(path) && !check_input_names(program, jobs, error)) return false;
        if (needs_default_folder(program, command, jobs, i)) {
            char folder[PATH_MAX];
            default_folder(jobs->folder, program->name, folder, sizeof folder);
            if (!make_output_folder(folder, error)) return false;
        }
        bool from_standard = jobs->count == 1 && program->input_count > 0 && program->output_count == 1 &&
                             strcmp(jobs->feeds[0].paths[0], "-") == 0;
        if (!path && from_standard && is_shown(&program->outputs[i]) && isatty(STDOUT_FILENO)) {
            return cai_fail(error, CAI_BAD_USAGE,
                            "say by -o where the picture goes: it would be bytes on this terminal");
        }
    }
    return true;
}

/* ---- the name of one result ---- */

typedef struct OutputPlace { /* the place of one file to write */
    char path[PATH_MAX];
    const char *source; /* the file that it was made from, or NULL */
    bool reported;      /* the user gave the name, and need not be told */
} OutputPlace;

/* The file that picture `index` of a result was made from: by number where the pictures
 * correspond, else the first. */
static const char *source_of_picture(const cai_results *r, int port, int64_t index, int64_t count) {
    const cai_port *output = &r->program->outputs[port];
    if (output->form == CAI_FORM_BOXES)
        return r->feeds[output->of].paths[r->feeds[output->of].count == count ? index : 0];
    for (int i = 0; i < r->program->input_count; i++) {
        if (r->program->inputs[i].form == CAI_FORM_IMAGE && r->feeds[i].count == count)
            return r->feeds[i].paths[index];
    }
    return r->program->input_count ? r->feeds[0].paths[0] : NULL;
}

static bool is_picture_numbered(const cai_results *r, int64_t count) {
    for (int i = 0; i < r->program->input_count; i++) {
        if (r->program->inputs[i].form == CAI_FORM_IMAGE && r->feeds[i].count == count) return false;
    }
    return count > 1;
}

/* FOLDER/STEM[.MODEL][.OUTPUT][.NUMBER].EXTENSION */
static bool compose_path(const cai_results *r, int port, int64_t index, int64_t count, const char *folder,
                         bool add_model, const char *extension, OutputPlace *place, cai_error *error) {
    const cai_program *program = r->program;
    const char *stem = place->source && strcmp(place->source, "-") != 0 ? place->source : NULL,
               *name = stem ? stem : program->name;
    if (folder && stem) name = file_name(stem);
    char number[24] = "";
    if (is_picture_numbered(r, count)) snprintf(number, sizeof number, ".%lld", (long long)index + 1);
    bool add_output = program->output_count > 1,
         slash = folder && *folder && folder[strlen(folder) - 1] != '/';
    int used =
        snprintf(place->path, sizeof place->path, "%s%s%.*s%s%s%s%s%s%s", folder ? folder : "",
                 slash ? "/" : "", (int)(stem ? stem_length(name) : strlen(name)), name,
                 add_model && stem ? "." : "", add_model && stem ? program->name : "", add_output ? "." : "",
                 add_output ? program->outputs[port].name : "", number, extension);
    return used < (int)sizeof place->path ||
           cai_fail(error, CAI_BAD_INPUT, "%s: the name of its result would be too long", name);
}

static bool fail_if_source(const OutputPlace *place, cai_error *error) {
    struct stat a, b;
    if (!place->source || stat(place->source, &a) != 0 || stat(place->path, &b) != 0 ||
        a.st_dev != b.st_dev || a.st_ino != b.st_ino)
        return true;
    return cai_fail(error, CAI_BAD_USAGE, "%s: its result would take its place: name another folder",
                    place->source);
}

/* The name of a file that the user named: several pictures get a number before the
 * extension. */
static bool name_file(const char *path, int64_t index, int64_t count, OutputPlace *place, cai_error *error) {
    if (count > 1 && cai_is_stream(path)) {
        return cai_fail(error, CAI_BAD_USAGE,
                        "%s takes one picture, and the result has %lld: name a folder, as in -o results/",
                        strcmp(path, "-") == 0 ? "standard output" : path, (long long)count);
    }
    size_t stem = stem_length(path);
    place->reported = count == 1;
    if (count == 1) snprintf(place->path, sizeof place->path, "%s", path);
    else
        snprintf(place->path, sizeof place->path, "%.*s.%lld%s", (int)stem, path, (long long)index + 1,
                 path + stem);
    return true;
}

static const char *extension_for(const cai_results *r, int port, const OutputPlace *place) {
    if (!is_shown(&r->program->outputs[port]))
        return cai_formats[cai_format_first(CAI_HOLDS_NUMBERS)].endings[0];
    bool same = place->source && is_named_for(place->source, CAI_HOLDS_PICTURE);
    return same ? place->source + stem_length(place->source)
                : cai_formats[cai_format_first(CAI_HOLDS_PICTURE)].endings[0];
}

/* Where picture `index` of `count`, or the tensor (count 1), of an output goes. False
 * with error->status CAI_OK: printed as text. */
static bool find_output_place(const cai_results *r, int port, int64_t index, int64_t count,
                              OutputPlace *place, cai_error *error) {
    const char *path =
        asked_output(r->command, port) ? asked_output(r->command, port) : asked_output(r->command, -1);
    bool picture = is_shown(&r->program->outputs[port]);
    error->status = CAI_OK;
    *place = (OutputPlace){.source = source_of_picture(r, port, index, count), .reported = true};
    const char *extension = extension_for(r, port, place);
    bool from_standard = place->source && strcmp(place->source, "-") == 0;
    if (!path && picture && from_standard && r->program->output_count == 1) path = "-";
    if (path && is_output_folder(path))
        return compose_path(r, port, index, count, path, false, extension, place, error) &&
               fail_if_source(place, error);
    if (path) return name_file(path, index, count, place, error);
    if (!picture) return false;
    place->reported = false;
    if (!r->jobs->folder) return compose_path(r, port, index, count, NULL, true, extension, place, error);
    char folder[PATH_MAX];
    default_folder(r->jobs->folder, r->program->name, folder, sizeof folder);
    return compose_path(r, port, index, count, folder, false, extension, place, error);
}

/* ---- cropping what was padded ---- */

/* The part of a result's height or width that belongs to the picture, for a result as
 * large as the padded input, or an integer multiple of it. */
static int64_t part_of_picture(int64_t size, int64_t original, int64_t padded) {
    return padded > 0 && size % padded == 0 ? size / padded * original : size;
}

static const cai_padding *padding_of(const cai_results *r, int64_t index, int64_t count) {
    for (int i = 0; i < r->program->input_count; i++) {
        const cai_loaded *loaded = &r->loaded[i];
        if (loaded->picture_count > 0) return &loaded->paddings[loaded->picture_count == count ? index : 0];
    }
    return NULL;
}

/* Copies the upper left part of planes. */
static float *crop_planes(const float *planes, int64_t count, int64_t height, int64_t width,
                          int64_t to_height, int64_t to_width, cai_error *error) {
    float *out = cai_allocate((uint64_t)(count * to_height * to_width) * sizeof *out, "a result", error);
    for (int64_t c = 0; out && c < count; c++) {
        for (int64_t y = 0; y < to_height; y++)
            memcpy(out + (c * to_height + y) * to_width, planes + (c * height + y) * width,
                   (size_t)to_width * sizeof *out);
    }
    return out;
}

/* The result as a tensor, cropped where all pictures agree. *owned is to be freed. */
static bool make_tensor(const cai_results *r, int port, cai_tensor *tensor, float **owned, cai_error *error) {
    const cai_port *output = &r->program->outputs[port];
    *owned = NULL;
    *tensor = (cai_tensor){.name = output->name,
                           .type = output->type,
                           .rank = output->rank,
                           .count = 1,
                           .data = r->outputs[port]};
    for (int axis = 0; axis < output->rank; axis++)
        tensor->count *= tensor->dims[axis] = cai_context_dim(r->context, output, axis);
    if (output->rank != 4 || output->type != CAI_F32) return true;
    int64_t n = tensor->dims[0], *h = &tensor->dims[2], *w = &tensor->dims[3];
    const cai_padding *first = padding_of(r, 0, n);
    if (!first ||
        (output->form != CAI_FORM_IMAGE && (*h != first->padded_height || *w != first->padded_width)))
        return true;
    for (int64_t i = 1; i < n; i++) {
        if (memcmp(padding_of(r, i, n), first, sizeof *first) != 0) return true;
    }
    int64_t height = part_of_picture(*h, first->height, first->padded_height),
            width = part_of_picture(*w, first->width, first->padded_width);
    if (height == *h && width == *w) return true;
    *owned = crop_planes(r->outputs[port], n * tensor->dims[1], *h, *w, height, width, error);
    tensor->data = (const unsigned char *)*owned;
    tensor->count = n * tensor->dims[1] * height * width;
    *h = height;
    *w = width;
    return *owned != NULL;
}

/* ---- writing ---- */

/* Text goes to standard output, unless a result is written there. */
static FILE *text_stream(const cai_results *r) {
    for (int i = 0; i < r->command->output_count; i++) {
        if (strcmp(r->command->outputs[i].path, "-") == 0) return stderr;
    }
    bool from_standard = r->program->output_count == 1 && r->program->input_count > 0 &&
                         strcmp(r->feeds[0].paths[0], "-") == 0;
    return from_standard && r->command->output_count == 0 && is_shown(&r->program->outputs[0]) ? stderr
                                                                                               : stdout;
}

static void report_stored(const cai_results *r, const OutputPlace *place) {
    const char *source = place->source && strcmp(place->source, "-") != 0 ? place->source : NULL;
    if (!place->reported)
        fprintf(text_stream(r), "%s%s%s\n", source ? source : "", source ? " -> " : "", place->path);
}

static bool store_picture(const cai_results *r, int port, int64_t index, int64_t count, cai_error *error) {
    const cai_port *output = &r->program->outputs[port];
    int64_t channels = cai_context_dim(r->context, output, output->rank - 3),
            height = cai_context_dim(r->context, output, output->rank - 2);
    int64_t width = cai_context_dim(r->context, output, output->rank - 1);
    const float *planes = (const float *)r->outputs[port] + index * channels * height * width;
    const cai_padding *padding = padding_of(r, index, count);
    int64_t to_height = padding ? part_of_picture(height, padding->height, padding->padded_height) : height;
    int64_t to_width = padding ? part_of_picture(width, padding->width, padding->padded_width) : width;
    OutputPlace place;
    if (!find_output_place(r, port, index, count, &place, error)) return false;
    float *cropped = NULL;
    if (to_height != height || to_width != width) {
        cropped = crop_planes(planes, channels, height, width, to_height, to_width, error);
        if (!cropped) return false;
    }
    bool written =
        cai_the_pictures.write(place.path, cropped ? cropped : planes, channels, to_height, to_width, error);
    free(cropped);
    if (written) report_stored(r, &place);
    return written;
}

static bool store_tensor(const cai_results *r, int port, const char *path, cai_error *error) {
    cai_tensor tensor;
    float *owned;
    bool written = make_tensor(r, port, &tensor, &owned, error) && cai_tensors_write(path, &tensor, 1, error);
    free(owned);
    return written;
}

static bool store_all(const cai_results *r, const char *path, cai_error *error) {
    int count = r->program->output_count;
    cai_tensor *tensors = cai_allocate((uint64_t)count * sizeof *tensors, "the results", error);
    float **owned = calloc((size_t)count + 1, sizeof *owned);
    bool good = tensors && (owned || cai_fail_memory(error, sizeof *owned, "the results"));
    for (int i = 0; i < count && good; i++) good = make_tensor(r, i, &tensors[i], &owned[i], error);
    good = good && cai_tensors_write(path, tensors, count, error);
    for (int i = 0; i < count && owned; i++) free(owned[i]);
    free(owned);
    free(tensors);
    return good;
}

/* ---- boxes ---- */

/* Whether results are distinguished by the names of their files. */
static bool is_one_of_many(const cai_results *r, int input) {
    return r->jobs->count > 1 || r->feeds[input].count > 1;
}

/* The picture to draw boxes on: the user's, or the model's input where that was a tensor;
 * without its pixels where `copy` is false. */
static bool make_canvas(const cai_results *r, int input, int64_t index, bool copy, cai_image *canvas,
                        cai_error *error) {
    const cai_loaded *loaded = &r->loaded[input];
    const int64_t *dims = loaded->dims;
    int64_t each = dims[1] * dims[2] * dims[3];
    *canvas = (cai_image){dims[1], dims[2], dims[3], (float *)loaded->data + index * each, {0, 0, 1, 1}};
    if (index < loaded->picture_count) *canvas = loaded->originals[index];
    if (!copy) return true;
    uint64_t bytes = (uint64_t)(canvas->channels * canvas->height * canvas->width) * sizeof *canvas->pixels;
    float *pixels = cai_allocate(bytes, "a picture", error);
    if (pixels) memcpy(pixels, canvas->pixels, bytes);
    canvas->pixels = pixels;
    return pixels != NULL;
}

static bool find_boxes(const cai_results *r, int port, int64_t index, const cai_image *canvas,
                       cai_found *found, cai_error *error) {
    const cai_port *output = &r->program->outputs[port];
    int64_t count = cai_context_dim(r->context, output, 1);
    const float *rows = (const float *)r->outputs[port] + index * count * 6;
    return cai_the_boxes.find(output, rows, count, canvas->place, canvas->height, canvas->width, found,
                              error);
}

static bool store_drawn(const cai_results *r, int port, int64_t index, int64_t count, cai_error *error) {
    const cai_port *output = &r->program->outputs[port];
    cai_image canvas;
    cai_found found = {0};
    OutputPlace place;
    if (!find_output_place(r, port, index, count, &place, error) ||
        !make_canvas(r, output->of, index, true, &canvas, error))
        return false;
    bool good = find_boxes(r, port, index, &canvas, &found, error) &&
                cai_the_boxes.draw(&canvas, output, &found, error) &&
                cai_the_pictures.write(place.path, canvas.pixels, canvas.channels, canvas.height,
                                       canvas.width, error);
    if (good) {
        report_stored(r, &place);
        if (place.reported && is_one_of_many(r, output->of)) fprintf(text_stream(r), "%s\n", place.source);
        cai_the_boxes.print(output, &found, text_stream(r));
    }
    cai_the_boxes.free(&found);
    free(canvas.pixels);
    return good;
}

/* Writes the boxes of all pictures of a run to one file. */
static bool store_json(const cai_results *r, int port, int64_t count, const char *path, cai_error *error) {
    const cai_port *output = &r->program->outputs[port];
    cai_found *found = calloc((size_t)count, sizeof *found);
    const char **names = calloc((size_t)count, sizeof *names);
    bool good = (found && names) || cai_fail_memory(error, (uint64_t)count * sizeof *found, "the boxes");
    for (int64_t i = 0; i < count && good; i++) {
        cai_image canvas;
        names[i] = source_of_picture(r, port, i, count);
        good = make_canvas(r, output->of, i, false, &canvas, error) &&
               find_boxes(r, port, i, &canvas, &found[i], error);
    }
    good = good && cai_the_boxes.write(path, output, found, names, count, error);
    for (int64_t i = 0; i < count && found; i++) cai_the_boxes.free(&found[i]);
    free(names);
    free(found);
    return good;
}

static bool store_boxes(const cai_results *r, int port, cai_error *error) {
    const char *path =
        asked_output(r->command, port) ? asked_output(r->command, port) : asked_output(r->command, -1);
    int64_t count = cai_context_dim(r->context, &r->program->outputs[port], 0);
    if (!&cai_the_boxes || !&cai_the_pictures)
        return cai_fail(error, CAI_INTERNAL, "the program was linked without boxes");
    if (path && is_named_for(path, CAI_HOLDS_BOXES)) return store_json(r, port, count, path, error);
    for (int64_t i = 0; i < count; i++) {
        if (!store_drawn(r, port, i, count, error)) return false;
    }
    return true;
}

/* ---- text ---- */

/* The files to which the rows of an output belong, where there are several: those of the
 * input, other than that of the names, that has as many files as rows. */
static const cai_feed *find_titles(const cai_results *r, const cai_port *output) {
    if (r->program->input_count == 1) return is_one_of_many(r, 0) ? &r->feeds[0] : NULL;
    int64_t count = output->rank ? cai_context_dim(r->context, output, 0) : 1;
    for (int i = 0; i < r->program->input_count && count > 1; i++) {
        bool names = output->form == CAI_FORM_NAMES && i == output->of;
        if (!names && r->feeds[i].count == count) return &r->feeds[i];
    }
    return NULL;
}

static void show_output(const cai_results *r, int port) {
    const cai_port *output = &r->program->outputs[port];
    FILE *text = text_stream(r);
    const cai_feed *titles = find_titles(r, output);
    if (output->form == CAI_FORM_NAMES) {
        int64_t choices = cai_context_dim(r->context, &r->program->inputs[output->of], 0);
        cai_print_names(r->context, output, choices, r->outputs[port], &r->feeds[output->of], titles, text);
        return;
    }
    if (output->form == CAI_FORM_LABELS) {
        cai_print_labels(r->context, output, r->outputs[port], titles ? titles->paths : NULL,
                         titles ? titles->count : 0, text);
        return;
    }
    if (output->form == CAI_FORM_TEXT) {
        cai_print_text(r->context, output, r->outputs[port], titles, text);
        return;
    }
    if (titles && r->program->input_count == 1) fprintf(text, "%s\n", titles->paths[0]);
    cai_print_tensor(r->context, output, r->outputs[port], text);
}

static bool store_one_output(const cai_results *r, int port, cai_error *error) {
    const cai_port *output = &r->program->outputs[port];
    const char *path =
        asked_output(r->command, port) ? asked_output(r->command, port) : asked_output(r->command, -1);
    bool boxes = output->form == CAI_FORM_BOXES;
    bool numbers = path && is_named_for(path, CAI_HOLDS_NUMBERS);
    if (boxes && !numbers) return store_boxes(r, port, error);
    bool picture =
        output->form == CAI_FORM_IMAGE && output->type == CAI_F32 && (output->rank == 3 || output->rank == 4);
    if (!picture || numbers) {
        OutputPlace place;
        if (find_output_place(r, port, 0, 1, &place, error)) return store_tensor(r, port, place.path, error);
        if (error->status != CAI_OK) return false;
        show_output(r, port);
        return true;
    }
    int64_t count = output->rank == 4 ? cai_context_dim(r->context, output, 0) : 1;
    for (int64_t i = 0; i < count; i++) {
        if (!store_picture(r, port, i, count, error)) return false;
    }
    return true;
}

bool cai_store(const cai_results *r, cai_error *error) {
    const char *path = asked_output(r->command, -1);
    /* its name was checked */
    if (path && r->program->output_count > 1 && !is_output_folder(path)) return store_all(r, path, error);
    for (int i = 0; i < r->program->output_count; i++) {
        if (!store_one_output(r, i, error)) return false;
    }
    return true;
}
