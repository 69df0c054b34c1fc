"""Files that a network was exported to, changed at random.

Every mutation is a function of (rng, bytes of a good file) that gives the bytes of a bad
one. Those of `BEHIND_THE_CHECKSUM` write a new checksum, so that nothing but the checks
of the content can notice them; a few of them may leave a file that is right.
"""

import io
import json
import struct
import zipfile

import numpy as np

from sksparse_mlp.serialization._npz import CHECKSUM, sealed

HOSTILE_NUMBERS = [
    -1,
    0,
    1,
    2**31,
    2**53,
    2**63 - 1,
    2**64,
    10**30,
    -(2**63),
    0.5,
    -0.5,
    1e308,
]
HOSTILE_VALUES = [
    *HOSTILE_NUMBERS, None, True, "", "adam", [], {}, [[]], {"tuple": 3}, {"float": "nan"},
    {"dict": [[[1], 2]]}, {"dict": [1]}, {"array": {}}, {"scalar": 0}, {"member": "ReLU"},
    {"member": {"class": "Training", "parameters": {"dict": []}}},
    {"random_state": {"dict": []}}, {"unknown": 1},
    {"array": {"dtype": "|O", "shape": [1], "base64": "AAAAAAAAAAA="}},
    {"array": {"dtype": "<f8", "shape": [10**12], "base64": ""}},
    {"array": {"dtype": "<U1", "shape": [1], "base64": "/////w=="}},
]  # fmt: skip
HEADERS = [
    ("<", "|O"), ("|", "|O"), ("f8'", "f4'"), ("'<", "'>"), ("f4'", "U1'"),
    ("f4'", "V4'"), ("f8'", "c8'"), ("i8'", "M8[s]'"), ("i8'", "q'"),
    ("False", "True"), ("(", "(-"), ("(", "(10000000000, "), ("(", "(0, "), (",)", ")"),
    ("'shape'", "'size'"), ("}", ""), ("{", "{{"), ("{", "(" * 300), ("{", "-" * 7000),
    ("'<f8'", "[('a', '<f8')]"), (" }", " 'more': 1}"), ("(", "(1L, "),
]  # fmt: skip


def arrays_of(good):
    """The arrays of a file, without its checksum."""
    with np.load(io.BytesIO(good)) as arrays:
        return {name: arrays[name].copy() for name in arrays if name != CHECKSUM}


def packed(arrays):
    """A file of the arrays, with their checksum."""
    file = io.BytesIO()
    np.savez(file, **sealed(arrays))
    return file.getvalue()


def zipped(members, **options):
    """A file of members that are bytes, with right CRCs."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def members_of(good):
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pick(rng, items):
    """One of the items."""
    items = list(items)
    return items[rng.integers(len(items))]


# --- bytes of the file ----------------------------------------------------------------


def flip_bits(rng, good):
    data = bytearray(good)
    for _ in range(rng.integers(1, 9)):
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    return bytes(data)


def truncate(rng, good):
    return good[: rng.integers(len(good))]


def overwrite(rng, good):
    data, start = bytearray(good), rng.integers(len(good))
    part = data[start : start + rng.integers(1, 4096)]
    data[start : start + len(part)] = (
        rng.bytes(len(part)) if rng.random() < 0.5 else bytes(len(part))
    )
    return bytes(data)


def append(rng, good):
    return good + rng.bytes(rng.integers(1, 4096))


def cut_out(rng, good):
    start = rng.integers(len(good))
    return good[:start] + good[start + rng.integers(1, 4096) :]


def edit_directory(rng, good):
    """Change a number in what the zip file says of its members."""
    data = bytearray(good)
    signature = pick(rng, [b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"])
    places = [k for k in range(len(data)) if data.startswith(signature, k)]
    place = pick(rng, places) + 4 + int(rng.integers(0, 40))
    value = pick(rng, [0, 1, 8, 2**16 - 1, 2**31, 2**32 - 1])
    data[place : place + 4] = struct.pack("<I", value)[: len(data[place : place + 4])]
    return bytes(data)


# --- members of the archive -----------------------------------------------------------


def edit_header(rng, good):
    """Change what an array's header says of it."""
    members = members_of(good)
    name = pick(rng, members)
    data = members[name]
    length = struct.unpack("<H", data[8:10])[0]
    header = data[10 : 10 + length].decode()
    old, new = pick(rng, [pair for pair in HEADERS if pair[0] in header])
    header = header.replace(old, new, 1).encode()
    members[name] = data[:8] + struct.pack("<H", len(header)) + header + data[10 + length :]
    return zipped(members)


def compress(rng, good):
    return zipped(members_of(good), compression=zipfile.ZIP_DEFLATED)


def add_bomb(rng, good):
    """Add a member that is a thousand times its size in the file."""
    members = members_of(good) | {pick(rng, ["bomb.npy", "classes.npy"]): bytes(10**7)}
    return zipped(members, compression=zipfile.ZIP_DEFLATED)


def add_pickle(rng, good):
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    members = members_of(good)
    return zipped(members | {pick(rng, members): file.getvalue()})


# --- content, with the right checksum ------------------------------------------------


def drop_array(rng, good):
    arrays = arrays_of(good)
    del arrays[pick(rng, arrays)]
    return packed(arrays)


