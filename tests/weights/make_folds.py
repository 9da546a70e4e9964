#!/usr/bin/env python3
# Makes the files of folds in files/: the network of make.py with its convolution and its dense layer under PyTorch's norms of weights, which
# give y_norms.npy, and tensors of the plain network in pieces. Needs torch and numpy, which the tests do not.
import os
import numpy as np, torch, torch.nn as nn
from torch.nn.utils import parametrizations, spectral_norm, weight_norm

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'files'))
torch.manual_seed(2)
state, x = torch.load('plain.pth'), torch.from_numpy(np.load('x.npy'))


class Net(nn.Module):
    def __init__(self, spectral, weight):
        super().__init__()
        self.c1, self.bn, self.fc = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Linear(3, 2)
        self.load_state_dict(state)
        spectral(self.c1), weight(self.fc)

    def forward(self, x):
        return self.fc(torch.relu(self.bn(self.c1(x))).mean((2, 3)))


def spectral_of(norm):
    def apply(layer):
        norm(layer)
        layer.train()
        for _ in range(5):
            layer(torch.randn(1, 2, 7, 7)) # a step of power iteration each
        layer.eval()
    return apply


net = Net(spectral_of(spectral_norm), weight_norm).eval()
net.fc.weight_g.data *= 1.5
torch.save(net.state_dict(), 'norms.pth')
np.save('y_norms.npy', net(x).detach().numpy())
# The same by today's parametrizations, whose vectors are those above.
new = Net(parametrizations.spectral_norm, parametrizations.weight_norm).eval()
old = net.state_dict()
new.load_state_dict({
    **{n: v for n, v in old.items() if n.startswith('bn.') or n.endswith('.bias')},
    'c1.parametrizations.weight.original': old['c1.weight_orig'], 'c1.parametrizations.weight.0._u': old['c1.weight_u'],
    'c1.parametrizations.weight.0._v': old['c1.weight_v'], 'fc.parametrizations.weight.original0': old['fc.weight_g'],
    'fc.parametrizations.weight.original1': old['fc.weight_v']})
assert abs(new(x) - net(x)).max() < 1e-6
torch.save(new.state_dict(), 'norms_new.pth')

# In pieces: a dense layer by rows, a bias as a sum, all that a batch norm has as one.
a = {name: value.numpy() for name, value in state.items()}
norm = np.concatenate([a[f'bn.{n}'] for n in ('weight', 'bias', 'running_mean', 'running_var')])
np.savez('pieces.npz', **{'c1.weight': a['c1.weight'], 'c1.bias_a': a['c1.bias'] - 1, 'c1.bias_b': np.ones(3, 'f4'), 'bn.all': norm,
                          'fc.top.weight': a['fc.weight'][:1], 'fc.low.weight': a['fc.weight'][1:], 'fc.bias': a['fc.bias']})
