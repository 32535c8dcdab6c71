"""The losses of DOLOS (Țânțaru, Oneață & Oneață, WACV 2024): fakeness maps from image labels alone,
from masks, or from both.

Labels are integers (B,), 1 = fake. Map logits are (B, 2, h, w), channel 1 = fake, or (B, 1, h, w),
positive = fake. Everything runs in float32 (float64 for float64 input) under autocast too.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from tamperscope.errors import ConfigError, unknown
from tamperscope.losses import maps

Pooling = Literal["expand", "max", "top", "avg"]
MapLoss = Literal["ce", "bce", "l1", "l2", "dice", "focal"]

POOLINGS = ("expand", "max", "top", "avg")
MAP_LOSSES = ("ce", "bce", "l1", "l2", "dice", "focal")

TOP_SHARE = 0.02
"""Share of the places that `pool_top` looks at."""


def fake_logits(map_logits: Tensor) -> Tensor:
    """One logit per place, (B, h, w): its sigmoid is the softmax's fake probability.

    Raises:
        ConfigError: neither one nor two channels.
    """
    if map_logits.ndim != 4 or map_logits.shape[1] not in (1, 2):
        raise ConfigError(
            "map logits must be (B, 1, h, w) or (B, 2, h, w), "
            f"got {tuple(map_logits.shape)}; pass the network's map output as it is"
        )
    values = map_logits if map_logits.dtype == torch.float64 else map_logits.float()
    return values[:, -1] - values[:, 0] if values.shape[1] == 2 else values[:, 0]


def pool_max(map_logits: Tensor) -> Tensor:
    """Logits (B, 2) of the place that looks most fake: the largest margin of channel 1 over 0."""
    flat = _two_channels(map_logits).flatten(2)
    place = (flat[:, 1] - flat[:, 0]).argmax(1)
    return flat.gather(2, place[:, None, None].expand(-1, 2, 1))[..., 0]


def pool_top(map_logits: Tensor) -> Tensor:
    """Mean logits (B, 2) of the `TOP_SHARE` of the places that look most fake, at least one.

    Between `pool_max`, whose gradient reaches one place of a picture, and `pool_average`, in which
    a small region drowns; not of the paper.
    """
    flat = _two_channels(map_logits).flatten(2)
    count = max(1, round(TOP_SHARE * flat.shape[2]))
    places = (flat[:, 1] - flat[:, 0]).topk(count, dim=1).indices
    return flat.gather(2, places[:, None].expand(-1, 2, -1)).mean(2)


def pool_average(map_logits: Tensor) -> Tensor:
    """Logarithm of the mean softmax over places, plus 0.7 as released: (B, 2).

    The constant brings two classes of probability one half near 0; a softmax does not see it.
    """
    return _two_channels(map_logits).softmax(1).mean((2, 3)).log() + 0.7


def label_loss(label_logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of image logits (B, 2)."""
    _check_labels(labels, len(label_logits))
    return F.cross_entropy(label_logits.to(_sum_type(label_logits)), labels)


def weak_map_loss(map_logits: Tensor, labels: Tensor, *, pooling: Pooling = "expand") -> Tensor:
    """Mean cross-entropy of a two-channel map (B, 2, h, w) against image labels.

    Args:
        map_logits: (B, 2, h, w).
        labels: (B,), 1 = fake.
        pooling: ``expand`` gives every place its image's label (the published training);
            ``max``, ``top`` and ``avg`` reduce the map to one pair of logits first (`pool_max`,
            `pool_top`, `pool_average`).

    Raises:
        UnknownNameError: another pooling. ConfigError: shapes that do not fit.
    """
    logits = _two_channels(map_logits)
    _check_labels(labels, len(logits))
    if pooling == "expand":
        return F.cross_entropy(logits, labels[:, None, None].expand(-1, *logits.shape[2:]))
    if pooling == "max":
        return F.cross_entropy(pool_max(logits), labels)
    if pooling == "top":
        return F.cross_entropy(pool_top(logits), labels)
    if pooling == "avg":
        return F.cross_entropy(pool_average(logits), labels)
    raise unknown("pooling", pooling, POOLINGS)


