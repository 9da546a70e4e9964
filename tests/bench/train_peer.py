"""The steps of tests/bench/steps in PyTorch, for tests/bench/train.

train_peer.py NETWORK FOLDER --write
    writes FOLDER/NETWORK.safetensors, the weights that both sides begin with, and FOLDER/NETWORK.data.safetensors, one batch of samples. Prints as
    JSON how many weights are trained and, where PyTorch can count them, the FLOPs of a step.

train_peer.py NETWORK FOLDER FORM THREADS
    takes steps; FORM is contiguous or channels_last. Prints as JSON the losses of the first three steps; then, for each line with a number of seconds on
    standard input, it takes steps for that long and answers with their least time in milliseconds.

The optimizers are PyTorch's fused ones where it has them on CPUs, else those that take all tensors at once (foreach).
"""
import json
import os
import sys
import time
import warnings

import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

NUMERICS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "numerics")
sys.path[:0] = [NUMERICS, os.path.join(NUMERICS, "models"), os.path.join(NUMERICS, "models", "reference")]
from dcgan import Discriminator, Generator
from denoise import Denoise
from pix2pix import PatchGAN, UNetGenerator
from tensors import write_tensors
from unet import UNet

FIRST = 3  # steps whose losses are compared


IS_FUSED = tuple(int(n) for n in torch.__version__.split(".")[:2]) >= (2, 4)


def fastest(kind, weights, **settings):
    return kind(weights, **{"fused" if IS_FUSED else "foreach": True}, **settings)


def without_copies(net):
    for module in net.modules():
        if isinstance(module, (nn.ReLU, nn.LeakyReLU)):
            module.inplace = True
    return net


class Step:
    """`samples` by name as cai gets them; `nets` by the path of their weights. take() is a step and gives its losses."""

    samples, nets = {}, {}

    def prepare(self):
        """What is made once of samples and weights, before the first step."""

    def tensors(self):
        return {f"{path}.{name}" if path else name: t for path, net in self.nets.items()
                for name, t in net.state_dict().items() if not name.endswith("num_batches_tracked")}

    def trained(self):
        return sum(p.numel() for net in self.nets.values() for p in net.parameters())


def picture(*shape):
    """Levels of 8 bits."""
    return torch.randint(0, 256, shape) / 255


class Classifier(Step):
    def __init__(self, net, batch, make_optimizer):
        self.nets = {"": net}
        self.make_optimizer = make_optimizer
        self.samples = {"photo": picture(batch, 3, 224, 224), "label": torch.randint(0, 1000, (batch,))}

    def prepare(self):
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        self.photo = (self.samples["photo"] - mean) / std
        self.optimizer = self.make_optimizer(self.nets[""])

    def take(self):
        self.optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(self.nets[""](self.photo), self.samples["label"])
        loss.backward()
        self.optimizer.step()
        return [loss]


def momentum(net):
    return fastest(torch.optim.SGD, net.parameters(), lr=0.01, momentum=0.9)


def decayed(net):
    groups = [{"params": [p for p in net.parameters() if (p.dim() > 1) == large], "weight_decay": 0.05 * large} for large in (True, False)]
    return fastest(torch.optim.AdamW, groups, lr=1e-4)


def vision_transformer():
    return torchvision.models.VisionTransformer(224, 16, 12, 3, 192, 768)


class Segmenter(Step):
    def __init__(self):
        self.nets = {"": without_copies(UNet())}
        self.samples = {"photo": picture(1, 3, 256, 256), "mask": picture(1, 1, 256, 256)}

    def prepare(self):
        self.optimizer = fastest(torch.optim.Adam, self.nets[""].parameters(), lr=1e-4)

    def take(self):
        self.optimizer.zero_grad(set_to_none=True)
        loss = F.binary_cross_entropy(self.nets[""](self.samples["photo"]), self.samples["mask"])
        loss.backward()
        self.optimizer.step()
        return [loss]


class Denoiser(Step):
    """With clipped gradients, and weights that follow those that learn."""

    def __init__(self):
        self.nets = {"": Denoise()}
        self.samples = {"noisy": picture(16, 3, 96, 96), "clean": picture(16, 3, 96, 96)}

    def prepare(self):
        self.weights = list(self.nets[""].parameters())
        self.smooth = [p.detach().clone() for p in self.weights]
        self.optimizer = fastest(torch.optim.Adam, self.weights, lr=1e-4, betas=(0.9, 0.99))

    def trained(self):
        return 2 * super().trained()

    def take(self):
        self.optimizer.zero_grad(set_to_none=True)
        loss = F.mse_loss(self.nets[""](self.samples["noisy"]), self.samples["clean"])
        loss.backward()
        nn.utils.clip_grad_norm_(self.weights, 0.1)
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_mul_(self.smooth, 0.999)
            torch._foreach_add_(self.smooth, self.weights, alpha=0.001)
        return [loss]


