/* The pool of threads that runs tasks. A program has one; a library one a context, or the
 * caller's own threads (cai_pool_lent).
 *
 * The tasks of a region are split into contiguous shares, one for each thread. A thread
 * repeatedly takes half of the rest of its own share, then helps with the others': a
 * thread that the system has preempted delays the others only by the tasks that it has
 * taken. The caller waits until all tasks are finished, not until all workers have woken.
 *
 * So a worker may come late, when its region is over and the next is being set up. Hence
 * the ticket: the word of a share holds the number of its region beside the next task,
 * and a task is taken by compare-and-swap of both. Before the ends of shares change, all
 * words get the new ticket and no tasks, so that a thread that has read a new end (stored
 * with release) fails to swap an old word. The rest of the region's description is read
 * only by threads that have taken a task, and the region cannot end before they have
 * finished it.
 *
 * Both sides wait by spinning for a bounded time, then by sleeping on the word (futex). A
 * thread announces that it goes to sleep, and then checks the word once more; a thread
 * that changes a word then checks for sleepers: in sequentially consistent order, one
 * sees the other. A region costs 0.1 to 0.3 us while all threads spin, and they spin long
 * enough to bridge the time between the regions of a run. Where there are more threads
 * than cores no thread spins, since the thread that it waits for needs the core: two
 * pools that spin on the same cores slow each other down tenfold, so the threads of all
 * running pools count. */
#include "core/core.h"
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
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
#define STACK_BYTES ((size_t)1 << 20) /* generated kernels spill registers and keep a few vectors there */

typedef struct Share {
    _Alignas(LINE) _Atomic(uint64_t) next; /* ticket << 32 | the first unit that has not been taken */
    atomic_uint end;
} Share;

typedef struct Worker {
    struct cai_pool *pool;
    int index; /* 1 ..; the caller is 0 */
    pthread_t thread;
} Worker;

struct cai_pool {
    cai_task task;
    void *context;
    /* tasks are handed out in units of so many tasks, so that the number of units fits 32
     * bits */
    int64_t tasks, unit;
    atomic_int shares;
    int threads, cores;
    int max; /* threads requested: workers read it while others are being started */
    atomic_bool running, ending;
    /* what workers do meanwhile (cai_pool_work_beside) */
    _Atomic(cai_work_beside *) beside;
    void *beside_context;
    pid_t process;         /* the process of the threads: a fork has none */
    cai_parallel_for lent; /* the caller's pool, or NULL */
    void *lender;
    Share *all;
    Worker *workers;
    /* the ticket of the region that runs: workers wait for it to change */
    _Alignas(LINE) atomic_uint region;
    _Alignas(LINE) atomic_uint finished; /* units: the caller waits for it */
    _Alignas(LINE) atomic_uint sleepers;
    atomic_uint caller_asleep;
};

static void futex_wait(atomic_uint *word, unsigned value) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(atomic_uint *word, int count) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

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

static atomic_int running_threads; /* the threads of all pools between enter and leave */

static bool may_spin(const cai_pool *pool) {
    bool counted = atomic_load_explicit(&pool->running, memory_order_relaxed);
    return atomic_load_explicit(&running_threads, memory_order_relaxed) + (counted ? 0 : pool->max) <=
           pool->cores;
}

/* Spins until *word is `value` (or, where `equal` is false, is not); false when the time
 * is up. The clock is read every 64 iterations. */
static bool spin_until(const cai_pool *pool, atomic_uint *word, unsigned value, bool equal) {
    int64_t end = 0;
    for (unsigned round = 0;; round++) {
        if ((atomic_load_explicit(word, memory_order_acquire) == value) == equal) return true;
        if (round % 64 == 0 && !may_spin(pool)) return false;
        pause_briefly();
        if (round % 64 != 63) continue;
        int64_t now = now_nanoseconds();
        if (end == 0) end = now + SPIN_NANOSECONDS;
        else if (now > end) return false;
    }
}

/* ---- taking tasks ---- */

/* the first units % shares shares take one more */
static int64_t share_begin(int64_t units, int shares, int share) {
    int64_t each = units / shares, more = units % shares;
    return share * each + (share < more ? share : more);
}

static bool take_units(Share *share, unsigned ticket, unsigned *begin, unsigned *end) {
    uint64_t word = atomic_load_explicit(&share->next, memory_order_acquire);
    do {
        unsigned last = atomic_load_explicit(&share->end, memory_order_acquire);
        *begin = (unsigned)word;
        if (word >> 32 != ticket || *begin >= last) return false;
        *end = *begin + (last - *begin + 1) / 2;
    } while (!atomic_compare_exchange_weak_explicit(&share->next, &word, word + (*end - *begin),
                                                    memory_order_acq_rel, memory_order_acquire));
    return true;
}

