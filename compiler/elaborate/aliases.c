/* Names from other frameworks, and what they are in cai: help for unknown names. */
#include "elaborate/evaluator.h"

#include <ctype.h>

typedef struct Alias {
    const char *words, *help; /* words: in small letters, separated by blanks */
} Alias;

/* Functions, layers and methods of PyTorch, Keras, NumPy and ONNX. A name that differs
 * from ours only by case, by `_` or by a final `2d` (`LeakyReLU`, `batch_norm`,
 * `MaxPool2d`) needs no row: nearest_name finds it. */
static const Alias names[] = {
    {"nn layers keras", "layers need no prefix: `x -> conv(8, 3) -> batchnorm -> relu`"},
    {"F", "layers and functions need no prefix: `x -> relu`"},
    {"torch tf tensorflow", "functions need no prefix: `(a, b) -> concat`, `exp(x)`"},
    {"np numpy math jnp", "functions need no prefix: `exp(x)`"},
    {"self", "a layer is made where it runs, `x -> conv(8, 3)`, or bound to a name first, `c = conv(8, 3)`"},
    {"linear gemm fc fullyconnected innerproduct",
     "a linear layer is `dense(out)`: the size of its input is known"},
    {"conv2d convolution",
     "`x -> conv(8, 3)`: the output channels and the kernel; the input channels are known"},
    {"depthwiseconv separableconv",
     "`x -> depthwise(3)` convolves each channel by itself, and `x -> pointwise(8)` mixes them"},
    {"conv1d",
     "`conv` is for [N, C, H, W]: turn a sequence into a picture of one row, `reshape(x, [N, C, 1, L]) -> conv(8, (1, 3))`"},
    {"conv3d convtranspose3d maxpool3d avgpool3d batchnorm3d",
     "cai is for pictures: layers have a height and a width, and no depth"},
    {"convtranspose2d conv2dtranspose deconv deconvolution",
     "`x -> conv_transpose(8, 4, stride = 2, pad = 1)`: the input channels are known"},
    {"maxpooling", "`x -> maxpool(2)`"},
    {"averagepool averagepooling avgpooling meanpool", "`x -> avgpool(2)`"},
    {"globalaveragepool globalaveragepooling", "`x -> global_avgpool` gives [N, C]"},
    {"globalmaxpooling", "`x -> global_maxpool` gives [N, C]"},
    {"adaptivemaxpool",
     "`x -> global_maxpool`, or `x -> maxpool(kernel)` with the kernel that gives the size"},
    {"batchnorm2d batchnorm1d batchnormalization syncbatchnorm bn",
     "`x -> batchnorm`: its channels are known"},
    {"layernormalization ln", "`x -> layernorm`: its channels are known"},
    {"groupnormalization gn", "`x -> groupnorm(32)`, with the number of groups"},
    {"instancenormalization", "`x -> instancenorm`"},
    {"lrn localresponsenormalization", "`x -> local_response_norm`"},
    {"spectralnorm",
     "it is a setting: `conv(8, 3, spectral = true)`, and so of `conv_transpose` and `dense`"},
    {"weightnorm",
     "there is none: fold it into the weights before they are saved (`torch.nn.utils.remove_weight_norm`)"},
    {"activation", "the activation is a stage of its own: `x -> conv(8, 3) -> relu`"},
    {"lrelu", "`x -> leaky_relu(0.2)`"},
    {"swish", "swish is `silu`"},
    {"hardtanh clip clipbyvalue", "`x -> clamp(-1, 1)`"},
    {"threshold", "`select(x > 0.1, x, 0.0)`"},
    {"glu", "`a * sigmoid(b)` of the two halves: `(a, b) = (x[:, :c], x[:, c:])`"},
    {"logsumexp", "`log(sum(exp(x), axes = 1))`"},
    {"softmin", "`-x -> softmax`"},
    {"cat concatenate hstack vstack merge",
     "`(a, b) -> concat` joins tensors along the channels, `concat(axis = 2)` along another axis"},
    {"add mul sub div multiply subtract divide truediv addition",
     "arithmetic is infix: `a + b`, `a - b`, `a * b`, `a / b`"},
    {"maximum minimum", "`max(a, b)` and `min(a, b)` are element by element"},
    {"amax amin reducemax reducemin", "`x -> reduce_max(1)`, `x -> reduce_min(1)` over axis 1"},
    {"max min",
     "over axes `x -> reduce_max(1)`, `x -> reduce_min(1)`; element by element `max(a, b)`, `min(a, b)`"},
    {"var std", "`x -> reduce_var(1)` is the variance over axis 1, `sqrt` of it the deviation"},
    {"reducesum", "`sum(x, axes = 1)`"},
    {"reducemean", "`mean(x, axes = 1)`"},
    {"pow power square", "a power is written `x ** 2`"},
    {"rsqrt", "`1 / sqrt(x)`"},
    {"reciprocal", "`1 / x`"},
    {"fmod mod remainder", "`a % b` is the remainder"},
    {"equal eq ne lt le gt ge greater less", "comparisons are infix: `a == b`, `a < b`"},
    {"logicaland logicalor logicalnot", "`a and b`, `a or b`, `not a`"},
    {"where", "`select(condition, a, b)` chooses element by element"},
    {"maskedfill", "`select(mask, value, x)`"},
    {"sequential", "layers in sequence are written in braces: `{ conv(8, 3) -> relu }`"},
    {"modulelist moduledict",
     "write layers in a list, or in a loop with labels: `x -> \"layers.{i}\": conv(8, 3)`"},
    {"module model", "to declare a layer, write a block: `block name(made_with)(x) { return x -> relu }`"},
    {"parameter variable", "a weight is `w = param([8, 3])`, and `state(...)` one that is not trained"},
    {"registerbuffer",
     "`name = state(shape)` is saved and not trained; what can be computed is a tensor, `zeros(shape)`"},
    {"input inputlayer placeholder", "inputs are in the model's last list: `model m(x: f32[N, 3, H, W])`"},
    {"identity", "an optional stage is `if c { stage }`"},
    {"lambda", "a function is a block: `block f(x) { return 2 * x }`"},
    {"null nil nullptr", "did you mean `none`?"},
    {"print printf",
     "nothing is printed while compiling: `cai summary` shows all shapes, `assert false, \"{x.shape}\"` one"},
    {"view reshape resizeas", "`reshape(x, [N, -1])`, or `x -> flatten`"},
    {"size length numel", "sizes are `x.shape[0]`, `x.batch`, `x.channels`, `x.height`, `x.width`"},
    {"dim ndim ndimension", "the number of axes is `x.rank`"},
    {"dtype", "the type is `x.type`"},
    {"T mT transpose swapaxes movedim moveaxis",
     "`permute(x, (0, 2, 1))` orders axes, `swap_last(x)` swaps the last two"},
    {"permute", "`permute(x, (0, 2, 1))`: the axes in their new order"},
    {"unsqueeze expanddims newaxis", "`x[:, none]` has a new axis of size 1"},
    {"squeeze",
     "`reshape(x, [N, C])`, with the sizes that it is to have; an index takes its axis away, `x[:, 0]`"},
    {"contiguous clone copy", "tensors never change and are always contiguous: leave it out"},
    {"cuda cpu to eval train half float double requiresgrad device nograd",
     "programs compute in f32 on the CPU, and only run: leave it out"},
    {"long int type astype", "`cast(x, type = \"i32\")`"},
    {"item numpy tolist data", "a tensor's values are known only when the program runs"},
    {"detach stopgradient", "`stop(x)` lets no gradient pass"},
    {"backward", "`grad(y, x)` is the derivative of y by x"},
    {"chunk split unbind unstack", "slices cut: `(a, b) = (x[:, :c], x[:, c:])`"},
    {"narrow slice select", "slices cut: `x[:, 2:5]`; an int takes its axis away, `x[:, 0]`"},
    {"gather indexselect embedding",
     "an i32 tensor as index gathers, `table[places]`; `take_along(x, index, axis = 1)` along an axis"},
    {"topk", "`(values, places) = top_k(x, 5)`"},
    {"interpolate upsamplingnearest upsamplingbilinear upsampling resizebilinear",
     "`x -> resize((h, w))`, `x -> upsample(2, mode = \"bilinear\")`"},
    {"zeropadding zeropad reflectionpad replicationpad constantpad mirrorpad",
     "`x -> pad((1, 1, 1, 1), mode = \"zero\")`: top, bottom, left, right"},
    {"cropping centercrop", "`x -> crop_like(y)` cuts to the size of y, `x[:, :, 1:-1, 1:-1]` cuts a border"},
    {"unfold im2col extractimagepatches",
     "patches side by side are `x -> pixel_unshuffle(r)`; ones that overlap are slices, `x[:, :, i:i + h, j:j + w]`, joined by `concat`"},
    {"fold col2im",
     "patches side by side become a picture by `x -> pixel_shuffle(r)`; ones that overlap are padded, `x -> pad(..)`, and added"},
    {"depthtospace", "`x -> pixel_shuffle(r)`"},
    {"spacetodepth", "`x -> pixel_unshuffle(r)`"},
    {"channelshuffle", "`reshape` to [N, g, C / g, H, W], `permute` the two axes, `reshape` back"},
    {"einsum tensordot", "`a @ b` is the matrix product, `*` and `sum(x, axes = 1)` do the rest"},
    {"matmul bmm mm dot", "`a @ b` is the matrix product"},
    {"lstmcell grucell rnncell",
     "`use recurrent` has whole layers, `x -> lstm(64)`; a cell of your own is a block, `cell = gate(64)`, run in a loop, `for i in 0 .. steps { h = (x[:, i], h) -> cell }`"},
    {"multiheadattention", "`x -> multihead_attention(8)`, or `(q, k, v) -> multihead_attention(8)`"},
    {"scaleddotproductattention", "`scaled_attention(q, k, v)`"},
    {"transformerencoderlayer transformer",
     "it is made of `attention`, `layernorm` and `dense`: examples/vit.cai has one"},
    {"expand broadcastto expandas tile",
     "axes of size 1 stretch in arithmetic; `x + zeros(shape)` makes it so at once"},
    {"repeat repeatinterleave",
     "axes of size 1 stretch in arithmetic; `concat` of several puts copies side by side"},
    {"rand randn", "`uniform(2, 3)` in 0..1 and `normal(2, 3)` are random"},
    {"eye onehot", "`select(arange(n) == label, 1.0, 0.0)`; `use gan` has `one_hot`"},
    {"append push extend", "lists don't change: `xs = xs + [x]`"},
    {"linspace", "`arange(n, dtype = \"f32\") * step`"},
    {"mseloss crossentropyloss bceloss l1loss", "losses are `mse`, `l1`, `cross_entropy` and `bce_logits`"},
};

