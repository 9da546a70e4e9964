"""Writes numbers of the numerics cases as .safetensors files (tests/numerics/print shows them as text)."""
import json
import zlib

TYPES = {"float32": "F32", "float64": "F64", "int32": "I32", "int64": "I64"}


def write_tensors(path, tensors):
    """tensors: numpy arrays by name. Returns the file's CRC-32."""
    header, data = {}, b""
    for name, array in tensors.items():
        begin, data = len(data), data + array.tobytes()
        shape, place = list(array.shape), [begin, len(data)]
        header[name] = {"dtype": TYPES[str(array.dtype)], "shape": shape, "data_offsets": place}
    words = json.dumps(header, separators=(",", ":")).encode()
    words += b" " * (-len(words) % 8)
    content = len(words).to_bytes(8, "little") + words + data
    with open(path, "wb") as file:
        file.write(content)
    return zlib.crc32(content)
