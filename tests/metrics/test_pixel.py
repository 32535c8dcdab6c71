"""Pixel metrics against scikit-learn, the official numbers (focal_misc) and settled edge cases."""

import json
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from reference import recipe
from tamperscope import metrics
from tamperscope.errors import ConfigError, DataError

ARRAYS = np.load(recipe.FOLDER / "focal_misc.npz")
NUMBERS = json.loads((recipe.FOLDER / "focal_misc.json").read_text())

Mask = NDArray[np.bool_]
SHAPES = array_shapes(min_dims=2, max_dims=2, max_side=9)
PAIRS = SHAPES.flatmap(lambda s: st.tuples(arrays(np.bool_, s), arrays(np.bool_, s)))
# Few distinct values, so that ties are the rule; both widths of float.
RANKED = st.tuples(SHAPES, st.sampled_from([np.float32, np.float64])).flatmap(
    lambda s: st.tuples(
        arrays(s[1], s[0], elements=st.sampled_from([-1.5, 0.0, 0.25, 0.5, 1.0])),
        arrays(np.bool_, s[0]),
    )
)
BY_MASK = ["precision", "recall", "f1", "iou", "mcc"]
REFERENCE: dict[str, Callable[..., float]] = {
    "precision": sklearn.metrics.precision_score,
    "recall": sklearn.metrics.recall_score,
    "f1": sklearn.metrics.f1_score,
    "iou": sklearn.metrics.jaccard_score,
    "mcc": sklearn.metrics.matthews_corrcoef,
}


def by_sklearn(name: str, predicted: Mask, truth: Mask) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(REFERENCE[name](truth.ravel(), predicted.ravel()))


@pytest.mark.parametrize("name", BY_MASK)
@given(pair=PAIRS)
def test_masks_score_as_in_scikit_learn(name: str, pair: tuple[Mask, Mask]) -> None:
    predicted, truth = pair
    assume(truth.any())
    ours = getattr(metrics, name)(predicted, truth)
    assert ours == pytest.approx(by_sklearn(name, predicted, truth), abs=1e-12)


@given(pair=PAIRS)
def test_confusion(pair: tuple[Mask, Mask]) -> None:
    predicted, truth = pair
    found = metrics.confusion(predicted, truth)
    expected = sklearn.metrics.confusion_matrix(
        truth.ravel(), predicted.ravel(), labels=[False, True]
    )
    np.testing.assert_array_equal([[found.tn, found.fp], [found.fn, found.tp]], expected)
    assert found.accuracy() == pytest.approx((predicted == truth).mean())
    top, rest = (
        metrics.confusion(predicted[:1], truth[:1]),
        metrics.confusion(predicted[1:], truth[1:]),
    )
    assert top + rest == found


@given(pair=PAIRS, seed=st.integers(0, 9))
def test_ignored_pixels_count_for_nothing(pair: tuple[Mask, Mask], seed: int) -> None:
    predicted, truth = pair
    ignore = np.random.default_rng(seed).random(truth.shape) < 0.4
    assert metrics.confusion(predicted, truth, ignore=ignore) == metrics.confusion(
        predicted[~ignore], truth[~ignore]
    )


@given(pair=RANKED)
def test_ranking_as_in_scikit_learn(pair: tuple[NDArray[np.floating], Mask]) -> None:
    scores, truth = pair
    if truth.any() and not truth.all():
        expected = sklearn.metrics.roc_auc_score(truth.ravel(), scores.ravel())
        assert metrics.auc(scores, truth) == pytest.approx(expected, abs=1e-12)
    if truth.any():
        expected = sklearn.metrics.average_precision_score(truth.ravel(), scores.ravel())
        assert metrics.average_precision(scores, truth) == pytest.approx(expected, abs=1e-12)


