/* Assigns files to runs. A model with one input runs once for every file, or for every N
 * pictures where it takes N at once. A model with several inputs runs once, with a file
 * for each, or several pictures where the number of pictures is free; so does a model
 * whose result refers to its pictures by their places. */
#include "program/main.h"
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- lists of paths: one block of memory each, owned by the plan ---- */

typedef struct Paths {
    char **items;
    int count, capacity;
} Paths;

typedef struct JobPlan { /* the memory of a cai_jobs */
    Paths *lists;
    int list_count;
} JobPlan;

static bool add_path(Paths *paths, const char *folder, const char *name, cai_error *error) {
    if (paths->count == paths->capacity) {
        int capacity = paths->capacity ? 2 * paths->capacity : 16;
        char **larger =
            cai_reallocate(paths->items, (uint64_t)capacity * sizeof *larger, "names of files", error);
        if (!larger) return false;
        paths->items = larger;
        paths->capacity = capacity;
    }
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = cai_allocate(size, "names of files", error);
    if (!path) return false;
    bool slash = *folder && folder[strlen(folder) - 1] != '/';
    snprintf(path, size, "%s%s%s", folder, slash ? "/" : "", name);
    paths->items[paths->count++] = path;
    return true;
}

static int compare_paths(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_input_folder(const char *path) {
    struct stat status;
    return strcmp(path, "-") != 0 && stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static void free_paths(Paths *paths) {
    for (int i = 0; i < paths->count; i++) free(paths->items[i]);
    free(paths->items);
}

/* The pictures of a folder, and the names of other files in it that are not hidden. */
static bool read_folder(const char *folder, Paths *pictures, Paths *others, cai_error *error) {
    DIR *directory = opendir(folder);
    if (!directory)
        return cai_fail(error, CAI_BAD_INPUT, "%s: cannot be opened: %s", folder, strerror(errno));
    bool good = true;
    for (struct dirent *entry; good && (entry = readdir(directory));) {
        const char *name = entry->d_name;
        if (name[0] == '.') continue;
        bool picture = cai_format_of_name(name, CAI_HOLDS_PICTURE) != CAI_NO_FORMAT;
        good = picture ? add_path(pictures, folder, name, error) : add_path(others, "", name, error);
    }
    closedir(directory);
    return good;
}

#define NAMED 3 /* how many ignored files a message names */

static void notice_others(const char *folder, const Paths *others, cai_notice *notice) {
    char text[NAMED * NAME_MAX + 200] = "a folder, of which ";
    for (int i = 0; i < others->count && i < NAMED; i++) {
        bool last = i + 1 == others->count;
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s%s",
                 i == 0 ? ""
                 : last ? " and "
                        : ", ",
                 others->items[i]);
    }
    size_t used = strlen(text);
    if (others->count > NAMED)
        used += (size_t)snprintf(text + used, sizeof text - used, " and %d more", others->count - NAMED);
    snprintf(text + used, sizeof text - used, " %s left out: what ends in %s is read, and no folders in it",
             others->count == 1 ? "is" : "are", cai_format_endings(CAI_HOLDS_PICTURE).text);
    notice(folder, text);
}

/* The pictures of a folder, sorted by name. */
static bool add_folder(Paths *paths, const char *folder, cai_notice *notice, cai_error *error) {
    int first = paths->count;
    Paths others = {0};
    bool good = read_folder(folder, paths, &others, error);
    if (good && paths->count == first)
        good = cai_fail(error, CAI_BAD_INPUT, "%s: the folder has no %s", folder,
                        cai_format_endings(CAI_HOLDS_PICTURE).text);
    if (good)
        qsort(paths->items + first, (size_t)(paths->count - first), sizeof *paths->items, compare_paths);
    if (good && others.count) {
        qsort(others.items, (size_t)others.count, sizeof *others.items, compare_paths);
        notice_others(folder, &others, notice);
    }
    free_paths(&others);
    return good;
}

static bool add_input_file(Paths *paths, const cai_port *port, const char *path, cai_notice *notice,
                           cai_error *error) {
    if (!is_input_folder(path)) return add_path(paths, "", path, error);
    if (port->form == CAI_FORM_IMAGE) return add_folder(paths, path, notice, error);
    return cai_fail(error, CAI_BAD_INPUT, "%s: is a folder, and input `%s` is %s, one file", path, port->name,
                    port->type_text);
}

/* ---- which file for which input ---- */

/* Pictures that go into one run where nothing else says so. */
static int pictures_a_run(const cai_port *port) {
    bool fixed = port->form == CAI_FORM_IMAGE && port->rank == 4 && port->dims[0].symbol == -1;
    return fixed && port->dims[0].multiple < INT32_MAX ? (int)port->dims[0].multiple : 1;
}

static bool many_together(const cai_port *port) { return port->form == CAI_FORM_IMAGE && port->rank == 4; }

bool cai_takes_any_number(const cai_program *program, int input) {
    const cai_port *port = &program->inputs[input];
    if (!many_together(port) || port->dims[0].symbol < 0) return false;
    for (int i = 0; i < program->input_count; i++) {
        const cai_port *other = &program->inputs[i];
        if (i != input && other->rank > 0 && other->dims[0].symbol == port->dims[0].symbol) return false;
    }
    return true;
}

bool cai_is_named(const cai_program *program, int input) {
    for (int i = 0; i < program->output_count; i++) {
        if (program->outputs[i].form == CAI_FORM_NAMES && program->outputs[i].of == input) return true;
    }
    return false;
}

static bool fail_missing(const cai_program *program, const Paths *lists, cai_error *error) {
    char list[400] = "";
    for (int i = 0; i < program->input_count; i++) {
        if (lists[i].count) continue;
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s`%s` (%s)", used ? ", " : "", program->inputs[i].name,
                 program->inputs[i].type_text);
    }
    return cai_fail(error, CAI_BAD_USAGE, "no file is given for %s", list);
}

