import cv2
import numpy as np
import pytest

from tamperscope.methods.focal.copies import duplicate_map
from tamperscope.perturb import jpeg


def textured(seed: int, size: tuple[int, int] = (200, 280)) -> np.ndarray:
    """A picture whose detail never repeats, with a photo's 1/f spectrum."""
    rng = np.random.default_rng(seed)
    h, w = size
    frequency = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.rfftfreq(w)[None])
    frequency[0, 0] = 1.0
    planes = []
    for _ in range(3):
        spectrum = np.fft.rfft2(rng.standard_normal(size)) / frequency
        plane = np.fft.irfft2(spectrum, size)
        planes.append(plane / plane.std())
    common = planes[0]
    mixed = np.stack([0.85 * common + 0.15 * p for p in planes], 2)
    return np.clip(128 + 55 * mixed, 0, 255).astype(np.uint8)


def moved(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    picture = textured(seed)
    source, copy = np.zeros(picture.shape[:2], bool), np.zeros(picture.shape[:2], bool)
    source[30:85, 40:100], copy[120:175, 190:250] = True, True
    picture[120:175, 190:250] = picture[30:85, 40:100]
    return picture, source, copy


@pytest.mark.parametrize("quality", [None, 90, 75])
def test_a_moved_region_and_its_source_are_marked_and_little_else(quality: int | None) -> None:
    picture, source, copy = moved(1)
    if quality:
        picture = jpeg(picture, quality)
    found = duplicate_map(picture) > 0.5
    assert found[source].mean() > 0.7
    assert found[copy].mean() > 0.7
    assert found[~(source | copy)].mean() < 0.02


@pytest.mark.parametrize("seed", range(4))
def test_untouched_texture_is_not_marked(seed: int) -> None:
    assert not duplicate_map(jpeg(textured(seed), 85)).any()


def test_a_straight_edge_that_matches_itself_is_no_copy() -> None:
    picture = np.full((160, 220, 3), 60, np.uint8)
    picture[:, 110:] = 190
    picture[70:74] = 120
    assert not duplicate_map(jpeg(picture, 90)).any()


def test_periodic_pattern_is_no_proof_below_the_peak() -> None:
    """Broad repetition, fence or brick: marked wholly or not at all is fine, a crash is not."""
    tile = textured(3, (25, 25))
    found = duplicate_map(np.tile(tile, (8, 10, 1)))
    assert found.shape == (200, 250)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (59, 59), (17, 4000), (64, 64)])
def test_any_size(size: tuple[int, int]) -> None:
    found = duplicate_map(np.zeros((*size, 3), np.uint8))
    assert found.shape == size
    assert found.dtype == np.float32
    assert not found.any()


def test_a_large_picture_is_shrunk_and_the_answer_comes_back_in_its_size() -> None:
    picture, source, copy = moved(2)
    big = cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    found = duplicate_map(big, max_pixels=200 * 280) > 0.5
    assert found.shape == big.shape[:2]
    assert found[::2, ::2][source | copy].mean() > 0.6


def test_the_picture_is_left_as_it_was() -> None:
    picture, _, _ = moved(1)
    before = picture.copy()
    duplicate_map(picture)
    assert np.array_equal(picture, before)
