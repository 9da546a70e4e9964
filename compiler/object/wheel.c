/* A wheel: a zip file with a Python package that contains the extension module of a
 * model, for pip (PEP 427). Its name says on which Pythons and machines it works: all
 * from 3.11 on, by the stable ABI, on Linux with the C library that the module needs (PEP
 * 600). All dates are the earliest that zip has, so that equal models make equal
 * files. */
#include "object/object.h"
#include "files/files.h"
#include "syntax/syntax.h"
#include <ctype.h>
#include <zip.h>

/* The oldest C library for which pip has a platform tag on all machines. */
#define OLDEST_GLIBC 17

typedef struct Wheel {
    Arena *arena;
    const WheelOptions *options;
    zip_t *zip;
    Text record; /* RECORD, which lists the members */
    const char *tag, *name;
    const char *stem; /* name and version, with which file names begin */
    const char **error;
} Wheel;

static bool fail_wheel(Wheel *w, const char *why) {
    *w->error = arena_printf(w->arena, "the wheel cannot be written: %s", why);
    return false;
}

/* ---- names ---- */

/* Normalizes the name of a distribution: lower case, single _ between words. */
static const char *distribution_name(Arena *arena, const char *package) {
    Text name = {.arena = arena};
    for (const char *at = package; *at; at++) {
        bool between = *at != '_' || (name.length && at[strspn(at, "_")] && at[1] != '_');
        if (between) text_add(&name, "%c", tolower((unsigned char)*at));
    }
    return name.length ? text_string(&name) : "model";
}

static bool name_wheel(Wheel *w, const Program *program, const char *extension) {
    int glibc = least_glibc(extension, w->arena, w->error);
    if (glibc < 0) return false;
    w->tag = arena_printf(w->arena, "cp311-abi3-manylinux_2_%d_%s",
                          glibc > OLDEST_GLIBC ? glibc : OLDEST_GLIBC, program->target->runtime);
    w->name = distribution_name(w->arena, w->options->package);
    w->stem = arena_printf(w->arena, "%s-%s", w->name, w->options->version);
    return true;
}

/* ---- members ---- */

/* In the alphabet of base64url, without padding. */
static const char *digest_text(Arena *arena, const void *bytes, size_t count) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned char digest[SHA256_BYTES + 1] = {0};
    Text text = {.arena = arena};
    sha256(bytes, count, digest);
    for (int bit = 0; bit < SHA256_BYTES * 8; bit += 6) {
        int pair = digest[bit / 8] << 8 | digest[bit / 8 + 1];
        text_add(&text, "%c", letters[pair >> (10 - bit % 8) & 63]);
    }
    return text_string(&text);
}

static bool zip_member(Wheel *w, const char *name, zip_source_t *source) {
    zip_int64_t index = source ? zip_file_add(w->zip, name, source, 0) : -1;
    if (index < 0 && source) zip_source_free(source);
    bool good = index >= 0 && zip_file_set_dostime(w->zip, (zip_uint64_t)index, 0, 1 << 5 | 1, 0) == 0 &&
                zip_file_set_external_attributes(w->zip, (zip_uint64_t)index, 0, ZIP_OPSYS_UNIX,
                                                 (zip_uint32_t)0100644 << 16) == 0;
    return good || fail_wheel(w, zip_strerror(w->zip));
}

static void record_member(Wheel *w, const char *name, const void *bytes, size_t count) {
    text_add(&w->record, "%s,sha256=%s,%zu\n", name, digest_text(w->arena, bytes, count), count);
}

static bool add_text_member(Wheel *w, const char *folder, const char *name, const char *words) {
    const char *path = arena_printf(w->arena, "%s/%s", folder, name);
    record_member(w, path, words, strlen(words));
    return zip_member(w, path, zip_source_buffer(w->zip, words, strlen(words), 0));
}

static bool add_extension(Wheel *w, const char *extension) {
    const char *path = arena_printf(w->arena, "%s/_model.abi3.so", w->options->package);
    cai_file file;
    cai_error failed;
    if (!cai_file_map(extension, &file, &failed)) return fail_wheel(w, failed.message);
    record_member(w, path, file.data, file.count);
    cai_file_close(&file);
    return zip_member(w, path, zip_source_file(w->zip, extension, 0, -1));
}

/* ---- metadata ---- */

static const char *metadata_text(Wheel *w, const Graph *graph) {
    const char *about = graph->comment ? graph->comment : graph->model;
    return arena_printf(w->arena,
                        "Metadata-Version: 2.1\nName: %s\nVersion: %s\nSummary: %s\nRequires-Python: >=3.11\n"
                        "\n%s\n",
                        w->name, w->options->version, doc_sentence(w->arena, about), about);
}

static const char *wheel_text(Wheel *w) {
    return arena_printf(w->arena, "Wheel-Version: 1.0\nGenerator: cai %s\nRoot-Is-Purelib: false\nTag: %s\n",
                        CAI_VERSION, w->tag);
}

static const char extension_types[] = "from typing import Any\n\n"
                                      "labels: dict[str, tuple[str, ...]]\n\n"
                                      "def run(inputs: tuple[object, ...], threads: int, seed: int, /) -> "
                                      "tuple[Any, ...]: ...\n";

static bool add_members(Wheel *w, const Program *program, const char *extension) {
    const char *package = w->options->package, *about = arena_printf(w->arena, "%s.dist-info", w->stem);
    if (!add_text_member(w, package, "__init__.py", python_text(program, w->options->version)) ||
        !add_text_member(w, package, "_model.pyi", extension_types) || !add_extension(w, extension) ||
        !add_text_member(w, package, "py.typed", "") ||
        !add_text_member(w, about, "METADATA", metadata_text(w, program->graph)) ||
        !add_text_member(w, about, "WHEEL", wheel_text(w)))
        return false;
    text_add(&w->record, "%s/RECORD,,\n", about);
    const char *record = text_string(&w->record);
    return zip_member(w, arena_printf(w->arena, "%s/RECORD", about),
                      zip_source_buffer(w->zip, record, w->record.length, 0));
}

const char *wheel_write(const Program *program, const char *extension, const WheelOptions *options,
                        const char *scratch, const char **error) {
    Wheel wheel = {.arena = program->arena, .options = options, .error = error}, *w = &wheel;
    w->record.arena = w->arena;
    int code;
    if (!name_wheel(w, program, extension)) return NULL;
    w->zip = zip_open(scratch, ZIP_CREATE | ZIP_TRUNCATE, &code);
    if (!w->zip) {
        zip_error_t why;
        zip_error_init_with_code(&why, code);
        fail_wheel(w, arena_printf(w->arena, "%s", zip_error_strerror(&why)));
        zip_error_fini(&why);
        return NULL;
    }
    bool added = add_members(w, program, extension);
    if (added && zip_close(w->zip) == 0)
        return arena_printf(w->arena, "%s%s-%s.whl", options->folder, w->stem, w->tag);
    if (added) fail_wheel(w, zip_strerror(w->zip));
    zip_discard(w->zip);
    return NULL;
}