/* Files given by name come first; the others go to the remaining inputs, in order, and
 * the last of these takes all further files if it takes any number. A single input takes
 * all files. */
static bool assign_files(const cai_program *program, const cai_command *command, Paths *lists,
                         cai_notice *notice, cai_error *error) {
    for (int i = 0; i < command->input_count; i++) {
        const cai_named_file *file = &command->inputs[i];
        int port = program->input_count == 1 ? 0 : file->port;
        if (port >= 0 && !add_input_file(&lists[port], &program->inputs[port], file->path, notice, error))
            return false;
    }
    for (int i = 0, next = 0, last = -1; i < command->input_count; i++) {
        if (program->input_count == 1 || command->inputs[i].port >= 0) continue;
        while (next < program->input_count && lists[next].count) next++;
        bool more = next == program->input_count;
        if (more && (last < 0 || !cai_takes_any_number(program, last))) {
            return cai_fail(error, CAI_BAD_USAGE, "%s: is one file more than the %d that the model takes",
                            command->inputs[i].path, program->input_count);
        }
        last = more ? last : next;
        if (!add_input_file(&lists[last], &program->inputs[last], command->inputs[i].path, notice, error))
            return false;
    }
    return true;
}

/* A single file of named tensors for a model of several inputs holds all inputs. */
static bool share_file(const cai_program *program, const cai_command *command, Paths *lists,
                       cai_error *error) {
    const char *path = command->inputs[0].path;
    if (program->input_count < 2 || command->input_count != 1 || command->inputs[0].port >= 0 ||
        cai_format_of_name(path, CAI_HOLDS_TENSORS) == CAI_NO_FORMAT)
        return true;
    for (int i = 0; i < program->input_count; i++) {
        if (lists[i].count == 0 && !add_path(&lists[i], "", path, error)) return false;
    }
    return true;
}

