"""Statements of the documents, and how they are judged."""

from dataclasses import dataclass

from benchmarks.literature.runs import Runs


@dataclass(frozen=True)
class Claim:
    """A statement of a document, our figure, whether it agrees, and why if it does not."""

    claim: str
    ours: str
    agrees: str
    why: str = "-"


def kept(name: str) -> Runs:
    """The committed runs of a table."""
    return Runs(name, only_finished=True, other_versions=True)


def verdict(agrees: bool, in_part: bool = False) -> str:
    return "yes" if agrees else "in part" if in_part else "no"


def ranked(values: dict[str, float], digits: int = 1) -> str:
    order = sorted(values, key=lambda name: -values[name])
    return " > ".join(f"{name} {values[name]:.{digits}f}" for name in order)


def extent(gaps: list[float]) -> str:
    return f"{min(gaps):+.1f} to {max(gaps):+.1f}"


def spread(*cells: list[dict]) -> float:
    """By how many points the best accuracies of the seeds of a cell differ, at most."""
    best = [[max(result["accuracy"]) for result in results] for results in cells]
    return max(max(values) - min(values) for values in best)


def order_of(values: dict[str, float]) -> list[str]:
    return sorted(values, key=lambda name: -values[name])
