/* samples/: a sheet for each `show` of pictures, each time it is due. The pictures of a
 * batch form a square. A tuple has a line for each sample, with one picture of each of
 * its items. A pixel of the sheet is a pixel of the tensor. The name contains the show
 * and the step, fake-00000400.png, after the number of the phase if there are several. So
 * a resumed run writes the same names, with equal bytes. */
#include "train/train.h"
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    GAP = 2,
    SQUARE = 64 /* pictures of a square at most */,
    LINES = 8,
    UNASKED = 20 /* sheets of a phase */
};

/* ---- names ---- */

static const char *samples_folder(const cai_trainer *trainer, char *path, size_t size) {
    return cai_folder_path(trainer, "samples", path, size);
}

/* Keeps letters and digits; each run of other characters becomes one `_`. */
static void add_slug(char *out, size_t size, const char *text) {
    size_t used = strlen(out);
    for (; *text && used + 1 < size; text++) {
        bool plain = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
                     (*text >= '0' && *text <= '9');
        if (plain) out[used++] = *text;
        else if (used && out[used - 1] != '_') out[used++] = '_';
    }
    while (used && out[used - 1] == '_') used--;
    out[used] = 0;
}

bool cai_sample_parse(const char *name, cai_sample_name *out) {
    size_t length = strlen(name);
    int end = 0;
    if (length < 13 || length >= sizeof out->show + 13 || strcmp(name + length - 4, ".png") != 0 ||
        sscanf(name + length - 13, "-%8lld%n", &out->step, &end) != 1 || end != 9)
        return false;
    snprintf(out->show, sizeof out->show, "%.*s", (int)(length - 13), name);
    end = 0;
    bool numbered = sscanf(name, "%d.%n", &out->phase, &end) == 1 && end > 0;
    if (!numbered) out->phase = 1; /* there is only one phase */
    return true;
}

/* ---- a sheet ---- */

typedef struct Item { /* one item of a tuple: f32[count, channels, height, width] */
    const float *pixels;
    int64_t count, channels, height, width;
} Item;

enum { ITEMS = 32 };

typedef struct Sheet {
    Item items[ITEMS];
    int item_count;
    int64_t cells, across; /* cells: a picture of each item */
    int64_t cell_height, cell_width, height, width, channels;
    float *pixels;
} Sheet;

static void measure_sample_sheet(Sheet *sheet) {
    int64_t most = sheet->item_count > 1 ? LINES : SQUARE;
    for (int i = 0; i < sheet->item_count; i++) {
        const Item *item = &sheet->items[i];
        if (item->count > sheet->cells) sheet->cells = item->count;
        if (item->height > sheet->cell_height) sheet->cell_height = item->height;
        if (item->channels > sheet->channels) sheet->channels = item->channels;
        sheet->cell_width += item->width + (i ? GAP : 0);
    }
    if (sheet->cells > most) sheet->cells = most;
    sheet->across = sheet->item_count > 1 ? 1 : (int64_t)ceil(sqrt((double)sheet->cells));
    int64_t down = (sheet->cells + sheet->across - 1) / sheet->across;
    sheet->height = down * (sheet->cell_height + GAP) - GAP;
    sheet->width = sheet->across * (sheet->cell_width + GAP) - GAP;
}

static void put_picture(Sheet *sheet, const Item *item, int64_t number, int64_t top, int64_t left) {
    for (int64_t c = 0; c < sheet->channels; c++) {
        int64_t plane = number * item->channels + (item->channels > 1 ? c : 0);
        for (int64_t y = 0; y < item->height; y++)
            memcpy(sheet->pixels + (c * sheet->height + top + y) * sheet->width + left,
                   item->pixels + (plane * item->height + y) * item->width,
                   (size_t)item->width * sizeof *sheet->pixels);
    }
}

static void put_cell(Sheet *sheet, int64_t cell) {
    int64_t top = cell / sheet->across * (sheet->cell_height + GAP);
    int64_t left = cell % sheet->across * (sheet->cell_width + GAP);
    for (int i = 0; i < sheet->item_count; i++) {
        if (cell < sheet->items[i].count) put_picture(sheet, &sheet->items[i], cell, top, left);
        left += sheet->items[i].width + GAP;
    }
}

