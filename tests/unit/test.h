/* TEST(name) { ... } in a file of this folder is a test: nothing else lists it. Its suite
 * is the file. */
#ifndef UNIT_TEST_H
#define UNIT_TEST_H

#include <CUnit/Basic.h>
#include <stdbool.h>

typedef struct Test {
    const char *file, *name;
    int line, part, parts;
    void (*run)(int part, int parts);
} Test;

void test_add(Test test);
/* What stands round each test of a file; both give 0 where all is well. */
void test_fixture(const char *file, int (*begin)(void), int (*end)(void));

/* A long test in parts, which run beside each other: part is 0 .. parts - 1. */
#define TEST_IN_PARTS(name, count)                                              \
    static void test_##name(int part, int parts);                               \
    __attribute__((constructor)) static void add_##name(void) {                 \
        for (int i = 0; i < (count); i++)                                       \
            test_add((Test){__FILE__, #name, __LINE__, i, count, test_##name}); \
    }                                                                           \
    static void test_##name(int part, int parts)

#define TEST(name)                                                      \
    static void only_##name(void);                                      \
    static void test_##name(int part, int parts) {                      \
        (void)part, (void)parts;                                        \
        only_##name();                                                  \
    }                                                                   \
    __attribute__((constructor)) static void add_##name(void) {         \
        test_add((Test){__FILE__, #name, __LINE__, 0, 1, test_##name}); \
    }                                                                   \
    static void only_##name(void)

#define FIXTURE(begin, end) \
    __attribute__((constructor)) static void add_fixture(void) { test_fixture(__FILE__, begin, end); }

#endif
