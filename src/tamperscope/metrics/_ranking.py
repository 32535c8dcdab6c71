"""Exact ranking metrics with ties, shared by pixels and pictures: one sort, then whole numbers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tamperscope.errors import DataError


@dataclass(frozen=True, kw_only=True, eq=False)
class Counts:
    """For each distinct score, from the highest: ``hits`` positives and ``alarms`` negatives that
    score at least ``thresholds``; all (k,)."""

    hits: NDArray[np.int64]
    alarms: NDArray[np.int64]
    thresholds: NDArray[np.floating]

    @property
    def positives(self) -> int:
        return int(self.hits[-1]) if len(self.hits) else 0

    @property
    def negatives(self) -> int:
        return int(self.alarms[-1]) if len(self.alarms) else 0

    def auc(self) -> float:
        """Probability that a positive outranks a negative, ties one half; needs both classes."""
        hits = np.concatenate(([0], self.hits))
        alarms = np.concatenate(([0], self.alarms))
        # Twice the area is a whole number: no rounding before the one division.
        twice = int((np.diff(alarms) * (hits[1:] + hits[:-1])).sum())
        return twice / (2 * self.positives * self.negatives)

    def average_precision(self) -> float:
        """Sum over thresholds of precision x gain in recall, not interpolated; needs positives."""
        gains = np.diff(self.hits, prepend=0)
        precision = self.hits / (self.hits + self.alarms)
        return float((gains * precision).sum() / self.positives)

    def best_f1(self) -> tuple[float, float]:
        """Largest F1 of ``score >= threshold`` and the highest threshold reaching it; needs
        positives."""
        f1 = 2 * self.hits / (self.hits + self.alarms + self.positives)
        best = int(f1.argmax())
        return float(f1[best]), float(self.thresholds[best])


def count(scores: NDArray[np.floating], truth: NDArray[np.bool_]) -> Counts:
    """Scores and truth (n,), already checked."""
    order = np.argsort(scores)[::-1]
    ranked, positive = scores[order], truth[order]
    last = np.flatnonzero(np.diff(ranked))
    if len(ranked):
        last = np.append(last, len(ranked) - 1)
    hits = np.cumsum(positive, dtype=np.int64)[last]
    return Counts(hits=hits, alarms=last + 1 - hits, thresholds=ranked[last])


def check_scores(
    scores: NDArray[np.floating], truth: NDArray[np.bool_], what: str
) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """Flat scores and truth, or a DataError that says what is wrong with them."""
    if not np.issubdtype(scores.dtype, np.floating):
        raise DataError(f"scores must be floats, got {scores.dtype}; a mask is ranked as 0.0 / 1.0")
    check_truth(truth, what)
    if scores.shape != truth.shape:
        raise DataError(
            f"scores {scores.shape} and {what} {truth.shape} differ in shape; resize one first"
        )
    if np.isnan(scores).any():
        raise DataError("scores hold NaN, which has no rank; fix the method or leave it out")
    return scores.ravel(), truth.ravel()


def check_truth(truth: NDArray[np.bool_], what: str) -> None:
    if truth.dtype != np.bool_:
        raise DataError(f"{what} must be bool, True = forged, got {truth.dtype}; compare first")
