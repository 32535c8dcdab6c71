"""Whether a candidate is a copy: the picture is laid over itself by the candidate's map, and local
cross-correlation says where the two agree to the grain.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tamperscope.clustering.postprocess import fill_holes
from tamperscope.methods.focal.copy_candidates import (
    NEAREST,
    TOLERANCE,
    Candidate,
    Matches,
    Plane,
    Points,
)

Mask = NDArray[np.bool_]

_WINDOW = 15
# Cells of a region agree at least so much; where there are corners, at least `_PROOF`, on at least
# `_AREA` pixels. Low, as `confidence` weighs what is found.
_AGREES, _PROOF, _CORNERS, _AREA = 0.5, 0.65, 1.5, 200
_CLOSING = 9
# Tiles and facades agree with themselves nearly everywhere: a place and its "copy" are then mostly
# the same. A copy can cover a part of its source, not half of it; and what fills two thirds of a
# picture together with its likeness, as a reflection does, is no copy either.
_SAME, _MOST = 0.5, 0.67


@dataclass(frozen=True, eq=False)
class Evidence:
    """What speaks for a copy.

    Attributes:
        first, second: bool (h, w), the two places.
        support: keypoint matches between the two.
        density: those per keypoint of the place with fewer keypoints, [0, 1].
        area: pixels of the smaller place.
        agreement: mean correlation over it, [0, 1].
        exact: share of it with a correlation above .9.
        distance: between the two, in pixels (root mean square).
        pattern: no copy but a pattern (tiles, a facade, a reflection) that agrees with itself.
    """

    first: Mask
    second: Mask
    support: int
    density: float
    area: int
    agreement: float
    exact: float
    distance: float
    pattern: bool = False


@dataclass(frozen=True, eq=False)
class Picture:
    """What candidates of one picture are tried on, float32 (h, w) each: grey values, cornerness,
    detail, and the detail's local power.
    """

    grey: Plane
    corners: Plane
    detail: Plane
    power: Plane

    @classmethod
    def of(cls, grey: Plane) -> "Picture":
        """From grey values in [0, 255]."""
        box = (_WINDOW, _WINDOW)
        gx, gy = cv2.Sobel(grey, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(grey, cv2.CV_32F, 0, 1) / 8
        xx, yy = cv2.boxFilter(gx * gx, -1, box), cv2.boxFilter(gy * gy, -1, box)
        xy = cv2.boxFilter(gx * gy, -1, box)
        # The structure tensor's smaller eigenvalue: along a straight edge everything matches
        # itself, so only detail that varies in both directions can prove a copy.
        corners = (xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy * xy)
        return cls(grey, np.asarray(corners, np.float32), *_detail(grey))


def examine(
    picture: Picture, candidate: Candidate, matches: Matches | None = None
) -> Evidence | None:
    """What the picture says for ``candidate``; None where nothing agrees.

    Args:
        matches: keypoint matches, mirrored ones for a mirrored candidate.
    """
    scale = abs(candidate.a)
    matrix = candidate.matrix
    # The finer of the two places is shrunk onto the coarser one: the other way round there would
    # be detail to compare that was never there.
    inverse = scale > 1
    if inverse:
        matrix, scale = _inverse(matrix), 1 / scale
    found = _agreeing(picture, matrix, scale)
    if found is None:
        return None
    agreeing, agreement, exact, distance = found
    region = _filled(agreeing)
    source = _carried(region, matrix)
    pattern = _is_pattern(region, source, matrix)
    if pattern:
        # Without what stands in front of it, which may well have been copied.
        region, source = agreeing, _carried(agreeing, matrix)
    elif _largely_same(region, source):
        region = _one_side(region, matrix)
        source = _carried(region, matrix)
    first, second = (region, source) if inverse else (source, region)
    support, density = _support(first, second, candidate, matches)
    # Of the smaller place: the larger one has more pixels, but no more to compare.
    area = min(int(first.sum()), int(second.sum()))
    if area == 0:
        return None
    return Evidence(first, second, support, density, area, agreement, exact, distance, pattern)


def without_patterns(found: Iterable[Evidence | None]) -> list[Evidence]:
    """What speaks for copies: none of the patterns, and nothing that lies mostly within one, as a
    pattern agrees with itself at any number of places.
    """
    seen = [e for e in found if e is not None]
    copies = [e for e in seen if not e.pattern]
    if len(copies) == len(seen) or not copies:
        return copies
    patterned = np.logical_or.reduce([e.first | e.second for e in seen if e.pattern])
    return [e for e in copies if patterned[e.first | e.second].mean() <= _SAME]


def _agreeing(
    picture: Picture, matrix: NDArray[np.float64], scale: float
) -> tuple[Mask, float, float, float] | None:
    """The region whose pixels look like what ``matrix`` carries there, its mean agreement, the
    share of it that agrees almost exactly, and how far it was carried.
    """
    grey, (h, w) = picture.grey, picture.grey.shape
    source = grey
    if scale < 0.8:
        sigma = 0.5 * math.sqrt(1 / scale**2 - 1)
        source = np.asarray(cv2.GaussianBlur(grey, (0, 0), sigma), np.float32)
    carried = cv2.warpAffine(source, matrix, (w, h), borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.warpAffine(np.ones((h, w), np.float32), matrix, (w, h)) > 0.99
    likeness = _correlation(picture, np.asarray(carried, np.float32))
    apart = _apart(matrix, (h, w))
    allowed = inside & (apart > NEAREST**2)
    good = (likeness > _AGREES) & allowed
    proof = (likeness > _PROOF) & (picture.corners > _CORNERS) & allowed
    # Most candidates prove nothing, and what follows is half of the work.
    if np.count_nonzero(proof) < _AREA:
        return None
    # Proof needs corners; once a region is proven, its smooth parts belong to it too.
    count, parts = cv2.connectedComponents(good.astype(np.uint8), connectivity=4)
    proven = np.bincount(parts[proof], minlength=count) >= _AREA
    proven[0] = False
    if not proven.any():
        return None
    region = proven[parts]
    values = likeness[region]
    agreement, exact = float(values.mean()), float((values > 0.9).mean())
    return region, agreement, exact, math.sqrt(float(apart[region].mean()))


def _is_pattern(region: Mask, source: Mask, matrix: NDArray[np.float64]) -> bool:
    """Whether a region and where it came from are what a pattern has in common with itself."""
    if np.count_nonzero(region | source) > _MOST * region.size:
        return True
    largest = next(_parts(region))
    if _largely_same(largest, _carried(largest, matrix)):
        return True
    # A row of windows: each lands on the next. Half a turn and a reflection bring a copy back to
    # its source as well, so with them the same is no pattern.
    return _largely_same(region, source) and not _undoes_itself(matrix, region)


def _undoes_itself(matrix: NDArray[np.float64], region: Mask) -> bool:
    rows, columns = np.nonzero(region)
    points = np.stack([columns, rows, np.ones(len(rows))])
    back = matrix @ np.concatenate([matrix @ points, points[2:]]) - points[:2]
    return bool(np.sqrt((back**2).sum(0).mean()) < TOLERANCE)


def _one_side(region: Mask, matrix: NDArray[np.float64]) -> Mask:
    """One of the two places where ``matrix`` takes each to the other, as half a turn and a
    reflection do: what agrees is then both.
    """
    side, other = np.zeros_like(region), np.zeros_like(region)
    for part in _parts(region):
        if (part & other).sum() * 2 <= part.sum():
            side |= part
            other |= _carried(part, matrix)
    return side


def _largely_same(one: Mask, other: Mask) -> bool:
    return bool((one & other).sum() > _SAME * min(one.sum(), other.sum()))


def _parts(region: Mask) -> Iterator[Mask]:
    """The connected parts of a region that is not empty, the largest first."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8))
    order = np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable")
    return (labels == 1 + int(i) for i in order)


