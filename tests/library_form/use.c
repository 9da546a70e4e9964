/* The library form from C99: what a model says of itself, runs, every error. */
#include "check.h"

static mix_context *context;
static Case run;

static void test_information(void) {
    cai_info info;
    CHECK(mix_input_count() == 2 && mix_output_count() == 3);
    CHECK(mix_input_info(0, &info) == CAI_OK);
    CHECK(strcmp(info.name, "photo") == 0 && strcmp(info.text, "image[N, 3, H, W]") == 0);
    CHECK(info.type == CAI_F32 && info.rank == 4 && info.is_picture && info.label_count == 0 &&
          info.form == CAI_FORM_IMAGE);
    CHECK(info.axes[0].size == -1 && info.axes[0].multiple == 1 && strcmp(info.axes[0].name, "N") == 0);
    CHECK(info.axes[1].size == 3 && info.axes[1].name == NULL);
    CHECK(info.axes[2].size == -1 && info.axes[2].multiple == 4 && strcmp(info.axes[2].name, "H") == 0);
    CHECK(info.axes[3].multiple == 2);
    CHECK(mix_input_info(1, &info) == CAI_OK && info.type == CAI_I32 && info.rank == 1 && !info.is_picture);
    CHECK(mix_output_info(1, &info) == CAI_OK && strcmp(info.name, "half") == 0);
    CHECK(info.axes[2].size == -1 && info.axes[2].multiple == 2 && info.axes[2].name == NULL); /* H / 2 */
    CHECK(mix_output_info(2, &info) == CAI_OK && info.label_count == 4 &&
          strcmp(info.labels[3], "fish") == 0);
    CHECK(info.form == CAI_FORM_LABELS && info.of == -1);
    CHECK(mix_input_info(2, &info) == CAI_BAD_USAGE && mix_input_info(-1, &info) == CAI_BAD_USAGE);
    CHECK(mix_output_info(3, &info) == CAI_BAD_USAGE && mix_output_info(0, NULL) == CAI_BAD_USAGE);
}

static void test_shapes(void) {
    int64_t shape[4] = {0, 0, 0, 0};
    Case other;
    CHECK(mix_output_shape(context, 0, shape, 4) == CAI_BAD_USAGE);
    CHECK(strcmp(mix_message(context), "sizes are known only after prepare or run") == 0);
    case_init(&other, 2, 32, 18, 1);
    other.in[0].data = NULL, other.in[1].data = NULL;
    CHECK(mix_prepare(context, other.in, 2) == CAI_OK && mix_message(context)[0] == 0);
    CHECK(mix_output_shape(context, 1, shape, 4) == CAI_OK);
    CHECK(shape[0] == 2 && shape[1] == 8 && shape[2] == 16 && shape[3] == 9);
    CHECK(mix_output_shape(context, 1, shape, 3) == CAI_BAD_USAGE &&
          strstr(mix_message(context), "too little room: 3"));
    CHECK(mix_output_shape(context, 1, NULL, 4) == CAI_BAD_USAGE && strstr(mix_message(context), "is NULL"));
    CHECK(mix_output_shape(context, 3, shape, 4) == CAI_BAD_USAGE &&
          strstr(mix_message(context), "no output 3"));
    CHECK(mix_output_shape(context, -1, shape, 4) == CAI_BAD_USAGE);
    CHECK(mix_output_shape(context, 2, shape, 2) == CAI_OK && shape[0] == 2 && shape[1] == 4);
    case_free(&other);
}

/* A call that must fail with `words`, after which a good run gives what it always
 * gives. */
static void expect(cai_status wanted, const char *words, const cai_in *in, int in_count, const cai_out *out,
                   int out_count) {
    static uint64_t always;
    uint64_t hash;
    cai_status status = mix_run(context, in, in_count, out, out_count);
    CHECK(status == wanted && strstr(mix_message(context), words));
    if (status != wanted || !strstr(mix_message(context), words))
        printf("  %d: %s\n", status, mix_message(context));
    hash = case_run(context, &run);
    if (!always) always = hash;
    CHECK(hash == always);
}

