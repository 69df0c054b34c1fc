"""Zhang's Tables 7.1 and 7.2 on Fashion-MNIST."""

from benchmarks.literature import zhang
from benchmarks.tables import markdown

SLOPE = 0.6
NETWORK = zhang.protocol(
    batch_size=128, hidden_layer_sizes=(1000, 1000, 1000), epsilon=20, max_iter=80
)
DOCUMENTS_EPOCHS = 500
EPOCHS = """\
784-1000-1000-1000-10, epsilon 20, batches of 128, {n} epochs and three seeds. The document
trains for {all}, which is below with one seed."""
LONG = """\
One seed, all else as above. The same measures by how long the network was trained: what
is missing above is epochs."""


def run(runs):
    network = NETWORK | {"max_iter": runs.epochs(NETWORK["max_iter"])}
    results = zhang.results_by_activation(runs, "fashion_mnist", SLOPE, network)
    long = zhang.results_by_activation(
        runs, "fashion_mnist", SLOPE,
        NETWORK | {"max_iter": runs.epochs(DOCUMENTS_EPOCHS)}, zhang.SEEDS[:1],
    )  # fmt: skip
    zhang.plot_curves(results, runs.path(".png"), SLOPE)
    runs.finish(
        "Fashion-MNIST (Zhang 2023, Tables 7.1 and 7.2)",
        EPOCHS.format(n=network["max_iter"], all=DOCUMENTS_EPOCHS),
        zhang.PROTOCOL.format(alpha=NETWORK["alpha"]),
        f"## Table 7.1: best test accuracy in %, slope {SLOPE}",
        markdown(zhang.accuracy_table("fashion_mnist", results)),
        "![Accuracy and gradient flow](fashion.png)",
        "## Table 7.2: effective gradient flow",
        zhang.FLOW.format(n=zhang.N_OBSERVED),
        markdown(zhang.flow_table("fashion_mnist", results)),
        f"## The document's {DOCUMENTS_EPOCHS} epochs",
        LONG,
        markdown(zhang.accuracy_table("fashion_mnist", long)),
        markdown(zhang.flow_table("fashion_mnist", long)),
    )
