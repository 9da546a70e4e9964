/* For tables of what every operator of one class must have, such as an emitter: an
 * operator that lacks it does not compile.
 *
 *     #undef ROW_OF_CLASS_ORDER
 *     #define ROW_OF_CLASS_ORDER(name) [OP_##name] = name##_emit,
 *     #define OP(name, inputs, attributes, class, ...) ROW_OF_##class(name)
 *     #include "graph/ops.def"
 *
 * The other classes give no rows. */
#ifndef CAI_CLASS_ROWS_H
#define CAI_CLASS_ROWS_H

#include "graph/graph.h"

#define ROW_OF_CLASS_SOURCE(name)
#define ROW_OF_CLASS_ELEMENTWISE(name)
#define ROW_OF_CLASS_MOVEMENT(name)
#define ROW_OF_CLASS_REDUCTION(name)
#define ROW_OF_CLASS_CONTRACTION(name)
#define ROW_OF_CLASS_WINDOW(name)
#define ROW_OF_CLASS_ORDER(name)
#define ROW_OF_CLASS_SCATTER(name)

#endif
