"""StackGAN, Zhang et al. 2017, with the names of the authors' PyTorch code."""
import torch
from torch import nn

from cases import AVX2, INIT, Case, Input, initialised


def conv3(i, o):
    return nn.Conv2d(i, o, 3, padding=1, bias=False)


def up(i, o):
    return nn.Sequential(nn.Upsample(scale_factor=2), conv3(i, o), nn.BatchNorm2d(o), nn.ReLU())


class Conditioning(nn.Module):
    """Mean and log variance of the condition, of which one is drawn with normal numbers that are given."""

    def __init__(self, text, condition):
        super().__init__()
        self.condition, self.fc = condition, nn.Linear(text, 2 * condition)

    def forward(self, text, normal):
        x = torch.relu(self.fc(text))
        mu, logvar = x[:, : self.condition], x[:, self.condition :]
        return mu + normal * torch.exp(0.5 * logvar), mu, logvar


class Upwards(nn.Module):
    def __init__(self, c):
        super().__init__()
        for k in range(4):
            self.add_module(f"upsample{k + 1}", up(c >> k, c >> (k + 1)))
        self.img = nn.Sequential(conv3(c >> 4, 3), nn.Tanh())

    def upwards(self, x):
        for k in range(4):
            x = getattr(self, f"upsample{k + 1}")(x)
        return self.img(x)


class StageI(Upwards):
    def __init__(self, c=128, text=1024, condition=128, noise=100):
        super().__init__(8 * c)
        self.c = 8 * c
        self.ca_net = Conditioning(text, condition)
        self.fc = nn.Sequential(nn.Linear(noise + condition, 16 * self.c, bias=False), nn.BatchNorm1d(16 * self.c), nn.ReLU())

    def forward(self, text, noise, normal):
        code, mu, logvar = self.ca_net(text, normal)
        return self.upwards(self.fc(torch.cat([noise, code], 1)).view(-1, self.c, 4, 4)), mu, logvar


