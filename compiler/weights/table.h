/* The contents of a file of weights, whatever its format: names, shapes, and elements on
 * demand. */
#ifndef CAI_WEIGHT_TABLE_H
#define CAI_WEIGHT_TABLE_H

#include "base/base.h"
#include "files/files.h"

/* Where the elements of a tensor are that is not read yet, for the reader of its
 * format. */
typedef struct TensorPlace {
    int64_t storage;               /* which one: of the archive's members, or of the file's parts */
    int64_t offset;                /* of the first element, in elements */
    int64_t strides[CAI_MAX_RANK]; /* in elements */
    const char *refused;           /* why it can't be read, or NULL */
} TensorPlace;

typedef struct WeightTable WeightTable;
struct WeightTable {
    Arena *arena;
    const char *path;
    const char *what;           /* "a PyTorch checkpoint", for messages */
    bool nested;                /* weights may lie below a name, with other things beside it */
    Vec(cai_tensor) tensors;    /* type F64 to BOOL; data NULL until weight_table_read */
    Vec(TensorPlace) places;    /* beside them; none where all data is there */
    Vec(cai_tensor_file) files; /* that are open */
    Vec(cai_file) mapped;       /* and those of other formats, beside `file` */
    Vec(const char *) parts;    /* paths of all that is read beside `path` */
    Vec(void *) blocks;         /* malloc'd data */
    cai_file file;
    void *archive; /* of the reader */
    bool (*read)(WeightTable *table, int64_t tensor, cai_error *error);
    void (*close)(WeightTable *table);
};

/* Opens .safetensors, .npy, .npz, the index of several .safetensors, what torch.save
 * writes, and networks of ncnn. */
bool weight_table_open(const char *path, WeightTable *table, cai_error *error);
/* Whether the tensor has a type that cai reads, and elements; else *error says why not,
 * and type and shape are meaningless. */
bool weight_table_knows(const WeightTable *table, int64_t tensor, cai_error *error);
/* Reads tensors.items[tensor].data unless it is read already. */
bool weight_table_read(WeightTable *table, int64_t tensor, cai_error *error);
/* Row major into `out` the elements of a tensor of these sizes, whose first one is at
 * `from` and which are `strides` apart, in elements, along each axis. */
void gather_elements(const cai_tensor *tensor, const int64_t *strides, const unsigned char *from,
                     unsigned char *out);
/* Maps one more file, until the table is closed. */
bool weight_table_part(WeightTable *table, const char *path, cai_file *file, cai_error *error);
/* Memory that ends with the table. */
void *weight_table_block(WeightTable *table, uint64_t bytes, cai_error *error);
void weight_table_close(WeightTable *table);

/* ---- a file for each format ---- */

/* of table->file, whose path is table->path */
typedef bool WeightReader(WeightTable *table, cai_error *error);
WeightReader torch_archive_open, torch_old_open, npz_open, shards_open, ncnn_param_open, ncnn_bin_open,
    tensor_file_open;
/* Whether it is a .bin with its .param beside. */
bool ncnn_has_param(Arena *arena, const char *path);

/* ---- archive.c: members of a zip file ---- */

typedef struct Archive Archive;
Archive *archive_open(Arena *arena, const char *path, const cai_file *file, cai_error *error);
void archive_close(Archive *archive);
int64_t archive_count(const Archive *archive);
const char *archive_name(const Archive *archive, int64_t member);
int64_t archive_bytes(const Archive *archive, int64_t member);  /* unpacked */
int64_t archive_find(const Archive *archive, const char *name); /* -1: it has none */
/* The whole member, where it lies in the file or in a block of the table. */
const unsigned char *archive_read(Archive *archive, int64_t member, WeightTable *table, cai_error *error);

#endif
