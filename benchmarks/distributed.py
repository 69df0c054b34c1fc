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
from functools import partial
from itertools import product
from operator import attrgetter
from pathlib import Path

import dask.array as da
import numpy as np
import pandas as pd
from distributed import Client, LocalCluster

from benchmarks.accuracy import NETWORKS, SHARED
from benchmarks.peers.report import machine
from benchmarks.samples import scaled
from benchmarks.tables import markdown
from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.distributed import DaskSparseMLPClassifier

JSON, REPORT = Path("docs/distributed.json"), Path("docs/distributed.md")
EPOCHS = {"isolet": 50, "mnist": 10}
N_WORKERS, REPEATS, PROBE_BYTES = 2, 20, 2**26
# Partitions, divisor of the batch size, epochs per round, optimizer state.
REFERENCE = (2, 1, 1, "restarted")
SETUPS = {
    "isolet": [
        REFERENCE,
        (2, 1, 1, "averaged"),
        (2, 2, 1, "restarted"),
        (2, 1, 5, "restarted"),
        (8, 1, 1, "restarted"),
        (8, 8, 1, "restarted"),
        (8, 8, 5, "restarted"),
    ],
    "mnist": [REFERENCE, (2, 1, 1, "averaged")],
}
# Bytes per second of networks that are not here.
LINKS = {"1 Gbit/s": 1e9 / 8, "10 Gbit/s": 1e10 / 8}
WORKERS, SAMPLES = (2, 4, 8, 16, 100), (10**6, 10**7, 10**8)


# --- measurements ---------------------------------------------------------------------


def shuffled(name):
    """The data set with its training samples in random order."""
    X_train, y_train, X_test, y_test = scaled(name)
    order = np.random.default_rng(0).permutation(y_train.size)
    return X_train[order], y_train[order], X_test, y_test


