/* Loops over all cores: the iterations are independent of each other and cut into parts.
 * An iteration cannot see which thread runs it, so the number of threads changes no bit
 * of a result: all threads begin with the floating-point modes of the caller.
 *
 * Threads live as long as the loop: a process that forks must have no others, and
 * starting a thread takes as long as a small part. A loop within a part is run by the
 * part's own thread, and so is every loop where the system gives no more threads. */
#include "base/base.h"
#include "core/core.h"
#include <pthread.h>
#include <stdatomic.h>

enum { MAX_THREADS = 32, LEAST_WORK = 1 << 16 /* some 50 microseconds */ };

static int wanted_threads;
static int64_t least_work = LEAST_WORK;
static _Thread_local bool within_part;

void parallel_limits(int threads, int64_t work) {
    wanted_threads = threads;
    least_work = work ? work : LEAST_WORK;
}

typedef struct ParallelLoop {
    int64_t count, grain, parts;
    ParallelBody *body;
    void *context;
    _Atomic int64_t next; /* part */
} ParallelLoop;

static void *run_parts(void *context) {
    ParallelLoop *loop = context;
    within_part = true;
    for (int64_t part; (part = atomic_fetch_add(&loop->next, 1)) < loop->parts;) {
        int64_t begin = part * loop->grain;
        loop->body(loop->context, begin, min_i64(begin + loop->grain, loop->count));
    }
    within_part = false;
    return NULL;
}

static void run_by_threads(ParallelLoop *loop) {
    pthread_t threads[MAX_THREADS];
    int64_t max = min_i64(wanted_threads ? wanted_threads : cai_cores(), MAX_THREADS);
    int64_t helpers = min_i64(max, loop->parts) - 1;
    int started = 0;
    while (started < helpers && pthread_create(&threads[started], NULL, run_parts, loop) == 0) started++;
    run_parts(loop);
    for (int i = 0; i < started; i++) pthread_join(threads[i], NULL);
}

void parallel_for(int64_t count, int64_t work, ParallelBody *body, void *context) {
    int64_t grain = max_i64(1, least_work / max_i64(work, 1));
    int64_t parts = count / grain + (count % grain > 0);
    ParallelLoop loop = {.count = count, .grain = grain, .parts = parts, .body = body, .context = context};
    if (loop.parts > 1 && !within_part) run_by_threads(&loop);
    else if (count > 0) body(context, 0, count);
}
