"""The loss of FakeLocator (Huang et al., IEEE TIFS 2022) between a map and grey-scale fakeness."""

from typing import Literal, get_args

import torch
from torch import Tensor

from tamperscope.errors import unknown
from tamperscope.losses import maps

FakenessLoss = Literal["l1", "l2", "dice", "focal"]
FAKENESS_LOSSES: tuple[FakenessLoss, ...] = get_args(FakenessLoss)


def fakeness_loss(
    logits: Tensor,
    fakeness: Tensor,
    *,
    kind: FakenessLoss = "l1",
    scale: float = 1.0,
    changed_share: float = 0.0,
) -> Tensor:
    """Loss of the map sigmoid(logits) against a fakeness map in [0, 1] of the same shape (B, ...).

    Args:
        logits: of the network.
        fakeness: grey differences, unthresholded; zero where nothing was changed.
        kind: ``l1`` mean absolute difference (the paper's), ``l2`` mean squared difference;
            ``dice`` and ``focal`` of `tamperscope.losses.maps`, which take the fakeness for a
            probability.
        scale: ``l1`` and ``l2`` of both maps times this.
        changed_share: ``l1`` and ``l2``: share of the loss that the changed pixels of the batch
            (fakeness above 0) carry together, the others carrying the rest. 0 weighs every pixel
            alike. L1 is least at the median: where most pixels are unchanged an all-zero map is
            a good answer, and the sigmoid is too flat there to leave it.

    Raises:
        UnknownNameError: another kind.
        ConfigError: two shapes.
    """
    if kind == "dice":
        return maps.dice(logits, fakeness)
    if kind == "focal":
        return maps.focal(logits, fakeness)
    if kind not in FAKENESS_LOSSES:
        raise unknown("loss of a fakeness map", kind, FAKENESS_LOSSES)
    distance = maps.l1 if kind == "l1" else maps.l2
    found = (logits if logits.dtype == torch.float64 else logits.float()).sigmoid() * scale
    truth = fakeness.to(found.dtype) * scale
    changed = fakeness > 0
    if not changed_share or bool(changed.all()) or not bool(changed.any()):
        return distance(found, truth)
    parts = distance(found, truth, ignore=~changed), distance(found, truth, ignore=changed)
    return changed_share * parts[0] + (1 - changed_share) * parts[1]
