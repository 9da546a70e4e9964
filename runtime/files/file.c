/* Whole files in, whole files out. An output appears under its name only when it is
 * complete: it is written to a temporary file in the same folder, synced to the disk, and
 * renamed. If a failure or a signal ends the program before, the temporary file is
 * removed. */
#include "files/files.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_standard(const char *path) { return strcmp(path, "-") == 0; }

bool cai_is_stream(const char *path) {
    struct stat status;
    return is_standard(path) ||
           (stat(path, &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode));
}

/* ---- reading ---- */

/* Pipes and devices have no known size, so the buffer doubles. */
static bool read_growing(int descriptor, const char *path, size_t expected, cai_file *file,
                         cai_error *error) {
    size_t capacity = expected + 1, count = 0;
    unsigned char *bytes = cai_allocate(capacity, path, error);
    while (bytes) {
        ssize_t got = read(descriptor, bytes + count, capacity - count);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            cai_fail(error, CAI_BAD_INPUT, "%s: cannot be read: %s", path, strerror(errno));
            break;
        }
        count += (size_t)got;
        if (got == 0) {
            *file = (cai_file){.data = bytes, .count = count};
            return true;
        }
        if (count < capacity) continue;
        unsigned char *larger = cai_reallocate(bytes, capacity *= 2, path, error);
        if (!larger) break;
        bytes = larger;
    }
    free(bytes);
    return false;
}

/* Mapped files: if another process truncates one, reading beyond its end is a SIGBUS,
 * whose handler reports the file. More files than these are mapped all the same, but the
 * signal would then end the program without a message. */
static struct Mapped {
    _Atomic(const unsigned char *) begin; /* NULL: free */
    const unsigned char *end;
    char path[256];
} mapped[64];

static void remember_mapping(const unsigned char *begin, size_t count, const char *path) {
    for (size_t i = 0; i < sizeof mapped / sizeof *mapped; i++) {
        if (mapped[i].begin) continue; /* a single thread opens files */
        mapped[i].end = begin + count;
        snprintf(mapped[i].path, sizeof mapped[i].path, "%s", path);
        mapped[i].begin = begin;
        return;
    }
}

static void forget_mapping(const unsigned char *begin) {
    for (size_t i = 0; i < sizeof mapped / sizeof *mapped; i++)
        if (mapped[i].begin == begin) mapped[i].begin = NULL;
}

static const char *mapped_at(const void *address) {
    const unsigned char *at = address;
    for (size_t i = 0; i < sizeof mapped / sizeof *mapped; i++)
        if (mapped[i].begin && at >= mapped[i].begin && at < mapped[i].end) return mapped[i].path;
    return NULL;
}

