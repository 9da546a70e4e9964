#!/usr/bin/python3
"""Makes the pictures of this folder (python3-pil): small ones, in every form that the readers of runtime/ must tell apart."""
import struct
import zlib

import numpy
from PIL import Image

y, x = numpy.mgrid[0:12, 0:10]
colours = numpy.stack([y * 10, x * 12, (y + x) * 5], -1).astype("u1")
rgb = Image.fromarray(colours)
gray = Image.fromarray(colours[..., 0])


def png(name, width, height, bits, kind, rows, interlace=0):
    """A PNG of raw bytes, for what PIL does not write."""
    def chunk(tag, data):
        return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, interlace)
    with open(name, "wb") as out:
        out.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


rgb.save("rgb.png")
rgb.save("rgb.jpg", quality=95, subsampling=0)
rgb.save("progressive.jpg", quality=95, progressive=True)
rgb.convert("CMYK").save("cmyk.jpg", quality=95)
gray.save("gray.png")
gray.save("gray.jpg", quality=95)
Image.fromarray(numpy.dstack([colours, colours[..., :1]])).save("rgba.png")
rgb.quantize(16).save("palette.png")
Image.fromarray(colours[..., 0] > 50).save("one_bit.png")
for orientation in range(1, 9):
    exif = Image.Exif()
    exif[0x112] = orientation
    rgb.save(f"turned{orientation}.png", exif=exif)
rgb.save("turned8.jpg", exif=exif, quality=95, subsampling=0)

wide = (colours.astype("u2") * 257 + 3).astype(">u2")
png("rgb16.png", 10, 12, 16, 2, b"".join(b"\0" + row.tobytes() for row in wide))
passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
adam7 = b"".join(b"\0" + row.tobytes() for top, left, down, right in passes for row in colours[top::down, left::right])
png("interlaced.png", 10, 12, 8, 2, adam7, interlace=1)
png("bomb.png", 30000, 30000, 8, 0, b"\0" * 1000)
png("lying.png", 10000, 10000, 8, 2, b"\0" * 1000)
