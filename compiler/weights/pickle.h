/* Python's pickles, read without running anything in them: values come out as data, and
 * what a pickle would have called or made stands there by its name, with its
 * arguments. */
#ifndef CAI_PICKLE_H
#define CAI_PICKLE_H

#include "base/base.h"
#include "core/core.h"

typedef enum PickleKind {
    PICKLE_NONE,
    PICKLE_BOOL,
    PICKLE_INT,
    PICKLE_REAL,
    PICKLE_TEXT,   /* str, bytes and bytearray */
    PICKLE_LIST,   /* list, tuple, set, frozenset */
    PICKLE_DICT,   /* also OrderedDict; keys and values in turn */
    PICKLE_CLASS,  /* a class or function: "torch._utils._rebuild_tensor_v2" */
    PICKLE_OBJECT, /* what a class or function makes of arguments */
    PICKLE_OUTSIDE /* a persistent id: something that lies outside the pickle */
} PickleKind;

typedef struct Pickled Pickled;
typedef Vec(Pickled *) PickledList;

struct Pickled {
    PickleKind kind;
    bool open;     /* free for who walks the values: it is being walked */
    int64_t whole; /* BOOL, INT: those beyond 64 bits are INT64_MAX */
    double real;
    const char *text; /* TEXT, and the name of a CLASS: with a 0 behind it */
    size_t length;
    PickledList items;  /* LIST; DICT; what was appended to an OBJECT or set in it */
    Pickled *made_by;   /* OBJECT: a CLASS, if it was made as usual */
    Pickled *arguments; /* OBJECT: a LIST; OUTSIDE: the id */
    Pickled *state;     /* OBJECT: its attributes, a DICT if it was made as usual; or NULL */
};

/* Reads one pickle, of protocol 0 to 5, which begins at *at; moves *at behind it. NULL
 * with *error where it is broken or has what no pickle of tensors has. `path` is for
 * messages. */
Pickled *pickle_read(Arena *arena, const char *path, const unsigned char *bytes, size_t count, size_t *at,
                     cai_error *error);
/* The value of a DICT under a text; NULL where there is none, and of any other kind. */
Pickled *pickle_get(const Pickled *dict, const char *key);
bool pickle_is_class(const Pickled *value, const char *name);

#endif
