"""Small fits whose results are kept, so that no change of them goes unnoticed.

``python -m benchmarks.reliability.golden`` writes ``tests/golden/fits.json`` anew, in some
seconds. With ``--digests`` it prints what every fit gives instead, to the last bit.
"""

import argparse
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from sksparse_mlp import SparseMLPClassifier, SparseMLPRegressor
from sksparse_mlp.activations import ACTIVATIONS, GAReLU
from sksparse_mlp.core.learning_rates import LEARNING_RATES
from sksparse_mlp.core.optimizers import OPTIMIZERS
from sksparse_mlp.initializers import INITIALIZERS
from sksparse_mlp.schedules import ZETA_SCHEDULES
from sksparse_mlp.topology import GROWTHS, GradientGrowth, ImportancePruning, LiSET

Network: TypeAlias = SparseMLPClassifier | SparseMLPRegressor
COMMAND = "python -m benchmarks.reliability.golden"
FILE = Path(__file__).parents[2] / "tests" / "golden" / "fits.json"
# Relative differences of what is not an integer, by dtype: at least ten times what machine
# code for other processors makes of these numbers, which
# ``python -m benchmarks.reliability.determinism`` measures.
TOLERANCES = {"float32": 1e-4, "float64": 1e-9}
N_SAMPLES, N_FEATURES = 150, 12
# Of so many samples the probabilities, or predicted numbers, are kept.
N_SHOWN = 6

SMALL = {
    "hidden_layer_sizes": (24, 16),
    "activation": "all_relu",
    "epsilon": 3,
    "batch_size": 32,
    "learning_rate_init": 0.01,
    "dropout": 0.0,
    "alpha": 1e-3,
    "max_iter": 4,
    "random_state": 0,
    "learning_rate": "constant",
}


@dataclass
class Case:
    """A training: parameters beside the `SMALL` ones, and data.

    Attributes
    ----------
    params : dict
    dtype : {"float32", "float64"}
    n_classes : int
        Or numbers or labels per sample.
    targets : {"class", "numbers", "labels"}
    method : {"fit", "partial_fit"}
    is_csr, is_weighted : bool
    """

    params: dict = field(default_factory=dict)
    dtype: str = "float64"
    n_classes: int = 3
    targets: str = "class"
    method: str = "fit"
    is_csr: bool = False
    is_weighted: bool = False

    def data(self) -> tuple:
        """X, y and sample weights."""
        rng = np.random.default_rng(7)
        X = rng.standard_normal((N_SAMPLES, N_FEATURES))
        scores = X @ rng.standard_normal((N_FEATURES, self.n_classes))
        scores += np.abs(X) @ rng.standard_normal((N_FEATURES, self.n_classes))
        X = X.astype(self.dtype)
        weights = rng.exponential(size=N_SAMPLES) if self.is_weighted else None
        if self.is_csr:
            X = sparse.csr_array(np.where(X > 0.5, X, 0))
        return X, self._targets(scores), weights

    def _targets(self, scores):
        if self.targets == "numbers":
            return scores / 5
        return scores.argmax(axis=1) if self.targets == "class" else scores > 0

    def estimator(self, **params) -> Network:
        """A new estimator; ``params`` are to be without effect on the result."""
        cls = SparseMLPRegressor if self.targets == "numbers" else SparseMLPClassifier
        return cls(**SMALL | self.params | params)

    def train(self, model) -> Network:
        """Train an estimator that is not fitted yet."""
        X, y, weights = self.data()
        if self.method == "fit":
            return model.fit(X, y, weights)
        known = {"classes": range(self.n_classes)} if self.targets == "class" else {}
        for part in (slice(0, 100), slice(100, None), slice(0, 100)):
            model.partial_fit(X[part], y[part], **known)
        return model


def _cases() -> Iterator[tuple[str, Case]]:
    for solver in OPTIMIZERS:
        for growth in GROWTHS:
            for dtype in TOLERANCES:
                params = {"solver": solver, "growth": growth}
                yield f"{solver}, {growth}, {dtype}", Case(params, dtype)
    for k, name in enumerate(ACTIVATIONS):
        params = {"activation": name, "batch_norm": k % 2 == 0}
        yield f"{name}, {'batch norm' if k % 2 == 0 else 'plain'}", Case(params)
    for family, registry in (
        ("init", INITIALIZERS),
        ("zeta_schedule", ZETA_SCHEDULES),
        ("learning_rate", LEARNING_RATES),
    ):
        for name in registry:
            yield f"{family}={name}", Case({"activation": "tanh", family: name})
    frequent = {"evolve_every": 2, "dropout": 0.3}
    early = {"early_stopping": True, "validation_fraction": 0.3}
    leaving = {"pruning": ImportancePruning(share=0.2, start=0.3, every=1)}
    selecting = {"n_features_to_select": 5, "growth": LiSET(learning_rate_factor=1.0)}
    learned = {"activation": [GAReLU(update="epoch"), "srelu"]}
    candidates = GradientGrowth(n_candidates=3, scale=0.1)
    yield "two classes", Case({"solver": "sgd", "momentum": 0.5}, n_classes=2)
    yield "evolving often", Case(frequent)
    yield "evolving often, float32", Case(frequent | {"growth": "liset"}, "float32")
    yield "candidates", Case({"growth": candidates})
    yield "early stopping", Case(early)
    yield "pruning", Case(leaving)
    yield "selection", Case(selecting)
    yield "learned activations", Case(learned, "float32")
    yield "all learned", Case(learned | {"batch_norm": True})
    yield "plain momentum", Case({"solver": "sgd", "nesterovs_momentum": False})
    yield "in order", Case({"shuffle": False, "zeta": 0})
    yield "sparse input", Case(is_csr=True)
    yield "weighted", Case({"class_weight": "balanced"}, is_weighted=True)
    yield "partial_fit", Case({"evolve_every": 3}, method="partial_fit")
    for targets in ("numbers", "labels"):
        for solver, growth, dtype in zip(
            OPTIMIZERS, ("liset", "gradient"), TOLERANCES, strict=True
        ):
            params = {"solver": solver, "growth": growth}
            yield f"{targets}, {solver}, {dtype}", Case(params, dtype, targets=targets)
        yield (
            f"{targets}, early stopping",
            Case(early, targets=targets, is_weighted=True, n_classes=2),
        )
        yield (
            f"{targets}, partial_fit",
            Case({"evolve_every": 3}, targets=targets, method="partial_fit"),
        )


