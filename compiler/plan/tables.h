/* The tables of runtime/core/program.h as C structs (tables.c). codegen/program_image.c
 * writes them into the object as constants; `cai run --reference` uses them directly. */
#ifndef CAI_TABLES_H
#define CAI_TABLES_H

#include "plan/program.h"
#include "core/program.h"

typedef enum SizeKind {
    SIZE_DIM,    /* dim */
    SIZE_SLOT,   /* dim bytes past the beginning of `slot` */
    SIZE_ARENA,  /* bytes of all slots */
    SIZE_SCRATCH /* the most that a kernel needs for each thread */
} SizeKind;

typedef struct Size {
    SizeKind kind;
    Dim dim;
    int slot;
} Size;

typedef struct Tables {
    Arena *arena;
    const Program *planned; /* NULL: of a graph */
    Dims *dims;
    /* without pointers to code and weights: launches name their kernels, prepare is
     * NULL */
    cai_program program;
    Vec(Size) sizes; /* that prepare() fills in, in the order of requests */
    /* by the id of a value that has a buffer in a slot: its place in the table of
     * buffers */
    int *buffers;
} Tables;

/* What a graph alone decides: its name, ports, symbols and checks. */
Tables *tables_of_graph(const Graph *graph, Arena *arena);
/* All of a program's. */
Tables *tables_of_program(const Program *program, Arena *arena);
/* The place of a size in sizes[]; equal requests are one. NULL: -1. */
int tables_size(Tables *tables, Dim dim);

#endif
