#!/usr/bin/env python3
"""What PyTorch makes of the train blocks beside this file: NAME.txt, a line `step NAME values..` for each loss and each state after it.

Weights begin as value(path, i), samples are sample(step, round, i): whole-number arithmetic that tests/unit/training.c has too. All in
float64, as the reference evaluator computes."""
import os
import sys

import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
from draws import fnv1a64, splitmix64, units

torch.set_default_dtype(torch.float64)
F = torch.nn.functional
here = os.path.dirname(os.path.abspath(__file__))


def value(path, shape):
    n = torch.Size(shape).numel()
    return torch.tensor([(fnv1a64(path) + i * 2654435761) % 2**64 % 1000 / 1000 - 0.5 for i in range(n)]).reshape(shape)


def sample(field, batch, shape):
    n = torch.Size(shape).numel()
    return torch.tensor([(fnv1a64(field) + (batch * n + i) * 7919 * 104729) % 2**64 % 1000 / 1000 for i in range(n)]).reshape(shape)


def label(batch, n, classes):
    return torch.tensor([(batch * n + i) * 7 % 5 % classes for i in range(n)])


def drawn(stream, seed):
    """The first number of a stream in a run of this seed."""
    return units(splitmix64(seed ^ fnv1a64(stream)), 1)[0]


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


def players():
    L = torch.nn.Linear
    G = sequence(L(2, 4), torch.nn.BatchNorm1d(4), torch.nn.ReLU(), L(4, 2))
    D = sequence(L(2, 4), torch.nn.LeakyReLU(0.2), L(4, 1))
    modules = dict(G=G, D=D)
    prepare(modules)
    opt_D = torch.optim.Adam(D.parameters(), lr=0.1, betas=(0.5, 0.999))
    opt_G = torch.optim.Adadelta(G.parameters())
    bce = lambda x, t: F.binary_cross_entropy_with_logits(x, torch.full_like(x, t))
    out = Record("players")
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


def places():
    L = torch.nn.Linear
    net, spare = torch.nn.ModuleDict(dict(a=L(3, 4), bn=torch.nn.BatchNorm1d(4), b=L(4, 2))), torch.nn.ModuleDict(dict(a=L(3, 2), b=L(2, 2)))
    modules = dict(net=net, spare=spare)
    prepare(modules)
    run = lambda x: net.b(net.bn(net.a(x)))
    reached = [*net.parameters(), *spare.a.parameters()]
    out = Record("places")
    for step in range(4):
        x = sample("x", step, [4, 3])
        first, second = (run(x)**2).mean(), (run(x)**3).mean() + (spare.a(x)**2).mean()
        of_first, of_second = torch.autograd.grad(first, list(net.parameters())), torch.autograd.grad(second, reached)
        clip = min(1, 0.2 / (torch.stack([g.norm() for g in of_first]).norm() + 1e-6))
        with torch.no_grad():
            for (name, w), g in zip(net.named_parameters(), of_first):
                w -= (0.1 if name.startswith("a.") else 0.3) * clip * g
            for w, g in zip(reached, of_second):
                w -= 0.1 * (g + (0.1 * w if w.dim() > 1 else 0))
            for w in net.parameters():
                w.clamp_(-0.4, 0.9)
            net.eval()
            seen = (run(x)**2).mean()
            net.train()
        out.put(step, "first", first)
        out.put(step, "second", second)
        out.put(step, "seen", seen)
        out.states(step, modules)


