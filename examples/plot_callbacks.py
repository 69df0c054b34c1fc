"""
Progress bars, monitors and checkpoints
=======================================

The network supports scikit-learn's callbacks: they are set on the estimator, and are called
as it trains. A checkpoint lets a fit that was killed go on where it was.
"""

# %%
# Progress bars and scores
# ------------------------
# ``ProgressBar`` shows a bar per fit, and ``ScoringMonitor`` keeps a score of every epoch.

from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import minmax_scale

from sksparse_mlp import SparseMLPClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(minmax_scale(X), y, random_state=0)

monitor = ScoringMonitor(scoring=["accuracy", "neg_log_loss"])
clf = SparseMLPClassifier(max_iter=30, random_state=0)
clf.set_callbacks(ProgressBar(), monitor).fit(X_train, y_train)
scores = monitor.get_logs().data_as_pandas.query("task_name == 'epoch'")
scores[["task_id", "accuracy", "neg_log_loss"]].tail()

# %%
# Killed and resumed
# ------------------
# ``Checkpoint`` writes the state of the fit to a file after every few epochs. Here a second
# callback breaks training off, as if the machine had been switched off.

import tempfile
from pathlib import Path

from sksparse_mlp.callbacks import Checkpoint


class PowerCut:
    """Raise an error at the end of an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch" and context.task_id == self.epoch:
            raise OSError("the power is gone")


folder = tempfile.TemporaryDirectory()
checkpoint = Path(folder.name) / "digits.npz"


def network():
    return SparseMLPClassifier(max_iter=30, random_state=0)


try:
    network().set_callbacks(Checkpoint(checkpoint, every=5), PowerCut(17)).fit(
        X_train, y_train
    )
except OSError as error:
    print(f"training stopped: {error}")

# %%
# The same statement again, and the fit goes on after the last checkpoint. The result is,
# to the last bit, that of the fit that was never interrupted.

resumed = network().set_callbacks(Checkpoint(checkpoint, every=5)).fit(X_train, y_train)
print("same losses:", resumed.loss_curve_ == clf.loss_curve_)
print(
    "same predictions:", (resumed.predict_proba(X_test) == clf.predict_proba(X_test)).all()
)

# %%
# Checkpoints are readable by themselves: this is the network in the file.

import matplotlib.pyplot as plt

kept = SparseMLPClassifier.from_arrays(checkpoint)
folder.cleanup()
figure, ax = plt.subplots(layout="constrained")
ax.plot(range(1, kept.n_iter_ + 1), kept.loss_curve_, label="training loss (nats)")
ax.plot(range(1, len(scores) + 1), scores["accuracy"], "--", label="training accuracy")
ax.axvline(15, color="0.5", linestyle=":", label="resumed here")
ax.set(xlabel="epoch", ylim=(0, None))
ax.legend(frameon=False)
plt.show()
