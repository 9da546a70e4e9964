/* The model of a test's own text. */
#ifndef LIBRARY_SUPPORT_H
#define LIBRARY_SUPPORT_H

#include "elaborate/elaborate.h"
#include "test.h"

/* The first of the text, elaborated in diag->arena; mistakes are printed. */
Model *model_of_text(Names *names, Diagnostics *diag, const char *text);

#endif
