// The library form from C++11: the header as it is, a context in a smart pointer, a pool of std::threads.
#include "double.h"
#include "mix.h"
#include <cstdio>
#include <memory>
#include <thread>
#include <vector>

struct Destroy {
    void operator()(mix_context *context) const { mix_destroy(context); }
};
using Mix = std::unique_ptr<mix_context, Destroy>;

static Mix make() {
    mix_context *context = nullptr;
    return mix_create(&context) == CAI_OK ? Mix(context) : Mix();
}

static void parallel_for(void *, int count, void (*task)(void *, int), void *argument) {
    std::vector<std::thread> threads;
    for (int i = 1; i < count; i++) threads.emplace_back(task, argument, i);
    task(argument, 0);
    for (std::thread &thread : threads) thread.join();
}

static bool run(mix_context *context, std::vector<float> &clean) {
    const int64_t photo_shape[] = {1, 3, 40, 32}, which_shape[] = {1};
    std::vector<float> photo(3 * 40 * 32), half(8 * 20 * 16), scores(4);
    for (size_t i = 0; i < photo.size(); i++) photo[i] = static_cast<float>(i % 251) / 251;
    const int32_t which = 3;
    clean.assign(photo.size(), 0);
    const cai_in in[] = {{photo.data(), photo.size() * sizeof(float), photo_shape, 4}, {&which, sizeof which, which_shape, 1}};
    const cai_out out[] = {{clean.data(), clean.size() * sizeof(float)}, {half.data(), half.size() * sizeof(float)},
                           {scores.data(), scores.size() * sizeof(float)}};
    return mix_run(context, in, 2, out, 3) == CAI_OK;
}

int main() {
    Mix ours = make(), lent = make();
    std::vector<float> a, b;
    double_context *other = nullptr;
    bool good = ours && lent && mix_set_parallel_for(lent.get(), parallel_for, nullptr, 4) == CAI_OK && run(ours.get(), a) &&
                run(lent.get(), b) && a == b && double_create(&other) == CAI_OK;
    double_destroy(other);
    std::printf("C++: 1 checks, %d failed\n", !good);
    return !good;
}
