"""Cross-fitted classifiers."""

from typing import Any

import numpy as np
from sklearn import config_context
from sklearn.base import ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import LabelBinarizer

from sksparse_mlp.estimators._classifier import SparseMLPClassifier
from sksparse_mlp.estimators._cross_validated import BaseSparseMLPCV
from sksparse_mlp.estimators._docstrings import with_shared_sections

# Of the logistic regressions: enough for standardised features.
MAX_ITER = 300
# A logit whose probability is 1 in every precision.
CERTAIN = 1e4


@with_shared_sections
class SparseMLPClassifierCV(ClassifierMixin, BaseSparseMLPCV):
    """Cross-fitted ensemble of sparse networks that chooses for itself when to stop.

    Each member leaves out a fold and predicts it as it trains, so that every sample has a
    prediction of a network that did not see it. These choose the epoch, one of the
    configurations of a grid, and how much of a logistic regression takes part.

    Parameters
    ----------
    estimator : SparseMLPClassifier, default=None
        The network; it is cloned. None takes one with ``learning_rate="cosine"``,
        ``learning_rate_init=0.01``, ``max_iter=60`` and ``epsilon=20``, else with its
        defaults. Its `early_stopping` and `warm_start` mean nothing here.

    $parameters

    Attributes
    ----------
    estimators_ : list of SparseMLPClassifier
        The network of each fold, as it was at the chosen epoch.
    oof_predictions_ : ndarray of shape (n_samples, n_classes)
        Probabilities for each training sample by the members that did not see it; NaN
        where all did.
    oof_score_ : float
        Accuracy of these.
    classes_ : ndarray of shape (n_classes,)
        The class labels; for an indicator matrix the numbers of its columns.
    multilabel_ : bool
        Whether `y` was an indicator matrix, of any number of labels per sample.
    $attributes

    See Also
    --------
    SparseMLPClassifier : One network.
    SparseMLPRegressorCV : The same for regression.

    Notes
    -----
    $notes

    References
    ----------
    $references

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn.preprocessing import scale
    >>> from sksparse_mlp import SparseMLPClassifierCV
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X, X_test, y, y_test = train_test_split(scale(X), y, random_state=0)
    >>> clf = SparseMLPClassifierCV(random_state=0).fit(X, y)
    >>> clf.score(X_test, y_test) > 0.95
    True
    >>> clf.member_predictions(X_test).std(axis=0).shape
    (143, 2)
    """

    classes_: np.ndarray
    multilabel_: bool
    _network_class = SparseMLPClassifier

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

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
        predicted: np.ndarray = (
            fitted.estimators_[0]._stand_in(fitted._mean_prediction(X)).predict(X)
        )
        return predicted

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict class probabilities, the mean over the members.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of `classes_`. For an indicator matrix each label has a
            probability of its own.
        """
        return self._published()._mean_prediction(X)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Predict logarithms of class probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        with np.errstate(divide="ignore"):
            logarithms: np.ndarray = np.log(self.predict_proba(X))
        return logarithms

    # --- labels -----------------------------------------------------------------------

    def _default_estimator(self) -> SparseMLPClassifier:
        return SparseMLPClassifier(
            learning_rate="cosine", learning_rate_init=0.01, max_iter=60, epsilon=20
        )

    def _splitter(self, n_folds: int, y: np.ndarray, seed: int) -> Any:
        cls = KFold if y.ndim == 2 else StratifiedKFold
        return cls(n_folds, shuffle=True, random_state=seed)

    def _check_part(self, y: np.ndarray, network: Any, k: int) -> None:
        missing = [] if network.multilabel_ else np.setdiff1d(network.classes_, y).tolist()
        if missing:
            raise ValueError(
                f"The training part of split {k} of cv={self.cv!r} has no sample of the "
                f"classes {missing}. Every class needs two samples with positive "
                "sample_weight in different folds: give more of these, join or remove the "
                "classes, or change cv."
            )

    @classmethod
    def _linear_model(cls, network: Any) -> Any:
        model = LogisticRegression(max_iter=MAX_ITER)
        if not network.multilabel_:
            return model
        with config_context(enable_metadata_routing=True):
            return OneVsRestClassifier(model.set_fit_request(sample_weight=True))

    @classmethod
    def _linear_arrays(cls, model: Any) -> tuple[np.ndarray, np.ndarray]:
        if not isinstance(model, OneVsRestClassifier):
            return model.coef_, model.intercept_
        parts = [_logistic_arrays(part, model) for part in model.estimators_]
        coefs, intercepts = zip(*parts, strict=True)
        return np.concatenate(coefs), np.concatenate(intercepts)

    @classmethod
    def _linear_restored(cls, network: Any, coef: np.ndarray, intercept: np.ndarray) -> Any:
        model = cls._linear_model(network)
        model.n_features_in_ = coef.shape[1]
        if not network.multilabel_:
            return _logistic(model, coef, intercept, max(len(coef), 2))
        rows = zip(coef[:, np.newaxis], intercept[:, np.newaxis], strict=True)
        model.estimators_ = [_logistic(clone(model.estimator), *row, 2) for row in rows]
        model.label_binarizer_ = LabelBinarizer(sparse_output=True)
        model.label_binarizer_.fit(np.eye(2, len(coef), dtype=int))
        model.classes_ = model.label_binarizer_.classes_
        return model

    @classmethod
    def _linear_predictions(cls, model: Any, X: Any) -> np.ndarray:
        probabilities: np.ndarray = model.predict_proba(X)
        return probabilities


def _logistic(model: Any, coef: np.ndarray, intercept: np.ndarray, n_classes: int) -> Any:
    """A logistic regression that has learned this."""
    model.coef_, model.intercept_ = coef, intercept
    model.classes_, model.n_features_in_ = np.arange(n_classes), coef.shape[1]
    return model


def _logistic_arrays(part: Any, whole: Any) -> tuple[np.ndarray, np.ndarray]:
    """What the model of one label has learned; of a label that never changed, only that."""
    if hasattr(part, "coef_"):
        return part.coef_, part.intercept_
    dtype = np.result_type(
        *(p.coef_ for p in whole.estimators_ if hasattr(p, "coef_")), np.float32
    )
    sign = 2 * part.predict(np.zeros((1, 1)))[0] - 1
    return np.zeros((1, whole.n_features_in_), dtype), np.full(1, sign * CERTAIN, dtype)
