/* The targets. A row describes an instruction set and a core that has it, but not one
 * particular chip. Emitters, the cost model and the choice of tiles read only this
 * description, so that another instruction set is another row (docs/how-it-works.md lists
 * what else it needs). The figures of the AVX-512 machines were measured
 * (docs/kernels.md). */
#include "plan/target.h"
#include "core/core.h"

#include <elf.h>
#include <stdlib.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define VECTORS(bytes) .vector_bytes = bytes, .lanes = bytes / (int)sizeof(float)

/* Sections with this flag are in the part of the address space for the large code model.
 * elf.h does not name it. */
#define SHF_X86_64_LARGE 0x10000000
#define X86_64                                                                           \
    .llvm_triple = "x86_64-pc-linux-gnu", .runtime = "x86_64", .elf_machine = EM_X86_64, \
    .weights_section = ".lrodata", .weights_flags = SHF_X86_64_LARGE

static const Target targets[] = {
    {
        .name = "x86-64-v3",
        X86_64,
        .llvm_cpu = "x86-64-v3",
        .llvm_features = "",
        .cpu = CAI_CPU_X86_64_V3,
        VECTORS(32),
        .registers = 16,
        .masks = true,
        .gathers = true,
        .permutes = true,
        .fmas_per_cycle = 2,
        .loads_per_cycle = 2,
        .gigahertz = 3.0,
        .l1_bytes = 32 << 10,
        .l2_bytes = 512 << 10,
        .l3_bytes = 2 << 20,
        .l2_bytes_per_cycle = 28,
        .l3_bytes_per_cycle = 10,
        .memory_bytes_per_cycle = 5,
    },
    {
        .name = "x86-64-v4",
        X86_64,
        .llvm_cpu = "x86-64-v4",
        .llvm_features = "-prefer-256-bit",
        .cpu = CAI_CPU_X86_64_V4,
        VECTORS(64),
        .registers = 32,
        .masks = true,
        .gathers = true,
        .permutes = true,
        .scalef = true,
        .fmas_per_cycle = 2,
        .loads_per_cycle = 2,
        .gigahertz = 3.0,
        .l1_bytes = 32 << 10,
        .l2_bytes = 1 << 20,
        .l3_bytes = 2 << 20,
        .l2_bytes_per_cycle = 40,
        .l3_bytes_per_cycle = 10,
        .memory_bytes_per_cycle = 5.5,
    },
};

/* ---- the list ---- */

int target_count(void) { return COUNT_OF(targets); }

const Target *target_at(int index) {
    CHECK(index >= 0 && index < COUNT_OF(targets));
    return &targets[index];
}

const char *target_names(Arena *arena) {
    Text names = {.arena = arena};
    text_add(&names, "native");
    for (int i = 0; i < COUNT_OF(targets); i++) text_add(&names, ", %s", targets[i].name);
    return text_string(&names);
}

void target_describe(const Target *target, Text *out) {
    const struct {
        bool has;
        const char *what;
    } features[] = {{target->masks, "masks"},
                    {target->gathers, "gathers"},
                    {target->permutes, "permutes"},
                    {target->lane_multiply, "multiplies by a lane"},
                    {target->scalef, "scalef"}};
    text_add(out, "%d-bit vectors, %d registers", 8 * target->vector_bytes, target->registers);
    for (int i = 0; i < COUNT_OF(features); i++)
        if (features[i].has) text_add(out, ", %s", features[i].what);
}

void targets_print(FILE *file) {
    Text out = {.arena = arena_new()};
    const Target *native = target_find("native");
    for (int i = 0; i < COUNT_OF(targets); i++) {
        const Target *target = &targets[i];
        bool is_native = native && strcmp(native->name, target->name) == 0;
        text_add(&out, "%-12s", target->name);
        target_describe(target, &out);
        text_add(&out, " (%s)\n",
                 is_native                   ? "native"
                 : cai_cpu_runs(target->cpu) ? "runs here"
                                             : "does not run here");
    }
    fputs(text_string(&out), file);
    arena_free(out.arena);
}

/* ---- this machine ---- */

#if defined(__x86_64__)
enum { MAX_L3_OF_A_CORE = 8 << 20 }; /* virtual machines report the L3 of the whole host */

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

/* The size of the data or unified cache of a level, by the deterministic cache leaf of
 * CPUID; 0 where unknown. A cache that several cores share is divided among them. */
static int64_t cpu_cache_bytes(const Cpu *cpu, int level) {
    unsigned leaf = cpu->amd ? 0x8000001D : 4;
    for (unsigned i = 0; i < 8; i++) {
        unsigned a, b, c, d;
        if (!__get_cpuid_count(leaf, i, &a, &b, &c, &d) || (a & 31) == 0) break;
        if ((a & 31) == 2 || (int)((a >> 5) & 7) != level) continue; /* 2: instructions */
        int64_t bytes =
            (int64_t)((b >> 22) + 1) * (((b >> 12) & 1023) + 1) * ((b & 4095) + 1) * ((int64_t)c + 1);
        int64_t sharing = ((a >> 14) & 4095) + 1;
        /* ids count hyperthreads, two for each core */
        return level == 3 ? bytes / max_i64(1, sharing / 2) : bytes;
    }
    return 0;
}

/* 512-bit FMAs a cycle. Zen 4 makes one of two halves, Zen 5 has two. Intel's servers
 * have two ports and an L2 of 1 MB and more; of its small parts with AVX-512, which have
 * one, only Tiger Lake has as large an L2. The model number is not enough: a virtual
 * machine may hide it. */
static double avx512_fmas(const Cpu *cpu, int64_t l2_bytes) {
    bool tiger_lake = cpu->model == 0x8C || cpu->model == 0x8D;
    if (cpu->amd) return cpu->family >= 0x1A ? 2 : 1;
    return l2_bytes >= 1 << 20 && !tiger_lake ? 2 : 1;
}

static void describe_avx512(Target *target, const Cpu *cpu, int64_t l2_bytes) {
    target->fmas_per_cycle = avx512_fmas(cpu, l2_bytes);
    if (cpu->amd) { /* Zen 4, measured: its outer caches are fast */
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

/* The figures of this machine, as far as it reports them. */
static void measure_host(Target *target) {
    Cpu cpu = cpu_identify();
    int64_t l1 = cpu_cache_bytes(&cpu, 1), l2 = cpu_cache_bytes(&cpu, 2), l3 = cpu_cache_bytes(&cpu, 3);
    if (target->vector_bytes == 64) describe_avx512(target, &cpu, l2);
    if (l1 > 0) target->l1_bytes = l1;
    if (l2 > 0) target->l2_bytes = l2;
    if (l3 > 0) target->l3_bytes = min_i64(max_i64(l3, 1 << 20), MAX_L3_OF_A_CORE);
    if (base_gigahertz() > 0) target->gigahertz = base_gigahertz();
}

#else

static void measure_host(Target *target) { (void)target; }

#endif

static const Target *find_native(void) {
    static Target native;
    for (int i = COUNT_OF(targets) - 1; i >= 0; i--) {
        if (!cai_cpu_runs(targets[i].cpu)) continue;
        native = targets[i];
        measure_host(&native);
        return &native;
    }
    return NULL;
}

const Target *target_find(const char *name) {
    if (strcmp(name, "native") == 0) return find_native();
    for (int i = 0; i < COUNT_OF(targets); i++)
        if (strcmp(name, targets[i].name) == 0) return &targets[i];
    return NULL;
}
