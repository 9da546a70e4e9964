#!/usr/bin/python3
"""Trains the train blocks in this folder by PyTorch, each written again with the same first weights, samples, order and random numbers. For NAME.cai
it writes NAME.txt: `loss NAME V...` has the losses of all steps in float64, and `apart NAME V...` the largest error of PyTorch's float32 up to each
step; `moment PATH STEP V...` has every STEP-th element of the optimizer's first moment after the first step, which is the gradient times a number,
and `error E` the error of PyTorch's float32, relative to their norm; `running PATH V...` has the running statistics after the last step.
Run it in this folder, with python3-torch."""
import math
import struct

import torch
import torch.nn as nn
import torch.nn.functional as F

import drawing as own

SAMPLES = 16


def f32(x):
    return struct.unpack("f", struct.pack("f", x))[0]


def begin(module, path):
    """Draws the first weights of a run with seed 0: within 1 / sqrt(fan_in), a bias by the fan-in of its weight; norms and positions keep theirs."""
    for name, part in module.named_modules():
        own_weights = dict(part.named_parameters(recurse=False))
        if isinstance(part, (nn.BatchNorm2d, nn.LayerNorm)) or "weight" not in own_weights:
            continue
        bound = 1 / math.sqrt(nn.init._calculate_fan_in_and_fan_out(part.weight)[0])
        for leaf, p in own_weights.items():
            full = ".".join(word for word in (path, name, leaf) if word)
            p.data = torch.tensor([f32(bound * (2 * u - 1)) for u in own.units(full, p.numel())]).reshape(p.shape)
    return module


def drawn(stream, step, *shape):
    return torch.tensor(own.units(stream, math.prod(shape), own.step_seed(step))).reshape(shape)


def normal(layer, step, *shape):
    return (-2 * torch.log(1 - drawn(layer + "#0", step, *shape))).sqrt() * torch.cos(2 * math.pi * drawn(layer + "#1", step, *shape))


def decaying(modules, make, decay, **settings):
    every = [p for module in modules for p in module.parameters()]
    return make([dict(params=[p for p in every if p.dim() > 1], weight_decay=decay), dict(params=[p for p in every if p.dim() == 1], weight_decay=0)], **settings)


def stepped(optimizer, loss, parameters=None, clip=None):
    optimizer.zero_grad()
    loss.backward()
    if clip:
        nn.utils.clip_grad_norm_(parameters, clip)
    optimizer.step()


bce = lambda logits, target: F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))

# Each of these returns its modules by path, the size of a batch, a function for a step, from (step, samples) to losses by name, and its optimizers.


def classifier():
    net = nn.Sequential()
    for name, layer in dict(conv1=nn.Conv2d(2, 8, 3, padding=1, bias=False), bn1=nn.BatchNorm2d(8), relu1=nn.ReLU(), pool=nn.MaxPool2d(2),
                            conv2=nn.Conv2d(8, 12, 3, 2, 1, bias=False), bn2=nn.BatchNorm2d(12), relu2=nn.ReLU(), mean=nn.AdaptiveAvgPool2d(1),
                            flat=nn.Flatten(), fc=nn.Linear(12, 4)).items():
        net.add_module(name, layer)
    begin(net, "net")
    opt = decaying([net], torch.optim.SGD, 1e-3, lr=0.05, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(opt, own.STEPS)

    def step(number, x, label):
        loss = F.cross_entropy(net(x), label, label_smoothing=0.1)
        stepped(opt, loss, net.parameters(), 2.0)
        schedule.step()
        return dict(loss=loss)
    return dict(net=net), 8, step, [opt]


class Cleaner(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.head, self.tail = nn.Conv2d(3, c, 3, padding=1), nn.Conv2d(c, 3, 3, padding=1)
        self.body = nn.ModuleList(nn.Sequential(nn.Conv2d(c, c, 3, padding=1), nn.LeakyReLU(0.1), nn.Conv2d(c, c, 3, padding=1)) for _ in range(2))

    def forward(self, x):
        y = self.head(x)
        for body in self.body:
            y = y + body(y)
        return x - self.tail(y)


def denoiser():
    net = begin(Cleaner(8), "net")
    opt = torch.optim.Adam(net.parameters(), lr=2e-3)

    def step(number, x):
        loss = F.mse_loss(net(x + 0.2 * normal("normal", number, *x.shape)), x)
        stepped(opt, loss)
        return dict(loss=loss)
    return dict(net=net), 4, step, [opt]


def autoencoder():
    E = nn.ModuleDict(dict(conv=nn.Conv2d(1, 8, 4, 2, 1), mean=nn.Linear(288, 5), spread=nn.Linear(288, 5)))
    G = nn.ModuleDict(dict(fc=nn.Linear(5, 288), up=nn.ConvTranspose2d(8, 1, 4, 2, 1)))
    begin(E, "E"), begin(G, "G")
    opt = torch.optim.Adam([*E.parameters(), *G.parameters()], lr=1e-3)

    def step(number, x):
        picture = x / 2 + 0.5
        y = F.relu(E.conv(picture)).flatten(1)
        m, s = E.mean(y), E.spread(y)
        code = m + (s / 2).exp() * normal("drawn.normal", number, *m.shape)
        logits = G.up(F.relu(G.fc(code)).reshape(-1, 8, 6, 6))
        loss = F.binary_cross_entropy_with_logits(logits, picture, reduction="sum") / len(x) - 0.5 * (1 + s - m**2 - s.exp()).sum() / len(x)
        stepped(opt, loss)
        return dict(loss=loss)
    return dict(E=E, G=G), 6, step, [opt]


def players():
    T, C, B, L = nn.ConvTranspose2d, nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU
    G = begin(nn.Sequential(T(10, 8, 3, bias=False), B(8), nn.ReLU(), T(8, 6, 4, 2, 1, bias=False), B(6), nn.ReLU(), T(6, 1, 4, 2, 1), nn.Tanh()), "G")
    D = begin(nn.Sequential(C(1, 6, 4, 2, 1), L(0.2), C(6, 8, 4, 2, 1, bias=False), B(8), L(0.2), nn.Flatten(), nn.Linear(72, 1)), "D")
    opt_D, opt_G = (torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999)) for net in (D, G))

    def step(number, x):
        fake = G(normal("normal", number, len(x), 10, 1, 1))
        d_loss = bce(D(x), 1.0) + bce(D(fake.detach()), 0.0)
        stepped(opt_D, d_loss)
        g_loss = bce(D(fake), 1.0)
        stepped(opt_G, g_loss)
        return dict(d_loss=d_loss, g_loss=g_loss)
    return dict(G=G, D=D), 8, step, [opt_D, opt_G]


