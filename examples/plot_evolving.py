"""
A network that evolves
======================

A sparse network begins with random connections. After every epoch the weakest leave and new
ones grow elsewhere, so that in the end they are where the data need them: here at the
pixels in which handwritten digits differ.
"""

# %%
# The same fit, stopped after no epoch, after five and after sixty, is one network as it
# grows up. New connections grow where the loss would fall fastest (RigL).

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import LineCollection
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sksparse_mlp import SparseMLPClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)


def network(n_epochs):
    clf = SparseMLPClassifier(
        (48, 24),
        epsilon=4,
        growth="gradient",
        learning_rate="constant",
        learning_rate_init=0.003,
        alpha=0.1,
        dropout=0,
        max_iter=n_epochs,
        random_state=0,
    )
    return clf.fit(X_train, y_train)


ages = {n_epochs: network(n_epochs) for n_epochs in (0, 5, 60)}
for n_epochs, clf in ages.items():
    print(
        f"{n_epochs} epochs: {clf.n_connections_.sum()} connections, "
        f"test accuracy {clf.score(X_test, y_test):.1%}"
    )

# %%
# Above, the connections: each line is one, blue where its weight is positive and red where
# it is negative, the stronger the darker; inputs are at the bottom, the ten digits at the
# top. Below, the number of connections from each of the 8 by 8 pixels: those at the edges,
# which are never inked, lose theirs, and those in the middle gain them.


def draw_connections(ax, clf):
    sizes = [clf.coefs_[0].shape[0], *(coef.shape[1] for coef in clf.coefs_)]
    places = [(np.arange(size) + 0.5) / size for size in sizes]
    for layer, coef in enumerate(clf.coefs_):
        coef = coef.tocoo()
        starts = np.column_stack([places[layer][coef.row], np.full(coef.nnz, layer)])
        ends = np.column_stack([places[layer + 1][coef.col], np.full(coef.nnz, layer + 1)])
        weights = coef.data / np.abs(coef.data).max()
        order = np.argsort(np.abs(weights))
        lines = np.stack([starts, ends], axis=1)[order]
        colours = plt.colormaps["RdBu"](0.5 + 0.5 * weights[order])
        colours[:, 3] = 0.15 + 0.85 * np.abs(weights[order])
        ax.add_collection(LineCollection(lines, colors=colours, linewidths=0.8))
    for layer, place in enumerate(places):
        ax.plot(place, np.full(place.size, layer), "o", color="0.25", markersize=2)
    ax.set_axis_off()


figure, axes = plt.subplots(
    2, 3, figsize=(11, 6), height_ratios=[3, 2], layout="constrained"
)
most = max((clf.coefs_[0] != 0).sum(axis=1).max() for clf in ages.values())
for (above, below), (n_epochs, clf) in zip(axes.T, ages.items(), strict=True):
    draw_connections(above, clf)
    above.set_title(
        f"{n_epochs} epochs: {clf.score(X_test, y_test):.0%} of test digits right"
    )
    degrees = np.diff(clf.coefs_[0].indptr).reshape(8, 8)
    image = below.imshow(degrees, cmap="viridis", vmin=0, vmax=most)
    below.set(xticks=[], yticks=[])
figure.colorbar(image, ax=axes[1], label="connections of the pixel")
plt.show()

# %%
# In numbers: the share of the connections at pixels that are blank in nearly all images.

blank = (X_train > 0).mean(axis=0) < 0.01
for n_epochs, clf in ages.items():
    degrees = np.diff(clf.coefs_[0].indptr)
    print(f"{n_epochs} epochs: {degrees[blank].sum() / degrees.sum():.1%} at blank pixels")
