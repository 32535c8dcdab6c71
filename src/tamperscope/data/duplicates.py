"""Pictures that are the same, or nearly: perceptual hashes and the search among them.

The hash is the sign of the 63 lowest DCT frequencies of the picture at 32 x 32, against their
median (Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010). It
survives recompression, resizing and changes of brightness, hardly cropping, and no turning.
The limits were set by `benchmarks/duplicates.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

SIDE = 32
MAX_DISTANCE = 14
"""Bits in which the hashes of near-duplicates may differ, of 63."""
MIN_CORRELATION = 0.8
"""Pearson correlation that their 32 x 32 versions must have: blind to brightness and contrast."""

_LOW = 8
_FLAT = 2.0


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """What a picture is recognised by.

    bits: the hash; None for a picture without structure, which would resemble every other.
    small: grey, (32, 32) uint8.
    """

    bits: int | None
    small: NDArray[np.uint8]


def fingerprint_of(pixels: NDArray[np.uint8]) -> Fingerprint:
    """The fingerprint of an RGB picture (h, w, 3)."""
    import cv2

    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    small = np.asarray(cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)
    if small.std() < _FLAT:
        return Fingerprint(None, small)
    low = cv2.dct(small.astype(np.float32))[:_LOW, :_LOW].ravel()[1:]
    signs = np.packbits(np.r_[False, low > np.median(low)])
    return Fingerprint(int.from_bytes(signs.tobytes(), "big"), small)


def near_pairs(
    ours: list[Fingerprint | None],
    theirs: list[Fingerprint | None] | None = None,
    *,
    max_distance: int = MAX_DISTANCE,
    min_correlation: float = MIN_CORRELATION,
) -> list[tuple[int, int]]:
    """Indices of near-duplicates in two lists, or within one (i < j), in order.

    Exact in both limits: hashes at most `max_distance` bits apart agree in at least one of
    ``max_distance + 1`` bands of bits, so only those that share a band are compared.
    """
    within = theirs is None
    others = ours if theirs is None else theirs
    (here, a), (there, b) = _hashes(ours), _hashes(others)
    if not (len(a) and len(b)):
        return []
    found = {
        (int(here[i]), int(there[j]))
        for rows, columns in _candidates(a, b, max_distance)
        for i, j in zip(rows, columns, strict=True)
    }
    return sorted(
        (i, j)
        for i, j in found
        if (not within or i < j) and correlation(ours[i], others[j]) >= min_correlation
    )


def _hashes(prints: list[Fingerprint | None]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    known = [(i, p.bits) for i, p in enumerate(prints) if p is not None and p.bits is not None]
    places = np.array([i for i, _ in known], np.int64)
    return places, np.array([bits for _, bits in known], np.uint64)


def _candidates(
    a: NDArray[np.uint64], b: NDArray[np.uint64], max_distance: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    edges = np.linspace(0, 64, max_distance + 2).astype(int)
    for low, high in pairwise(edges):
        mask = np.uint64((1 << int(high - low)) - 1)
        keys_a, keys_b = (a >> np.uint64(low)) & mask, (b >> np.uint64(low)) & mask
        groups = _groups(keys_b)
        for key, rows in _groups(keys_a).items():
            columns = groups.get(key)
            if columns is None:
                continue
            for part in np.array_split(rows, max(1, len(rows) * len(columns) // 2**22)):
                apart = np.bitwise_count(a[part, np.newaxis] ^ b[np.newaxis, columns])
                i, j = np.nonzero(apart <= max_distance)
                yield part[i], columns[j]


def _groups(keys: NDArray[np.uint64]) -> dict[int, NDArray[np.int64]]:
    order = np.argsort(keys, kind="stable")
    values, starts = np.unique(keys[order], return_index=True)
    return dict(zip(values.tolist(), np.split(order, starts[1:]), strict=True))


def correlation(a: Fingerprint | None, b: Fingerprint | None) -> float:
    """Pearson correlation of two pictures at 32 x 32, in [-1, 1]; 0 for a flat or no picture."""
    if a is None or b is None:
        return 0.0
    x, y = (p.small.astype(np.float64) - p.small.mean() for p in (a, b))
    size = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum()) / size if size else 0.0
