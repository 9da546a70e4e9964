/* Where a built program or trainer starts: apart from the wings of both, so that the
 * compiler can run a program of its own making (cai run --reference). Each has its own
 * tables, and the wing of trainers is linked with trainers alone, since
 * compiler/object/link.c asks for it. */
#include "program/main.h"
#include "train/train.h"

#pragma weak cai_the_program
#pragma weak cai_the_training
#pragma weak cai_train_main

int main(int argc, char **argv) {
    return cai_train_main ? cai_train_main(&cai_the_training, argc, argv)
                          : cai_main(&cai_the_program, argc, argv);
}
