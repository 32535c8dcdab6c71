"""Clean a mask, bring masks and maps to the picture's size, and score pixels of a clustering."""

from dataclasses import dataclass
from typing import Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tamperscope.errors import ClusteringError, ConfigError

Resampling = Literal["nearest", "bilinear"]

_Pixel = TypeVar("_Pixel", np.uint8, np.float32)

_HALF = np.float32(0.5)
_EIGHT = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True, kw_only=True)
class PostprocessConfig:
    """What :func:`clean_mask` does, in this order; the defaults change nothing.

    opening, closing: radius in mask pixels of the disc (every pixel whose centre is within the
        radius; below 1: nothing). Outside the picture counts as forged for erosion and opening, so
        that a region cut by the picture's edge is not eaten from there.
    fill_holes: pristine areas that do not reach the edge (4-connected) become forged.
    dilation, erosion: radii as above.
    min_region_px, min_region_fraction: 8-connected regions smaller than this many pixels, or than
        this share of the mask, are removed.
    largest_component: only the largest region stays; of equal ones the first in reading order.

    Raises:
        ConfigError: a negative radius or size, or a share outside [0, 1].
    """

    opening: float = 0.0
    closing: float = 0.0
    fill_holes: bool = False
    dilation: float = 0.0
    erosion: float = 0.0
    min_region_px: int = 0
    min_region_fraction: float = 0.0
    largest_component: bool = False

    def __post_init__(self) -> None:
        for name in ("opening", "closing", "dilation", "erosion", "min_region_px"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ConfigError(
                    f"{name} must be a number of pixels, 0 or more, got {getattr(self, name)}"
                )
        if not 0 <= self.min_region_fraction <= 1:
            raise ConfigError(
                f"min_region_fraction must lie in [0, 1], got {self.min_region_fraction}"
            )


def clean_mask(mask: NDArray[np.bool_], config: PostprocessConfig) -> NDArray[np.bool_]:
    """Apply the steps of ``config`` to a bool mask (h, w); returns a new array.

    Raises:
        ClusteringError: not a bool array (h, w).
    """
    _check_mask(mask)
    mask = closing(opening(mask, config.opening), config.closing)
    if config.fill_holes:
        mask = fill_holes(mask)
    mask = erosion(dilation(mask, config.dilation), config.erosion)
    smallest = max(config.min_region_px, config.min_region_fraction * mask.size)
    mask = remove_small_regions(mask, smallest)
    return largest_component(mask) if config.largest_component else mask


def fill_holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``mask`` with its holes: background that does not reach the edge by its four neighbours."""
    background = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    _, labels = cv2.connectedComponents(background, connectivity=4)
    return np.asarray(labels[1:-1, 1:-1] != labels[0, 0])


def dilation(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Every pixel within ``radius`` of a forged one."""
    if radius < 1 or not mask.any():
        return mask.copy()
    # A distance transform costs the same for every radius; a structuring element does not.
    near: NDArray[np.bool_] = ndimage.distance_transform_edt(~mask) <= radius
    return near


def erosion(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Every pixel farther than ``radius`` from any pristine one of the picture."""
    if radius < 1 or mask.all():
        return mask.copy()
    deep: NDArray[np.bool_] = ndimage.distance_transform_edt(mask) > radius
    return deep


def opening(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Erosion, then dilation: removes what the disc does not fit into."""
    return dilation(erosion(mask, radius), radius)


def closing(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Dilation, then erosion: fills gaps the disc does not fit into."""
    if radius < 1:
        return mask.copy()
    # The margin lets erosion take back, at the picture's edge too, what dilation added.
    margin = int(radius) + 1
    padded = np.pad(mask, margin)
    return erosion(dilation(padded, radius), radius)[margin:-margin, margin:-margin]


def remove_small_regions(mask: NDArray[np.bool_], smallest: float) -> NDArray[np.bool_]:
    """Without the 8-connected regions of fewer than ``smallest`` pixels."""
    regions, sizes = _regions(mask)
    return (sizes >= smallest)[regions] & mask


def largest_component(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Only the largest 8-connected region; of equal ones the first in reading order."""
    regions, sizes = _regions(mask)
    sizes[0] = 0
    largest: NDArray[np.bool_] = mask & (regions == sizes.argmax())
    return largest


def resize_mask(
    mask: NDArray[np.bool_], size: tuple[int, int], *, method: Resampling = "bilinear"
) -> NDArray[np.bool_]:
    """A bool mask (h, w) at another (height, width).

    ``bilinear`` interpolates 0/255 bytes without antialiasing and keeps what is above 127, as the
    released code of FOCAL does; ``nearest`` copies the grid cell a pixel centre falls into.

    Raises:
        ClusteringError: not a bool array (h, w).
        ConfigError: unknown method, or a size below 1.
    """
    _check_mask(mask)
    resized: NDArray[np.bool_] = _resize(mask.astype(np.uint8) * 255, size, method) > 127
    return resized


def resize_map(
    score_map: NDArray[np.floating], size: tuple[int, int], *, method: Resampling = "bilinear"
) -> NDArray[np.float32]:
    """A float map (h, w) at another (height, width), float32; values stay inside their range.

    Raises:
        ClusteringError: not a float array (h, w).
        ConfigError: unknown method, or a size below 1.
    """
    if score_map.ndim != 2 or not np.issubdtype(score_map.dtype, np.floating):
        raise ClusteringError(
            f"a map must be a float array (h, w), got {score_map.dtype} {score_map.shape}"
        )
    values = score_map.astype(np.float32)
    # Interpolation weights may sum to 1 + 1e-7.
    resized: NDArray[np.float32] = _resize(values, size, method).clip(values.min(), values.max())
    return resized


def margin_map(
    features: NDArray[np.floating],
    forged: NDArray[np.floating],
    pristine: NDArray[np.floating],
) -> NDArray[np.float32]:
    """The heat map of a clustering: how much nearer a pixel is to the forged than to the pristine.

    With cos_f and cos_p the cosine to the nearest forged and the nearest pristine centre, the score
    is (cos_f - cos_p + 2) / 4: 0.5 on the boundary, 1 only for a pixel on a forged centre with the
    pristine one opposite. It is a similarity, not a probability. Where a role has no centre, its
    cosine counts as -1: with nothing forged the score is (1 - cos_p) / 4, below 0.5 everywhere and
    growing with the distance from the pristine centre; with nothing pristine it is above 0.5.

    The boundary is that between the *centres*: a density-based mask, or one that was cleaned up,
    need not be the set above 0.5.

    Args:
        features: (..., C) float, any scale; a zero vector has cosine 0 to everything.
        forged, pristine: (k, C) centres, k >= 0.

    Returns:
        float32 (...) in [0, 1].

    Raises:
        ClusteringError: shapes that do not fit, values that are not finite, or no centre at all.
    """
    for name, centres in (("forged", forged), ("pristine", pristine)):
        if centres.ndim != 2 or centres.shape[1] != features.shape[-1]:
            raise ClusteringError(
                f"{name} centres must be (k, {features.shape[-1]}), got {centres.shape}"
            )
    if len(forged) + len(pristine) == 0:
        raise ClusteringError(
            "a margin needs at least one centre; pass the mean feature as pristine"
        )
    if not all(np.isfinite(array).all() for array in (features, forged, pristine)):
        raise ClusteringError("features and centres must be finite; check the network's output")
    unit = _unit(features)
    margin = _nearest_cosine(unit, forged) - _nearest_cosine(unit, pristine)
    # A pixel exactly opposite the only centre must not land on the boundary.
    low = np.nextafter(_HALF, np.float32(1)) if len(pristine) == 0 else np.float32(0)
    high = np.nextafter(_HALF, np.float32(0)) if len(forged) == 0 else np.float32(1)
    scores: NDArray[np.float32] = ((margin + 2) / 4).astype(np.float32).clip(low, high)
    return scores


def _nearest_cosine(
    unit: NDArray[np.float32], centres: NDArray[np.floating]
) -> NDArray[np.float32]:
    if len(centres) == 0:
        return np.full(unit.shape[:-1], -1, dtype=np.float32)
    cosines: NDArray[np.float32] = (unit @ _unit(centres).T).max(-1)
    return cosines


def _unit(rows: NDArray[np.floating]) -> NDArray[np.float32]:
    norms = np.linalg.norm(rows.astype(np.float64), axis=-1, keepdims=True)
    unit: NDArray[np.float32] = (rows / np.where(norms > 0, norms, 1)).astype(np.float32)
    return unit


def _regions(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Region numbers (h, w), 0 outside, and the pixels of each number."""
    regions, count = ndimage.label(mask, structure=_EIGHT)
    return regions, np.bincount(regions.ravel(), minlength=count + 1)


def _resize(array: NDArray[_Pixel], size: tuple[int, int], method: Resampling) -> NDArray[_Pixel]:
    height, width = size
    if height < 1 or width < 1:
        raise ConfigError(f"size must be (height, width), each at least 1, got {size}")
    if method not in ("nearest", "bilinear"):
        raise ConfigError(f"unknown method {method!r}; use 'nearest' or 'bilinear'")
    # cv2's plain nearest takes the cell of the pixel's corner, which shifts the mask.
    flag = cv2.INTER_LINEAR if method == "bilinear" else cv2.INTER_NEAREST_EXACT
    resized = cv2.resize(array, (width, height), interpolation=flag)
    return np.asarray(resized, dtype=array.dtype)


def _check_mask(mask: NDArray[np.bool_]) -> None:
    if mask.ndim != 2 or mask.dtype != np.bool_ or mask.size == 0:
        raise ClusteringError(
            f"a mask must be a non-empty bool array (h, w), got {mask.dtype} {mask.shape}"
        )
