/* Runs every suite of this folder; the list is made by the Makefile from the file names. An argument names the suites to run. */
#include <CUnit/Basic.h>
#include <stdio.h>
#include <string.h>

#define SUITE(name) void suite_##name(void);
#include "suites.h"
#undef SUITE

static int wanted(const char *name, int count, char **names) {
    if (count == 0) return 1;
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0) return 1;
    return 0;
}

int main(int argc, char **argv) {
    if (CU_initialize_registry() != CUE_SUCCESS) return 70;
#define SUITE(name) if (wanted(#name, argc - 1, argv + 1)) suite_##name();
#include "suites.h"
#undef SUITE
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    unsigned failed = CU_get_number_of_tests_failed(), run = CU_get_number_of_tests_run();
    CU_cleanup_registry();
    printf("%u passed, %u failed\n", run - failed, failed);
    return failed ? 1 : 0;
}
