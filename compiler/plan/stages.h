/* What the files of plan/ share among themselves. The stages run in the order of `lower` in plan.c. */
#ifndef CAI_PLAN_STAGES_H
#define CAI_PLAN_STAGES_H

#include "plan/plan.h"

typedef struct Lowering {
    Program *program;
    const LowerOptions *options;
    Arena *scratch;         /* gone after lower() */
    Value **value_of;       /* by node id: the value that holds a node which lies in memory, or NULL */
    bool *is_output;        /* by node id: some output of the model */
    Vec(Kernel *) kernels;  /* fusion.c's, in order of execution; layout.c turns them into program->launches */
} Lowering;

/* ---- plan.c ---- */
void program_launch(Program *program, Kernel *kernel); /* has its kind settle it, and puts it behind the launches there are */

/* ---- program.c ---- */
Value *value_new(Program *program, Node *node, LayoutKind layout, Space space);
Kernel *kernel_new(Program *program, Node *anchor, Value *output);
void kernel_add_input(Kernel *kernel, Value *value);
Value *value_root(const Value *value); /* the value whose buffer it lies in: itself, or its outermost parent */
int kernel_operand_count(const Kernel *kernel); /* inputs that are the operands of a strict anchor */
int64_t node_typical_bytes(const Program *program, const Node *node);
/* Whether `kernel` only hands its input on: a concatenation, or slices, transposes and reshapes of
 * a value in memory. layout.c makes views of them. */
bool kernel_is_concat(const Kernel *kernel);
bool kernel_is_view(const Kernel *kernel);

/* ---- weights.c: fills program->weights and ->left ---- */
void find_weights(Lowering *low);

/* ---- fusion.c: fills low->value_of, low->is_output, low->kernels ---- */
void fuse(Lowering *low);
/* What a strict anchor's operand is read from: a matrix that is the right operand of many is not repeated for each of them. */
Node *operand_of(const Node *anchor, int index);
bool is_everywhere_source(const Node *node); /* splatted constants, iota, size: computed wherever they are used */

/* ---- ties.c: fills program->ties ---- */
void find_ties(Program *program, Arena *scratch);

/* ---- select.c: fills kernel->kind and ->proposal, and value->layout as those leave it ---- */
void select_kinds(Lowering *low);
void kernel_set_kind(Kernel *kernel, const KernelKind *kind); /* and has it propose; inputs and output are there */

/* ---- layout.c: where values lie ----
 *
 * Fills layouts, spaces, parents, strides, offsets and bytes of values; makes
 * program->launches. */
void layout(Lowering *low);
bool can_be_blocked(Shape shape);

/* ---- fuse_rows.c: launches of loop nests that run row by row together ----
 *
 * Before they are settled. */
void fuse_rows(Program *program);

/* ---- cost.c: fills kernel->flops and bytes ---- */
void estimate(Kernel *kernel);

/* ---- pack.c ---- */
void count_parameters(Program *program);               /* fills raw_weights_bytes */
void pack_remaining(Program *program, Kernel *kernel); /* the kernel's weights that its kind did not pack */
void pack_assign(Program *program);                    /* offsets in the blob; program->weights_bytes */

/* ---- states.c: fills kernel->guards, and has new values of states made where the old ones lie ---- */
void guard_launches(Program *program);
void store_in_place(Program *program);

/* ---- memory.c: fills first, last, slot; program->slots ---- */
void plan(Program *program);
void find_lives(Program *program); /* first and last of values, for the launches that there are */
/* The first of the launches that run along with a launch: itself as a rule. */
int first_along(const Program *program, int launch);
/* Whether the kernel reads its input in the places in which it writes its output, each before it is written. */
bool reads_in_place(const Kernel *kernel, int input);

#endif
