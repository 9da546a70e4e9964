/* Eight threads at once, each with a context and sizes of its own, give the bits that one
 * gives alone; a context in use is busy; threads end with their contexts; a fork has
 * threads of its own. */
#define _GNU_SOURCE
#include "check.h"
#include <dirent.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 8, RUNS = 12 };

typedef struct Job {
    mix_context *context;
    Case run;
    uint64_t alone;
    int wrong;
} Job;

static void *work(void *argument) {
    Job *job = (Job *)argument;
    int i;
    for (i = 0; i < RUNS; i++)
        job->wrong += mix_run(job->context, job->run.in, 2, job->run.out, 3) != CAI_OK ||
                      case_hash(&job->run) != job->alone;
    return NULL;
}

static void run_together(int threads_each) {
    static Job jobs[THREADS];
    pthread_t threads[THREADS];
    int i;
    for (i = 0; i < THREADS; i++) {
        case_init(&jobs[i].run, 1 + i % 3, 32 + 4 * i, 20 + 6 * i, (unsigned)i);
        CHECK(mix_create(&jobs[i].context) == CAI_OK &&
              mix_set_threads(jobs[i].context, threads_each) == CAI_OK);
        jobs[i].alone = case_run(jobs[i].context, &jobs[i].run);
        jobs[i].wrong = 0;
    }
    for (i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], NULL, work, &jobs[i]) == 0);
    for (i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        CHECK(jobs[i].wrong == 0);
        mix_destroy(jobs[i].context);
        case_free(&jobs[i].run);
    }
}

/* ---- a context in use ---- */

static mix_context *in_use;
static int busy;

static void look(void *user, int count, void (*task)(void *argument, int i), void *argument) {
    Case *run = (Case *)user;
    int i;
    busy += mix_run(in_use, run->in, 2, run->out, 3) == CAI_BUSY && mix_set_threads(in_use, 1) == CAI_BUSY;
    for (i = 0; i < count; i++) task(argument, i);
}

static void test_busy(void) {
    Case run;
    uint64_t hash;
    case_init(&run, 1, 64, 64, 2);
    CHECK(mix_create(&in_use) == CAI_OK);
    hash = case_run(in_use, &run);
    CHECK(mix_set_parallel_for(in_use, look, &run, 2) == CAI_OK);
    CHECK(case_run(in_use, &run) == hash && busy > 0);
    mix_destroy(in_use);
    case_free(&run);
}

/* ---- how many threads there are ---- */

static int threads_alive(void) {
    DIR *folder = opendir("/proc/self/task");
    struct dirent *entry;
    int count = 0;
    while ((entry = readdir(folder))) count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

/* A thread that has been joined leaves the list when the system comes to it. */
static bool threads_become(int count) {
    for (int i = 0; i < 1000 && threads_alive() != count; i++) usleep(1000);
    return threads_alive() == count;
}

static void test_threads_end(void) {
    mix_context *context;
    Case run;
    int before = threads_alive(); /* 1, or more under a sanitizer */
    case_init(&run, 1, 32, 24, 2);
    CHECK(mix_create(&context) == CAI_OK && mix_set_threads(context, 5) == CAI_OK);
    CHECK(threads_become(before));
    case_run(context, &run);
    CHECK(threads_become(before + 4));
    CHECK(mix_set_threads(context, 1) == CAI_OK);
    case_run(context, &run);
    CHECK(threads_become(before));
    mix_destroy(context);
    case_free(&run);
}

/* The thread sanitizer would not start threads in a child: it is told to. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void) { return "die_after_fork=0"; }

static void test_fork(void) {
    mix_context *context;
    Case run;
    uint64_t hash;
    pid_t child;
    int status = -1;
    case_init(&run, 1, 64, 64, 2);
    CHECK(mix_create(&context) == CAI_OK && mix_set_threads(context, 3) == CAI_OK);
    hash = case_run(context, &run);
    child = fork();
    if (child == 0) {
        alarm(60);
        status = mix_run(context, run.in, 2, run.out, 3) != CAI_OK || case_hash(&run) != hash;
        mix_destroy(context);
        _exit(status);
    }
    waitpid(child, &status, 0);
    CHECK(status == 0);
    CHECK(case_run(context, &run) == hash);
    mix_destroy(context);
    case_free(&run);
}

int main(void) {
    run_together(1);
    run_together(2);
    run_together(0);
    test_busy();
    test_threads_end();
    test_fork();
    return check_end("threads");
}
