"""The estimators: parameters, validation, labels, callbacks, fitted attributes."""

import math
import warnings
from contextlib import closing, contextmanager
from copy import deepcopy
from dataclasses import replace
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context, clone
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import compute_class_weight
from sklearn.utils._param_validation import Interval, Options, RealNotInt, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from sksparse_mlp._arrays import exported, imported
from sksparse_mlp._assembly import Assembly
from sksparse_mlp._predictor import ClassPredictor
from sksparse_mlp.activations import ACTIVATIONS, Activation
from sksparse_mlp.core.compression import compressed
from sksparse_mlp.core.learning_rates import LEARNING_RATES
from sksparse_mlp.core.losses import LogisticCrossEntropy, SoftmaxCrossEntropy
from sksparse_mlp.core.optimizers import OPTIMIZERS
from sksparse_mlp.core.samples import Samples
from sksparse_mlp.core.training import Run
from sksparse_mlp.core.workers import Workers
from sksparse_mlp.initializers import INITIALIZERS, Initializer
from sksparse_mlp.schedules import ZETA_SCHEDULES
from sksparse_mlp.topology import GROWTHS, PRUNINGS, Growth, ImportancePruning

_INPUT = {"accept_sparse": "csr", "dtype": (np.float64, np.float32), "order": "C"}


