/* Renames the symbols of a library. The objects of a model and its runtime were linked
 * into one (ld -r); in its symbol table FROM_NAME (cai_model_NAME) becomes PREFIX_NAME,
 * and every other symbol that it defines becomes local, so that any number of models, of
 * any versions of cai, link into one program. The symbol table is rewritten in place
 * (locals come before the others, so entries move, and relocations refer to entries by
 * number). The table of names is made anew, at the end of the file, without the names of
 * files that the linker read, so that equal models make equal libraries. The file was
 * just made by the linker, so it is well formed. */
#include "object/object.h"
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct SymbolTable {
    Arena *arena;
    char *file; /* mapped, shared */
    uint64_t bytes;
    Elf64_Shdr *sections, *symtab, *strtab;
    int section_count, count;
    Elf64_Sym *symbols; /* a copy, in the old order */
    uint32_t *numbers;  /* old -> new */
    const char *names;
    Text added; /* the new table of names */
    const char *from, *prefix;
    const char **error;
} SymbolTable;

static bool fail_symbols(SymbolTable *t, const char *text) {
    *t->error = text;
    return false;
}

static const char *name_of(const SymbolTable *t, const Elf64_Sym *symbol) {
    return t->names + symbol->st_name;
}
static bool is_defined_symbol(const Elf64_Sym *symbol) { return symbol->st_shndx != SHN_UNDEF; }
static bool is_global_symbol(const Elf64_Sym *symbol) { return ELF64_ST_BIND(symbol->st_info) != STB_LOCAL; }

static bool is_exported(const SymbolTable *t, const Elf64_Sym *symbol) {
    return is_global_symbol(symbol) && is_defined_symbol(symbol) &&
           strncmp(name_of(t, symbol), t->from, strlen(t->from)) == 0;
}

static bool stays_global(const SymbolTable *t, const Elf64_Sym *symbol) {
    return is_exported(t, symbol) || (is_global_symbol(symbol) && !is_defined_symbol(symbol));
}

static bool open_table(SymbolTable *t) {
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)t->file;
    t->sections = (Elf64_Shdr *)(t->file + header->e_shoff);
    t->section_count = header->e_shnum;
    for (int i = 0; i < t->section_count; i++) {
        if (t->sections[i].sh_type == SHT_SYMTAB) t->symtab = &t->sections[i];
        if (t->sections[i].sh_type == SHT_SYMTAB_SHNDX)
            return fail_symbols(t, "the linker made more sections than 65,000");
    }
    if (!t->symtab) return fail_symbols(t, "the linker made an object without symbols");
    t->strtab = &t->sections[t->symtab->sh_link];
    t->names = t->file + t->strtab->sh_offset;
    t->count = (int)(t->symtab->sh_size / sizeof(Elf64_Sym));
    t->symbols = NEW_ARRAY(t->arena, Elf64_Sym, t->count);
    t->numbers = NEW_ARRAY(t->arena, uint32_t, t->count);
    memcpy(t->symbols, t->file + t->symtab->sh_offset, t->symtab->sh_size);
    t->added = (Text){.arena = t->arena};
    text_add_bytes(&t->added, "", 1);
    if (header->e_shstrndx == t->symtab->sh_link)
        return fail_symbols(t, "the linker made one table of the names of sections and symbols");
    return true;
}

/* A name that the object imports, such as pthread_create, cannot be one that it
 * exports. */
static bool is_unused_symbol(SymbolTable *t, const char *name) {
    for (int i = 0; i < t->count; i++) {
        const Elf64_Sym *symbol = &t->symbols[i];
        if (is_global_symbol(symbol) && !is_defined_symbol(symbol) && strcmp(name_of(t, symbol), name) == 0)
            return fail_symbols(
                t, arena_printf(t->arena,
                                "the library would have a function %s, which is one of the C library's\n"
                                "  help: --name gives its functions another name",
                                name));
    }
    return true;
}

static void set_name(SymbolTable *t, Elf64_Sym *symbol, const char *name) {
    symbol->st_name = (uint32_t)t->added.length;
    text_add_bytes(&t->added, name, strlen(name) + 1);
}

