"""Write ``datasets.md``, the table of the data sets, from their registry.

Run as ``python docs/datasets.py``; a test holds the committed page to the code.
"""

from pathlib import Path

from sksparse_mlp.datasets._registry import DATA_SETS

PAGE = Path(__file__).with_name("datasets.md")
PROLOGUE = """\
# Data sets

Made by `python docs/datasets.py` from the registry. `fetch_<name>()` or `fetch("<name>")`,
both of `sksparse_mlp.datasets`, looks for a data set in three places:

1. the file `<name>.npz` in the folder that the environment variable `SKSPARSE_MLP_DATA`
   names, with the arrays `X_train`, `y_train`, `X_test` and `y_test`, or `X` and `y` for a
   data set without official split;
2. earlier downloads, in `sksparse_mlp/<name>.npz` of scikit-learn's data folder or of
   `data_home`;
3. its source on the network, unless `download_if_missing=False`.

The dtype is the smallest usual one that holds the values: scale them in a Pipeline. Labels
are those of the literature. `fetch_lung(discrete=True)` loads `lung_discrete`. Where pandas
is installed, it reads what OpenML sends, which takes less time and memory.
"""
EPILOGUE = """\
## What is verified

A file of your own must hold matrices of finite numbers and whole-numbered labels that fit
together; no object is unpickled. It may hold other samples than the published ones.

A download, and every later read of it, is held to all that is known of the data set: shape,
dtype, labels and, where a copy was at hand when this was written, the SHA-256 of the
decoded samples and labels, of the training and the test part each. This SHA-256 does not
depend on the order of the samples within a part. No such copy was at hand of LUNG and
CIFAR-10: of these the samples per class are compared instead, so that other values with the
same labels would go unnoticed. No checksums of the files themselves are published.

Whether the sources still serve these samples, first the training and then the test part,
could not be tried when this was written. Where they do not, fetching fails with an error
that says what was expected and what was found; nothing else is returned instead.
"""


def table() -> str:
    header = ["name", "data set", *next(iter(DATA_SETS.values())).facts]
    rows = [
        [f"`{name}`", f"{data_set.title}: {data_set.about}", *data_set.facts.values()]
        for name, data_set in DATA_SETS.items()
    ]
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def page() -> str:
    """The whole page as Markdown."""
    return "\n".join([PROLOGUE, table(), "", EPILOGUE])


if __name__ == "__main__":
    PAGE.write_text(page())
