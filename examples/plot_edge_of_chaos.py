"""
Deep networks at the edge of chaos
==================================

Whether a signal survives a hundred random layers depends on the variances of the initial
weights and biases. At the *edge of chaos* the variance of the pre-activations returns to
the same value layer after layer, and small differences between inputs neither die out nor
explode.
"""

# %%
# :func:`~sksparse_mlp.initializers.edge_of_chaos` finds these variances for an activation,
# and says what is wrong where there are several fixed points:

from sksparse_mlp.activations import CReLU
from sksparse_mlp.initializers import edge_of_chaos

for clip in (1.0, 2.0):
    point = edge_of_chaos(CReLU(threshold=1.0, clip=clip))
    print(
        f"clip {clip}: {point.sigma_w2=:.3f}, {point.sigma_b2=:.3f}, {point.stability=:.3f}"
    )
    print("   ", point.diagnosis)

# %%
# The variance maps: what enters a layer with variance q leaves it with variance V(q). The
# map has to cross the diagonal at q = 1 from above, and nowhere else.

import matplotlib.pyplot as plt
import numpy as np

figure, ax = plt.subplots(layout="constrained")
q = np.linspace(0.01, 4, 200)
ax.plot(q, q, color="0.7", label="V(q) = q")
for clip, style in ((1.0, "-"), (2.0, "--"), (4.0, ":")):
    point = edge_of_chaos(CReLU(threshold=1.0, clip=clip))
    ax.plot(q, point.variance_map(q), style, label=f"CReLU, clip {clip}")
ax.set(xlabel="variance q", ylabel="V(q) after one more layer")
ax.legend(frameon=False)
plt.show()

# %%
# With thirty hidden layers the initialisation decides whether anything is learned at all.

from sklearn.datasets import load_digits
from sklearn.preprocessing import scale

from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.activations import CST

X, y = load_digits(return_X_y=True)
X = scale(X).astype(np.float32)
X_train, X_test, y_train, y_test = X[:1400], X[1400:], y[:1400], y[1400:]
for init in ("edge_of_chaos", "he_uniform"):
    clf = SparseMLPClassifier(
        (100,) * 30,
        CST(threshold=0.25, clip=1.0),
        init=init,
        epsilon=20,
        zeta=0,
        dropout=0,
        alpha=0,
        batch_size=32,
        learning_rate="cosine",
        max_iter=20,
        n_iter_no_change=np.inf,
        random_state=0,
    ).fit(X_train, y_train)
    print(f"{init}: accuracy {clf.score(X_test, y_test):.3f}")
