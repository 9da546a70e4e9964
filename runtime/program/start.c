/* Where a built program starts. Apart from main.c, so that the compiler
 * can run a program of its own making (cai run --reference). */
#include "program/main.h"

int main(int argc, char **argv) { return cai_main(&cai_the_program, argc, argv); }