static bool write_sheet(Sheet *sheet, const char *path, cai_error *error) {
    measure_sample_sheet(sheet);
    int64_t values = sheet->channels * sheet->height * sheet->width;
    if (sheet->height * sheet->width > CAI_MAX_PIXELS)
        return cai_fail(error, CAI_BAD_INPUT, "%s: the pictures are too large for a sheet", path);
    sheet->pixels = cai_allocate((uint64_t)values * sizeof *sheet->pixels, "a sheet", error);
    if (!sheet->pixels) return false;
    for (int64_t i = 0; i < values; i++) sheet->pixels[i] = 1;
    for (int64_t i = 0; i < sheet->cells; i++) put_cell(sheet, i);
    bool done = cai_image_write(path, sheet->pixels, sheet->channels, sheet->height, sheet->width, error);
    free(sheet->pixels);
    return done;
}

/* ---- from the outputs of an entry ---- */

static int output_of_shown(const cai_entry *entry, int shown) {
    for (int i = 0; i < entry->program->output_count; i++)
        if (entry->outputs[i].kind == CAI_BIND_SHOWN && entry->outputs[i].index == shown) return i;
    return -1;
}

static bool add_item(Sheet *sheet, const cai_running *running, int shown) {
    int output = output_of_shown(running->entry, shown);
    if (output < 0 || sheet->item_count == ITEMS) return false;
    const cai_port *port = &running->entry->program->outputs[output];
    sheet->items[sheet->item_count++] =
        (Item){running->outputs[output], cai_context_dim(running->context, port, 0),
               cai_context_dim(running->context, port, 1), cai_context_dim(running->context, port, 2),
               cai_context_dim(running->context, port, 3)};
    return true;
}

static bool is_same_row(const cai_shown *a, const cai_shown *b) {
    return b->form == CAI_SHOW_PICTURE && a->row >= 0 && a->row == b->row;
}

/* A show without an interval is due UNASKED times a phase, and at its end. */
static bool is_sheet_due(const cai_trainer *trainer, const cai_shown *shown, uint32_t guards) {
    int64_t steps = cai_trainer_steps(trainer, trainer->point.phase),
            each = steps > UNASKED ? steps / UNASKED : 1;
    if (shown->guard >= 0) return guards >> shown->guard & 1;
    return trainer->point.step % each == 0 || trainer->point.step == steps;
}

/* How many earlier shows have the same slug, so that their names need a number. */
static int count_same_slugs(const cai_shown *shown, int first, const char *slug) {
    int same = 0;
    for (int i = 0; i < first; i++) {
        char other[60] = "";
        bool begins = shown[i].form == CAI_SHOW_PICTURE && !(i > 0 && is_same_row(&shown[i - 1], &shown[i]));
        add_slug(other, sizeof other, shown[i].name);
        same += begins && strcmp(other, slug) == 0;
    }
    return same;
}

static void name_show(const cai_shown *shown, int first, char *out, size_t size) {
    char slug[60] = "";
    add_slug(slug, sizeof slug, shown[first].name);
    int same = count_same_slugs(shown, first, slug);
    if (same) snprintf(out, size, "%s_%d", *slug ? slug : "show", same + 1);
    else snprintf(out, size, "%s", *slug ? slug : "show");
}

/* In a block with `each`, the steps of a phase are counted through all items. */
static void name_sheet(const cai_trainer *trainer, const cai_shown *shown, int first, const char *before,
                       char *out, size_t size) {
    char show[80], phase[32] = "";
    const cai_point *point = &trainer->point;
    name_show(shown, first, show, sizeof show);
    if (trainer->training->phase_count > 1)
        snprintf(phase, sizeof phase, "%lld.", (long long)point->phase + 1);
    snprintf(out, size, "samples/%s%s%s-%08lld.png", phase, before, show,
             (long long)(point->item * cai_trainer_steps(trainer, point->phase) + point->step));
}

/* Pictures that cannot be written do not end the run; the user is told once. */
static void tell_lost(cai_trainer *trainer, const cai_error *error) {
    if (trainer->samples_are_lost) return;
    trainer->samples_are_lost = true;
    cai_progress_say(trainer, "samples cannot be written, and the run goes on: %s", error->message);
}

/* Writes the sheet of shown[first .. end - 1]. */
static bool write_row(const cai_running *running, int first, int end, const char *path, cai_error *error) {
    Sheet sheet = {.item_count = 0};
    for (int i = first; i < end; i++) add_item(&sheet, running, i);
    return write_sheet(&sheet, path, error);
}

static int row_end(const cai_shown *shown, int count, int first) {
    int end = first + 1;
    while (end < count && is_same_row(&shown[first], &shown[end])) end++;
    return end;
}

