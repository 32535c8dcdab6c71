"""From made-up answers of a network to masks whose right value is known."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PILImage

from reference import recipe
from tamperscope.errors import ConfigError
from tamperscope.methods.dolos.config import DolosConfig
from tamperscope.methods.dolos.decision import (
    bounded_score,
    decide,
    image_score_rule,
    raw_score,
    upsample,
)
from tamperscope.methods.dolos.maps import DolosMap

MISC = np.load(recipe.FOLDER / "dolos_misc.npz")


def made(
    scores: NDArray[Any], *, features: NDArray[Any] | None = None, label: Any = None
) -> DolosMap:
    """An answer with these scores; features are the scores unless given."""
    cells = (scores.shape[0], scores.shape[1])
    under = scores[..., None] if features is None else features
    return DolosMap(
        scores=scores.astype(np.float32),
        cells=cells,
        label=None if label is None else np.array(label, np.float64),
        features=under.astype(np.float32),
        saliency=False,
    )


def block(side: int = 20) -> NDArray[np.float64]:
    """Low scores with one high square of a fifth of the side."""
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.1, 0.2, (side, side))
    scores[4:8, 10:14] = rng.uniform(0.8, 0.9, (4, 4))
    return scores


def mask_of(found: DolosMap, size: tuple[int, int] | None = None, **options: Any) -> NDArray[Any]:
    config = replace(DolosConfig(threshold=0.5, image_threshold=0.0), **options)
    return decide(found, size or found.cells, config, rule="mean").mask


class TestUpsampling:
    def test_bicubic_as_the_official_evaluation(self) -> None:
        expected = MISC["eval_pred_lg0"].clip(0, 1)
        found = upsample(MISC["eval_preds"][0].astype(np.float32), (256, 256), "bicubic")
        np.testing.assert_allclose(found, expected, atol=1e-5)

    def test_stays_in_range_where_bicubic_overshoots(self) -> None:
        step = np.zeros((8, 8), np.float32)
        step[:, 4:] = 1
        raw = np.asarray(PILImage.fromarray(step).resize((64, 64), PILImage.Resampling.BICUBIC))
        assert raw.max() > 1.01
        found = upsample(step, (64, 64), "bicubic")
        assert (found.min(), found.max()) == (0.0, 1.0)

    @pytest.mark.parametrize("method", ["bicubic", "bilinear", "nearest"])
    def test_height_comes_first(self, method: str) -> None:
        scores = np.zeros((4, 4), np.float32)
        scores[0] = 1
        found = upsample(scores, (8, 20), method)
        assert found.shape == (8, 20)
        assert found[0].min() > 0.5 > found[-1].max()


class TestThreshold:
    def test_is_strict(self) -> None:
        scores = np.array([[0.5, 0.5 + 1e-6], [0.25, 0.75]])
        assert mask_of(made(scores)).tolist() == [[False, True], [False, True]]
        assert mask_of(made(scores), threshold=0.25).tolist() == [[True, True], [False, True]]
        assert not mask_of(made(np.ones((3, 3))), threshold=1.0).any()

    def test_is_applied_at_the_pictures_size(self) -> None:
        mask = mask_of(made(block()), (200, 300))
        expected = np.zeros((20, 20), bool)
        expected[4:8, 10:14] = True
        big = expected.repeat(10, 0).repeat(15, 1)
        assert (mask != big).mean() < 0.01
        assert not np.array_equal(mask, big)

    def test_cleaning_radii_are_in_cells(self) -> None:
        scores = block()
        scores[15, 3] = 0.9
        assert mask_of(made(scores), (100, 100))[76:79, 16:19].all()
        opened = mask_of(made(scores), (100, 100), opening=1.0)
        assert not opened[70:85, 10:25].any()
        assert opened[25:35, 55:65].all()
        kept = mask_of(made(scores), (100, 100), largest_component=True)
        assert kept.any()
        assert not kept[70:85, 10:25].any()
        wide = mask_of(made(scores), (100, 100), dilation=2.0)
        assert wide[25:35, 42:48].all()

    def test_smoothing(self) -> None:
        scores = np.zeros((20, 20))
        scores[10, 10] = 1
        assert mask_of(made(scores)).any()
        assert not mask_of(made(scores), smoothing=1.0).any()

    def test_smoothing_of_a_map_finer_than_its_cells(self) -> None:
        scores = np.zeros((40, 40))
        scores[18:22, 18:22] = 1
        fine = replace(made(scores), cells=(10, 10))
        assert mask_of(fine, (40, 40)).any()
        assert not mask_of(fine, (40, 40), smoothing=1.0).any()

    def test_image_threshold_empties_the_mask_only(self) -> None:
        found = made(block())
        config = DolosConfig(threshold=0.5, image_threshold=0.9)
        decision = decide(found, (20, 20), config, rule="mean")
        assert not decision.mask.any()
        assert decision.scores.max() > 0.8
        assert decision.image_score == pytest.approx(found.scores.mean())
        assert decision.trace["below_image_threshold"] == 0.9


class TestClusters:
    @pytest.mark.parametrize("cluster_on", ["features", "scores"])
    def test_all_but_the_largest_cluster(self, cluster_on: str) -> None:
        rng = np.random.default_rng(1)
        scores = rng.normal(0.15, 0.02, (20, 20))
        scores[4:8, 10:14] = rng.normal(0.85, 0.02, (4, 4))
        features = rng.normal(0, 0.05, (20, 20, 6))
        features[4:8, 10:14] += 3
        found = made(scores, features=features)
        options = {"decision": "hdbscan", "min_cluster_size": 15, "min_samples": 10}
        mask = mask_of(found, cluster_on=cluster_on, **options)
        expected = np.zeros((20, 20), bool)
        expected[4:8, 10:14] = True
        np.testing.assert_array_equal(mask, expected)

    def test_features_and_scores_are_not_the_same(self) -> None:
        rng = np.random.default_rng(1)
        features = rng.normal(0, 0.05, (20, 20, 6))
        features[12:18, 2:8] += 3
        options = {"decision": "hdbscan", "min_cluster_size": 8, "min_samples": 3}
        mask = mask_of(made(block(), features=features), **options)
        assert mask[12:18, 2:8].all()
        assert not mask[4:8, 10:14].any()

    def test_one_mode_is_clean(self) -> None:
        rng = np.random.default_rng(2)
        found = made(block(), features=rng.normal(0, 0.05, (20, 20, 6)))
        decision = decide(
            found, (50, 50), DolosConfig(decision="hdbscan", min_cluster_size=50, threshold=0.5),
            rule="mean",
        )  # fmt: skip
        assert not decision.mask.any()
        assert decision.trace["foreground"]["decision"] == "clean: no cluster"
        assert decision.trace["foreground"]["min_cluster_size"] == 50
        assert decision.scores.shape == (50, 50)


class TestImageScore:
    def test_as_the_paper_ranks(self) -> None:
        found = made(np.array([[0.1, 0.7], [0.3, 0.1]]), label=[1.0, 3.0])
        assert raw_score(found, "mean") == pytest.approx(0.3)
        assert raw_score(found, "max") == pytest.approx(0.7)
        assert raw_score(found, "logit") == 3.0
        assert raw_score(found, "softmax") == pytest.approx(1 / (1 + np.exp(-2.0)))
        assert bounded_score(3.0, "logit") == pytest.approx(1 / (1 + np.exp(-3.0)))
        assert bounded_score(0.3, "mean") == 0.3

    def test_the_highest_cells(self) -> None:
        scores = np.full((20, 20), 0.25, np.float32)
        scores[3, 4:8] = [0.5, 0.75, 1.0, 0.75]
        found = made(scores)
        assert raw_score(found, "top") == pytest.approx((1.0 + 0.75) / 2)
        assert raw_score(found, "top", 4 / 400) == pytest.approx(0.75)
        assert raw_score(found, "top", 0.0) == raw_score(found, "max")
        assert raw_score(found, "top", 1.0) == pytest.approx(raw_score(found, "mean"))

    def test_logits_of_any_size_stay_in_range(self) -> None:
        bounded = [bounded_score(value, "logit") for value in (-1e5, -30.0, -1.0, 0.0, 1.0, 1e5)]
        assert bounded == sorted(bounded)
        assert (bounded[0], bounded[3], bounded[-1]) == (0.0, 0.5, 1.0)

    @pytest.mark.parametrize(
        ("method", "supervision", "rule"),
        [
            ("patches", "weak", "mean"),
            ("patches", "full", "mean"),
            ("attention", "weak", "logit"),
            ("attention", "full", "mean"),
            ("gradcam", "weak", "logit"),
            ("gradcam", "full", "mean"),
        ],
    )
    def test_auto(self, method: str, supervision: str, rule: str) -> None:
        assert image_score_rule(DolosConfig(), method, supervision) == rule
        assert image_score_rule(DolosConfig(image_score="paper"), method, supervision) == rule

    def test_scores_that_a_network_does_not_have(self) -> None:
        logit, mean = DolosConfig(image_score="logit"), DolosConfig(image_score="mean")
        with pytest.raises(ConfigError, match="dolos-patches-weak learns no label: use image_"):
            image_score_rule(logit, "patches", "weak")
        with pytest.raises(ConfigError, match="dolos-attention learns no label"):
            image_score_rule(DolosConfig(image_score="softmax"), "attention", "full")
        with pytest.raises(ConfigError, match="the map of dolos-gradcam-weak has no level: use im"):
            image_score_rule(mean, "gradcam", "weak")
        assert image_score_rule(mean, "attention", "weak") == "mean"
