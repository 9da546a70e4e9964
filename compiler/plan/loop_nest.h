/* The loop nest of a kernel that has no algorithm of its own: elementwise work, movement,
 * reductions. */
#ifndef CAI_LOOP_NEST_H
#define CAI_LOOP_NEST_H

#include "plan/kernel.h"

/* Adjacent axes that are as one for every operand. Axes of size 1 are
 * in no group: their coordinate is 0. */
typedef struct Group {
    int axes[16], count; /* the last axis carries the coordinate, the others have 0 */
    Dim size;
    bool reduced;
} Group;

/* The domain is the output's shape or, of a reduction, its operand's. Tasks run over the
 * parallel groups before `split`, and over chunks of `chunk` coordinates of the group
 * `split` (an index into `parallel`; parallel_count where there is none). The other
 * parallel groups, then the reduced ones, are loops within a task. */
typedef struct Nest {
    int rank;
    Group groups[16];
    int count;
    int parallel[16], parallel_count; /* numbers of groups, outermost first */
    int reduced[16], reduced_count;
    int lane; /* the group that runs through the lanes, or -1: scalars */
    int split;
    int64_t chunk;
    /* A reduction to few results: each task adds up a part into the workspace, and a
     * second phase adds up those sums. A part is one step of each reduced group before
     * `split_reduction` (an index into `reduced`; -1: there are no parts), and `part`
     * coordinates of that group. */
    int split_reduction;
    int64_t part;
    /* of a result: parts that an earlier kernel has added up (stored_sums.c), which the
     * input has; split_reduction is 0. 0: none */
    int64_t gathered;
    /* the output is BLOCKED with one channel, which the loops do not run over */
    bool blocked_one;
    /* the group along which `transposed_nodes` are contiguous while lanes run through
     * another: the innermost one, or the one before it where the lanes' is the innermost;
     * or -1 */
    int transposed;
    /* loaded as squares of lanes x lanes and transposed in registers */
    const Node *transposed_nodes[4];
    int transposed_count;
    /* a narrow group, the output's innermost, whose coordinates are vectors along the
     * lanes' group, interleaved when stored; or -1 */
    int interleaved;
} Nest;

/* proposal.tile and .memory of all launches that are nests, by the layouts and strides
 * granted. */
void make_nests(Program *program);
/* Has a reduction to channels, whose lanes are channels, gather so many parts of each
 * result from its input. */
void nest_gather(Kernel *kernel, int64_t parts);
Dim nest_tasks(const Program *program, const Nest *nest);
/* coordinates of a group in one step of loops and tasks */
int64_t nest_step(const Nest *nest, int group, const Target *target);
Dim nest_parts(const Program *program, const Nest *nest); /* of a result */
/* Coordinates of reduced group `number` in a part, and into how many pieces parts cut the
 * group. */
int64_t nest_piece(const Nest *nest, int number, const Target *target);
Dim nest_pieces(const Program *program, const Nest *nest, int number);
/* Bytes of a part's total in the workspace: a vector of values, and for argmax a vector
 * of places. */
int64_t nest_part_bytes(const Target *target, const Node *anchor);
int64_t stored_part_bytes(const Target *target, const StoredSum *sum); /* of a part of a stored sum */

#endif
