"""The small fits that turn a network's raw output into a decision."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

ScoredMask = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""A map of a fake picture and its true mask, both (h, w)."""


def logistic(scores: NDArray[np.float64], fake: NDArray[np.bool_]) -> dict[str, float]:
    """``image_scale`` and ``image_bias``: the sigmoid of scale x score + bias is the probability of
    a fake where fake and real pictures are equally many.

    Args:
        scores: (n,), higher = more fake.
        fake: (n,), with both kinds.
    """
    middle, spread = float(scores.mean()), max(float(scores.std()), 1e-6)
    # The penalty matters where both kinds separate: without it the slope grows for ever.
    model = LogisticRegression(C=1.0, class_weight="balanced")
    model.fit(((scores - middle) / spread)[:, None], fake)
    scale = float(model.coef_[0, 0]) / spread
    return {"image_scale": scale, "image_bias": float(model.intercept_[0]) - scale * middle}


def best_cut(
    maps: Sequence[ScoredMask], cuts: Sequence[float] | NDArray[np.float64]
) -> tuple[float, float]:
    """The cut with the best mean IoU of map > cut with the masks, and that IoU."""
    means = [float(np.mean([iou(score > cut, mask) for score, mask in maps])) for cut in cuts]
    best = int(np.argmax(means))
    return round(float(cuts[best]), 4), means[best]


def iou(flagged: NDArray[np.bool_], mask: NDArray[np.bool_]) -> float:
    """Intersection over union of two masks, 0 for two empty ones."""
    return float((flagged & mask).sum() / max((flagged | mask).sum(), 1))
