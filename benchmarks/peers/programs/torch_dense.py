"""PyTorch with full layers."""

from torch import nn

from benchmarks.peers.programs.torch_training import TorchProgram, stacked


class Program(TorchProgram):
    def network(self, task):
        pairs = zip(task.sizes, task.sizes[1:], strict=False)
        return stacked([nn.Linear(*pair) for pair in pairs])
