"""Losses between a predicted map and a mask.

Everywhere: ``logits`` (or ``values``) and ``target`` have one and the same shape (B, ...), usually
(B, 1, h, w) or (B, h, w). The target holds 1 = forged, 0 = pristine, or fractions in between where
a mask was reduced; ``ignore``, where given, is a bool tensor of that shape whose True places count
for nothing. Sums run in float32 (float64 for float64 input) under autocast too. Every function
returns a scalar; if all places are ignored it is 0, still attached to the graph.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from tamperscope.errors import ConfigError


def binary_cross_entropy(
    logits: Tensor, target: Tensor, *, ignore: Tensor | None = None, balanced: bool = False
) -> Tensor:
    """Mean binary cross-entropy of logits.

    With ``balanced``, forged and pristine places get the same total weight over the batch, so that
    small regions are not drowned; a batch that holds only one class keeps plain weights.
    """
    logits, target, keep = _prepare(logits, target, ignore)
    losses = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    weights = keep * _class_weights(target, keep) if balanced else keep
    return _weighted_mean(losses, weights)


def focal(
    logits: Tensor,
    target: Tensor,
    *,
    gamma: float = 2.0,
    alpha: float | None = None,
    ignore: Tensor | None = None,
) -> Tensor:
    """Mean focal loss, ``(1 - p_t)^gamma * cross-entropy`` (Lin et al., ICCV 2017, eq. 4-5).

    ``alpha`` in [0, 1] weights forged places by alpha and pristine ones by 1 - alpha; None: no
    weights. gamma = 0 without alpha is plain binary cross-entropy.
    """
    if not gamma >= 0:
        raise ConfigError(f"gamma must not be negative, got {gamma}")
    if alpha is not None and not 0 <= alpha <= 1:
        raise ConfigError(f"alpha must lie in [0, 1], got {alpha}")
    logits, target, keep = _prepare(logits, target, ignore)
    losses = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    p = logits.sigmoid()
    missed = p * (1 - target) + (1 - p) * target
    # The slope of 0^gamma is infinite for gamma < 1.
    missed = missed.clamp_min(torch.finfo(missed.dtype).eps)
    losses = losses * missed**gamma
    if alpha is not None:
        losses = losses * (alpha * target + (1 - alpha) * (1 - target))
    return _weighted_mean(losses, keep)


def dice(
    logits: Tensor, target: Tensor, *, smooth: float = 1.0, ignore: Tensor | None = None
) -> Tensor:
    """1 - soft Dice of sigmoid(logits), per image, then the mean over images (Milletari, 3DV 2016).

    Dice = (2 sum(p y) + smooth) / (sum(p^2) + sum(y^2) + smooth). ``smooth`` > 0 makes an empty
    prediction on an empty mask perfect (loss 0) instead of undefined.
    """
    if not smooth > 0:
        raise ConfigError(f"smooth must be greater than 0, got {smooth}")
    logits, target, keep = _prepare(logits, target, ignore)
    p, y = (logits.sigmoid() * keep).flatten(1), (target * keep).flatten(1)
    overlap = 2 * (p * y).sum(1) + smooth
    return (1 - overlap / (p.square().sum(1) + y.square().sum(1) + smooth)).mean()


def l1(values: Tensor, target: Tensor, *, ignore: Tensor | None = None) -> Tensor:
    """Mean absolute difference of map values (not logits) and target."""
    values, target, keep = _prepare(values, target, ignore)
    return _weighted_mean((values - target).abs(), keep)


def l2(values: Tensor, target: Tensor, *, ignore: Tensor | None = None) -> Tensor:
    """Mean squared difference of map values (not logits) and target."""
    values, target, keep = _prepare(values, target, ignore)
    return _weighted_mean((values - target).square(), keep)


def _prepare(
    values: Tensor, target: Tensor, ignore: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The map and target in full precision, and 1/0 for the places that count."""
    for name, other in (("target", target), ("ignore", ignore)):
        if other is not None and other.shape != values.shape:
            raise ConfigError(
                f"{name} must have the shape of the map {tuple(values.shape)}, "
                f"got {tuple(other.shape)}; resize it to the map's grid first"
            )
    if ignore is not None and ignore.dtype != torch.bool:
        raise ConfigError(f"ignore must be a bool tensor (True = leave out), got {ignore.dtype}")
    if values.dtype != torch.float64:
        values = values.float()
    keep = torch.ones_like(values) if ignore is None else (~ignore).to(values.dtype)
    target = target.to(values.dtype)
    if ignore is not None:
        # A marker such as 255 in an ignored place must not overflow into 0 * inf.
        target = target.masked_fill(ignore, 0)
    return values, target, keep


def _class_weights(target: Tensor, keep: Tensor) -> Tensor:
    total, forged = keep.sum(), (target * keep).sum()
    pristine = total - forged
    weights = total / 2 * (target / forged + (1 - target) / pristine)
    return torch.where((forged > 0) & (pristine > 0), weights, torch.ones_like(target))


def _weighted_mean(losses: Tensor, weights: Tensor) -> Tensor:
    return (losses * weights).sum() / weights.sum().clamp_min(torch.finfo(losses.dtype).tiny)
