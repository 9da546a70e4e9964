#!/usr/bin/env python3
# Makes the files of ncnn in files/: net.param and net.bin, the network of make.py, and kinds.param and kinds.bin, a layer of each
# kind that has weights. Each layer's .param and .bin are written as ncnn documents them, run by ncnn, and compared with PyTorch; kinds.safetensors has
# what PyTorch has. Needs torch, numpy and ncnn (pip install ncnn), which the tests do not.
import os, struct, sys, tempfile
import ncnn, numpy as np, torch, torch.nn as nn

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, '..', 'numerics'))
import tensors
os.chdir(os.path.join(here, 'files'))
torch.manual_seed(1)
F16 = struct.pack('<I', 0x01306B47)


def raw(value):
    return np.ascontiguousarray(value.detach().numpy(), dtype='<f4').tobytes()


def flagged(value, half=False):
    if not half:
        return struct.pack('<I', 0) + raw(value)
    data = np.ascontiguousarray(value.detach().numpy(), dtype='<f2').tobytes()
    return F16 + data + bytes(-len(data) % 4)


def run(layers, data, inputs, output):
    """What ncnn makes of arrays without their batch."""
    with tempfile.TemporaryDirectory() as folder:
        blobs = sum(int(line.split()[3]) for line in layers)
        with open(f'{folder}/n.param', 'w') as file:
            file.write(f'7767517\n{len(layers)} {blobs}\n' + '\n'.join(layers) + '\n')
        open(f'{folder}/n.bin', 'wb').write(data)
        n = ncnn.Net()
        n.opt.use_fp16_packed = n.opt.use_fp16_storage = n.opt.use_fp16_arithmetic = n.opt.use_bf16_storage = False
        n.opt.num_threads = 1
        assert n.load_param(f'{folder}/n.param') == 0 and n.load_model(f'{folder}/n.bin') == 0
        e = n.create_extractor()
        for name, value in inputs.items():
            e.input(name, ncnn.Mat(np.ascontiguousarray(value)).clone())
        code, mat = e.extract(output)
        assert code == 0
        return np.array(mat)


layers, data, expected = [], b'', {}


def add(line, part, theirs=None, x=None, y=None, weights={}):
    """A layer `kind name settings..`, its part of the .bin, what PyTorch calls its weights; x and y without a batch."""
    global data
    kind, name, *settings = line.split()
    if x is not None:
        got = run(['Input in 0 1 in', f'{kind} {name} 1 1 in out {" ".join(settings)}'], part, {'in': x.numpy()}, 'out')
        worst = abs(got.reshape(y.shape) - y.detach().numpy()).max()
        assert worst < 2e-5 * max(1, float(abs(y.detach()).max())), (line, worst)
        print(f'{kind} {name}: {worst:.1e} off')
    layers.append(f'{kind} {name} 1 1 b{len(layers)} b{len(layers) + 1} {" ".join(settings)}')
    data += part
    for key, value in weights.items():
        expected[f'{name}.{key}' if key else name] = value.detach()


def module(line, part, m, x, batched=True):
    y = m(x[None])[0] if batched else m(x)
    add(line, part, None, x, y, dict(m.state_dict()))