def add_array(rng, good):
    name = pick(
        rng, ["more", "layers/9/data", "training/state", "run/state", "support", ""]
    )
    return packed(arrays_of(good) | {name: rng.standard_normal(3)})


def swap_arrays(rng, good):
    arrays = arrays_of(good)
    one, other = pick(rng, arrays), pick(rng, arrays)
    arrays[one], arrays[other] = arrays[other], arrays[one]
    return packed(arrays)


def change_dtype(rng, good):
    arrays = arrays_of(good)
    name = pick(rng, arrays)
    dtype = pick(
        rng, ["<f4", "<f8", ">f8", "<i8", "<i2", "<u8", "|b1", "<U5", "<c16", "<f2"]
    )
    # 160 is a multiple of all their sizes.
    data = (arrays[name].tobytes() + bytes(160))[:160]
    arrays[name] = np.frombuffer(data, dtype)
    return packed(arrays)


def reshape(rng, good):
    arrays = arrays_of(good)
    name = pick(rng, arrays)
    shapes = [(-1, 1), (1, -1), (1, 1, -1)]
    arrays[name] = arrays[name].reshape(pick(rng, shapes))
    return packed(arrays)


def resize(rng, good):
    arrays = arrays_of(good)
    name = pick(rng, arrays)
    arrays[name] = np.resize(arrays[name], int(rng.integers(0, 2 * arrays[name].size + 2)))
    return packed(arrays)


def change_bytes(rng, good):
    """Random bytes in one array."""
    arrays = arrays_of(good)
    name = pick(rng, [name for name, array in arrays.items() if array.size])
    data = bytearray(arrays[name].tobytes())
    for _ in range(rng.integers(1, 9)):
        data[rng.integers(len(data))] = rng.integers(256)
    array = np.frombuffer(bytes(data), arrays[name].dtype)
    arrays[name] = array.reshape(arrays[name].shape)
    return packed(arrays)


def change_number(rng, good, kinds="iuf"):
    """A hostile value in an array of numbers."""
    arrays = arrays_of(good)
    numbers = [
        k for k, a in arrays.items() if a.dtype.kind in kinds and a.size and a.itemsize > 1
    ]
    array = arrays[pick(rng, numbers)]
    if array.dtype.kind == "f":
        value = pick(rng, [np.nan, np.inf, -np.inf, -1.0, 0.0, np.finfo(array.dtype).max])
    else:
        info = np.iinfo(array.dtype)
        near = array.flat[rng.integers(array.size)] + pick(rng, [-1, 1])
        value = pick(rng, [info.min, info.max, 0, info.max // 2, max(near, info.min)])
    array.flat[rng.integers(array.size)] = value
    return packed(arrays)


def change_index(rng, good):
    return change_number(rng, good, kinds="i")


def shuffle(rng, good):
    arrays = arrays_of(good)
    name = pick(rng, [name for name, array in arrays.items() if array.ndim == 1])
    arrays[name] = rng.permutation(arrays[name])
    return packed(arrays)


def _places(value, where=()):
    """Where the values of a JSON document are."""
    yield where
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from _places(item, (*where, key))


def edit_json(rng, good):
    """A hostile value somewhere in a JSON document."""
    arrays = arrays_of(good)
    name = pick(rng, [name for name, array in arrays.items() if array.dtype == np.uint8])
    document = {"root": json.loads(arrays[name].tobytes())}
    *path, key = pick(rng, list(_places(document))[1:])
    item = document
    for step in path:
        item = item[step]
    if rng.random() < 0.2:
        del item[key]
    elif isinstance(item[key], int | float) and rng.random() < 0.7:
        item[key] = pick(rng, HOSTILE_NUMBERS)
    else:
        item[key] = pick(rng, HOSTILE_VALUES)
    text = json.dumps(document.get("root"))
    return packed(arrays | {name: np.frombuffer(text.encode(), np.uint8)})


def edit_text(rng, good):
    """JSON that is none, or is nested deeply."""
    arrays = arrays_of(good)
    name = pick(rng, [name for name, array in arrays.items() if array.dtype == np.uint8])
    text = arrays[name].tobytes()
    start = int(rng.integers(len(text)))
    texts = [
        text[:start], text[:start] + rng.bytes(3) + text[start:], text + b"}",
        b"\xff" + text,
        b"[" * 100_000, b"[" * 900 + b"]" * 900, b'{"tuple": [' * 330 + b"]}" * 330,
        b"NaN", b"1" * 5000, b"1e999",
    ]  # fmt: skip
    return packed(arrays | {name: np.frombuffer(pick(rng, texts), np.uint8)})


def change_version(rng, good):
    version = np.array(pick(rng, [2, 0, -1, 2**62]))
    return packed(arrays_of(good) | {"version": version})


BEFORE_THE_CHECKSUM = [
    flip_bits, truncate, overwrite, append, cut_out, edit_directory,
    edit_header, compress, add_bomb, add_pickle,
]  # fmt: skip
BEHIND_THE_CHECKSUM = [
    drop_array, add_array, swap_arrays, change_dtype, reshape, resize, change_bytes,
    change_number, change_index, shuffle, edit_json, edit_text, change_version,
]  # fmt: skip
MUTATIONS = BEFORE_THE_CHECKSUM + BEHIND_THE_CHECKSUM