/* Takes and runs units, those of its own share first. Returns their number. */
static unsigned help_with_ticket(cai_pool *pool, int index, unsigned ticket) {
    unsigned begin, end, count = 0;
    int shares = atomic_load_explicit(&pool->shares, memory_order_relaxed);
    for (int i = 0; i < shares; i++) {
        Share *share = &pool->all[(index + i) % shares];
        while (take_units(share, ticket, &begin, &end)) {
            int64_t last = end * pool->unit;
            pool->task(pool->context, begin * pool->unit, last < pool->tasks ? last : pool->tasks, index);
            count += end - begin;
        }
    }
    return count;
}

/* ---- workers ---- */

/* Until the region is there, or until there is nothing more to do beside. */
static bool work_beside_until(cai_pool *pool, unsigned last) {
    cai_work_beside *work;
    while (atomic_load_explicit(&pool->region, memory_order_acquire) == last) {
        work = atomic_load_explicit(&pool->beside, memory_order_acquire);
        if (!work || !work(pool->beside_context)) return false;
    }
    return true;
}

static void wait_for_region(cai_pool *pool, unsigned last) {
    if (work_beside_until(pool, last) || spin_until(pool, &pool->region, last, false)) return;
    atomic_fetch_add(&pool->sleepers, 1);
    while (atomic_load(&pool->region) == last) futex_wait(&pool->region, last);
    atomic_fetch_sub(&pool->sleepers, 1);
}

static void *worker_main(void *argument) {
    Worker *worker = argument;
    cai_pool *pool = worker->pool;
    cai_flush_denormals();
    for (unsigned ticket = 0;;) {
        wait_for_region(pool, ticket);
        ticket = atomic_load_explicit(&pool->region, memory_order_acquire);
        if (atomic_load_explicit(&pool->ending, memory_order_relaxed)) return NULL;
        unsigned count = help_with_ticket(pool, worker->index, ticket);
        if (count == 0) continue;
        atomic_fetch_add(&pool->finished, count);
        if (atomic_load(&pool->caller_asleep)) futex_wake(&pool->finished, 1);
    }
}

/* ---- the caller ---- */

/* Publishes the new ticket, and wakes as many workers as are needed beside those
 * awake. */
static void announce_ticket(cai_pool *pool, unsigned ticket, int wanted) {
    atomic_store(&pool->region, ticket);
    int asleep = (int)atomic_load(&pool->sleepers), awake = pool->threads - 1 - asleep;
    if (asleep > 0 && wanted > awake) futex_wake(&pool->region, wanted - awake);
}

static void open_region(cai_pool *pool, unsigned ticket, cai_task task, void *context, int64_t tasks) {
    int64_t unit = 1 + tasks / (INT64_C(1) << 30), units = (tasks + unit - 1) / unit;
    int shares = units < pool->threads ? (int)units : pool->threads;
    uint64_t high = (uint64_t)ticket << 32;
    for (int i = 0; i < pool->threads; i++)
        atomic_store_explicit(&pool->all[i].next, high | UINT32_MAX, memory_order_relaxed);
    pool->task = task;
    pool->context = context;
    pool->tasks = tasks;
    pool->unit = unit;
    atomic_store_explicit(&pool->shares, shares, memory_order_relaxed);
    atomic_store_explicit(&pool->finished, 0, memory_order_relaxed);
    for (int i = 0; i < shares; i++) {
        atomic_store_explicit(&pool->all[i].end, (unsigned)share_begin(units, shares, i + 1),
                              memory_order_release);
        atomic_store_explicit(&pool->all[i].next, high | (uint64_t)share_begin(units, shares, i),
                              memory_order_release);
    }
    announce_ticket(pool, ticket, shares - 1);
}

static void wait_until_finished(cai_pool *pool, unsigned units) {
    if (spin_until(pool, &pool->finished, units, true)) return;
    atomic_store(&pool->caller_asleep, 1);
    for (unsigned seen; (seen = atomic_load(&pool->finished)) != units;) futex_wait(&pool->finished, seen);
    atomic_store(&pool->caller_asleep, 0);
}

/* A call by the caller's pool, on any thread; an invalid index is ignored. */
static void help_lent(void *argument, int index) {
    cai_pool *pool = argument;
    if (index < 0 || index >= pool->threads) return;
    uint64_t mode = cai_flush_denormals();
    help_with_ticket(pool, index, atomic_load_explicit(&pool->region, memory_order_acquire));
    cai_restore_denormals(mode);
}

void cai_pool_run(cai_pool *pool, cai_task task, void *context, int64_t tasks) {
    if (tasks <= 1 || pool->threads == 1) {
        if (tasks > 0) task(context, 0, tasks, 0);
        return;
    }
    unsigned ticket = atomic_load_explicit(&pool->region, memory_order_relaxed) + 1;
    open_region(pool, ticket, task, context, tasks);
    if (pool->lent) {
        pool->lent(pool->lender, atomic_load_explicit(&pool->shares, memory_order_relaxed), help_lent, pool);
        help_with_ticket(pool, 0, ticket); /* what the caller's pool may have omitted */
        return;
    }
    unsigned units = (unsigned)((tasks + pool->unit - 1) / pool->unit);
    wait_until_finished(pool, units - help_with_ticket(pool, 0, ticket));
}

