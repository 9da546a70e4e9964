/* The structs of runtime/core/program.h and runtime/core/training.h as data: a row a
 * field, by which image.c writes any of them into an object as a constant. A struct that
 * gains a field gains a row in structs.c. */
#ifndef CAI_CODEGEN_STRUCTS_H
#define CAI_CODEGEN_STRUCTS_H

#include <stddef.h>

typedef enum FieldKind {
    FIELD_I32,
    FIELD_I64,
    FIELD_F32,
    FIELD_F64,
    FIELD_TEXT,   /* a string, or NULL */
    FIELD_STRUCT, /* one struct within another: `of` */
    FIELD_ARRAY,  /* a pointer to elements of `of`, as many as the int32_t at `count` says */
    FIELD_LINK    /* a pointer to what only the object has (image_link) */
} FieldKind;

typedef struct StructField {
    FieldKind kind;
    size_t offset;
    const struct StructInfo *of;
    size_t count;
} StructField;

typedef struct StructInfo {
    const char *name;
    size_t bytes;
    const StructField *fields;
    int field_count;
} StructInfo;

extern const StructInfo struct_cai_program, struct_cai_training;

#endif