class Residual(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.block = nn.Sequential(conv3(c, c), nn.BatchNorm2d(c), nn.ReLU(), conv3(c, c), nn.BatchNorm2d(c))

    def forward(self, x):
        return torch.relu(x + self.block(x))


class StageII(Upwards):
    def __init__(self, c=128, text=1024, condition=128, noise=100, blocks=4):
        super().__init__(4 * c)
        self.STAGE1_G = StageI(c, text, condition, noise)
        self.ca_net = Conditioning(text, condition)
        down = lambda i, o: [nn.Conv2d(i, o, 4, 2, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU()]
        self.encoder = nn.Sequential(conv3(3, c), nn.ReLU(), *down(c, 2 * c), *down(2 * c, 4 * c))
        self.hr_joint = nn.Sequential(conv3(condition + 4 * c, 4 * c), nn.BatchNorm2d(4 * c), nn.ReLU())
        self.residual = nn.Sequential(*(Residual(4 * c) for _ in range(blocks)))

    def forward(self, text, noise, normal, normal2):
        small = self.STAGE1_G(text, noise, normal)[0]
        x = self.encoder(small)
        code = self.ca_net(text, normal2)[0][:, :, None, None].expand(-1, -1, *x.shape[2:])
        return small, self.upwards(self.residual(self.hr_joint(torch.cat([x, code], 1))))


def logits(c, condition):
    joint = [conv3(8 * c + condition, 8 * c), nn.BatchNorm2d(8 * c), nn.LeakyReLU(0.2)] if condition else []
    module = nn.Module()
    module.outlogits = nn.Sequential(*joint, nn.Conv2d(8 * c, 1, 4, 4), nn.Sigmoid())
    return module


def with_condition(x, mu):
    return torch.cat([x, mu[:, :, None, None].expand(-1, -1, *x.shape[2:])], 1)


def downwards(c, steps):
    layers = [nn.Conv2d(3, c, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    for k in range(steps):
        layers += [nn.Conv2d(c << k, c << (k + 1), 4, 2, 1, bias=False), nn.BatchNorm2d(c << (k + 1)), nn.LeakyReLU(0.2)]
    return layers


class StageIDiscriminator(nn.Module):
    def __init__(self, c=64, condition=128):
        super().__init__()
        self.encode_img = nn.Sequential(*downwards(c, 3))
        self.get_cond_logits = logits(c, condition)

    def forward(self, x, mu):
        return {"real": self.get_cond_logits.outlogits(with_condition(self.encode_img(x), mu)).flatten()}


class StageIIDiscriminator(nn.Module):
    def __init__(self, c=64, condition=128):
        super().__init__()
        narrow = lambda i, o: [conv3(i, o), nn.BatchNorm2d(o), nn.LeakyReLU(0.2)]
        self.encode_img = nn.Sequential(*downwards(c, 5), *narrow(32 * c, 16 * c), *narrow(16 * c, 8 * c))
        self.get_cond_logits, self.get_uncond_logits = logits(c, condition), logits(c, 0)

    def forward(self, x, mu):
        y = self.encode_img(x)
        return {"real": self.get_cond_logits.outlogits(with_condition(y, mu)).flatten(), "alone": self.get_uncond_logits.outlogits(y).flatten()}


class First(nn.Module):
    def __init__(self, *sizes):
        super().__init__()
        self.G = nn.Module()
        self.G.STAGE1_G = StageI(*sizes)

    def forward(self, *inputs):
        picture, mu, logvar = self.G.STAGE1_G(*inputs)
        return {"picture": 0.5 * picture + 0.5, "mu": mu, "logvar": logvar}


class Second(nn.Module):
    def __init__(self, *sizes):
        super().__init__()
        self.G = StageII(*sizes)

    def forward(self, *inputs):
        small, picture = self.G(*inputs)
        return {"small": 0.5 * small + 0.5, "picture": 0.5 * picture + 0.5}


class Judge(nn.Module):
    def __init__(self, path, net):
        super().__init__()
        self.path = path
        self.add_module(path, net)

    def forward(self, picture, mu):
        return getattr(self, self.path)(2 * picture - 1, mu)


def make(kind, *sizes):
    return lambda: initialised(kind(*sizes))


def judge(path, kind, *sizes):
    return lambda: initialised(Judge(path, kind(*sizes)))


def each(options):
    return [INIT + options, AVX2 + options]


def inputs(n, *names, text=1024, condition=128, noise=100):
    sizes = {"text": text, "noise": noise, "normal": condition, "normal2": condition}
    return {name: Input(n, sizes[name], low=-1.7, high=1.7) for name in ("text", "noise", "normal", *names)}


def judged(n, size, condition=128):
    return {"picture": Input(n, 3, size, size), "mu": Input(n, condition)}


SMALL = {"text": 40, "condition": 12, "noise": 10}
THIN, FILE = " -D gf=16 -D text_size=40 -D condition=12 -D noise_size=10", "examples/stackgan.cai"
CASES = {
    "stackgan_stage1": Case("stackgan stage1", make(First), inputs(1), params=10301248, names=FILE + " stage1"),
    "stackgan_stage1_wide": Case("stackgan stage1", make(First, 192), inputs(2), each(" -D gf=192"), params=20020832),
    "stackgan_stage1_thin": Case("stackgan stage1", make(First, 16, 40, 12, 10), inputs(3, **SMALL), each(THIN)),
    "stackgan_stage2": Case("stackgan stage2", make(Second), inputs(1, "normal2"), names=FILE + " stage2"),
    "stackgan_stage2_thin": Case("stackgan stage2", make(Second, 16, 40, 12, 10, 2), inputs(2, "normal2", **SMALL), each(THIN + " -D blocks=2")),
    "stackgan_discriminator1": Case("stackgan discriminator1", judge("D1", StageIDiscriminator), judged(20, 64), names=FILE + " discriminator1"),
    "stackgan_discriminator2": Case("stackgan discriminator2", judge("D2", StageIIDiscriminator), judged(32, 256), names=FILE + " discriminator2"),
    "stackgan_discriminator2_thin": Case("stackgan discriminator2", judge("D2", StageIIDiscriminator, 4, 12), judged(20, 256, 12), each(" -D df=4 -D condition=12")),
}
