"""The pixel metrics of a batch of tensors, computed where the tensors are."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tamperscope.errors import DataError
from tamperscope.metrics.pixel import Confusion

_PIXELS = 1 << 25
"""Sorted at once: some 64 bytes for each are needed beside the input."""


def pixel_metrics(
    masks: Tensor, score_maps: Tensor, truths: Tensor, *, names: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    """As ``batch.pixel_metrics``; tensors (b, h, w) on one device."""
    _check(masks, score_maps, truths)
    flat = [part.flatten(1) for part in (masks, score_maps, truths)]
    step = max(1, _PIXELS // max(flat[0].shape[1], 1))
    parts = [_metrics(*(part[i : i + step] for part in flat)) for i in range(0, len(masks), step)]
    return {
        name: np.concatenate([part[name] for part in parts]) if parts else np.empty(0)
        for name in names
    }


def _metrics(masks: Tensor, scores: Tensor, truths: Tensor) -> dict[str, NDArray[np.float64]]:
    if torch.isnan(scores).any():
        raise DataError("scores hold NaN, which has no rank; fix the method or leave it out")
    hit, flagged, forged = (part.sum(1).tolist() for part in (masks & truths, masks, truths))
    size = masks.shape[1]
    counts = [
        Confusion(tp=tp, fp=p - tp, fn=t - tp, tn=size - p - t + tp)
        for tp, p, t in zip(hit, flagged, forged, strict=True)
    ]
    numbers = {
        name: np.array([getattr(c, name)(empty="nan") for c in counts], np.float64)
        for name in ("f1", "iou", "mcc")
    }
    return numbers | _ranked(scores, truths)


def _ranked(scores: Tensor, truths: Tensor) -> dict[str, NDArray[np.float64]]:
    ranked, order = torch.sort(scores, dim=1, descending=True)
    hits = truths.gather(1, order).cumsum(1, dtype=torch.int64)
    seen = torch.arange(1, hits.shape[1] + 1, device=hits.device)
    # Counts matter only where a run of equal scores ends; in between they repeat the last end's.
    ends = torch.ones_like(truths)
    ends[:, :-1] = ranked[:, 1:] != ranked[:, :-1]
    gained, alarms = _steps(hits, ends), _steps(seen - hits, ends)
    positives, negatives = hits[:, -1].double(), (seen[-1] - hits[:, -1]).double()
    # Whole numbers up to the one division: twice the area of the trapezia, in pairs.
    twice = (alarms * (2 * hits - gained)).sum(1)
    precision = hits.double() / seen
    f1 = torch.where(ends, 2 * hits.double() / (seen + positives[:, None]), -1.0)
    best = f1.argmax(1, keepdim=True)
    without = torch.where(positives > 0, 0.0, torch.nan)
    found = {
        "auc": twice.double() / (2 * positives * negatives),
        "ap": (gained * precision).sum(1) / positives,
        "oracle_f1": f1.gather(1, best)[:, 0] + without,
        "oracle_threshold": ranked.gather(1, best)[:, 0].double() + without,
    }
    return {name: values.cpu().numpy() for name, values in found.items()}


def _steps(counts: Tensor, ends: Tensor) -> Tensor:
    """At each end of a run, how much ``counts`` grew since the end before; 0 elsewhere."""
    last = torch.where(ends, counts, 0).cummax(1).values
    before = torch.zeros_like(last)
    before[:, 1:] = last[:, :-1]
    return torch.where(ends, counts - before, 0)


def _check(masks: Tensor, score_maps: Tensor, truths: Tensor) -> None:
    if masks.dtype != torch.bool or truths.dtype != torch.bool:
        raise DataError(
            f"masks and ground truths must be bool, True = forged, got {masks.dtype} and "
            f"{truths.dtype}; compare first"
        )
    if not score_maps.is_floating_point():
        raise DataError(f"scores must be floats, got {score_maps.dtype}; rank a mask as 0.0 / 1.0")
    shapes = {tuple(part.shape) for part in (masks, score_maps, truths)}
    devices = {part.device for part in (masks, score_maps, truths)}
    if len(shapes) > 1 or masks.ndim != 3 or (not masks[0:1].numel() and len(masks)):
        raise DataError(
            f"tensors must be (b, h, w) of one shape, got {tuple(masks.shape)}, "
            f"{tuple(score_maps.shape)} and {tuple(truths.shape)}; resize first"
        )
    if len(devices) > 1:
        raise DataError("tensors lie on different devices; move them to one")
