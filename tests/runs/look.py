"""Checks the folder of a run of painter.cai without cai.

usage: look.py data              writes code.npy and truth.npy
       look.py pictures          writes pictures/, 40 PNG files of two classes; the data of one is damaged
       look.py items RUN         each item has the result that numpy computes
       look.py begun RUN         the weights after a step of a phase that ran alone
       look.py samples RUN       the sheets have the right pictures
       look.py events RUN        the TensorBoard events have the contents of the log and the sheets
       look.py thin RUN          curves.svg has means of what is measured, in the log's order
       look.py page RUN [DOM]    index.html and curves.svg have the curves and all sheets; DOM: as a browser has it
"""
import base64, json, os, re, struct, sys, zlib
import xml.etree.ElementTree as xml
import numpy as np


def data():
    random = np.random.default_rng(1)
    code, weight = random.random((64, 4), dtype='f4'), random.random((4, 144), dtype='f4') / 4
    np.save('code.npy', code)
    np.save('truth.npy', (code @ weight).reshape(64, 3, 6, 8).astype('f4'))


def pictures():
    random = np.random.default_rng(2)
    part = lambda kind, body: struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))
    for i in range(40):
        rows = random.integers(0, 256, (20, 1 + 24 * 3), dtype=np.uint8)
        rows[:, 0] = 0
        body = zlib.compress(rows.tobytes()) if i != 23 else b'broken'
        os.makedirs(f'pictures/{i % 2}', exist_ok=True)
        with open(f'pictures/{i % 2}/{i:02}.png', 'wb') as file:
            file.write(b'\x89PNG\r\n\x1a\n' + part(b'IHDR', struct.pack('>IIBBBBB', 24, 20, 8, 2, 0, 0, 0)) + part(b'IDAT', body) + part(b'IEND', b''))