class BaseSparseMLP(Assembly, CallbackSupportMixin, BaseEstimator):
    """What sparse multilayer perceptrons share, whatever their targets are.

    Subclasses hold the parameters and say what the output layer computes (`_loss`,
    `_n_outputs`) and how validation samples are set apart (`_split`).
    """

    _parameter_constraints: dict = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS)), Activation, list, tuple],
        "slope": [Interval(Real, 0, None, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "zeta": [Interval(Real, 0, 1, closed="left")],
        "zeta_schedule": [StrOptions(set(ZETA_SCHEDULES)), callable],
        "growth": [StrOptions(set(GROWTHS)), Growth],
        "gamma": [Interval(Real, None, None, closed="neither")],
        "pruning": [None, StrOptions(set(PRUNINGS)), ImportancePruning],
        "n_features_to_select": [
            None,
            Interval(Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0, 1, closed="right"),
        ],
        "evolve_until": [Interval(Real, 0, 1, closed="right")],
        "evolve_every": [StrOptions({"epoch"}), Interval(Integral, 1, None, closed="left")],
        "init": [StrOptions({"auto", *INITIALIZERS}), Initializer],
        "solver": [StrOptions(set(OPTIMIZERS))],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_norm": ["boolean"],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions(set(LEARNING_RATES))],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "adam_epsilon": [Interval(Real, 0, None, closed="neither")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"),
            Options(Real, {np.inf}),
        ],
        "tol": [Interval(Real, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "record": ["array-like", tuple],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "n_jobs": [None, Integral],
    }

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @contextmanager
    def _rolled_back_on_error(self):
        """Undo what was set on the estimator if the block raises."""
        before = vars(self).copy()
        try:
            yield
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    def _prepare_fit(self, samples, *, continued):
        """Training, with samples to train on and to validate with."""
        run = Run(self._new_training(samples.dtype, continued=continued), samples, samples)
        if self.shuffle and samples.total_if_counts() <= run.training.batch_size:
            # One batch holds everything, so that order and repetition mean nothing.
            run.samples = samples.repeated()
        if self.early_stopping:
            run.samples, run.validation = self._split(run.samples, run.training.data_rng)
        self.history_ = list(self.history_) if continued else []
        self.n_iter_ = 0
        # What partial_fit would continue from is no longer true.
        self.__dict__.pop("_training", None)
        return run

    def _prepare_partial_fit(self, samples):
        """Training that continues where the previous partial_fit stopped."""
        continued = hasattr(self, "coefs_")
        training = self._new_training(samples.dtype, continued=continued)
        if hasattr(self, "_training"):
            training.resume(self._training)
        self.history_ = list(self.history_) if continued else []
        self.n_iter_ = self.n_iter_ if continued else 0
        return training

    def _run_epochs(self, run, workers, context, hook):
        """Train, calling the callbacks with the ``hook`` arguments at every epoch.

        A callback may have set the run, `history_` and `n_iter_` to the end of an epoch
        of the same fit: training goes on from there.
        """
        training = run.training
        end = hook | {
            "reconstruction_attributes": lambda: self._attributes(training) | {"_run": None}
        }
        self._say_full_layers(training)
        last = self.history_[-1] if self.n_iter_ else None
        n_left = self.max_iter - self.n_iter_
        epochs = training.run(run.samples, run.validation, workers, n_left, last)
        for _ in range(self.n_iter_):
            # Tasks are numbered as if all epochs were trained now.
            context.subcontext(task_name="epoch")
        try:
            with closing(epochs):
                while not training.finished:
                    epoch_context = context.subcontext(task_name="epoch")
                    epoch_context.call_on_fit_task_begin(**hook)
                    self._record(next(epochs, None))
                    if epoch_context.call_on_fit_task_end(**end):
                        training.finished = True
        except KeyboardInterrupt:
            warnings.warn(
                f"Training was interrupted after {self.n_iter_} epochs. The fitted network "
                "is as the next epoch began (the best one with early_stopping).",
                ConvergenceWarning,
                stacklevel=2,
            )
        context.call_on_fit_task_end(**end)

    def _say_full_layers(self, training):
        full = [k for k, la in enumerate(training.network.layers, 1) if la.is_full]
        if self.verbose and self.zeta != 0 and full:
            print(f"Layers {full} are full and keep their pattern.")

    def _record(self, record):
        if record is None:
            return
        record["epoch"] = len(self.history_)
        self.history_.append(record)
        self.n_iter_ += 1
        if self.verbose:
            score = record.get("validation_score")
            suffix = "" if score is None else f", validation score = {score:.4f}"
            print(f"Epoch {record['epoch']}, loss = {record['loss']:.6f}{suffix}")

    def _publish(self, training):
        """Set the fitted attributes; warn if training had to stop."""
        self.__dict__.pop("support_", None)
        for name, value in self._attributes(training).items():
            setattr(self, name, value)
        if training.diverged:
            warnings.warn(
                f"Training stopped after {self.n_iter_} epochs: the loss or a weight is "
                "no longer finite; the network is as that epoch began. "
                f"Lower learning_rate_init (now {self.learning_rate_init}), scale the "
                "features (StandardScaler), or use solver='adam'.",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _attributes(self, training):
        """Fitted attributes that describe the network as it is now."""
        network = training.network
        selected = training.evolution.selected_inputs(network)
        support = {} if selected is None else {"support_": selected}
        return self._network_attributes(network) | support | self._history_attributes()

    def _history_attributes(self):
        losses = [record["loss"] for record in self.history_]
        scores = [r["validation_score"] for r in self.history_ if "validation_score" in r]
        return {
            "history_": list(self.history_),
            "loss_curve_": losses,
            "loss_": losses[-1] if losses else math.nan,
            "best_loss_": None if self.early_stopping or not losses else min(losses),
            "validation_scores_": scores if self.early_stopping else None,
            "best_validation_score_": max(scores) if scores else None,
        }

    def _network_attributes(self, network):
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

    @property
    def feature_importances_(self):
        """Shares of the input neurons in the sum of the first layer's absolute weights."""
        check_is_fitted(self)
        strengths = np.asarray(abs(self.coefs_[0]).sum(axis=1)).ravel()
        return strengths / max(strengths.sum(), np.finfo(strengths.dtype).tiny)

    def compress(self):
        """Leave out what cannot matter for predictions.

        Connections of weight zero, hidden neurons without incoming connections (their
        constant output joins the biases that follow) and hidden neurons that reach no
        output go, with all their connections. Each hidden layer keeps at least one
        neuron.

        Returns
        -------
        SparseMLPClassifier
            A fitted copy with `hidden_layer_sizes` as they are then, whose predictions
            are the same up to rounding.

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
        (195, 98)
        >>> bool(abs(small.predict_proba(X) - clf.predict_proba(X)).max() < 1e-6)
        True
        """
        check_is_fitted(self)
        network = compressed(self._fitted_network())
        small = clone(self)
        parameters = self.get_params(deep=False)
        for name, value in vars(self).items():
            if name not in parameters and name != "_training":
                setattr(small, name, value)
        small.set_params(hidden_layer_sizes=tuple(network.sizes[1:-1]))
        for name, value in self._network_attributes(network).items():
            setattr(small, name, value)
        return small

    def export_arrays(self):
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
        check_is_fitted(self)
        return exported(self)

    @classmethod
    def from_arrays(cls, arrays):
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
        SparseMLPClassifier
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

    def _logits(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, **_INPUT)
        network = self._fitted_network()
        with Workers(self.n_jobs) as workers:
            logits = network.logits(X, np.arange(X.shape[0]), workers)
        return _finite(logits)


def _finite(logits):
    """The outputs, unless some are too large for probabilities to be told from them."""
    # Half the range, so that differences of outputs are finite too.
    limit = np.finfo(logits.dtype).max / 2
    overflown = np.flatnonzero(~(np.abs(logits) <= limit).all(axis=1))
    if overflown.size:
        raise ValueError(
            f"The network's outputs overflow {logits.dtype} for {overflown.size} of "
            f"{len(logits)} samples, the first of which is {overflown[0]}: their features "
            "are far from those of the training. Scale the features (StandardScaler), or "
            "fit on float64 data."
        )
    return logits


class SparseMLPClassifier(ClassifierMixin, BaseSparseMLP):
    """Multilayer perceptron classifier whose layers are sparse from start to end.

    Every layer is a random sparse matrix in which only existing connections are stored
    and trained; memory and time grow with the connections. While the network learns,
    its topology evolves: between epochs the weakest connections are removed and as many
    new ones grow (sparse evolutionary training, SET [1]_).

    Parameters
    ----------
    hidden_layer_sizes : int or array-like of int, default=(256, 128)
        Number of neurons of each hidden layer.

    activation : str, Activation or list of these, default="relu"
        Activation of the hidden layers: "identity", "logistic", "tanh", "relu",
        "leaky_relu", "prelu", "srelu", "all_relu", "garelu", "relu_tau", "st", "crelu",
        "cst", or an instance from :mod:`sksparse_mlp.activations`; a list has one of
        these per hidden layer.

    slope : float, default=0.25
        Slope for negative inputs of a named activation that has one.

    epsilon : float, default=20
        Sets the number of connections. The layer between ``n_in`` and ``n_out`` neurons
        has ``epsilon * (n_in + n_out)`` of them, rounded; it is full if that is more
        than ``n_in * n_out``.

    zeta : float, default=0.3
        Share of the connections replaced at each evolution, in [0, 1), for a named
        schedule. 0 keeps the initial topology.

    zeta_schedule : str or callable, default="constant"
        Zeta at every epoch: "constant" (SET), "linear" (LDV), "oscillating" (OSV),
        "exponential" (EXD), "cosine", an instance from :mod:`sksparse_mlp.schedules`, or
        any function of (epoch, n_epochs), with epochs counted from 0, whose values are
        in [0, 1). A named schedule begins at `zeta`.

    growth : str or Growth, default="random"
        Where new connections grow: "random" (SET), "liset", "gradient" (RigL), or an
        instance from :mod:`sksparse_mlp.topology`. They start without momentum, at
        weight zero.

    gamma : float, default=0.0
        How little "liset" prefers useful inputs; large values make it like "random".

    evolve_every : "epoch" or int, default="epoch"
        When the topology evolves: after each epoch of `fit` but the last and never in
        `partial_fit`, or in both after every so many updates. Full layers never evolve.

    evolve_until : float, default=1.0
        Share of the epochs in which the topology evolves, in (0, 1].

    n_features_to_select : int, float or None, default=None
        Number of input neurons, or their share in (0, 1], that remain at the end. After
        a quarter of the epochs the weakest (by the sum of their absolute weights) begin
        to leave, fast at first and ever more slowly, and their connections move to the
        others as far as these have room. All is settled after 35 % of the epochs, and
        before that no plateau ends training and no best network is kept. Features
        should be of similar scale. None keeps all.

    pruning : "importance", ImportancePruning or None, default=None
        How weak hidden neurons leave the network while it trains, which lowers the
        number of connections; None keeps all.

    init : str or Initializer, default="auto"
        Initial weights: "he_uniform", "he_normal", "xavier_uniform", "xavier_normal",
        "edge_of_chaos", or an instance from :mod:`sksparse_mlp.initializers`. "auto"
        takes what suits the activation after each layer, and "xavier_uniform" for the
        output layer.

    solver : {"sgd", "adam"}, default="adam"
        "sgd" is stochastic gradient descent with momentum.

    alpha : float, default=0.1
        Strength of the L2 penalty, divided by the batch size when added to the loss, as
        in scikit-learn's MLPClassifier.

    batch_norm : bool, default=False
        Whether to normalise the pre-activations of the hidden layers over each training
        batch (whatever the sample weights), with a learned scale and offset per neuron;
        predictions use moving averages of the moments. Needs a batch size of at least 2.

    dropout : float, default=0.1
        Share of the hidden outputs that are set to zero in each training batch, the
        others being scaled up, in [0, 1).

    batch_size : int or "auto", default="auto"
        Samples per update; "auto" is 64. Never more than there are.

    learning_rate : str, default="constant"
        Schedule of the learning rate, of both solvers:

        - "constant": `learning_rate_init`;
        - "invscaling": ``learning_rate_init / (samples seen + 1) ** power_t``;
        - "adaptive": divided by 5 whenever training would otherwise stop;
        - "exponential": multiplied by 0.99 after each epoch;
        - "cosine": half a cosine from `learning_rate_init` down to zero at `max_iter`.

    learning_rate_init : float, default=0.001
        The learning rate of the first epoch.

    power_t : float, default=0.5
        Exponent of "invscaling".

    max_iter : int, default=200
        Number of epochs, unless training stops before.

    shuffle : bool, default=True
        Whether to visit the samples in a new random order in each epoch.

    momentum : float, default=0.9
        Momentum of "sgd", in [0, 1].

    nesterovs_momentum : bool, default=True
        Whether that momentum is Nesterov's.

    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of the moment estimates of "adam", in [0, 1).

    adam_epsilon : float, default=1e-8
        Stabiliser of "adam" (`epsilon` in MLPClassifier).

    early_stopping : bool, default=False
        Whether `fit` sets validation samples apart, stops when their accuracy no longer
        improves, and restores the weights and the topology of the best epoch (the last
        of equally good ones).

    validation_fraction : float, default=0.2
        Share of the samples set apart, stratified; both parts must hold every class.

    n_iter_no_change : int or numpy.inf, default=10
        Training stops after more than so many epochs in a row without improvement of
        the loss, or of the validation accuracy with `early_stopping`.

    tol : float, default=0.0001
        Smallest change that counts as an improvement.

    warm_start : bool, default=False
        Whether `fit` continues from the weights and topology of the previous `fit`.

    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, multiplied with the sample weights. "balanced" weighs
        classes inversely to their frequency.

    record : sequence of str, default=()
        What `history_` has besides the usual: "train_score" is the accuracy on the
        training samples, and takes a pass over them after every epoch;
        "effective_gradient_flow" is that of :mod:`sksparse_mlp.analysis` after every
        epoch, from one in twenty of these samples but at least a batch, always the same.

    random_state : int, RandomState instance or None, default=None
        Seeds three independent streams: initialisation; shuffling and dropout; topology.

    verbose : bool, default=False
        Whether to print a line per epoch. For a progress bar use
        ``set_callbacks(sklearn.callback.ProgressBar())``.

    n_jobs : int or None, default=None
        Threads that share the rows of large layers; None means 1 and -1 all cores. The
        result does not depend on it.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels.
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
    history_ : list of dict
        One record per epoch: ``epoch`` (from 0), ``loss`` (with "liset" that of the
        network and its shortcuts), ``zeta``, ``learning_rate``, ``slopes``,
        ``n_connections`` and ``n_inputs`` (connections and input neurons in use at its
        end), ``seconds``, ``validation_score`` with early stopping, what `record` asks
        for, and of the evolution in or after the epoch ``n_pruned``, ``n_grown``,
        ``turnover`` (grown connections as a share of all) and ``evolution_seconds``.
    loss_curve_ : list of float
        Mean loss of each epoch (cross-entropy in nats and L2 penalty).
    loss_ : float
        The last of them.
    best_loss_ : float or None
        The lowest of them; None with early stopping.
    validation_scores_ : list of float or None
        Validation accuracy of each epoch, with early stopping.
    best_validation_score_ : float or None
        The highest of them.
    feature_importances_ : ndarray of shape (n_features_in_,)
        Shares of the input neurons in the sum of the first layer's absolute weights.
    support_ : ndarray of shape (n_features_in_,), dtype bool
        Mask of the selected features: the strongest input neurons, which are those that
        remain once all is settled. Only with `n_features_to_select`.
    n_iter_ : int
        Epochs trained by the last `fit`, or passes made by `partial_fit`.
    n_layers_, n_outputs_ : int
        Number of layers, counting the input, and of output neurons (one for two classes).
    out_activation_ : {"softmax", "logistic"}
        Activation of the output layer.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where X has names that are strings.

    See Also
    --------
    sklearn.neural_network.MLPClassifier : Dense layers.

    Notes
    -----
    Whole sample weights that sum to no more than the batch size are treated as
    repetitions, in an order that depends on the samples' values alone: fitting on such a
    set gives the same weights, to the last bit, whatever the order of its rows.
    Otherwise a sample's weight multiplies its loss.

    Training that diverges (a loss or a weight becomes non-finite) and training that is
    interrupted by Ctrl-C both end with a ConvergenceWarning and the network as it was at
    the beginning of that epoch.

    References
    ----------
    .. [1] Mocanu et al., *Scalable training of artificial neural networks with adaptive
       sparse connectivity inspired by network science*, Nature Communications 9, 2018.

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

    _parameter_constraints: dict = {
        **BaseSparseMLP._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        hidden_layer_sizes=(256, 128),
        activation="relu",
        *,
        slope=0.25,
        epsilon=20,
        zeta=0.3,
        zeta_schedule="constant",
        growth="random",
        gamma=0.0,
        evolve_every="epoch",
        evolve_until=1.0,
        n_features_to_select=None,
        pruning=None,
        init="auto",
        solver="adam",
        alpha=0.1,
        batch_norm=False,
        dropout=0.1,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=1e-3,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        momentum=0.9,
        nesterovs_momentum=True,
        beta_1=0.9,
        beta_2=0.999,
        adam_epsilon=1e-8,
        early_stopping=False,
        validation_fraction=0.2,
        n_iter_no_change=10,
        tol=1e-4,
        warm_start=False,
        class_weight=None,
        record=(),
        random_state=None,
        verbose=False,
        n_jobs=None,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.slope = slope
        self.epsilon = epsilon
        self.zeta = zeta
        self.zeta_schedule = zeta_schedule
        self.growth = growth
        self.gamma = gamma
        self.evolve_every = evolve_every
        self.evolve_until = evolve_until
        self.n_features_to_select = n_features_to_select
        self.pruning = pruning
        self.init = init
        self.solver = solver
        self.alpha = alpha
        self.batch_norm = batch_norm
        self.dropout = dropout
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.adam_epsilon = adam_epsilon
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.class_weight = class_weight
        self.record = record
        self.random_state = random_state
        self.verbose = verbose
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Train the network.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data. float32 is computed in float32, anything else in float64. CSR
            input is made dense one batch at a time.
        y : array-like of shape (n_samples,)
            Labels of any type.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights. A sample of weight zero is left out.

        Returns
        -------
        self : SparseMLPClassifier

        Raises
        ------
        ValueError
            If a parameter or the data are unsuitable; the message names what to change.
        """
        continued = self.warm_start and hasattr(self, "coefs_")
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        context = self._init_callback_context(max_subtasks=self.max_iter)
        with self._rolled_back_on_error():
            data = X, y, weights = self._validate(X, y, sample_weight, reset=not continued)
            self.classes_ = self._observed_classes(y[weights > 0], continued=continued)
            run = self._run = self._prepare_fit(self._samples(*data), continued=continued)
            workers = Workers(self.n_jobs)
            hook = {"estimator": self, "X": X, "y": y, "metadata": metadata}
            context.call_on_fit_task_begin(**hook)
        try:
            with workers:
                self._run_epochs(run, workers, context, hook)
        finally:
            del self._run
        self._publish(run.training)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Train for one pass over the given samples.

        Weights, pattern, momentum and random streams continue from the previous call.
        Passes are not epochs of a planned training: with ``evolve_every="epoch"`` the
        topology does not evolve here; with a number, it evolves after every that many
        updates, counted over all calls. Early stopping does not apply.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data.
        y : array-like of shape (n_samples,)
            Labels.
        classes : array-like of shape (n_classes,), default=None
            All labels that will ever occur; needed in the first call.
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
        with self._rolled_back_on_error():
            known = self._known_classes(classes)
            data = self._validate(X, y, sample_weight, reset=not hasattr(self, "coefs_"))
            unknown = np.setdiff1d(data[1], known)
            if unknown.size:
                raise ValueError(
                    f"y has labels {unknown.tolist()} that are not among the classes "
                    f"{known.tolist()} given in the first call."
                )
            self.classes_ = known
            samples = self._samples(*data)
            training = self._prepare_partial_fit(samples)
            workers = Workers(self.n_jobs)
        with workers:
            for record in training.run(samples, None, workers, n_epochs=1):
                self._record(record)
        self._publish(training)
        self._training = training.state()
        return self

    def predict(self, X):
        """Predict labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        logits = self._logits(X)
        return self.classes_[self._loss().predict(logits)]

    def predict_proba(self, X):
        """Predict class probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of `classes_`, of the dtype of the weights.
        """
        logits = self._logits(X)
        return self._loss().predict_proba(logits)

    def predict_log_proba(self, X):
        """Predict logarithms of class probabilities, exact where these underflow.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        logits = self._logits(X)
        return self._loss().predict_log_proba(logits)

    def decision_function(self, X):
        """Compute the outputs of the last layer, before softmax or logistic.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_classes)
            With two classes, the logit of ``classes_[1]``.
        """
        logits = self._logits(X)
        return logits[:, 0] if self._n_outputs() == 1 else logits

    def predictor(self):
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
        check_is_fitted(self)
        return ClassPredictor(deepcopy(self._fitted_network()), self.classes_.copy())

    # --- labels and weights -----------------------------------------------------------

    def _n_outputs(self):
        return 1 if self.classes_.size == 2 else self.classes_.size

    def _loss(self):
        return LogisticCrossEntropy if self._n_outputs() == 1 else SoftmaxCrossEntropy

    def _validate(self, X, y, sample_weight, *, reset):
        X, y = validate_data(self, X, y, reset=reset, **_INPUT)
        try:
            check_classification_targets(y)
        except TypeError as error:
            kinds = sorted({type(label).__name__ for label in y})
            raise ValueError(
                f"Labels must all be strings or all be numbers, got {' and '.join(kinds)}."
            ) from error
        weights = _check_sample_weight(
            sample_weight, X, dtype=np.float64, ensure_non_negative=True, copy=True
        )
        return X, y, weights

    def _observed_classes(self, y, *, continued):
        """The classes of fit, with warm_start those of the previous fit."""
        classes = np.unique(y)
        if classes.size < 2:
            raise ValueError(
                "SparseMLPClassifier needs samples of at least 2 classes with positive "
                f"sample_weight; the data contain one class, {classes.tolist()[0]!r}."
            )
        if continued and not np.array_equal(classes, self.classes_):
            raise ValueError(
                "warm_start continues with the classes of the previous fit, "
                f"{self.classes_.tolist()}; got {classes.tolist()}."
            )
        return classes

    def _known_classes(self, classes):
        """The classes of partial_fit, from its first call or as given now."""
        known = getattr(self, "classes_", None)
        if classes is None and known is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        given = known if classes is None else np.unique(classes)
        if known is not None and not np.array_equal(given, known):
            raise ValueError(
                f"classes={given.tolist()} differ from those of the previous call, "
                f"{known.tolist()}; leave classes out or make a new estimator."
            )
        if given.size < 2:
            raise ValueError(f"classes must hold at least 2 labels, got {given.tolist()}.")
        return given

    def _samples(self, X, y, weights):
        kept = np.flatnonzero(weights)
        codes = np.searchsorted(self.classes_, y[kept])
        if self.class_weight is not None:
            class_weights = compute_class_weight(
                self.class_weight,
                classes=self.classes_,
                y=y[kept],
                sample_weight=weights[kept],
            )
            if not (
                np.isfinite(class_weights).all()
                and 0 <= min(class_weights) < sum(class_weights)
            ):
                raise ValueError(
                    "class_weight must be finite, not negative, and positive for at least "
                    f"one class, got {self.class_weight!r}."
                )
            with np.errstate(over="ignore", under="ignore"):
                weights[kept] *= class_weights[codes]
        if not weights[kept].any():
            raise ValueError(
                f"No sample has any weight: class_weight={self.class_weight!r} is zero for "
                "the classes of all of them."
            )
        weights = self._in_range(weights, X.dtype)
        # What is too small for the dtype weighs nothing.
        codes, kept = codes[weights[kept] > 0], np.flatnonzero(weights)
        all_codes = np.zeros(y.size, np.intp)
        all_codes[kept] = codes
        return Samples(X, all_codes, weights, kept)

    def _in_range(self, weights, dtype):
        """The weights in the dtype of the data, which must hold them."""
        with np.errstate(over="ignore", under="ignore"):
            cast = weights.astype(dtype)
        if not (np.isfinite(cast).all() and cast.any()):
            raise ValueError(
                f"sample_weight times class_weight={self.class_weight!r} goes up to "
                f"{weights.max():g}, which {dtype} cannot hold; scale the weights so that "
                "their mean is 1."
            )
        return cast

    def _split(self, samples, rng):
        """Stratified training and validation parts, both with every class."""
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
        parts = train_test_split(
            rows,
            test_size=n_validation,
            stratify=codes,
            random_state=int(rng.integers(2**31)),
        )
        if any(np.unique(samples.y[part]).size < n_classes for part in parts):
            raise error
        return tuple(replace(samples, rows=part) for part in parts)
