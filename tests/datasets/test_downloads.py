"""Downloads from a server on this computer, which is not always a good one."""

import multiprocessing
import warnings
from dataclasses import replace
from threading import Barrier

import numpy as np
import pytest
import served
from served import Answer

from sksparse_mlp.datasets import fetch
from sksparse_mlp.datasets._registry import DATA_SETS
from sksparse_mlp.datasets._scikit_feature import ScikitFeature

BROKEN = {
    "no Matlab file": Answer(b"<html>Sorry</html>"),
    "an empty file": Answer(b""),
    "half a file": Answer(served.GOOD[: len(served.GOOD) // 2]),
    "no Y": Answer(served.mat(X=served.X)),
    "text": Answer(served.mat(X="text", Y=served.Y)),
    "another value": Answer(
        served.mat(X=served.X ^ np.eye(12, 5, dtype=np.uint8), Y=served.Y)
    ),
    "values that are no pixels": Answer(served.mat(X=served.X + 0.5, Y=served.Y)),
    "NaN": Answer(served.mat(X=np.full((12, 5), np.nan), Y=served.Y)),
    "other labels": Answer(served.mat(X=served.X, Y=served.Y + 1)),
    "fewer samples": Answer(served.mat(X=served.X[:9], Y=served.Y[:9])),
    "fewer features": Answer(served.mat(X=served.X[:, :4], Y=served.Y)),
}


@pytest.fixture
def cache(home, server, register):
    """Where the data set "tiny" is kept, which the server has."""
    register("tiny", served.tiny(server.url))
    server.answers["/tiny.mat"] = Answer(served.GOOD)
    return home / "sksparse_mlp" / "tiny.npz"


def assert_tiny(X, y):
    np.testing.assert_array_equal(X, served.X)
    assert X.dtype == np.uint8
    np.testing.assert_array_equal(y, served.Y)
    assert y.dtype == np.int64


def test_downloaded_once(cache, server):
    for _ in range(2):
        bunch = fetch("tiny")
        assert_tiny(bunch.data, bunch.target)
        assert bunch.filename == str(cache)
    assert server.requested == ["/tiny.mat"]
    assert list(cache.parent.iterdir()) == [cache]
    assert_tiny(*fetch("tiny", download_if_missing=False, return_X_y=True))


def test_data_home(cache, tmp_path):
    home = tmp_path / "another" / "home"
    assert fetch("tiny", data_home=home).filename == str(home / "sksparse_mlp/tiny.npz")
    assert not cache.exists()


def test_parts_are_cut_from_what_is_downloaded(cache, server, register):
    register("tiny", served.tiny(server.url, ("train", "test")))
    for subset, rows in (("test", slice(6, 12)), ("train", slice(6)), ("all", slice(12))):
        X, y = fetch("tiny", subset=subset, return_X_y=True)
        np.testing.assert_array_equal(X, served.X[rows])
        np.testing.assert_array_equal(y, served.Y[rows])
    assert server.requested == ["/tiny.mat"]


def test_samples_in_the_wrong_part_are_refused(cache, server, register):
    register("tiny", served.tiny(server.url, ("train", "test")))
    order = np.roll(np.arange(12), 3)
    server.answers["/tiny.mat"] = Answer(served.mat(X=served.X[order], Y=served.Y[order]))
    with pytest.raises(OSError, match="SHA-256 of the samples in part 'train'"):
        fetch("tiny")


def test_another_order_within_a_part_is_accepted(cache, server):
    order = np.random.default_rng(0).permutation(12)
    server.answers["/tiny.mat"] = Answer(served.mat(X=served.X[order], Y=served.Y[order]))
    X, y = fetch("tiny", return_X_y=True)
    np.testing.assert_array_equal(X, served.X[order])
    np.testing.assert_array_equal(y, served.Y[order])


def test_a_slow_server(cache, server):
    server.answers["/tiny.mat"] = Answer(served.GOOD, pause=0.2)
    assert_tiny(*fetch("tiny", return_X_y=True))


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_wrong_contents_are_refused_and_leave_nothing(answer, cache, server):
    server.answers["/tiny.mat"] = answer
    with pytest.raises(OSError, match=r"Tiny could not be downloaded from") as error:
        fetch("tiny")
    message = str(error.value)
    assert f"{server.url}tiny.mat" in message
    assert str(cache) in message
    assert "SKSPARSE_MLP_DATA" in message
    assert list(cache.parent.iterdir()) == []


def test_a_wrong_fingerprint_is_shown_beside_the_right_one(cache, server):
    server.answers["/tiny.mat"] = BROKEN["another value"]
    expected = DATA_SETS["tiny"].parts["all"].sha256
    with pytest.raises(OSError, match=rf"expected {expected}, got [0-9a-f]{{64}}"):
        fetch("tiny")


@pytest.mark.filterwarnings("ignore:Retry downloading")
@pytest.mark.parametrize("answer", [None, Answer(served.GOOD, missing_bytes=5)])
def test_network_errors_are_tried_again_and_leave_nothing(answer, cache, server):
    server.answers["/tiny.mat"] = answer
    with pytest.raises(OSError, match=r"HTTPError|ContentTooShort"):
        fetch("tiny", n_retries=2, delay=0.01)
    assert len(server.requested) == 3
    assert list(cache.parent.iterdir()) == []


@pytest.mark.filterwarnings("ignore:Retry downloading")
def test_no_network(home):
    with pytest.raises(OSError, match=r"LUNG could not be downloaded.*no network") as error:
        fetch("lung", n_retries=1, delay=0.01)
    assert "put lung.npz, with the arrays X, y" in str(error.value)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-30])


