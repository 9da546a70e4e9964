/* cai train: builds the trainer of a train block into the cache, unless it is there, and
 * runs it. */
#include "commands/commands.h"

typedef struct Block {
    Session *session;
    Library *library;
    int index;
} Block;

/* Elaborates only if the trainer must be built: texts from which one was built have no
 * errors. */
static bool build_trained_block(void *context, const char *path) {
    const Block *block = context;
    Training *training = elaborate_training(block->library, block->index);
    return training && build_trainer(block->session, block->library, training, path);
}

int command_train(Session *s) {
    const Options *o = s->options;
    Library *library = build_open(s);
    if (!library) return session_end(s);
    bool named = o->rest.count > 0 && trainer_find(library, o->rest.items[0]) >= 0;
    Block block = {s, library, trainer_pick(s, library, named ? o->rest.items[0] : NULL)};
    const Target *target = block.index < 0 ? NULL : build_target(s);
    if (!target) return session_end(s);
    const char *name = library_train_name(library, block.index);
    Text key = program_key(s, library, target, name);
    return run_cached(s, name, &key, build_trained_block, &block, named);
}
