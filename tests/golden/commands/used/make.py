#!/usr/bin/env python3
# Makes most .onnx files here for tests/golden/commands/import-*.cai. Needs numpy and onnx, which the tests do not.
import os
import numpy as np, onnx
from onnx import TensorProto, helper, numpy_helper

os.chdir(os.path.dirname(os.path.abspath(__file__)))


def per_channel(name, numbers):
    return numpy_helper.from_array(np.array(numbers, 'f4').reshape(1, -1, 1, 1), name)


def save(path, ports, nodes, constants):
    graph = helper.make_graph(nodes, 'pictures', ports, [helper.make_tensor_value_info(n.output[0], TensorProto.FLOAT, None) for n in nodes if n.output[0].startswith('y')], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], producer_name='hand')
    onnx.save(model, path)


def port(name, *sizes, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, sizes)


node = helper.make_node
# Each input is normalized in another way: mean and deviation of levels 0 to 1, of levels 0 to 255 after 1 / 255, as a scale and a shift,
# a mean with blue first, gray levels; and three that are not known to be pictures.
save('pictures.onnx', [port('rgb', 1, 3, 4, 4), port('levels', 1, 3, 4, 4), port('scaled', 1, 3, 4, 4), port('bgr', 1, 3, 4, 4), port('gray', 1, 1, 4, 4),
                       port('half', 1, 3, 4, 4), port('waves', 1, 3, 4, 4), port('plain', 1, 3, 4, 4)], [
    node('Sub', ['rgb', 'mean'], ['a']), node('Div', ['a', 'std'], ['y_rgb']),
    node('Div', ['levels', 'most'], ['b']), node('Sub', ['b', 'mean'], ['c']), node('Div', ['c', 'std'], ['y_levels']),
    node('Mul', ['scaled', 'scale'], ['d']), node('Add', ['d', 'shift'], ['y_scaled']),
    node('Sub', ['bgr', 'caffe'], ['y_bgr']),
    node('Mul', ['gray', 'least'], ['e']), node('Neg', ['e'], ['y_gray']),
    node('Sub', ['half', 'middle'], ['f']), node('Div', ['f', 'middle'], ['y_half']),
    node('Sub', ['waves', 'odd'], ['g']), node('Div', ['g', 'std'], ['y_waves']),
    node('Neg', ['plain'], ['y_plain']),
], [per_channel('mean', [0.485, 0.456, 0.406]), per_channel('std', [0.229, 0.224, 0.225]), per_channel('scale', 1 / np.array([58.395, 57.12, 57.375])),
    per_channel('shift', -np.array([123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375]), per_channel('caffe', [103.939, 116.779, 123.68]),
    numpy_helper.from_array(np.array(255, 'f4'), 'most'), numpy_helper.from_array(np.array(1 / 255, 'f4'), 'least'),
    per_channel('middle', [0.5] * 3), per_channel('odd', [0.4, 0.5, 0.4])])
# As converters from TensorFlow write detectors.
save('bytes.onnx', [port('frame', 'N', 'H', 'W', 3, kind=TensorProto.UINT8)], [
    node('Cast', ['frame'], ['a'], to=TensorProto.FLOAT), node('Transpose', ['a'], ['b'], perm=[0, 3, 1, 2]), node('Neg', ['b'], ['y'])], [])


# Twice the same module, of 4 and of 8 channels, that takes its first and its second half apart.
def halves(i, x, c, channels):
    weight = lambda name, *shape: numpy_helper.from_array(np.zeros(shape, 'f4'), f'm.{i}.{name}.weight')
    at = lambda name, value: numpy_helper.from_array(np.array([value]), f'{name}{c}')
    out = f'm{i}'
    return [node('Conv', [x, f'm.{i}.cv1.weight'], [f'{out}a']), node('Relu', [f'{out}a'], [f'{out}b']),
            node('Slice', [f'{out}b', f'zero{c}', f'half{c}', 'one'], [f'{out}c']), node('Slice', [f'{out}b', f'half{c}', f'whole{c}', 'one'], [f'{out}d']),
            node('Conv', [f'{out}d', f'm.{i}.cv.weight'], [f'{out}e']), node('Relu', [f'{out}e'], [f'{out}f']),
            node('Concat', [f'{out}c', f'{out}d', f'{out}f'], [f'{out}g'], axis=1), node('Conv', [f'{out}g', f'm.{i}.cv2.weight'], [f'y{i}'])], \
        [weight('cv1', 2 * c, channels, 1, 1), weight('cv', c, c, 1, 1), weight('cv2', 2 * c, 3 * c, 1, 1), at('zero', 0), at('half', c), at('whole', 2 * c)]


first, weights = halves(0, 'x', 4, 3)
second, others = halves(1, 'y0', 8, 8)
graph = helper.make_graph(first + second, 'slices', [port('x', 1, 3, 4, 4)], [port('y1', 1, 16, 4, 4)], weights + others + [numpy_helper.from_array(np.array([1]), 'one')])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], producer_name='hand'), 'slices.onnx')

