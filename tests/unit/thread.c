/* The pool: every task runs once, whatever the numbers of tasks and threads, awake or
 * asleep, with more threads than cores too. */
#include "core/core.h"
#include "test.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_TASKS 1000

typedef struct Count {
    /* each is touched by one thread only: a race here is what the thread sanitizer would
     * find */
    unsigned char ran[MAX_TASKS];
    atomic_int calls, busy[16]; /* by number of the thread */
} Count;

static void count_task(void *context, int64_t begin, int64_t end, int worker) {
    Count *count = context;
    if (atomic_exchange(&count->busy[worker], 1)) CU_FAIL("one number, two threads");
    for (int64_t t = begin; t < end; t++) count->ran[t]++;
    atomic_fetch_add(&count->calls, 1);
    atomic_store(&count->busy[worker], 0);
}

static int all_ran_once(const Count *count, int64_t tasks) {
    for (int64_t t = 0; t < MAX_TASKS; t++) {
        if (count->ran[t] != (t < tasks)) return 0;
    }
    return 1;
}

TEST(every_task_runs_once) {
    const int threads[] = {1, 2, 3, 16};
    const int64_t tasks[] = {0, 1, 2, 3, 7, 16, 17, 1000};
    for (int i = 0; i < 4; i++) {
        cai_pool *pool = cai_pool_new(threads[i]);
        CU_ASSERT_PTR_NOT_NULL_FATAL(pool);
        for (int k = 0; k < 8; k++) {
            Count count = {0};
            cai_pool_run(pool, count_task, &count, tasks[k]);
            CU_ASSERT(all_ran_once(&count, tasks[k]));
            CU_ASSERT(count.calls <= tasks[k]);
        }
        cai_pool_free(pool);
    }
}

TEST(many_regions_in_a_row) {
    cai_pool *pool = cai_pool_new(3);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pool);
    for (int i = 0; i < 3000; i++) {
        Count count = {0};
        cai_pool_run(pool, count_task, &count, 1 + i % 5);
        if (!all_ran_once(&count, 1 + i % 5)) CU_FAIL_FATAL("a task did not run once");
    }
    cai_pool_free(pool);
    CU_PASS("all regions");
}

/* Tasks that last: others take what the slow thread has not begun. */
static void slow_task(void *context, int64_t begin, int64_t end, int worker) {
    if (begin == 0) nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    count_task(context, begin, end, worker);
}

TEST(uneven_tasks) {
    cai_pool *pool = cai_pool_new(3);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pool);
    for (int i = 0; i < 5; i++) {
        Count count = {0};
        cai_pool_run(pool, slow_task, &count, 100);
        CU_ASSERT(all_ran_once(&count, 100));
        CU_ASSERT(count.calls > 3);
    }
    cai_pool_free(pool);
}

/* More tasks than 32 bits count: they are handed out in units. */
static void sum_task(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    atomic_fetch_add((_Atomic int64_t *)context, end - begin);
}

TEST(very_many_tasks) {
    cai_pool *pool = cai_pool_new(3);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pool);
    const int64_t tasks[] = {(INT64_C(1) << 30) - 1, INT64_C(1) << 30, (INT64_C(1) << 40) + 7};
    for (int i = 0; i < 3; i++) {
        _Atomic int64_t sum = 0;
        cai_pool_run(pool, sum_task, &sum, tasks[i]);
        CU_ASSERT_EQUAL(sum, tasks[i]);
    }
    cai_pool_free(pool);
}

/* Between regions the workers stop spinning and sleep; the next region must wake those it
 * needs. */
TEST(sleepers_are_woken) {
    cai_pool *pool = cai_pool_new(4);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pool);
    for (int i = 0; i < 20; i++) {
        Count count = {0};
        nanosleep(&(struct timespec){.tv_nsec = i % 3 * 1000000}, NULL);
        cai_pool_run(pool, count_task, &count, i % 2 ? 2 : 100);
        CU_ASSERT(all_ran_once(&count, i % 2 ? 2 : 100));
    }
    cai_pool_free(pool);
}

/* What workers do beside regions, which have all their tasks run meanwhile. Work comes
 * again when a worker has long seen that there is none. */
typedef struct Pieces {
    atomic_int left, done;
    unsigned char ran[MAX_TASKS];
} Pieces;

static bool take_piece(void *context) {
    Pieces *pieces = context;
    int left = atomic_load(&pieces->left);
    do
        if (left == 0) return false;
    while (!atomic_compare_exchange_weak(&pieces->left, &left, left - 1));
    pieces->ran[left - 1]++;
    atomic_fetch_add(&pieces->done, 1);
    return true;
}

