"""Every private name of scikit-learn that is used here, and what older versions lack.

Other modules import these names from here, so that one file shows what a new version of
scikit-learn may break, and one file mends it.
"""

import os
from inspect import signature
from typing import Any, Self

import numpy as np
import sklearn
from sklearn import base, datasets, utils
from sklearn.base import _fit_context
from sklearn.datasets._base import (
    RemoteFileMetadata,
    _convert_data_dataframe,
    _fetch_remote,
)
from sklearn.utils import _safe_indexing, validation
from sklearn.utils._optional_dependencies import (
    check_matplotlib_support,
    check_pandas_support,
)
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    Options,
    RealNotInt,
    StrOptions,
    validate_parameter_constraints,
    validate_params,
)
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.metadata_routing import _routing_enabled
from sklearn.utils.validation import _check_feature_names_in

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:
    HAS_CALLBACKS = False
else:
    HAS_CALLBACKS = True

try:
    from sklearn.utils._repr_html.estimator import _VisualBlock
except ImportError:
    from sklearn.utils._estimator_html_repr import _VisualBlock

try:
    from sklearn.utils import _align_api_if_sparse
except ImportError:
    from scipy.sparse import csr_matrix as _align_api_if_sparse

__all__ = [
    "HAS_CALLBACKS",
    "BaseEstimator",
    "CallbackSupportMixin",
    "HasMethods",
    "Interval",
    "Options",
    "RealNotInt",
    "RemoteFileMetadata",
    "StrOptions",
    "_align_api_if_sparse",
    "_check_feature_names_in",
    "_check_sample_weight",
    "_convert_data_dataframe",
    "_fetch_remote",
    "_fit_context",
    "_get_output_config",
    "_routing_enabled",
    "_safe_indexing",
    "_set_random_states",
    "check_callback_support",
    "check_matplotlib_support",
    "check_pandas_support",
    "compute_class_weight",
    "make_classification",
    "validate_parameter_constraints",
    "validate_params",
    "visual_block",
]


def _set_random_states(estimator: Any, random_state: Any) -> None:
    """Set every `random_state` of an estimator and of those inside it."""
    # With scikit-learn's ensembles come its trees and neighbours: a tenth of the import.
    from sklearn.ensemble._base import _set_random_states as set_states

    set_states(estimator, random_state)


# Where the documentation is published, without a slash at the end; empty while it is not.
DOCUMENTATION_URL = ""
# An environment variable that names another place.
DOCUMENTATION_VARIABLE = "SKSPARSE_MLP_DOCUMENTATION"


class BaseEstimator(base.BaseEstimator):
    """scikit-learn's, whose HTML representation links to the API reference of this package.

    There is no link as long as it is not known where the reference is.
    """

    _doc_link_module = "sksparse_mlp"

    @property
    def _doc_link_template(self) -> str:
        site = os.environ.get(DOCUMENTATION_VARIABLE, DOCUMENTATION_URL).rstrip("/")
        page = "/api/{estimator_module}.{estimator_name}.html"
        # Public classes report the public module that has them; others have no page.
        is_public = "._" not in type(self).__module__
        return site + page if site and is_public else ""


def _too_old(what: str, version: str) -> ImportError:
    return ImportError(
        f"{what} scikit-learn {version} or newer; installed is {sklearn.__version__}. "
        f"Upgrade it: pip install 'scikit-learn>={version}'."
    )


def _takes(function: Any, parameter: str) -> bool:
    return parameter in signature(function).parameters


def check_callback_support(caller: str) -> None:
    """Raise an ImportError if this scikit-learn has no callbacks."""
    if not HAS_CALLBACKS:
        raise _too_old(f"{caller} needs the callbacks of", "1.9")


def visual_block(estimator: Any, caption: str | None) -> Any:
    """An estimator's box in the HTML representation, with a caption below its name."""
    details = {"names": type(estimator).__name__, "name_details": str(estimator)}
    return _VisualBlock("single", estimator, name_caption=caption, **details)


def make_classification(*args: Any, return_X_y: bool, **kwargs: Any) -> Any:
    """scikit-learn's, which before version 1.7 tells nothing of its features."""
    if _takes(datasets.make_classification, "return_X_y"):
        kwargs["return_X_y"] = return_X_y
    elif not return_X_y:
        raise _too_old("return_X_y=False needs", "1.7")
    return datasets.make_classification(*args, **kwargs)


def _check_sample_weight(sample_weight: Any, X: Any, **kwargs: Any) -> np.ndarray:
    """scikit-learn's check, which before version 1.9 let weights pass that are all zero."""
    weights: np.ndarray = validation._check_sample_weight(sample_weight, X, **kwargs)
    if not weights.any():
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return weights


def compute_class_weight(
    class_weight: Any, *, classes: np.ndarray, y: np.ndarray, sample_weight: np.ndarray
) -> np.ndarray:
    """scikit-learn's weights of sorted classes; version 1.6 knows no sample weights."""
    compute: Any = utils.compute_class_weight
    weights: np.ndarray
    if _takes(compute, "sample_weight"):
        weights = compute(class_weight, classes=classes, y=y, sample_weight=sample_weight)
        return weights
    weights = compute(class_weight, classes=classes, y=y)
    if isinstance(class_weight, str):
        totals = np.bincount(np.searchsorted(classes, y), weights=sample_weight)
        weights = sample_weight.sum() / (len(classes) * totals)
    return weights


if not HAS_CALLBACKS:

    class _NoCallbacks:
        """The tasks of a fit, of which nobody is told."""

        def subcontext(self, **task: Any) -> Self:
            return self

        def call_on_fit_task_begin(self, **hook: Any) -> None:
            pass

        def call_on_fit_task_end(self, **hook: Any) -> bool:
            return False

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands where scikit-learn has no callbacks: fits without, and says so."""

        def set_callbacks(self, *callbacks: Any) -> Self:
            """Refuse callbacks, which need scikit-learn 1.9 or newer.

            Parameters
            ----------
            *callbacks : callback instances
                None can be set.

            Returns
            -------
            self : estimator instance

            Raises
            ------
            ImportError
                If any are given.
            """
            if callbacks:
                check_callback_support(f"{type(self).__name__}.set_callbacks")
            return self

        def _init_callback_context(self, **task: Any) -> _NoCallbacks:
            return _NoCallbacks()
