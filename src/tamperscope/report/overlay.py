"""Pictures of a result: heat map, mask contour, overlay. Functions on arrays; nothing is saved.

Pictures are RGB uint8 (h, w, 3), maps float (h, w) in [0, 1], masks bool (h, w), True = forged.
"""

import io
import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL import ImageDraw

from tamperscope.errors import ResultError
from tamperscope.report._inferno import INFERNO_HEX
from tamperscope.result import Localization

__all__ = [
    "CONTOUR_INSIDE",
    "CONTOUR_OUTSIDE",
    "color_bar",
    "contour_thickness",
    "draw_contour",
    "draw_pairs",
    "encode_jpeg",
    "encode_png",
    "heatmap",
    "overlay",
    "pairs_of",
    "shrink",
    "shrink_mask",
]

RGB = NDArray[np.uint8]
CONTOUR_INSIDE = (0, 0, 0)
"""Black line just inside the mask, where the heat is light."""
CONTOUR_OUTSIDE = (255, 255, 255)
"""White line just outside the mask, where the picture is dimmed."""

PAIR = (120, 220, 255)
"""Light blue frames of places that are alike: no colour of the heat."""

Box = tuple[float, ...]
Pair = tuple[Box, Box]

_DIM = 0.75
_HEAT_OPACITY = 0.6
_STRIP_PIXELS = 1 << 20


def heatmap(score_map: NDArray[np.floating[Any]]) -> RGB:
    """Color a map with the perceptually uniform "inferno" table.

    Args:
        score_map: float (h, w) in [0, 1]; 1 = most suspicious = lightest color.

    Returns:
        RGB uint8 (h, w, 3).

    Raises:
        ResultError: the map is not two-dimensional, not finite or leaves [0, 1].
    """
    _check_map(score_map)
    levels = np.empty(score_map.shape, np.uint8)
    for rows in _strips(score_map.shape):
        levels[rows] = np.rint(score_map[rows] * 255.0)
    return _table()[levels]


def overlay(
    pixels: RGB,
    score_map: NDArray[np.floating[Any]],
    mask: NDArray[np.bool_],
    pairs: Sequence[Pair] = (),
) -> RGB:
    """Lay the heat and the mask contour over a slightly dimmed, partly greyed picture.

    The heat is the more opaque the higher the score, so the picture stays readable where nothing
    was found. Works in strips, so that a large picture is never held in floating point.

    Args:
        pixels: RGB uint8 (h, w, 3).
        score_map: float (h, w) in [0, 1].
        mask: bool (h, w), True = forged. An empty mask draws no contour.
        pairs: places that are alike, as by `pairs_of`.

    Returns:
        RGB uint8 (h, w, 3).

    Raises:
        ResultError: the three do not have the same height and width, or the map is not valid.
    """
    _check_map(score_map)
    if pixels.shape != (*score_map.shape, 3) or mask.shape != score_map.shape:
        raise ResultError(
            f"picture {pixels.shape}, map {score_map.shape} and mask {mask.shape} differ in size; "
            "pass arrays of one picture: (h, w, 3), (h, w) and (h, w)"
        )
    out = np.empty_like(pixels)
    table = _table().astype(np.float32)
    for rows in _strips(score_map.shape):
        scores = score_map[rows].astype(np.float32)
        base = _dimmed(pixels[rows])
        heat = table[np.rint(scores * 255.0).astype(np.uint8)]
        weight = (_HEAT_OPACITY * scores)[..., None]
        out[rows] = np.rint(base + weight * (heat - base))
    return draw_pairs(draw_contour(out, mask), pairs)


