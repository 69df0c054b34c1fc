"""
Sparse text
===========

Texts become long rows with few entries that are not zero. The network takes such CSR
matrices as they are, and makes them dense only batch by batch; its first layer has as many
connections per word as one wants and not as many as there are neurons.
"""

# %%
# Messages of four kinds, made of words that are typical for each, of words that all share,
# and of many rare words.

import numpy as np
from sklearn.model_selection import train_test_split

TYPICAL = {
    "weather": "rain sun wind storm cloud frost degrees forecast snow thunder",
    "football": "goal match team coach striker league referee penalty season cup",
    "cooking": "oven flour butter recipe salt onion simmer garlic dough pepper",
    "travel": "train ticket hotel border luggage flight harbour map visa station",
}
COMMON = [
    "the",
    "a",
    "of",
    "to",
    "and",
    "in",
    "it",
    "was",
    "with",
    "for",
    "on",
    "today",
    "after",
    "before",
    "very",
]
rng = np.random.default_rng(0)
RARE = ["".join(rng.choice(list("aeioulnrstm"), 7)) for _ in range(5000)]


def message(kind):
    words = [
        *rng.choice(COMMON, 12),
        *rng.choice(RARE, 6),
        *rng.choice(TYPICAL[kind].split(), 4),
        *rng.choice(" ".join(TYPICAL.values()).split(), 2),
    ]
    return " ".join(rng.permutation(words))


kinds = rng.choice(list(TYPICAL), 3000)
texts = [message(kind) for kind in kinds]
print(texts[0])
train, test, y_train, y_test = train_test_split(texts, kinds, random_state=0)

# %%
# A Pipeline from texts to kinds.

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from sksparse_mlp import SparseMLPClassifier

model = make_pipeline(
    TfidfVectorizer(dtype=np.float32),
    SparseMLPClassifier((100, 50), epsilon=4, max_iter=8, random_state=0),
).fit(train, y_train)
vectorizer, clf = model
matrix = vectorizer.transform(test)
print(f"matrix: {matrix.shape}, {matrix.nnz / np.prod(matrix.shape):.2%} not zero")
print(f"connections: {clf.n_connections_[0]:,} of {np.prod(clf.coefs_[0].shape):,}")
print(f"accuracy: {model.score(test, y_test):.3f}")

# %%
# The strongest inputs of the network are words that tell the kinds apart.

import matplotlib.pyplot as plt

strongest = np.argsort(clf.feature_importances_)[-20:]
words = vectorizer.get_feature_names_out()[strongest]
typical = np.isin(words, " ".join(TYPICAL.values()).split())
figure, ax = plt.subplots(figsize=(6, 4.5), layout="constrained")
bars = ax.barh(words, 100 * clf.feature_importances_[strongest])
for bar, is_typical in zip(bars, typical, strict=True):
    bar.set(facecolor="C0" if is_typical else "w", edgecolor="C0")
ax.set(xlabel="share of all first-layer weights (%)", title="filled: typical of a kind")
plt.show()
