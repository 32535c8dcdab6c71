from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

from tamperscope.bench import Prediction, content_overlap, main_bench
from tamperscope.bench.references import REFERENCES
from tamperscope.data import Dataset
from tamperscope.data.datasets.authentic import read_objects
from tamperscope.errors import DataError, ImageValueError
from tamperscope.image import Image

Predict = Callable[[Image], Prediction]
MEASURES = ("iou", "f1", "flagged_object", "flagged_background", "auc")


def means(numbers: Any) -> dict[str, float]:
    return {name: numbers[name]["mean"] for name in MEASURES}


def test_a_method_that_outlines_objects(object_folder: Path, predictor: Predict) -> None:
    numbers = content_overlap(predictor, read_objects(object_folder), stems=["a"])
    assert numbers["count"] == 1
    expected = {"iou": 1, "f1": 1, "flagged_object": 1, "flagged_background": 0, "auc": 1}
    assert means(numbers) == expected


def test_a_silent_and_a_blind_method(object_folder: Path) -> None:
    objects = read_objects(object_folder)
    silent = means(content_overlap(REFERENCES["empty"], objects))
    expected = {"iou": 0, "f1": 0, "flagged_object": 0, "flagged_background": 0, "auc": 0.5}
    assert silent == expected
    blind = means(content_overlap(REFERENCES["full"], objects))
    assert blind["flagged_object"] == blind["flagged_background"] == 1
    assert blind["auc"] == 0.5
    assert blind["iou"] == pytest.approx(1 / 3)


def test_mean_over_pictures_and_refusals(object_folder: Path, predictor: Predict) -> None:
    def picky(image: Image) -> Prediction:
        if image.id.endswith("b.png"):
            raise ImageValueError("too grey: add colour")
        return predictor(image)

    numbers: Any = content_overlap(picky, read_objects(object_folder))
    assert numbers["failures"] == [{"id": "b", "why": "too grey: add colour"}]
    assert means(numbers) == {
        "iou": 0.5,
        "f1": 0.5,
        "flagged_object": 0.5,
        "flagged_background": 0,
        "auc": 0.75,
    }


def test_sets_that_cannot_be_measured(
    object_folder: Path, forged_set: Dataset, predictor: Predict
) -> None:
    with pytest.raises(DataError, match=r"1 listed ids are not in the set \(first: 'z'\)"):
        content_overlap(predictor, read_objects(object_folder), stems=["z"])
    with pytest.raises(DataError, match=r"'all' has no object mask: give images/ with masks/"):
        content_overlap(predictor, forged_set)
    PILImage.fromarray(np.zeros((40, 60), np.uint8)).save(object_folder / "masks" / "a.png")
    with pytest.raises(DataError, match="object mask of 'a' covers all or nothing: leave"):
        content_overlap(predictor, read_objects(object_folder))


def test_through_main_bench(object_folder: Path, tmp_path: Path) -> None:
    stems = tmp_path / "held_back.txt"
    stems.write_text("b\n")
    record = main_bench("objects", object_folder, method="full", stems=stems)
    assert record["kind"] == "content-overlap"
    assert record["dataset"]["authentic"] == 1
    assert record["numbers"]["flagged_object"]["mean"] == 1
    assert main_bench("objects", object_folder, method="full", limit=1)["numbers"]["count"] == 1
