"""What one gets without choosing anything, on tables, beside scikit-learn's estimators.

``python -m benchmarks.tabular`` measures with one thread and writes
``docs/out_of_the_box.md``.
"""
