"""Radu: SET against LiSET on MNIST and ISOLET."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from benchmarks.accuracy import TestAccuracy
from benchmarks.data import load
from benchmarks.literature.runs import Runs
from benchmarks.tables import markdown
from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.analysis import average_ratioed_accuracy
from sksparse_mlp.topology import LiSET, RandomGrowth

SEEDS = (0, 1, 2)
GAMMAS = (-24, -5, 0, 3)
# Of the weights of new connections, relative to He's initialisation.
SCALE = 0.5
NETWORKS = {
    "mnist": {"hidden_layer_sizes": (300, 100), "learning_rate_init": 0.001},
    "isolet": {"hidden_layer_sizes": (512, 256, 128), "learning_rate_init": 0.01},
}
SHARED = {
    "activation": "leaky_relu",
    "slope": 0.01,
    "zeta": 0.3,
    "solver": "sgd",
    "momentum": 0.0,
    "nesterovs_momentum": False,
    "alpha": 0.0,
    "dropout": 0.3,
    "batch_size": 100,
    "max_iter": 250,
    "n_iter_no_change": 250,
}
# Data set and epsilon; the document's ARA and final accuracy of SET, and the best of each
# that LiSET has with any gamma.
PRINTED = {
    ("mnist", 4.5): (65.77, 85.14, 74.13, 87.14),
    ("mnist", 9): (75.17, 88.28, 81.26, 89.87),
    ("isolet", 21): (60.21, 83.26, 64.59, 85.70),
    ("isolet", 42): (79.99, 92.88, 81.56, 93.39),
}
SPARSEST = [("mnist", 4.5), ("isolet", 21)]


def train(data, epsilon, growth, seed, network):
    """Test accuracy in percent after every epoch."""
    X_train, y_train, X_test, y_test = load(data)
    scaler = MaxAbsScaler() if X_train.dtype == np.uint8 else StandardScaler()
    X_train = scaler.fit_transform(X_train.astype(np.float32))
    accuracy = TestAccuracy(scaler.transform(X_test.astype(np.float32)), y_test)
    model = SparseMLPClassifier(
        epsilon=epsilon, growth=growth, random_state=seed, **network
    )
    model.set_callbacks(accuracy).fit(X_train, y_train)
    return {"accuracy": [round(100 * score, 2) for score in accuracy.scores]}


def rules():
    """The compared growth rules by name."""
    liset = {
        f"LiSET, gamma {gamma}": LiSET(gamma=float(gamma), scale=SCALE) for gamma in GAMMAS
    }
    full_rate = LiSET(gamma=0.0, learning_rate_factor=1.0, scale=SCALE)
    return {"SET": RandomGrowth(SCALE), **liset, "LiSET, gamma 0, full rate": full_rate}


def rules_from_zero():
    """Rules whose new connections start at zero."""
    return {
        "SET": RandomGrowth(),
        "LiSET, gamma -24": LiSET(gamma=-24.0),
        "LiSET, gamma 0": LiSET(gamma=0.0),
    }


def compare(runs, data, epsilon, growths):
    """One row per rule, and its mean accuracies by epoch."""
    rows, curves = [], {}
    for name, growth in growths.items():
        scores = np.array([
            runs(train, data=data, epsilon=epsilon, growth=growth, seed=seed,
                 network=SHARED | NETWORKS[data])["accuracy"]
            for seed in SEEDS
        ])  # fmt: skip
        aras = [average_ratioed_accuracy(score) for score in scores]
        rows.append(
            {
                "rule": name,
                "ARA": np.mean(aras),
                "ARA by seed": " ".join(f"{ara:.2f}" for ara in aras),
                "final": scores[:, -1].mean(),
                "final by seed": " ".join(f"{score:.2f}" for score in scores[:, -1]),
            }
        )
        curves[name] = scores.mean(axis=0)
    return pd.DataFrame(rows), curves


def summary_row(data, epsilon, table):
    set_ara, set_final, liset_ara, liset_final = PRINTED[data, epsilon]
    ours = table[table["rule"].str.startswith("LiSET")]
    best = ours.loc[ours["ARA"].idxmax()]
    own_set = table.iloc[0]
    return {
        "data": data,
        "epsilon": str(epsilon),
        "SET ARA, document": set_ara,
        "LiSET ARA, document": liset_ara,
        "SET ARA": own_set["ARA"],
        "LiSET ARA": best["ARA"],
        "at": best["rule"].removeprefix("LiSET, "),
        "higher by": best["ARA"] - own_set["ARA"],
        "SET final, document": set_final,
        "LiSET final, document": liset_final,
        "SET final": own_set["final"],
        "LiSET final": ours["final"].max(),
    }


def plot(curves_of, path):
    figure, axes = plt.subplots(2, 2, figsize=(9, 7), layout="constrained")
    for ax, ((data, epsilon), curves) in zip(axes.flat, curves_of.items(), strict=True):
        own_set = curves["SET"]
        for (name, scores), style in zip(
            curves.items(), ("k-", "-", "--", "-.", ":", "k:"), strict=True
        ):
            smooth = pd.Series(scores - own_set).rolling(10, min_periods=1).mean()
            ax.plot(smooth, style, label=name)
        ax.set(title=f"{data}, epsilon {epsilon}", xlabel="epoch")
        ax.set_ylim(-4, 4)
    axes[0, 0].set_ylabel("test accuracy less SET's (points)")
    axes[1, 0].set_ylabel("test accuracy less SET's (points)")
    axes[0, 0].legend()
    figure.savefig(path, dpi=120)


PROTOCOL = """\
MNIST 784-300-100-10 (learning rate 0.001) and ISOLET 617-512-256-128-26 (0.01): gradient
descent without momentum, batches of 100, Leaky ReLU (0.01), dropout 0.3, zeta 0.3 after
every epoch, 250 epochs, skip dropout 0.5, float32; pixels divided by 255, ISOLET
standardised. Test accuracy after every epoch of the network alone; ARA with b = 0.5; means
of 3 seeds, in %.

