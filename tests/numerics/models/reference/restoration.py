"""Denoisers and super-resolution: a convolutional denoising autoencoder, Noise2Noise's U-Net, Johnson's network for x4, Shi's sub-pixel one."""
import torch
from torch import nn
from torch.nn import functional as F

from cases import AVX2, INIT, Case, Input, initialised


class DenoisingAutoencoder(nn.Module):
    def __init__(self, c=32):
        super().__init__()
        self.encoder = nn.ModuleList([nn.Conv2d(1, c, 3, padding=1), nn.Conv2d(c, c, 3, padding=1)])
        self.decoder = nn.ModuleList([nn.Conv2d(c, c, 3, padding=1), nn.Conv2d(c, c, 3, padding=1), nn.Conv2d(c, 1, 3, padding=1)])

    def forward(self, x):
        for layer in self.encoder:
            x = F.max_pool2d(torch.relu(layer(x)), 2)
        for layer in self.decoder[:2]:
            x = F.interpolate(torch.relu(layer(x)), scale_factor=2.0)
        return torch.sigmoid(self.decoder[2](x))


class Noise2Noise(nn.Module):
    """Lehtinen et al. 2018, table 2 of the appendix: five levels, 48 maps on the way down, 96 on the way up."""

    def __init__(self, c=3):
        super().__init__()
        conv = lambda i, o: nn.Conv2d(i, o, 3, padding=1)
        self.enc_conv0 = conv(c, 48)
        for k in range(1, 7):
            setattr(self, f"enc_conv{k}", conv(48, 48))
        for k in (5, 4, 3, 2):
            setattr(self, f"dec_conv{k}a", conv(96 if k == 5 else 144, 96))
            setattr(self, f"dec_conv{k}b", conv(96, 96))
        self.dec_conv1a, self.dec_conv1b, self.dec_conv1c = conv(96 + c, 64), conv(64, 32), conv(32, c)

    def forward(self, x):
        act = lambda y: F.leaky_relu(y, 0.1)
        skips, y = [x], act(self.enc_conv0(x))
        for k in range(1, 6):
            y = F.max_pool2d(act(getattr(self, f"enc_conv{k}")(y)), 2)
            skips.append(y)
        y = act(self.enc_conv6(y))
        for k in (5, 4, 3, 2, 1):
            y = torch.cat([F.interpolate(y, scale_factor=2.0), skips[k - 1]], 1)
            y = act(getattr(self, f"dec_conv{k}b")(act(getattr(self, f"dec_conv{k}a")(y))))
        return self.dec_conv1c(y)


class Residual(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv1, self.bn1, self.conv2, self.bn2 = nn.Conv2d(c, c, 3, padding=1), nn.BatchNorm2d(c), nn.Conv2d(c, c, 3, padding=1), nn.BatchNorm2d(c)

    def forward(self, x):
        return x + self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))


class Perceptual(nn.Module):
    """Johnson et al. 2016, supplement, table 2: super-resolution by 4 and 8; `halves` steps of a convolution of stride 1/2."""

    def __init__(self, halves, c=64):
        super().__init__()
        self.head, self.head_bn = nn.Conv2d(3, c, 9, padding=4), nn.BatchNorm2d(c)
        self.res = nn.Sequential(*(Residual(c) for _ in range(4)))
        for k in range(1, halves + 1):
            setattr(self, f"up{k}", nn.ConvTranspose2d(c, c, 3, 2, 1, 1))
            setattr(self, f"up{k}_bn", nn.BatchNorm2d(c))
        self.halves, self.tail = halves, nn.Conv2d(c, 3, 9, padding=4)

    def forward(self, x):
        y = self.res(torch.relu(self.head_bn(self.head(x))))
        for k in range(1, self.halves + 1):
            y = torch.relu(getattr(self, f"up{k}_bn")(getattr(self, f"up{k}")(y)))
        return (torch.tanh(self.tail(y)) + 1) / 2


class SubPixel(nn.Module):
    """Shi et al. 2016 on luminance; colour is enlarged by cubic interpolation."""

    def __init__(self, r):
        super().__init__()
        self.r, self.conv1, self.conv2, self.conv3 = r, nn.Conv2d(1, 64, 5, padding=2), nn.Conv2d(64, 32, 3, padding=1), nn.Conv2d(32, r * r, 3, padding=1)

    def forward(self, x):
        red, green, blue = x[:, :1], x[:, 1:2], x[:, 2:]
        y = 0.299 * red + 0.587 * green + 0.114 * blue
        big = F.pixel_shuffle(self.conv3(torch.tanh(self.conv2(torch.tanh(self.conv1(y))))), self.r)
        return big + F.interpolate(x - y, scale_factor=self.r, mode="bicubic")


LIGHT = " -D width=16"
CASES = {
    "denoising_autoencoder": Case("denoising_autoencoder denoise", lambda: initialised(DenoisingAutoencoder()), Input(3, 1, 28, 28), params=28353),
    "unet_denoiser": Case("unet_denoiser", lambda: initialised(Noise2Noise()), Input(2, 3, 32, 64)),
    "super_resolution": Case("super_resolution perceptual", lambda: initialised(Perceptual(2)), Input(1, 3, 24, 40)),
    "super_resolution_x8": Case("super_resolution perceptual", lambda: initialised(Perceptual(3, 16)), Input(3, 3, 7, 10),
                                [INIT + LIGHT + " -D times=8", AVX2 + LIGHT + " -D times=8"]),
    "super_resolution_subpixel": Case("super_resolution subpixel", lambda: initialised(SubPixel(3)), Input(2, 3, 21, 30), params=22729),
}
