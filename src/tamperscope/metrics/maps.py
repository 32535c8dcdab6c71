"""Similarity of two real-valued maps, as FakeLocator is judged: COSS, PSNR and SSIM.

Prediction first, ground truth second, both float (h, w) with values in [0, ``data_range``]. A map
of grey differences has no threshold and no positive class, so nothing is counted here.

All-zero maps need rules, because a real picture's map is all zero:

======  ==========================  ======================  ==========================
number  both zero                   one of them zero        equal, not zero
======  ==========================  ======================  ==========================
COSS    1                           0                       1
PSNR    infinity                    finite                  infinity
SSIM    1                           finite                  1
======  ==========================  ======================  ==========================

COSS therefore judges a real picture all or nothing, whatever little the map holds: average it over
fakes and give PSNR or the mean absolute error for real pictures.
"""

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, uniform_filter

from tamperscope.errors import ConfigError, DataError

Array = NDArray[np.floating]
Window = Literal["gaussian", "uniform"]

GAUSSIAN_SIGMA = 1.5
_SIDES = {"gaussian": 11, "uniform": 7}
_K1, _K2 = 0.01, 0.03


def coss(prediction: Array, truth: Array) -> float:
    """Cosine similarity of the two maps as vectors, <a, b> / (|a| |b|), in [0, 1].

    Blind to a common factor: a map at half the strength scores the same. 1 where both maps are all
    zero, 0 where only one is.

    Raises:
        DataError: not two maps of finite floats of one size.
    """
    a, b = _checked(prediction, truth)
    lengths = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    if min(lengths) == 0:
        return float(max(lengths) == 0)
    cosine = float(np.vdot(a / lengths[0], b / lengths[1]))
    return min(max(cosine, -1.0), 1.0)


def psnr(prediction: Array, truth: Array, *, data_range: float = 1.0) -> float:
    """Peak signal-to-noise ratio in dB, 10 log10(data_range^2 / mean squared error).

    Infinity for equal maps.

    Raises:
        DataError: as `coss`. ConfigError: a data_range that is not positive.
    """
    _check_range(data_range)
    error = mse(prediction, truth)
    return math.inf if error == 0 else 10 * math.log10(data_range**2 / error)


def ssim(
    prediction: Array, truth: Array, *, window: Window = "gaussian", data_range: float = 1.0
) -> float:
    """Mean structural similarity (Wang et al., IEEE TIP 2004, eq. 13), at most 1.

    Means and variances are taken in a window around every pixel that has a whole one:

    - ``gaussian``: 11 x 11, sigma 1.5, population variances; the paper's own;
    - ``uniform``: 7 x 7, sample variances (n - 1); what scikit-image computes by default.

    Args:
        prediction, truth: (h, w), each side at least the window's.
        window: as above. The publications on fakeness maps do not say which.
        data_range: the largest possible value, 1 or 255.

    Raises:
        DataError: as `coss`, or maps smaller than the window.
        ConfigError: an unknown window, or a data_range that is not positive.
    """
    _check_range(data_range)
    if window not in _SIDES:
        raise ConfigError(f"unknown window {window!r}; use 'gaussian' or 'uniform'")
    a, b = _checked(prediction, truth)
    side = _SIDES[window]
    if min(a.shape) < side:
        raise DataError(
            f"SSIM needs maps of at least {side} x {side}, got {a.shape[0]} x {a.shape[1]}; "
            "resize both, or leave it out"
        )
    similarity = _similarity(a, b, window, data_range)
    edge = side // 2
    return float(similarity[edge:-edge, edge:-edge].mean())


def mae(prediction: Array, truth: Array) -> float:
    """Mean absolute error; DataError as for `coss`."""
    a, b = _checked(prediction, truth)
    return float(np.abs(a - b).mean())


def mse(prediction: Array, truth: Array) -> float:
    """Mean squared error; DataError as for `coss`."""
    a, b = _checked(prediction, truth)
    return float(np.square(a - b).mean())


def _similarity(
    a: NDArray[np.float64], b: NDArray[np.float64], window: Window, data_range: float
) -> NDArray[np.float64]:
    def local(values: NDArray[np.float64]) -> NDArray[np.float64]:
        if window == "uniform":
            return np.asarray(uniform_filter(values, _SIDES[window]))
        radius = _SIDES[window] // 2
        return np.asarray(gaussian_filter(values, GAUSSIAN_SIGMA, truncate=radius / GAUSSIAN_SIGMA))

    count = _SIDES[window] ** 2
    unbiased = count / (count - 1) if window == "uniform" else 1.0
    mean_a, mean_b = local(a), local(b)
    var_a = unbiased * (local(a * a) - mean_a**2)
    var_b = unbiased * (local(b * b) - mean_b**2)
    covariance = unbiased * (local(a * b) - mean_a * mean_b)
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * covariance + c2) / (var_a + var_b + c2)
    return np.asarray(luminance * structure)


def _checked(prediction: Array, truth: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    for name, values in (("prediction", prediction), ("ground truth", truth)):
        if values.ndim != 2 or not values.size or not np.issubdtype(values.dtype, np.floating):
            raise DataError(
                f"the {name} must be a map of floats (h, w), got {values.dtype} {values.shape}; "
                "pass one picture's map, divided by its largest possible value"
            )
        if not np.isfinite(values).all():
            raise DataError(f"the {name} holds NaN or infinity; fix what made it")
    if prediction.shape != truth.shape:
        raise DataError(
            f"prediction {prediction.shape} and ground truth {truth.shape} differ in size; "
            "resize one first"
        )
    return prediction.astype(np.float64), truth.astype(np.float64)


def _check_range(data_range: float) -> None:
    if not data_range > 0 or math.isinf(data_range):
        raise ConfigError(f"data_range must be a positive number, got {data_range}")
