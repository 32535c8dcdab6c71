"""Core distances and near neighbours of every row, exactly: the engine's second step."""

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tamperscope.clustering import _kernels as kernels
from tamperscope.clustering._order import Blocks
from tamperscope.clustering._threads import side_by_side
from tamperscope.errors import ConfigError

_SAMPLE = 2048
_LIST = 32
"""Least length of the neighbour lists: small trees are joined from what is beyond the ball."""
_SHORT = 64
"""Length that lists are cut to where memory is limited."""
_LONGEST_PAUSE = 63
"""Tiles done whole before leading coordinates are tried again."""
_COARSE = 0.02
"""With more than this share of error in a typical k-th distance float32 products are no use."""


@dataclass(kw_only=True, eq=False)
class Lists:
    """Near neighbours of every row of `Blocks`; the first ``inside`` of a list are in its ball."""

    near: NDArray[np.floating]
    """(rows, room) squared distances, as far as the products tell."""
    ids: NDArray[np.int32]
    filled: NDArray[np.int64]
    inside: NDArray[np.int64]
    core: NDArray[np.float64]
    seen: NDArray[np.float64]
    """Every row within this squared distance is in the list, or at least as far as the core."""
    mins: NDArray[np.floating]
    """(rows, groups of blocks) lower bounds of the squared distance to any other row there."""
    group: int
    """Blocks per group."""
    radii: NDArray[np.float64]
    """(rows,) how far a row may be from the centre of its products: bounds their error."""


def neighbours(blocks: Blocks, k: int, *, max_memory: int | None, threads: int) -> Lists | None:
    """The lists for the k-th neighbour; None where float32 is too coarse for these features."""
    length = max(k, _LIST)
    capacity = length + max(length // 2, 96)
    bound = _first_bounds(blocks, length, threads)
    if blocks.turned.dtype == np.float32 and _too_coarse(blocks, bound):
        return None
    one = capacity * (blocks.turned.itemsize + 4)
    room = np.inf if max_memory is None else max_memory - blocks.footprint
    if blocks.n * one <= room:
        whole = _Panel(blocks, k, length, capacity, 0, blocks.count, bound)
        whole.visit_all(threads)
        whole.complete(threads)
        return whole.lists
    return _in_panels(blocks, k, length, capacity, bound, int(room), threads)


def _in_panels(
    blocks: Blocks,
    k: int,
    length: int,
    capacity: int,
    bound: NDArray[np.floating],
    room: int,
    threads: int,
) -> Lists:
    """The same, for some blocks at a time, keeping short lists."""
    short = min(_SHORT, capacity)
    item = blocks.turned.itemsize + 4
    left = room - blocks.n * short * item
    block = capacity * item * blocks.size
    if left < block:
        least = blocks.footprint + blocks.n * short * item + block
        raise ConfigError(
            f"max_memory must be at least {least} bytes for {blocks.n} points, got"
            f" {blocks.footprint + room}"
        )
    step = left // block
    near = np.empty((blocks.n, short), blocks.turned.dtype)
    ids = np.empty((blocks.n, short), np.int32)
    parts = []
    for first in range(0, blocks.count, step):
        last = min(first + step, blocks.count)
        panel = _Panel(blocks, k, length, capacity, first, last, bound)
        panel.visit_rows(threads)
        panel.complete(threads)
        panel.shorten(near, ids, short)
        parts.append(panel.lists)
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("filled", "inside", "core", "seen", "mins", "radii")
    }
    return Lists(near=near, ids=ids, group=parts[0].group, **joined)


