#!/usr/bin/env python3
"""Writes library.txt: what the blocks of stdlib/ give, computed by PyTorch in float64; tests/unit/library.c reads it. Run it here, with
python3-torch, when a case is added.

A case is two lines: the text of a model (behind `use FILE`, where its blocks are no part of the prelude), and `expect SHAPE STEP V...`, every STEP-th value of its output. Inputs are
sin(0.37 i + k) + 0.25 cos(1.7 i) for the k-th input's element i (i32: i mod 3); weights are those of --init 7 (see compiler/weights/init.c)."""
import math
import os
import struct
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision

for above in ("..", "../.."):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), above))
import verbs
from draws import MASK, fnv1a64, splitmix64, units

torch.set_default_dtype(torch.float64)
SAMPLES = 24
run_seed = 7  # of what is drawn
training = False  # whether modules are, and gradients by weights are wanted: tests/numerics/gradients/make.py
leaves, modules = [], []  # in training: (path, weight), and all modules


def f32(x):
    return struct.unpack("f", struct.pack("f", x))[0]


def weight(path, shape, declared=None, state=False, seed=7):
    """A weight as --init draws it: `declared` is its init in the .cai text."""
    stream, fan_in = splitmix64(seed ^ fnv1a64(path)), max(math.prod(shape[1:]), 1)
    bound = f32(math.sqrt(5.0 / fan_in)) if len(shape) >= 2 and not state else f32(0.1)
    values = []
    for i in range(math.prod(shape)):
        u = (splitmix64((stream + i) & MASK) >> 40) / 2**24
        values.append(f32(f32(2 * u - 1) * f32(math.sqrt(3))) if declared == "normal" else f32(0.5 + u) if declared == 1 else f32(declared) if declared else f32(f32(2 * u - 1) * bound))
    made = torch.tensor(values).reshape(shape)
    if training and not state:
        leaves.append((path, made.requires_grad_()))
    return made


def source(shape, k, integer=False):
    i = torch.arange(math.prod(shape))
    return (i % 3 if integer else torch.sin(0.37 * i + k) + 0.25 * torch.cos(1.7 * i)).reshape(shape)


NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.LayerNorm, nn.GroupNorm)


def load(module, prefix):
    """Gives a PyTorch module the weights that the same stage has in cai under this path."""
    state = {}
    for name, part in module.named_modules():
        for key, value in list(part.named_parameters(recurse=False)) + list(part.named_buffers(recurse=False)):
            path = ".".join(p for p in (prefix, name, key) if p)
            full = ".".join(p for p in (name, key) if p)
            if key == "num_batches_tracked":
                state[full] = value
                continue
            declared = 0.25 if isinstance(part, nn.PReLU) else 1 if key == "running_var" or (isinstance(part, NORMS) and key == "weight") else None
            state[full] = weight(path, tuple(value.shape), declared, key.startswith("running") or key in ("weight_u", "weight_v")).detach()
            if key in ("weight_u", "weight_v"):  # which PyTorch keeps at length 1
                state[full] = F.normalize(state[full], dim=0)
    module.load_state_dict(state)
    if training:
        modules.append(module)
        leaves.extend((f"{prefix}.{name}", value) for name, value in module.named_parameters())
    return module.train(training)


lines = []


def case(model, inputs, function):
    """inputs: shapes in order, i32 ones as (shape, 'i')."""
    tensors = [source(s[0], k, True) if isinstance(s[-1], str) else source(s, k) for k, s in enumerate(inputs)]
    with torch.no_grad():
        y = function(*tensors)
    step = -(-y.numel() // SAMPLES)
    values = " ".join(f"{v:.12g}" for v in y.double().reshape(-1)[::step].tolist())
    lines.append(model)
    lines.append(f"expect {','.join(map(str, y.shape)) or '-'} {step} {values}")


def text(shape):
    if isinstance(shape[-1], str):
        return f"i32{list(shape[0])}"
    return f"f32{list(shape)}"


def stage(written, module, shape=(2, 8, 12, 10), use=None):
    """x -> l: STAGE against a module, or a function of x."""
    if isinstance(module, nn.Module):
        load(module, "l")
    case(f"{f'use {use} ' if use else ''}model m(x: {text(shape)}) {{ return x -> l: {written} }}", [shape], module)


def expression(written, shapes, function, use=None):
    names = "xyz"
    signature = ", ".join(f"{names[k]}: {text(s)}" for k, s in enumerate(shapes))
    case(f"{f'use {use} ' if use else ''}model m({signature}) {{ return {written} }}", shapes, function)


def convolutions():
    stage("conv(6, 3)", nn.Conv2d(8, 6, 3, padding=1))
    stage("conv(6, (3, 5), stride = (2, 1), dilation = 2)", nn.Conv2d(8, 6, (3, 5), stride=(2, 1), dilation=2, padding=(2, 4)))
    stage("conv(6, 4, stride = 2, pad = 1, groups = 2, bias = false)", nn.Conv2d(8, 6, 4, stride=2, padding=1, groups=2, bias=False))
    stage('conv(6, 3, pad_mode = "reflect")', nn.Conv2d(8, 6, 3, padding=1, padding_mode="reflect"))
    stage('conv(6, 5, pad_mode = "replicate", stride = 2)', nn.Conv2d(8, 6, 5, padding=2, padding_mode="replicate", stride=2))
    w, b = weight("l.weight", (6, 8, 3, 3)), weight("l.bias", (6,))
    stage("conv(6, 3, pad = (0, 1, 2, 0))", lambda x: F.conv2d(F.pad(x, (2, 0, 0, 1)), w, b))
    stage('conv(6, 3, stride = 2, pad = "same_upper")', lambda x: F.conv2d(F.pad(x, (0, 1, 0, 1)), w, b, stride=2))
    stage('conv(6, 3, stride = 2, pad = "same_lower")', lambda x: F.conv2d(F.pad(x, (1, 0, 1, 0)), w, b, stride=2))
    stage('conv(6, 3, pad = "valid")', lambda x: F.conv2d(x, w, b))
    stage("depthwise(3, multiplier = 2)", nn.Conv2d(8, 16, 3, padding=1, groups=8))
    stage("conv_transpose(6, 3, stride = 2, pad = 1, output_padding = 1)", nn.ConvTranspose2d(8, 6, 3, stride=2, padding=1, output_padding=1))
    stage("conv_transpose(6, 4, stride = 2, pad = 1, groups = 2, dilation = 2)",
          nn.ConvTranspose2d(8, 6, 4, stride=2, padding=1, groups=2, dilation=2))
    stage("upconv(4)", nn.ConvTranspose2d(8, 4, 2, stride=2))
    stage("dense(7)", nn.Linear(10, 7), (2, 3, 10))
    stage("dense(7)", nn.Linear(10, 7), (2, 10))


def folds():
    expression("x -> fold((7, 9), (2, 3), stride = (1, 2), pad = 1, dilation = (2, 1))", [(2, 12, 35)],
               lambda x: F.fold(x, (7, 9), (2, 3), dilation=(2, 1), padding=1, stride=(1, 2)))
    expression("x -> fold((8, 6), 2, stride = 2)", [(2, 8, 12)], lambda x: F.fold(x, (8, 6), 2, stride=2))


def kernels_for_each_sample():
    """PyTorch's grouped trick: one picture with all channels of the batch, and a group for each sample."""
    def each(function, out, groups=1, **settings):
        def run(x, w):
            y = function(x.reshape(1, -1, *x.shape[2:]), w.reshape(-1, *w.shape[2:]), groups=len(x) * groups, **settings)
            return y.reshape(len(x), out, *y.shape[2:])
        return run
    x = (3, 4, 7, 6)
    expression("convolve(x, y)", [x, (3, 5, 4, 3, 3)], each(F.conv2d, 5, padding=1))
    expression("x -> convolve(y, stride = 2, groups = 2, dilation = (1, 2), pad = (1, 0))", [x, (3, 6, 2, 2, 3)],
               each(F.conv2d, 6, 2, stride=2, dilation=(1, 2), padding=(1, 0)))
    expression('convolve(x, y, pad_mode = "reflect")', [x, (3, 5, 4, 3, 3)], lambda x, w: each(F.conv2d, 5)(F.pad(x, (1,) * 4, mode="reflect"), w))
    expression('convolve(x, y, stride = 3, pad = "same_upper")', [x, (3, 2, 4, 3, 3)], lambda x, w: each(F.conv2d, 2, stride=3)(F.pad(x, (0, 0, 1, 1)), w))
    expression("convolve_transposed(x, y, stride = 2, pad = 1, output_padding = 1)", [x, (3, 4, 5, 3, 3)],
               each(F.conv_transpose2d, 5, stride=2, padding=1, output_padding=1))
    expression("x -> convolve_transposed(y, stride = (2, 3), groups = 2, dilation = 2)", [x, (3, 4, 3, 2, 3)],
               each(F.conv_transpose2d, 6, 2, stride=(2, 3), dilation=2))


def spectral_norms():
    spectral = nn.utils.spectral_norm
    stage("conv(6, 3, stride = 2, spectral = true)", spectral(nn.Conv2d(8, 6, 3, stride=2, padding=1)))
    stage("conv(6, 3, groups = 2, bias = false, spectral = true)", spectral(nn.Conv2d(8, 6, 3, padding=1, groups=2, bias=False)))
    stage("conv_transpose(6, 4, stride = 2, pad = 1, spectral = true)", spectral(nn.ConvTranspose2d(8, 6, 4, stride=2, padding=1)))
    stage("dense(7, spectral = true)", spectral(nn.Linear(10, 7)), (2, 3, 10))


def norms():
    stage("batchnorm", nn.BatchNorm2d(8))
    stage("batchnorm", nn.BatchNorm1d(8), (2, 8))
    stage("batchnorm(eps = 1e-3, affine = false)", nn.BatchNorm2d(8, eps=1e-3, affine=False))
    stage("instancenorm", nn.InstanceNorm2d(8))
    stage("instancenorm(affine = true)", nn.InstanceNorm2d(8, affine=True))
    stage("layernorm", nn.LayerNorm(10))
    over_channels = load(nn.LayerNorm(8, eps=1e-3), "l")
    stage("layernorm(eps = 1e-3, axis = 1)", lambda x: over_channels(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
    stage("groupnorm(4)", nn.GroupNorm(4, 8))
    stage("pixelnorm", lambda x: x / torch.sqrt((x * x).mean(1, keepdim=True) + 1e-8))
    stage("local_response_norm(5, alpha = 0.3, beta = 0.6, k = 2.0)", nn.LocalResponseNorm(5, 0.3, 0.6, 2))
    stage("local_response_norm(4)", nn.LocalResponseNorm(4))
    stage("caffe_pixels", lambda x: 255 * x.flip(1) - torch.tensor((103.939, 116.779, 123.68)).view(1, 3, 1, 1), (2, 3, 5, 4))
    stage("normalize(mean = [0.1] * 8, std = [0.5] * 8)", lambda x: (x - 0.1) / 0.5)


def ranks():
    """Blocks that take tensors of several ranks."""
    shapes = [(2, 8), (2, 8, 5), (2, 8, 4, 5), (2, 8, 3, 4, 5)]
    for shape, batch, instance in zip(shapes, (nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d),
                                      (None, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)):
        stage("prelu(per_channel_slopes = true)", nn.PReLU(8), shape)
        stage("prelu", nn.PReLU(), shape)
        stage("batchnorm", batch(8), shape)
        stage("groupnorm(4)", nn.GroupNorm(4, 8), shape)
        if instance:
            stage("instancenorm(affine = true)", instance(8, affine=True), shape)
            stage("local_response_norm(3, alpha = 0.3)", nn.LocalResponseNorm(3, 0.3), shape)
        for axis in range(1, len(shape)):  # over any axis, which PyTorch's layer takes as the last
            norm = load(nn.LayerNorm(shape[axis]), "l")
            stage(f"layernorm(axis = {axis})", lambda x: norm(x.movedim(axis, -1)).movedim(-1, axis), shape)
        expression(f"x * per_channel(y, rank = {len(shape)})", [shape, (8,)], lambda x, y: x * y.reshape([8] + [1] * (len(shape) - 2)))
        expression(f"x * per_channel(y, rank = {len(shape)})", [shape, (2, 8)], lambda x, y: x * y.reshape([2, 8] + [1] * (len(shape) - 2)))


def dropped(x):
    return torch.where(drawn("l#0", x.shape) < 0.5, torch.zeros((), dtype=x.dtype), 2 * x)


def activations():
    modules = dict(relu=nn.ReLU(), relu6=nn.ReLU6(), elu=nn.ELU(), selu=nn.SELU(), gelu=nn.GELU(), silu=nn.SiLU(), sigmoid=nn.Sigmoid(),
                   tanh=nn.Tanh(), hardswish=nn.Hardswish(),
                   hardsigmoid=lambda x: F.relu6(x + 3) / 6,  # PyTorch's own has the 1/6 of f32 as its derivative
                   softplus=nn.Softplus(), mish=nn.Mish(),
                   leaky_relu=nn.LeakyReLU(), softmax=nn.Softmax(-1), log_softmax=nn.LogSoftmax(-1), prelu=nn.PReLU(), dropout=dropped if training else nn.Identity())
    for name, module in modules.items():
        stage(name, module)
    stage("leaky_relu(0.2)", nn.LeakyReLU(0.2))
    stage("softmax(axis = 1)", nn.Softmax(1))
    stage("log_softmax(axis = 2)", nn.LogSoftmax(2))
    stage("hardsigmoid(slope = 0.2)", lambda x: (0.2 * x + 0.5).clamp(0, 1))
    stage("hardsigmoid(slope = 2, shift = -0.5)", lambda x: F.hardtanh(2 * x - 0.5, 0, 1))
    slopes(modules)


def slopes(modules):
    """Derivatives, at 0 and where several are the largest too."""
    def gradient(function, value):
        def run(x, y):
            with torch.enable_grad():
                x = x.detach().clone().requires_grad_()
                (function(x - x.detach() + value(x.detach())) * y).sum().backward()
            return x.grad
        return run
    zero, steps = ("x - stop(x)", torch.zeros_like), ("x - stop(x) + stop(round(2 * x))", lambda x: (2 * x).round())
    for name in ("leaky_relu", "elu", "selu", "gelu", "silu", "softplus", "mish", "relu", "hardsigmoid", "log_softmax"):
        for written, value in (zero, steps):
            expression(f"grad(sum(({written} -> {name}) * y), x)", [(2, 7), (2, 7)], gradient(modules[name], value))
    expression("grad(x - stop(x) -> bce_logits(target = y), x)", [(7,), (7,)], lambda x, y: (0.5 - y) / 7)

    def curve(function):
        def run(x):
            with torch.enable_grad():
                x = torch.zeros_like(x).requires_grad_()
                slope, = torch.autograd.grad(function(x).sum(), x, create_graph=True)
                slope.sum().backward()
            return x.grad
        return run
    for name in ("silu", "softplus", "mish"):
        expression(f"grad(sum(grad(sum(x - stop(x) -> {name}), x)), x)", [(3,)], curve(modules[name]))


def pools():
    stage("maxpool(2)", nn.MaxPool2d(2))
    stage("maxpool(3, stride = 2, pad = 1)", nn.MaxPool2d(3, 2, 1))
    stage("maxpool(3, stride = 2, ceil_mode = true)", nn.MaxPool2d(3, 2, ceil_mode=True))
    stage("maxpool(2, stride = 3, pad = 1, ceil_mode = true)", nn.MaxPool2d(2, 3, 1, ceil_mode=True))
    stage("maxpool((3, 2), stride = (1, 2), dilation = 2)", nn.MaxPool2d((3, 2), (1, 2), dilation=2))
    stage('maxpool(3, stride = 2, pad = "same_upper")', lambda x: F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-math.inf), 3, 2))
    stage("avgpool(2)", nn.AvgPool2d(2))
    stage("avgpool(3, stride = 2, pad = 1)", nn.AvgPool2d(3, 2, 1))
    stage("avgpool(3, stride = 2, pad = 1, count_include_pad = false)", nn.AvgPool2d(3, 2, 1, count_include_pad=False))
    stage("avgpool(3, stride = 2, ceil_mode = true)", nn.AvgPool2d(3, 2, ceil_mode=True))
    stage("avgpool(3, stride = 2, pad = 1, ceil_mode = true)", nn.AvgPool2d(3, 2, 1, ceil_mode=True))
    stage("avgpool(3, stride = 2, pad = 1, ceil_mode = true, count_include_pad = false)", nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False))
    stage("avgpool(2, stride = 3, pad = 1, ceil_mode = true)", nn.AvgPool2d(2, 3, 1, ceil_mode=True))
    for size in ((1, 1), (1, 4), (2, 3), (5, 6)):  # the last window hangs over, the only one too, or would begin in the padding behind
        shape = (2, 3, *size)
        stage("maxpool(2, ceil_mode = true)", nn.MaxPool2d(2, ceil_mode=True), shape)
        stage("maxpool(2, stride = 3, pad = 1, ceil_mode = true)", nn.MaxPool2d(2, 3, 1, ceil_mode=True), shape)
        stage("avgpool(2, ceil_mode = true)", nn.AvgPool2d(2, ceil_mode=True), shape)
        stage("avgpool(3, stride = 4, pad = 1, ceil_mode = true)", nn.AvgPool2d(3, 4, 1, ceil_mode=True), shape)
        stage("avgpool(3, stride = 4, pad = 1, ceil_mode = true, count_include_pad = false)", nn.AvgPool2d(3, 4, 1, ceil_mode=True, count_include_pad=False), shape)
    # What PyTorch has not: a dilation of means, and padding over half a window, by numbers written around the map.
    padded = lambda x, pad, value: F.pad(x, (pad, pad, pad, pad), value=value)
    def sums(x, kernel, dilation=1, stride=1):
        return F.conv2d(x.reshape(-1, 1, *x.shape[2:]), torch.ones(1, 1, kernel, kernel), stride=stride, dilation=dilation).unflatten(0, x.shape[:2]).squeeze(2)
    def means(x, pad, *window):
        return sums(padded(x, pad, 0), *window) / sums(padded(torch.ones_like(x), pad, 0), *window).clamp(min=1)
    stage("avgpool(3, stride = 1, dilation = 2)", lambda x: sums(x, 3, 2) / 9)
    stage("avgpool(2, stride = 2, pad = 1, dilation = 3)", lambda x: sums(padded(x, 1, 0), 2, 3, 2) / 4)
    stage("avgpool(2, stride = 2, pad = 1, dilation = 3, count_include_pad = false)", lambda x: means(x, 1, 2, 3, 2))
    stage("maxpool(2, stride = 1, pad = 3)", lambda x: F.max_pool2d(padded(x, 3, -math.inf), 2, 1))
    stage("avgpool(2, stride = 1, pad = 3)", lambda x: sums(padded(x, 3, 0), 2) / 4)
    stage("avgpool(2, stride = 1, pad = 3, count_include_pad = false)", lambda x: means(x, 3, 2))
    stage("global_avgpool", lambda x: x.mean((2, 3)))
    unpooled = lambda *window, **more: (lambda x: F.max_unpool2d(*F.max_pool2d(x, *window, **more, return_indices=True), *window, output_size=x.shape[2:]))
    stage("maxpool(2, ceil_mode = true) -> maxunpool(2, like = x, ceil_mode = true)", unpooled(2, ceil_mode=True), (2, 3, 5, 7))
    stage("maxpool(2) -> maxunpool(2, like = x)", unpooled(2))
    stage("maxpool((2, 3), stride = 3, pad = 1) -> maxunpool((2, 3), like = x, stride = 3, pad = 1)", unpooled((2, 3), 3, 1))
    stage("global_maxpool", lambda x: x.amax((2, 3)))
    stage("adaptive_avgpool((3, 5))", nn.AdaptiveAvgPool2d((3, 5)))
    stage("adaptive_avgpool(1)", nn.AdaptiveAvgPool2d(1))
    stage("adaptive_avgpool((7, 13))", nn.AdaptiveAvgPool2d((7, 13)))


