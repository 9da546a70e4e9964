/* Runs the language: evaluates everything that is known at compile time, checks shapes,
 * and leaves one graph for each model asked for. */
#ifndef CAI_ELABORATE_H
#define CAI_ELABORATE_H

#include "graph/graph.h"
#include "syntax/syntax.h"
#include <math.h>

/* A file with all it uses, parsed; shared by the models of one compilation. */
typedef struct Library Library;

/* -D name=value, text as given: sets a symbol or a setting of the model. */
typedef struct Define { Name name; const char *value; } Define;

typedef struct ElaborateOptions {
    const char *stdlib_dir;
    const Define *defines;
    int define_count;
    int patience; /* 0: as for users; else limits on work are divided by it (fuzzing) */
} ElaborateOptions;

/* One layer, in order of execution. */
typedef struct LayerInfo {
    const char *path;   /* "layer1.0.conv1" */
    const char *callee; /* "conv" */
    Node *result;       /* its output; a tuple's first */
    /* Its own, without those of layers listed below it: columns add up. MACs are those of
     * convolutions and matrix products; of a transposed convolution they are counted on
     * its inputs, where the work is done. */
    Dim parameters, macs;
    /* after it, in pixels of the input; 0 where it has none or it is the whole input */
    int64_t receptive_field;
    int depth;                /* nesting: 0 for the stages of the model's body */
    int parent;               /* the layer around it, by its place in the list; -1: none */
    int first_node, end_node; /* ids of the nodes that this run made, and those of the layers in it */
    Span span;
} LayerInfo;

typedef Vec(LayerInfo) LayerList;

/* What stands for a number as a weight's init: `param(shape, init = "normal")`, of mean 0
 * and variance 1. */
#define INIT_NORMAL INFINITY

typedef struct WeightInfo { /* a parameter or state of the model, in order of first use */
    Name path;
    Shape shape;
    double init; /* NAN where `param` says none: drawn at random */
    bool state;
    Span span;
} WeightInfo;

typedef struct LoadInfo { const char *prefix, *file; Span span; } LoadInfo; /* load PREFIX from FILE */

/* settings that the model states figures for */
typedef struct Variant { const Define *defines; int count; } Variant;

typedef struct Model {
    Decl *decl;
    Graph *graph;     /* NULL where there were errors, other than of its `expect`s */
    LayerList layers; /* as `cai summary` lists them: what the user wrote, and what has weights */
    /* as `cai graph` draws them: also other stages of the library's layers that have some
     * in them */
    LayerList runs;
    Vec(WeightInfo) weights; /* this model's; the file's union is library_weights */
    Vec(LoadInfo) loads;
    Vec(const char *) unused; /* patterns of `unused` */
    const char *called;       /* what `expect` calls the network with these settings; NULL: nothing */
    double top1;              /* accuracy in per cent that `expect` states for these settings; 0: none */
    Vec(Define) stated_sizes; /* those that `expect` states figures for */
    Vec(Variant) variants;    /* other than this one, of `expect(..., at = (depth = 18))` */
    Dim parameters, macs;
    /* the largest on the way to the outputs, before anything sees the whole input; 0: not
     * defined */
    int64_t receptive_field;
} Model;

/* Reads a file and what it uses (stdlib, prelude, files beside it). Errors go to diag;
 * NULL only where it cannot be read. */
Library *library_open(Arena *arena, Names *names, Diagnostics *diag, const char *path,
                      const ElaborateOptions *options);
/* The same of a text that has no file. */
Library *library_of_text(Arena *arena, Names *names, Diagnostics *diag, const char *text,
                         const ElaborateOptions *options);
const File *library_file(const Library *library); /* the file itself, for --emit=ast */
/* of the files read, in turn; NULL past the last */
const Source *library_source(const Library *library, int index);
int library_model_count(const Library *library);
Name library_model_name(const Library *library, int index);
/* Elaborates model `index`; the result's graph is NULL where that made errors, other than
 * of its `expect`s. */
Model *elaborate_model(Library *library, int index);
/* Elaborates the models with the other settings that they state figures for, so that what
 * is wrong there is told. */
void library_check_variants(Library *library, Model *const *models, int count);
/* Whether the language itself has a name, and what one that other frameworks have is
 * here; NULL where it is none. */
bool builtin_knows(Name name);
const char *alias_help(const char *name);
/* The union of the weights of all the file's models; reports equal paths of unequal
 * shape. */
bool library_check_weights(Library *library, Model *const *models, int count);

/* ---- trial.c: a model that grows by a statement at a time ---- */

typedef struct Trial Trial;
/* `signature` is a model's without its body. NULL where it is wrong, with *why. */
Trial *trial_begin(Arena *arena, Names *names, const ElaborateOptions *options, const char *signature,
                   const char **why);
const char *trial_run(Trial *trial, const char *statement); /* what is wrong with it, or NULL */
bool trial_shape(Trial *trial, Name name, Shape *out);      /* of a tensor that a statement bound */
Dims *trial_dims(const Trial *trial);

#endif
