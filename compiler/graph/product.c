/* Matrix products for what goes into a program: folded constants, packed weights. They
 * are blocked to be fast, in plain C, with sums in one order and without fused
 * multiply-adds (-ffp-contract=off in the Makefile), so that they give the same bits on
 * every machine.
 *
 *     for each DEPTH of the sums, for each COLUMNS of b                   packed, four columns side by side
 *       for each ROWS of a                                              packed, four rows side by side
 *         4 x 4 results: sums over the depth in registers, then added to c */
#include "graph/ops.h"
#include <stdlib.h>

enum { SIDE = 4, DEPTH = 256, COLUMNS = 256, ROWS = 64 };

typedef double PanelPair __attribute__((vector_size(16)));

/* Packs `count` lines of `depth` elements, four lines side by side; missing lines are
 * zero. `line` and `step` are the distances between lines and between the elements of a
 * line. */
static void pack_product_panel(const double *from, int64_t line, int64_t step, int64_t count, int64_t depth,
                               double *to) {
    for (int64_t first = 0; first < count; first += SIDE)
        for (int64_t k = 0; k < depth; k++)
            for (int64_t i = first; i < first + SIDE; i++) *to++ = i < count ? from[i * line + k * step] : 0;
}

/* The sums of 4 x 4 products, by rows. */
static void multiply_tile(const double *a, const double *b, int64_t depth, double sums[SIDE][SIDE]) {
    PanelPair s[SIDE][2] = {0};
#define MULTIPLY_ROW(row) \
    s[row][0] += (PanelPair){a[row], a[row]} * left, s[row][1] += (PanelPair){a[row], a[row]} * right
    for (int64_t k = 0; k < depth; k++, a += SIDE, b += SIDE) {
        PanelPair left = {b[0], b[1]}, right = {b[2], b[3]};
        MULTIPLY_ROW(0);
        MULTIPLY_ROW(1);
        MULTIPLY_ROW(2);
        MULTIPLY_ROW(3);
    }
#undef MULTIPLY_ROW
    memcpy(sums, s, sizeof s);
}

typedef struct ProductBlock { /* of the product */
    int64_t rows, columns, depth;
    const double *a, *b; /* packed */
    double *c;
    int64_t c_row;
} ProductBlock;

static void multiply_block(const ProductBlock *block) {
    double sums[SIDE][SIDE];
    for (int64_t j = 0; j < block->columns; j += SIDE)
        for (int64_t i = 0; i < block->rows; i += SIDE) {
            multiply_tile(block->a + i * block->depth, block->b + j * block->depth, block->depth, sums);
            for (int64_t y = 0; y < min_i64(SIDE, block->rows - i); y++)
                for (int64_t x = 0; x < min_i64(SIDE, block->columns - j); x++)
                    block->c[(i + y) * block->c_row + j + x] += sums[y][x];
        }
}

void product_blocked(int64_t rows, int64_t columns, int64_t depth, RefMatrix a, RefMatrix b, double *c,
                     int64_t c_row) {
    double *packed = checked_realloc(NULL, sizeof *packed * DEPTH * (ROWS + COLUMNS)),
           *packed_b = packed + DEPTH * ROWS;
    for (int64_t k = 0; k < depth; k += DEPTH)
        for (int64_t j = 0; j < columns; j += COLUMNS) {
            ProductBlock block = {.columns = min_i64(COLUMNS, columns - j),
                                  .depth = min_i64(DEPTH, depth - k),
                                  .a = packed,
                                  .b = packed_b,
                                  .c_row = c_row};
            pack_product_panel(b.at + k * b.row + j * b.column, b.column, b.row, block.columns, block.depth,
                               packed_b);
            for (int64_t i = 0; i < rows; i += ROWS) {
                block.rows = min_i64(ROWS, rows - i);
                pack_product_panel(a.at + i * a.row + k * a.column, a.row, a.column, block.rows, block.depth,
                                   packed);
                block.c = c + i * c_row + j;
                multiply_block(&block);
            }
        }
    free(packed);
}

/* ---- by all cores ---- */

/* A piece is what one thread computes at a time, cut from the longer side of c, so that
 * packed panels are used often. Pieces depend on the sizes alone: OpenBLAS may give an
 * element other bits in a piece of another size. */
enum { PIECE = 256, SPEED = 8 /* terms a nanosecond */ };

int64_t product_pieces(const Product *p) {
    return p->rows && p->columns ? ceil_div(max_i64(p->rows, p->columns), PIECE) : 0;
}

int64_t product_piece_work(const Product *p) {
    return min_i64(PIECE, max_i64(p->rows, p->columns)) * min_i64(p->rows, p->columns) * p->depth / SPEED;
}

void product_piece(Product p, int64_t number) {
    int64_t first = number * PIECE;
    if (p.rows > p.columns) {
        p.rows = min_i64(PIECE, p.rows - first);
        p.a.at += first * p.a.row;
        p.c += first * p.c_row;
    } else {
        p.columns = min_i64(PIECE, p.columns - first);
        p.b.at += first * p.b.column;
        p.c += first;
    }
    p.by(p.rows, p.columns, p.depth, p.a, p.b, p.c, p.c_row);
}

static void run_pieces(void *context, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) product_piece(*(const Product *)context, i);
}

void product_run(Product p) { parallel_for(product_pieces(&p), product_piece_work(&p), run_pieces, &p); }
