/* Reads Python's pickles without running anything in them: values become data, and a
 * class or function that a pickle would call becomes its name and its arguments. */
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
    PICKLE_OBJECT, /* the result of a class or function, which is not called */
    PICKLE_OUTSIDE /* a persistent id, which refers to something outside the pickle */
} PickleKind;

typedef struct Pickled Pickled;
typedef Vec(Pickled *) PickledList;

struct Pickled {
    PickleKind kind;
    bool open;     /* for code that walks the values: it is within this one */
    int64_t whole; /* BOOL, INT: integers beyond 64 bits are INT64_MAX */
    double real;
    const char *text; /* TEXT, and the name of a CLASS; ends with a 0 */
    size_t length;
    PickledList items;  /* LIST; DICT; items that were appended to an OBJECT or set in it */
    Pickled *made_by;   /* OBJECT: usually a CLASS */
    Pickled *arguments; /* OBJECT: a LIST; OUTSIDE: the id */
    Pickled *state;     /* OBJECT: its attributes, usually a DICT; or NULL */
};

/* Reads one pickle, of protocol 0 to 5, which begins at *at, and moves *at to its end.
 * NULL with *error if it is broken, or has opcodes that no pickle of tensors has. `path`
 * is for messages. */
Pickled *pickle_read(Arena *arena, const char *path, const unsigned char *bytes, size_t count, size_t *at,
                     cai_error *error);
/* The value of a text in a DICT; NULL if there is none, and for values of other kinds. */
Pickled *pickle_get(const Pickled *dict, const char *key);
bool pickle_is_class(const Pickled *value, const char *name);

#endif
