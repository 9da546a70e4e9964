/* Control flow: counted loops with loop-carried values, and branches. */
#include "codegen/codegen.h"
#include <llvm-c/DebugInfo.h> /* temporary metadata */

static LLVMBasicBlockRef new_block(Module *m, const char *name) {
    return LLVMAppendBasicBlockInContext(m->context, m->function, name);
}

/* Blocks are appended where their code begins, so that the text of a function is in
 * order. */
static void go_to_block(Module *m, LLVMBasicBlockRef block) {
    LLVMMoveBasicBlockAfter(block, LLVMGetInsertBlock(m->builder));
    LLVMPositionBuilderAtEnd(m->builder, block);
}

/* ---- counted loops ---- */

Loop begin_loop(Module *m, LLVMValueRef from, LLVMValueRef to, int64_t step) {
    Loop loop = {.to = to, .step = get_i64(m, step), .before = LLVMGetInsertBlock(m->builder)};
    loop.body = new_block(m, "loop");
    loop.after = new_block(m, "after");
    int64_t low, high;
    loop.runs = get_constant(from, &low) && get_constant(to, &high) && low < high;
    if (loop.runs) LLVMBuildBr(m->builder, loop.body);
    else
        LLVMBuildCondBr(m->builder, LLVMBuildICmp(m->builder, LLVMIntSLT, from, to, ""), loop.body,
                        loop.after);
    go_to_block(m, loop.body);
    loop.index = LLVMBuildPhi(m->builder, m->i64, "i");
    LLVMAddIncoming(loop.index, &from, &loop.before, 1);
    return loop;
}

LLVMValueRef add_carried(Module *m, Loop *loop, LLVMValueRef initial) {
    CHECK(loop->carried_count < COUNT_OF(loop->carried));
    LLVMBasicBlockRef from = LLVMGetInsertBlock(m->builder);
    LLVMValueRef next = LLVMGetNextInstruction(loop->index);
    while (next && LLVMIsAPHINode(next)) next = LLVMGetNextInstruction(next);
    LLVMPositionBuilder(m->builder, loop->body, next);
    LLVMValueRef phi = LLVMBuildPhi(m->builder, LLVMTypeOf(initial), "");
    LLVMAddIncoming(phi, &initial, &loop->before, 1);
    LLVMPositionBuilderAtEnd(m->builder, from);
    loop->carried[loop->carried_count].phi = phi;
    loop->carried[loop->carried_count++].initial = initial;
    return phi;
}

void set_carried(Loop *loop, int which, LLVMValueRef next) {
    CHECK(which < loop->carried_count);
    loop->carried[which].next = next;
}

static void mark_loop(Module *m, LLVMValueRef branch) {
    LLVMMetadataRef disable = LLVMMDStringInContext2(m->context, "llvm.loop.unroll.disable", 24);
    LLVMMetadataRef list = LLVMMDNodeInContext2(m->context, &disable, 1);
    /* A loop's metadata begins with itself, so that no two loops share it. */
    LLVMMetadataRef self = LLVMTemporaryMDNode(m->context, NULL, 0);
    LLVMMetadataRef loop = LLVMMDNodeInContext2(m->context, (LLVMMetadataRef[]){self, list}, 2);
    LLVMMetadataReplaceAllUsesWith(self, loop);
    LLVMSetMetadata(branch, LLVMGetMDKindIDInContext(m->context, "llvm.loop", 9),
                    LLVMMetadataAsValue(m->context, loop));
}

void end_loop(Module *m, Loop *loop) {
    LLVMBasicBlockRef last = LLVMGetInsertBlock(m->builder);
    LLVMValueRef next = LLVMBuildNSWAdd(m->builder, loop->index, loop->step, "");
    LLVMAddIncoming(loop->index, &next, &last, 1);
    LLVMValueRef more = LLVMBuildICmp(m->builder, LLVMIntSLT, next, loop->to, "");
    LLVMValueRef branch = LLVMBuildCondBr(m->builder, more, loop->body, loop->after);
    if (!loop->unroll) mark_loop(m, branch);
    go_to_block(m, loop->after);
    for (int i = 0; i < loop->carried_count; i++) {
        LLVMValueRef value = loop->carried[i].next;
        CHECK(value);
        LLVMAddIncoming(loop->carried[i].phi, &value, &last, 1);
        LLVMValueRef result = LLVMBuildPhi(m->builder, LLVMTypeOf(value), "");
        LLVMAddIncoming(result, &value, &last, 1);
        if (!loop->runs) LLVMAddIncoming(result, &loop->carried[i].initial, &loop->before, 1);
        loop->carried[i].result = result;
    }
}

LLVMValueRef carried_result(const Loop *loop, int which) {
    CHECK(which < loop->carried_count);
    return loop->carried[which].result;
}

/* ---- branches ---- */

Branch begin_if(Module *m, LLVMValueRef condition) {
    Branch branch = {.other = new_block(m, "else"), .after = new_block(m, "after")};
    LLVMBasicBlockRef then = new_block(m, "then");
    LLVMBuildCondBr(m->builder, condition, then, branch.other);
    go_to_block(m, then);
    return branch;
}

void begin_else(Module *m, Branch *branch) {
    LLVMBuildBr(m->builder, branch->after);
    go_to_block(m, branch->other);
    branch->other = NULL;
}

void end_if(Module *m, Branch *branch) {
    LLVMBuildBr(m->builder, branch->after);
    if (branch->other) {
        go_to_block(m, branch->other);
        LLVMBuildBr(m->builder, branch->after);
    }
    go_to_block(m, branch->after);
}
