"""Write ``families.md``, the tables of every registered member, from the registries.

Run as ``python docs/families.py``; a test holds the committed page to the code.
"""

import inspect
from pathlib import Path

from sksparse_mlp.activations import ACTIVATIONS
from sksparse_mlp.core.learning_rates import LEARNING_RATES
from sksparse_mlp.core.optimizers import OPTIMIZERS
from sksparse_mlp.initializers import INITIALIZERS
from sksparse_mlp.losses import LOSSES
from sksparse_mlp.schedules import ZETA_SCHEDULES
from sksparse_mlp.topology import GROWTHS, PRUNINGS

PAGE = Path(__file__).with_name("families.md")


def summary(cls):
    """The first sentence of the class's docstring."""
    return inspect.getdoc(cls).split("\n\n")[0].replace("\n", " ")


def parameters(cls):
    """Constructor parameters and defaults, as one would write them."""
    values = cls().get_params()
    return ", ".join(f"`{name}={value!r}`" for name, value in values.items()) or "-"


def table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def activation_row(name, cls):
    learns = {"batch": "at every update", "epoch": "once per epoch"}
    learned = learns[cls().update] if cls.learnable else "-"
    return [
        f"`{name}`",
        cls.__name__,
        summary(cls),
        parameters(cls),
        learned,
        cls.initializer,
    ]


def page():
    """The whole page as Markdown."""
    header = ["name", "class", "what it is", "parameters"]
    parts = [
        "# Families",
        "Made by `python docs/families.py` from the registries. A name or an instance of "
        "the class can be given to the parameter of the networks in the heading.",
        "## activation",
        table(
            [*header, "learns", 'init="auto"'],
            [activation_row(name, cls) for name, cls in ACTIVATIONS.items()],
        ),
    ]
    for parameter, registry in (
        ("init", INITIALIZERS),
        ("zeta_schedule", ZETA_SCHEDULES),
        ("growth", GROWTHS),
        ("pruning", PRUNINGS),
        ("loss (of regression)", LOSSES),
    ):
        rows = [
            [f"`{name}`", cls.__name__, summary(cls), parameters(cls)]
            for name, cls in registry.items()
        ]
        parts += [f"## {parameter}", table(header, rows)]
    for parameter, registry in (("solver", OPTIMIZERS), ("learning_rate", LEARNING_RATES)):
        rows = [[f"`{name}`", summary(cls)] for name, cls in registry.items()]
        parts += [
            f"## {parameter}",
            "Given by name only.",
            table(["name", "what it is"], rows),
        ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
