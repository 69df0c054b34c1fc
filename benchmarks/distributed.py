"""Training on a cluster beside training on one machine: accuracy, bytes, break-even.

``python -m benchmarks.distributed`` takes some minutes and writes ``docs/distributed.json``
and, from it, ``docs/distributed.md``. What the former has is not measured again, unless
``--anew`` is given. The folder ``SKSPARSE_MLP_DATA`` must hold ISOLET and MNIST.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from operator import attrgetter
from pathlib import Path

import dask.array as da
import numpy as np
import pandas as pd
from distributed import Client, LocalCluster
from distributed.comm.tcp import TCP
from joblib import parallel_config

from benchmarks.peers.report import machine
from benchmarks.samples import scaled
from benchmarks.tables import markdown
from sksparse_mlp import SparseMLPClassifier, SparseMLPClassifierCV
from sksparse_mlp.distributed import DaskSparseMLPClassifier

JSON, REPORT = Path("docs/distributed.json"), Path("docs/distributed.md")
EPOCHS = {"isolet": 20, "mnist": 10}
N_WORKERS, REPEATS, PROBE_BYTES, SEEDS = 2, 20, 2**26, range(3)


@dataclass(frozen=True)
class Setup:
    """What a fit on the cluster is given; the network has its defaults."""

    n_partitions: int
    epochs_per_round: int = 1
    outer_momentum: float | None = None
    optimizer_state: str = "restarted"

    def model(self, name, seed):
        model = DaskSparseMLPClassifier(
            network(name, seed),
            n_rounds=EPOCHS[name] // self.epochs_per_round,
            epochs_per_round=self.epochs_per_round,
            optimizer_state=self.optimizer_state,
        )
        if self.outer_momentum is not None:
            model.set_params(outer_momentum=self.outer_momentum)
        return model


REFERENCE, PLAIN = Setup(4), Setup(4, outer_momentum=0.0)
SETUPS = {
    "isolet": [
        Setup(2),
        REFERENCE,
        Setup(8),
        Setup(16),
        Setup(8, outer_momentum=0.0),
        Setup(8, optimizer_state="averaged"),
        Setup(8, epochs_per_round=5),
    ],
    "mnist": [REFERENCE, PLAIN],
}
# Of a cross-fitted ensemble: from two numbers of epochs what is sent once, and what after
# every epoch, can be told apart.
ENSEMBLE_EPOCHS = (5, 20)
# Bytes per second of networks that are not here.
LINKS = {"1 Gbit/s": 1e9 / 8, "10 Gbit/s": 1e10 / 8}
WORKERS, SAMPLES = (2, 4, 8, 16, 100), (10**6, 10**7, 10**8)


# --- measurements ---------------------------------------------------------------------


def shuffled(name):
    """The data set with its training samples in random order."""
    X_train, y_train, X_test, y_test = scaled(name)
    order = np.random.default_rng(0).permutation(y_train.size)
    return X_train[order], y_train[order], X_test, y_test


def network(name, seed):
    """The default network; nothing stops it before its last epoch."""
    return SparseMLPClassifier(
        max_iter=EPOCHS[name], n_iter_no_change=np.inf, random_state=seed
    )


def alone(name):
    """One process: accuracies of seeds, and seconds per epoch."""
    X_train, y_train, X_test, y_test = shuffled(name)
    accuracies, seconds = [], []
    for seed in SEEDS:
        model = network(name, seed)
        # Of the processor, which other programs disturb least.
        begun = time.process_time()
        model.fit(X_train, y_train)
        seconds.append((time.process_time() - begun) / model.n_iter_)
        accuracies.append(model.score(X_test, y_test))
    return {
        "data": name,
        "partitions": 1,
        "batch_size": model._batch_size(),
        "accuracies": accuracies,
        "connections": int(model.n_connections_.sum()),
        "n_samples": y_train.size,
        "seconds_per_epoch": min(seconds),
    }


def on_partitions(name, setup):
    """The cluster: accuracies of seeds, and what the rounds of the last one cost."""
    X_train, y_train, X_test, y_test = shuffled(name)
    size = math.ceil(y_train.size / setup.n_partitions)
    X = da.from_array(X_train, chunks=(size, -1))
    accuracies = []
    with on_cluster():
        for seed in SEEDS:
            model = setup.model(name, seed).fit(X, da.from_array(y_train, chunks=size))
            accuracies.append(model.score(X_test, y_test))
    # The last round has no evolution behind it.
    rounds = pd.DataFrame(model.history_[1:-1])
    moved = ["bytes_sent", "bytes_received", "bytes_merged", "turnover"]
    taken = ["train_seconds", "merge_seconds", "coordinator_seconds", "seconds"]
    return {
        "data": name,
        "partitions": setup.n_partitions,
        "batch_size": model.estimator_.batch_size,
        "epochs_per_round": setup.epochs_per_round,
        "outer_momentum": model.outer_momentum,
        "optimizer_state": setup.optimizer_state,
        "accuracies": accuracies,
        **rounds[moved].median().to_dict(),
        **rounds[taken].min().to_dict(),
    }


def nothing(number):
    return number


def seconds_of(function: Callable[[], object]) -> float:
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def measure_link():
    """Seconds of a round of tasks that do nothing, and bytes per second both ways."""
    with on_cluster() as client:
        return measured_link(client)


def measured_link(client):
    def empty_round():
        client.gather(client.map(nothing, range(N_WORKERS), pure=False))

    def there_and_back():
        client.submit(nothing, client.scatter(probe, hash=False), pure=False).result()

    probe = np.random.default_rng(0).random(PROBE_BYTES // 8)
    empty = min(seconds_of(empty_round) for _ in range(REPEATS))
    both_ways = min(seconds_of(there_and_back) for _ in range(REPEATS // 2))
    return {
        "empty_round_seconds": empty,
        "bytes_per_second": 2 * PROBE_BYTES / (both_ways - empty),
    }


@contextmanager
def on_cluster():
    """The client of a cluster of processes."""
    options = {"n_workers": N_WORKERS, "threads_per_worker": 1, "dashboard_address": ":0"}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        yield client


@contextmanager
def writing():
    """The sizes of what this process, client and scheduler, sends to others."""
    sizes, write = [], TCP.write

    async def noted(*args, **kwargs):
        sizes.append(await write(*args, **kwargs))
        return sizes[-1]

    TCP.write = noted
    try:
        yield sizes
    finally:
        TCP.write = write


def ensemble(n_epochs):
    """A cross-fitted ensemble, here and with members on the cluster."""
    X, y, *_ = shuffled("isolet")

    def fitted():
        begun = time.process_time()
        model = SparseMLPClassifierCV(
            SparseMLPClassifier(max_iter=n_epochs),
            linear=False,
            n_iter_no_change=np.inf,
            random_state=0,
        ).fit(X, y)
        return model, time.process_time() - begun

    here, seconds = fitted()
    with (
        on_cluster() as client,
        writing() as sizes,
        parallel_config("dask", client=client),
    ):
        there, seconds_there = fitted()
    return {
        "epochs": n_epochs,
        "members": len(there.estimators_),
        "verdicts": len(there.history_),
        "connections": int(there.estimators_[0].n_connections_.sum()),
        "is_same": bool((here.oof_predictions_ == there.oof_predictions_).all()),
        "bytes_of_data": X.nbytes + y.nbytes,
        "bytes_written": sum(sizes),
        "seconds_here": seconds,
        "seconds_there": seconds_there,
    }


def measurements():
    """What is measured: functions by name."""
    for name, setups in SETUPS.items():
        yield f"{name} alone", partial(alone, name)
        for setup in setups:
            yield f"{name} {setup}", partial(on_partitions, name, setup)
    yield "link", measure_link
    for n_epochs in ENSEMBLE_EPOCHS:
        yield f"ensemble {n_epochs}", partial(ensemble, n_epochs)


# --- the model ------------------------------------------------------------------------


def reference_run(results, name):
    """The run whose costs stand for the data set's network."""
    return results[f"{name} {REFERENCE}"]