def png(bytes):
    """Decodes a PNG of 8 bits a sample, not interlaced, to [height, width, channels]."""
    assert bytes[:8] == b'\x89PNG\r\n\x1a\n'
    at, packed = 8, b''
    while at < len(bytes):
        length, kind = struct.unpack('>I4s', bytes[at:at + 8])
        body = bytes[at + 8:at + 8 + length]
        if kind == b'IHDR': width, height, depth, colour = struct.unpack('>IIBB', body[:10])
        if kind == b'IDAT': packed += body
        at += length + 12
    channels = {0: 1, 2: 3}[colour]
    assert depth == 8
    rows = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, 1 + width * channels)
    out = np.zeros((height + 1, (width + 1) * channels), int)
    for y in range(height):
        for x in range(width * channels):
            left, up, corner = out[y + 1, x], out[y, x + channels], out[y, x]
            estimate = left + up - corner
            near = min((abs(estimate - left), 0, left), (abs(estimate - up), 1, up), (abs(estimate - corner), 2, corner))
            add = [0, left, up, (left + up) // 2, near[2]][rows[y, 0]]
            out[y + 1, x + channels] = (rows[y, 1 + x] + add) % 256
    return out[1:, channels:].reshape(height, width, channels)


def sheet(run, name):
    return png(open(f'{run}/samples/{name}.png', 'rb').read())


def tensors(path):
    """The f32 tensors of a .safetensors file."""
    bytes = open(path, 'rb').read()
    length = int.from_bytes(bytes[:8], 'little')
    return {name: np.frombuffer(bytes[8 + length:][slice(*t['data_offsets'])], 'f4').reshape(t['shape'])
            for name, t in json.loads(bytes[8:8 + length]).items() if name != '__metadata__'}


def items(run):
    truth = np.load('truth.npy')
    for i in range(64):
        picture, m, v = truth[i:i + 1] / 2.0, 0.0, 0.0
        for t in range(1, 4):
            g = 2 * (picture - truth[i]) / picture.size
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            picture = picture - 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        picture = picture + 2.0 / picture.size
        made = tensors(f'{run}/items/{i}.safetensors')
        assert sorted(made) == ['net.bias', 'net.weight', 'picture'], sorted(made)
        assert np.abs(made['picture'] - picture).max() < 1e-5, i
        wanted = np.rint(picture[0].clip(0, 1) * 255).transpose(1, 2, 0)
        assert np.abs(png(open(f'{run}/items/{i}.png', 'rb').read()) - wanted).max() <= 1
    assert len(os.listdir(f'{run}/items')) == 128
    lines = [json.loads(line) for line in open(f'{run}/log.jsonl')]
    assert [line['item'] for line in lines] == [i for i in range(64) for _ in range(5)]


def begun(run):
    assert np.allclose(tensors(f'{run}/last.safetensors')['w'], 2 - 3 / 2)


def samples(run):
    names = sorted(os.listdir(f'{run}/samples'))
    assert names == ['clamp_made_0_1-00000020.png', 'clamp_made_0_1-00000040.png', 'made-00000016.png',
                     'made-00000032.png', 'made-00000040.png', 'measured.code_paint-00000020.png',
                     'measured.code_paint-00000040.png'], names
    truth = np.rint(np.load('truth.npy').clip(0, 1) * 255).astype(int).transpose(0, 2, 3, 1)
    seen, rows = set(), sheet(run, 'made-00000040')
    assert rows.shape == (8 * 8 - 2, 8 + 2 + 8, 3), rows.shape
    assert (rows[6:8] == 255).all() and (rows[:, 8:10] == 255).all()
    for row in range(8):
        cell = rows[8 * row:8 * row + 6, 10:]
        found = [i for i in range(64) if (truth[i] == cell).all()]
        assert len(found) == 1, row
        seen.add(found[0])
        error = np.abs(rows[8 * row:8 * row + 6, :8] - cell).mean()
        assert error < 25, error  # it has learned
    assert len(seen) == 8
    square = sheet(run, 'clamp_made_0_1-00000040')
    assert square.shape == (3 * 8 - 2, 3 * 10 - 2, 3), square.shape
    for i in range(8):
        y, x = i // 3 * 8, i % 3 * 10
        assert (square[y:y + 6, x:x + 8] == rows[8 * i:8 * i + 6, :8]).all()
    assert (square[16:, 20:] == 255).all()


def thin(run):
    measured = [line for line in map(json.loads, open(f'{run}/log.jsonl')) if 'held out' in line]
    name = [key for key in measured[0] if key not in ('phase', 'step', 'epoch', 'held out')][0]
    values = np.array([line[name] for line in measured])
    each = -(-len(values) // 2000)
    means = [values[i:i + each].mean() for i in range(0, len(values), each)]
    paths = re.findall(r'<path class="curve"[^>]* d="([^"]*)"', open(f'{run}/curves.svg').read())
    drawn = [np.array(re.findall(r'[ML]([\d.]+) ([\d.]+)', path), float) for path in paths]
    assert max(map(len, drawn)) <= 2000
    curve = [d for d in drawn if len(d) == len(means)]
    assert len(curve) == 1, list(map(len, drawn))
    down = curve[0][:, 1]
    assert (np.diff(curve[0][:, 0]) >= 0).all()
    assert np.corrcoef(-down, means)[0, 1] > 0.999 or np.corrcoef(-down, np.log(means))[0, 1] > 0.999


def page(run, dom=None):
    text = open(dom or f'{run}/index.html').read()
    pictures = re.findall(r'<img alt="(samples/[^"]*)" src="data:image/png;base64,([^"]*)"', text)
    assert sorted(name for name, _ in pictures) == sorted('samples/' + name for name in os.listdir(f'{run}/samples'))
    for name, packed in pictures:
        assert base64.b64decode(packed) == open(f'{run}/{name}', 'rb').read(), name
    assert 'http-equiv' not in text and not re.search(r'(src|href)="(?!data:)', text)
    lines = [json.loads(line) for line in open(f'{run}/log.jsonl')]
    curves = xml.fromstring(open(f'{run}/curves.svg').read()).findall('.//{*}path[@class="curve"]')
    counts = [len(re.findall('[ML]', curve.get('d'))) for curve in curves]
    assert counts == [sum('held out' not in line for line in lines), sum('held out' in line for line in lines)], counts
    inline = re.findall(r'<path class="curve"[^>]* d="([^"]*)"', text)
    assert inline == [curve.get('d') for curve in curves]


def crc32c(bytes):
    crc = 0xffffffff
    for byte in bytes:
        crc ^= byte
        for _ in range(8): crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def records(bytes):
    def check(part, masked):
        crc = crc32c(part)
        assert masked == ((crc >> 15 | crc << 17 & 0xffffffff) + 0xa282ead8) & 0xffffffff
    at = 0
    while at < len(bytes):
        length, of_length = struct.unpack('<QI', bytes[at:at + 12])
        check(bytes[at:at + 8], of_length)
        event = bytes[at + 12:at + 12 + length]
        check(event, struct.unpack('<I', bytes[at + 12 + length:at + 16 + length])[0])
        yield event
        at += length + 16


def message(bytes):
    """The fields of a protocol buffer by number; of repeated fields the last."""
    fields, at = {}, 0
    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = bytes[at]; at += 1
            value |= (byte & 127) << shift; shift += 7
            if byte < 128: return value
    while at < len(bytes):
        key = varint()
        if key & 7 == 0: fields[key >> 3] = varint(); continue
        size = {1: 8, 5: 4}.get(key & 7) or varint()
        fields[key >> 3] = bytes[at:at + size]
        at += size
    return fields


def events(run):
    assert crc32c(b'123456789') == 0xe3069283
    files = os.listdir(f'{run}/tensorboard')
    assert len(files) == 1, files
    first, *rest = map(message, records(open(f'{run}/tensorboard/{files[0]}', 'rb').read()))
    assert first[3] == b'brain.Event:2'
    scalars, pictures = set(), {}
    for event in rest:
        value = message(message(event[5])[1])
        if 2 in value: scalars.add((value[1].decode(), event[2], struct.unpack('<f', value[2])[0]))
        else: pictures[f"{value[1].decode()}-{event[2]:08}.png"] = message(value[4])
    log = set()
    for line in map(json.loads, open(f'{run}/log.jsonl')):
        name = 'held out/loss' if 'held out' in line else 'loss'
        log.add((name, line['step'], float(np.float32(line['loss']))))
    assert scalars == log
    assert sorted(pictures) == sorted(os.listdir(f'{run}/samples'))
    for name, image in pictures.items():
        file = open(f'{run}/samples/{name}', 'rb').read()
        assert image[4] == file and [image[1], image[2], image[3]] == list(png(file).shape)


{'data': data, 'items': items, 'begun': begun, 'events': events, 'samples': samples, 'page': page, 'thin': thin, 'pictures': pictures}[sys.argv[1]](*sys.argv[2:])
