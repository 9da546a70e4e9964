#!/usr/bin/env python3
"""Writes the expected results of the reference functions, computed by PyTorch in float64: one .txt a family, read by
tests/unit/reference.c. Run it here, with python3-torch, when a case is added; the files are committed.

A line of a file: `case NAME`, `x = input 2,3 V...` (of other types than f32: `input_i32`), `y = OPERATOR x ... attribute=value ...`,
`expect y V...`. Lists are written 1,2,3; names as they are."""
import math
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F
import torchvision

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import verbs

torch.set_default_dtype(torch.float64)
torch.manual_seed(1)


class Family:
    def __init__(self, name, digits=13):
        self.name, self.digits, self.lines = name, digits, []

    def case(self, name):
        self.lines.append(f"case {name}")

    def input(self, name, shape, low=-1.0, high=1.0):
        x = (torch.rand(*shape) * (high - low) + low).mul(1000).round().div(1000)
        self.write(name, x)
        return x

    def write(self, name, x, kind="input"):
        self.lines.append(f"{name} = {kind} {listed(x.shape)} {self.values(x)}")

    def op(self, name, op, *inputs, **attributes):
        text = " ".join(f"{key}={listed(value)}" for key, value in attributes.items())
        self.lines.append(f"{name} = {op} {' '.join(inputs)} {text}".rstrip())

    def expect(self, name, x):
        self.lines.append(f"expect {name} {self.values(x)}")

    def values(self, x):
        return " ".join(f"{v:.{self.digits}g}" if isinstance(v, float) else str(int(v)) for v in x.reshape(-1).tolist())

    def close(self):
        with open(f"{self.name}.txt", "w") as file:
            file.write("\n".join(self.lines) + "\n")


def listed(value):
    if isinstance(value, (tuple, list, torch.Size)):
        return ",".join(str(v) for v in value) if len(value) else "-"
    return str(value)


def pair(x):
    return x if isinstance(x, tuple) else (x, x)


