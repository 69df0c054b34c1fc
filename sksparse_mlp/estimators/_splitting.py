"""Which of the samples networks do not learn from, but are judged by."""

import math
from dataclasses import replace

import numpy as np
from sklearn.model_selection import train_test_split

from sksparse_mlp.core.samples import Samples


class Splitting:
    """Mixin of the estimators: sets samples apart."""

    validation_fraction: float

    def _split(self, samples: Samples, rng: np.random.Generator) -> tuple[Samples, ...]:
        """Training and validation parts, of at least two samples each."""
        n_samples = samples.rows.size
        n_validation = math.ceil(self.validation_fraction * n_samples)
        if min(n_validation, n_samples - n_validation) < 2:
            raise ValueError(
                "early_stopping needs two samples or more in its training and in its "
                f"validation part: validation_fraction={self.validation_fraction} of "
                f"{n_samples} samples makes {n_validation}. Change validation_fraction, "
                "give more samples, or set early_stopping=False."
            )
        return self._parts(samples, n_validation, rng)

    def _held_out(self, samples: Samples, rng: np.random.Generator) -> Samples:
        """Samples that choose the number of inputs before the network learns from them."""
        n_samples = samples.rows.size
        n_validation = math.ceil(self.validation_fraction * n_samples)
        if n_validation >= n_samples:
            raise ValueError(
                "n_features_to_select='auto' needs samples to train on and others to "
                f"choose by: validation_fraction={self.validation_fraction} of "
                f"{n_samples} samples makes {n_validation}. Change validation_fraction, "
                "give more samples or X_val, or a number of features."
            )
        labels = self._strata(samples, n_validation)
        return self._parts(samples, n_validation, rng, labels)[1]

    def _strata(self, samples: Samples, n_validation: int) -> np.ndarray | None:
        """Labels of which both parts get their share, None where that cannot be."""
        return None

    def _parts(
        self,
        samples: Samples,
        n_validation: int,
        rng: np.random.Generator,
        labels: np.ndarray | None = None,
    ) -> tuple[Samples, ...]:
        """Both parts of the samples, stratified by ``labels`` of the rows, if given."""
        parts = train_test_split(
            samples.rows,
            test_size=n_validation,
            stratify=labels,
            random_state=int(rng.integers(2**31)),
        )
        return tuple(replace(samples, rows=part) for part in parts)
