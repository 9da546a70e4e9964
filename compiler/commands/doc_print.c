/* The reference as text for a terminal and as Markdown: names, files, and the whole
 * library, which is docs/stdlib.md. */
#include "commands/doc.h"

enum { WIDTH = 100, NAMES_WIDTH = 24 };

/* ---- text ---- */

static void text_head(Text *out, const DocFile *file) {
    if (!file->library) text_add(out, "%s\n\n", file->name);
    else if (file->use) text_add(out, "%s of the library: `use %s`\n\n", file->name, file->use);
    else text_add(out, "%s of the library, known everywhere\n\n", file->name);
}

static void text_entry(Text *out, const DocEntry *entry) {
    text_add(out, "%s\n", entry->signature);
    if (entry->decl->comment) doc_add_text(out, entry->decl->comment, 4, WIDTH);
    text_add(out, "\n");
}

static void text_file(Text *out, const DocFile *file) {
    text_head(out, file);
    if (file->doc->comment) {
        doc_add_text(out, file->doc->comment, 0, WIDTH);
        text_add(out, "\n");
    }
    for (int i = 0; i < file->doc->entries.count; i++) text_entry(out, &file->doc->entries.items[i]);
}

static const char *operator_takes(Arena *arena, const OpInfo *info) {
    const char *attributes = op_attributes_text(arena, info), *gap = *attributes ? "; " : "";
    if (info->max_inputs < 0) return arena_printf(arena, "any number of inputs%s%s", gap, attributes);
    return arena_printf(arena, "%d input%s%s%s", info->max_inputs, info->max_inputs == 1 ? "" : "s", gap,
                        attributes);
}

static const char *operator_has(Arena *arena, const OpInfo *info) {
    const char *gradient = op_is_differentiable((Op)(info - op_info)) ? "has a gradient" : "has no gradient";
    return arena_printf(arena, "%s%s%s", gradient, *info->onnx ? "; ONNX: " : "", info->onnx);
}

static void text_operator(Text *out, const OpInfo *info) {
    text_add(out, "primitive.%s: an operator of %s\n", info->name, operator_takes(out->arena, info));
    doc_add_text(out, info->formula, 4, WIDTH);
    text_add(out, "    %s\n\n", operator_has(out->arena, info));
}

static void text_error(Text *out, const DiagInfo *error) {
    text_add(out, "the error %s\n", diag_code_text(out->arena, (DiagCode)(error - diag_info)));
    doc_add_text(out, error->cause, 4, WIDTH);
    text_add(out, "\n");
    doc_add_text(out, error->cure, 4, WIDTH);
    text_add(out, "\n");
}

/* A name, with its description beside or below it. */
static void text_row(Text *out, const DocEntry *entry) {
    Text what = {.arena = out->arena};
    const char *name = entry->decl->name;
    size_t length = strlen(name) + 2;
    doc_add_text(&what, doc_sentence(out->arena, entry->decl->comment), NAMES_WIDTH, WIDTH);
    bool beside = what.length > 0 && length < NAMES_WIDTH;
    text_add(out, "  %s%s%s", name, beside ? "" : "\n", text_string(&what) + (beside ? length : 0));
}

static void text_overview(Text *out, const Reference *reference) {
    text_add(out, "`cai doc NAME` says all of a block, an operator or a file.\n\n");
    for (int i = 0; i < reference->files.count; i++) {
        const DocFile *file = reference->files.items[i];
        text_head(out, file);
        for (int k = 0; k < file->doc->entries.count; k++) text_row(out, &file->doc->entries.items[k]);
        text_add(out, "\n");
    }
}

void reference_text(Text *out, const Reference *reference, const FoundList *found) {
    if (!found) text_overview(out, reference);
    for (int i = 0; found && i < found->count; i++) {
        const DocFound *f = &found->items[i];
        if (f->operator) text_operator(out, f->operator);
        else if (f->error) text_error(out, f->error);
        else if (!f->entry) text_file(out, f->file);
        else text_head(out, f->file), text_entry(out, f->entry);
        if (f->also) text_add(out, "%s is a file, too: `cai doc %s`\n\n", f->also, f->also);
    }
    if (out->length) out->bytes[--out->length] = 0; /* a blank line stands between, none at the end */
}

/* ---- Markdown ---- */

static void markdown_use(Text *out, const DocFile *file) {
    if (file->use) text_add(out, "`use %s`\n\n", file->use);
}

/* folder: that of the file, for a link; NULL: no link. */
static void markdown_heading(Text *out, const DocFile *file, const DocEntry *entry, const char *folder) {
    int line = source_place(file->doc->source, entry->decl->span.begin).line;
    if (folder) text_add(out, "### [`%s`](%s%s#L%d)\n\n", entry->decl->name, folder, file->name, line);
    else text_add(out, "### `%s`\n\n", entry->decl->name);
}

