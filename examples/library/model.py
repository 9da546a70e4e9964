"""Any model that cai built with --kind shared, as a function of numpy arrays.

    cai build ../denoise.cai --weights ../denoise.safetensors --kind shared
    python3 model.py libdenoise.so denoise noisy.npy clean.npy
"""
import ctypes as c
import sys
import numpy as np

TYPES = [np.float32, np.float16, np.uint16, np.int8, np.int32, np.int64, np.bool_]  # cai_type; bf16 as its bits


class Axis(c.Structure):
    _fields_ = [("size", c.c_int64), ("multiple", c.c_int64), ("name", c.c_char_p)]


class Info(c.Structure):
    _fields_ = [("name", c.c_char_p), ("text", c.c_char_p), ("type", c.c_int), ("rank", c.c_int), ("axes", Axis * 16),
                ("is_picture", c.c_int), ("label_count", c.c_int), ("labels", c.POINTER(c.c_char_p)),
                ("form", c.c_int), ("of", c.c_int), ("score", c.c_float)]


class In(c.Structure):
    _fields_ = [("data", c.c_void_p), ("bytes", c.c_size_t), ("shape", c.POINTER(c.c_int64)), ("rank", c.c_int)]


class Out(c.Structure):
    _fields_ = [("data", c.c_void_p), ("bytes", c.c_size_t)]


class Model:
    """Model("./libdenoise.so", "denoise")(photo) gives the outputs. One thread at a time; other threads make models of their own."""

    context = None

    def __init__(self, path, name, threads=0):
        self.library, self.name = c.CDLL(path), name
        self.context = c.c_void_p()
        for function in "message", "status_text":
            self.function(function).restype = c.c_char_p
        self.check(self.function("create")(c.byref(self.context)))
        self.check(self.function("set_threads")(self.context, threads))
        self.inputs, self.outputs = self.describe("input"), self.describe("output")

    def __del__(self):
        if self.context:
            self.function("destroy")(self.context)

    def function(self, name):
        return getattr(self.library, self.name + "_" + name)

    def check(self, status):
        if status:
            text = self.function("message")(self.context) if self.context else self.function("status_text")(status)
            raise ValueError(text.decode())

    def describe(self, what):
        infos = [Info() for _ in range(self.function(what + "_count")())]
        for i, info in enumerate(infos):
            self.check(self.function(what + "_info")(i, c.byref(info)))
        return infos

    def __call__(self, *arrays):
        arrays = [np.ascontiguousarray(a) for a in arrays]
        for a, info in zip(arrays, self.inputs):
            if a.dtype != TYPES[info.type]:
                wanted = np.dtype(TYPES[info.type]).name
                raise ValueError(f"input `{info.name.decode()}` is {wanted}, and the array is {a.dtype}: convert it by astype('{wanted}')")
        ins = (In * len(arrays))(*[In(a.ctypes.data, a.nbytes, a.ctypes.shape_as(c.c_int64), a.ndim) for a in arrays])
        self.check(self.function("prepare")(self.context, ins, len(arrays)))
        results = []
        for i, info in enumerate(self.outputs):
            shape = (c.c_int64 * info.rank)()
            self.check(self.function("output_shape")(self.context, i, shape, info.rank))
            results.append(np.empty(list(shape), TYPES[info.type]))
        outs = (Out * len(results))(*[Out(r.ctypes.data, r.nbytes) for r in results])
        self.check(self.function("run")(self.context, ins, len(arrays), outs, len(results)))
        return results[0] if len(results) == 1 else results


if __name__ == "__main__":
    library, name, source, target = sys.argv[1:]
    np.save(target, Model("./" + library, name)(np.load(source)))
