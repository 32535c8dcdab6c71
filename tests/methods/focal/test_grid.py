"""The grid of JPEG blocks is found where there is one, and nothing is made of it elsewhere."""

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PILImage

from hostile import photo
from methods.focal.test_localizer import assembled, load, red_detector, red_square
from tamperscope import perturb
from tamperscope.image import read_image
from tamperscope.methods.focal.config import FocalConfig
from tamperscope.methods.focal.features import seen
from tamperscope.methods.focal.grid import block_offset

EXAMPLES = Path(__file__).parents[3] / "examples"


def natural(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth shapes with a little noise, which JPEG has something to do with."""
    rng = np.random.default_rng(seed)
    rough = rng.integers(30, 226, (height // 16 + 2, width // 16 + 2, 3)).astype(np.uint8)
    smooth = perturb.resize(rough, (height, width), "bicubic")
    return perturb.add_noise(smooth, 4.0, rng)


@pytest.mark.parametrize("quality", [50, 75, 90])
@pytest.mark.parametrize("cut", [(0, 0), (4, 4), (1, 7), (0, 3), (6, 0)])
def test_the_first_whole_block(quality: int, cut: tuple[int, int]) -> None:
    saved = perturb.jpeg(natural(240, 320), quality)
    y, x = cut
    assert block_offset(saved[y:, x:]) == (-y % 8, -x % 8)


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_found_in_what_was_never_compressed(seed: int) -> None:
    assert block_offset(natural(240, 320, seed)) == (0, 0)
    assert block_offset(np.zeros((100, 100, 3), np.uint8)) == (0, 0)
    noise = np.random.default_rng(seed).integers(0, 256, (128, 128, 3)).astype(np.uint8)
    assert block_offset(noise) == (0, 0)


def test_a_scrap_says_nothing() -> None:
    assert block_offset(perturb.jpeg(natural(240, 320), 40)[3:50, 3:300]) == (0, 0)


def test_two_saves_leave_the_corner_where_the_last_one_shows() -> None:
    first = perturb.jpeg(natural(240, 320), 80)[4:, 4:]
    assert block_offset(np.ascontiguousarray(first)) == (4, 4)
    assert block_offset(perturb.jpeg(np.ascontiguousarray(first), 70)) == (0, 0)


def test_files_and_options_decide_whether_it_is_looked_for() -> None:
    crop = np.ascontiguousarray(perturb.jpeg(natural(240, 320), 60)[3:, 6:])
    found = seen(crop, FocalConfig(), blocks=None)
    assert found.offset == (5, 2)
    assert found.notes() == {"block_offset": [5, 2]}
    np.testing.assert_array_equal(found.pixels, crop[5:, 2:])
    for config, jpeg in ((FocalConfig(align=False), False), (FocalConfig(), True)):
        same = seen(crop, config, blocks=(0, 0) if jpeg else None)
        assert (same.offset, same.notes()) == ((0, 0), {})
        np.testing.assert_array_equal(same.pixels, crop)
    squeezed = seen(crop, FocalConfig(geometry="square"), blocks=None)
    assert squeezed.pixels is crop


@pytest.mark.parametrize("orientation", range(1, 9))
def test_blocks_of_a_file_that_was_turned_are_where_they_look_to_be(orientation: int) -> None:
    """What the file says must be what a search in the pixels finds."""
    stored, exif = PILImage.fromarray(natural(243, 325)), PILImage.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    stored.save(file, "JPEG", quality=40, exif=exif)
    image = read_image(file.getvalue())
    assert image.orientation == orientation
    assert image.block_offset == block_offset(image.pixels)
    assert any(image.block_offset) == (orientation not in (1, 5))
    found = seen(image.pixels, FocalConfig(), blocks=image.block_offset)
    assert found.offset == image.block_offset


def test_a_small_turned_picture_keeps_its_rows() -> None:
    tiny = np.zeros((5, 70, 3), np.uint8)
    assert seen(tiny, FocalConfig(), blocks=(5, 6)).pixels.shape == tiny.shape


def test_the_mask_lies_where_the_picture_is() -> None:
    pixels, mask = red_square((240, 320), (slice(80, 160), slice(120, 240)))
    crop = np.ascontiguousarray(
        perturb.jpeg(perturb.add_noise(pixels, 4.0, np.random.default_rng(0)), 60)[4:, 4:]
    )
    result = assembled(red_detector(), upsampling="nearest").localize(crop)
    assert result.provenance.notes["block_offset"] == [4, 4]
    assert result.size == crop.shape[:2]
    both = (result.mask & mask[4:, 4:]).sum() / (result.mask | mask[4:, 4:]).sum()
    assert both > 0.95


def test_a_crop_is_answered_like_the_picture() -> None:
    saved = perturb.jpeg(read_image(EXAMPLES / "launch_spliced.jpg").pixels[:256, -384:], 75)
    crop = np.ascontiguousarray(saved[4:, 4:])
    whole = load().localize(saved).score_map[4:, 4:]
    apart = [
        float(np.abs(whole - load(align=align).localize(crop).score_map)[24:-24, 24:-24].mean())
        for align in (True, False)
    ]
    assert apart[0] < 0.6 * apart[1]


def test_photo_of_the_suite_stays_as_it_is() -> None:
    assert block_offset(photo(120, 160)) == (0, 0)
