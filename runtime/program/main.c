/* What every built program does: the command line, for the model that is linked with
 * it. */
#include "program/main.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- messages ---- */

static const char *program_name = "cai";

/* The exit code: docs/programs.md has fewer than there are statuses. */
static int exit_code_of(const cai_error *error) {
    fflush(stdout);
    fprintf(stderr, "%s: error: %s\n", program_name, error->message);
    return error->status == CAI_NO_MEMORY || error->status == CAI_WRONG_CPU ? CAI_BAD_INPUT : error->status;
}

static void print_notice(const char *path, const char *text) {
    fflush(stdout);
    fprintf(stderr, "%s: notice: %s is %s\n", program_name, path, text);
}

static bool check_cpu(const cai_program *program, cai_error *error) {
    return cai_cpu_runs(program->cpu) ||
           cai_fail(
               error, CAI_WRONG_CPU,
               "this program was built for %s, and this machine's CPU cannot run it: build it with `cai build --target`",
               program->target);
}

/* ---- one run ---- */

typedef struct ProgramSession {
    const cai_program *program;
    const cai_command *command;
    const cai_jobs *jobs;
    cai_context *context;
    cai_pool *pool;
    cai_clock *clock;
    cai_loaded *loaded; /* a row of inputs */
    const void **inputs;
    void **outputs;
    uint64_t *capacities; /* of the memory of outputs, which is kept from run to run */
} ProgramSession;

static bool reserve_outputs(ProgramSession *s, cai_error *error) {
    for (int i = 0; i < s->program->output_count; i++) {
        const cai_port *port = &s->program->outputs[i];
        uint64_t bytes =
            (uint64_t)cai_context_elements(s->context, port) * (uint64_t)cai_type_bytes(port->type);
        if (s->outputs[i] && bytes <= s->capacities[i]) continue;
        free(s->outputs[i]);
        s->outputs[i] = cai_allocate(bytes, port->name, error);
        if (!s->outputs[i]) return false;
        s->capacities[i] = bytes;
    }
    return true;
}

/* Errors of sizes name the file that they come from. */
static bool prepare_sizes(ProgramSession *s, const cai_feed *feeds, cai_error *error) {
    const int64_t *shapes[s->program->input_count + 1];
    for (int i = 0; i < s->program->input_count; i++) {
        shapes[i] = s->loaded[i].dims;
        s->inputs[i] = s->loaded[i].data;
    }
    if (cai_context_prepare(s->context, shapes, error)) return true;
    if (s->program->input_count != 1) return false;
    return cai_fail_within(error, "%s",
                           strcmp(feeds[0].paths[0], "-") == 0 ? "standard input" : feeds[0].paths[0]);
}

static bool run_loaded(ProgramSession *s, const cai_feed *feeds, cai_error *error) {
    if (!prepare_sizes(s, feeds, error) || !reserve_outputs(s, error)) return false;
    cai_clock_loaded(s->clock);
    if (!cai_context_run(s->context, s->inputs, s->outputs, s->command->seed, error)) return false;
    cai_clock_ran(s->clock);
    cai_results results = {s->program, s->context, s->command, s->jobs, feeds, s->loaded, s->outputs};
    if (!cai_store(&results, error)) return false;
    cai_rerun rerun = {s->context, s->pool, s->inputs, s->outputs, s->command->seed, s->command->repeat};
    if (s->command->time && !cai_clock_repeat(s->clock, &rerun, error)) return false;
    return !s->command->profile || cai_profile(s->program, &rerun, s->command->profile_json, error);
}

static bool run_job(ProgramSession *s, const cai_feed *feeds, cai_error *error) {
    cai_clock_begin(s->clock);
    if (!cai_load(s->program, feeds, s->loaded, print_notice, error)) return false;
    bool good = run_loaded(s, feeds, error);
    cai_loaded_free(s->program, s->loaded);
    return good;
}