class Skip(nn.Module):
    """A level of pix2pix's U-Net, around an inner level or none."""

    def __init__(self, outer, inner, within=None):
        super().__init__()
        middle = [nn.InstanceNorm2d(inner), within] if within else []
        self.model = nn.Sequential(nn.LeakyReLU(0.2), nn.Conv2d(outer, inner, 4, 2, 1), *middle, nn.ReLU(),
                                   nn.ConvTranspose2d(2 * inner if within else inner, outer, 4, 2, 1), nn.InstanceNorm2d(outer))

    def forward(self, x):
        return torch.cat([x, self.model(x)], 1)


def translator():
    unet = nn.Sequential(nn.Conv2d(1, 4, 4, 2, 1), Skip(4, 8, Skip(8, 16)), nn.ReLU(), nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Tanh())
    G = begin(nn.ModuleDict(dict(model=nn.ModuleDict(dict(model=unet)))), "G")
    D = begin(nn.Sequential(nn.Conv2d(2, 4, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(4, 8, 4, 1, 1), nn.InstanceNorm2d(8), nn.LeakyReLU(0.2),
                            nn.Conv2d(8, 1, 4, 1, 1)), "D")
    opt_D, opt_G = (torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999)) for net in (D, G))

    def step(number, x, y):
        made = unet(x)
        d_loss = (bce(D(torch.cat([x, y], 1)), 1.0) + bce(D(torch.cat([x, made.detach()], 1)), 0.0)) / 2
        stepped(opt_D, d_loss)
        g_loss = bce(D(torch.cat([x, made], 1)), 1.0) + 10 * F.l1_loss(made, y)
        stepped(opt_G, g_loss)
        return dict(d_loss=d_loss, g_loss=g_loss)
    return dict(G=G, D=D), 2, step, [opt_D, opt_G]


class Layer(nn.Module):
    def __init__(self, c, heads):
        super().__init__()
        self.norm1, self.norm2, self.fc1, self.fc2, self.heads = nn.LayerNorm(c), nn.LayerNorm(c), nn.Linear(c, 2 * c), nn.Linear(2 * c, c), heads
        self.attn = nn.ModuleDict(dict(qkv=nn.Linear(c, 3 * c), proj=nn.Linear(c, c)))

    def forward(self, x, path, step):
        n, l, c = x.shape
        dropped = lambda y, name: torch.where(drawn(f"{path}.{name}#0", step, *y.shape) < 0.1, 0 * y, y / 0.9)
        q, k, v = self.attn.qkv(self.norm1(x)).reshape(n, l, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1) @ v
        x = x + dropped(self.attn.proj(seen.transpose(1, 2).reshape(n, l, c)), "drop1")
        return x + dropped(self.fc2(F.gelu(self.fc1(self.norm2(x)))), "drop2")