# A free size and known ones through casts, as TensorFlow computes shapes, and 10^9 for the end of an axis.
ints = lambda name, *numbers: numpy_helper.from_array(np.array(numbers), name)
graph = helper.make_graph([node('Shape', ['x'], ['a']), node('Cast', ['a'], ['b'], to=TensorProto.INT32), node('Slice', ['b', 'zero', 'one', 'zero'], ['c']),
                           node('Cast', ['parts'], ['d'], to=TensorProto.INT32), node('Concat', ['c', 'd'], ['e'], axis=0), node('Cast', ['e'], ['f'], to=TensorProto.INT64),
                           node('Reshape', ['x', 'f'], ['g']), node('Slice', ['g', 'begins', 'ends'], ['y'])], 'arithmetic',
                          [port('x', 'N', 8)], [port('y', 'N', 1, 4)], [ints('zero', 0), ints('one', 1), ints('parts', 2, 4), ints('begins', 0, 1), ints('ends', 10**9, 10**9)])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], producer_name='hand'), 'arithmetic.onnx')

# What is made of several of the boxes that are found, or of their number.
graph = helper.make_graph([node('NonMaxSuppression', ['boxes', 'scores', 'most'], ['selected']), node('Gather', ['selected', 'two'], ['places'], axis=1),
                           node('Gather', ['boxes', 'places'], ['kept'], axis=1), node('ReduceMean', ['kept'], ['middle'], axes=[1]),
                           node('ArgMax', ['kept'], ['best'], axis=1), node('Slice', ['kept', 'last', 'end', 'one'], ['lowest']), node('Split', ['kept'], ['half', 'rest'], axis=1),
                           node('Pad', ['kept', 'more'], ['higher']), node('Shape', ['kept'], ['sizes']), node('Reshape', ['kept', 'forty'], ['flat']), node('Gather', ['sizes', 'step'], ['rows']), node('Mul', ['rows', 'two'], ['twice']), node('Range', ['nought', 'twice', 'step'], ['numbers'])], 'found',
                          [port('boxes', 1, 20, 4), port('scores', 1, 2, 20)],
                          [port('middle', 1, 1, 4), port('best', 1, 1, 4, kind=TensorProto.INT64), port('lowest', 1, 1, 4), port('half', 1, None, 4), port('rest', 1, None, 4), port('higher', 1, None, 4), port('flat', 40), port('numbers', None, kind=TensorProto.INT64)],
                          [ints('most', 5), ints('one', 1), ints('last', -1), ints('end', 2 ** 40), ints('more', 0, 0, 0, 0, 2, 0), ints('forty', 40), numpy_helper.from_array(np.array(0), 'nought'), numpy_helper.from_array(np.array(1), 'step'), numpy_helper.from_array(np.array(2), 'two')])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], producer_name='hand'), 'found.onnx')

# Branches of other shapes than each other, of which only a run knows which one runs.
branch = lambda name, of, *sizes: helper.make_graph([node(of, ['x'], [name]) if of == 'Neg' else node(of, ['x', 'x'], [name], axis=0)], name, [], [port(name, *sizes)])
graph = helper.make_graph([node('If', ['p'], ['y'], then_branch=branch('same', 'Neg', 4), else_branch=branch('twice', 'Concat', 8))], 'branches',
                          [port('x', 4), port('p', kind=TensorProto.BOOL)], [port('y', None)], [])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], producer_name='hand'), 'branches.onnx')

