/* Links ELF objects into one relocatable object, as `ld -r` would, but in memory: every
 * kernel is compiled by itself, by any thread or in an earlier build, and the tables of
 * the program refer to it by name.
 *
 *     ELF header | sections, their relocations | symbols | names | section headers
 *
 * Sections of equal names are concatenated. Only the symbols that the last object defines
 * remain global; the others served to link the objects. All objects were made by LLVM, so
 * they are well formed. The first symbol names the source of the object: without it, GNU
 * ld takes the name of the object's file, whose length would show in its output. */
#include "object/object.h"
#include <elf.h>

typedef struct Section { /* of the joined object */
    Elf64_Shdr header;
    Name name;
    Text bytes;
    Vec(Elf64_Rela) relocations;
    int symbol; /* the local symbol at its beginning */
} Section;

typedef struct Input {
    const unsigned char *bytes;
    Elf64_Ehdr header;
    const Elf64_Shdr *sections;
    const Elf64_Sym *symbols;
    const char *strings, *section_names;
    int symbol_count;
    int *section_of;   /* section of the input -> section of the output, or -1 where it is left out */
    uint64_t *base_of; /* where a section of the input begins in that of the output */
    int *symbol_of;    /* symbol of the input -> symbol of the output */
} Input;

typedef struct Join {
    Arena *arena;
    Names *names;
    Map *globals; /* Name -> index of symbol */
    Vec(Section) sections;
    Vec(Elf64_Sym) symbols;
    Vec(Elf64_Shdr) headers;
    Text strings, file;
} Join;

static uint32_t add_string(Join *j, const char *text) {
    size_t at = j->strings.length;
    text_add_bytes(&j->strings, text, strlen(text) + 1);
    return (uint32_t)at;
}

static void add_zeros(Text *text, uint64_t to) {
    static const char zeros[64];
    while (text->length < to)
        text_add_bytes(text, zeros, to - text->length < sizeof zeros ? to - text->length : sizeof zeros);
}

static void align_text(Text *text, uint64_t alignment) {
    add_zeros(text, (uint64_t)round_up((int64_t)text->length, alignment > 1 ? (int64_t)alignment : 1));
}

/* ---- reading ---- */

static Input open_input(Join *j, const Object *object) {
    Input input = {.bytes = object->bytes};
    memcpy(&input.header, object->bytes, sizeof input.header);
    input.sections = (const Elf64_Shdr *)(const void *)(input.bytes + input.header.e_shoff);
    input.section_names = (const char *)input.bytes + input.sections[input.header.e_shstrndx].sh_offset;
    input.section_of = NEW_ARRAY(j->arena, int, input.header.e_shnum);
    input.base_of = NEW_ARRAY(j->arena, uint64_t, input.header.e_shnum);
    for (int i = 0; i < input.header.e_shnum; i++) {
        const Elf64_Shdr *section = &input.sections[i];
        if (section->sh_type != SHT_SYMTAB) continue;
        input.symbols = (const Elf64_Sym *)(const void *)(input.bytes + section->sh_offset);
        input.symbol_count = (int)(section->sh_size / sizeof(Elf64_Sym));
        input.strings = (const char *)input.bytes + input.sections[section->sh_link].sh_offset;
    }
    input.symbol_of = NEW_ARRAY(j->arena, int, input.symbol_count);
    return input;
}

/* ---- sections ---- */

static int find_section(Join *j, const Elf64_Shdr *header, Name name) {
    for (int i = 0; i < j->sections.count; i++) {
        const Section *s = &j->sections.items[i];
        if (s->name == name && s->header.sh_flags == header->sh_flags &&
            s->header.sh_entsize == header->sh_entsize)
            return i;
    }
    Section section = {.name = name, .bytes = {.arena = j->arena}, .symbol = j->symbols.count};
    section.header = (Elf64_Shdr){
        .sh_type = header->sh_type, .sh_flags = header->sh_flags, .sh_entsize = header->sh_entsize};
    vec_push(j->arena, &j->sections, section);
    vec_push(j->arena, &j->symbols,
             (Elf64_Sym){.st_info = ELF64_ST_INFO(STB_LOCAL, STT_SECTION),
                         .st_shndx = (Elf64_Section)j->sections.count});
    return j->sections.count - 1;
}

/* Adds the sections that are loaded. None of them is writable data, so all have
 * contents. */
