"""Problems like Madelon, of any size."""

from typing import Any

import numpy as np

from sksparse_mlp._sklearn import make_classification


def make_madelon(
    n_samples: int = 2600,
    n_features: int = 500,
    *,
    n_informative: int = 5,
    n_redundant: int = 15,
    n_repeated: int = 0,
    n_clusters_per_class: int = 16,
    flip_y: float = 0.01,
    class_sep: float = 2.0,
    shuffle: bool = True,
    random_state: int | np.random.RandomState | None = None,
    return_X_y: bool = True,
) -> Any:
    """Generate a problem like Madelon: few useful features among many useless ones.

    Normal clusters around the corners of a cube, shared out between two classes, with
    linear combinations of its coordinates as redundant features; all other features are
    noise. This is Guyon's generator, :func:`sklearn.datasets.make_classification`, with
    the sizes and labels of Madelon.

    Parameters
    ----------
    n_samples : int, default=2600
        Number of samples; Madelon has 2000 for training and 600 for validation.
    n_features : int, default=500
        Number of all features.
    n_informative : int, default=5
        Number of coordinates of the cube.
    n_redundant : int, default=15
        Number of linear combinations of these.
    n_repeated : int, default=0
        Number of copies of informative and redundant features.
    n_clusters_per_class : int, default=16
        Clusters of each class, at most half of the ``2 ** n_informative`` corners.
    flip_y : float, default=0.01
        Share of the samples whose label is drawn at random.
    class_sep : float, default=2.0
        Half the side of the cube, in units of the width of a cluster.
    shuffle : bool, default=True
        Shuffle samples and features. Otherwise the informative features come first,
        then the redundant, the repeated and the useless ones.
    random_state : int, RandomState instance or None, default=None
        Determines the samples.
    return_X_y : bool, default=True
        Return ``(X, y)``; otherwise a Bunch that also says which features are useful.

    Returns
    -------
    tuple or :class:`~sklearn.utils.Bunch`
        The tuple ``(X, y)`` if ``return_X_y``, else a Bunch with

        - X : float64 array of shape (n_samples, n_features).
        - y : int64 array of shape (n_samples,), the labels -1 and 1.
        - feature_info : list of "informative", "redundant", "repeated" or "random", one
          for each feature, in their order in X.
        - parameters : dict of the parameters of ``make_classification``.
        - DESCR : str.

    Raises
    ------
    ValueError
        If a parameter is invalid, the features do not suffice for the useful ones, or the
        corners for the clusters.
    ImportError
        If ``return_X_y=False`` asks for what scikit-learn tells since version 1.7.

    References
    ----------
    Guyon, *Design of experiments of the NIPS 2003 variable selection benchmark*, 2003.

    Examples
    --------
    >>> from sksparse_mlp.datasets import make_madelon
    >>> X, y = make_madelon(200, 50, random_state=0)
    >>> X.shape, sorted(set(y.tolist()))
    ((200, 50), [-1, 1])
    >>> madelon = make_madelon(200, 50, random_state=0, return_X_y=False)
    >>> [i for i, kind in enumerate(madelon.feature_info) if kind == "informative"]
    [1, 8, 22, 32, 37]
    """
    made = make_classification(
        n_samples,
        n_features,
        n_informative=n_informative,
        n_redundant=n_redundant,
        n_repeated=n_repeated,
        n_clusters_per_class=n_clusters_per_class,
        flip_y=flip_y,
        class_sep=class_sep,
        shuffle=shuffle,
        random_state=random_state,
        return_X_y=return_X_y,
    )
    if return_X_y:
        X, y = made
        return X, np.where(y == 1, 1, -1)
    made.y = np.where(made.y == 1, 1, -1)
    made.DESCR = make_madelon.__doc__
    return made
