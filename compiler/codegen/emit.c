/* The stage: every distinct kernel becomes a function in a module of its own, is compiled, by several threads, or found in the cache of
 * kernels that were compiled before; then come the tables, and all objects are joined into one. What is printed is one module.
 *
 * Code generation only: the emitters write the loops, tiles and vectors they want and place what does not change before the
 * loops, and what an optimiser would still find costs it more time than it saves. */
#include "codegen/codegen.h"
#include "codegen/emit.h"
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
    if (LLVMVerifyModule(m->module, LLVMReturnStatusAction, &message)) INTERNAL_ERROR("LLVM refuses our code: %s", message);
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
    if (LLVMTargetMachineEmitToMemoryBuffer(job->m->machine, job->m->module, LLVMObjectFile, &job->message, &buffer)) return;
    job->object = copy_buffer(NULL, 0, buffer);
}

static void find_or_compile(const KernelCache *cache, Job *job) {
    if (!cache || !job->cached) {
        compile_job(job);
        return;
    }
    Object key = copy_buffer(&cache->compiler, sizeof cache->compiler, LLVMWriteBitcodeToMemoryBuffer(job->m->module));
    if (cache_find(cache, key, &job->object)) {
        free((void *)key.bytes);
        return;
    }
    job->key = key;
    compile_job(job);
}

/* ---- many, by all cores: no module shares anything with another ---- */

typedef struct Batch {
    const KernelCache *cache;
    Job *jobs;
    int count;
} Batch;

enum { JOB = 1 << 24 /* nanoseconds and more, so that each is a part */ };

static void compile_jobs(void *context, int64_t begin, int64_t end) {
    const Batch *batch = context;
    for (int64_t i = begin; i < end; i++) find_or_compile(batch->cache, &batch->jobs[i]);
}

/* ---- the program ---- */

typedef struct Code {
    const Program *program;
    const EmitOptions *options;
    const char **error;
    Vec(Object) objects;
    Vec(Kernel *) kernels; /* distinct ones */
    int hits, stored;
} Code;

static void find_kernels(Code *c) {
    Names *names = names_new(c->program->arena);
    Map *seen = map_new(c->program->arena);
    for (int i = 0; i < c->program->launches.count; i++) {
        Kernel *kernel = c->program->launches.items[i];
        Name name = intern(names, kernel->name);
        if (map_get(seen, name)) continue;
        map_set(seen, name, kernel);
        vec_push(c->program->arena, &c->kernels, kernel);
    }
}

static Module *new_module(Code *c, const char *name) {
    return module_new(c->program->arena, c->program->target, c->program->graph->dims, name, c->error);
}

/* Functions are found from the tables' object, and by nobody else: link_objects.c makes them local. */
static void show_functions(Module *m) {
    for (LLVMValueRef f = LLVMGetFirstFunction(m->module); f; f = LLVMGetNextFunction(f)) {
        if (LLVMGetLinkage(f) != LLVMInternalLinkage) continue;
        LLVMSetLinkage(f, LLVMExternalLinkage);
        LLVMSetVisibility(f, LLVMHiddenVisibility);
    }
}

static Job emit_kernel(Code *c, const Kernel *kernel) {
    Module *m = new_module(c, "kernel");
    if (!m) return (Job){0};
    kernel->kind->emit(m, kernel);
    show_functions(m);
    if (c->options->verify) verify_module(m);
    return (Job){.m = m, .cached = true};
}

static Job emit_program_tables(Code *c) {
    Module *m = new_module(c, c->program->graph->model);
    if (!m) return (Job){0};
    emit_program_image(m, c->program);
    if (c->options->verify) verify_module(m);
    return (Job){.m = m};
}

/* What the jobs made goes to the stage, and into the cache. */
static bool finish_jobs(Code *c, Job *jobs, int count) {
    bool good = true;
    for (int i = 0; i < count; i++) {
        Job *job = &jobs[i];
        if (job->object.bytes) vec_push(c->program->arena, &c->objects, job->object);
        else good = false, *c->error = arena_printf(c->program->arena, "LLVM cannot generate code: %s", job->message);
        if (job->object.bytes && job->key.bytes) cache_store(c->options->cache, job->key, job->object), c->stored++;
        else if (c->options->cache && job->cached) c->hits++;
        free((void *)job->key.bytes);
        if (job->message) LLVMDisposeMessage(job->message);
        module_free(job->m);
    }
    return good;
}

static bool compile_kernels(Code *c) {
    Job jobs[BATCH];
    for (int at = 0; at <= c->kernels.count; at += BATCH) {
        Batch batch = {.cache = c->options->cache, .jobs = jobs};
        if (c->options->progress) c->options->progress(at, c->kernels.count);
        while (batch.count < BATCH && at + batch.count <= c->kernels.count) {
            bool last = at + batch.count == c->kernels.count;
            jobs[batch.count] = last ? emit_program_tables(c) : emit_kernel(c, c->kernels.items[at + batch.count]);
            if (!jobs[batch.count++].m) return false;
        }
        parallel_for(batch.count, JOB, compile_jobs, &batch);
        if (!finish_jobs(c, jobs, batch.count)) return false;
    }
    if (c->stored) cache_trim(c->options->cache);
    if (c->options->hits) *c->options->hits = (CacheHits){c->hits, c->kernels.count};
    return true;
}

/* Sections that are loaded, by what they hold. */
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
        Object joined = link_relocatable(c->program->arena, c->objects.items, c->objects.count);
        cai_error failed;
        good = cai_file_write(path, joined.bytes, joined.count, &failed);
        if (!good) *c->error = arena_printf(c->program->arena, "%s", failed.message);
        if (c->options->size) *c->options->size = measure_code(joined.bytes);
    }
    for (int i = 0; i < c->objects.count; i++) free((void *)c->objects.items[i].bytes);
    return good;
}

/* All of it as one module. */
static bool print_one_module(Code *c) {
    Module *m = new_module(c, c->program->graph->model);
    if (!m) return false;
    for (int i = 0; i < c->kernels.count; i++) c->kernels.items[i]->kind->emit(m, c->kernels.items[i]);
    emit_program_image(m, c->program);
    if (c->options->verify) verify_module(m);
    bool done = print_module(m, c->options, c->error);
    module_free(m);
    return done;
}

bool backend_object(const Program *program, const EmitOptions *options, const char *path, const char **error) {
    Code code = {.program = program, .options = options, .error = error};
    find_kernels(&code);
    return options->emit ? print_one_module(&code) : write_object(&code, path);
}
