"""What a set's pictures are known by."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from bench.plans import H, W, make_set
from tamperscope.bench.pictures import Surveyed, load, survey
from tamperscope.data import Dataset, fingerprint
from tamperscope.perturb import IDENTITY


def surveyed(data: Dataset) -> Surveyed:
    with ThreadPoolExecutor(2) as pool:
        return survey(data.name, data, pool)


def write_mask(path: Path, right: int) -> Path:
    mask = np.zeros((H, W), np.uint8)
    mask[:6, :right] = 255
    PILImage.fromarray(mask).save(path)
    return path


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    """A set whose first picture has a second mask."""
    made = make_set(tmp_path / "set", forged=2, authentic=1)
    more = write_mask(made.root / "more.png", 5)
    first, *others = made.samples
    return replace(made, samples=(replace(first, further_masks=(more,)), *others))


def test_every_mask_of_a_picture_is_part_of_what_it_is(data: Dataset) -> None:
    before = surveyed(data)
    assert before.sha256 == fingerprint(data)
    write_mask(data.root / "more.png", 9)
    after = surveyed(data)
    assert after.sha256 == fingerprint(data) != before.sha256
    same = [a.key == b.key for a, b in zip(before.refs, after.refs, strict=True)]
    assert same == [False, True, True]
    assert [r.picture for r in after.refs] == [r.picture for r in before.refs]
    truth = load(after.refs[0], IDENTITY, 0).truth
    assert truth is not None
    assert truth[0, 8]


def test_a_set_with_a_missing_further_mask_names_it(data: Dataset) -> None:
    (data.root / "more.png").unlink()
    found = surveyed(data)
    assert [r.sample.id for r in found.refs] == ["f1", "a2"]
    (left,) = found.excluded
    assert left.id == "f0"
    assert "more.png: cannot be read" in left.why