static void markdown_entry(Text *out, const DocEntry *entry) {
    text_add(out, "```\n%s\n```\n\n", entry->signature);
    if (!entry->decl->comment) return;
    doc_add_markdown(out, entry->decl->comment, false);
    text_add(out, "\n\n");
}

static void markdown_rows(Text *out, const DocFile *file) {
    text_add(out, "| | |\n|-|-|\n");
    for (int i = 0; i < file->doc->entries.count; i++) {
        const Decl *decl = file->doc->entries.items[i].decl;
        text_add(out, "| [`%s`](#%s) | ", decl->name, decl->name);
        doc_add_markdown(out, doc_sentence(out->arena, decl->comment), true);
        text_add(out, " |\n");
    }
    text_add(out, "\n");
}

static void markdown_file(Text *out, const DocFile *file, const char *folder) {
    text_add(out, "## %s\n\n", file->name);
    markdown_use(out, file);
    if (file->doc->comment) {
        doc_add_markdown(out, file->doc->comment, false);
        text_add(out, "\n\n");
    }
    if (file->doc->entries.count > 1) markdown_rows(out, file);
    for (int i = 0; i < file->doc->entries.count; i++) {
        markdown_heading(out, file, &file->doc->entries.items[i], folder);
        markdown_entry(out, &file->doc->entries.items[i]);
    }
}

static void markdown_operator(Text *out, const OpInfo *info) {
    text_add(out, "### `primitive.%s`\n\nAn operator of %s\n\n", info->name,
             operator_takes(out->arena, info));
    doc_add_markdown(out, info->formula, false);
    text_add(out, "; %s\n\n", operator_has(out->arena, info));
}

static void markdown_error(Text *out, const DiagInfo *error) {
    text_add(out, "### The error `%s`\n\n", diag_code_text(out->arena, (DiagCode)(error - diag_info)));
    doc_add_markdown(out, error->cause, false);
    text_add(out, "\n\n");
    doc_add_markdown(out, error->cure, false);
    text_add(out, "\n\n");
}

/* What a heading's link is called on GitHub: letters, digits, - and _ of it. */
static const char *link_anchor_of(Arena *arena, const char *heading) {
    Text anchor = {.arena = arena};
    for (; *heading; heading++)
        if (*heading != '.') text_add(&anchor, "%c", *heading);
    return text_string(&anchor);
}

/* The files that every file knows, or the others, with their names. */
static void markdown_index(Text *out, const Reference *reference, bool known) {
    text_add(out, "| file | what it has |\n|-|-|\n");
    for (int i = 0; i < reference->files.count; i++) {
        const DocFile *file = reference->files.items[i];
        if (known != !file->use) continue;
        text_add(out, "| [%s](#%s) | ", file->name, link_anchor_of(out->arena, file->name));
        for (int k = 0; k < file->doc->entries.count; k++) {
            const char *name = file->doc->entries.items[k].decl->name;
            text_add(out, "%s[%s](#%s)", k ? ", " : "", name, name);
        }
        text_add(out, " |\n");
    }
    text_add(out, "\n");
}

static void markdown_library(Text *out, const Reference *reference) {
    text_add(
        out,
        "# The library\n\n"
        "Made from the comments in [stdlib/](../stdlib) by `make docs`; edit those. `cai doc NAME` prints an entry in the terminal,\n"
        "and `cai doc FILE` does the same for files of your own. The primitive operators below the library are in\n"
        "[operators.md](operators.md).\n\nEvery file knows these:\n\n");
    markdown_index(out, reference, true);
    text_add(out, "A `use` brings these:\n\n");
    markdown_index(out, reference, false);
    for (int i = 0; i < reference->files.count; i++)
        markdown_file(out, reference->files.items[i], "../stdlib/");
}

static void markdown_found(Text *out, const DocFile *file, const DocEntry *entry, const char *folder) {
    markdown_heading(out, file, entry, folder);
    markdown_use(out, file);
    markdown_entry(out, entry);
}

void reference_markdown(Text *out, const Reference *reference, const FoundList *found) {
    if (!found) markdown_library(out, reference);
    for (int i = 0; found && i < found->count; i++) {
        const DocFound *f = &found->items[i];
        const char *folder = f->file && !f->file->library ? "" : NULL;
        if (f->operator) markdown_operator(out, f->operator);
        else if (f->error) markdown_error(out, f->error);
        else if (!f->entry) markdown_file(out, f->file, folder);
        else markdown_found(out, f->file, f->entry, folder);
    }
    if (out->length) out->bytes[--out->length] = 0;
}
