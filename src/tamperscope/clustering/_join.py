"""From linked rows to one spanning tree: Boruvka's algorithm over the lists, then over blocks."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tamperscope.clustering import _kernels as kernels
from tamperscope.clustering._neighbours import Lists
from tamperscope.clustering._order import Blocks
from tamperscope.clustering._threads import side_by_side

Tree = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]
"""Edges (n - 1, 2), weights (n - 1,) and core distances (n,), in the order of the input."""

_MATRIX = 1024
"""Up to this many trees the lists are read once, into the best edge between every two of them."""


class Forest:
    """Trees that grow together: the component of every row and the edges taken so far."""

    def __init__(self, component: NDArray[np.int64], count: int) -> None:
        self.component = component
        self.count = count
        self.edges: list[tuple[float, int, int]] = []

    def take(self, edges: "list[tuple[float, int, int]]") -> NDArray[np.int64]:
        """Add edges (weight, row, row), lightest first, where they join two trees; the new number
        of each old component."""
        parent = np.arange(self.count)

        def find(c: int) -> int:
            while parent[c] != c:
                parent[c] = parent[parent[c]]
                c = int(parent[c])
            return c

        for w, i, j in edges:
            a, b = find(int(self.component[i])), find(int(self.component[j]))
            if a != b:
                parent[max(a, b)] = min(a, b)
                self.edges.append((w, i, j))
        top = np.array([find(c) for c in range(self.count)])
        _, renamed = np.unique(top, return_inverse=True)
        self.component = renamed[self.component]
        self.count = int(renamed.max()) + 1
        return renamed

    def taken(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Weights and ends (edges, 2) of the edges taken."""
        pairs = np.array([edge[1:] for edge in self.edges], np.int64).reshape(-1, 2)
        return np.array([edge[0] for edge in self.edges]), pairs


class Best:
    """The lightest edge known out of every component."""

    def __init__(self, *shape: int) -> None:
        self.weight = np.full(shape, np.inf)
        self.first = np.full(shape, -1, np.int64)
        self.second = np.full(shape, -1, np.int64)

    def parts(self) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
        """The three arrays, as the kernels take them."""
        return self.weight, self.first, self.second

    def copy(self) -> "Best":
        """An independent copy."""
        other = Best(0)
        other.weight = self.weight.copy()
        other.first, other.second = self.first.copy(), self.second.copy()
        return other

    def merge(self, other: "Best", rank: NDArray[np.int64]) -> None:
        """Keep the better of two edges everywhere."""
        ours = (rank[self.first], rank[self.second])
        theirs = (rank[other.first], rank[other.second])
        first = (theirs[0] < ours[0]) | ((theirs[0] == ours[0]) & (theirs[1] < ours[1]))
        level = (other.weight == self.weight) & (other.first >= 0)
        better = (other.weight < self.weight) | (level & (first | (self.first < 0)))
        self.weight[better] = other.weight[better]
        self.first[better] = other.first[better]
        self.second[better] = other.second[better]


def join(blocks: Blocks, lists: Lists, *, threads: int) -> Tree:
    """Steps 3 and 4 of the engine."""
    n = blocks.n
    rank = blocks.rank
    parent = np.empty(n, np.int64)
    pieces = [(a, min(a + 4096, n)) for a in range(0, n, 4096)]
    side_by_side(
        lambda p: kernels.link(p[0], p[1], lists.ids, lists.inside, lists.core, rank, parent),
        pieces,
        threads,
    )
    component = np.empty(n, np.int64)
    count = int(kernels.roots(parent, component))
    forest = Forest(component, count)
    joiner = _Joiner(blocks, lists, forest, rank, threads)
    joiner.run()
    linked = np.flatnonzero(parent != np.arange(n))
    w, pairs = forest.taken()
    first = np.concatenate([linked, pairs[:, 0]])
    second = np.concatenate([parent[linked], pairs[:, 1]])
    weights = np.concatenate([lists.core[linked], w])
    return in_input_order(rank, blocks.member, lists.core, (first, second, weights))