static void add_sections(Join *j, Input *input) {
    for (int i = 0; i < input->header.e_shnum; i++) {
        const Elf64_Shdr *header = &input->sections[i];
        input->section_of[i] = -1;
        if (!(header->sh_flags & SHF_ALLOC) || !header->sh_size) continue;
        CHECK(header->sh_type != SHT_NOBITS);
        input->section_of[i] =
            find_section(j, header, intern(j->names, input->section_names + header->sh_name));
        Section *section = &j->sections.items[input->section_of[i]];
        align_text(&section->bytes, header->sh_addralign);
        input->base_of[i] = section->bytes.length;
        text_add_bytes(&section->bytes, (const char *)input->bytes + header->sh_offset, header->sh_size);
        if (header->sh_addralign > section->header.sh_addralign)
            section->header.sh_addralign = header->sh_addralign;
    }
}

/* ---- symbols: the table has local ones first ---- */

static bool binds_globally(const Elf64_Sym *symbol) { return ELF64_ST_BIND(symbol->st_info) != STB_LOCAL; }

static bool is_defined_input(const Input *input, const Elf64_Sym *symbol) {
    return symbol->st_shndx && symbol->st_shndx < SHN_LORESERVE && input->section_of[symbol->st_shndx] >= 0;
}

static int add_symbol(Join *j, const Input *input, const Elf64_Sym *symbol, int binding) {
    Elf64_Sym copy = *symbol;
    copy.st_name = add_string(j, input->strings + symbol->st_name);
    copy.st_info = ELF64_ST_INFO(binding, ELF64_ST_TYPE(symbol->st_info));
    if (is_defined_input(input, symbol)) {
        copy.st_shndx = (Elf64_Section)(1 + input->section_of[symbol->st_shndx]);
        copy.st_value += input->base_of[symbol->st_shndx];
    }
    vec_push(j->arena, &j->symbols, copy);
    return j->symbols.count - 1;
}

static void remember_symbol(Join *j, const Input *input, const Elf64_Sym *symbol, int index) {
    Name name = intern(j->names, input->strings + symbol->st_name);
    if (map_get(j->globals, name)) INTERNAL_ERROR("two kernels are called %s", name);
    map_set(j->globals, name, (void *)(intptr_t)index);
}

/* Adds symbols that become local. */
static void add_locals(Join *j, Input *input, bool last) {
    for (int i = 1; i < input->symbol_count; i++) {
        const Elf64_Sym *symbol = &input->symbols[i];
        if (!is_defined_input(input, symbol) || (last && binds_globally(symbol))) continue;
        if (ELF64_ST_TYPE(symbol->st_info) == STT_SECTION)
            input->symbol_of[i] = j->sections.items[input->section_of[symbol->st_shndx]].symbol;
        else input->symbol_of[i] = add_symbol(j, input, symbol, STB_LOCAL);
        if (binds_globally(symbol)) remember_symbol(j, input, symbol, input->symbol_of[i]);
    }
}

static void add_globals(Join *j, Input *input) {
    for (int i = 1; i < input->symbol_count; i++) {
        const Elf64_Sym *symbol = &input->symbols[i];
        if (!binds_globally(symbol) || input->symbol_of[i]) continue;
        int known = (int)(intptr_t)map_get(j->globals, intern(j->names, input->strings + symbol->st_name));
        input->symbol_of[i] = known ? known : add_symbol(j, input, symbol, ELF64_ST_BIND(symbol->st_info));
        if (!known) remember_symbol(j, input, symbol, input->symbol_of[i]);
    }
}

/* ---- relocations ---- */

/* A symbol for the beginning of a section becomes that of the section in the output. */
static Elf64_Rela move_relocation(const Input *input, Elf64_Rela entry, uint64_t base) {
    const Elf64_Sym *symbol = &input->symbols[ELF64_R_SYM(entry.r_info)];
    entry.r_offset += base;
    if (ELF64_ST_TYPE(symbol->st_info) == STT_SECTION)
        entry.r_addend += (int64_t)input->base_of[symbol->st_shndx];
    entry.r_info =
        ELF64_R_INFO((uint64_t)input->symbol_of[ELF64_R_SYM(entry.r_info)], ELF64_R_TYPE(entry.r_info));
    return entry;
}

static void add_relocations(Join *j, const Input *input) {
    for (int i = 0; i < input->header.e_shnum; i++) {
        const Elf64_Shdr *header = &input->sections[i];
        if (header->sh_type != SHT_RELA || input->section_of[header->sh_info] < 0) continue;
        const Elf64_Rela *entries = (const Elf64_Rela *)(const void *)(input->bytes + header->sh_offset);
        Section *section = &j->sections.items[input->section_of[header->sh_info]];
        for (uint64_t k = 0; k < header->sh_size / sizeof *entries; k++)
            vec_push(j->arena, &section->relocations,
                     move_relocation(input, entries[k], input->base_of[header->sh_info]));
    }
}

