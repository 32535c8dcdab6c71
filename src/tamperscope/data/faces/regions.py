"""Which region of a face is regenerated: chosen, and dilated where small, by a seed alone."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tamperscope.face_parsing.parts import Region, present


@dataclass(frozen=True, eq=False, kw_only=True)
class ChosenRegion:
    """A region of one face: mask (h, w) bool, True = to be regenerated; dilation in pixels."""

    region: Region
    mask: NDArray[np.bool_]
    dilation: int


def seeded(*key: object) -> np.random.Generator:
    """A random generator that follows from the parts of ``key`` alone."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def choose_region(
    labels: NDArray[np.uint8],
    regions: Sequence[Region],
    *,
    key: tuple[object, ...],
    variant: int = 0,
    small: float = 0.05,
    dilation: tuple[int, int] = (1, 15),
    least: int = 32,
) -> ChosenRegion | None:
    """Draw one of the regions that a face has, and its mask.

    The variants of one face take different regions as long as there are any left.

    Args:
        labels: (h, w) label map numbered as `PARTS`.
        regions: the regions to choose from, all as likely.
        key: seed and name of the face; the choice follows from it and ``variant`` alone.
        variant: 0, 1, 2, ... for several manipulations of one face.
        small: regions covering less than this share of the picture are dilated.
        dilation: range of the radius in pixels, both ends included.
        least: regions of fewer pixels count as absent.

    Returns:
        The choice, or None for a face with none of the regions.
    """
    available = present(labels, regions, least)
    if not available:
        return None
    order = seeded(*key, "region").permutation(len(available))
    region = available[int(order[variant % len(available)])]
    mask = region.mask(labels)
    if mask.mean() >= small:
        return ChosenRegion(region=region, mask=mask, dilation=0)
    radius = int(seeded(*key, "dilation", variant).integers(dilation[0], dilation[1] + 1))
    return ChosenRegion(region=region, mask=dilate(mask, radius), dilation=radius)


def dilate(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """``mask`` grown by a disc of ``radius`` pixels; unchanged for 0."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    grown: NDArray[np.bool_] = cv2.dilate(mask.astype(np.uint8), disc).astype(bool)
    return grown
