/* Hash maps keyed by pointers, and the hash that tables of structures use. */
#include "base/base.h"

typedef struct MapEntry {
    const void *key;
    void *value;
} MapEntry;

struct Map {
    Arena *arena;
    MapEntry *entries; /* open addressing, a power of two; a NULL key is free */
    int capacity, count;
};

Map *map_new(Arena *arena) {
    Map *map = NEW(arena, Map);
    *map = (Map){.arena = arena, .entries = NEW_ARRAY(arena, MapEntry, 16), .capacity = 16};
    return map;
}

static MapEntry *find_map_entry(MapEntry *entries, int capacity, const void *key) {
    uint64_t hash = (uint64_t)(uintptr_t)key * 0x9E3779B97F4A7C15u;
    for (uint64_t at = hash >> 32;; at++) {
        MapEntry *entry = &entries[at & (uint64_t)(capacity - 1)];
        if (!entry->key || entry->key == key) return entry;
    }
}

void *map_get(const Map *map, const void *key) {
    return find_map_entry(map->entries, map->capacity, key)->value;
}

void map_set(Map *map, const void *key, void *value) {
    CHECK(key != NULL);
    if (map->count * 2 >= map->capacity) {
        int capacity = map->capacity * 2;
        MapEntry *entries = NEW_ARRAY(map->arena, MapEntry, capacity);
        for (int i = 0; i < map->capacity; i++)
            if (map->entries[i].key)
                *find_map_entry(entries, capacity, map->entries[i].key) = map->entries[i];
        map->entries = entries;
        map->capacity = capacity;
    }
    MapEntry *entry = find_map_entry(map->entries, map->capacity, key);
    if (!entry->key) map->count++;
    *entry = (MapEntry){key, value};
}

int map_count(const Map *map) { return map->count; }

/* FNV-1a over bytes, then a finalizer that spreads the low bits that tables index by. */
uint64_t hash_bytes(const void *bytes, size_t count, uint64_t seed) {
    const unsigned char *at = bytes;
    uint64_t hash = 0xCBF29CE484222325u ^ seed;
    for (size_t i = 0; i < count; i++) hash = (hash ^ at[i]) * 0x100000001B3u;
    hash ^= hash >> 32;
    hash *= 0xD6E8FEB86659FD93u;
    return hash ^ hash >> 32;
}
