/* The whole stage: every distinct kernel becomes a function in a module of its own, which
 * is compiled, by several threads, or found in the cache of compiled kernels; then come
 * the tables, and all objects are linked into one. Printed code is one module.
 *
 * No optimisation passes run: the emitters write the loops, tiles and vectors that they
 * want, and hoist invariants themselves; what an optimiser would still find costs more
 * time than it saves. */
#include "codegen/codegen.h"
#include "codegen/emit.h"
#include "codegen/training_image.h"
#include "files/files.h"
#include <elf.h>
#include <llvm-c/Analysis.h>
#include <llvm-c/BitWriter.h>
#include <stdlib.h>

enum { BATCH = 64 }; /* modules that are held at once */

/* ---- printing ---- */

static void verify_module(Module *m) {
    char *message = NULL;
    for (LLVMValueRef f = LLVMGetFirstFunction(m->module); f; f = LLVMGetNextFunction(f))
        if (LLVMVerifyFunction(f, LLVMReturnStatusAction)) fputs(LLVMPrintValueToString(f), stderr);
    if (LLVMVerifyModule(m->module, LLVMReturnStatusAction, &message))
        INTERNAL_ERROR("LLVM refuses our code: %s", message);
    LLVMDisposeMessage(message);
}

static LLVMMemoryBufferRef generate_code(Module *m, LLVMCodeGenFileType type, const char **error) {
    LLVMMemoryBufferRef buffer;
    char *message = NULL;
    if (!LLVMTargetMachineEmitToMemoryBuffer(m->machine, m->module, type, &message, &buffer)) return buffer;
    *error = arena_printf(m->arena, "LLVM cannot generate code: %s", message);
    LLVMDisposeMessage(message);
    return NULL;
}

static bool print_module(Module *m, const EmitOptions *options, const char **error) {
    if (strcmp(options->emit, "llvm") == 0) {
        char *text = LLVMPrintModuleToString(m->module);
        fputs(text, options->print);
        LLVMDisposeMessage(text);
        return true;
    }
    LLVMMemoryBufferRef buffer = generate_code(m, LLVMAssemblyFile, error);
    if (!buffer) return false;
    fwrite(LLVMGetBufferStart(buffer), 1, LLVMGetBufferSize(buffer), options->print);
    LLVMDisposeMemoryBuffer(buffer);
    return true;
}

/* ---- a module's object ---- */

typedef struct Job {
    Module *m;
    bool cached;   /* may be */
    Object object; /* malloc'd; .bytes is NULL where compiling failed */
    Object key;    /* malloc'd; to store the object under, or nothing */
    char *message; /* LLVM's, where it failed */
} Job;

static Object copy_buffer(const void *head, size_t head_bytes, LLVMMemoryBufferRef buffer) {
    size_t count = LLVMGetBufferSize(buffer);
    unsigned char *bytes = checked_realloc(NULL, head_bytes + count);
    if (head_bytes) memcpy(bytes, head, head_bytes);
    memcpy(bytes + head_bytes, LLVMGetBufferStart(buffer), count);
    LLVMDisposeMemoryBuffer(buffer);
    return (Object){bytes, head_bytes + count};
}

static void compile_job(Job *job) {
    LLVMMemoryBufferRef buffer;
    if (LLVMTargetMachineEmitToMemoryBuffer(job->m->machine, job->m->module, LLVMObjectFile, &job->message,
                                            &buffer))
        return;
    job->object = copy_buffer(NULL, 0, buffer);
}

static void find_or_compile(const KernelCache *cache, Job *job) {
    if (!cache || !job->cached) {
        compile_job(job);
        return;
    }
    Object key =
        copy_buffer(&cache->compiler, sizeof cache->compiler, LLVMWriteBitcodeToMemoryBuffer(job->m->module));
    if (cache_find(cache, key, &job->object)) {
        free((void *)key.bytes);
        return;
    }
    job->key = key;
    compile_job(job);
}

