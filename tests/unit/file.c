/* Writing: the whole new file, or the old one and nothing beside it, whatever happens. */
#include "files/files.h"
#include "test.h"
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/cai_file_XXXXXX", path[64];

static int make_folder(void) { return mkdtemp(folder) ? 0 : 1; }
static int remove_folder(void) { return rmdir(folder); } /* fails where anything was left behind */

static const char *in_folder(const char *name) {
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}
FIXTURE(make_folder, remove_folder)

static int files_in_folder(void) {
    DIR *directory = opendir(folder);
    int count = -2; /* . and .. */
    while (readdir(directory)) count++;
    closedir(directory);
    return count;
}

static int holds(const char *name, const char *text) {
    cai_error error;
    cai_file file;
    if (!cai_file_read(in_folder(name), &file, &error)) return 0;
    int equal = file.count == strlen(text) && memcmp(file.data, text, file.count) == 0;
    cai_file_close(&file);
    return equal;
}

TEST(a_file_appears_whole_with_its_permissions) {
    cai_error error;
    cai_output output;
    CU_ASSERT_FATAL(cai_file_write(in_folder("a"), "old", 3, &error));
    chmod(path, 0640);
    CU_ASSERT_FATAL(cai_output_open(path, &output, &error));
    CU_ASSERT_FATAL(cai_output_write(&output, "new!", 4, &error));
    CU_ASSERT(holds("a", "old"));
    CU_ASSERT_EQUAL(files_in_folder(), 2);
    CU_ASSERT(cai_output_finish(&output, &error));
    CU_ASSERT(holds("a", "new!"));
    CU_ASSERT_EQUAL(files_in_folder(), 1);
    struct stat status;
    CU_ASSERT_EQUAL(stat(in_folder("a"), &status), 0);
    CU_ASSERT_EQUAL(status.st_mode & 0777, 0640);
    unlink(path);
}

TEST(a_discarded_file_leaves_nothing) {
    cai_error error;
    cai_output output;
    CU_ASSERT_FATAL(cai_output_open(in_folder("a"), &output, &error));
    cai_output_discard(&output);
    CU_ASSERT_EQUAL(files_in_folder(), 0);
}

TEST(a_symbolic_link_stays_one) {
    cai_error error;
    char target[64];
    struct stat status;
    CU_ASSERT_FATAL(cai_file_write(in_folder("target"), "old", 3, &error));
    strcpy(target, path);
    CU_ASSERT_EQUAL_FATAL(symlink(target, in_folder("link")), 0);
    CU_ASSERT(cai_file_write(in_folder("link"), "new", 3, &error));
    CU_ASSERT(lstat(path, &status) == 0 && S_ISLNK(status.st_mode));
    CU_ASSERT(holds("target", "new"));
    unlink(in_folder("link"));
    unlink(in_folder("target"));
}

TEST(full_disks_missing_folders_folders) {
    cai_error error;
    cai_file file;
    CU_ASSERT_FALSE(cai_file_write("/dev/full", "x", 1, &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "/dev/full: cannot be written: No space left"));
    CU_ASSERT_FALSE(cai_file_write(in_folder("no/such"), "x", 1, &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "no/such: cannot be created"));
    CU_ASSERT_FALSE(cai_file_write(folder, "x", 1, &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.message, "is a folder"));
    CU_ASSERT_FALSE(cai_file_read(folder, &file, &error));
    CU_ASSERT_FALSE(cai_file_map(in_folder("none"), &file, &error));
    CU_ASSERT_EQUAL(error.status, CAI_BAD_INPUT);
    CU_ASSERT_EQUAL(files_in_folder(), 0);
}

TEST(empty_files_and_files_that_do_not_tell_their_size) {
    cai_error error;
    cai_file file;
    CU_ASSERT_FATAL(cai_file_write(in_folder("a"), "", 0, &error));
    CU_ASSERT_FATAL(cai_file_map(path, &file, &error));
    CU_ASSERT_EQUAL(file.count, 0);
    CU_ASSERT_PTR_NOT_NULL(file.data);
    cai_file_close(&file);
    unlink(path);
    CU_ASSERT_FATAL(cai_file_read("/proc/self/status", &file, &error)); /* says it has 0 bytes */
    CU_ASSERT(file.count > 100);
    cai_file_close(&file);
}

TEST(signals_remove_what_is_not_finished) {
    const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    for (int i = 0; i < 3; i++) {
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            cai_error error;
            cai_output output;
            signal(numbers[i], SIG_DFL); /* a test run in the background ignores SIGINT, and so would we */
            cai_clean_up_on_signals();
            if (!cai_output_open(in_folder("a"), &output, &error) ||
                !cai_output_write(&output, "half", 4, &error))
                _exit(1);
            if (files_in_folder() != 1) _exit(2);
            raise(numbers[i]);
            _exit(3);
        }
        int status = 0;
        CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
        CU_ASSERT(WIFSIGNALED(status) && WTERMSIG(status) == numbers[i]);
        CU_ASSERT_EQUAL(files_in_folder(), 0);
    }
}
