"""Features made ready for the engine: merged duplicates, principal axes, compact blocks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tamperscope.clustering import _kernels as kernels

_SPLIT_AXES = 16
_HEAD_FROM = 96
"""Fewer coordinates are taken whole."""
_TAIL = 0.08
"""Share of the spread that the leading coordinates may leave to the others."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Blocks:
    """The distinct rows of the features, in blocks of ``size`` consecutive rows.

    ``points`` are the features themselves, ``turned`` the same centred, on principal axes and in
    working precision, ``centred`` those minus their block's ``centre``, with squared lengths
    ``squares``; the last three are padded to whole blocks.
    """

    n: int
    size: int
    points: NDArray[np.floating]
    weight: NDArray[np.int64]
    rank: NDArray[np.int64]
    """Index of the row (of the first of equal rows) in the input."""
    member: NDArray[np.int64]
    """For each input row, its row here."""
    turned: NDArray[np.floating]
    centred: NDArray[np.floating]
    squares: NDArray[np.floating]
    centres: NDArray[np.floating]
    radii: NDArray[np.float64]
    gaps: NDArray[np.float64]
    """(blocks, blocks) lower bounds of the distance between rows of two blocks."""
    head: int
    """Leading coordinates worth looking at first, because they hold most of the spread; 0: all."""
    heads: NDArray[np.floating]
    """(rows, head + 1) the first coordinates of ``centred`` and the length of the others."""
    unit: float
    """Bound of the relative error of an inner product."""
    drift: float
    """How far rounding the turned coordinates can move a distance."""

    @property
    def footprint(self) -> int:
        """Bytes of everything here and of what grows with it, roughly."""
        arrays = (self.points, self.turned, self.centred)
        return sum(a.nbytes for a in arrays) + self.n * (96 + 4 * min(self.count, 256))

    @property
    def count(self) -> int:
        """Number of blocks."""
        return len(self.radii)


