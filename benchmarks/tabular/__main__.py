"""``python -m benchmarks.tabular``: measure what is missing, then write the page.

Finished cells are kept in ``benchmarks/tabular/results.jsonl``, so that a killed run goes
on where it was; ``--again MODEL`` forgets those of a model first.
"""

import argparse
import json
from pathlib import Path

from threadpoolctl import threadpool_limits

from benchmarks import headline
from benchmarks.tabular import disturbed, report
from benchmarks.tabular.models import measure, models
from benchmarks.tabular.sets import index, split

CELLS = Path(__file__).with_name("results.jsonl")
N_SPLITS = 3


def finished():
    """The cells measured so far."""
    lines = CELLS.read_text(encoding="utf-8").splitlines() if CELLS.exists() else []
    return [json.loads(line) for line in lines]


def keep(cells, mode="a"):
    with CELLS.open(mode, encoding="utf-8") as file:
        file.writelines(json.dumps(cell) + "\n" for cell in cells)


def forget(names):
    keep([cell for cell in finished() if cell["model"] not in names], mode="w")


def key(cell):
    return cell["data"], cell["split"], cell["model"]


def measure_missing(sets, names, seeds):
    done, compiled = set(map(key, finished())), set()
    for data, record in sets.items():
        task = record["task"]
        wanted = models(task, names)
        for seed in seeds:
            missing = [n for n in wanted if (data, seed, n) not in done]
            parts = split(record, seed) if missing else None
            for name in missing:
                if name not in compiled:
                    # What is compiled at the first use is in nobody's time.
                    measure(wanted[name], name, task, parts)
                    compiled.add(name)
                cell = {"task": task, "data": data, "split": seed, "model": name}
                cell |= measure(wanted[name], name, task, parts)
                keep([cell])
                print(cell, flush=True)


def write_page():
    """Make the pages of what there is."""
    report.write(finished(), index(), disturbed.section())
    headline.main()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", help="only these")
    parser.add_argument(
        "--models",
        nargs="+",
        help="only these; RealMLP and TabM, which need pytabkit, only if they are named",
    )
    parser.add_argument("--again", nargs="+", default=[], help="forget these models' cells")
    parser.add_argument("--splits", type=int, default=N_SPLITS)
    options = parser.parse_args()
    forget(options.again)
    sets = {n: r for n, r in index().items() if options.sets is None or n in options.sets}
    with threadpool_limits(1):
        measure_missing(sets, options.models, range(options.splits))
    write_page()


if __name__ == "__main__":
    main()
