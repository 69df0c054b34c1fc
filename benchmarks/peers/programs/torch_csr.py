"""PyTorch with CSR weights, in the fastest way that its sparse operations allow.

Activations are (neurons, batch), as its sparse products want them; indices are int32,
which its MKL takes as they are. The gradient of the weights is `sampled_addmm` at the
connections, that of the inputs a product with a transposed pattern that is made once,
because a product with ``W.t()`` would convert the matrix every time."""

import warnings

import torch
from torch import nn

from benchmarks.peers.programs.torch_training import TorchProgram, stacked


class Pattern:
    """Where a layer's connections are, by output and by input neuron."""

    def __init__(self, matrix):
        by_output = matrix.copy()
        by_output.data = torch.arange(matrix.nnz).numpy()
        by_input = by_output.T.tocsr()
        self.rows, self.columns = _indices(by_output), _indices(by_input)
        self.positions = torch.from_numpy(by_input.data)
        self.shape = matrix.shape

    def matrix(self, values):
        return torch.sparse_csr_tensor(
            *self.rows, values, self.shape, check_invariants=False
        )

    def transposed(self, values):
        return torch.sparse_csr_tensor(
            *self.columns, values[self.positions], self.shape[::-1], check_invariants=False
        )


def _indices(matrix):
    return [
        torch.from_numpy(array.astype("int32")) for array in (matrix.indptr, matrix.indices)
    ]


class SparseProduct(torch.autograd.Function):
    """W x, with gradients at the connections only."""

    @staticmethod
    def forward(ctx, values, x, pattern):
        ctx.save_for_backward(values, x)
        ctx.pattern = pattern
        return pattern.matrix(values) @ x

    @staticmethod
    def backward(ctx, dz):
        values, x = ctx.saved_tensors
        weights = ctx.pattern.matrix(values)
        gradient = torch.sparse.sampled_addmm(weights, dz, x.t(), beta=0.0).values()
        wanted = ctx.needs_input_grad[1]
        dx = ctx.pattern.transposed(values) @ dz if wanted else None
        return gradient, dx, None


class SparseLinear(nn.Module):
    def __init__(self, matrix):
        super().__init__()
        self.pattern = Pattern(matrix)
        self.values = nn.Parameter(torch.from_numpy(matrix.data))
        self.bias = nn.Parameter(torch.zeros(matrix.shape[0], 1))

    def forward(self, x):
        return SparseProduct.apply(self.values, x, self.pattern) + self.bias


class Transposed(nn.Module):
    def forward(self, x):
        return x.t().contiguous()


class Program(TorchProgram):
    def network(self, task):
        # PyTorch calls its CSR tensors a beta.
        warnings.filterwarnings("ignore", "Sparse CSR tensor support", UserWarning)
        layers = stacked([SparseLinear(matrix) for matrix in task.matrices()])
        return nn.Sequential(Transposed(), layers, Transposed())
