/* OpenBLAS's dgemm for --reference and --compare, which makes them many times as fast. It
 * computes nothing that goes into a program, since its bits depend on the processor. It
 * is linked as an archive, since the shared library depends on another that ends the
 * process where memory runs out. */
#include "commands/commands.h"
#include <limits.h>

enum { ROW_MAJOR = 101, AS_IT_LIES = 111, TRANSPOSED = 112 }; /* cblas.h */

void cblas_dgemm(int order, int a_order, int b_order, int rows, int columns, int depth, double alpha,
                 const double *a, int a_leading, const double *b, int b_leading, double beta, double *c,
                 int c_leading);

/* Leading dimensions must be at least the length of a row: with a single row any stride
 * is right, but BLAS refuses a smaller one. */
static int64_t leading_dimension(RefMatrix m, int64_t rows, int64_t columns, int *order) {
    bool lies = m.column == 1 && (rows == 1 || m.row >= columns);
    *order = lies ? AS_IT_LIES : TRANSPOSED;
    return lies ? max_i64(m.row, columns) : max_i64(m.column, rows);
}

void product_openblas(int64_t rows, int64_t columns, int64_t depth, RefMatrix a, RefMatrix b, double *c,
                      int64_t c_row) {
    int a_order, b_order;
    int64_t a_leading = leading_dimension(a, rows, depth, &a_order),
            b_leading = leading_dimension(b, depth, columns, &b_order);
    int64_t c_leading = max_i64(c_row, columns),
            max = max_i64(max_i64(a_leading, b_leading), max_i64(c_leading, max_i64(rows, depth)));
    if (max > INT_MAX) product_blocked(rows, columns, depth, a, b, c, c_row);
    else
        cblas_dgemm(ROW_MAJOR, a_order, b_order, (int)rows, (int)columns, (int)depth, 1, a.at, (int)a_leading,
                    b.at, (int)b_leading, 1, c, (int)c_leading);
}
