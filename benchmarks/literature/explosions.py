"""Zhang's Figure 7.2 (d): what makes Leaky ReLU explode at epsilon 40."""

import numpy as np
import pandas as pd

from benchmarks.literature import densities, madelon, zhang
from benchmarks.literature.comparison import with_error
from benchmarks.tables import markdown
from sksparse_mlp.topology import RandomGrowth

NOTHING = {"alpha": 0.0, "dropout": 0.0}
# What the document leaves free, and a learning rate that is not its own.
PROTOCOLS = {
    "new weights of zero": {},
    "new weights half of He's": {"growth": RandomGrowth(scale=0.5)},
    "new weights as at first": {"growth": zhang.FullFanInGrowth()},
    "new weights as at first, no weight decay": {
        "growth": zhang.FullFanInGrowth(),
        "alpha": 0.0,
    },
    "new weights as at first, no dropout, no weight decay": {
        "growth": zhang.FullFanInGrowth(),
        **NOTHING,
    },
    "new weights He's": {"growth": RandomGrowth(scale=1.0)},
    "new weights He's, no dropout, no weight decay": {
        "growth": RandomGrowth(scale=1.0),
        **NOTHING,
    },
    "rate 0.05, no dropout, no weight decay": {"learning_rate_init": 0.05, **NOTHING},
}
DENSE, SPARSE = densities.EPSILONS[-1], densities.EPSILONS[0]
# Of Leaky ReLU also at the lowest density.
ALSO_SPARSE = [*PROTOCOLS][2:]
N_EPOCHS, N_SEEDS = 200, 3


def cells():
    """Protocol, epsilon and activation of every cell."""
    dense = [(p, DENSE, name) for p in PROTOCOLS for name in densities.ACTIVATIONS]
    return dense + [(p, SPARSE, "LeakyReLU") for p in ALSO_SPARSE]


def measured(runs):
    n_epochs = runs.epochs(runs.reduced("epochs", document=500, here=N_EPOCHS))
    seeds = runs.some(range(runs.reduced("seeds", document=3, here=N_SEEDS)))
    network = madelon.NETWORK | {"max_iter": n_epochs}
    grid = {
        (protocol, epsilon, name): [
            densities.settings(epsilon, name, seed, network | PROTOCOLS[protocol])
            for seed in seeds
        ]
        for protocol, epsilon, name in runs.some(cells(), 2)
    }
    return n_epochs, runs.cells(zhang.train, grid)


def ends(results, n_epochs):
    """After how many epochs the runs that did not last were no longer finite."""
    lengths = [len(result["accuracy"]) for result in results]
    return [length for length in lengths if length < n_epochs]


def row(cell, results, n_epochs):
    protocol, epsilon, name = cell
    last = np.array([result["accuracy"][-1] for result in results])
    cut = ends(results, n_epochs)
    return {
        "protocol": protocol,
        "epsilon": str(epsilon),
        "activation": name,
        "seeds": str(len(results)),
        "best accuracy (%)": with_error([max(r["accuracy"]) for r in results]),
        "last accuracy (%)": with_error(last),
        "not finite, seeds": str(len(cut)),
        "after epochs": " ".join(map(str, cut)) or "-",
        f"last below {densities.NEAR_CHANCE} %, seeds": str(
            int(np.sum(last < densities.NEAR_CHANCE))
        ),
    }


def reason(n_epochs, found):
    """Which activations are no longer finite at epsilon 40, by protocol."""
    parts = []
    for protocol in PROTOCOLS:
        own = [
            f"{name} {len(cut)} of {len(results)} (after {' '.join(map(str, cut))} epochs)"
            for (p, epsilon, name), results in found.items()
            for cut in [ends(results, n_epochs)]
            if p == protocol and epsilon == DENSE and cut
        ]
        parts.append(f"{protocol}: {', '.join(own) or 'none'}")
    return "; ".join(parts)


def alone(n_epochs, found):
    """When Leaky ReLU was no longer finite, by protocol, where nothing else was."""
    when = {}
    for protocol in PROTOCOLS:
        cuts = {
            (epsilon, name): ends(results, n_epochs)
            for (p, epsilon, name), results in found.items()
            if p == protocol
        }
        if [cell for cell, cut in cuts.items() if cut] == [(DENSE, "LeakyReLU")]:
            when[protocol] = cuts[DENSE, "LeakyReLU"]
    return when


def said_alone(n_epochs, found):
    """The same in words."""
    return "; ".join(
        f"{protocol} (after {' '.join(map(str, cut))} epochs)"
        for protocol, cut in alone(n_epochs, found).items()
    )


TEXT = """\
500-400-100-400-1 as on the page of [Madelon by density](densities.md), slope {slope},
{n} epochs. The document says that at epsilon {dense} Leaky ReLU's gradients explode after
about 100 epochs, and does not say how the weights of new connections begin, how large its
weight decay is, or which samples dropout leaves. Here these are changed, and in the last
protocol the learning rate, which the document gives as 0.01. A run ends where a weight or
the loss is no longer finite. *As at first*: new weights are normal, with the variance of
the first ones, which is by all input neurons of a layer as in the published SET code;
*He's* is by a neuron's own connections, and larger.

No longer finite, in seeds: {reason}.

Leaky ReLU at epsilon {dense} and nothing else, as in the document: {alone}."""


def run(runs):
    zhang.deviations(runs)
    runs.deviates(
        "weights of new connections", document="not said", here="zero, or as named"
    )
    runs.deviates("learning rate", document=0.01, here="0.01, or as named")
    n_epochs, found = measured(runs)
    runs.finish(
        "Explosions at epsilon 40 (Zhang 2023, Figure 7.2)",
        TEXT.format(
            slope=densities.SLOPE,
            n=n_epochs,
            dense=DENSE,
            reason=reason(n_epochs, found),
            alone=said_alone(n_epochs, found),
        ),
        markdown(pd.DataFrame([row(*item, n_epochs) for item in found.items()])),
    )
