/* What the files of plan/ share. The stages run in the order of `lower` in plan.c. */
#ifndef CAI_PLAN_STAGES_H
#define CAI_PLAN_STAGES_H

#include "plan/plan.h"

typedef struct Lowering {
    Program *program;
    const LowerOptions *options;
    Arena *scratch;   /* gone after lower() */
    Value **value_of; /* by node id: the value that holds the node, or NULL where it is not in memory */
    bool *is_output;  /* by node id: some output of the model */
    /* fusion.c's, in order of execution; layout.c turns them into program->launches */
    Vec(Kernel *) kernels;
} Lowering;

/* ---- program.c ---- */
Value *value_new(Program *program, Node *node, const Format *format, Space space);
Kernel *kernel_new(Program *program, Node *anchor, Value *output);
void kernel_add_input(Kernel *kernel, Value *value);
/* the value that owns the buffer: itself, or its outermost parent */
Value *value_root(const Value *value);
int kernel_operand_count(const Kernel *kernel); /* inputs that are the operands of a strict anchor */
/* Whether `kernel` only passes its input on: a concatenation, or slices, transposes and
 * reshapes of a value in memory. layout.c makes views of these. */
bool kernel_is_concat(const Kernel *kernel);
bool kernel_is_view(const Kernel *kernel);
/* Whether a member computes a point of its result from the same point of its operands, as
 * `context` has it. */
typedef bool KeepsPoint(const Kernel *kernel, const Node *member, const void *context);
/* Whether every read of `node`, a member or input, is at the point where the output is
 * written: from there on members keep it. */
bool kernel_reads_at_point(const Kernel *kernel, const Node *node, KeepsPoint *keeps, const void *context);

/* ---- weights.c: fills program->weights and ->left ---- */
void find_weights(Lowering *low);

/* ---- fusion.c: fills low->value_of, low->is_output, low->kernels ---- */
void fuse(Lowering *low);
/* The node from which a strict anchor reads an operand: a matrix that is the right
 * operand of many is not repeated for each of them. */
Node *operand_of(const Node *anchor, int index);
/* splatted constants, iota, size: computed at every use */
bool is_everywhere_source(const Node *node);

/* ---- ties.c: fills program->ties ---- */
void find_ties(Program *program, Arena *scratch);

/* ---- select.c: fills kernel->kind and ->proposal, and value->format as those leave it ---- */
void select_kinds(Lowering *low);
void select_kind(const Lowering *low, Kernel *kernel); /* of one kernel, whose inputs and output are there */

/* ---- layout.c: where values lie ----
 *
 * Fills layouts, spaces, parents, strides, offsets and bytes of values; makes
 * program->launches. */
void layout(Lowering *low);
bool can_be_blocked(Shape shape);
/* Of a buffer of its own: the strides of the axes, and after these the number of all
 * elements. */
Dim *dense_strides(Program *program, Shape shape, const Format *format); /* views.c */

/* ---- fuse_rows.c: launches of loop nests that run row by row together ----
 *
 * Before they are settled. */
void fuse_rows(Program *program);

/* ---- streams.c: fills value->streamed ----
 *
 * Once all launches are there, before they are settled: names depend on it. */
void stream_results(Program *program);

/* ---- fuse_shared.c: launches that have large operands in common ----
 *
 * Runs before loop nests are settled, and after fuse_rows. */
void fuse_shared(Program *program);

/* Whether two values have equal elements in equal places of their buffers. */
bool lies_alike(const Value *a, const Value *b); /* memory.c */

/* ---- cost.c: fills kernel->flops and bytes ---- */
void estimate(Kernel *kernel);

/* ---- pack.c ---- */
void count_parameters(Program *program);             /* fills raw_weights_bytes */
void pack_weights(Program *program, Kernel *kernel); /* finds the pack jobs of what the kernel reads */
void pack_assign(Program *program);                  /* offsets in the blob; program->weights_bytes */

/* ---- recompute.c: values that are computed again after the launch at which most memory is live ---- */
void recompute(Program *program, double share); /* of the program's time; 0: as a rule */

/* ---- states.c: fills kernel->guards, and has new values of states made where the old ones lie ---- */
void guard_launches(Program *program);
void store_in_place(Program *program);
/* a copy of a new value to the state's memory, after all launches; store_in_place may
 * remove it */
bool is_state_store(const Program *program, const Kernel *kernel);
/* where the old value lies of the state in whose memory the output is; NULL where nothing
 * reads it */
const Value *find_old_state(const Program *program, const Value *output);

/* ---- updates.c: large states get their new values as soon as they can ---- */
void update_early(Program *program);

/* ---- print.c, peak.c: for --explain ---- */
void kernel_print_work(Text *out, const Kernel *kernel); /* its operators and its path */
void explain_peak(const Program *program, Text *out);
/* The bytes of a buffer at typical sizes; 0 of what lies in none. */
int64_t buffer_bytes(const Program *program, const Value *root);
/* By launch, those of all buffers that are live in it; `peak` becomes the first launch
 * with the most. Needs the lives of values (find_lives). */
int64_t *find_live_bytes(const Program *program, Arena *arena, int *peak);

/* ---- memory.c: fills first, last, slot; program->slots ---- */
void plan(Program *program);
void find_lives(Program *program); /* first and last of values, for the launches that there are */
/* The first of the launches that run along with a launch: itself as a rule. */
int first_along(const Program *program, int launch);
/* Whether the kernel reads its input in the places in which it writes its output, each
 * before it is written. */
bool reads_in_place(const Kernel *kernel, int input);

#endif