def convolutions():
    f = Family("convolution")
    rows = [  # input, outputs, kernel, stride, dilation, groups, padding (left, right, top, bottom)
        ((2, 3, 5, 6), 4, (3, 3), (1, 1), (1, 1), 1, (1, 1, 1, 1)),
        ((1, 2, 7, 8), 3, (3, 2), (2, 3), (1, 1), 1, (0, 1, 2, 1)),
        ((1, 2, 9, 8), 2, (3, 3), (1, 2), (2, 3), 1, (3, 2, 2, 2)),
        ((1, 4, 5, 5), 6, (3, 3), (1, 1), (1, 1), 2, (1, 1, 1, 1)),
        ((2, 4, 6, 5), 4, (3, 3), (2, 2), (1, 1), 4, (1, 1, 1, 1)),
        ((1, 3, 4, 4), 5, (1, 1), (2, 2), (1, 1), 1, (0, 0, 0, 0)),
        ((1, 1, 9), 2, (4,), (2,), (2,), 1, (3, 1)),
        ((1, 2, 4, 5, 3), 2, (2, 3, 2), (1, 2, 1), (1, 1, 1), 1, (1, 0, 1, 1, 0, 1)),
    ]
    for i, (shape, out, kernel, stride, dilation, groups, padding) in enumerate(rows):
        f.case(f"convolution {i}")
        x, w = f.input("x", shape), f.input("w", (out, shape[1] // groups) + kernel)
        x.requires_grad_(), w.requires_grad_()
        conv = [F.conv1d, F.conv2d, F.conv3d][len(kernel) - 1]
        y = conv(F.pad(x, padding), w, stride=stride, dilation=dilation, groups=groups)
        before = padding[::2][::-1]
        common = dict(stride=stride, dilation=dilation, before=before)
        f.op("y", "convolution", "x", "w", **common, size=y.shape[2:], groups=groups)
        f.expect("y", y)
        dy = f.input("dy", y.shape)
        y.backward(dy)
        f.op("dx", "convolution_backward_data", "dy", "w", **common, size=x.shape[2:], groups=groups)
        f.expect("dx", x.grad)
        f.op("dw", "convolution_backward_weights", "x", "dy", **common, size=w.shape[2:], groups=groups)
        f.expect("dw", w.grad)
    transposed = [  # input, outputs, kernel, stride, padding, output padding, dilation, groups
        ((1, 3, 4, 5), 2, 4, 2, 1, 0, 1, 1),
        ((2, 2, 3, 3), 4, 3, 2, 1, 1, 1, 2),
        ((1, 2, 3, 4), 3, 3, 3, 0, 2, 2, 1),
        ((1, 4, 3, 2), 4, 2, 1, 0, 0, 1, 4),
    ]
    for i, (shape, out, kernel, stride, padding, extra, dilation, groups) in enumerate(transposed):
        f.case(f"transposed convolution {i}")
        x, w = f.input("x", shape), f.input("w", (shape[1], out // groups, kernel, kernel))
        y = F.conv_transpose2d(x, w, stride=stride, padding=padding, output_padding=extra, groups=groups, dilation=dilation)
        f.op("y", "convolution_backward_data", "x", "w", stride=pair(stride), dilation=pair(dilation), before=pair(padding), size=y.shape[2:], groups=groups)
        f.expect("y", y)
    f.close()


def pools():
    f = Family("pool")
    rows = [  # input, kernel, stride, padding, ceil_mode, dilation
        ((1, 2, 6, 7), (2, 2), (2, 2), (0, 0), False, (1, 1)),
        ((2, 1, 7, 8), (3, 3), (2, 2), (1, 1), False, (1, 1)),
        ((1, 2, 7, 8), (3, 2), (2, 3), (0, 1), True, (1, 1)),
        ((1, 1, 9, 9), (3, 3), (2, 2), (1, 1), True, (2, 2)),
        ((1, 1, 6, 6), (3, 3), (2, 2), (0, 0), True, (1, 1)),
    ]
    for i, (shape, kernel, stride, padding, ceil, dilation) in enumerate(rows):
        f.case(f"max pool {i}")
        x = f.input("x", shape).requires_grad_()
        y = F.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode=ceil)
        common = dict(kernel=kernel, stride=stride, dilation=dilation, before=padding)
        f.op("y", "pool_max", "x", **common, size=y.shape[2:])
        f.expect("y", y)
        dy = f.input("dy", y.shape)
        y.backward(dy)
        f.op("dx", "max_pool_scatter", "x", "dy", **common)
        f.expect("dx", x.grad)
        v = f.input("v", shape)
        _, index = F.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode=ceil, return_indices=True)
        f.op("g", "max_pool_gather", "x", "v", **common, size=y.shape[2:])
        f.expect("g", v.flatten(2).gather(2, index.flatten(2)).reshape(y.shape))
        if dilation != (1, 1):
            continue
        for include in (False, True):
            f.case(f"average pool {i} count_include_pad {include}")
            x = f.input("x", shape).requires_grad_()
            y = F.avg_pool2d(x, kernel, stride, padding, ceil_mode=ceil, count_include_pad=include)
            f.op("s", "pool_sum", "x", **common, size=y.shape[2:])
            counted = torch.ones(shape)
            if include:  # what lies in the padding counts; what ceil_mode adds behind it does not
                f.write("one", F.pad(counted, (padding[1], padding[1], padding[0], padding[0]), value=1))
                f.op("n", "pool_sum", "one", kernel=kernel, stride=stride, dilation=dilation, before=(0, 0), size=y.shape[2:])
            else:
                f.write("one", counted)
                f.op("n", "pool_sum", "one", **common, size=y.shape[2:])
            f.op("y", "div", "s", "n")
            f.expect("y", y)
            dy = f.input("dy", y.shape)
            y.backward(dy)
            f.op("e", "div", "dy", "n")
            f.op("dx", "pool_sum_input", "e", **common, size=shape[2:])
            f.expect("dx", x.grad)
    f.close()


def resizes():
    f = Family("resize")
    for i, (shape, size) in enumerate([((1, 2, 4, 5), (8, 10)), ((1, 1, 5, 4), (7, 3)), ((2, 1, 3, 3), (3, 7)), ((1, 1, 6, 7), (1, 2)), ((1, 1, 1, 1), (3, 2))]):
        rows = [("nearest", "asymmetric", dict(mode="nearest")), ("nearest", "half_pixel", dict(mode="nearest-exact")),
                ("bilinear", "half_pixel", dict(mode="bilinear", align_corners=False)), ("bilinear", "align_corners", dict(mode="bilinear", align_corners=True))]
        for mode, rule, arguments in rows:
            f.case(f"resize {i} {mode} {rule}")
            x = f.input("x", shape).requires_grad_()
            y = F.interpolate(x, size=size, **arguments)
            f.op("y", "resample", "x", size=size, mode=mode, rule=rule)
            f.expect("y", y)
            dy = f.input("dy", y.shape)
            y.backward(dy)
            f.op("dx", "resample_input", "dy", size=shape[2:], mode=mode, rule=rule)
            f.expect("dx", x.grad)
        # PyTorch lacks these rules: by grid_sample and its own clamped coordinates, unnormalised.
        for rule in ("asymmetric", "pytorch_half_pixel"):
            f.case(f"resize {i} bilinear {rule}")
            x = f.input("x", shape)
            f.op("y", "resample", "x", size=size, mode="bilinear", rule=rule)
            def coordinates(n, m):
                at = torch.arange(m).double()
                s = at * n / m if rule == "asymmetric" else (at + 0.5) * n / m - 0.5 if m > 1 else at * 0
                return s.clamp(0, n - 1)
            rows_at, columns_at = coordinates(shape[2], size[0]), coordinates(shape[3], size[1])
            def to_grid(s, n):  # align_corners: -1 is the first place, 1 the last
                return s * 2 / (n - 1) - 1 if n > 1 else s * 0
            gy, gx = torch.meshgrid(to_grid(rows_at, shape[2]), to_grid(columns_at, shape[3]), indexing="ij")
            grid = torch.stack([gx, gy], -1).expand(shape[0], -1, -1, -1)
            f.expect("y", F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=True))
    f.close()


def movements():
    f = Family("movement")
    for mode, torch_mode in (("constant", "constant"), ("reflect", "reflect"), ("replicate", "replicate")):
        f.case(f"pad {mode}")
        x = f.input("x", (2, 2, 4, 5)).requires_grad_()
        arguments = dict(value=0.5) if mode == "constant" else {}
        y = F.pad(x, (3, 2, 1, 3), mode=torch_mode, **arguments)
        f.op("y", "pad", "x", before=(0, 0, 1, 3), after=(0, 0, 3, 2), mode=mode, value=0.5)
        f.expect("y", y)
        dy = f.input("dy", y.shape)
        y.backward(dy)
        f.op("dx", "pad_input", "dy", before=(0, 0, 1, 3), size=x.shape, mode=mode)
        f.expect("dx", x.grad)
    f.case("transpose")
    x = f.input("x", (2, 3, 4))
    f.op("y", "transpose", "x", permutation=(2, 0, 1))
    f.expect("y", x.permute(2, 0, 1))
    f.op("z", "reshape", "y", dims=(4, 6))
    f.expect("z", x.permute(2, 0, 1).reshape(4, 6))
    f.case("transpose of a matrix")
    x = f.input("x", (19, 11))
    f.op("y", "transpose", "x", permutation=(1, 0))
    f.expect("y", x.t())
    f.case("slice")
    x = f.input("x", (5, 7))
    f.op("y", "slice", "x", begin=(1, 0), size=(2, 3), step=(2, 3))
    f.expect("y", x[1:5:2, 0:7:3])
    f.case("flip")
    x = f.input("x", (2, 3, 2))
    f.op("y", "flip", "x", axes=(0, 2))
    f.expect("y", x.flip(0, 2))
    f.case("concat")
    a, b, c = f.input("a", (2, 1, 3)), f.input("b", (2, 2, 3)), f.input("c", (2, 1, 3))
    f.op("y", "concat", "a", "b", "c", axis=1)
    f.expect("y", torch.cat([a, b, c], 1))
    f.case("broadcast")
    x = f.input("x", (1, 3, 1))
    f.op("y", "broadcast", "x", dims=(2, 3, 4))
    f.expect("y", x.expand(2, 3, 4))
    f.case("gather and scatter_add")
    x, index = f.input("x", (2, 4, 3)), torch.tensor([[3, 0], [1, 3]])
    f.write("index", index, "input_i32")
    f.op("y", "gather", "x", "index", axis=1)
    f.expect("y", x[:, index])
    dy = f.input("dy", (2, 2, 2, 3))
    f.op("dx", "scatter_add", "dy", "index", axis=1, size=(4,))
    f.expect("dx", torch.zeros(2, 4, 3).index_add(1, index.flatten(), dy.reshape(2, 4, 3)))
    f.case("put")
    x, index, v = torch.arange(30.0).reshape(2, 5, 3), torch.tensor([[3, 0], [1, 3]]), -torch.arange(24.0).reshape(2, 2, 2, 3)
    f.write("x", x), f.write("v", v), f.write("index", index, "input_i32")
    f.op("y", "put", "x", "index", "v", axis=1)
    y = x.clone()
    for j, place in enumerate(index.flatten()):
        y[:, place] = v.reshape(2, 4, 3)[:, j]
    f.expect("y", y)
    f.close()


def arithmetic():
    f = Family("arithmetic")
    f.case("unary")
    x = torch.tensor([-3.5, -2.5, -1.0, -0.4, 0.0, 0.5, 1.5, 2.5, 7.0])
    f.write("x", x)
    for name, function in dict(verbs.OF_ANY, stop=torch.clone).items():
        f.op(name, name, "x")
        f.expect(name, function(x))
    f.case("unary of positives")
    x = f.input("x", (9,), 0.1, 5)
    for name, function in verbs.OF_POSITIVES.items():
        f.op(name, name, "x")
        f.expect(name, function(x))
    f.case("binary")
    a, b = torch.tensor([-2.5, -1.0, 0.5, 0.5, 3.0]), torch.tensor([0.5, -1.0, 2.0, 0.5, -4.0])
    f.write("a", a), f.write("b", b)
    binary = dict(add=torch.add, sub=torch.sub, mul=torch.mul, div=torch.div, floor_div=torch.floor_divide, mod=torch.remainder, min=torch.minimum, max=torch.maximum, eq=torch.eq, ne=torch.ne, lt=torch.lt, le=torch.le)
    for name, function in binary.items():
        f.op(name, name, "a", "b")
        f.expect(name, function(a, b).double())
    f.op("p", "abs", "a")
    f.op("y", "pow", "p", "b")
    f.expect("y", a.abs() ** b)
    f.op("truth", "select", "lt", "a", "b")
    f.expect("truth", torch.where(a < b, a, b))
    f.op("both", "and", "lt", "ne")
    f.expect("both", ((a < b) & (a != b)).double())
    f.op("either", "or", "lt", "eq")
    f.expect("either", ((a < b) | (a == b)).double())
    f.op("no", "not", "lt")
    f.expect("no", (~(a < b)).double())
    f.case("ints")
    a, b = torch.tensor([7, -7, 7, -7, 2000000000]), torch.tensor([2, 2, -2, -2, 2000000000])
    f.write("a", a, "input_i32"), f.write("b", b, "input_i32")
    for name, function in dict(add=torch.add, sub=torch.sub, mul=torch.mul).items():
        f.op(name, name, "a", "b")
        f.expect(name, function(a.int(), b.int()).double())
    for name in ("div", "floor_div"):
        f.op(name, name, "a", "b")
        f.expect(name, torch.div(a, b, rounding_mode="floor").double())
    f.op("mod", "mod", "a", "b")
    f.expect("mod", torch.remainder(a, b).double())
    f.case("casts")
    x = torch.tensor([1.0, -2.7, 2.7, 0.1, 300.3, 65519.0, 65520.0, 1e-7, 5.96e-8, 3.141592653589793, 1e5])
    f.write("x", x)
    for name, kind in dict(f16=torch.float16, bf16=torch.bfloat16, i32=torch.int32, bool=torch.bool).items():
        f.op(name, "cast", "x", type=name)
        f.expect(name, x.float().to(kind).double())
    f.op("i8", "cast", "x", type="i8")
    f.expect("i8", x.clamp(-128, 127).trunc())  # PyTorch leaves open what is beyond the type; ours is the nearest that it has
    f.case("iota")
    f.op("y", "iota", type="f32", dims=(2, 3, 2), axis=1)
    f.expect("y", torch.arange(3).reshape(1, 3, 1).expand(2, 3, 2).double())
    f.close()


def reductions():
    f = Family("reduction")
    f.case("reductions")
    x = f.input("x", (2, 3, 4, 2))
    f.op("s", "sum", "x", axes=(1, 3))
    f.expect("s", x.sum((1, 3)))
    f.op("all", "sum", "x", axes=(0, 1, 2, 3))
    f.expect("all", x.sum())
    f.op("m", "reduce_max", "x", axes=(0, 2))
    f.expect("m", x.amax((0, 2)))
    f.op("a", "argmax", "x", axis=2)
    f.expect("a", x.argmax(2).double())
    f.case("argmax takes the first")
    f.write("x", torch.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]]))
    f.op("a", "argmax", "x", axis=1)
    f.expect("a", torch.tensor([1.0, 0.0]))
    f.case("softmax")
    x = f.input("x", (3, 5), -4, 4)
    f.op("m", "reduce_max", "x", axes=(1,))
    f.op("wide", "broadcast", "m", dims=(3, 5))
    f.op("d", "sub", "x", "wide")
    f.op("e", "exp", "d")
    f.op("s", "sum", "e", axes=(1,))
    f.op("t", "broadcast", "s", dims=(3, 5))
    f.op("y", "div", "e", "t")
    f.expect("y", torch.softmax(x, 1))
    f.case("matmul")
    a, b = f.input("a", (2, 3, 4)), f.input("b", (2, 4, 5))
    f.op("y", "matmul", "a", "b")
    f.expect("y", a @ b)
    f.close()