static bool map_whole(int descriptor, const char *path, size_t count, cai_file *file, cai_error *error) {
    void *data = mmap(NULL, count, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (data == MAP_FAILED)
        return cai_fail(error, CAI_BAD_INPUT, "%s: cannot be mapped: %s", path, strerror(errno));
    remember_mapping(data, count, path);
    *file = (cai_file){.data = data, .count = count, .mapped = true};
    return true;
}

static bool load_file(const char *path, bool map, cai_file *file, cai_error *error) {
    if (is_standard(path)) return read_growing(STDIN_FILENO, "standard input", 65536, file, error);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return cai_fail(error, CAI_BAD_INPUT, "%s: cannot be opened: %s", path, strerror(errno));
    struct stat status;
    bool done;
    if (fstat(descriptor, &status) < 0) {
        done = cai_fail(error, CAI_BAD_INPUT, "%s: %s", path, strerror(errno));
    } else if (S_ISDIR(status.st_mode)) {
        done = cai_fail(error, CAI_BAD_INPUT, "%s: is a folder, where a file is expected", path);
    } else if (map && S_ISREG(status.st_mode) && status.st_size > 0) {
        done = map_whole(descriptor, path, (size_t)status.st_size, file, error);
    } else {
        done = read_growing(descriptor, path, S_ISREG(status.st_mode) ? (size_t)status.st_size : 65536, file,
                            error);
    }
    close(descriptor);
    return done;
}

bool cai_file_read(const char *path, cai_file *file, cai_error *error) {
    return load_file(path, false, file, error);
}
bool cai_file_map(const char *path, cai_file *file, cai_error *error) {
    return load_file(path, true, file, error);
}

void cai_file_close(cai_file *file) {
    if (file->mapped) forget_mapping(file->data), munmap((void *)file->data, file->count);
    else free((void *)file->data);
    *file = (cai_file){0};
}

/* ---- unfinished files, for the signal handler ---- */

/* A slot holds the name of an unfinished file. Names are taken out by exchange, so that
 * handler and program never both have one; the one that has it unlinks the file. More
 * files than these are written all the same, and only a signal would leave them
 * behind. */
static _Atomic(char *) unfinished[64];

static void remember_name(char *path) {
    for (size_t i = 0; i < sizeof unfinished / sizeof *unfinished; i++) {
        char *expected = NULL;
        if (atomic_compare_exchange_strong(&unfinished[i], &expected, path)) return;
    }
}

/* Frees the name, unless the handler is reading it in another thread. */
static void forget_name(char *path) {
    for (size_t i = 0; i < sizeof unfinished / sizeof *unfinished; i++) {
        char *expected = path;
        if (!atomic_compare_exchange_strong(&unfinished[i], &expected, NULL)) continue;
        free(path);
        return;
    }
}

/* Handlers make async-signal-safe calls only: exchange, unlink, write, raise. */
static void remove_unfinished(void) {
    for (size_t i = 0; i < sizeof unfinished / sizeof *unfinished; i++) {
        char *path = atomic_exchange(&unfinished[i], NULL);
        if (path) unlink(path);
    }
}

/* The default action was restored by SA_RESETHAND. */
static void end_by_signal(int number) {
    remove_unfinished();
    raise(number);
}

static void say_in_handler(const char *text) { (void)!write(STDERR_FILENO, text, strlen(text)); }

/* SA_RESETHAND: a fault outside mapped files recurs, with the default action. */
static void on_bus_error(int number, siginfo_t *info, void *context) {
    const char *path = mapped_at(info->si_addr);
    (void)number, (void)context;
    if (!path) return;
    remove_unfinished();
    say_in_handler(program_invocation_short_name);
    say_in_handler(": error: ");
    say_in_handler(path);
    say_in_handler(": became shorter while it was read\n");
    _exit(CAI_BAD_INPUT);
}

void cai_clean_up_on_signals(void) {
    struct sigaction action = {.sa_handler = end_by_signal, .sa_flags = SA_RESETHAND}, old;
    struct sigaction bus = {.sa_sigaction = on_bus_error, .sa_flags = SA_RESETHAND | SA_SIGINFO};
    const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        /* nohup stays */
        if (sigaction(ends[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(ends[i], &action, NULL);
    }
    sigaction(SIGBUS, &bus, NULL);
    at_quick_exit(remove_unfinished);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

/* ---- writing ---- */

static const char *shown_output(const cai_output *output) {
    return output->path ? output->path : "standard output";
}

static bool fail_writing(cai_output *output, const char *verb, cai_error *error) {
    cai_fail(error, CAI_BAD_INPUT, "%s: cannot be %s: %s", shown_output(output), verb, strerror(errno));
    cai_output_discard(output);
    return false;
}

/* FOLDER/.NAME.PID.N for FOLDER/NAME, where N makes names of one program differ. */
static char *name_beside(const char *path) {
    static atomic_uint counter;
    const char *slash = strrchr(path, '/');
    int folder = slash ? (int)(slash + 1 - path) : 0;
    size_t size = strlen(path) + 40;
    char *beside = malloc(size);
    if (!beside) return NULL;
    snprintf(beside, size, "%.*s.%.200s.%d.%u", folder, path, path + folder, (int)getpid(),
             atomic_fetch_add(&counter, 1));
    return beside;
}

/* `status` is that of the existing file, or NULL; its permissions are kept. */
static bool open_beside(cai_output *output, const struct stat *status, cai_error *error) {
    output->beside = name_beside(output->path);
    if (!output->beside) return fail_writing(output, "created", error);
    remember_name(output->beside);
    output->descriptor = open(output->beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (output->descriptor < 0) {
        forget_name(output->beside); /* it is not ours, so it must not be removed */
        output->beside = NULL;
        return fail_writing(output, "created", error);
    }
    /* another user's file becomes ours, as after a copy */
    if (status) (void)!fchmod(output->descriptor, status->st_mode & 07777);
    return true;
}

static bool is_link(const char *path) {
    struct stat status;
    return lstat(path, &status) == 0 && S_ISLNK(status.st_mode);
}

bool cai_output_open(const char *path, cai_output *output, cai_error *error) {
    *output = (cai_output){.descriptor = STDOUT_FILENO};
    if (is_standard(path)) return true;
    output->descriptor = -1;
    struct stat status;
    bool exists = stat(path, &status) == 0;
    if (exists && S_ISDIR(status.st_mode))
        return cai_fail(error, CAI_BAD_INPUT, "%s: is a folder, where a file is to be written", path);
    bool regular = exists && S_ISREG(status.st_mode);
    /* a symbolic link stays one */
    output->path = regular && is_link(path) ? realpath(path, NULL) : strdup(path);
    if (!output->path) return cai_fail(error, CAI_BAD_INPUT, "%s: %s", path, strerror(errno));
    /* rename would succeed without write permission */
    if (exists && access(output->path, W_OK) < 0) return fail_writing(output, "written", error);
    if (!exists || regular) { return open_beside(output, exists ? &status : NULL, error); }
    output->descriptor = open(output->path, O_WRONLY | O_CLOEXEC);
    return output->descriptor >= 0 || fail_writing(output, "opened", error);
}

bool cai_output_write(cai_output *output, const void *bytes, size_t count, cai_error *error) {
    const char *next = bytes;
    while (count > 0) {
        ssize_t wrote = write(output->descriptor, next, count);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0) return fail_writing(output, "written", error);
        next += wrote;
        count -= (size_t)wrote;
    }
    return true;
}

bool cai_sink_write(cai_sink *sink, const void *bytes, size_t count) {
    sink->failed = sink->failed || !cai_output_write(sink->output, bytes, count, sink->error);
    return !sink->failed;
}

static void release_output(cai_output *output) {
    if (output->beside) forget_name(output->beside);
    free(output->path);
    *output = (cai_output){.descriptor = -1};
}

bool cai_output_finish(cai_output *output, cai_error *error) {
    if (!output->path) return true; /* standard output stays open */
    if (output->beside && fsync(output->descriptor) < 0) return fail_writing(output, "written", error);
    int closed = close(output->descriptor);
    output->descriptor = -1;
    if (closed < 0) return fail_writing(output, "written", error);
    if (output->beside && rename(output->beside, output->path) < 0)
        return fail_writing(output, "written", error);
    release_output(output);
    return true;
}

void cai_output_discard(cai_output *output) {
    if (output->path && output->descriptor >= 0) close(output->descriptor);
    if (output->beside) unlink(output->beside);
    release_output(output);
}

bool cai_file_write(const char *path, const void *bytes, size_t count, cai_error *error) {
    cai_output output;
    return cai_output_open(path, &output, error) && cai_output_write(&output, bytes, count, error) &&
           cai_output_finish(&output, error);
}

bool cai_folder_sync(const char *path, cai_error *error) {
    int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        return cai_fail(error, CAI_BAD_INPUT, "%s: cannot be opened: %s", path, strerror(errno));
    bool done = fsync(descriptor) == 0 || errno == EINVAL; /* file systems without it */
    if (!done) cai_fail(error, CAI_BAD_INPUT, "%s: cannot be written: %s", path, strerror(errno));
    close(descriptor);
    return done;
}

/* ---- numbers ---- */

uint64_t cai_little_endian(const unsigned char *at, int width) {
    uint64_t value = 0;
    for (int i = width - 1; i >= 0; i--) value = value << 8 | at[i];
    return value;
}

uint64_t cai_big_endian(const unsigned char *at, int width) {
    uint64_t value = 0;
    for (int i = 0; i < width; i++) value = value << 8 | at[i];
    return value;
}
