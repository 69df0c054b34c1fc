"""The command line of the experiments."""

import argparse

from threadpoolctl import threadpool_limits

from benchmarks import literature
from benchmarks.literature import depth, liset, madelon, nodes, schedules, selection

EXPERIMENTS = {
    "madelon": madelon.run,
    "depth": depth.run,
    "liset": liset.run,
    "schedules": schedules.run,
    "selection": selection.run,
    "nodes": nodes.run,
}


def main():
    parser = argparse.ArgumentParser(
        "python -m benchmarks.literature", description=literature.__doc__
    )
    parser.add_argument("experiment", choices=EXPERIMENTS)
    with threadpool_limits(1):
        EXPERIMENTS[parser.parse_args().experiment]()


if __name__ == "__main__":
    main()
