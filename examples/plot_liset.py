"""
LiSET against SET
=================

SET lets new connections grow anywhere. LiSET lets them start where they are likely to be of
use: at inputs that a linear shortcut to the outputs, trained beside the network, weighs
most. RigL looks at the gradient at every free position instead.
"""

# %%
# How strongly LiSET prefers useful inputs is set by *gamma*: the larger, the less.

import matplotlib.pyplot as plt
import numpy as np

from sksparse_mlp.topology import LiSET

strengths = np.linspace(0, 1, 100)
figure, ax = plt.subplots(layout="constrained")
for gamma, style in ((3, ":"), (0, "-"), (-3, "--"), (-24, "-.")):
    ax.plot(
        strengths, LiSET(gamma=gamma).likelihood(strengths), style, label=f"gamma {gamma}"
    )
ax.set(
    xlabel="strength of the input in the shortcut",
    ylabel="likelihood of a new connection",
    ylim=(0, 1.05),
)
ax.legend(frameon=False)
plt.show()

# %%
# Digits among whose 64 pixels 256 columns of noise are mixed. The network is very sparse,
# and has to find the pixels. New connections start small but not at zero here, so that they
# can prove themselves before the next evolution.

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import scale

from sksparse_mlp import SparseMLPClassifier
from sksparse_mlp.topology import GradientGrowth, RandomGrowth

X, y = load_digits(return_X_y=True)
rng = np.random.default_rng(0)
X = np.hstack([scale(X), rng.standard_normal((len(X), 256))]).astype(np.float32)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, random_state=0)
GROWTHS = {
    "SET": RandomGrowth(scale=0.3),
    "LiSET": LiSET(gamma=-12, scale=0.3),
    "RigL": GradientGrowth(scale=0.3),
}


def fitted(growth, seed):
    return SparseMLPClassifier(
        (100, 50),
        epsilon=2,
        growth=growth,
        solver="sgd",
        learning_rate_init=0.02,
        batch_size=32,
        alpha=1e-3,
        dropout=0.0,
        max_iter=40,
        n_iter_no_change=np.inf,
        random_state=seed,
    ).fit(X_train, y_train)


networks = {
    name: [fitted(growth, seed) for seed in range(5)] for name, growth in GROWTHS.items()
}

# %%
# Test accuracy and training loss, means of five seeds: what knows where to grow learns
# faster.

figure, ax = plt.subplots(layout="constrained")
for (name, clfs), style in zip(networks.items(), ["-", "--", ":"], strict=True):
    scores = [clf.score(X_test, y_test) for clf in clfs]
    print(f"{name}: accuracy {np.mean(scores):.3f} +- {np.std(scores) / 5**0.5:.3f}")
    ax.plot(np.mean([clf.loss_curve_ for clf in clfs], axis=0), style, label=name)
ax.set(xlabel="epoch", ylabel="training loss (nats)", yscale="log")
ax.legend(frameon=False)
plt.show()
