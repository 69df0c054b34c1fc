"""The command line of the tables."""

import argparse
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pandas as pd
from joblib import parallel_config

from benchmarks import literature
from benchmarks.literature.runs import RESULTS, Runs, finished_runs
from benchmarks.tables import markdown
from sksparse_mlp.datasets import fetch


@dataclass(frozen=True)
class Table:
    """What a module of this package reproduces, and the data sets that it needs."""

    reproduces: str
    data: tuple[str, ...] = ()


TABLES = {
    "madelon": Table("Zhang's Tables 7.1 to 7.4 on Madelon", ("madelon",)),
    "densities": Table("Zhang's Experiment 2 (Figure 7.2) on Madelon", ("madelon",)),
    "fashion": Table("Zhang's Tables 7.1 and 7.2 on Fashion-MNIST", ("fashion_mnist",)),
    "cifar": Table("Zhang's Tables 7.1 and 7.2 on CIFAR-10", ("cifar10",)),
    "sparsity": Table("Zhang's Table 6.2"),
    "depth": Table("Price et al.'s deep networks at the edge of chaos", ("mnist",)),
    "liset": Table("Radu's Tables 2 and 3", ("mnist", "isolet")),
    "schedules": Table("Chouliaras' schedules, gradient growth", ("isolet", "mnist")),
    "chouliaras": Table(
        "Chouliaras' wide data and Fashion-MNIST, sparse and dense",
        ("orl", "prostate_ge", "glioma", "lung_discrete", "fashion_mnist"),
    ),
    "selection": Table("Input neurons that compete, on Madelon", ("madelon",)),
    "inputs": Table("Inputs selected with all else at its default", ("madelon",)),
    "recommended": Table(
        "What we would use, found on training data, beside the documents' best",
        ("madelon", "isolet", "mnist", "fashion_mnist"),
    ),
    "rivals": Table(
        "Our networks beside scikit-learn's classifiers",
        (
            "madelon",
            "isolet",
            "mnist",
            "fashion_mnist",
            "orl",
            "prostate_ge",
            "glioma",
            "lung_discrete",
        ),
    ),
    "ultra_sparse": Table(
        "Growth rules at 0.5 to 5 %, beside dense networks",
        ("madelon", "isolet", "mnist", "fashion_mnist"),
    ),
    "summary": Table("What the documents claim, beside the finished runs of the others"),
    "nodes": Table("Pretorius' Tables 5.1 and 5.2, layers as classifiers", ("mnist",)),
    "dead_nodes": Table(
        "Pretorius' Tables 5.1 and 5.2 by seeds, trained and untrained", ("mnist",)
    ),
    "layers_by_epoch": Table(
        "Pretorius' layers as classifiers, by epoch and width", ("fashion_mnist",)
    ),
    "depths": Table("Pretorius' curves by depth and width", ("mnist", "fashion_mnist")),
    "edge": Table("Price et al.: (tau, m), zeros, gradients, depth 100", ("mnist",)),
    "regrowth": Table(
        "Chouliaras' curves, new weights, the end of evolution, images",
        ("lung_discrete", "glioma", "fashion_mnist"),
    ),
    "skips": Table("Radu's Figures 3 and 5, early and deep", ("mnist", "isolet")),
    "explosions": Table("Zhang's Figure 7.2: what explodes at epsilon 40", ("madelon",)),
    "slope_signs": Table("Zhang's Table 7.4: signs of gradients", ("madelon",)),
    "dying": Table("Relu nodes that die by sparsity, Pretorius' question", ("mnist",)),
}


def listing(folder):
    """The tables, and how much of each is finished."""
    rows = [
        {
            "table": name,
            "reproduces": table.reproduces,
            "data sets": " ".join(table.data),
            "finished runs": len(finished_runs(folder / f"{name}.json")),
        }
        for name, table in TABLES.items()
    ]
    return markdown(pd.DataFrame(rows))


def parser():
    parser = argparse.ArgumentParser(
        "python -m benchmarks.literature",
        description=literature.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("table", nargs="?", choices=TABLES, help="none lists them all")
    parser.add_argument("--quick", action="store_true", help="few epochs, one seed")
    parser.add_argument(
        "--full", action="store_true", help="all epochs and seeds of the document"
    )
    parser.add_argument(
        "--only-finished", action="store_true", help="report of what is finished"
    )
    parser.add_argument("--n-jobs", type=int, default=1, help="runs at once")
    parser.add_argument(
        "--dask", metavar="ADDRESS", help="a Dask scheduler whose workers do the runs"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER")
    parser.add_argument(
        "--other-versions",
        action="store_true",
        help="take along finished runs of other versions of the package",
    )
    return parser


def backend(arguments):
    """Where runs are done."""
    if arguments.dask is None:
        return nullcontext(), parallel_config(n_jobs=arguments.n_jobs)
    from distributed import Client

    return Client(arguments.dask), parallel_config(backend="dask", n_jobs=-1)


def main():
    arguments = parser().parse_args()
    if arguments.table is None:
        print(listing(arguments.results))
        return
    # What is missing is said before any work starts.
    for name in () if arguments.only_finished else TABLES[arguments.table].data:
        fetch(name)
    runs = Runs(
        arguments.table,
        folder=arguments.results,
        quick=arguments.quick,
        full=arguments.full,
        only_finished=arguments.only_finished,
        other_versions=arguments.other_versions,
    )
    module = import_module(f"benchmarks.literature.{arguments.table}")
    client, config = backend(arguments)
    with client, config:
        module.run(runs)


if __name__ == "__main__":
    main()
