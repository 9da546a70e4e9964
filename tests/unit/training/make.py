#!/usr/bin/env python3
"""What PyTorch makes of the train blocks beside this file: NAME.txt, a line `step NAME values..` for each loss and each state after it.

Weights begin as value(path, i), samples are sample(step, round, i): whole-number arithmetic that tests/unit/training.c has too. All in
float64, as the reference evaluator computes."""
import os
import torch

torch.set_default_dtype(torch.float64)
F = torch.nn.functional
here = os.path.dirname(os.path.abspath(__file__))


def hashed(text):
    h = 0xCBF29CE484222325
    for c in text.encode():
        h = (h ^ c) * 0x100000001B3 % 2**64
    return h


def value(path, shape):
    n = torch.Size(shape).numel()
    return torch.tensor([(hashed(path) + i * 2654435761) % 2**64 % 1000 / 1000 - 0.5 for i in range(n)]).reshape(shape)


def sample(field, batch, shape):
    n = torch.Size(shape).numel()
    return torch.tensor([(hashed(field) + (batch * n + i) * 7919 * 104729) % 2**64 % 1000 / 1000 for i in range(n)]).reshape(shape)


def label(batch, n, classes):
    return torch.tensor([(batch * n + i) * 7 % 5 % classes for i in range(n)])


def prepare(modules):
    """Modules by path; their parameters begin as their paths say, but for norms, which begin as they do."""
    for path, module in modules.items():
        for name, sub in module.named_modules():
            if isinstance(sub, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
                continue
            for leaf, p in sub.named_parameters(recurse=False):
                p.data = value(".".join(x for x in (path, name, leaf) if x), p.shape)


class Record:
    def __init__(self, name):
        self.file = open(os.path.join(here, name + ".txt"), "w")

    def put(self, step, name, tensor):
        print(step, name, *("%.17g" % v for v in tensor.detach().reshape(-1).tolist()), file=self.file)

    def states(self, step, modules):
        for path, module in modules.items():
            for name, t in module.state_dict().items():
                if not name.endswith("num_batches_tracked"):
                    self.put(step, path + "." + name, t)


def classifier():
    net = torch.nn.ModuleDict(dict(conv1=torch.nn.Conv2d(2, 3, 3, padding=1, bias=False), bn1=torch.nn.BatchNorm2d(3),
                                   conv2=torch.nn.Conv2d(3, 4, 3, stride=2, padding=1), bn2=torch.nn.BatchNorm2d(4, affine=False),
                                   fc=torch.nn.Linear(4, 3)))
    def run(x):
        y = F.relu(net.bn2(net.conv2(F.relu(net.bn1(net.conv1(x))))))
        return net.fc(y.mean((2, 3)))
    modules = dict(net=net)
    prepare(modules)
    kernels = [p for p in net.parameters() if p.dim() > 1]
    rest = [p for p in net.parameters() if p.dim() == 1]
    opt = torch.optim.SGD([dict(params=kernels, weight_decay=0.01), dict(params=rest)], lr=0, momentum=0.9, nesterov=True)
    out = Record("classifier")
    for step in range(4):
        rate = 0.5 * min(1, (step + 1) / 4) * (1 - max(0, (step / 10 - 0.25) / 0.75))
        for group in opt.param_groups:
            group["lr"] = rate
        loss = F.cross_entropy(run(sample("x", step, [4, 2, 6, 6])), label(step, 4, 3), label_smoothing=0.1)
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 0.3)
        opt.step()
        out.put(step, "loss", loss)
        out.states(step, modules)
    net.eval()
    right, total, sums = 0, 0, 0
    for batch, n in ((0, 4), (1, 4), (2, 2)):  # ten samples that are held out
        scores = run(sample("x", batch, [4, 2, 6, 6])[:n])
        right += (scores.argmax(1) == label(batch, 4, 3)[:n]).sum()
        sums += scores.mean(1).sum()
        total += n
    out.put(4, "accuracy", right / total)
    out.put(4, "decibels", sums / total)


def adamw():
    net = torch.nn.ModuleDict(dict(a=torch.nn.Linear(3, 5), b=torch.nn.Linear(5, 2)))
    modules = dict(net=net)
    prepare(modules)
    first = torch.optim.AdamW([dict(params=[net.a.weight], weight_decay=0.2), dict(params=[net.a.bias], weight_decay=0)], lr=0)
    second = torch.optim.RMSprop(net.b.parameters(), lr=0.05)
    out = Record("adamw")
    for step in range(4):
        for group in first.param_groups:
            group["lr"] = 0.1 * 0.5 * (1 + torch.cos(torch.tensor(torch.pi * step / 10)).item())
        loss = F.mse_loss(net.b(F.relu(net.a(sample("x", step, [4, 3])))), sample("y", step, [4, 2]))
        first.zero_grad(), second.zero_grad()
        loss.backward()
        first.step(), second.step()
        out.put(step, "loss", loss)
        out.states(step, modules)


def sequence(*layers):
    return torch.nn.Sequential(*layers)