def distinct(
    points: NDArray[np.floating],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(first, member, weight): the first of each group of equal rows in the input's order, the
    group of each row, and the groups' sizes."""
    n, channels = points.shape
    multipliers = np.random.default_rng(7).integers(
        1, 2**63, channels, dtype=np.uint64
    ) | np.uint64(1)
    codes = np.empty(n, np.uint64)
    # A read-only array is another type, for which everything would be compiled again.
    kernels.hash_rows(points if points.flags.writeable else points.copy(), multipliers, codes)
    _, first, member = np.unique(codes, return_index=True, return_inverse=True)
    if len(first) == n:
        rows = np.arange(n)
        return rows, rows, np.ones(n, np.int64)
    if not np.array_equal(points[first[member]], points):
        # Two different rows with one 64-bit hash: never seen, but not impossible.
        _, first, member = np.unique(points, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    member = place[member.ravel()]
    return first[order], member, np.bincount(member, minlength=len(first))


def arrange(points: NDArray[np.floating], *, size: int, dtype: type[np.floating]) -> Blocks:
    """Blocks of the rows of ``points`` (n, C), finite."""
    first, member, weight = distinct(points)
    kept = points[first]
    n = len(kept)
    turned, lengths = _turn(kept)
    order = _tree_order(turned[:, :_SPLIT_AXES], size)
    place = np.empty(n, np.int64)
    place[order] = np.arange(n)
    padded = -(-n // size) * size
    working = np.zeros((padded, turned.shape[1]), dtype)
    working[:n] = turned[order]
    precision = float(np.finfo(dtype).eps) / 2
    longest = float(np.sqrt(lengths.max(initial=0.0)))
    blocks = working.reshape(-1, size, working.shape[1])
    filled = np.full(len(blocks), size)
    filled[-1] = size - (padded - n)
    centres, low, high = _extents(blocks, filled)
    centred, squares = np.empty_like(working), np.empty(padded, dtype)
    for b, centre in enumerate(centres):
        rows = slice(b * size, (b + 1) * size)
        kernels.recentre(working, b * size, size, centre, centred[rows], squares[rows])
    head = _head(turned)
    heads = np.zeros((padded if head else 0, head + 1), dtype)
    for b, centre in enumerate(centres) if head else ():
        rows = slice(b * size, (b + 1) * size)
        kernels.recentre_head(working, b * size, size, centre, head, heads[rows], squares[rows])
    heads[n:] = 0
    centred[n:] = 0
    squares[n:] = kernels.PAD
    radii = np.sqrt(
        np.maximum.reduceat(np.append(squares[:n], 0)[:n], np.arange(0, n, size)).astype(np.float64)
    )
    # Twice the rounding of both ends: 2^-24 of the length each, and the same for the centre.
    drift = 4.0 * precision * longest
    unit = (working.shape[1] + 32) * precision
    radii = radii * (1 + unit) + drift
    return Blocks(
        n=n,
        size=size,
        points=np.ascontiguousarray(kept[order]),
        weight=np.ascontiguousarray(weight[order]),
        rank=np.ascontiguousarray(first[order]),
        member=place[member],
        turned=working,
        centred=centred,
        squares=squares,
        centres=centres,
        head=head,
        heads=heads,
        radii=radii,
        gaps=_gaps(centres, radii, low, high, drift),
        unit=unit,
        drift=drift,
    )


def _turn(points: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centred rows on the principal axes, largest variance first, empty axes dropped (float64), and
    their squared lengths."""
    centred = points.astype(np.float64)
    centred -= centred.mean(axis=0)
    lengths = np.einsum("ij,ij->i", centred, centred)
    values, axes = np.linalg.eigh(centred.T @ centred)
    # An axis this short is rounding: leaving it out moves a row by less than its last bits.
    keep = values[::-1] > values[-1] * 1e-32
    keep[0] = True
    return centred @ axes[:, ::-1][:, keep], lengths


def _head(turned: NDArray[np.float64]) -> int:
    channels = turned.shape[1]
    if channels < _HEAD_FROM:
        return 0
    spread = np.einsum("ij,ij->j", turned, turned)
    tail = 1 - np.cumsum(spread) / spread.sum()
    head = int(np.argmax(tail <= _TAIL)) // 16 * 16 + 16
    return head if head <= channels // 4 else 0


def _tree_order(coordinates: NDArray[np.float64], size: int) -> NDArray[np.int64]:
    """An order of the rows in which each block of ``size`` is a cell of a median-split tree."""
    order = np.arange(len(coordinates))
    waiting = [(0, len(order))]
    while waiting:
        start, stop = waiting.pop()
        blocks = -(-(stop - start) // size)
        if blocks < 2:
            continue
        rows = order[start:stop]
        values = coordinates[rows]
        axis = int(values.var(axis=0).argmax())
        left = blocks // 2 * size
        order[start:stop] = rows[np.argpartition(values[:, axis], left - 1)]
        waiting += [(start, start + left), (start + left, stop)]
    return order


def _extents(
    blocks: NDArray[np.floating], filled: NDArray[np.int64]
) -> tuple[NDArray[np.floating], NDArray[np.float64], NDArray[np.float64]]:
    """Mean, least and largest coordinates of each block's real rows."""
    centres = np.empty((len(blocks), blocks.shape[2]), blocks.dtype)
    low = np.empty(centres.shape)
    high = np.empty(centres.shape)
    for b, (rows, count) in enumerate(zip(blocks, filled, strict=True)):
        real = rows[:count]
        centres[b] = real.mean(axis=0, dtype=np.float64)
        low[b], high[b] = real.min(axis=0), real.max(axis=0)
    return centres, low, high


def _gaps(
    centres: NDArray[np.floating],
    radii: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    drift: float,
) -> NDArray[np.float64]:
    exact = centres.astype(np.float64)
    gaps = np.empty((len(radii), len(radii)))
    for b in range(len(radii)):
        between = np.sqrt(((exact - exact[b]) ** 2).sum(axis=1)) - radii - radii[b]
        apart = np.maximum(0, np.maximum(low - high[b], low[b] - high))
        box = np.sqrt((apart**2).sum(axis=1))
        gaps[b] = np.maximum(0, np.maximum(between, box) * (1 - 1e-9) - drift)
    return gaps
