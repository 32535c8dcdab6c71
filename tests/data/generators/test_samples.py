from pathlib import Path

import cv2
import numpy as np
import pytest

from tamperscope.data.faces.splits import split_of
from tamperscope.data.generators.samples import SIZE, FaceSamples, random_mask
from tamperscope.errors import DataError

LABELS = np.zeros((64, 64), np.uint8)
LABELS[10:50, 10:50] = 1
LABELS[20:24, 20:26] = 4


def make_faces(folder: Path, count: int = 12) -> Path:
    """Square noise pictures with a label map each, in the images/ and masks/ layout."""
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for i in range(count):
        small = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        picture = cv2.resize(small, (64, 64), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / "images" / f"face{i}.png"), picture)
        cv2.imwrite(str(folder / "masks" / f"face{i}.png"), LABELS)
    return folder


def test_only_faces_of_the_split_are_read(tmp_path: Path) -> None:
    faces = make_faces(tmp_path)
    expected = sum(split_of(f"face{i}") == "train" for i in range(12))
    samples = FaceSamples(faces, "train", whole_share=0.2)
    assert 0 < len(samples) == expected < 12


def test_samples_follow_from_the_key_alone(tmp_path: Path) -> None:
    samples = FaceSamples(make_faces(tmp_path), "train", whole_share=0.2)
    picture, mask = samples.sample("1/7")
    again = samples.sample("1/7")
    np.testing.assert_array_equal(picture, again[0])
    np.testing.assert_array_equal(mask, again[1])
    assert (picture != samples.sample("1/8")[0]).any()
    pictures, masks = samples.batch(1, 6, 2)
    assert pictures.shape == (2, 3, SIZE, SIZE)
    assert masks.shape == (2, 1, SIZE, SIZE)
    np.testing.assert_allclose(pictures[1].permute(1, 2, 0).numpy(), picture / 127.5 - 1, atol=1e-5)
    np.testing.assert_array_equal(masks[1, 0].numpy(), mask)


def test_no_face_of_the_split_is_an_error(tmp_path: Path) -> None:
    faces = make_faces(tmp_path)
    for i in range(12):
        if split_of(f"face{i}") == "valid":
            (faces / "images" / f"face{i}.png").unlink()
    with pytest.raises(DataError, match="has no valid faces"):
        FaceSamples(faces, "valid", whole_share=0.2)


def test_masks_are_parts_rectangles_or_everything() -> None:
    rng = np.random.default_rng(1)
    masks = [random_mask(LABELS, rng, whole_share=0.25) for _ in range(200)]
    assert all(m.any() and m.shape == LABELS.shape for m in masks)
    assert 25 < sum(m.all() for m in masks) < 85
    nothing = np.full((64, 64), 19, np.uint8)
    filled = [random_mask(nothing, rng, whole_share=0.0) for _ in range(20)]
    for mask in filled:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
