/* The contents of a file of weights, whatever its format: names, shapes, and elements on
 * demand. */
#ifndef CAI_WEIGHT_TABLE_H
#define CAI_WEIGHT_TABLE_H

#include "base/base.h"
#include "files/files.h"

/* Where the elements of a tensor are that has not been read yet; for the reader of its
 * format. */
typedef struct TensorPlace {
    int64_t storage;               /* index of a member of the archive, or of a part of the file */
    int64_t offset;                /* of the first element, in elements */
    int64_t strides[CAI_MAX_RANK]; /* in elements */
    const char *refused;           /* why it can't be read, or NULL */
} TensorPlace;

typedef struct WeightTable WeightTable;
struct WeightTable {
    Arena *arena;
    const char *path;
    const char *what;           /* "a PyTorch checkpoint", for messages */
    bool nested;                /* the weights may be below a name, beside other things */
    Vec(cai_tensor) tensors;    /* type F64 to BOOL; data NULL until weight_table_read */
    Vec(TensorPlace) places;    /* parallel to tensors; empty if all data is there */
    Vec(cai_tensor_file) files; /* the open files */
    Vec(cai_file) mapped;       /* open files of other formats, besides `file` */
    Vec(const char *) parts;    /* paths of all files that are read besides `path` */
    Vec(void *) blocks;         /* memory from malloc, freed with the table */
    cai_file file;
    void *archive; /* of the reader of the format */
    bool (*read)(WeightTable *table, int64_t tensor, cai_error *error);
    void (*close)(WeightTable *table);
};

/* Opens .safetensors, .npy, .npz, the index of several .safetensors, files of torch.save,
 * and networks of ncnn. */
bool weight_table_open(const char *path, WeightTable *table, cai_error *error);
/* Whether the tensor can be read; else *error gives the reason, and its type and shape
 * are undefined. */
bool weight_table_knows(const WeightTable *table, int64_t tensor, cai_error *error);
/* Reads tensors.items[tensor].data, unless that has been done. */
bool weight_table_read(WeightTable *table, int64_t tensor, cai_error *error);
/* Copies the elements of a tensor of these sizes into `out`, row-major. The first one is
 * at `from`; `strides` are in elements. */
void gather_elements(const cai_tensor *tensor, const int64_t *strides, const unsigned char *from,
                     unsigned char *out);
/* Maps one more file, which stays mapped until the table is closed. */
bool weight_table_part(WeightTable *table, const char *path, cai_file *file, cai_error *error);
/* Memory that is freed with the table. */
void *weight_table_block(WeightTable *table, uint64_t bytes, cai_error *error);
void weight_table_close(WeightTable *table);

/* ---- a file for each format ---- */

/* reads table->file, whose path is table->path */
typedef bool WeightReader(WeightTable *table, cai_error *error);
WeightReader torch_archive_open, torch_old_open, npz_open, shards_open, ncnn_param_open, ncnn_bin_open,
    tensor_file_open;
/* Whether it is a .bin with a .param in the same folder. */
bool ncnn_has_param(Arena *arena, const char *path);

/* ---- archive.c: members of a zip file ---- */

typedef struct Archive Archive;
Archive *archive_open(Arena *arena, const char *path, const cai_file *file, cai_error *error);
void archive_close(Archive *archive);
int64_t archive_count(const Archive *archive);
const char *archive_name(const Archive *archive, int64_t member);
int64_t archive_bytes(const Archive *archive, int64_t member);  /* uncompressed */
int64_t archive_find(const Archive *archive, const char *name); /* -1 if there is none */
/* The complete member, either in the mapped file or in a block of the table. */
const unsigned char *archive_read(Archive *archive, int64_t member, WeightTable *table, cai_error *error);

#endif
