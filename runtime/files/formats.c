/* Recognises the format of a file by its name or its beginning, and lists formats for
 * messages. */
#include "files/files.h"
#include <string.h>

#define LIST(...) {__VA_ARGS__}
#define BEGINS(bytes) {bytes, sizeof bytes - 1}

const cai_format cai_formats[CAI_FORMAT_COUNT] = {
#define PICTURE(name, text, endings, begins, libraries, packages) \
    [CAI_FORMAT_##name] = {CAI_HOLDS_PICTURE, text, LIST endings, LIST begins},
#define BOXES(name, endings) [CAI_FORMAT_##name] = {CAI_HOLDS_BOXES, "", LIST endings, {{{0}, 0}}},
#define TENSOR(name, endings, begins) [CAI_FORMAT_##name] = {CAI_HOLDS_TENSOR, "", LIST endings, LIST begins},
#define TENSORS(name, endings, begins) \
    [CAI_FORMAT_##name] = {CAI_HOLDS_TENSORS, "", LIST endings, LIST begins},
#include "files/formats.def"
};

bool cai_has_extension(const char *path, const char *extension) {
    size_t length = strlen(path), tail = strlen(extension);
    return length > tail && strcasecmp(path + length - tail, extension) == 0;
}

static bool is_named_as(const char *path, const cai_format *format) {
    for (int i = 0; i < CAI_MAX_ENDINGS && *format->endings[i]; i++)
        if (cai_has_extension(path, format->endings[i])) return true;
    return false;
}

static bool has_beginning(const unsigned char *bytes, size_t count, const cai_beginning *begins) {
    if (begins->count == 0 || count < (size_t)begins->count) return false;
    for (int i = 0; i < begins->count; i++)
        if (begins->bytes[i] != '?' && bytes[i] != (unsigned char)begins->bytes[i]) return false;
    return true;
}

static bool begins_as(const unsigned char *bytes, size_t count, const cai_format *format) {
    for (int i = 0; i < CAI_MAX_BEGINS; i++)
        if (has_beginning(bytes, count, &format->begins[i])) return true;
    return false;
}

int cai_format_of_name(const char *path, int holds) {
    for (int i = 0; i < CAI_FORMAT_COUNT; i++)
        if (cai_formats[i].holds & holds && is_named_as(path, &cai_formats[i])) return i;
    return CAI_NO_FORMAT;
}

int cai_format_of_bytes(const void *bytes, size_t count, int holds) {
    for (int i = 0; i < CAI_FORMAT_COUNT; i++)
        if (cai_formats[i].holds & holds && begins_as(bytes, count, &cai_formats[i])) return i;
    return CAI_NO_FORMAT;
}

int cai_format_first(int holds) {
    int format = 0;
    while (!(cai_formats[format].holds & holds)) format++;
    return format;
}

/* ---- lists ---- */

#define MAX_LISTED (CAI_FORMAT_COUNT * CAI_MAX_ENDINGS)

/* "a, b or c" */
static cai_list join_with_or(const char *const *items, int count) {
    cai_list list = {""};
    size_t used = 0;
    for (int i = 0; i < count; i++) {
        const char *before = i == 0 ? "" : i == count - 1 ? " or " : ", ";
        used += (size_t)snprintf(list.text + used, sizeof list.text - used, "%s%s", before, items[i]);
        if (used >= sizeof list.text) break;
    }
    return list;
}

cai_list cai_format_endings(int holds) {
    const char *items[MAX_LISTED];
    int count = 0;
    for (int i = 0; i < CAI_FORMAT_COUNT; i++) {
        if (!(cai_formats[i].holds & holds)) continue;
        for (int k = 0; k < CAI_MAX_ENDINGS && *cai_formats[i].endings[k]; k++)
            items[count++] = cai_formats[i].endings[k];
    }
    return join_with_or(items, count);
}

cai_list cai_picture_formats(void) {
    const char *items[MAX_LISTED];
    int count = 0;
    for (int i = 0; i < CAI_FORMAT_COUNT; i++)
        if (cai_formats[i].holds & CAI_HOLDS_PICTURE) items[count++] = cai_formats[i].text;
    return join_with_or(items, count);
}
