/* Runs the tests of this folder, as many beside each other as there are cores, each in a
 * process of its own: one that crashes is one that failed. An argument names a suite (a
 * file of this folder) or a test, SUITE/TEST. */
#include "test.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 1024, LONGEST = 160 };

typedef struct Fixture {
    const char *file;
    int (*begin)(void), (*end)(void);
} Fixture;

typedef struct Run { /* of a test: its process, and what it says */
    const Test *test;
    char name[LONGEST];
    pid_t process;
    FILE *said;
    double begun, seconds, busy; /* by the clock, and of all its threads and processes */
    int status;
    bool ended;
} Run;

static Test tests[MOST];
static Fixture fixtures[MOST];
static Run runs[MOST];
static int test_count, fixture_count, run_count;

/* ---- what the files have ---- */

static void must(bool good, const char *what) {
    if (good) return;
    fprintf(stderr, "unit_tests: %s\n", what);
    exit(70);
}

void test_add(Test test) {
    must(test_count < MOST, "too many tests");
    tests[test_count++] = test;
}

void test_fixture(const char *file, int (*begin)(void), int (*end)(void)) {
    must(fixture_count < MOST, "too many fixtures");
    fixtures[fixture_count++] = (Fixture){file, begin, end};
}

/* Constructors come in no order that C promises. */
static int by_place(const void *a, const void *b) {
    const Test *x = a, *y = b;
    int files = strcmp(x->file, y->file), lines = x->line - y->line;
    return files ? files : lines ? lines : x->part - y->part;
}

static Fixture fixture_of(const Test *test) {
    for (int i = 0; i < fixture_count; i++)
        if (strcmp(fixtures[i].file, test->file) == 0) return fixtures[i];
    return (Fixture){0};
}

/* ---- which are wanted ---- */

/* "kernels/convolutions", or "kernels/convolutions 3/12" */
static void name_run(Run *run) {
    const Test *t = run->test;
    const char *slash = strrchr(t->file, '/'), *base = slash ? slash + 1 : t->file;
    int used = snprintf(run->name, sizeof run->name, "%.*s/%s", (int)strcspn(base, "."), base, t->name);
    if (t->parts == 1) return;
    snprintf(run->name + used, sizeof run->name - (size_t)used, " %d/%d", t->part + 1, t->parts);
}

static bool names(const char *word, const char *name) {
    size_t length = strlen(word);
    return strncmp(word, name, length) == 0 &&
           (name[length] == 0 || name[length] == '/' || name[length] == ' ');
}

static bool wanted(const char *name, int count, char **words) {
    for (int i = 0; i < count; i++)
        if (names(words[i], name)) return true;
    return count == 0;
}

static void choose(int count, char **words) {
    qsort(tests, (size_t)test_count, sizeof *tests, by_place);
    for (int i = 0; i < test_count; i++) {
        runs[run_count] = (Run){.test = &tests[i]};
        name_run(&runs[run_count]);
        run_count += wanted(runs[run_count].name, count, words);
    }
}

/* ---- a process ---- */

static const Test *current;

static void run_current(void) { current->run(current->part, current->parts); }

static int run_here(const Test *test) {
    current = test;
    Fixture fixture = fixture_of(test);
    must(CU_initialize_registry() == CUE_SUCCESS, "no registry");
    CU_pSuite suite = CU_add_suite("suite", fixture.begin, fixture.end);
    CU_pTest only = CU_add_test(suite, test->name, run_current);
    CU_run_test(suite, only);
    for (CU_pFailureRecord f = CU_get_failure_list(); f; f = f->pNext)
        fprintf(stderr, "%s:%u: %s\n", f->strFileName ? f->strFileName : test->file, f->uiLineNumber,
                f->strCondition ? f->strCondition : "");
    return CU_get_number_of_failure_records() ? 1 : 0;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Without us it ends, too. */
static void start(Run *run) {
    run->said = tmpfile();
    run->begun = now();
    must(run->said != NULL, "no temporary file");
    fflush(stdout);
    run->process = fork();
    must(run->process >= 0, "no process");
    if (run->process) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(fileno(run->said), STDOUT_FILENO);
    dup2(fileno(run->said), STDERR_FILENO);
    exit(run_here(run->test));
}

static double seconds_of(struct timeval time) { return (double)time.tv_sec + 1e-6 * (double)time.tv_usec; }

static void await_one(void) {
    int status;
    struct rusage used;
    pid_t process = wait4(-1, &status, 0, &used);
    for (int i = 0; i < run_count; i++) {
        if (runs[i].process != process || runs[i].ended) continue;
        runs[i].ended = true;
        runs[i].status = status;
        runs[i].seconds = now() - runs[i].begun;
        runs[i].busy = seconds_of(used.ru_utime) + seconds_of(used.ru_stime);
    }
}

/* ---- what is said ---- */

/* Indented, as everything is that belongs to a failure. */
static void print_said(FILE *said) {
    char line[4096];
    rewind(said);
    while (fgets(line, sizeof line, said))
        if (*line != '\n') printf("    %s", line);
}

static void print_run(const Run *run) {
    if (run->status == 0) printf("%s: %.1f s, %.1f s of processors\n", run->name, run->seconds, run->busy);
    else printf("FAILED %s\n", run->name);
    if (run->status != 0) print_said(run->said);
    const int signal = WIFSIGNALED(run->status) ? WTERMSIG(run->status) : 0;
    if (signal) printf("    ended by signal %d, %s\n", signal, strsignal(signal));
    fclose(run->said);
}

/* In the tests' order, each as soon as those before it are printed. */
static void run_all(int slots) {
    int begun = 0, ended = 0, printed = 0;
    while (printed < run_count) {
        while (begun < run_count && begun - ended < slots) start(&runs[begun++]);
        await_one();
        ended++;
        while (printed < run_count && runs[printed].ended) print_run(&runs[printed++]);
    }
}

int main(int argc, char **argv) {
    choose(argc - 1, argv + 1);
    run_all((int)sysconf(_SC_NPROCESSORS_ONLN));
    int failed = 0;
    for (int i = 0; i < run_count; i++) failed += runs[i].status != 0;
    printf("%d passed, %d failed\n", run_count - failed, failed);
    return failed ? 1 : 0;
}
