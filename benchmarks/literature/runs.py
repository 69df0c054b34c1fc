"""Finished runs of an experiment, kept in a file, and what is reported of them."""

import json
import os
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from joblib import Parallel, delayed
from rich.progress import track
from threadpoolctl import threadpool_limits

from benchmarks.peers.report import machine
from benchmarks.tables import markdown
from sksparse_mlp import __version__

RESULTS = Path(__file__).parent / "results"
Cell = TypeVar("Cell", bound=Hashable)


class Runs:
    """Results of runs by what they were asked to do; those in the file are not repeated.

    Parameters
    ----------
    name : str
        Names the experiment, its command and its files.
    folder : Path
        Where the files are. Those of quick runs are in a folder of their own in there.
    quick : bool
        Whether to do so little that only the program is tried, not the document.
    full : bool
        Whether to do as much as the document did where less is done otherwise.
    only_finished : bool
        Whether to report of the runs that are finished, and to start none.
    other_versions : bool
        Whether finished runs of other versions of the package are taken along.

    Raises
    ------
    ValueError
        If there are such runs and they are not to be taken along.
    """

    def __init__(
        self,
        name: str,
        *,
        folder: Path = RESULTS,
        quick: bool = False,
        full: bool = False,
        only_finished: bool = False,
        other_versions: bool = False,
    ):
        self.command = f"python -m benchmarks.literature {name}"
        self.command += " --quick" * quick + " --full" * full
        self.name = name
        self.folder = folder / "quick" if quick else folder
        self.quick, self.full, self.only_finished = quick, full, only_finished
        self._is_reduced = False
        # Runs of cells by what they were asked to do, and whether they are finished.
        self._wanted: dict[str, bool] = {}
        self._deviations: dict[str, dict[str, Any]] = {}
        self._used: list[dict] = []
        self._kept = finished_runs(self.path("json"))
        others = {run["made"]["version"] for run in self._kept} - {__version__}
        if others and not other_versions:
            raise ValueError(
                f"{self.path('json')} has runs of version {', '.join(sorted(others))}, and "
                f"this is {__version__}. Move the file away, name another folder with "
                "--results, or take these runs along with --other-versions."
            )

    def path(self, suffix: str) -> Path:
        return self.folder / f"{self.name}{suffix if '.' in suffix else '.' + suffix}"

    def epochs(self, n: int) -> int:
        """The number of epochs, far fewer in a quick run."""
        return max(2, n // 50) if self.quick else n

    def some(self, items: Sequence, n: int = 1) -> Sequence:
        """All of them, the first ``n`` in a quick run."""
        return items[:n] if self.quick else items

    def reduced(self, what: str, *, document: int, here: int) -> int:
        """How many epochs, seeds or samples: ``here``, or with ``full`` the document's.

        The report says where these differ.
        """
        size = document if self.full else here
        self._is_reduced |= size != document
        self.deviates(what, document=document, here=size)
        return size

    def deviates(self, what: str, *, document: Any, here: Any) -> None:
        """Let the report say where a run is not as in the document."""
        if document != here:
            row = {"what": what, "document": f"{document}", "here": f"{here}"}
            self._deviations[what] = row

    def __call__(self, function: Callable[..., dict], **settings) -> dict:
        """What ``function(**settings)`` returns, now or in an earlier run."""
        return self.map(function, [settings])[0]

    def map(self, function: Callable[..., dict], grid: Iterable[dict]) -> list[dict]:
        """What the function returns for each of these settings, in their order.

        Those that are missing are run in parallel, as the surrounding
        `joblib.parallel_config` says, and kept as soon as each is finished.
        """
        grid = list(grid)
        asked = [self._asked(function, settings) for settings in grid]
        missing = {
            json.dumps(wanted): (wanted, settings)
            for wanted, settings in zip(asked, grid, strict=True)
            if self._find(wanted) is None
        }
        if missing and self.only_finished:
            raise ValueError(
                f"{len(missing)} of {len(asked)} runs of {function.__name__} are not "
                "finished, and this table needs all. Run it without --only-finished."
            )
        if missing:
            self._do(function, missing.values())
        return self._take([self._find(wanted) for wanted in asked])

    def cells(
        self, function: Callable[..., dict], grid: dict[Cell, list[dict]]
    ) -> dict[Cell, list[dict]]:
        """What the function returns for the settings of each cell, as `map`.

        The first of every cell come first. With ``only_finished`` those that are missing
        are left out, which the report says.
        """
        turns = zip_longest(*grid.values())
        order = [settings for turn in turns for settings in turn if settings is not None]
        if not self.only_finished:
            self.map(function, order)
        found = {
            cell: [self._find(self._asked(function, settings)) for settings in own]
            for cell, own in grid.items()
        }
        finished = {cell: [run for run in own if run] for cell, own in found.items()}
        for settings in order:
            asked = self._asked(function, settings)
            self._wanted[json.dumps(asked)] = self._find(asked) is not None
        return {cell: self._take(own) for cell, own in finished.items() if own}

    def by_seed(
        self,
        function: Callable[..., dict],
        cells: dict[Cell, dict],
        seeds: Iterable[int],
    ) -> dict[Cell, list[dict]]:
        """What the function returns for the settings of each cell and each seed."""
        seeds = self.some(list(seeds))
        grid = {
            cell: [settings | {"seed": seed} for seed in seeds]
            for cell, settings in cells.items()
        }
        return self.cells(function, grid)

    def _take(self, found: list[dict]) -> list[dict]:
        """Results of the runs, which the report counts."""
        self._used += [run for run in found if not any(run is used for used in self._used)]
        return [run["result"] for run in found]

    def _do(self, function, pairs):
        work = Parallel(return_as="generator_unordered")(
            delayed(_run)(function, *pair) for pair in pairs
        )
        for run in track(work, f"{self.name}: {function.__name__}", len(pairs)):
            self._kept.append(run)
            self._write(self._kept)

    def seconds(self) -> float:
        """What the runs that were asked for took."""
        return sum(run["seconds"] for run in self._used)

    def finish(self, *parts: str) -> None:
        """Forget runs that nobody asked for, and write the report."""
        self.forget_others()
        self.report(*parts)

    def forget_others(self) -> None:
        """Forget runs that nobody asked for."""
        self._write(self._used)

    def report(self, *parts: str) -> None:
        """Write the report, of the runs asked for until now.

        It says where they are not as in the document, as far as that was told.
        """
        title, *rest = parts
        machines = "; ".join(sorted({run["made"]["machine"] for run in self._used}))
        made = (
            f"Made by `{self.command}` with `SKSPARSE_MLP_DATA` set: {len(self._used)} "
            f"runs, {self.seconds():.0f} s of one core in all ({machines})."
        )
        text = "\n\n".join([f"# {title}", made, *self._not_as_there(), *rest])
        self.path("md").write_text(text + "\n", encoding="utf-8")

    def _not_as_there(self) -> list[str]:
        self.deviates(
            "runs: wanted, and finished here",
            document=len(self._wanted),
            here=sum(self._wanted.values()),
        )
        if not self._deviations:
            return []
        rows = pd.DataFrame(list(self._deviations.values()))
        title = "## Where this is not the document's"
        more = "`--full` takes as many epochs and seeds as it, where fewer are below."
        return [title, *[more] * self._is_reduced, markdown(rows)]

    def _asked(self, function, settings):
        named = json.dumps({"run": function.__name__, **settings}, default=repr)
        return json.loads(named)

    def _find(self, asked):
        return next((run for run in self._kept if run["settings"] == asked), None)

    def _write(self, runs):
        """Replace the file at once: it is whole whenever the program is killed."""
        lines = ",\n".join(json.dumps(run) for run in runs)
        command = json.dumps(self.command)
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.path("json.draft")
        draft.write_text(f'{{"command": {command},\n"runs": [\n{lines}\n]}}\n')
        os.replace(draft, self.path("json"))


def finished_runs(path: Path) -> list[dict[str, Any]]:
    """The runs in the file; none if there is no file."""
    return json.loads(path.read_text())["runs"] if path.is_file() else []


def _run(function, asked, settings):
    """One run in one thread, as it is kept."""
    started = core_seconds()
    with threadpool_limits(1):
        result = function(**settings)
    seconds = round(core_seconds() - started, 1)
    return {"settings": asked, "result": result, "seconds": seconds, "made": made()}


def core_seconds() -> float:
    """What this process and those that it waited for have had of the cores."""
    return sum(os.times()[:4])


def made() -> dict[str, str]:
    """By which version of the package, where and when a run is made."""
    context = machine()
    return {
        "version": __version__,
        "machine": f"{context['CPU']}; {context['versions']}",
        "date": context["date"],
    }
