/* The stage: every distinct kernel becomes one function, then come the tables, then LLVM makes an object of it.
 *
 * Code generation only: the emitters write the loops, tiles and vectors they want and place what does not change before the
 * loops, and what an optimiser would still find costs it more time than it saves. */
#include "backend/backend.h"
#include "runtime.h"
#include <elf.h>
#include <llvm-c/Analysis.h>

static void emit_kernels(Module *m, const Program *program, const EmitOptions *options) {
    int count = program->launches.count;
    for (int i = 0; i < count; i++) {
        const Kernel *kernel = program->launches.items[i];
        if (options->progress) options->progress(i, count);
        if (LLVMGetNamedFunction(m->module, kernel->phases ? kernel->phases[0].name : kernel->name)) continue;
        kernel->kind->emit(m, kernel);
    }
    if (options->progress) options->progress(count, count);
}

static void verify_module(Module *m) {
    char *message = NULL;
    for (LLVMValueRef f = LLVMGetFirstFunction(m->module); f; f = LLVMGetNextFunction(f))
        if (LLVMVerifyFunction(f, LLVMReturnStatusAction)) fputs(LLVMPrintValueToString(f), stderr);
    if (LLVMVerifyModule(m->module, LLVMReturnStatusAction, &message)) INTERNAL_ERROR("LLVM refuses our code: %s", message);
    LLVMDisposeMessage(message);
}

static LLVMMemoryBufferRef generate(Module *m, LLVMCodeGenFileType type, const char **error) {
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
    LLVMMemoryBufferRef buffer = generate(m, LLVMAssemblyFile, error);
    if (!buffer) return false;
    fwrite(LLVMGetBufferStart(buffer), 1, LLVMGetBufferSize(buffer), options->print);
    LLVMDisposeMemoryBuffer(buffer);
    return true;
}

/* Sections that are loaded, by what they hold. The object is LLVM's own, so it is well formed. */
static CodeSize measure(const char *object) {
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

static bool write_object(Module *m, const EmitOptions *options, const char *path, const char **error) {
    LLVMMemoryBufferRef buffer = generate(m, LLVMObjectFile, error);
    if (!buffer) return false;
    cai_error failed;
    bool written = cai_file_write(path, LLVMGetBufferStart(buffer), LLVMGetBufferSize(buffer), &failed);
    if (!written) *error = arena_printf(m->arena, "%s", failed.message);
    if (options->size) *options->size = measure(LLVMGetBufferStart(buffer));
    LLVMDisposeMemoryBuffer(buffer);
    return written;
}

bool backend_object(const Program *program, const EmitOptions *options, const char *path, const char **error) {
    const Graph *graph = program->graph;
    Module *m = module_new(program->arena, program->target, graph->dims, graph->model, error);
    if (!m) return false;
    emit_kernels(m, program, options);
    emit_entry(m, program);
    if (options->verify) verify_module(m);
    bool done = options->emit ? print_module(m, options, error) : write_object(m, options, path, error);
    module_free(m);
    return done;
}
