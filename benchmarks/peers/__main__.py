"""The command line of the measurements."""

import argparse
import sys
import time
import warnings

from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from benchmarks import data, headline, peers
from benchmarks.peers import (
    batches,
    break_even,
    epochs,
    fits,
    kernels,
    overhead,
    report,
    roofline,
    startup,
    threads,
)

SECTIONS = {
    "epochs": epochs.measure,
    "threads": threads.measure,
    "break-even": break_even.measure,
    "kernels": kernels.measure,
    "roofline": roofline.measure,
    "batches": batches.measure,
    "overhead": overhead.measure,
    "fits": fits.measure,
    "startup": startup.measure,
}


def _parser():
    parser = argparse.ArgumentParser(
        "python -m benchmarks.peers", description=peers.__doc__
    )
    add = parser.add_argument
    add("--repeats", type=int, default=7, help="measurements of everything (%(default)s)")
    add("--full", action="store_true", help="all 60,000 samples of MNIST")
    add(
        "--only", choices=SECTIONS, help="print this section; leave the results as they are"
    )
    return parser


def main():
    options = _parser().parse_args()
    started, context = time.perf_counter(), report.machine()
    names = [options.only] if options.only else list(SECTIONS)
    sections = {}
    # A network that diverges stops early and would look fast.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        for name in names:
            sections[name] = SECTIONS[name](options)
            print(sections[name].to_markdown(), flush=True, end="\n\n")
            print(report.table(sections[name].targets), flush=True, end="\n\n")
    if not options.only:
        context["peers"] = report.versions(report.PEER_PACKAGES) or "none installed"
        context["command"] = " ".join(["python -m benchmarks.peers", *sys.argv[1:]])
        context["data"] = f"from {data.VARIABLE}" if data.has_folder() else "random"
        context["repeats"] = str(options.repeats)
        context["duration"] = f"{time.perf_counter() - started:.0f} s"
        report.write(sections, context)
        headline.main()


if __name__ == "__main__":
    main()
