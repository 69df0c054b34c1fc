"""Speed beside scikit-learn's dense MLP and SciPy's sparse product, one thread each.

``python -m benchmarks.peers`` measures everything in one run and writes ``results.md``
and ``results.json`` into this folder; ``--help`` lists the options.
"""