def one_process(results, name):
    return results[f"{name} alone"]


def on_cluster_runs(results, *names):
    return [results[f"{name} {setup}"] for name in names for setup in SETUPS[name]]


@dataclass
class Costs:
    """Seconds of a round.

    Attributes
    ----------
    per_sample : float
        Of training, on one processor.
    fixed : float
        Whatever the number of workers is.
    per_level : float
        Of each halving of what is to be merged.
    """

    per_sample: float
    fixed: float
    per_level: float

    def round(self, n_samples, n_workers, epochs_per_round=1):
        training = epochs_per_round * self.per_sample * n_samples / n_workers
        return training + self.overhead(n_workers)

    def overhead(self, n_workers):
        return self.fixed + math.ceil(math.log2(n_workers)) * self.per_level

    def break_even(self, n_workers, epochs_per_round):
        """Samples from which a round takes less than on one machine."""
        saved = epochs_per_round * self.per_sample * (1 - 1 / n_workers)
        return self.overhead(n_workers) / saved


def costs(results, name, bytes_per_second):
    one, run = one_process(results, name), reference_run(results, name)
    moving = (run["bytes_sent"] + run["bytes_received"]) / bytes_per_second
    n_levels = math.ceil(math.log2(run["partitions"]))
    return Costs(
        per_sample=one["seconds_per_epoch"] / one["n_samples"],
        fixed=results["link"]["empty_round_seconds"] + run["coordinator_seconds"] + moving,
        per_level=run["merge_seconds"] / n_levels + moving,
    )


