"""One public function for each data set; signature and documentation follow from it."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

from sksparse_mlp.datasets._fetch import Folder, Subset, fetch
from sksparse_mlp.datasets._registry import DATA_SETS

Options = ParamSpec("Options")
Result = TypeVar("Result")

_DISCRETE = """discrete : bool, default=False
    Load "lung_discrete" instead, another data set: 73 samples, 325 features, 7 classes.
"""


def _documentation(name: str, own_parameters: str = "") -> str:
    """The docstring of a fetcher: what is known of the data set, and that of fetch."""
    data_set = DATA_SETS[name]
    _, _, *description = data_set.description.splitlines()
    _, _, shared = (inspect.getdoc(fetch) or "").partition("data_home : ")
    shared, _, _ = shared.partition("Examples\n")
    return "\n".join(
        [
            f"Load {data_set.title}.\n",
            *description,
            f"\nWhere it is looked for, as {name!r}: see :func:`fetch`.\n",
            f"Parameters\n----------\n{own_parameters}data_home : {shared.rstrip()}\n",
            "Examples\n--------",
            f">>> from sksparse_mlp.datasets import fetch_{name}",
            f">>> bunch = fetch_{name}()",
            ">>> bunch.data.dtype, bunch.data.shape[1], len(bunch.target_names)",
            f"(dtype('{data_set.dtype}'), {data_set.n_features}, {len(data_set.classes)})",
        ]
    )


def _fetcher(
    load: Callable[Concatenate[str, Options], Result], name: str
) -> Callable[Options, Result]:
    """``load`` for the data set of this name."""

    def fetcher(*args: Options.args, **kwargs: Options.kwargs) -> Result:
        return load(name, *args, **kwargs)

    fetcher.__name__ = fetcher.__qualname__ = f"fetch_{name}"
    fetcher.__doc__ = _documentation(name)
    fetcher.__dict__["__signature__"] = inspect.signature(partial(load, name))
    return fetcher


fetch_madelon = _fetcher(fetch, "madelon")
fetch_isolet = _fetcher(fetch, "isolet")
fetch_mnist = _fetcher(fetch, "mnist")
fetch_fashion_mnist = _fetcher(fetch, "fashion_mnist")
fetch_cifar10 = _fetcher(fetch, "cifar10")
fetch_orl = _fetcher(fetch, "orl")
fetch_prostate_ge = _fetcher(fetch, "prostate_ge")
fetch_glioma = _fetcher(fetch, "glioma")


def fetch_lung(
    *,
    discrete: bool = False,
    data_home: Folder = None,
    subset: Subset = "all",
    return_X_y: bool = False,
    as_frame: bool = False,
    download_if_missing: bool = True,
    n_retries: int = 3,
    delay: float = 1.0,
) -> Any:
    return fetch(
        "lung_discrete" if discrete else "lung",
        data_home=data_home,
        subset=subset,
        return_X_y=return_X_y,
        as_frame=as_frame,
        download_if_missing=download_if_missing,
        n_retries=n_retries,
        delay=delay,
    )


fetch_lung.__doc__ = _documentation("lung", _DISCRETE)
