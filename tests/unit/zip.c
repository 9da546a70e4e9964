/* Zip files as Python's zipfile writes them: each is made by a few lines of Python. */
#include "files/files.h"
#include "test.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static cai_file written; /* by the Python of the last open_zip */
static cai_zip zip;
static cai_error error;

/* `lines` write to `z`, a zipfile.ZipFile. */
static bool open_zip(const char *lines) {
    char command[1000], path[64];
    snprintf(path, sizeof path, "/tmp/cai_unit_zip_%d.zip", (int)getpid());
    snprintf(command, sizeof command,
             "/usr/bin/python3 - << 'END'\nimport zipfile\nwith zipfile.ZipFile('%s', 'w') as z:\n%s\nEND",
             path, lines);
    cai_file_close(&written);
    CU_ASSERT_FATAL(system(command) == 0);
    CU_ASSERT_FATAL(cai_file_read(path, &written, &error));
    remove(path);
    return cai_zip_open("z", written.data, written.count, &zip, &error);
}

static bool holds(int64_t member, const char *name, const char *text) {
    unsigned char out[100];
    const cai_zip_member *m = &zip.members[member];
    return strcmp(m->name, name) == 0 && m->bytes == strlen(text) && m->bytes <= sizeof out &&
           cai_zip_unpack(&zip, m, out, &error) && memcmp(out, text, m->bytes) == 0;
}

static bool was_said(const char *text) {
    if (strstr(error.message, text)) return true;
    printf("\n    %s\n", error.message);
    return false;
}

#define STORED_AND_PACKED                                     \
    "    z.writestr('a', 'stored')\n"                         \
    "    z.writestr('b/c', 60 * 'p', zipfile.ZIP_DEFLATED)\n" \
    "    z.writestr('empty', '')\n"                           \
    "    z.comment = b'PK, and more behind the end'"

TEST(members_stored_and_packed) {
    CU_ASSERT_FATAL(open_zip(STORED_AND_PACKED));
    CU_ASSERT(zip.count == 3);
    CU_ASSERT(holds(0, "a", "stored"));
    CU_ASSERT(holds(1, "b/c", "pppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp"));
    CU_ASSERT(holds(2, "empty", ""));
    CU_ASSERT(memcmp(cai_zip_stored(&zip.members[0]), "stored", 6) == 0);
    CU_ASSERT(cai_zip_stored(&zip.members[1]) == NULL);
    cai_zip_close(&zip);
}

/* Sizes of 64 bits where 32 would do, and more members than 16 bits count. */
TEST(members_beyond_the_old_limits) {
    CU_ASSERT_FATAL(open_zip("    for i in range(66000):\n"
                             "        with z.open(str(i), 'w', force_zip64=True) as m: m.write(b'%d' % i)"));
    CU_ASSERT(zip.count == 66000);
    CU_ASSERT(holds(65999, "65999", "65999"));
    cai_zip_close(&zip);
}

TEST(members_that_cannot_be_read) {
    CU_ASSERT_FATAL(open_zip("    z.writestr('m', 60 * 'p', zipfile.ZIP_BZIP2)"));
    CU_ASSERT_FALSE(holds(0, "m", "pppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp"));
    CU_ASSERT(was_said("z: its member m is packed in another way than by deflate"));
    zip.members[0].flags = 1;
    CU_ASSERT_FALSE(holds(0, "m", "pppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp"));
    CU_ASSERT(was_said("z: its member m is encrypted"));
    cai_zip_close(&zip);
}

TEST(a_checksum_tells_what_is_damaged) {
    CU_ASSERT_FATAL(open_zip("    z.writestr('m', 'stored')"));
    CU_ASSERT(cai_zip_is_sound(&zip, &zip.members[0], &error));
    ((unsigned char *)zip.members[0].data)[2] ^= 1;
    CU_ASSERT_FALSE(cai_zip_is_sound(&zip, &zip.members[0], &error));
    CU_ASSERT(was_said("z: its member m is damaged"));
    CU_ASSERT_FALSE(holds(0, "m", "stored"));
    cai_zip_close(&zip);
}

/* Unpacks all that opens, from memory of exactly these bytes, so that a sanitizer sees
 * every step beside them. */
static void try_bytes(const unsigned char *bytes, size_t count) {
    unsigned char out[100], *copy = malloc(count + 1);
    memcpy(copy, bytes, count);
    if (cai_zip_open("z", copy, count, &zip, &error)) {
        for (int64_t i = 0; i < zip.count; i++)
            if (zip.members[i].bytes <= sizeof out) cai_zip_unpack(&zip, &zip.members[i], out, &error);
        cai_zip_close(&zip);
    }
    free(copy);
}

TEST(every_prefix_and_every_flipped_bit) {
    CU_ASSERT_FATAL(open_zip(STORED_AND_PACKED));
    cai_zip_close(&zip);
    unsigned char *bytes = (unsigned char *)written.data;
    for (size_t count = 0; count < written.count; count++) try_bytes(bytes, count);
    CU_ASSERT(was_said("broken zip file: "));
    for (size_t bit = 0; bit < 8 * written.count; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        try_bytes(bytes, written.count);
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
}
