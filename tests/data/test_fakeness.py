from pathlib import Path

import numpy as np
import pytest

from tamperscope.data.fakeness import FAKENESS_KINDS, FakenessKind, fakeness_map
from tamperscope.errors import ImageValueError, UnknownNameError

REFERENCE = np.load(Path(__file__).parents[1] / "reference" / "fakeness_ref.npz")
NAMES: dict[FakenessKind, str] = {
    "gray-of-difference": "gray_of_absdiff",
    "difference-of-gray": "absdiff_of_gray",
    "mean-difference": "mean_absdiff",
}


@pytest.mark.parametrize("kind", FAKENESS_KINDS)
def test_the_three_variants_against_the_reference(kind: FakenessKind) -> None:
    made = fakeness_map(REFERENCE["real"], REFERENCE["fake"], kind=kind)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, REFERENCE[NAMES[kind]], rtol=0, atol=1e-6)
    back = fakeness_map(REFERENCE["fake"], REFERENCE["real"], kind=kind)
    np.testing.assert_array_equal(back, made)


def test_the_first_variant_is_the_default() -> None:
    default = fakeness_map(REFERENCE["real"], REFERENCE["fake"])
    kind = fakeness_map(REFERENCE["real"], REFERENCE["fake"], kind="gray-of-difference")
    np.testing.assert_array_equal(default, kind)


@pytest.mark.parametrize("kind", FAKENESS_KINDS)
def test_the_range_is_zero_to_one(kind: FakenessKind) -> None:
    black, white = np.zeros((3, 5, 3), np.uint8), np.full((3, 5, 3), 255, np.uint8)
    assert fakeness_map(black, white, kind=kind).min() == pytest.approx(1, abs=1e-6)
    assert fakeness_map(black, white, kind=kind).max() <= 1
    assert not fakeness_map(white, white, kind=kind).any()


def test_colours_that_cancel_out_tell_the_variants_apart() -> None:
    real, fake = np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2, 3), np.uint8)
    real[..., 0], fake[..., 2] = 114, 255
    difference = (0.299 * 114 + 0.114 * 255) / 255
    gray = abs(0.299 * 114 - 0.114 * 255) / 255
    assert fakeness_map(real, fake)[0, 0] == pytest.approx(difference, abs=1e-6)
    found = fakeness_map(real, fake, kind="difference-of-gray")[0, 0]
    assert found == pytest.approx(gray, abs=1e-6)
    found = fakeness_map(real, fake, kind="mean-difference")[0, 0]
    assert found == pytest.approx((114 + 255) / 3 / 255, abs=1e-6)


def test_real_pictures_and_fakes_without_a_real_one() -> None:
    picture = REFERENCE["real"]
    assert fakeness_map(picture, None).shape == picture.shape[:2]
    assert not fakeness_map(picture, None).any()
    assert (fakeness_map(None, picture) == 1).all()


def test_what_cannot_be_compared() -> None:
    picture = np.zeros((4, 6, 3), np.uint8)
    with pytest.raises(ImageValueError, match="needs a picture: give the real one or the fake"):
        fakeness_map(None, None)
    with pytest.raises(ImageValueError, match="real picture has 4 x 6 pixels and the fake 4 x 5"):
        fakeness_map(picture, picture[:, :5])
    with pytest.raises(ImageValueError, match="the fake picture must be uint8 .*, not float64"):
        fakeness_map(picture, picture / 255)
    with pytest.raises(ImageValueError, match=r"the real picture must be \(h, w, 3\) RGB, not"):
        fakeness_map(picture[..., 0], picture)
    with pytest.raises(UnknownNameError, match="'mean-diference'; did you mean 'mean-difference'"):
        fakeness_map(picture, picture, kind="mean-diference")  # type: ignore[arg-type]
