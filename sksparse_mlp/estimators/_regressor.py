"""Regression: numeric targets, one or more per sample."""

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.base import MultiOutputMixin, RegressorMixin

from sksparse_mlp._sklearn import Interval, StrOptions, _fit_context
from sksparse_mlp.activations import Activation
from sksparse_mlp.core.losses import TargetLoss
from sksparse_mlp.estimators._assembly import member_of
from sksparse_mlp.estimators._docstrings import with_shared_sections
from sksparse_mlp.estimators._input import in_reach, validated
from sksparse_mlp.estimators._mlp import BaseSparseMLP
from sksparse_mlp.estimators._predictor import TargetPredictor, rescaled
from sksparse_mlp.estimators._stand_ins import TargetPredictions
from sksparse_mlp.initializers import Initializer
from sksparse_mlp.losses import LOSSES, RegressionLoss
from sksparse_mlp.serialization._arrays import SCALING, unscaled
from sksparse_mlp.topology import Growth, ImportancePruning

# Scales and centres are kept to so many binary digits: the rounding of a sum of weights
# then changes neither.
DIGITS = 20


@with_shared_sections
class SparseMLPRegressor(MultiOutputMixin, RegressorMixin, BaseSparseMLP):
    """Multilayer perceptron regressor whose layers are sparse from start to end.

    Every layer is a random sparse matrix in which only existing connections are stored
    and trained; memory and time grow with the connections. While the network learns,
    its topology evolves: between epochs the weakest connections are removed and as many
    new ones grow (sparse evolutionary training, SET [1]_). It minimises the squared error
    or another `loss` of one or more targets of any scale.

    Parameters
    ----------
    $parameters

    loss : str or RegressionLoss, default="squared_error"
        What is minimised: "squared_error", "absolute_error", "huber", "poisson" (for
        targets that are not negative; predictions are exponentials of the network's
        outputs), "quantile", or an instance from :mod:`sksparse_mlp.losses`.

    quantile : float, default=0.5
        The share of the targets that should be below the predictions, in (0, 1), for
        ``loss="quantile"``.

    Attributes
    ----------
    n_outputs_ : int
        Number of targets, each of which has an output neuron.
    out_activation_ : {"identity", "exp"}
        Activation of the output layer.
    target_mean_, target_scale_ : ndarray of shape (n_outputs_,)
        What is taken from each target and what it is then divided by, before the network
        sees it: mean and standard deviation for the squared error, zero and the mean for
        "poisson", else median (or quantile) and the distance of the quartiles over 1.349.
        Predictions are the activation of the outputs times the one plus the other.
    target_range_ : ndarray of shape (2, n_outputs_)
        Lowest and highest target that the network has learned from. No prediction is
        beyond: a sample far from all others would else be predicted by a line that goes
        on and on. Infinite numbers here lift these limits.
    $attributes

    See Also
    --------
    SparseMLPClassifier : The same network for classification.
    sklearn.neural_network.MLPRegressor : Dense layers.

    Notes
    -----
    The loss is the mean over samples and their targets. As in scikit-learn, each target
    has the same part in the gradient whatever their number: it is the gradient of the
    mean over samples and the sum over targets. The `score` is the coefficient of
    determination R2, the mean over the targets.

    Networks learn targets that are centred and divided by `target_scale_`, to whose losses
    `alpha` and `tol` refer. Losses in `history_` are in the user's units: those of scaled
    targets times the square of the scale (times the scale where losses are in proportion
    to errors, and for "poisson"); with several targets its mean over these. `fit` chooses
    centre and scale, `partial_fit` in its first call.

    Targets that are NaN are left out of the loss and of the score; samples without any
    other are left out altogether.

    $notes

    References
    ----------
    $references

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sksparse_mlp import SparseMLPRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = make_pipeline(
    ...     StandardScaler(), SparseMLPRegressor(epsilon=10, max_iter=50, random_state=0)
    ... )
    >>> model.fit(X[:300], y[:300]).score(X[300:], y[300:]) > 0.4
    True
    """

    target_mean_: np.ndarray
    target_scale_: np.ndarray
    target_range_: np.ndarray
    _parameter_constraints: dict[str, Any] = {
        **BaseSparseMLP._parameter_constraints,
        "loss": [StrOptions(set(LOSSES)), RegressionLoss],
        "quantile": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(
        self,
        hidden_layer_sizes: ArrayLike = (256, 128),
        activation: str | Activation | Sequence[str | Activation] = "relu",
        *,
        slope: float = 0.25,
        epsilon: float | ArrayLike = 10,
        density: float | None = None,
        zeta: float = 0.3,
        zeta_schedule: str | Callable[[int, int], float] = "constant",
        growth: str | Growth | Sequence[str | Growth] = "random",
        gamma: float = 0.0,
        evolve_every: str | int = "epoch",
        evolve_until: float = 1.0,
        n_features_to_select: int | float | str | None = None,
        pruning: str | ImportancePruning | None = None,
        init: str | Initializer = "auto",
        solver: str = "adam",
        alpha: float = 0.01,
        batch_norm: bool = False,
        dropout: float = 0.0,
        batch_size: int | str = "auto",
        learning_rate: str = "cosine",
        learning_rate_init: float = 1e-2,
        power_t: float = 0.5,
        max_iter: int = 60,
        shuffle: bool = True,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        adam_epsilon: float = 1e-8,
        early_stopping: bool = False,
        scoring: str | Callable[..., float] = "loss",
        validation_fraction: float = 0.2,
        n_iter_no_change: float = 10,
        tol: float = 1e-4,
        warm_start: bool = False,
        loss: str | RegressionLoss = "squared_error",
        quantile: float = 0.5,
        record: Sequence[str] = (),
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
        n_jobs: int | None = None,
    ) -> None:
        super().__init__(
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            slope=slope,
            epsilon=epsilon,
            density=density,
            zeta=zeta,
            zeta_schedule=zeta_schedule,
            growth=growth,
            gamma=gamma,
            evolve_every=evolve_every,
            evolve_until=evolve_until,
            n_features_to_select=n_features_to_select,
            pruning=pruning,
            init=init,
            solver=solver,
            alpha=alpha,
            batch_norm=batch_norm,
            dropout=dropout,
            batch_size=batch_size,
            learning_rate=learning_rate,
            learning_rate_init=learning_rate_init,
            power_t=power_t,
            max_iter=max_iter,
            shuffle=shuffle,
            momentum=momentum,
            nesterovs_momentum=nesterovs_momentum,
            beta_1=beta_1,
            beta_2=beta_2,
            adam_epsilon=adam_epsilon,
            early_stopping=early_stopping,
            scoring=scoring,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            warm_start=warm_start,
            record=record,
            random_state=random_state,
            verbose=verbose,
            n_jobs=n_jobs,
        )
        self.loss = loss
        self.quantile = quantile

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one pass over the given samples.

        Weights, pattern, momentum and random streams continue from the previous call.
        Passes are not epochs of a planned training: with ``evolve_every="epoch"`` the
        topology does not evolve here; with a number, it evolves after every that many
        updates, counted over all calls. Early stopping does not apply.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets, as many per sample in every call.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights.

        Returns
        -------
        self : SparseMLPRegressor

        Raises
        ------
        ValueError
            As in `fit`.
        """
        with self._transaction() as trainee:
            continued = hasattr(trainee, "coefs_")
            take_targets = partial(trainee._take_targets, continued=continued)
            trainee._one_pass(X, y, sample_weight, take_targets)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict targets.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            As the `y` of the training, of the dtype of the weights.
        """
        fitted = self._published()
        return fitted._shown(fitted._loss().predictions(fitted._logits(X)))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the coefficient of determination R2, the mean over the targets.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets. What is NaN is left out.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
        """
        return TargetPredictions(self.predict(X)).score(X, y, sample_weight)

    def predictor(self) -> TargetPredictor:
        """Make an object that predicts without validation, in some tens of microseconds.

        Returns
        -------
        TargetPredictor
            Has `predict` for arrays of finite numbers, and holds a copy of the network as
            it is now.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from sksparse_mlp import SparseMLPRegressor
        >>> X, y = load_diabetes(return_X_y=True)
        >>> reg = SparseMLPRegressor(max_iter=10, random_state=0).fit(X, y)
        >>> predictor = reg.predictor()
        >>> bool((predictor.predict(X[:3]) == reg.predict(X[:3])).all())
        True
        """
        fitted = self._published()
        scaling = fitted.target_mean_.copy(), fitted.target_scale_.copy()
        network = deepcopy(fitted._fitted_network())
        return TargetPredictor(network, fitted._target_shape, *scaling)

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Version 0.1.0 took targets as they are.
        if "_target_shape" in state and "target_scale_" not in state:
            plain = unscaled(math.prod(state["_target_shape"]))
            before = dict(zip(SCALING, plain, strict=True))
            state = {"loss": "squared_error", "quantile": 0.5} | before | state
        super().__setstate__(state)

    # --- targets ----------------------------------------------------------------------

    _has_single_labels = False

    def _loss(self) -> TargetLoss:
        limits = (self.target_range_ - self.target_mean_) / self.target_scale_
        member = self._member()
        unit = float(np.mean(self.target_scale_**member.degree))
        return TargetLoss(member, limits, unit)

    def _member(self) -> RegressionLoss:
        member: RegressionLoss = member_of(LOSSES, self.loss, quantile=self.quantile)
        return member

    def _shown(self, predictions: np.ndarray) -> np.ndarray:
        return rescaled(
            predictions, self._target_shape, self.target_mean_, self.target_scale_
        )

    def _decoded(self, y: np.ndarray) -> np.ndarray:
        return self._shown(y)

    def _check_scorable(self, y: np.ndarray, scoring: Any) -> None:
        if np.isnan(y).any():
            raise ValueError(
                f"scoring={scoring!r} cannot judge targets that are NaN; use "
                "scoring='loss', which leaves them out, or samples with all targets."
            )

    def _stand_in(self, predictions: np.ndarray) -> TargetPredictions:
        return TargetPredictions(self._shown(predictions))

    def _n_outputs(self) -> int:
        return math.prod(self._target_shape)

    def _targets_text(self) -> str:
        return f"{self._n_outputs()} per sample"

    def _validated(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        y, missing = _without_nan(y)
        X, y = validated(self, X, y, reset=reset, multi_output=True, y_numeric=True)
        y = y.toarray() if sparse.issparse(y) else y
        if y.dtype.kind not in "biuf":
            raise ValueError(f"y must be numbers, got an array of dtype {y.dtype}.")
        if missing is not None:
            y = np.where(missing, np.nan, y)
        return X, y

    def _has_target(self, y: np.ndarray) -> np.ndarray:
        known: np.ndarray = ~np.isnan(y.reshape(len(y), -1)).all(axis=1)
        if not known.any():
            raise ValueError(
                "Input y contains NaN for every sample; give numbers for those to learn "
                "from, and NaN only where a target is missing."
            )
        return known

    def _take_targets(self, y: Any, weights: np.ndarray, *, continued: bool) -> None:
        """Set what describes the targets; shape and scale stay in training that goes on."""
        y, weights = y[weights > 0], in_reach(weights[weights > 0])
        columns = y.reshape(len(y), -1)
        self._member().check(columns)
        if continued:
            self._check_targets(y)
            given = [self.target_range_, columns]
        else:
            self._target_shape = y.shape[1:]
            self._choose_scale(columns, weights)
            given = [columns]
        known = np.concatenate(given).astype(np.float64)
        self.target_range_ = np.stack([np.nanmin(known, axis=0), np.nanmax(known, axis=0)])

    def _choose_scale(self, columns: np.ndarray, weights: np.ndarray) -> None:
        """Set what is taken from the targets, and what they are divided by."""
        self._check_size(columns, weights.dtype)
        pairs = []
        for k, column in enumerate(columns.T.astype(np.float64)):
            known = ~np.isnan(column)
            if not known.any():
                raise ValueError(
                    f"y has no target that is a number in column {k}: all of its samples "
                    "with positive sample_weight are NaN. Leave the column out."
                )
            pair = self._member().centre_and_scale(column[known], weights[known])
            pairs.append(_rounded(*pair))
        self.target_mean_, self.target_scale_ = np.array(pairs).T.copy()

    def _check_targets(self, y: Any) -> None:
        """Refuse another number of targets per sample."""
        if y.shape[1:] != self._target_shape:
            shapes = [("n_samples", *shape) for shape in (self._target_shape, y.shape[1:])]
            raise ValueError(
                f"The network is for y of shape {shapes[0]}, got {shapes[1]}. Make a new "
                "estimator."
            )
        self._member().check(y.reshape(len(y), -1))

    def _encoded(self, y: np.ndarray, rows: np.ndarray, dtype: Any) -> np.ndarray:
        """The scaled targets of these rows, (n_samples, n_outputs), the others zero."""
        self._check_size(y[rows], dtype)
        targets = np.zeros((len(y), self._n_outputs()))
        columns = y[rows].reshape(rows.size, -1)
        targets[rows] = (columns - self.target_mean_) / self.target_scale_
        return targets.astype(dtype)

    @staticmethod
    def _check_size(y: np.ndarray, dtype: Any) -> None:
        """Refuse targets too large for the dtype, or their squares for float64."""
        largest = np.nanmax(np.abs(y.astype(np.float64)), initial=0)
        if largest > min(
            float(np.finfo(dtype).max) / 2,
            math.sqrt(np.finfo(np.float64).max / max(y.size, 1)) / 2,
        ):
            raise ValueError(
                f"y goes up to {largest:g}, too large for squared errors in {dtype}; scale "
                "the targets to smaller numbers."
            )


def _rounded(centre: float, scale: float) -> tuple[float, float]:
    """Both to some binary digits, the centre in those of the scale."""
    if scale <= abs(centre) * 2.0 ** (-2 * DIGITS):
        # All targets are the same, but for roundings.
        return centre, 1.0
    mantissa, exponent = math.frexp(scale)
    scale = math.ldexp(round(math.ldexp(mantissa, DIGITS)), exponent - DIGITS)
    step = math.ldexp(1.0, exponent - DIGITS)
    return round(centre / step) * step, scale


def _without_nan(y: Any) -> tuple[Any, np.ndarray | None]:
    """The targets with zeros where they are NaN, and where that is, if anywhere."""
    if y is None or sparse.issparse(y):
        return y, None
    values = np.asarray(y)
    if values.dtype.kind == "O":
        try:
            values = values.astype(np.float64)
        except (TypeError, ValueError):
            return y, None
    if values.dtype.kind != "f" or not np.isnan(values).any():
        return y, None
    missing = np.isnan(values)
    return np.where(missing, 0, values), missing
