/* Memory that lives as long as a data set: a chain of blocks that are freed together. */
#include "data/sources.h"
#include <stdlib.h>
#include <string.h>

#define BLOCK 65536

typedef struct cai_block {
    struct cai_block *next;
    size_t used, size;
    max_align_t data[];
} Block;

static Block *add_arena_block(cai_arena *arena, size_t size, cai_error *error) {
    Block *block = cai_allocate(sizeof *block + size, "a list of samples", error);
    if (!block) return NULL;
    *block = (Block){.next = arena->blocks, .size = size};
    return arena->blocks = block;
}

void *cai_arena_take(cai_arena *arena, uint64_t bytes, cai_error *error) {
    size_t size = ((size_t)bytes + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    Block *block = arena->blocks;
    if (!block || block->size - block->used < size)
        block = add_arena_block(arena, size > BLOCK ? size : BLOCK, error);
    if (!block) return NULL;
    void *memory = (char *)block->data + block->used;
    block->used += size;
    return memset(memory, 0, size);
}

char *cai_arena_text(cai_arena *arena, const char *text, size_t length, cai_error *error) {
    char *copy = cai_arena_take(arena, length + 1, error);
    if (copy) memcpy(copy, text, length);
    return copy;
}

char *cai_arena_path(cai_arena *arena, const char *folder, const char *name, cai_error *error) {
    size_t length = strlen(folder);
    const char *slash = length && folder[length - 1] != '/' ? "/" : "";
    char *path = cai_arena_take(arena, length + strlen(name) + 2, error);
    if (path) sprintf(path, "%s%s%s", folder, slash, name);
    return path;
}

void cai_arena_free(cai_arena *arena) {
    for (Block *block = arena->blocks, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    arena->blocks = NULL;
}
