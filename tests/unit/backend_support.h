/* For suites of the backend: a graph is lowered, compiled, linked as a shared object,
 * loaded into this process and run by the runtime, and its outputs are compared with the
 * reference. */
#ifndef BACKEND_SUPPORT_H
#define BACKEND_SUPPORT_H

#include "graph_test.h"
#include "codegen/emit.h"
#include "kernels/kernels.h"
#include "plan/plan.h"
#include "core/program.h"

/* Options of lower() with all kinds of kernel there are: WITH_TABLE(.target =
 * target_find("x86-64-v3")). */
#define WITH_TABLE(...) (LowerOptions){.table = &kernel_table, __VA_ARGS__}

typedef struct Compiled {
    TestGraph *test;
    void *library;
    const cai_program *program;
    Program *lowered;
    uint32_t guards; /* those that hold in runs: all, unless a test says so */
} Compiled;

/* Whether this machine runs code for the target. */
bool can_run(const char *target);
/* Fails the test and gives false where a stage refuses. */
bool compile_and_load(TestGraph *t, const LowerOptions *options, Compiled *compiled);
void unload(Compiled *compiled);
/* Runs it at t->symbols on `threads` threads; outputs[i] holds output i's elements. */
bool run_compiled(Compiled *compiled, int threads, Number **outputs);
/* Compiles for `target`, runs, and fails the test where an output is further than
 * tolerance * (1 + |expected|) from the reference, or where results differ between one
 * thread and three. `what` is printed then. */
void compare_with_reference(TestGraph *t, const char *target, double tolerance, const char *what);
/* The same with options: a kind of kernel forced, slots of their own. */
void compare_with_options(TestGraph *t, const LowerOptions *options, double tolerance, const char *what);
/* Compiles with either options, and fails the test where results of the first differ in a
 * bit from the second's, or between one thread and three: for shapes that the reference
 * would take too long for. */
void compare_with_other(TestGraph *t, const LowerOptions *options, const LowerOptions *other,
                        double tolerance, const char *what);
void round_inputs(TestGraph *t); /* to f32: what the compiled program gets, the reference is to get */
double ulp_at(double value);     /* a unit in the last place of f32, denormals included */
/* The text of the kernels, as "llvm" or "asm"; in t->arena. */
const char *print_compiled(TestGraph *t, const LowerOptions *options, const char *form);

#endif
