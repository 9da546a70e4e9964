/* --tensorboard: writes the log and the samples as event files for TensorBoard. A file
 * consists of records: length (u64), masked CRC-32C of these 8 bytes, an Event of
 * TensorFlow's event.proto, masked CRC-32C of the Event. Each process removes earlier
 * files and writes one that starts from the beginning of the run. */
#include "train/train.h"
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- bytes ---- */

typedef struct Bytes {
    unsigned char *items;
    size_t count, room;
    bool failed; /* out of memory */
} Bytes;

static void add_event_bytes(Bytes *b, const void *bytes, size_t count) {
    if (b->count + count > b->room) {
        unsigned char *larger = realloc(b->items, 2 * (b->count + count));
        if (!larger) {
            b->failed = true;
            return;
        }
        b->items = larger;
        b->room = 2 * (b->count + count);
    }
    memcpy(b->items + b->count, bytes, count);
    b->count += count;
}

/* ---- CRC-32C ---- */

static uint32_t find_crc32c(const unsigned char *bytes, size_t count) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
    }
    return ~crc;
}

static uint32_t masked_crc(const void *bytes, size_t count) {
    uint32_t crc = find_crc32c(bytes, count);
    return (crc >> 15 | crc << 17) + UINT32_C(0xa282ead8);
}

/* ---- protocol buffers ---- */

enum { VARINT, FIXED64, DELIMITED, FIXED32 = 5 };

static void add_varint(Bytes *b, uint64_t value) {
    for (; value >= 128; value >>= 7) add_event_bytes(b, (unsigned char[]){(unsigned char)(value | 128)}, 1);
    add_event_bytes(b, (unsigned char[]){(unsigned char)value}, 1);
}

static void add_event_key(Bytes *b, unsigned field, unsigned type) { add_varint(b, field << 3 | type); }

static void add_number_field(Bytes *b, unsigned field, int64_t value) {
    add_event_key(b, field, VARINT);
    add_varint(b, (uint64_t)value);
}

static void add_bytes_field(Bytes *b, unsigned field, const void *bytes, size_t count) {
    add_event_key(b, field, DELIMITED);
    add_varint(b, count);
    add_event_bytes(b, bytes, count);
}

/* Puts a message into a field of another, and frees it. */
static void add_message(Bytes *b, unsigned field, Bytes *message) {
    add_bytes_field(b, field, message->items, message->count);
    b->failed |= message->failed;
    free(message->items);
}

/* ---- events ---- */

static bool write_event(cai_events *events, Bytes *event) {
    uint64_t length = event->count;
    uint32_t of_length = masked_crc(&length, sizeof length),
             of_event = masked_crc(event->items, event->count);
    bool good = !event->failed && fwrite(&length, sizeof length, 1, events->file) == 1 &&
                fwrite(&of_length, sizeof of_length, 1, events->file) == 1 &&
                fwrite(event->items, 1, event->count, events->file) == event->count &&
                fwrite(&of_event, sizeof of_event, 1, events->file) == 1;
    free(event->items);
    return good;
}

static Bytes begin_event(void) {
    Bytes event = {0};
    double now = (double)time(NULL);
    add_event_key(&event, 1, FIXED64); /* wall_time */
    add_event_bytes(&event, &now, sizeof now);
    return event;
}

static bool write_version(cai_events *events) {
    static const char version[] = "brain.Event:2";
    Bytes event = begin_event();
    add_bytes_field(&event, 3, version, strlen(version));
    return write_event(events, &event);
}

/* Writes an event with a Summary of one value. */
static bool write_value(cai_events *events, int64_t step, Bytes *value) {
    Bytes event = begin_event(), summary = {0};
    add_number_field(&event, 2, step);
    add_message(&summary, 1, value);
    add_message(&event, 5, &summary);
    return write_event(events, &event);
}

static bool write_scalar(cai_events *events, const char *tag, int64_t step, double number) {
    Bytes value = {0};
    float single = (float)number;
    add_bytes_field(&value, 1, tag, strlen(tag));
    add_event_key(&value, 2, FIXED32);
    add_event_bytes(&value, &single, sizeof single);
    return write_value(events, step, &value);
}

