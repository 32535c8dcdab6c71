"""Regions that stand twice in one picture: the cue a contrastive network cannot give.

A copied region has the same history as its surroundings, so features that tell histories apart are
blind to it. What gives it away is that it matches another place to the grain, if need be after a
turn, a change of scale or a reflection. Ours, built from textbook parts: candidates from keypoints
and from the power cepstrum (`copy_candidates`), each tried by local cross-correlation
(`copy_proof`), and weighed here.
"""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from tamperscope.methods.focal.copy_candidates import (
    NEAREST,
    find_matches,
    keypoint_candidates,
    offset_candidates,
)
from tamperscope.methods.focal.copy_proof import Evidence, Picture, examine, without_patterns

Mask = NDArray[np.bool_]

CUES = ("bias", "support", "density", "area", "agreement", "exact", "distance")
"""What the confidence is made of; see `Evidence`."""

WEIGHTS = (-2.264, 1.441, -1.822, -0.419, -2.352, 6.386, 0.698)
"""Their weights, as benchmarks/copied_regions.py fits them (results/copied-regions.json)."""

_COVERED = 0.8


@dataclass(frozen=True, eq=False)
class Copy:
    """A region and its copy.

    Attributes:
        first, second: bool (h, w), the two places. Which of the two was there first is not for this
            module to say.
        confidence: (0, 1), how likely it is a copy rather than likeness by chance or by design.
    """

    first: Mask
    second: Mask
    confidence: float


def find_copies(
    pixels: NDArray[np.uint8],
    *,
    max_pixels: int = 600_000,
    keypoint_pixels: int = 300_000,
    least: float = 0.1,
    grow: bool = True,
) -> list[Copy]:
    """The regions that stand in a picture twice, the surest first.

    Args:
        pixels: RGB uint8 (h, w, 3).
        max_pixels: larger pictures are shrunk to this many pixels first.
        keypoint_pixels: the same for the search for keypoints.
        least: those of a lower confidence are left out.
        grow: bring the places back to the picture's size; else they have that of the shrunk one.
    """
    h, w = pixels.shape[:2]
    grey = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    small = _shrunk(np.asarray(grey, np.uint8), max_pixels)
    if min(small.shape) < 3 * NEAREST:
        return []
    found = [
        Copy(e.first, e.second, sure)
        for e, sure in weighed(examined(small, keypoint_pixels))
        if sure >= least
    ]
    if not grow or small.shape == (h, w):
        return found
    return [replace(c, first=_grown(c.first, h, w), second=_grown(c.second, h, w)) for c in found]


def cues(evidence: Evidence) -> tuple[float, ...]:
    """The numbers that `CUES` name, without the bias."""
    return (
        math.log1p(evidence.support),
        evidence.density,
        math.log(evidence.area),
        evidence.agreement,
        evidence.exact,
        math.log(evidence.distance),
    )


def confidence(evidence: Evidence) -> float:
    """How likely a copy is, in (0, 1), by what speaks for it: a logistic regression."""
    value = WEIGHTS[0] + sum(w * c for w, c in zip(WEIGHTS[1:], cues(evidence), strict=True))
    return 1.0 / (1.0 + math.exp(-min(max(value, -30.0), 30.0)))


def examined(grey: NDArray[np.uint8], keypoint_pixels: int = 300_000) -> list[Evidence]:
    """Whatever agrees anywhere in a picture, uint8 (h, w), at any confidence; patterns do not."""
    few = _shrunk(grey, keypoint_pixels)
    both_ways = find_matches(few)
    # Keypoints were found in a smaller picture: everything else is in pixels of this one.
    scale = grey.shape[0] / few.shape[0], grey.shape[1] / few.shape[1]
    straight, mirrored = (matches.scaled(*scale) for matches in both_ways)
    picture = Picture.of(grey.astype(np.float32))
    tried = [(c, m) for m in (straight, mirrored) for c in keypoint_candidates(m)]
    tried += [(c, straight) for c in offset_candidates(picture.grey)]
    return without_patterns(examine(picture, c, m) for c, m in tried)


def weighed(found: list[Evidence]) -> list[tuple[Evidence, float]]:
    """With their confidence, the surest first; what a surer one covers by four fifths is left
    out.
    """
    ordered = sorted(((e, confidence(e)) for e in found), key=lambda pair: -pair[1])
    kept: list[tuple[Evidence, float]] = []
    for evidence, sure in ordered:
        either = evidence.first | evidence.second
        known = [(either & (k.first | k.second)).sum() / either.sum() for k, _ in kept]
        if max(known, default=0.0) < _COVERED:
            kept.append((evidence, sure))
    return kept


def _shrunk(grey: NDArray[np.uint8], pixels: int) -> NDArray[np.uint8]:
    h, w = grey.shape
    scale = math.sqrt(pixels / (h * w))
    if scale >= 1:
        return grey
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)


def _grown(mask: Mask, h: int, w: int) -> Mask:
    soft = cv2.resize(mask.astype(np.float32), (w, h), interpolation=cv2.INTER_LINEAR)
    return np.asarray(soft > 0.5)
