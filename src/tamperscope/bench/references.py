"""Predictors that know nothing of forensics, or next to nothing: what a method has to beat.

Their decisions are fixed in advance and were not tuned on any test set. Forged regions tend to lie
near the middle of a picture, so that a mere disc there already scores well above chance.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from tamperscope.bench.protocols import Prediction
from tamperscope.errors import unknown
from tamperscope.image import Image
from tamperscope.perturb import jpeg

ELA_QUALITY = 90
ELA_WINDOW = 9
TEXTURE_WINDOW = 9
SALIENCY_KERNEL = 5
NOISE_WINDOW = 31
NOISE_FLOOR = 0.1
NOISE_MASK = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
OTSU_BINS = 256


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A named predictor; call it with an Image. rule: the map and the decision, in words."""

    name: str
    title: str
    rule: str
    function: Callable[[Image], Prediction]

    def __call__(self, image: Image) -> Prediction:
        """The prediction for one picture, arrays (h, w) of the picture's size."""
        return self.function(image)

    def describe(self) -> dict[str, Any]:
        """The rule, for records."""
        return {"rule": self.rule}


def empty(image: Image) -> Prediction:
    """Nothing is forged."""
    return Prediction(np.zeros(image.size, np.float32), np.zeros(image.size, np.bool_), 0.0)


def full(image: Image) -> Prediction:
    """Everything is forged."""
    return Prediction(np.ones(image.size, np.float32), np.ones(image.size, np.bool_), 1.0)


def centre_box(image: Image) -> Prediction:
    """The central box of half the height and half the width is forged."""
    y, x = _from_centre(image.size)
    mask = (np.abs(y) <= 0.5) & (np.abs(x) <= 0.5)
    return Prediction(mask.astype(np.float32), mask, 0.5)


def centre_distance(image: Image) -> Prediction:
    """1 - distance to the centre / half the diagonal; forged from 0.5 on."""
    h, w = image.size
    y, x = _from_centre(image.size)
    score = 1.0 - np.hypot(y * h, x * w) / np.hypot(h, w)
    return Prediction(score.astype(np.float32), score >= 0.5, 0.5)


def error_level_analysis(image: Image) -> Prediction:
    """Error-level analysis (Krawetz, 2007): the change under one more JPEG compression.

    Map: mean over channels of |picture - picture saved at quality 90|, averaged over 9 x 9 pixels
    (one JPEG block and its seam), divided by its maximum. Mask: above Otsu's threshold of that map.
    Image score: Otsu's separability, the share of variance between the two classes.
    """
    again = jpeg(image.pixels, ELA_QUALITY)
    change = np.abs(image.pixels.astype(np.float32) - again).mean(axis=2)
    return _decided(uniform_filter(change, ELA_WINDOW, mode="nearest"))


