"""Compile what a fit needs before the first one: ``python -m sksparse_mlp.warmup``.

Numba keeps what it compiles. Where an image is built or a CI job restores its cache, later
processes so find the kernels ready.
"""

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sksparse_mlp._versions import show_versions
from sksparse_mlp.core.compiling import CompileTimer
from sksparse_mlp.estimators._classifier import SparseMLPClassifier
from sksparse_mlp.estimators._regressor import SparseMLPRegressor

__all__ = ["warm_up"]


def warm_up() -> float:
    """Fit and predict with small networks, in float32 and float64.

    Returns
    -------
    float
        Seconds that compilation took; 0 if everything had been compiled before.

    Examples
    --------
    >>> from sksparse_mlp.warmup import warm_up
    >>> warm_up() >= 0
    True
    """
    rng = np.random.default_rng(0)
    # Updates are compiled for what a network has: nothing, or one of these, or several.
    networks: tuple[Any, ...] = (
        (SparseMLPClassifier, {}),
        (SparseMLPRegressor, {}),
        (SparseMLPClassifier, {"batch_norm": True}),
        (SparseMLPClassifier, {"activation": "tanh"}),
        (SparseMLPClassifier, {"growth": "liset"}),
    )
    X, y = rng.standard_normal((40, 30)), np.arange(40) % 3
    with CompileTimer() as timer, warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for dtype in (np.float32, np.float64):
            for cls, params in networks:
                model = cls((20, 10), epsilon=3, max_iter=2, random_state=0, **params)
                model.fit(X.astype(dtype), y).predict(X.astype(dtype))
    return timer.seconds


if __name__ == "__main__":
    seconds = warm_up()
    show_versions()
    print(f"compiled in {seconds:.1f} s" if seconds else "everything was compiled before")