/* ---- the pool ---- */

static bool start_worker(cai_pool *pool, int index) {
    Worker *worker = &pool->workers[index];
    *worker = (Worker){.pool = pool, .index = index};
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    int failed = pthread_create(&worker->thread, &attributes, worker_main, worker);
    pthread_attr_destroy(&attributes);
    return failed == 0;
}

/* Workers block all signals but those that a thread raises itself. */
static void start_workers(cai_pool *pool, int threads) {
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    sigset_t blocked, before;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) sigdelset(&blocked, own[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    pool->process = getpid();
    pool->max = threads;
    pool->threads = 1;
    while (pool->threads < threads && start_worker(pool, pool->threads)) pool->threads++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void release_pool(cai_pool *pool) {
    free(pool->all);
    free(pool->workers);
    free(pool);
}

static cai_pool *pool_of_threads(int threads) {
    cai_pool *pool = aligned_alloc(LINE, sizeof *pool);
    if (!pool) return NULL;
    memset(pool, 0, sizeof *pool);
    pool->all = aligned_alloc(LINE, sizeof *pool->all * (size_t)threads);
    pool->workers = calloc((size_t)threads, sizeof *pool->workers);
    if (!pool->all || !pool->workers) {
        release_pool(pool);
        return NULL;
    }
    memset(pool->all, 0, sizeof *pool->all * (size_t)threads);
    pool->cores = cai_cores();
    return pool;
}

static int within_limits(int threads) {
    return threads < 1 ? 1 : threads < CAI_MAX_THREADS ? threads : CAI_MAX_THREADS;
}

cai_pool *cai_pool_new(int threads) {
    threads = within_limits(threads > 0 ? threads : cai_default_threads());
    cai_pool *pool = pool_of_threads(threads);
    if (pool) start_workers(pool, threads);
    return pool;
}

cai_pool *cai_pool_lent(int threads, cai_parallel_for run, void *user) {
    cai_pool *pool = pool_of_threads(within_limits(threads));
    if (!pool) return NULL;
    pool->threads = within_limits(threads);
    pool->lent = run;
    pool->lender = user;
    return pool;
}

void cai_pool_enter(cai_pool *pool) {
    if (pool->lent) return;
    if (pool->process != getpid()) { /* a fork inherits the memory of the pool, not its threads */
        atomic_store(&pool->sleepers, 0);
        start_workers(pool, pool->threads);
    }
    atomic_fetch_add_explicit(&running_threads, pool->threads, memory_order_relaxed);
    atomic_store_explicit(&pool->running, true, memory_order_relaxed);
}

void cai_pool_leave(cai_pool *pool) {
    if (pool->lent) return;
    atomic_store_explicit(&pool->running, false, memory_order_relaxed);
    atomic_fetch_sub_explicit(&running_threads, pool->threads, memory_order_relaxed);
}

void cai_pool_free(cai_pool *pool) {
    if (!pool) return;
    bool own = !pool->lent && pool->process == getpid();
    atomic_store(&pool->ending, true);
    announce_ticket(pool, atomic_load(&pool->region) + 1, pool->threads - 1);
    for (int i = 1; i < pool->threads && own; i++) pthread_join(pool->workers[i].thread, NULL);
    release_pool(pool);
}

int cai_pool_threads(const cai_pool *pool) { return pool->threads; }

void cai_pool_work_beside(cai_pool *pool, cai_work_beside *work, void *context) {
    pool->beside_context = context;
    atomic_store_explicit(&pool->beside, work, memory_order_release);
}

/* ---- how many threads ---- */

/* An integer of at least 1, or 0. OMP_NUM_THREADS may be a list by level, of which the
 * first counts. */
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

/* A thread's mode: MXCSR, with the bits FTZ (results) and DAZ (operands); on aarch64
 * FPCR, whose bit FZ means both. */
#if defined(__x86_64__)
#define FLUSH 0x8040
static uint64_t get_mode(void) { return _mm_getcsr(); }
static void set_mode(uint64_t mode) { _mm_setcsr((unsigned)mode); }
#elif defined(__aarch64__)
#define FLUSH (1 << 24)
static uint64_t get_mode(void) {
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}
static void set_mode(uint64_t mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode)); }
#else
#define FLUSH 0
static uint64_t get_mode(void) { return 0; }
static void set_mode(uint64_t mode) { (void)mode; }
#endif

uint64_t cai_flush_denormals(void) {
    uint64_t mode = get_mode();
    set_mode(mode | FLUSH);
    return mode;
}

void cai_restore_denormals(uint64_t mode) { set_mode(mode); }
