"""Network in Network for ImageNet, as the authors' model in Caffe's zoo: three convolutions with two 1x1 ones behind each, and a fourth whose last
gives a map for each class. Caffe's pools round up."""
import torch
from torch import nn

from alexnet import caffe_pixels
from cases import AVX2, INIT, Case, Input, initialised


class NIN(nn.Module):
    def __init__(self):
        super().__init__()
        for name, inputs, outputs, kernel, stride, pad in (
            ("conv1", 3, 96, 11, 4, 0), ("cccp1", 96, 96, 1, 1, 0), ("cccp2", 96, 96, 1, 1, 0),
            ("conv2", 96, 256, 5, 1, 2), ("cccp3", 256, 256, 1, 1, 0), ("cccp4", 256, 256, 1, 1, 0),
            ("conv3", 256, 384, 3, 1, 1), ("cccp5", 384, 384, 1, 1, 0), ("cccp6", 384, 384, 1, 1, 0),
            ("conv4-1024", 384, 1024, 3, 1, 1), ("cccp7-1024", 1024, 1024, 1, 1, 0), ("cccp8-1024", 1024, 1000, 1, 1, 0),
        ):
            self.add_module(name, nn.Conv2d(inputs, outputs, kernel, stride, pad))

    def forward(self, x):
        x = caffe_pixels(x)
        for i, conv in enumerate(self.children()):
            x = torch.relu(conv(x))
            if i in (2, 5, 8):
                x = nn.functional.max_pool2d(x, 3, 2, ceil_mode=True)
        return x.mean((2, 3))


CASES = {"nin": Case("nin", lambda: initialised(NIN()), Input(3, 3, 224, 224), [INIT, AVX2], params=7595176, names="examples/nin.cai")}
