"""Truly sparse multilayer perceptrons that feel like scikit-learn."""

from sksparse_mlp._mlp import SparseMLPClassifier

__all__ = ["SparseMLPClassifier", "__version__"]
__version__ = "0.1.0"