c = nn.Conv2d(3, 4, (2, 3))
module('Convolution conv 0=4 1=3 11=2 5=1 6=72', flagged(c.weight) + raw(c.bias), c, torch.randn(3, 6, 7))
c = nn.Conv2d(4, 6, 3, groups=2, bias=False)
module('ConvolutionDepthWise grouped 0=6 1=3 5=0 6=108 7=2', flagged(c.weight), c, torch.randn(4, 6, 7))
c = nn.Conv1d(3, 4, 3)
module('Convolution1D along 0=4 1=3 5=1 6=36', flagged(c.weight) + raw(c.bias), c, torch.randn(3, 7))
c = nn.Conv3d(2, 3, (2, 3, 1))
module('Convolution3D space 0=3 1=1 11=3 21=2 5=1 6=36', flagged(c.weight) + raw(c.bias), c, torch.randn(2, 4, 5, 3))
c = nn.ConvTranspose2d(3, 4, (2, 3))
module('Deconvolution back 0=4 1=3 11=2 5=1 6=72', flagged(c.weight.transpose(0, 1)) + raw(c.bias), c, torch.randn(3, 5, 6))
c = nn.ConvTranspose2d(4, 6, 3, groups=2)
module('DeconvolutionDepthWise grouped_back 0=6 1=3 5=1 6=108 7=2', flagged(c.weight.reshape(2, 2, 3, 3, 3).transpose(1, 2)) + raw(c.bias), c, torch.randn(4, 5, 6))
c = nn.Linear(5, 3)
module('InnerProduct dense 0=3 1=1 2=15', flagged(c.weight) + raw(c.bias), c, torch.randn(5), batched=False)
c = nn.BatchNorm2d(3).eval()
c.load_state_dict({k: torch.rand(3) + 0.5 if v.dim() else v for k, v in c.state_dict().items()})
module('BatchNorm norm 0=3 1=1e-5', raw(c.weight) + raw(c.running_mean) + raw(c.running_var) + raw(c.bias), c, torch.randn(3, 4, 5))
del expected['norm.num_batches_tracked']
c = nn.LayerNorm(5)
nn.init.normal_(c.weight)
module('LayerNorm layer 0=5 1=1e-5 2=1', raw(c.weight) + raw(c.bias), c, torch.randn(4, 5))
c = nn.GroupNorm(2, 4)
nn.init.normal_(c.weight)
module('GroupNorm group 0=2 1=4 2=1e-5 3=1', raw(c.weight) + raw(c.bias), c, torch.randn(4, 3, 3))
c = nn.InstanceNorm2d(3, affine=True)
nn.init.normal_(c.weight)
module('InstanceNorm instance 0=3 1=1e-5 2=1', raw(c.weight) + raw(c.bias), c, torch.randn(3, 4, 4))
module('InstanceNorm plain 0=3 1=1e-5 2=0', b'', nn.InstanceNorm2d(3), torch.randn(3, 4, 4))
c = nn.PReLU(3)
nn.init.uniform_(c.weight)
module('PReLU slope 0=3', raw(c.weight), c, torch.randn(3, 4, 4))
scale, shift, x = torch.randn(3), torch.randn(3), torch.randn(3, 4, 4)
add('Scale scale 0=3 1=1', raw(scale) + raw(shift), None, x, x * scale[:, None, None] + shift[:, None, None], {'weight': scale, 'bias': shift})
c = nn.Embedding(6, 4)
add('Embed words 0=4 1=6 2=0 3=24', flagged(c.weight), weights=dict(c.state_dict()))
b, shift, x = torch.randn(3, 4), torch.randn(4), torch.randn(2, 3)
add('Gemm product 3=0 4=0 5=1 6=1 7=0 8=4 9=3 10=4', flagged(b) + flagged(shift), None, x, x @ b + shift, {'B': b, 'C': shift})
value = torch.randn(2, 3, 4)
add('MemoryData table 0=4 1=3 2=2', raw(value), weights={'': value})

# Half floats, and places in a table of 256 numbers.
c = nn.Linear(3, 3).half()
module('InnerProduct half 0=3 1=1 2=9', flagged(c.weight.float(), half=True) + raw(c.bias.float()), c.float(), torch.randn(3), batched=False)
table, places = torch.randn(256), torch.randint(256, (6,))
c = nn.Linear(3, 2, bias=False)
c.weight.data = table[places].reshape(2, 3)
module('InnerProduct coded 0=2 1=0 2=6', struct.pack('<I', 0x01020304) + raw(table) + bytes(places.tolist()) + bytes(2), c, torch.randn(3), batched=False)

