from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

from tamperscope import catalog
from tamperscope.bench import Prediction, content_overlap
from tamperscope.bench.content import main_content
from tamperscope.bench.record import read_record
from tamperscope.bench.references import REFERENCES
from tamperscope.data import Dataset
from tamperscope.data.datasets.authentic import read_objects
from tamperscope.errors import DataError, ImageValueError, UnknownNameError
from tamperscope.image import Image

Predict = Callable[[Image], Prediction]
MEASURES = ("iou", "f1", "flagged_object", "flagged_background", "auc")


def means(numbers: Any) -> dict[str, float]:
    return {name: numbers[name]["mean"] for name in MEASURES}


def test_a_method_that_outlines_objects(object_folder: Path, predictor: Predict) -> None:
    numbers = content_overlap(predictor, read_objects(object_folder).only(["a"]))
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
    with pytest.raises(DataError, match=r"'all' has no object mask: give images/ with masks/"):
        content_overlap(predictor, forged_set)
    PILImage.fromarray(np.zeros((40, 60), np.uint8)).save(object_folder / "masks" / "a.png")
    with pytest.raises(DataError, match="object mask of 'a' covers all or nothing: leave"):
        content_overlap(predictor, read_objects(object_folder))


def test_a_prediction_of_another_size_is_scaled(object_folder: Path, predictor: Predict) -> None:
    def half_size(image: Image) -> Prediction:
        found = predictor(image)
        return Prediction(found.score_map[::2, ::2], found.mask[::2, ::2], found.image_score)

    def turned(image: Image) -> Prediction:
        found = predictor(image)
        return Prediction(found.score_map.T, found.mask.T, found.image_score)

    objects = read_objects(object_folder)
    assert means(content_overlap(half_size, objects))["iou"] == 0.5
    with pytest.raises(DataError, match="a: the picture is 60 x 40 and its mask 40 x 60"):
        content_overlap(turned, objects)


def test_records_for_methods_and_references(object_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    told: list[tuple[int, int, str]] = []
    found = main_content(["full"], object_folder, out, progress=lambda *a: told.append(a))
    assert {path.name for path in out.iterdir()} == {f"objects-{name}.json" for name in REFERENCES}
    assert len(found) == len(REFERENCES)
    assert told[:2] == [(0, 2, "a"), (1, 2, "b")]
    record = read_record(out / "objects-full.json")
    assert record in found
    assert record["kind"] == "content-overlap"
    assert record["dataset"]["authentic"] == 2
    assert record["numbers"]["flagged_object"]["mean"] == 1


def test_parts_of_a_set(object_folder: Path, tmp_path: Path) -> None:
    def count(**options: Any) -> int:
        (record,) = main_content(
            ["full"], object_folder, tmp_path / "out", references=False, **options
        )
        return int(record["numbers"]["count"])

    stems = tmp_path / "held_back.txt"
    stems.write_text("b  # the grey one\n\n")
    assert count() == 2
    assert count(stems=stems) == count(limit=1) == 1
    assert count(share=1.0) == 2
    with pytest.raises(DataError, match="training holds back nothing of .*: give a larger share"):
        count(share=0.0)
    stems.write_text("z\n")
    with pytest.raises(DataError, match=r"1 listed ids are not in the set \(first: 'z'\)"):
        count(stems=stems)
    stems.write_text("# nobody\n")
    with pytest.raises(DataError, match="lists no ids: write one a line"):
        count(stems=stems)
    with pytest.raises(DataError, match=r"cannot be read .*: give a text file with one id a line"):
        count(stems=tmp_path / "gone.txt")


def test_methods_come_from_the_catalogue(
    object_folder: Path, predictor: Predict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str | None, str | None, str]] = []

    def load(name: str, *, preset: str, weights: str, device: str, precision: str) -> Predict:
        asked.append((name, preset, weights, device))
        return predictor

    monkeypatch.setattr(catalog, "load", load)
    main_content(
        ["focal:as-released"],
        object_folder,
        tmp_path,
        weights=["focal:as-released=w.pt"],
        references=False,
        device="cpu",
    )
    assert asked == [("focal", "as-released", "w.pt", "cpu")]
    assert (tmp_path / "objects-focal-as-released.json").is_file()
    with pytest.raises(UnknownNameError, match="unknown method 'fcal'; did you mean 'focal'"):
        main_content(["fcal"], object_folder, tmp_path)
