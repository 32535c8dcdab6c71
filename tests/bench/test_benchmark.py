"""The runner's numbers against those worked out by hand, and what it says of a method."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

from tamperscope.bench import OURS, Prediction
from tamperscope.bench.benchmark import Plan, run_plan
from tamperscope.bench.cache import Shelf
from tamperscope.bench.entrants import Entrant
from tamperscope.bench.predictor import Method
from tamperscope.data import Dataset
from tamperscope.image import Image, read_image
from tamperscope.localizer import MethodCard
from tamperscope.perturb import parse_all
from tamperscope.provenance import Provenance
from tamperscope.result import Localization, MapKind

Predict = Callable[[Image], Prediction]
QUICK = replace(OURS, bootstrap_samples=200)


def measure(
    method: Method, data: Dataset, *, perturb: tuple[str, ...] = ("none",)
) -> dict[str, Any]:
    """The record of one method on one set; nothing is kept beside the set but its maps."""
    plan = Plan(
        entrants=(Entrant(name="it", load=lambda: method),),
        datasets={data.name: data},
        protocols=(QUICK,),
        conditions=parse_all(perturb),
        workers=2,
    )
    return run_plan(plan, Shelf(data.root / "cache")).record.to_dict()


def numbers(record: dict[str, Any], condition: str = "none") -> dict[str, Any]:
    (cell,) = [c for c in record["numbers"]["cells"] if c["condition"] == condition]
    return {name: value and value["mean"] for name, value in cell["numbers"].items()}


def test_numbers_worked_out_by_hand(forged_set: Dataset, predictor: Predict) -> None:
    record = measure(predictor, forged_set)
    found = numbers(record)
    # found in full: 1; columns 10-30 against 0-20: F1 1/2, IoU 1/3; nothing: 0
    assert found["f1"] == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert found["iou"] == pytest.approx((1 + 1 / 3 + 0) / 3)
    # the half: tp 10, fp 10, fn 10, tn 30 columns
    assert found["mcc"] == pytest.approx((1 + (300 - 100) / 800 + 0) / 3)
    # the half: rate of hits 1/2, of false alarms 1/4, a triangle each side; constant map: 1/2
    assert found["auc"] == pytest.approx((1 + (1 + 1 / 2 - 1 / 4) / 2 + 1 / 2) / 3)
    assert found["flagged_pixels"] == pytest.approx((0 + 0.1) / 2)
    assert found["flagged_pictures"] == 1 / 2
    # scores 1/3, 1/3, 0 against 0, 1/10: wins 1, 1, 1, 1, 1/2, 0
    assert found["image_auc"] == pytest.approx(4.5 / 6)
    (cell,) = record["numbers"]["cells"]
    assert cell["by_kind"]["splice"]["f1"]["mean"] == 1
    assert cell["by_kind"]["copymove"]["f1"]["mean"] == pytest.approx(1 / 4)
    assert cell["by_kind"]["copymove"]["f1"]["count"] == 2
    assert cell["failures"] == []


def test_image_level_on_sides_compressed_alike(forged_set: Dataset) -> None:
    seen: list[bytes] = []

    def watching(image: Image) -> Prediction:
        seen.append(image.pixels.tobytes())
        mask = image.pixels[..., 0] > 200
        return Prediction(mask.astype(np.float32), mask, float(mask.mean()))

    record = measure(watching, forged_set, perturb=("none", "jpeg:90"))
    assert len(set(seen[:5]) & set(seen[5:])) < 5
    recompressed = numbers(record, "jpeg:90")["image_auc"]
    assert recompressed == pytest.approx(numbers(record)["image_auc"], abs=0.1)


def test_intervals_hold_the_mean(forged_set: Dataset, predictor: Predict) -> None:
    interval = measure(predictor, forged_set)["numbers"]["cells"][0]["numbers"]["f1"]
    assert 0 <= interval["low"] < interval["mean"] < interval["high"] <= 1


def test_one_class_alone(forged_set: Dataset, predictor: Predict) -> None:
    forged = numbers(measure(predictor, replace(forged_set, samples=forged_set.forged)))
    assert forged["image_auc"] is None
    assert forged["flagged_pixels"] is None
    authentic = numbers(measure(predictor, replace(forged_set, samples=forged_set.authentic)))
    assert authentic["f1"] is None
    assert authentic["flagged_pictures"] == 1 / 2


def test_a_smaller_prediction_is_resized(forged_set: Dataset, predictor: Predict) -> None:
    def half_size(image: Image) -> Prediction:
        found = predictor(image)
        return Prediction(found.score_map[::2, ::2], found.mask[::2, ::2], found.image_score)

    assert numbers(measure(half_size, forged_set))["f1"] == pytest.approx((1 + 1 / 2 + 0) / 3)


def test_a_truth_that_covers_all_has_no_auc(forged_set: Dataset, predictor: Predict) -> None:
    whole = forged_set.forged[0].mask_path
    assert whole is not None
    PILImage.fromarray(np.full((40, 60), 255, np.uint8)).save(whole)
    (cell,) = measure(predictor, forged_set)["numbers"]["cells"]
    assert cell["numbers"]["f1"]["count"] == 3
    assert cell["numbers"]["auc"]["count"] == 2


def test_polarity_of_the_set_is_used(forged_set: Dataset, predictor: Predict) -> None:
    black = tuple(replace(s, polarity="forged-black") for s in forged_set.samples)
    found = numbers(measure(predictor, replace(forged_set, samples=black)))
    # ground truth is now columns 20-60: no hit; columns 20-30 of 10-30: F1 20/60; no hit
    assert found["f1"] == pytest.approx((0 + 1 / 3 + 0) / 3)


class RedLocalizer:
    """The smallest thing that is a Localizer."""

    card = MethodCard(
        name="red",
        title="Red",
        paper="none",
        map_kind=MapKind.SALIENCY,
        summary="red is forged",
        limits="everything",
        weights=("paint",),
        presets=("default",),
    )

    def __init__(self, predictor: Predict) -> None:
        self.predictor = predictor

    def localize(self, source: Any, *, id: str | None = None) -> Localization:
        image = read_image(source)
        found = self.predictor(image)
        return Localization(
            score_map=found.score_map,
            map_kind=MapKind.SALIENCY,
            mask=found.mask,
            threshold=0.4,
            image_score=found.image_score,
            provenance=Provenance(
                version="0",
                commit=None,
                method="red",
                config={},
                weights={},
                device="cpu",
                precision="fp32",
                seed=0,
                seconds={},
                input_id=image.id,
                input_sha256=image.sha256,
                input_size=image.size,
            ),
        )

    def localize_batch(self, sources: Any) -> list[Localization]:
        return [self.localize(source) for source in sources]

    def describe(self) -> dict[str, Any]:
        return {"config": {"preset": "default"}, "weights": {"paint": "ab" * 32}}


def test_a_localizer_scores_like_its_function_and_is_described(
    forged_set: Dataset, predictor: Predict, tmp_path: Path
) -> None:
    record = measure(RedLocalizer(predictor), forged_set)
    plain = measure(predictor, forged_set)
    assert numbers(record) == numbers(plain)
    (row,) = record["method"]["rows"]
    assert (row["name"], row["title"], row["map_kind"]) == ("it", "Red", "saliency")
    assert row["preset"] == "default"
    assert record["weights"] == {"it: paint": "ab" * 32}
    assert plain["method"]["rows"][0]["title"] == "red_is_forged"
    assert plain["weights"] == {}
    assert str(tmp_path) not in str(record)