def in_input_order(
    rank: NDArray[np.int64],
    member: NDArray[np.int64],
    core: NDArray[np.float64],
    edges: Tree,
) -> Tree:
    """Rows under their input numbers, equal rows back in, edges sorted by weight and ends.

    Args:
        rank: (distinct,) input number of each distinct row.
        member: (n,) distinct row of each input row.
        core: (distinct,) core distances.
        edges: (first, second, weights) of the tree over the distinct rows.
    """
    first, second, weights = edges
    rows = np.arange(len(member))
    copies = rows[rank[member] != rows]
    ends = np.stack(
        [
            np.concatenate([rank[first], rank[member[copies]]]),
            np.concatenate([rank[second], copies]),
        ],
        axis=1,
    )
    ends.sort(axis=1)
    weights = np.concatenate([weights, core[member[copies]]])
    order = np.lexsort((ends[:, 1], ends[:, 0], weights))
    return ends[order], weights[order], core[member]


class _Joiner:
    def __init__(
        self,
        blocks: Blocks,
        lists: Lists,
        forest: Forest,
        rank: NDArray[np.int64],
        threads: int,
    ) -> None:
        self.blocks, self.lists, self.forest = blocks, lists, forest
        self.rank, self.threads = rank, threads
        # No unseen edge of a row is lighter than this.
        self.floor = np.maximum(lists.core, np.sqrt(np.maximum(lists.seen, 0)))
        self.matrix: Best | None = None

    def run(self) -> None:
        while self.forest.count > 1:
            best = self.from_lists()
            certain = self.certain(best)
            if not certain.any():
                certain = self.by_search(best)
            self.take(best, certain)

    def take(self, best: Best, which: NDArray[np.bool_]) -> None:
        edges = sorted(
            {
                (float(best.weight[c]), int(best.first[c]), int(best.second[c]))
                for c in np.flatnonzero(which)
            },
            key=lambda e: (e[0], self.rank[e[1]], self.rank[e[2]]),
        )
        renamed = self.forest.take(edges)
        if self.matrix is not None:
            self.matrix = _contract(self.matrix, renamed, self.forest.count, self.rank)

    def certain(self, best: Best) -> NDArray[np.bool_]:
        """Components whose best listed edge no unseen edge can beat."""
        least = np.full(self.forest.count, np.inf)
        np.minimum.at(least, self.forest.component, self.floor)
        sure: NDArray[np.bool_] = np.isfinite(best.weight) & (least >= best.weight)
        return sure

    def from_lists(self) -> Best:
        count = self.forest.count
        if self.matrix is None and count <= _MATRIX:
            self.matrix = self.scan(Best(count, count), kernels.pairs_listed)
        if self.matrix is None:
            return self.scan(Best(count), kernels.listed)
        best = Best(count)
        for side in (0, 1):
            at = self.matrix.weight.argmin(axis=1 - side)
            lines = np.arange(count)
            index = (at, lines) if side else (lines, at)
            other = Best(count)
            other.weight, other.first, other.second = (a[index] for a in self.matrix.parts())
            best.merge(other, self.rank)
        return best

    def scan(self, empty: Best, kernel: Callable[..., None]) -> Best:
        blocks, lists, n = self.blocks, self.lists, self.blocks.n
        found: list[Best] = []

        def part(piece: tuple[int, int]) -> None:
            best = empty.copy()
            kernel(
                piece[0], piece[1], lists.ids, lists.near, lists.filled, lists.inside, lists.core,
                self.forest.component, self.rank, blocks.unit, blocks.drift, lists.radii,
                blocks.points, *best.parts(),
            )  # fmt: skip
            found.append(best)

        cuts = np.linspace(0, n, self.threads + 1).astype(int)
        side_by_side(part, list(pairwise(cuts)), self.threads)
        for best in found:
            empty.merge(best, self.rank)
        return empty

    def by_search(self, best: Best) -> NDArray[np.bool_]:
        """Make the best edges of all components but the largest exact; those components."""
        component, count = self.forest.component, self.forest.count
        sizes = np.bincount(component, minlength=count)
        which = np.ones(count, np.bool_)
        which[sizes.argmax()] = False
        for c in np.flatnonzero(which & ~np.isfinite(best.weight)):
            self.reach(best, int(c))
        self.through_blocks(best, which)
        return which

    def reach(self, best: Best, c: int) -> None:
        """Some short edge out of a component that has none in the lists."""
        component, core, points = self.forest.component, self.lists.core, self.blocks.points
        rows = np.flatnonzero(component == c)
        i = int(rows[core[rows].argmax()])
        weight = np.inf
        while True:
            w, j = kernels.nearest_outside(i, points, core, component)
            w, i = kernels.nearest_inside(j, c, points, core, component)
            if w >= weight:
                break
            weight = w
            one = [a[c : c + 1] for a in best.parts()]
            kernels.offer(0, w, i, j, self.rank, *one)

    def through_blocks(self, best: Best, which: NDArray[np.bool_]) -> None:
        blocks, lists = self.blocks, self.lists
        component, n, size = self.forest.component, blocks.n, blocks.size
        limit = best.weight[component]
        rows = np.flatnonzero(which[component] & (self.floor < limit))
        if not len(rows):
            return
        pure = _pure(component, blocks.count, size)
        lowest = np.minimum.reduceat(lists.core, np.arange(0, n, size))
        results: list[Best] = []

        def one(j: int) -> None:
            w = best.weight[component[rows]]
            far = w * w + _allowance(blocks, lists.radii, w, rows)
            wanted = (
                (lists.mins[rows, j // lists.group] <= far)
                & (component[rows] != pure[j])
                & (lowest[j] <= w)
            )
            mine = rows[wanted]
            if not len(mine):
                return
            own = best.copy()
            a = slice(j * size, (j + 1) * size)
            for start in range(0, len(mine), size):
                part = mine[start : start + size]
                x = np.empty((len(part), blocks.turned.shape[1]), blocks.turned.dtype)
                squares = np.empty(len(part), blocks.turned.dtype)
                kernels.gather(blocks.turned, part, blocks.centres[j], x, squares)
                g = np.dot(x, blocks.centred[a].T)
                kernels.search(
                    g, part, squares, j * size, blocks.squares[a], lists.core, component,
                    self.rank, blocks.unit, blocks.drift, blocks.radii[j], blocks.points,
                    *own.parts(),
                )  # fmt: skip
            results.append(own)

        side_by_side(one, range(blocks.count), self.threads)
        for own in results:
            best.merge(own, self.rank)


def _allowance(
    blocks: Blocks, radii: NDArray[np.float64], w: NDArray[np.float64], rows: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Error of the least distances noted in the first pass: their tile's centre was that of the
    tighter of two blocks."""
    reach = 2 * radii[rows] + w
    return 1.25 * (blocks.unit * reach**2 + blocks.drift * (2 * w + blocks.drift))


def _pure(component: NDArray[np.int64], count: int, size: int) -> NDArray[np.int64]:
    """For each block the one component all of its rows are in, or -1."""
    starts = np.arange(0, len(component), size)
    low = np.minimum.reduceat(component, starts)
    high = np.maximum.reduceat(component, starts)
    pure: NDArray[np.int64] = np.where(low == high, low, -1)
    return pure


def _contract(
    matrix: Best, renamed: NDArray[np.int64], count: int, rank: NDArray[np.int64]
) -> Best:
    """The best edges between components after some were joined."""
    old_p, old_q = np.nonzero(np.isfinite(matrix.weight))
    values = [a[old_p, old_q] for a in matrix.parts()]
    p, q = renamed[old_p], renamed[old_q]
    keep = p != q
    low, high = np.minimum(p, q)[keep], np.maximum(p, q)[keep]
    w, first, second = (v[keep] for v in values)
    order = np.lexsort((rank[second], rank[first], w, high, low))
    low, high = low[order], high[order]
    start = np.ones(len(low), np.bool_)
    start[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    new = Best(count, count)
    at = (low[start], high[start])
    new.weight[at], new.first[at], new.second[at] = (v[order][start] for v in (w, first, second))
    return new
