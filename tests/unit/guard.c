/* Guarded runs: kernels that stray, each told with its name, layer, line, buffer and
 * byte. The programs are written by hand: a kernel makes a buffer of ten elements of the
 * input's, another sums it up. */
#include "core/core.h"
#include "test.h"
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TEN, FORTY, ZERO, PLACE, ONE, ARENA, SCRATCH, SIZE_COUNT };

static int64_t prepare(const int64_t *symbols, int64_t *sizes) {
    (void)symbols;
    sizes[TEN] = 10, sizes[FORTY] = 40, sizes[ZERO] = 0, sizes[PLACE] = 64, sizes[ONE] = 1,
    sizes[ARENA] = 128, sizes[SCRATCH] = 64;
    return CAI_PREPARED;
}

static int64_t write_at, read_at; /* an element that the first kernel writes, and the second reads, besides */

static void scale(void *const *args, const int64_t *symbols, int64_t begin, int64_t end, void *scratch) {
    (void)symbols, (void)scratch;
    float *out = args[0];
    for (int64_t i = begin; i < end; i++) out[i] = 2 * ((const float *)args[1])[i];
    if (write_at) out[write_at] = 1;
}

static void sum(void *const *args, const int64_t *symbols, int64_t begin, int64_t end, void *scratch) {
    (void)symbols, (void)scratch, (void)begin, (void)end;
    const float *x = args[1];
    float total = read_at ? x[read_at] : 0;
    for (int i = 0; i < 10; i++) total += x[i];
    *(float *)args[0] = total;
}

static void write_input(void *const *args, const int64_t *symbols, int64_t begin, int64_t end,
                        void *scratch) {
    (void)symbols, (void)scratch, (void)begin, (void)end;
    *(float *)args[1] = 1;
}

static void overrun_scratch(void *const *args, const int64_t *symbols, int64_t begin, int64_t end,
                            void *scratch) {
    scale(args, symbols, begin, end, NULL);
    ((char *)scratch)[64] = 1;
}

static void leave_unwritten(void *const *args, const int64_t *symbols, int64_t begin, int64_t end,
                            void *scratch) {
    (void)args, (void)symbols, (void)begin, (void)end, (void)scratch;
}

static void depend_on_order(void *const *args, const int64_t *symbols, int64_t begin, int64_t end,
                            void *scratch) {
    (void)symbols, (void)scratch;
    static int64_t last;
    for (int64_t i = begin; i < end; i++) ((float *)args[0])[i] = (float)last, last = i;
}

static const cai_dim ten[] = {{10, -1, TEN}}, one[] = {{1, -1, ONE}};
static const cai_port inputs[] = {{.name = "x", .type_text = "f32[10]", .dims = ten, .rank = 1}};
static const cai_port outputs[] = {{.name = "y", .type_text = "f32[1]", .dims = one, .rank = 1}};
static const cai_buffer buffers[] = {{PLACE, FORTY, 0, 1}};
static const cai_argument arguments[] = {
    {CAI_ARG_SLOT, 0, PLACE}, {CAI_ARG_INPUT, -1, 0}, {CAI_ARG_OUTPUT, -1, 0}, {CAI_ARG_SLOT, 0, PLACE}};