/* Methods of lists: a list is a value, and never changes. */
static const Alias methods[] = {
    {"append push add pushback", "lists don't change: `xs = xs + [x]`"},
    {"extend concat update", "lists don't change: `xs = xs + ys`"},
    {"insert", "lists don't change: `xs = xs[:i] + [x] + xs[i:]`"},
    {"pop remove delete clear",
     "lists don't change: `xs[:-1]` is the list without its last item, `xs[1:]` without its first"},
    {"length size count len shape", "the number of items is `len(xs)`"},
    {"reverse", "lists don't change: `reversed(xs)`"},
    {"items keys values get",
     "values with names are a tuple, `(low = a, high = b)`, read as `t.low` or `t[\"low\"]`"},
};

static const struct {
    const char *word, *name;
} parameters[] = {
    {"padding", "pad"},
    {"kernel_size", "kernel"},
    {"out_channels", "out"},
    {"out_features", "out"},
    {"padding_mode", "pad_mode"},
    {"dim", "axis"},
    {"dim", "axes"},
    {"dims", "axes"},
    {"dims", "order"},
    {"keepdim", "keep"},
    {"scale_factor", "scale"},
    {"num_heads", "heads"},
    {"num_groups", "groups"},
    {"negative_slope", "slope"},
    {"upscale_factor", "r"},
    {"filters", "out"},
    {"units", "out"},
    {"strides", "stride"},
    {"dilation_rate", "dilation"},
    {"epsilon", "eps"},
};