# As exporters from Keras write a small network: slopes [1, C, 1, 1], pads that follow from free sizes, biases of few numbers behind a product, sizes without a name.
random = np.random.default_rng(1)
weights = {'kernel': (5, 3, 3, 3), 'slopes': (1, 5, 1, 1), 'matrix': (5, 2), 'bias': (2,)}
graph = helper.make_graph([node('Conv', ['x', 'kernel'], ['a'], pads=[1, 1, 1, 1]), node('PRelu', ['a', 'slopes'], ['b']),
                           node('MaxPool', ['b'], ['c'], kernel_shape=[2, 2], strides=[2, 2], auto_pad='SAME_UPPER'), node('GlobalAveragePool', ['c'], ['d']),
                           node('Flatten', ['d'], ['e']), node('MatMul', ['e', 'matrix'], ['f']), node('Add', ['f', 'bias'], ['y'])], 'keras',
                          [port('x', 'unk__7', 3, 'unk__8', 'unk__9')], [port('y', None, 2)], [numpy_helper.from_array(random.random(size, 'f4'), name) for name, size in weights.items()])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], producer_name='hand'), 'keras.onnx')

# Attention: of a sequence to itself, with fewer heads of keys than of queries and a mask, to keys of before, to as many as each sample has, and
# with capped scores that are a result.
heads = lambda *names: [port(name, 'N', h, l, 8) for name, h, l in names]
graph = helper.make_graph([
    node('Attention', ['x', 'x', 'x'], ['a'], q_num_heads=4, kv_num_heads=4, is_causal=1),
    node('Attention', ['q', 'k', 'v', 'mask'], ['b'], scale=0.1),
    node('Attention', ['q', 'k', 'v', '', 'old_k', 'old_v'], ['c', 'now_k', 'now_v'], is_causal=1, left_window_size=6),
    node('Attention', ['q', 'k', 'v', '', '', '', 'lengths'], ['d'], is_causal=1),
    node('Attention', ['q', 'k', 'v', 'mask'], ['e', '', '', 'scores'], softcap=50.0, qk_matmul_output_mode=2)], 'attention',
    [port('x', 'N', 'L', 32), *heads(('q', 4, 'L'), ('k', 2, 'M'), ('v', 2, 'M'), ('old_k', 2, 'P'), ('old_v', 2, 'P')),
     port('mask', 'L', 'M', kind=TensorProto.BOOL), port('lengths', 'N', kind=TensorProto.INT64)],
    [port(name, None) for name in ('a', 'b', 'c', 'now_k', 'now_v', 'd', 'e', 'scores')], [])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 25)], producer_name='hand'), 'attention.onnx')
graph = helper.make_graph([node('Attention', ['x', 'x', 'x'], ['a'], is_causal=1), node('Attention', ['x', 'x', 'x'], ['b'], q_num_heads=3, kv_num_heads=3),
                           node('Attention', ['x', 'x', 'q'], ['c'], q_num_heads=4, kv_num_heads=4), node('Attention', ['q', 'q', 'q', '', 'q'], ['d'])], 'heads',
                          [port('x', 'N', 'L', 32), port('q', 'N', 4, 'L', 8)], [port(name, None) for name in 'abcd'], [])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 25)], producer_name='hand'), 'heads.onnx')

# Rotary embeddings of heads and of a sequence whose places are given, gated halves, and caches.
graph = helper.make_graph([
    node('RotaryEmbedding', ['q', 'cos', 'sin'], ['a'], interleaved=1), node('RotaryEmbedding', ['x', 'cosines', 'sines', 'places'], ['b'], num_heads=4),
    node('SwiGLU', ['x', 'b'], ['c']), node('TensorScatter', ['cache', 'q', 'first'], ['d'], mode='circular'), node('TensorScatter', ['cache', 'q'], ['e'])], 'rotary',
    [port('x', 'N', 'L', 32), *heads(('q', 4, 'L'), ('cache', 4, 20)), port('cos', 'N', 'L', 4), port('sin', 'N', 'L', 4), port('cosines', 50, 2), port('sines', 50, 2),
     port('places', 'N', 'L', kind=TensorProto.INT64), port('first', 'N', kind=TensorProto.INT64)], [port(name, None) for name in 'abcde'], [])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 28)], producer_name='hand'), 'rotary.onnx')
graph = helper.make_graph([node('RotaryEmbedding', ['x', 'table', 'table'], ['a'], num_heads=4), node('RotaryEmbedding', ['x', 'angles', 'angles'], ['b'], num_heads=5),
                           node('TensorScatter', ['x', 'x'], ['c'], axis=0), node('TensorScatter', ['x', 'table'], ['d'])], 'turned',
                          [port('x', 'N', 'L', 32), port('table', 50, 4), port('angles', 'N', 'L', 4)], [port(name, None) for name in 'abcd'], [])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 28)], producer_name='hand'), 'turned.onnx')