def all_links(results):
    return {"this machine": results["link"]["bytes_per_second"], **LINKS}


# --- the report -----------------------------------------------------------------------


TEXT = """# Beyond one machine

Made by `python -m benchmarks.distributed` with `SKSPARSE_MLP_DATA` set ({cpu}; {versions};
load {load} before; {date}). `pip install 'sksparse-mlp[dask]'` installs what is needed.

## A search on a cluster

Every fit of a grid or of a cross-validation is independent of the others. joblib sends them
to the workers of a Dask cluster, and nothing changes but where they are computed: scores
and networks are those of a sequential search, to the last bit.

```python
from distributed import Client
from joblib import parallel_config
from sklearn.model_selection import GridSearchCV
from sksparse_mlp import SparseMLPClassifier, SparseMLPClassifierCV

client = Client("tcp://scheduler:8786")  # or Client() for the cores of this machine
search = GridSearchCV(SparseMLPClassifier(random_state=0), {{"epsilon": [5, 10, 20]}})
with parallel_config(backend="dask", n_jobs=-1):
    search.fit(X, y)
```

Scripts need `if __name__ == "__main__":` around this, as with all processes in Python.

Cross-fitted ensembles (`SparseMLPClassifierCV`, `SparseMLPRegressorCV`) do the same with
their members, the configurations of a grid and the linear models of the folds. Data go to
the workers once (and with `refit=True` once more); between two verdicts on the samples left
out a member trains where there is room for it, so that its network and the optimizer's
state travel to and fro. Measured on ISOLET with {n_members} members of {n_connections}
connections and one verdict after each epoch, without linear models, on {n_workers} worker
processes:

{ensembles}

*written* is all that this process, which holds client and scheduler, sends to others;
whatever is for a worker passes through both. From the two rows follow {once:.1f} MB that
are sent once, for {data:.1f} MB of data, and {each:.2f} MB per member and verdict.
*coordinator* is the CPU time of this process, beside that of the same fit without a
cluster. Every verdict waits for a round of tasks (c0 below), so that a cluster pays where
the epochs between two verdicts take longer than that. Without `parallel_config` members
train in threads of one process; with another backend of joblib, such as
`parallel_config("loky")`, in its processes.

## Data that one machine cannot hold

`DaskSparseMLPClassifier` trains one network on a Dask array or dataframe. In every round
each partition trains a copy where it is; copies are averaged on the union of their
patterns, in pairs and on the workers, and cut back to the number of connections; the
network goes by their mean change and by momentum over such changes; the topology evolves,
and the next round begins. `DaskSparseMLPRegressor` does the same for numbers.

```python
import dask.dataframe as dd
from sksparse_mlp.distributed import DaskSparseMLPClassifier

frame = dd.read_parquet("s3://bucket/samples")
clf = DaskSparseMLPClassifier(
    SparseMLPClassifier(random_state=0), n_rounds=50, checkpoint="rounds.npz"
)
clf.fit(frame.drop(columns="label"), frame["label"])
clf.estimator_.predict(X)  # a SparseMLPClassifier like any other
```

The result depends on the partitions and on `random_state`, and not on the workers: their
number, their speed, or that some of them were killed. A fit that was killed itself goes on
from its checkpoint.

### Accuracy

Equal numbers of epochs everywhere ({epochs}), {n_seeds} seeds, the network and the
cluster's estimator with their defaults but for what the table says, and no early stop; test
accuracy in percent. Partitions are random parts of the training set. Each makes only its
share of an epoch's updates; by default batches are smaller by their number, so that the
updates are as many as in one process, and the momentum over the rounds carries on what
partitions agree in.

{accuracy}

### What a round moves and takes

Medians of bytes and the shortest times over the rounds (other programs share the machine),
on {n_workers} worker processes of this machine. Sent and received is what the coordinator
sends and receives: the network, once each, whatever the number of partitions. Merged is the
sum of what workers hand to each other in pairs, each of them in no more than about
log2(partitions) steps. The coordinator's own time holds the preparation of the round, the
step and the evolution; seconds in all hold training (of the slowest partition; more
partitions than workers take turns), merging, and all that Dask and the transfer take.

{bytes}

### When a cluster pays

One round of r epochs on n samples and k workers, one partition each, takes

    r e n / k + c0 + log2(k) c1

where e are the processor's seconds per sample and epoch in one process (without a cluster
the round takes r e n); c0 is a round of tasks that do nothing ({empty_ms:.1f} ms here), the
coordinator's own time, and the network sent and received once; c1 is one merge, and the
network sent and received once more between workers; the speed of the connection is
{speed:.0f} MB/s as measured here between processes, with two common speeds beside it. All
of it is measured in the run above, with {reference} partitions:

{constants}

The cluster pays from n = (c0 + log2(k) c1) / (r e (1 - 1 / k)) samples on. In thousands of
samples:

{break_even}

The same in seconds that one process takes for the round, whatever its number of epochs:

{break_even_seconds}

### At 100 workers: a model, not a measurement

The formula with the measured constants; nothing here was run on 100 workers. Seconds per
round of one epoch, and how many times faster than one process:

{model}

More workers take longer again only beyond k = r e n ln(2) / c1: with {most_samples:,}
samples of MNIST at 10 Gbit/s beyond {most_workers:,.0f}.

## Which to use when

- **One process** (`SparseMLPClassifier`): data and network fit in memory and an epoch takes
  seconds. Up to {small:,.0f} thousand samples of MNIST's kind 2 workers on this machine do
  not make up for their rounds of one epoch.
- **`n_jobs`** of `SparseMLPClassifier`: the same, and the machine has idle cores. Threads
  share every batch; the result has the same bits. Best for large layers and batches.
- **joblib, with processes or Dask**: many fits, as in a grid search, a cross-validation or
  an ensemble, each of which fits on one worker. Nothing is averaged and nothing changes;
  use it before any other means of using many machines.
- **`DaskSparseMLPClassifier`**: one network, on data larger than one machine's memory, or
  with rounds that take one process longer than the table of seconds above says. It gives
  another network than one process does, with accuracies as above.
"""


