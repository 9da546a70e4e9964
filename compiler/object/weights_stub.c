/* An ELF object that keeps the place of the packed weights while the linker works: one read-only section, aligned to a page so that the
 * kernel of the system maps it lazily, in the large code model's part of the address space (the weights may be gigabytes, and nothing
 * but one pointer refers to them). It holds a page, by whose words embed_weights.c finds the place in what the linker made. The linker, which
 * would read and write the weights once more, never sees them.
 *
 *     ELF header | up to a page | the page | symbols | names | section headers */
#include "object/object.h"
#include "runtime.h"
#include <elf.h>

#define SHF_LARGE 0x10000000 /* SHF_X86_64_LARGE */

enum { SECTION_NULL, SECTION_WEIGHTS, SECTION_STACK, SECTION_SYMBOLS, SECTION_STRINGS, SECTION_COUNT };

/* One table for the names of sections and symbols; offsets are into it. */
static const char strings[] = "\0.lrodata\0.note.GNU-stack\0.symtab\0.strtab\0cai_the_weights";
enum { STRING_LRODATA = 1, STRING_STACK = 10, STRING_SYMTAB = 26, STRING_STRTAB = 34, STRING_WEIGHTS = 42 };

typedef struct Placeholder {
    Elf64_Ehdr header;
    char zeros[PLACEHOLDER_BYTES - sizeof(Elf64_Ehdr)];
    char page[PLACEHOLDER_BYTES];
    Elf64_Sym symbols[2];
    char strings[(sizeof strings + 7) / 8 * 8];
    Elf64_Shdr sections[SECTION_COUNT];
} Placeholder;

static Elf64_Ehdr make_header(const Program *program) {
    Elf64_Ehdr header = {.e_type = ET_REL, .e_version = EV_CURRENT, .e_ehsize = sizeof header, .e_shentsize = sizeof(Elf64_Shdr)};
    memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_machine = strncmp(program->target->llvm_triple, "aarch64", 7) == 0 ? EM_AARCH64 : EM_X86_64;
    header.e_shoff = offsetof(Placeholder, sections);
    header.e_shnum = SECTION_COUNT;
    header.e_shstrndx = SECTION_STRINGS;
    return header;
}

static void make_sections(Elf64_Shdr *sections) {
    sections[SECTION_WEIGHTS] = (Elf64_Shdr){.sh_name = STRING_LRODATA, .sh_type = SHT_PROGBITS, .sh_flags = SHF_ALLOC | SHF_LARGE,
                                             .sh_offset = offsetof(Placeholder, page), .sh_size = PLACEHOLDER_BYTES,
                                             .sh_addralign = PLACEHOLDER_BYTES};
    sections[SECTION_STACK] = (Elf64_Shdr){.sh_name = STRING_STACK, .sh_type = SHT_PROGBITS, .sh_offset = offsetof(Placeholder, page),
                                           .sh_addralign = 1};
    sections[SECTION_SYMBOLS] = (Elf64_Shdr){.sh_name = STRING_SYMTAB, .sh_type = SHT_SYMTAB, .sh_offset = offsetof(Placeholder, symbols),
                                             .sh_size = 2 * sizeof(Elf64_Sym), .sh_link = SECTION_STRINGS, .sh_info = 1,
                                             .sh_addralign = 8, .sh_entsize = sizeof(Elf64_Sym)};
    sections[SECTION_STRINGS] = (Elf64_Shdr){.sh_name = STRING_STRTAB, .sh_type = SHT_STRTAB, .sh_offset = offsetof(Placeholder, strings),
                                             .sh_size = sizeof strings, .sh_addralign = 1};
}

void placeholder_fill(char page[PLACEHOLDER_BYTES]) {
    static const char words[64] = "cai: a page that keeps the place of a program's weights here. \n";
    _Static_assert(PLACEHOLDER_BYTES % sizeof words == 0, "the page is whole words");
    for (size_t i = 0; i < PLACEHOLDER_BYTES; i += sizeof words) memcpy(page + i, words, sizeof words);
}

bool placeholder_object(const Program *program, const char *path, const char **error) {
    Placeholder object = {.header = make_header(program)};
    cai_error failed;
    placeholder_fill(object.page);
    memcpy(object.strings, strings, sizeof strings);
    object.symbols[1] = (Elf64_Sym){.st_name = STRING_WEIGHTS, .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT),
                                    .st_shndx = SECTION_WEIGHTS, .st_size = program->weights_bytes};
    make_sections(object.sections);
    bool done = cai_file_write(path, &object, sizeof object, &failed);
    if (!done) *error = arena_printf(program->arena, "%s", failed.message);
    return done;
}