def _detail(grey: Plane) -> tuple[Plane, Plane]:
    """Fine detail (h, w), and its local power."""
    detail = grey - cv2.GaussianBlur(grey, (0, 0), 2.5)
    power = cv2.boxFilter(detail * detail, -1, (_WINDOW, _WINDOW))
    return np.asarray(detail, np.float32), np.asarray(power, np.float32)


def _correlation(picture: Picture, carried: Plane) -> Plane:
    """Local normalized cross-correlation of the detail of both, (h, w), in [-1, 1]."""
    detail, power = _detail(carried)
    # Rounding leaves tiny negative powers where a plane is flat.
    scale = np.sqrt(np.maximum(picture.power * power, 1e-6))
    found = cv2.boxFilter(picture.detail * detail, -1, (_WINDOW, _WINDOW)) / scale
    return np.asarray(found, np.float32)


def _apart(matrix: NDArray[np.float64], size: tuple[int, int]) -> Plane:
    """Squared distance of every pixel to where it comes from, (h, w)."""
    back = _inverse(matrix) - np.eye(2, 3)
    back = back.astype(np.float32)
    y = np.arange(size[0], dtype=np.float32)[:, None]
    x = np.arange(size[1], dtype=np.float32)
    dx = back[0, 0] * x + back[0, 1] * y + back[0, 2]
    dy = back[1, 0] * x + back[1, 1] * y + back[1, 2]
    return np.asarray(dx * dx + dy * dy, np.float32)


def _inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(cv2.invertAffineTransform(matrix), np.float64)


def _carried(region: Mask, matrix: NDArray[np.float64]) -> Mask:
    """Where ``region`` came from."""
    h, w = region.shape
    back = cv2.warpAffine(
        region.astype(np.float32), matrix, (w, h), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    return np.asarray(back > 0.5)


def _filled(region: Mask) -> Mask:
    """Closed by an ellipse, as if the picture went on, and without holes."""
    wide = np.pad(region, _CLOSING).astype(np.uint8)
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_CLOSING, _CLOSING))
    closed = cv2.morphologyEx(wide, cv2.MORPH_CLOSE, ellipse)
    return fill_holes(np.asarray(closed[_CLOSING:-_CLOSING, _CLOSING:-_CLOSING] > 0))


def _support(
    first: Mask, second: Mask, candidate: Candidate, matches: Matches | None
) -> tuple[int, float]:
    """Matches within the places that agree with the candidate, and those per keypoint."""
    if matches is None or not len(matches.here):
        return 0, 0.0
    here, there = matches.here, matches.there
    agree = np.abs(candidate.apply(here) - there) < TOLERANCE
    inside = int(_at(first | second, here[agree]).sum())
    keypoints = min(int(_at(place, matches.keypoints).sum()) for place in (first, second))
    return inside, min(1.0, inside / max(keypoints, 1))


def _at(mask: Mask, points: Points) -> Mask:
    h, w = mask.shape
    x = np.clip(points.real.astype(np.intp), 0, w - 1)
    y = np.clip(points.imag.astype(np.intp), 0, h - 1)
    return np.asarray(mask[y, x])
