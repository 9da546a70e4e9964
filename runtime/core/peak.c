/* The peak performance of this machine, as measured now: multiply-adds, and reading from
 * each level of the caches. Changing clocks and neighbours on the same machine make an
 * old figure worthless, so a share of peak is printed with a peak measured beside it, in
 * the same process and on the same threads, in a few milliseconds. The loops are
 * assembly, to measure the machine and not a compiler. */
#include "core/core.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { REPEATS = 6 };

#define MAX_BYTES (INT64_C(512) << 20)  /* that all threads read together, */
#define MAX_FLUSHED (INT64_C(64) << 20) /* and that one thread flushes before */

/* ---- loops ---- */

#if defined(__x86_64__)
#define REGISTERS                                                                                     \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", \
        "xmm12", "xmm13"
#define FMA(r, i) "vfmadd231ps %%" r "13, %%" r "12, %%" r #i "\n\t"
#define FMAS(r) \
    FMA(r, 0)   \
    FMA(r, 1)   \
    FMA(r, 2) FMA(r, 3) FMA(r, 4) FMA(r, 5) FMA(r, 6) FMA(r, 7) FMA(r, 8) FMA(r, 9) FMA(r, 10) FMA(r, 11)
#define ZERO(i) "vpxor %%xmm" #i ", %%xmm" #i ", %%xmm" #i "\n\t"
#define ZEROS \
    ZERO(0)   \
    ZERO(1)   \
    ZERO(2) ZERO(3) ZERO(4) ZERO(5) ZERO(6) ZERO(7) ZERO(8) ZERO(9) ZERO(10) ZERO(11) ZERO(12) ZERO(13)

/* Twelve chains of sums: enough for two units of latency five. */
#define CHAINS 12
#define MULTIPLY_ADD(r, rounds)                          \
    __asm__ volatile(ZEROS "1:\n\t" FMAS(r) "dec %0\n\t" \
                                            "jnz 1b\n\t" \
                                            "vzeroupper" \
                     : "+r"(rounds)                      \
                     :                                   \
                     : "cc", REGISTERS)

#define LOAD(r, i, bytes) "vmovups " #i "*" bytes "(%0), %%" r #i "\n\t"
#define LOADS(r, b) \
    LOAD(r, 0, b)   \
    LOAD(r, 1, b) LOAD(r, 2, b) LOAD(r, 3, b) LOAD(r, 4, b) LOAD(r, 5, b) LOAD(r, 6, b) LOAD(r, 7, b)
#define READ(r, bytes, at, end)                                          \
    __asm__ volatile("1:\n\t" LOADS(r, bytes) "add $8*" bytes ", %0\n\t" \
                                              "cmp %1, %0\n\t"           \
                                              "jb 1b\n\t"                \
                                              "vzeroupper"               \
                     : "+r"(at)                                          \
                     : "r"(end)                                          \
                     : "cc", "memory", REGISTERS)
#define READ_STEP 512 /* the length of a range is a multiple of it */

static void multiply_add(uint32_t cpu, int64_t rounds) {
    if (cpu == CAI_CPU_X86_64_V4) MULTIPLY_ADD("zmm", rounds);
    else MULTIPLY_ADD("ymm", rounds);
}

static void read_range(uint32_t cpu, const unsigned char *at, const unsigned char *end) {
    if (cpu == CAI_CPU_X86_64_V4) READ("zmm", "64", at, end);
    else READ("ymm", "32", at, end);
}

static void flush_range(const unsigned char *at, const unsigned char *end) {
    for (; at < end; at += 64) __asm__ volatile("clflush (%0)" : : "r"(at) : "memory");
    __asm__ volatile("mfence" : : : "memory");
}

static int lanes_of_cpu(uint32_t cpu) {
    return cpu == CAI_CPU_X86_64_V4 ? 16 : cpu == CAI_CPU_X86_64_V3 ? 8 : 0;
}
#else
#define CHAINS 12
#define READ_STEP 512
static void multiply_add(uint32_t cpu, int64_t rounds) { (void)cpu, (void)rounds; }
static void read_range(uint32_t cpu, const unsigned char *at, const unsigned char *end) {
    (void)cpu, (void)at, (void)end;
}
static void flush_range(const unsigned char *at, const unsigned char *end) { (void)at, (void)end; }
static int lanes_of_cpu(uint32_t cpu) { return (void)cpu, 0; } /* unknown: no peak is printed */
#endif

/* ---- on all threads ---- */

typedef struct Work { /* one task a thread */
    uint32_t cpu;
    int64_t rounds, bytes; /* of a task */
    const unsigned char *data;
} Work;

