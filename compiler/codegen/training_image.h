/* For emit.c: the tables of a trainer. */
#ifndef CAI_TRAINING_IMAGE_H
#define CAI_TRAINING_IMAGE_H

#include "codegen/codegen.h"
#include "codegen/emit.h"

const char *trainer_symbol(Arena *arena, int program); /* the symbol of the tables of an entry */
void emit_training_image(Module *m, const Trainer *trainer);

#endif