# A scan that goes backwards along the second axis, and gives what it makes in the order of the sequence.
body = helper.make_graph([node('Add', ['s', 'x'], ['t']), node('Mul', ['t', 'scale'], ['y'])], 'body', [port('s', 4), port('x', 4)], [port('t', 4), port('y', 4)])
scan = lambda given, made, **settings: node('Scan', given, made, body=body, num_scan_inputs=1, **settings)
graph = helper.make_graph([scan(['begin', 'seen'], ['end', 'all'], scan_input_axes=[1], scan_input_directions=[1], scan_output_axes=[-1], scan_output_directions=[1])], 'scan',
                          [port('begin', 4), port('seen', 4, 'L'), port('scale', 4)], [port('end', None), port('all', None)], [])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], producer_name='hand'), 'scan.onnx')
body = helper.make_graph([node('Fancy', ['s', 'x'], ['t'], domain='my.ops'), node('Identity', ['t'], ['y'])], 'body', [port('s', 4), port('x', 4)], [port('t', 4), port('y', 4)])
graph = helper.make_graph([scan(['begin', 'three'], ['end', 'all']), scan(['begin', 'many'], ['end2', 'all2']), scan(['begin', 'three', 'many'], ['end3', 'all3']),
                           scan(['begin', 'free'], ['end4', 'all4'])], 'scans',
                          [port('begin', 4), port('three', 3, 4), port('many', 300, 4), port('free', 'L', 4)], [port(f'all{i}', None) for i in ('', 2, 3, 4)], [])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17), helper.make_opsetid('my.ops', 1)], producer_name='hand'), 'scans.onnx')

# Attention and convolution with a state of before: with one, without, by which rule.
linear = lambda given, made, queries=8, **settings: node('LinearAttention', given, made, q_num_heads=queries, kv_num_heads=4, **settings)
graph = helper.make_graph([linear(['q', 'k', 'v'], ['a', 'a_s'], update_rule='linear'), linear(['q', 'k', 'v', 's', 'd', 'b'], ['c', 'c_s'], scale=0.5),
                           node('CausalConvWithState', ['q', 'w'], ['e', 'e_s']), node('CausalConvWithState', ['q', 'w', 'bias', 'e_s'], ['f', 'f_s'], activation='silu')], 'memory',
                          [port('q', 'N', 3, 32), port('k', 'N', 3, 16), port('v', 'N', 3, 8), port('s', 'N', 4, 4, 2), port('d', 'N', 3, 4), port('b', 'N', 3, 1),
                           port('w', 3, 1, 4), port('bias', 3)], [port(name, None) for name in ('a', 'a_s', 'c', 'c_s', 'e', 'e_s', 'f', 'f_s')], [])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 27)], producer_name='hand'), 'memory.onnx')
graph = helper.make_graph([linear(['q', 'k', 'v'], ['a', 'a_s'], 6), linear(['q', 'k', 'v', '', 'd'], ['b', 'b_s'], update_rule='delta'), linear(['l', 'l', 'l'], ['c', 'c_s'], update_rule='linear'),
                           node('CausalConvWithState', ['q', 'w'], ['e', 'e_s']), node('CausalConvWithState', ['q', 'w3'], ['f', 'f_s'], activation='tanh')], 'forgotten',
                          [port('q', 'N', 3, 32), port('k', 'N', 3, 16), port('v', 'N', 3, 8), port('d', 'N', 3, 4), port('l', 'N', 'L', 16), port('w', 3, 1, 1), port('w3', 3, 1, 3)],
                          [port(name, None) for name in 'abcef'], [])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 27)], producer_name='hand'), 'forgotten.onnx')

# Attention whose scores and shares graphs change; and a graph of two inputs.
change = lambda nodes, *names: helper.make_graph(nodes, 'change', [port(name, None) for name in names], [port('y', None)])
flex = lambda made, of='q', **settings: node('FlexAttention', [of] * 3, [made], domain='ai.onnx.preview', **settings)
doubled, dropped = change([node('Mul', ['s', 'two'], ['y'])], 's'), change([node('Relu', ['p'], ['y'])], 'p')
for name, nodes in (('flex', [flex('a'), flex('b', score_mod=doubled, prob_mod=dropped)]),
                    ('flexed', [flex('a', 'x'), flex('b', score_mod=change([node('Add', ['s', 't'], ['y'])], 's', 't')), flex('c', prob_mod=doubled, softmax_precision=7)])):
    graph = helper.make_graph(nodes, name, [port('q', 'N', 4, 'L', 8), port('x', 'N', 'L', 8)], [port(made, None) for made in 'abc'[:len(nodes)]], [numpy_helper.from_array(np.float32(2), 'two')])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 26), helper.make_opsetid('ai.onnx.preview', 1)], producer_name='hand'), f'{name}.onnx')

