"""
In a Pipeline, with columns of all kinds
========================================

:class:`~sksparse_mlp.SparseMLPClassifier` is an estimator like any other of scikit-learn:
here it follows a ``ColumnTransformer`` that scales numbers and encodes categories, all of
it in one ``Pipeline`` that is cross-validated and searched as a whole.
"""

# %%
# A table of patients, generated: two numbers with gaps, two categories.

import numpy as np
import pandas as pd

rng = np.random.default_rng(0)
n = 1500
patients = pd.DataFrame(
    {
        "age": rng.integers(18, 90, n).astype(float),
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
patients.head()

# %%
# One-hot columns make a sparse matrix, which the network takes as it is.

from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sksparse_mlp import SparseMLPClassifier

columns = make_column_transformer(
    (make_pipeline(SimpleImputer(), StandardScaler()), ["age", "pressure"]),
    (OneHotEncoder(handle_unknown="ignore"), ["smoker", "district"]),
    sparse_threshold=1.0,
)
model = make_pipeline(
    columns, SparseMLPClassifier((64, 32), epsilon=4, max_iter=60, random_state=0)
)
model

# %%
# Cross-validation, and a search over parameters of both steps.

from sklearn.model_selection import GridSearchCV, cross_val_score

print("accuracy of each fold:", cross_val_score(model, patients, ill).round(3))

grid = {
    "columntransformer__pipeline__simpleimputer__strategy": ["mean", "median"],
    "sparsemlpclassifier__epsilon": [2, 4, 8],
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
