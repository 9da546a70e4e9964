/* The packed weights as an ELF object: one read-only section, aligned to a page so that the kernel of the system maps it lazily,
 * in the large code model's part of the address space (it may be half a gigabyte, and nothing but one pointer refers to it). The
 * weights are streamed into the file, never held.
 *
 *     ELF header | up to a page | weights | symbols | names | section headers */
#include "backend/backend.h"
#include "runtime.h"
#include <elf.h>

#define PAGE 4096
#define SHF_LARGE 0x10000000 /* SHF_X86_64_LARGE */

enum { SECTION_NULL, SECTION_WEIGHTS, SECTION_STACK, SECTION_SYMBOLS, SECTION_STRINGS, SECTION_COUNT };

/* One table for the names of sections and symbols; offsets are into it. */
static const char strings[] = "\0.lrodata\0.note.GNU-stack\0.symtab\0.strtab\0cai_the_weights";
enum { STRING_LRODATA = 1, STRING_STACK = 10, STRING_SYMTAB = 26, STRING_STRTAB = 34, STRING_WEIGHTS = 42 };

typedef struct Tables { /* all that stands after the weights */
    Elf64_Sym symbols[2];
    char strings[(sizeof strings + 7) / 8 * 8];
    Elf64_Shdr sections[SECTION_COUNT];
} Tables;

static Elf64_Ehdr make_header(const Program *program, uint64_t tables_at) {
    Elf64_Ehdr header = {.e_type = ET_REL, .e_version = EV_CURRENT, .e_ehsize = sizeof header, .e_shentsize = sizeof(Elf64_Shdr)};
    memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_machine = strncmp(program->target->llvm_triple, "aarch64", 7) == 0 ? EM_AARCH64 : EM_X86_64;
    header.e_shoff = tables_at + offsetof(Tables, sections);
    header.e_shnum = SECTION_COUNT;
    header.e_shstrndx = SECTION_STRINGS;
    return header;
}

static Tables make_tables(uint64_t weights_bytes, uint64_t tables_at) {
    Tables tables = {0};
    memcpy(tables.strings, strings, sizeof strings);
    tables.symbols[1] = (Elf64_Sym){.st_name = STRING_WEIGHTS, .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT),
                                    .st_shndx = SECTION_WEIGHTS, .st_size = weights_bytes};
    tables.sections[SECTION_WEIGHTS] = (Elf64_Shdr){.sh_name = STRING_LRODATA, .sh_type = SHT_PROGBITS,
                                                    .sh_flags = SHF_ALLOC | SHF_LARGE,
                                                    .sh_offset = PAGE, .sh_size = weights_bytes, .sh_addralign = PAGE};
    tables.sections[SECTION_STACK] = (Elf64_Shdr){.sh_name = STRING_STACK, .sh_type = SHT_PROGBITS, .sh_offset = PAGE,
                                                  .sh_addralign = 1};
    tables.sections[SECTION_SYMBOLS] = (Elf64_Shdr){.sh_name = STRING_SYMTAB, .sh_type = SHT_SYMTAB,
                                                    .sh_offset = tables_at + offsetof(Tables, symbols),
                                                    .sh_size = sizeof tables.symbols, .sh_link = SECTION_STRINGS, .sh_info = 1,
                                                    .sh_addralign = 8, .sh_entsize = sizeof(Elf64_Sym)};
    tables.sections[SECTION_STRINGS] = (Elf64_Shdr){.sh_name = STRING_STRTAB, .sh_type = SHT_STRTAB,
                                                    .sh_offset = tables_at + offsetof(Tables, strings),
                                                    .sh_size = sizeof strings, .sh_addralign = 1};
    return tables;
}

typedef struct Stream {
    cai_output output;
    cai_error error;
    uint64_t written;
} Stream;

static bool stream_write(void *context, const void *bytes, size_t count) {
    Stream *stream = context;
    stream->written += count;
    return cai_output_write(&stream->output, bytes, count, &stream->error);
}

static bool stream_zeros(Stream *stream, uint64_t to) {
    static const char zeros[PAGE];
    return stream_write(stream, zeros, to - stream->written);
}

bool weights_object(const Program *program, const RefSource *weights, const char *path,
                    void (*progress)(uint64_t done, uint64_t all), const char **error) {
    Stream stream = {0};
    uint64_t tables_at = PAGE + (uint64_t)round_up((int64_t)program->weights_bytes, 8);
    Elf64_Ehdr header = make_header(program, tables_at);
    Tables tables = make_tables(program->weights_bytes, tables_at);
    bool opened = cai_output_open(path, &stream.output, &stream.error), source_failed = false;
    bool done = opened && stream_write(&stream, &header, sizeof header) && stream_zeros(&stream, PAGE);
    if (done) {
        done = program_write_weights(program, weights, stream_write, &stream, progress);
        source_failed = !done && !stream.error.status;
        if (done) CHECK(stream.written == PAGE + program->weights_bytes);
    }
    done = done && stream_zeros(&stream, tables_at) && stream_write(&stream, &tables, sizeof tables) &&
           cai_output_finish(&stream.output, &stream.error);
    if (source_failed) cai_output_discard(&stream.output);
    if (!done) *error = source_failed ? "a weight is missing" : arena_printf(program->arena, "%s", stream.error.message);
    return done;
}
