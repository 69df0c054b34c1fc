"""Classification: labels, class weights, probabilities."""

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets, is_multilabel

from sksparse_mlp._sklearn import StrOptions, _fit_context, compute_class_weight
from sksparse_mlp.activations import Activation
from sksparse_mlp.core.losses import (
    LogisticCrossEntropy,
    MultilabelCrossEntropy,
    SoftmaxCrossEntropy,
)
from sksparse_mlp.core.samples import Samples
from sksparse_mlp.estimators._docstrings import with_shared_sections
from sksparse_mlp.estimators._input import in_reach, missing_labels_told, validated
from sksparse_mlp.estimators._mlp import BaseSparseMLP
from sksparse_mlp.estimators._predictor import ClassPredictor, decoded
from sksparse_mlp.estimators._stand_ins import ClassPredictions
from sksparse_mlp.initializers import Initializer
from sksparse_mlp.topology import Growth, ImportancePruning

ClassLoss: TypeAlias = type[
    SoftmaxCrossEntropy | LogisticCrossEntropy | MultilabelCrossEntropy
]


@with_shared_sections
class SparseMLPClassifier(ClassifierMixin, BaseSparseMLP):
    """Multilayer perceptron classifier whose layers are sparse from start to end.

    Every layer is a random sparse matrix in which only existing connections are stored
    and trained; memory and time grow with the connections. While the network learns,
    its topology evolves: between epochs the weakest connections are removed and as many
    new ones grow (sparse evolutionary training, SET [1]_).

    Parameters
    ----------
    $parameters

    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, multiplied with the sample weights. "balanced" weighs
        classes inversely to their frequency. Not for indicator matrices.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels; for an indicator matrix the numbers of its columns.
    multilabel_ : bool
        Whether `y` was an indicator matrix, of any number of labels per sample.
    n_outputs_ : int
        Number of output neurons: one for two classes, else one per class or label.
    out_activation_ : {"softmax", "logistic"}
        Activation of the output layer.
    $attributes

    See Also
    --------
    SparseMLPRegressor : The same network for regression.
    sklearn.neural_network.MLPClassifier : Dense layers.

    Notes
    -----
    The loss is the cross-entropy in nats. For an indicator matrix it is the sum of the
    labels' binary cross-entropies, and the `score` is the share of the samples of which
    every label is right.

    $notes

    References
    ----------
    $references

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from sksparse_mlp import SparseMLPClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)
    >>> clf = SparseMLPClassifier(epsilon=10, max_iter=50, random_state=0)
    >>> clf.fit(X_train, y_train).score(X_test, y_test) > 0.95
    True
    >>> clf.n_connections_
    array([3200, 3840, 1280])
    """

    classes_: np.ndarray
    multilabel_: bool
    _parameter_constraints: dict[str, Any] = {
        **BaseSparseMLP._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
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
        alpha: float = 0.1,
        batch_norm: bool = False,
        dropout: float = 0.1,
        batch_size: int | str = "auto",
        learning_rate: str = "cosine",
        learning_rate_init: float = 5e-3,
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
        class_weight: dict[Any, float] | str | None = None,
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
        self.class_weight = class_weight

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> Self:
        """Train for one pass over the given samples.

        Weights, pattern, momentum and random streams continue from the previous call.
        Passes are not epochs of a planned training: with ``evolve_every="epoch"`` the
        topology does not evolve here; with a number, it evolves after every that many
        updates, counted over all calls. Early stopping does not apply.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Labels, or an indicator matrix.
        classes : array-like of shape (n_classes,), default=None
            All labels that will ever occur; needed in the first call, unless y is an
            indicator matrix.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights.

        Returns
        -------
        self : SparseMLPClassifier

        Raises
        ------
        ValueError
            As in `fit`; also if ``y`` has a label that is not in ``classes``.
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight='balanced' needs all samples at once and is not available in "
                "partial_fit; pass a dict of weights instead."
            )
        with self._transaction() as trainee:
            take_targets = partial(trainee._take_known_classes, classes=classes)
            trainee._one_pass(X, y, sample_weight, take_targets)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
            Labels, or an indicator matrix of dtype intp.
        """
        fitted = self._published()
        logits = fitted._logits(X)
        return decoded(fitted._loss().predict(logits), fitted._labels())

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict class probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of `classes_`, of the dtype of the weights. For an indicator
            matrix each label has a probability of its own.
        """
        fitted = self._published()
        return fitted._loss().predict_proba(fitted._logits(X))

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Predict logarithms of class probabilities, exact where these underflow.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        fitted = self._published()
        return fitted._loss().predict_log_proba(fitted._logits(X))

    def decision_function(self, X: Any) -> np.ndarray:
        """Compute the outputs of the last layer, before softmax or logistic.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            With two classes, the logit of ``classes_[1]``; for an indicator matrix the
            logit of each label.
        """
        logits = self._published()._logits(X)
        return logits[:, 0] if logits.shape[1] == 1 else logits

    def predictor(self) -> ClassPredictor:
        """Make an object that predicts without validation, in some tens of microseconds.

        Returns
        -------
        ClassPredictor
            Has `predict`, `predict_proba`, `predict_log_proba` and `decision_function`
            for arrays of finite numbers, and holds a copy of the network as it is now.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> from sksparse_mlp import SparseMLPClassifier
        >>> X, y = load_digits(return_X_y=True)
        >>> clf = SparseMLPClassifier(max_iter=10, random_state=0).fit(X, y)
        >>> predictor = clf.predictor()
        >>> predictor.predict(X[:1])
        array([0])
        """
        fitted = self._published()
        return ClassPredictor(deepcopy(fitted._fitted_network()), fitted._labels().copy())

    # --- labels and weights -----------------------------------------------------------

    def _labels(self) -> np.ndarray:
        """The labels in the order of the outputs; `classes_` may have been edited."""
        labels = np.asarray(self.classes_)
        if labels.ndim != 1 or len(set(labels.tolist())) < labels.size:
            raise ValueError(
                "classes_ must be an array of different labels, one per class, got "
                f"{self.classes_!r}."
            )
        return labels

    def _codes(self, y: np.ndarray) -> np.ndarray:
        """Places in `classes_` of labels that it has."""
        labels = self._labels()
        order = np.argsort(labels, kind="stable")
        codes: np.ndarray = order[np.searchsorted(labels, y, sorter=order)]
        return codes

    def _loss(self) -> ClassLoss:
        if self.multilabel_:
            return MultilabelCrossEntropy
        return LogisticCrossEntropy if len(self.classes_) == 2 else SoftmaxCrossEntropy

    def _n_outputs(self) -> int:
        n_labels = self._labels().size
        return 1 if self._loss() is LogisticCrossEntropy else n_labels

    def _targets_text(self) -> str:
        return f"classes_ has {len(self.classes_)} labels"

    def _validated(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        with missing_labels_told(y):
            multilabel = is_multilabel(y)
            X, y = validated(self, X, y, reset=reset, multi_output=multilabel)
            if multilabel:
                return X, _indicators(y)
            try:
                check_classification_targets(y)
            except TypeError as error:
                kinds = sorted({type(label).__name__ for label in y})
                raise ValueError(
                    "Labels must all be strings or all be numbers, got "
                    f"{' and '.join(kinds)}."
                ) from error
            return X, y

    def _take_targets(self, y: Any, weights: np.ndarray, *, continued: bool) -> None:
        """Set the classes of fit, with warm_start those of the previous fit."""
        y = y[weights > 0]
        multilabel = y.ndim == 2
        classes = np.arange(y.shape[1]) if multilabel else np.unique(y)
        if classes.size < 2:
            raise ValueError(
                "SparseMLPClassifier needs samples of at least 2 classes with positive "
                f"sample_weight; the data contain one class, {classes.tolist()[0]!r}."
            )
        if continued:
            self._check_kind(y)
        if continued and not np.array_equal(classes, self.classes_):
            raise ValueError(
                "warm_start continues with the classes of the previous fit, "
                f"{self.classes_.tolist()}; got {classes.tolist()}."
            )
        self.classes_, self.multilabel_ = classes, multilabel

    def _take_known_classes(self, y: Any, weights: Any, classes: Any) -> None:
        """Set the classes of partial_fit, which must hold all labels, whatever weighs."""
        if not hasattr(self, "classes_"):
            self.multilabel_ = y.ndim == 2
            if self.multilabel_ and classes is None:
                classes = np.arange(y.shape[1])
        self.classes_ = self._known_classes(classes)
        self._check_targets(y)

    def _check_targets(self, y: Any) -> None:
        """Refuse labels that the network has no output for."""
        self._check_kind(y)
        unknown = [] if self.multilabel_ else np.setdiff1d(y, self.classes_).tolist()
        if unknown:
            raise ValueError(
                f"y has labels {unknown} that are not among the classes "
                f"{self.classes_.tolist()}."
            )

    def _check_kind(self, y: Any) -> None:
        """Refuse another number of labels per sample, or of columns."""
        if self.multilabel_ != (y.ndim == 2):
            kinds = "one label per sample", "an indicator matrix"
            raise ValueError(
                f"The network is for {kinds[self.multilabel_]} as y; got "
                f"{kinds[y.ndim == 2]}. Make a new estimator."
            )
        if self.multilabel_ and not np.array_equal(self.classes_, np.arange(y.shape[1])):
            raise ValueError(
                "An indicator matrix y has a column for each of the classes 0, 1, ..; got "
                f"{y.shape[1]} columns for the classes {self.classes_.tolist()}."
            )

    @property
    def _has_single_labels(self) -> bool:
        return not self.multilabel_

    def _known_classes(self, classes: Any) -> np.ndarray:
        """The classes of partial_fit, from its first call or as given now."""
        known: Any = self._labels() if hasattr(self, "classes_") else None
        if classes is None and known is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if classes is not None:
            _check_listed(classes)
        given: np.ndarray = known if classes is None else np.unique(classes)
        if known is not None and not np.array_equal(given, known):
            raise ValueError(
                f"classes={given.tolist()} differ from those of the previous call, "
                f"{known.tolist()}; leave classes out or make a new estimator."
            )
        if given.size < 2:
            raise ValueError(f"classes must hold at least 2 labels, got {given.tolist()}.")
        return given

    def _weighted(self, y: Any, weights: np.ndarray) -> np.ndarray:
        """The samples' weights times those of their classes."""
        if self.class_weight is None:
            return weights
        if self.multilabel_:
            raise ValueError(
                f"class_weight={self.class_weight!r} weighs samples by their only label; "
                "with an indicator matrix leave it None and give sample_weight."
            )
        kept = np.flatnonzero(weights)
        y = y[kept]
        class_weights = compute_class_weight(
            self.class_weight, classes=self.classes_, y=y, sample_weight=weights[kept]
        )
        if not (
            np.isfinite(class_weights).all()
            and 0 <= min(class_weights) < sum(class_weights)
        ):
            raise ValueError(
                "class_weight must be finite, not negative, and positive for at least "
                f"one class, got {self.class_weight!r}."
            )
        weights[kept] *= in_reach(class_weights)[self._codes(y)]
        if not weights[kept].any():
            raise ValueError(
                f"No sample has any weight: class_weight={self.class_weight!r} is zero for "
                "the classes of all of them."
            )
        return weights

    def _encoded(self, y: np.ndarray, rows: np.ndarray, dtype: Any) -> np.ndarray:
        if self.multilabel_:
            return y
        codes = np.zeros(y.size, np.intp)
        codes[rows] = self._codes(y[rows])
        return codes

    def _decoded(self, y: np.ndarray) -> np.ndarray:
        return decoded(y, self.classes_)

    def _shown(self, predictions: np.ndarray) -> np.ndarray:
        return predictions

    def _stand_in(self, predictions: np.ndarray) -> ClassPredictions:
        return ClassPredictions(self.classes_, self.multilabel_, predictions)

    def _split(self, samples: Samples, rng: np.random.Generator) -> tuple[Samples, ...]:
        """Training and validation parts; of single labels stratified, with every class."""
        if self.multilabel_:
            return super()._split(samples, rng)
        rows, codes = samples.rows, samples.y[samples.rows]
        n_classes = self.classes_.size
        n_validation = math.ceil(self.validation_fraction * rows.size)
        counts = np.bincount(codes, minlength=n_classes)
        error = ValueError(
            "early_stopping needs every class in its training and its validation part: "
            f"validation_fraction={self.validation_fraction} of {rows.size} samples "
            f"makes {n_validation} for {n_classes} classes, of which the rarest "
            f"has {counts.min()}. Change validation_fraction, give more samples, or set "
            "early_stopping=False."
        )
        if min(n_validation, rows.size - n_validation) < n_classes or counts.min() < 2:
            raise error
        parts = self._parts(samples, n_validation, rng, labels=codes)
        if any(np.unique(part.y[part.rows]).size < n_classes for part in parts):
            raise error
        return parts

    def _strata(self, samples: Samples, n_validation: int) -> np.ndarray | None:
        codes: np.ndarray = samples.y[samples.rows]
        if self.multilabel_:
            return None
        counts = np.bincount(codes)
        counts = counts[counts > 0]
        has_room = min(n_validation, codes.size - n_validation) >= counts.size
        return codes if has_room and counts.min() >= 2 else None


def _check_listed(classes: Any) -> None:
    """Refuse classes that are no flat list of labels."""
    if isinstance(classes, set | frozenset | dict) or np.ndim(classes) != 1:
        raise ValueError(
            "classes must be a list or an array of one dimension with all labels, got "
            f"{classes!r:.200}."
        )


def _indicators(y: Any) -> np.ndarray:
    """An indicator matrix of dtype int8."""
    y = y.toarray() if sparse.issparse(y) else y
    others = np.setdiff1d(y, [0, 1])
    if others.size:
        raise ValueError(
            "An indicator matrix y has 1 where a sample has the label and 0 elsewhere; "
            f"it also has {others.tolist()}. Make one by MultiLabelBinarizer."
        )
    indicators: np.ndarray = y.astype(np.int8)
    return indicators
