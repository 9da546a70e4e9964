/* Puts the packed weights into the linker's output, in place of the page that
 * weights_stub.c gave the linker. Everything after the page in the file, which is tables
 * that are not loaded, moves back, and the headers are adjusted: the file becomes what
 * the linker would have made of the weights themselves. The weights are streamed into it
 * and never held in memory.
 *
 *     headers, code, data | the page -> the weights | symbols, names, section headers
 *
 * In a program or a shared library the page must be the last that is loaded, since
 * addresses are fixed by then: GNU ld and gold place it there, but lld does not, and is
 * refused here. In a relocatable object any place will do. The file was just made by the
 * linker, so it is well formed. */
#include "object/object.h"
#include "files/files.h"
#include <elf.h>
#include <sys/stat.h>

typedef struct Insertion {
    char *file; /* a copy, to be changed; its headers are the next three */
    uint64_t bytes;
    Elf64_Ehdr *header;
    Elf64_Phdr *segments;
    Elf64_Shdr *sections;
    Elf64_Shdr *section; /* ends with the page */
    uint64_t end;        /* of the page, in the file */
    uint64_t more;       /* bytes by which the weights are longer than the page */
} Insertion;

/* ---- where the page lies ---- */

static bool ends_with_page(const Insertion *in, const Elf64_Shdr *section) {
    char page[WEIGHTS_STUB_BYTES];
    weights_stub_fill(page);
    if (section->sh_type != SHT_PROGBITS || section->sh_size < sizeof page) return false;
    return memcmp(in->file + section->sh_offset + section->sh_size - sizeof page, page, sizeof page) == 0;
}

static bool find_page(Insertion *in) {
    for (int i = 0; i < in->header->e_shnum && !in->section; i++)
        if (ends_with_page(in, &in->sections[i])) in->section = &in->sections[i];
    if (in->section) in->end = in->section->sh_offset + in->section->sh_size;
    return in->section;
}

/* The segment that ends with the page; NULL where there is none, or where another comes
 * after it in memory or in the file. */
static Elf64_Phdr *last_segment(const Insertion *in) {
    uint64_t address = in->section->sh_addr + in->section->sh_size;
    Elf64_Phdr *found = NULL;
    for (int i = 0; i < in->header->e_phnum; i++) {
        Elf64_Phdr *segment = &in->segments[i];
        if (segment->p_offset + segment->p_filesz > in->end || segment->p_vaddr + segment->p_memsz > address)
            return NULL;
        bool ends_here = segment->p_offset + segment->p_filesz == in->end &&
                         segment->p_vaddr + segment->p_memsz == address;
        if (segment->p_type == PT_LOAD && ends_here) found = segment;
    }
    return found;
}

/* ---- the headers of the new file ---- */

static bool enlarge_file(Insertion *in) {
    if (in->header->e_type != ET_REL) {
        Elf64_Phdr *segment = last_segment(in);
        if (!segment) return false;
        segment->p_filesz += in->more;
        segment->p_memsz += in->more;
    }
    for (int i = 0; i < in->header->e_shnum; i++)
        if (in->sections[i].sh_offset >= in->end) in->sections[i].sh_offset += in->more;
    in->section->sh_size += in->more;
    in->header->e_shoff += in->more;
    return true;
}

static bool open_linked(Insertion *in, const Program *program, const char *path, cai_error *error) {
    cai_file file;
    if (!cai_file_read(path, &file, error)) return false;
    in->bytes = file.count;
    in->file = arena_alloc(program->arena, file.count);
    memcpy(in->file, file.data, file.count);
    cai_file_close(&file);
    in->header = (Elf64_Ehdr *)in->file;
    in->segments = (Elf64_Phdr *)(in->file + in->header->e_phoff);
    in->sections = (Elf64_Shdr *)(in->file + in->header->e_shoff);
    in->more = program->weights_bytes - WEIGHTS_STUB_BYTES; /* modulo 2^64: the weights may be shorter */
    return true;
}

/* ---- writing ---- */

typedef struct Stream {
    cai_output output;
    cai_error error;
    bool failed;
} Stream;

static bool stream_write(void *context, const void *bytes, size_t count) {
    Stream *stream = context;
    stream->failed = !cai_output_write(&stream->output, bytes, count, &stream->error);
    return !stream->failed;
}

/* An executable file stays executable. */
static bool open_output(Stream *stream, const char *linked, const char *output) {
    struct stat status;
    if (!cai_output_open(output, &stream->output, &stream->error)) return false;
    if (stat(linked, &status) == 0) (void)!fchmod(stream->output.descriptor, status.st_mode & 07777);
    return true;
}

static bool write_weights(const PackedWeights *weights, Stream *stream) {
    if (program_write_weights(weights->program, weights->source, stream_write, stream, weights->progress))
        return true;
    if (stream->failed) return false;
    cai_output_discard(&stream->output);
    return cai_fail(&stream->error, CAI_BAD_INPUT, "a weight is missing");
}

static bool write_packed_weights(const Insertion *in, const PackedWeights *weights, Stream *stream) {
    return stream_write(stream, in->file, in->end - WEIGHTS_STUB_BYTES) && write_weights(weights, stream) &&
           stream_write(stream, in->file + in->end, in->bytes - in->end) &&
           cai_output_finish(&stream->output, &stream->error);
}

EmbedResult weights_embed(const PackedWeights *weights, const char *linked, const char *output,
                          const char **error) {
    Insertion in = {0};
    Stream stream = {0};
    bool done = open_linked(&in, weights->program, linked, &stream.error);
    if (done) {
        if (!find_page(&in) || !enlarge_file(&in)) return EMBED_REFUSED;
        done = open_output(&stream, linked, output) && write_packed_weights(&in, weights, &stream);
    }
    if (!done) *error = arena_printf(weights->program->arena, "%s", stream.error.message);
    return done ? EMBED_DONE : EMBED_FAILED;
}

bool linked_copy(const char *linked, const char *output, Arena *arena, const char **error) {
    Stream stream = {0};
    cai_file file;
    bool done = cai_file_map(linked, &file, &stream.error);
    if (done) {
        done = open_output(&stream, linked, output) && stream_write(&stream, file.data, file.count) &&
               cai_output_finish(&stream.output, &stream.error);
        cai_file_close(&file);
    }
    if (!done) *error = arena_printf(arena, "%s", stream.error.message);
    return done;
}
