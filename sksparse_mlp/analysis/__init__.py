"""What a fitted network is like inside, read from its public attributes."""

from sksparse_mlp.analysis._metrics import average_ratioed_accuracy
from sksparse_mlp.analysis._topology import Connectivity, connectivity

__all__ = ["Connectivity", "average_ratioed_accuracy", "connectivity"]
