"""Content shortcut: does a method outline objects, whether or not anything was forged?

A network trained on pasted objects learns to find objects. On an authentic picture the salient
object is as untouched as its background, so a mask that prefers it was drawn from content alone.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tamperscope.bench.intervals import mean_interval
from tamperscope.bench.measure import Progress, at_size
from tamperscope.bench.predictor import Method, predict
from tamperscope.bench.protocol import OURS, Protocol
from tamperscope.data.sample import Dataset
from tamperscope.errors import DataError
from tamperscope.image import read_mask
from tamperscope.metrics import auc, f1, iou
from tamperscope.provenance import JSON

NAMES = ("iou", "f1", "flagged_object", "flagged_background", "auc")


def content_overlap(
    method: Method,
    dataset: Dataset,
    *,
    stems: Sequence[str] | None = None,
    protocol: Protocol = OURS,
    progress: Progress | None = None,
) -> dict[str, JSON]:
    """Agreement of masks and maps with the salient objects of authentic pictures.

    dataset: as `read_objects` reads it. stems: only these ids, for example those held back from
    training.

    Returns means over pictures with intervals, each {"mean", "low", "high", "count"}:
        iou, f1: mask against object (0 for an empty mask). Low is good; a mask at random has some.
        flagged_object, flagged_background: share of each that is in the mask. Equal is blind to
            content; both 0 is best.
        auc: score map against object, ties one half. 0.5 is blind to content.
    "count", the number of pictures, and "failures", those the method refused (empty mask).

    Raises DataError for a set without object masks, unknown stems, or an object mask that covers
    nothing or the whole picture.
    """
    if stems is not None:
        dataset = dataset.only(stems)
    values: dict[str, list[float]] = {name: [] for name in NAMES}
    failures: list[JSON] = []
    for done, sample in enumerate(dataset.samples):
        if progress is not None:
            progress(done, len(dataset.samples), sample.id)
        if sample.object_mask_path is None:
            raise DataError(
                f"{sample.id!r} has no object mask: give images/ with masks/ of the same stems"
            )
        thing = read_mask(sample.object_mask_path)
        if thing.all() or not thing.any():
            raise DataError(
                f"object mask of {sample.id!r} covers all or nothing: leave the picture out"
            )
        outcome = predict(method, sample.image_path)
        if outcome.failure is not None:
            failures.append({"id": sample.id, "why": outcome.failure})
        score, mask, _ = at_size(outcome, thing.shape, sample, protocol)
        for name, value in _overlap(score, mask, thing).items():
            values[name].append(value)
    means: dict[str, JSON] = {name: _interval(values[name], protocol) for name in NAMES}
    return {"count": len(dataset.samples), **means, "failures": failures}


def _overlap(
    score: NDArray[np.float32], mask: NDArray[np.bool_], thing: NDArray[np.bool_]
) -> dict[str, float]:
    return {
        "iou": iou(mask, thing),
        "f1": f1(mask, thing),
        "flagged_object": float(mask[thing].mean(dtype=np.float64)),
        "flagged_background": float(mask[~thing].mean(dtype=np.float64)),
        "auc": auc(np.asarray(score, np.float32), thing),
    }


def _interval(values: Sequence[float], protocol: Protocol) -> JSON:
    found = mean_interval(values, protocol)
    return None if found is None else dict(found)