def orders():
    f = Family("order")
    rows = [((3, 20), 1, 5), ((4, 6, 3), 1, 6), ((2, 3, 4), 0, 1), ((2, 50), 1, 40)]  # input, axis, k
    for i, (shape, axis, k) in enumerate(rows):
        for largest in (True, False):
            f.case(f"top_k {i} largest {largest}")
            x = f.input("x", shape).mul(5 if i else 1).round().div(5)  # with equals among them, but in the first
            f.lines.pop()
            f.write("x", x)
            f.op("places", "top_k", "x", k=(k,), axis=axis, largest=int(largest))
            f.expect("places", x.sort(dim=axis, descending=largest, stable=True)[1].narrow(axis, 0, k).double())
    for i, (shape, axis) in enumerate([((3, 20), 1), ((4, 6, 3), 1), ((5,), 0)]):
        f.case(f"cumsum {i}")
        x = f.input("x", shape).requires_grad_()
        y = x.cumsum(axis)
        f.op("y", "cumsum", "x", axis=axis)
        f.expect("y", y)
        dy = f.input("dy", shape)
        y.backward(dy)
        f.op("back", "flip", "dy", axes=(axis,))
        f.op("sums", "cumsum", "back", axis=axis)
        f.op("dx", "flip", "sums", axes=(axis,))
        f.expect("dx", x.grad)
    for i, (count, most, iou, score) in enumerate([(30, 30, 0.3, -2), (30, 8, 0.5, 0), (30, 10, 0.1, 0.9), (1, 2, 0.5, 0)]):
        f.case(f"nms {i}")
        corners = f.input("corners", (2, count, 2), 0, 2)
        sizes = f.input("sizes", (2, count, 2), 0.1, 2)
        scores = f.input("scores", (2, count))
        f.op("ends", "add", "corners", "sizes")
        f.op("boxes", "concat", "corners", "ends", axis=2)
        f.op("places", "nms", "boxes", "scores", most=most, iou=iou, score=score)
        rows = []
        for box, value in zip(torch.cat([corners, corners + sizes], 2), scores):
            places = torch.nonzero(value > score)[:, 0]
            kept = places[torchvision.ops.nms(box[places], value[places], iou)][:most]
            rows.append(F.pad(kept, (0, most - len(kept)), value=-1))
        f.expect("places", torch.stack(rows).double())
    f.case("top_k of what is no number")
    x = torch.tensor([1.0, math.nan, -math.inf, -0.0, 0.0, math.inf, math.nan, -2.0])
    f.write("x", x)
    for name, largest in dict(down=True, up=False).items():
        f.op(name, "top_k", "x", k=(8,), axis=0, largest=int(largest))
        f.expect(name, x.sort(dim=0, descending=largest, stable=True)[1].double())
    f.close()


