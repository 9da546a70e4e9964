"""Sketch simplification, Simo-Serra et al. 2016, table 1, and the discriminator of Mastering Sketching, 2018."""
from torch import nn

from cases import AVX2, INIT, Case, Input, Normalized, initialised

TABLE = [(5, 2, 48), (3, 1, 128), (3, 1, 128), (3, 2, 256), (3, 1, 256), (3, 1, 256), (3, 2, 256), (3, 1, 512),
         (3, 1, 1024), (3, 1, 1024), (3, 1, 1024), (3, 1, 1024), (3, 1, 512), (3, 1, 256), (4, 0.5, 256), (3, 1, 256), (3, 1, 128),
         (4, 0.5, 128), (3, 1, 128), (3, 1, 48), (4, 0.5, 48), (3, 1, 24)]


def simplifier(norm, share=1):
    layers, c = [], 1
    for kernel, stride, out in TABLE:
        out //= share
        layers.append(nn.ConvTranspose2d(c, out, kernel, 2, 1) if stride < 1 else nn.Conv2d(c, out, kernel, stride, kernel // 2))
        layers += [nn.BatchNorm2d(out)] * norm + [nn.ReLU()]
        c = out
    return nn.Sequential(*layers, nn.Conv2d(c, 1, 3, padding=1), nn.Sigmoid())


def standardised(*form):
    return lambda: Normalized(initialised(simplifier(*form)), [0.9664], [0.0858])


class Judge(nn.Module):
    def __init__(self, c):
        super().__init__()
        layers, i = [], 1
        for step in range(6):
            o = c * 2 ** step
            layers += [nn.Conv2d(i, o, 5 if step == 0 else 3, 2, 2 if step == 0 else 1), nn.ReLU()] + [nn.Dropout()] * (step > 3)
            i = o
        self.D = nn.Sequential(*layers, nn.Flatten(), nn.Linear(i * 36, 1), nn.Sigmoid())

    def forward(self, x):
        return self.D(x)


LIGHT = " -D share=8"
CASES = {
    "sketch": Case("sketch sketch", standardised(True), Input(1, 1, 96, 64), params=44845185, names="examples/sketch.cai sketch"),
    "sketch_plain": Case("sketch sketch", standardised(False), Input(3, 1, 32, 40), [INIT + " -D norm=false"], params=44829745,
                         names="examples/sketch.cai sketch -D norm=false"),
    "sketch_light": Case("sketch sketch", standardised(True, 8), Input(3, 1, 72, 48), [INIT + LIGHT, AVX2 + LIGHT]),
    "sketch_judge": Case("sketch judge", lambda: initialised(Judge(16)), Input(16, 1, 384, 384), params=1591169),
}