def accuracy_table(results):
    rows = []
    for name in EPOCHS:
        for run in [one_process(results, name), *on_cluster_runs(results, name)]:
            accuracies = 100 * np.array(run["accuracies"])
            mean, deviation = accuracies.mean(), accuracies.std(ddof=1)
            rows.append(
                {
                    "data": name,
                    "partitions": "one process" if is_alone(run) else run["partitions"],
                    "batch": run["batch_size"],
                    "epochs per round": run.get("epochs_per_round", "-"),
                    "outer momentum": run.get("outer_momentum", "-"),
                    "optimizer state": run.get("optimizer_state", "-"),
                    "accuracy (%)": f"{mean:.2f} ± {deviation:.2f}",
                    "beside one process": points(results, run),
                }
            )
    return pd.DataFrame(rows)


def is_alone(run):
    return run["partitions"] == 1


def points(results, run):
    """By how many percent a run is better than one process."""
    means = [np.mean(r["accuracies"]) for r in (run, one_process(results, run["data"]))]
    return float(100 * (means[0] - means[1]))


def bytes_table(results):
    return pd.DataFrame(
        [
            {
                "data": run["data"],
                "partitions": run["partitions"],
                "batch": run["batch_size"],
                "epochs per round": run["epochs_per_round"],
                "optimizer state": run["optimizer_state"],
                "sent (MB)": run["bytes_sent"] / 1e6,
                "received (MB)": run["bytes_received"] / 1e6,
                "merged (MB)": run["bytes_merged"] / 1e6,
                "training (s)": run["train_seconds"],
                "merging (ms)": 1e3 * run["merge_seconds"],
                "coordinator (ms)": 1e3 * run["coordinator_seconds"],
                "in all (s)": run["seconds"],
                "turnover (%)": 100 * run["turnover"],
            }
            for run in on_cluster_runs(results, *EPOCHS)
        ]
    )


def constants_table(results):
    rows = []
    for name, (link, speed) in product(EPOCHS, all_links(results).items()):
        found = costs(results, name, speed)
        rows.append(
            {
                "data": name,
                "connections": one_process(results, name)["connections"],
                "connection": link,
                "e (µs)": 1e6 * found.per_sample,
                "c0 (ms)": 1e3 * found.fixed,
                "c1 (ms)": 1e3 * found.per_level,
            }
        )
    return pd.DataFrame(rows)


