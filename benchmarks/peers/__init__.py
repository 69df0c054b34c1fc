"""Speed and memory beside other programs that train the same networks.

``python -m benchmarks.peers`` measures everything in one run and writes ``docs/speed.md``
with its plots, and ``benchmarks/peers/results.json``; ``--help`` lists the options.
"""
