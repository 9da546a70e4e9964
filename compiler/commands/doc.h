/* What doc.c finds, and doc_print.c prints. */
#ifndef CAI_DOC_H
#define CAI_DOC_H

#include "commands/commands.h"

typedef struct DocFile {
    const Doc *doc;
    const char *name; /* "unet.cai"; of a user's file: its path */
    /* "unet", as in `use unet`, for a file of the library; NULL where every file knows
     * it, and for a user's file */
    const char *use;
    bool library;
} DocFile;

typedef struct Reference { /* the library: the files that every file knows, then the others by name */
    Vec(DocFile *) files;
} Reference;

typedef struct DocFound { /* a declaration in its file, a whole file, an operator, or an error */
    const DocFile *file;
    const DocEntry *entry;  /* NULL: the file */
    const OpInfo *operator; /* with no file */
    const DiagInfo *error;  /* with no file */
    const char *also;       /* a file of the same name, or NULL */
} DocFound;
typedef Vec(DocFound) FoundList;

/* found NULL: all of the library; as text its names only. */
void reference_text(Text *out, const Reference *reference, const FoundList *found);
void reference_markdown(Text *out, const Reference *reference, const FoundList *found);

#endif
