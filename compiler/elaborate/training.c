/* A stand-in until train blocks are elaborated: a file has none. */
#include "elaborate/training.h"

int library_train_count(const Library *library) {
    (void)library;
    return 0;
}

Name library_train_name(const Library *library, int index) {
    (void)library, (void)index;
    return NULL;
}

Training *elaborate_training(Library *library, int index) {
    (void)library, (void)index;
    return NULL;
}
