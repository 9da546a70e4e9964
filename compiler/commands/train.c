/* cai train: builds the trainer of a train block into the cache, unless it is there already, and runs it. */
#include "commands/commands.h"
#include <unistd.h>

/* Elaborated only where it has to be built: what was built of these texts has no errors. */
static bool build_into(Session *s, Library *library, int block, const char *program) {
    Training *training = elaborate_training(library, block);
    return training && build_trainer(s, library, training, program);
}

int command_train(Session *s) {
    const Options *o = s->options;
    Library *library = build_open(s);
    if (!library) return session_end(s);
    bool named = o->rest.count > 0 && trainer_find(library, o->rest.items[0]) >= 0;
    int block = trainer_pick(s, library, named ? o->rest.items[0] : NULL);
    const Target *target = block < 0 ? NULL : build_target(s);
    const char *folder = target ? program_cache(s) : NULL;
    if (!folder) return session_end(s);
    const char *name = library_train_name(library, block);
    const char *program = cached_path(s, folder, name, cached_identity(s, library, target, name));
    if (access(program, X_OK) != 0 && build_into(s, library, block, program)) cached_trim(s, folder);
    return cached_run(s, program, name, named);
}
