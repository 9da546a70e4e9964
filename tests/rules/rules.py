"""Checks the run folders of the blocks of rules.cai.

usage: rules.py data            writes x.npy, y.npy and number.npy
       rules.py BLOCK RUN       checks a run
"""
import json, sys
import numpy as np


def data():
    random = np.random.default_rng(0)
    np.save('x.npy', random.random((40, 3), dtype='f4'))
    np.save('y.npy', random.random((25, 3), dtype='f4'))
    np.save('number.npy', np.arange(40, dtype='f4').reshape(40, 1))


def log(run, held_out=False):
    lines = [json.loads(line) for line in open(f'{run}/log.jsonl')]
    return [line for line in lines if ('held out' in line) == held_out]


def checkpoint(run, name='last'):
    """Metadata, and the weights by name."""
    bytes = open(f'{run}/{name}.safetensors', 'rb').read()
    size = int.from_bytes(bytes[:8], 'little')
    header = json.loads(bytes[8:8 + size])
    weights = {}
    for key, row in header.items():
        if key == '__metadata__' or row['dtype'] != 'F32': continue
        begin, end = (8 + size + at for at in row['data_offsets'])
        weights[key] = np.frombuffer(bytes[begin:end], 'f4').reshape(row['shape'])
    return header['__metadata__'], weights


def column(lines, name): return [line[name] for line in lines]
def near(a, b): np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def epochs(run):
    lines = log(run)
    assert len(lines) == 10  # 2 epochs of 40 samples, 8 in each step
    near(column(lines, 'step_2'), range(10))
    near(column(lines, 'whole'), [0] * 5 + [1] * 5)
    assert column(lines, 'progress')[5] == 0.5


def images(run):
    near(column(log(run), 'progress'), [0, 1 / 3, 2 / 3])


def numbers(run):
    lines = log(run)
    near(column(lines, 'apart'), 0)
    drawn = [int(line[name]) for line in lines for name in ('first', 'second', 'third')]
    for epoch in range(3): assert sorted(drawn[40 * epoch:40 * epoch + 40]) == list(range(40))
    assert drawn[:40] != drawn[40:80]


def moving(run):
    lines, numbers = log(run), np.arange(40)
    assert len(lines) == 13  # 20 + 8 + 12 samples
    near([sum(column(lines, 'all')), sum(column(lines, 'squares'))], [numbers.sum(), (numbers ** 2).sum()])


def intervals(run):
    lines = log(run)
    near(column(lines, 'seen'), [0, 0, 1, 1, 1, 2, 2])
    assert [line['step'] for line in log(run, True)] == [3, 6, 7]
    near([line['step_2'] for line in lines if 'step_2' in line], [2, 5, 6])


def by_minutes(run):
    steps, measured = [line['step'] for line in log(run) if 'now' in line], [line['step'] for line in log(run, True)]
    assert 2 < len(steps) < 100 and 2 < len(measured) < 100, (steps, measured)


def timed(run):
    last = log(run)[-1]
    assert int(checkpoint(run)[0]['lengths']) == last['step'] > 10
    assert 0.9 < last['progress'] < 1


def plateau(run):
    near(column(log(run), 'scale'), [1, 1, .5, .5, .25, .25, .125, .125])
    _, weights = checkpoint(run)
    lines = log(run, True)
    x = np.load('x.npy')
    held_out = json.load(open(f'{run}/run.json'))['data'][0]['held out']
    assert column(lines, 'count') == [2 * -(-held_out // 2)] * 4
    near(weights['train.scale'], 1 / 16)
    largest = lines[-1]['largest']
    assert np.abs(x - largest).min() < 1e-6


def phases(run):
    lines, measured = log(run), log(run, True)
    assert len(set(column(lines, 'of_run'))) == 1 and len(set(column(lines, 'of_phase'))) == 2
    near(column(lines, 'begun')[::4], [7, 6])
    assert [(line['phase'], line['step'], 'best' in line) for line in measured] == [
        (0, 2, True), (0, 4, False), (1, 2, True), (1, 4, False)]
    _, weights = checkpoint(run)
    near([weights['train.outer.v.t'], weights['train.level 0.inner.w.t'], weights['train.level 1.inner.w.t']], [8, 4, 4])


def best(run):
    assert [line['step'] for line in log(run, True) if 'best' in line] == [4]
    assert checkpoint(run, 'best')[0]['step'] == '4'
    assert log(run, True)[0]['e'] is None


def patient(run):
    metadata, _ = checkpoint(run)
    assert metadata['lengths'] == '14,14', metadata['lengths']  # best in step 8, then three that are not better


def rounds(run):
    lines = log(run)
    near(column(lines, 'loss'), column(lines, 'b'))
    near(column(lines, 'loss_2'), 2 * np.array(column(lines, 'b')))
    assert column(lines, 'a') != column(lines, 'b') and column(lines, 'step_2') == [0, 1, 2]


def placed(run):
    near([row['samples'] for row in json.load(open(f'{run}/run.json'))['data']], [25, 40])


def stages(run):
    metadata, weights = checkpoint(run)
    assert sorted(weights) == ['fc.bias', 'fc.weight', 'judge.bias', 'judge.weight', 'student.fc.bias', 'student.fc.weight',
                               'teacher.fc.bias', 'teacher.fc.weight']
    assert metadata['settings'] == '{"N": 4}' and metadata['seed'] == '5' and int(metadata['data'], 16)
    assert len({weights[name].tobytes() for name in ('fc.weight', 'teacher.fc.weight', 'student.fc.weight')}) == 3


if sys.argv[1] == 'data': data()
else: globals()[sys.argv[1]](*sys.argv[2:])