def extremes():
    """Of several NaNs in a window PyTorch follows the last, and we the first, as argmax does: here is one in each at most."""
    f = Family("extremes")
    nan, inf = math.nan, math.inf
    f.case("largest of what is no number")
    x = torch.tensor([[nan, 1, 5], [1, nan, 5], [1, nan, nan], [inf, 1, nan], [-inf, -inf, -inf], [-1, -0.0, 0.0]])
    f.write("x", x)
    f.op("a", "argmax", "x", axis=1)
    f.expect("a", x.argmax(1).double())
    f.op("m", "reduce_max", "x", axes=(1,))
    f.expect("m", x.amax(1))
    for name, y in dict(max=torch.maximum, min=torch.minimum).items():
        f.write("y", x.flip(1))
        f.op(name, name, "x", "y")
        f.expect(name, y(x, x.flip(1)))
    f.case("windows of what is no number")
    x = torch.tensor([[5, nan, -inf, -inf], [1, 9, -inf, -inf], [inf, 0, nan, inf], [2, inf, inf, 3]]).reshape(1, 1, 4, 4)
    f.write("x", x)
    y, index = F.max_pool2d(x, 2, return_indices=True)
    dy = f.input("dy", y.shape)
    common = dict(kernel=(2, 2), stride=(2, 2), dilation=(1, 1), before=(0, 0))
    f.op("y", "pool_max", "x", **common, size=(2, 2))
    f.expect("y", y)
    f.op("dx", "max_pool_scatter", "x", "dy", **common)
    f.expect("dx", F.max_unpool2d(dy, index, 2))
    f.op("g", "max_pool_gather", "x", "x", **common, size=(2, 2))
    f.expect("g", y)
    f.close()


