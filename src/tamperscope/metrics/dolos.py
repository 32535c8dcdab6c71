"""Numbers as the DOLOS code computes them (Tantaru, Oneata, Oneata: WACV 2024).

Two resolutions: ``lg`` brings the map to the size of the ground truth, ``sm`` the ground truth to
the grid of the map. Forged is what is *strictly above* the threshold, and a picture in which
neither map nor ground truth is forged has IoU 1. The published IoU is ``lg``.

The original hands Pillow (rows, columns) where it wants (columns, rows): right for square pictures
only, as all of that data set are. Here both sides are named, so that any picture is right.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from tamperscope.errors import ConfigError, DataError
from tamperscope.metrics import image_level
from tamperscope.metrics.pixel import confusion

THRESHOLD = 0.5
"""Fixed, never chosen: the search on validation pictures is switched off in the original too."""

REPEATS = 5
SEED = 1337
REAL = 255


@dataclass(frozen=True, kw_only=True)
class DolosScores:
    """One picture's numbers in [0, 1]; ``pbca`` is the pixel-wise binary classification accuracy,
    the share of pixels (``lg``) or cells (``sm``) that are right."""

    iou_lg: float
    iou_sm: float
    pbca_lg: float
    pbca_sm: float


@dataclass(frozen=True, kw_only=True)
class Redraws:
    """Average precision over balanced redraws, in [0, 1].

    values: one per redraw. count: pictures of each class in a redraw.
    """

    values: tuple[float, ...]
    count: int

    @property
    def mean(self) -> float:
        """Over the redraws."""
        return float(np.mean(self.values))

    @property
    def std(self) -> float:
        """Over the redraws, of the population (n, not n - 1); published as mean ± 2 std."""
        return float(np.std(self.values))


def forged_where_not_real(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The ground truth of a mask file: forged wherever the red channel is not exactly 255.

    Stricter than the rule for training, where half grey and above is real.

    Args:
        mask: (h, w, 3) RGB or (h, w) grey.

    Returns:
        bool (h, w), True = forged.

    Raises:
        DataError: another shape or type.
    """
    if mask.dtype != np.uint8 or not (mask.ndim == 2 or (mask.ndim == 3 and mask.shape[2] >= 3)):
        raise DataError(
            f"a mask must be uint8 (h, w) or (h, w, 3), got {mask.dtype} {mask.shape}; convert it"
        )
    red = mask if mask.ndim == 2 else mask[..., 0]
    return np.asarray(red != REAL)


def resize_map(prediction: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.float32]:
    """A map (h, w) at ``size`` = (h, w) by Pillow's bicubic; values may leave [0, 1].

    Other bicubics differ by up to .04 (Pillow's kernel has a = -0.5, torch's -0.75).

    Raises:
        DataError: not a map of finite floats.
    """
    _check_map(prediction)
    h, w = size
    picture = PILImage.fromarray(np.asarray(prediction, np.float32))
    return np.asarray(picture.resize((w, h), PILImage.Resampling.BICUBIC), np.float32)


def reduce_truth(truth: NDArray[np.bool_], grid: tuple[int, int]) -> NDArray[np.bool_]:
    """A ground truth (h, w) at ``grid`` = (h, w), the nearest pixel of each cell's centre.

    Raises:
        DataError: not bool (h, w).
    """
    _check_truth(truth)
    h, w = grid
    picture = PILImage.fromarray(truth.astype(np.uint8))
    return np.asarray(picture.resize((w, h), PILImage.Resampling.NEAREST)).astype(np.bool_)


def score_map(
    prediction: NDArray[np.floating], truth: NDArray[np.bool_], *, threshold: float = THRESHOLD
) -> DolosScores:
    """Score one map, at the network's own grid (h, w), against a ground truth of the picture's
    size.

    Raises:
        DataError: not a map of finite floats, or a ground truth that is not bool (h, w).
    """
    _check_truth(truth)
    h, w = truth.shape
    large = resize_map(prediction, (h, w)) > threshold
    small, grid_h, grid_w = prediction > threshold, *prediction.shape
    reduced = reduce_truth(truth, (grid_h, grid_w))
    return DolosScores(
        iou_lg=iou(large, truth),
        iou_sm=iou(small, reduced),
        pbca_lg=pbca(large, truth),
        pbca_sm=pbca(small, reduced),
    )


def iou(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Intersection over union of the forged class, 1 where nothing is forged in either.

    Raises:
        DataError: not bool, or shapes that differ.
    """
    counts = confusion(predicted, truth)
    union = counts.tp + counts.fp + counts.fn
    return counts.tp / union if union else 1.0


def pbca(predicted: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Pixel-wise binary classification accuracy: the share of pixels that are right.

    Raises:
        DataError: not bool, or shapes that differ.
    """
    return confusion(predicted, truth).accuracy()


def batch_iou(
    predictions: NDArray[np.floating],
    truths: NDArray[np.bool_],
    *,
    threshold: float = THRESHOLD,
) -> float:
    """The IoU in the training logs of the original: one per *batch*, all its pixels pooled.

    Only for reading those logs: it depends on which pictures share a batch, and one picture with a
    large region outweighs many with small ones.

    Args:
        predictions, truths: (b, h, w), of one size.
        threshold: forged is strictly above it.

    Raises:
        DataError: shapes that differ, a ground truth that is not bool.
    """
    return iou(np.asarray(predictions > threshold), truths)


def balanced_precision(
    real: Sequence[float],
    fake: Sequence[float],
    *,
    repeats: int = REPEATS,
    seed: int = SEED,
) -> Redraws:
    """Average precision of image scores, on as many real as fake pictures, redrawn ``repeats``
    times without replacement.

    Follows the original's dice: Python's generator seeded once, in each repeat first the real and
    then the fake pictures. The order of the scores decides what is drawn, so keep them sorted by
    name (the original takes the order of the file system, which no two machines share).

    Args:
        real, fake: image scores, rising with suspicion.
        repeats: how often to draw.
        seed: of the draws.

    Raises:
        DataError: a class without pictures, or NaN.
        ConfigError: fewer than one repeat.
    """
    if repeats < 1:
        raise ConfigError(f"repeats is {repeats}: draw at least once")
    if not real or not fake:
        raise DataError(
            f"detection needs real and fake pictures, got {len(real)} and {len(fake)}; "
            "add a set of the other kind"
        )
    dice = random.Random(seed)
    count = min(len(real), len(fake))
    labels = np.repeat([False, True], count)
    values = []
    for _ in range(repeats):
        scores = dice.sample(list(real), count) + dice.sample(list(fake), count)
        values.append(image_level.average_precision(np.asarray(scores, np.float64), labels))
    return Redraws(values=tuple(values), count=count)


def _check_map(prediction: NDArray[np.floating]) -> None:
    if prediction.ndim != 2 or not np.issubdtype(prediction.dtype, np.floating):
        raise DataError(
            f"a map must be floats (h, w), got {prediction.dtype} {prediction.shape}; pass one "
            "picture's map"
        )
    if not np.isfinite(prediction).all():
        raise DataError("the map holds NaN or infinity, which has no side of the threshold")


def _check_truth(truth: NDArray[np.bool_]) -> None:
    if truth.dtype != np.bool_ or truth.ndim != 2:
        raise DataError(
            f"ground truth must be bool (h, w), True = forged, got {truth.dtype} {truth.shape}; "
            "compare first"
        )
