"""Against the numbers of bit-ml/dolos @ db0a97e (evaluation code run as it is), and by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PILImage

from tamperscope.errors import ConfigError, DataError
from tamperscope.metrics import dolos

REFERENCE = Path(__file__).parents[1] / "reference"


@pytest.fixture(scope="module")
def arrays() -> dict[str, NDArray[Any]]:
    with np.load(REFERENCE / "dolos_misc.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def numbers() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((REFERENCE / "dolos_misc.json").read_text())
    return found


def test_resizing_is_the_original_s(arrays: dict[str, NDArray[Any]]) -> None:
    large = dolos.resize_map(arrays["eval_preds"][0], (256, 256))
    np.testing.assert_array_equal(large, arrays["eval_pred_lg0"])


def test_mask_rule_is_the_original_s(arrays: dict[str, NDArray[Any]]) -> None:
    mask = arrays["pre_mask_rgb"]
    truth = dolos.forged_where_not_real(mask)
    np.testing.assert_array_equal(truth, arrays["mask_load_keep"] == 1)
    # The grey square is forged here, while a threshold in the middle calls it real.
    grey = (mask == 128).all(axis=2)
    assert grey.any()
    assert truth[grey].all()


@pytest.mark.parametrize("picture", range(6))
def test_pictures_score_as_in_the_original(
    picture: int, arrays: dict[str, NDArray[Any]], numbers: dict[str, Any]
) -> None:
    found = dolos.score_map(arrays["eval_preds"][picture], arrays["eval_masks"][picture] == 1)
    expected = numbers["localisation_per_image"][picture]
    assert found.iou_lg == expected["iou_lg"]
    assert found.iou_sm == expected["iou_sm"]
    assert found.pbca_lg == expected["acc_lg"]
    assert found.pbca_sm == expected["acc_sm"]


def test_means_are_the_original_s(arrays: dict[str, NDArray[Any]], numbers: dict[str, Any]) -> None:
    pairs = zip(arrays["eval_preds"], arrays["eval_masks"] == 1, strict=True)
    scores = [dolos.score_map(prediction, truth) for prediction, truth in pairs]
    expected = numbers["localisation_tau0.5"]
    for ours, theirs in [
        ("iou_lg", "iou-lg"),
        ("iou_sm", "iou-sm"),
        ("pbca_lg", "accuracy-lg"),
        ("pbca_sm", "accuracy-sm"),
    ]:
        mean = 100 * np.mean([getattr(score, ours) for score in scores])
        assert mean == pytest.approx(expected[theirs], rel=1e-12)


def test_detection_draws_the_original_s_pictures(
    arrays: dict[str, NDArray[Any]], numbers: dict[str, Any]
) -> None:
    real, fake = arrays["det_real"].tolist(), arrays["det_fake"].tolist()
    found = dolos.balanced_precision(real, fake)
    assert found.count == 25
    np.testing.assert_allclose(100 * np.array(found.values), numbers["detection_aps"], rtol=1e-12)
    assert 100 * found.mean == pytest.approx(numbers["detection_mean"], rel=1e-12)
    assert 100 * found.std == pytest.approx(numbers["detection_std"], rel=1e-10)


def test_another_seed_draws_others() -> None:
    scores = list(np.linspace(0, 1, 20))
    one = dolos.balanced_precision(scores[:5], scores, repeats=3, seed=1)
    two = dolos.balanced_precision(scores[:5], scores, repeats=3, seed=2)
    assert one.values != two.values
    assert len(one.values) == 3


def test_equal_scores_have_the_precision_of_a_guess() -> None:
    assert dolos.balanced_precision([0.5] * 7, [0.5] * 9).values == (0.5,) * 5


def test_training_logs_pool_the_batch(
    arrays: dict[str, NDArray[Any]], numbers: dict[str, Any]
) -> None:
    truths = arrays["eval_masks"][:, ::7, ::7][:, :37, :37] == 1
    parts = [
        dolos.batch_iou(arrays["eval_preds"][start:stop], truths[start:stop])
        for start, stop in [(0, 3), (3, 6)]
    ]
    np.testing.assert_allclose(parts, numbers["ignite_batch_iou_parts"], rtol=1e-6)
    assert np.mean(parts) == pytest.approx(numbers["ignite_batch_iou"], rel=1e-6)


def test_oblong_pictures_keep_their_sides() -> None:
    """The original's resize turns them over: a map of the left half became the upper half."""
    prediction = np.zeros((10, 10), np.float32)
    prediction[:, :5] = 1
    truth = np.zeros((40, 80), np.bool_)
    truth[:, :40] = True
    assert dolos.resize_map(prediction, (40, 80)).shape == (40, 80)
    assert dolos.score_map(prediction, truth) == dolos.DolosScores(
        iou_lg=1.0, iou_sm=1.0, pbca_lg=1.0, pbca_sm=1.0
    )
    turned = np.asarray(PILImage.fromarray(prediction).resize(truth.shape))
    assert turned.shape == (80, 40)


def test_the_threshold_itself_is_not_forged() -> None:
    flat = np.full((4, 4), 0.5, np.float32)
    nothing = np.zeros((4, 4), np.bool_)
    assert dolos.score_map(flat, nothing).iou_lg == 1
    assert dolos.score_map(flat, nothing, threshold=0.49).iou_lg == 0


def test_a_picture_without_a_forged_pixel() -> None:
    nothing = np.zeros((4, 4), np.bool_)
    assert dolos.iou(nothing, nothing) == 1
    assert dolos.iou(~nothing, nothing) == 0
    assert dolos.pbca(nothing, nothing) == 1


def test_grey_masks_are_read_like_red_ones() -> None:
    grey = np.array([[0, 254], [255, 1]], np.uint8)
    expected = np.array([[True, True], [False, True]])
    np.testing.assert_array_equal(dolos.forged_where_not_real(grey), expected)
    rgb = np.stack([grey, np.zeros_like(grey), np.zeros_like(grey)], axis=2)
    np.testing.assert_array_equal(dolos.forged_where_not_real(rgb), expected)


@pytest.mark.parametrize("mask", [np.zeros((2, 2)), np.zeros((2, 2, 1), np.uint8)])
def test_masks_of_another_kind_are_refused(mask: NDArray[Any]) -> None:
    with pytest.raises(DataError, match=r"a mask must be uint8 \(h, w\) or \(h, w, 3\), got"):
        dolos.forged_where_not_real(mask)


def test_maps_of_another_kind_are_refused() -> None:
    truth = np.zeros((4, 4), np.bool_)
    with pytest.raises(DataError, match=r"a map must be floats \(h, w\), got uint8"):
        dolos.score_map(np.zeros((2, 2), np.uint8), truth)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"got float64 \(1, 2, 2\); pass one picture's map"):
        dolos.resize_map(np.zeros((1, 2, 2)), (4, 4))
    with pytest.raises(DataError, match="the map holds NaN or infinity"):
        dolos.score_map(np.full((2, 2), np.nan), truth)
    with pytest.raises(DataError, match=r"ground truth must be bool \(h, w\), True = forged, got"):
        dolos.score_map(np.zeros((2, 2)), truth.astype(np.uint8))  # type: ignore[arg-type]


def test_detection_needs_both_classes_and_a_draw() -> None:
    with pytest.raises(DataError, match="needs real and fake pictures, got 0 and 1; add a set"):
        dolos.balanced_precision([], [0.5])
    with pytest.raises(ConfigError, match="repeats is 0: draw at least once"):
        dolos.balanced_precision([0.1], [0.5], repeats=0)