def network(name, batch_divisor=1):
    params = SHARED | NETWORKS[name] | {"max_iter": EPOCHS[name]}
    params["batch_size"] = max(2, params["batch_size"] // batch_divisor)
    return SparseMLPClassifier(**params, random_state=0)


def alone(name):
    """One process: accuracy, and seconds per epoch."""
    X_train, y_train, X_test, y_test = shuffled(name)
    model = network(name)
    # Of the processor, which other programs disturb least.
    begun = time.process_time()
    model.fit(X_train, y_train)
    seconds = (time.process_time() - begun) / model.n_iter_
    return {
        "data": name,
        "partitions": 1,
        "batch_size": model.batch_size,
        "accuracy": model.score(X_test, y_test),
        "connections": int(model.n_connections_.sum()),
        "n_samples": y_train.size,
        "seconds_per_epoch": seconds,
    }


def on_partitions(name, setup):
    """The cluster: accuracy, and what the rounds cost."""
    n_partitions, divisor, epochs_per_round, state = setup
    X_train, y_train, X_test, y_test = shuffled(name)
    size = math.ceil(y_train.size / n_partitions)
    X = da.from_array(X_train, chunks=(size, -1))
    estimator = network(name, divisor)
    model = DaskSparseMLPClassifier(
        estimator,
        n_rounds=EPOCHS[name] // epochs_per_round,
        epochs_per_round=epochs_per_round,
        optimizer_state=state,
    )
    with on_cluster():
        model.fit(X, da.from_array(y_train, chunks=size))
    # The last round has no evolution behind it.
    rounds = pd.DataFrame(model.history_[1:-1])
    moved = rounds[["bytes_sent", "bytes_received", "turnover"]].median()
    fastest = rounds[["train_seconds", "merge_seconds", "seconds"]].min()
    return {
        "data": name,
        "partitions": n_partitions,
        "batch_size": estimator.batch_size,
        "epochs_per_round": epochs_per_round,
        "optimizer_state": state,
        "accuracy": model.score(X_test, y_test),
        **moved.to_dict(),
        **fastest.to_dict(),
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


def measurements():
    """What is measured: functions by name."""
    for name, setups in SETUPS.items():
        yield f"{name} alone", partial(alone, name)
        for setup in setups:
            yield f"{name} {setup}", partial(on_partitions, name, setup)
    yield "link", measure_link


# --- the model ------------------------------------------------------------------------


def reference_run(results, name):
    """The run whose costs stand for the data set's network."""
    return results[f"{name} {REFERENCE}"]


def one_process(results, name):
    return results[f"{name} alone"]


def on_cluster_runs(results, *names):
    return [results[f"{name} {setup}"] for name in names for setup in SETUPS[name]]


def costs(results, name, bytes_per_second):
    """Seconds of training per sample; of a round, and of each worker in it."""
    one, run = one_process(results, name), reference_run(results, name)
    moved = (run["bytes_sent"] / N_WORKERS) + run["bytes_received"] / run["partitions"]
    per_worker = moved / bytes_per_second + run["merge_seconds"] / run["partitions"]
    per_sample = one["seconds_per_epoch"] / one["n_samples"]
    return per_sample, results["link"]["empty_round_seconds"], per_worker


def break_even(results, name, n_workers, epochs_per_round, bytes_per_second):
    """Samples from which a round on so many workers takes less than on one machine."""
    per_sample, fixed, per_worker = costs(results, name, bytes_per_second)
    saved = epochs_per_round * per_sample * (1 - 1 / n_workers)
    return (fixed + n_workers * per_worker) / saved


def round_seconds(results, name, n_samples, n_workers, bytes_per_second):
    """A round of one epoch on so many workers."""
    per_sample, fixed, per_worker = costs(results, name, bytes_per_second)
    return per_sample * n_samples / n_workers + fixed + n_workers * per_worker


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
from sksparse_mlp import SparseMLPClassifier

client = Client("tcp://scheduler:8786")  # or Client() for the cores of this machine
search = GridSearchCV(SparseMLPClassifier(random_state=0), {{"epsilon": [5, 10, 20]}})
with parallel_config(backend="dask", n_jobs=-1):
    search.fit(X, y)
```

Scripts need `if __name__ == "__main__":` around this, as with all processes in Python.

## Data that one machine cannot hold

`DaskSparseMLPClassifier` trains one network on a Dask array or dataframe. In every round
each partition trains a copy where it is; copies are averaged on the union of their
patterns, which is cut back to the number of connections; the topology evolves, and the next
round begins.

```python
import dask.dataframe as dd
from sksparse_mlp.distributed import DaskSparseMLPClassifier

frame = dd.read_parquet("s3://bucket/samples")
clf = DaskSparseMLPClassifier(
    SparseMLPClassifier(random_state=0), n_rounds=50, checkpoint="rounds.npz"
)
clf.fit(frame.drop(columns="label"), frame["label"])
clf.estimator_.predict(...)  # a SparseMLPClassifier like any other
```

The result depends on the partitions and on `random_state`, and not on the workers: their
number, their speed, or that some of them were killed. A fit that was killed itself goes on
from its checkpoint.

### Accuracy

Equal numbers of epochs everywhere ({epochs}); one seed; test accuracy in percent.
Partitions are random parts of the training set. Each copy makes only its partition's share
of an epoch's updates, so that with many partitions training is slower to converge: a
`batch_size` divided by their number restores the number of updates.

{accuracy}

Of the runs on partitions {n_within} of {n_partitioned} are within one point of one process.
The best of each data set beside one process, in points: {best}. What averaging the
optimizer's state gains over restarting it, the default, in points (2 partitions, 1 epoch
per round): {state_gains}. It moves {state_bytes:.1f} times the bytes.

### What a round moves and takes

Medians of bytes and the shortest times over the rounds (other programs share the machine),
on {n_workers} worker processes of this machine. Sent is the network times the workers that
get it; received is one network per partition, of which layers whose pattern has not changed
come without it. Seconds in all hold training (of the slowest partition; more partitions
than workers take turns), merging, evolution, and all that Dask and the transfer take.

{bytes}

### When a cluster pays

One round of r epochs on n samples and k workers, one partition each, takes

    r e n / k + c0 + k c1,    c1 = (bytes sent + bytes received) / B + merging

where e are the processor's seconds per sample and epoch in one process (without a cluster
the round takes r e n), c0 is a round of tasks that do nothing ({empty_ms:.1f} ms here), c1
is what each worker adds at the coordinator, and B is the speed of the connection
({speed:.0f} MB/s measured here between processes; two common speeds beside it). All of it
is measured in the run above, with 2 partitions and the default state:

{constants}

The cluster pays from n = (c0 + k c1) / (r e (1 - 1 / k)) samples on. In thousands of
samples:

{break_even}

The same in seconds that one process takes for the round, whatever its number of epochs:

{break_even_seconds}

### At 100 workers: a model, not a measurement

The formula with the measured constants, as if everything at the coordinator were done one
after the other; nothing here was run on 100 workers. Seconds per round of one epoch, and
how many times faster than one process:

{model}

What every worker adds makes the round longest again beyond k = sqrt(r e n / c1) workers:
with {most_samples:,} samples of MNIST at 10 Gbit/s beyond {most_workers:,.0f}. More epochs
per round move this limit up with their square root.

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
  another network than one process does, with accuracies as above; divide `batch_size` where
  partitions are many.
"""


def accuracy_table(results):
    rows = []
    for name in EPOCHS:
        for run in [one_process(results, name), *on_cluster_runs(results, name)]:
            rows.append(
                {
                    "data": name,
                    "partitions": "one process" if is_alone(run) else run["partitions"],
                    "batch": run["batch_size"],
                    "epochs per round": run.get("epochs_per_round", "-"),
                    "optimizer state": run.get("optimizer_state", "-"),
                    "accuracy (%)": 100 * run["accuracy"],
                    "beside one process": points(results, run),
                }
            )
    return pd.DataFrame(rows)


def is_alone(run):
    return run["partitions"] == 1


def points(results, run):
    """By how many percent a run is better than one process."""
    return 100 * (run["accuracy"] - one_process(results, run["data"])["accuracy"])


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
                "training (s)": run["train_seconds"],
                "merging (ms)": 1e3 * run["merge_seconds"],
                "in all (s)": run["seconds"],
                "turnover (%)": 100 * run["turnover"],
            }
            for run in on_cluster_runs(results, *EPOCHS)
        ]
    )


def constants_table(results):
    rows = []
    for name, (link, speed) in product(EPOCHS, all_links(results).items()):
        per_sample, _, per_worker = costs(results, name, speed)
        rows.append(
            {
                "data": name,
                "connections": one_process(results, name)["connections"],
                "connection": link,
                "e (µs)": 1e6 * per_sample,
                "c1 (ms)": 1e3 * per_worker,
            }
        )
    return pd.DataFrame(rows)


def break_even_samples(results):
    """Thousands of samples from which the cluster pays."""
    rows = []
    for name, link, epochs in product(EPOCHS, all_links(results), (1, 5)):
        row = {"data": name, "connection": link, "epochs per round": epochs}
        for k in WORKERS:
            n = break_even(results, name, k, epochs, all_links(results)[link])
            row[f"{k} workers"] = n / 1e3
        rows.append(row)
    return pd.DataFrame(rows)


def break_even_seconds(results):
    """Seconds of a round in one process from which the cluster pays."""
    rows = []
    for name, (link, speed) in product(EPOCHS, all_links(results).items()):
        per_sample, *_ = costs(results, name, speed)
        row = {"data": name, "connection": link}
        for k in WORKERS:
            row[f"{k} workers"] = per_sample * break_even(results, name, k, 1, speed)
        rows.append(row)
    return pd.DataFrame(rows)


def model_table(results):
    rows = []
    for name, n, (link, speed) in product(EPOCHS, SAMPLES, all_links(results).items()):
        there = round_seconds(results, name, n, 100, speed)
        here = n * costs(results, name, speed)[0]
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


def best_of(results, name):
    return max(points(results, run) for run in on_cluster_runs(results, name))


def state_comparison(results):
    """Points gained and bytes moved by averaging the state, over restarting it."""
    gains, ratios = [], []
    for name in EPOCHS:
        restarted = reference_run(results, name)
        averaged = results[f"{name} {(*REFERENCE[:3], 'averaged')}"]
        gains.append(points(results, averaged) - points(results, restarted))
        ratios.append(n_moved(averaged) / n_moved(restarted))
    return {
        "state_gains": ", ".join(
            f"{name} {gain:+.2f}" for name, gain in zip(EPOCHS, gains, strict=True)
        ),
        "state_bytes": sum(ratios) / len(ratios),
    }


def n_moved(run):
    return run["bytes_sent"] + run["bytes_received"]


def report(results):
    """The report as Markdown."""
    context, link = results["context"], results["link"]
    runs = on_cluster_runs(results, *EPOCHS)
    speed = LINKS["10 Gbit/s"]
    per_sample, _, per_worker = costs(results, "mnist", speed)
    return TEXT.format(
        cpu=context["CPU"],
        versions=context["versions"],
        load=context["load before the run"],
        date=context["date"],
        epochs=", ".join(f"{name} {n}" for name, n in EPOCHS.items()),
        accuracy=markdown(accuracy_table(results)),
        n_within=sum(points(results, run) >= -1 for run in runs),
        n_partitioned=len(runs),
        best=", ".join(f"{name} {best_of(results, name):+.2f}" for name in EPOCHS),
        **state_comparison(results),
        n_workers=N_WORKERS,
        bytes=markdown(bytes_table(results)),
        empty_ms=1e3 * link["empty_round_seconds"],
        speed=link["bytes_per_second"] / 1e6,
        constants=markdown(constants_table(results)),
        break_even=markdown(break_even_samples(results)),
        break_even_seconds=markdown(break_even_seconds(results)),
        model=markdown(model_table(results)),
        most_samples=SAMPLES[-1],
        most_workers=math.sqrt(per_sample * SAMPLES[-1] / per_worker),
        small=break_even(results, "mnist", 2, 1, link["bytes_per_second"]) / 1e3,
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
