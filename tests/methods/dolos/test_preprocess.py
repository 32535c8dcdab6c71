"""Pictures and masks against those of the official code."""

import numpy as np
import pytest

from reference import recipe
from tamperscope.errors import ConfigError, ImageValueError
from tamperscope.methods.dolos.preprocess import Resample, prepare, training_mask

REFERENCE = np.load(recipe.FOLDER / "dolos_misc.npz")


@pytest.mark.parametrize(("shape", "picture"), [("sq", "pre_image"), ("ns", "pre_image_nonsquare")])
@pytest.mark.parametrize(("name", "resample"), [("full", "bilinear"), ("weak", "lanczos")])
def test_pictures(shape: str, picture: str, name: str, resample: Resample) -> None:
    expected = REFERENCE[f"pre_{name}_{resample}_u8_{shape}"].astype(np.float32) / 255 * 2 - 1
    found = prepare(REFERENCE[picture], resample=resample)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "grid", "resample"),
    [
        ("mask37_nearest", 37, "nearest"),
        ("mask19_nearest_gradcam", 19, "nearest"),
        ("mask19_bilinear_attention", 19, "bilinear"),
    ],
)
def test_masks(name: str, grid: int, resample: str) -> None:
    grey = REFERENCE["pre_mask_rgb"][..., 0]
    found = training_mask(grey < 128, grid=grid, resample=resample)  # type: ignore[arg-type]
    assert found.shape == (grid, grid)
    np.testing.assert_array_equal(found.numpy(), REFERENCE[name][0])


@pytest.mark.parametrize("resample", ["nearest", "bilinear"])
def test_plain_masks(resample: str) -> None:
    for value in (True, False):
        mask = np.full((50, 40), value)
        found = training_mask(mask, grid=5, resample=resample)  # type: ignore[arg-type]
        assert (found == float(value)).all()


def test_range_and_size() -> None:
    black_white = np.zeros((2, 2, 3), np.uint8)
    black_white[1] = 255
    x = prepare(black_white, size=64)
    assert x.shape == (3, 64, 64)
    assert (float(x.min()), float(x.max())) == (-1.0, 1.0)


def test_what_is_refused() -> None:
    with pytest.raises(ImageValueError, match=r"pixels must be RGB uint8 \(h, w, 3\), not float64"):
        prepare(np.zeros((4, 4, 3)))  # type: ignore[arg-type]
    with pytest.raises(ImageValueError, match=r"uint8 \(0, 4, 3\)"):
        prepare(np.zeros((0, 4, 3), np.uint8))
    with pytest.raises(ConfigError, match="no resampling 'cubic' here; known: lanczos, bilinear"):
        prepare(np.zeros((4, 4, 3), np.uint8), resample="cubic")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="size must be at least 1 pixel, not 0"):
        prepare(np.zeros((4, 4, 3), np.uint8), size=0)
    with pytest.raises(ImageValueError, match=r"a mask must be bool \(h, w\), not uint8"):
        training_mask(np.zeros((4, 4), np.uint8), grid=2, resample="nearest")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no resampling 'lanczos' here; known: nearest, bilinear"):
        training_mask(np.zeros((4, 4), bool), grid=2, resample="lanczos")  # type: ignore[arg-type]
