"""Percentile bootstrap (Efron, 1979) of numbers that are no plain mean over pictures.

Both classes, tampered and authentic, are resampled on their own, so that a draw has as many of each
as the set. Drawing how often each picture (or each score) occurs is the same as drawing pictures.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tamperscope.errors import ConfigError, DataError
from tamperscope.metrics.aggregate import Summary

_CHUNK = 1 << 22

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Tally:
    """How often each score occurs.

    scores: (k,), distinct, rising. tampered, authentic: (..., k) counts.
    """

    scores: Array
    tampered: NDArray[np.int64]
    authentic: NDArray[np.int64]


Statistic = Callable[[Tally], Array]
"""A number (...) of tallies (..., k)."""

ClassStatistic = Callable[[Array, Array], Array]
"""A number (...) of the class means (..., c) of c columns: tampered first, authentic second."""


def auc(tally: Tally) -> Array:
    """Area under the ROC curve (Mann-Whitney U / (m n)), ties one half."""
    below = tally.authentic.cumsum(axis=-1) - tally.authentic
    wins = (tally.tampered * (below + tally.authentic / 2)).sum(axis=-1)
    pairs = tally.tampered.sum(axis=-1) * tally.authentic.sum(axis=-1)
    return np.asarray(wins / pairs, np.float64)


def average_precision(tally: Tally) -> Array:
    """Sum over scores of precision x gain in recall, not interpolated."""
    hits, alarms = (
        counts[..., ::-1].cumsum(axis=-1) for counts in (tally.tampered, tally.authentic)
    )
    precision = hits / np.maximum(hits + alarms, 1)
    gains = tally.tampered[..., ::-1]
    return np.asarray((gains * precision).sum(axis=-1) / hits[..., -1], np.float64)


def recall_at(rate: float) -> Statistic:
    """The share of tampered pictures above the lowest score that flags at most a share ``rate`` of
    the authentic ones; the threshold is set on the very pictures it is judged by."""

    def recall(tally: Tally) -> Array:
        alarms = tally.authentic[..., ::-1].cumsum(axis=-1)
        hits = tally.tampered[..., ::-1].cumsum(axis=-1)
        allowed = alarms <= np.floor(rate * alarms[..., -1:] + 1e-9)
        return np.asarray((hits * allowed).max(axis=-1) / hits[..., -1], np.float64)

    return recall


def tally_interval(
    tampered: Sequence[float] | NDArray[np.floating],
    authentic: Sequence[float] | NDArray[np.floating],
    statistic: Statistic,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Summary:
    """A number of two classes of image scores, with its interval.

    Args:
        tampered, authentic: scores (m,) and (n,), neither empty.
        statistic: ``auc``, ``average_precision``, ``recall_at(...)`` or another.
        level: of the interval, in (0, 1). resamples: draws, seeded by ``seed``.

    Raises:
        DataError: an empty class or NaN. ConfigError: an option out of range.
    """
    _check_options(level, resamples)
    m, n = len(tampered), len(authentic)
    pooled = np.concatenate([np.asarray(tampered, float), np.asarray(authentic, float)])
    if not (m and n) or np.isnan(pooled).any():
        raise DataError(
            f"image-level metrics need scores of tampered and authentic pictures, got {m} and {n}"
            f"{' with NaN' if np.isnan(pooled).any() else ''}; add a set of the other kind"
        )
    scores, places = np.unique(pooled, return_inverse=True)
    counts = [np.bincount(part, minlength=len(scores)) for part in (places[:m], places[m:])]
    rng = np.random.default_rng(seed)
    draws = [
        statistic(
            Tally(
                scores=scores,
                tampered=rng.multinomial(m, counts[0] / m, size),
                authentic=rng.multinomial(n, counts[1] / n, size),
            )
        )
        for size in blocks(resamples, len(scores))
    ]
    value = statistic(Tally(scores=scores, tampered=counts[0], authentic=counts[1]))
    return _summary(float(value), np.concatenate(draws), level, m + n)


def class_interval(
    tampered: Array,
    authentic: Array,
    statistic: ClassStatistic,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Summary:
    """A number made of class means, with its interval: balanced accuracy, F1, pooled ratios.

    Args:
        tampered, authentic: (m, c) and (n, c) values, a row for each picture; one may have no row,
            and then its means are NaN.
        statistic: of the means (..., c).
        level: of the interval, in (0, 1). resamples: draws, seeded by ``seed``.

    Raises:
        DataError: no picture at all. ConfigError: an option out of range.
    """
    _check_options(level, resamples)
    if not len(tampered) + len(authentic):
        raise DataError("no picture to make a number of; pass at least one")
    rng = np.random.default_rng(seed)
    draws = [
        statistic(_drawn(tampered, rng, size), _drawn(authentic, rng, size))
        for size in blocks(resamples, max(len(tampered), len(authentic)))
    ]
    value = statistic(_mean(tampered), _mean(authentic))
    return _summary(float(value), np.concatenate(draws), level, len(tampered) + len(authentic))


def blocks(samples: int, width: int) -> Iterator[int]:
    """Parts of ``samples``: samples x width numbers of a large set would not fit in memory."""
    step = max(1, _CHUNK // max(width, 1))
    for start in range(0, samples, step):
        yield min(step, samples - start)


def _drawn(rows: Array, rng: np.random.Generator, size: int) -> Array:
    n = len(rows)
    if not n:
        return np.full((size, rows.shape[1]), np.nan)
    return np.asarray(rng.multinomial(n, np.full(n, 1 / n), size) @ rows / n, np.float64)


def _mean(rows: Array) -> Array:
    return rows.mean(axis=0) if len(rows) else np.full(rows.shape[1], np.nan)


def _summary(value: float, draws: Array, level: float, count: int) -> Summary:
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Summary(mean=value, low=float(low), high=float(high), count=count, skipped=0)


def _check_options(level: float, resamples: int) -> None:
    if not 0 < level < 1 or resamples < 1:
        raise ConfigError(
            f"level must lie in (0, 1) and resamples be at least 1, got {level} and {resamples}"
        )
