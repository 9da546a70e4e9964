#!/usr/bin/python3
"""Makes the data sets of this folder, a few samples in each form that people have them, and beside each
what others read of it (expected/NAME.safetensors): numpy, PIL, the standard library's csv, json and
xml, torchvision's ImageFolder. tests/unit/data.c compares. Needs python3-pil and python3-torchvision."""
import csv
import gzip
import io
import json
import os
import struct
import tarfile
import xml.etree.ElementTree as xml

import numpy
import torchvision
from PIL import Image

random = numpy.random.default_rng(14)
os.makedirs("expected", exist_ok=True)


def folder(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return path


def save_file(tensors, path):
    """A .safetensors file, whose format is a length, a JSON object and bytes."""
    header, data = {}, b""
    for key, value in tensors.items():
        kind = {"f4": "F32", "f8": "F64", "i4": "I32", "i8": "I64", "u1": "U8"}[value.dtype.str[1:]]
        header[key] = {"dtype": kind, "shape": value.shape, "data_offsets": [len(data), len(data) + value.nbytes]}
        data += value.tobytes()
    text = json.dumps(header).encode()
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text + data)


def expect(name, **tensors):
    save_file({key: numpy.ascontiguousarray(value) for key, value in tensors.items()}, f"expected/{name}.safetensors")


def levels(height, width, channels=3):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return random.integers(0, 256, shape, dtype="u1")


def planes(pictures):
    """PIL's pictures as [N, C, H, W], 0 to 1."""
    arrays = [numpy.asarray(p, "f4") / numpy.float32(255) for p in pictures]
    return numpy.stack([a[None] if a.ndim == 2 else a.transpose(2, 0, 1) for a in arrays])


