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


def exif_of(orientation):
    exif = Image.Exif()
    exif[0x112] = orientation
    return exif


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
    rgb.save(f"turned{orientation}.png", exif=exif_of(orientation))
rgb.save("turned8.jpg", exif=exif_of(8), quality=95, subsampling=0)

wide = (colours.astype("u2") * 257 + 3).astype(">u2")
png("rgb16.png", 10, 12, 16, 2, b"".join(b"\0" + row.tobytes() for row in wide))
passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
adam7 = b"".join(b"\0" + row.tobytes() for top, left, down, right in passes for row in colours[top::down, left::right])
png("interlaced.png", 10, 12, 8, 2, adam7, interlace=1)
png("bomb.png", 30000, 30000, 8, 0, b"\0" * 1000)
png("lying.png", 10000, 10000, 8, 2, b"\0" * 1000)

rgb.save("rgb.webp", lossless=True, exact=True)
rgb.save("lossy.webp", quality=90)
Image.fromarray(numpy.dstack([colours, colours[..., :1]])).save("rgba.webp", lossless=True, exact=True)
rgb.save("turned6.webp", lossless=True, exif=exif_of(6))
rgb.save("moving.webp", save_all=True, append_images=[gray.convert("RGB")])

rgb.save("rgb.bmp")
gray.save("gray.bmp")
rgb.quantize(16).save("palette.bmp")
Image.fromarray(colours[..., 0] > 50).save("one_bit.bmp")
Image.fromarray(numpy.dstack([colours, colours[..., :1]])).save("rgba.bmp")


def bmp(name, bits, packing, masks, rows, header=40):
    """Row by row from the top down, for what PIL does not write."""
    size = struct.pack("<iiHH", 10, -12, 1, bits) if header == 40 else struct.pack("<HHHH", 10, 12, 1, bits)
    rest = struct.pack("<6I", packing, len(rows), 0, 0, 0, 0) if header == 40 else b""
    with open(name, "wb") as out:
        out.write(b"BM" + struct.pack("<IIII", 18 - 4 + header + len(masks) + len(rows), 0, 14 + header + len(masks), header))
        out.write(size + rest + masks + rows)


high = colours.astype("u4") >> 3
bmp("masks16.bmp", 16, 3, struct.pack("<III", 0xf800, 0x7e0, 0x1f),
    (high[..., 0] << 11 | (colours[..., 1].astype("u4") >> 2) << 5 | high[..., 2]).astype("<u2").tobytes())
bmp("core.bmp", 24, 0, b"", b"".join(row.tobytes() + b"\0\0" for row in colours[::-1, :, ::-1]), header=12)
bmp("packed.bmp", 8, 1, b"", bytes(8))

rgb.save("rgb.tif", compression="tiff_lzw")
rgb.save("deflated.tif", compression="tiff_adobe_deflate")
rgb.save("jpeg.tif", compression="jpeg", quality=95)
gray.save("gray.tif")
Image.fromarray(numpy.dstack([colours, colours[..., :1]])).save("rgba.tif", compression="packbits")
rgb.quantize(16).save("palette.tif")
rgb.convert("CMYK").save("cmyk.tif")
Image.fromarray(colours[..., 0] > 50).save("one_bit.tif", compression="group4")
Image.fromarray(colours[..., 0].astype("u2") * 257 + 3).save("gray16.tif")
rgb.save("turned6.tif", tiffinfo={0x112: 6})