static void multiply_task(void *context, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const Work *work = context;
    for (int64_t i = begin; i < end; i++) multiply_add(work->cpu, work->rounds);
}

static void read_task(void *context, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const Work *work = context;
    for (int64_t i = begin; i < end; i++) {
        const unsigned char *data = work->data + i * work->bytes;
        for (int64_t k = 0; k < work->rounds; k++) read_range(work->cpu, data, data + work->bytes);
    }
}

/* The least of several times: where a thread is late, another runs its task, and that
 * time is wrong. */
static double least_time(cai_pool *pool, cai_task task, Work *work, bool cold) {
    double least = 1e9;
    int threads = cai_pool_threads(pool);
    for (int i = 0; i < REPEATS; i++) {
        if (cold) flush_range(work->data, work->data + threads * work->bytes);
        double begin = cai_milliseconds();
        cai_pool_run(pool, task, work, threads);
        double time = 1e-3 * (cai_milliseconds() - begin);
        if (time < least) least = time;
    }
    return least;
}

static double peak_flops(cai_pool *pool, uint32_t cpu) {
    Work work = {.cpu = cpu, .rounds = 50000};
    double each = 2.0 * CHAINS * lanes_of_cpu(cpu) * (double)work.rounds;
    return each * cai_pool_threads(pool) / least_time(pool, multiply_task, &work, false);
}

static double peak_read(cai_pool *pool, uint32_t cpu, const unsigned char *data, int64_t bytes, int64_t moved,
                        bool cold) {
    Work work = {.cpu = cpu, .bytes = bytes, .rounds = moved > bytes ? moved / bytes : 1, .data = data};
    double all = (double)(work.bytes * work.rounds) * cai_pool_threads(pool);
    return all / least_time(pool, read_task, &work, cold);
}

/* ---- the machine ---- */

static int64_t system_cache_bytes(int name, int64_t otherwise) {
    int64_t bytes = sysconf(name);
    return bytes > 0 ? bytes : otherwise;
}

int cai_peaks_level(const cai_peaks *peaks, double bytes) {
    double each = bytes / peaks->threads;
    return each <= (double)peaks->caches[0]    ? CAI_LEVEL_1
           : each <= (double)peaks->caches[1]  ? CAI_LEVEL_2
           : bytes <= (double)peaks->caches[2] ? CAI_LEVEL_3
                                               : CAI_LEVEL_MEMORY;
}

static int64_t whole_steps(int64_t bytes) { return bytes / READ_STEP * READ_STEP; }

static int64_t least_bytes(int64_t a, int64_t b) { return a < b ? a : b; }

bool cai_measure_peaks(cai_pool *pool, uint32_t cpu, cai_peaks *peaks, cai_error *error) {
    *peaks = (cai_peaks){.threads = cai_pool_threads(pool)};
    if (lanes_of_cpu(cpu) == 0 || !cai_cpu_runs(cpu)) return true;
    peaks->caches[0] = system_cache_bytes(_SC_LEVEL1_DCACHE_SIZE, 32 << 10);
    peaks->caches[1] = system_cache_bytes(_SC_LEVEL2_CACHE_SIZE, 1 << 20);
    peaks->caches[2] = system_cache_bytes(_SC_LEVEL3_CACHE_SIZE, 8 << 20);
    int64_t inner = whole_steps(peaks->caches[0] / 2), middle = whole_steps(peaks->caches[1] / 2);
    /* beyond L2, and small enough for any L3 */
    int64_t outer = whole_steps(least_bytes(3 * peaks->caches[1], MAX_BYTES / peaks->threads));
    int64_t cold = whole_steps(least_bytes(outer, MAX_FLUSHED / peaks->threads));
    uint64_t all = (uint64_t)(outer * peaks->threads);
    unsigned char *memory = cai_allocate(all + 64, "measuring memory", error);
    if (!memory) return false;
    unsigned char *data = memory + (64 - (uintptr_t)memory % 64) % 64;
    memset(data, 1, all);
    peaks->flops = peak_flops(pool, cpu);
    peaks->read[CAI_LEVEL_1] = peak_read(pool, cpu, data, inner, 48 << 20, false);
    peaks->read[CAI_LEVEL_2] = peak_read(pool, cpu, data, middle, 24 << 20, false);
    peaks->read[CAI_LEVEL_3] = peak_read(pool, cpu, data, outer, 2 * outer, false);
    peaks->read[CAI_LEVEL_MEMORY] = peak_read(pool, cpu, data, cold, cold, true);
    free(memory);
    return true;
}