/* Runs it with `first` for its first kernel. Gives y, and the message. */
static float run(cai_kernel first, char *message) {
    const cai_launch launches[] = {{.kernel = first,
                                    .name = "scale_k",
                                    .path = "layer1.scale",
                                    .source = "net.cai:3:7",
                                    .arguments = arguments,
                                    .argument_count = 2,
                                    .tasks = TEN,
                                    .rounds = -1},
                                   {.kernel = sum,
                                    .name = "sum_k",
                                    .path = "layer2.sum",
                                    .source = "net.cai:4:7",
                                    .arguments = arguments + 2,
                                    .argument_count = 2,
                                    .tasks = ONE,
                                    .rounds = -1}};
    const cai_program program = {.abi = CAI_PROGRAM_ABI,
                                 .name = "net",
                                 .inputs = inputs,
                                 .outputs = outputs,
                                 .launches = launches,
                                 .buffers = buffers,
                                 .prepare = prepare,
                                 .input_count = 1,
                                 .output_count = 1,
                                 .launch_count = 2,
                                 .buffer_count = 1,
                                 .size_count = SIZE_COUNT,
                                 .arena = ARENA,
                                 .scratch = SCRATCH};
    float x[10] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, y = -1;
    const int64_t *shapes[] = {(const int64_t[]){10}};
    cai_error error = {.message = ""};
    cai_pool *pool = cai_pool_new(1);
    cai_context *context = cai_context_new(&program, pool, &error);
    cai_context_run_by(context, cai_run_guarded);
    if (cai_context_prepare(context, shapes, &error))
        cai_context_run(context, (const void *[]){x}, (void *[]){&y}, 0, &error);
    cai_context_free(context);
    cai_pool_free(pool);
    strcpy(message, error.message);
    return y;
}

/* What a run that ends its process says. */
static void run_apart(cai_kernel first, char *message, size_t size) {
    int both[2], status;
    CU_ASSERT_FATAL(pipe(both) == 0);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        dup2(both[1], STDERR_FILENO);
        run(first, message);
        _exit(0);
    }
    close(both[1]);
    size_t length = 0;
    for (ssize_t got; length + 1 < size && (got = read(both[0], message + length, size - 1 - length)) > 0;)
        length += (size_t)got;
    message[length] = 0;
    close(both[0]);
    CU_ASSERT(waitpid(child, &status, 0) == child && WIFEXITED(status) &&
              WEXITSTATUS(status) == CAI_INTERNAL);
}

TEST(what_stays_inside_runs) {
    char message[1000];
    write_at = read_at = 0;
    CU_ASSERT_EQUAL(run(scale, message), 110);
    CU_ASSERT_STRING_EQUAL(message, "");
}

#define FIRST "guard: launch 0, kernel scale_k of layer layer1.scale (net.cai:3:7), "
#define SECOND "guard: launch 1, kernel sum_k of layer layer2.sum (net.cai:4:7), "

TEST(writes_beside_a_buffer_show_in_the_pattern) {
    char message[1000];
    read_at = 0;
    write_at = 10;
    run(scale, message);
    CU_ASSERT_STRING_EQUAL(
        message,
        FIRST "wrote 0 bytes after buffer 0, the result of layer1.scale (net.cai:3:7), which has 40");
    write_at = -1;
    run(scale, message);
    CU_ASSERT_STRING_EQUAL(
        message,
        FIRST "wrote 4 bytes before buffer 0, the result of layer1.scale (net.cai:3:7), which has 40");
    write_at = 0;
    run(overrun_scratch, message);
    CU_ASSERT_STRING_EQUAL(message, FIRST "wrote 0 bytes after a thread's working memory, which has 64");
}

TEST(accesses_far_away_and_writes_to_inputs_end_the_program) {
    char message[1000];
    read_at = 0;
    write_at = 64;
    run_apart(scale, message, sizeof message);
    CU_ASSERT_PTR_NOT_NULL(strstr(
        message, FIRST "touches what it may not: 216 bytes after buffer 0, the result of layer1.scale"));
    write_at = 0;
    read_at = 64;
    run_apart(scale, message, sizeof message);
    CU_ASSERT_PTR_NOT_NULL(strstr(
        message, SECOND "touches what it may not: 216 bytes after buffer 0, the result of layer1.scale"));
    read_at = 0;
    run_apart(write_input, message, sizeof message);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(message, FIRST "touches what it may not: 0 bytes into input `x`, which has 40"));
}

TEST(what_was_never_written_is_no_number) {
    char message[1000];
    float y = run(leave_unwritten, message);
    CU_ASSERT(y != y); /* the pattern is a NaN */
}

TEST(tasks_run_backwards) {
    char message[1000];
    /* last to first: each is one more than its own */
    CU_ASSERT_EQUAL(run(depend_on_order, message), 9 + 8 + 7 + 6 + 5 + 4 + 3 + 2 + 1);
}
