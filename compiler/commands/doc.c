/* cai doc: the comments of files. This file finds what is requested; doc_print.c lays it
 * out. */
#include "commands/doc.h"
#include "elaborate/elaborate.h"
#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- the library's files ---- */

static DocFile *read_doc(Session *s, const char *path, const char *name) {
    Source *source = session_source(s, path);
    Doc *doc = source ? doc_read(s->arena, s->names, &s->diag, source) : NULL;
    if (!doc) return NULL;
    DocFile *file = NEW(s->arena, DocFile);
    *file = (DocFile){.doc = doc, .name = name};
    return file;
}

static const char *library_path(const Session *s, const char *name) {
    return arena_printf(s->arena, "%s/%s", s->stdlib_dir, name);
}

static DocFile *library_file_named(const Reference *r, const char *name) {
    for (int i = 0; i < r->files.count; i++)
        if (strcmp(r->files.items[i]->name, name) == 0) return r->files.items[i];
    return NULL;
}

static void add_library_file(Session *s, Reference *r, const char *name, const char *use) {
    DocFile *file = read_doc(s, library_path(s, name), name);
    if (!file) return;
    file->library = true;
    file->use = use;
    vec_push(s->arena, &r->files, file);
}

/* Reads the files of the prelude, in its order; the prelude itself declares nothing. */
static bool read_known(Session *s, Reference *r) {
    Source *source = session_source(s, library_path(s, "prelude.cai"));
    File *file = source ? parse_file(s->arena, s->names, &s->diag, source) : NULL;
    for (int i = 0; file && i < file->decls.count; i++) {
        const Decl *decl = file->decls.items[i];
        if (decl->kind == DECL_USE)
            add_library_file(s, r, arena_printf(s->arena, "%s.cai", decl->name), NULL);
    }
    return s->diag.errors == 0;
}

static int is_source_entry(const struct dirent *entry) {
    const char *end = strrchr(entry->d_name, '.');
    return end && strcmp(end, ".cai") == 0 && strcmp(entry->d_name, "prelude.cai") != 0;
}

static bool read_library(Session *s, Reference *r) {
    struct dirent **entries;
    if (!read_known(s, r)) return false;
    int count = scandir(s->stdlib_dir, &entries, is_source_entry, alphasort);
    for (int i = 0; i < count; i++) {
        const char *name = arena_printf(s->arena, "%s", entries[i]->d_name);
        free(entries[i]);
        if (!library_file_named(r, name))
            add_library_file(s, r, name, arena_strndup(s->arena, name, strlen(name) - strlen(".cai")));
    }
    if (count >= 0) free(entries);
    return s->diag.errors == 0;
}

/* ---- finding ---- */

static void find_entries(Session *s, const DocFile *file, const char *name, FoundList *found) {
    for (int i = 0; i < file->doc->entries.count; i++)
        if (strcmp(file->doc->entries.items[i].decl->name, name) == 0)
            vec_push(s->arena, found, (DocFound){.file = file, .entry = &file->doc->entries.items[i]});
}

/* Whether an operator is called as primitive.NAME: sources are made in other ways. */
static bool can_be_called(int op) { return op_info[op].class != CLASS_SOURCE; }

static void find_operator(Session *s, const char *name, FoundList *found) {
    for (int op = 0; op < OP_COUNT; op++)
        if (can_be_called(op) && strcmp(op_info[op].name, name) == 0)
            vec_push(s->arena, found, (DocFound){.operator = &op_info[op]});
}

typedef Vec(const char *) NameList;

static void add_documented_names(Session *s, const DocFile *file, NameList *names) {
    for (int i = 0; i < file->doc->entries.count; i++)
        vec_push(s->arena, names, file->doc->entries.items[i].decl->name);
}

static void add_operators(Session *s, NameList *names) {
    for (int op = 0; op < OP_COUNT; op++)
        if (can_be_called(op)) vec_push(s->arena, names, op_info[op].name);
}

static void suggest_documented(Session *s, Diagnostic *d, const char *name, const NameList *names,
                               const char *before) {
    const char *near = nearest_name(name, names->items, names->count);
    if (near) diag_help(&s->diag, d, "did you mean `%s%s`?", before, near);
}

static void report_undocumented(Session *s, const Reference *r, const char *name) {
    NameList names = {0};
    const char *alias = alias_help(name);
    Diagnostic *d = diag_error(&s->diag, DIAG_unknown_name, (Span){0},
                               "neither the library nor the operators have `%s`, and there is no file %s.cai",
                               name, name);
    for (int i = 0; i < r->files.count; i++) add_documented_names(s, r->files.items[i], &names);
    for (int i = 0; i < r->files.count; i++)
        if (r->files.items[i]->use) vec_push(s->arena, &names, r->files.items[i]->use);
    add_operators(s, &names);
    if (builtin_knows(intern(s->names, name)))
        diag_help(&s->diag, d, "it is part of the language itself, which docs/language.md describes");
    else if (alias) diag_help(&s->diag, d, "%s", alias);
    else suggest_documented(s, d, name, &names, "");
}

