"""The names under which classes are known: public ones, and those of version 0.1.0.

Pickles and skops files hold the module of each class. Public names stay where they are
when the files behind them move; what version 0.1.0 wrote has the paths of its files.
"""

import sys
from collections.abc import Iterable
from importlib import import_module
from inspect import isclass

# Modules of version 0.1.0 that have moved, below the package.
MOVED = {
    "_classifier": "estimators._classifier",
    "_edge_of_chaos": "edge_of_chaos",
    "_predictor": "estimators._predictor",
    "_regressor": "estimators._regressor",
    "_selector": "estimators._selector",
}
# Types that `persistence.TRUSTED_TYPES` of version 0.1.0 had under other names than now.
TRUSTED_BEFORE = [
    "sksparse_mlp._classifier.SparseMLPClassifier",
    "sksparse_mlp._regressor.SparseMLPRegressor",
    "sksparse_mlp._selector.SparseMLPSelector",
    "sksparse_mlp.analysis._activations.LayerActivations",
    "sksparse_mlp.analysis._activity.NodeActivity",
    "sksparse_mlp.analysis._distributions.ActivationDistributions",
    "sksparse_mlp.analysis._layer_classifier.LayerClassifier",
]


def publish(module: str, names: Iterable[str]) -> None:
    """Let the classes of these names report the public module that has them."""
    for name in names:
        member = vars(sys.modules[module])[name]
        if isclass(member) and member.__module__.startswith(f"{module.split('.')[0]}."):
            member.__module__ = module


def keep_moved() -> None:
    """Let imports of modules that have moved find them."""
    for before, now in MOVED.items():
        sys.modules[f"sksparse_mlp.{before}"] = import_module(f"sksparse_mlp.{now}")
