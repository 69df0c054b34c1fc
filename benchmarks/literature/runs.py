"""Finished runs of an experiment, kept in a file, and what is reported of them."""

import json
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.peers.report import machine

FOLDER = Path(__file__).parent / "results"


class Runs:
    """Results of runs by what they were asked to do; those in the file are not repeated.

    Parameters
    ----------
    name : str
        Names the experiment, its command and its files.
    """

    def __init__(self, name: str):
        self.command = f"python -m benchmarks.literature {name}"
        self.name = name
        self.context = {"command": self.command, **machine()}
        self._used: list[dict] = []
        path = self.path("json")
        self._kept = json.loads(path.read_text())["runs"] if path.is_file() else []

    def path(self, suffix: str) -> Path:
        return FOLDER / f"{self.name}{suffix if '.' in suffix else '.' + suffix}"

    def __call__(self, function: Callable[..., dict], **settings) -> dict:
        """What ``function(**settings)`` returns, now or in an earlier run."""
        settings_text = json.dumps({"run": function.__name__, **settings}, default=repr)
        asked = json.loads(settings_text)
        run = next((run for run in self._kept if run["settings"] == asked), None)
        if run is None:
            started = time.perf_counter()
            result = function(**settings)
            run = {"settings": asked, "result": result}
            run["seconds"] = round(time.perf_counter() - started, 1)
            self._kept.append(run)
            print(asked, f"{run['seconds']} s", flush=True)
        if not any(used is run for used in self._used):
            self._used.append(run)
        self._write(self._kept)
        return run["result"]

    def finish(self, *parts: str) -> None:
        """Forget runs that nobody asked for, and write the report."""
        self._write(self._used)
        title, *rest = parts
        seconds = sum(run["seconds"] for run in self._used)
        made = (
            f"Made by `{self.command}` with `SKSPARSE_MLP_DATA` set, in {seconds:.0f} s of "
            f"one core ({self.context['CPU']}; {self.context['versions']})."
        )
        text = "\n\n".join([f"# {title}", made, *rest])
        self.path("md").write_text(text + "\n", encoding="utf-8")

    def _write(self, runs):
        lines = ",\n".join(json.dumps(run) for run in runs)
        context = json.dumps(self.context)
        FOLDER.mkdir(exist_ok=True)
        self.path("json").write_text(f'{{"context": {context},\n"runs": [\n{lines}\n]}}\n')
