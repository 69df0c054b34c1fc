"""Speed and memory beside other programs that train the same networks.

``python -m benchmarks.peers`` measures everything, section by section, and writes
``docs/speed.md`` with its plots, and ``benchmarks/peers/results.json``. ``--only`` measures
one section and leaves the others as they are; one that was broken off goes on with the
networks that are left. ``--help`` lists the options.
"""
