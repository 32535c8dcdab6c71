"""Paired tests against SciPy and by hand."""

from itertools import product

import numpy as np
import pytest
import scipy.stats

from tamperscope.errors import ConfigError, DataError
from tamperscope.metrics import compare
from tamperscope.metrics.compare import compare_auc, compare_means, holm


def test_all_sign_patterns_by_hand() -> None:
    a, b = [0.9, 0.7, 0.5, 0.3], [0.4, 0.6, 0.6, 0.3]
    found = compare_means(a, b)
    change = np.array([0.5, 0.1, -0.1])
    sums = [abs(np.dot(signs, change)) for signs in product((-1, 1), repeat=3)]
    assert found.p_value == pytest.approx(np.mean([s > 0.5 - 1e-9 for s in sums]))
    assert found.difference == pytest.approx(0.125)
    assert (found.better, found.worse, found.equal, found.count) == (2, 1, 1, 4)


def test_right_or_wrong_is_mcnemars_exact_test() -> None:
    first = np.repeat([1.0, 0.0, 1.0], [9, 2, 20])
    second = np.repeat([0.0, 1.0, 1.0], [9, 2, 20])
    wanted = scipy.stats.binomtest(9, 11).pvalue
    assert compare_means(first, second).p_value == pytest.approx(wanted)


def test_many_pictures_agree_with_the_paired_t_test(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    a = rng.random(300)
    b = a - rng.normal(0.02, 0.15, 300)
    monkeypatch.setattr(compare, "_CHUNK", 300 * 64)
    found = compare_means(a, b)
    assert found.p_value == pytest.approx(scipy.stats.ttest_rel(a, b).pvalue, abs=0.005)
    assert found.low < found.difference < found.high
    assert found == compare_means(a, b)
    turned = compare_means(b, a)
    assert turned.difference == pytest.approx(-found.difference)
    assert turned.p_value == pytest.approx(found.p_value, abs=0.01)


def test_a_certain_difference_is_not_p_zero() -> None:
    assert compare_means(np.ones(100), np.zeros(100)).p_value == pytest.approx(1 / 10_001)


def test_equal_methods() -> None:
    found = compare_means([0.3, 0.4], [0.3, 0.4])
    assert (found.difference, found.low, found.high, found.p_value) == (0, 0, 0, 1)
    scores, forged = np.array([0.1, 0.4, 0.3, 0.9]), np.array([False, False, True, True])
    same = compare_auc(scores, scores, forged)
    assert (same.difference, same.p_value, same.count) == (0, 1, 4)


def test_auc_by_hand() -> None:
    forged = np.array([True, True, True, False, False])
    first = np.array([0.9, 0.8, 0.3, 0.3, 0.1])
    second = np.array([0.5, 0.2, 0.6, 0.4, 0.3])
    # Shares of authentic below each forged: 1, 1, 3/4 and 1, 0, 1; the other way 5/6, 1 and 2/3.
    by_forged = np.array([1, 1, 0.75]) - np.array([1, 0, 1])
    by_authentic = np.array([2.5 / 3, 1]) - np.array([2 / 3, 2 / 3])
    deviation = np.sqrt(by_forged.var(ddof=1) / 3 + by_authentic.var(ddof=1) / 2)
    found = compare_auc(first, second, forged)
    assert found.difference == pytest.approx(by_forged.mean())
    assert found.p_value == pytest.approx(2 * scipy.stats.norm.sf(by_forged.mean() / deviation))
    assert found.high - found.low == pytest.approx(2 * 1.959964 * deviation, rel=1e-5)


def test_auc_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    forged = np.arange(120) < 60
    inside = 0
    for _ in range(200):
        shared = rng.normal(0, 1, 120) + 0.8 * forged
        a, b = shared + rng.normal(0, 1, 120), shared + rng.normal(0, 1, 120)
        found = compare_auc(a, b, forged)
        inside += found.low <= 0 <= found.high
    assert 180 <= inside <= 199


def test_complete_separation() -> None:
    forged = np.array([True, True, False, False])
    scores = np.array([0.9, 0.8, 0.2, 0.1])
    found = compare_auc(scores, -scores, forged)
    assert (found.difference, found.p_value) == (1.0, 0.0)


def test_holm_by_hand() -> None:
    assert list(holm([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert list(holm([0.9, 0.8])) == [1.0, 1.0]
    assert list(holm([])) == []


def test_errors() -> None:
    with pytest.raises(DataError, match=r"got values \(2,\) and \(1,\); compare the same pictures"):
        compare_means([0.1, 0.2], [0.1])
    with pytest.raises(DataError, match="values are NaN"):
        compare_means([0.1, float("nan")], [0.1, 0.2])
    with pytest.raises(ConfigError, match="permutations is 0: give 1 or more"):
        compare_means([0.1], [0.2], permutations=0)
    scores = np.array([0.1, 0.2, 0.3])
    with pytest.raises(DataError, match="two pictures of either kind, got 1 forged and 2"):
        compare_auc(scores, scores, np.array([True, False, False]))
    with pytest.raises(DataError, match="scores hold NaN"):
        compare_auc(scores, scores * np.nan, np.array([True, False, False]))
    with pytest.raises(ConfigError, match="level is 1: give a share"):
        compare_auc(scores, scores, np.array([True, False, False]), level=1)
    with pytest.raises(DataError, match=r"p values must be \(n,\) in \[0, 1\]"):
        holm([1.2])