/* A word of one letter, or with a capital, must match exactly. */
static bool is_word_of_name(const char *name, const char *word, size_t length) {
    bool exact = length == 1 || isupper((unsigned char)*word);
    if (exact || !name[1]) return strlen(name) == length && !strncmp(name, word, length);
    const char *end = word + length;
    while (word < end && tolower((unsigned char)*name) == *word) {
        name++, word++;
        while (*name == '_') name++;
    }
    return word == end && (!*name || !strcasecmp(name, "2d"));
}

static const char *find_alias(const Alias *aliases, int count, const char *name) {
    for (int i = 0; i < count; i++)
        for (const char *word = aliases[i].words; *word; word += strspn(word, " ")) {
            size_t length = strcspn(word, " ");
            if (is_word_of_name(name, word, length)) return aliases[i].help;
            word += length;
        }
    return NULL;
}

const char *alias_help(const char *name) { return find_alias(names, COUNT_OF(names), name); }
const char *alias_of_lists(const char *name) { return find_alias(methods, COUNT_OF(methods), name); }

const char *alias_parameter(const char *name, const char *const *known, int count) {
    for (int i = 0; i < COUNT_OF(parameters); i++)
        for (int k = 0; k < count && !strcmp(name, parameters[i].word); k++)
            if (!strcmp(parameters[i].name, known[k])) return known[k];
    return NULL;
}
