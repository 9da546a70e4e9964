/* The file of a compilation and the files that it uses: reads them, and finds what a name
 * at file level means. */
#include "elaborate/evaluator.h"
#include "elaborate/training.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

enum { LARGEST_FILE = SOURCE_BYTES_MAX };

char *read_file(Arena *arena, const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    Text text = {.arena = arena};
    char part[16384];
    size_t count;
    while ((count = fread(part, 1, sizeof part, file)) > 0 && text.length <= LARGEST_FILE)
        text_add_bytes(&text, part, count);
    int failure = ferror(file) ? errno : text.length > LARGEST_FILE ? EFBIG : 0;
    fclose(file);
    if (failure) {
        errno = failure;
        return NULL;
    }
    *length = text.length;
    return (char *)text_string(&text);
}

const char *why_unreadable(Arena *arena) {
    return errno == EFBIG
               ? arena_printf(arena, "it has more than %d bytes, the most that cai reads", LARGEST_FILE)
               : strerror(errno);
}

static Name base_name(Names *names, const char *path) {
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');
    return intern_range(names, base, dot ? (size_t)(dot - base) : strlen(base));
}

static void define_declared(Library *library, Unit *unit, Decl *decl) {
    Definition *before = map_get(unit->definitions, decl->name);
    if (before) {
        Diagnostic *d =
            diag_error(library->diag, DIAG_name_twice, decl->name_span, "`%s` is defined twice", decl->name);
        diag_note(library->diag, d, before->decl->name_span, "the first one is here");
        return;
    }
    Definition *definition = NEW(library->arena, Definition);
    *definition = (Definition){.decl = decl, .unit = unit};
    map_set(unit->definitions, decl->name, definition);
    if (decl->kind == DECL_MODEL && unit == library->main)
        vec_push(library->arena, &library->models, definition);
    if (decl->kind == DECL_TRAIN && unit == library->main)
        vec_push(library->arena, &library->trains, definition);
}

/* Reports by errno as read_file left it. */
static void report_unreadable(Library *library, Span span, const char *path) {
    bool large = errno == EFBIG;
    Diagnostic *d = diag_error(library->diag, large ? DIAG_file_too_large : DIAG_no_such_file, span,
                               "cannot read %s: %s", path, why_unreadable(library->arena));
    if (large)
        diag_help(library->diag, d, "a .cai file is text; if this file has weights, name it after --weights");
}

static Unit *open_unit(Library *library, const char *path, const char *shown, bool is_library);

static const char *folder_of(Arena *arena, const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? arena_strndup(arena, path, (size_t)(slash - path) + 1) : "";
}

/* Beside the file that uses it, else in the standard library. NULL with errno set: ENOENT
 * where neither has it. */
static Unit *find_used(Library *library, const Unit *unit, Name name) {
    Arena *arena = library->arena;
    bool in_library = unit->file->source->library;
    const char *folder = in_library ? "" : folder_of(arena, unit->file->source->path);
    const char *beside = arena_printf(arena, "%s%s.cai", folder, name);
    const char *in_stdlib = arena_printf(arena, "<stdlib>/%s.cai", name);
    for (int i = 0; i < library->units.count; i++) {
        const char *path = library->units.items[i]->file->source->path;
        if (!strcmp(path, in_library ? in_stdlib : beside)) return library->units.items[i];
    }
    errno = ENOENT;
    Unit *found = in_library ? NULL : open_unit(library, beside, beside, false);
    if (!found && errno != ENOENT) return NULL;
    for (int i = 0; !found && i < library->units.count; i++)
        if (!strcmp(library->units.items[i]->file->source->path, in_stdlib)) return library->units.items[i];
    if (found) return found;
    return open_unit(library, arena_printf(arena, "%s/%s.cai", library->options.stdlib_dir, name), in_stdlib,
                     true);
}

/* ---- files that a `use` may mean ---- */

