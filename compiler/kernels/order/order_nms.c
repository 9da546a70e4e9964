/* Non-maximum suppression. A task is a picture:
 *
 *     keys of the scores above the threshold, sorted by digits (order.h)
 *     for each, the best first, while there are fewer than `most` boxes kept:
 *       for vectors of kept boxes: overlap = both / (one + other - both)
 *       where none is above the threshold: keep it
 *
 * The kept boxes are in scratch, each side in an array of its own. Arithmetic is as in
 * torchvision: nothing is fused. */
#include "kernels/order/order.h"

enum { LEFT, TOP, RIGHT, BOTTOM, AREA, SIDES };

typedef struct Nms {
    Module *m;
    const Kernel *kernel;
    const nms_attributes *attributes;
    LLVMValueRef picture, count; /* the number of the picture, and the number of boxes */
    LLVMValueRef kept[SIDES];    /* arrays of f32 */
} Nms;

/* Of an array of kept boxes: whole vectors. */
static int64_t array_bytes(const Target *target, const nms_attributes *nms) {
    return round_up(nms->most, target->lanes) * dtype_bytes(DTYPE_F32);
}

Dim nms_scratch(const Kernel *kernel) {
    Dims *dims = kernel->program->graph->dims;
    const nms_attributes *nms = ATTRIBUTES(kernel->anchor, nms);
    return dim_offset(dims, sort_bytes(dims, kernel->anchor->inputs[1]->shape.dims[1]),
                      SIDES * array_bytes(kernel->program->target, nms));
}

void nms_settle(Program *program, Kernel *kernel) {
    (void)program;
    kernel->tasks = kernel->anchor->inputs[1]->shape.dims[0];
    kernel_set_name(kernel, "nms");
}

/* ---- scores ---- */

/* Stores the keys of the scores above the threshold; returns their number. */
static LLVMValueRef emit_candidates(Nms *n, LLVMValueRef memory) {
    Module *m = n->m;
    const Value *scores = n->kernel->inputs[1];
    LLVMValueRef keys = sort_keys(m, memory), least = get_f32(m, n->attributes->score);
    begin_keys(m, memory);
    LoopCarried found = {.at = {get_i64(m, 0)}, .count = 1};
    Loop loop = begin_loop_carried(m, &found, get_i64(m, 0), n->count, 1);
    Point point = {.rank = 2, .lanes = 1, .at = {coord_fixed(n->picture), coord_fixed(loop.index)}};
    LLVMValueRef score = emit_value_load(m, scores, get_argument(m, 2), &point);
    LLVMValueRef above = LLVMBuildFCmp(m->builder, LLVMRealOGT, score, least, "");
    Branch counts = begin_if(m, above);
    LLVMValueRef key = emit_sort_key(m, score, scores->node->shape.type, true, loop.index);
    store_key(m, keys, found.at[0], key);
    count_key(m, memory, key);
    end_if(m, &counts);
    found.at[0] = emit_add(m, found.at[0], LLVMBuildZExt(m->builder, above, m->i64, ""));
    end_loop_carried(m, &loop, &found);
    sort_keys_by_digits(m, memory, n->count, found.at[0]);
    return found.at[0];
}

/* ---- boxes ---- */

static LLVMValueRef emit_f32_op(Module *m, LLVMOpcode op, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildBinOp(m->builder, op, a, b, "");
}

static LLVMValueRef emit_f32_larger(Module *m, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildSelect(m->builder, LLVMBuildFCmp(m->builder, LLVMRealOGT, a, b, ""), a, b, "");
}

static LLVMValueRef emit_f32_smaller(Module *m, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildSelect(m->builder, LLVMBuildFCmp(m->builder, LLVMRealOLT, a, b, ""), a, b, "");
}

static void load_box(Nms *n, LLVMValueRef place, LLVMValueRef box[SIDES]) {
    Module *m = n->m;
    Point point = {.rank = 3, .lanes = 1, .at = {coord_fixed(n->picture), coord_fixed(place)}};
    for (int i = 0; i < 4; i++) {
        point.at[2] = coord_fixed(get_i64(m, i));
        box[i] = emit_value_load(m, n->kernel->inputs[0], get_argument(m, 1), &point);
    }
    box[AREA] = emit_f32_op(m, LLVMFMul, emit_f32_op(m, LLVMFSub, box[RIGHT], box[LEFT]),
                            emit_f32_op(m, LLVMFSub, box[BOTTOM], box[TOP]));
}

