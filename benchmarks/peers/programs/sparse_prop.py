"""SparseProp (Nikdan et al. 2023): PyTorch modules over AVX2 code of its own."""

import torch
from sparseprop.modules import SparseLinear
from torch import nn

from benchmarks.peers.programs.torch_training import TorchProgram, stacked


class Program(TorchProgram):
    def network(self, task):
        return stacked([_layer(matrix) for matrix in task.matrices()])


def _layer(matrix):
    bias = nn.Parameter(torch.zeros(matrix.shape[0]))
    return SparseLinear(torch.from_numpy(matrix.toarray()), bias)