def smooth_resizes():
    f = Family("smooth_resize")
    rows = [("cubic", "half_pixel", -0.75, 0, dict(mode="bicubic", align_corners=False)), ("cubic", "align_corners", -0.75, 0, dict(mode="bicubic", align_corners=True)),
            ("area", "half_pixel", 0, 0, dict(mode="area")), ("bilinear", "half_pixel", 0, 1, dict(mode="bilinear", antialias=True)),
            ("cubic", "half_pixel", -0.5, 1, dict(mode="bicubic", antialias=True))]
    for i, (shape, size) in enumerate([((1, 2, 4, 5), (8, 10)), ((1, 1, 9, 11), (4, 2)), ((2, 1, 3, 4), (3, 7)), ((1, 1, 6, 7), (1, 2)), ((1, 1, 1, 2), (3, 2))]):
        for mode, rule, a, antialias, arguments in rows:
            f.case(f"resize {i} {mode} {rule} antialias {antialias}")
            x = f.input("x", shape).requires_grad_()
            y = F.interpolate(x, size=size, **arguments)
            f.op("y", "resample", "x", size=size, mode=mode, rule=rule, a=a, antialias=antialias)
            f.expect("y", y)
            dy = f.input("dy", y.shape)
            y.backward(dy)
            f.op("dx", "resample_input", "dy", size=shape[2:], mode=mode, rule=rule, a=a, antialias=antialias)
            f.expect("dx", x.grad)
    f.close()


