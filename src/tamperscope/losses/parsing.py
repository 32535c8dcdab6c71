"""Losses of a segmentation into several classes.

Everywhere: ``logits`` (B, K, h, w), ``labels`` (B, h, w) integers in 0..K-1. Sums run in float32
under autocast too.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from tamperscope.errors import ConfigError


def class_weights(counts: Tensor, balance: float) -> Tensor:
    """Weights (K,) of classes with ``counts`` (K,) pixels: frequency to the power of ``-balance``.

    Their mean over all pixels is 1, so that ``balance`` does not change the scale of the loss. A
    class that never occurs gets 0.
    """
    frequency = counts.double() / counts.sum().clamp_min(1)
    raw = torch.where(frequency > 0, frequency.clamp_min(1e-12) ** -balance, 0.0)
    return (raw / (raw * frequency).sum().clamp_min(1e-12)).float()


def cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean over pixels of the cross-entropy times the weight of the true class (K,)."""
    _check(logits, labels)
    losses = F.cross_entropy(logits.float(), labels.long(), weights, reduction="none")
    return losses.mean()


def soft_dice(logits: Tensor, labels: Tensor, *, smooth: float = 1.0) -> Tensor:
    """1 - soft Dice of softmax(logits), over the whole batch, mean over the classes in ``labels``.

    Dice of a class = (2 sum(p y) + smooth) / (sum(p) + sum(y) + smooth) (Milletari, 3DV 2016, with
    plain sums below as in Sudre et al., 2017). Every class counts the same, however small.
    """
    _check(logits, labels)
    count = logits.shape[1]
    p = logits.float().softmax(1).movedim(1, 0).flatten(1)
    y = F.one_hot(labels.long().flatten(), count).T.to(p.dtype)
    sizes = y.sum(1)
    dice = (2 * (p * y).sum(1) + smooth) / (p.sum(1) + sizes + smooth)
    present = sizes > 0
    return ((1 - dice) * present).sum() / present.sum()


def _check(logits: Tensor, labels: Tensor) -> None:
    if labels.shape != (logits.shape[0], *logits.shape[2:]):
        raise ConfigError(
            f"labels must have the shape of the logits' pictures {tuple(logits.shape[2:])}, "
            f"got {tuple(labels.shape[1:])}; resize them to the logits' grid first"
        )
