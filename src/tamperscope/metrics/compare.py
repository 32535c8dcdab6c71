"""Is one method better than another on the same pictures, or was it the pictures?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from tamperscope.errors import ConfigError, DataError
from tamperscope.metrics import _ranking
from tamperscope.metrics.aggregate import mean_interval

Values = Sequence[float] | NDArray[np.floating]

_EXACT = 14
"""Pictures that differ, up to which all sign patterns are tried."""
_CHUNK = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The first method less the second.

    Attributes:
        difference: of the means or AUCs.
        low, high: its interval.
        p_value: probability of a difference at least as large, either way, of two methods that are
            equally good; correct several with ``holm``.
        better, worse, equal: pictures on which the first beats, loses to, ties with the second; all
            0 for AUCs, which no single picture has.
        count: pictures compared.
    """

    difference: float
    low: float
    high: float
    p_value: float
    better: int
    worse: int
    equal: int
    count: int


def compare_means(
    first: Values,
    second: Values,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    permutations: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compare one number per picture of two methods, picture by picture.

    Interval: percentile bootstrap of the mean difference. p: sign-flip permutation test of it, by
    all sign patterns where at most 14 pictures differ (for right-or-wrong values that is McNemar's
    exact test), else by random ones, counting the observed one in.

    Args:
        first, second: (n,), the same pictures in the same order, no NaN.
        level, resamples: of the interval. permutations: random sign patterns. seed: of both.

    Raises:
        DataError: lengths that differ, nothing to compare, NaN or infinity.
        ConfigError: an option out of range.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.shape != b.shape:
        raise DataError(
            f"got values {a.shape} and {b.shape}; compare the same pictures in the same order"
        )
    if permutations < 1:
        raise ConfigError(f"permutations is {permutations}: give 1 or more")
    change = a - b
    found = mean_interval(change, level=level, resamples=resamples, seed=seed)
    return Comparison(
        difference=found.mean,
        low=found.low,
        high=found.high,
        p_value=_sign_flips(change, permutations, seed),
        better=int((change > 0).sum()),
        worse=int((change < 0).sum()),
        equal=int((change == 0).sum()),
        count=len(change),
    )


def _sign_flips(change: NDArray[np.float64], permutations: int, seed: int) -> float:
    moved = change[change != 0]
    n = len(moved)
    if n == 0:
        return 1.0
    # Sums that are equal on paper differ in the last digits, by the order they are added in.
    observed = abs(moved.sum()) - 1e-9 * np.abs(moved).sum()
    if n <= _EXACT:
        patterns = (np.arange(1 << n)[:, None] >> np.arange(n)) & 1
        return float((np.abs((2.0 * patterns - 1) @ moved) >= observed).mean())
    rng = np.random.default_rng(seed)
    reached, step = 1, max(1, _CHUNK // n)
    for start in range(0, permutations, step):
        rows = min(step, permutations - start)
        signs = 2.0 * rng.integers(2, size=(rows, n)) - 1
        reached += int((np.abs(signs @ moved) >= observed).sum())
    return reached / (permutations + 1)


def compare_auc(
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    forged: NDArray[np.bool_],
    *,
    level: float = 0.95,
) -> Comparison:
    """Compare the AUCs of two methods' image scores of the same pictures (DeLong et al., 1988).

    Args:
        first, second: image scores (n,). forged: (n,), True where manipulated; at least two of
            either kind. level: of the normal interval, in (0, 1).

    Raises:
        DataError: too few pictures of a kind, NaN, or arrays that do not fit.
        ConfigError: a level out of range.
    """
    if not 0 < level < 1:
        raise ConfigError(f"level is {level}: give a share between 0 and 1")
    for scores in (first, second):
        _ranking.check_scores(scores, forged, "labels")
        if np.isnan(scores).any():
            raise DataError("scores hold NaN, which has no rank; fix the method or leave it out")
    if forged.sum() < 2 or (~forged).sum() < 2:
        raise DataError(
            f"comparing AUCs needs two pictures of either kind, got {int(forged.sum())} forged "
            f"and {int((~forged).sum())} authentic; add some"
        )
    wins = [_wins(np.asarray(scores), forged) for scores in (first, second)]
    by_forged, by_authentic = (wins[0][side] - wins[1][side] for side in (0, 1))
    difference = float(by_forged.mean())
    deviation = math.sqrt(
        by_forged.var(ddof=1) / len(by_forged) + by_authentic.var(ddof=1) / len(by_authentic)
    )
    half = NormalDist().inv_cdf((1 + level) / 2) * deviation
    if deviation > 0:
        p_value = math.erfc(abs(difference) / deviation / math.sqrt(2))
    else:
        p_value = 1.0 if difference == 0 else 0.0
    return Comparison(
        difference=difference,
        low=difference - half,
        high=difference + half,
        p_value=p_value,
        better=0,
        worse=0,
        equal=0,
        count=len(forged),
    )


def _wins(
    scores: NDArray[np.floating], forged: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each forged picture the share of authentic ones below it, for each authentic one the
    share of forged ones above it; ties one half."""
    positive, negative = np.sort(scores[forged]), np.sort(scores[~forged])

    def below(values: NDArray[np.floating], among: NDArray[np.floating]) -> NDArray[np.float64]:
        sides = (np.searchsorted(among, values, side=side) for side in ("left", "right"))
        return np.asarray(sum(sides) / (2 * len(among)), np.float64)

    return below(scores[forged], negative), 1 - below(scores[~forged], positive)


def holm(p_values: Values) -> NDArray[np.float64]:
    """p values of several comparisons, corrected so that the chance of any false finding is that of
    one (Holm, 1979); in the given order.

    Raises:
        DataError: values outside [0, 1].
    """
    found = np.asarray(p_values, np.float64)
    if found.ndim != 1 or not ((found >= 0) & (found <= 1)).all():
        raise DataError("p values must be (n,) in [0, 1]")
    order = np.argsort(found, kind="stable")
    factors = np.arange(len(found), 0, -1)
    corrected = np.empty_like(found)
    corrected[order] = np.minimum(np.maximum.accumulate(found[order] * factors), 1.0)
    return corrected
