"""What all networks share as estimators: fitting, callbacks, fitted attributes."""

import math
import os
import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, Self

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer
from sklearn.utils.validation import check_is_fitted

from sksparse_mlp._sklearn import (
    BaseEstimator,
    CallbackSupportMixin,
    _check_sample_weight,
    _fit_context,
)
from sksparse_mlp.core.compiling import CompileTimer
from sksparse_mlp.core.compression import compressed
from sksparse_mlp.core.network import Network
from sksparse_mlp.core.samples import Samples
from sksparse_mlp.core.training import Run, Training
from sksparse_mlp.core.workers import Workers
from sksparse_mlp.estimators._assembly import BUILDING, SEEDING, Assembly
from sksparse_mlp.estimators._input import in_reach, relative, validated
from sksparse_mlp.estimators._predictor import finite_outputs
from sksparse_mlp.estimators._restored import predicting_network
from sksparse_mlp.estimators._splitting import Splitting
from sksparse_mlp.estimators._summary import Summarised
from sksparse_mlp.estimators._transaction import Transactional, changes
from sksparse_mlp.serialization._arrays import exported, imported

# Updates without improvement of the validation samples before training can stop.
MIN_UPDATES = 100


class BaseSparseMLP(
    Summarised, Splitting, Assembly, Transactional, CallbackSupportMixin, BaseEstimator
):
    """What sparse multilayer perceptrons share, whatever their targets are.

    A subclass says what its targets are, by the abstract methods.

    Attributes
    ----------
    coefs_ : list of scipy.sparse.csr_array of shape (n_in, n_out)
        Weights of each layer, in the dtype of the training data. Predictions and further
        training read them, so they may be edited.
    intercepts_ : list of ndarray of shape (n_out,)
        Biases of each layer.
    slopes_ : list of float, ndarray of shape (n_neurons,) or None
        Signed slope for negative inputs of each hidden layer, one for the layer or one
        per neuron; None where the activation has none.
    activation_parameters_ : list of ndarray of shape (n_parameters, 1 or n_neurons)
        Parameters of each hidden layer's activation, learned where it learns.
    batch_norms_ : list of dict or None
        ``gain``, ``shift``, ``mean`` and ``variance`` of each hidden layer's batch
        normalisation, arrays of shape (n_neurons,).
    n_connections_ : ndarray of shape (n_layers_ - 1,)
        Number of connections of each layer.
    sparsity_ : ndarray of shape (n_layers_ - 1,)
        Share of the possible connections that each layer lacks.
    density_ : float
        Share of the possible connections of all layers together that exist.
    history_ : list of dict
        One record per epoch: ``epoch`` (from 0), ``loss`` (with "liset" that of the
        network and its shortcuts), ``data_loss`` (without penalty), ``zeta``,
        ``learning_rate``, ``slopes``, ``n_connections`` and ``n_inputs`` (connections and
        input neurons in use at its end), ``seconds``, ``validation_loss`` (without
        penalty) and ``validation_score`` where there are validation samples, what
        `record` asks for, and of the evolution in or after the epoch ``n_pruned``,
        ``n_grown``,
        ``turnover`` (grown connections as a share of all) and ``evolution_seconds``.
    loss_curve_ : list of float
        Mean loss of each epoch, with the L2 penalty.
    loss_ : float
        The last of them.
    best_loss_ : float or None
        The lowest of them; None with early stopping.
    validation_scores_ : list of float or None
        Score of the validation samples after each epoch, with early stopping.
    best_validation_score_ : float or None
        The highest of them.
    feature_importances_ : ndarray of shape (n_features_in_,)
        Shares of the input neurons in the sum of the first layer's absolute weights.
    support_ : ndarray of shape (n_features_in_,), dtype bool
        Mask of the selected features: the strongest input neurons, which are those that
        remain once all is settled. Only with `n_features_to_select`.
    n_iter_ : int
        Epochs trained by the last `fit`, or passes made by `partial_fit`. With early
        stopping those of the training that was judged, as in `history_`.
    n_layers_ : int
        Number of layers, counting the input.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where X has names that are strings.

    Notes
    -----
    Only the ratios of sample weights matter: they are divided by their mean. Where they
    are those of whole numbers that sum to no more than the batch size, samples are
    repeated so often, in an order that depends on the samples' values alone: fitting on
    such a set gives the same weights, to the last bit, whatever the order of its rows.
    Otherwise a sample's weight multiplies its loss.

    Whatever ends `fit` or `partial_fit` by an error leaves the estimator as it was before
    the call, to the last bit. Until a fit has come to its end, predictions in callbacks
    and other threads are those of the network that was fitted before.

    Training that diverges (a loss or a weight becomes non-finite) and training that is
    interrupted by Ctrl-C both end with a ConvergenceWarning and the network as it was at
    the beginning of that epoch.

    References
    ----------
    .. [1] Mocanu et al., *Scalable training of artificial neural networks with adaptive
       sparse connectivity inspired by network science*, Nature Communications 9, 2018.
    """

    history_: list[dict[str, Any]]

    @property
    @abstractmethod
    def _has_single_labels(self) -> bool:
        """Whether targets are one label per sample."""

    @abstractmethod
    def _validated(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        """Samples and targets, checked; with ``reset`` features may be other ones."""

    @abstractmethod
    def _take_targets(self, y: Any, weights: np.ndarray, *, continued: bool) -> None:
        """Set the attributes that describe the targets that weigh anything."""

    @abstractmethod
    def _check_targets(self, y: Any) -> None:
        """Refuse targets that do not fit these attributes."""

    @abstractmethod
    def _encoded(self, y: np.ndarray, rows: np.ndarray, dtype: Any) -> np.ndarray:
        """What the loss takes of the targets; those of other rows are not looked at."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @abstractmethod
    def _shown(self, predictions: np.ndarray) -> np.ndarray:
        """Predictions that the loss takes, as the user sees them."""

    @abstractmethod
    def _decoded(self, y: np.ndarray) -> np.ndarray:
        """What `_encoded` was made of."""

    def _check_scorable(self, y: np.ndarray, scoring: Any) -> None:
        """Refuse encoded targets that a scorer cannot judge."""

    @abstractmethod
    def _stand_in(self, predictions: np.ndarray) -> Any:
        """A fitted estimator that has no other predictions than these."""

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Train the network.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data. float32 is computed in float32, anything else in float64. CSR
            input is made dense one batch at a time.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets: labels of any type, or an indicator matrix of 0 and 1 for any number
            of labels per sample; for regression numbers.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights. A sample of weight zero is left out.
        X_val, y_val, sample_weight_val : array-like, default=None
            Validation samples, of the same features, kinds of targets and weights. They
            are judged after every epoch, and decide with `early_stopping`.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data are unsuitable; the message names what to change.
        """
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        context = self._init_callback_context(max_subtasks=self.max_iter)
        with self._transaction() as trainee:
            continued = self.warm_start and hasattr(trainee, "coefs_")
            data = X, y, weights = trainee._validate(
                X, y, sample_weight, reset=not continued
            )
            trainee._take_targets(y, weights, continued=continued)
            validation = trainee._validation(X_val, y_val, sample_weight_val, X.dtype)
            trainee._run = trainee._prepare_fit(
                trainee._samples(*data), validation, continued=continued
            )
            hook = {"estimator": self, "X": X, "y": y, "metadata": metadata}
            with Workers(self.n_jobs) as workers:
                context.call_on_fit_task_begin(**hook)
                trainee._run_epochs(workers, context, hook)
        return self

    def _one_pass(
        self, X: Any, y: Any, sample_weight: Any, take_targets: Callable[[Any, Any], None]
    ) -> None:
        """Train for one pass; ``take_targets`` gets the targets and weights validated."""
        data = self._validate(X, y, sample_weight, reset=not hasattr(self, "coefs_"))
        take_targets(*data[1:])
        samples = self._samples(*data)
        training = self._prepare_partial_fit(samples)
        with Workers(self.n_jobs) as workers, workers.interrupts_put_off():
            for record in training.run(samples, None, workers, n_epochs=1):
                self._record(record)
        self._take(training)
        self._training = training.state()

    def _validate(
        self, X: Any, y: Any, sample_weight: Any, *, reset: bool
    ) -> tuple[Any, Any, np.ndarray]:
        X, y = self._validated(X, y, reset=reset)
        weights = _check_sample_weight(
            sample_weight, X, dtype=np.float64, ensure_non_negative=True, copy=True
        )
        weights[~self._has_target(y)] = 0
        return X, y, weights

    def _has_target(self, y: np.ndarray) -> np.ndarray:
        """Which samples have a target at all."""
        return np.ones(len(y), bool)

    def _samples(self, X: Any, y: Any, weights: np.ndarray) -> Samples:
        """The samples as training takes them; what weighs nothing is left out."""
        weights = relative(self._weighted(y, in_reach(weights))).astype(X.dtype)
        rows = np.flatnonzero(weights)
        return Samples(X, self._encoded(y, rows, X.dtype), weights, rows)

    def _validation(
        self, X: Any, y: Any, sample_weight: Any, dtype: np.dtype
    ) -> Samples | None:
        """The validation samples that `fit` was given, None without any."""
        if X is None and y is None and sample_weight is None:
            return None
        if X is None or y is None:
            raise ValueError("Validation samples need both X_val and y_val.")
        X, y, weights = self._validate(X, y, sample_weight, reset=False)
        rows = np.flatnonzero(weights)
        self._check_targets(y[rows])
        weights, y = relative(weights).astype(dtype), self._encoded(y, rows, dtype)
        return Samples(X.astype(dtype, copy=False), y, weights, rows)

    def _targets(self, X: Any, y: Any) -> Any:
        """What the loss of the fitted network takes of the targets of all samples."""
        X, y = self._validated(X, y, reset=False)
        self._check_targets(y)
        return self._encoded(y, np.arange(len(y)), self.coefs_[0].dtype)

    def _weighted(self, y: Any, weights: np.ndarray) -> np.ndarray:
        """The samples' weights; a subclass may change them by their targets."""
        return weights

    def _prepare_fit(
        self,
        samples: Samples,
        validation: Samples | None = None,
        *,
        continued: bool,
        is_judged: bool = False,
    ) -> Run:
        """Training, with samples to train on and to validate with.

        Where others judge the network, no samples are set apart.
        """
        run = Run(self._begin(samples, continued=continued), samples, samples, validation)
        counts = samples.as_counts(run.training.batch_size)
        if self.shuffle and counts is not None:
            # One batch holds everything, so that order and repetition mean nothing.
            run.samples = samples.repeated(counts)
        if self.early_stopping and validation is None:
            # Without samples apart, nothing would choose the number of inputs.
            judged_only = continued or run.training.evolution.chooses
            run.whole = None if judged_only else run.samples
            run.samples, run.validation = self._split(run.samples, run.training.data_rng)
        elif run.training.evolution.chooses and validation is None and not is_judged:
            run.validation = self._held_out(run.samples, run.training.data_rng)
            run.training.held_out = run.validation.rows
        self._prepare_validation(run)
        if self.history_:
            run.training.n_seen = getattr(self, "_n_seen", 0)
        self.n_iter_ = 0
        # What partial_fit would continue from is no longer true.
        self.__dict__.pop("_training", None)
        return run

    def _prepare_validation(self, run: Run) -> None:
        """Say when training stops and what its validation samples are judged by."""
        training, validation = run.training, run.validation
        training.stops_early = self.early_stopping
        if validation is None or not self.early_stopping:
            return
        n_updates = math.ceil(run.samples.rows.size / training.batch_size)
        training.patience.limit = max(self.n_iter_no_change, MIN_UPDATES // n_updates)
        if self.scoring != "loss":
            training.criterion = self._criterion(validation)

    def _criterion(self, validation: Samples) -> Callable[[np.ndarray], float]:
        """The score of predictions for the validation samples."""
        scorer = get_scorer(self.scoring) if isinstance(self.scoring, str) else self.scoring
        X, weights = validation.X[validation.rows], validation.weights[validation.rows]
        self._check_scorable(validation.y[validation.rows], self.scoring)
        y = self._decoded(validation.y[validation.rows])
        weighted = {} if (weights == 1).all() else {"sample_weight": weights}
        return lambda predictions: float(
            scorer(self._stand_in(predictions), X, y, **weighted)
        )

    def _prepare_partial_fit(self, samples: Samples) -> Training:
        """Training that continues where the previous partial_fit stopped."""
        continued = hasattr(self, "coefs_")
        training = self._begin(samples, continued=continued)
        if training.evolution.chooses:
            raise ValueError(
                "n_features_to_select='auto' needs validation samples, which partial_fit "
                "has not. Give a number of features, or begin with fit."
            )
        if hasattr(self, "_training"):
            self._say_what_is_kept(SEEDING)
            training.resume(self._training)
        self.n_iter_ = self.n_iter_ if continued else 0
        return training

    def _begin(self, samples: Samples, *, continued: bool) -> Training:
        """A training of a new network, or of the fitted one, and the history before it."""
        training = self._new_training(
            samples.dtype, continued=continued, n_samples=samples.rows.size
        )
        if self.batch_norm and samples.rows.size == 1:
            raise ValueError(
                "batch_norm=True needs batches of at least 2 samples, and there is only "
                "one sample of positive weight. Give more, or set batch_norm=False."
            )
        if continued:
            self._say_what_is_kept(BUILDING)
        else:
            self._built_with = self._building_parameters()
        self.history_ = list(self.history_) if continued else []
        return training

    def _run_epochs(self, workers: Workers, context: Any, hook: dict[str, Any]) -> None:
        """Train, calling the callbacks with the ``hook`` arguments at every epoch.

        A callback may have set the run, `history_` and `n_iter_` to the end of an epoch
        of the same fit: training goes on from there.
        """
        run = self._run
        training, was_finished = run.training, run.training.finished
        given = hook["estimator"].__dict__
        end = hook | {
            "reconstruction_attributes": lambda: (
                changes(given, self.__dict__)
                | self._attributes(run.training)
                | {"_run": None}
            )
        }
        last = self.history_[-1] if self.n_iter_ else None
        n_left = self.max_iter - self.n_iter_
        epochs = training.run(run.samples, run.validation, workers, n_left, last)
        try:
            self._say_full_layers(training)
            for _ in range(self.n_iter_):
                # Tasks are numbered as if all epochs were trained now.
                context.subcontext(task_name="epoch")
            with closing(epochs), CompileTimer() as compiling:
                if n_left == 0:
                    # Takes note of the neurons in the network, and trains nothing.
                    next(epochs, None)
                while n_left and not training.finished:
                    epoch_context = context.subcontext(task_name="epoch")
                    epoch_context.call_on_fit_task_begin(**hook)
                    with workers.interrupts_put_off():
                        record = next(epochs, None)
                        self._say_compiled(compiling)
                        self._record(record)
                    if epoch_context.call_on_fit_task_end(**end):
                        training.finished = True
            if not was_finished:
                self._train_anew(run, workers)
        except KeyboardInterrupt:
            # A checkpoint goes on from here; nothing has come to its end.
            training.finished = False
            warnings.warn(
                f"Training was interrupted after {self.n_iter_} epochs. The fitted network "
                "is as the next epoch began (the best one with early_stopping).",
                ConvergenceWarning,
                stacklevel=2,
            )
        context.call_on_fit_task_end(**end)
        self._take(run.training)

    def _train_anew(self, run: Run, workers: Workers) -> None:
        """Learn from all samples, for as many epochs as were best with a part of them.

        The run has the new training if that is sound, and else keeps the first one.
        """
        first, samples = run.training, run.whole
        if samples is None or first.diverged or not first.best_epoch:
            return
        if self.verbose:
            print(f"Training anew on all samples, for {first.best_epoch} epochs.")
        rates = [record["learning_rate"] for record in self.history_]
        training = self._repeated_training(first, samples, rates)
        with closing(training.run(samples, None, workers, first.best_epoch)) as epochs:
            while not training.finished:
                with workers.interrupts_put_off():
                    next(epochs, None)
        if not training.diverged:
            run.training = training

    def _say_full_layers(self, training: Training) -> None:
        full = [k for k, la in enumerate(training.network.layers, 1) if la.is_full]
        if self.verbose and self.zeta != 0 and full:
            print(f"Layers {full} are full and keep their pattern.")

    def _say_compiled(self, compiling: CompileTimer) -> None:
        """Tell once why the first epoch took so long."""
        if self.verbose and self.n_iter_ == 0 and compiling.seconds > 1:
            print(
                f"Compiled for {compiling.seconds:.1f} s, which later fits need not; "
                "`python -m sksparse_mlp.warmup` does it ahead."
            )

    def _record(self, record: dict[str, Any] | None) -> None:
        if record is None:
            return
        record["epoch"] = len(self.history_)
        self.history_.append(record)
        self.n_iter_ += 1
        if self.verbose:
            score = record.get("validation_score")
            suffix = "" if score is None else f", validation score = {score:.4f}"
            print(f"Epoch {record['epoch']}, loss = {record['loss']:.6f}{suffix}")

    def _take(self, training: Training) -> None:
        """Set the fitted attributes; warn if training had to stop."""
        if training.diverged:
            warnings.warn(self._divergence(), ConvergenceWarning, stacklevel=3)
        self.__dict__.pop("support_", None)
        self.__dict__.update(self._attributes(training))

    def _divergence(self) -> str:
        other = "" if self.solver == "adam" else ", or use solver='adam'"
        return (
            f"Training stopped after {self.n_iter_} epochs: the loss or a weight is no "
            "longer finite; the network is as that epoch began. Lower learning_rate_init "
            f"(now {self.learning_rate_init}), or scale the features (StandardScaler)"
            f"{other}."
        )

    def _attributes(self, training: Training) -> dict[str, Any]:
        """Fitted attributes that describe the network as it is now."""
        network = training.network
        selected = training.evolution.selected_inputs(network)
        support = {} if selected is None else {"support_": selected}
        own = {"history_": list(self.history_), "_n_seen": training.n_seen}
        return self._network_attributes(network) | support | own

    @property
    def loss_curve_(self) -> list[float]:
        """Mean loss of each epoch, with the L2 penalty."""
        return [record["loss"] for record in self.history_]

    @property
    def loss_(self) -> float:
        """Loss of the last epoch."""
        return float(self.history_[-1]["loss"]) if self.history_ else math.nan

    @property
    def best_loss_(self) -> float | None:
        """Lowest loss of an epoch; None with early stopping."""
        return None if self._is_validated or not self.history_ else min(self.loss_curve_)

    @property
    def validation_scores_(self) -> list[float] | None:
        """Score of the validation samples after each epoch, with early stopping."""
        scores = [r["validation_score"] for r in self.history_ if "validation_score" in r]
        return scores if self._is_validated else None

    @property
    def best_validation_score_(self) -> float | None:
        """Highest score of the validation samples, with early stopping."""
        return max(self.validation_scores_ or [], default=None)

    @property
    def _is_validated(self) -> bool:
        """Whether the last training had validation samples."""
        return bool(self.history_) and "validation_score" in self.history_[-1]

    def _network_attributes(self, network: Network) -> dict[str, Any]:
        layers, hidden = network.layers, network.hidden
        return {
            "coefs_": [layer.to_coef() for layer in layers],
            "intercepts_": [layer.bias.copy() for layer in layers],
            "slopes_": network.slopes(),
            "activation_parameters_": [unit.parameters.copy() for unit in hidden],
            "batch_norms_": [
                None if unit.norm is None else vars(unit.norm.copy()) for unit in hidden
            ],
            "n_connections_": np.array([layer.n_connections for layer in layers]),
            "sparsity_": np.array(
                [1 - layer.n_connections / (layer.n_in * layer.n_out) for layer in layers]
            ),
            "n_layers_": len(layers) + 1,
            "n_outputs_": layers[-1].n_out,
            "out_activation_": network.loss.link,
        }

    def _networks(self) -> list[Any]:
        return [self]

    @property
    def feature_importances_(self) -> np.ndarray:
        """Shares of the input neurons in the sum of the first layer's absolute weights."""
        check_is_fitted(self)
        strengths = np.asarray(abs(self.coefs_[0]).sum(axis=1)).ravel()
        total = max(strengths.sum(), np.finfo(strengths.dtype).tiny)
        shares: np.ndarray = strengths / total
        return shares

    def compress(self) -> Self:
        """Leave out what cannot matter for predictions.

        Connections of weight zero, hidden neurons without incoming connections (their
        constant output joins the biases that follow) and hidden neurons that reach no
        output go, with all their connections. Each hidden layer keeps at least one
        neuron.

        Returns
        -------
        object
            A fitted copy of the estimator, with `hidden_layer_sizes` as they are then,
            whose predictions are the same up to rounding.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> from sksparse_mlp import SparseMLPClassifier
        >>> X, y = load_digits(return_X_y=True)
        >>> clf = SparseMLPClassifier(
        ...     epsilon=3, pruning="importance", max_iter=30, random_state=0
        ... ).fit(X / 16, y)
        >>> small = clf.compress()
        >>> small.hidden_layer_sizes
        (162, 102)
        >>> bool(abs(small.predict_proba(X) - clf.predict_proba(X)).max() < 1e-6)
        True
        """
        fitted = self._published()
        network = compressed(fitted._fitted_network())
        small: Self = clone(self)
        parameters = self.get_params(deep=False)
        small.__dict__.update(
            (name, value)
            for name, value in fitted.__getstate__().items()
            if name not in parameters and name != "_training"
        )
        small.set_params(hidden_layer_sizes=tuple(network.sizes[1:-1]))
        small.__dict__.update(self._network_attributes(network))
        return small

    def export_arrays(self) -> dict[str, np.ndarray]:
        """Put all that was fitted into plain NumPy arrays, to be kept without pickle.

        The format is that of ``docs/arrays.md``. Save the arrays, uncompressed, by
        ``np.savez(path, **clf.export_arrays())``. Callbacks, metadata requests and
        output configuration are not among them.

        Returns
        -------
        dict of str to ndarray
            They share no memory with the estimator.

        Raises
        ------
        ValueError
            If a parameter is neither made of numbers, strings, None, lists, tuples,
            dicts and random states, nor an instance of a class of this package, or if a
            weight is not finite.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.

        See Also
        --------
        from_arrays : The way back.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.datasets import load_digits
        >>> from sksparse_mlp import SparseMLPClassifier
        >>> X, y = load_digits(return_X_y=True)
        >>> clf = SparseMLPClassifier(max_iter=5, random_state=0).fit(X, y)
        >>> arrays = clf.export_arrays()
        >>> arrays["layers/0/shape"]
        array([ 64, 256])
        >>> copy = SparseMLPClassifier.from_arrays(arrays)
        >>> bool((copy.predict_proba(X) == clf.predict_proba(X)).all())
        True
        """
        return exported(self._published())

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray] | str | os.PathLike[str]) -> Self:
        """Make the fitted estimator that arrays or a file describe.

        Everything is checked before it is used; nothing is unpickled.

        Parameters
        ----------
        arrays : mapping of str to ndarray, str or path-like
            What `export_arrays` returned, or the path of an npz file of it, or of a
            checkpoint (:class:`sksparse_mlp.callbacks.Checkpoint`). Give the path of a
            file from elsewhere, and not what ``np.load`` makes of it: the file's own
            structure is then checked too.

        Returns
        -------
        object of this class
            With the same parameters, fitted attributes and, to the last bit,
            predictions. What was fitted by `partial_fit` goes on with `partial_fit` as
            if it had never been exported.

        Raises
        ------
        ValueError
            If the arrays or the file are damaged, do not make up a fitted estimator of
            this class, or are of a newer version of the format.
        FileNotFoundError
            If there is no such file.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from sklearn.datasets import load_digits
        >>> from sksparse_mlp import SparseMLPClassifier
        >>> X, y = load_digits(return_X_y=True)
        >>> clf = SparseMLPClassifier(max_iter=5, random_state=0).fit(X, y)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "digits.npz"
        ...     np.savez(path, **clf.export_arrays())
        ...     copy = SparseMLPClassifier.from_arrays(path)
        >>> bool((copy.predict(X) == clf.predict(X)).all())
        True
        """
        return imported(cls, arrays)

    def _logits(self, X: Any) -> np.ndarray:
        """Outputs of the last layer, of shape (n_samples, n_outputs_)."""
        return self._outputs(validated(self, X, reset=False))

    def _outputs(self, X: Any) -> np.ndarray:
        """The same of samples that are sound."""
        network = predicting_network(self)
        with Workers(self.n_jobs) as workers:
            logits = network.logits(X, np.arange(X.shape[0]), workers)
        return finite_outputs(logits)
