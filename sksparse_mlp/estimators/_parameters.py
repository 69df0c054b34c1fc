"""The parameters that all networks share: what they mean, may be and are by default."""

from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import get_scorer_names

from sksparse_mlp._sklearn import Interval, Options, RealNotInt, StrOptions
from sksparse_mlp.activations import ACTIVATIONS, Activation
from sksparse_mlp.core.learning_rates import LEARNING_RATES
from sksparse_mlp.core.optimizers import OPTIMIZERS
from sksparse_mlp.initializers import INITIALIZERS, Initializer
from sksparse_mlp.schedules import ZETA_SCHEDULES
from sksparse_mlp.topology import GROWTHS, PRUNINGS, Growth, ImportancePruning


class Parameters:
    """Mixin of the estimators: their shared parameters.

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

    epsilon : float or array-like of float, default=10
        Sets the number of connections. The layer between ``n_in`` and ``n_out`` neurons
        has ``epsilon * (n_in + n_out)`` of them, rounded; it is full if that is more
        than ``n_in * n_out``. A sequence has one for each layer of connections, of which
        there is one more than hidden layers.

    density : float or None, default=None
        In place of `epsilon`: the share of all possible connections that exist, in
        (0, 1]. It makes the `epsilon` that all layers have in common, so that small
        layers are denser than large ones, and full before them; 1 fills all layers.

    zeta : float, default=0.3
        Share of the connections replaced at each evolution, in [0, 1), for a named
        schedule. 0 keeps the initial topology.

    zeta_schedule : str or callable, default="constant"
        Zeta at every epoch: "constant" (SET), "linear" (LDV), "oscillating" (OSV),
        "exponential" (EXD), "cosine", "loss" (which falls as the training loss does), an
        instance from :mod:`sksparse_mlp.schedules`, or any function of (epoch, n_epochs),
        with epochs counted from 0, whose values are in [0, 1). A named schedule begins at
        `zeta`.

    growth : str, Growth or list of these, default="random"
        Where new connections grow: "random" (SET), "liset", "gradient" (RigL), "ctre"
        (alike activations), "cht" (many paths), or an instance from
        :mod:`sksparse_mlp.topology`; a list has one of these for each layer of
        connections. They start without momentum, at weight zero.

    gamma : float, default=0.0
        How little "liset" prefers useful inputs; large values make it like "random".

    evolve_every : "epoch" or int, default="epoch"
        When the topology evolves: after each epoch of `fit` but the last and never in
        `partial_fit`, or in both after every so many updates. Full layers never evolve.

    evolve_until : float, default=1.0
        Share of the epochs in which the topology evolves, in (0, 1].

    n_features_to_select : int, float, "auto" or None, default=None
        Number of input neurons, or their share in (0, 1], that remain at the end. After
        a quarter of the epochs the weakest (by absolute weights, multiplied along the
        paths to the outputs and summed) begin to leave, fast at first and ever more
        slowly, and their connections move to the others as far as these have room. All
        is settled after 42 % of the epochs, and before that no plateau ends training, no
        best network is kept, and the penalty is stronger than `alpha` where the network
        has learned enough to bear it. "auto" lets all but one leave until half of the
        epochs are over, and goes on from where the loss of validation samples was
        lowest. They are those of `X_val`; else a `validation_fraction` is set apart,
        from which the network learns thereafter, unless with `early_stopping`. Features
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

    learning_rate : str, default="cosine"
        Schedule of the learning rate, of both solvers:

        - "constant": `learning_rate_init`;
        - "invscaling": ``learning_rate_init / (samples seen + 1) ** power_t``;
        - "adaptive": divided by 5 whenever training would otherwise stop;
        - "exponential": multiplied by 0.99 after each epoch;
        - "cosine": half a cosine from `learning_rate_init` down to zero at `max_iter`,
          which `partial_fit` begins anew after as many passes.

    learning_rate_init : float, default=0.005
        The learning rate of the first epoch.

    power_t : float, default=0.5
        Exponent of "invscaling".

    max_iter : int, default=60
        Number of epochs, unless training stops before. 0 gives the untrained network.

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
        Whether `fit` stops when the validation samples say so, by `scoring`, and goes back
        to the best epoch (the last of equally good ones). If `fit` gets `X_val`, the
        weights and the topology of that epoch are restored. Else samples are set apart
        to find it, and then a new network, with the same seed, learns from all of them
        for as many epochs at the same learning rates, which costs up to as much time
        again; `history_` and callbacks tell of the first one. The best epoch of the
        first one is restored where `warm_start` goes on, where training diverges, and
        after Ctrl-C.

    scoring : str or callable, default="loss"
        What validation samples are judged by with `early_stopping`: their loss, or the
        name of one of scikit-learn's scorers, or a function of (estimator, X, y).

    validation_fraction : float, default=0.2
        Share of the samples set apart. Where each has one label they are stratified, and
        both parts must hold every class.

    n_iter_no_change : int or numpy.inf, default=10
        Training stops after more than so many epochs in a row without improvement of
        the loss, or with `early_stopping` of what `scoring` says of the validation
        samples, and then not before 100 updates without.

    tol : float, default=0.0001
        Smallest change that counts as an improvement.

    warm_start : bool, default=False
        Whether `fit` continues from the weights and topology of the previous `fit`.

    record : sequence of str, default=()
        What `history_` has besides the usual: "train_score" is the `score` on the
        training samples, and takes a pass over them after every epoch;
        "effective_gradient_flow" is that of :mod:`sksparse_mlp.analysis` after every
        epoch, from one in twenty of these samples but at least a batch, always the same.

    random_state : int, RandomState instance or None, default=None
        Seeds three independent streams: initialisation; shuffling and dropout; topology.

    verbose : bool, default=False
        Whether to print a line per epoch. For a progress bar use
        ``set_callbacks(sklearn.callback.ProgressBar())``, with scikit-learn >= 1.9.

    n_jobs : int or None, default=None
        Threads that share the rows of large layers; None means 1 and -1 all cores. The
        result does not depend on it.
    """

    _parameter_constraints: dict[str, Any] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS)), Activation, list, tuple],
        "slope": [Interval(Real, 0, None, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither"), "array-like"],
        "density": [None, Interval(Real, 0, 1, closed="right")],
        "zeta": [Interval(Real, 0, 1, closed="left")],
        "zeta_schedule": [StrOptions(set(ZETA_SCHEDULES)), callable],
        "growth": [StrOptions(set(GROWTHS)), Growth, list, tuple],
        "gamma": [Interval(Real, None, None, closed="neither")],
        "pruning": [None, StrOptions(set(PRUNINGS)), ImportancePruning],
        "n_features_to_select": [
            None,
            StrOptions({"auto"}),
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
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "shuffle": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "adam_epsilon": [Interval(Real, 0, None, closed="neither")],
        "early_stopping": ["boolean"],
        "scoring": [StrOptions({"loss", *get_scorer_names()}), callable],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"),
            Options(Real, {np.inf}),
        ],
        "tol": [Interval(Real, 0, None, closed="left")],
        "warm_start": ["boolean"],
        "record": ["array-like", tuple, str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "n_jobs": [None, Integral],
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
        record: Sequence[str] = (),
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
        n_jobs: int | None = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.slope = slope
        self.epsilon = epsilon
        self.density = density
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
        self.scoring = scoring
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.record = record
        self.random_state = random_state
        self.verbose = verbose
        self.n_jobs = n_jobs