def draw_contour(pixels: RGB, mask: NDArray[np.bool_], thickness: int | None = None) -> RGB:
    """Outline the mask by a double line: black just inside its edge, white just outside.

    Two lines of opposite lightness can be told from any background and without color vision. A
    mask that touches the border of the picture is outlined along the border too.

    Args:
        pixels: RGB uint8 (h, w, 3); not changed.
        mask: bool (h, w), True = forged.
        thickness: width of each line in pixels, >= 1; by default it grows with the picture.

    Returns:
        RGB uint8 (h, w, 3).

    Raises:
        ResultError: mask and picture differ in size, or the thickness is below 1.
    """
    if pixels.shape[:2] != mask.shape:
        raise ResultError(f"mask {mask.shape} does not fit the picture {pixels.shape[:2]}")
    width = contour_thickness(mask.shape) if thickness is None else thickness
    if width < 1:
        raise ResultError(f"contour thickness {width} is below 1 pixel")
    out = pixels.copy()
    if not mask.any():
        return out
    box = _bounding_box(mask, margin=width)
    region = mask[box]
    out[box][_dilate(region, width) & ~region] = CONTOUR_OUTSIDE
    out[box][region & ~_erode(mask, box, width)] = CONTOUR_INSIDE
    return out


def pairs_of(result: Localization, size: tuple[int, ...]) -> list[Pair]:
    """The copied regions that the notes of a result name, for a picture of ``size`` (h, w): two
    boxes (left, top, right, bottom) each.
    """
    named: Any = result.provenance.notes.get("copied")
    height, width = result.mask.shape
    scale = np.array([size[1] / width, size[0] / height])
    pairs: list[Pair] = []
    for entry in named if isinstance(named, list) else []:
        try:
            boxes = np.array(entry["boxes"], float).reshape(2, 2, 2)
        except (KeyError, TypeError, ValueError, OverflowError):
            # A result from a file may hold anything.
            continue
        if not np.isfinite(boxes).all():
            continue
        boxes = np.clip(boxes, 0, (width, height))
        first, second = (tuple(float(v) for v in (box * scale).flat) for box in boxes)
        pairs.append((first, second))
    return pairs


def draw_pairs(pixels: RGB, pairs: Sequence[Pair]) -> RGB:
    """Frame both places of each pair and join the frames: light blue lines with black ones below.

    Args:
        pixels: RGB uint8 (h, w, 3); not changed.
        pairs: boxes as by `pairs_of`.

    Returns:
        RGB uint8 (h, w, 3).
    """
    if not pairs:
        return pixels
    picture = PILImage.fromarray(pixels)
    pen, width = ImageDraw.Draw(picture), contour_thickness(pixels.shape[:2])
    for colour, thick in (((0, 0, 0), 3 * width), (PAIR, width)):
        for first, second in pairs:
            a, b = _facing(first, second), _facing(second, first)
            pen.line([a, b], fill=colour, width=thick)
            for left, top, right, bottom in (first, second):
                corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
                pen.line(corners, fill=colour, width=thick)
    return np.array(picture)


