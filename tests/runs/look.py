"""What lies in the folder of a run of painter.cai, read by other programs than cai.

usage: look.py data              writes code.npy and truth.npy
       look.py samples RUN       the sheets have the pictures that they should
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


def png(bytes):
    """8 bits a sample, not interlaced, to [height, width, channels]."""
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


{'data': data, 'samples': samples, 'page': page}[sys.argv[1]](*sys.argv[2:])
