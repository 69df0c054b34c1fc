"""What the registry says holds together, is true of the data and is documented."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import served

from sksparse_mlp import datasets
from sksparse_mlp.datasets._registry import DATA_SETS
from sksparse_mlp.datasets._samples import check_published, fingerprint

DOCS = Path(__file__).parents[2] / "docs"
PARTS = [(name, part) for name, data_set in DATA_SETS.items() for part in data_set.parts]


@pytest.mark.parametrize("name", DATA_SETS)
def test_entries_hold_together(name):
    data_set = DATA_SETS[name]
    assert list(data_set.parts) in (["all"], ["train", "test"])
    assert list(data_set.classes) == sorted(data_set.classes)
    assert len(set(data_set.classes.values())) == len(data_set.classes)
    for part in data_set.parts.values():
        assert (part.sha256 is None) != (part.class_counts is None)
        if part.class_counts:
            assert sum(part.class_counts) == part.n_samples
            assert len(part.class_counts) == len(data_set.classes)


def test_sources_differ():
    assert len({data_set.source.url for data_set in DATA_SETS.values()}) == len(DATA_SETS)


def test_every_public_fetcher_has_its_entry():
    fetchers = {name for name in datasets.__all__ if name.startswith("fetch_")}
    assert fetchers == {f"fetch_{name}" for name in DATA_SETS} - {"fetch_lung_discrete"}


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_real_samples_are_what_the_registry_knows(name, part, real_samples):
    X, y = real_samples(name, part)
    check_published(X, y, DATA_SETS[name], part)


def test_committed_page_is_what_the_registry_gives():
    spec = importlib.util.spec_from_file_location("datasets_page", DOCS / "datasets.py")
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    assert page.page() == (DOCS / "datasets.md").read_text()


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4"])
def test_fingerprint_is_of_values_not_of_order_or_layout(dtype):
    X = served.X.astype(dtype)
    expected = fingerprint(X, served.Y)
    order = np.random.default_rng(0).permutation(len(X))
    assert fingerprint(X[order], served.Y[order]) == expected
    assert fingerprint(np.asfortranarray(X), served.Y.astype(np.int8)) == expected
    assert fingerprint(X.astype(X.dtype.newbyteorder(">")), served.Y) == expected


def test_fingerprint_has_no_negative_zeros():
    zeros, y = np.zeros((2, 3), np.float32), np.arange(2)
    assert fingerprint(-zeros, y) == fingerprint(zeros, y)


def test_fingerprint_notices_everything_else():
    X, y = served.X, served.Y
    other_value = X.copy()
    other_value[3, 2] += 1
    variants = [
        (X, y),
        (other_value, y),
        (X, np.roll(y, 1)),
        (X[:, ::-1], y),
        (X.astype(np.int16), y),
        (X[:-1], y[:-1]),
        (np.repeat(X, 2, axis=0), np.repeat(y, 2)),
    ]
    assert len({fingerprint(*variant) for variant in variants}) == len(variants)
