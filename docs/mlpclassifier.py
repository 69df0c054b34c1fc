"""Make the page for those who know MLPClassifier, from the signatures of both classes."""

import inspect

from sklearn.neural_network import MLPClassifier

from sksparse_mlp import SparseMLPClassifier

PROLOGUE = """\
# Coming from MLPClassifier

{class}`~sksparse_mlp.SparseMLPClassifier` has the methods of scikit-learn's
`MLPClassifier`, and a parameter of the same name means the same, with **one exception:
`epsilon`** sets the number of connections here; Adam's stabiliser is called `adam_epsilon`.
So the first step is to change the import and the name of the class:

```python
from sklearn.neural_network import MLPClassifier
from sksparse_mlp import SparseMLPClassifier

dense = MLPClassifier(hidden_layer_sizes=(256, 128), max_iter=50)
sparse = SparseMLPClassifier(hidden_layer_sizes=(256, 128), max_iter=50)
```

What else differs:

- `coefs_` are sparse: `scipy.sparse` CSR arrays of shape (n_in, n_out). `coef.toarray()`
  makes one dense.
- There is no `solver="lbfgs"`.
- Data of one class are refused, where the dense class fits a constant.
- Training that reaches `max_iter` gives no ConvergenceWarning: evolving networks are
  trained for a planned number of epochs. Training that diverges gives one, and keeps the
  last sound network instead of weights that are not finite.
- `partial_fit` goes on after a fit with `early_stopping`; it sets no samples apart.
- Sample weights count by their ratios alone, so that the penalty `alpha` does not depend on
  their scale.
- A fit that ends by an error leaves the estimator as it was before.
- `n_jobs` shares the work of one fit between threads, without any effect on the result.

## The same behaviour

Where a network shall be trained as the dense class trains it, with full layers that do not
evolve, give it that class's settings:

```python
full = SparseMLPClassifier(
@settings@)
```

It then has as many connections as the dense one, and differs from it by its random numbers.
Sparsity comes back with `epsilon` or `density`, evolution with `zeta`. Where training shall
choose its own length, take {class}`~sksparse_mlp.SparseMLPClassifierCV` instead.

## Parameter by parameter

The table is made from the signatures of both classes; a dash means that a class does not
have the parameter. The defaults of the sparse one [were measured](defaults.md) on thirty
tables.
"""
SAME = "the same"
REMARKS = {
    "hidden_layer_sizes": "the same; sparse layers may be wider at the same cost",
    "activation": "the same names and [more](families.md); an instance, or a list with one "
    "per hidden layer",
    "solver": '"sgd" and "adam" are the same; no "lbfgs"',
    "alpha": "the same penalty; sparse networks took more of it in our measurements",
    "batch_size": 'the same; "auto" is at most 64 samples here and at most 200 there',
    "learning_rate": 'the same names, here of both solvers; also "exponential", "cosine"',
    "learning_rate_init": SAME,
    "power_t": SAME,
    "max_iter": "the same; 0 gives the untrained network",
    "shuffle": SAME,
    "random_state": "the same role; the streams of numbers differ",
    "tol": SAME,
    "verbose": "the same; scikit-learn's callbacks give progress bars",
    "warm_start": "the same, with the evolved topology",
    "momentum": SAME,
    "nesterovs_momentum": SAME,
    "early_stopping": "watches the loss, or `scoring`; then trains anew on all samples "
    "for as many epochs as were best",
    "validation_fraction": "the same; `fit` also takes `X_val` and `y_val`",
    "beta_1": SAME,
    "beta_2": SAME,
    "epsilon": "**another meaning**: connections per neuron here, Adam's stabiliser there",
    "n_iter_no_change": SAME,
    "max_fun": 'only for "lbfgs"',
    "density": "the share of all possible connections, in place of `epsilon`",
    "slope": "of leaky, all- and learned ReLUs",
    "zeta": "share of the connections replaced at each [evolution](guide/evolution.md)",
    "zeta_schedule": "zeta over the epochs",
    "growth": "where new connections grow: SET, LiSET, RigL, CTRE or CHT",
    "gamma": "of LiSET",
    "evolve_every": "how often the topology evolves",
    "evolve_until": "how long it does",
    "n_features_to_select": "[feature selection](guide/selection.md) while training",
    "pruning": "weak hidden neurons leave while training",
    "init": "initial weights; there always Glorot's uniform ones",
    "batch_norm": "batch normalisation of the hidden layers",
    "dropout": "in the hidden layers; 0 is what the dense class does",
    "adam_epsilon": "what is `epsilon` there",
    "class_weight": "as in scikit-learn's other classifiers",
    "record": "what `history_` has besides the usual",
    "n_jobs": "threads of one fit",
    "scoring": "what early stopping watches: the loss; there always the score",
}


# What makes layers full and leaves them alone, and what the other "auto" means.
FULL = {
    "batch_size": 200,
    "density": 1.0,
    "zeta": 0.0,
    "dropout": 0.0,
    "init": "xavier_uniform",
}


def drop_in():
    """Parameters with which a sparse network is trained as a dense one by default."""
    dense, sparse = (
        {
            name: parameter.default
            for name, parameter in inspect.signature(cls).parameters.items()
        }
        for cls in (MLPClassifier, SparseMLPClassifier)
    )
    shared = {
        name: value
        for name, value in dense.items()
        if name in sparse and name != "epsilon" and sparse[name] != value
    }
    return shared | FULL


def defaults(cls):
    """Parameters and their defaults, as one would write them."""
    parameters = inspect.signature(cls).parameters.values()
    return {parameter.name: f"`{parameter.default!r}`" for parameter in parameters}


def rows():
    """Parameter, both defaults and remark; the dense class's parameters first."""
    dense, sparse = defaults(MLPClassifier), defaults(SparseMLPClassifier)
    return [
        [f"`{name}`", dense.get(name, "-"), sparse.get(name, "-"), REMARKS[name]]
        for name in dense | sparse
    ]


def page():
    """The whole page as Markdown."""
    header = ["parameter", "MLPClassifier", "SparseMLPClassifier", "remark"]
    lines = [header, ["---"] * len(header), *rows()]
    settings = "".join(f"    {name}={value!r},\n" for name, value in drop_in().items())
    prologue = PROLOGUE.replace("@settings@", settings)
    return prologue + "\n" + "".join("| " + " | ".join(row) + " |\n" for row in lines)


def write(path):
    """Write the page, unless it is there as it shall be."""
    if not path.exists() or path.read_text() != page():
        path.write_text(page())
