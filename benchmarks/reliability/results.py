"""The files that the measurements leave."""

import json
import sys
from pathlib import Path

FOLDER = Path("docs/reliability")
TESTS = Path(__file__).parents[2] / "tests"


def use_tests() -> None:
    """Let the modules beside the tests be imported: their cases are measured here."""
    if str(TESTS) not in sys.path:
        sys.path.insert(0, str(TESTS))


def write(name: str, *, seeds: str, figures: list[dict], **details) -> None:
    """Write ``docs/reliability/<name>.json``.

    Parameters
    ----------
    name : str
        Also that of the module which the command runs.
    seeds : str
        The seeds of all that was random.
    figures : list of dict
        The rows of the report's table, all with the same keys.
    **details : object
        What else should be kept, as JSON has it.
    """
    # Imported here, because it takes a while and many a process never writes.
    from benchmarks.peers.report import machine

    context = {"command": f"python -m benchmarks.reliability.{name}", "seeds": seeds}
    content = {"context": context | machine(), "figures": figures} | details
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(path)
