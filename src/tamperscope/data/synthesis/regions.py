"""Where a forgery goes: free shapes, object silhouettes and their placement, all as bool masks (h,
w), True = forged.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

CENTRED = 0.6
"""Share of the forgeries that are placed around the middle of the picture, unless told."""


def blob(
    rng: np.random.Generator, size: tuple[int, int], fraction: float, *, centred: float = CENTRED
) -> Mask:
    """An irregular connected region: thresholded smooth noise, of about ``fraction`` of the
    picture, placed by `placement`.
    """
    h, w = size
    gh, gw = max(4, h // 8), max(4, w // 8)
    noise = rng.standard_normal((gh, gw)).astype(np.float32)
    sigma = float(rng.uniform(1.2, 3.5))
    smooth = np.asarray(cv2.GaussianBlur(noise, (0, 0), sigma), np.float32)
    smooth /= max(float(smooth.std()), 1e-6)
    cy, cx = placement(rng, size, centred=centred)
    yy, xx = np.mgrid[:gh, :gw]
    distance = np.hypot((yy + 0.5) / gh * h - cy, (xx + 0.5) / gw * w - cx)
    radius = np.sqrt(fraction * h * w / np.pi)
    field = smooth * float(rng.uniform(0.15, 0.6)) - distance / max(radius, 1.0)
    field = cv2.resize(field.astype(np.float32), (w, h), interpolation=cv2.INTER_CUBIC)
    level = np.quantile(field, 1.0 - fraction)
    return largest_piece(field > level)


def polygon(
    rng: np.random.Generator, size: tuple[int, int], fraction: float, *, centred: float = CENTRED
) -> Mask:
    """A star-shaped polygon, an ellipse or a (rotated) rectangle: what selection tools draw."""
    h, w = size
    cy, cx = placement(rng, size, centred=centred)
    radius = float(np.sqrt(fraction * h * w / np.pi))
    kind = rng.choice(["star", "ellipse", "rectangle"], p=[0.5, 0.25, 0.25])
    stretch = float(np.exp(rng.uniform(-0.6, 0.6)))
    canvas = np.zeros((h, w), np.uint8)
    if kind == "star":
        n = int(rng.integers(5, 14))
        angles = np.sort(rng.uniform(0, 2 * np.pi, n))
        radii = radius * rng.uniform(0.5, 1.35, n)
        points = np.stack(
            [cx + radii * np.cos(angles) * stretch, cy + radii * np.sin(angles) / stretch], 1
        )
        cv2.fillPoly(canvas, [np.rint(points).astype(np.int32)], 1)
    elif kind == "ellipse":
        axes = (max(1, int(radius * stretch)), max(1, int(radius / stretch)))
        cv2.ellipse(canvas, (int(cx), int(cy)), axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    else:
        side = radius * np.sqrt(np.pi)
        angle = 0.0 if rng.random() < 0.6 else float(rng.uniform(0, 90))
        box = cv2.boxPoints(((float(cx), float(cy)), (side * stretch, side / stretch), angle))
        cv2.fillPoly(canvas, [np.rint(box).astype(np.int32)], 1)
    return canvas.astype(bool)


def placement(
    rng: np.random.Generator, size: tuple[int, int], *, centred: float = CENTRED
) -> tuple[float, float]:
    """A centre (y, x) in pixels: people put what they add where a picture is looked at, but not
    always. ``centred`` is the chance that it is drawn around the middle and not anywhere.
    """
    h, w = size
    if rng.random() < centred:
        y, x = np.clip(rng.normal(0.5, 0.2, 2), 0.05, 0.95)
    else:
        y, x = rng.uniform(0.05, 0.95, 2)
    return float(y * h), float(x * w)


def area_fraction(rng: np.random.Generator, low: float = 0.01, high: float = 0.35) -> float:
    """Share of the picture to forge, log-uniform between ``low`` and ``high``."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def free_shape(
    rng: np.random.Generator, size: tuple[int, int], fraction: float, *, centred: float = CENTRED
) -> Mask:
    """A blob or a polygon, whichever the generator draws."""
    draw = blob if rng.random() < 0.6 else polygon
    return draw(rng, size, fraction, centred=centred)


def largest_piece(mask: Mask) -> Mask:
    """The largest 8-connected component of ``mask`` (all of it when it is empty)."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=8
    )
    if count <= 2:
        return mask
    return np.asarray(labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])))


def avoid(mask: Mask, objects: Mask | None) -> Mask:
    """``mask`` without the salient object, so that something authentic and eye-catching stands
    beside a forged background.
    """
    if objects is None:
        return mask
    rest = mask & ~objects
    return largest_piece(rest) if rest.sum() >= 0.3 * mask.sum() else mask
