"""Means and image-level AUC with percentile bootstrap intervals over pictures."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from tamperscope.bench.protocol import Protocol
from tamperscope.metrics import aggregate
from tamperscope.provenance import JSON

_CHUNK = 1 << 22


def mean_interval(values: Sequence[float], protocol: Protocol) -> dict[str, JSON] | None:
    """{"mean", "low", "high", "count"} of per-picture values; None for no values.

    low, high: percentile bootstrap (Efron, 1979) of the mean at the protocol's confidence.
    """
    if not values:
        return None
    found = aggregate.mean_interval(
        values,
        level=protocol.confidence,
        resamples=protocol.bootstrap_samples,
        seed=protocol.seed,
    )
    return {"mean": found.mean, "low": found.low, "high": found.high, "count": found.count}


def auc_interval(
    forged: Sequence[float], authentic: Sequence[float], protocol: Protocol
) -> dict[str, JSON] | None:
    """{"mean", "low", "high", "count"} of the AUC of image scores; None when a class is empty.

    Exact with ties (Mann-Whitney U / (m n), ties one half). Both classes are resampled.
    """
    if not forged or not authentic:
        return None
    m, n = len(forged), len(authentic)
    values, places = np.unique([*forged, *authentic], return_inverse=True)
    high = np.bincount(places[:m], minlength=len(values))
    low = np.bincount(places[m:], minlength=len(values))
    rng = np.random.default_rng(protocol.seed)
    # Drawing how often each score occurs is the same as drawing pictures, and needs no new sort.
    draws = [
        _auc(rng.multinomial(m, high / m, size), rng.multinomial(n, low / n, size))
        for size in _blocks(protocol.bootstrap_samples, len(values))
    ]
    tail = (1 - protocol.confidence) / 2
    least, most = np.quantile(np.concatenate(draws), [tail, 1 - tail])
    mean = float(_auc(high, low))
    return {"mean": mean, "low": float(least), "high": float(most), "count": m + n}


def _auc(forged: NDArray[np.int64], authentic: NDArray[np.int64]) -> NDArray[np.float64]:
    """AUC from how often each score occurs, scores rising along the last axis."""
    below = authentic.cumsum(axis=-1) - authentic
    wins = (forged * (below + authentic / 2)).sum(axis=-1)
    pairs = forged.sum(axis=-1) * authentic.sum(axis=-1)
    return np.asarray(wins / pairs, np.float64)


def _blocks(samples: int, width: int) -> Iterator[int]:
    """Parts of `samples`: samples x width numbers of a large set would not fit in memory."""
    step = max(1, _CHUNK // width)
    for start in range(0, samples, step):
        yield min(step, samples - start)
