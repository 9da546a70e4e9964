"""Feed-forward style transfer and super-resolution, Johnson et al. 2016, with the names of pytorch/examples' fast_neural_style, and style's features."""
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from cases import AVX2, INIT, Case, Input, initialised


class Reflected(nn.Module):
    def __init__(self, i, o, kernel, stride=1):
        super().__init__()
        self.reflection_pad, self.conv2d = nn.ReflectionPad2d(kernel // 2), nn.Conv2d(i, o, kernel, stride)

    def forward(self, x):
        return self.conv2d(self.reflection_pad(x))


class Residual(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv1, self.in1 = Reflected(c, c, 3), nn.InstanceNorm2d(c, affine=True)
        self.conv2, self.in2 = Reflected(c, c, 3), nn.InstanceNorm2d(c, affine=True)

    def forward(self, x):
        return x + self.in2(self.conv2(torch.relu(self.in1(self.conv1(x)))))


class FastStyle(nn.Module):
    def __init__(self, c=32):
        super().__init__()
        self.conv1, self.in1 = Reflected(3, c, 9), nn.InstanceNorm2d(c, affine=True)
        self.conv2, self.in2 = Reflected(c, 2 * c, 3, 2), nn.InstanceNorm2d(2 * c, affine=True)
        self.conv3, self.in3 = Reflected(2 * c, 4 * c, 3, 2), nn.InstanceNorm2d(4 * c, affine=True)
        self.res1, self.res2, self.res3, self.res4, self.res5 = (Residual(4 * c) for _ in range(5))
        self.deconv1, self.in4 = Reflected(4 * c, 2 * c, 3), nn.InstanceNorm2d(2 * c, affine=True)
        self.deconv2, self.in5 = Reflected(2 * c, c, 3), nn.InstanceNorm2d(c, affine=True)
        self.deconv3 = Reflected(c, 3, 9)

    def forward(self, x):
        y = 255 * x
        for k in (1, 2, 3):
            y = torch.relu(getattr(self, f"in{k}")(getattr(self, f"conv{k}")(y)))
        for k in range(1, 6):
            y = getattr(self, f"res{k}")(y)
        for k in (1, 2):
            y = torch.relu(getattr(self, f"in{k + 3}")(getattr(self, f"deconv{k}")(F.interpolate(y, scale_factor=2.0))))
        return self.deconv3(y).clamp(0, 255) / 255


LIGHT = " -D width=8"
CASES = {
    "fast_style": Case("fast_style", lambda: initialised(FastStyle()), Input(1, 3, 64, 88), [INIT, AVX2, INIT + " -D N=1 -D H=64 -D W=88"], params=1679235,
                       names="examples/fast_style.cai"),
    "fast_style_light": Case("fast_style", lambda: initialised(FastStyle(8)), Input(3, 3, 36, 52), [INIT + LIGHT, AVX2 + LIGHT]),
}
