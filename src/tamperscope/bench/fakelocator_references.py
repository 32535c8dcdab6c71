"""What can be had without a trained network: maps that a fakeness map has to beat.

Faces are aligned and generators change the same parts of all of them, so that a mean map says more
than one would think. Constants and scales are fitted on training pairs of the generator and variant
they are measured on, never on test pictures. None of them tells fakes from real pictures.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from tamperscope.bench.protocols import Prediction
from tamperscope.bench.references import Reference
from tamperscope.data.pair import FacePair, read_pair
from tamperscope.image import Image

Map = NDArray[np.float32]

FITTED = 200
"""Training pairs that are looked at, evenly spaced, at most."""
_GRID = (64, 64)
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class Fit(NamedTuple):
    """What training pairs say: mean (64, 64) of their maps, and the scale of the Laplacian's
    magnitude with the least squared error."""

    mean: Map
    scale: float
    pairs: int


def fit(pairs: Sequence[FacePair]) -> Fit | None:
    """From training pairs; None without any."""
    if not pairs:
        return None
    total = np.zeros(_GRID, np.float64)
    product = square = 0.0
    for pair in pairs:
        pixels, truth = read_pair(pair)
        edges = laplacian(pixels)
        total += _resized(truth, _GRID)
        product += float(np.vdot(edges, truth))
        square += float(np.vdot(edges, edges))
    mean = (total / len(pairs)).astype(np.float32)
    return Fit(mean=mean, scale=product / square if square else 0.0, pairs=len(pairs))


def laplacian(pixels: NDArray[np.uint8]) -> Map:
    """Magnitude of the Laplacian (4 neighbours) of a picture's luma / 255, float32 (h, w)."""
    grey = pixels.astype(np.float32) @ _LUMA / np.float32(255)
    return np.abs(cv2.Laplacian(grey, cv2.CV_32F)).astype(np.float32)


def references(found: Fit | None) -> list[Reference]:
    """The zero map, and with a fit the constant, mean and Laplacian ones."""
    zero = _reference("zero", "Zero map", "map 0", lambda image: np.zeros(image.size, np.float32))
    if found is None:
        return [zero]
    level = float(found.mean.mean())
    digest = hashlib.sha256(found.mean.tobytes()).hexdigest()
    where = f"of {found.pairs} training pairs of the same generator and variant"
    return [
        zero,
        _reference(
            "constant",
            "Constant map",
            f"map {level:.6g}, the mean {where}",
            lambda image: np.full(image.size, level, np.float32),
        ),
        _reference(
            "mean-map",
            "Mean training map",
            f"the mean map {where} at 64 x 64, sha256 {digest}",
            lambda image: _resized(found.mean, image.size),
        ),
        _reference(
            "laplacian",
            "Laplacian magnitude",
            f"|Laplacian of the luma| x {found.scale:.6g}, the least squares {where}",
            lambda image: np.clip(laplacian(image.pixels) * np.float32(found.scale), 0, 1),
        ),
    ]


def _reference(name: str, title: str, rule: str, function: Callable[[Image], Map]) -> Reference:
    def answer(image: Image) -> Prediction:
        found = function(image)
        return Prediction(found, np.zeros(image.size, np.bool_), float(found.mean()))

    return Reference(name=name, title=title, rule=rule, function=answer)


def _resized(values: Map, size: tuple[int, int]) -> Map:
    smaller = size[0] <= values.shape[0] and size[1] <= values.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(values, (size[1], size[0]), interpolation=how), np.float32)
