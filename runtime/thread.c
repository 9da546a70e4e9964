/* The pool of threads that runs tasks. One pool a process: two that spin on the same cores cost each other an order of magnitude.
 *
 * Every worker has a mailbox, two words on lines of their own. `ticket` is raised by the caller when there is work for it; `done` is set
 * to the ticket by the worker when the work is finished. The caller raises a worker's ticket only when the last one is done, so the
 * description of the work does not change while anybody reads it. Workers that get no share of a region are not touched by it.
 *
 * Both sides wait by spinning for a bounded time, then by sleeping on the word (futex). Who goes to sleep says so first, and looks at the word
 * once more; who changes a word looks afterwards whether somebody sleeps: with sequentially consistent order between, one sees the other.
 * A region is 0.2 to 0.3 us while all spin, and the spin is long enough to bridge what lies between the regions of a run. Where there
 * are more threads than cores nobody spins, since the one waited for needs the core. */
#include "runtime.h"
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define LINE 64
#define SPIN_NANOSECONDS 100000
#define STACK_BYTES ((size_t)1 << 20) /* generated kernels keep registers and a few vectors there */

typedef struct Worker {
    _Alignas(LINE) atomic_uint ticket;
    atomic_uint asleep; /* the worker sleeps, or is about to, on `ticket` */
    _Alignas(LINE) atomic_uint done;
    _Alignas(LINE) struct cai_pool *pool;
    int index; /* 1 ..; the caller is 0 */
    pthread_t thread;
} Worker;

struct cai_pool {
    cai_task task;
    void *context;
    int64_t tasks;
    int shares;    /* threads that take part in the region, the caller included */
    int threads;
    int64_t spin;  /* in nanoseconds */
    bool ending;
    Worker *workers;
    _Alignas(LINE) atomic_uint sleepers; /* workers asleep: lets the caller skip looking at each */
    atomic_uint caller_asleep;
};

static void futex_wait(atomic_uint *word, unsigned value) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(atomic_uint *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0); }

static void pause_briefly(void) {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* Waits until *word is (or is no longer, where `equal` is false) `value`; false when the time to spin is over. The clock is read every 64 rounds. */
static bool spin_until(atomic_uint *word, unsigned value, bool equal, int64_t nanoseconds) {
    if (nanoseconds == 0) return (atomic_load_explicit(word, memory_order_acquire) == value) == equal;
    int64_t end = 0;
    for (unsigned round = 1;; round++) {
        if ((atomic_load_explicit(word, memory_order_acquire) == value) == equal) return true;
        pause_briefly();
        if (round % 64 != 0) continue;
        int64_t now = now_nanoseconds();
        if (end == 0) end = now + nanoseconds;
        else if (now > end) return false;
    }
}

/* ---- one region ---- */

static void run_share(const cai_pool *pool, int share) {
    int64_t each = pool->tasks / pool->shares, more = pool->tasks % pool->shares; /* the first `more` shares take one more */
    int64_t begin = share * each + (share < more ? share : more);
    pool->task(pool->context, begin, begin + each + (share < more));
}

static void wait_for_ticket(Worker *worker, unsigned last) {
    if (spin_until(&worker->ticket, last, false, worker->pool->spin)) return;
    atomic_fetch_add(&worker->pool->sleepers, 1);
    atomic_store(&worker->asleep, 1);
    while (atomic_load(&worker->ticket) == last) futex_wait(&worker->ticket, last);
    atomic_store(&worker->asleep, 0);
    atomic_fetch_sub(&worker->pool->sleepers, 1);
}

static void *work(void *argument) {
    Worker *worker = argument;
    cai_pool *pool = worker->pool;
    cai_flush_denormals();
    for (unsigned ticket = 0;;) {
        wait_for_ticket(worker, ticket);
        ticket++;
        if (pool->ending) return NULL;
        run_share(pool, worker->index);
        atomic_store(&worker->done, ticket);
        if (atomic_load(&pool->caller_asleep)) futex_wake(&worker->done);
    }
}

static void wait_until_done(cai_pool *pool, Worker *worker, unsigned ticket) {
    if (spin_until(&worker->done, ticket, true, pool->spin)) return;
    atomic_store(&pool->caller_asleep, 1);
    while (atomic_load(&worker->done) != ticket) futex_wait(&worker->done, ticket - 1);
    atomic_store(&pool->caller_asleep, 0);
}

static void raise_tickets(cai_pool *pool, int shares) {
    for (int i = 1; i < shares; i++) atomic_fetch_add_explicit(&pool->workers[i].ticket, 1, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&pool->sleepers, memory_order_relaxed) == 0) return;
    for (int i = 1; i < shares; i++) {
        if (atomic_load(&pool->workers[i].asleep)) futex_wake(&pool->workers[i].ticket);
    }
}

