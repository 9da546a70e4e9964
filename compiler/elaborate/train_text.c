/* Records the structure of a step, for `cai graph`: which layer made which nodes, which
 * values places have, and what each minimize reaches. */
#include "elaborate/train.h"

static bool keeps_text(const Evaluator *ev) { return ev->train && ev->train->goal == GOAL_STEP; }

static bool is_player(const Evaluator *ev, const Layer *layer) {
    bool stage = train_is_stage(ev, layer), named = !layer->bare && !layer->kept && layer->path;
    Target target = stage ? (Target){.model = layer->block} : (Target){.path = layer->path};
    return (stage || named) && train_holds_weights(ev->train->plan, &target);
}

/* Layers that run within a layer with weights belong to it. */
RunMark train_run_begin(Evaluator *ev, const Layer *layer) {
    if (!keeps_text(ev)) return (RunMark){0};
    RunMark mark = {ev->graph->nodes.count, !ev->train->in_player && is_player(ev, layer)};
    ev->train->in_player += mark.player;
    return mark;
}

/* Of blocks without weights, only those that the train block itself runs are recorded:
 * they tell what it does. */
void train_run_end(Evaluator *ev, const Layer *layer, RunMark mark) {
    if (!keeps_text(ev)) return;
    ev->train->in_player -= mark.player;
    bool called = ev->frame->caller && ev->frame->caller->layer == ev->root && layer->kind == LAYER_BLOCK;
    if (ev->train->in_player || ev->train->gradients || (!mark.player && !called)) return;
    const char *callee = layer_callee(layer);
    TrainingRun run = {.path = !mark.player                ? NULL
                               : train_is_stage(ev, layer) ? layer->block->decl->name
                                                           : layer->path,
                       .callee = callee,
                       .first = mark.first,
                       .end = ev->graph->nodes.count};
    vec_push(ev->arena, &ev->train->text.runs, run);
}

void train_keep_text(Evaluator *ev) {
    TrainPass *pass = ev->train;
    TrainingText *text = &pass->text;
    for (int i = 0; i < pass->weights.count; i++) {
        const Weight *place = pass->weights.items[i];
        for (int k = 0; k < place->read.count; k++)
            vec_push(ev->arena, &text->places, ((TrainingPlace){place->index, place->read.items[k]}));
    }
    text->graph = ev->graph;
    text->bindings = pass->inputs.items;
    train_phase(ev)->text = *text;
}