# Recurrent layers: PyTorch's gates in ncnn's order, and one bias.
def rows(value, order):
    return torch.cat([value.chunk(len(order))[i] for i in order])


def recurrent(line, m, order, bias):
    size = m.hidden_size
    ways = ['', '_reverse'] if m.bidirectional else ['']
    get = lambda name, way: getattr(m, f'{name}_l0{way}')
    part = flagged(torch.stack([rows(get('weight_ih', w), order) for w in ways]))
    part += flagged(torch.stack([bias(get('bias_ih', w), get('bias_hh', w)) for w in ways]))
    part += flagged(torch.stack([rows(get('weight_hh', w), order) for w in ways]))
    x = torch.randn(5, m.input_size)
    add(line, part, None, x, m(x)[0], dict(m.state_dict()))


m = nn.LSTM(3, 4, bidirectional=True)
for name, value in m.named_parameters():
    if 'bias_hh' in name:
        value.data.zero_()
recurrent(f'LSTM long 0=4 1={2 * 16 * 3} 2=2', m, (0, 1, 3, 2), lambda a, b: rows(a + b, (0, 1, 3, 2)))
m = nn.GRU(3, 4)
m.bias_hh_l0.data[:8] = 0
recurrent(f'GRU gated 0=4 1={12 * 3} 2=0', m, (0, 1, 2), lambda a, b: torch.cat([(a + b)[:8], a[8:], b[8:]]))
m = nn.RNN(3, 4)
m.bias_hh_l0.data.zero_()
recurrent(f'RNN simple 0=4 1={4 * 3} 2=0', m, (0,), lambda a, b: a + b)

m = nn.MultiheadAttention(4, 2)
m.in_proj_bias.data.normal_()
m.out_proj.bias.data.normal_()
w, b = m.in_proj_weight.chunk(3), m.in_proj_bias.chunk(3)
x = torch.randn(5, 4)
part = b''.join(flagged(w[i]) + raw(b[i]) for i in range(3)) + flagged(m.out_proj.weight) + raw(m.out_proj.bias)
add('MultiHeadAttention heads 0=4 1=2 2=16', part, None, x, m(x[:, None], x[:, None], x[:, None])[0][:, 0],
    {f'{n}.{k}': v for i, n in enumerate('qkv') for k, v in (('weight', w[i]), ('bias', b[i]))} | {f'out_proj.{k}': v for k, v in m.out_proj.state_dict().items()})


def write(stem, lines, data):
    with open(f'{stem}.param', 'w') as file:
        file.write(f'7767517\n{len(lines)} {len(lines) + 1}\n' + '\n'.join(lines) + '\n')
    open(f'{stem}.bin', 'wb').write(data)


write('kinds', layers, data)
tensors.write_tensors('kinds.safetensors', {name: np.ascontiguousarray(value.numpy()) for name, value in expected.items()})

# The network of make.py, with what it has saved.
net, x, y = torch.load('plain.pth'), np.load('x.npy'), np.load('y.npy')
lines = ['Input in 0 1 in', 'Convolution c1 1 1 in a 0=3 1=3 5=1 6=54', 'BatchNorm bn 1 1 a b 0=3 1=1e-5', 'ReLU relu 1 1 b c',
         'Pooling pool 1 1 c d 0=1 4=1', 'InnerProduct fc 1 1 d out 0=2 1=1 2=6']
rest = b''.join(raw(net[n]) for n in ('c1.bias', 'bn.weight', 'bn.running_mean', 'bn.running_var', 'bn.bias'))
rest += flagged(net['fc.weight']) + raw(net['fc.bias'])
for stem, half in (('net', False), ('half', True)):
    part = flagged(net['c1.weight'], half) + rest
    assert abs(run(lines, part, {'in': x[0]}, 'out') - y[0]).max() < (1e-3 if half else 1e-6)
    write(stem, lines, part)
write('quantized', [lines[0], lines[1] + ' 8=1'], bytes(4 + 54))
