"""DCGAN, Radford et al. 2016, with the layers and names of pytorch/examples' dcgan; and with classes, Mirza and Osindero 2014."""
import torch
from torch import nn

from cases import AVX2, INIT, Case, Input, Under, initialised


class Generator(nn.Module):
    def __init__(self, c=64, code=100):
        super().__init__()
        layers, i = [], code
        for k, o in enumerate((8 * c, 4 * c, 2 * c, c)):
            layers += [nn.ConvTranspose2d(i, o, 4, 2 if k else 1, 1 if k else 0, bias=False), nn.BatchNorm2d(o), nn.ReLU()]
            i = o
        self.main = nn.Sequential(*layers, nn.ConvTranspose2d(i, 3, 4, 2, 1, bias=False), nn.Tanh())

    def forward(self, z):
        return self.main(z[:, :, None, None])


class Discriminator(nn.Module):
    def __init__(self, c=64):
        super().__init__()
        layers, i = [nn.Conv2d(3, c, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)], c
        for o in (2 * c, 4 * c, 8 * c):
            layers += [nn.Conv2d(i, o, 4, 2, 1, bias=False), nn.BatchNorm2d(o), nn.LeakyReLU(0.2)]
            i = o
        self.main = nn.Sequential(*layers, nn.Conv2d(i, 1, 4, 1, 0, bias=False), nn.Sigmoid())

    def forward(self, x):
        return self.main(x).flatten()


class ClassGenerator(nn.Module):
    """Code and class are each brought to 4x4, joined, and brought up together."""

    def __init__(self, d=128, code=100, classes=10):
        super().__init__()
        self.classes = classes
        self.deconv1_1, self.deconv1_1_bn = nn.ConvTranspose2d(code, 2 * d, 4), nn.BatchNorm2d(2 * d)
        self.deconv1_2, self.deconv1_2_bn = nn.ConvTranspose2d(classes, 2 * d, 4), nn.BatchNorm2d(2 * d)
        self.deconv2, self.deconv2_bn = nn.ConvTranspose2d(4 * d, 2 * d, 4, 2, 1), nn.BatchNorm2d(2 * d)
        self.deconv3, self.deconv3_bn = nn.ConvTranspose2d(2 * d, d, 4, 2, 1), nn.BatchNorm2d(d)
        self.deconv4 = nn.ConvTranspose2d(d, 1, 4, 2, 1)

    def forward(self, z, label):
        hot = nn.functional.one_hot(label, self.classes).to(z)[:, :, None, None]
        x = torch.cat([torch.relu(self.deconv1_1_bn(self.deconv1_1(z[:, :, None, None]))), torch.relu(self.deconv1_2_bn(self.deconv1_2(hot)))], 1)
        x = torch.relu(self.deconv2_bn(self.deconv2(x)))
        x = torch.relu(self.deconv3_bn(self.deconv3(x)))
        return torch.tanh(self.deconv4(x))


class ClassDiscriminator(nn.Module):
    """The class is a picture of as many channels as there are classes, one of them 1 all over."""

    def __init__(self, d=128, classes=10):
        super().__init__()
        self.classes = classes
        self.conv1_1, self.conv1_2 = nn.Conv2d(1, d // 2, 4, 2, 1), nn.Conv2d(classes, d // 2, 4, 2, 1)
        self.conv2, self.conv2_bn = nn.Conv2d(d, 2 * d, 4, 2, 1), nn.BatchNorm2d(2 * d)
        self.conv3, self.conv3_bn = nn.Conv2d(2 * d, 4 * d, 4, 2, 1), nn.BatchNorm2d(4 * d)
        self.conv4 = nn.Conv2d(4 * d, 1, 4)

    def forward(self, x, label):
        act = lambda v: nn.functional.leaky_relu(v, 0.2)
        hot = nn.functional.one_hot(label, self.classes).to(x)[:, :, None, None].expand(-1, -1, *x.shape[2:])
        x = torch.cat([act(self.conv1_1(x)), act(self.conv1_2(hot))], 1)
        x = act(self.conv2_bn(self.conv2(x)))
        x = act(self.conv3_bn(self.conv3(x)))
        return torch.sigmoid(self.conv4(x)).flatten()


def generator(*sizes):
    return lambda: initialised(Under("G", Generator(*sizes), gives=True))


def discriminator(*sizes):
    return lambda: initialised(Under("D", Discriminator(*sizes), takes=True))


def class_generator(*sizes):
    return lambda: initialised(Under("G", ClassGenerator(*sizes), gives=True))


def class_discriminator(*sizes):
    return lambda: initialised(Under("D", ClassDiscriminator(*sizes), takes=True))


def code(n, size=100):
    return Input(n, size, low=-1.7, high=1.7)


def label(n, classes=10):
    return Input(n, low=0, high=classes, whole=True)


def each(options):
    return [INIT + options, AVX2 + options]


CASES = {
    "dcgan_generator": Case("dcgan generator", generator(), code(1), params=3576704, names="examples/dcgan.cai generator"),
    "dcgan_generator_thin": Case("dcgan generator", generator(12, 30), code(3, 30), each(" -D ngf=12 -D code=30")),
    "dcgan_generator_paper": Case("dcgan generator", generator(128), code(2), each(" -D ngf=128"), params=12658432),
    "dcgan_discriminator": Case("dcgan discriminator", discriminator(), Input(20, 3, 64, 64), params=2765568, names="examples/dcgan.cai discriminator"),
    "dcgan_discriminator_thin": Case("dcgan discriminator", discriminator(12), Input(50, 3, 64, 64), each(" -D ndf=12")),
    "conditional_dcgan_generator": Case("conditional_dcgan generator", class_generator(), {"code": code(3), "label": label(3)},
                                        names="examples/conditional_dcgan.cai generator"),
    "conditional_dcgan_generator_thin": Case("conditional_dcgan generator", class_generator(12, 30, 4), {"code": code(2, 30), "label": label(2, 4)},
                                             each(" -D d=12 -D code_size=30 -D classes=4")),
    "conditional_dcgan_discriminator": Case("conditional_dcgan discriminator", class_discriminator(), {"photo": Input(20, 1, 32, 32), "label": label(20)},
                                            names="examples/conditional_dcgan.cai discriminator"),
    "conditional_dcgan_discriminator_thin": Case("conditional_dcgan discriminator", class_discriminator(12, 4),
                                                 {"photo": Input(50, 1, 32, 32), "label": label(50, 4)}, each(" -D d=12 -D classes=4")),
}
