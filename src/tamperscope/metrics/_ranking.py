"""Exact ranking metrics with ties, shared by pixels and pictures.

Scores are never put into bins: positives and negatives are radix-sorted apart, by the bits of the
floats, and one walk down both lists, a step for each distinct score, yields every number. That is
linear in the number of pixels, and counts stay whole numbers up to the last division.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tamperscope.errors import DataError
from tamperscope.metrics import _kernels


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """What an order of ``positives`` and ``negatives`` by score is worth.

    Attributes:
        twice_area: twice the area under the ROC curve in pairs, a whole number.
        precision: average precision; NaN without positives.
        best_f1, best_threshold: the largest F1 of ``score >= threshold`` and the highest threshold
            reaching it; NaN without positives.
        best_inverse_f1: the largest F1 of ``score < threshold``, all thresholds up to infinity.
    """

    positives: int
    negatives: int
    twice_area: int
    precision: float
    best_f1: float
    best_threshold: float
    best_inverse_f1: float

    def auc(self) -> float:
        """Probability that a positive outranks a negative, ties one half; needs both classes."""
        return self.twice_area / (2 * self.positives * self.negatives)


def rank(scores: NDArray[np.floating], truth: NDArray[np.bool_]) -> Ranking:
    """Scores and truth (n,) of one size, already checked but for NaN, which is a DataError."""
    wide = scores.dtype.itemsize > 4
    values = np.ascontiguousarray(scores, np.float64 if wide else np.float32)
    truth = np.ascontiguousarray(truth)
    keys = np.empty(values.size, np.uint64 if wide else np.uint32)
    split = _kernels.split64 if wide else _kernels.split32
    count = int(split(values.view(keys.dtype), truth, keys))
    if count < 0:
        raise DataError("scores hold NaN, which has no rank; fix the method or leave it out")
    spare, digits = np.empty_like(keys), 6 if wide else 3
    positives, negatives = (
        _kernels.radix_sort(part, room, digits) if part.size else part
        for part, room in ((keys[:count], spare[:count]), (keys[count:], spare[count:]))
    )
    twice, precision, best, key, inverse = _kernels.walk(positives, negatives)
    return Ranking(
        positives=count,
        negatives=values.size - count,
        twice_area=int(twice),
        precision=float(precision) if count else float("nan"),
        best_f1=float(best) if count else float("nan"),
        best_threshold=_score_of(int(key), wide) if count else float("nan"),
        best_inverse_f1=float(inverse) if count else float("nan"),
    )


def _score_of(key: int, wide: bool) -> float:
    """The score whose key this is."""
    width, whole, number = (64, np.uint64, np.float64) if wide else (32, np.uint32, np.float32)
    sign = 1 << (width - 1)
    bits = key ^ sign if key & sign else key ^ ((1 << width) - 1)
    return float(np.array([bits], whole).view(number)[0])


def check_scores(
    scores: NDArray[np.floating], truth: NDArray[np.bool_], what: str
) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """Flat scores and truth, or a DataError that says what is wrong with them; NaN is left to
    ``rank``."""
    if not np.issubdtype(scores.dtype, np.floating):
        raise DataError(f"scores must be floats, got {scores.dtype}; a mask is ranked as 0.0 / 1.0")
    check_truth(truth, what)
    if scores.shape != truth.shape:
        raise DataError(
            f"scores {scores.shape} and {what} {truth.shape} differ in shape; resize one first"
        )
    return scores.ravel(), truth.ravel()


def check_truth(truth: NDArray[np.bool_], what: str) -> None:
    """DataError unless bool."""
    if truth.dtype != np.bool_:
        raise DataError(f"{what} must be bool, True = forged, got {truth.dtype}; compare first")
