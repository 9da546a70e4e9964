/* Parts of the model that are alike become runs of blocks. */
#include "import/import.h"

void find_repeats(Import *im) { (void)im; }