def sizes():
    resize = lambda *a, **k: (lambda x: F.interpolate(x, *a, **k))
    stage("upsample(2)", nn.Upsample(scale_factor=2))
    stage('upsample(2, mode = "bilinear")', nn.Upsample(scale_factor=2, mode="bilinear"))
    stage("resize(size = (7, 23))", resize((7, 23), mode="bilinear"))
    stage('resize(size = (7, 23), rule = "align_corners")', resize((7, 23), mode="bilinear", align_corners=True))
    stage('resize(size = (7, 23), mode = "nearest")', resize((7, 23)))
    stage('resize(size = (7, 23), mode = "cubic")', resize((7, 23), mode="bicubic"))
    stage('resize(scale = 2, mode = "cubic", rule = "align_corners")', resize(scale_factor=2, mode="bicubic", align_corners=True))
    stage('resize(size = (5, 23), mode = "area")', resize((5, 23), mode="area"))
    stage("resize(size = (5, 4), antialias = true)", resize((5, 4), mode="bilinear", antialias=True))
    stage('resize(size = (5, 4), mode = "cubic", antialias = true)', resize((5, 4), mode="bicubic", antialias=True))
    stage("resize(scale = 0.5)", resize(scale_factor=0.5, mode="bilinear"))
    stage('resize(scale = 1.5, mode = "nearest")', resize(scale_factor=1.5))
    stage("reshape(shape = [2, -1, 5])", lambda x: x.reshape(2, -1, 5))
    stage("flatten", nn.Flatten())
    stage("flatten(start = -2)", nn.Flatten(-2))
    stage("flatten(start = 0)", nn.Flatten(0))
    stage("permute(order = (0, 3, 1, 2))", lambda x: x.permute(0, 3, 1, 2))
    stage("pad((1, 2, 0, 3))", lambda x: F.pad(x, (0, 3, 1, 2)))
    stage('pad(2, mode = "reflect")', lambda x: F.pad(x, (2,) * 4, mode="reflect"))
    stage("pad(2, value = 1.5)", lambda x: F.pad(x, (2,) * 4, value=1.5))
    stage("flipped((2, 3))", lambda x: x.flip(2, 3))
    stage("roll(3, 1)", lambda x: x.roll(3, 1))
    stage("roll((-2, 13), (2, -1))", lambda x: x.roll((-2, 13), (2, -1)))
    stage("pixel_shuffle(2)", nn.PixelShuffle(2))
    stage("pixel_unshuffle(2)", nn.PixelUnshuffle(2))
    expression("x -> crop_like(y)", [(2, 3, 9, 8), (2, 3, 5, 4)], lambda x, y: x[:, :, 2:7, 2:6])
    expression("x[:, 1::2, ::3, 2:8:4]", [(2, 8, 12, 10)], lambda x: x[:, 1::2, ::3, 2:8:4])
    expression("grad(sum(x[:, 1::2, ::3] ** 2), x)", [(2, 8, 11)], lambda x: 2 * x * ((torch.arange(8) % 2 == 1)[:, None] & (torch.arange(11) % 3 == 0)))
    expression("(x, y) -> concat", [(2, 3), (2, 4)], lambda x, y: torch.cat([x, y], 1))
    expression("(x, y) -> concat(axis = 0)", [(2, 3), (4, 3)], lambda x, y: torch.cat([x, y], 0))
    expression("(x, y) -> stack(axis = 1)", [(2, 3), (2, 3)], lambda x, y: torch.stack([x, y], 1))
    expression("(x, y) -> stack(axis = -1)", [(2, 3), (2, 3)], lambda x, y: torch.stack([x, y], -1))