static void test_sizes_refused(void) {
    Case c;
    case_init(&c, 1, 32, 16, 3);
    c.photo_shape[2] = 30;
    expect(CAI_BAD_INPUT, "input `photo` is image[N, 3, H, W]: its height must be a multiple of 4, and is 30",
           c.in, 2, c.out, 3);
    c.photo_shape[2] = 4096;
    expect(CAI_BAD_INPUT, "H", c.in, 2, c.out, 3);
    c.photo_shape[2] = 0;
    expect(CAI_BAD_INPUT, "must be at least 1", c.in, 2, c.out, 3);
    c.photo_shape[2] = -32;
    expect(CAI_BAD_INPUT, "height is -32", c.in, 2, c.out, 3);
    c.photo_shape[2] = 32, c.photo_shape[1] = 4;
    expect(CAI_BAD_INPUT, "its number of channels must be 3, and is 4", c.in, 2, c.out, 3);
    c.photo_shape[1] = 3, c.photo_shape[0] = (int64_t)1 << 60;
    expect(CAI_BAD_INPUT, "too large", c.in, 2, c.out, 3);
    c.photo_shape[0] = (int64_t)1 << 40;
    expect(CAI_NO_MEMORY, "not enough memory", c.in, 2, c.out, 3);
    c.photo_shape[0] = 1, c.in[0].rank = 3;
    expect(CAI_BAD_INPUT, "its shape has rank 3, and must have 4", c.in, 2, c.out, 3);
    c.in[0].rank = -1;
    expect(CAI_BAD_INPUT, "rank -1", c.in, 2, c.out, 3);
    case_free(&c);
}

static void test_buffers_refused(void) {
    Case c;
    float *room;
    case_init(&c, 1, 32, 16, 3);
    c.in[0].bytes *= 2;
    expect(CAI_BAD_INPUT, "input `photo` is f32[1, 3, 32, 16]: 12288 bytes are given, and it takes 6144",
           c.in, 2, c.out, 3);
    c.in[0].bytes = 0;
    expect(CAI_BAD_INPUT, "0 bytes are given", c.in, 2, c.out, 3);
    c.in[0].bytes = 6144, c.in[0].data = NULL;
    expect(CAI_BAD_USAGE, "input `photo` (image[N, 3, H, W]): data is NULL", c.in, 2, c.out, 3);
    c.in[0].data = (char *)c.photo + 1;
    expect(CAI_BAD_USAGE, "not aligned", c.in, 2, c.out, 3);
    c.in[0].data = c.photo, c.out[1].data = NULL;
    expect(CAI_BAD_USAGE, "output `half`", c.in, 2, c.out, 3);
    c.out[1].data = c.half, c.out[1].bytes--;
    expect(CAI_BAD_INPUT, "output `half` is f32[1, 8, 16, 8]: 4095 bytes are given, and it takes 4096", c.in,
           2, c.out, 3);
    c.out[1].bytes += 100; /* more room is fine */
    room = floats(2000);
    c.out[1].data = room;
    CHECK(mix_run(context, c.in, 2, c.out, 3) == CAI_OK);
    free(room);
    c.out[1].data = c.half, c.out[0].data = c.photo;
    expect(CAI_BAD_USAGE, "output `clean` and input `photo` overlap", c.in, 2, c.out, 3);
    c.out[0].data = c.half;
    expect(CAI_BAD_USAGE, "output `half` and output `clean` overlap", c.in, 2, c.out, 3);
    case_free(&c);
}

static void test_calls_refused(void) {
    expect(CAI_BAD_USAGE, "inputs: 1 given, and the model has 2", run.in, 1, run.out, 3);
    expect(CAI_BAD_USAGE, "outputs: 4 given, and the model has 3", run.in, 2, run.out, 4);
    expect(CAI_BAD_USAGE, "inputs: the array is NULL", NULL, 2, run.out, 3);
    expect(CAI_BAD_USAGE, "outputs: the array is NULL", run.in, 2, NULL, 3);
    CHECK(mix_run(NULL, run.in, 2, run.out, 3) == CAI_BAD_USAGE &&
          mix_prepare(NULL, run.in, 2) == CAI_BAD_USAGE);
    CHECK(mix_create(NULL) == CAI_BAD_USAGE && mix_set_threads(NULL, 1) == CAI_BAD_USAGE &&
          mix_set_seed(NULL, 1) == CAI_BAD_USAGE);
    CHECK(mix_output_shape(NULL, 0, run.photo_shape, 4) == CAI_BAD_USAGE);
    CHECK(mix_set_threads(context, -1) == CAI_BAD_USAGE && strstr(mix_message(context), "threads is -1"));
    CHECK(mix_set_threads(context, 100000) == CAI_BAD_USAGE);
    CHECK(mix_set_parallel_for(context, NULL, NULL, 2) == CAI_BAD_USAGE &&
          strstr(mix_message(context), "NULL"));
    CHECK(mix_message(NULL)[0] != 0);
    mix_destroy(NULL);
}

