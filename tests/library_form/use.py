"""The library form through ctypes and numpy; the results are the built program's, to the bit. usage: use.py FOLDER"""
import ctypes as c
import subprocess
import sys
import numpy as np

folder = sys.argv[1]


class In(c.Structure):
    _fields_ = [("data", c.c_void_p), ("bytes", c.c_size_t), ("shape", c.POINTER(c.c_int64)), ("rank", c.c_int)]


class Out(c.Structure):
    _fields_ = [("data", c.c_void_p), ("bytes", c.c_size_t)]


class Axis(c.Structure):
    _fields_ = [("size", c.c_int64), ("multiple", c.c_int64), ("name", c.c_char_p)]


class Info(c.Structure):
    _fields_ = [("name", c.c_char_p), ("text", c.c_char_p), ("type", c.c_int), ("rank", c.c_int), ("axes", Axis * 16),
                ("is_picture", c.c_int), ("label_count", c.c_int), ("labels", c.POINTER(c.c_char_p))]


lib = c.CDLL(folder + "/libmix.so")
lib.mix_message.restype = c.c_char_p
lib.mix_message.argtypes = lib.mix_destroy.argtypes = [c.c_void_p]


def given(arrays):
    return (In * len(arrays))(*[In(a.ctypes.data, a.nbytes, a.ctypes.shape_as(c.c_int64), a.ndim) for a in arrays])


def run(context, *arrays):
    inputs = given(arrays)
    if lib.mix_prepare(context, inputs, len(arrays)):
        raise ValueError(lib.mix_message(context).decode())
    results = []
    for i in range(lib.mix_output_count()):
        info = Info()
        lib.mix_output_info(i, c.byref(info))
        shape = (c.c_int64 * info.rank)()
        lib.mix_output_shape(context, i, shape, info.rank)
        results.append(np.zeros(list(shape), np.float32))
    outputs = (Out * len(results))(*[Out(r.ctypes.data, r.nbytes) for r in results])
    if lib.mix_run(context, inputs, len(arrays), outputs, len(results)):
        raise ValueError(lib.mix_message(context).decode())
    return results


failed = 0


def check(good, what):
    global failed
    if not good:
        failed += 1
        print("wrong:", what)


context = c.c_void_p()
check(lib.mix_create(c.byref(context)) == 0, "create")
info = Info()
lib.mix_output_info(2, c.byref(info))
check(info.name == b"scores" and [info.labels[i] for i in range(4)] == [b"cat", b"dog", b"bird", b"fish"], "labels")
random = np.random.RandomState(1)
for height, width in ((32, 24), (64, 66), (128, 128)):
    photo, which = random.rand(2, 3, height, width).astype(np.float32), np.array([3, 1, 15], np.int32)
    results = run(context, photo, which)
    np.save(folder + "/photo.npy", photo)
    np.save(folder + "/which.npy", which)
    names = ["clean", "half", "scores"]
    subprocess.run([folder + "/mix_program", folder + "/photo.npy", folder + "/which.npy"] +
                   [word for n in names for word in ("-o", f"{n}={folder}/{n}.npy")], check=True, stdout=subprocess.DEVNULL)
    for name, result in zip(names, results):
        check(np.array_equal(np.load(f"{folder}/{name}.npy"), result), f"{name} at {height} x {width}")
for wrong, words in ((photo.astype(np.float64), "bytes are given"), (photo[0], "rank 3"), (photo[:, :, :30].copy(), "multiple of 4")):
    try:
        run(context, wrong, which)
        check(False, words + ": no error")
    except ValueError as error:
        check(words in str(error), str(error))
check(np.array_equal(run(context, photo, which)[0], results[0]), "the run after errors")
lib.mix_destroy(context)
print(f"python: 14 checks, {failed} failed")
sys.exit(failed != 0)