/* ---- jobs, by all cores: modules share nothing ---- */

typedef struct Batch {
    const KernelCache *cache;
    Job *jobs;
    int count;
} Batch;

enum { JOB = 1 << 24 /* nanoseconds or more, so that each job is a part of its own */ };

static void compile_jobs(void *context, int64_t begin, int64_t end) {
    const Batch *batch = context;
    for (int64_t i = begin; i < end; i++) find_or_compile(batch->cache, &batch->jobs[i]);
}

/* ---- the program ---- */

typedef struct Code {
    Arena *arena;
    const Program *const *programs;
    int program_count;
    const Trainer *trainer; /* whose entries the programs are; NULL: the program is a model's */
    const EmitOptions *options;
    const char **error;
    Vec(Object) objects;
    Vec(Kernel *) kernels; /* distinct ones */
    int hits, stored;
} Code;

static void find_kernels_of(Code *c, const Program *program, Names *names, Map *seen) {
    for (int i = 0; i < program->launches.count; i++) {
        Kernel *kernel = program->launches.items[i];
        Name name = intern(names, kernel->name);
        if (map_get(seen, name)) continue;
        map_set(seen, name, kernel);
        vec_push(c->arena, &c->kernels, kernel);
    }
}

static void find_kernels(Code *c) {
    Names *names = names_new(c->arena);
    Map *seen = map_new(c->arena);
    for (int i = 0; i < c->program_count; i++) find_kernels_of(c, c->programs[i], names, seen);
}

static Module *new_module(Code *c, const Program *program, const char *name) {
    return module_new(c->arena, program->target, program->graph->dims, name, c->error);
}

/* Makes functions visible to the object of the tables; link_objects.c makes them local
 * afterwards. */
static void show_functions(Module *m) {
    for (LLVMValueRef f = LLVMGetFirstFunction(m->module); f; f = LLVMGetNextFunction(f)) {
        if (LLVMGetLinkage(f) != LLVMInternalLinkage) continue;
        LLVMSetLinkage(f, LLVMExternalLinkage);
        LLVMSetVisibility(f, LLVMHiddenVisibility);
    }
}

static Job emit_kernel(Code *c, const Kernel *kernel) {
    Module *m = new_module(c, kernel->program, "kernel");
    if (!m) return (Job){0};
    kernel->kind->emit(m, kernel);
    show_functions(m);
    if (c->options->verify) verify_module(m);
    return (Job){.m = m, .cached = true};
}

/* A model has one object of tables; of a trainer's, which are one for each entry, the
 * last joins them. */
static int count_tables(const Code *c) { return c->trainer ? c->program_count + 1 : 1; }

static Job emit_program_tables(Code *c, int number) {
    const Program *program = c->programs[number < c->program_count ? number : 0];
    Module *m = new_module(c, program, program->graph->model);
    if (!m) return (Job){0};
    if (!c->trainer) emit_program_image(m, program);
    else if (number < c->program_count) emit_entry_image(m, program, trainer_symbol(c->arena, number));
    else emit_training_image(m, c->trainer);
    if (c->options->verify) verify_module(m);
    return (Job){.m = m};
}

static Job emit_job(Code *c, int number) {
    return number < c->kernels.count ? emit_kernel(c, c->kernels.items[number])
                                     : emit_program_tables(c, number - c->kernels.count);
}

/* Moves the results of the jobs to the stage, and into the cache. */
static bool finish_jobs(Code *c, Job *jobs, int count) {
    bool good = true;
    for (int i = 0; i < count; i++) {
        Job *job = &jobs[i];
        if (job->object.bytes) vec_push(c->arena, &c->objects, job->object);
        else good = false, *c->error = arena_printf(c->arena, "LLVM cannot generate code: %s", job->message);
        if (job->object.bytes && job->key.bytes)
            cache_store(c->options->cache, job->key, job->object), c->stored++;
        else if (c->options->cache && job->cached) c->hits++;
        free((void *)job->key.bytes);
        if (job->message) LLVMDisposeMessage(job->message);
        module_free(job->m);
    }
    return good;
}

