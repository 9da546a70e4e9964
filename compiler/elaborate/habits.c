/* What people who come from PyTorch write, and what it is in cai: help for names that are not known. */
#include "elaborate/evaluator.h"

#include <ctype.h>

typedef struct Habit {
    const char *word, *help;
} Habit;

static const Habit names[] = {
    {"nn", "layers need no prefix: `x -> conv(8, 3) -> batchnorm -> relu`"},
    {"F", "layers and functions need no prefix: `x -> relu`"},
    {"torch", "functions need no prefix: `(a, b) -> concat`, `exp(x)`"},
    {"np", "functions need no prefix: `exp(x)`"},
    {"self", "a layer is made where it runs, `x -> conv(8, 3)`, or bound to a name first, `c = conv(8, 3)`"},
    {"linear", "a linear layer is `dense(out)`: what comes in is known"},
    {"cat", "`(a, b) -> concat` joins tensors"},
    {"sequential", "layers in sequence stand in braces: `{ conv(8, 3) -> relu }`"},
    {"modulelist", "layers stand in a list, or in a loop behind labels: `x -> \"layers.{i}\": conv(8, 3)`"},
    {"identity", "a stage that may be left out is `if c { stage }`"},
    {"none", "did you mean `none`?"},
    {"true", "did you mean `true`?"},
    {"false", "did you mean `false`?"},
    {"print", "nothing is printed while compiling: `cai summary` shows all shapes, `assert false, \"{x.shape}\"` one"},
    {"view", "`reshape(x, [N, -1])`, or `x -> flatten`"},
    {"size", "sizes are `x.shape[0]`, `x.batch`, `x.channels`, `x.height`, `x.width`"},
    {"dim", "the number of axes is `x.rank`"},
    {"dtype", "the type is `x.type`"},
    {"unsqueeze", "`reshape(x, [N, 1, C])`, with the sizes that it is to have"},
    {"squeeze", "`reshape(x, [N, C])`, with the sizes that it is to have; an index takes its axis away, `x[:, 0]`"},
    {"contiguous", "tensors are always contiguous: leave it out"},
    {"detach", "`stop(x)` lets no gradient pass"},
    {"chunk", "slices cut: `(x[:, :c], x[:, c:])`"},
    {"split", "slices cut: `(x[:, :c], x[:, c:])`"},
    {"interpolate", "`x -> resize((h, w))`, `x -> upsample(2)`"},
    {"einsum", "`a @ b` is the matrix product, `*` and `sum(x, axes = 1)` do the rest"},
    {"matmul", "`a @ b` is the matrix product"},
    {"bmm", "`a @ b` is the matrix product"},
    {"expand", "axes of size 1 stretch in arithmetic; `x + zeros(shape)` makes it so at once"},
    {"masked_fill", "`select(mask, value, x)`"},
};

static const Habit parameters[] = {
    {"padding", "pad"}, {"kernel_size", "kernel"}, {"out_channels", "out"}, {"out_features", "out"}, {"padding_mode", "pad_mode"},
    {"dim", "axis"}, {"dim", "axes"}, {"dims", "axes"}, {"dims", "order"}, {"keepdim", "keep"}, {"scale_factor", "scale"},
    {"num_heads", "heads"}, {"num_groups", "groups"}, {"negative_slope", "slope"}, {"upscale_factor", "r"},
};

/* PyTorch's classes are `Linear`, its functions `linear`. */
static bool same_word(const char *a, const char *b) {
    if (strlen(b) == 1 || strlen(a) == 1) return !strcmp(a, b);
    while (*a && tolower((unsigned char)*a) == *b) a++, b++;
    return !*a && !*b;
}

const char *habit_help(const char *name) {
    for (int i = 0; i < COUNT_OF(names); i++)
        if (same_word(name, names[i].word)) return names[i].help;
    return NULL;
}

const char *habit_parameter(const char *name, const char *const *known, int count) {
    for (int i = 0; i < COUNT_OF(parameters); i++)
        for (int k = 0; k < count && !strcmp(name, parameters[i].word); k++)
            if (!strcmp(parameters[i].help, known[k])) return known[k];
    return NULL;
}
