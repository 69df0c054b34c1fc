"""
Slopes and sparsity on a grid
=============================

How good a sparse network is depends on how sparse it is and on what its neurons pass on
for negative inputs. ``GridSearchCV`` goes through both, and a heat map shows the result.
"""

# %%
# ``epsilon`` sets the number of connections of each layer, ``slope`` the slope of All-ReLU.

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import scale

from sksparse_mlp import SparseMLPClassifier

X, y = load_digits(return_X_y=True)
X = scale(X).astype(np.float32)
clf = SparseMLPClassifier(
    (200, 200, 200),
    "all_relu",
    alpha=1e-3,
    learning_rate_init=3e-3,
    max_iter=15,
    n_iter_no_change=np.inf,
    random_state=0,
)
grid = {"epsilon": [1, 2, 4, 8, 16], "slope": [0.0, 0.25, 0.5, 0.75]}
search = GridSearchCV(clf, grid, cv=2).fit(X, y)

# %%
# The sparsity that belongs to each epsilon, from a network that was fitted with it.

sparsity = []
for epsilon in grid["epsilon"]:
    fitted = SparseMLPClassifier((200, 200, 200), epsilon=epsilon, max_iter=1).fit(X, y)
    possible = sum(np.prod(coef.shape) for coef in fitted.coefs_)
    sparsity.append(1 - fitted.n_connections_.sum() / possible)

# %%
# Rows of the heat map are sparsities, columns are slopes.

import matplotlib.pyplot as plt

# epsilon varies more slowly than slope in the list of candidates
accuracy = search.cv_results_["mean_test_score"].reshape(len(sparsity), -1)
figure, ax = plt.subplots(layout="constrained")
image = ax.imshow(accuracy, aspect="auto")
for (row, column), value in np.ndenumerate(accuracy):
    dark = value < accuracy.mean()
    ax.text(
        column, row, f"{value:.3f}", ha="center", va="center", color="w" if dark else "k"
    )
ax.set_xticks(range(len(grid["slope"])), grid["slope"])
ax.set_yticks(
    range(len(sparsity)),
    [f"{e} ({s:.1%})" for e, s in zip(grid["epsilon"], sparsity, strict=True)],
)
ax.set(xlabel="slope of All-ReLU", ylabel="epsilon (sparsity of the network)")
figure.colorbar(image, label="accuracy, two folds")
plt.show()