def indices():
    """Of x f32[4, 5, 6]; backwards by lists, since PyTorch has no negative steps, all else as PyTorch has it."""
    shape = [(4, 5, 6)]
    for written, expected in [
            ("x[..., 0]", lambda x: x[..., 0]),
            ("x[:, none, ..., none]", lambda x: x[:, None, ..., None]),
            ("x[:, [2, 1, 0]]", lambda x: x[:, [2, 1, 0]]),
            ("x[-1, ..., [[0, -1], [2, 2]]]", lambda x: x[-1][..., torch.tensor([[0, -1], [2, 2]])]),
            ("x[::-1, 1, 4:0:-2]", lambda x: x.flip(0)[:, 1, [4, 2]]),
            ("x[2::-1, ..., ::-3]", lambda x: x[[2, 1, 0]][..., [5, 2]]),
            ("x[[0, -1], [3, 1]]", lambda x: x[[0, -1], [3, 1]]),
            ("x[[[0], [3]], :, [1, 2]]", lambda x: x[torch.tensor([[0], [3]]), :, torch.tensor([1, 2])]),
            ("x[0, none, [4, 1], [5, -6]]", lambda x: x[0, None, [4, 1], [5, -6]]),
            ("grad(sum(x[[3, 3, 0], ::-2, [1, 1, 2]] ** 2), x)",
             lambda x: 2 * x * torch.zeros(4, 5, 6).index_put((torch.tensor([3, 3, 0])[:, None], torch.tensor([4, 2, 0]), torch.tensor([1, 1, 2])[:, None]),
                                                              torch.ones(3, 3), accumulate=True))]:
        expression(written, shape, expected)
    expression("x[:, y, y + 1]", [(2, 4, 5), ((2, 3), "i")], lambda x, y: x[:, y, y + 1])


def orders():
    shapes = [(2, 5, 7), (2, 5, 3)]
    expression("top_k(x, 3)[0]", [(3, 40)], lambda x: x.topk(3)[0])
    expression('cast(top_k(x, 2, axis = 1, largest = false)[1], type = "f32")', shapes[:1], lambda x: x.topk(2, 1, largest=False)[1])
    expression("sort(x, axis = 0)", [(6, 4)], lambda x: x.sort(0)[0])
    expression("sort(x, descending = true)", [(2, 40)], lambda x: x.sort(descending=True)[0])
    expression('cast(argsort(x, axis = 1), type = "f32")', shapes[:1], lambda x: x.argsort(1))
    expression("grad(sum(sort(x, axis = 0) * y), x)", [(6, 4), (6, 4)], lambda x, y: y.gather(0, x.argsort(0).argsort(0)))
    expression("cumsum(x, axis = -1)", [(3, 40)], lambda x: x.cumsum(-1))
    expression("grad(sum(cumsum(x, axis = 0) * y), x)", [(6, 4), (6, 4)], lambda x, y: y.flip(0).cumsum(0).flip(0))
    expression("take_along(x, y, axis = 1)", [(2, 5, 3), ((2, 4, 3), "i")], lambda x, y: x.gather(1, y))
    expression("take_along(x, y)", [(2, 5, 4), ((1, 5, 2), "i")], lambda x, y: x.gather(2, y.expand(2, -1, -1)))
    expression("take_along(x, y - 1, axis = 0)", [(2, 3), ((3, 1), "i")], lambda x, y: x.gather(0, (y - 1).clamp(0, 1).expand(-1, 3)))
    places = torch.tensor([3, 0, 4])
    expression("put(x, tensor([3, 0, 4], dtype = \"i32\"), y)", [(6, 2, 4), (3, 2, 4)], lambda x, y: x.index_copy(0, places, y))
    expression("put(x, tensor([3, 0, 4], dtype = \"i32\"), y, axis = -1)", [(2, 2, 5), (2, 2, 3)], lambda x, y: x.index_copy(2, places, y))
    expression("put(x, tensor(2, dtype = \"i32\"), y)", [(4, 5), (1, 5)], lambda x, y: torch.cat([x[:2], y, x[3:]]))
    expression("put(x, tensor([1, 1], dtype = \"i32\"), y)", [(3, 4), (2, 4)], lambda x, y: torch.stack([x[0], y[1], x[2]]))
    expression("window_at(x, tensor([2, 0], dtype = \"i32\"), tensor([1, 3], dtype = \"i32\"), 3)", [(2, 2, 5, 6)],
               lambda x: torch.stack([x[0, :, 2:5, 1:4], x[1, :, 0:3, 3:6]]))
    expression("window_at(x, tensor([9, -1], dtype = \"i32\"), tensor([0, 0], dtype = \"i32\"), (2, 4))", [(2, 5, 6)],
               lambda x: torch.stack([x[0, 3:5, 0:4], x[1, 0:2, 0:4]]))
    expression("grad(sum(take_along(x, y, axis = 1) ** 2), x)", [(2, 5, 3), ((2, 4, 3), "i")],
               lambda x, y: torch.zeros_like(x).scatter_add(1, y, 2 * x.gather(1, y)))


def boxes():
    def corners(x):
        return torch.cat([x[..., :2], x[..., :2] + x[..., 2:].abs()], -1)

    def places(box, score, most, iou, least, classes=None):
        rows = []
        for n in range(len(box)):
            wanted = torch.nonzero(score[n] > least)[:, 0]
            kinds = torch.zeros(len(wanted)) if classes is None else classes[n][wanted]
            kept = wanted[torchvision.ops.batched_nms(box[n][wanted], score[n][wanted], kinds, iou)][:most]
            rows.append(F.pad(kept, (0, most - len(kept)), value=-1))
        return torch.stack(rows)

    shapes = [(2, 20, 4), (2, 20)]
    boxed = "(x[:, :, 0:2], x[:, :, 0:2] + abs(x[:, :, 2:4])) -> concat(axis = 2)"
    both = lambda x: torch.cat([places(*x), (places(*x) >= 0).sum(1, keepdim=True)], 1)
    written = lambda call: f'cast(({call}[0], reshape({call}[1], [2, 1])) -> concat, type = "f32")'
    expression(written(f"nms({boxed}, y, most = 9, iou = 0.3, score = -0.5)"), shapes, lambda x, y: both((corners(x), y, 9, 0.3, -0.5)))
    expression(written(f"nms({boxed}, y, iou = 0.2)"), shapes, lambda x, y: both((corners(x), y, 100, 0.2, 0.05)))
    expression(written(f"nms({boxed}, y, most = 20, iou = 0.1, score = -2, classes = z)"), shapes + [((2, 20), "i")],
               lambda x, y, z: both((corners(x), y, 20, 0.1, -2, z)))

    def default(x):
        rows = [(8 * c + 4 - 24 * w, 8 * r + 4 - 24 * h, 8 * c + 4 + 24 * w, 8 * r + 4 + 24 * h) for r in range(2) for c in range(3)
                for w, h in ((0.5, 0.5), (0.8, 0.8), (1, 0.25), (0.25, 1))]  # of a picture of 48 pixels; 0.5 * sqrt(4) is held to 1
        return x + torch.tensor(rows)
    expression("x + default_boxes(2, 3, 8, 0.5, 1.28, [4], 48)", [(24, 4)], default, use="detect")

    def moved(x, y):
        width, centre = y[:, 2:] - y[:, :2], (y[:, 2:] + y[:, :2]) / 2 + (y[:, 2:] - y[:, :2]) * x[..., :2] / 10
        half = width / 2 * (x[..., 2:] / 5).exp()
        return torch.cat([centre - half, centre + half], -1)
    expression("moved_boxes(x, y)", [(2, 7, 4), (7, 4)], moved, use="detect")
    expression(f"overlaps({boxed}, (y[:, :, 0:2], y[:, :, 0:2] + abs(y[:, :, 2:4])) -> concat(axis = 2))", [(2, 5, 4), (2, 6, 4)],
               lambda x, y: torch.stack([torchvision.ops.box_iou(a, b) for a, b in zip(corners(x), corners(y))]))

    def found(box, score):
        rows = []
        for n in range(len(box)):
            of_picture = [torch.cat([box[n, i], score[n, i, k, None], torch.tensor([k + 1.0])]) for k in range(3)
                          for i in places(box[n:n + 1], score[n:n + 1, :, k], 20, 0.3, 0.1)[0] if i >= 0]
            best = sorted(of_picture, key=lambda row: -row[4])[:7]
            rows.append(torch.stack(best + [torch.zeros(6)] * (7 - len(best))))
        return torch.stack(rows)
    expression(f"detections({boxed}, y, most = 7, candidates = 20, iou = 0.3, score = 0.1, first = 1)", [(2, 20, 4), (2, 20, 3)],
               lambda x, y: found(corners(x), y).detach(), use="detect")
    matches(corners)


def matches(corners):
    """torchvision's SSD: its matcher, its coder of boxes, and its choice of hard negatives."""
    from torchvision.models.detection import _utils as detection
    things = '((3 * y[:, :, 0:2], 3 * y[:, :, 0:2] + 0.3 + 3 * abs(y[:, :, 2:4])) -> concat(axis = 2), cast(z - 1, type = "f32")) -> concat(axis = 2)'
    own = "(3 * x[:, 0:2], 3 * x[:, 0:2] + 0.3 + 3 * abs(x[:, 2:4])) -> concat(axis = 1)"
    sized = lambda x: torch.cat([3 * x[..., :2], 3 * x[..., :2] + 0.3 + 3 * x[..., 2:].abs()], -1)

    def matched(x, y, z, iou):
        default, matcher, coder = sized(x), detection.SSDMatcher(iou), detection.BoxCoder((10.0, 10.0, 5.0, 5.0))
        for box, kind in zip(sized(y), z[..., 0] - 1):
            box, kind = box[kind >= 0], kind[kind >= 0]
            owner = matcher(torchvision.ops.box_iou(box, default))
            says = coder.encode([box[owner.clamp(0)]], [default])[0]
            yield torch.where((owner >= 0)[:, None], says, 0 * says), torch.where(owner >= 0, kind[owner.clamp(0)] + 1, 0)
    shapes = [(30, 4), (2, 6, 4), ((2, 6, 1), "i")]
    for setting, iou in (("", 0.5), (", iou = 0.3", 0.3)):
        call = f"match({own}, {things}{setting})"
        expression(f"{call}[0]", shapes, lambda x, y, z: torch.stack([m[0] for m in matched(x, y, z, iou)]), use="detect")
        expression(f'cast({call}[1], type = "f32")', shapes, lambda x, y, z: torch.stack([m[1] for m in matched(x, y, z, iou)]), use="detect")

    def hard(cost, kind, ratio):
        found, cost = kind > 0, cost.clone()
        cost[found] = -float("inf")
        rank = cost.sort(1, descending=True)[1].sort(1)[1]
        return (rank < ratio * found.sum(1, keepdim=True)) & ~found
    rare = 'select(x > 0.9, y, 0)'
    for ratio in (1, 3):
        expression(f"hard_negatives(abs(x), {rare}, ratio = {ratio})", [(3, 40), ((3, 40), "i")],
                   lambda x, y: hard(x.abs(), torch.where(x > 0.9, y, 0), ratio), use="detect")