static void test_status_texts(void) {
    const cai_status all[] = {CAI_OK,        CAI_BAD_INPUT, CAI_BAD_USAGE, CAI_NO_MEMORY,
                              CAI_WRONG_CPU, CAI_BUSY,      CAI_INTERNAL};
    int i, k;
    for (i = 0; i < 7; i++) {
        CHECK(mix_status_text(all[i])[0] != 0);
        for (k = 0; k < i; k++) CHECK(strcmp(mix_status_text(all[i]), mix_status_text(all[k])) != 0);
    }
    CHECK(mix_status_text((cai_status)12345)[0] != 0);
}

/* Shapes may be left out once they are known; sizes may change from run to run. */
static void test_sizes_change(void) {
    const cai_in saved[2] = {run.in[0], run.in[1]};
    mix_context *fresh;
    uint64_t hash = case_run(context, &run);
    Case large;
    case_init(&large, 3, 64, 50, 9);
    run.in[0].shape = NULL, run.in[1].shape = NULL;
    CHECK(case_run(context, &run) == hash);
    CHECK(mix_create(&fresh) == CAI_OK);
    CHECK(mix_run(fresh, run.in, 2, run.out, 3) == CAI_BAD_INPUT &&
          strstr(mix_message(fresh), "its shape is NULL"));
    run.in[0] = saved[0], run.in[1] = saved[1];
    CHECK(case_run(fresh, &large) == case_run(context, &large));
    CHECK(case_run(fresh, &run) == hash && case_run(context, &run) == hash);
    mix_destroy(fresh);
    case_free(&large);
}

/* ---- threads ---- */

typedef struct Lender { int calls, most; } Lender;

static void backwards(void *user, int count, void (*task)(void *argument, int i), void *argument) {
    Lender *lender = (Lender *)user;
    int i;
    lender->calls++;
    if (count > lender->most) lender->most = count;
    for (i = count - 1; i >= 0; i--) task(argument, i);
}

static void test_threads(void) {
    const int counts[] = {1, 2, 3, 16, 0};
    Lender lender = {0, 0};
    uint64_t hash = case_run(context, &run);
    int i;
    for (i = 0; i < 5; i++) {
        CHECK(mix_set_threads(context, counts[i]) == CAI_OK);
        CHECK(case_run(context, &run) == hash);
    }
    CHECK(mix_set_parallel_for(context, backwards, &lender, 5) == CAI_OK);
    CHECK(case_run(context, &run) == hash);
    CHECK(lender.calls > 3 && lender.most > 1 && lender.most <= 5);
    CHECK(mix_set_parallel_for(context, backwards, &lender, 0) == CAI_BAD_USAGE);
    CHECK(case_run(context, &run) == hash);
    CHECK(mix_set_threads(context, 2) == CAI_OK);
    lender.calls = 0;
    CHECK(case_run(context, &run) == hash && lender.calls == 0);
}

/* ---- memory ---- */

typedef struct Owner { int reserved, released, refuse, askew; size_t bytes; } Owner;

static void *reserve(void *user, size_t bytes, size_t alignment) {
    Owner *owner = (Owner *)user;
    char *memory = owner->refuse ? NULL : (char *)malloc(bytes + 2 * alignment), *at;
    if (!memory) return NULL;
    owner->reserved++;
    owner->bytes += bytes;
    at = memory + alignment - (uintptr_t)memory % alignment;
    memset(at, 0xff, bytes); /* NaN */
    if (owner->askew) at += 4;
    ((unsigned char *)at)[-1] = (unsigned char)(at - memory);
    return at;
}

static void release(void *user, void *memory, size_t bytes) {
    Owner *owner = (Owner *)user;
    owner->released++;
    owner->bytes -= bytes;
    free((char *)memory - ((unsigned char *)memory)[-1]);
}