def weak_mask_loss(mask_logits: Tensor, labels: Tensor) -> Tensor:
    """Mean binary cross-entropy of the largest mask value against the image label.

    A fake picture should have a place that says so, a real one none.

    Args:
        mask_logits: (B, 1, h, w); the mask is their sigmoid.
        labels: (B,), 1 = fake.
    """
    largest = fake_logits(mask_logits).flatten(1).amax(1)
    _check_labels(labels, len(largest))
    return F.binary_cross_entropy_with_logits(largest, labels.to(largest.dtype))


def attention_weak(
    label_logits: Tensor, mask_logits: Tensor, labels: Tensor, *, weight: float = 1.0
) -> Tensor:
    """Cross-entropy of the labels plus ``weight`` (the paper's lambda) times `weak_mask_loss`."""
    return label_loss(label_logits, labels) + weight * weak_mask_loss(mask_logits, labels)


def map_loss(
    map_logits: Tensor,
    target: Tensor,
    *,
    kind: MapLoss = "ce",
    balanced: bool = False,
    gamma: float = 2.0,
) -> Tensor:
    """Loss of a map against a mask of its own size.

    Args:
        map_logits: (B, 2, h, w) or (B, 1, h, w).
        target: (B, h, w), 1 = fake.
        kind: ``ce`` and ``bce`` are the cross-entropy (of two classes, thus the same; DOLOS),
            ``l1`` and ``l2`` regress the probability (FakeLocator), ``dice`` and ``focal`` are
            those of `tamperscope.losses.maps`.
        balanced: cross-entropy only: fake and real places weigh the same over the batch.
        gamma: of the focal loss.

    Raises:
        UnknownNameError: another kind.
        ConfigError: shapes that do not fit, or ``balanced`` with another loss than cross-entropy.
    """
    logits = fake_logits(map_logits)
    if kind not in MAP_LOSSES:
        raise unknown("map loss", kind, MAP_LOSSES)
    if kind in ("ce", "bce"):
        return maps.binary_cross_entropy(logits, target, balanced=balanced)
    if balanced:
        raise ConfigError(f"only cross-entropy can be balanced, not {kind}: set balanced = false")
    if kind == "dice":
        return maps.dice(logits, target)
    if kind == "focal":
        return maps.focal(logits, target, gamma=gamma)
    regress = maps.l1 if kind == "l1" else maps.l2
    return regress(logits.sigmoid(), target)


def attention_full(mask_logits: Tensor, target: Tensor) -> Tensor:
    """Mean binary cross-entropy of the mask (B, 1, h, w) against the true one (B, h, w)."""
    return map_loss(mask_logits, target, kind="bce")


def combined(
    class_loss: Tensor,
    localize_loss: Tensor,
    *,
    rho_class: float = 1.0,
    rho_localize: float = 1.0,
) -> Tensor:
    """``rho_class * L_class + rho_localize * L_localize``."""
    return rho_class * class_loss + rho_localize * localize_loss


def _sum_type(values: Tensor) -> torch.dtype:
    return torch.float64 if values.dtype == torch.float64 else torch.float32


def _two_channels(map_logits: Tensor) -> Tensor:
    if map_logits.ndim != 4 or map_logits.shape[1] != 2:
        raise ConfigError(
            f"a map trained from labels needs logits (B, 2, h, w), got {tuple(map_logits.shape)}"
        )
    return map_logits.to(_sum_type(map_logits))


def _check_labels(labels: Tensor, pictures: int) -> None:
    if labels.shape != (pictures,) or labels.is_floating_point():
        raise ConfigError(
            f"labels must be whole numbers ({pictures},), 1 = fake; "
            f"got {labels.dtype} {tuple(labels.shape)}"
        )
