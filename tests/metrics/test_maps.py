"""Against scikit-image 0.26 (stored numbers, and live), and by hand."""

import json
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from tamperscope.errors import ConfigError, DataError
from tamperscope.metrics import maps

REFERENCE = Path(__file__).parents[1] / "reference"
NUMBERS: dict[str, Any] = json.loads((REFERENCE / "fakeness_ref.json").read_text())
ZERO = np.zeros((16, 16))


@pytest.fixture(scope="module")
def pair() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    with np.load(REFERENCE / "fakeness_ref.npz") as file:
        return file["pred"], file["gray_of_absdiff"]


def field(seed: int, size: tuple[int, int] = (20, 31)) -> NDArray[np.float64]:
    return np.random.default_rng(seed).random(size)


@pytest.mark.parametrize(
    ("key", "function", "options"),
    [
        ("coss", maps.coss, {}),
        ("psnr_range1", maps.psnr, {}),
        ("ssim_gaussian_11_1.5", maps.ssim, {}),
        ("ssim_skimage_default_range1", maps.ssim, {"window": "uniform"}),
        ("l1", maps.mae, {}),
        ("l2", maps.mse, {}),
    ],
)
def test_the_stored_numbers(pair: Any, key: str, function: Any, options: dict[str, Any]) -> None:
    assert function(*pair, **options) == pytest.approx(NUMBERS[key], rel=1e-9)


@pytest.mark.parametrize("window", ["gaussian", "uniform"])
@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_ssim_and_psnr_of_scikit_image(
    window: Literal["gaussian", "uniform"], data_range: float
) -> None:
    a, b = field(1) * data_range, field(2) * data_range
    more = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = structural_similarity(
        a, b, data_range=data_range, **(more if window == "gaussian" else {})
    )
    assert maps.ssim(a, b, window=window, data_range=data_range) == pytest.approx(expected)
    assert maps.psnr(a, b, data_range=data_range) == pytest.approx(
        peak_signal_noise_ratio(a, b, data_range=data_range)
    )


def test_coss_is_blind_to_a_common_factor_and_nothing_else_is() -> None:
    a = field(3)
    assert maps.coss(a / 2, a) == pytest.approx(1)
    assert maps.psnr(a / 2, a) < 20
    assert maps.ssim(a / 2, a) < 0.9


def test_coss_by_hand() -> None:
    assert maps.coss(np.array([[1.0, 0.0]]), np.array([[1.0, 1.0]])) == pytest.approx(0.5**0.5)
    assert maps.coss(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])) == 0
    # The squares of such small numbers vanish in double precision.
    tiny = np.array([[1e-200, 1e-200]])
    assert maps.coss(tiny, tiny) == pytest.approx(1)


def test_all_zero_maps_follow_the_rules() -> None:
    half = np.full_like(ZERO, 0.5)
    assert (maps.coss(ZERO, ZERO), maps.ssim(ZERO, ZERO)) == (1, 1)
    assert (maps.coss(half, ZERO), maps.coss(ZERO, half)) == (0, 0)
    assert maps.psnr(ZERO, ZERO) == math.inf
    assert maps.psnr(half, ZERO) == pytest.approx(20 * math.log10(2))
    assert 0 <= maps.ssim(half, ZERO) < 0.01


@pytest.mark.parametrize("function", [maps.coss, maps.psnr, maps.ssim, maps.mae, maps.mse])
def test_equal_maps_are_perfect_and_order_does_not_matter(function: Any) -> None:
    a, b = field(4), field(5)
    best = {maps.psnr: math.inf, maps.mae: 0, maps.mse: 0}.get(function, 1)
    assert function(a, a) == pytest.approx(best)
    assert function(a, b) == pytest.approx(function(b, a))
    single = function(a.astype(np.float32), b.astype(np.float32))
    assert single == pytest.approx(function(a, b), rel=1e-5)


@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        (np.zeros((16, 16), np.uint8), "the prediction must be a map of floats .*got uint8"),
        (np.zeros((16, 16, 1)), "the prediction must be a map of floats"),
        (np.zeros((0, 16)), "the prediction must be a map of floats"),
        (np.full((16, 16), np.nan), "the prediction holds NaN or infinity; fix what made it"),
        (np.zeros((16, 15)), "differ in size; resize one first"),
    ],
)
def test_what_is_no_pair_of_maps(prediction: Any, message: str) -> None:
    for function in (maps.coss, maps.psnr, maps.ssim):
        with pytest.raises(DataError, match=message):
            function(prediction, ZERO)


def test_options_out_of_range() -> None:
    with pytest.raises(DataError, match="SSIM needs maps of at least 11 x 11, got 10 x 16"):
        maps.ssim(np.zeros((10, 16)), np.zeros((10, 16)))
    assert maps.ssim(np.zeros((10, 16)), np.zeros((10, 16)), window="uniform") == 1
    with pytest.raises(ConfigError, match="unknown window 'box'; use 'gaussian' or 'uniform'"):
        maps.ssim(ZERO, ZERO, window="box")  # type: ignore[arg-type]
    for wrong in (0, -1, math.nan, math.inf):
        with pytest.raises(ConfigError, match="data_range must be a positive number"):
            maps.psnr(ZERO, ZERO, data_range=wrong)
