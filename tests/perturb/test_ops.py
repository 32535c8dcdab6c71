import io

import numpy as np
import pytest
from PIL import Image as PILImage

from tamperscope import perturb
from tamperscope.errors import ImageValueError


@pytest.fixture
def picture() -> np.ndarray:
    rng = np.random.default_rng(0)
    smooth = rng.uniform(0, 255, (6, 8, 3)).astype(np.uint8)
    return perturb.resize(smooth, (61, 83), "bicubic")


def test_jpeg_at_no_offset_is_what_pillow_writes(picture: np.ndarray) -> None:
    buffer = io.BytesIO()
    PILImage.fromarray(picture).save(buffer, "JPEG", quality=70, subsampling=2)
    expected = np.asarray(PILImage.open(buffer).convert("RGB"))
    assert np.array_equal(perturb.jpeg(picture, 70), expected)


def test_jpeg_offset_moves_the_block_grid(picture: np.ndarray) -> None:
    shifted = perturb.jpeg(picture, 30, subsampling=0, offset=(3, 5))
    assert shifted.shape == picture.shape
    # Compressing again on the same grid changes little, on the corner's grid a lot.
    same = np.abs(perturb.jpeg(shifted, 30, subsampling=0, offset=(3, 5)).astype(int) - shifted)
    other = np.abs(perturb.jpeg(shifted, 30, subsampling=0).astype(int) - shifted)
    assert same.mean() < 0.5 * other.mean()


def test_jpeg_takes_tables_of_its_own(picture: np.ndarray) -> None:
    fine, coarse = [[1] * 64] * 2, [[80] * 64] * 2
    error = [
        np.abs(perturb.jpeg(picture, 50, tables=t).astype(int) - picture).mean()
        for t in (fine, coarse)
    ]
    assert error[0] < 2 < error[1]


def test_webp_is_lossy_but_close(picture: np.ndarray) -> None:
    out = perturb.webp(picture, 80)
    assert out.shape == picture.shape
    assert 0 < np.abs(out.astype(int) - picture).mean() < 10


def test_a_side_too_long_for_a_codec_is_named() -> None:
    with pytest.raises(ImageValueError, match=r"16400 x 8 pixels cannot be saved as WebP \("):
        perturb.webp(np.zeros((8, 16400, 3), np.uint8), 80)
    with pytest.raises(ImageValueError, match=r"1 x 65501 pixels cannot be saved as JPEG \("):
        perturb.jpeg(np.zeros((65501, 1, 3), np.uint8), 80)


def test_noise_has_the_asked_spread() -> None:
    grey = np.full((200, 200, 3), 128, np.uint8)
    for grain in (0.0, 1.0):
        noisy = perturb.add_noise(grey, 6.0, np.random.default_rng(1), grain=grain)
        assert noisy.std() == pytest.approx(6.0, rel=0.05)
    shot = perturb.add_noise(grey, 0.0, np.random.default_rng(1), shot=0.5)
    assert shot.std() == pytest.approx(8.0, rel=0.05)


def test_tone_leaves_neutral_settings_alone_and_moves_grey_as_asked() -> None:
    rng = np.random.default_rng(2)
    image = rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)
    assert np.array_equal(perturb.adjust_tone(image), image)
    assert perturb.adjust_tone(np.full((4, 4, 3), 100, np.uint8), bias=20.0).mean() == 120
    grey = perturb.adjust_tone(image, saturation=0.0).astype(int)
    assert np.ptp(grey, axis=2).max() <= 1


def test_blur_and_median_smooth_and_sharpen_does_not() -> None:
    noise = np.random.default_rng(3).integers(60, 190, (50, 50, 3), dtype=np.uint8)
    assert perturb.blur(noise, 1.0).std() < 0.5 * noise.std()
    assert perturb.local_median(noise).std() < 0.7 * noise.std()
    assert perturb.sharpen(noise, 1.0).std() > 1.2 * noise.std()


def test_resize_gives_the_size_and_never_nothing(picture: np.ndarray) -> None:
    assert perturb.resize(picture, (10, 200)).shape == (10, 200, 3)
    assert perturb.resize(picture, (0, 0)).shape == (1, 1, 3)
