"""Truly sparse multilayer perceptrons that feel like scikit-learn."""

from sksparse_mlp import _names
from sksparse_mlp._versions import show_versions
from sksparse_mlp.estimators._classifier import SparseMLPClassifier
from sksparse_mlp.estimators._classifier_cv import SparseMLPClassifierCV
from sksparse_mlp.estimators._regressor import SparseMLPRegressor
from sksparse_mlp.estimators._regressor_cv import SparseMLPRegressorCV
from sksparse_mlp.estimators._selector import SparseMLPSelector
from sksparse_mlp.estimators._tabular import make_tabular_pipeline

__all__ = [
    "SparseMLPClassifier",
    "SparseMLPClassifierCV",
    "SparseMLPRegressor",
    "SparseMLPRegressorCV",
    "SparseMLPSelector",
    "__version__",
    "make_tabular_pipeline",
    "show_versions",
]
__version__ = "0.1.0"

_names.publish(__name__, __all__)
_names.keep_moved()
