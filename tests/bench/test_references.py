import io

import numpy as np
import pytest
from PIL import Image as PILImage

from tamperscope.bench.references import REFERENCES, otsu, reference
from tamperscope.errors import UnknownNameError
from tamperscope.image import read_image


def noise(h: int, w: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", sorted(REFERENCES))
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (17, 300)])
def test_every_reference_answers_every_size(name: str, size: tuple[int, int]) -> None:
    image = read_image(noise(*size))
    found = REFERENCES[name](image)
    score, mask, image_score = found.score_map, found.mask, found.image_score
    assert score.shape == mask.shape == size
    assert score.dtype == np.float32
    assert mask.dtype == np.bool_
    assert 0 <= score.min() <= score.max() <= 1
    assert 0 <= image_score <= 1
    again = REFERENCES[name](image)
    assert np.array_equal(again.score_map, score)
    assert np.array_equal(again.mask, mask)


def test_empty_and_full() -> None:
    image = read_image(noise(3, 4))
    assert not REFERENCES["empty"](image).mask.any()
    assert REFERENCES["full"](image).mask.all()


def test_the_box_is_the_middle_quarter() -> None:
    mask = REFERENCES["centre-box"](read_image(noise(8, 12))).mask
    expected = np.zeros((8, 12), bool)
    expected[2:6, 3:9] = True
    assert np.array_equal(mask, expected)


def test_distance_falls_from_the_centre_and_is_isotropic_in_pixels() -> None:
    found = REFERENCES["centre-distance"](read_image(noise(31, 101)))
    score, mask = found.score_map, found.mask
    assert score[15, 50] == score.max() == 1
    assert score[15, 40] == pytest.approx(score[5, 50])
    assert score[0, 0] == pytest.approx(score[-1, -1])
    assert score.min() < 0.05
    assert np.array_equal(mask, score >= 0.5)


def test_error_levels_show_what_was_pasted_into_a_compressed_picture() -> None:
    smooth = np.asarray(PILImage.fromarray(noise(8, 8)).resize((128, 128)))
    buffer = io.BytesIO()
    PILImage.fromarray(smooth).save(buffer, "JPEG", quality=90)
    pixels = np.array(PILImage.open(buffer))
    pixels[32:64, 48:96] = noise(32, 48, seed=1)
    found = REFERENCES["ela"](read_image(pixels))
    score, mask, separability = found.score_map, found.mask, found.image_score
    truth = np.zeros((128, 128), bool)
    truth[32:64, 48:96] = True
    assert (mask & truth).sum() / (mask | truth).sum() > 0.8
    assert score[truth].min() > score[~truth].mean()
    assert separability > 0.8


def test_a_flat_picture_has_no_error_levels() -> None:
    found = REFERENCES["ela"](read_image(np.full((32, 32, 3), 128, np.uint8)))
    assert not found.mask.any()
    assert found.image_score == 0
    assert found.score_map.max() == 0


def test_otsu_parts_two_levels() -> None:
    threshold, separability = otsu(np.array([0.1] * 30 + [0.9] * 10, np.float32))
    assert 0.1 < threshold < 0.9
    assert separability == pytest.approx(1)
    assert otsu(np.full(9, 0.3, np.float32)) == (1.0, 0.0)


def test_otsu_agrees_with_scikit_image() -> None:
    filters = pytest.importorskip("skimage.filters")
    values = np.random.default_rng(0).beta(2, 5, 10_000).astype(np.float32)
    # scikit-image names the middle of the last bin below; ours is that bin's upper edge
    middle = filters.threshold_otsu(hist=np.histogram(values, 256, (0, 1)))
    assert otsu(values)[0] == pytest.approx(middle + 0.5 / 256, abs=0.5 / 256)


def test_references_by_name() -> None:
    assert reference("ela").describe()["rule"].startswith("map: mean over channels")
    with pytest.raises(UnknownNameError, match="unknown reference 'elo'; did you mean 'ela'"):
        reference("elo")


def test_texture_is_where_the_picture_is_busy() -> None:
    pixels = np.full((64, 96, 3), 90, np.uint8)
    pixels[16:48, 24:72] = noise(32, 48)
    found = REFERENCES["texture"](read_image(pixels))
    assert found.mask[20:44, 28:68].mean() > 0.9
    assert not found.mask[:8].any()


def test_saliency_is_the_rare_colour() -> None:
    pixels = np.full((60, 90, 3), (90, 120, 90), np.uint8)
    pixels[20:40, 30:50] = (250, 20, 20)
    found = REFERENCES["saliency"](read_image(pixels))
    truth = np.zeros((60, 90), bool)
    truth[20:40, 30:50] = True
    assert (found.mask == truth).mean() > 0.98
    assert found.image_score > 0.9


def test_noise_level_is_what_differs_from_the_rest_either_way() -> None:
    rng = np.random.default_rng(3)
    for inside, outside in ((1.0, 8.0), (8.0, 1.0)):
        sigma = np.full((160, 240, 1), outside)
        sigma[40:120, 60:160] = inside
        pixels = 128 + sigma * rng.standard_normal((160, 240, 3))
        found = REFERENCES["noise-level"](read_image(pixels.round().clip(0, 255).astype(np.uint8)))
        assert found.mask[60:100, 80:140].all()
        assert found.mask[:20].mean() < 0.1
        assert found.mask[:, 200:].mean() < 0.1


def test_a_picture_of_one_colour_shows_nothing() -> None:
    grey = read_image(np.full((40, 50, 3), 77, np.uint8))
    for name in ("texture", "saliency", "noise-level", "ela"):
        found = REFERENCES[name](grey)
        assert not found.mask.any(), name
        assert found.image_score == 0, name