def _facing(box: Box, other: Box) -> tuple[float, float]:
    """Where the line from the middle of ``box`` to that of ``other`` leaves ``box``."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    dx, dy = (other[0] + other[2]) / 2 - x, (other[1] + other[3]) / 2 - y
    reach = [
        half / abs(d)
        for half, d in (((box[2] - box[0]) / 2, dx), ((box[3] - box[1]) / 2, dy))
        if d != 0
    ]
    share = min([1.0, *reach])
    return x + share * dx, y + share * dy


def contour_thickness(size: tuple[int, ...]) -> int:
    """Line width in pixels for a picture of size (h, w): about 1/300 of its geometric mean side."""
    return max(1, round(math.sqrt(size[0] * size[1]) / 300))


def color_bar(width: int = 256, height: int = 16) -> RGB:
    """The color table as a picture (height, width, 3), score 0 at the left and 1 at the right."""
    ramp = np.broadcast_to(np.linspace(0.0, 1.0, width), (height, width))
    return heatmap(ramp)


def shrink(picture: RGB, max_side: int) -> RGB:
    """Scale uint8 (h, w, 3) or (h, w) down by area averaging until no side exceeds max_side."""
    size = _shrunk_size(picture.shape, max_side)
    if size == picture.shape[:2]:
        return picture
    small = PILImage.fromarray(picture).resize(size[::-1], PILImage.Resampling.BOX)
    return np.asarray(small)


def shrink_mask(mask: NDArray[np.bool_], max_side: int) -> NDArray[np.bool_]:
    """Scale a mask (h, w) down like `shrink`; regions too small to win a pixel are still shown."""
    size = _shrunk_size(mask.shape, max_side)
    if size == mask.shape:
        return mask
    grey = PILImage.fromarray(mask.astype(np.uint8) * 255)
    share = np.asarray(grey.resize(size[::-1], PILImage.Resampling.BOX))
    majority: NDArray[np.bool_] = share >= 128
    return majority if majority.any() or not mask.any() else share > 0


def encode_png(picture: NDArray[Any]) -> bytes:
    """PNG bytes of RGB uint8 (h, w, 3), grey uint8 (h, w), or bool (h, w) written as 0/255."""
    array = picture.astype(np.uint8) * 255 if picture.dtype == np.bool_ else picture
    buffer = io.BytesIO()
    PILImage.fromarray(array).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def encode_jpeg(picture: RGB, quality: int = 88) -> bytes:
    """JPEG bytes of RGB uint8 (h, w, 3)."""
    buffer = io.BytesIO()
    PILImage.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


@cache
def _table() -> RGB:
    table = np.frombuffer(bytes.fromhex(INFERNO_HEX), np.uint8).reshape(256, 3)
    return table


def _check_map(score_map: NDArray[np.floating[Any]]) -> None:
    if score_map.ndim != 2 or score_map.size == 0:
        raise ResultError(f"a score map has shape (h, w) with h, w >= 1, got {score_map.shape}")
    low, high = float(score_map.min()), float(score_map.max())
    if not (low >= 0.0 and high <= 1.0):
        raise ResultError(f"score map must lie in [0, 1], got values from {low:g} to {high:g}")


def _strips(size: tuple[int, ...]) -> list[slice]:
    step = max(1, _STRIP_PIXELS // size[1])
    return [slice(top, min(top + step, size[0])) for top in range(0, size[0], step)]


def _dimmed(pixels: RGB) -> NDArray[np.float32]:
    values = pixels.astype(np.float32)
    grey = values @ np.array([0.299, 0.587, 0.114], np.float32)
    mixed = _DIM * (0.6 * values + 0.4 * grey[..., None])
    return mixed.astype(np.float32, copy=False)


def _shrunk_size(shape: tuple[int, ...], max_side: int) -> tuple[int, int]:
    height, width = shape[0], shape[1]
    scale = min(1.0, max_side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _bounding_box(mask: NDArray[np.bool_], margin: int) -> tuple[slice, slice]:
    sides = []
    for axis in (1, 0):
        hits = np.flatnonzero(mask.any(axis=axis))
        length = mask.shape[1 - axis]
        sides.append(slice(max(0, hits[0] - margin), min(length, hits[-1] + 1 + margin)))
    return sides[0], sides[1]


def _dilate(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """Dilation by a square of side 2 radius + 1, in O(log radius) passes per axis."""
    out = mask.copy()
    for axis in (0, 1):
        view = out.swapaxes(0, axis)
        reached = 0
        while reached < radius:
            step = min(max(1, reached), radius - reached)
            before = view.copy()
            view[step:] |= before[:-step]
            view[:-step] |= before[step:]
            reached += step
    return out


def _erode(mask: NDArray[np.bool_], box: tuple[slice, slice], radius: int) -> NDArray[np.bool_]:
    """Erosion of mask[box]; everything beyond the border of the picture counts as not forged."""
    padded = np.pad(~mask[box], radius, constant_values=True)
    return ~_dilate(padded, radius)[radius:-radius, radius:-radius]
