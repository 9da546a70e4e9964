"""The library form through ctypes and numpy (examples/library/model.py): the results are the built program's, to the bit.
usage: use.py FOLDER"""
import subprocess
import sys
import threading
import numpy as np

sys.path.insert(0, "examples/library")
from model import Model

folder = sys.argv[1]
checks = failed = 0


def check(good, what):
    global checks, failed
    checks += 1
    if not good:
        failed += 1
        print("wrong:", what)


def by_program(arrays):
    for name, array in zip(("photo", "which"), arrays):
        np.save(f"{folder}/{name}.npy", array)
    outputs = [word for n in names for word in ("-o", f"{n}={folder}/{n}.npy")]
    subprocess.run([folder + "/mix_program", folder + "/photo.npy", folder + "/which.npy"] + outputs, check=True,
                   stdout=subprocess.DEVNULL)
    return [np.load(f"{folder}/{n}.npy") for n in names]


mix = Model(folder + "/libmix.so", "mix")
names = [info.name.decode() for info in mix.outputs]
check(names == ["clean", "half", "scores"], names)
check([mix.outputs[2].labels[i] for i in range(4)] == [b"cat", b"dog", b"bird", b"fish"], "labels")
check([(a.size, a.multiple, a.name) for a in mix.inputs[0].axes[:4]] == [(-1, 1, b"N"), (3, 1, None), (-1, 4, b"H"), (-1, 2, b"W")], "axes")

find = Model(folder + "/libfind.so", "find")
(photo, support), (boxes, best) = find.inputs, find.outputs
check([photo.form, support.form, boxes.form, best.form] == [1, 1, 3, 4], "forms")
check([boxes.of, best.of, photo.of, boxes.score, boxes.label_count] == [0, 1, -1, 0.25, 4], "what boxes and names tell of")
rows, places = find(np.full((1, 3, 5, 7), 0.2, np.float32), np.linspace(0, 1, 3 * 48, dtype=np.float32).reshape(3, 3, 4, 4))
check(np.allclose(rows, 0.2) and places.tolist() == [[0]], "boxes below the least score and places are given as they are")

random = np.random.RandomState(1)
for height, width in ((32, 24), (64, 66), (128, 128)):
    photo, which = random.rand(2, 3, height, width).astype(np.float32), np.array([3, 1, 15], np.int32)
    results = mix(photo, which)
    for name, ours, theirs in zip(names, results, by_program((photo, which))):
        check(ours.dtype == theirs.dtype and np.array_equal(ours, theirs), f"{name} at {height} x {width}")

for wrong, words in (((photo.astype(np.float64), which), "input `photo` is float32, and the array is float64: convert it by astype('float32')"),
                     ((photo, which.astype(np.int64)), "input `which` is int32, and the array is int64"), ((photo[0], which), "rank 3"),
                     ((photo[:, :, :30], which), "multiple of 4"), ((photo,), "1 given, and the model has 2")):
    try:
        mix(*wrong)
        check(False, words + ": no error")
    except ValueError as error:
        check(words in str(error), str(error))
check(np.array_equal(mix(photo, which)[0], results[0]), "the run after errors")


def run_alone():
    model = Model(folder + "/libmix.so", "mix", threads=1)
    for _ in range(5):
        check(np.array_equal(model(photo, which)[0], results[0]), "a thread's run")


threads = [threading.Thread(target=run_alone) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()

noise = Model(folder + "/libnoise.so", "noise")
x = np.zeros((1000, 5), np.float32)
first, again = noise(x), noise(x)
noise.check(noise.function("set_seed")(noise.context, 7))
other = noise(x)
check(np.array_equal(first, again) and not np.array_equal(first, other) and abs(first.std() - 1) < 0.05, "seeds")
print(f"python: {checks} checks, {failed} failed")
sys.exit(failed != 0)
