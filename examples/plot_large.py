"""
A very large network
====================

Half a million hidden neurons in some tens of megabytes: only the connections that exist are
stored and trained. A dense network of these sizes would need hundreds of gigabytes.
"""

# %%
# Sparse data with many features, as from texts or clicks: each class has favourite columns.

import numpy as np
from scipy import sparse

n_samples, n_features, n_classes = 192, 100_000, 10
rng = np.random.default_rng(0)
y = rng.integers(n_classes, size=n_samples)
entries = rng.integers(n_features, size=(n_samples, 100))
favourites = rng.integers(n_features, size=(n_classes, 200))
entries[:, :50] = rng.permuted(favourites[y], axis=1)[:, :50]
X = sparse.csr_array(
    (
        np.ones(entries.size, np.float32),
        entries.ravel(),
        np.arange(0, entries.size + 1, 100),
    ),
    shape=(n_samples, n_features),
)
X.sum_duplicates()

# %%
# Two hidden layers of a quarter of a million neurons each.

import time

from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.analysis import memory_footprint

clf = SparseMLPClassifier(
    (250_000, 250_000),
    epsilon=3,
    solver="sgd",
    alpha=0.0,
    learning_rate_init=0.1,
    batch_size=32,
    max_iter=3,
    n_iter_no_change=np.inf,
    random_state=0,
)
start = time.perf_counter()
clf.fit(X[:128], y[:128])
seconds = time.perf_counter() - start
print(f"{seconds:.1f} s, test accuracy {clf.score(X[128:], y[128:]):.2f}")

# %%
# What it takes, and what the same layers would take in full.

footprint = memory_footprint(clf)
dense_bytes = footprint.n_dense_parameters * 4
sparsity = 1 - footprint.n_parameters / footprint.n_dense_parameters
print(f"connections: {footprint.n_connections:,} (sparsity {sparsity:.4%})")
print(f"memory while training: {footprint.training_bytes / 2**20:,.0f} MiB")
print(f"weights of full layers alone: {dense_bytes / 2**30:,.0f} GiB")

# %%
# The loss of each epoch, and the memory on a logarithmic axis.

import matplotlib.pyplot as plt

memory = {
    "one copy of weights\nand biases": footprint.copy_bytes,
    "prediction": footprint.prediction_bytes,
    "training": footprint.training_bytes,
    "full layers,\nweights alone": dense_bytes,
}
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
axes[0].plot(range(1, clf.n_iter_ + 1), clf.loss_curve_, "o-")
axes[0].set(xlabel="epoch", ylabel="training loss (nats)", xticks=range(1, clf.n_iter_ + 1))
bars = axes[1].barh(list(memory), [size / 2**20 for size in memory.values()])
axes[1].bar_label(bars, fmt="{:,.0f}", padding=3)
axes[1].set(xscale="log", xlabel="memory (MiB)", xlim=(1, 1e8))
axes[1].invert_yaxis()
plt.show()
