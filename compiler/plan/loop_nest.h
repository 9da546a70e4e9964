/* The nest of loops that a kernel without an algorithm of its own becomes: elementwise
 * work, movement, reductions. */
#ifndef CAI_LOOP_NEST_H
#define CAI_LOOP_NEST_H

#include "plan/kernel.h"

/* Adjacent axes that every operand walks through as if they were one. Axes of size 1 are
 * in no group: their coordinate is 0. */
typedef struct Group {
    int axes[16], count; /* the last axis carries the coordinate, the others have 0 */
    Dim size;
    bool reduced;
} Group;

/* The domain is the output's shape or, of a reduction, its operand's. Tasks run over the
 * kept groups before `split`, and over chunks of `chunk` coordinates of the group `split`
 * (a place in `kept`; parallel_count where there is none); the rest of the kept groups,
 * then the reduced ones, are loops within a task. */
typedef struct Nest {
    int rank;
    Group groups[16];
    int count;
    int parallel[16], parallel_count; /* numbers of groups, outermost first */
    int reduced[16], reduced_count;
    int lane; /* the group that runs through the lanes, or -1: scalars */
    int split;
    int64_t chunk;
    /* A reduction to few results: each task adds up `part` coordinates of the reduced
     * group `parted` (-1: none) into the workspace, and a second phase adds up those
     * sums. */
    int split_reduction;
    int64_t part;
    /* the output is BLOCKED with one channel, which the loops do not run over */
    bool blocked_one;
    /* the innermost group, or the one before the lanes' as the innermost, along which
     * `turns` lie in memory while lanes run through another; or -1 */
    int transposed;
    /* are loaded as squares of lanes x lanes and transposed in registers */
    const Node *transposed_nodes[4];
    int transposed_count;
    /* a narrow group, the output's innermost, whose coordinates are vectors along the
     * lanes' group, interleaved when stored; or -1 */
    int interleaved;
} Nest;

/* proposal.tile of all launches that are nests, by the layouts and strides granted. */
void make_nests(Program *program);
Dim nest_tasks(const Program *program, const Nest *nest);
/* coordinates of a group that loops and tasks take at once */
int64_t nest_step(const Nest *nest, int group, const Target *target);
Dim nest_parts(const Program *program, const Nest *nest); /* of a result */

#endif
