"""
Activations of sparse networks
==============================

In a sparse network each neuron hears few others, and some activations pass something on
for negative inputs, so that these are not silent. Others are made for the opposite: outputs
that are exactly zero, so that a prediction can skip them.
"""

# %%
# Alternating and learned slopes
# ------------------------------
# All-ReLU has slope *-a* for negative inputs in odd hidden layers and *+a* in even ones;
# GAReLU learns one such slope per layer, PReLU one per neuron, SReLU three line segments
# per neuron. The picture shows them as they are before training, in the first hidden layer.

import matplotlib.pyplot as plt
import numpy as np

from sksparse_mlp.activations import (
    CST,
    CReLU,
    GAReLU,
    LeakyReLU,
    ReLUTau,
    SoftThreshold,
    SReLU,
)


def values(activation, x):
    """The function of the first hidden layer, before training."""
    z = np.ascontiguousarray(x[np.newaxis])  # (1, n)
    a = np.empty_like(z)
    activation.forward(z, a, activation.initial_parameters(1, 1, x.dtype), 0, 1)
    return a[0]


def draw(ax, title, activations):
    x = np.linspace(-3, 3, 301)
    for activation, style in zip(activations, ["-", "--", "-.", ":"], strict=False):
        ax.plot(x, values(activation, x), style, label=repr(activation))
    ax.set(title=title, xlabel="x", ylabel="f(x)", ylim=(-2.2, 3.2))
    ax.legend(frameon=False, fontsize="small")


figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
draw(
    axes[0],
    "not silent below zero",
    [LeakyReLU(0.5), GAReLU(0.5), SReLU(0.2, slope_right=0.4)],
)
draw(
    axes[1],
    "zero near zero",
    [ReLUTau(1.0), CReLU(1.0, 1.0), SoftThreshold(0.5), CST(0.5, 1.0)],
)
plt.show()

# %%
# Slopes that are learned
# -----------------------
# ``slopes_`` has the signed slopes after training and `history_` those of every epoch.

from sklearn.datasets import load_digits
from sklearn.preprocessing import minmax_scale

from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.analysis import SlopesDisplay

X, y = load_digits(return_X_y=True)
X = minmax_scale(X)
clf = SparseMLPClassifier(
    (128, 128, 128), "garelu", slope=0.5, epsilon=8, max_iter=40, random_state=0
).fit(X, y)
print("slopes after training:", np.round(clf.slopes_, 2))
SlopesDisplay.from_estimator(clf)
plt.show()

# %%
# How many outputs are exactly zero
# ---------------------------------
# A larger threshold silences more of the outputs. ``init="auto"`` puts such networks at the
# edge of chaos, so that they learn all the same; see :doc:`plot_edge_of_chaos`.

from scipy.sparse import csr_array

from sksparse_mlp.analysis import LayerActivations

for threshold in (0.0, 0.5, 1.0):
    clf = SparseMLPClassifier(
        (128, 128), CST(threshold, clip=1.0), epsilon=8, max_iter=30, random_state=0
    ).fit(X[:1400], y[:1400])
    outputs = csr_array(LayerActivations(clf).fit(X).transform(X))
    print(
        f"threshold {threshold}: {1 - outputs.nnz / np.prod(outputs.shape):.0%} zeros, "
        f"accuracy {clf.score(X[1400:], y[1400:]):.3f}"
    )
