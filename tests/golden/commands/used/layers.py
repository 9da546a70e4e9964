#!/usr/bin/env python3
# Makes shuffles.onnx, layers.onnx and maps.onnx for tests/golden/commands/import-*.cai, as PyTorch exports these layers. Needs torch and onnx, which the tests do not.
import os, warnings

warnings.filterwarnings('ignore')
import onnx, torch
from torch import nn

os.chdir(os.path.dirname(os.path.abspath(__file__)))


class Shuffle(nn.Module):  # ShuffleNet's unit: half of the channels pass, then they take turns
    def __init__(self, c):
        super().__init__()
        self.branch = nn.Conv2d(c // 2, c // 2, 1)

    def forward(self, x):
        n, c, h, w = x.shape
        kept, changed = x.chunk(2, 1)
        x = torch.cat([kept, self.branch(changed).relu()], 1)
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class Attention(nn.Module):  # timm's; rows: how the three parts are taken
    def __init__(self, c, heads, rows):
        super().__init__()
        self.heads, self.rows, self.qkv, self.proj = heads, rows, nn.Linear(c, 3 * c), nn.Linear(c, c)

    def forward(self, x):
        n, l, c = x.shape
        y = self.qkv(x).reshape(n, l, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = y.unbind(0) if self.rows else (y[0], y[1], y[2])
        return self.proj(nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, l, c))


class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        self.unbound, self.picked = Attention(8, 2, True), Attention(8, 4, False)
        self.packed = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        x = self.picked(self.unbound(x))
        return self.packed(x, x, x, need_weights=False)[0]


class Turned(nn.Module):  # ConvNeXt's block, whose layers take the channels on the last axis; between: what else is there
    def __init__(self, c, between=nn.Identity()):
        super().__init__()
        self.dwconv, self.norm, self.wide, self.between, self.back = nn.Conv2d(c, c, 3, padding=1, groups=c), nn.LayerNorm(c), nn.Linear(c, 4 * c), between, nn.Linear(4 * c, c)
        self.layer_scale = nn.Parameter(torch.zeros(c, 1, 1))

    def forward(self, x):
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        y = self.back(self.between(nn.functional.gelu(self.wide(y)))).permute(0, 3, 1, 2)
        return x + self.layer_scale * y


def export(name, network, x, axes):
    for weight in network.parameters():  # no two are equal, since of such the file would have only one
        nn.init.uniform_(weight)
    torch.onnx.export(network.eval(), x, f'{name}.onnx', opset_version=17, dynamo=False, input_names=['x'], output_names=['y'], dynamic_axes={'x': axes})
    model = onnx.load(f'{name}.onnx')
    for node in model.graph.node:
        node.doc_string = ''
        del node.metadata_props[:]
    onnx.save(model, f'{name}.onnx')


torch.manual_seed(1)
export('shuffles', nn.Sequential(Shuffle(8), Shuffle(8), nn.Conv2d(8, 16, 1), Shuffle(16), Shuffle(16), Shuffle(16)), torch.rand(2, 8, 4, 4), {0: 'N', 2: 'H', 3: 'W'})
export('layers', Layers(), torch.rand(2, 6, 8), {0: 'N'})
export('maps', nn.Sequential(Turned(8), Turned(8), Turned(8), nn.Conv2d(8, 16, 2, 2), Turned(16), Turned(16, nn.Softmax(-1))), torch.rand(2, 8, 4, 4), {0: 'N'})
