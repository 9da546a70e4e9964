/* What the fuzz targets share. A target gets any bytes and must come back; an abort, an
 * internal error, a sanitizer's word or more time or memory than tests/fuzz/run allows is
 * a finding. */
#ifndef FUZZ_H
#define FUZZ_H

#include "base/base.h"

/* ---- the targets, a file each ---- */
void fuzz_source(const unsigned char *bytes, size_t count); /* the parser: any bytes as source */
/* the elaborator and what follows: source that mostly parses */
void fuzz_language(const unsigned char *bytes, size_t count);
void fuzz_files(const unsigned char *bytes, size_t count);   /* the readers of pictures and tensors */
void fuzz_data(const unsigned char *bytes, size_t count);    /* the readers of data sets */
void fuzz_weights(const unsigned char *bytes, size_t count); /* the loader of weights, against a model */
/* the import of ONNX files: what is written must be read */
void fuzz_onnx(const unsigned char *bytes, size_t count);
/* random graphs: the passes, against the reference */
void fuzz_rewrites(const unsigned char *bytes, size_t count);
/* random graphs: compiled programs, against the reference */
void fuzz_programs(const unsigned char *bytes, size_t count);

/* ---- support.c ---- */
/* Where a target goes by files: a path, the same for equal endings, that holds these
 * bytes. */
const char *fuzz_file(const char *ending, const unsigned char *bytes, size_t count);
FILE *fuzz_nowhere(void); /* a stream that keeps nothing */
#define DEMAND(condition) ((condition) ? (void)0 : fuzz_broken(__FILE__, __LINE__, #condition))
NORETURN void fuzz_broken(const char *file, int line, const char *condition);

/* ---- mutate.c: mutations of source by tokens and lines ---- */
void mutate_open(void); /* gathers words and lines from stdlib/ and tests/ */
size_t mutate_source(unsigned char *bytes, size_t count, size_t limit, unsigned seed);

#endif
