"""Zhang's Tables 7.1 and 7.2 on CIFAR-10."""

from benchmarks.literature import zhang
from benchmarks.tables import markdown

SLOPE, N_EPOCHS, N_SEEDS = 0.75, 40, 1
NETWORK = zhang.protocol(batch_size=128, hidden_layer_sizes=(4000, 1000, 4000), epsilon=20)
TEXT = """\
3072-4000-1000-4000-10, epsilon 20, batches of 128, {n} epochs, slope {slope}. The figures
of the document are the best of its 500 epochs: what fewer epochs can show is the order.
The pixels are those of a copy of the data set that was stored as JPEG, so that single ones
differ from the original."""


def measured(runs):
    """Per activation, the results of the seeds."""
    zhang.deviations(runs)
    n_epochs = runs.reduced("epochs", document=500, here=N_EPOCHS)
    seeds = range(runs.reduced("seeds", document=3, here=N_SEEDS))
    network = NETWORK | {"max_iter": runs.epochs(n_epochs)}
    return zhang.results_by_activation(runs, "cifar10", SLOPE, network, seeds)


WITHOUT_DECAY = {"n_epochs": 500, "n_seeds": 1}


def networks_without_decay(runs):
    """Per activation, the results of the seeds without weight decay."""
    return zhang.networks_without_decay(runs, "cifar10", SLOPE, NETWORK, **WITHOUT_DECAY)


def run(runs):
    results, without = measured(runs), networks_without_decay(runs)
    zhang.plot_curves(results, runs.path(".png"), SLOPE)
    runs.finish(
        "CIFAR-10 (Zhang 2023, Tables 7.1 and 7.2)",
        TEXT.format(n=runs.epochs(N_EPOCHS), slope=SLOPE),
        zhang.PROTOCOL.format(alpha=NETWORK["alpha"]),
        f"## Table 7.1: best test accuracy in %, slope {SLOPE}",
        markdown(zhang.accuracy_table("cifar10", results)),
        "![Accuracy and gradient flow](cifar.png)",
        "## Table 7.1: effective gradient flow",
        zhang.FLOW.format(n=zhang.N_OBSERVED),
        markdown(zhang.flow_table("cifar10", results)),
        *zhang.slopes_section("cifar10", SLOPE, results),
        *zhang.without_decay(runs, "cifar10", SLOPE, without),
    )
