"""Installed wheels with numpy: results are the built programs', to the bit; pictures, views, errors, threads.
usage: arrays.py FOLDER, which has the programs"""
import importlib.metadata
import inspect
import itertools
import os
import subprocess
import sys
import threading
import time

import mix, read, find, noise, gray, nothing, class_

folder = sys.argv[1]
checks = failed = 0


def check(good, what):
    global checks, failed
    checks += 1
    if not good:
        failed += 1
        print("wrong:", what)


check("numpy" not in sys.modules, "numpy is imported before it is needed")
import numpy as np

random = np.random.RandomState(1)


def by_program(program, inputs, outputs):
    for name, array in inputs.items():
        np.save(f"{folder}/{name}.npy", array)
    words = [word for n in outputs for word in ("-o", f"{n}={folder}/{n}.npy")]
    subprocess.run([f"{folder}/{program}_program"] + [f"{n}={folder}/{n}.npy" for n in inputs] + words, check=True,
                   stdout=subprocess.DEVNULL)
    return [np.load(f"{folder}/{n}.npy") for n in outputs]


def equal(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b)


def fails(exception, words, call, *arguments, **options):
    try:
        call(*arguments, **options)
        check(False, words + ": no error")
    except exception as error:
        check(words in str(error), f"{words}: {error}")


# what is given and what comes
for height, width in ((32, 24), (64, 66), (8, 4)):
    photo, which = random.rand(2, 3, height, width).astype(np.float32), np.array([3, 1, 15], np.int32)
    results = mix.run(photo, which)
    for name, ours, theirs in zip(results._fields, results, by_program("mix", {"photo": photo, "which": which}, mix.Results._fields)):
        check(equal(ours, theirs), f"{name} at {height} x {width}")
check(mix.labels == {"scores": ("cat", "dog", "bird", "fish")}, mix.labels)
check(equal(mix.run(which=which, photo=photo).clean, results.clean), "arguments by name")

# nothing is copied where it lies as the model has it, whatever else lies as it may
for view in (photo[:1], photo[::-1], np.asfortranarray(photo), np.repeat(photo, 2, axis=3)[..., ::2], np.broadcast_to(photo[:1], (3, 3, 8, 4))):
    check(equal(mix.run(view, which).clean, mix.run(np.ascontiguousarray(view), which).clean), f"strides {view.strides}")
unaligned = np.frombuffer(b"x" + photo.tobytes(), np.uint8)[1:].view(np.float32).reshape(photo.shape)
check(equal(mix.run(unaligned, which).clean, mix.run(photo, which).clean), "an array that is not aligned")
readonly = photo.copy()
readonly.flags.writeable = False
check(equal(mix.run(readonly, which).clean, mix.run(photo, which).clean), "a constant array")

# pictures of 8 bits, as [N, H, W, C], [H, W, C] and, of gray ones, [H, W]
pixels = random.randint(0, 256, (2, 8, 6, 3)).astype(np.uint8)


def planes(pixels):
    return np.ascontiguousarray(np.moveaxis(pixels, -1, -3)).astype(np.float32) / np.float32(255)


def levels(planes):
    return np.moveaxis(np.rint(np.clip(planes, 0, 1) * 255).astype(np.uint8), -3, -1)


inside = mix.run(planes(pixels), which)
check((inside.clean < 0).any() and (inside.clean > 1).any(), "values beyond 0 and 1")
both = mix.run(pixels, which)
check(equal(both.clean, levels(inside.clean)) and equal(both.half, inside.half), "pictures")
check(equal(mix.run(pixels[0], which).clean, mix.run(pixels[:1], which).clean[0]), "one picture")
wide = np.concatenate([pixels, pixels], axis=3)
for view in (pixels[:, ::-1], pixels[:, :, ::-1], pixels[..., ::-1], pixels[:, ::2], wide[..., 1:4], np.asfortranarray(pixels), pixels[0][:, 2:]):
    check(equal(mix.run(view, which).clean, mix.run(np.ascontiguousarray(view), which).clean), f"pixels with strides {view.strides}")