def texture(image: Image) -> Prediction:
    """The standard deviation of luma within 9 x 9 pixels: pasted objects are often busy."""
    luma = cv2.cvtColor(image.pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    mean = uniform_filter(luma, TEXTURE_WINDOW, mode="nearest")
    square = uniform_filter(luma * luma, TEXTURE_WINDOW, mode="nearest")
    return _decided(np.sqrt(np.maximum(square - mean * mean, 0)))


def colour_saliency(image: Image) -> Prediction:
    """Frequency-tuned saliency (Achanta et al., CVPR 2009): the distance in CIELAB between the
    slightly blurred picture and its mean colour.
    """
    lab = cv2.cvtColor(image.pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    blurred = cv2.GaussianBlur(lab, (SALIENCY_KERNEL, SALIENCY_KERNEL), 0)
    mean = lab.reshape(-1, 3).mean(axis=0, dtype=np.float64).astype(np.float32)
    return _decided(np.sqrt(np.square(blurred - mean).sum(axis=2)))


def noise_level(image: Image) -> Prediction:
    """How far the noise within 31 x 31 pixels is from the picture's usual noise.

    Noise: mean absolute response of luma to the difference of two Laplacians (Immerkaer, 1996).
    Map: the distance of its logarithm from the median.
    """
    luma = cv2.cvtColor(image.pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    response = np.abs(cv2.filter2D(luma, -1, NOISE_MASK, borderType=cv2.BORDER_REFLECT_101))
    sigma = np.sqrt(np.pi / 2) / 6 * uniform_filter(response, NOISE_WINDOW, mode="nearest")
    level = np.log(sigma + NOISE_FLOOR)
    return _decided(np.abs(level - np.median(level)))


def _decided(level: NDArray[np.float32]) -> Prediction:
    """Map: ``level`` over its maximum; mask: above Otsu's threshold; score: Otsu's separability."""
    found = np.asarray(level, np.float32)
    score = np.clip(found / max(float(found.max()), 1e-6), 0.0, 1.0)
    threshold, separability = otsu(score)
    return Prediction(score, score > threshold, separability)


def otsu(values: NDArray[np.float32]) -> tuple[float, float]:
    """Threshold and separability (both in [0, 1]) of values in [0, 1] (Otsu, 1979, eq. 12).

    On 256 bins; "above" means greater than the threshold. Values in one bin give (1, 0): nothing is
    above.
    """
    counts, edges = np.histogram(values, bins=OTSU_BINS, range=(0.0, 1.0))
    share = counts / counts.sum()
    middle = (edges[:-1] + edges[1:]) / 2
    below, partial = np.cumsum(share), np.cumsum(share * middle)
    mean = partial[-1]
    variance = float((share * (middle - mean) ** 2).sum())
    inside = (below > 0) & (below < 1)
    if variance <= 0 or not inside.any():
        return 1.0, 0.0
    between = np.zeros_like(below)
    b = below[inside]
    between[inside] = (mean * b - partial[inside]) ** 2 / (b * (1 - b))
    best = int(between.argmax())
    return float(edges[best + 1]), float(min(between[best] / variance, 1.0))


def _from_centre(size: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Row and column offsets of pixel centres from the picture's centre, -1 to 1 at its edges."""
    h, w = size
    y = (2 * np.arange(h) + 1) / h - 1
    x = (2 * np.arange(w) + 1) / w - 1
    return y[:, None], x[None, :]


_OTSU = "forged above Otsu's threshold; score: Otsu's separability"

_ALL = (
    Reference(
        name="empty", title="Empty mask", rule="map 0, nothing forged, score 0", function=empty
    ),
    Reference(
        name="full", title="Full mask", rule="map 1, everything forged, score 1", function=full
    ),
    Reference(
        name="centre-box",
        title="Central box",
        rule="the central box of half the height and half the width is forged, score 0.5",
        function=centre_box,
    ),
    Reference(
        name="centre-distance",
        title="Distance to the centre",
        rule="map 1 - distance to the centre / half the diagonal, forged from 0.5 on, score 0.5",
        function=centre_distance,
    ),
    Reference(
        name="ela",
        title="Error-level analysis, quality 90",
        rule=(
            "map: mean over channels of the absolute change under JPEG quality 90 (4:2:0), mean "
            "over 9 x 9 pixels, divided by its maximum; forged above Otsu's threshold; score: "
            "Otsu's separability"
        ),
        function=error_level_analysis,
    ),
    Reference(
        name="texture",
        title="Texture",
        rule="map: standard deviation of luma over 9 x 9 pixels, divided by its maximum; " + _OTSU,
        function=texture,
    ),
    Reference(
        name="saliency",
        title="Colour saliency",
        rule=(
            "map: distance in CIELAB of the picture, blurred by 5 x 5 pixels, from its mean "
            "colour, divided by its maximum; " + _OTSU
        ),
        function=colour_saliency,
    ),
    Reference(
        name="noise-level",
        title="Noise level",
        rule=(
            "map: distance of the logarithm of the noise level (Immerkaer's mask, mean over 31 x "
            "31 pixels, floor 0.1) from its median, divided by its maximum; " + _OTSU
        ),
        function=noise_level,
    ),
)
REFERENCES: MappingProxyType[str, Reference] = MappingProxyType({r.name: r for r in _ALL})


def reference(name: str) -> Reference:
    """The reference of that name; UnknownNameError otherwise."""
    if name not in REFERENCES:
        raise unknown("reference", name, REFERENCES)
    return REFERENCES[name]