class Mean(torch.nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


def begin_directions(layer):
    axis = 1 if isinstance(layer, torch.nn.ConvTranspose2d) else 0
    w, u = layer.weight_orig.detach().movedim(axis, 0).flatten(1), torch.ones_like(layer.weight_u)
    for _ in range(15):
        u = torch.nn.functional.normalize(w @ torch.nn.functional.normalize(w.t() @ u, dim=0), dim=0)
    layer.weight_u.copy_(u)
    layer.weight_v.copy_(torch.nn.functional.normalize(w.t() @ u, dim=0))


def spectral():
    norm = torch.nn.utils.spectral_norm
    D = sequence(norm(torch.nn.Conv2d(2, 4, 3, stride=2, padding=1)), torch.nn.LeakyReLU(0.2),
                 norm(torch.nn.ConvTranspose2d(4, 3, 4, stride=2, padding=1)), torch.nn.Tanh(), Mean(),
                 norm(torch.nn.Linear(3, 2)))
    prepare(dict(D=D))
    for layer in D.modules():  # u and v begin as 15 rounds make them, as in torch.nn.utils.parametrizations, from a u of ones
        if hasattr(layer, "weight_u"):
            begin_directions(layer)
    opt = torch.optim.SGD(D.parameters(), lr=0.3)
    out = Record("spectral")
    for step in range(4):
        x = sample("x", step, [4, 2, 4, 4])
        loss = (D(x) ** 2).mean() - (D(x * x) ** 3).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        out.put(step, "loss", loss)
        out.states(step, dict(D=D))


def judge():
    norm = torch.nn.utils.spectral_norm
    G = torch.nn.Conv2d(2, 2, 3, padding=1)
    judge = sequence(norm(torch.nn.Conv2d(2, 3, 3, padding=1)), torch.nn.Tanh(), Mean(), norm(torch.nn.Linear(3, 2)))
    D, smooth = (sequence(norm(torch.nn.ConvTranspose2d(2, 3, 4, stride=2, padding=1)), torch.nn.Tanh(), Mean(),
                          norm(torch.nn.Linear(3, 1))) for _ in range(2))
    prepare(dict(G=G, judge=judge, D=D))
    for layer in [*judge, *D]:
        if hasattr(layer, "weight_u"):
            begin_directions(layer)
    average = {name: t.clone() for name, t in D.state_dict().items()}
    judge.eval(), smooth.eval()
    opt_D, opt_G = torch.optim.SGD(D.parameters(), lr=0.3), torch.optim.SGD(G.parameters(), lr=0.3)
    out = Record("judge")
    for step in range(4):
        x = sample("x", step, [4, 2, 4, 4])
        y = G(x)
        d_loss = (D(y.detach()) ** 2).mean() - D(x).mean()
        opt_D.zero_grad()
        d_loss.backward()
        opt_D.step()
        average = {name: 0.75 * t + 0.25 * D.state_dict()[name] for name, t in average.items()}
        smooth.load_state_dict({name: F.normalize(t, dim=0) if name.endswith(("_u", "_v")) else t for name, t in average.items()})
        g_loss = judge(y).mean() + (smooth(y) ** 2).mean()
        opt_G.zero_grad()
        g_loss.backward()
        opt_G.step()
        out.put(step, "d_loss", d_loss)
        out.put(step, "g_loss", g_loss)
        out.states(step, dict(G=G, judge=judge, D=D))
        for name, t in average.items():
            out.put(step, "smooth." + name, t)


def replay():
    """ImagePool of the authors' code, its draws those of the block: where a full pool gives one, and whether it does."""
    net, pool = sequence(torch.nn.Linear(3, 3)), []
    prepare(dict(net=net))
    opt = torch.optim.SGD(net.parameters(), lr=0.1)
    out = Record("replay")
    for step in range(4):
        y, given = net(sample("x", step, [4, 3])), []
        for n, one in enumerate(y.detach()):
            place, coin = (drawn(f"pool#{2 * n + i}", step) for i in range(2))
            if len(pool) < 6:
                pool.append(one)
                given.append(one)
            elif coin < 0.5:
                given.append(pool[int(6 * place)])
                pool[int(6 * place)] = one
            else:
                given.append(one)
        loss = (y**2).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        out.put(step, "loss", loss)
        out.put(step, "seen", (torch.stack(given) * (torch.arange(12).reshape(4, 3) + 1)).sum())
        out.put(step, "pool.pool", torch.stack(pool + [torch.zeros(3)] * (6 - len(pool))))
        out.states(step, dict(net=net))


class Lars:
    """You et al. 2017, algorithm 1, as the authors' code has it."""

    def __init__(self, weights, lr, momentum, decay, trust):
        self.weights, self.settings = [(w, torch.zeros_like(w)) for w in weights], (lr, momentum, decay, trust)

    def step(self):
        lr, momentum, decay, trust = self.settings
        for w, v in self.weights:
            rate, g = lr, w.grad
            if w.dim() > 1:
                rate = lr * trust * w.data.norm() / (g.norm() + decay * w.data.norm())
                g = g + decay * w.data
            v.mul_(momentum).add_(rate * g)
            w.data -= v


class EachByItself:
    """PyTorch's L-BFGS, an optimizer for each tensor."""

    def __init__(self, weights, **settings):
        self.all = [torch.optim.LBFGS([w], max_iter=1, tolerance_grad=0, tolerance_change=0, **settings) for w in weights]

    def step(self):
        for one in self.all:
            one.step(lambda: torch.zeros(()))


def optimizers():
    def decaying(make, decay, **settings):
        def made(net):
            kernels, rest = [p for p in net.parameters() if p.dim() > 1], [p for p in net.parameters() if p.dim() == 1]
            return make([dict(params=kernels, weight_decay=decay), dict(params=rest, weight_decay=0)], **settings)
        return made
    optim = torch.optim
    kinds = dict(descent=decaying(optim.SGD, 0.1, lr=0.2), momentum=lambda net: optim.SGD(net.parameters(), lr=0.2, momentum=0.9),
                 nesterov=lambda net: optim.SGD(net.parameters(), lr=0.1, momentum=0.8, nesterov=True),
                 adam_like=lambda net: optim.Adam(net.parameters(), lr=0.05),
                 adamw_like=decaying(optim.AdamW, 0.3, lr=0.05, betas=(0.5, 0.9), eps=1e-6), root=decaying(optim.RMSprop, 0.1, lr=0.02, alpha=0.9),
                 delta=decaying(optim.Adadelta, 0.1, lr=2.0, rho=0.8, eps=1e-5), layered=lambda net: Lars(net.parameters(), 2.0, 0.9, 0.01, 0.1),
                 curved=lambda net: EachByItself(net.parameters(), lr=0.5, history_size=4),
                 short=lambda net: EachByItself(net.parameters(), lr=0.8, history_size=1))
    nets = {name: torch.nn.ModuleDict(dict(a=torch.nn.Linear(3, 4), b=torch.nn.Linear(4, 2))) for name in kinds}
    prepare(nets)
    made = {name: kind(nets[name]) for name, kind in kinds.items()}
    out = Record("optimizers")
    for step in range(10):
        for name, net in nets.items():
            net.zero_grad()
            F.mse_loss(net.b(torch.tanh(net.a(sample("x", step, [4, 3])))), sample("y", step, [4, 2])).backward()
            if name == "momentum":
                torch.nn.utils.clip_grad_norm_(net.parameters(), 0.1)
            made[name].step()
        out.states(step, nets)


def schedules():
    """By PyTorch's own schedulers where it has them, else by the formula of whoever has it."""
    def rates(make):
        opt = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        schedule = make(torch.optim.lr_scheduler, opt)
        for _ in range(10):
            yield opt.param_groups[0]["lr"]
            opt.step()
            schedule.step()
    epochs = [step * 4 // 10 for step in range(10)]
    all = dict(straight=rates(lambda s, o: s.LinearLR(o, 1.0, 1e-30, 10)),
               later=rates(lambda s, o: s.LambdaLR(o, lambda n: 1 - max(0, n - 5) / 5)),
               wave=rates(lambda s, o: s.CosineAnnealingLR(o, 10)), high_wave=rates(lambda s, o: s.CosineAnnealingLR(o, 10, eta_min=0.25)),
               power=rates(lambda s, o: s.PolynomialLR(o, 10, 0.9)) if hasattr(torch.optim.lr_scheduler, "PolynomialLR") else
               rates(lambda s, o: s.LambdaLR(o, lambda n: (1 - n / 10) ** 0.9)),
               square=rates(lambda s, o: s.LambdaLR(o, lambda n: (1 - n / 10) ** 2)),
               rise=rates(lambda s, o: s.LinearLR(o, 0.25, 1.0, 3)), stairs=rates(lambda s, o: s.LambdaLR(o, lambda n: 0.5 ** sum(epochs[min(n, 9)] >= e for e in (1, 3)))))
    out = Record("schedules")
    for step, values in enumerate(zip(*all.values())):
        for name, value in zip(all, values):
            out.put(step, name, torch.tensor(value))


def mean_precision(found, truth, classes, least, points):
    """VOC's way, a find at a time: each belongs to the thing of its class that it overlaps most."""
    import torchvision
    precisions = []
    for c in range(classes):
        finds = [(row[4].item(), n, row[:4]) for n, rows in enumerate(found) for row in rows if row[4] > 0 and row[5] == c]
        things = [rows[rows[:, 4] == c] for rows in truth]
        taken, hits, seen, curve = [set() for _ in things], 0, 0, []
        for score, n, box in sorted(finds, key=lambda find: -find[0]):
            seen += 1
            overlap = torchvision.ops.box_iou(box[None], things[n][:, :4])[0]
            if len(overlap) and overlap.max() >= least and overlap.argmax().item() not in taken[n]:
                taken[n].add(overlap.argmax().item())
                hits += 1
            curve.append((hits / sum(map(len, things)), hits / seen))
        precisions.append(sum(max([p for recall, p in curve if recall >= i / (points - 1)], default=0) for i in range(points)) / points)
    return sum(precisions) / classes


def measures():
    all_of = lambda field, *shape: torch.cat([sample(field, batch, [4, *shape]) for batch in range(3)])[:10]
    x, y, finds, things = all_of("x", 3, 12, 12), all_of("y", 3, 12, 12), all_of("finds", 6, 6), all_of("things", 4, 5)
    mask = torch.tensor([i * 7 % 5 % 3 for i in range(10 * 144)]).reshape(10, 12, 12)
    labels = label(0, 10, 3)
    out = Record("measures")
    out.put(0, "decibels", (-10 * ((x - y) ** 2).mean((1, 2, 3)).log10()).mean())

    line = torch.exp(-((torch.arange(11) - 5.0) ** 2) / 4.5)
    under = lambda a: (a.unfold(2, 11, 1).unfold(3, 11, 1) * (line[:, None] * line / line.sum() ** 2)).sum((-1, -2))
    z = 0.7 * x + 0.3 * y
    spread = lambda a, b: under(a * b) - under(a) * under(b)
    index = ((2 * under(x) * under(z) + 1e-4) * (2 * spread(x, z) + 9e-4)
             / ((under(x) ** 2 + under(z) ** 2 + 1e-4) * (spread(x, x) + spread(z, z) + 9e-4)))
    out.put(0, "alike", index.mean())

    best = x.argmax(1)
    for name, counted in (("overlap", mask >= 0), ("overlap_but_2", mask != 2)):
        shares = []
        for c in range(3):
            a, b = (best == c) & counted, (mask == c) & counted
            if (a | b).any():
                shares.append((a & b).sum() / (a | b).sum())
        out.put(0, name, sum(shares) / len(shares))

    a, b = x.mean((2, 3)), 1.5 * y.mean((2, 3))
    cov_a, cov_b = (v.T.cov() for v in (a, b))
    roots = torch.linalg.eigvals(cov_a @ cov_b).sqrt().real.sum()
    out.put(0, "apart", ((a.mean(0) - b.mean(0)) ** 2).sum() + cov_a.trace() + cov_b.trace() - 2 * roots)

    scores = x[:, :, 3, 4]
    out.put(0, "right", (scores.argmax(1) == labels).double().mean())
    out.put(0, "right_of_two", (scores.topk(2, 1)[1] == labels[:, None]).any(1).double().mean())
    corner, place = (3 * finds[..., :2]).floor(), (3 * things[..., :2]).floor()
    score = torch.where(finds[..., 4:5] < 0.2, torch.zeros(()), finds[..., 4:5])
    found = torch.cat([corner, corner + 2 + finds[..., 2:4], score, (2 * finds[..., 5:6]).floor()], -1)
    truth = torch.cat([place, place + 2 + things[..., 2:4], (3 * things[..., 4:5]).floor() - 1], -1)
    out.put(0, "precision", torch.tensor(mean_precision(found, truth, 2, 0.5, 11)))
    out.put(0, "strict_precision", torch.tensor(mean_precision(found, truth, 2, 0.75, 101)))
    out.put(0, "agreement", (x[:, 0, 0, 0] * y[:, 0, 0, 0]).mean())


def starts():
    """The bound within which PyTorch draws, or the one value that it sets: of many draws the largest, and the root of the mean square."""
    net = sequence(torch.nn.Conv2d(4, 6, 3, groups=2), torch.nn.BatchNorm2d(6), torch.nn.ConvTranspose2d(6, 5, 2, stride=2),
                   torch.nn.Conv2d(5, 5, 3, groups=5), torch.nn.LayerNorm(16), torch.nn.Flatten(), torch.nn.Linear(5, 7))
    reads = sequence(torch.nn.MultiheadAttention(16, 2), torch.nn.LSTM(16, 3, bidirectional=True), torch.nn.GRU(6, 4))
    layers = torch.nn.ModuleDict(dict(net=net, reads=reads))
    out = Record("starts")
    torch.manual_seed(1)
    draws = {name: [] for name, _ in layers.named_parameters()}
    for _ in range(2000):
        for layer in layers.modules():
            layer.reset_parameters() if hasattr(layer, "reset_parameters") else None
        reads[0]._reset_parameters()
        for name, p in layers.named_parameters():
            draws[name].append(p.detach().clone().reshape(-1))
    for name, values in draws.items():
        values = torch.cat(values)
        out.put(0, name, torch.stack([values.abs().max(), (values**2).mean().sqrt()]))


if __name__ == "__main__":
    for case in (classifier, adamw, players, frozen, critic, code, places, spectral, judge, replay, optimizers, schedules, measures, starts):
        case()