def flip(path):
    content = bytearray(path.read_bytes())
    content[60] ^= 1
    path.write_bytes(content)


def forge(path):
    np.savez(path, X=served.X ^ 1, y=served.Y)


@pytest.mark.parametrize("damage", [truncate, flip, forge])
def test_a_damaged_cache_is_noticed_and_downloaded_again(damage, cache, server):
    fetch("tiny")
    damage(cache)
    with pytest.raises(OSError, match=r"tiny\.npz is .*download_if_missing=False"):
        fetch("tiny", download_if_missing=False)
    with pytest.warns(UserWarning, match=r"tiny\.npz is .*downloaded again"):
        assert_tiny(*fetch("tiny", return_X_y=True))
    assert len(server.requested) == 2
    assert_tiny(*fetch("tiny", return_X_y=True))
    assert list(cache.parent.iterdir()) == [cache]


def test_a_failed_write_leaves_nothing(cache, monkeypatch):
    def full(*args):
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            fetch("tiny")
    assert list(cache.parent.iterdir()) == []


def test_two_processes_at_once(cache, server):
    # Neither is answered before both have asked.
    server.answers["/tiny.mat"] = Answer(served.GOOD, together=Barrier(2))
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        jobs = [(server.url, cache.parents[1])] * 2
        for X, y in pool.starmap(served.fetch_tiny, jobs, chunksize=1):
            assert_tiny(X, y)
    assert len(server.requested) == 2
    assert list(cache.parent.iterdir()) == [cache]
    assert_tiny(*fetch("tiny", download_if_missing=False, return_X_y=True))


def test_labels_where_there_is_no_fingerprint(cache, server, register):
    register("tiny", served.unfingerprinted(DATA_SETS["tiny"], (4, 4, 4)))
    server.answers["/tiny.mat"] = BROKEN["other labels"]
    with pytest.raises(OSError, match=r"labels .* \[1, 2, 3\], got \[2, 3, 4\]"):
        fetch("tiny")


def test_dtype_of_a_cache_where_there_is_no_fingerprint(cache, register):
    register("tiny", served.unfingerprinted(DATA_SETS["tiny"], (4, 4, 4)))
    cache.parent.mkdir()
    np.savez(cache, X=served.X.astype(float), y=served.Y)
    with pytest.raises(OSError, match="expected uint8, got float64"):
        fetch("tiny", download_if_missing=False)


@pytest.mark.parametrize(("counts", "right"), [((4, 4, 4), True), ((5, 4, 3), False)])
def test_samples_per_class_where_there_is_no_fingerprint(
    counts, right, cache, server, register
):
    register("tiny", served.unfingerprinted(DATA_SETS["tiny"], counts))
    if right:
        assert_tiny(*fetch("tiny", return_X_y=True))
    else:
        with pytest.raises(
            OSError, match=r"samples per class .* \(5, 4, 3\), got \(4, 4, 4\)"
        ):
            fetch("tiny")


@pytest.mark.parametrize("name", ["orl", "prostate_ge", "glioma", "lung_discrete"])
def test_published_samples_from_a_matlab_file(name, real_samples, server, register):
    X, y = real_samples(name)
    file_name = DATA_SETS[name].source.file_name
    server.answers[f"/{file_name}"] = Answer(served.mat(X=X.astype(float), Y=y[:, None]))
    source = ScikitFeature(file_name, server.url)
    register(name, replace(DATA_SETS[name], source=source))
    with warnings.catch_warnings(action="error"):
        found = fetch(name, return_X_y=True)
    np.testing.assert_array_equal(found[0], X)
    np.testing.assert_array_equal(found[1], y)