/* The first 26 bytes of a PNG contain its width, its height and its colour type. */
static bool write_event_picture(cai_events *events, const char *tag, int64_t step, const cai_file *png) {
    if (png->count < 26) return true;
    const unsigned char *sides = png->data + 16;
    Bytes value = {0}, image = {0};
    add_number_field(&image, 1, (int64_t)sides[4] << 24 | sides[5] << 16 | sides[6] << 8 | sides[7]);
    add_number_field(&image, 2, (int64_t)sides[0] << 24 | sides[1] << 16 | sides[2] << 8 | sides[3]);
    add_number_field(&image, 3, png->data[25] == 0 ? 1 : 3); /* gray, or RGB */
    add_bytes_field(&image, 4, png->data, png->count);
    add_bytes_field(&value, 1, tag, strlen(tag));
    add_message(&value, 4, &image);
    return write_value(events, step, &value);
}

/* ---- what is new since the last write ---- */

static bool write_new_points(cai_events *events, int index, const cai_curve *curve) {
    char tag[200];
    bool good = true;
    snprintf(tag, sizeof tag, "%s%s", curve->held_out ? CAI_LOG_HELD_OUT "/" : "", curve->name);
    for (int64_t *next = &events->points[index]; good && *next < curve->count; ++*next) {
        const double *point = &curve->points[2 * *next];
        good = write_scalar(events, tag, (int64_t)point[0], point[1]);
    }
    return good;
}

static int64_t step_of_sample(const cai_trainer *trainer, const cai_sample_name *name) {
    int64_t step = name->step;
    for (int i = 0; i + 1 < name->phase && i < trainer->training->phase_count; i++)
        step += cai_trainer_steps(trainer, i);
    return step;
}

static bool write_new_samples(const cai_trainer *trainer, cai_events *events) {
    cai_sample_name *list;
    int64_t last = events->last_sample;
    int count = cai_samples_list(trainer, &list);
    bool good = true;
    for (int i = 0; i < count && good; i++) {
        char name[200], path[4096];
        cai_file png;
        cai_error error;
        int64_t step = step_of_sample(trainer, &list[i]);
        if (step <= events->last_sample) continue;
        cai_sample_file(&list[i], name, sizeof name);
        if (!cai_file_read(cai_folder_path(trainer, name, path, sizeof path), &png, &error)) continue;
        good = write_event_picture(events, list[i].show, step, &png);
        cai_file_close(&png);
        if (step > last) last = step;
    }
    events->last_sample = last;
    free(list);
    return good;
}

static bool make_room_for_curves(cai_events *events, int count) {
    int64_t *larger = realloc(events->points, sizeof *larger * (size_t)(count + 1));
    if (!larger) return false;
    events->points = larger;
    for (; events->curves < count; events->curves++) larger[events->curves] = 0;
    return true;
}

static bool write_new_events(const cai_trainer *trainer, cai_events *events, const cai_history *history) {
    bool good = make_room_for_curves(events, history->count);
    for (int i = 0; i < history->count && good; i++) good = write_new_points(events, i, &history->curves[i]);
    return good && write_new_samples(trainer, events) && fflush(events->file) == 0;
}

/* ---- files ---- */

static bool is_events_name(const char *name) { return strncmp(name, "events.out.tfevents.", 20) == 0; }

void cai_events_forget(const cai_trainer *trainer) {
    char folder[4096], path[4400];
    DIR *entries = opendir(cai_folder_path(trainer, "tensorboard", folder, sizeof folder));
    for (struct dirent *entry; entries && (entry = readdir(entries)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (is_events_name(entry->d_name)) unlink(path);
    }
    if (entries) closedir(entries);
    rmdir(folder);
}

static bool open_events(const cai_trainer *trainer, cai_events *events) {
    char folder[4096], path[4400];
    cai_events_forget(trainer);
    mkdir(cai_folder_path(trainer, "tensorboard", folder, sizeof folder), 0777);
    snprintf(path, sizeof path, "%s/events.out.tfevents.%010lld.cai", folder, (long long)time(NULL));
    events->file = fopen(path, "wbe");
    events->last_sample = -1;
    return events->file && write_version(events);
}

void cai_events_write(cai_trainer *trainer, const cai_history *history) {
    cai_events *events = &trainer->events;
    if (!trainer->command->tensorboard || events->is_lost) return;
    if ((events->file || open_events(trainer, events)) && write_new_events(trainer, events, history)) return;
    events->is_lost = true;
    cai_progress_say(trainer, "tensorboard/ cannot be written, and the run goes on: %s", strerror(errno));
}

void cai_events_close(cai_events *events) {
    if (events->file) fclose(events->file);
    free(events->points);
}
