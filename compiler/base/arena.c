/* Arenas: memory that is freed all at once. */
#include "base/base.h"
#include <stdlib.h>

#define BLOCK_BYTES (256 * 1024)

typedef struct Block {
    struct Block *next;
    size_t size, used;
} Block;

struct Arena {
    Block *first, *current;
};

#define HEADER round_up(sizeof(Block), 16)

static Block *block_new(size_t bytes) {
    size_t size = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
    /* large ones come from the system as zeros */
    Block *block = size > SIZE_MAX - HEADER ? NULL : calloc(1, HEADER + size);
    if (!block) out_of_memory(size);
    *block = (Block){.size = size};
    return block;
}

Arena *arena_new(void) {
    Arena *arena = malloc(sizeof *arena);
    if (!arena) out_of_memory(sizeof *arena);
    arena->first = arena->current = block_new(0);
    return arena;
}

void arena_free(Arena *arena) {
    if (!arena) return;
    for (Block *block = arena->first, *next; block; block = next) {
        next = block->next;
#ifndef NDEBUG
        memset(block, 0xA5, HEADER + block->size); /* a use after the reset shows */
#endif
        free(block);
    }
    free(arena);
}

void *arena_alloc(Arena *arena, size_t bytes) {
    if (bytes > SIZE_MAX / 2) out_of_memory(bytes);
    bytes = (size_t)round_up((int64_t)bytes, 16);
    if (arena->current->size - arena->current->used < bytes)
        arena->current = arena->current->next = block_new(bytes);
    void *start = (char *)arena->current + HEADER + arena->current->used;
    arena->current->used += bytes;
    return start;
}

void *arena_copy(Arena *arena, const void *bytes, size_t count) {
    void *copy = arena_alloc(arena, count);
    if (count) memcpy(copy, bytes, count);
    return copy;
}

char *arena_strndup(Arena *arena, const char *text, size_t length) {
    char *copy = arena_alloc(arena, length + 1);
    memcpy(copy, text, length);
    return copy;
}

char *arena_vprintf(Arena *arena, const char *format, va_list arguments) {
    va_list again;
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    CHECK(length >= 0);
    char *text = arena_alloc(arena, (size_t)length + 1);
    vsnprintf(text, (size_t)length + 1, format, arguments);
    return text;
}

char *arena_printf(Arena *arena, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char *text = arena_vprintf(arena, format, arguments);
    va_end(arguments);
    return text;
}

void vec_reserve(Arena *arena, void **items, int *capacity, int needed, size_t item_size) {
    if (needed <= *capacity) return;
    int grown = *capacity < 4 ? 8 : *capacity * 2;
    if (grown < needed) grown = needed;
    void *bigger = arena_alloc(arena, item_size * (size_t)grown);
    if (*items) memcpy(bigger, *items, item_size * (size_t)*capacity);
    *items = bigger;
    *capacity = grown;
}
