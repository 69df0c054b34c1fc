"""Truly sparse multilayer perceptrons that feel like scikit-learn."""

from sksparse_mlp._classifier import SparseMLPClassifier
from sksparse_mlp._regressor import SparseMLPRegressor
from sksparse_mlp._selector import SparseMLPSelector

__all__ = [
    "SparseMLPClassifier",
    "SparseMLPRegressor",
    "SparseMLPSelector",
    "__version__",
]
__version__ = "0.1.0"