static bool export_symbol(SymbolTable *t, Elf64_Sym *symbol, ExportedNames *exported) {
    const char *name = arena_printf(t->arena, "%s%s", t->prefix, name_of(t, symbol) + strlen(t->from));
    if (!is_unused_symbol(t, name)) return false;
    set_name(t, symbol, name);
    symbol->st_other = STV_DEFAULT;
    if (exported) vec_push(t->arena, exported, name);
    return true;
}

static void keep_symbol(SymbolTable *t, Elf64_Sym *symbol, bool global) {
    bool named = symbol->st_name && ELF64_ST_TYPE(symbol->st_info) != STT_FILE;
    if (named) set_name(t, symbol, name_of(t, symbol));
    else symbol->st_name = 0;
    if (global) return;
    symbol->st_info = ELF64_ST_INFO(STB_LOCAL, ELF64_ST_TYPE(symbol->st_info));
    symbol->st_other = STV_DEFAULT;
}

static bool rewrite_symbols(SymbolTable *t, ExportedNames *exported) {
    Elf64_Sym *to = (Elf64_Sym *)(t->file + t->symtab->sh_offset);
    uint32_t next = 0;
    for (int pass = 0; pass <= 1; pass++) {
        const bool global = pass; /* locals first */
        for (int i = 0; i < t->count; i++) {
            Elf64_Sym symbol = t->symbols[i];
            if (stays_global(t, &symbol) != global) continue;
            if (!is_exported(t, &symbol)) keep_symbol(t, &symbol, global);
            else if (!export_symbol(t, &symbol, exported)) return false;
            t->numbers[i] = next;
            to[next++] = symbol;
        }
        if (!global) t->symtab->sh_info = next;
    }
    return true;
}

static void rewrite_relocations(SymbolTable *t) {
    const uint32_t symtab = (uint32_t)(t->symtab - t->sections);
    for (int i = 0; i < t->section_count; i++) {
        Elf64_Shdr *section = &t->sections[i];
        if (section->sh_link != symtab) continue;
        if (section->sh_type == SHT_GROUP) section->sh_info = t->numbers[section->sh_info];
        if (section->sh_type != SHT_RELA) continue;
        Elf64_Rela *relocations = (Elf64_Rela *)(t->file + section->sh_offset);
        for (uint64_t k = 0; k < section->sh_size / sizeof *relocations; k++) {
            uint64_t info = relocations[k].r_info;
            relocations[k].r_info = ELF64_R_INFO((uint64_t)t->numbers[ELF64_R_SYM(info)], ELF64_R_TYPE(info));
        }
    }
}

static bool append_names(SymbolTable *t, int descriptor) {
    const char *names = text_string(&t->added);
    const size_t size = t->added.length;
    for (size_t done = 0; done < size;) {
        ssize_t count = pwrite(descriptor, names + done, size - done, (off_t)(t->bytes + done));
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0)
            return fail_symbols(t,
                                arena_printf(t->arena, "the library cannot be written: %s", strerror(errno)));
        done += (size_t)count;
    }
    memset(t->file + t->strtab->sh_offset, 0, t->strtab->sh_size);
    t->strtab->sh_offset = t->bytes;
    t->strtab->sh_size = size;
    return true;
}

bool export_symbols(const char *path, const char *from, const char *prefix, ExportedNames *exported,
                    Arena *arena, const char **error) {
    SymbolTable table = {.arena = arena, .from = from, .prefix = prefix, .error = error}, *t = &table;
    struct stat status;
    int descriptor = open(path, O_RDWR | O_CLOEXEC);
    bool good = descriptor >= 0 && fstat(descriptor, &status) == 0;
    void *mapping = MAP_FAILED;
    if (good) mapping = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (mapping == MAP_FAILED) {
        good = fail_symbols(t, arena_printf(arena, "%s cannot be mapped: %s", path, strerror(errno)));
    } else {
        t->file = mapping;
        t->bytes = (uint64_t)status.st_size;
        good = open_table(t) && rewrite_symbols(t, exported) && append_names(t, descriptor);
        if (good) rewrite_relocations(t);
        munmap(mapping, (size_t)status.st_size);
    }
    if (descriptor >= 0) close(descriptor);
    return good;
}