void cai_pool_run(cai_pool *pool, cai_task task, void *context, int64_t tasks) {
    if (tasks <= 1 || pool->threads == 1) {
        if (tasks > 0) task(context, 0, tasks);
        return;
    }
    pool->task = task;
    pool->context = context;
    pool->tasks = tasks;
    pool->shares = tasks < pool->threads ? (int)tasks : pool->threads;
    int shares = pool->shares;
    raise_tickets(pool, shares);
    run_share(pool, 0);
    for (int i = 1; i < shares; i++) {
        Worker *worker = &pool->workers[i];
        wait_until_done(pool, worker, atomic_load_explicit(&worker->ticket, memory_order_relaxed));
    }
}

/* ---- the pool ---- */

static bool start_worker(cai_pool *pool, int index) {
    Worker *worker = &pool->workers[index];
    worker->pool = pool;
    worker->index = index;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    int failed = pthread_create(&worker->thread, &attributes, work, worker);
    pthread_attr_destroy(&attributes);
    return failed == 0;
}

cai_pool *cai_pool_new(int threads) {
    if (threads <= 0) threads = cai_default_threads();
    if (threads > CAI_MAX_THREADS) threads = CAI_MAX_THREADS;
    cai_pool *pool = aligned_alloc(LINE, sizeof *pool);
    Worker *workers = aligned_alloc(LINE, sizeof *workers * (size_t)threads);
    if (!pool || !workers) {
        free(pool);
        free(workers);
        return NULL;
    }
    memset(pool, 0, sizeof *pool);
    memset(workers, 0, sizeof *workers * (size_t)threads);
    pool->workers = workers;
    pool->spin = threads > cai_cores() ? 0 : SPIN_NANOSECONDS;
    pool->threads = 1;
    while (pool->threads < threads && start_worker(pool, pool->threads)) pool->threads++;
    return pool;
}

void cai_pool_free(cai_pool *pool) {
    if (!pool) return;
    pool->ending = true;
    raise_tickets(pool, pool->threads);
    for (int i = 1; i < pool->threads; i++) pthread_join(pool->workers[i].thread, NULL);
    free(pool->workers);
    free(pool);
}

int cai_pool_threads(const cai_pool *pool) { return pool->threads; }

/* ---- how many threads ---- */

/* A whole number of at least 1, or 0: OMP_NUM_THREADS may be a list by level, whose first counts. */
static int threads_in_environment(const char *name) {
    const char *text = getenv(name);
    if (!text) return 0;
    char *end;
    long count = strtol(text, &end, 10);
    if (end == text || count < 1 || (*end != 0 && *end != ',')) return 0;
    return count < CAI_MAX_THREADS ? (int)count : CAI_MAX_THREADS;
}

int cai_default_threads(void) {
    int wanted = threads_in_environment("CAI_NUM_THREADS");
    if (!wanted) wanted = threads_in_environment("OMP_NUM_THREADS");
    if (wanted) return wanted;
    int count = cai_cores();
    double quota = cai_cpu_quota();
    if (quota > 0 && quota < count) count = (int)quota + (quota > (int)quota);
    return count < 1 ? 1 : count < CAI_MAX_THREADS ? count : CAI_MAX_THREADS;
}

/* ---- denormals ---- */

unsigned cai_flush_denormals(void) {
#if defined(__x86_64__)
    unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040); /* FTZ: results; DAZ: operands */
    return mode;
#else
    return 0;
#endif
}

void cai_restore_denormals(unsigned mode) {
#if defined(__x86_64__)
    _mm_setcsr(mode);
#else
    (void)mode;
#endif
}