The document leaves the momentum and the weights of new connections open. Here these are
normal, {scale} times as large as He's initialisation, for SET and LiSET alike: SET then
ends about as high as in the document. With the package's default, new connections at zero,
they stay the weakest at these small learning rates and are removed again before they
matter, so that the choice of where to grow is without effect (last tables). The document's
own program never changes its masks, so its figures are no guide to the size of the
difference.

LiSET's skip matrices learn here at 0.01 of the network's learning rate (the default of
`LiSET`), so that they find useful inputs without taking the network's work away. *Full
rate* trains them at the network's own, as the document describes.

The first table has the best of four gammas, as the document does; mind that a rule's seeds
differ by up to a point among themselves."""


def run():
    runs = Runs("liset")
    summary, details, from_zero, curves_of = [], [], [], {}
    for data, epsilon in PRINTED:
        table, curves_of[data, epsilon] = compare(runs, data, epsilon, rules())
        summary.append(summary_row(data, epsilon, table))
        details += [f"## {data}, epsilon {epsilon}", markdown(table)]
    for data, epsilon in SPARSEST:
        table, _ = compare(runs, data, epsilon, rules_from_zero())
        title = f"## {data}, epsilon {epsilon}, new connections at zero"
        from_zero += [title, markdown(table)]
    plot(curves_of, runs.path(".png"))
    runs.finish(
        "LiSET against SET (Radu 2021, Tables 2 and 3)",
        PROTOCOL.format(scale=SCALE),
        "## ARA and final accuracy, the best gamma of each",
        markdown(pd.DataFrame(summary)),
        *details,
        "Differences from SET, means of 3 seeds and 10 epochs:",
        "![Differences](liset.png)",
        *from_zero,
    )
