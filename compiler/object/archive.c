/* A static library: an archive of one object, with the index of symbols that linkers
 * need. Dates and owners are 0, so that equal models make equal files. */
#include "object/object.h"
#include "files/files.h"

#define MAGIC "!<arch>\n"

typedef struct Member { /* the header of a member, all text */
    char name[16], date[12], user[6], group[6], mode[8], size[10], end[2];
} Member;

static Member make_member(const char *name, uint64_t size) {
    Member member;
    char text[sizeof member + 1];
    snprintf(text, sizeof text, "%-16s%-12d%-6d%-6d%-8s%-10llu`\n", name, 0, 0, 0, "644",
             (unsigned long long)size);
    memcpy(&member, text, sizeof member);
    return member;
}

static void add_big_endian(Text *text, uint32_t number) {
    const char bytes[] = {(char)(number >> 24), (char)(number >> 16), (char)(number >> 8), (char)number};
    text_add_bytes(text, bytes, sizeof bytes);
}

/* The index: the number of symbols, where the member of each begins, their names; all are
 * in the one member. */
static Text make_index(const ExportedNames *names, Arena *arena) {
    Text index = {.arena = arena}, texts = {.arena = arena};
    for (int i = 0; i < names->count; i++)
        text_add_bytes(&texts, names->items[i], strlen(names->items[i]) + 1);
    if (texts.length % 2) text_add_bytes(&texts, "", 1); /* members begin at even places */
    uint32_t size = 4 + 4 * (uint32_t)names->count + (uint32_t)texts.length;
    add_big_endian(&index, (uint32_t)names->count);
    for (int i = 0; i < names->count; i++)
        add_big_endian(&index, (uint32_t)(strlen(MAGIC) + sizeof(Member)) + size);
    text_add_bytes(&index, text_string(&texts), texts.length);
    return index;
}

bool archive_write(const char *object, const ExportedNames *names, const char *output, Arena *arena,
                   const char **error) {
    cai_error failed;
    cai_file file = {0};
    cai_output out;
    bool good = cai_file_map(object, &file, &failed);
    if (good) {
        Text index = make_index(names, arena);
        Member first = make_member("/", index.length), second = make_member("model.o/", file.count);
        good = cai_output_open(output, &out, &failed) &&
               cai_output_write(&out, MAGIC, strlen(MAGIC), &failed) &&
               cai_output_write(&out, &first, sizeof first, &failed) &&
               cai_output_write(&out, text_string(&index), index.length, &failed) &&
               cai_output_write(&out, &second, sizeof second, &failed) &&
               cai_output_write(&out, file.data, file.count, &failed) &&
               cai_output_write(&out, "\n", file.count % 2, &failed) && cai_output_finish(&out, &failed);
        cai_file_close(&file);
    }
    if (!good) *error = arena_printf(arena, "%s", failed.message);
    return good;
}
