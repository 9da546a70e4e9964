"""AlexNet: the paper's two halves as groups, with response normalization, by Caffe's names; and torchvision's."""
import torch
from torch import nn

from cases import AVX2, INIT, Case, Input, initialised
from torchvision_classifiers import classifier


def caffe_pixels(x):
    return 255 * x.flip(1) - torch.tensor((103.939, 116.779, 123.68), dtype=x.dtype).view(1, 3, 1, 1)


class AlexNet(nn.Module):
    """Krizhevsky et al. 2012, sections 3.3 to 3.5; the response's alpha times the sum of five squares is 5 alpha times their mean."""

    def __init__(self, classes=1000):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 96, 11, 4), nn.Conv2d(96, 256, 5, padding=2, groups=2)
        self.conv3, self.conv4 = nn.Conv2d(256, 384, 3, padding=1), nn.Conv2d(384, 384, 3, padding=1, groups=2)
        self.conv5 = nn.Conv2d(384, 256, 3, padding=1, groups=2)
        self.fc6, self.fc7, self.fc8 = nn.Linear(256 * 6 * 6, 4096), nn.Linear(4096, 4096), nn.Linear(4096, classes)
        self.norm, self.pool = nn.LocalResponseNorm(5, 5e-4, 0.75, 2), nn.MaxPool2d(3, 2)

    def forward(self, x):
        x = self.pool(self.norm(torch.relu(self.conv1(caffe_pixels(x)))))
        x = self.pool(self.norm(torch.relu(self.conv2(x))))
        x = torch.relu(self.conv4(torch.relu(self.conv3(x))))
        x = self.pool(torch.relu(self.conv5(x))).flatten(1)
        return self.fc8(torch.relu(self.fc7(torch.relu(self.fc6(x)))))


CASES = {
    "alexnet": Case("alexnet alexnet", lambda: initialised(AlexNet()), Input(1, 3, 227, 227), [INIT, AVX2], params=60965224,
                    names="examples/alexnet.cai alexnet"),
    "alexnet_single": Case("alexnet alexnet_single", classifier("alexnet"), Input(3, 3, 224, 224), [INIT, AVX2], params=61100840,
                           names="examples/alexnet.cai alexnet_single"),
}
