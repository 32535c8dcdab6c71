"""Each protocol's own rules, by hand, by scikit-learn and by the originals' fixtures."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import sklearn.metrics

from tamperscope.bench.protocols import (
    CATNET,
    DOLOS,
    FOCAL,
    IMDLBENCO,
    MVSS,
    OURS,
    TRUFOR,
    Prediction,
)
from tamperscope.bench.protocols.imdlbenco import auc_by_pixel_order
from tamperscope.bench.protocols.trufor import counted_pixels, permuted_f1
from tamperscope.metrics import Confusion

REFERENCE = Path(__file__).parents[2] / "reference"


def predict(
    score_map: Any, *, mask: Any = None, score: float = 0.5, grid: tuple[int, int] | None = None
) -> Prediction:
    found = np.asarray(score_map, np.float32)
    return Prediction(found, found > 0.5 if mask is None else mask, score, feature_grid=grid)


def picture(seed: int = 0, size: tuple[int, int] = (60, 80)) -> tuple[Prediction, Any]:
    rng = np.random.default_rng(seed)
    truth = np.zeros(size, bool)
    truth[10:45, 15:60] = True
    return predict(np.clip(rng.normal(0.35, 0.2, size) + 0.3 * truth, 0, 1)), truth


# ------------------------------------------------------------------------------------------- ours


def test_ours_is_scikit_learn_on_the_shipped_mask() -> None:
    prediction, truth = picture()
    prediction = replace(prediction, mask=prediction.score_map > 0.6)
    row = OURS.score(prediction, truth)
    flat, mask, scores = truth.ravel(), prediction.mask.ravel(), prediction.score_map.ravel()
    wanted = {
        "f1": sklearn.metrics.f1_score(flat, mask),
        "iou": sklearn.metrics.jaccard_score(flat, mask),
        "mcc": sklearn.metrics.matthews_corrcoef(flat, mask),
        "auc": sklearn.metrics.roc_auc_score(flat, scores),
        "ap": sklearn.metrics.average_precision_score(flat, scores),
        "flagged_pixels": mask.mean(),
        "flagged": 1.0,
    }
    assert {k: row[k] for k in wanted} == pytest.approx(wanted)
    assert row["oracle_f1"] >= row["f1"]


def test_ours_counts_authentic_pictures_by_false_alarms_alone() -> None:
    clean, noisy = predict(np.zeros((4, 5))), predict(np.eye(4, 5))
    right = np.eye(4, 5, dtype=bool)
    rows = [OURS.score(noisy, right), OURS.score(clean, None), OURS.score(noisy, None)]
    found: Any = OURS.summarize(rows)
    assert (found["f1"]["mean"], found["f1"]["count"]) == (1.0, 1)
    assert found["flagged_pixels"]["mean"] == pytest.approx(0.1)
    assert found["flagged_pictures"]["mean"] == 0.5
    assert found["image_balanced_accuracy"]["mean"] == 0.75
    assert found["image_f1"]["mean"] == pytest.approx(2 / 3)


def test_ours_image_level_is_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    tampered, authentic = rng.random(9).round(1), rng.random(7).round(1)
    truth = np.eye(3, dtype=bool)
    rows = [OURS.score(predict(truth, score=float(s)), truth) for s in tampered]
    rows += [OURS.score(predict(truth, score=float(s)), None) for s in authentic]
    found: Any = OURS.summarize(rows)
    labels, scores = np.repeat([1, 0], [9, 7]), np.concatenate([tampered, authentic])
    auc = sklearn.metrics.roc_auc_score(labels, scores)
    assert found["image_auc"]["mean"] == pytest.approx(auc)
    ap = sklearn.metrics.average_precision_score(labels, scores)
    assert found["image_ap"]["mean"] == pytest.approx(ap)


def test_ours_without_two_kinds_of_pixel() -> None:
    everywhere = OURS.score(predict(np.ones((3, 3))), np.ones((3, 3), bool))
    assert math.isnan(everywhere["auc"])
    assert (everywhere["f1"], everywhere["ap"]) == (1, 1)
    nowhere = OURS.score(predict(np.ones((3, 3))), np.zeros((3, 3), bool))
    assert all(math.isnan(nowhere[name]) for name in ("f1", "iou", "mcc", "auc", "ap"))


# ------------------------------------------------------------------------------------------ focal


def test_focal_has_the_numbers_of_the_original() -> None:
    arrays = np.load(REFERENCE / "focal_misc.npz")
    values = json.loads((REFERENCE / "focal_misc.json").read_text())
    rows = [
        FOCAL.score(predict(found > 127, grid=(32, 32)), truth > 127)
        for found, truth in zip(arrays["met_pred"], arrays["met_gt"], strict=True)
    ]
    summary: Any = FOCAL.summarize(rows)
    assert summary["macro_f1"]["mean"] == pytest.approx(np.mean(values["met_f1_macro"]), abs=1e-9)
    assert summary["iou"]["mean"] == pytest.approx(np.mean(values["met_iou"]), abs=1e-9)


def test_focal_loses_small_forgeries_on_its_grid() -> None:
    truth = np.zeros((640, 640), bool)
    truth[100:103, 100:103] = True
    assert FOCAL.score(predict(np.zeros(truth.shape)), truth)["iou"] == 1
    assert FOCAL.score(predict(np.zeros(truth.shape), grid=(640, 640)), truth)["iou"] == 0


# ------------------------------------------------------------------------------------------ dolos


def test_dolos_has_the_numbers_of_the_original() -> None:
    arrays = np.load(REFERENCE / "dolos_misc.npz")
    values = json.loads((REFERENCE / "dolos_misc.json").read_text())
    rows = [
        DOLOS.score(predict(found, grid=found.shape), truth)
        for found, truth in zip(arrays["eval_preds"], arrays["eval_masks"] == 1, strict=True)
    ]
    summary: Any = DOLOS.summarize(rows)
    wanted = values["localisation_tau0.5"]
    for ours, theirs in (
        ("iou_lg", "iou-lg"),
        ("iou_sm", "iou-sm"),
        ("pbca_lg", "accuracy-lg"),
        ("pbca_sm", "accuracy-sm"),
    ):
        assert 100 * summary[ours]["mean"] == pytest.approx(wanted[theirs], abs=1e-9)


def test_dolos_reads_a_scaled_map_at_the_centres_of_its_cells() -> None:
    rng = np.random.default_rng(1)
    grid = rng.random((8, 8)).astype(np.float32)
    truth = np.kron(rng.random((8, 8)) < 0.4, np.ones((8, 8))) > 0
    own = DOLOS.score(predict(grid, mask=truth, grid=(8, 8)), truth)
    scaled = DOLOS.score(predict(np.kron(grid, np.ones((8, 8))), grid=(8, 8)), truth)
    assert scaled["iou_sm"] == own["iou_sm"]
    assert scaled["pbca_sm"] == own["pbca_sm"]
    assert math.isnan(DOLOS.score(predict(np.kron(grid, np.ones((8, 8)))), truth)["iou_sm"])


def test_dolos_redraws_are_those_of_the_original() -> None:
    arrays = np.load(REFERENCE / "dolos_misc.npz")
    values = json.loads((REFERENCE / "dolos_misc.json").read_text())
    blank, truth = np.zeros((2, 2)), np.ones((2, 2), bool)
    rows = [DOLOS.score(predict(blank, score=float(s)), None) for s in arrays["det_real"]]
    rows += [DOLOS.score(predict(blank, score=float(s)), truth) for s in arrays["det_fake"]]
    found: Any = DOLOS.summarize(rows)["ap"]
    aps = np.array(values["detection_aps"])
    assert 100 * found["mean"] == pytest.approx(aps.mean(), abs=1e-6)
    assert 100 * found["high"] == pytest.approx(aps.mean() + 2 * aps.std(), abs=1e-6)
    assert found["count"] == 50


# ----------------------------------------------------------------------------------------- trufor


@pytest.mark.parametrize("seed", range(3))
def test_trufor_leaves_out_the_band_of_its_filters(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = scipy.ndimage.zoom(rng.random((5, 6)), 12, order=1) > 0.55
    inside = scipy.ndimage.minimum_filter(truth, 15)
    outside = ~scipy.ndimage.maximum_filter(truth, 11)
    assert (counted_pixels(truth) == (inside | outside)).all()
    assert 0 < counted_pixels(truth).mean() < 1


def test_trufor_is_the_best_over_all_thresholds_and_the_inverse() -> None:
    prediction, truth = picture()
    counted = counted_pixels(truth)
    scores, forged = prediction.score_map[counted], truth[counted]
    steps = [-1.0, *np.unique(scores)]
    f1 = [sklearn.metrics.f1_score(forged, scores > t, zero_division=0) for t in steps[::37]]
    row = TRUFOR.score(prediction, truth)
    assert max(f1) <= row["f1_best"] <= max(f1) + 0.01
    fixed = sklearn.metrics.f1_score(forged, scores > 0.5)
    assert row["f1_fixed"] == pytest.approx(fixed)
    turned = predict(1 - prediction.score_map)
    assert TRUFOR.score(turned, truth)["f1_best"] == pytest.approx(row["f1_best"])


def test_trufor_skips_what_the_original_stumbles_over() -> None:
    nothing, everything = np.zeros((40, 40), bool), np.ones((40, 40), bool)
    empty, full = predict(np.zeros((40, 40))), predict(np.ones((40, 40)))
    assert math.isnan(TRUFOR.score(empty, nothing)["f1_fixed"])
    assert math.isnan(TRUFOR.score(full, everything)["f1_fixed"])
    assert TRUFOR.score(full, nothing)["f1_fixed"] == 0
    assert TRUFOR.score(empty, nothing)["f1_best"] == 0
    tiny = nothing.copy()
    tiny[20, 20] = True
    assert TRUFOR.score(full, tiny)["f1_best"] == 0
    mixed = Confusion(tp=1, fp=2, fn=3, tn=4)
    assert permuted_f1(mixed) == pytest.approx(max(2 / 7, 6 / (6 + 4 + 1)))


def test_trufor_where_no_pixel_is_left_to_count() -> None:
    stripes = np.zeros((30, 30), bool)
    stripes[::3] = True
    assert not counted_pixels(stripes).any()
    row = TRUFOR.score(predict(stripes), stripes)
    assert math.isnan(row["f1_best"])
    assert math.isnan(row["f1_fixed"])


def test_trufor_detection_is_cut_at_one_half() -> None:
    truth = picture()[1]
    blank = np.zeros(truth.shape)
    rows = [TRUFOR.score(predict(blank, score=s), truth) for s in (0.9, 0.5)]
    rows += [TRUFOR.score(predict(blank, score=s), None) for s in (0.1, 0.2, 0.6)]
    found: Any = TRUFOR.summarize(rows)
    assert found["image_balanced_accuracy"]["mean"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert found["image_auc"]["mean"] == pytest.approx(5 / 6)


# ------------------------------------------------------------------------------------------- mvss


def test_mvss_cuts_bytes_and_scores_a_picture_by_its_highest_pixel() -> None:
    truth = np.array([[True, True, False, False]])
    # 128 / 255 is the first byte above one half: .5019 is cut down to 127.
    row = MVSS.score(predict([[0.5019, 0.503, 0.1, 0.2]], score=0.0), truth)
    assert row["f1"] == pytest.approx(2 / 3, abs=1e-5)
    assert row["max_score"] == 128 / 255


def test_mvss_image_f1_is_a_harmonic_mean() -> None:
    truth = np.eye(4, dtype=bool)
    high, low = predict(np.full((4, 4), 0.9)), predict(np.full((4, 4), 0.1))
    rows = [MVSS.score(p, truth) for p in (high, high, high, low)]
    rows += [MVSS.score(p, None) for p in (high, low)]
    found: Any = MVSS.summarize(rows)
    sensitivity, specificity = 3 / 4, 1 / 2
    harmonic = 2 * sensitivity * specificity / (sensitivity + specificity)
    assert found["image_harmonic"]["mean"] == pytest.approx(harmonic)
    assert found["image_sensitivity"]["mean"] == sensitivity
    assert found["image_specificity"]["mean"] == specificity
    assert found["image_accuracy"]["mean"] == pytest.approx(4 / 6)
    pixel = found["f1"]["mean"]
    assert pixel == pytest.approx(3 / 4 * 2 * 4 / 20, abs=1e-6)
    assert found["combined"]["mean"] == pytest.approx(
        2 * pixel * harmonic / (pixel + harmonic), abs=1e-5
    )


def test_mvss_gives_an_empty_pair_one() -> None:
    nothing = np.zeros((4, 4), bool)
    assert MVSS.score(predict(nothing), nothing)["f1"] == 1
    assert MVSS.score(predict(~nothing), nothing)["f1"] == 0


# ----------------------------------------------------------------------------------------- catnet


def test_catnet_is_the_mean_jaccard_score_of_both_classes() -> None:
    prediction, truth = picture()
    flat, mask = truth.ravel(), prediction.score_map.ravel() > 0.5
    row = CATNET.score(prediction, truth)
    assert row["miou"] == pytest.approx(sklearn.metrics.jaccard_score(flat, mask, average="macro"))
    turned = sklearn.metrics.jaccard_score(flat, ~mask, average="macro")
    assert CATNET.score(predict(1 - prediction.score_map), truth)["p_miou"] == pytest.approx(
        max(row["miou"], turned)
    )


def test_catnet_pools_pixels_of_all_pictures() -> None:
    small, large = picture(0), picture(1, (120, 160))
    found: Any = CATNET.summarize([CATNET.score(*small), CATNET.score(*large)])
    flat = np.concatenate([small[1].ravel(), large[1].ravel()])
    mask = np.concatenate([p.score_map.ravel() > 0.5 for p, _ in (small, large)])
    wanted = sklearn.metrics.jaccard_score(flat, mask, average="macro")
    assert found["pooled_miou"]["mean"] == pytest.approx(wanted)


def test_catnet_keeps_half_for_a_class_nobody_sees() -> None:
    nothing = np.zeros((4, 4), bool)
    assert CATNET.score(predict(nothing), nothing)["miou"] == 0.5


# -------------------------------------------------------------------------------------- imdlbenco


def test_imdlbenco_counts_every_authentic_picture_as_nought() -> None:
    truth = np.zeros((512, 512), bool)
    truth[100:300, 100:300] = True
    rows = [IMDLBENCO.score(predict(truth), truth), IMDLBENCO.score(predict(~truth & truth), None)]
    found: Any = IMDLBENCO.summarize(rows)
    for name in ("f1", "iou", "auc"):
        assert found[name]["mean"] == pytest.approx(0.5, abs=1e-6)
    assert found["f1_tampered"]["mean"] == pytest.approx(1, abs=1e-6)
    assert IMDLBENCO.score(predict(truth), truth & ~truth)["f1_tampered"] == 0


def test_imdlbenco_draws_tampered_and_authentic_pictures_apart() -> None:
    truth = np.zeros((512, 512), bool)
    truth[100:300, 100:300] = True
    forged = IMDLBENCO.score(predict(truth), truth)
    clean = IMDLBENCO.score(predict(~truth & truth), None)
    found: Any = IMDLBENCO.summarize([forged] * 20 + [clean] * 20)
    for name in ("f1", "iou"):
        number = found[name]
        assert number["mean"] == pytest.approx(0.5, abs=1e-6)
        assert number["low"] == pytest.approx(number["high"], abs=1e-12)
        assert number["count"] == 40


def test_imdlbenco_auc_of_a_constant_map_depends_on_where_the_forgery_lies() -> None:
    truth = np.zeros(10, bool)
    truth[:4] = True
    constant = np.full(10, 0.3, np.float32)
    assert auc_by_pixel_order(constant, truth) == 1
    assert auc_by_pixel_order(constant, truth[::-1]) == 0
    late = np.array([0, 0, 0, 1, 0, 0, 0, 1, 1, 1], bool)
    assert auc_by_pixel_order(constant, late) == pytest.approx(0.125)
    assert sklearn.metrics.roc_auc_score(late, constant) == 0.5


def test_imdlbenco_auc_is_right_where_no_scores_are_equal() -> None:
    rng = np.random.default_rng(0)
    scores, truth = rng.random(500).astype(np.float32), rng.random(500) < 0.3
    wanted = sklearn.metrics.roc_auc_score(truth, scores)
    assert auc_by_pixel_order(scores, truth) == pytest.approx(wanted, abs=1e-12)
    assert auc_by_pixel_order(scores, np.zeros(500, bool)) == 0
    assert math.isnan(auc_by_pixel_order(scores, np.ones(500, bool)))


def test_imdlbenco_scores_at_its_networks_size() -> None:
    truth = np.zeros((512, 512), bool)
    truth[64:320, 128:384] = True
    scores = np.random.default_rng(3).random((512, 512)).astype(np.float32)
    row = IMDLBENCO.score(predict(scores), truth)
    flat, mask = truth.ravel(), scores.ravel() > 0.5
    assert row["f1"] == pytest.approx(sklearn.metrics.f1_score(flat, mask), abs=1e-6)
    assert row["iou"] == pytest.approx(sklearn.metrics.jaccard_score(flat, mask), abs=1e-6)
    image: Any = IMDLBENCO.summarize(
        [IMDLBENCO.score(predict(scores, score=s), truth) for s in (0.9, 0.2)]
        + [IMDLBENCO.score(predict(scores, score=s), None) for s in (0.8, 0.1, 0.1)]
    )
    assert image["image_f1"]["mean"] == pytest.approx(0.5)
    assert image["image_accuracy"]["mean"] == pytest.approx(3 / 5)
