/* Two models in one program; one of fixed sizes, whose shapes need not be given. */
#include "check.h"
#include "double.h"

int main(void) {
    float x[20], y[8], again[8];
    int i;
    cai_in in = {NULL, sizeof x, NULL, 0};
    cai_out out = {NULL, sizeof y};
    mix_context *mix;
    double_context *twice;
    Case run;
    uint64_t hash;
    for (i = 0; i < 20; i++) x[i] = (float)i;
    in.data = x, out.data = y;
    CHECK(mix_create(&mix) == CAI_OK && double_create(&twice) == CAI_OK);
    case_init(&run, 1, 32, 24, 5);
    hash = case_run(mix, &run);
    CHECK(double_run(twice, &in, 1, &out, 1) == CAI_OK);
    out.data = again;
    for (i = 0; i < 50; i++) {
        CHECK(case_run(mix, &run) == hash);
        CHECK(double_run(twice, &in, 1, &out, 1) == CAI_OK && memcmp(y, again, sizeof y) == 0);
    }
    in.bytes = 4;
    CHECK(double_run(twice, &in, 1, &out, 1) == CAI_BAD_INPUT);
    CHECK(strcmp(double_message(twice), "input `x` is f32[2, 10]: 4 bytes are given, and it takes 80") == 0);
    CHECK(mix_message(mix)[0] == 0);
    mix_destroy(mix);
    double_destroy(twice);
    case_free(&run);
    return check_end("two");
}