class _Panel:
    """Lists being filled, for the rows of some consecutive blocks."""

    def __init__(
        self,
        blocks: Blocks,
        k: int,
        length: int,
        capacity: int,
        first: int,
        last: int,
        bound: NDArray[np.floating],
    ) -> None:
        self.blocks, self.k, self.first, self.last = blocks, k, first, last
        size, dtype = blocks.size, blocks.turned.dtype
        self.base = first * size
        padded = (last - first) * size
        self.rows = min(blocks.n, last * size) - self.base
        self.weighted = bool((blocks.weight > 1).any())
        self.weight = np.ones(blocks.count * size, np.int64)
        self.weight[: blocks.n] = blocks.weight
        own = self.weight[self.base : self.base + padded]
        self.needs = np.maximum(length - (own - 1), 1)
        self.bound = np.full(padded, -1.0, dtype)
        self.bound[: self.rows] = bound[self.base : self.base + self.rows]
        group = max(1, -(-blocks.count // 256))
        self.lists = Lists(
            near=np.empty((padded, capacity), dtype),
            ids=np.empty((padded, capacity), np.int32),
            filled=np.zeros(padded, np.int64),
            inside=np.zeros(self.rows, np.int64),
            core=np.zeros(self.rows),
            seen=np.zeros(self.rows),
            mins=np.full((padded, -(-blocks.count // group)), np.inf, dtype),
            group=group,
            radii=np.repeat(blocks.radii[first:last], size),
        )
        self.state = np.full(self.rows, kernels.UNDECIDED, np.int8)
        self.locks = [threading.Lock() for _ in range(blocks.count)]
        self.room = threading.local()
        self.pause = self.waiting = 0

    def scratch(self) -> "_Scratch":
        """This thread's room for one tile."""
        if not hasattr(self.room, "own"):
            self.room.own = _Scratch(self.blocks)
        own: _Scratch = self.room.own
        return own

    def span(self, block: int) -> slice:
        """The rows of a block, counted from the panel's first."""
        size = self.blocks.size
        return slice((block - self.first) * size, (block - self.first + 1) * size)

    def visit_all(self, threads: int) -> None:
        """Every pair of blocks once, for both of them; near pairs first, as they lower bounds.

        By the distance of the centres neighbours in the order seldom share a block, so that threads
        seldom wait for each other.
        """
        upper_i, upper_j = np.triu_indices(self.blocks.count)
        gaps = self.blocks.gaps[upper_i, upper_j] ** 2
        centres = self.blocks.centres.astype(np.float64)
        lengths = np.einsum("ij,ij->i", centres, centres)
        between = lengths[:, None] + lengths[None, :] - 2 * centres @ centres.T
        order = np.lexsort((upper_j, upper_i, between[upper_i, upper_j]))
        mins, group = self.lists.mins, self.lists.group

        def visit(at: int) -> None:
            i, j, gap = int(upper_i[at]), int(upper_j[at]), gaps[at]
            a, b = self.span(i), self.span(j)
            if gap > self.bound[a].max() and gap > self.bound[b].max():
                mins[a, j // group] = np.minimum(mins[a, j // group], gap)
                mins[b, i // group] = np.minimum(mins[b, i // group], gap)
            else:
                self.tile(i, j)

        side_by_side(visit, order.tolist(), threads)

    def tile(self, i: int, j: int) -> None:
        """One pair of blocks, its products centred on the tighter one."""
        blocks, lists, size = self.blocks, self.lists, self.blocks.size
        if blocks.radii[j] < blocks.radii[i]:
            i, j = j, i
        own = self.scratch()
        if self.waiting:
            self.waiting -= 1
        elif blocks.head and self.tile_by_heads(i, j, own):
            return
        rows, squares = own.other(i, j)
        np.dot(blocks.centred[self.span(i)], rows.T, out=own.products)
        low, high = self.locks[min(i, j)], self.locks[max(i, j)]
        with low, high if i != j else threading.Lock():
            kernels.scan(
                own.products, i * size, blocks.squares[self.span(i)], j * size, squares, lists.near,
                lists.ids, lists.filled, self.bound, self.weight, self.weighted, self.needs,
                blocks.unit, blocks.drift, lists.radii, lists.mins, i // lists.group,
                j // lists.group, own.line, own.bits,
            )  # fmt: skip

    def tile_by_heads(self, i: int, j: int, own: "_Scratch") -> bool:
        """The same by the leading coordinates, and all of them where these do not rule a pair out;
        False where that is too often to be worth it."""
        blocks, lists, size = self.blocks, self.lists, self.blocks.size
        rows, squares = own.other_head(i, j)
        np.dot(blocks.heads[self.span(i)], rows.T, out=own.products)
        low, high = self.locks[min(i, j)], self.locks[max(i, j)]
        with low, high if i != j else threading.Lock():
            count = kernels.survivors(
                own.products, i * size, blocks.squares[self.span(i)], j * size, squares, self.bound,
                own.slack, own.line, own.bits, own.hits, own.least, own.lowest,
            )  # fmt: skip
            if count < 0:
                # Blocks near each other, which come first, say little about those far apart.
                self.pause = min(2 * self.pause + 1, _LONGEST_PAUSE)
                self.waiting = self.pause
                return False
            self.pause = 0
            kernels.take(
                own.hits, count, blocks.turned, i == j, lists.near, lists.ids, lists.filled,
                self.bound, self.weight, self.weighted, self.needs, blocks.unit, blocks.drift,
                lists.radii, lists.mins, i * size, i // lists.group, j * size, j // lists.group,
                own.least, own.lowest,
            )  # fmt: skip
        return True

    def visit_rows(self, threads: int) -> None:
        """Every block of the panel against all blocks, nearest first."""

        def visit(i: int) -> None:
            size, blocks = self.blocks.size, self.blocks
            rows = np.arange(i * size, min((i + 1) * size, blocks.n)) - self.base
            mins, group = self.lists.mins, self.lists.group
            for j in np.argsort(blocks.gaps[i], kind="stable").tolist():
                gap = blocks.gaps[i, j] ** 2
                if gap > self.bound[rows].max():
                    mins[rows, j // group] = np.minimum(mins[rows, j // group], gap)
                else:
                    self.against(rows, j, own_centre=bool(blocks.radii[i] < blocks.radii[j]))

        side_by_side(visit, range(self.first, self.last), threads)

    def against(self, rows: NDArray[np.int64], j: int, *, own_centre: bool) -> None:
        """Some rows against one block, into the lists of the rows."""
        blocks, lists, size = self.blocks, self.lists, self.blocks.size
        b = slice(j * size, (j + 1) * size)
        if own_centre:
            i = (int(rows[0]) + self.base) // size
            start = int(rows[0]) + self.base
            x, squares = blocks.centred[start:][: len(rows)], blocks.squares[start:][: len(rows)]
            y, lengths = self.scratch().other(i, j)
        else:
            x = np.empty((len(rows), blocks.turned.shape[1]), blocks.turned.dtype)
            squares = np.empty(len(rows), blocks.turned.dtype)
            kernels.gather(blocks.turned, rows + self.base, blocks.centres[j], x, squares)
            y, lengths = blocks.centred[b], blocks.squares[b]
        kernels.scan_rows(
            np.dot(x, y.T), rows, squares, self.base, j * size, lengths, blocks.n, lists.near,
            lists.ids, lists.filled, self.bound, self.weight, self.weighted, self.needs,
            blocks.unit, blocks.drift, lists.radii, lists.mins, j // lists.group,
        )  # fmt: skip

    def complete(self, threads: int) -> None:
        """Core distances from the lists; lists that do not tell are made again."""
        side_by_side(self.finish, _pieces(np.arange(self.rows), self.blocks.size), threads)
        short = np.flatnonzero(self.state == kernels.SHORT)
        side_by_side(self.again, _pieces(short, 64), threads)
        side_by_side(self.slowly, _pieces(np.flatnonzero(self.state != kernels.DONE), 8), threads)

    def finish(self, rows: NDArray[np.int64]) -> None:
        """What the lists tell."""
        blocks, lists = self.blocks, self.lists
        kernels.finish(
            rows, self.base, self.k, lists.near, lists.ids, lists.filled, self.bound, self.weight,
            self.weighted, self.needs, blocks.unit, blocks.drift, lists.radii, blocks.points,
            lists.core, lists.inside, lists.seen, self.state,
        )  # fmt: skip

    def again(self, rows: NDArray[np.int64]) -> None:
        """Rows whose first bound was too low, without one."""
        self.bound[rows] = np.inf
        self.lists.filled[rows] = 0
        self.lists.radii[rows] = self.blocks.radii.max()
        for j in range(self.blocks.count):
            self.against(rows, j, own_centre=False)
        self.finish(rows)

    def slowly(self, rows: NDArray[np.int64]) -> None:
        """Rows with more ties at the k-th distance than a list holds, all in float64."""
        lists, blocks = self.lists, self.blocks
        kernels.finish_slowly(
            rows, self.base, blocks.n, self.k, lists.near, lists.ids, lists.filled, self.weight,
            blocks.points, lists.core, lists.inside, lists.seen,
        )  # fmt: skip

    def shorten(self, near: NDArray[np.floating], ids: NDArray[np.int32], room: int) -> None:
        """Move lists cut to ``room`` to the arrays of all rows."""
        blocks, lists = self.blocks, self.lists
        kernels.shorten(
            np.arange(self.rows), self.base, room, lists.near, lists.ids, lists.filled,
            lists.inside, lists.seen, blocks.unit, blocks.drift, lists.radii, near, ids,
        )  # fmt: skip
        lists.near, lists.ids = lists.near[:0], lists.ids[:0]


class _Scratch:
    def __init__(self, blocks: Blocks) -> None:
        size, dtype = blocks.size, blocks.turned.dtype
        self.blocks = blocks
        self.rows = np.empty((size, blocks.turned.shape[1]), dtype)
        self.squares = np.empty(size, dtype)
        self.products = np.empty((size, size), dtype)
        self.line = np.empty(size, dtype)
        self.bits = self.line.view(np.int32 if dtype == np.float32 else np.int64)

        self.slack, self.least, self.lowest = (np.empty(size, dtype) for _ in range(3))
        # Beyond this many a whole tile of products is cheaper than the pairs one by one.
        self.hits = np.empty((size * size // 16, 2), np.int64)
        self.heads = np.empty((size, blocks.head + 1), dtype)

    def other_head(self, i: int, j: int) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Like `other`, with leading coordinates and the length of the rest."""
        blocks, size = self.blocks, self.blocks.size
        b = slice(j * size, (j + 1) * size)
        if i == j:
            return blocks.heads[b], blocks.squares[b]
        kernels.recentre_head(
            blocks.turned, j * size, size, blocks.centres[i], blocks.head, self.heads, self.squares
        )
        real = blocks.n - j * size
        if real < size:
            self.heads[real:], self.squares[real:] = 0, kernels.PAD
        return self.heads, self.squares

    def other(self, i: int, j: int) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Block ``j`` minus the centre of block ``i``, and its squared lengths."""
        blocks, size = self.blocks, self.blocks.size
        b = slice(j * size, (j + 1) * size)
        if i == j:
            return blocks.centred[b], blocks.squares[b]
        kernels.recentre(blocks.turned, j * size, size, blocks.centres[i], self.rows, self.squares)
        real = blocks.n - j * size
        if real < size:
            self.rows[real:], self.squares[real:] = 0, kernels.PAD
        return self.rows, self.squares


def _first_bounds(blocks: Blocks, length: int, threads: int) -> NDArray[np.float64]:
    """(n,) squared distances that most probably hold the nearest ``length`` rows of each row.

    The distance to a few of an even sample of all rows. Where it is too small the row is done again
    without a bound, so this affects speed alone.
    """
    n, size = blocks.n, blocks.size
    m = min(_SAMPLE, max(256, min(12 * n // length, n // 8)), n)
    share = length * m / n
    # One more, because a row that is itself in the sample finds itself there.
    place = int(share + 3.5 * np.sqrt(share) + 3)
    if place >= m:
        return np.full(n, np.inf)
    sample = blocks.turned[np.arange(m) * n // m]
    lengths = np.einsum("ij,ij->i", sample, sample)
    bounds = np.empty(n)

    def one(b: int) -> None:
        rows = blocks.turned[b * size : min((b + 1) * size, n)]
        squares = np.einsum("ij,ij->i", rows, rows)
        out = bounds[b * size : b * size + len(rows)]
        line = np.empty(m, sample.dtype)
        kernels.small_order(rows @ sample.T, lengths, squares, place, line, out)

    side_by_side(one, range(blocks.count), threads)
    return bounds


def _too_coarse(blocks: Blocks, bound: NDArray[np.float64]) -> bool:
    if not np.isfinite(bound).all():
        return False
    radii = np.repeat(blocks.radii, blocks.size)[: blocks.n]
    error = blocks.unit * (2 * radii + np.sqrt(bound)) ** 2
    return bool(np.median(error - _COARSE * bound) > 0)


def _pieces(rows: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return [rows[a : a + size] for a in range(0, len(rows), size)]
