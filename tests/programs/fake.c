/* Hand-written programs as the compiler would make them, to test the runtime's command
 * line without it. One source, chosen by MODEL:
 *
 *   double   image[N, 3, H, W] -> image[N, 3, H, W], each value doubled; H a multiple of 4
 *            (-DFIT=CAI_FIT_...)
 *   gray     image[N, 1, H, W] -> image[N, 1, H, W], the same
 *   label    image[N, 3, 8, 8] -> f32[N, 3] as labels: the sums of the channels
 *   add      a: f32[N, K], b: f32[N, K] -> sum: f32[N, K], difference: f32[N, K]; a check that
 *            K <= 1000, an overflow at K = 999
 *   future   needs a CPU that does not exist */
#include "core/program.h"

#define MODEL_double 1
#define MODEL_gray 2
#define MODEL_label 3
#define MODEL_add 4
#define MODEL_future 5
#ifndef FIT
#define FIT CAI_FIT_EXACT
#endif

enum { N, C, H, W, ELEMENTS, ARENA, SCRATCH, CLASSES, TASKS, SIZES };

#if MODEL == MODEL_double || MODEL == MODEL_gray
enum { CHANNELS = MODEL == MODEL_double ? 3 : 1 };
/* In and out through a slot, in tasks of seven elements, so that shares end anywhere. */
static void copy(const float *from, float *to, float factor, int64_t elements, int64_t begin, int64_t end) {
    for (int64_t i = begin * 7; i < end * 7 && i < elements; i++) to[i] = from[i] * factor;
}
static int64_t elements_of(const int64_t *symbols) {
    return symbols[0] * CHANNELS * symbols[1] * 4 * symbols[2];
}
static void first(void *const *args, const int64_t *symbols, int64_t begin, int64_t end, void *scratch) {
    (void)scratch;
    copy(args[1], args[0], 1, elements_of(symbols), begin, end);
}
static void second(void *const *args, const int64_t *symbols, int64_t begin, int64_t end, void *scratch) {
    (void)scratch;
    copy(args[1], args[0], *(const float *)args[2], elements_of(symbols), begin, end);
}
static int64_t prepare(const int64_t *symbols, int64_t *sizes) {
    int64_t bytes;
    sizes[N] = symbols[0], sizes[C] = CHANNELS, sizes[W] = symbols[2], sizes[CLASSES] = sizes[SCRATCH] = 0;
    if (__builtin_mul_overflow(symbols[1], 4, &sizes[H])) return CAI_OVERFLOW;
    if (__builtin_mul_overflow(sizes[H], sizes[W], &sizes[ELEMENTS])) return CAI_OVERFLOW;
    if (__builtin_mul_overflow(sizes[ELEMENTS], CHANNELS * sizes[N], &sizes[ELEMENTS])) return CAI_OVERFLOW;
    if (__builtin_mul_overflow(sizes[ELEMENTS], 4, &bytes)) return CAI_OVERFLOW;
    sizes[ARENA] = bytes, sizes[TASKS] = (sizes[ELEMENTS] + 6) / 7;
    return CAI_PREPARED;
}
static const cai_dim dims[] = {{1, 0, N}, {CHANNELS, -1, C}, {4, 1, H}, {1, 2, W}};
static const cai_symbol symbols[] = {{"N", 1}, {"H", 4}, {"W", 1}};
#define TYPE (MODEL == MODEL_double ? "image[N, 3, H, W]" : "image[N, 1, H, W]")
static const cai_port inputs[] = {{"photo", TYPE, dims, 0, CAI_F32, 4, CAI_FORM_IMAGE, FIT, 0, 0, 0, 0, 0}};
static const cai_port outputs[] = {
    {"bright", TYPE, dims, 0, CAI_F32, 4, CAI_FORM_IMAGE, CAI_FIT_EXACT, 0, 0, 0, 0, 0}};
static const cai_argument arguments[] = {{CAI_ARG_SLOT, 0, CLASSES},
                                         {CAI_ARG_INPUT, -1, 0},
                                         {CAI_ARG_OUTPUT, -1, 0},
                                         {CAI_ARG_SLOT, 0, CLASSES},
                                         {CAI_ARG_WEIGHTS, -1, 64}};
static const cai_buffer buffers[] = {{CLASSES, ARENA, 0, 1}};
#define BUFFERS 1
static const cai_launch launches[] = {
    {first, "copy", "map", "a", "double.cai:1:1", arguments, 2, TASKS, -1, -1, -1, 0, 0, 0},
    {second, "scale", "map", "b", "double.cai:2:1", arguments + 2, 3, TASKS, -1, -1, -1, 0, 0, 0}};
static const cai_check checks[1];
#define NAME (MODEL == MODEL_double ? "bright" : "gray")
#define LAUNCHES 2
#define SYMBOLS 3
#define CHECKS 0

