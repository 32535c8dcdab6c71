import numpy as np
import pytest

from tamperscope.data.generators import base
from tamperscope.errors import ConfigError, ImageValueError

IMAGES = np.zeros((2, 8, 12, 3), np.uint8)
MASKS = np.zeros((2, 8, 12), np.bool_)


def test_good_arrays_come_back_as_they_are() -> None:
    assert base.check_images(IMAGES) is IMAGES
    assert base.check_masks(IMAGES, MASKS) is MASKS


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES.astype(np.float32), "must be a uint8 array (B, h, w, 3), not float32"),
        ([[1]], "must be a uint8 array (B, h, w, 3), not list"),
        (IMAGES[0], "must be (B, h, w, 3), not (8, 12, 3)"),
        (IMAGES[:, :0], "must be (B, h, w, 3), not (2, 0, 12, 3)"),
        (IMAGES[..., :2], "must be (B, h, w, 3), not (2, 8, 12, 2)"),
    ],
)
def test_other_pictures_are_refused(images: object, message: str) -> None:
    with pytest.raises(ImageValueError) as caught:
        base.check_images(images)  # type: ignore[arg-type]
    assert message in str(caught.value)


def test_other_masks_are_refused() -> None:
    with pytest.raises(ImageValueError, match="bool array .* not uint8"):
        base.check_masks(IMAGES, MASKS.astype(np.uint8))  # type: ignore[arg-type]
    with pytest.raises(ImageValueError, match=r"expected \(2, 8, 12\)"):
        base.check_masks(IMAGES, MASKS[:1])


@pytest.mark.parametrize("seed", [-1, 1.5, True, "1"])
def test_other_seeds_are_refused(seed: object) -> None:
    with pytest.raises(ConfigError, match="non-negative integer"):
        base.check_seed(seed)  # type: ignore[arg-type]


def test_a_pictures_seed_follows_from_content_and_seed() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    assert base.picture_seed(a, 1) == base.picture_seed(a.copy(), 1)
    assert base.picture_seed(a, 1) != base.picture_seed(a, 2)
    assert base.picture_seed(a, 1) != base.picture_seed(b, 1)
    assert base.picture_seed(a, 1) != base.picture_seed(a.reshape(4, 16, 3), 1)
    assert 0 <= base.picture_seed(a, 1) < 2**63


def test_only_the_region_is_replaced() -> None:
    masks = MASKS.copy()
    masks[1, 2:4, 3:5] = True
    out = base.keep_outside(IMAGES, IMAGES + 9, masks)
    assert (out[0] == 0).all()
    assert (out[1][masks[1]] == 9).all()
    assert (out[1][~masks[1]] == 0).all()


def test_region_only_generators_name_the_others() -> None:
    assert "transposed, nearest, shuffle, latent" in str(base.only_regions("telea"))
