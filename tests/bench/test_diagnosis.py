"""What became of forged pictures, what draws a map: on answers that are known."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PILImage

from tamperscope.bench.diagnosis import (
    CONTENT,
    SHIFT,
    attraction,
    diagnose,
    diagnosis_tables,
    examine_forged,
    outcome_of,
    rim_and_interior,
    summary,
)
from tamperscope.bench.protocols import Prediction
from tamperscope.data import Dataset, Sample
from tamperscope.errors import DataError
from tamperscope.image import Image, read_image

SIZE = (64, 96)


def box(top: int, left: int, side: int) -> NDArray[np.bool_]:
    mask = np.zeros(SIZE, np.bool_)
    mask[top : top + side, left : left + side] = True
    return mask


TRUTH = box(16, 24, 32)


def answer(mask: NDArray[np.bool_]) -> Prediction:
    return Prediction(mask.astype(np.float32), mask, 0.5)


@pytest.mark.parametrize(
    ("mask", "outcome"),
    [
        (TRUTH, "found"),
        (box(16, 24, 10), "partly"),
        (box(0, 80, 12), "elsewhere"),
        (np.zeros(SIZE, np.bool_), "missed"),
    ],
)
def test_outcomes(mask: NDArray[np.bool_], outcome: str) -> None:
    assert outcome_of(mask, TRUTH) == outcome


def test_rim_and_interior_are_apart() -> None:
    inner = box(26, 34, 12)
    rim, inside = rim_and_interior(inner, TRUTH)
    assert rim == 0
    assert inside is not None
    assert 0 < inside < 1
    assert rim_and_interior(TRUTH, TRUTH) == (1.0, 1.0)
    thin = box(0, 0, 4)
    assert rim_and_interior(thin, thin) == (1.0, None)


def test_the_oracle_is_not_the_decision() -> None:
    hesitant = Prediction(TRUTH * np.float32(0.3), np.zeros(SIZE, np.bool_), 0.1)
    found = examine_forged(hesitant, TRUTH, "splice")
    assert (found.outcome, found.f1, found.oracle, found.auc) == ("missed", 0.0, 1.0, 1.0)


def test_groups_are_by_kind_and_size() -> None:
    small = box(0, 0, 8)
    findings = [
        examine_forged(answer(TRUTH), TRUTH, "splice", 0.5),
        examine_forged(answer(~small), small, "copymove"),
    ]
    table = summary(findings)
    sizes = {"size: below 2 %", "size: above 10 %"}
    assert set(table) == {"all", "kind: splice", "kind: copymove"} | sizes
    row = table["all"]
    assert isinstance(row, dict)
    assert (row["count"], row["found"], row["elsewhere"], row["moved"]) == (2, 0.5, 0.5, 0.5)


def picture(seed: int = 0) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    pixels = np.full((*SIZE, 3), 128, np.uint8)
    pixels[:, 48:] = rng.integers(0, 256, (64, 48, 3))
    return pixels


def test_a_map_that_follows_texture_is_told() -> None:
    image = read_image(picture())
    busy = np.zeros(SIZE, np.float32)
    busy[:, 48:] = 1
    drawn = attraction(image, busy)
    assert set(drawn) == set(CONTENT)
    assert drawn["texture"] > 0.6
    assert drawn["edges"] > 0.6
    assert abs(drawn["closeness to the centre"]) < 0.2
    assert set(attraction(image, np.zeros(SIZE, np.float32)).values()) == {0.0}


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    for name, seed in (("forged", 0), ("clean", 1)):
        PILImage.fromarray(picture(seed)).save(tmp_path / f"{name}.png")
    PILImage.fromarray(TRUTH.astype(np.uint8) * 255).save(tmp_path / "mask.png")
    samples = (
        Sample(
            id="forged",
            image_path=tmp_path / "forged.png",
            mask_path=tmp_path / "mask.png",
            label="forged",
            kind="splice",
        ),
        Sample(id="clean", image_path=tmp_path / "clean.png", mask_path=None, label="authentic"),
    )
    return Dataset(name="toy", root=tmp_path, samples=samples)


def right_half(image: Image) -> Prediction:
    h, w = image.size
    mask = np.zeros((h, w), np.bool_)
    mask[:, w // 2 :] = True
    return answer(mask)


def test_a_set_is_examined(data: Dataset) -> None:
    record = diagnose(right_half, {"toy": data}, shifted=True).to_dict()
    numbers = record["numbers"]["toy"]
    assert (numbers["refused"], numbers["excluded"]) == (0, [])
    row = numbers["forged"]["kind: splice"]
    assert (row["count"], row["partly"]) == (1, 1.0)
    # Four columns less move the half by two: 14 instead of 16 columns of the region are hit.
    assert row["moved"] < row["f1"]
    assert numbers["authentic"]["pictures_flagged"] == 1.0
    assert numbers["authentic"]["pixels_flagged"] == 0.5
    text = diagnosis_tables(record)
    assert "| toy | kind: splice | 1 | 0 % | 100 % |" in text
    assert "100.0 % | 50.0 %" in text


def test_a_smaller_mask_is_brought_to_its_picture(data: Dataset, tmp_path: Path) -> None:
    before = diagnose(right_half, {"toy": data}).numbers
    half = TRUTH[::2, ::2].astype(np.uint8) * 255
    PILImage.fromarray(half).save(tmp_path / "mask.png")
    assert diagnose(right_half, {"toy": data}).numbers == before


@pytest.mark.parametrize("rim", [np.s_[:SHIFT], np.s_[:, :SHIFT]], ids=["rows", "columns"])
def test_a_forgery_that_a_shift_cuts_off_has_no_number_after_it(
    data: Dataset, tmp_path: Path, rim: Any
) -> None:
    truth = np.zeros(SIZE, np.uint8)
    truth[rim] = 255
    PILImage.fromarray(truth).save(tmp_path / "mask.png")
    record = diagnose(right_half, {"toy": data}, shifted=True).to_dict()
    row = record["numbers"]["toy"]["forged"]["all"]
    assert (row["count"], row["moved"]) == (1, None)
    assert record["numbers"]["toy"]["authentic"]["count"] == 1


def test_a_mask_that_vanishes_at_its_pictures_size_is_named(data: Dataset, tmp_path: Path) -> None:
    truth = np.zeros((10 * SIZE[0], 10 * SIZE[1]), np.uint8)
    truth[1, 1] = 255
    PILImage.fromarray(truth).save(tmp_path / "mask.png")
    numbers = diagnose(right_half, {"toy": data}).to_dict()["numbers"]["toy"]
    why = "its mask marks nothing at the picture's size"
    assert numbers["excluded"] == [{"id": "forged", "why": why}]
    assert "forged" not in numbers
    assert numbers["authentic"]["count"] == 1


def test_a_forgery_whose_region_is_not_known_is_named(data: Dataset) -> None:
    forged, clean = data.samples
    bare = replace(forged, mask_path=None, unmasked="unknown")
    numbers = diagnose(right_half, {"toy": replace(data, samples=(bare, clean))}).numbers["toy"]
    assert isinstance(numbers, dict)
    why = "forged, but its region is not known: give a mask"
    assert numbers["excluded"] == [{"id": "forged", "why": why}]
    assert "forged" not in numbers


def test_what_cannot_be_examined_is_named(data: Dataset, tmp_path: Path) -> None:
    PILImage.fromarray(np.full((20, 20), 255, np.uint8)).save(tmp_path / "mask.png")
    numbers = diagnose(right_half, {"toy": data}).to_dict()["numbers"]["toy"]
    assert set(numbers) == {"refused", "excluded", "authentic"}
    (left,) = numbers["excluded"]
    assert left["id"] == "forged"
    assert left["why"].startswith("the picture is 64 x 96 and its mask 20 x 20 (rows x columns): ")
    (tmp_path / "clean.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"toy: no picture could be examined \(forged: the picture"):
        diagnose(right_half, {"toy": data})
