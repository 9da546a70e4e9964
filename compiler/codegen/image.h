/* What the writers of tables share: constants of the object, which the runtime reads as
 * structs of C. */
#ifndef CAI_CODEGEN_IMAGE_H
#define CAI_CODEGEN_IMAGE_H

#include "codegen/codegen.h"

/* A constant of that C struct; checked to have its size. */
LLVMValueRef make_struct(Module *m, LLVMValueRef *fields, int count, size_t c_bytes);
LLVMValueRef add_constant(Module *m, const char *name, LLVMValueRef value); /* the address of a private one */
LLVMValueRef make_text(Module *m, const char *text);                        /* NULL stays NULL */
/* The address of a constant array, or NULL where it is empty. */
LLVMValueRef make_array(Module *m, const char *name, LLVMValueRef *items, int count);
LLVMValueRef get_null(Module *m);
/* Makes a constant one that other objects find under the name. */
void export_constant(LLVMValueRef constant, const char *name);

#endif