static bool compile_kernels(Code *c) {
    Job jobs[BATCH];
    int all = c->kernels.count + count_tables(c);
    for (int at = 0; at < all; at += BATCH) {
        Batch batch = {.cache = c->options->cache, .jobs = jobs};
        if (c->options->progress) c->options->progress(at, all);
        while (batch.count < BATCH && at + batch.count < all) {
            jobs[batch.count] = emit_job(c, at + batch.count);
            if (!jobs[batch.count++].m) return false;
        }
        parallel_for(batch.count, JOB, compile_jobs, &batch);
        if (!finish_jobs(c, jobs, batch.count)) return false;
    }
    if (c->stored) cache_trim(c->options->cache);
    if (c->options->hits) *c->options->hits = (CacheHits){c->hits, c->kernels.count};
    return true;
}

/* The sizes of loaded sections, by their contents. */
static CodeSize measure_code(const unsigned char *object) {
    Elf64_Ehdr header;
    CodeSize size = {0};
    memcpy(&header, object, sizeof header);
    for (int i = 0; i < header.e_shnum; i++) {
        Elf64_Shdr section;
        memcpy(&section, object + header.e_shoff + (size_t)i * header.e_shentsize, sizeof section);
        if (!(section.sh_flags & SHF_ALLOC)) continue;
        *(section.sh_flags & SHF_EXECINSTR ? &size.code : &size.tables) += section.sh_size;
    }
    return size;
}

static bool write_object(Code *c, const char *path) {
    bool good = compile_kernels(c);
    if (good) {
        Object joined = link_relocatable(c->arena, c->objects.items, c->objects.count);
        cai_error failed;
        good = cai_file_write(path, joined.bytes, joined.count, &failed);
        if (!good) *c->error = arena_printf(c->arena, "%s", failed.message);
        if (c->options->size) *c->options->size = measure_code(joined.bytes);
    }
    for (int i = 0; i < c->objects.count; i++) free((void *)c->objects.items[i].bytes);
    return good;
}

/* A model's as one module. */
static bool print_one_module(Code *c) {
    const Program *program = c->programs[0];
    Module *m = new_module(c, program, program->graph->model);
    if (!m) return false;
    for (int i = 0; i < c->kernels.count; i++) c->kernels.items[i]->kind->emit(m, c->kernels.items[i]);
    emit_program_image(m, program);
    if (c->options->verify) verify_module(m);
    bool done = print_module(m, c->options, c->error);
    module_free(m);
    return done;
}

/* A trainer's as many. */
static bool print_modules(Code *c) {
    for (int i = 0; i < c->kernels.count + count_tables(c); i++) {
        Job job = emit_job(c, i);
        bool done = job.m && print_module(job.m, c->options, c->error);
        if (job.m) module_free(job.m);
        if (!done) return false;
    }
    return true;
}

static bool make_code(Code *c, const char *path) {
    find_kernels(c);
    if (!c->options->emit) return write_object(c, path);
    return c->trainer ? print_modules(c) : print_one_module(c);
}

bool backend_object(const Program *program, const EmitOptions *options, const char *path,
                    const char **error) {
    return make_code(&(Code){.arena = program->arena,
                             .programs = &program,
                             .program_count = 1,
                             .options = options,
                             .error = error},
                     path);
}

bool backend_trainer(const Trainer *trainer, const EmitOptions *options, const char *path,
                     const char **error) {
    Code code = {.arena = trainer->programs.items[0]->arena,
                 .programs = trainer->programs.items,
                 .program_count = trainer->programs.count,
                 .trainer = trainer,
                 .options = options,
                 .error = error};
    return make_code(&code, path);
}
