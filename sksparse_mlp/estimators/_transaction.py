"""A fit as a transaction: it has happened, or nothing has."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

# Attributes of a fit that is under way.
UNDER_WAY = ("_run", "_trainee")


class Transactional:
    """Mixin of the estimators: what a fit changes is published in one step."""

    random_state: Any

    def _published(self) -> Self:
        """A copy of the fitted estimator, whatever other threads publish meanwhile."""
        # What every fit leaves; to look for anything else takes longer than to predict.
        if "n_features_in_" not in self.__dict__:
            check_is_fitted(self)
        return self._snapshot()

    def _snapshot(self) -> Self:
        """A copy of the estimator as it is now, which shares its attributes."""
        twin: Self = object.__new__(type(self))
        twin.__dict__ = self.__dict__.copy()
        return twin

    @contextmanager
    def _transaction(self) -> Iterator[Self]:
        """A copy of the estimator to be trained, whose attributes are published at once.

        They are once the block has ended. If it raises, nothing has happened: neither to
        the estimator nor to a random state that is a parameter of it.
        """
        trainee, before = self._snapshot(), self.__dict__.copy()
        seeds: Any = self.random_state
        state = (
            seeds.get_state(legacy=False)
            if isinstance(seeds, np.random.RandomState)
            else None
        )
        # For callbacks of this package.
        self._trainee = trainee
        try:
            yield trainee
            self._publish(before, trainee.__dict__)
        except BaseException:
            self.__dict__.pop("_trainee", None)
            if state is not None:
                seeds.set_state(state)
            raise

    def _publish(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        """Take over what has changed, in one step that no other thread can come between."""
        now = self.__dict__ | changes(before, after)
        gone = {*UNDER_WAY, *(before.keys() - after.keys())}
        self.__dict__ = {name: value for name, value in now.items() if name not in gone}

    def __getstate__(self) -> dict[str, Any]:
        # A fit that is under way stays where it is.
        state: Any = super().__getstate__()
        return {name: v for name, v in state.items() if name not in UNDER_WAY}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[misc]
        # Parameters that did not exist when an older version pickled this.
        for name, parameter in inspect.signature(type(self)).parameters.items():
            if parameter.default is not inspect.Parameter.empty:
                self.__dict__.setdefault(name, parameter.default)


def changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What is in one dict and is another object, or none, in the one before."""
    return {k: v for k, v in after.items() if k not in before or before[k] is not v}
