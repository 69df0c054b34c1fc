"""What analysis after every epoch costs: ``AnalysisRecorder`` beside the training.

``python -m benchmarks.recorder`` writes ``docs/recorder.md``.
"""

import time
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd

from benchmarks.accuracy import NETWORKS, SHARED
from benchmarks.peers.report import machine
from benchmarks.samples import scaled
from benchmarks.tables import markdown
from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.callbacks import AnalysisRecorder

PATH = Path("docs/recorder.md")
N_TRAINED = 10_000
# Of the samples that are trained on: what the documentation of the recorder recommends.
RECORDED_SHARE = 0.1
N_EPOCHS, N_IGNORED = 10, 2
MEASURES = {
    "the default ones": ("dead_nodes", "sparsity", "layer_accuracy"),
    "the layers' accuracy, continuous": ("layer_accuracy_continuous",),
    "the layers' accuracy, combined": ("layer_accuracy_combined",),
}
WANTED = 20
TEXT = """\
# Analysis after every epoch

Made by `python -m benchmarks.recorder` ({cpu}; {versions}; load before the run {load}).

The networks of `benchmarks/accuracy.py` with relu, one thread, trained on at most
{n_trained:,} samples; `AnalysisRecorder` looks at {recorded_share:.0%} of them after every
epoch. Medians of {n_epochs} epochs of one fit, each with the record that follows it. The
default measures shall cost at most {wanted} % of the training.

{table}
"""


class Timed(AnalysisRecorder):
    """Takes the time of its records."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.seconds = []

    def on_fit_task_end(self, estimator, context):
        started = time.perf_counter()
        super().on_fit_task_end(estimator, context)
        if context.task_name == "epoch":
            self.seconds.append(time.perf_counter() - started)


def row(name, data, what, measures):
    """One line of the report: the cost of these measures."""
    X, y = data
    n_recorded = round(RECORDED_SHARE * len(y))
    recorder = Timed(X[:n_recorded], y[:n_recorded], measures=measures)
    network = SHARED | NETWORKS[name] | {"activation": "relu", "max_iter": N_EPOCHS}
    model = SparseMLPClassifier(**network, random_state=0).set_callbacks(recorder)
    model.fit(X, y)
    training = [record["seconds"] for record in model.history_]
    pairs = list(zip(recorder.seconds, training, strict=True))[N_IGNORED:]
    share = 100 * median(recorded / trained for recorded, trained in pairs)
    return {
        "network": name,
        "training samples": f"{len(y):,}",
        "recorded": f"{n_recorded:,}",
        "measures": what,
        "an epoch (ms)": f"{1e3 * median(training[N_IGNORED:]):.1f}",
        "a record (ms)": f"{1e3 * median(recorder.seconds[N_IGNORED:]):.1f}",
        "share of training (%)": f"{share:.1f}",
        "met": ("yes" if share <= WANTED else "no") if "default" in what else "-",
    }


def main():
    context = machine()
    rows = []
    for name in ("mnist", "isolet"):
        X, y, *_ = scaled(name)
        order = np.random.default_rng(0).permutation(len(y))[:N_TRAINED]
        data = X[order], y[order]
        rows += [row(name, data, *item) for item in MEASURES.items()]
    text = TEXT.format(
        cpu=context["CPU"],
        versions=context["versions"],
        load=context["load before the run"],
        n_trained=N_TRAINED,
        recorded_share=RECORDED_SHARE,
        n_epochs=N_EPOCHS - N_IGNORED,
        wanted=WANTED,
        table=markdown(pd.DataFrame(rows)),
    )
    PATH.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