# A part without elements, which leaves what it is concatenated with, and may be nothing else.
part = node('Slice', ['x', 'four', 'nine', 'one'], ['none'])
numbers = [ints('four', 4), ints('nine', 9), ints('one', 1)]
for name, last in (('nothing', node('Concat', ['x', 'none', 'x'], ['y'], axis=1)), ('no_elements', node('Neg', ['none'], ['y']))):
    graph = helper.make_graph([part, last], name, [port('x', 'N', 4)], [port('y', None)], numbers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], producer_name='hand'), f'{name}.onnx')

# The bias of a dense layer of ten classes, which is so few numbers that the text could have them.
graph = helper.make_graph([node('MatMul', ['x', 'w'], ['a']), node('Add', ['a', 'head.bias'], ['y'])], 'classes', [port('x', 'N', 'L', 8)], [port('y', None)],
                          [numpy_helper.from_array(np.arange(80, dtype='f4').reshape(8, 10), 'w'), numpy_helper.from_array(np.arange(10, dtype='f4'), 'head.bias')])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], producer_name='hand'), 'classes.onnx')

# A weight whose last word is the name of an input, and of a letter.
graph = helper.make_graph([node('Mul', ['mask', 'block.mask'], ['a']), node('Add', ['a', 'block.x'], ['y'])], 'names', [port('mask', 'N', 20)], [port('y', None)],
                          [numpy_helper.from_array(np.arange(20, dtype='f4'), 'block.mask'), numpy_helper.from_array(np.arange(20, dtype='f4'), 'block.x')])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], producer_name='hand'), 'names.onnx')

# What can't be read of operators that otherwise can.
graph = helper.make_graph([
    node('RoiAlign', ['x', 'boxes', 'of'], ['a'], output_height=7, output_width=7), node('BitCast', ['boxes'], ['b'], to=TensorProto.INT32), node('DFT', ['boxes', '', 'last'], ['c']),
    node('STFT', ['boxes3', 'two', '', 'two'], ['d']), node('STFT', ['signal', 'two', 'window', 'two'], ['e']), node('STFT', ['signal', 'two'], ['f']),
    node('ReverseSequence', ['x', 'of'], ['g'], batch_axis=0, time_axis=2), node('MelWeightMatrix', ['two', 'two', 'two', 'low', 'low'], ['h']),
    node('QuantizeLinear', ['x', 'window'], ['i'], block_size=4), node('ScatterND', ['y', 'places', 'u'], ['j'], reduction='mean'), node('Det', ['boxes'], ['k']),
    node('STFT', ['signal', 'places2', 'window'], ['l']), node('STFT', ['signal', 'none', 'window'], ['m']), node('DFT', ['signal', 'places2'], ['n']), node('DFT', ['x', '', 'two'], ['o']),
    node('CumSum', ['x', 'places2'], ['p']), node('Trilu', ['x', 'places2'], ['q']), node('Slice', ['x', 'places2', 'one'], ['r']), node('HannWindow', ['places2'], ['s']),
    node('NonMaxSuppression', ['rows', 'marks', 'places2'], ['t'])], 'refused',
    [port('x', 'N', 3, 8, 8), port('boxes', 'R', 4), port('of', 'R', kind=TensorProto.INT64), port('boxes3', 'R', 9, 2), port('signal', 'N', 40, 1), port('places', 1, 1, kind=TensorProto.INT64), port('y', 2, 3), port('u', 1, 3), port('rows', 1, 9, 4), port('marks', 1, 2, 9)],
    [port(name, None) for name in 'abcdefghijklmnopqrst'],
    [numpy_helper.from_array(np.array(-1), 'last'), numpy_helper.from_array(np.array(2), 'two'), numpy_helper.from_array(np.array([0, 1]), 'places2'), numpy_helper.from_array(np.array([1]), 'one'), numpy_helper.from_array(np.array(0), 'none'), numpy_helper.from_array(np.float32(9), 'low'), numpy_helper.from_array(np.ones(5, 'f4'), 'window')])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 26)], producer_name='hand'), 'refused.onnx')
