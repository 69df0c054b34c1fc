"""
Regression
==========

:class:`~sksparse_mlp.SparseMLPRegressor` is the same network for numbers in place of
classes. It scales targets itself and predicts in their units.
"""

# %%
# Two targets, the place of a point on a curled-up strip, from its three coordinates and
# from 47 columns of noise.

import numpy as np
from sklearn.datasets import make_swiss_roll
from sklearn.model_selection import train_test_split

points, along = make_swiss_roll(2500, noise=0.3, random_state=0)
across = points[:, 1]
noise = np.random.default_rng(0).standard_normal((len(points), 47))
X, Y = np.hstack([points, noise]), np.column_stack([along, across])
X_train, X_test, Y_train, Y_test = train_test_split(X, Y, random_state=0)

# %%
# The whole model: features scaled, targets as they are.

from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sksparse_mlp import SparseMLPRegressor

network = SparseMLPRegressor(
    (200, 100), epsilon=8, dropout=0.0, max_iter=60, n_iter_no_change=np.inf, random_state=0
)
model = make_pipeline(StandardScaler(), network)
model.fit(X_train, Y_train)
print(f"R2 on test data: {model.score(X_test, Y_test):.3f}")
model

# %%
# Predictions against the truth, and what the inputs count for.

import matplotlib.pyplot as plt

predicted = model.predict(X_test)
figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
for ax, name, truth, guess in zip(
    axes, ("along", "across"), Y_test.T, predicted.T, strict=False
):
    ax.plot(truth, guess, ".", markersize=3)
    ax.axline((truth[0], truth[0]), slope=1, color="0.5", linewidth=0.8)
    ax.set(title=f"{name} the strip", xlabel="truth", ylabel="prediction")
importances = 100 * model[-1].feature_importances_
axes[2].bar(range(len(importances)), importances, color=["C0"] * 3 + ["0.7"] * 47)
axes[2].set(title="inputs; the first three matter", xlabel="feature", ylabel="strength (%)")
plt.show()