@given(pair=RANKED)
def test_oracle_is_the_best_of_all_thresholds(pair: tuple[NDArray[np.floating], Mask]) -> None:
    scores, truth = pair
    assume(truth.any())
    best, threshold = metrics.oracle_f1(scores, truth)
    every = [metrics.f1(scores >= t, truth) for t in np.unique(scores)]
    assert best == pytest.approx(max(every), abs=1e-12)
    assert metrics.f1(scores >= threshold, truth) == pytest.approx(best, abs=1e-12)


class TestAucWithTies:
    def test_constant_map_is_a_guess(self) -> None:
        truth = np.arange(10) < 3
        assert metrics.auc(np.full(10, 0.7), truth) == 0.5
        assert metrics.auc(np.full(10, 0.7), truth[::-1]) == 0.5

    def test_binary_map_is_the_mean_of_the_two_rates(self) -> None:
        truth = np.array([1, 1, 0, 0, 0, 0], bool)
        predicted = np.array([1, 0, 1, 0, 0, 0], float)
        assert metrics.auc(predicted, truth) == pytest.approx((0.5 + 0.75) / 2)

    def test_infinite_scores_have_a_rank(self) -> None:
        scores = np.array([-np.inf, 0.0, np.inf])
        assert metrics.auc(scores, np.array([False, False, True])) == 1

    def test_millions_of_pixels_stay_exact(self) -> None:
        truth = np.zeros((1000, 2000), bool)
        truth[:250] = True
        scores = np.tile(np.arange(2000, dtype=np.float32) / 2000, (1000, 1))
        assert metrics.auc(scores, truth) == 0.5
        assert metrics.auc(scores + truth, truth) == 1


class TestNoForgedPixel:
    EMPTY, SOME = np.zeros((2, 3), bool), np.eye(2, 3, dtype=bool)

    @pytest.mark.parametrize("name", BY_MASK)
    def test_rules(self, name: str) -> None:
        score = getattr(metrics, name)
        assert score(self.EMPTY, self.EMPTY, empty="one") == 1
        assert score(self.SOME, self.EMPTY, empty="one") == 0
        for predicted in (self.EMPTY, self.SOME):
            assert score(predicted, self.EMPTY, empty="zero") == 0
            assert math.isnan(score(predicted, self.EMPTY, empty="nan"))

    @pytest.mark.parametrize("name", BY_MASK)
    def test_without_a_rule_it_is_an_error(self, name: str) -> None:
        with pytest.raises(DataError, match="no forged pixel, and papers disagree.*one, zero, nan"):
            getattr(metrics, name)(self.EMPTY, self.EMPTY)
        with pytest.raises(ConfigError, match="unknown empty rule 'half'; use one of one, zero"):
            getattr(metrics, name)(self.EMPTY, self.EMPTY, empty="half")

    @pytest.mark.parametrize("name", BY_MASK)
    def test_a_rule_changes_nothing_elsewhere(self, name: str) -> None:
        for rule in ("one", "zero", "nan"):
            assert getattr(metrics, name)(self.EMPTY, self.SOME, empty=rule) == 0

    @pytest.mark.parametrize(("rule", "value"), [("one", 1), ("zero", 0), ("half", 0.5)])
    def test_ranking_rules(self, rule: Any, value: float) -> None:
        scores = np.random.default_rng(0).random((2, 3))
        assert metrics.auc(scores, self.EMPTY, empty=rule) == value
        assert metrics.auc(scores, ~self.EMPTY, empty=rule) == value
        assert metrics.average_precision(scores, self.EMPTY, empty=rule) == value
        assert metrics.oracle_f1(scores, self.EMPTY, empty=rule)[0] == value

    def test_ranking_without_a_rule(self) -> None:
        scores = np.zeros((2, 3))
        with pytest.raises(DataError, match="has no forged pixel"):
            metrics.auc(scores, self.EMPTY)
        with pytest.raises(DataError, match="has no pristine pixel"):
            metrics.auc(scores, ~self.EMPTY)
        with pytest.raises(DataError, match="has no forged pixel"):
            metrics.oracle_f1(scores, self.EMPTY)
        assert metrics.average_precision(scores, ~self.EMPTY) == 1
        with pytest.raises(ConfigError, match="unknown empty rule 'two'"):
            metrics.auc(scores, self.EMPTY, empty="two")  # type: ignore[arg-type]


