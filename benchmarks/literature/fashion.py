"""Zhang's Tables 7.1 and 7.2 on Fashion-MNIST."""

from benchmarks.literature import zhang
from benchmarks.tables import markdown

SLOPE = 0.6
NETWORK = zhang.protocol(
    batch_size=128, hidden_layer_sizes=(1000, 1000, 1000), epsilon=20, max_iter=80
)
EPOCHS = """\
784-1000-1000-1000-10, epsilon 20, batches of 128, {n} epochs (the document trains for 500,
which would take {hours:.1f} hours of one core here)."""


def run(runs):
    network = NETWORK | {"max_iter": runs.epochs(NETWORK["max_iter"])}
    results = zhang.results_by_activation(runs, "fashion_mnist", SLOPE, network)
    zhang.plot_curves(results, runs.path(".png"), SLOPE)
    hours = runs.seconds() / network["max_iter"] * 500 / 3600
    runs.finish(
        "Fashion-MNIST (Zhang 2023, Tables 7.1 and 7.2)",
        EPOCHS.format(n=network["max_iter"], hours=hours),
        zhang.PROTOCOL.format(alpha=NETWORK["alpha"]),
        f"## Table 7.1: best test accuracy in %, slope {SLOPE}",
        markdown(zhang.accuracy_table("fashion_mnist", results)),
        "![Accuracy and gradient flow](fashion.png)",
        "## Table 7.2: effective gradient flow",
        zhang.FLOW.format(n=zhang.N_OBSERVED),
        markdown(zhang.flow_table("fashion_mnist", results)),
    )