class Players(Step):
    """A generator and its judge, whose weights take no gradients while the generator learns."""

    def prepare(self):
        self.optimizers = {path: fastest(torch.optim.Adam, net.parameters(), lr=2e-4, betas=(0.5, 0.999)) for path, net in self.nets.items()}

    def learn(self, path, loss):
        self.optimizers[path].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers[path].step()

    def take(self):
        made = self.make()
        judged = self.judge_loss(made)
        self.learn("D", judged)
        self.nets["D"].requires_grad_(False)
        fooled = self.maker_loss(made)
        self.learn("G", fooled)
        self.nets["D"].requires_grad_(True)
        return [judged, fooled]


class DCGAN(Players):
    def __init__(self):
        self.nets = {"G": without_copies(Generator()), "D": without_copies(Discriminator())}
        self.samples = {"photo": picture(64, 3, 64, 64), "code": torch.randn(64, 100)}

    def prepare(self):
        super().prepare()
        self.photo, self.real, self.false = 2 * self.samples["photo"] - 1, torch.ones(64), torch.zeros(64)

    def make(self):
        return self.nets["G"](self.samples["code"])

    def judge_loss(self, made):
        D = self.nets["D"]
        return F.binary_cross_entropy(D(self.photo), self.real) + F.binary_cross_entropy(D(made.detach()), self.false)

    def maker_loss(self, made):
        return F.binary_cross_entropy(self.nets["D"](made), self.real)


class Pix2Pix(Players):
    def __init__(self):
        self.nets = {"G": UNetGenerator(), "D": without_copies(PatchGAN(6))}
        self.samples = {"photo": picture(1, 3, 256, 256), "labels": picture(1, 3, 256, 256)}

    def prepare(self):
        super().prepare()
        self.photo, self.labels = 2 * self.samples["photo"] - 1, 2 * self.samples["labels"] - 1

    def make(self):
        return self.nets["G"](self.labels)

    def against(self, picture, truth):
        scores = self.nets["D"](self.labels, picture)
        return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, truth))

    def judge_loss(self, made):
        return 0.5 * self.against(self.photo, 1) + 0.5 * self.against(made.detach(), 0)

    def maker_loss(self, made):
        return self.against(made, 1) + 100 * F.l1_loss(made, self.photo)


STEPS = {
    "resnet18": lambda: Classifier(torchvision.models.resnet18(), 16, momentum),
    "unet": Segmenter,
    "dcgan": DCGAN,
    "pix2pix": Pix2Pix,
    "denoise": Denoiser,
    "mobilenet_v2": lambda: Classifier(torchvision.models.mobilenet_v2(dropout=0.0), 8, momentum),
    "vit": lambda: Classifier(vision_transformer(), 8, decayed),
}


def resident(key):
    """VmRSS or VmHWM, in MB."""
    with open("/proc/self/status") as file:
        return [int(line.split()[1]) * 1024e-6 for line in file if line.startswith(key)][0]


def flops_of_gradients(dy, x, w, *settings, out_shape=None, **_):
    """Of aten.convolution_backward: PyTorch's own count forgets groups. Which gradients are wanted is its last argument."""
    taps = 2 * w[1:].numel() * x[0] * (x if settings[4] else dy)[2:].numel()
    return taps * (x[1] if settings[4] else dy[1]) * sum(settings[-1][:2])


def count_flops(step):
    try:
        from torch.utils.flop_counter import FlopCounterMode
    except ImportError:
        return None
    step.prepare()
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.convolution_backward: flops_of_gradients}) as counter:
        step.take()
    return counter.get_total_flops()


def write(step, name, folder):
    plain = lambda tensors: {n: np.ascontiguousarray(t.detach().numpy()) for n, t in tensors.items()}
    write_tensors(os.path.join(folder, name + ".safetensors"), plain(step.tensors()))
    samples = {n: t if t.is_floating_point() else t.to(torch.int32) for n, t in step.samples.items()}
    write_tensors(os.path.join(folder, name + ".data.safetensors"), plain(samples))
    trained = step.trained()
    print(json.dumps({"trained": trained, "flops": count_flops(step)}))


def turn(step, seconds):
    """The least time; of one thread CPU time."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    begin, times = time.perf_counter(), []
    while not times or time.perf_counter() < begin + seconds:
        before = clock()
        step.take()
        times.append(clock() - before)
    return 1e3 * min(times)


def main():
    imported = resident("VmRSS")
    name, folder = sys.argv[1:3]
    torch.manual_seed(1)
    step = STEPS[name]()
    if sys.argv[3] == "--write":
        return write(step, name, folder)
    form, threads = sys.argv[3], int(sys.argv[4])
    torch.set_num_threads(threads)
    step.prepare()
    if form == "channels_last":
        for net in step.nets.values():
            net.to(memory_format=torch.channels_last)
        for key, value in list(vars(step).items()):
            if isinstance(value, torch.Tensor) and value.dim() == 4:
                setattr(step, key, value.contiguous(memory_format=torch.channels_last))
        step.samples = {n: t.contiguous(memory_format=torch.channels_last) if t.dim() == 4 else t for n, t in step.samples.items()}
    losses = [[float(loss) for loss in step.take()] for _ in range(FIRST)]
    print(json.dumps({"losses": losses, "memory": resident("VmHWM") - imported}), flush=True)
    for line in sys.stdin:
        print(turn(step, float(line)), flush=True)


warnings.simplefilter("ignore")
main()
