"""
What each feature adds
======================

Why does the network say so? Expected gradients split an output into what each feature adds
to it, compared with a background of usual samples. They need nothing but the network's
gradients, at a cost that is proportional to its connections.
"""

# %%
# Tumours, benign or malignant, described by 30 numbers with names.

from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.analysis import ExpectedGradients

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
scaler = StandardScaler().set_output(transform="pandas")
X_train, X_test, y_train, y_test = train_test_split(
    scaler.fit_transform(X), y, random_state=0
)
clf = SparseMLPClassifier((64, 32), max_iter=40, random_state=0).fit(X_train, y_train)
print(f"test accuracy: {clf.score(X_test, y_test):.3f}")

# %%
# ``fit`` takes the background, ``transform`` the samples to be explained. What the features
# add sums to the output (the logit of "benign") less its mean over the background, but for
# the error of an integral, which more ``n_steps`` make smaller.

import numpy as np

explainer = ExpectedGradients(clf).fit(X_train[:100])
added = explainer.transform(X_test)
probability = clf.predict_proba(X_test)[:, 1]
logit = np.log(probability / (1 - probability))
for row in range(3):
    total = added[row].sum() + explainer.expected_value_[0]
    print(f"sample {row}: features and mean {total:+.2f}, logit {logit[row]:+.2f}")

# %%
# The features that add most, on average over the test samples.

import matplotlib.pyplot as plt

from sksparse_mlp.analysis import AttributionDisplay

AttributionDisplay.from_explainer(explainer, X_test, max_features=10)
plt.show()

# %%
# Pixels
# ------
# What speaks for the digit that the network sees (blue) and what against it (red), pixel by
# pixel.

X, y = load_digits(return_X_y=True)
X = X / 16
reader = SparseMLPClassifier((128, 64), epsilon=8, max_iter=40, random_state=0)
reader.fit(X[:1400], y[:1400])
shown = [1400 + int(np.flatnonzero(y[1400:] == digit)[0]) for digit in (0, 3, 4, 7)]
added = ExpectedGradients(reader).fit(X[:100]).transform(X[shown])
largest = np.abs(added).max()
figure, axes = plt.subplots(2, len(shown), figsize=(8, 4.2), layout="constrained")
for (above, below), row, values in zip(axes.T, shown, added, strict=True):
    above.imshow(X[row].reshape(8, 8), cmap="gray_r")
    above.set_title(f"seen as {reader.predict(X[[row]])[0]}")
    image = below.imshow(values.reshape(8, 8), cmap="RdBu", vmin=-largest, vmax=largest)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
figure.colorbar(image, ax=axes, shrink=0.8, label="added to the logit")
plt.show()
