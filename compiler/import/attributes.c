/* Looks up attributes of the current node. */
#include "import/import.h"

const OnnxAttribute *attribute(const Import *im, const char *name) {
    for (int i = 0; i < im->node->attribute_count; i++)
        if (!strcmp(im->node->attributes[i].name, name)) return &im->node->attributes[i];
    return NULL;
}

int64_t attribute_int(const Import *im, const char *name, int64_t fallback) {
    const OnnxAttribute *a = attribute(im, name);
    return a && a->kind == ATTRIBUTE_INT ? a->integer : fallback;
}

double attribute_real(const Import *im, const char *name, double fallback) {
    const OnnxAttribute *a = attribute(im, name);
    return a && a->kind == ATTRIBUTE_REAL ? (double)a->real : fallback;
}

const char *attribute_string(const Import *im, const char *name, const char *fallback) {
    const OnnxAttribute *a = attribute(im, name);
    return a && a->kind == ATTRIBUTE_STRING ? a->string : fallback;
}

bool attribute_ints(const Import *im, const char *name, int count, int64_t *out) {
    const OnnxAttribute *a = attribute(im, name);
    if (!a || a->kind != ATTRIBUTE_INTS || a->count != count) return false;
    memcpy(out, a->integers, sizeof *out * (size_t)count);
    return true;
}
