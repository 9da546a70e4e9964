#!/usr/bin/env python3
# Makes files/types/: a parameter of f16, bf16 and f64 in each format that cai reads, and in KIND.npy what it is as f32. NumPy has no bf16,
# ncnn f16 alone. Needs torch, numpy and onnx, which the tests do not.
import json, os, struct
import numpy as np, onnx, torch
from onnx import TensorProto, helper

os.makedirs(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'files', 'types'), exist_ok=True)
os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'files', 'types'))

torch.manual_seed(3)
# Both zeros, and the least and largest of the type that an f32 of a program holds: it flushes denormals. The rest are random.
KINDS = {
    'f16': (torch.float16, 'F16', TensorProto.FLOAT16, [1.5, -0.1, 0.0, -0.0, 2**-24, 65504.0]),
    'bf16': (torch.bfloat16, 'BF16', TensorProto.BFLOAT16, [1.5, -0.1, 0.0, -0.0, 2**-126, 3.3895e38]),
    'f64': (torch.float64, 'F64', TensorProto.DOUBLE, [1.5, -0.1, 0.0, -0.0, 2**-126, 3.4028234663852886e38]),
}


def safetensors(path, kind, data):
    header = json.dumps({'a': {'dtype': kind, 'shape': [4, 6], 'data_offsets': [0, len(data)]}}).encode()
    open(path, 'wb').write(struct.pack('<Q', len(header)) + header + data)


def onnx_model(path, kind, data):
    """y = x a, in the type."""
    tensor = helper.make_tensor('a', kind, [4, 6], data, raw=True)
    port = lambda name: helper.make_tensor_value_info(name, kind, [4, 6])
    graph = helper.make_graph([helper.make_node('Mul', ['x', 'a'], ['y'])], 'g', [port('x')], [port('y')], [tensor])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)]), path)


for name, (kind, word, proto, numbers) in KINDS.items():
    a = torch.cat([torch.tensor(numbers, dtype=torch.float64), torch.randn(18, dtype=torch.float64)]).reshape(4, 6).to(kind)
    data = a.view(torch.uint8).numpy().tobytes() if kind != torch.float64 else a.numpy().tobytes()
    np.save(f'{name}.npy', a.float().numpy())
    torch.save({'a': a}, f'{name}.pth')
    torch.save({'a': a}, f'{name}_old.pth', _use_new_zipfile_serialization=False)
    safetensors(f'{name}.safetensors', word, data)
    json.dump({'weight_map': {'a': f'{name}.safetensors'}}, open(f'{name}.index.json', 'w'))
    onnx_model(f'{name}.onnx', proto, data)
    if name != 'bf16':
        np.savez(f'{name}.npz', a=a.numpy())
        np.save(f'{name}_input.npy', a.numpy())
    if name == 'f16':
        open(f'{name}.param', 'w').write('7767517\n2 2\nInput in 0 1 in\nInnerProduct a 1 1 in out 0=4 1=0 2=24\n')
        open(f'{name}.bin', 'wb').write(struct.pack('<I', 0x01306B47) + data)
np.save('ones.npy', np.ones((4, 6), 'f4'))
np.savez('ones.npz', a=np.ones((4, 6), 'f4'))