/* ---- the runs ---- */

/* A tensor has its number of pictures in its shape, so it is a run of its own. Standard
 * input cannot be read twice, and counts as a tensor. */
static bool is_whole_run(const char *path) {
    return cai_format_of_name(path, CAI_HOLDS_NUMBERS) != CAI_NO_FORMAT || strcmp(path, "-") == 0;
}

static bool group_files(const cai_port *port, const Paths *files, cai_jobs *jobs, cai_error *error) {
    int each = pictures_a_run(port), pictures = 0;
    for (int i = 0; i < files->count; i++) pictures += !is_whole_run(files->items[i]);
    if (pictures % each != 0) {
        return cai_fail(error, CAI_BAD_INPUT,
                        "the model takes %d pictures at a time (`%s` is %s): give a multiple of %d, not %d",
                        each, port->name, port->type_text, each, pictures);
    }
    for (int i = 0; i < files->count;) {
        int count = is_whole_run(files->items[i]) ? 1 : each;
        for (int k = 1; k < count; k++) {
            if (!is_whole_run(files->items[i + k])) continue;
            return cai_fail(error, CAI_BAD_INPUT,
                            "%s: is a tensor for %d pictures: name it before or after them",
                            files->items[i + k], each);
        }
        jobs->feeds[jobs->count++] = (cai_feed){(const char *const *)files->items + i, count};
        i += count;
    }
    return true;
}

static bool split_into_jobs(const cai_program *program, Paths *lists, cai_jobs *jobs, cai_error *error) {
    bool single = program->input_count == 1;
    int feeds = single ? lists[0].count : program->input_count;
    jobs->feeds = cai_allocate(((uint64_t)feeds + 1) * sizeof *jobs->feeds, "the list of runs", error);
    if (!jobs->feeds) return false;
    bool together = single && cai_is_named(program, 0) && cai_takes_any_number(program, 0);
    if (single && !together) return group_files(&program->inputs[0], &lists[0], jobs, error);
    jobs->count = 1;
    for (int i = 0; i < program->input_count; i++) {
        if (lists[i].count > 1 && !many_together(&program->inputs[i])) {
            return cai_fail(error, CAI_BAD_USAGE, "input `%s` is %s, one file, and %d are given",
                            program->inputs[i].name, program->inputs[i].type_text, lists[i].count);
        }
        jobs->feeds[i] = (cai_feed){(const char *const *)lists[i].items, lists[i].count};
    }
    return true;
}

bool cai_jobs_plan(const cai_program *program, const cai_command *command, cai_jobs *jobs, cai_notice *notice,
                   cai_error *error) {
    *jobs = (cai_jobs){0};
    JobPlan *plan = jobs->memory = calloc(1, sizeof *plan);
    Paths *lists = plan ? calloc((size_t)program->input_count + 1, sizeof *lists) : NULL;
    if (!lists) {
        free(plan);
        return cai_fail_memory(error, sizeof *lists, "the list of runs");
    }
    *plan = (JobPlan){.lists = lists, .list_count = program->input_count};
    bool good = assign_files(program, command, lists, notice, error) &&
                (command->input_count == 0 || share_file(program, command, lists, error));
    for (int i = 0; i < program->input_count && good; i++) {
        if (lists[i].count == 0) good = fail_missing(program, lists, error);
    }
    if (good && command->input_count == 1 && is_input_folder(command->inputs[0].path))
        jobs->folder = command->inputs[0].path;
    if (good && split_into_jobs(program, lists, jobs, error)) return true;
    cai_jobs_free(jobs);
    return false;
}

void cai_jobs_free(cai_jobs *jobs) {
    JobPlan *plan = jobs->memory;
    for (int i = 0; plan && i < plan->list_count; i++) free_paths(&plan->lists[i]);
    if (plan) free(plan->lists);
    free(plan);
    free(jobs->feeds);
    *jobs = (cai_jobs){0};
}