TEST(workers_work_beside_regions) {
    static Pieces pieces;
    cai_pool *pool = cai_pool_new(3);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pool);
    cai_pool_work_beside(pool, take_piece, &pieces);
    for (int turn = 1; turn <= 20; turn++) {
        atomic_store(&pieces.left, MAX_TASKS);
        while (atomic_load(&pieces.done) < turn * MAX_TASKS) {
            Count count = {0};
            cai_pool_run(pool, count_task, &count, 7);
            if (!all_ran_once(&count, 7)) CU_FAIL_FATAL("a task did not run once");
        }
        if (turn % 5 == 0) nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    for (int i = 0; i < MAX_TASKS; i++)
        if (pieces.ran[i] != 20) CU_FAIL_FATAL("a piece did not run once a turn");
    cai_pool_free(pool);
    CU_PASS("all pieces");
}

/* The caller's pool may run its parts in any order on any threads, leave some out, or
 * make up indices. */
static void run_backwards(void *user, int count, void (*task)(void *, int), void *argument) {
    (*(int *)user)++;
    for (int i = count - 1; i >= 0; i--) task(argument, i);
}

static void run_askew(void *user, int count, void (*task)(void *, int), void *argument) {
    (*(int *)user)++;
    task(argument, -1);
    task(argument, count + 1000);
}

TEST(the_callers_own_pool) {
    const cai_parallel_for lenders[] = {run_backwards, run_askew};
    for (int i = 0; i < 2; i++) {
        int calls = 0;
        cai_pool *pool = cai_pool_lent(3, lenders[i], &calls);
        CU_ASSERT_PTR_NOT_NULL_FATAL(pool);
        for (int tasks = 0; tasks < 40; tasks++) {
            Count count = {.calls = 0};
            cai_pool_enter(pool);
            cai_pool_run(pool, count_task, &count, tasks);
            cai_pool_leave(pool);
            CU_ASSERT(all_ran_once(&count, tasks));
        }
        CU_ASSERT_EQUAL(calls, 38); /* one task or none is a plain call */
        cai_pool_free(pool);
    }
}

/* A child process has the pool and not its threads. The thread sanitizer would not start
 * threads there: it is told to. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void) { return "die_after_fork=0"; }

TEST(a_fork_starts_threads_of_its_own) {
    cai_pool *pool = cai_pool_new(3);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pool);
    Count count = {.calls = 0};
    cai_pool_run(pool, count_task, &count, 100);
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        Count again = {.calls = 0};
        cai_pool_enter(pool);
        cai_pool_run(pool, count_task, &again, 100);
        cai_pool_leave(pool);
        cai_pool_free(pool);
        _exit(!all_ran_once(&again, 100));
    }
    int status = -1;
    waitpid(child, &status, 0);
    CU_ASSERT_EQUAL(status, 0);
    cai_pool_free(pool);
}

TEST(number_of_threads) {
    setenv("OMP_NUM_THREADS", "5,2", 1);
    CU_ASSERT_EQUAL(cai_default_threads(), 5);
    setenv("CAI_NUM_THREADS", "3", 1);
    CU_ASSERT_EQUAL(cai_default_threads(), 3);
    setenv("CAI_NUM_THREADS", "0", 1);
    CU_ASSERT_EQUAL(cai_default_threads(), 5);
    setenv("CAI_NUM_THREADS", "many", 1);
    unsetenv("OMP_NUM_THREADS");
    CU_ASSERT(cai_default_threads() >= 1 && cai_default_threads() <= cai_cores());
    unsetenv("CAI_NUM_THREADS");
}

TEST(denormals_are_flushed_and_kept_again) {
    volatile float tiny = 1e-39f, half = 0.5f, large = 1e10f;
    uint64_t before = cai_flush_denormals();
    volatile float result = tiny * half, operand = tiny * large;
    cai_restore_denormals(before);
    volatile float kept = tiny * half;
    uint64_t after = cai_flush_denormals();
    cai_restore_denormals(after);
    CU_ASSERT_EQUAL(result, 0);
    CU_ASSERT_EQUAL(operand, 0);
    CU_ASSERT(kept > 0);
    CU_ASSERT_EQUAL(after & 0xffc0, before & 0xffc0); /* all but the flags of what has happened since */
}

enum { DENORMAL_TASKS = 64 };

/* Long enough for all threads to take some. */
static void halve_tiny(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    volatile float tiny = 1e-39f, half = 0.5f;
    for (int64_t i = begin; i < end; i++)
        for (int k = 0; k < 10000; k++) ((float *)context)[i] = tiny * half;
}

TEST(workers_flush_denormals) {
    float results[DENORMAL_TASKS];
    cai_pool *pool = cai_pool_new(4);
    uint64_t mode = cai_flush_denormals();
    cai_pool_run(pool, halve_tiny, results, DENORMAL_TASKS);
    cai_restore_denormals(mode);
    cai_pool_free(pool);
    for (int i = 0; i < DENORMAL_TASKS; i++) CU_ASSERT_EQUAL(results[i], 0);
}
