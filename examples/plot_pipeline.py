"""
A table as it is
================

Numbers with gaps, categories, an outlier: :func:`~sksparse_mlp.make_tabular_pipeline` makes
a ``Pipeline`` that takes the data frame as it is, and that is cross-validated and searched
as a whole.
"""

# %%
# A table of patients, generated: two numbers, of which one has gaps and a wrong entry, and
# two categories, of which one has gaps.

import numpy as np
import pandas as pd

rng = np.random.default_rng(0)
n = 1500
patients = pd.DataFrame(
    {
        "age": rng.integers(18, 90, n),
        "pressure": rng.normal(130, 18, n),
        "smoker": rng.choice(["never", "former", "current"], n),
        "district": rng.choice([f"district {i}" for i in range(40)], n),
    }
)
risk = (
    (patients["age"] - 55) / 12
    + (patients["pressure"] - 130) / 15
    + 2.0 * (patients["smoker"] == "current")
)
ill = np.where(risk + rng.logistic(scale=0.5, size=n) > 0.7, "ill", "well")
patients.loc[rng.random(n) < 0.05, "pressure"] = np.nan
patients.loc[rng.random(n) < 0.05, "smoker"] = None
patients.loc[7, "pressure"] = 1e6
patients.head(8)

# %%
# The whole model. Without an estimator, a cross-fitted ensemble would learn.

from sksparse_mlp import SparseMLPClassifier, make_tabular_pipeline

network = SparseMLPClassifier((64, 32), epsilon=4, max_iter=60, random_state=0)
model = make_tabular_pipeline(network)
model

# %%
# What the network gets: scaled numbers, a column of zeros and ones per category, and one
# that says where a number is missing.

names = model.fit(patients, ill)[:-1].get_feature_names_out()
print(f"{len(names)} columns:", *names[:7], "..", names[-1], sep="\n")

# %%
# Cross-validation, and a search over parameters of the network and of a step before it.

from sklearn.model_selection import GridSearchCV, cross_val_score

print("accuracy of each fold:", cross_val_score(model, patients, ill).round(3))

grid = {
    "columns__category__min_frequency": [2, 60],
    "estimator__alpha": [0.1, 1.0],
}
search = GridSearchCV(model, grid, cv=3).fit(patients, ill)
print(f"best: {search.best_params_}, accuracy {search.best_score_:.3f}")

# %%
# How certain the chosen model is, on a grid of the two numbers.

import matplotlib.pyplot as plt

age, pressure = np.meshgrid(np.linspace(18, 90, 60), np.linspace(85, 180, 60))
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
for ax, smoker in zip(axes, ["never", "current"], strict=True):
    shown = pd.DataFrame(
        {
            "age": age.ravel(),
            "pressure": pressure.ravel(),
            "smoker": smoker,
            "district": "district 0",
        }
    )
    probability = search.predict_proba(shown)[:, 0].reshape(age.shape)
    image = ax.contourf(age, pressure, probability, levels=np.linspace(0, 1, 11))
    ax.set(title=f"smoker: {smoker}", xlabel="age (years)")
axes[0].set_ylabel("pressure (mmHg)")
figure.colorbar(image, ax=axes, label="probability of being ill")
plt.show()
