"""Autoencoders: Hinton and Salakhutdinov 2006, a convolutional one, Kingma and Welling 2014 as pytorch/examples has it."""
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from cases import AVX2, INIT, Case, Input, initialised, uniform

PICTURE = Input(3, 1, 28, 28)


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        sizes = [784, 1000, 500, 250, 30]
        self.encoder, self.decoder = (nn.ModuleList(nn.Linear(a, b) for a, b in zip(s, s[1:])) for s in (sizes, sizes[::-1]))

    def forward(self, x):
        y = x.flatten(1)
        for k, layer in enumerate(self.encoder):
            y = layer(y) if k == 3 else torch.sigmoid(layer(y))
        for layer in self.decoder:
            y = torch.sigmoid(layer(y))
        return y.view(-1, 1, 28, 28)


class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.ModuleList([nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)])
        self.decoder = nn.ModuleList([nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 16, 3), nn.Conv2d(16, 1, 3, padding=1)])

    def forward(self, x):
        for layer in self.encoder:
            x = F.max_pool2d(torch.relu(layer(x)), 2, ceil_mode=True)
        code = x
        for layer in self.decoder[:3]:
            x = F.interpolate(torch.relu(layer(x)), scale_factor=2.0)
        return {"code": code, "again": torch.sigmoid(self.decoder[3](x))}


class Variational(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc21, self.fc22, self.fc3, self.fc4 = nn.Linear(784, 400), nn.Linear(400, 20), nn.Linear(400, 20), nn.Linear(20, 400), nn.Linear(400, 784)

    def encode(self, x):
        h = torch.relu(self.fc1(x.flatten(1)))
        return {"mean": self.fc21(h), "logvar": self.fc22(h)}

    def decode(self, z):
        return torch.sigmoid(self.fc4(torch.relu(self.fc3(z)))).view(-1, 1, 28, 28)

    def noise(self, stream, *shape):
        """`normal` of cai, with --seed 0."""
        u, v = (torch.from_numpy(uniform(f"{stream}normal#{k}", shape, 0)).to(self.fc1.weight.dtype) for k in (0, 1))
        return torch.sqrt(-2 * torch.log(1 - u)) * torch.cos(2 * torch.pi * v)

    def forward(self, x):
        code = self.encode(x)
        return self.decode(code["mean"] + torch.exp(0.5 * code["logvar"]) * self.noise("drawn.", *code["mean"].shape))

    def sample(self):
        return self.decode(self.noise("", 4, 20))


class Part(nn.Module):
    """A module of which another method is run."""

    def __init__(self, net, method):
        super().__init__()
        self.net, self.method = initialised(net), method

    def forward(self, *x):
        return getattr(self.net, self.method)(*x)


def perceptron(i, o, hidden=200):
    return nn.Sequential(nn.Linear(i, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, o))


class Seen(nn.Module):
    def __init__(self, growth, blocks, first, code):
        super().__init__()
        self.features = torchvision.models.DenseNet(growth, blocks, first).features
        self.features.conv0 = nn.Conv2d(1, first, 7, 2, 3, bias=False)
        self.code = nn.Linear(self.features.norm5.num_features, code)

    def forward(self, x):
        return self.code(torch.relu(self.features(x)).mean((2, 3)))


class ShapeSpace(nn.Module):
    """Wang et al. 2018: all encoders and decoders; `way` is the pair that runs."""

    def __init__(self, way, growth=48, blocks=(6, 12, 36, 24), first=96):
        super().__init__()
        given, made = way.split("_to_")
        widths = {"sizes": 20, "shape": 200}
        self.first, self.second = "from_" + given, "to_" + made
        setattr(self, self.first, Seen(growth, blocks, first, 100) if given == "sketch" else perceptron(widths[given], 100))
        setattr(self, self.second, perceptron(100, widths[made]))

    def forward(self, x):
        return getattr(self, self.second)(getattr(self, self.first)(x))


def pair(way, *form):
    return lambda: initialised(ShapeSpace(way, *form))


THIN = " -D depth=121 -D growth=6"
CASES = {
    "autoencoder": Case("autoencoder autoencoder", lambda: initialised(Plain()), PICTURE, params=2837314),
    "conv_autoencoder": Case("conv_autoencoder autoencoder", lambda: initialised(Convolutional()), PICTURE, params=4385),
    "vae_encode": Case("vae encode", lambda: Part(Variational(), "encode"), PICTURE),
    "vae_decode": Case("vae decode", lambda: Part(Variational(), "decode"), Input(3, 20, low=-2, high=2)),
    "vae": Case("vae vae", lambda: initialised(Variational()), PICTURE, params=652824, names="examples/vae.cai vae"),
    "vae_sample": Case("vae sample", lambda: Part(Variational(), "sample"), {}, [INIT + " -D count=4", AVX2 + " -D count=4"]),
    "shape_space": Case("shape_space sketch_to_shape", pair("sketch_to_shape"), Input(1, 1, 224, 224), names="examples/shape_space.cai sketch_to_shape"),
    "shape_space_light": Case("shape_space sketch_to_sizes", pair("sketch_to_sizes", 6, (6, 12, 24, 16), 64), Input(2, 1, 224, 224), [INIT + THIN, AVX2 + THIN]),
    "shape_space_shape": Case("shape_space shape_to_sizes", pair("shape_to_sizes"), Input(3, 200, low=-1)),
    "shape_space_sizes": Case("shape_space sizes_to_shape", pair("sizes_to_shape"), Input(3, 20, low=-1)),
}
