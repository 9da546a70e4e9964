/* What the proposals and settlements of the kinds of convolution share. */
#include "kernels/conv/conv.h"

ConvPlan *conv_new_plan(const Kernel *kernel, const ConvShape *shape, const ConvTile *tile,
                        Proposal *proposal) {
    const Program *program = kernel->program;
    ConvPlan *plan = NEW(program->arena, ConvPlan);
    plan->shape = *shape;
    plan->tile = *tile;
    proposal->tile = plan;
    proposal->memory.scratch = conv_scratch(program->graph->dims, shape, tile, program->target->lanes);
    return plan;
}

void conv_prefer_blocks(const Kernel *kernel, Proposal *proposal, const Format *format) {
    Shape map = kernel->anchor->shape;
    const Format *blocked = kernel->program->blocked;
    proposal->output = proposal->inputs[0].format = blocked;
    prefer_packed(kernel, proposal, 1, format);
    for (int i = 2; i < kernel->input_count; i++) {
        Shape shape = kernel->inputs[i]->node->shape;
        bool like = shape.rank == 4 && shape.dims[1] == map.dims[1] && shape.dims[3] == map.dims[3];
        if (like) proposal->inputs[i].format = blocked;
    }
}

void conv_settle(Program *program, Kernel *kernel) {
    const ConvPlan *plan = kernel->proposal.tile;
    Dims *dims = program->graph->dims;
    int lanes = program->target->lanes;
    kernel->tasks = conv_tasks(dims, &plan->shape, &plan->tile, lanes);
    store_sums(program, kernel, conv_map_parts(dims, &plan->shape, &plan->tile));
    kernel_set_name(kernel, "%s_%s", kernel->kind->name,
                    conv_describe(program->arena, &plan->shape, &plan->tile));
}
