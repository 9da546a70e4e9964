/* Interned names: one copy of each distinct string, so that equality is equality of
 * pointers. */
#include "base/base.h"

typedef struct NameEntry {
    uint64_t hash;
    size_t length;
    Name text;
} NameEntry;

struct Names {
    Arena *arena;
    NameEntry *entries; /* open addressing, a power of two */
    int capacity, count;
};

Names *names_new(Arena *arena) {
    Names *names = NEW(arena, Names);
    *names = (Names){.arena = arena, .entries = NEW_ARRAY(arena, NameEntry, 256), .capacity = 256};
    return names;
}

static NameEntry *find_interned(NameEntry *entries, int capacity, uint64_t hash, const char *text,
                                size_t length) {
    for (uint64_t at = hash;; at++) {
        NameEntry *entry = &entries[at & (uint64_t)(capacity - 1)];
        if (!entry->text) return entry;
        if (entry->hash == hash && entry->length == length && memcmp(entry->text, text, length) == 0)
            return entry;
    }
}

static void grow_names(Names *names) {
    int capacity = names->capacity * 2;
    NameEntry *entries = NEW_ARRAY(names->arena, NameEntry, capacity);
    for (int i = 0; i < names->capacity; i++) {
        const NameEntry *old = &names->entries[i];
        if (old->text) *find_interned(entries, capacity, old->hash, old->text, old->length) = *old;
    }
    names->entries = entries;
    names->capacity = capacity;
}

Name intern_range(Names *names, const char *text, size_t length) {
    if (names->count * 2 >= names->capacity) grow_names(names);
    uint64_t hash = hash_bytes(text, length, 0);
    NameEntry *entry = find_interned(names->entries, names->capacity, hash, text, length);
    if (!entry->text) {
        *entry = (NameEntry){hash, length, arena_strndup(names->arena, text, length)};
        names->count++;
    }
    return entry->text;
}

Name intern(Names *names, const char *text) { return intern_range(names, text, strlen(text)); }
