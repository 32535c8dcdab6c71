"""Regions that stand twice in one picture: the cue a contrastive network cannot give.

A copied region has the same history as its surroundings, so features that tell histories apart are
blind to it. What gives it away is that it matches another place to the grain. Ours, built from
textbook parts: a copy is an echo, and the power cepstrum (Bogert, Healy, Tukey 1963) has a peak at
an echo's delay, here the copy's offset; local cross-correlation at that offset then says where.
Finds copies that were only moved. Rotated, rescaled or mirrored ones it does not find.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import fft

from tamperscope.clustering.postprocess import fill_holes

Plane = NDArray[np.float32]

# Side of the correlation window, and the least distance between a region and its copy, in pixels.
_WINDOW = 15
_NEAREST = 20
# Leaves, bricks and fences repeat themselves too, but mostly at short distances: there a peak has
# to stand out further. In deviations, pixels, and pixels of proof; set on held-back photos.
_PEAK, _PEAK_NEAR, _NEAR = 7.0, 16.0, 64
_AREA = 700
_CLOSING = 5


@dataclass(frozen=True)
class _Layers:
    """What matching works on, each (h, w): fine detail, the same at even strength, cornerness."""

    detail: Plane
    even: Plane
    corners: Plane


def duplicate_map(
    pixels: NDArray[np.uint8], *, max_pixels: int = 1_000_000, offsets: int = 8
) -> NDArray[np.float32]:
    """Which pixels belong to a region that stands in the picture twice.

    Args:
        pixels: RGB uint8 (h, w, 3).
        max_pixels: larger pictures are shrunk to this many pixels first.
        offsets: how many candidate offsets are examined.

    Returns:
        float32 (h, w) in [0, 1]: 1 in a region and in its copy, 0 elsewhere. Which of the two was
        there first is not for this function to say.
    """
    h, w = pixels.shape[:2]
    scale = min(1.0, (max_pixels / (h * w)) ** 0.5)
    size = (max(1, round(h * scale)), max(1, round(w * scale)))
    if min(size) < 3 * _NEAREST:
        return np.zeros((h, w), np.float32)
    grey = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    if size != (h, w):
        grey = cv2.resize(grey, size[::-1], interpolation=cv2.INTER_AREA)
    layers = _layers(grey.astype(np.float32))
    found = np.zeros(size, bool)
    for dy, dx in _offsets(layers.even, offsets):
        region = _matching(layers, dy, dx)
        found |= region | _shifted(region, dy, dx)
    out = found.astype(np.float32)
    if size != (h, w):
        out = np.asarray(cv2.resize(out, (w, h), interpolation=cv2.INTER_LINEAR), np.float32)
    return out


def _layers(grey: Plane) -> _Layers:
    box = (_WINDOW, _WINDOW)
    detail = grey - cv2.GaussianBlur(grey, (0, 0), 1.5)
    even = detail / np.sqrt(cv2.boxFilter(detail * detail, -1, box) + 6.0)
    gx, gy = cv2.Sobel(grey, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(grey, cv2.CV_32F, 0, 1) / 8
    xx, yy = cv2.boxFilter(gx * gx, -1, box), cv2.boxFilter(gy * gy, -1, box)
    xy = cv2.boxFilter(gx * gy, -1, box)
    # The structure tensor's smaller eigenvalue: along a straight edge everything matches itself,
    # so only detail that varies in both directions can prove a copy.
    corners = (xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy * xy)
    return _Layers(detail, even, np.asarray(corners, np.float32))


def _offsets(even: Plane, count: int) -> list[tuple[int, int]]:
    """Up to ``count`` offsets (dy, dx) at which the cepstrum stands out."""
    h, w = even.shape
    shape = (fft.next_fast_len(2 * h, real=True), fft.next_fast_len(2 * w, real=True))
    threads = torch.get_num_threads()
    power = np.abs(fft.rfft2(even, shape, workers=threads)) ** 2
    floor = 0.05 * float(np.median(power)) + 1e-12
    cepstrum = fft.fftshift(fft.irfft2(np.log(power + floor), shape, workers=threads))
    cy, cx = shape[0] // 2, shape[1] // 2
    yy, xx = np.ogrid[-cy : shape[0] - cy, -cx : shape[1] - cx]
    inside = (np.abs(yy) < h - 16) & (np.abs(xx) < w - 16) & (yy * yy + xx * xx >= _NEAREST**2)
    # A cepstrum is symmetric: one half says it all.
    inside[:cy] = False
    values = np.where(inside, cepstrum, 0.0)
    spread = float(np.median(np.abs(values[inside]))) / 0.6745 if inside.any() else 0.0
    found: list[tuple[int, int]] = []
    while spread > 0 and len(found) < count:
        y, x = (int(i) for i in np.unravel_index(int(np.argmax(values)), values.shape))
        if values[y, x] < _PEAK * spread:
            break
        near = (y - cy) ** 2 + (x - cx) ** 2 < _NEAR**2
        if not near or values[y, x] >= _PEAK_NEAR * spread:
            found.append((y - cy, x - cx))
        values[max(0, y - 3) : y + 4, max(0, x - 3) : x + 4] = 0.0
    return found


def _overlap(length: int, shift: int) -> tuple[slice, slice]:
    """Where two lines of equal length overlap when the second one is shifted."""
    first = slice(max(0, -shift), min(length, length - shift))
    return first, slice(first.start + shift, first.stop + shift)


def _matching(layers: _Layers, dy: int, dx: int) -> NDArray[np.bool_]:
    """Pixels (h, w) whose surroundings stand again at (y + dy, x + dx)."""
    h, w = layers.detail.shape
    (ya, yb), (xa, xb) = _overlap(h, dy), _overlap(w, dx)
    a, b = layers.detail[ya, xa], layers.detail[yb, xb]
    box = (_WINDOW, _WINDOW)
    power = cv2.boxFilter(a * a, -1, box) * cv2.boxFilter(b * b, -1, box)
    likeness = cv2.boxFilter(a * b, -1, box) / np.sqrt(np.maximum(power, 1e-6))
    corners = np.minimum(layers.corners[ya, xa], layers.corners[yb, xb])
    proof = (likeness > 0.8) & (corners > 4.0)
    out = np.zeros((h, w), bool)
    # Proof needs corners; once a region is proven, its smooth parts belong to it too.
    count, regions = cv2.connectedComponents((likeness > 0.65).astype(np.uint8), connectivity=4)
    proven = np.bincount(regions[proof], minlength=count) >= _AREA
    proven[0] = False
    # Most offsets prove nothing, and what follows is most of the work.
    if proven.any():
        out[ya, xa] = fill_holes(_closed(proven[regions]))
    return out


def _closed(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Closed by a diamond of radius 5, as if the picture went on."""
    wide = np.pad(region, _CLOSING + 1).astype(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    closed = cv2.morphologyEx(wide, cv2.MORPH_CLOSE, cross, iterations=_CLOSING)
    inner = slice(_CLOSING + 1, -_CLOSING - 1)
    return np.asarray(closed[inner, inner] > 0)


def _shifted(region: NDArray[np.bool_], dy: int, dx: int) -> NDArray[np.bool_]:
    (ya, yb), (xa, xb) = _overlap(region.shape[0], dy), _overlap(region.shape[1], dx)
    out = np.zeros_like(region)
    out[yb, xb] = region[ya, xa]
    return out
