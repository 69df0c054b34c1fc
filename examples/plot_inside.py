"""
Inside a trained network
========================

What do the hidden nodes do? Some are on for a few classes only, some never. And how much
does a layer already know about the class? Each can be turned into a classifier.
"""

# %%
# A network with four hidden layers of ReLUs.

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import minmax_scale

from sksparse_mlp import SparseMLPClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    minmax_scale(X), y, test_size=0.3, random_state=0
)
clf = SparseMLPClassifier(
    (60, 60, 60, 60), epsilon=6, max_iter=60, record=["train_score"], random_state=0
).fit(X_train, y_train)
print(f"test accuracy: {clf.score(X_test, y_test):.3f}")

# %%
# The network itself
# ------------------
# The strongest nodes of each layer, found backwards from the outputs, and the strongest
# connections between them: blue for positive, orange for negative weights.

import matplotlib.pyplot as plt

from sksparse_mlp.analysis import NetworkDisplay

NetworkDisplay.from_estimator(clf)
plt.show()

# %%
# Which nodes are on, and which are dead
# --------------------------------------
# A node is dead if it is on for no sample of any class; triangles mark such nodes.

from sksparse_mlp.analysis import NodeActivity, NodeActivityDisplay

activity = NodeActivity(clf).fit(X_train, y_train)
print("dead nodes per layer:", [int(dead.sum()) for dead in activity.dead_nodes_])
print("share of samples for which a node is off:", activity.sparsity_.round(2))
NodeActivityDisplay.from_activity(activity)
plt.show()

# %%
# Layers as classifiers
# ---------------------
# From the nodes of one layer alone, Bayes' rule tells the class: from whether each is on
# (discrete), from how strongly (continuous), or from both. Deeper layers know more, until
# they know what the network knows.

from sksparse_mlp.analysis import LayerAccuracyDisplay

LayerAccuracyDisplay.from_estimator(clf, X_train, y_train, X_test, y_test)
plt.show()

# %%
# :class:`~sksparse_mlp.analysis.LayerClassifier` is the same as an estimator:

from sksparse_mlp.analysis import LayerClassifier

layer = LayerClassifier(clf, layer=4, system="combined").fit(X_train, y_train)
print(f"layer 4, combined: {layer.score(X_test, y_test):.3f}")

# %%
# Where the connections are
# -------------------------
# The degrees of the input neurons as a picture: evolution moved connections from the
# margin, where no digit has ink, to the middle.

from sksparse_mlp.analysis import ConnectivityDisplay, TrainingHistoryDisplay

ConnectivityDisplay.from_estimator(clf, image_shape=(8, 8))
plt.show()

# %%
# How training went, with the training accuracy that ``record`` asked for.

TrainingHistoryDisplay.from_estimator(clf)
plt.show()
