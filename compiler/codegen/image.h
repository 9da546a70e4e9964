/* Writes a struct of C, and all that it points to, into the object as constants, which
 * the runtime reads as that struct (structs.h). */
#ifndef CAI_CODEGEN_IMAGE_H
#define CAI_CODEGEN_IMAGE_H

#include "codegen/codegen.h"
#include "codegen/structs.h"

typedef struct Image {
    Module *m;
    Map *links;
    Map *made; /* what a pointer points to is written once: its address -> LLVMValueRef */
} Image;

Image image_begin(Module *m);
/* What the pointer at `field`, a FIELD_LINK of a struct to be written, points to in the
 * object. Those that are linked to nothing stay NULL. */
void image_link(Image *image, const void *field, LLVMValueRef target);
/* Writes the struct under a name that other objects find. */
void image_export(Image *image, const StructInfo *info, const void *value, const char *name);
/* The address of a constant that only this object knows. */
LLVMValueRef image_place(Module *m, const char *name, LLVMValueRef value);

#endif