static const char *unit_name_of(Arena *arena, const char *file) {
    size_t length = strlen(file);
    return length > 4 && !strcmp(file + length - 4, ".cai") ? arena_strndup(arena, file, length - 4) : NULL;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Appends the files in the order of their names. */
static void add_folder_files(Library *library, const char *folder, NameList *names) {
    const int before = names->count;
    DIR *open = opendir(*folder ? folder : ".");
    for (struct dirent *entry; open && (entry = readdir(open));) {
        const char *name = unit_name_of(library->arena, entry->d_name);
        if (name) vec_push(library->arena, names, name);
    }
    if (open) closedir(open);
    if (names->count > before)
        qsort(names->items + before, (size_t)(names->count - before), sizeof *names->items, by_name);
}

/* The declarations of a library file, by its text alone. */
static void add_declared_names(Library *library, const char *file, NameList *names) {
    size_t length;
    const char *text =
        read_file(library->arena,
                  arena_printf(library->arena, "%s/%s.cai", library->options.stdlib_dir, file), &length);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        size_t word = !strncmp(line, "block ", 6) ? 6 : !strncmp(line, "optimizer ", 10) ? 10 : 0;
        if (!word || is_internal(line + word)) continue;
        vec_push(library->arena, names,
                 arena_strndup(library->arena, line + word, strcspn(line + word, "( ")));
    }
}

static bool is_of_prelude(const Library *library, const char *file) {
    for (int i = 0; library->prelude && i < library->prelude->uses.count; i++)
        if (!strcmp(library->prelude->uses.items[i]->name, file)) return true;
    return false;
}

static bool list_contains(const NameList *names, const char *name) {
    for (int i = 0; i < names->count; i++)
        if (!strcmp(names->items[i], name)) return true;
    return false;
}

const char *library_file_with(Library *library, Name name) {
    NameList files = {0};
    add_folder_files(library, library->options.stdlib_dir, &files);
    for (int i = 0; i < files.count; i++) {
        NameList blocks = {0};
        if (!is_of_prelude(library, files.items[i])) add_declared_names(library, files.items[i], &blocks);
        if (list_contains(&blocks, name)) return files.items[i];
    }
    return NULL;
}

/* Reports a missing file, with the file, or the library block, that was most likely
 * meant. */
static void report_no_file(Library *library, const Unit *unit, const Decl *use) {
    Name name = use->name;
    Diagnostic *d = diag_error(library->diag, DIAG_no_such_file, use->name_span,
                               "no file %s.cai beside this one or in the standard library", name);
    NameList files = {0}, blocks = {0};
    add_folder_files(library, library->options.stdlib_dir, &files);
    const int count = files.count;
    add_folder_files(library, folder_of(library->arena, unit->file->source->path), &files);
    const char *near = nearest_name(name, files.items, files.count);
    for (int i = 0; i < count; i++) add_declared_names(library, files.items[i], &blocks);
    const char *block = nearest_name(name, blocks.items, blocks.count);
    const char *file = block ? library_file_with(library, intern(library->names, block)) : NULL;
    if (near) diag_help(library->diag, d, "did you mean `use %s`?", near);
    else if (file) diag_help(library->diag, d, "`%s` is a block of %s.cai: `use %s`", block, file, file);
    else if (block)
        diag_help(library->diag, d, "`%s` is a block that every file knows: it needs no `use`", block);
}

/* ---- reading ---- */

static void read_uses(Library *library, Unit *unit) {
    for (int i = 0; i < unit->file->decls.count; i++) {
        Decl *decl = unit->file->decls.items[i];
        if (decl->kind != DECL_USE) {
            define_declared(library, unit, decl);
            continue;
        }
        Unit *used = find_used(library, unit, decl->name);
        if (used) vec_push(library->arena, &unit->uses, used);
        else if (errno == ENOENT) report_no_file(library, unit, decl);
        else report_unreadable(library, decl->name_span, arena_printf(library->arena, "%s.cai", decl->name));
    }
}

/* Units are listed before their uses are read, so files may use each other. */
static Unit *unit_of_text(Library *library, const char *text, size_t length, const char *shown,
                          bool is_library) {
    Source *source = source_new(library->arena, shown, text, length);
    source->library = is_library;
    Unit *unit = NEW(library->arena, Unit);
    *unit = (Unit){
        .library = library, .name = base_name(library->names, shown), .definitions = map_new(library->arena)};
    if (!library->main && !is_library) library->main = unit;
    unit->file = parse_file(library->arena, library->names, library->diag, source);
    vec_push(library->arena, &library->units, unit);
    read_uses(library, unit);
    return unit;
}

/* NULL where the file cannot be read. */
static Unit *open_unit(Library *library, const char *path, const char *shown, bool is_library) {
    size_t length;
    char *text = read_file(library->arena, path, &length);
    return text ? unit_of_text(library, text, length, shown, is_library) : NULL;
}

