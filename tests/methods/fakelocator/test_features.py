"""What single-sample clustering and studies ask of the localizer."""

from pathlib import Path

import numpy as np
import pytest

from methods.fakelocator.toys import save_parser, save_random
from tamperscope import load, read_image
from tamperscope.errors import ImageError

FACE = np.random.default_rng(0).integers(0, 255, (64, 48, 3), np.uint8)


@pytest.mark.parametrize("attention", ["none", "parts"])
def test_features_and_all_else_come_from_one_pass(tmp_path: Path, attention: str) -> None:
    weights = save_random(tmp_path / "net.safetensors", options={"attention": attention})
    parser = save_parser(tmp_path / "parser.safetensors")
    method = load("fakelocator", weights=weights, parser=str(parser), size=64)
    image = read_image(FACE)
    found = method.examine(image)  # type: ignore[attr-defined]
    scores, score = method.raw(image)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(found.scores, scores)
    assert found.image_score == score
    assert found.fake is (score > 0.5)
    features = method.features(FACE)  # type: ignore[attr-defined]
    assert features.dtype == np.float32
    assert features.ndim == 1
    np.testing.assert_array_equal(features, found.features)
    result = method.localize(FACE)
    assert (result.provenance.notes["picture"] == "fake") is found.fake


def test_features_of_what_is_no_picture(tmp_path: Path) -> None:
    weights = save_random(tmp_path / "net.safetensors", options={"attention": "none"})
    method = load("fakelocator", weights=weights, parser="none")
    with pytest.raises(ImageError, match="is not a picture"):
        method.features(b"no picture")  # type: ignore[attr-defined]
