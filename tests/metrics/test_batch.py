"""Many pictures at once, as arrays and as tensors: the numbers of `pixel`."""

from typing import Any

import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tamperscope.errors import ConfigError, DataError
from tamperscope.metrics import _tensors
from tamperscope.metrics.batch import NAMES, flagged_shares, pixel_metrics

LEVELS = st.sampled_from([-0.0, 0.0, 0.25, 0.5, 1.0])
BATCHES = st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5)).flatmap(
    lambda shape: st.tuples(
        arrays(np.bool_, shape), arrays(np.float32, shape, elements=LEVELS), arrays(np.bool_, shape)
    )
)


def pictures(count: int = 3, side: int = 40) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    truths = rng.random((count, side, side)) < 0.2
    scores = np.clip(rng.normal(0.4, 0.2, truths.shape) + 0.2 * truths, 0, 1).astype(np.float32)
    return scores > 0.5, scores, truths


def test_as_in_scikit_learn() -> None:
    masks, scores, truths = pictures()
    found = pixel_metrics(masks, scores, truths)
    for i in range(3):
        mask, score, truth = (part[i].ravel() for part in (masks, scores, truths))
        wanted = {
            "f1": sklearn.metrics.f1_score(truth, mask),
            "iou": sklearn.metrics.jaccard_score(truth, mask),
            "mcc": sklearn.metrics.matthews_corrcoef(truth, mask),
            "auc": sklearn.metrics.roc_auc_score(truth, score),
            "ap": sklearn.metrics.average_precision_score(truth, score),
        }
        assert {k: found[k][i] for k in wanted} == pytest.approx(wanted, abs=1e-12)
        precision, recall, _ = sklearn.metrics.precision_recall_curve(truth, score)
        best = (2 * precision * recall / np.maximum(precision + recall, 1e-12)).max()
        assert found["oracle_f1"][i] == pytest.approx(best, abs=1e-12)


@given(batch=BATCHES)
def test_tensors_have_the_values_of_arrays(batch: tuple[Any, Any, Any]) -> None:
    arrays_, tensors = pixel_metrics(*batch), pixel_metrics(*map(torch.from_numpy, batch))
    assert list(arrays_) == list(tensors) == list(NAMES)
    for name in NAMES:
        assert tensors[name].dtype == np.float64
        np.testing.assert_allclose(tensors[name], arrays_[name], atol=1e-12, err_msg=name)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu() -> None:
    batch = pictures(side=256)
    on_gpu = pixel_metrics(*(torch.from_numpy(part).cuda() for part in batch))
    wanted = pixel_metrics(*batch)
    for name in NAMES:
        np.testing.assert_allclose(on_gpu[name], wanted[name], atol=1e-12, err_msg=name)


def test_large_batches_of_tensors_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = [torch.from_numpy(part) for part in pictures(count=5)]
    whole = pixel_metrics(*batch)
    monkeypatch.setattr(_tensors, "_PIXELS", 2 * 40 * 40)
    parts = pixel_metrics(*batch)
    assert all((parts[name] == whole[name]).all() for name in NAMES)


def test_pictures_of_many_sizes_and_threads() -> None:
    triples = [pictures(count=1, side=side) for side in (7, 20, 33)]
    masks, scores, truths = ([part[0] for part in column] for column in zip(*triples, strict=True))
    found = pixel_metrics(masks, scores, truths)
    again = pixel_metrics(masks, scores, truths, threads=2)
    single = [pixel_metrics(*triple) for triple in triples]
    for name in NAMES:
        assert list(found[name]) == list(again[name]) == [one[name][0] for one in single]


def test_what_has_no_value_is_nan() -> None:
    nothing, all_of_it = np.zeros((1, 2, 2), bool), np.ones((1, 2, 2), bool)
    scores = np.zeros((1, 2, 2), np.float32)
    assert all(np.isnan(value).all() for value in pixel_metrics(nothing, scores, nothing).values())
    found = pixel_metrics(all_of_it, scores, all_of_it)
    assert np.isnan(found["auc"]).all()
    assert found["f1"] == found["ap"] == found["oracle_f1"] == [1]
    assert found["mcc"] == [0]


def test_only_what_is_asked_for() -> None:
    masks, scores, truths = pictures()
    assert list(pixel_metrics(masks, scores, truths, names=("iou",))) == ["iou"]
    broken = np.full_like(scores, np.nan)
    assert pixel_metrics(masks, broken, truths, names=("f1",))["f1"].shape == (3,)


def test_flagged_shares() -> None:
    masks = np.zeros((2, 2, 5), bool)
    masks[1, 0, 0] = True
    assert list(flagged_shares(masks)) == list(flagged_shares(torch.from_numpy(masks))) == [0, 0.1]
    with pytest.raises(DataError, match="mask must be bool"):
        flagged_shares(masks.astype(int))


def test_errors() -> None:
    masks, scores, truths = pictures()
    tensors = [torch.from_numpy(part) for part in (masks, scores, truths)]
    with pytest.raises(ConfigError, match="unknown metric .'f2'.; use some of f1, iou"):
        pixel_metrics(masks, scores, truths, names=("f1", "f2"))
    with pytest.raises(DataError, match="must all be arrays or all be tensors"):
        pixel_metrics(masks, tensors[1], truths)
    with pytest.raises(DataError, match="got 2 masks, 3 score maps and 3 ground truths"):
        pixel_metrics(masks[:2], scores, truths)
    with pytest.raises(DataError, match="masks and ground truths must be bool"):
        pixel_metrics(tensors[1], tensors[1], tensors[2])
    with pytest.raises(DataError, match="scores must be floats, got torch.bool"):
        pixel_metrics(tensors[0], tensors[0], tensors[2])
    with pytest.raises(DataError, match="tensors must be .b, h, w. of one shape"):
        pixel_metrics(tensors[0][:2], tensors[1], tensors[2])
    with pytest.raises(DataError, match="scores hold NaN"):
        pixel_metrics(tensors[0], torch.full_like(tensors[1], torch.nan), tensors[2])
