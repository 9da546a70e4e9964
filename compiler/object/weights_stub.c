/* An ELF object that stands for the packed weights while the linker runs: one read-only
 * section, aligned to a page so that the system maps it lazily, where the target has its
 * large constants (the weights may be gigabytes, and only one pointer refers to them). It
 * holds one page, whose contents embed_weights.c finds in the linker's output. So the
 * linker does not have to read and write the weights once more.
 *
 *     ELF header | up to a page | the page | symbols | names | section headers */
#include "object/object.h"
#include "files/files.h"
#include <elf.h>

enum { SECTION_NULL, SECTION_WEIGHTS, SECTION_STACK, SECTION_SYMBOLS, SECTION_STRINGS, SECTION_COUNT };

typedef struct Strings { /* the names of sections and symbols, each at its offset */
    char none[1], section[15], stack[16], symtab[8], strtab[8], weights[16];
} Strings;

typedef struct WeightsStub {
    Elf64_Ehdr header;
    char zeros[WEIGHTS_STUB_BYTES - sizeof(Elf64_Ehdr)];
    char page[WEIGHTS_STUB_BYTES];
    Elf64_Sym symbols[2];
    Strings strings;
    Elf64_Shdr sections[SECTION_COUNT];
} WeightsStub;

static Elf64_Ehdr make_stub_header(const Program *program) {
    Elf64_Ehdr header = {.e_type = ET_REL,
                         .e_version = EV_CURRENT,
                         .e_ehsize = sizeof header,
                         .e_shentsize = sizeof(Elf64_Shdr)};
    memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_machine = program->target->elf_machine;
    header.e_shoff = offsetof(WeightsStub, sections);
    header.e_shnum = SECTION_COUNT;
    header.e_shstrndx = SECTION_STRINGS;
    return header;
}

static Strings make_strings(const Target *target) {
    Strings strings = {
        .stack = ".note.GNU-stack", .symtab = ".symtab", .strtab = ".strtab", .weights = "cai_the_weights"};
    CHECK(strlen(target->weights_section) < sizeof strings.section);
    strcpy(strings.section, target->weights_section);
    return strings;
}

static void make_sections(const Target *target, Elf64_Shdr *sections) {
    sections[SECTION_WEIGHTS] = (Elf64_Shdr){.sh_name = offsetof(Strings, section),
                                             .sh_type = SHT_PROGBITS,
                                             .sh_flags = SHF_ALLOC | target->weights_flags,
                                             .sh_offset = offsetof(WeightsStub, page),
                                             .sh_size = WEIGHTS_STUB_BYTES,
                                             .sh_addralign = WEIGHTS_STUB_BYTES};
    sections[SECTION_STACK] = (Elf64_Shdr){.sh_name = offsetof(Strings, stack),
                                           .sh_type = SHT_PROGBITS,
                                           .sh_offset = offsetof(WeightsStub, page),
                                           .sh_addralign = 1};
    sections[SECTION_SYMBOLS] = (Elf64_Shdr){.sh_name = offsetof(Strings, symtab),
                                             .sh_type = SHT_SYMTAB,
                                             .sh_offset = offsetof(WeightsStub, symbols),
                                             .sh_size = 2 * sizeof(Elf64_Sym),
                                             .sh_link = SECTION_STRINGS,
                                             .sh_info = 1,
                                             .sh_addralign = 8,
                                             .sh_entsize = sizeof(Elf64_Sym)};
    sections[SECTION_STRINGS] = (Elf64_Shdr){.sh_name = offsetof(Strings, strtab),
                                             .sh_type = SHT_STRTAB,
                                             .sh_offset = offsetof(WeightsStub, strings),
                                             .sh_size = sizeof(Strings),
                                             .sh_addralign = 1};
}

void weights_stub_fill(char page[WEIGHTS_STUB_BYTES]) {
    static const char words[64] = "cai: a page that keeps the place of a program's weights here. \n";
    _Static_assert(WEIGHTS_STUB_BYTES % sizeof words == 0, "the page is whole words");
    for (size_t i = 0; i < WEIGHTS_STUB_BYTES; i += sizeof words) memcpy(page + i, words, sizeof words);
}

bool weights_stub_write(const Program *program, const char *path, const char **error) {
    WeightsStub object = {.header = make_stub_header(program), .strings = make_strings(program->target)};
    cai_error failed;
    weights_stub_fill(object.page);
    object.symbols[1] = (Elf64_Sym){.st_name = offsetof(Strings, weights),
                                    .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT),
                                    .st_shndx = SECTION_WEIGHTS,
                                    .st_size = program->weights_bytes};
    make_sections(program->target, object.sections);
    bool done = cai_file_write(path, &object, sizeof object, &failed);
    if (!done) *error = arena_printf(program->arena, "%s", failed.message);
    return done;
}