def break_even_samples(results):
    """Thousands of samples from which the cluster pays."""
    rows = []
    for name, link, epochs in product(EPOCHS, all_links(results), (1, 5)):
        row = {"data": name, "connection": link, "epochs per round": epochs}
        found = costs(results, name, all_links(results)[link])
        row |= {f"{k} workers": found.break_even(k, epochs) / 1e3 for k in WORKERS}
        rows.append(row)
    return pd.DataFrame(rows)


def break_even_seconds(results):
    """Seconds of a round in one process from which the cluster pays."""
    rows = []
    for name, (link, speed) in product(EPOCHS, all_links(results).items()):
        found = costs(results, name, speed)
        row = {"data": name, "connection": link}
        row |= {f"{k} workers": found.per_sample * found.break_even(k, 1) for k in WORKERS}
        rows.append(row)
    return pd.DataFrame(rows)


def model_table(results):
    rows = []
    for name, n, (link, speed) in product(EPOCHS, SAMPLES, all_links(results).items()):
        found = costs(results, name, speed)
        there, here = found.round(n, 100), found.per_sample * n
        rows.append(
            {
                "network of": name,
                "samples": f"{n:,}",
                "connection": link,
                "one process (s)": here,
                "100 workers (s)": there,
                "times faster": here / there,
            }
        )
    return pd.DataFrame(rows)


def ensemble_runs(results):
    return [results[f"ensemble {n_epochs}"] for n_epochs in ENSEMBLE_EPOCHS]


def ensemble_table(results):
    return pd.DataFrame(
        [
            {
                "epochs": run["epochs"],
                "verdicts": run["verdicts"],
                "same bits as here": "yes" if run["is_same"] else "no",
                "written (MB)": run["bytes_written"] / 1e6,
                "coordinator (s)": run["seconds_there"],
                "without a cluster (s)": run["seconds_here"],
            }
            for run in ensemble_runs(results)
        ]
    )


def ensemble_figures(results):
    """What the text says of ensembles."""
    few, many = ensemble_runs(results)
    written = many["bytes_written"] - few["bytes_written"]
    each = written / (many["verdicts"] - few["verdicts"])
    return {
        "n_members": few["members"],
        "n_connections": few["connections"],
        "ensembles": markdown(ensemble_table(results)),
        "once": (few["bytes_written"] - each * few["verdicts"]) / 1e6,
        "data": few["bytes_of_data"] / 1e6,
        "each": each / few["members"] / 1e6,
    }


def report(results):
    """The report as Markdown."""
    context, link = results["context"], results["link"]
    mnist = costs(results, "mnist", LINKS["10 Gbit/s"])
    here = costs(results, "mnist", link["bytes_per_second"])
    return TEXT.format(
        cpu=context["CPU"],
        versions=context["versions"],
        load=context["load before the run"],
        date=context["date"],
        epochs=", ".join(f"{name} {n}" for name, n in EPOCHS.items()),
        n_seeds=len(SEEDS),
        **ensemble_figures(results),
        accuracy=markdown(accuracy_table(results)),
        n_workers=N_WORKERS,
        bytes=markdown(bytes_table(results)),
        empty_ms=1e3 * link["empty_round_seconds"],
        speed=link["bytes_per_second"] / 1e6,
        reference=REFERENCE.n_partitions,
        constants=markdown(constants_table(results)),
        break_even=markdown(break_even_samples(results)),
        break_even_seconds=markdown(break_even_seconds(results)),
        model=markdown(model_table(results)),
        most_samples=SAMPLES[-1],
        most_workers=mnist.per_sample * SAMPLES[-1] * math.log(2) / mnist.per_level,
        small=here.break_even(2, 1) / 1e3,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--anew", action="store_true", help="forget what was measured")
    anew = parser.parse_args().anew or not JSON.exists()
    results = {} if anew else json.loads(JSON.read_text(encoding="utf-8"))
    results.setdefault("context", machine())
    for name, measure in measurements():
        if name not in results:
            results[name] = measure()
            print(name, results[name], flush=True)
            text = json.dumps(results, indent=1, default=attrgetter("item"))
            JSON.write_text(text + "\n", encoding="utf-8")
    REPORT.write_text(report(results), encoding="utf-8")


if __name__ == "__main__":
    main()