def gan():
    L = torch.nn.Linear
    G = sequence(L(2, 4), torch.nn.BatchNorm1d(4), torch.nn.ReLU(), L(4, 2))
    D = sequence(L(2, 4), torch.nn.LeakyReLU(0.2), L(4, 1))
    modules = dict(G=G, D=D)
    prepare(modules)
    opt_D = torch.optim.Adam(D.parameters(), lr=0.1, betas=(0.5, 0.999))
    opt_G = torch.optim.Adadelta(G.parameters())
    bce = lambda x, t: F.binary_cross_entropy_with_logits(x, torch.full_like(x, t))
    out = Record("gan")
    for step in range(4):
        x = sample("x", step, [4, 2])
        fake = G(x[:, [1, 0]] * 2)
        d_loss = bce(D(x), 1.0) + bce(D(fake.detach()), 0.0)
        opt_D.zero_grad()
        d_loss.backward()
        opt_D.step()
        g_loss = bce(D(fake), 1.0)
        opt_G.zero_grad()
        g_loss.backward()
        opt_G.step()
        out.put(step, "d_loss", d_loss)
        out.put(step, "g_loss", g_loss)
        out.states(step, modules)


def frozen():
    L, B = torch.nn.Linear, torch.nn.BatchNorm1d
    body, head, smooth = sequence(L(3, 4), B(4), torch.nn.ReLU()), sequence(L(4, 3), B(3), L(3, 1)), sequence(L(4, 3), B(3), L(3, 1))
    prepare(dict(body=body, head=head))
    smooth.load_state_dict(head.state_dict())
    body.eval()
    opt = torch.optim.SGD(head.parameters(), lr=0.1)
    out = Record("frozen")
    for step in range(4):
        loss = (head(body(sample("x", step, [4, 3]))) ** 2).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        for a, b in zip(smooth.state_dict().values(), head.state_dict().values()):
            if a.is_floating_point():
                a.copy_(0.9 * a + 0.1 * b)
        out.put(step, "loss", loss)
        out.states(step, dict(body=body, head=head, smooth=smooth))


def critic():
    L, T = torch.nn.Linear, torch.nn.Tanh
    G, D = sequence(L(2, 3), T(), L(3, 2)), sequence(L(2, 4), T(), L(4, 1))
    modules = dict(G=G, D=D)
    prepare(modules)
    target = 3 * sample("x", 0, [4, 2]).mean()
    for p in G.parameters():
        p.data *= 0.5
    opt = torch.optim.SGD(D.parameters(), lr=0.1, momentum=0.5)
    lazy = torch.optim.SGD(D.parameters(), lr=0.3)
    opt_G = torch.optim.RMSprop(G.parameters(), lr=0.01)
    seen = 0
    out = Record("critic")
    for step in range(4):
        for round in range(2):
            x = sample("x", 2 * step + round, [4, 2])
            d_loss = D(G(x * x).detach()).mean() - D(x).mean()
            opt.zero_grad()
            d_loss.backward()
            opt.step()
            for p in D.parameters():
                p.data.clamp_(-0.2, 0.2)
        x = sample("x", 2 * step, [4, 2])
        if step % 2 == 1:
            y = x.clone().requires_grad_()
            slope, = torch.autograd.grad(D(y).sum(), y, create_graph=True)
            penalty = (slope**2).mean()
            lazy.zero_grad()
            penalty.backward()
            lazy.step()
            out.put(step, "penalty", penalty + target)
        seen = seen + D(x).mean().detach()
        g_loss = -D(G(x * x)).mean()
        opt_G.zero_grad()
        g_loss.backward()
        opt_G.step()
        out.put(step, "g_loss", g_loss)
        out.put(step, "train.seen", seen)
        out.states(step, modules)


def code():
    L = torch.nn.Linear
    E, G = sequence(L(3, 2), torch.nn.Tanh()), sequence(L(2, 3))
    modules = dict(E=E, G=G)
    prepare(modules)
    opt = torch.optim.SGD([*E.parameters(), *G.parameters()], lr=0.1)
    out = Record("code")
    for step in range(4):
        x = sample("x", step, [4, 3])
        again = G(E(x))
        found = torch.tanh(F.linear(again, E[0].weight.detach(), E[0].bias.detach()))
        loss = F.mse_loss(again, x) + (found**2).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        out.put(step, "loss", loss)
        out.states(step, modules)


def starts():
    """The bound within which PyTorch draws, or the one value that it sets: of many draws the largest, and the root of the mean square."""
    layers = sequence(torch.nn.Conv2d(4, 6, 3, groups=2), torch.nn.BatchNorm2d(6), torch.nn.ConvTranspose2d(6, 5, 2, stride=2),
                      torch.nn.Conv2d(5, 5, 3, groups=5), torch.nn.LayerNorm(16), torch.nn.Flatten(), torch.nn.Linear(5, 7))
    out = Record("starts")
    torch.manual_seed(1)
    draws = {name: [] for name, _ in layers.named_parameters()}
    for _ in range(2000):
        for layer in layers:
            layer.reset_parameters() if hasattr(layer, "reset_parameters") else None
        for name, p in layers.named_parameters():
            draws[name].append(p.detach().clone().reshape(-1))
    for name, values in draws.items():
        values = torch.cat(values)
        out.put(0, "net." + name, torch.stack([values.abs().max(), (values**2).mean().sqrt()]))


if __name__ == "__main__":
    for case in (classifier, adamw, gan, frozen, critic, code, starts):
        case()
