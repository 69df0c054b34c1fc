"""Our figures beside a document's."""

import numpy as np


def beside(printed: float, values: list[float]) -> dict[str, float | str]:
    """A printed figure, the mean of ours, and whether they agree.

    They do if they differ by no more than two standard errors, those of a difference of two
    means of as many runs as ours: the document's own spread is taken to be like ours.
    """
    mean, error = np.mean(values), standard_error(values)
    agree = abs(mean - printed) <= 2 * np.sqrt(2) * error
    return {
        "document": printed,
        "ours": mean,
        "standard error": "-" if np.isnan(error) else f"{error:.2f}",
        "difference": mean - printed,
        "within two": "-" if np.isnan(error) else "yes" if agree else "no",
        "each": " ".join(f"{value:.2f}" for value in values),
    }


def standard_error(values: list[float]) -> float:
    """That of their mean; not a number if there are fewer than two."""
    if len(values) < 2:
        return np.nan
    return np.std(values, ddof=1) / np.sqrt(len(values))


def with_error(values, digits: int = 2) -> str:
    """Their mean, with its standard error where there are two or more."""
    error = standard_error(values)
    text = f"{np.mean(values):.{digits}f}"
    return text if np.isnan(error) else f"{text} ± {error:.{digits}f}"