static void test_memory(void) {
    Owner owner = {0, 0, 0, 0, 0};
    uint64_t hash = case_run(context, &run), hash_large;
    mix_context *other;
    Case large;
    case_init(&large, 3, 64, 50, 9);
    hash_large = case_run(context, &large);
    CHECK(mix_create(&other) == CAI_OK && mix_set_memory(other, reserve, release, &owner) == CAI_OK);
    CHECK(case_run(other, &run) == hash && owner.reserved == 1 && owner.bytes > 0);
    CHECK(case_run(other, &run) == hash && owner.reserved == 1);
    owner.refuse = 1;
    CHECK(mix_run(other, large.in, 2, large.out, 3) == CAI_NO_MEMORY && owner.released == 0);
    CHECK(case_run(other, &run) == hash);
    owner.refuse = 0, owner.askew = 1;
    CHECK(mix_run(other, large.in, 2, large.out, 3) == CAI_BAD_USAGE &&
          strstr(mix_message(other), "multiple of 64"));
    owner.askew = 0;
    CHECK(case_run(other, &large) == hash_large && case_run(other, &run) == hash && owner.reserved == 3 &&
          owner.released == 2);
    CHECK(mix_set_memory(other, reserve, NULL, &owner) == CAI_BAD_USAGE &&
          mix_set_memory(other, NULL, release, &owner) == CAI_BAD_USAGE);
    CHECK(mix_set_memory(other, NULL, NULL, NULL) == CAI_OK && owner.released == 3 && owner.bytes == 0);
    CHECK(case_run(other, &large) == hash_large && mix_set_memory(other, reserve, release, &owner) == CAI_OK);
    CHECK(case_run(other, &run) == hash && owner.reserved == 4);
    mix_destroy(other);
    CHECK(owner.released == 4 && owner.bytes == 0);
    CHECK(mix_set_memory(NULL, NULL, NULL, NULL) == CAI_BAD_USAGE);
    case_free(&large);
}

/* ---- pictures ---- */

static void test_pixels(void) {
    unsigned char bytes[2][16] = {{0, 1, 2, 255, 127, 128, 3, 255, 254, 253, 252, 255, 77, 78, 79, 80},
                                  {9, 8, 7, 255, 6, 5, 4, 255, 3, 2, 1, 255, 77, 78, 79, 80}};
    unsigned char back[2][16];
    float planes[3 * 2 * 3];
    cai_pixels pixels = {NULL, 2, 3, 3, 4, 16}; /* RGBA, three pixels a row */
    int i;
    pixels.data = bytes[0];
    CHECK(mix_from_pixels(&pixels, planes, sizeof planes) == CAI_OK);
    CHECK(planes[0] == 0 && planes[1] == 127.0f / 255 && planes[2] == 254.0f / 255 &&
          planes[3] == 9.0f / 255);
    CHECK(planes[6] == 1.0f / 255 && planes[17] == 1.0f / 255);
    memcpy(back, bytes, sizeof back);
    for (i = 0; i < 2 * 3 * 4; i++)
        if (i % 4 != 3) back[i / 12][i % 12] = 0;
    pixels.data = back[0];
    CHECK(mix_to_pixels(planes, sizeof planes, &pixels) == CAI_OK && memcmp(back, bytes, sizeof back) == 0);
    planes[0] = -1, planes[1] = 7, planes[2] = 0.5f / 255, planes[3] = 1.5f / 255,
    planes[4] = (float)strtod("nan", NULL);
    CHECK(mix_to_pixels(planes, sizeof planes, &pixels) == CAI_OK);
    CHECK(back[0][0] == 0 && back[0][4] == 255 && back[0][8] == 0 && back[1][0] == 2 && back[1][4] == 0);
    pixels.data = bytes[1], pixels.row_bytes = -16; /* upside down */
    CHECK(mix_from_pixels(&pixels, planes, sizeof planes) == CAI_OK && planes[0] == 9.0f / 255 &&
          planes[3] == 0);
    CHECK(mix_from_pixels(&pixels, planes, sizeof planes - 1) == CAI_BAD_INPUT);
    CHECK(mix_from_pixels(NULL, planes, sizeof planes) == CAI_BAD_USAGE &&
          mix_from_pixels(&pixels, NULL, 0) == CAI_BAD_USAGE);
    pixels.pixel_bytes = 2;
    CHECK(mix_to_pixels(planes, sizeof planes, &pixels) == CAI_BAD_USAGE);
}

int main(void) {
    CHECK(mix_create(&context) == CAI_OK);
    case_init(&run, 2, 32, 24, 5);
    test_information();
    test_shapes();
    test_sizes_refused();
    test_buffers_refused();
    test_calls_refused();
    test_status_texts();
    test_sizes_change();
    test_threads();
    test_memory();
    test_pixels();
    mix_destroy(context);
    case_free(&run);
    return check_end("use");
}
