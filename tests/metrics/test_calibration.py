"""Calibration against scikit-learn and by hand."""

import numpy as np
import pytest
import scipy.stats
from sklearn.calibration import _sigmoid_calibration
from sklearn.isotonic import IsotonicRegression

from tamperscope.errors import ConfigError, DataError
from tamperscope.metrics.calibration import (
    isotonic,
    platt,
    reliability,
    threshold_at_false_alarms,
)


def pictures(n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    scores = rng.normal(0, 3, n)
    return scores, rng.random(n) < 1 / (1 + np.exp(-(0.8 * scores - 0.5)))


def test_platt_as_in_scikit_learn() -> None:
    scores, forged = pictures()
    slope, intercept = _sigmoid_calibration(scores, forged)
    found = platt(scores, forged)
    assert (found.slope, found.intercept) == pytest.approx((-slope, -intercept), abs=1e-4)
    assert found(np.array([0.0])) == pytest.approx(1 / (1 + np.exp(intercept)), abs=1e-4)


def test_platt_stays_finite_where_the_classes_are_apart() -> None:
    found = platt(np.array([0.0, 0.1, 0.9, 1.0]), np.array([False, False, True, True]))
    low, high = found(np.array([0.05, 0.95]))
    # Platt's labels of two pictures each are 1/4 and 3/4.
    assert (low, high) == pytest.approx((0.25, 0.75), abs=0.01)
    level = platt(np.full(6, 7.0), np.array([True, True, True, False, False, False]))
    assert level(np.array([7.0])) == pytest.approx(0.5, abs=1e-6)


def test_platt_of_large_scores() -> None:
    scores, forged = pictures()
    small, large = platt(scores, forged), platt(1e6 * scores + 1e7, forged)
    assert large(1e6 * scores + 1e7) == pytest.approx(small(scores), abs=1e-6)


def test_isotonic_as_in_scikit_learn() -> None:
    scores, forged = pictures()
    scores = np.round(scores, 1)
    found = isotonic(scores, forged)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(scores, forged)
    probes = np.linspace(-12, 12, 301)
    assert found(probes) == pytest.approx(theirs.predict(probes), abs=1e-9)
    assert (np.diff(found.values) >= 0).all()


def test_calibration_error_by_hand() -> None:
    found = reliability(
        np.array([0.05, 0.1, 0.9, 0.7]), np.array([False, True, True, False]), bins=10
    )
    # Bins (0, .1], (.6, .7], (.8, .9]: gaps |.5 - .075|, |0 - .7|, |1 - .9|.
    assert found.counts == (2, 1, 1)
    assert found.probabilities == pytest.approx((0.075, 0.7, 0.9))
    assert found.shares == (0.5, 0.0, 1.0)
    assert found.error == pytest.approx((2 * 0.425 + 0.7 + 0.1) / 4)
    assert found.largest == pytest.approx(0.7)
    assert found.brier == pytest.approx((0.05**2 + 0.9**2 + 0.1**2 + 0.7**2) / 4)


def test_calibrated_scores_have_a_small_error() -> None:
    scores, forged = pictures(4000)
    half = np.arange(4000) < 2000
    raw = np.clip((scores + 10) / 20, 0, 1)
    before = reliability(raw[~half], forged[~half]).error
    for fit in (platt, isotonic):
        fitted = fit(scores[half], forged[half])
        assert reliability(fitted(scores[~half]), forged[~half]).error < 0.05 < before


def test_bins_of_equal_counts() -> None:
    values = np.array([0.1, 0.1, 0.1, 0.2, 0.3, 0.9])
    found = reliability(values, values > 0.15, bins=3, binning="equal-count")
    assert found.counts == (4, 2)
    assert reliability(np.full(3, 0.5), np.ones(3, bool), binning="equal-count").counts == (3,)


@pytest.mark.parametrize(
    ("rate", "threshold", "attained"), [(0.0, 1.0, 0.0), (0.25, 0.8, 0.25), (0.3, 0.8, 0.25)]
)
def test_threshold_at_a_false_alarm_rate(rate: float, threshold: float, attained: float) -> None:
    found = threshold_at_false_alarms(np.array([0.1, 1.0, 0.8, 0.2]), rate)
    assert (found.threshold, found.attained, found.count) == (threshold, attained, 4)
    exact = scipy.stats.binomtest(round(4 * attained), 4, alternative="less").proportion_ci(0.95)
    assert found.upper == pytest.approx(exact.high)


def test_ties_never_raise_the_false_alarms() -> None:
    found = threshold_at_false_alarms(np.array([0.5, 0.5, 0.5, 0.1]), 0.5)
    assert (found.threshold, found.attained) == (0.5, 0.0)
    assert threshold_at_false_alarms(np.arange(100.0), 0.29).attained == 0.29


def test_errors() -> None:
    scores, forged = np.array([0.1, 0.9]), np.array([True, False])
    with pytest.raises(DataError, match="needs forged and authentic pictures, got 2 and 0"):
        platt(scores, np.array([True, True]))
    with pytest.raises(DataError, match="scores hold NaN or infinity"):
        isotonic(np.array([0.1, np.inf]), forged)
    with pytest.raises(DataError, match=r"probabilities must be in \[0, 1\]"):
        reliability(np.array([0.1, 1.1]), forged)
    with pytest.raises(ConfigError, match="bins is 0: give 1 or more"):
        reliability(scores, forged, bins=0)
    with pytest.raises(ConfigError, match="unknown binning 'equal'"):
        reliability(scores, forged, binning="equal")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="rate is 1: give a share"):
        threshold_at_false_alarms(scores, 1)
    with pytest.raises(DataError, match="needs finite scores of authentic pictures"):
        threshold_at_false_alarms(np.array([]), 0.1)