def transformer():
    net = nn.ModuleDict(dict(patches=nn.Conv2d(2, 16, 4, 4), layers=nn.ModuleList([Layer(16, 2), Layer(16, 2)]), norm=nn.LayerNorm(16), head=nn.Linear(16, 4)))
    net.register_parameter("place", nn.Parameter(torch.zeros(1, 9, 16)))
    begin(net, "net")
    opt = decaying([net], torch.optim.AdamW, 0.05, lr=1e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(opt, lambda n: min(1, (n + 1) / 10))

    def step(number, x, label):
        y = net.patches(x).flatten(2).transpose(1, 2) + net.place
        for i, layer in enumerate(net.layers):
            y = layer(y, f"net.layers.{i}", number)
        loss = F.cross_entropy(net.head(net.norm(y).mean(1)), label)
        stepped(opt, loss)
        schedule.step()
        return dict(loss=loss)
    return dict(net=net), 8, step, [opt]


def parts():
    """A step has three parts of 4 samples, each with running statistics and noise of its own; files have the means of these statistics."""
    count = 3
    net = nn.Sequential()
    for name, layer in dict(conv1=nn.Conv2d(2, 8, 3, padding=1, bias=False), bn1=nn.BatchNorm2d(8), relu1=nn.ReLU(), pool=nn.MaxPool2d(2),
                            conv2=nn.Conv2d(8, 12, 3, 2, 1), relu2=nn.ReLU(), mean=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(),
                            fc=nn.Linear(12, 4)).items():
        net.add_module(name, layer)
    begin(net, "net")
    opt = torch.optim.Adam(net.parameters(), lr=2e-3)
    running = [{name: b.clone() for name, b in net.named_buffers()} for _ in range(count)]

    def step(number, x, label):
        losses = []
        opt.zero_grad()
        for part, (samples, classes) in enumerate(zip(x.chunk(count), label.chunk(count))):
            for name, buffer in net.named_buffers():
                buffer.copy_(running[part][name])
            own_streams = "" if part == 0 else f" part {part}"
            u, v = (drawn(f"normal#{i}{own_streams}", number, *samples.shape) for i in range(2))
            noise = (-2 * torch.log(1 - u)).sqrt() * torch.cos(2 * math.pi * v)
            losses.append(F.cross_entropy(net(samples + 0.2 * noise), classes))
            (losses[-1] / count).backward()
            running[part] = {name: b.clone() for name, b in net.named_buffers()}
        nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        opt.step()
        for name, buffer in net.named_buffers():
            buffer.copy_(sum(r[name] for r in running) / count)
        return dict(loss=sum(losses) / count)
    return dict(net=net), 12, step, [opt]


# ---- runs ----

def first_moments(modules, optimizers):
    states = {id(p): state for optimizer in optimizers for p, state in optimizer.state.items()}
    moments = {}
    for path, module in modules.items():
        for name, p in module.named_parameters():
            state = states[id(p)]
            moments[f"{path}.{name}"] = (state["exp_avg"] if "exp_avg" in state else state["momentum_buffer"]).detach().clone().double()
    return moments


def trained(make, name, dtype):
    """The losses of all steps by name, the moments after the first step, and the running statistics at the end."""
    torch.set_default_dtype(torch.float64)
    fields = {field: torch.tensor(own.field(field, shape)).reshape(own.SAMPLES, *shape) for field, shape in own.FIELDS[name].items()}
    fields = {field: x.to(dtype) if x.is_floating_point() else x for field, x in fields.items()}
    torch.set_default_dtype(dtype)
    modules, size, step, optimizers = make()
    losses, moments = {}, None
    for number in range(own.STEPS):
        places = torch.tensor(own.batch(number, size))
        for loss, value in step(number, *(x[places] for x in fields.values())).items():
            losses.setdefault(loss, []).append(value.item())
        moments = moments or first_moments(modules, optimizers)
    return losses, moments, {f"{path}.{name}": b for path, module in modules.items() for name, b in module.named_buffers() if b.is_floating_point()}


def norm(tensors):
    return math.sqrt(sum((t * t).sum().item() for t in tensors))


def write(make):
    name = make.__name__
    (exact, moments, running), (single, single_moments, _) = (trained(make, name, dtype) for dtype in (torch.float64, torch.float32))
    with open(name + ".txt", "w") as file:
        for loss, values in exact.items():
            apart, most = [], 0
            for a, b in zip(values, single[loss]):
                most = max(most, abs(a - b))
                apart.append(most)
            print("loss", loss, *(f"{v:.10g}" for v in values), file=file)
            print("apart", loss, *(f"{v:.2g}" for v in apart), file=file)
        print("error", f"{norm([moments[p] - single_moments[p] for p in moments]) / norm(moments.values()):.3g}", file=file)
        for path, moment in moments.items():
            step = -(-moment.numel() // SAMPLES)
            print("moment", path, step, *(f"{v:.10g}" for v in moment.reshape(-1)[::step].tolist()), file=file)
        for path, numbers in running.items():
            print("running", path, *(f"{v:.10g}" for v in numbers.reshape(-1).tolist()), file=file)
    print(name, {loss: (values[0], values[-1], abs(values[9] - single[loss][9]), abs(values[-1] - single[loss][-1])) for loss, values in exact.items()})


if __name__ == "__main__":
    for make in (classifier, denoiser, autoencoder, players, translator, transformer, parts):
        write(make)
