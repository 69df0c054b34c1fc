"""Tables for committed reports."""

import pandas as pd


def markdown(table: pd.DataFrame) -> str:
    """A Markdown table, with two decimals."""
    text = table.map(lambda v: f"{v:.2f}" if isinstance(v, float) else str(v))
    rows = [list(text.columns), ["---"] * text.shape[1], *text.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)
