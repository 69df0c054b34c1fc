"""npz files from strangers: sound arrays or a clear refusal, and no memory for lies."""

import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
import served

from sksparse_mlp.datasets import _archives, fetch
from sksparse_mlp.datasets._archives import read_arrays, write_arrays
from sksparse_mlp.datasets._fetch import FOLDER_VARIABLE

N_MUTATIONS = 1000
MEMORY = 50_000_000


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(X, y=None, method=zipfile.ZIP_DEFLATED):
    """An archive of raw members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("X.npy", X)
        archive.writestr("y.npy", npy(served.Y) if y is None else y)
    return file.getvalue()


def header(text):
    """An npy file of 480 bytes that says this of itself."""
    text = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(480)


def described(dtype, shape):
    return header(f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}}}")


def claiming(size):
    """An archive whose directory gives X another size than it has."""
    content = bytearray(npz(described("|u1", f"({size - 128},)")))
    struct.pack_into("<I", content, content.index(b"PK\x01\x02") + 24, size)
    return bytes(content)


def deep():
    return header("{'descr': " + "[" * 50 + "]" * 50 + "}")


HOSTILE = {
    "huge shape": npz(described("<f8", "(1000000, 1000000)")),
    "shape beyond 64 bits": npz(described("<f8", f"({2**62}, {2**62})")),
    "huge size and shape": claiming(4_000_000_000),
    "negative shape": npz(described("<f8", "(-12, -5)")),
    "negative shape, another sign": npz(described("<f8", "(-12, 5)")),
    "shape of text": npz(described("<f8", "('12', 5)")),
    "shape too small": npz(described("<f8", "(11, 5)")),
    "objects": npz(npy(np.array([[{}]], dtype=object))),
    "unknown dtype": npz(described("<q9", "(12, 5)")),
    "records": npz(npy(np.zeros((12, 5), dtype=[("a", "f8")]))),
    "times": npz(npy(np.zeros((12, 5), dtype="M8[s]"))),
    "text": npz(npy(np.full((12, 5), "a"))),
    "calls": npz(header("__import__('os').abort()")),
    "deep": npz(deep()),
    "unfinished": npz(header("{'descr': (")),
    "npy version 3": npz(b"\x93NUMPY\x03\x00" + npy(served.X)[8:]),
    "no npy": npz(b"numbers"),
    "empty": npz(b""),
    "bzip2": npz(npy(served.X), method=zipfile.ZIP_BZIP2),
}


@pytest.fixture
def own(tmp_path, monkeypatch, register):
    """The user's own file of the data set "tiny"."""
    register("tiny", served.tiny("http://127.0.0.1:1/"))
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    return tmp_path / "tiny.npz"


@pytest.fixture
def little_memory():
    """Nothing large is allocated during a test."""
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MEMORY


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.usefixtures("little_memory")
def test_hostile_files_are_refused(content, own):
    own.write_bytes(content)
    with pytest.raises(ValueError, match=r"tiny\.npz is unusable: .*remove it"):
        fetch("tiny")


def mutated(content, rng):
    """Some bytes changed, lost, doubled or cut off."""
    content = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        start, length = rng.integers(len(content)), rng.integers(1, 9)
        piece = slice(start, start + length)
        kind = rng.integers(5)
        if kind == 0:
            content[start] ^= 1 << rng.integers(8)
        elif kind == 1:
            content[piece] = rng.bytes(length)
        elif kind == 2:
            del content[piece]
        elif kind == 3:
            content[start:start] = content[piece]
        else:
            del content[max(start, 1) :]
    return bytes(content)


def outcome():
    """Samples and labels, or the text of the refusal."""
    try:
        return fetch("tiny", return_X_y=True)
    except ValueError as error:
        return str(error)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("layer", ["zip", "npy"])
def test_mutated_files_give_sound_arrays_or_are_refused(layer, own):
    rng = np.random.default_rng(0)
    X, sound = npy(served.X.astype(np.float32)), []
    for _ in range(N_MUTATIONS // 2):
        changed = mutated(npz(X), rng) if layer == "zip" else npz(mutated(X, rng))
        own.write_bytes(changed)
        found = outcome()
        if isinstance(found, str):
            assert str(own) in found
        else:
            sound.append(found)
    for samples, labels in sound:
        assert samples.ndim == 2
        assert len(samples) == 12
        assert np.isfinite(samples).all()
        np.testing.assert_array_equal(labels, served.Y)
    # Both outcomes were tried.
    assert 0 < len(sound) < N_MUTATIONS // 2


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_sound_files_are_read(method, own):
    own.write_bytes(npz(npy(served.X), method=method))
    np.testing.assert_array_equal(fetch("tiny").data, served.X)


@pytest.mark.parametrize("size", [2**20, 2**24])
def test_well_compressed_arrays_are_read(size, tmp_path):
    path = tmp_path / "zeros.npz"
    np.savez_compressed(path, X=np.zeros(size, np.uint8))
    assert read_arrays(path, ["X"])["X"].size == size


def test_arrays_beyond_the_limit_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "zeros.npz"
    np.savez_compressed(path, X=np.zeros(2**20, np.uint8))
    monkeypatch.setattr(_archives, "MAX_BYTES", 2**20)
    with pytest.raises(ValueError, match=r"1,048,704 bytes, more than .* the 1,048,576"):
        read_arrays(path, ["X"])


def test_a_missing_file_is_no_broken_one(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "nothing.npz", ["X"])


def test_written_files_replace_others_at_once(tmp_path):
    path = tmp_path / "arrays.npz"
    write_arrays(path, {"X": np.full(3, 1)})
    old = path.read_bytes()
    with open(path, "rb") as reader:
        write_arrays(path, {"X": np.full(3, 2)})
        assert reader.read() == old
    assert read_arrays(path, ["X"])["X"].tolist() == [2, 2, 2]
    assert list(tmp_path.iterdir()) == [path]