CASES = dict(_cases())


# --- what is compared -----------------------------------------------------------------


def digest(model) -> str:
    """One hash of a fitted network, which a single bit changes."""
    arrays = [a for c in model.coefs_ for a in (c.indptr, c.indices, c.data)]
    arrays += [*model.intercepts_, *model.activation_parameters_]
    arrays += [values for norm in model.batch_norms_ if norm for values in norm.values()]
    parts = [array.tobytes() for array in arrays]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def summary(case: Case, model) -> dict:
    """Integers, for which equality is asked, and other numbers."""
    X = case.data()[0]
    coefs = model.coefs_
    patterns = [a.astype(np.int64).tobytes() for c in coefs for a in (c.indptr, c.indices)]
    # Batch normalisation takes away what hidden biases add: their gradient is rounding.
    biases = model.intercepts_[-1:] if model.batch_norm else model.intercepts_
    return {
        "integers": {
            "connections": model.n_connections_.tolist(),
            "moved": [[r["n_pruned"], r["n_grown"]] for r in model.history_],
            "patterns": hashlib.sha256(b"".join(patterns)).hexdigest(),
            "predictions": "".join(map(str, _codes(model, X).ravel())),
        },
        "numbers": {
            "losses": model.loss_curve_,
            "weights": [float(abs(coef.data).mean(dtype=float)) for coef in coefs],
            "biases": [float(abs(b).mean(dtype=float)) for b in biases],
            "probabilities": _outputs(model, X[:N_SHOWN]).ravel().tolist(),
        },
    }


def _codes(model, X):
    """What is predicted, for numbers only their signs."""
    predicted = model.predict(X)
    return predicted if hasattr(model, "classes_") else (predicted > 0).astype(int)


def _outputs(model, X):
    """Probabilities, or the numbers that are predicted."""
    return (model.predict_proba if hasattr(model, "classes_") else model.predict)(X)


def deviations(kept: dict, found: dict) -> dict[str, float]:
    """Largest difference of each kind of number, relative to the largest of the kind."""
    largest = {}
    for name, values in kept["numbers"].items():
        kept_values, found_values = np.array(values), np.array(found["numbers"][name])
        same_shape = kept_values.shape == found_values.shape
        size = np.abs(kept_values).max()
        difference = np.abs(kept_values - found_values).max() if same_shape else np.inf
        largest[name] = float(difference / size)
    return largest


def changes(case: Case, kept: dict, found: dict) -> list[str]:
    """What differs by more than processors may; empty if all is as it was."""
    integers = [
        f"{name}: {found['integers'][name]}, kept {value}"
        for name, value in kept["integers"].items()
        if found["integers"][name] != value
    ]
    tolerance = TOLERANCES[case.dtype]
    numbers = [
        f"{name} differ by {value:.1e}, more than {tolerance:.0e}"
        for name, value in deviations(kept, found).items()
        if not value <= tolerance
    ]
    return integers + numbers


def read() -> dict[str, dict]:
    """The kept summaries, by case."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def main():
    parser = argparse.ArgumentParser(COMMAND, description=__doc__.split("\n\n")[0])
    parser.add_argument("--digests", action="store_true")
    parser.add_argument("--summaries", action="store_true")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    with threadpool_limits(1):
        models = {
            name: CASES[name].train(CASES[name].estimator())
            for name in options.names or CASES
        }
    if options.digests:
        print(json.dumps({name: digest(model) for name, model in models.items()}))
        return
    summaries = {name: summary(CASES[name], model) for name, model in models.items()}
    if options.summaries:
        print(json.dumps(summaries))
        return
    FILE.parent.mkdir(exist_ok=True)
    lines = [f"{json.dumps(name)}: {json.dumps(s)}" for name, s in summaries.items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(FILE)


if __name__ == "__main__":
    main()
