"""The training engine: sparse layers, networks and their epoch loop.

Private; knows nothing of scikit-learn estimators.
"""