WHOLES = [0, 1, -1, 2, -2, 3, -7, 10, 100, 127, 128, -127, -128, -129, 255, 256, -300, 2049, 2051, -2051, 65504, 65519, 65520, 16777217, 16777219, 2**25 + 2**17 + 1,
          2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**32 - 1, 2**32 + 1, 2**53 - 1, 2**53 + 1, 2**60 + 2**36 + 1, -(2**60) - 2**36 - 1, 2**63 - 1, -(2**63)]
REALS = [0.0, -0.0, 0.5, -0.5, 0.99999994, 1.0, -1.0, 1.5, 2.5, -2.7, 126.9, 127.5, 128.0, -128.9, -129.0, 255.0, 300.3, 2047.5, 2049.0, 65504.0, 65519.0, 65520.0,
         1e5, 1.00390625, 1.01171875, 16777216.0, 2147483520.0, 2.0**31, -(2.0**31), -2147483904.0, 3e9, -3e9, 9223371487098961920.0, 2.0**63, -(2.0**63), 1e20, -1e20,
         3.4028235e38, 1e-7, 5.96e-8, math.inf, -math.inf, math.nan]
INTS = dict(i8=np.int8, i32=np.int32, i64=np.int64)


def edges(kind):
    whole = np.array(WHOLES, dtype=np.int64)
    return whole != 0 if kind == "bool" else whole.astype(INTS[kind]) if kind in INTS else torch.tensor(REALS).to(torch.float32).to(getattr(torch, FLOATS[kind]))