class TestOfficial:
    PREDICTED, TRUTH = ARRAYS["met_pred"] > 0, ARRAYS["met_gt"] > 0

    @pytest.mark.parametrize("picture", range(8))
    def test_numbers(self, picture: int) -> None:
        predicted, truth = self.PREDICTED[picture], self.TRUTH[picture]
        for grid in (None, (32, 32)):
            f1 = metrics.focal_f1(predicted, truth, grid=grid)
            assert f1 == pytest.approx(NUMBERS["met_f1_macro"][picture], abs=1e-12)
            iou = metrics.focal_iou(predicted, truth, grid=grid)
            assert iou == pytest.approx(NUMBERS["met_iou"][picture], abs=1e-12)

    @given(pair=PAIRS)
    def test_macro_f1_as_in_scikit_learn(self, pair: tuple[Mask, Mask]) -> None:
        predicted, truth = (m.ravel() for m in pair)
        expected = sklearn.metrics.f1_score(truth, predicted, average="macro")
        assert metrics.focal_f1(predicted, truth) == pytest.approx(expected, abs=1e-12)

    def test_empty_masks(self) -> None:
        empty, tenth = np.zeros(100, bool), np.arange(100) < 10
        assert metrics.focal_f1(empty, empty) == metrics.focal_iou(empty, empty) == 1
        assert metrics.focal_f1(empty, tenth) == pytest.approx(0.474, abs=5e-4)
        assert metrics.focal_iou(empty, tenth) == 0

    def test_grid_is_reduced_without_antialiasing(self) -> None:
        """One bright row in four is missed or kept by where the samples fall, not averaged away."""
        rows = np.zeros((16, 16), bool)
        rows[1::4] = rows[2::4] = True
        assert metrics.focal_iou(rows, np.ones((16, 16), bool), grid=(4, 4)) == pytest.approx(1)

    def test_different_sizes_meet_on_the_grid(self) -> None:
        small = np.zeros((8, 8), bool)
        small[:4] = True
        large = np.kron(small, np.ones((4, 4))) > 0
        assert metrics.focal_iou(large, small, grid=(8, 8)) == pytest.approx(1)


def test_counts_of_large_pictures_do_not_overflow() -> None:
    counts = metrics.Confusion(tp=40_000_000, fp=10_000_000, fn=10_000_000, tn=40_000_000)
    assert counts.mcc() == pytest.approx(0.6)
    assert counts.false_alarm_rate() == pytest.approx(0.2)


def test_whole_picture_forged() -> None:
    whole = np.ones((2, 2), bool)
    assert metrics.mcc(whole, whole) == 0
    assert metrics.f1(whole, whole) == metrics.iou(whole, whole) == 1
    assert metrics.confusion(whole, whole).false_alarm_rate() == 0


def test_errors() -> None:
    mask = np.eye(2, dtype=bool)
    with pytest.raises(DataError, match="prediction must be bool, True = forged, got uint8"):
        metrics.f1(mask.astype(np.uint8), mask)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="ground truth must be bool, True = forged, got float64"):
        metrics.focal_iou(mask, mask.astype(float), grid=(2, 2))  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"prediction \(1, 2\) and ground truth \(2, 2\) differ in"):
        metrics.iou(mask[:1], mask)
    with pytest.raises(
        DataError, match=r"scores \(1, 2\) and ground truth \(2, 2\) differ in shape"
    ):
        metrics.auc(np.zeros((1, 2)), mask)
    with pytest.raises(DataError, match="scores must be floats, got bool"):
        metrics.auc(mask, mask)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="scores hold NaN, which has no rank"):
        metrics.auc(np.full((2, 2), np.nan), mask)