static void show_job_progress(const ProgramSession *s, int job) {
    if (s->jobs->count > 1 && isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K%d of %d\r", job + 1, s->jobs->count);
}

/* After a file that fails, the next is still tried. */
static int run_jobs(ProgramSession *s) {
    int status = 0;
    for (int job = 0; job < s->jobs->count; job++) {
        cai_error error;
        show_job_progress(s, job);
        if (!run_job(s, s->jobs->feeds + (size_t)job * (size_t)s->program->input_count, &error))
            status = exit_code_of(&error);
        if (status == CAI_INTERNAL || status == CAI_BAD_USAGE) break;
    }
    if (s->jobs->count > 1 && isatty(STDERR_FILENO)) fprintf(stderr, "\r\033[K");
    return status;
}

/* ---- the session ---- */

static bool open_session(ProgramSession *s, cai_error *error) {
    size_t inputs = (size_t)s->program->input_count + 1, outputs = (size_t)s->program->output_count + 1;
    s->loaded = calloc(inputs, sizeof *s->loaded);
    s->inputs = calloc(inputs, sizeof *s->inputs);
    s->outputs = calloc(outputs, sizeof *s->outputs);
    s->capacities = calloc(outputs, sizeof *s->capacities);
    s->pool = cai_pool_new(s->command->threads);
    if (!s->loaded || !s->inputs || !s->outputs || !s->capacities || !s->pool)
        return cai_fail_memory(error, 0, "starting");
    s->context = cai_context_new(s->program, s->pool, error);
    if (!s->context) return false;
    const char *guard = getenv("CAI_GUARD");
    cai_context_watch(s->context, cai_clock_started, s->clock);
    cai_context_run_by(s->context, guard && *guard && strcmp(guard, "0") != 0 ? cai_run_guarded : NULL);
    return true;
}

static void close_session(ProgramSession *s) {
    cai_context_free(s->context);
    cai_pool_free(s->pool);
    for (int i = 0; i < s->program->output_count && s->outputs; i++) free(s->outputs[i]);
    free(s->outputs);
    free(s->capacities);
    free(s->inputs);
    free(s->loaded);
}

static int run_program_command(const cai_program *program, const cai_command *command, cai_clock *clock,
                               cai_error *error) {
    cai_jobs jobs;
    if (!cai_jobs_plan(program, command, &jobs, print_notice, error)) return exit_code_of(error);
    ProgramSession session = {.program = program, .command = command, .jobs = &jobs, .clock = clock};
    int status;
    if (!cai_store_check(program, command, &jobs, error) || !open_session(&session, error))
        status = exit_code_of(error);
    else status = run_jobs(&session);
    close_session(&session);
    cai_jobs_free(&jobs);
    return status;
}

/* Output that could not be written is a failure too: a full disk, a closed pipe. */
static int flush_results(int status) {
    if (fflush(stdout) == 0 && !ferror(stdout)) return status;
    fprintf(stderr, "%s: error: standard output: cannot be written\n", program_name);
    return status ? status : CAI_BAD_INPUT;
}

static int dispatch_program(const cai_program *program, const cai_command *command, cai_clock *clock) {
    cai_error error;
    if (command->help) {
        cai_print_help(program, command->program, stdout);
        return 0;
    }
    if (command->version) {
        printf("%s, built by cai " CAI_VERSION " for %s\n", program->name, program->target);
        return 0;
    }
    if (program->input_count > 0 && command->input_count == 0) {
        cai_print_usage(program, command->program, stderr);
        fprintf(stderr, "`%s --help` says more\n", command->program);
        return CAI_BAD_USAGE;
    }
    if (!check_cpu(program, &error)) return exit_code_of(&error);
    return run_program_command(program, command, clock, &error);
}

int cai_main(const cai_program *program, int argc, char **argv) {
    cai_clock clock;
    cai_clock_start(&clock);
    cai_clean_up_on_signals();
    cai_error error;
    cai_command command;
    bool parsed = cai_command_parse(program, argc, argv, &command, &error);
    program_name = command.program;
    if (!parsed) {
        int code = exit_code_of(&error);
        if (code == CAI_BAD_USAGE) fprintf(stderr, "`%s --help` says what it takes\n", program_name);
        return code;
    }
    int status = flush_results(dispatch_program(program, &command, &clock));
    cai_command_free(&command);
    return status;
}
