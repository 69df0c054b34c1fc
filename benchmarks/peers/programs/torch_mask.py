"""PyTorch with full layers whose weights are multiplied by masks after every step."""

import torch

from benchmarks.peers.programs import torch_dense


class Program(torch_dense.Program):
    def network(self, task):
        model = super().network(task)
        self.layers = [m for m in model if isinstance(m, torch.nn.Linear)]
        self.masks = []
        for layer, matrix in zip(self.layers, task.matrices(), strict=True):
            weights = torch.from_numpy(matrix.toarray())
            self.masks.append((weights != 0).float())
            layer.weight.data = weights
        return model

    @torch.no_grad()
    def after_step(self):
        for layer, mask in zip(self.layers, self.masks, strict=True):
            layer.weight.mul_(mask)
