"""Pictures and masks against the official FOCAL loader: `focal_misc.npz`, side 64, ratio 4."""

import numpy as np
import pytest
import torch

from reference import recipe
from tamperscope.backbones import preprocess, preprocess_mask
from tamperscope.errors import ConfigError, ImageValueError

REFERENCE = np.load(recipe.FOLDER / "focal_misc.npz")


def test_focal_picture_is_the_official_one() -> None:
    rgb = REFERENCE["pre_image_bgr"][..., ::-1]
    np.testing.assert_array_equal(preprocess(rgb, "focal", size=64).numpy(), REFERENCE["pre_x"])


def test_focal_mask_is_the_official_one() -> None:
    mask = preprocess_mask(REFERENCE["pre_mask_gray"] > 127, size=16)
    assert 0 < mask.mean() < 1
    np.testing.assert_array_equal(mask[None], REFERENCE["pre_y"])


def test_native_keeps_every_pixel() -> None:
    pixels = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    pixels.flags.writeable = False
    x = preprocess(pixels)
    assert x.shape == (3, 5, 7)
    assert x.dtype == torch.float32
    np.testing.assert_array_equal((x.numpy() * 255).round().transpose(1, 2, 0), pixels)


def test_focal_is_square_and_1024_by_default() -> None:
    x = preprocess(np.full((1, 9, 3), 255, np.uint8), "focal")
    assert x.shape == (3, 1024, 1024)
    assert x.min() == x.max() == 1


@pytest.mark.parametrize(
    "pixels", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)]
)
def test_other_arrays_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ImageValueError, match=r"must be RGB uint8 \(h, w, 3\).*read_image"):
        preprocess(pixels)


def test_other_masks_are_refused() -> None:
    with pytest.raises(
        ImageValueError, match=r"a mask must be bool \(h, w\), not uint8.*read_mask"
    ):
        preprocess_mask(np.zeros((4, 4), np.uint8), size=4)  # type: ignore[arg-type]


def test_wrong_mode_and_size() -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(ConfigError, match="unknown preprocessing 'square'; known: focal, native"):
        preprocess(pixels, "square")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="size must be at least 1 pixel, not 0"):
        preprocess(pixels, "focal", size=0)
