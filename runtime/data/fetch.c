/* Asks the system for the files of samples before they are read. */
#include "data/sources.h"
#include <fcntl.h>
#include <unistd.h>

static bool is_on_disk(const cai_column *column, int64_t entry) {
    return column->kind == CAI_COLUMN_FILES && !column->files[entry].bytes;
}

static bool is_decoded(const cai_column *column, int64_t entry) {
    return column->decoded && atomic_load(&column->decoded[entry]);
}

void cai_dataset_fetch(const cai_dataset *dataset, int part, int64_t position) {
    int64_t index;
    const cai_portion *portion = cai_dataset_at(dataset, part, position, &index);
    for (int i = 0; i < dataset->set->field_count; i++) {
        const cai_column *column = &portion->columns[i];
        int64_t entry = portion->entries[i] ? portion->entries[i][index] : index;
        if (!is_on_disk(column, entry) || is_decoded(column, entry)) continue;
        int file = open(column->files[entry].path, O_RDONLY | O_CLOEXEC);
        if (file < 0) continue; /* whoever reads the sample reports this */
        posix_fadvise(file, 0, 0, POSIX_FADV_WILLNEED);
        close(file);
    }
}

bool cai_dataset_has_files(const cai_dataset *dataset) {
    for (int i = 0; i < dataset->portion_count; i++)
        for (int k = 0; k < dataset->set->field_count; k++) {
            const cai_column *column = &dataset->portions[i]->columns[k];
            if (column->count > 0 && is_on_disk(column, 0)) return true;
        }
    return false;
}