# ---- IDX: packed and plain, of bytes and of big endian floats ----
def idx(path, array):
    code = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}[array.dtype.str[1:]]
    data = struct.pack(">BBBB", 0, 0, code, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    data += array.astype(array.dtype.newbyteorder(">")).tobytes()
    opened = gzip.GzipFile(path, "wb", mtime=0) if path.endswith(".gz") else open(path, "wb")
    with opened as out:
        out.write(data)


pictures, labels = random.integers(0, 256, (7, 5, 4), dtype="u1"), random.integers(0, 3, 7, dtype="u1")
idx(folder("idx/train-images-idx3-ubyte.gz"), pictures)
idx("idx/train-labels-idx1-ubyte.gz", labels)
idx("idx/t10k-images-idx3-ubyte", pictures[:2])
idx("idx/t10k-labels-idx1-ubyte", labels[:2])
expect("idx", picture=pictures[:, None] / numpy.float32(255), label=labels.astype("i4"))
floats = random.random((3, 2, 2)).astype("f4")
idx(folder("idx_floats/some-images-idx3-float"), floats)
idx("idx_floats/some-labels-idx1-float", numpy.array([0, 1, 300], "i2"))
expect("idx_floats", picture=floats[:, None], label=numpy.array([0, 1, 300], "i4"))

# ---- folders by class ----
for name in ("cat/b.png", "cat/a.png", "dog/deep/er.png", "ant/x.png"):
    Image.fromarray(levels(6, 8)).save(folder(f"classes/{name}"))
read = torchvision.datasets.ImageFolder("classes")
expect("classes", picture=planes([p for p, _ in read]), label=numpy.array([c for _, c in read], "i4"))
with open("classes.txt", "w") as out:
    out.write("dog\nwolf\ncat\nant\n")

# ---- folders by input: pairs by stem, with some that have no partner, and a mask ----
stems = ["1", "2", "10", "four"]
for stem in stems:
    Image.fromarray(levels(9, 12)).save(folder(f"inputs/photo/{stem}.png"))
    Image.fromarray(levels(9, 12, 1)).save(folder(f"inputs/sketch/{stem}.png"))
    mask = Image.fromarray(random.integers(0, 5, (9, 12), dtype="u1"), "P")
    mask.putpalette([k * 7 % 256 for k in range(768)])
    mask.save(folder(f"inputs/mask/{stem}.png"), bits=4)
Image.fromarray(levels(9, 12)).save("inputs/photo/alone.png")
Image.fromarray(levels(9, 12, 1)).save("inputs/sketch/other.png")
stems = sorted(stems)
photos = [Image.open(f"inputs/photo/{stem}.png") for stem in stems]
masks = numpy.stack([numpy.asarray(Image.open(f"inputs/mask/{stem}.png")) for stem in stems])
expect("inputs", photo=planes(photos), sketch=planes([Image.open(f"inputs/sketch/{stem}.png") for stem in stems]), mask=masks.astype("i4"))

# ---- windows: what PIL makes of a part of a picture that begins and ends within a pixel ----
box, size = (1.5, 2.25, 9.75, 8.0), (5, 7)
parts = [Image.fromarray(band).resize(size, Image.BILINEAR, box=box) for band in planes(photos[:1])[0]]
expect("window", box=numpy.array(box), result=numpy.stack([numpy.asarray(p) for p in parts]))

# ---- parts: train/ and val/ ----
for part, count in (("train", 3), ("val", 2)):
    for i in range(count):
        Image.fromarray(levels(4, 4)).save(folder(f"parts/{part}/{'ab'[i % 2]}/{i}.png"))

# ---- arrays: .npy files by input, .npz, .safetensors; channels last and first ----
x, y = levels(5, 4)[None].repeat(6, 0) // numpy.arange(1, 7, dtype="u1")[:, None, None, None], numpy.arange(6, dtype="i8") % 4
code = random.standard_normal((6, 3)).astype("f8")
os.makedirs("arrays", exist_ok=True)
numpy.save("arrays/picture.npy", x)
numpy.save("arrays/label.npy", y)
numpy.save("arrays/code.npy", code)
numpy.savez("arrays.npz", picture=x, label=y, code=code)
numpy.savez_compressed("arrays_packed.npz", picture=x, label=y, code=code)
save_file({"picture": numpy.ascontiguousarray(x.transpose(0, 3, 1, 2)), "label": y, "code": code}, "arrays.safetensors")
expect("arrays", picture=planes(x), label=y.astype("i4"), code=code.astype("f4"))

# ---- CIFAR, two labels a picture ----
records = random.integers(0, 256, (4, 2 + 3072), dtype="u1")
records[:, 0], records[:, 1] = [1, 0, 1, 0], [2, 0, 1, 2]
records[:3].tofile(folder("cifar/train.bin"))
records[3:].tofile("cifar/test.bin")
with open("cifar/fine_label_names.txt", "w") as out:
    out.write("apple\nbee\ncup\n\n")
expect("cifar", picture=records[:3, 2:].reshape(-1, 3, 32, 32) / numpy.float32(255), label=records[:3, 1].astype("i4"))

# ---- lists ----
rows = [("photo", "class", "code", "part"), ("inputs/photo/2.png", "big, red", "1 2.5 -3e2", "train"),
        ("classes/cat/a.png", "ant", "0 0 1", "test"), ("inputs/photo/10.png", 'a "q"', "4;5;6", "train"), ("inputs/photo/missing.png", "ant", "0 0 0", "train")]
with open("list.csv", "w", newline="") as out:
    csv.writer(out).writerows(rows)
with open("list.tsv", "w") as out:
    out.writelines("\t".join(map(str, row)) + "\n" for row in [("photo", "class"), ("inputs/photo/2.png", 7), ("inputs/photo/10.png", 3)])
with open("list.csv", newline="") as text:
    read = [row for row in csv.DictReader(text) if os.path.exists(row["photo"])]
words = sorted({row["class"] for row in csv.DictReader(open("list.csv", newline="")) if row})
trained = [row for row in read if row["part"] == "train"]
expect("list", photo=planes([Image.open(row["photo"]) for row in trained]), code=numpy.array([[1, 2.5, -300], [4, 5, 6]], "f4"),
       **{"class": numpy.array([words.index(row["class"]) for row in trained], "i4")})

# ---- tar archives as WebDataset has them: ustar, and a long name in each of the ways to have one ----
def archive(path, form, names):
    with tarfile.open(path, "w", format=form) as out:
        for i, name in enumerate(names):
            image = io.BytesIO()
            Image.open(f"inputs/photo/{stems[i]}.png").save(image, "png")
            for ending, data in ((".png", image.getvalue()), (".cls", f"{i * 7}\n".encode()), (".json", b"{}")):
                one = tarfile.TarInfo(name + ending)
                one.size = len(data)
                out.addfile(one, io.BytesIO(data))


long = "folder/" + "long" * 40
archive("ustar.tar", tarfile.USTAR_FORMAT, ["a", "b/c", "b/" + "d" * 90])
archive("pax.tar", tarfile.PAX_FORMAT, ["a", "b", long])
archive("gnu.tar", tarfile.GNU_FORMAT, ["a", "b", long])
expect("tar", photo=planes(photos[:3]), label=numpy.array([0, 7, 14], "i4"))

# ---- boxes on inputs/photo: VOC, COCO, YOLO ----
objects = {"1": [("dog", 2, 1, 9, 7), ("cat", 0, 0, 12, 9)], "2": [("cat", 3, 3, 6, 5)], "10": [], "four": [("ant", 1, 2, 5, 9)]}
names = sorted({o[0] for found in objects.values() for o in found})
for stem, found in objects.items():
    root = xml.Element("annotation")
    for name, *sides in found + [("dog", 0, 0, 1, 1)]: # the last is difficult
        one = xml.SubElement(root, "object")
        xml.SubElement(one, "name").text = name
        xml.SubElement(one, "difficult").text = "1" if sides == [0, 0, 1, 1] else "0"
        bounds = xml.SubElement(one, "bndbox")
        for key, value in zip(("xmin", "ymin", "xmax", "ymax"), (sides[0] + 1, sides[1] + 1, sides[2], sides[3])):
            xml.SubElement(bounds, key).text = str(value)
        part = xml.SubElement(xml.SubElement(one, "part"), "bndbox") # a head: no box of its own
        xml.SubElement(part, "xmin").text = "99"
    xml.ElementTree(root).write(folder(f"voc/{stem}.xml"))
    with open(folder(f"yolo/{stem}.txt"), "w") as out:
        for name, left, top, right, bottom in found:
            out.write(f"{names.index(name)} {(left + right) / 24} {(top + bottom) / 18} {(right - left) / 12} {(bottom - top) / 9}\n")
ids = {stem: 100 - i for i, stem in enumerate(objects)}
categories = [{"id": 5, "name": "dog"}, {"id": 2, "name": "cat"}, {"id": 9, "name": "ant"}]
category = {c["name"]: c["id"] for c in categories}
annotations = [{"image_id": ids[stem], "category_id": category[n], "bbox": [l, t, r - l, b - t], "iscrowd": 0} for stem, found in objects.items() for n, l, t, r, b in found]
annotations.append({"image_id": ids["1"], "category_id": 2, "bbox": [0, 0, 5, 5], "iscrowd": 1})
with open("coco.json", "w") as out:
    json.dump({"images": [{"id": ids[stem], "file_name": f"{stem}.png"} for stem in objects], "categories": categories, "annotations": annotations}, out)
boxes = numpy.zeros((len(stems), 3, 5), "f4") + numpy.array([0, 0, 0, 0, -1], "f4")
for i, stem in enumerate(stems):
    for k, (name, *sides) in enumerate(objects[stem]):
        boxes[i, k] = [*sides, names.index(name)]
expect("boxes", boxes=boxes)

# ---- letterboxes: the photos, with sketches, masks and boxes, as large as they fit into 6 x 9, in the middle ----
(width, height), (wide, high) = photos[0].size, (6, 9)
ratio = min(wide / width, high / height)
across, down = round(width * ratio), round(height * ratio) # ties to even: 9 rows become 4, not 5
left, top = (wide - across) // 2, (high - down) // 2


def letterboxed(plane, value, how):
    result = Image.new(plane.mode, (wide, high), value)
    result.paste(plane.resize((across, down), how), (left, top))
    return numpy.asarray(result)


def boxed(pictures):
    return numpy.stack([[letterboxed(Image.fromarray(band), 114 / 255, Image.BILINEAR) for band in p] for p in planes(pictures)])


numbers = numpy.stack([letterboxed(Image.fromarray(m), 255, Image.NEAREST) for m in masks])
real = boxes[:, :, 4:] >= 0
moved = boxes * numpy.array([across / width, down / height, across / width, down / height, 1]) + numpy.array([left, top, left, top, 0])
expect("letterbox", photo=boxed(photos), sketch=boxed([Image.open(f"inputs/sketch/{stem}.png") for stem in stems]), mask=numbers.astype("i4"),
       boxes=numpy.where(real, moved, boxes).astype("f4"))

# ---- masks: the second has a pixel of 3, and the border is 255 ----
mask = numpy.full((3, 4, 5), 255, "u1")
mask[:, 1:3, 1:4] = [[0, 1, 2], [2, 1, 0]]
mask[1, 2, 3] = 3
os.makedirs("masks", exist_ok=True)
for i in range(3):
    Image.fromarray(mask[i]).save(folder(f"masks/mask/{i}.png"))
    Image.fromarray(levels(4, 5)).save(folder(f"masks/photo/{i}.png"))
numpy.save("masks.npy", mask)
