"""What a report says of a network in one sentence."""

import numpy as np

# Points of accuracy between training and test samples that are worth a word.
GAP = 0.1


def verdict(
    labels: list[np.ndarray],
    predictions: list[np.ndarray],
    compression_rate: float,
    n_dead: int,
    n_hidden: int,
) -> str:
    """One sentence on what a classifier does, at what size, and what is wrong with it.

    Parameters
    ----------
    labels, predictions : list of ndarray of shape (n_samples,)
        Of the training samples, and perhaps of test samples.
    compression_rate : float
        How many times more weights and biases full layers would have.
    n_dead, n_hidden : int
        Numbers of hidden nodes that are on for no sample, and of all hidden nodes.

    Returns
    -------
    str
    """
    right = [
        float(np.mean(own == found)) for own, found in zip(labels, predictions, strict=True)
    ]
    _, counts = np.unique(labels[-1], return_counts=True)
    guess = counts.max() / labels[-1].size
    seen = "test samples" if len(right) == 2 else "samples it was shown"
    text = f"{_percent(right[-1])} of the {seen} are classified rightly, "
    if right[-1] <= guess:
        text += f"no more than the {_percent(guess)} of always naming the largest class, "
    else:
        text += f"where always naming the largest class would reach {_percent(guess)}, "
    text += f"by a network {compression_rate:.1f} times smaller than with full layers"
    if n_dead:
        text += f", {n_dead} of whose {n_hidden} hidden nodes are dead"
    if len(right) == 1:
        return text + "; how it does on other samples is not known."
    if right[0] - right[1] > GAP:
        return text + f"; {_percent(right[0])} of the training samples: it overfits."
    return text + "."


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