a, b = random.randint(0, 256, (2, 4, 6)).astype(np.uint8)
mean = np.rint((a.astype(np.float64) + b) / 2).astype(np.uint8)
check(np.abs(gray.run(a, b).mean.astype(int) - mean).max() <= 1 and gray.run(a, b).mean.shape == (4, 6), "gray pictures")
check(gray.run(a[..., None], b).mean.shape == (4, 6, 1) and gray.run(a[None, ..., None], b).mean.shape == (1, 4, 6, 1), "gray pictures with more axes")
check(gray.run(planes(a[..., None])[None], b[None, ..., None]).mean.dtype == np.uint8, "pictures come as the first of 8 bits")
check(gray.run(a, b).levels.shape == (1,), "what is no picture")
check(nothing.run(seed=1).shape == (1, 3, 2, 2) and not equal(nothing.run(seed=1), nothing.run(seed=2)), "a model without inputs")

# text: CTC by numpy and itertools
scores = random.rand(5, 40, 4).astype(np.float32)
by_hand = ["".join(["", "c", "é", " "][k] for k, _ in itertools.groupby(row)) for row in scores.argmax(axis=2).tolist()]
check(read.run(scores) == by_hand and len(set(by_hand)) == 5, by_hand)

# boxes and names are plain arrays
rows, places = find.run(np.full((1, 3, 5, 7), 0.2, np.float32), np.linspace(0, 1, 3 * 48, dtype=np.float32).reshape(3, 3, 4, 4))
check(np.allclose(rows, 0.2) and places.tolist() == [[0]] and list(find.labels) == ["boxes"], "boxes and names")

# random numbers
x = np.zeros((1000, 5), np.float32)
check(equal(noise.run(x), noise.run(x, seed=0)) and not equal(noise.run(x), noise.run(x, seed=7)), "seeds")
check(abs(noise.run(x, seed=2 ** 40).std() - 1) < 0.05, "a large seed")

# every type, and names that are words of Python
given = (np.arange(6, dtype=np.float16).reshape(2, 3), np.ones((2, 3), np.float32), np.array([True, False]), np.array([1, 2 ** 40]), np.array([1, -3], np.int8))
half, hidden, none, index, tiny = class_.run(*given)
check([r.dtype for r in (half, hidden, none, index, tiny)] == [np.float16, np.float32, np.bool_, np.int64, np.int8], "types")
check(equal(half, given[0] / np.float16(2)) and none.tolist() == [False, True] and index.tolist() == [2, 2 ** 40 + 1] and tiny.tolist() == [2, -2], "values")
check(list(inspect.signature(class_.run).parameters) == ["lambda_", "seed_", "flags", "count", "tiny", "threads", "seed"], "parameters")
check(class_.Results._fields == ("finally_", "result_hidden", "none", "index", "global_"), class_.Results._fields)
comment = 'Halves "in" \\ and what """quotes""" say.\nA second line: `*/` and {braces}, 100 %.'
check(class_.__doc__.startswith(comment + "\n\nMade by cai"), class_.__doc__)
check(importlib.metadata.metadata("class")["Summary"] == 'Halves "in" \\ and what """quotes""" say.', "the summary")
check(inspect.getdoc(class_.run).startswith(comment + "\n\nlambda_: f16[N, 3]\n"), class_.run.__doc__)
check("gives clean: image[N, 3, H, W], levels" in mix.run.__doc__ and "H is any size, a multiple of 4\n" in mix.run.__doc__, mix.run.__doc__)
check(inspect.signature(mix.run).return_annotation == "Results[Level]" and "NDArray[int32]" in str(inspect.signature(mix.run)), inspect.signature(mix.run))

