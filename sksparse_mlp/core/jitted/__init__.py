"""Every jitted function over arrays: arrays and scalars in, arrays out.

Activations are stored as (neurons, batch), contiguous over the batch, so that every
inner loop runs over samples and vectorises; sparse products want rows of whole vectors,
see :mod:`sksparse_mlp.core.simd`. Kernels over a layer take a range of rows ``[start,
stop)``; each row is written by one call in a fixed order, so results do not depend on how
the rows are shared among threads. ``tests/naive.py`` holds one plain NumPy twin of each
public function here.
"""
