"""Installed wheels in a Python without numpy: results are memoryviews, and strings.
usage: plain.py"""
import array
import importlib.util
import sys

import mix, read, class_, nothing

assert importlib.util.find_spec("numpy") is None
pixels = memoryview(bytearray(range(96))).cast("B", (4, 8, 3))
photo = memoryview(array.array("f", [0.5] * 96)).cast("B").cast("f", (1, 3, 4, 8))
which = array.array("i", [3, 1])

clean, half, scores = mix.run(pixels, which)
assert (clean.format, clean.shape) == ("B", (4, 8, 3)) and (half.format, half.shape) == ("f", (1, 8, 2, 4)), clean
once, again = mix.run(photo, which), mix.run(photo, which, threads=1)
assert once.clean.shape == (1, 3, 4, 8) and once.clean.tolist() == again.clean.tolist() and once.scores.tolist() == again.scores.tolist()
assert mix.run(once.clean, which).clean.shape == (1, 3, 4, 8), "what came is given again"

letters = memoryview(array.array("f", [0, 1, 0, 0, 0, 1, 0, 0, 9, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0])).cast("B").cast("f", (1, 5, 4))
assert read.run(letters) == ["ccé"]

half = memoryview(bytearray(b"\x00\x3c" * 3)).cast("H", (1, 3))  # ones, as bits: not every Python has views of f16
flags, count, tiny = memoryview(bytearray(1)).cast("?"), array.array("q", [1 << 40]), array.array("b", [-3])
try:
    class_.run(half, memoryview(array.array("f", [1] * 3)).cast("B").cast("f", (1, 3)), flags, count, tiny)
    assert False
except TypeError as error:
    assert "input `lambda` takes float16[N, 3], and this is uint16[1, 3]" in str(error), error
assert nothing.run().shape == (1, 3, 2, 2)
try:
    mix.run(array.array("d", [1]), which)
    assert False
except TypeError as error:
    assert "and this is float64[1]" in str(error), error
print(f"plain: {sys.version.split()[0]}, 0 failed")
