"""Measurements of how far the package can be trusted.

Each program writes its figures to ``docs/reliability/<name>.json``, with what they depend
on; ``python -m benchmarks.reliability`` makes ``docs/reliability.md`` of all of them.
"""
