"""What an image score is worth as a probability, and where to cut it.

Fit on held-back pictures, never on those a result is reported on.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from scipy.special import betaincinv, expit

from tamperscope.errors import ConfigError, DataError
from tamperscope.metrics import _ranking

Scores = NDArray[np.floating]
Labels = NDArray[np.bool_]
Binning = Literal["equal-width", "equal-count"]

_ROUNDS = 100
_RIDGE = 1e-12


@dataclass(frozen=True, kw_only=True)
class Platt:
    """Probability 1 / (1 + exp(-(slope score + intercept))) (Platt, 1999)."""

    slope: float
    intercept: float

    def __call__(self, scores: Scores) -> NDArray[np.float64]:
        """Probabilities in (0, 1) of scores of any shape."""
        values = np.asarray(scores, np.float64)
        return np.asarray(expit(self.slope * values + self.intercept), np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Isotonic:
    """The rising staircase nearest to the labels, straight lines between its corners.

    scores, values: (k,), both rising; beyond the ends the end values hold.
    """

    scores: NDArray[np.float64]
    values: NDArray[np.float64]

    def __call__(self, scores: Scores) -> NDArray[np.float64]:
        """Probabilities in [0, 1] of scores of any shape."""
        return np.asarray(np.interp(np.asarray(scores, np.float64), self.scores, self.values))


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """How far probabilities are from shares.

    Attributes:
        error: expected calibration error, the mean over pictures of |share - probability| of their
            bin, in [0, 1] (Naeini et al., AAAI 2015).
        largest: that of the worst bin.
        brier: mean squared difference of probability and label.
        probabilities, shares, counts: of the bins that hold pictures, rising.
    """

    error: float
    largest: float
    brier: float
    probabilities: tuple[float, ...]
    shares: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A threshold that keeps false alarms rare: a picture is flagged above it.

    Attributes:
        threshold: of the image score.
        attained: the share of the given authentic pictures it flags, at most the one asked for.
        upper: the share that the true rate is below with 95 % confidence (Clopper and Pearson,
            1934); with few pictures much larger than ``attained``.
        count: authentic pictures given.
    """

    threshold: float
    attained: float
    upper: float
    count: int


def platt(scores: Scores, forged: Labels) -> Platt:
    """Fit a logistic curve, by Newton's method, to Platt's softened labels.

    The labels are (f + 1) / (f + 2) for f forged pictures and 1 / (a + 2) for a authentic ones,
    which keeps the curve finite where the classes are apart.

    Args:
        scores: (n,) of pictures. forged: (n,), True where manipulated.

    Raises:
        DataError: only one class, NaN or infinity, or arrays that do not fit.
    """
    values, labels = _both(scores, forged)
    f, a = int(labels.sum()), int((~labels).sum())
    target = np.where(labels, (f + 1) / (f + 2), 1 / (a + 2))
    centre, spread = values.mean(), values.std() or 1.0
    design = np.stack([(values - centre) / spread, np.ones_like(values)], axis=1)
    weights = np.zeros(2)
    for _ in range(_ROUNDS):
        weights, step = _newton(design, target, weights)
        if np.abs(step).max() < 1e-12:
            break
    slope = float(weights[0] / spread)
    return Platt(slope=slope, intercept=float(weights[1] - slope * centre))


