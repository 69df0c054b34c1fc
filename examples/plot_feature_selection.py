"""
Twenty of five hundred features
===============================

Madelon has 500 features, of which 20 say something about the class and none does alone.
With ``n_features_to_select`` the input neurons compete for connections while the network
trains: weak ones leave, and their connections move to the others.
"""

# %%
# A problem like Madelon, with the truth about its features.

from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from sksparse_mlp.datasets import make_madelon

madelon = make_madelon(random_state=0, return_X_y=False)
X_train, X_test, y_train, y_test = train_test_split(
    madelon.X.astype("float32"), madelon.y, test_size=600, random_state=0
)
scaler = StandardScaler().fit(X_train)
X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)

# %%
# The same network, with all inputs and with 20 of them at the end.

import numpy as np

from sksparse_mlp import SparseMLPClassifier

network = {
    "hidden_layer_sizes": (400, 100, 400),
    "epsilon": 10,
    "dropout": 0.0,
    "alpha": 0.3,
    "learning_rate": "cosine",
    "zeta_schedule": "cosine",
    "max_iter": 40,
    "n_iter_no_change": np.inf,
    "random_state": 0,
}
everything = SparseMLPClassifier(**network).fit(X_train, y_train)
selected = SparseMLPClassifier(**network, n_features_to_select=20).fit(X_train, y_train)
useful = np.array(madelon.feature_info) != "random"
for name, clf in (("all inputs", everything), ("20 inputs", selected)):
    print(f"{name}: test accuracy {clf.score(X_test, y_test):.3f}")
print(f"useful among the 20: {np.sum(useful & selected.support_)}")

# %%
# Where the connections went: the strength of every input, and how many inputs were left
# after each epoch.

import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
strength = 100 * selected.feature_importances_
axes[0].plot(np.flatnonzero(~useful), strength[~useful], ".", color="0.7", label="useless")
axes[0].plot(np.flatnonzero(useful), strength[useful], "o", mfc="none", label="useful")
axes[0].set(xlabel="feature", ylabel="share of first-layer weights (%)")
axes[0].legend(frameon=False)
axes[1].plot([record["n_inputs"] for record in selected.history_], label="20 inputs")
axes[1].plot(
    [record["n_inputs"] for record in everything.history_], "--", label="all inputs"
)
axes[1].set(xlabel="epoch", ylabel="inputs in use", ylim=(0, None))
axes[1].legend(frameon=False)
plt.show()

# %%
# In a Pipeline
# -------------
# :class:`~sksparse_mlp.SparseMLPSelector` passes the selected features on to any estimator.

from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from sksparse_mlp import SparseMLPSelector

selector = SparseMLPSelector(SparseMLPClassifier(**network), n_features_to_select=20)
neighbours = make_pipeline(selector, KNeighborsClassifier()).fit(X_train, y_train)
on_all = KNeighborsClassifier().fit(X_train, y_train)
print(f"neighbours in all 500 features: {on_all.score(X_test, y_test):.3f}")
print(f"neighbours in the 20 selected: {neighbours.score(X_test, y_test):.3f}")
neighbours
