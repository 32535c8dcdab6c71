"""The exact ranking: every kind of float and of tie, against scikit-learn and by hand."""

from typing import Any

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tamperscope.errors import DataError
from tamperscope.metrics import _kernels, oracle_f1, oracle_iou
from tamperscope.metrics._ranking import rank

FLOATS = {
    np.float16: st.floats(width=16, allow_nan=False),
    np.float32: st.floats(width=32, allow_nan=False),
    np.float64: st.floats(allow_nan=False),
}


def pairs(dtype: Any) -> Any:
    values = st.one_of(FLOATS[dtype], st.sampled_from([0.0, -0.0, 0.5, 1.0]))
    return st.integers(1, 40).flatmap(
        lambda n: st.tuples(arrays(dtype, n, elements=values), arrays(np.bool_, n))
    )


@pytest.mark.parametrize("dtype", FLOATS)
@given(data=st.data())
def test_as_counted_one_pair_at_a_time(dtype: Any, data: Any) -> None:
    scores, truth = data.draw(pairs(dtype))
    found = rank(scores, truth)
    above = scores[truth][:, None] > scores[~truth][None]
    equal = scores[truth][:, None] == scores[~truth][None]
    assert found.twice_area == 2 * int(above.sum()) + int(equal.sum())
    assert (found.positives, found.negatives) == (truth.sum(), (~truth).sum())
    if not truth.any():
        assert np.isnan([found.precision, found.best_f1, found.best_threshold]).all()
        return
    steps = sorted({float(s) for s in scores}, reverse=True)
    with_f1 = [(f1_of(scores >= t, truth), t) for t in steps]
    best = max(f1 for f1, _ in with_f1)
    assert found.best_f1 == best
    assert found.best_threshold == next(t for f1, t in with_f1 if f1 == best)
    inverse = [f1_of(scores < t, truth) for t in steps] + [f1_of(np.ones_like(truth), truth)]
    assert found.best_inverse_f1 == max(inverse)


def f1_of(mask: Any, truth: Any) -> float:
    return float(2 * (mask & truth).sum() / max(mask.sum() + truth.sum(), 1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("levels", [None, 255, 1])
def test_large_maps_as_in_scikit_learn(dtype: Any, levels: int | None) -> None:
    rng = np.random.default_rng(4)
    truth = rng.random(50_000) < 0.1
    scores = np.clip(rng.normal(0.4, 0.2, truth.size) + 0.1 * truth, 0, 1)
    scores = (scores if levels is None else np.round(scores * levels) / levels).astype(dtype)
    found = rank(scores, truth)
    assert found.auc() == pytest.approx(sklearn.metrics.roc_auc_score(truth, scores), abs=1e-12)
    precision = sklearn.metrics.average_precision_score(truth, scores)
    assert found.precision == pytest.approx(precision, abs=1e-12)


def test_signs_infinities_and_zeros_keep_their_order() -> None:
    ladder = np.array([-np.inf, -2.5, -1e-40, 0.0, 1e-40, 2.5, np.inf], np.float32)
    truth = np.arange(7) >= 4
    assert rank(ladder, truth).auc() == 1
    assert rank(-ladder, truth).auc() == 0
    assert rank(ladder, truth).best_threshold == pytest.approx(1e-40, rel=1e-4)
    both = np.array([0.0, -0.0], np.float32)
    assert rank(both, np.array([True, False])).auc() == 0.5


def test_float64_is_not_cut_to_float32() -> None:
    scores = np.array([1.0, 1.0 + 1e-12])
    assert rank(scores, np.array([False, True])).auc() == 1


def test_nan_has_no_rank() -> None:
    for dtype in (np.float32, np.float64):
        for nan in (np.nan, -np.nan):
            with pytest.raises(DataError, match="scores hold NaN, which has no rank"):
                rank(np.array([0.1, nan], dtype), np.array([True, False]))


def test_a_compiled_loop_works_without_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []

    def njit(**options: Any) -> Any:
        calls.append(options)
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(_kernels.numba, "njit", njit)
    assert _kernels.jit(abs) is abs
    assert [call.get("cache", False) for call in calls] == [True, False]


def test_oracle_iou_is_that_of_the_oracle_f1() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.1], np.float32)
    truth = np.array([True, False, True, False])
    f1, threshold = oracle_f1(scores, truth)
    assert (f1, threshold) == (pytest.approx(0.8), pytest.approx(0.7))
    assert oracle_iou(scores, truth) == (pytest.approx(2 / 3), threshold)