#elif MODEL == MODEL_label
static void sum(void *const *args, const int64_t *symbols, int64_t begin, int64_t end, void *scratch) {
    (void)symbols, (void)scratch;
    for (int64_t t = begin; t < end; t++) {
        float total = 0;
        for (int i = 0; i < 64; i++) total += ((const float *)args[1])[t * 64 + i];
        ((float *)args[0])[t] = total;
    }
}
static int64_t prepare(const int64_t *symbols, int64_t *sizes) {
    sizes[N] = symbols[0], sizes[C] = sizes[CLASSES] = 3, sizes[H] = sizes[W] = 8,
    sizes[ARENA] = sizes[SCRATCH] = 0, sizes[TASKS] = 3 * symbols[0];
    return CAI_PREPARED;
}
static const cai_dim dims[] = {{1, 0, N}, {3, -1, C}, {8, -1, H}, {8, -1, W}},
                     out_dims[] = {{1, 0, N}, {3, -1, CLASSES}};
static const char *const labels[] = {"red", "green", "blue"};
static const cai_symbol symbols[] = {{"N", 1}};
static const cai_port inputs[] = {
    {"photo", "image[N, 3, 8, 8]", dims, 0, CAI_F32, 4, CAI_FORM_IMAGE, CAI_FIT_CROP, 0, 0, 0, 0, 0}};
static const cai_port outputs[] = {
    {"scores", "f32[N, 3]", out_dims, labels, CAI_F32, 2, CAI_FORM_LABELS, 0, 2, 3, 0, 0, 0}};
static const cai_argument arguments[] = {{CAI_ARG_OUTPUT, -1, 0}, {CAI_ARG_INPUT, -1, 0}};
static const cai_launch launches[] = {
    {sum, "sum", "map", "a", "label.cai:1:1", arguments, 2, TASKS, -1, -1, -1, 0, 0, 0}};
static const cai_check checks[1];
#define NAME "label"
#define LAUNCHES 1
#define SYMBOLS 1
#define CHECKS 0

#else
static void add(void *const *args, const int64_t *symbols, int64_t begin, int64_t end, void *scratch) {
    (void)scratch;
    int64_t k = symbols[1];
    for (int64_t i = begin * k; i < end * k; i++) {
        float a = ((const float *)args[2])[i], b = ((const float *)args[3])[i];
        ((float *)args[0])[i] = a + b;
        ((float *)args[1])[i] = a - b;
    }
}
static int64_t prepare(const int64_t *symbols, int64_t *sizes) {
    sizes[N] = sizes[TASKS] = symbols[0], sizes[C] = symbols[1], sizes[ARENA] = sizes[SCRATCH] = 0;
    if (symbols[1] == 999) return CAI_OVERFLOW;
    return symbols[1] > 1000 ? 0 : CAI_PREPARED;
}
static const cai_dim dims[] = {{1, 0, N}, {1, 1, C}};
static const cai_symbol symbols[] = {{"N", 1}, {"K", 1}};
static const cai_port inputs[] = {{"a", "f32[N, K]", dims, 0, CAI_F32, 2, CAI_FORM_TENSOR, 0, 0, 0, 0, 0, 0},
                                  {"b", "f32[N, K]", dims, 0, CAI_F32, 2, CAI_FORM_TENSOR, 0, 0, 0, 0, 0, 0}};
static const cai_port outputs[] = {
    {"sum", "f32[N, K]", dims, 0, CAI_F32, 2, CAI_FORM_TENSOR, 0, 0, 0, 0, 0, 0},
    {"difference", "f32[N, K]", dims, 0, CAI_F32, 2, CAI_FORM_TENSOR, 0, 0, 0, 0, 0, 0}};
static const cai_argument arguments[] = {
    {CAI_ARG_OUTPUT, -1, 0}, {CAI_ARG_OUTPUT, -1, 1}, {CAI_ARG_INPUT, -1, 0}, {CAI_ARG_INPUT, -1, 1}};
static const cai_launch launches[] = {
    {add, "add", "map", "a", "add.cai:1:1", arguments, 4, TASKS, -1, -1, -1, 0, 0, 0}};
static const cai_check checks[] = {{"K must be at most 1000 (add.cai:3:1)"}};
#define NAME (MODEL == MODEL_future ? "future" : "add")
#define LAUNCHES 1
#define SYMBOLS 2
#define CHECKS 1
#endif

static const _Alignas(4096) float weights[4096] = {[16] = 2};

const cai_program cai_the_program = {.abi = CAI_PROGRAM_ABI,
                                     .cpu = MODEL == MODEL_future ? 99 : CAI_CPU_ANY,
                                     .name = NAME,
                                     .comment = "A model that tests are made with.",
                                     .target = MODEL == MODEL_future ? "x86-64-v9" : "x86-64-v2",
                                     .inputs = inputs,
                                     .outputs = outputs,
                                     .symbols = symbols,
                                     .launches = launches,
                                     .checks = checks,
#ifdef BUFFERS
                                     .buffers = buffers,
                                     .buffer_count = BUFFERS,
#endif
                                     .prepare = prepare,
                                     .weights = (const unsigned char *)weights,
                                     .weights_bytes = sizeof weights,
                                     .input_count = sizeof inputs / sizeof *inputs,
                                     .output_count = sizeof outputs / sizeof *outputs,
                                     .symbol_count = SYMBOLS,
                                     .launch_count = LAUNCHES,
                                     .check_count = CHECKS,
                                     .size_count = SIZES,
                                     .arena = ARENA,
                                     .scratch = SCRATCH};
