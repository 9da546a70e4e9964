/* The properties and limits of this machine: features of the CPU, cores, the limits of
 * control groups (versions 1 and 2), and the time. */
#include "core/core.h"
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

/* ---- the CPU ---- */

/* By CPUID directly: gcc's __builtin_cpu_supports comes with a global constructor, which
 * libraries must not have. */
#if defined(__x86_64__)
enum { XMM_YMM = 0x6, XMM_YMM_ZMM = 0xe6 }; /* registers that the system saves: bits of XCR0 */

typedef struct Features {
    unsigned c1, b7; /* leaf 1's ECX, leaf 7's EBX */
    uint64_t saved;
} Features;

static Features cpu_features(void) {
    Features f = {0};
    unsigned a, b, c, d, low, high;
    if (__get_cpuid(1, &a, &b, &c, &d)) f.c1 = c;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) f.b7 = b;
    if (f.c1 & bit_OSXSAVE) {
        __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
        f.saved = (uint64_t)high << 32 | low;
    }
    return f;
}

static bool has_features(unsigned given, unsigned wanted) { return (given & wanted) == wanted; }
#endif

bool cai_cpu_runs(uint32_t level) {
    if (level == CAI_CPU_ANY) return true;
#if defined(__x86_64__)
    const unsigned v3 = bit_SSE3 | bit_SSSE3 | bit_SSE4_1 | bit_SSE4_2 | bit_POPCNT | bit_AVX | bit_FMA |
                        bit_F16C | bit_MOVBE;
    const unsigned avx2 = bit_AVX2 | bit_BMI | bit_BMI2,
                   avx512 = bit_AVX512F | bit_AVX512BW | bit_AVX512CD | bit_AVX512DQ | bit_AVX512VL;
    Features f = cpu_features();
    switch (level) {
    case CAI_CPU_X86_64_V3:
        return has_features(f.c1, v3) && has_features(f.b7, avx2) && (f.saved & XMM_YMM) == XMM_YMM;
    case CAI_CPU_X86_64_V4:
        return has_features(f.c1, v3) && has_features(f.b7, avx2 | avx512) &&
               (f.saved & XMM_YMM_ZMM) == XMM_YMM_ZMM;
    default: return false;
    }
#elif defined(__aarch64__)
    return level == CAI_CPU_AARCH64;
#else
    return false;
#endif
}

int cai_cores(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)sysconf(_SC_NPROCESSORS_ONLN);
}

/* ---- control groups ---- */

/* The first line of FOLDER/NAME. */
static bool read_folder_line(const char *folder, const char *name, char *line, int size) {
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "re");
    if (!file) return false;
    bool read = fgets(line, size, file) != NULL;
    fclose(file);
    return read;
}

typedef double (*ReadLimit)(const char *folder); /* -1: none ("max" in version 2, -1 in version 1) */

static double cpu_v2(const char *folder) {
    char line[64], *rest;
    if (!read_folder_line(folder, "cpu.max", line, sizeof line)) return -1;
    double quota = strtod(line, &rest), period = strtod(rest, NULL);
    return rest != line && quota > 0 && period > 0 ? quota / period : -1;
}

static double cpu_v1(const char *folder) {
    char quota[64], period[64];
    if (!read_folder_line(folder, "cpu.cfs_quota_us", quota, sizeof quota)) return -1;
    if (!read_folder_line(folder, "cpu.cfs_period_us", period, sizeof period)) return -1;
    return atof(quota) > 0 && atof(period) > 0 ? atof(quota) / atof(period) : -1;
}

static double memory_limit(const char *folder, const char *name) {
    char line[64], *end;
    if (!read_folder_line(folder, name, line, sizeof line)) return -1;
    double limit = strtod(line, &end);
    return end != line && limit > 0 ? limit : -1;
}

static double memory_v2(const char *folder) { return memory_limit(folder, "memory.max"); }
static double memory_v1(const char *folder) { return memory_limit(folder, "memory.limit_in_bytes"); }

static double lesser_known(double a, double b) { return a < 0 ? b : b < 0 ? a : a < b ? a : b; }

/* The least limit on the path from the group up to the root, since all of them hold. In a
 * container the path may be one of the host, which is not visible; the root is then the
 * container's own. */
static double least_limit(const char *root, const char *group, ReadLimit read) {
    char folder[PATH_MAX];
    if (snprintf(folder, sizeof folder, "%s%s", root, strcmp(group, "/") == 0 ? "" : group) >=
        (int)sizeof folder)
        return -1;
    for (double least = -1;;) {
        least = lesser_known(least, read(folder));
        char *slash = strrchr(folder + strlen(root), '/');
        if (!slash) return least;
        *slash = 0;
    }
}

static bool in_list(const char *list, const char *name) {
    size_t length = strlen(name);
    for (const char *at = list; (at = strstr(at, name)); at += length) {
        if ((at == list || at[-1] == ',') && (at[length] == 0 || at[length] == ',')) return true;
    }
    return false;
}

/* A line of /proc/self/cgroup is ID:CONTROLLERS:PATH; for version 2 the controllers are
 * empty. */
static double group_limit(const char *controller, ReadLimit v1, ReadLimit v2) {
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (!file) return -1;
    char line[PATH_MAX], root[64];
    snprintf(root, sizeof root, "/sys/fs/cgroup/%s", controller);
    double least = -1;
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) continue;
        *group++ = 0;
        controllers++;
        if (*controllers == 0) least = lesser_known(least, least_limit("/sys/fs/cgroup", group, v2));
        else if (in_list(controllers, controller)) least = lesser_known(least, least_limit(root, group, v1));
    }
    fclose(file);
    return least;
}

double cai_cpu_quota(void) { return group_limit("cpu", cpu_v1, cpu_v2); }

uint64_t cai_memory_limit(void) {
    struct sysinfo info;
    double limit =
        sysinfo(&info) == 0 ? ((double)info.totalram + (double)info.totalswap) * info.mem_unit : -1;
    limit = lesser_known(limit, group_limit("memory", memory_v1, memory_v2));
    return limit > 0 && limit < (double)INT64_MAX ? (uint64_t)limit : INT64_MAX;
}

/* ---- time ---- */

double cai_milliseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}
