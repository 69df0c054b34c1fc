"""What skops needs to know of this package to load its estimators without pickle."""

from itertools import chain
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator

import sksparse_mlp
from sksparse_mlp import analysis
from sksparse_mlp._names import TRUSTED_BEFORE
from sksparse_mlp.activations import ACTIVATIONS
from sksparse_mlp.analysis._density import NodeDensities
from sksparse_mlp.analysis._layer_classifier import _LayerModel
from sksparse_mlp.estimators import _tabular
from sksparse_mlp.estimators._tables import TableColumns
from sksparse_mlp.initializers import INITIALIZERS
from sksparse_mlp.losses import LOSSES
from sksparse_mlp.schedules import ZETA_SCHEDULES
from sksparse_mlp.topology import GROWTHS, PRUNINGS

__all__ = ["TRUSTED_TYPES"]

FAMILIES: tuple[dict[str, Any], ...] = (
    ACTIVATIONS,
    INITIALIZERS,
    LOSSES,
    ZETA_SCHEDULES,
    GROWTHS,
    PRUNINGS,
)


# What `make_tabular_pipeline` is made of, beside scikit-learn's parts.
TABULAR = (
    TableColumns,
    _tabular.number_columns,
    _tabular.missing_columns,
    _tabular.category_columns,
    _tabular.as_float32,
    np.clip,
    np.dtype,
)


def _estimators(module: Any) -> list[type]:
    members = (vars(module)[name] for name in module.__all__)
    return [m for m in members if isinstance(m, type) and issubclass(m, BaseEstimator)]


def _trusted() -> list[str]:
    classes = chain(
        (csr_array, NodeDensities, _LayerModel, *TABULAR),
        _estimators(sksparse_mlp),
        _estimators(analysis),
        *(family.values() for family in FAMILIES),
    )
    now = (f"{cls.__module__}.{cls.__qualname__}" for cls in classes)
    return sorted([*now, *TRUSTED_BEFORE])


#: For ``trusted`` of skops.io.load and loads: every type, beside those that skops trusts by
#: itself, that fitted estimators and analysers of this package are made of. Callbacks and
#: the estimators of :mod:`sksparse_mlp.distributed` are not among them.
TRUSTED_TYPES: list[str] = _trusted()
