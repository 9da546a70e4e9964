/* A model for a CPU that there is not: create says so. Linked with the runtime as it is,
 * before it has a model's name. */
#include "core/program.h"
#include <stdio.h>

const cai_program cai_the_program = {.abi = CAI_PROGRAM_ABI, .cpu = 99, .name = "future"};

int main(void) {
    cai_model_context *context = (cai_model_context *)&context;
    int bad = cai_model_create(&context) != CAI_WRONG_CPU || context != NULL;
    printf("cpu: 1 checks, %d failed\n", bad);
    return bad;
}
