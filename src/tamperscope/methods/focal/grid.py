"""Where the 8x8 blocks of a picture's last JPEG save begin.

A network that looks at the phases of block DCT coefficients needs its blocks where the file had
them. In a JPEG file they begin in the corner; in a crop or a screenshot of one, saved without loss,
they begin anywhere, and a shift by four pixels costs such a network much of what it knows.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

PERIOD = 8

SMALLEST = 64
"""The least side of a picture whose blocks are looked for, in pixels."""

_LINES = 768
_CLEAR = 8.0


def block_offset(pixels: NDArray[np.uint8]) -> tuple[int, int]:
    """Row and column, 0 to 7, in which the first whole block begins.

    Along each side: how often the step between neighbours is larger than the steps before and after
    it, by position modulo 8. Steps across block boundaries are, in a compressed picture. An offset
    is told only where it stands out by 8 standard deviations, and twice as much as the corner;
    otherwise it is 0, as in pictures that were never compressed.

    Args:
        pixels: (h, w, 3) RGB.
    """
    luma = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)
    return _offset(luma.T), _offset(luma)


def _offset(luma: NDArray[np.uint8]) -> int:
    """The column in which the first whole block begins."""
    rows, columns = luma.shape
    if rows < SMALLEST or columns < SMALLEST:
        return 0
    # A part of the rows tells as much as all of them.
    some = luma[:: max(1, rows // _LINES)].astype(np.int16)
    step = np.abs(np.diff(some, axis=1))
    peaks = (step[:, 1:-1] > step[:, :-2]) & (step[:, 1:-1] > step[:, 2:])
    # peaks[:, j] is the step from column j + 1 to column j + 2, where a block may begin.
    place = (np.arange(peaks.shape[1]) + 2) % PERIOD
    counts = np.bincount(place, peaks.sum(0), PERIOD)
    tried = np.bincount(place, minlength=PERIOD) * len(peaks)
    share = counts / tried
    best = int(share.argmax())
    usual = float(np.median(share))
    spread = np.sqrt(max(usual * (1 - usual), 1e-6) / tried)
    excess = share - usual
    clear = excess[best] > _CLEAR * spread[best] and excess[0] < excess[best] / 2
    return best if clear else 0
