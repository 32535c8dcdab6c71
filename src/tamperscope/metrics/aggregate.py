"""Averages over pictures with bootstrap intervals."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tamperscope.errors import ConfigError, DataError

NanRule = Literal["skip", "raise"]

_CHUNK = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Summary:
    """mean over ``count`` pictures; [low, high] its interval; skipped: pictures without a value."""

    mean: float
    low: float
    high: float
    count: int
    skipped: int


def mean_interval(
    values: Sequence[float] | NDArray[np.floating],
    *,
    nan: NanRule = "raise",
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Summary:
    """Mean of one number per picture with a percentile bootstrap interval (Efron, 1979).

    To compare two methods on the same pictures pass the differences: the interval is then that of
    the paired difference.

    Args:
        values: (n,), n >= 1.
        nan: ``skip`` leaves NaN values out and counts them, ``raise`` refuses them.
        level: of the interval, in (0, 1).
        resamples: bootstrap draws of n pictures with replacement, seeded by ``seed``.

    Raises:
        DataError: no value left, NaN with ``raise``, or infinite values.
        ConfigError: an option out of range.
    """
    if not 0 < level < 1 or resamples < 1:
        raise ConfigError(
            f"level must lie in (0, 1) and resamples be at least 1, got {level} and {resamples}"
        )
    data = np.asarray(values, np.float64)
    kept = _without_nan(data, nan)
    means = np.concatenate(list(_resampled_means(kept, resamples, seed)))
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Summary(
        mean=float(kept.mean()),
        low=float(low),
        high=float(high),
        count=len(kept),
        skipped=len(data) - len(kept),
    )


def _without_nan(data: NDArray[np.float64], nan: NanRule) -> NDArray[np.float64]:
    if data.ndim != 1:
        raise DataError(f"values must be one number per picture (n,), got shape {data.shape}")
    missing = np.isnan(data)
    if nan not in ("skip", "raise"):
        raise ConfigError(f"unknown nan rule {nan!r}; use 'skip' or 'raise'")
    if nan == "raise" and missing.any():
        raise DataError(f"{int(missing.sum())} of {len(data)} values are NaN; pass nan='skip'")
    kept = data[~missing]
    if len(kept) == 0:
        raise DataError("no value to average; pass at least one picture with a defined value")
    if not np.isfinite(kept).all():
        raise DataError("values hold infinity; fix the metric that produced it")
    return kept


def _resampled_means(
    data: NDArray[np.float64], resamples: int, seed: int
) -> Iterator[NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    # In blocks: all draws for a large set at once would take gigabytes.
    step = max(1, _CHUNK // len(data))
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        yield data[rng.integers(len(data), size=(rows, len(data)))].mean(axis=1)
