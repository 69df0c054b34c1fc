"""Figures that summarise a training."""

import numpy as np
from numpy.typing import ArrayLike


def average_ratioed_accuracy(accuracies: ArrayLike, b: float = 0.5) -> float:
    """Mean accuracy over the epochs, with weights that rise from first to last (ARA).

    ``sum_i a_i * (i * c1 + c2) / (n**2 * (b + 1) / 2)`` with ``c1 = (n - n * b) /
    (n - 1)`` and ``c2 = n - n * c1``: high where a network is accurate early.

    Parameters
    ----------
    accuracies : array-like of shape (n_epochs,)
        Accuracies ``a_1`` to ``a_n`` after each epoch, such as the "train_score" or
        "validation_score" of `history_`.
    b : float, default=0.5
        About the weight of the first epoch relative to that of the last, in [0, 1]. With
        1 the result is the mean.

    Returns
    -------
    float
        In the unit of the accuracies.

    Raises
    ------
    ValueError
        If there are no accuracies, or ``b`` is outside [0, 1].

    References
    ----------
    Radu, *Speeding up convergence for sparse training using feature extraction
    behaviour*, 2021, equation 3.

    Examples
    --------
    >>> from sksparse_mlp.analysis import average_ratioed_accuracy
    >>> average_ratioed_accuracy([0.5, 0.75, 1.0], b=1)
    0.75
    """
    a = np.asarray(accuracies, dtype=np.float64)
    if a.ndim != 1 or a.size == 0:
        raise ValueError(
            "accuracies must be a sequence of one number per epoch, got an array of shape "
            f"{a.shape}."
        )
    if not 0 <= b <= 1:
        raise ValueError(f"b must be in [0, 1], got {b!r}.")
    n = a.size
    c1 = (n - n * b) / (n - 1) if n > 1 else 0.0
    c2 = n - n * c1
    weights = np.arange(1, n + 1) * c1 + c2
    # For two epochs and more the sum is the n**2 * (b + 1) / 2 of the formula.
    return float(a @ weights / weights.sum())
