/* The machines that code is made for. A row is a description, not a model of one chip: the cost model and the choice of tiles read
 * it and nothing else, so a new machine is a new row. The figures of the two AVX-512 machines were measured (docs/kernels.md). */
#include "plan/plan.h"

#include <stdlib.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

static const Target targets[] = {
    {
        .name = "x86-64-v3", .llvm_cpu = "x86-64-v3", .llvm_features = "", .llvm_triple = "x86_64-pc-linux-gnu",
        .lanes = 8, .registers = 16, .vector_bits = 256, .fma = true, .fmas_per_cycle = 2, .loads_per_cycle = 2,
        .l1_bytes = 32 << 10, .l2_bytes = 512 << 10, .l3_bytes = 2 << 20, .gigahertz = 3.0,
        .l2_bytes_per_cycle = 28, .l3_bytes_per_cycle = 10, .memory_bytes_per_cycle = 5,
    },
    {
        .name = "x86-64-v4", .llvm_cpu = "x86-64-v4", .llvm_features = "-prefer-256-bit", .llvm_triple = "x86_64-pc-linux-gnu",
        .lanes = 16, .registers = 32, .vector_bits = 512, .fma = true, .fmas_per_cycle = 2, .loads_per_cycle = 2,
        .l1_bytes = 32 << 10, .l2_bytes = 1 << 20, .l3_bytes = 2 << 20, .gigahertz = 3.0,
        .l2_bytes_per_cycle = 40, .l3_bytes_per_cycle = 10, .memory_bytes_per_cycle = 5.5,
    },
    {
        .name = "aarch64", .llvm_cpu = "generic", .llvm_features = "+neon", .llvm_triple = "aarch64-unknown-linux-gnu",
        .lanes = 4, .registers = 32, .vector_bits = 128, .fma = true, .fmas_per_cycle = 2, .loads_per_cycle = 2,
        .l1_bytes = 64 << 10, .l2_bytes = 512 << 10, .l3_bytes = 2 << 20, .gigahertz = 2.5,
        .l2_bytes_per_cycle = 20, .l3_bytes_per_cycle = 10, .memory_bytes_per_cycle = 5,
    },
};

const char *target_names(void) {
    return "native, x86-64-v3, x86-64-v4";
}

#if defined(__x86_64__)

enum { MOST_L3_OF_A_CORE = 8 << 20 }; /* virtual machines report the whole host's */

typedef struct Cpu { bool amd; int family, model; } Cpu;

static Cpu cpu_identify(void) {
    unsigned a = 0, b = 0, c = 0, d = 0;
    __get_cpuid(0, &a, &b, &c, &d);
    Cpu cpu = {.amd = b == signature_AMD_ebx};
    __get_cpuid(1, &a, &b, &c, &d);
    cpu.family = (a >> 8) & 15;
    cpu.model = (a >> 4) & 15;
    if (cpu.family == 15) cpu.family += (a >> 20) & 255;
    if (cpu.family == 6 || cpu.family >= 15) cpu.model += ((a >> 16) & 15) << 4;
    return cpu;
}

/* The size of the data or unified cache of a level, by the deterministic cache leaf; 0 where the machine does not say. A cache that
 * several cores share counts by their share. */
static int64_t cache_bytes(const Cpu *cpu, int level) {
    unsigned leaf = cpu->amd ? 0x8000001D : 4;
    for (unsigned i = 0; i < 8; i++) {
        unsigned a, b, c, d;
        if (!__get_cpuid_count(leaf, i, &a, &b, &c, &d) || (a & 31) == 0) break;
        if ((a & 31) == 2 || (int)((a >> 5) & 7) != level) continue; /* 2: instructions */
        int64_t bytes = (int64_t)((b >> 22) + 1) * (((b >> 12) & 1023) + 1) * ((b & 4095) + 1) * ((int64_t)c + 1);
        int64_t sharing = ((a >> 14) & 4095) + 1;
        return level == 3 ? bytes / max_i64(1, sharing / 2) : bytes; /* ids count hyperthreads: two a core */
    }
    return 0;
}

/* 512-bit FMAs a cycle. Zen 4 makes one of two halves, Zen 5 has two. Intel's servers have two ports and an L2 of 1 MB and more;
 * of its small parts with AVX-512, which have one, only Tiger Lake has as large an L2. Models are not enough: a virtual machine may
 * hide them. */
static double avx512_fmas(const Cpu *cpu, int64_t l2_bytes) {
    bool tiger_lake = cpu->model == 0x8C || cpu->model == 0x8D;
    if (cpu->amd) return cpu->family >= 0x1A ? 2 : 1;
    return l2_bytes >= 1 << 20 && !tiger_lake ? 2 : 1;
}

static void describe_avx512(Target *target, const Cpu *cpu, int64_t l2_bytes) {
    target->fmas_per_cycle = avx512_fmas(cpu, l2_bytes);
    if (cpu->amd) { /* Zen 4, measured: its outer caches are close */
        target->loads_per_cycle = target->fmas_per_cycle;
        target->l2_bytes_per_cycle = 30;
        target->l3_bytes_per_cycle = 25;
        target->memory_bytes_per_cycle = 8.2;
    } else { /* Sapphire Rapids, measured */
        target->l2_bytes_per_cycle = 50;
        target->l3_bytes_per_cycle = 10;
        target->memory_bytes_per_cycle = 5.5;
    }
}

static double base_gigahertz(void) {
    unsigned a = 0, b, c, d;
    if (!__get_cpuid(0x16, &a, &b, &c, &d) || a == 0) return 0;
    return (a & 0xFFFF) / 1000.0;
}

static const Target *find_native(void) {
    static Target native;
    __builtin_cpu_init();
    bool v4 = __builtin_cpu_supports("x86-64-v4"), v3 = __builtin_cpu_supports("x86-64-v3");
    if (!v3) return NULL;
    native = targets[v4 ? 1 : 0];
    Cpu cpu = cpu_identify();
    int64_t l1 = cache_bytes(&cpu, 1), l2 = cache_bytes(&cpu, 2), l3 = cache_bytes(&cpu, 3);
    if (v4) describe_avx512(&native, &cpu, l2);
    if (l1 > 0) native.l1_bytes = l1;
    if (l2 > 0) native.l2_bytes = l2;
    if (l3 > 0) native.l3_bytes = min_i64(max_i64(l3, 1 << 20), MOST_L3_OF_A_CORE);
    if (base_gigahertz() > 0) native.gigahertz = base_gigahertz();
    return &native;
}

#else

static const Target *find_native(void) {
    return &targets[2];
}

#endif

const Target *target_find(const char *name) {
    if (strcmp(name, "native") == 0) return find_native();
    for (int i = 0; i < COUNT_OF(targets); i++)
        if (strcmp(name, targets[i].name) == 0) return &targets[i];
    return NULL;
}
