"""The command line of the measurements."""

import argparse
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
    releases,
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
    "releases": releases.measure,
}


def _parser():
    parser = argparse.ArgumentParser(
        "python -m benchmarks.peers", description=peers.__doc__
    )
    add = parser.add_argument
    add("--repeats", type=int, default=7, help="measurements of everything (%(default)s)")
    add("--full", action="store_true", help="all 60,000 samples of MNIST")
    add("--only", choices=SECTIONS, help="this section, beside what is kept of the others")
    return parser


def _run(started, options):
    seconds = f"{time.perf_counter() - started:.0f} s"
    return {
        "peers": report.versions(report.PEER_PACKAGES) or "none installed",
        "command": f"python -m benchmarks.peers --repeats {options.repeats}"
        + (" --full" if options.full else ""),
        "data": f"from {data.VARIABLE}" if data.has_folder() else "random",
        "duration": seconds,
    }


def main():
    options = _parser().parse_args()
    # A network that diverges stops early and would look fast.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        for name in [options.only] if options.only else list(SECTIONS):
            started, context = time.perf_counter(), report.machine()
            section = SECTIONS[name](options)
            report.keep(name, section, context | _run(started, options))
            report.write(SECTIONS)
            print(section.to_markdown(), flush=True, end="\n\n")
            print(report.table(section.targets), flush=True, end="\n\n")
    if report.is_complete(SECTIONS):
        headline.main()


if __name__ == "__main__":
    main()