# errors
takes = "input `photo` takes float32[N, 3, H, W] or uint8[.., height, width, 3], and this is "
fails(TypeError, takes + "float64[2, 3, 8, 4]", mix.run, photo.astype(float), which)
fails(TypeError, takes + "big-endian float32[2, 3, 8, 4]", mix.run, photo.astype(">f4"), which)
fails(TypeError, takes + "list", mix.run, [1, 2], which)
fails(TypeError, takes + "NoneType", mix.run, None, which)
fails(ValueError, takes + "float32[3, 8, 4]", mix.run, photo[0], which)
fails(ValueError, takes + "uint8[8, 6, 4]", mix.run, wide[0, ..., :4], which)
fails(ValueError, takes + "uint8[8, 6]", mix.run, pixels[0, ..., 0], which)
fails(TypeError, "input `which` takes int32[K], and this is int64[3]: convert it by astype('int32')", mix.run, photo, which.astype(np.int64))
fails(ValueError, "its height must be a multiple of 4, and is 6; given: photo float32[2, 3, 6, 4], which int32[3]", mix.run, photo[:, :, :6], which)
fails(ValueError, "its height must be a multiple of 4, and is 6; given: photo uint8[6, 6, 3], which int32[3]", mix.run, pixels[0, :6], which)
fails(ValueError, "must be at least 1; given: photo uint8[0, 8, 6, 3]", mix.run, pixels[:0], which)
fails(ValueError, "threads is -1", mix.run, photo, which, threads=-1)
fails(TypeError, "missing 1 required positional argument: 'which'", mix.run, photo)
fails(MemoryError, "", mix.run, np.broadcast_to(np.float32(0), (1 << 20, 3, 1 << 20, 1 << 10)), which)
check(equal(mix.run(photo, which).clean, results.clean), "the run after errors")

# nothing is kept of what was given: memory whose views are released can grow
for given, exception in ((photo, None), (pixels, None), (pixels[..., ::-1], None), (photo[:, :, :6], ValueError), (photo.astype(float), TypeError)):
    memory = bytearray(given.tobytes())
    array = np.frombuffer(memory, given.dtype).reshape(given.shape)
    count = sys.getrefcount(array)
    try:
        mix.run(array, which)
        check(exception is None, "no error")
    except (ValueError, TypeError) as error:
        check(type(error) is exception, error)
    check(sys.getrefcount(array) == count, f"references to {given.dtype}{given.shape}")
    del array
    memory.append(0)


def resident():
    with open("/proc/self/statm") as numbers:
        return int(numbers.read().split()[1]) * 4096


def call_often(count):
    for _ in range(count):
        mix.run(pixels, which), mix.run(pixels[..., ::-1], which), read.run(scores[:1, :8])
        try:
            mix.run(photo[:, :, :6], which)
        except ValueError:
            pass


call_often(2000)
size = resident()
call_often(10000)
check(resident() - size < 400e3, "memory grows from call to call")

# threads: at once, each with its own memory, and with Python's lock given up
photo = random.rand(1, 3, 128, 128).astype(np.float32)
wanted = mix.run(photo, which).clean


def run_often():
    for threads in (1, 2, 1, 0):
        check(equal(mix.run(photo, which, threads=threads).clean, wanted), "a thread's run")


several = [threading.Thread(target=run_often) for _ in range(20)]
for thread in several:
    thread.start()
for thread in several:
    thread.join()

child = os.fork()  # has the parent's memory, and no threads
if child == 0:
    os._exit(0 if equal(mix.run(photo, which).clean, wanted) else 1)
check(os.waitpid(child, 0)[1] == 0, "a child process")

stop = threading.Event()


def run_until_stopped():
    while not stop.is_set():
        mix.run(photo, which, threads=1)


sys.setswitchinterval(20)  # Python itself hands its lock on only after so many seconds
thread = threading.Thread(target=run_until_stopped)
begin = time.monotonic()
thread.start()
stop.set()
thread.join()
check(time.monotonic() - begin < 10, "a run keeps Python's lock")
print(f"arrays: {checks} checks, {failed} failed")
sys.exit(failed != 0)