/* Finds a file as `use` does: here, else in the library. */
static const DocFile *used_file(Session *s, const Reference *r, const char *name) {
    const char *path = arena_printf(s->arena, "%s.cai", name);
    return access(path, F_OK) == 0 ? read_doc(s, path, path) : library_file_named(r, path);
}

/* blocks.cai, sub/net.cai, - : a file here; one without a folder may be of the
 * library. */
static void find_path(Session *s, const Reference *r, const char *path, FoundList *found) {
    const DocFile *file = access(path, F_OK) == 0 ? NULL : library_file_named(r, path);
    if (!file) file = read_doc(s, path, path);
    if (file) vec_push(s->arena, found, (DocFound){.file = file});
}

/* primitive.sum */
static void find_primitive(Session *s, const char *name, FoundList *found) {
    NameList names = {0};
    int count = found->count;
    find_operator(s, name, found);
    if (found->count > count) return;
    add_operators(s, &names);
    suggest_documented(s,
                       diag_error(&s->diag, DIAG_unknown_name, (Span){0}, "there is no operator `%s`", name),
                       name, &names, "primitive.");
}

/* unet.level */
static void find_member(Session *s, const Reference *r, const char *module, const char *name,
                        FoundList *found) {
    NameList names = {0};
    int count = found->count, errors = s->diag.errors;
    const DocFile *file = used_file(s, r, module);
    if (file) find_entries(s, file, name, found);
    if (found->count > count || s->diag.errors > errors) return;
    if (!file) {
        diag_error(&s->diag, DIAG_no_such_file, (Span){0}, "no file %s.cai here or in the standard library",
                   module);
        return;
    }
    add_documented_names(s, file, &names);
    Diagnostic *d = diag_error(&s->diag, DIAG_unknown_name, (Span){0}, "%s has no `%s`", file->name, name);
    suggest_documented(s, d, name, &names, arena_printf(s->arena, "%s.", module));
}

/* shape: what messages have in brackets */
static void find_error(Session *s, const char *code, FoundList *found) {
    const DiagInfo *error = diag_find(s->arena, code);
    if (error) vec_push(s->arena, found, (DocFound){.error = error});
}

static void find_name(Session *s, const Reference *r, const char *name, FoundList *found) {
    int count = found->count, errors = s->diag.errors;
    const char *path = arena_printf(s->arena, "%s.cai", name);
    for (int i = 0; i < r->files.count; i++) find_entries(s, r->files.items[i], name, found);
    find_operator(s, name, found);
    find_error(s, name, found);
    if (found->count > count) {
        if (access(path, F_OK) == 0 || library_file_named(r, path)) vec_last(found).also = path;
        return;
    }
    const DocFile *file = used_file(s, r, name);
    if (file) vec_push(s->arena, found, (DocFound){.file = file});
    else if (s->diag.errors == errors) report_undocumented(s, r, name);
}

static bool is_path(const char *what) {
    size_t length = strlen(what);
    return strchr(what, '/') || strcmp(what, "-") == 0 ||
           (length > 4 && strcmp(what + length - 4, ".cai") == 0);
}

static void find_documented(Session *s, const Reference *r, const char *what, FoundList *found) {
    const char *dot = strchr(what, '.'),
               *before = dot ? arena_strndup(s->arena, what, (size_t)(dot - what)) : NULL;
    if (is_path(what)) find_path(s, r, what, found);
    else if (!dot) find_name(s, r, what, found);
    else if (strcmp(before, "primitive") == 0) find_primitive(s, dot + 1, found);
    else find_member(s, r, before, dot + 1, found);
}

int command_doc(Session *session) {
    const Options *o = session->options;
    Reference reference = {0};
    FoundList found = {0};
    bool markdown = o->format && strcmp(o->format, "markdown") == 0;
    if (o->format && !markdown && strcmp(o->format, "text") != 0)
        return session_usage(session, "--format is text or markdown, not `%s`", o->format);
    if (!read_library(session, &reference)) return session_end(session);
    if (o->file) find_documented(session, &reference, o->file, &found);
    for (int i = 0; i < o->rest.count; i++) find_documented(session, &reference, o->rest.items[i], &found);
    Text text = {.arena = session->arena};
    if (markdown) reference_markdown(&text, &reference, o->file ? &found : NULL);
    else reference_text(&text, &reference, o->file ? &found : NULL);
    fputs(text_string(&text), stdout);
    return session_end(session);
}