def _newton(
    design: NDArray[np.float64], target: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The next weights and the step to them, halved until the loss does not grow."""
    found = expit(design @ weights)
    gradient = design.T @ (found - target)
    hessian = (design * (found * (1 - found))[:, None]).T @ design + _RIDGE * np.eye(2)
    step = np.linalg.solve(hessian, gradient)
    loss = _cross_entropy(design @ weights, target)
    while _cross_entropy(design @ (weights - step), target) > loss and np.abs(step).max() > 1e-12:
        step = step / 2
    return weights - step, step


def _cross_entropy(logits: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    return float((np.logaddexp(0, logits) - target * logits).sum())


def isotonic(scores: Scores, forged: Labels) -> Isotonic:
    """Fit the rising function with the least squared error (pool adjacent violators).

    Raises:
        DataError: only one class, NaN or infinity, or arrays that do not fit.
    """
    values, labels = _both(scores, forged)
    known, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    shares = np.bincount(places, weights=labels) / counts
    fitted = isotonic_regression(shares, weights=counts.astype(np.float64)).x
    return Isotonic(scores=known, values=np.asarray(fitted, np.float64))


def reliability(
    probabilities: Scores, forged: Labels, *, bins: int = 15, binning: Binning = "equal-width"
) -> Reliability:
    """Compare probabilities with the share of forged pictures among those that have them.

    Args:
        probabilities: (n,) in [0, 1]. forged: (n,), True where manipulated.
        bins: how many. binning: of equal width in [0, 1], or holding equally many pictures; equal
            probabilities stay together.

    Raises:
        DataError: values outside [0, 1], no picture, or arrays that do not fit.
        ConfigError: fewer than one bin or an unknown binning.
    """
    values, labels = _checked(probabilities, forged)
    if not len(values) or values.min() < 0 or values.max() > 1:
        raise DataError("probabilities must be in [0, 1], one for a picture; calibrate first")
    if bins < 1:
        raise ConfigError(f"bins is {bins}: give 1 or more")
    if binning == "equal-width":
        edges = np.linspace(0, 1, bins + 1)
    elif binning == "equal-count":
        edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)))
    else:
        raise ConfigError(f"unknown binning {binning!r}; use 'equal-width' or 'equal-count'")
    # A probability on an edge belongs to the bin below it.
    places = np.searchsorted(edges[1:-1], values, side="left")
    counts = np.bincount(places, minlength=1)
    held = counts > 0
    means, shares = (
        np.bincount(places, weights=of)[held] / counts[held] for of in (values, labels)
    )
    gaps = np.abs(means - shares)
    return Reliability(
        error=float((gaps * counts[held]).sum() / len(values)),
        largest=float(gaps.max()),
        brier=float(((values - labels) ** 2).mean()),
        probabilities=tuple(means.tolist()),
        shares=tuple(shares.tolist()),
        counts=tuple(counts[held].tolist()),
    )


def threshold_at_false_alarms(authentic: Scores, rate: float) -> Cut:
    """The lowest threshold that flags at most a share ``rate`` of authentic pictures.

    Args:
        authentic: image scores (n,) of authentic pictures like those to be met in use.
        rate: in [0, 1).

    Raises:
        DataError: no scores, NaN or infinity. ConfigError: a rate out of range.
    """
    values = np.sort(np.asarray(authentic, np.float64).ravel())[::-1]
    if not len(values) or not np.isfinite(values).all():
        raise DataError("a threshold needs finite scores of authentic pictures; pass some")
    if not 0 <= rate < 1:
        raise ConfigError(f"rate is {rate}: give a share of false alarms from 0 to below 1")
    # The guard is for rates such as .29, which times 100 is a little less than 29.
    allowed = int(np.floor(rate * len(values) + 1e-9))
    threshold = float(values[allowed])
    flagged = int((values > threshold).sum())
    return Cut(
        threshold=threshold,
        attained=flagged / len(values),
        upper=float(betaincinv(flagged + 1, len(values) - flagged, 0.95)),
        count=len(values),
    )


def _both(scores: Scores, forged: Labels) -> tuple[NDArray[np.float64], Labels]:
    values, labels = _checked(scores, forged)
    if not labels.any() or labels.all():
        raise DataError(
            f"calibration needs forged and authentic pictures, got {int(labels.sum())} and "
            f"{int((~labels).sum())}; add a set of the other kind"
        )
    return values, labels


def _checked(scores: Scores, forged: Labels) -> tuple[NDArray[np.float64], Labels]:
    values, labels = _ranking.check_scores(scores, forged, "labels")
    if not np.isfinite(values).all():
        raise DataError("scores hold NaN or infinity; fix the method or leave it out")
    return np.asarray(values, np.float64), labels