def sampling():
    def gradient(function, by):
        def run(*tensors):
            with torch.enable_grad():
                tensors = [t.detach().clone().requires_grad_() for t in tensors]
                (function(*tensors[:2]) * tensors[2]).sum().backward()
            return tensors[by].grad
        return run

    picture, grid, out = (2, 3, 5, 7), (2, 4, 6, 2), (2, 3, 4, 6)
    for mode in ("bilinear", "nearest"):
        for border in ("zeros", "border", "reflection"):
            for corners in (False, True):
                call = f'grid_sample(x, 1.7 * y, mode = "{mode}", border = "{border}", align_corners = {str(corners).lower()})'
                sample = lambda x, y: F.grid_sample(x, 1.7 * y, mode, border, corners)
                expression(call, [picture, grid], sample)
                if mode == "bilinear" or not corners:
                    expression(f"grad(sum({call} * z), x)", [picture, grid, out], gradient(sample, 0))
                if mode == "bilinear":
                    expression(f"grad(sum({call} * z), y)", [picture, grid, out], gradient(sample, 1))
    expression("grid_sample(x, y)", [(1, 2, 1, 1), (1, 3, 3, 2)], lambda x, y: F.grid_sample(x, y, align_corners=False))
    expression('grid_sample(x, y, border = "reflection", align_corners = true)', [(1, 2, 1, 4), (1, 3, 3, 2)],
               lambda x, y: F.grid_sample(x, y, padding_mode="reflection", align_corners=True))

    for border in ("zeros", "border", "reflection"):
        for corners in (False, True):
            settings = f'border = "{border}", align_corners = {str(corners).lower()}'
            cubic = lambda x, y: F.grid_sample(x, 1.7 * y, "bicubic", border, corners)
            call = f'grid_sample(x, 1.7 * y, mode = "bicubic", {settings})'
            expression(call, [picture, grid], cubic)
            if corners:
                for by in (0, 1):
                    expression(f"grad(sum({call} * z), {'xy'[by]})", [picture, grid, out], gradient(cubic, by))
            for mode in ("bilinear", "nearest"):
                call = f'grid_sample(x, 1.7 * y, mode = "{mode}", {settings})'
                expression(call, [(2, 3, 4, 5, 3), (2, 2, 3, 4, 3)], lambda x, y: F.grid_sample(x, 1.7 * y, mode, border, corners))
    expression("grad(sum(grid_sample(x, y) * z), y)", [(2, 3, 4, 5, 3), (2, 2, 3, 4, 3), (2, 3, 2, 3, 4)],
               gradient(lambda x, y: F.grid_sample(x, y, align_corners=False), 1))
    for corners in (False, True):
        for maps, size in (((2, 2, 3), (4, 5)), ((2, 3, 4), (2, 5, 3))):
            expression(f"affine_grid(x, {size}, align_corners = {str(corners).lower()})", [maps],
                       lambda x: F.affine_grid(x, (2, 1) + size, align_corners=corners))

    def regions(size, scale=1, samples=2, aligned=False):
        def weights(begin, end, n, count):
            span = end - begin if aligned else (end - begin).clamp(min=1)
            at = begin[:, None] + span[:, None] * (torch.arange(n) + 0.5) / n
            beside = (at.clamp(0, count - 1)[..., None] - torch.arange(count)).abs()
            return (1 - beside).clamp(min=0) * ((at >= -1) & (at <= count))[..., None]

        def run(x, y, pictures):
            boxes = torch.cat([2 + 2 * y[:, :2], 2 + 2 * y[:, :2] + 3 * y[:, 2:] ** 2], 1)
            left, top, right, bottom = (boxes * scale - (0.5 if aligned else 0)).T
            rows, columns = weights(top, bottom, size[0] * samples, x.shape[2]), weights(left, right, size[1] * samples, x.shape[3])
            made = F.avg_pool2d(torch.einsum("rij,rkl,rcjl->rcik", rows, columns, x[pictures.long()]), samples)
            theirs = torchvision.ops.roi_align(x, torch.cat([pictures[:, None].to(x), boxes], 1), size, scale, samples, aligned)  # which has no gradient by boxes
            assert torch.allclose(made, theirs, rtol=1e-4, atol=1e-4)
            return made
        return run
    shapes, boxes = [(3, 4, 6, 5), (7, 4), ((7,), "i")], "concat(2 + 2 * y[:, :2], 2 + 2 * y[:, :2] + 3 * y[:, 2:] ** 2)"
    expression(f"roi_align(x, {boxes}, z, (2, 3))", shapes, regions((2, 3)))
    expression(f"roi_align(x, {boxes}, z, 3, scale = 0.5, samples = 3, aligned = true)", shapes, regions((3, 3), 0.5, 3, True))

    def deformed(stride, pad, dilation):
        return lambda x, offset, w: torchvision.ops.deform_conv2d(x, 2 * offset, w, None, stride, pad, dilation)
    shapes = [(2, 4, 6, 7), (2, 36, 6, 7), (6, 2, 3, 3)]
    expression("deform_convolve(x, 2 * y, z, pad = 1, groups = 2)", shapes, deformed(1, 1, 1))
    call = "deform_convolve(x, 2 * y, z, stride = (2, 1), pad = (2, 0), dilation = (2, 1))"
    shapes = [(2, 4, 6, 7), (2, 12, 3, 6), (6, 4, 3, 2)]
    expression(call, shapes, deformed((2, 1), (2, 0), (2, 1)))
    for by in range(3):
        def run(*tensors):
            with torch.enable_grad():
                tensors = [t.detach().clone().requires_grad_() for t in tensors]
                deformed((2, 1), (2, 0), (2, 1))(*tensors).square().sum().backward()
            return tensors[by].grad
        expression(f"grad(sum({call} ** 2), {'xyz'[by]})", shapes, run)
    expression("deform_convolve(x, x[:, :18], y, mask = z, pad = 1)", [(2, 20, 5, 6), (3, 20, 3, 3), (2, 18, 5, 6)],
               lambda x, w, mask: torchvision.ops.deform_conv2d(x, x[:, :18], w, None, 1, 1, 1, mask[:, :9]))

    def warp(border):
        def run(x, flow):
            rows, columns = torch.meshgrid(torch.arange(5.0), torch.arange(7.0), indexing="ij")
            at = torch.stack([(columns + flow[:, 0]) / 3 - 1, (rows + flow[:, 1]) / 2 - 1], -1)
            return F.grid_sample(x, at, padding_mode=border, align_corners=True)
        return run
    for border in ("zeros", "border"):
        expression(f'warp(x, 3 * y, border = "{border}")', [picture, (2, 2, 5, 7)], lambda x, y: warp(border)(x, 3 * y))


def drawn(stream, shape):
    """uniform's numbers."""
    begin = splitmix64(run_seed ^ fnv1a64(stream))
    return torch.tensor(units(begin, math.prod(shape))).reshape(shape)


def normal(layer, shape):
    return (-2 * torch.log(1 - drawn(layer + "#0", shape))).sqrt() * torch.cos(2 * math.pi * drawn(layer + "#1", shape))


def noise():
    expression("x + uniform(2, 30)", [(2, 30)], lambda x: x + drawn("#0", (2, 30)))
    expression("x + uniform(x.shape) * uniform(30)", [(2, 30)], lambda x: x + drawn("#0", (2, 30)) * drawn("#1", (30,)))
    expression("x + normal(x.shape) + normal([2, 30])", [(2, 30)],
               lambda x: x + normal("normal", (2, 30)) + normal("normal_2", (2, 30)))


def reductions():
    stage("reduce_mean(axes = (0, 2))", lambda x: x.mean((0, 2)))
    stage("reduce_var(axes = -1, keep = true)", lambda x: x.var(-1, unbiased=False, keepdim=True))
    stage("reduce_max(axes = 1)", lambda x: x.amax(1))
    stage("reduce_min(axes = (1, 3))", lambda x: x.amin((1, 3)))
    stage("sum", lambda x: x.sum())
    stage("mean(axes = 1)", lambda x: x.mean(1))
    stage("norm(axes = (1, 2, 3))", lambda x: (x * x).sum((1, 2, 3)).sqrt())
    stage("clamp(-0.5, 0.5)", lambda x: x.clamp(-0.5, 0.5))
    stage("gram", lambda x: torch.einsum("ncl,ndl->ncd", x.flatten(2), x.flatten(2)) / (8 * 120))
    stage("bce_logits(1)", lambda x: F.binary_cross_entropy_with_logits(x, torch.ones_like(x)))
    stage("bce_logits(0)", lambda x: F.binary_cross_entropy_with_logits(x, torch.zeros_like(x)))
    stage("bce_logits(target = 0.3)", lambda x: F.binary_cross_entropy_with_logits(x, torch.full_like(x, 0.3)))
    expression("x -> cross_entropy(y)", [(4, 5), ((4,), "i")], lambda x, y: F.cross_entropy(x, y.long()))
    expression("(x, log(0 * x)) -> concat -> cross_entropy(y)", [(4, 5), ((4,), "i")],
               lambda x, y: F.cross_entropy(torch.cat([x, (0 * x).log()], 1), y.long()))  # classes left out
    expression("mse(x, y)", [(2, 3), (2, 3)], F.mse_loss)
    expression("l1(x, y)", [(2, 3), (2, 3)], F.l1_loss)


def losses():
    scores, classes = (2, 3, 5, 4), ((2, 5, 4), "i")
    expression("x -> cross_entropy(y, smooth = 0.2)", [(4, 5), ((4,), "i")], lambda x, y: F.cross_entropy(x, y.long(), label_smoothing=0.2))
    expression("x -> cross_entropy(softmax(y, axis = 1))", [(4, 5), (4, 5)], lambda x, y: F.cross_entropy(x, y.softmax(1)))
    expression("x -> cross_entropy(softmax(y, axis = 1), smooth = 0.1)", [(4, 5), (4, 5)], lambda x, y: F.cross_entropy(x, y.softmax(1), label_smoothing=0.1))
    expression("x -> cross_entropy_each(y)", [(2, 6, 5), ((2, 6), "i")], lambda x, y: F.cross_entropy(x.movedim(2, 1), y.long(), reduction="none"))
    expression("x -> cross_entropy_map(y, ignore = 1)", [scores, classes], lambda x, y: F.cross_entropy(x, y.long(), ignore_index=1))
    expression("x -> cross_entropy_map(y)", [scores, classes], lambda x, y: F.cross_entropy(x, y.long()))
    expression("sigmoid(x) -> bce(cast(y, type = \"f32\") / 2)", [(2, 9), ((2, 9), "i")], lambda x, y: F.binary_cross_entropy(x.sigmoid(), y / 2))
    expression("smooth_l1(x - y)", [(2, 9), (2, 9)], lambda x, y: F.smooth_l1_loss(x, y, reduction="none"))
    expression("smooth_l1(x - y, beta = 0.3)", [(2, 9), (2, 9)], lambda x, y: F.smooth_l1_loss(x, y, reduction="none", beta=0.3))
    expression("x -> focal(cast(y > 0, type = \"f32\"))", [(2, 9), ((2, 9), "i")],
               lambda x, y: torchvision.ops.sigmoid_focal_loss(x, (y > 0).to(x.dtype), reduction="mean"))
    expression("x -> focal(cast(y > 0, type = \"f32\"), alpha = 0.6, gamma = 1.5)", [(2, 9), ((2, 9), "i")],
               lambda x, y: torchvision.ops.sigmoid_focal_loss(x, (y > 0).to(x.dtype), 0.6, 1.5, reduction="mean"))
    stage("total_variation", lambda x: x.diff(dim=2).abs().mean() + x.diff(dim=3).abs().mean())

    def dice(ignore):
        def loss(x, y):
            counted = (y != ignore)[:, None]
            share, hot = x.softmax(1) * counted, F.one_hot(y.long(), 3).movedim(3, 1) * counted
            both, all = (share * hot).sum((0, 2, 3)), (share + hot).sum((0, 2, 3))
            return 1 - ((2 * both + 1) / (all + 1)).mean()
        return loss
    expression("x -> dice_loss(y)", [scores, classes], dice(255))
    expression("x -> dice_loss(y, ignore = 2)", [scores, classes], dice(2))

    def scale_invariant(x, y, share=0.5):  # equation 4 of the paper
        d = (x - y).flatten(1)
        n = d.shape[1]
        return ((d * d).sum(1) / n - share * d.sum(1) ** 2 / n**2).mean()
    expression("scale_invariant(x, y)", [(2, 1, 3, 4)] * 2, scale_invariant)
    expression("scale_invariant(x, y, share = 0.85)", [(2, 1, 3, 4)] * 2, lambda x, y: scale_invariant(x, y, 0.85))
    ones = lambda x: torch.ones(len(x), 1)

    def players(block, call, function):
        w, b = weight(f"{block}.D.weight", (1, 6)), weight(f"{block}.D.bias", (1,))
        expression(f"{block}({call})", [(3, 6), (3, 6)], lambda x, y: function(F.linear(x, w, b), F.linear(y, w, b)), use="gan")
    players("ls_gan", "dense(1), x, y", lambda x, y: F.mse_loss(x, ones(x)) + F.mse_loss(y, 0 * ones(y)))
    players("fools", "dense(1), x * 1 + 0 * y", lambda x, y: F.mse_loss(x, ones(x)))
    players("hinge_gan", "dense(1), x, y", lambda x, y: F.relu(1 - x).mean() + F.relu(1 + y).mean())
    expression("drawn(x, y)", [(3, 6), (3, 6)], lambda x, y: x + (y / 2).exp() * normal("drawn.normal", (3, 6)), use="gan")