static void write_samples(cai_trainer *trainer, const cai_running *running, const cai_shown *shown, int count,
                          const char *before, bool (*due)(const cai_trainer *, const cai_shown *, uint32_t),
                          uint32_t guards) {
    char path[4096], name[200];
    cai_error error;
    for (int i = 0, end; i < count; i = end) {
        end = row_end(shown, count, i);
        if (shown[i].form != CAI_SHOW_PICTURE || (due && !due(trainer, &shown[i], guards))) continue;
        if (output_of_shown(running->entry, i) < 0) continue;
        mkdir(samples_folder(trainer, path, sizeof path), 0777);
        name_sheet(trainer, shown, i, before, name, sizeof name);
        if (!write_row(running, i, end, cai_folder_path(trainer, name, path, sizeof path), &error))
            tell_lost(trainer, &error);
    }
}

bool cai_samples_item(const cai_trainer *trainer, const cai_running *running, const char *path,
                      cai_error *error) {
    const cai_phase *phase = &trainer->training->phases[trainer->point.phase];
    char file[4600], show[80];
    int rows = 0;
    bool good = true;
    for (int i = 0; i < phase->shown_count; i = row_end(phase->shown, phase->shown_count, i))
        rows += phase->shown[i].form == CAI_SHOW_PICTURE;
    for (int i = 0, end; i < phase->shown_count && good; i = end) {
        end = row_end(phase->shown, phase->shown_count, i);
        if (phase->shown[i].form != CAI_SHOW_PICTURE) continue;
        name_show(phase->shown, i, show, sizeof show);
        snprintf(file, sizeof file, "%s%s%s.png", path, rows > 1 ? "." : "", rows > 1 ? show : "");
        good = write_row(running, i, end, file, error);
    }
    return good;
}

void cai_samples_step(cai_trainer *trainer, const cai_phase *phase, const cai_running *running,
                      uint32_t guards) {
    write_samples(trainer, running, phase->shown, phase->shown_count, "", is_sheet_due, guards);
}

void cai_samples_measured(cai_trainer *trainer, const cai_measure *measure, const cai_running *running) {
    write_samples(trainer, running, measure->shown, measure->shown_count, "measured.", NULL, 0);
}

/* ---- existing sheets ---- */

static int compare_samples(const void *a, const void *b) {
    const cai_sample_name *one = a, *two = b;
    int order = strcmp(one->show, two->show);
    return order ? order : (one->step > two->step) - (one->step < two->step);
}

int cai_samples_list(const cai_trainer *trainer, cai_sample_name **list) {
    char path[4096];
    int count = 0, room = 0;
    *list = NULL;
    DIR *folder = opendir(samples_folder(trainer, path, sizeof path));
    for (struct dirent *entry; folder && (entry = readdir(folder)) != NULL;) {
        cai_sample_name name;
        if (!cai_sample_parse(entry->d_name, &name)) continue;
        if (count == room) {
            cai_sample_name *larger = realloc(*list, sizeof *larger * (size_t)(room = 2 * room + 16));
            if (!larger) break;
            *list = larger;
        }
        (*list)[count++] = name;
    }
    if (folder) closedir(folder);
    if (count) qsort(*list, (size_t)count, sizeof **list, compare_samples);
    return count;
}

void cai_sample_file(const cai_sample_name *name, char *out, size_t size) {
    snprintf(out, size, "samples/%s-%08lld.png", name->show, name->step);
}

/* Whether the sheet is of a step after the point, which will be repeated. */
static bool is_of_future(const cai_trainer *trainer, const cai_sample_name *name) {
    const cai_point *point = &trainer->point;
    int64_t phase = name->phase - 1, item = 0, step = name->step;
    if (trainer->items > 1 && phase < trainer->training->phase_count) {
        int64_t steps = cai_trainer_steps(trainer, phase);
        item = steps > 0 ? (step - 1) / steps : 0;
        step -= item * steps;
    }
    if (item != point->item) return item > point->item;
    return phase > point->phase || (phase == point->phase && step > point->step);
}

bool cai_samples_cut(const cai_trainer *trainer, bool all, cai_error *error) {
    cai_sample_name *list;
    char file[200], path[4096];
    bool good = true;
    int count = cai_samples_list(trainer, &list);
    for (int i = 0; i < count && good; i++) {
        if (!all && !is_of_future(trainer, &list[i])) continue;
        cai_sample_file(&list[i], file, sizeof file);
        good = unlink(cai_folder_path(trainer, file, path, sizeof path)) == 0 || errno == ENOENT ||
               cai_fail(error, CAI_BAD_INPUT, "%s: cannot be removed: %s", path, strerror(errno));
    }
    free(list);
    if (all) rmdir(samples_folder(trainer, path, sizeof path));
    return good;
}
