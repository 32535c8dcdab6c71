"""Exponential moving average of a network's weights."""

import copy

import torch
from torch import Tensor, nn


class Ema:
    """A second network whose weights trail those of the first.

    After update n the decay is ``min(decay, (1 + n) / (10 + n))``: a fixed decay of 0.999 would
    leave the random start in the average for thousands of steps. Batch-norm statistics are averaged
    like the weights they belong to: the newest statistics fit the newest weights, and with those of
    the past they gave maps of much lower quality than either. Whole numbers are copied.

    Attributes:
        module: the averaged network, in eval mode, without gradients.
        updates: how many updates it has seen.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move the average towards ``network`` (unwrapped, same architecture)."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        averages: list[Tensor] = list(self.module.parameters())
        current = [p.detach() for p in network.parameters()]
        for average, value in zip(self.module.buffers(), network.buffers(), strict=True):
            if average.is_floating_point():
                averages.append(average)
                current.append(value)
            else:
                average.copy_(value)
        torch._foreach_lerp_(averages, current, 1.0 - decay)
