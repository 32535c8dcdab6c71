"""The pixel metrics of many pictures at once, on the processor or, for tensors, on their device.

Values are those of ``pixel``: exact, ties counting one half, nothing put into bins. A picture that
has no value (AUC without both classes, the others without a forged pixel) has NaN.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tamperscope.errors import ConfigError, DataError
from tamperscope.metrics import _ranking
from tamperscope.metrics.pixel import Confusion, confusion

if TYPE_CHECKING:
    import torch

NAMES = ("f1", "iou", "mcc", "auc", "ap", "oracle_f1", "oracle_threshold")
"""``oracle_f1`` is the best F1 over all thresholds, chosen with the ground truth; the last is the
highest threshold whose ``score >= threshold`` attains it."""

_RANKED = ("auc", "ap", "oracle_f1", "oracle_threshold")


def pixel_metrics(
    masks: "Sequence[NDArray[np.bool_]] | NDArray[np.bool_] | torch.Tensor",
    score_maps: "Sequence[NDArray[np.floating]] | NDArray[np.floating] | torch.Tensor",
    truths: "Sequence[NDArray[np.bool_]] | NDArray[np.bool_] | torch.Tensor",
    *,
    names: Sequence[str] = NAMES,
    threads: int = 1,
) -> dict[str, NDArray[np.float64]]:
    """Score pictures, one sort of the map serving all ranking metrics.

    Args:
        masks: shipped decisions, bool, a sequence of (h, w) of any sizes or one array (b, h, w).
        score_maps: floats rising with suspicion, as many and of the same sizes.
        truths: bool, True = forged.
        names: which of ``NAMES`` to compute; without a ranking metric maps are not sorted.
        threads: how many pictures are scored side by side (arrays only).

    Returns:
        name -> (b,) float64 on the host. All three arguments as tensors (b, h, w) on one device
        are computed there, in batches that fit.

    Raises:
        DataError: wrong types, shapes that differ, NaN. ConfigError: an unknown name.
    """
    unknown = [name for name in names if name not in NAMES]
    if unknown or not names:
        raise ConfigError(f"unknown metric {unknown[:1]}; use some of {', '.join(NAMES)}")
    tensors = [_is_tensor(part) for part in (masks, score_maps, truths)]
    if all(tensors):
        from tamperscope.metrics import _tensors

        return _tensors.pixel_metrics(masks, score_maps, truths, names=names)  # type: ignore[arg-type]
    if any(tensors):
        raise DataError("masks, score maps and ground truths must all be arrays or all be tensors")
    if not len(masks) == len(score_maps) == len(truths):
        raise DataError(
            f"got {len(masks)} masks, {len(score_maps)} score maps and {len(truths)} ground "
            "truths; pass one of each for a picture"
        )
    ranked = any(name in _RANKED for name in names)
    triples: Iterable[tuple[Any, Any, Any]] = zip(masks, score_maps, truths, strict=True)
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            rows = list(pool.map(lambda triple: picture_metrics(*triple, ranked=ranked), triples))
    else:
        rows = [picture_metrics(*triple, ranked=ranked) for triple in triples]
    return {name: np.array([row[name] for row in rows], np.float64) for name in names}


def picture_metrics(
    mask: NDArray[np.bool_],
    score_map: NDArray[np.floating],
    truth: NDArray[np.bool_],
    *,
    ranked: bool = True,
) -> dict[str, float]:
    """One picture's numbers, all (h, w); without ``ranked`` only those of the mask.

    Raises:
        DataError: wrong types, shapes that differ, NaN.
    """
    numbers = of_counts(confusion(mask, truth))
    if not ranked:
        return numbers
    found = _ranking.rank(*_ranking.check_scores(score_map, truth, "ground truth"))
    both = found.positives and found.negatives
    return numbers | {
        "auc": found.auc() if both else float("nan"),
        "ap": found.precision,
        "oracle_f1": found.best_f1,
        "oracle_threshold": found.best_threshold,
    }


def flagged_shares(
    masks: "Sequence[NDArray[np.bool_]] | NDArray[np.bool_] | torch.Tensor",
) -> NDArray[np.float64]:
    """Share of each picture in its mask, (b,): on authentic pictures the false alarms, of which the
    mean is the share of pixels, and the share above 0 that of pictures.

    Args:
        masks: bool, as for ``pixel_metrics``.

    Raises:
        DataError: not bool.
    """
    if _is_tensor(masks):
        masks = masks.cpu().numpy()  # type: ignore[union-attr]
    for mask in masks:
        _ranking.check_truth(mask, "mask")
    return np.array([np.mean(mask, dtype=np.float64) for mask in masks], np.float64)


def of_counts(counts: Confusion) -> dict[str, float]:
    """F1, IoU and MCC of pixel counts, NaN without a forged pixel."""
    return {
        "f1": counts.f1(empty="nan"),
        "iou": counts.iou(empty="nan"),
        "mcc": counts.mcc(empty="nan"),
    }


def _is_tensor(part: object) -> bool:
    # A tensor's class is found out without importing torch for those who have none in hand.
    return type(part).__module__.partition(".")[0] == "torch"
