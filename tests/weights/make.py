#!/usr/bin/env python3
# Makes files/: one small network's weights as people save them with PyTorch and NumPy, an input and what PyTorch makes
# of it. Needs torch and numpy, which the tests do not. tests/weights/run says what each file is for.
import argparse, collections, json, os, struct
import numpy as np, torch, torch.nn as nn

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'files'))
torch.manual_seed(0)

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.c1 = nn.Conv2d(2, 3, 3)
        self.bn = nn.BatchNorm2d(3)
        self.fc = nn.Linear(3, 2)

    def forward(self, x):
        return self.fc(torch.relu(self.bn(self.c1(x))).mean((2, 3)))

net = Net()
net(torch.randn(4, 2, 7, 7)).sum().backward()
adam = torch.optim.Adam(net.parameters())
adam.step()
net.eval()
state = {name: value.detach().clone() for name, value in net.state_dict().items()}
x = torch.randn(1, 2, 7, 7)
np.save('x.npy', x.numpy())
np.save('y.npy', net(x).detach().numpy())

def floats(convert):
    return {name: convert(value) if value.is_floating_point() else value for name, value in state.items()}

torch.save(state, 'plain.pth')
torch.save(state, 'old.pth', _use_new_zipfile_serialization=False)
torch.save({'epoch': 3, 'state_dict': nn.DataParallel(net).state_dict(), 'optimizer': adam.state_dict(),
            'args': argparse.Namespace(rate=0.1)}, 'nested.pth')
torch.save({'params': floats(lambda v: 2 * v), 'params_ema': state}, 'ema.pth')
torch.save(net, 'module.pt')
torch.save(net, 'module_old.pt', _use_new_zipfile_serialization=False)
torch.jit.script(net).save('script.pt')
torch.save(floats(lambda v: v.double()), 'double.ckpt')
torch.save(floats(lambda v: v.half()), 'half.pt')
torch.save(floats(lambda v: v.bfloat16()), 'bf16.pt')
for protocol in (3, 4, 5):
    torch.save(state, f'protocol{protocol}.pth', pickle_protocol=protocol)

# Tensors that are parts of others, or lie in another order.
pool = torch.zeros(99)
weight = state['c1.weight']
pool[7:7 + weight.numel()] = weight.flatten()
views = dict(state)
views['c1.weight'] = pool[7:7 + weight.numel()].view(weight.shape)
views['fc.weight'] = state['fc.weight'].t().contiguous().t()
views['c1.bias'] = torch.stack([state['c1.bias'], state['c1.bias'] + 1], 1)[:, 0]
torch.save(views, 'views.pth')

quantized = dict(state)
quantized['c1.weight'] = torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8)
torch.save(quantized, 'quantized.pth')
sparse = dict(state)
sparse['fc.weight'] = state['fc.weight'].to_sparse()
torch.save(sparse, 'sparse.pth')
torch.save({'lr': 0.1, 'epoch': 3}, 'empty.pth')

arrays = {name: value.numpy() for name, value in state.items()}
np.savez('arrays.npz', **arrays)
np.savez_compressed('packed.npz', **arrays)
turned = {'c1.kernel': arrays['c1.weight'].transpose(2, 3, 1, 0), 'c1.bias': arrays['c1.bias'],
          'fc.kernel': arrays['fc.weight'].T, 'bn.gamma': arrays['bn.weight'].reshape(3, 1, 1)}
turned.update((name, value) for name, value in arrays.items() if name.startswith('bn.') and name != 'bn.weight' or name == 'fc.bias')
np.savez('turned.npz', **{name: np.ascontiguousarray(value) for name, value in turned.items()})

def safetensors(path, tensors):
    header, data = {}, b''
    for name, value in tensors.items():
        kind = {'float32': 'F32', 'int64': 'I64'}[str(value.dtype)]
        header[name] = {'dtype': kind, 'shape': value.shape, 'data_offsets': [len(data), len(data) + value.nbytes]}
        data += value.tobytes()
    text = json.dumps(header).encode()
    with open(path, 'wb') as file:
        file.write(struct.pack('<Q', len(text)) + text + data)

names = list(arrays)
parts = {'model-00001-of-00002.safetensors': names[:4], 'model-00002-of-00002.safetensors': names[4:]}
for path, held in parts.items():
    safetensors(path, {name: arrays[name] for name in held})
index = {'metadata': {}, 'weight_map': {name: path for path, held in parts.items() for name in held}}
with open('model.safetensors.index.json', 'w') as file:
    json.dump(index, file)
safetensors('whole.safetensors', arrays)
