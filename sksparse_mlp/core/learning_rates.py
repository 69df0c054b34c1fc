"""Learning-rate schedules, named as in scikit-learn's MLPClassifier where it has them."""

import math
from collections.abc import Sequence


class LearningRate:
    """Base of the schedules: ``initial`` throughout.

    Parameters
    ----------
    initial : float
        The rate in the first epoch.
    power_t : float
        Exponent of "invscaling".
    """

    factor = 1.0

    def __init__(self, initial: float, power_t: float):
        self.initial = initial
        self.power_t = power_t

    def __call__(self, epoch: int, n_epochs: int, n_seen: int) -> float:
        """The rate in an epoch (counted from 0), after ``n_seen`` training samples."""
        return self.initial

    def on_plateau(self) -> bool:
        """Whether training should stop, now that it no longer improves."""
        return True


class InvScaling(LearningRate):
    """``initial / (n_seen + 1) ** power_t``, in the first epoch of a fit ``initial``.

    ``n_seen`` goes on where a fit continues another, as in scikit-learn.
    """

    def __call__(self, epoch: int, n_epochs: int, n_seen: int) -> float:
        # A large exponent gives a rate of zero and no overflow.
        decay = math.exp(-self.power_t * math.log1p(n_seen)) if epoch else 1.0
        return self.initial * decay


class Adaptive(LearningRate):
    """``initial``, divided by 5 each time training no longer improves."""

    def __call__(self, epoch: int, n_epochs: int, n_seen: int) -> float:
        return self.initial * self.factor

    def on_plateau(self) -> bool:
        if self.initial * self.factor <= 1e-6:
            return True
        self.factor /= 5
        return False


class Exponential(LearningRate):
    """``initial * 0.99 ** epoch``."""

    def __call__(self, epoch: int, n_epochs: int, n_seen: int) -> float:
        return self.initial * 0.99**epoch


class Cosine(LearningRate):
    """From ``initial`` down to nearly zero along half a cosine, and then anew."""

    def __call__(self, epoch: int, n_epochs: int, n_seen: int) -> float:
        share = epoch % n_epochs / n_epochs
        return self.initial * 0.5 * (1 + math.cos(math.pi * share))


class Repeated(LearningRate):
    """The rates of the epochs of an earlier training."""

    def __init__(self, rates: Sequence[float]):
        super().__init__(rates[0], power_t=0.0)
        self.rates = rates

    def __call__(self, epoch: int, n_epochs: int, n_seen: int) -> float:
        return self.rates[epoch]


LEARNING_RATES: dict[str, type[LearningRate]] = {
    "constant": LearningRate,
    "invscaling": InvScaling,
    "adaptive": Adaptive,
    "exponential": Exponential,
    "cosine": Cosine,
}
