/* The oldest C library with which a shared library works: the latest version of any
 * symbol that it uses, according to its section of needed versions. The linker has just
 * made the file, so it is well-formed. */
#include "object/object.h"
#include "files/files.h"
#include <elf.h>

/* The y of "GLIBC_2.y" or "GLIBC_2.y.z"; 0 for other versions. */
static int minor_of_version(const char *name) {
    int minor = 0;
    return sscanf(name, "GLIBC_2.%d", &minor) == 1 ? minor : 0;
}

static int latest_version(const unsigned char *needed, const char *names, uint32_t files) {
    int latest = 0;
    for (uint32_t i = 0; i < files; i++) {
        const Elf64_Verneed *file = (const Elf64_Verneed *)needed;
        const unsigned char *at = needed + file->vn_aux;
        for (int k = 0; k < file->vn_cnt; k++) {
            const Elf64_Vernaux *version = (const Elf64_Vernaux *)at;
            int minor = minor_of_version(names + version->vna_name);
            if (minor > latest) latest = minor;
            at += version->vna_next;
        }
        needed += file->vn_next;
    }
    return latest;
}

int least_glibc(const char *path, Arena *arena, const char **error) {
    cai_file file;
    cai_error failed;
    int latest = 0;
    if (!cai_file_map(path, &file, &failed)) {
        *error = arena_printf(arena, "%s", failed.message);
        return -1;
    }
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)file.data;
    const Elf64_Shdr *sections = (const Elf64_Shdr *)(file.data + header->e_shoff);
    for (int i = 0; i < header->e_shnum; i++) {
        if (sections[i].sh_type != SHT_GNU_verneed) continue;
        const Elf64_Shdr *names = &sections[sections[i].sh_link];
        latest = latest_version(file.data + sections[i].sh_offset, (const char *)file.data + names->sh_offset,
                                sections[i].sh_info);
    }
    cai_file_close(&file);
    return latest;
}