/* ---- writing ---- */

/* header.sh_name is set. */
static void write_section(Join *j, Elf64_Shdr header, const void *bytes, uint64_t count) {
    align_text(&j->file, header.sh_addralign);
    header.sh_offset = j->file.length;
    header.sh_size = count;
    text_add_bytes(&j->file, bytes, count);
    vec_push(j->arena, &j->headers, header);
}

static void write_relocations(Join *j, int index, Elf64_Word symbol_table) {
    const Section *s = &j->sections.items[index];
    Elf64_Shdr header = {.sh_type = SHT_RELA,
                         .sh_flags = SHF_INFO_LINK,
                         .sh_link = symbol_table,
                         .sh_info = (Elf64_Word)(1 + index),
                         .sh_addralign = 8,
                         .sh_entsize = sizeof(Elf64_Rela)};
    header.sh_name = add_string(j, arena_printf(j->arena, ".rela%s", s->name));
    if (s->relocations.count)
        write_section(j, header, s->relocations.items, (uint64_t)s->relocations.count * sizeof(Elf64_Rela));
}

/* The table of names comes last, when all of them are in it. */
static void write_sections(Join *j, int local_count) {
    int with_relocations = 0;
    for (int i = 0; i < j->sections.count; i++) {
        Section *s = &j->sections.items[i];
        s->header.sh_name = add_string(j, s->name);
        write_section(j, s->header, s->bytes.bytes, s->bytes.length);
        with_relocations += s->relocations.count > 0;
    }
    Elf64_Word symbol_table = (Elf64_Word)(1 + j->sections.count + with_relocations);
    for (int i = 0; i < j->sections.count; i++) write_relocations(j, i, symbol_table);
    Elf64_Shdr symbols = {.sh_type = SHT_SYMTAB,
                          .sh_link = symbol_table + 2,
                          .sh_info = (Elf64_Word)local_count,
                          .sh_addralign = 8,
                          .sh_entsize = sizeof(Elf64_Sym),
                          .sh_name = add_string(j, ".symtab")};
    Elf64_Shdr stack = {
        .sh_type = SHT_PROGBITS, .sh_addralign = 1, .sh_name = add_string(j, ".note.GNU-stack")};
    Elf64_Shdr strings = {.sh_type = SHT_STRTAB, .sh_addralign = 1, .sh_name = add_string(j, ".strtab")};
    write_section(j, symbols, j->symbols.items, (uint64_t)j->symbols.count * sizeof(Elf64_Sym));
    write_section(j, stack, NULL, 0);
    write_section(j, strings, j->strings.bytes, j->strings.length);
}

static Object write_file(Join *j, Elf64_Ehdr header, int local_count) {
    add_zeros(&j->file, sizeof header);
    vec_push(j->arena, &j->headers, (Elf64_Shdr){0});
    write_sections(j, local_count);
    align_text(&j->file, 8);
    header.e_shoff = j->file.length;
    header.e_shnum = (Elf64_Half)j->headers.count;
    header.e_shstrndx = (Elf64_Half)(j->headers.count - 1);
    text_add_bytes(&j->file, (const char *)j->headers.items, (size_t)j->headers.count * sizeof(Elf64_Shdr));
    memcpy(j->file.bytes, &header, sizeof header);
    return (Object){(const unsigned char *)j->file.bytes, j->file.length};
}

Object link_relocatable(Arena *arena, const Object *objects, int count) {
    Join j = {.arena = arena,
              .names = names_new(arena),
              .globals = map_new(arena),
              .strings = {.arena = arena},
              .file = {.arena = arena}};
    Input *inputs = NEW_ARRAY(arena, Input, count);
    add_string(&j, "");
    vec_push(arena, &j.symbols, (Elf64_Sym){0});
    vec_push(arena, &j.symbols,
             (Elf64_Sym){.st_name = add_string(&j, "model"),
                         .st_info = ELF64_ST_INFO(STB_LOCAL, STT_FILE),
                         .st_shndx = SHN_ABS});
    for (int i = 0; i < count; i++) inputs[i] = open_input(&j, &objects[i]);
    for (int i = 0; i < count; i++) add_sections(&j, &inputs[i]);
    for (int i = 0; i < count; i++) add_locals(&j, &inputs[i], i == count - 1);
    int local_count = j.symbols.count;
    for (int i = count - 1; i >= 0; i--) add_globals(&j, &inputs[i]);
    for (int i = 0; i < count; i++) add_relocations(&j, &inputs[i]);
    return write_file(&j, inputs[count - 1].header, local_count);
}