static Library *library_new(Arena *arena, Names *names, Diagnostics *diag, const ElaborateOptions *options) {
    Library *library = NEW(arena, Library);
    *library = (Library){.arena = arena, .names = names, .diag = diag, .options = *options};
    const char *prelude = arena_printf(arena, "%s/prelude.cai", options->stdlib_dir);
    library->prelude = open_unit(library, prelude, "<stdlib>/prelude.cai", true);
    if (!library->prelude)
        diag_error(diag, DIAG_no_stdlib, (Span){0}, "cannot read the standard library's %s: %s", prelude,
                   why_unreadable(arena));
    errno = 0;
    return library;
}

/* Checks the files once all are read. */
static void library_check(Library *library) {
    if (library->main) check_defines(library);
    library->broken = library->diag->errors > 0;
    library->unknown = map_new(library->arena);
    library->reported = map_new(library->arena);
    for (int i = 0; i < library->units.count && !library->broken; i++)
        if (!library->units.items[i]->file->source->library) check_names(library, library->units.items[i]);
}

Library *library_open(Arena *arena, Names *names, Diagnostics *diag, const char *path,
                      const ElaborateOptions *options) {
    Library *library = library_new(arena, names, diag, options);
    path = arena_strndup(arena, path, strlen(path));
    Unit *main = open_unit(library, path, path, false);
    if (!main) report_unreadable(library, (Span){0}, path);
    library_check(library);
    return main ? library : NULL;
}

Library *library_of_text(Arena *arena, Names *names, Diagnostics *diag, const char *text,
                         const ElaborateOptions *options) {
    Library *library = library_new(arena, names, diag, options);
    unit_of_text(library, text, strlen(text), "", false);
    library_check(library);
    return library;
}

const File *library_file(const Library *library) { return library->main->file; }
const Source *library_source(const Library *library, int index) {
    return index < library->units.count ? library->units.items[index]->file->source : NULL;
}
int library_model_count(const Library *library) { return library->models.count; }
Name library_model_name(const Library *library, int index) {
    return library->models.items[index]->decl->name;
}
int library_train_count(const Library *library) { return library->trains.count; }
Name library_train_name(const Library *library, int index) {
    return library->trains.items[index]->decl->name;
}

/* Finds a name in the prelude and the files that it uses. */
static Definition *find_in_prelude(const Unit *prelude, Name name) {
    Definition *found = prelude ? map_get(prelude->definitions, name) : NULL;
    for (int i = 0; prelude && !found && i < prelude->uses.count; i++)
        found = map_get(prelude->uses.items[i]->definitions, name);
    return found;
}

Found library_find(const Unit *unit, Name name) {
    Found found = {.definition = map_get(unit->definitions, name)};
    if (found.definition) return found;
    for (int i = 0; i < unit->uses.count; i++) {
        const Unit *used = unit->uses.items[i];
        if (used->name == name && !found.module) found.module = used;
        Definition *there = map_get(used->definitions, name);
        if (there && found.definition && found.definition != there) found.also = used;
        else if (there) found.definition = there;
    }
    if (!found.definition && !found.module) found.definition = find_in_prelude(unit->library->prelude, name);
    return found;
}

static void add_unit_names(const Unit *unit, bool internal, Arena *arena, NameList *names) {
    for (int i = 0; unit && i < unit->file->decls.count; i++) {
        const Decl *decl = unit->file->decls.items[i];
        if (decl->kind != DECL_USE && (internal || !is_internal(decl->name)))
            vec_push(arena, names, decl->name);
    }
}

NameList library_candidates(const Unit *unit, Arena *arena) {
    NameList all = {0};
    const Unit *prelude = unit->library->prelude;
    add_unit_names(unit, true, arena, &all);
    for (int i = 0; i < unit->uses.count; i++) add_unit_names(unit->uses.items[i], false, arena, &all);
    for (int i = 0; prelude && i < prelude->uses.count; i++)
        add_unit_names(prelude->uses.items[i], false, arena, &all);
    add_unit_names(prelude, false, arena, &all);
    builtin_names(arena, &all);
    return all;
}

NameList library_members(const Unit *used, Arena *arena) {
    NameList all = {0};
    add_unit_names(used, false, arena, &all);
    return all;
}