FLOATS = dict(f32="float32", f16="float16", bf16="bfloat16")


def cast(x, kind):
    """What numpy and PyTorch agree on; a float beyond an int's range, which they leave open, becomes the nearest that the int has."""
    if torch.is_tensor(x):
        if kind in FLOATS:
            return x.to(getattr(torch, FLOATS[kind]))
        x = x.to(torch.float64).numpy()
        if kind == "bool":
            return x != 0
        limits = np.iinfo(INTS[kind])
        inside = (x >= limits.min) & (x < float(limits.max))  # of i64 the largest is rounded up to 2^63
        whole = np.where(inside, x, 0).astype(INTS[kind])
        return np.where(inside | np.isnan(x), whole, np.where(x < 0, limits.min, limits.max)).astype(INTS[kind])
    if kind in FLOATS:
        return torch.from_numpy(x).to(getattr(torch, FLOATS[kind]))
    return x != 0 if kind == "bool" else x.astype(INTS[kind])


def quotient(a, b):
    """Rounded down, and 0 where b is 0; numpy warns of the smallest by -1 and gives what wraps."""
    return np.where(b == 0, 0, a // np.where(b == 0, 1, b)).astype(a.dtype)


ON_NUMBERS = dict(add=np.add, sub=np.subtract, mul=np.multiply, div=quotient, floor_div=np.floor_divide, mod=np.remainder, min=np.minimum, max=np.maximum)
ON_ANY = dict(eq=np.equal, ne=np.not_equal, lt=np.less, le=np.less_equal)
ON_BOOLS = {"and": np.logical_and, "or": np.logical_or}
ON_ONE = dict(neg=np.negative, abs=np.abs, sign=np.sign, floor=lambda x: x)


def integers():
    f = Family("integers", 17)
    np.seterr(all="ignore")
    kinds = [*FLOATS, *INTS, "bool"]
    for kind in kinds:
        f.case(f"casts from {kind}")
        x = edges(kind)
        f.write("x", x.double() if kind in FLOATS else x, f"input_{kind}")
        for to in kinds:
            f.op(to, "cast", "x", type=to)
            y = cast(x, to)
            f.expect(to, y.double() if to in FLOATS else y)
    for kind in [*INTS, "bool"]:
        f.case(f"arithmetic of {kind}")
        x = np.unique(np.concatenate([edges(kind)[:9], edges(kind)[-12:]]))
        a, b = np.repeat(x, len(x)), np.tile(x, len(x))
        f.write("a", a, f"input_{kind}"), f.write("b", b, f"input_{kind}")
        for op, function in ((ON_BOOLS if kind == "bool" else ON_NUMBERS) | ON_ANY).items():
            f.op(op, op, "a", "b")
            f.expect(op, function(a, b))
        if kind == "bool":
            continue
        for op, function in ON_ONE.items():
            f.op(op, op, "a")
            f.expect(op, function(a))
    random = np.random.default_rng(1)
    for kind in INTS:
        windows(f, kind, random)
    for i in range(30):
        expressions(f, i, random)
    f.close()


def windows(f, kind, random):
    """What adds up, compares and moves ints otherwise than element by element."""
    f.case(f"windows of {kind}")
    x, w, at = random.choice(edges(kind), (1, 2, 4, 6)), random.choice(edges(kind), 7), np.array([0, 1, 4, 9, -3, 1, 2])
    f.write("x", x, f"input_{kind}"), f.write("w", w, f"input_{kind}"), f.write("at", at, "input_i32")
    parts = x.reshape(1, 2, 2, 2, 3, 2)
    f.op("sums", "pool_sum", "x", kernel=(2, 2), stride=(2, 2), dilation=(1, 1), before=(0, 0), size=(2, 3))
    f.expect("sums", parts.sum((3, 5), dtype=x.dtype))
    f.op("tops", "pool_max", "x", kernel=(2, 2), stride=(2, 2), dilation=(1, 1), before=(0, 0), size=(2, 3))
    f.expect("tops", parts.max((3, 5)))
    f.op("spread", "pool_sum_input", "sums", kernel=(2, 2), stride=(2, 2), dilation=(1, 1), before=(0, 0), size=(4, 6))
    f.expect("spread", parts.sum((3, 5), dtype=x.dtype).repeat(2, 2).repeat(2, 3))
    folded = x[:, :, 1:3].copy()
    folded[:, :, 0] += x[:, :, 0]
    folded[:, :, 1] += x[:, :, 3]
    f.op("folded", "pad_input", "x", before=(0, 0, 1, 0), size=(1, 2, 2, 6), mode="replicate")
    f.expect("folded", folded)
    y = np.zeros(5, x.dtype)
    np.add.at(y, at.clip(0, 4), w)
    f.op("added", "scatter_add", "w", "at", axis=0, size=(5,))
    f.expect("added", y)
    f.op("picked", "gather", "added", "at", axis=0)
    f.expect("picked", y[at.clip(0, 4)])
    f.op("both", "concat", "w", "added", axis=0)
    f.expect("both", np.concatenate([w, y]))
    f.op("bordered", "pad", "w", before=(1,), after=(2,), mode="constant", value=-77)
    f.expect("bordered", np.pad(w, (1, 2), constant_values=-77))


def expressions(f, number, random):
    """A dozen operators on each other's results, of every type of ints."""
    f.case(f"expressions {number}")
    known = {kind: [] for kind in [*INTS, "bool"]}

    def add(kind, x, op=None, *inputs, **attributes):
        name = f"v{sum(map(len, known.values()))}"
        if op:
            f.op(name, op, *inputs, **attributes)
            f.expect(name, x)
        else:
            f.write(name, x, f"input_{kind}")
        known[kind].append((name, x))

    def any_of(kind):
        return known[kind][random.integers(len(known[kind]))]

    for kind in known:
        for _ in range(2):
            add(kind, random.choice(edges(kind), (3, 5)))
    for _ in range(12):
        kind = random.choice([*INTS])
        (a, x), (b, y) = any_of(kind), any_of(kind)
        way = random.integers(8)
        if way <= 2:
            op = random.choice([*ON_NUMBERS])
            add(kind, ON_NUMBERS[op](x, y), op, a, b)
        elif way == 3:
            op = random.choice([*ON_ANY])
            add("bool", ON_ANY[op](x, y), op, a, b)
        elif way == 4:
            c, condition = any_of("bool")
            add(kind, np.where(condition, x, y), "select", c, a, b)
        elif way == 5:
            to = random.choice([*known])
            add(to, cast(x, to), "cast", a, type=to)
        elif way == 6:
            add(kind, x.cumsum(1, dtype=x.dtype), "cumsum", a, axis=1)
        else:
            f.op(f"s{a}", "sum", a, axes=(1,)), f.expect(f"s{a}", x.sum(1, keepdims=True, dtype=x.dtype))
            f.op(f"m{a}", "reduce_max", a, axes=(0,)), f.expect(f"m{a}", x.max(0, keepdims=True))
            f.op(f"a{a}", "argmax", a, axis=1), f.expect(f"a{a}", x.argmax(1).astype(np.int64))


for family in (convolutions, pools, resizes, movements, arithmetic, reductions, orders, smooth_resizes, extremes, integers):
    family()