def similarities():
    def ssim(a, b):
        """Of each picture, by its windows, as Wang et al. have it."""
        line = torch.exp(-((torch.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
        window = line[:, None] * line / line.sum() ** 2
        under = lambda x: (x.unfold(2, 11, 1).unfold(3, 11, 1) * window).sum((-1, -2))
        p, q = under(a), under(b)
        spread = lambda x, y: under(x * y) - under(x) * under(y)
        index = (2 * p * q + 0.01**2) * (2 * spread(a, b) + 0.03**2) / ((p * p + q * q + 0.01**2) * (spread(a, a) + spread(b, b) + 0.03**2))
        return index.mean((1, 2, 3))
    expression("structural_similarity(x, y)", [(2, 3, 14, 12)] * 2, ssim)
    expression("structural_similarity(x, x + 0.05 * y)", [(2, 1, 14, 12)] * 2, lambda x, y: ssim(x, x + 0.05 * y))

    def best(x, y, k):
        return (x.topk(k, 1)[1] == y[:, None]).any(1)
    expression("among_best(x, y, 2)", [(6, 5), ((6,), "i")], lambda x, y: best(x, y, 2))


def augmented():
    """Against the same draws: of run with seed 7."""
    picture, mask = (4, 3, 8, 8), ((4, 8, 8), "i")
    chosen = lambda coin, a, b: torch.where(coin.reshape([-1] + [1] * (a.dim() - 1)), a, b)
    whole = lambda written: f'cast({written}, type = "f32")'

    coin, boxes_coin = (drawn(f"{name}#0", (4,)) < 0.5 for name in ("mirrored", "mirrored_boxes"))
    expression("mirrored(x)", [picture], lambda x: chosen(coin, x.flip(3), x))
    expression(whole("((x, y) -> mirrored)[1]"), [picture, mask], lambda x, y: chosen(coin, y.flip(2), y))
    flips = [drawn(f"turned#{i}", (4,)) < 0.5 for i in range(3)]

    def turned(x):
        y = chosen(flips[0], x.flip(-2), x)
        y = chosen(flips[1], y.flip(-1), y)
        return chosen(flips[2], y.transpose(-1, -2), y)
    expression("turned(x)", [picture], turned)
    expression(whole("((x, y) -> turned)[1]"), [picture, mask], lambda x, y: turned(y))

    def cropped(x, size):
        down, right = ((drawn(f"cropped#{i}", (4,)) * (8 - size + 1)).long() for i in range(2))
        return torch.stack([one[..., a:a + size, b:b + size] for one, a, b in zip(x, down, right)])
    expression("x -> cropped(5)", [picture], lambda x: cropped(x, 5))
    expression(whole("((x, y) -> cropped(3))[1]"), [picture, mask], lambda x, y: cropped(y, 3))
    stage("middle(5)", lambda x: x[:, :, 1:6, 1:6], picture)

    def jittered(x):
        by = [1 + 0.4 * (2 * drawn(f"jittered._about_one{name}#0", (4,)) - 1) for name in ("", "_2", "_3")]
        f = torchvision.transforms.functional
        return torch.stack([f.adjust_saturation(f.adjust_contrast(f.adjust_brightness(one, b), c), s) for one, b, c, s in zip(x, *by)])
    expression("jittered(clamp(x, 0, 1))", [picture], lambda x: jittered(x.clamp(0, 1)))

    def bent(x, by, points, mode):
        flow = F.interpolate(by * normal("bent.normal", (4, 2, points, points)), x.shape[2:], mode="bicubic", align_corners=True)
        rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
        at = torch.stack([(columns + flow[:, 0]) / 3.5 - 1, (rows + flow[:, 1]) / 3.5 - 1], -1)
        return F.grid_sample(x, at, mode, "reflection", align_corners=True)
    expression("x -> bent(by = 1.5)", [picture], lambda x: bent(x, 1.5, 3, "bilinear"))
    expression(whole("((x, y) -> bent(by = 2, points = 4))[1]"), [picture, mask], lambda x, y: bent(y[:, None].double(), 2, 4, "nearest")[:, 0])

    def beta(block, alpha):
        a, b = (drawn(f"{block}._beta#{i}", (24, 4)) ** (1 / alpha) for i in range(2))
        first = [next(i for i in range(24) if a[i, n] + b[i, n] <= 1) for n in range(4)]
        return torch.stack([a[i, n] / (a[i, n] + b[i, n]) for n, i in enumerate(first)])

    def mixed(share, x):
        share = share.reshape([-1] + [1] * (x.dim() - 1))
        return share * x + (1 - share) * x.roll(1, 0)
    hot = lambda y: F.one_hot(y.long(), 5).double()
    pair = [picture, ((4,), "i")]
    expression("((x, y) -> mixup(5))[0]", pair, lambda x, y: mixed(beta("mixup", 0.2), x))
    expression("((x, y) -> mixup(5, alpha = 0.7))[1]", pair, lambda x, y: mixed(beta("mixup", 0.7), hot(y)))

    def windows(alpha):
        """torchvision's CutMix, of each sample: first and last row and column."""
        side = 0.5 * (1 - beta("cutmix", alpha)).sqrt()
        for n in range(4):
            middle = [int(drawn(f"cutmix._between{name}#0", (4,))[n] * 8) for name in ("", "_2")]
            reach = int(side[n] * 8)
            yield [(max(m - reach, 0), min(m + reach, 8)) for m in middle]

    def cut(x, alpha):
        y = x.clone()
        for n, ((top, bottom), (left, right)) in enumerate(windows(alpha)):
            y[n, :, top:bottom, left:right] = x[n - 1, :, top:bottom, left:right]
        return y

    def cut_classes(y, alpha):
        return mixed(torch.tensor([1 - (bottom - top) * (right - left) / 64 for (top, bottom), (left, right) in windows(alpha)]), hot(y))
    expression("((x, y) -> cutmix(5))[0]", pair, lambda x, y: cut(x, 1))
    expression("((x, y) -> cutmix(5, alpha = 0.5))[1]", pair, lambda x, y: cut_classes(y, 0.5))

    def boxes_turned(y):
        return torch.cat([8 - y[..., 2:3], y[..., 1:2], 8 - y[..., 0:1], y[..., 3:]], -1)
    expression("mirrored_boxes(x, y)[0]", [picture, (4, 3, 5)], lambda x, y: chosen(boxes_coin, x.flip(3), x))
    expression("mirrored_boxes(x, y)[1]", [picture, (4, 3, 5)], lambda x, y: chosen(boxes_coin, boxes_turned(y), y))


def beginnings():
    """Of weights: what PyTorch's initialisers make of the same draws."""
    shape = (6, 4, 3, 3)
    fans = nn.init._calculate_fan_in_and_fan_out
    stage("gaussian(0.3)", lambda x: 0.3 * normal("l.normal", x.shape), shape)
    stage("gaussian(0.3)", lambda x: x, (5,))
    stage("xavier", lambda x: math.sqrt(6 / sum(fans(x))) * (2 * drawn("l#0", x.shape) - 1), shape)
    stage("xavier(gain = 0.5)", lambda x: 0.5 * math.sqrt(6 / sum(fans(x))) * (2 * drawn("l#0", x.shape) - 1), (5, 7))
    stage("xavier", lambda x: x, (5,))
    gain = nn.init.calculate_gain
    stage("kaiming", lambda x: gain("relu") / math.sqrt(fans(x)[0]) * normal("l.normal", x.shape), shape)
    stage('kaiming(slope = 0.2, mode = "fan_out")', lambda x: gain("leaky_relu", 0.2) / math.sqrt(fans(x)[1]) * normal("l.normal", x.shape), shape)
    stage("kaiming", lambda x: x, (5,))


def blocks():
    w, b = weight("l.body.weight", (8, 8, 3, 3)), weight("l.body.bias", (8,))
    stage("residual(conv(8, 3))", lambda x: x + F.conv2d(x, w, b, padding=1))
    fc = lambda path, out, inputs: (lambda x: F.conv2d(x, weight(path + ".weight", (out, inputs, 1, 1)), weight(path + ".bias", (out,))))
    excite = lambda squeeze, act, gate: (lambda x: x * gate(fc("l.fc2", 8, squeeze)(act(fc("l.fc1", squeeze, 8)(x.mean((2, 3), keepdim=True))))))
    stage("squeeze_excite(r = 2)", excite(4, F.relu, torch.sigmoid))
    stage("squeeze_excite(squeeze = 3, activation = silu, gate = hardsigmoid)", excite(3, F.silu, lambda x: F.relu6(x + 3) / 6))
    step = lambda i, o: [nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU()]
    stage("double_conv(5)", nn.Sequential(*step(8, 5), *step(5, 5)))
    stage("conv_norm(6, 3, stride = 2, groups = 2, activation = relu6)",
          nn.Sequential(nn.Conv2d(8, 6, 3, 2, 1, groups=2, bias=False), nn.BatchNorm2d(6), nn.ReLU6()))
    dense = lambda path, out, inputs: (lambda x: F.linear(x, weight(path + ".weight", (out, inputs)), weight(path + ".bias", (out,))))
    qkv, proj = dense("l.qkv", 24, 8), dense("l.proj", 8, 8)

    def attention(x):
        q, k, v = qkv(x).reshape(2, 5, 3, 2, 4).permute(2, 0, 3, 1, 4)
        return proj(((q @ k.transpose(-1, -2) / 2).softmax(-1) @ v).permute(0, 2, 1, 3).reshape(2, 5, 8))
    stage("attention(2)", attention, (2, 5, 8))
    stage("pointwise(5)", lambda x: dense("l", 5, 8)(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
    attentions()
    recurrent()


class ChannelGate(nn.Module):
    def __init__(self, c, r):
        super().__init__()
        self.mlp = nn.Sequential(nn.Flatten(), nn.Linear(c, c // r), nn.ReLU(), nn.Linear(c // r, c))

    def forward(self, x):
        return x * torch.sigmoid(self.mlp(F.adaptive_avg_pool2d(x, 1)) + self.mlp(F.adaptive_max_pool2d(x, 1)))[:, :, None, None]


class SpatialGate(nn.Module):
    def __init__(self, kernel):
        super().__init__()
        self.spatial = nn.ModuleDict({"conv": nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False), "bn": nn.BatchNorm2d(1)})

    def start(self, path):
        self.spatial["bn"].weight.data = weight(path + ".spatial.bn.weight", (1,), declared=0)

    def forward(self, x):
        y = torch.cat([x.max(1, keepdim=True)[0], x.mean(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.spatial["bn"](self.spatial["conv"](y)))


class Multihead(nn.Module):
    """nn.MultiheadAttention, of its weights by their own names."""

    def __init__(self, c, heads):
        super().__init__()
        made = nn.MultiheadAttention(c, heads, batch_first=True)
        self.in_proj_weight, self.in_proj_bias, self.out_proj, self.heads = made.in_proj_weight, made.in_proj_bias, made.out_proj, heads

    def forward(self, query, key=None, value=None):
        key, value = (query, query) if key is None else (key, value)
        made = nn.MultiheadAttention(query.shape[2], self.heads, batch_first=True)
        return nn.utils.stateless.functional_call(made, dict(self.named_parameters()), (query, key, value))[0]


class NonLocal(nn.Module):
    def __init__(self, c, pool):
        super().__init__()
        self.pool, half = pool, c // 2
        self.conv_theta, self.conv_phi, self.conv_g = (nn.Conv2d(c, half, 1) for _ in range(3))
        self.conv_out, self.norm = nn.Conv2d(half, c, 1), nn.BatchNorm2d(c)

    def forward(self, x):
        seen = F.max_pool2d(x, self.pool)
        theta, phi, g = self.conv_theta(x).flatten(2), self.conv_phi(seen).flatten(2), self.conv_g(seen).flatten(2)
        weights = (torch.einsum("nci,ncj->nij", theta, phi) * theta.shape[1] ** -0.5).softmax(2)
        y = torch.einsum("nij,ncj->nci", weights, g).reshape(len(x), -1, *x.shape[2:])
        return x + self.norm(self.conv_out(y))


class SelfAttention(nn.Module):
    """Equations 1 to 3 of the paper: beta[j, i], how much pixel j looks at pixel i."""

    def __init__(self, c, keys, values, pool):
        super().__init__()
        self.f, self.g, self.h = nn.Conv2d(c, c // keys, 1, bias=False), nn.Conv2d(c, c // keys, 1, bias=False), nn.Conv2d(c, c // values, 1, bias=False)
        self.v, self.gamma, self.pool = nn.Conv2d(c // values, c, 1, bias=False), nn.Parameter(torch.zeros(1)), pool

    def forward(self, x):
        f, h = (F.max_pool2d(part(x), self.pool).flatten(2) for part in (self.f, self.h))
        s = f.transpose(1, 2) @ self.g(x).flatten(2)
        beta = s.softmax(1).transpose(1, 2)
        o = self.v((beta @ h.transpose(1, 2)).transpose(1, 2).reshape(len(x), -1, *x.shape[2:]))
        return self.gamma * o + x


def attend(x, y, z, left_out=None, bias=0, scale=None):
    """Scaled dot-product attention; what no key is left for is 0."""
    y, z = (t.repeat_interleave(x.shape[1] // t.shape[1], 1) for t in (y, z))
    scores = x @ y.transpose(-1, -2) * (scale or x.shape[-1] ** -0.5) + bias
    if left_out is None:
        return scores.softmax(-1) @ z
    return scores.masked_fill(left_out, -math.inf).softmax(-1).masked_fill(left_out.all(-1, keepdim=True), 0) @ z


def masked_attentions():
    keys, queries = torch.arange(7), torch.arange(5)[:, None]
    shapes = [(2, 4, 5, 6), (2, 2, 7, 6), (2, 2, 7, 3)]
    expression("scaled_attention(x, y, z)", shapes, attend)
    expression("scaled_attention(x, y, z, causal = true)", shapes, lambda *xs: attend(*xs, keys > queries))
    expression("scaled_attention(x, y, z, mask = arange(7) < reshape(arange(5), [5, 1]))", shapes, lambda *xs: attend(*xs, keys >= queries))
    expression("scaled_attention(x, y, z, mask = arange(7) > 0, causal = true)", shapes, lambda *xs: attend(*xs, (keys > queries) | (keys == 0)))
    of_itself = lambda x, b, left_out: attend(x[:, None], x[:, None], x[:, None], b > 0.9 if left_out is None else left_out, b, 0.3)[:, 0]
    expression("scaled_attention(x, x, x, mask = select(y > 0.9, -inf, y), scale = 0.3)", [(2, 5, 6), (5, 5)], lambda x, b: of_itself(x, b, None))
    expression("scaled_attention(x, x, x, mask = y, causal = true, scale = 0.3)", [(2, 5, 6), (5, 5)],
               lambda x, b: of_itself(x, b, torch.arange(5) > queries))


def attentions():
    masked_attentions()
    stage("channel_gate(2)", ChannelGate(8, 2))
    spatial = load(SpatialGate(7), "l")
    spatial.start("l")
    stage("spatial_gate", lambda x: spatial(x))
    both = nn.Module()
    both.ChannelGate, both.SpatialGate = ChannelGate(8, 4), SpatialGate(3)
    load(both, "l")
    both.SpatialGate.start("l.SpatialGate")
    stage("cbam(r = 4, kernel = 3)", lambda x: both.SpatialGate(both.ChannelGate(x)))
    stage("multihead_attention(2)", Multihead(8, 2), (2, 5, 8))
    case("model m(x: f32[2, 5, 8], y: f32[2, 7, 8], z: f32[2, 7, 8]) { return (x, y, z) -> l: multihead_attention(4) }",
         [(2, 5, 8), (2, 7, 8), (2, 7, 8)], load(Multihead(8, 4), "l"))
    for written, module in (("non_local", NonLocal(8, 1)), ("non_local(pool = 2)", NonLocal(8, 2))):
        load(module, "l").norm.weight.data = weight("l.norm.weight", (8,), declared=0)  # it starts at 0
        case(f"model m(x: f32[2, 8, 12, 10]) {{ return x -> l: {written} }}", [(2, 8, 12, 10)], module)
    stage("self_attention", SelfAttention(8, 8, 8, 1))
    stage("self_attention(keys = 4, values = 2, pool = 2)", SelfAttention(8, 4, 2, 2))


class Sequence(nn.Module):
    """A recurrent module of PyTorch whose result is its outputs alone."""

    def __init__(self, kind, *arguments, **options):
        super().__init__()
        self.inner = load(kind(*arguments, batch_first=True, **options), "l")

    def forward(self, x):
        return self.inner(x)[0]


def recurrent():
    for written, module in (("lstm(5)", Sequence(nn.LSTM, 6, 5)),
                            ("lstm(5, layers = 2, both = true)", Sequence(nn.LSTM, 6, 5, 2, bidirectional=True)),
                            ("gru(5, both = true, bias = false)", Sequence(nn.GRU, 6, 5, bidirectional=True, bias=False)),
                            ("gru(4, layers = 3)", Sequence(nn.GRU, 6, 4, 3)),
                            ("rnn(5, layers = 2, both = true)", Sequence(nn.RNN, 6, 5, 2, bidirectional=True))):
        stage(written, module.forward, (2, 7, 6), use="recurrent")


def arithmetic():
    expression("x @ y", [(2, 3, 4), (4, 5)], torch.matmul)
    expression("x @ y", [(4,), (2, 4, 5)], torch.matmul)
    expression("x @ y", [(4,), (4,)], torch.matmul)
    expression("x @ y", [(1, 2, 3, 4), (5, 1, 4, 3)], torch.matmul)
    expression("x + y", [(2, 3, 1), (4,)], lambda x, y: x + y)
    expression("x // 0.3 + x % 0.3", [(2, 3)], lambda x: (x / 0.3).floor() + x % 0.3)
    expression("2 - x ** 2 / 3 + -x", [(2, 3)], lambda x: 2 - x**2 / 3 - x)
    expression("select(x > 0.2 and x < 0.6, x, y)", [(2, 4), (4,)], lambda x, y: torch.where((x > 0.2) & (x < 0.6), x, y))
    expression("select(x > 0.2, x, -1)", [(5,)], lambda x: torch.where(x > 0.2, x, -1.0))
    expression("x[1:, -2:]", [(3, 4)], lambda x: x[1:, -2:])
    expression("x[-1, 1]", [(3, 4, 2)], lambda x: x[-1, 1])
    expression("x[:, y]", [(3, 4, 2), ((5,), "i")], lambda x, y: x[:, y])
    expression("x[y]", [(3, 4, 2), ((5,), "i")], lambda x, y: x[y])
    expression("x * per_channel(y)", [(2, 3, 4, 5), (3,)], lambda x, y: x * y[:, None, None])
    expression("x * per_channel(y)", [(2, 3, 4, 5), (2, 3)], lambda x, y: x * y[:, :, None, None])
    expression("grad(sum(x * x * y), x)", [(3,), (3,)], lambda x, y: 2 * x * y)
    expression('x + tensor([[1, 2, 3], [4, 5, 6]]) + arange(3, dtype = "f32") + ones([2, 1]) + full([1], 0.5)', [(2, 3)],
               lambda x: x + torch.tensor([[1.0, 2, 3], [4, 5, 6]]) + torch.arange(3) + 1.5)
    expression('cast(argmax(x, axis = 1), type = "f32")', [(4, 7)], lambda x: x.argmax(1))
    expression('cast(argmax(x, 1, keep = true), type = "f32")', [(4, 7)], lambda x: x.argmax(1, keepdim=True))
    expression('cast(x -> argmin(-2), type = "f32")', [(4, 7, 3)], lambda x: x.argmin(-2))
    expression('cast(argmax(x), type = "f32")', [(4, 7, 3)], lambda x: x.argmax())
    expression('cast(argmin(x, keep = true), type = "f32")', [((4, 7, 3), "i")], lambda x: x.argmin().reshape(1, 1, 1))


class Skip(nn.Module):
    """A level of pix2pix's U-Net around another, or around none."""

    def __init__(self, outer, inner, within=None):
        super().__init__()
        middle = [nn.BatchNorm2d(inner), within] if within else []
        self.model = nn.Sequential(nn.LeakyReLU(0.2), nn.Conv2d(outer, inner, 4, 2, 1, bias=False), *middle, nn.ReLU(),
                                   nn.ConvTranspose2d(2 * inner if within else inner, outer, 4, 2, 1, bias=False), nn.BatchNorm2d(outer))

    def forward(self, x):
        return torch.cat([x, self.model(x)], 1)


class Nested(nn.Module):
    """A module whose parts lie below a path of their own."""

    def __init__(self, path, *layers):
        super().__init__()
        self.add_module(path, layers[0] if len(layers) == 1 else nn.Sequential(*layers))
        self.path = path

    def forward(self, x):
        return getattr(self, self.path)(x)


def gans():
    lrelu, norm = nn.LeakyReLU(0.2), nn.InstanceNorm2d
    scaled = lambda path, shape: weight(path, shape, "normal") * math.sqrt(2 / math.prod(shape[1:]))
    stage("signed", lambda x: 2 * x - 1, use="gan")
    stage("unsigned", lambda x: 0.5 * x + 0.5, use="gan")
    stage("one_hot(5)", lambda x: F.one_hot(x.long(), 5), ((6,), "i"), use="gan")
    expression("(x, y) -> with_code", [(2, 3, 4, 5), (2, 2)], lambda x, y: torch.cat([x, y[:, :, None, None].expand(2, 2, 4, 5)], 1), use="gan")
    stage("sheet(2, 3)", lambda x: torch.cat([torch.cat(list(row), 2) for row in x.split(3)], 1)[None], (6, 2, 4, 5), use="gan")
    patch = nn.Sequential(nn.Conv2d(3, 6, 4, 2, 1), lrelu, nn.Conv2d(6, 12, 4, 2, 1), norm(12), lrelu, nn.Conv2d(12, 24, 4, 1, 1), norm(24), lrelu,
                          nn.Conv2d(24, 1, 4, 1, 1))
    stage("patchgan(2, c = 6, norm = instancenorm, bias = true)", patch, (2, 3, 24, 20), use="gan")
    stage("unet_level([8, 5, 6], 1)", Skip(8, 5, Skip(5, 6)), (2, 8, 12, 8), use="gan")
    unet = nn.Sequential(nn.Conv2d(3, 4, 4, 2, 1, bias=False), Skip(4, 8), nn.ReLU(), nn.ConvTranspose2d(8, 2, 4, 2, 1), nn.Tanh())
    stage("unet_generator(2, c = 4, depth = 2)", Nested("model", Nested("model", *unet)), (1, 3, 12, 8), use="gan")
    stage("equal_conv(5, 3)", lambda x: F.conv2d(x, scaled("l.weight", (5, 8, 3, 3)), weight("l.bias", (5,)), padding=1), use="gan")
    stage("equal_dense(5)", lambda x: F.linear(x, scaled("l.weight", (5, 6)), weight("l.bias", (5,))), (3, 6), use="gan")
    stage("equal_maps(5, 4)", lambda x: F.linear(x, scaled("l.weight", (80, 6))).view(3, 5, 4, 4) + weight("l.bias", (5,))[:, None, None], (3, 6), use="gan")

    def deviation(group):
        def joined(x):
            means = [x[i::len(x) // group].var(0, unbiased=False).add(1e-8).sqrt().mean() for i in range(len(x) // group)]
            return torch.cat([x, torch.stack(means * group)[:, None, None, None].expand(-1, 1, *x.shape[2:])], 1)
        return joined
    stage("minibatch_deviation", deviation(6), (6, 2, 4, 5), use="gan")
    stage("minibatch_deviation(group = 3)", deviation(3), (6, 2, 4, 5), use="gan")


class CodeLevel(nn.Module):
    """A level of BicycleGAN's U-Net: the code joins what goes down."""

    def __init__(self, widths, i, came, code, out):
        super().__init__()
        outer, within = i == 0, i + 1 < len(widths)
        down = [] if outer else [nn.LeakyReLU(0.2)]
        down += [nn.Conv2d(came + code, widths[i], 4, 2, 1)] + ([nn.InstanceNorm2d(widths[i])] if within and not outer else [])
        up = [nn.ReLU(), nn.ConvTranspose2d(2 * widths[i] if within else widths[i], out, 4, 2, 1), nn.Tanh() if outer else nn.InstanceNorm2d(out)]
        self.down, self.up, self.outer = nn.Sequential(*down), nn.Sequential(*up), outer
        self.submodule = CodeLevel(widths, i + 1, widths[i], code, widths[i]) if within else None

    def forward(self, x, code):
        y = self.down(torch.cat([x, code[:, :, None, None].expand(-1, -1, *x.shape[2:])], 1))
        y = self.up(self.submodule(y, code) if self.submodule else y)
        return y if self.outer else torch.cat([y, x], 1)


class Shrinking(nn.Module):
    def __init__(self, came, c):
        super().__init__()
        norm, act = nn.InstanceNorm2d(came), nn.LeakyReLU(0.2)
        self.conv = nn.Sequential(norm, act, nn.Conv2d(came, came, 3, padding=1), norm, act, nn.Sequential(nn.Conv2d(came, c, 3, padding=1), nn.AvgPool2d(2)))
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(came, c, 1))

    def forward(self, x):
        return self.conv(x) + self.shortcut(x)


def bicycle():
    unet = nn.Module()
    unet.model = CodeLevel([2, 4], 0, 3, 2, 3)
    load(unet, "l")
    case("use gan model m(x: f32[2, 3, 8, 8], y: f32[2, 2]) { return (x, y) -> l: code_unet(3, c = 2, depth = 2) }", [(2, 3, 8, 8), (2, 2)],
         lambda x, y: unet.model(x, y))
    encoder = nn.Module()
    encoder.conv = nn.Sequential(nn.Conv2d(3, 2, 4, 2, 1), Shrinking(2, 4))
    encoder.fc, encoder.fcVar = nn.Sequential(nn.Linear(16, 3)), nn.Sequential(nn.Linear(16, 3))
    load(encoder, "l")
    coded = lambda x: F.avg_pool2d(F.leaky_relu(encoder.conv(x), 0.2), 8).flatten(1)
    case("use gan model m(x: f32[2, 3, 64, 64]) { return (x -> l: resnet_encoder(3, c = 2, blocks = 2)) -> concat }", [(2, 3, 64, 64)],
         lambda x: torch.cat([encoder.fc(coded(x)), encoder.fcVar(coded(x))], 1))


class Level(nn.Module):
    """A level of U-Net with all that lie within."""

    def __init__(self, came, c, depth):
        super().__init__()
        step = lambda i, o: [nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU()]
        self.down = nn.Sequential(*step(came, c), *step(c, c))
        if depth:
            self.inner, self.upconv, self.up = Level(c, 2 * c, depth - 1), nn.ConvTranspose2d(2 * c, c, 2, 2), nn.Sequential(*step(2 * c, c), *step(c, c))
        self.depth = depth

    def forward(self, x):
        e = self.down(x)
        return self.up(torch.cat([e, self.upconv(self.inner(F.max_pool2d(e, 2)))], 1)) if self.depth else e


def backbones():
    models, norm, down = torchvision.models, nn.BatchNorm2d, lambda i, o, s: nn.Sequential(nn.Conv2d(i, o, 1, s, bias=False), nn.BatchNorm2d(o))
    basic = models.resnet.BasicBlock
    stage("stage(basic, 6, 2, stride = 2)", nn.Sequential(basic(8, 6, 2, down(8, 6, 2)), basic(6, 6)), use="resnet")
    stage("bottleneck(2, stride = 2)", models.resnet.Bottleneck(8, 2, 2, down(8, 8, 2)), use="resnet")
    trunk = models.resnet.ResNet(basic, [1, 1, 1, 1])
    trunk.inplanes = 4
    trunk.conv1, trunk.bn1, trunk.fc = nn.Conv2d(3, 4, 7, 2, 3, bias=False), norm(4), nn.Identity()
    for i in range(4):
        setattr(trunk, f"layer{i + 1}", trunk._make_layer(basic, 4 * 2**i, 1, stride=1 if i == 0 else 2))
    load(trunk, "l")
    case('use resnet model m(x: f32[1, 3, 64, 64]) { return (x -> l: trunk(depths = [1, 1, 1, 1], step = basic, c = 4)).c5 -> global_avgpool }', [(1, 3, 64, 64)], trunk)
    vgg = load(nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(2, 4, 3, padding=1), nn.ReLU()), "l")
    case('use vgg model m(x: f32[2, 3, 8, 8]) { return (x -> l: vgg_features(11, width = 2, last = "relu2_1")).relu2_1 }', [(2, 3, 8, 8)], vgg)
    mb = models.efficientnet
    inverted = lambda norm: mb.MBConv(mb.MBConvConfig(2, 3, 1, 8, 8, 1), 0.0, norm)
    stage("mobile_block(16, 8, squeeze = 2, activation = silu, squeeze_activation = silu)", inverted(norm), use="mobile")
    stage("mobile_block(16, 8, squeeze = 2, norm = norm_1e3, activation = silu, squeeze_activation = silu)", inverted(lambda c: norm(c, eps=1e-3)), use="mobile")
    expression("x * channels_of(35) / channels_of(11)", [(3,)], lambda x: x * models._utils._make_divisible(35, 8) / models._utils._make_divisible(11, 8), use="mobile")
    stage("level(2, 1)", Level(3, 2, 1), (2, 3, 8, 8), use="unet")
    stage("unit(6, 3)", models.inception.BasicConv2d(8, 6, kernel_size=3, padding=1), use="inception")
    stage("dense_block(2, 3)", models.densenet._DenseBlock(2, 8, 4, 3, 0.0))


def pictures():
    def voc(classes):
        rows = [[sum((c >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(8)) for channel in range(3)] for c in range(classes)]
        return torch.tensor(rows) / 255.0
    coloured = lambda table, scores: table[scores.argmax(1)].movedim(3, 1)
    stage("colour_map(voc_colours(8))", lambda x: coloured(voc(8), x), use="segmentation")
    expression("cityscapes_colours()[3][0] * x + len(cityscapes_colours())", [(3,)], lambda x: 102 * x + 19, use="segmentation")
    scores = (2, 4, 5, 6)
    expression("(x, y) -> overlay(voc_colours(4))", [(2, 3, 5, 6), scores], lambda x, y: 0.4 * x + 0.6 * coloured(voc(4).to(x.dtype), y), use="segmentation")

    def clear(x, y):
        return torch.where(y.argmax(1, keepdim=True) == 2, x, 0.7 * x + 0.3 * coloured(voc(4).to(x.dtype), y))
    expression("(x, y) -> overlay(voc_colours(4), share = 0.3, clear = 2)", [(2, 3, 5, 6), scores], clear, use="segmentation")
    stage("shares", lambda x: F.one_hot(x.argmax(1), 8).to(x.dtype).mean((1, 2)), use="segmentation")

    def up(x, factor):
        line = 1 - (torch.arange(2 * factor) + 0.5 - factor).abs() / factor
        return F.conv_transpose2d(x, (line[:, None] * line).expand(x.shape[1], 1, -1, -1), stride=factor, groups=x.shape[1])
    stage("bilinear_up(2)", lambda x: up(x, 2), use="segmentation")
    stage("bilinear_up(3)", lambda x: up(x, 3), use="segmentation")


def steps():
    """ONNX's recurrent operators: gates in, out, forget, cell; update, reset, hidden."""
    def lstm(x, w, r):
        h = c = torch.zeros(2, 3, dtype=x.dtype)
        seen = []
        for one in x:
            i, o, f, g = (one @ w.T + h @ r.T).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            seen.append(h)
        return torch.stack(seen)

    def gru(x, w, r):
        h, seen = torch.zeros(2, 3, dtype=x.dtype), []
        for one in x:
            (z, reset), late = (one @ w[:6].T + h @ r[:6].T).sigmoid().chunk(2, 1), (one @ w[6:].T)
            h = (1 - z) * (late + (reset * h) @ r[6:].T).tanh() + z * h
            seen.append(h)
        return torch.stack(seen)

    def rnn(x, w, r):
        h, seen = torch.zeros(2, 3, dtype=x.dtype), []
        for one in x:
            h = (one @ w.T + h @ r.T).tanh()
            seen.append(h)
        return torch.stack(seen)
    for gates, call, function in ((4, "lstm_steps(x, y, z, zeros([12]), zeros([2, 3]), zeros([2, 3]))", lstm),
                                  (3, "gru_steps(x, y, z, zeros([9]), zeros([9]), zeros([2, 3]))", gru), (1, "rnn_steps(x, y, z, zeros([3]), zeros([2, 3]))", rnn)):
        expression(f"{call}[0]", [(4, 2, 5), (3 * gates, 5), (3 * gates, 3)], function, use="onnx")

    for name in ("atan", "asin", "acos"):
        function = getattr(torch, name)
        expression(f"{name}(x {'* 9' if name == 'atan' else '/ 1.25'})", [(4, 9)], lambda x: function(x * 9 if name == "atan" else x / 1.25), use="onnx")
    expression("cumprod(x, 1)", [(2, 5, 3)], lambda x: x.cumprod(1), use="onnx")
    expression("cumprod(x, 1, exclusive = true)", [(2, 5, 3)], lambda x: torch.cat([torch.ones_like(x[:, :1]), x.cumprod(1)[:, :-1]], 1), use="onnx")

    memories()
    transforms()
    wide_ints()

    def listed(boxes, scores, most, iou, least):
        rows = []
        for n, classes in enumerate(scores):
            for k, score in enumerate(classes):
                wanted = (score > least).nonzero()[:, 0]
                rows += [(n, k, place) for place in wanted[torchvision.ops.nms(boxes[n][wanted], score[wanted], iou)][:most].tolist()]
        return torch.tensor(rows + [(-1, -1, -1)] * (scores.shape[0] * scores.shape[1] * most - len(rows)))
    in_order = lambda a, b: torch.cat((torch.min(a, b), torch.max(a, b)), -1)
    shapes = [(2, 20, 4), (2, 3, 20)]
    expression('cast(nms_rows(x, y, most = 5, iou = 0.3, score = -0.5)[0], "f32")', shapes, lambda x, y: listed(in_order(x[..., :2], x[..., 2:]), y, 5, 0.3, -0.5), use="onnx")
    expression('cast(nms_rows(x, y, most = 20, middles = true)[0], "f32")', shapes,
               lambda x, y: listed(in_order(x[..., :2] - x[..., 2:] / 2, x[..., :2] + x[..., 2:] / 2), y, 20, 0, -math.inf), use="onnx")
    expression("cast(nms_rows(x, y, most = 20, iou = 0.1, score = 0.5)[1], \"f32\")", shapes,
               lambda x, y: (listed(in_order(x[..., :2], x[..., 2:]), y, 20, 0.1, 0.5)[:, 0] >= 0).sum(), use="onnx")
    expression('cast(nonzero(x > 0.4)[0], "f32")', [(3, 4, 5)], lambda x: torch.cat([(x > 0.4).nonzero(), (x <= 0.4).nonzero()]).T, use="onnx")
    whole = lambda x: (x * 1e7).to(torch.int32)
    expression('cast(bitwise_and(cast(x * 1e7, "i32"), cast(y * 1e7, "i32")), "f32")', [(4, 9), (9,)], lambda x, y: whole(x) & whole(y), use="onnx")
    expression('cast(bitwise_and(cast(x * 1e7, "i32") % 256, cast(y * 1e7, "i32") % 256, bits = 8), "f32")', [(4, 9), (4, 1)], lambda x, y: whole(x) & whole(y) & 255, use="onnx")
    expression('cast(power_of_two(cast(abs(x) * 24, "i32")), "f32")', [(40,)], lambda x: 1 << (x.abs() * 24).to(torch.int64), use="onnx")
    expression('cast(nonzero(x > 0.4)[1], "f32")', [(30,)], lambda x: (x > 0.4).sum(), use="onnx")


def memories():
    """What reads a sequence step by step, or by places."""
    def linear(q, k, v):  # all steps at once
        seen = torch.einsum("nthgd,nshd->nhgts", q, k) * torch.ones(3, 3, dtype=q.dtype).tril()
        return torch.einsum("nhgts,nshe->nthge", seen, v) + 0.5 * q.sum(-1, keepdim=True)

    def delta(q, k, v, decay):
        memory, seen = torch.full((2, 2, 4, 5), 0.5, dtype=q.dtype), []
        for t in range(3):
            memory = (memory.transpose(-1, -2) * torch.exp(decay[:, t])[:, :, None]).transpose(-1, -2)
            told = torch.einsum("nhd,nhde->nhe", k[:, t], memory)
            memory = memory + torch.einsum("nhd,nhe->nhde", k[:, t], 0.3 * (v[:, t] - told))
            seen.append(torch.einsum("nhgd,nhde->nhge", q[:, t], memory))
        return torch.stack(seen, 1)
    shapes = [(2, 3, 2, 2, 4), (2, 3, 2, 4), (2, 3, 2, 5)]
    memory, beta = "zeros([2, 2, 4, 5]) + 0.5", "zeros([2, 3, 2, 1]) + 0.3"
    expression(f"linear_attention(x, y, z, {memory})[0]", shapes, linear, use="onnx")
    expression(f"delta_attention(x, y, z, {beta}, {memory})[0]", shapes, lambda q, k, v: delta(q, k, v, 0 * k), use="onnx")
    expression(f"delta_attention(x, y, z, {beta}, {memory}, decay = -y * y)[0]", shapes, lambda q, k, v: delta(q, k, v, -k * k), use="onnx")

    shapes = [(2, 4, 6), (4, 1, 3), (2, 4, 2)]
    expression("causal_conv(x, y, z)[0]", shapes, lambda x, w, m: F.conv1d(torch.cat([m, x], 2), w, groups=4), use="onnx")
    expression("causal_conv(x, y, z)[1]", shapes, lambda x, w, m: x[:, :, 4:], use="onnx")

    def rotary(x, cos, sin, a, b):
        y = x.clone()
        y[..., a], y[..., b] = x[..., a] * cos - x[..., b] * sin, x[..., a] * sin + x[..., b] * cos
        return y
    shapes = [(2, 3, 2, 8), (3, 1, 3), (3, 1, 3)]
    expression("rotary(x, y, z)", shapes, lambda x, c, s: rotary(x, c, s, slice(0, 3), slice(3, 6)), use="onnx")
    expression("rotary(x, y, z, interleaved = true)", shapes, lambda x, c, s: rotary(x, c, s, slice(0, 6, 2), slice(1, 6, 2)), use="onnx")

    def updated(cache, fresh, first):
        y = cache.clone()
        for n, at in enumerate(first.tolist()):
            for i in range(2):
                y[n, (at + i) % 5] = fresh[n, i]
        return y
    shapes = [(2, 5, 3), (2, 2, 3), ((2,), "i")]
    expression("cache_update(x, y, z + 2, 1)", shapes, lambda x, y, z: updated(x, y, z + 2), use="onnx")
    expression("cache_update(x, y, z + 4, 1, circular = true)", shapes, lambda x, y, z: updated(x, y, z + 4), use="onnx")
    near = lambda queries, keys, first, left, right: (torch.arange(keys) >= torch.arange(queries)[:, None] + first - left) & (torch.arange(keys) <= torch.arange(queries)[:, None] + first + right)
    expression('x * cast(seen_keys(2, 4, 7, left = 1, right = 2), type = "f32")', [(4, 7)], lambda x: x * near(4, 7, 2, 1, 2), use="onnx")
    expression('x * cast(seen_keys(y, 4, 7, right = 1), type = "f32")', [(2, 1, 4, 7), ((2,), "i")],
               lambda x, y: x * torch.stack([near(4, 7, first, 9, 1) for first in y.tolist()])[:, None], use="onnx")


    def turned(x, lengths):
        return torch.stack([torch.cat((row[:many].flip(0), row[many:])) for row, many in zip(x, lengths.tolist())])
    expression("reverse_first(x, y + 2, 1, 0)", [(4, 5, 2), ((4,), "i")], lambda x, y: turned(x, y + 2), use="onnx")
    expression("reverse_first(x, y + 1, 0, 1)", [(5, 3), ((3,), "i")], lambda x, y: turned(x.T, y + 1).T, use="onnx")
    places = [(5,), (7,), ((7,), "i")]
    for settings, how in (("", "amax"), (", largest = false", "amin")):
        expression(f"put_extreme(x, z + 1, y{settings})", places, lambda x, y, z: x.scatter_reduce(0, z + 1, y, how), use="onnx")
    expression("put_product(x, 2 * z, y)", places, lambda x, y, z: x.scatter_reduce(0, 2 * z, y, "prod"), use="onnx")


def transforms():
    parts, numbers = torch.view_as_real, torch.view_as_complex
    picture, halves = (2, 5, 6, 1), (2, 4, 6, 2)
    expression("dft(x, 1)", [picture], lambda x: parts(torch.fft.fft(x[..., 0], dim=1)), use="onnx")
    expression("dft(x, 2, size = 4, onesided = true)", [picture], lambda x: parts(torch.fft.rfft(x[..., 0], 4, dim=2)), use="onnx")
    expression("dft(x, 2, size = 9)", [halves], lambda x: parts(torch.fft.fft(numbers(x), 9, dim=2)), use="onnx")
    expression("dft(x, 1, inverse = true)", [halves], lambda x: parts(torch.fft.ifft(numbers(x), dim=1)), use="onnx")
    for size in (6, 7, 4, 12):
        expression(f"dft(x, 1, size = {size}, inverse = true, onesided = true)", [halves], lambda x: torch.fft.irfft(numbers(x), size, dim=1)[..., None], use="onnx")
    short = lambda onesided: lambda x, w: parts(torch.stft(x[..., 0], 6, 2, window=w, center=False, onesided=onesided, return_complex=True).transpose(1, 2))
    expression("stft(x, y, 2)", [(2, 13, 1), (6,)], short(True), use="onnx")
    expression("stft(x, y, 2, onesided = false)", [(2, 13, 1), (6,)], short(False), use="onnx")
    for n in (1, 2, 4):
        expression("det(x)", [(3, n, n)], torch.linalg.det, use="onnx")
    expression("det(x * tensor([[0, 1, 0], [1, 1, 1], [1, 0, 1]]))", [(2, 3, 3)], lambda x: torch.linalg.det(x * torch.tensor([[0, 1, 0], [1, 1, 1], [1, 0, 1]])), use="onnx")
    shapes, logs, heavy = [(3, 4, 5), ((3, 5), "i"), ((4,), "i")], "x -> log_softmax(axis = 1)", 'cast(z + 1, "f32")'
    likely = lambda x, y, z=None, **how: F.nll_loss(x.log_softmax(1), y + 1, None if z is None else z + 1.0, **how)
    expression(f"likelihood_loss({logs}, y + 1)", shapes[:2], likely, use="onnx")
    expression(f"likelihood_loss({logs}, y + 1, {heavy})", shapes, likely, use="onnx")
    for how in ("none", "sum", "mean"):
        expression(f'likelihood_loss({logs}, y + 1, {heavy}, ignored = 2, reduction = "{how}")', shapes, lambda x, y, z: likely(x, y, z, ignore_index=2, reduction=how), use="onnx")


def wide_ints():
    wide = lambda x: (x * 8).to(torch.int64) * 1234567890123456789  # which wraps
    unsigned = lambda x: wide(x).numpy().astype("u8")
    xs, ys = ('cast(%s * 8, "i64") * 1234567890123456789' % name for name in "xy")
    expression(f'cast(top_k({xs}, 5, axis = 1)[1], "f32")', [(3, 20)], lambda x: wide(x).sort(dim=1, descending=True, stable=True)[1][:, :5])
    expression(f'cast(argsort({xs}, axis = 0), "f32")', [(20, 2)], lambda x: wide(x).sort(dim=0, stable=True)[1])
    shapes = [(40,), (40,)]
    expression(f'cast(unsigned_order({xs}) < unsigned_order({ys}), "f32")', shapes, lambda x, y: torch.tensor(unsigned(x) < unsigned(y)), use="onnx")
    expression(f'cast(unsigned_quotient({xs}, {ys} + 2) % 1000, "f32")', shapes,
               lambda x, y: torch.tensor((unsigned(x) // (wide(y) + 2).numpy().astype("u8") % 1000).astype("i8")), use="onnx")


def operators():
    for name, function in verbs.OF_ANY.items():
        expression(f"primitive.{name}(x)", [(2, 9)], function)
    for name, function in verbs.OF_POSITIVES.items():
        expression(f"primitive.{name}(x + 2)", [(2, 9)], lambda x: function(x + 2))


def penalties():
    """Gradients as part of a loss, whose own are of the second order."""
    def slope(function, by=0):
        def run(*tensors):
            with torch.enable_grad():
                tensors = [t if t.requires_grad else t.detach().requires_grad_() for t in tensors]
                return torch.autograd.grad(function(*tensors), tensors[by], create_graph=True)[0]
        return run
    picture, kernel = (2, 4, 7, 6), (6, 2, 3, 3)
    conv = lambda x, y: (F.conv2d(x, y, stride=2, padding=1, groups=2) ** 3).sum()
    written = "convolve(x, y, stride = 2, pad = 1, groups = 2)"
    up = lambda x, y: (F.conv_transpose2d(x, y, stride=2, groups=2) ** 3).sum()
    for by in (0, 1):
        expression(f"grad(sum({written} ** 3), {'xy'[by]})", [picture, kernel], slope(conv, by))
        expression(f"grad(sum(convolve_transposed(x, y, stride = 2, groups = 2) ** 3), {'xy'[by]})", [picture, (4, 3, 2, 3)], slope(up, by))
    for call, function in (("x -> avgpool(3, stride = 2, pad = 1)", lambda x: F.avg_pool2d(x, 3, 2, 1)),
                           ("x -> maxpool(3, stride = 2, pad = 1)", lambda x: F.max_pool2d(x, 3, 2, 1)),
                           ('x -> pad(2, mode = "reflect")', lambda x: F.pad(x, (2,) * 4, mode="reflect")),
                           ('x -> pad((1, 2), mode = "replicate")', lambda x: F.pad(x, (2, 2, 1, 1), mode="replicate")),
                           ("x -> resize(size = (9, 4))", lambda x: F.interpolate(x, (9, 4), mode="bilinear")),
                           ("x -> layernorm(affine = false)", lambda x: F.layer_norm(x, x.shape[-1:])),
                           ("x -> instancenorm", lambda x: F.instance_norm(x)), ("x -> softmax", lambda x: x.softmax(-1)),
                           ("sin(x) * erf(x)", lambda x: x.sin() * x.erf()), ("x -> silu", F.silu), ("x -> gelu", F.gelu), ("x -> softplus", F.softplus),
                           ("cumsum(x, axis = 2)", lambda x: x.cumsum(2)), ("sort(x, axis = 1)", lambda x: x.sort(1)[0])):
        expression(f"grad(sum(({call}) ** 3), x)", [picture], slope(lambda x: (function(x) ** 3).sum()))
    expression("grad(sum(take_along(x, y, axis = 1) ** 3), x)", [(2, 5, 3), ((2, 4, 3), "i")],
               lambda x, y: slope(lambda x: (x.gather(1, y) ** 3).sum())(x))
    pooled = slope(lambda x: (F.max_pool2d(x, 3, 2, 1) ** 3).sum())
    expression("grad(sum(grad(sum((x -> maxpool(3, stride = 2, pad = 1)) ** 3), x) ** 2), x)", [picture], slope(lambda x: (pooled(x) ** 2).sum()))
    expression("grad(sum((x @ y) ** 3), y)", [(3, 4), (4, 5)], slope(lambda x, y: ((x @ y) ** 3).sum(), 1))


def joint_boxes(maps):
    found = torch.zeros(*maps.shape[:2], 6)
    (h, w), (row, column) = maps.shape[2:], ((0, 1), (1, 0))
    for n, of_picture in enumerate(maps):
        for k, m in enumerate(of_picture):
            y, x = divmod(int(m.argmax()), w)
            inside, high = 0 < x < w - 1 and 0 < y < h - 1, m.max()
            right, down = (torch.sign(m[y + i, x + j] - m[y - i, x - j]) / 4 if inside else 0 for i, j in (row, column))
            x, y = 4 * (x + right), 4 * (y + down)
            found[n, k] = torch.tensor([x - 3, y - 3, x + 3, y + 3, high, k])
    return found


def poses():
    stage("joint_boxes(4)", joint_boxes, use="pose")
    stage("joint_boxes(4)", joint_boxes, (1, 25, 3, 3), use="pose")


def cases():
    for family in (convolutions, folds, kernels_for_each_sample, spectral_norms, norms, ranks, activations, pools, sizes, indices, orders, boxes, sampling, noise, reductions,
                   losses, similarities, augmented, beginnings, blocks, arithmetic, gans, bicycle, backbones, pictures, steps, operators, penalties, poses):
        family()


if __name__ == "__main__":
    cases()
    with open("library.txt", "w") as file:
        file.write("\n".join(lines) + "\n")
    print(len(lines) // 2, "cases")
