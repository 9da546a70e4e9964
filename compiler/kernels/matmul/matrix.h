/* The matrix product that the kinds matvec and matmul share. */
#ifndef CAI_MATRIX_H
#define CAI_MATRIX_H

#include "codegen/codegen.h"
#include "kernels/kernels.h"

typedef enum RightForm {               /* what the tiles read of B */
                         RIGHT_PANEL,  /* a copy of the piece on the stack, made by the task */
                         RIGHT_PACKED, /* all of it in matrix_format */
                         RIGHT_AS_IS   /* its rows in place: contiguous floats */
} RightForm;

typedef struct MatrixShape {
    Dim rows, depth, columns, matrices; /* M, K, N, and the product of the leading axes */
    Contraction types;
    bool shared; /* one B for all matrices */
} MatrixShape;

typedef struct MatrixTile { /* proposal.tile of matmul and matvec */
    MatrixShape shape;
    int rows, blocks; /* of one register tile: rows of A, blocks of `lanes` columns of B */
    int depth;        /* terms of the sum that a piece has, and a panel holds */
    int chain;        /* terms of a piece that are added up one after the other */
    int task_tiles;   /* row tiles of one task, which share a panel */
    RightForm right;
} MatrixTile;

/* False where the anchor is no matrix product. */
bool matrix_shape(const Kernel *kernel, MatrixShape *shape);
/* B of that type as [matrix][panel][row k][blocks * lanes columns], where the last panel
 * is as narrow as its blocks are few. */
Format matrix_format(const Node *b, DType type, int lanes, int blocks);
/* By that tile: PLAIN operands, and B packed where it wants that. */
void matrix_propose(const Kernel *kernel, const MatrixTile *tile, Proposal *proposal);
/* By the proposal's tile: its tasks. */
void matrix_settle(Program *program, Kernel *kernel);
LLVMValueRef emit_matrix(Module *m, const Kernel *kernel);

/* The largest numbers of rows for a tile of so many blocks, and of blocks for a tile of
 * so many rows, by the target's registers. */
int matrix_blocks(const Target *target, int rows);

#endif
