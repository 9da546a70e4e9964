/* Where a built program or trainer starts. Apart from their wings, so that the compiler
 * can run a program of its own making (cai run
 * --reference); each has the tables of one, and the wing of trainers comes only with a trainer's (compiler/object/link.c asks for it). */
#include "program/main.h"
#include "train/train.h"

#pragma weak cai_the_program
#pragma weak cai_the_training
#pragma weak cai_train_main

int main(int argc, char **argv) {
    return cai_train_main ? cai_train_main(&cai_the_training, argc, argv)
                          : cai_main(&cai_the_program, argc, argv);
}
