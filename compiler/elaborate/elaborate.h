/* Runs the language: evaluates everything that is known at compile time, checks shapes,
 * and leaves one graph for each model asked for. */
#ifndef CAI_ELABORATE_H
#define CAI_ELABORATE_H

#include "graph/graph.h"
#include "syntax/syntax.h"
#include <math.h>

/* A file with all files that it uses, parsed; shared by the models of one compilation. */
typedef struct Library Library;

/* -D name=value, the text as given: sets a symbol or a setting of the model. */
typedef struct Define {
    Name name;
    const char *value;
} Define;

typedef struct ElaborateOptions {
    const char *stdlib_dir;
    const Define *defines;
    int define_count;
    int patience;   /* 0: as for users; else limits on work are divided by it (fuzzing) */
    bool find_rate; /* optimizers take their `lr` times a factor that the trainer says */
    int parts;      /* of a step of training; 0 is 1 */
} ElaborateOptions;

/* One layer, in order of execution. */
typedef struct LayerInfo {
    const char *path;   /* "layer1.0.conv1" */
    const char *callee; /* "conv" */
    Node *result;       /* its output; a tuple's first */
    /* The layer's own, without those of layers listed below it, so that columns add up.
     * MACs are those of convolutions and matrix products; those of a transposed
     * convolution are counted on its inputs, where the work is done. */
    Dim parameters, macs;
    /* after the layer, in pixels of the input; 0 where undefined or the whole input */
    int64_t receptive_field;
    int depth;                /* nesting: 0 for the stages of the model's body */
    int parent;               /* the index in the list of the layer around it; -1: none */
    int first_node, end_node; /* ids of the nodes made by this run and by the layers in it */
    Span span;
} LayerInfo;

typedef Vec(LayerInfo) LayerList;

/* What stands for a number as a weight's init: `param(shape, init = "normal")`, of mean 0
 * and variance 1. */
#define INIT_NORMAL INFINITY

typedef struct WeightInfo { /* a parameter or state of the model, in order of first use */
    Name path;
    Shape shape;
    double init; /* NAN where `param` gives none: drawn at random */
    bool state;
    Span span;
} WeightInfo;

typedef struct LoadInfo {
    const char *prefix, *file;
    Span span;
} LoadInfo; /* load PREFIX from FILE */

/* settings that the model states figures for */
typedef struct Variant {
    const Define *defines;
    int count;
} Variant;

typedef struct Model {
    Decl *decl;
    Graph *graph;     /* NULL where there were errors, except of its `expect`s */
    LayerList layers; /* as `cai summary` lists them: the user's layers, and layers with weights */
    /* as `cai graph` draws them: also the other stages of library layers that contain
     * listed ones */
    LayerList runs;
    Vec(WeightInfo) weights; /* this model's; the file's union is library_weights */
    Vec(LoadInfo) loads;
    Vec(const char *) unused; /* patterns of `unused` */
    const char *called;       /* the name that `expect` gives the network with these settings; NULL: none */
    double top1;              /* accuracy in per cent that `expect` states for these settings; 0: none */
    Vec(Define) stated_sizes; /* those that `expect` states figures for */
    Vec(Variant) variants;    /* other than this one, of `expect(..., at = (depth = 18))` */
    Dim parameters, macs;
    /* the largest on the paths to the outputs, before anything sees the whole input; 0:
     * undefined */
    int64_t receptive_field;
} Model;

/* Reads a file and the files that it uses (stdlib, prelude, files beside it). Errors go
 * to diag; NULL only where the file cannot be read. */
Library *library_open(Arena *arena, Names *names, Diagnostics *diag, const char *path,
                      const ElaborateOptions *options);
/* The same of a text that has no file. */
Library *library_of_text(Arena *arena, Names *names, Diagnostics *diag, const char *text,
                         const ElaborateOptions *options);
const File *library_file(const Library *library); /* the file itself, for --emit=ast */
/* the sources of the files read, by index; NULL past the last */
const Source *library_source(const Library *library, int index);
int library_model_count(const Library *library);
Name library_model_name(const Library *library, int index);
/* Elaborates model `index`; its graph is NULL where there were errors, except of its
 * `expect`s. */
Model *elaborate_model(Library *library, int index);
/* Elaborates the models with the other settings for which they state figures, so that
 * mistakes there are reported. */
void library_check_variants(Library *library, Model *const *models, int count);
/* Whether the language itself knows a name; and help for a name of other frameworks, or
 * NULL. */
bool builtin_knows(Name name);
const char *alias_help(const char *name);
/* The union of the weights of all the file's models; reports equal paths of unequal
 * shape. */
bool library_check_weights(Library *library, Model *const *models, int count);

/* ---- trial.c: a model that grows statement by statement ---- */

typedef struct Trial Trial;
/* `signature` is that of a model without its body. NULL where it is wrong, with *why. */
Trial *trial_begin(Arena *arena, Names *names, const ElaborateOptions *options, const char *signature,
                   const char **why);
const char *trial_run(Trial *trial, const char *statement); /* what is wrong with the statement, or NULL */
const Node *trial_node(Trial *trial, Name name);            /* a tensor that a statement bound; or NULL */
bool trial_shape(Trial *trial, Name name, Shape *out);      /* its shape */
Dims *trial_dims(const Trial *trial);

#endif