/* i1: whether one of the first `count` kept boxes overlaps `box` too much. */
static LLVMValueRef emit_overlaps(Nms *n, LLVMValueRef box[SIDES], LLVMValueRef count) {
    Module *m = n->m;
    int lanes = m->target->lanes;
    LLVMTypeRef vector = get_vector(m, m->f32, lanes), truths = get_vector(m, m->i1, lanes);
    LLVMValueRef zero = LLVMConstNull(vector), one[SIDES], other[SIDES];
    for (int i = 0; i < SIDES; i++) one[i] = get_splat(m, box[i], lanes);
    LoopCarried hits = {.at = {LLVMConstNull(truths)}, .count = 1};
    Loop loop = begin_loop_carried(m, &hits, get_i64(m, 0), count, lanes);
    for (int i = 0; i < SIDES; i++)
        other[i] = emit_load(m, vector, get_element(m, m->f32, n->kept[i], loop.index));
    LLVMValueRef width = emit_f32_op(m, LLVMFSub, emit_f32_smaller(m, one[RIGHT], other[RIGHT]),
                                     emit_f32_larger(m, one[LEFT], other[LEFT]));
    LLVMValueRef height = emit_f32_op(m, LLVMFSub, emit_f32_smaller(m, one[BOTTOM], other[BOTTOM]),
                                      emit_f32_larger(m, one[TOP], other[TOP]));
    LLVMValueRef both =
        emit_f32_op(m, LLVMFMul, emit_f32_larger(m, width, zero), emit_f32_larger(m, height, zero));
    LLVMValueRef all = emit_f32_op(m, LLVMFSub, emit_f32_op(m, LLVMFAdd, one[AREA], other[AREA]), both);
    LLVMValueRef most = get_splat(m, get_f32(m, n->attributes->iou), lanes);
    LLVMValueRef hit = LLVMBuildFCmp(m->builder, LLVMRealOGT, emit_f32_op(m, LLVMFDiv, both, all), most, "");
    hit = LLVMBuildAnd(m->builder, hit, emit_lane_mask(m, emit_sub(m, count, loop.index), lanes), "");
    hits.at[0] = LLVMBuildOr(m->builder, hits.at[0], hit, "");
    end_loop_carried(m, &loop, &hits);
    return emit_intrinsic(m, "llvm.vector.reduce.or", truths, hits.at, 1);
}

static void store_kept_place(Nms *n, LLVMValueRef at, LLVMValueRef place) {
    Point point = {.rank = 2, .lanes = 1, .at = {coord_fixed(n->picture), coord_fixed(at)}};
    emit_value_store(n->m, n->kernel->output, get_argument(n->m, 0), &point, place);
}

/* Keeps the next best box unless it overlaps a kept one. `kept` carries the number of
 * kept boxes. */
static void emit_next(Nms *n, LLVMValueRef key, LoopCarried *kept) {
    Module *m = n->m;
    LLVMValueRef place = emit_key_place(m, key), box[SIDES];
    load_box(n, LLVMBuildZExt(m->builder, place, m->i64, ""), box);
    LLVMValueRef alone = LLVMBuildNot(m->builder, emit_overlaps(n, box, kept->at[0]), "");
    Branch keep = begin_if(m, alone);
    for (int i = 0; i < SIDES; i++) emit_store(m, box[i], get_element(m, m->f32, n->kept[i], kept->at[0]));
    store_kept_place(n, kept->at[0], place);
    end_if(m, &keep);
    kept->at[0] = emit_add(m, kept->at[0], LLVMBuildZExt(m->builder, alone, m->i64, ""));
}

static void emit_picture(Nms *n, LLVMValueRef memory) {
    Module *m = n->m;
    LLVMValueRef candidates = emit_candidates(n, memory), most = get_i64(m, n->attributes->most);
    LoopCarried kept = {.at = {get_i64(m, 0)}, .count = 1};
    Loop loop = begin_loop_carried(m, &kept, get_i64(m, 0), candidates, 1);
    Loop more = begin_loop_carried_if(m, &kept, LLVMBuildICmp(m->builder, LLVMIntSLT, kept.at[0], most, ""));
    emit_next(n, load_key(m, sort_keys(m, memory), loop.index), &kept);
    end_loop_carried(m, &more, &kept);
    end_loop_carried(m, &loop, &kept);
    Loop rest = begin_loop(m, kept.at[0], most, 1);
    store_kept_place(n, rest.index, get_i32(m, -1));
    end_loop(m, &rest);
}

void nms_emit(Module *m, const Kernel *kernel) {
    Nms n = {.m = m, .kernel = kernel, .attributes = ATTRIBUTES(kernel->anchor, nms)};
    int64_t bytes = array_bytes(m->target, n.attributes);
    n.count = get_dim(m, kernel->anchor->inputs[1]->shape.dims[1]);
    for (int i = 0; i < SIDES; i++) n.kept[i] = get_element(m, m->i8, m->scratch, get_i64(m, i * bytes));
    LLVMValueRef memory = get_element(m, m->i8, m->scratch, get_i64(m, SIDES * bytes));
    Loop tasks = begin_loop(m, m->begin, m->end, 1);
    n.picture = tasks.index;
    emit_picture(&n, memory);
    end_loop(m, &tasks);
}
