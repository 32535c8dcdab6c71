"""The engine of `engine`, for features on a GPU: the same exact tree, by large matrix products.

No blocks and no pruning: a GPU forms all products faster than it could be told which to leave out.
Rows are taken a part at a time, so that the n x n matrix is never formed. As on the CPU, float32
products choose candidates and float64 distances of the original features decide. Runs on any torch
device; on a CPU the other engine is many times faster.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tamperscope.clustering._join import Forest, in_input_order
from tamperscope.clustering.engine import SpanningTree
from tamperscope.errors import ClusteringError, ConfigError

_LIST = 32
_SPARE = 16
"""Neighbours kept beyond the k-th, to tell it in spite of rounding."""


@dataclass(frozen=True, eq=False)
class _Rows:
    points: Tensor
    """(n, C) float64, distinct, in the order of the input."""
    coarse: Tensor
    """(n, C) float32, centred."""
    squares: Tensor
    norms: Tensor
    weight: Tensor
    unit: float
    drift: float
    part: int
    """Bytes one part of the products may take."""

    @property
    def n(self) -> int:
        return len(self.points)

    def parts(self, rows: Tensor, width: int) -> Iterator[Tensor]:
        """``rows`` in pieces that need no more than `part` bytes at ``width`` bytes a row."""
        yield from torch.split(rows, max(1, self.part // max(width, 1)))

    def products(self, rows: Tensor) -> Tensor:
        """(rows, n) squared distances, as far as float32 products tell; infinite to itself."""
        d = torch.addmm(self.squares[None, :], self.coarse[rows], self.coarse.T, alpha=-2.0)
        d += self.squares[rows, None]
        d.clamp_(min=0.0)
        d[torch.arange(len(rows), device=d.device), rows] = torch.inf
        return d

    def exact(self, first: Tensor, second: Tensor) -> Tensor:
        """Squared float64 distances of pairs; ``second`` (rows, any) or like ``first``."""
        found = torch.empty(second.shape, dtype=torch.float64, device=second.device)
        wide = 8 * self.points.shape[1] * (second.shape[1] if second.ndim == 2 else 1)
        for at in self.parts(torch.arange(len(second), device=second.device), 3 * wide):
            a = self.points[first[at]]
            steps = (a[:, None] if second.ndim == 2 else a) - self.points[second[at]]
            found[at] = (steps * steps).sum(-1)
        return found

    def allowance(self, rows: Tensor, d: Tensor) -> Tensor:
        """Largest error of squared distances ``d`` (rows, ...) by products; see `_kernels`."""
        root = d.double().clamp(min=0).sqrt()
        norms = self.norms[rows].reshape(-1, *[1] * (d.ndim - 1))
        return self.unit * (2 * norms + root) ** 2 + self.drift * (2 * root + self.drift)


@dataclass(eq=False)
class _Lists:
    ids: Tensor
    squares: Tensor
    core: Tensor
    seen: Tensor


def spanning_tree_torch(
    features: Tensor, *, min_samples: int, unit: bool = False, part_bytes: int | None = None
) -> SpanningTree:
    """`engine.spanning_tree` on the device of the features.

    Args:
        features: (n, C) float, finite.
        min_samples: k of the core distance, not counting the row itself.
        unit: scale the rows to unit length first (float64).
        part_bytes: room for one part of the products; by default 1 GiB on a GPU, 64 MiB on a CPU.

    Raises:
        ClusteringError: not (n, C) float, or values that are not finite.
        ConfigError: ``min_samples`` below 1.
    """
    if features.ndim != 2 or not features.is_floating_point():
        raise ClusteringError(
            f"features must be a float array (n, C), got {features.dtype} {tuple(features.shape)}"
        )
    if not bool(torch.isfinite(features).all()):
        raise ClusteringError(
            "features hold NaN or infinity; run the network in float32 or check its weights"
        )
    if min_samples < 1:
        raise ConfigError(f"min_samples must be at least 1, got {min_samples}")
    n = len(features)
    if n < 2:
        return SpanningTree(
            edges=np.empty((0, 2), np.int64), weights=np.empty(0), core_distances=np.zeros(n)
        )
    if part_bytes is None:
        part_bytes = 1 << (30 if features.is_cuda else 26)
    # TF32 keeps ten bits of a product: the error bounds here are those of true float32.
    tf32 = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.no_grad():
            return _tree(features, min(min_samples, n - 1), unit, part_bytes)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = tf32


def _tree(features: Tensor, k: int, unit: bool, part: int) -> SpanningTree:
    points = features.double()
    if unit:
        lengths = points.norm(dim=1, keepdim=True)
        points = points / torch.where(lengths > 0, lengths, 1.0)
    spread = float((points.amax(0) - points.amin(0)).amax()) if points.shape[1] else 0.0
    scale = 1.0
    if spread > 0 and not 2.0**-20 < spread < 2.0**20:
        scale = 2.0 ** int(np.frexp(spread)[1])
        points = points / scale
    first, member, weight = _distinct(points)
    rows = _prepare(points[first], weight, part)
    lists = _neighbours(rows, k)
    parent = _links(rows, lists)
    weights, ends = _join(rows, lists, parent)
    core = lists.core.cpu().numpy()
    to = parent.cpu().numpy()
    linked = np.flatnonzero(to != np.arange(rows.n))
    edges, weights, cores = in_input_order(
        first.cpu().numpy(),
        member.cpu().numpy(),
        core,
        (
            np.concatenate([linked, ends[:, 0]]),
            np.concatenate([to[linked], ends[:, 1]]),
            np.concatenate([core[linked], weights]),
        ),
    )
    return SpanningTree(edges=edges, weights=weights * scale, core_distances=cores * scale)


def _distinct(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(first, member, weight) of the groups of equal rows, groups in the order of the input."""
    n, channels = points.shape
    generator = np.random.default_rng(7)
    odd = torch.from_numpy(generator.integers(1, 2**62, channels) | 1).to(points.device)
    bits = (points + 0.0).view(torch.int64)
    codes = ((bits ^ (bits >> 32)) * odd).sum(1)
    _, member = torch.unique(codes, return_inverse=True)
    count = int(member.max()) + 1
    index = torch.arange(n, device=points.device)
    first = torch.full((count,), n, device=points.device).scatter_reduce(0, member, index, "amin")
    if not bool((points[first[member]] == points).all()):
        _, member = torch.unique(points, dim=0, return_inverse=True)
        count = int(member.max()) + 1
        first = torch.full((count,), n, device=points.device)
        first = first.scatter_reduce(0, member, index, "amin")
    order = first.argsort()
    place = torch.empty_like(order)
    place[order] = torch.arange(count, device=points.device)
    member = place[member]
    return first[order], member, torch.bincount(member, minlength=count)


def _prepare(points: Tensor, weight: Tensor, part: int) -> _Rows:
    centred = points - points.mean(0)
    coarse = centred.float()
    squares = (coarse.double() ** 2).sum(1)
    precision = torch.finfo(torch.float32).eps / 2
    longest = float(squares.amax().sqrt())
    return _Rows(
        points=points,
        coarse=coarse,
        squares=squares.float(),
        norms=squares.sqrt(),
        weight=weight,
        unit=(points.shape[1] + 32) * precision,
        drift=4.0 * precision * longest,
        part=part,
    )


def _neighbours(rows: _Rows, k: int) -> _Lists:
    n = rows.n
    room = min(max(k, _LIST) + _SPARE, n - 1)
    device = rows.points.device
    ids = torch.empty((n, room), dtype=torch.int64, device=device)
    squares = torch.empty((n, room), dtype=torch.float64, device=device)
    core = torch.zeros(n, dtype=torch.float64, device=device)
    seen = torch.full((n,), torch.inf, dtype=torch.float64, device=device)
    lists = _Lists(ids, squares, core, seen)
    if room == 0:
        return lists
    missing = []
    for at in rows.parts(torch.arange(n, device=device), 4 * n):
        near, names = rows.products(at).topk(room, largest=False)
        farthest = near[:, -1].double()
        _store(rows, lists, at, names, rows.exact(at, names), k)
        if room < n - 1:
            seen[at] = farthest - rows.allowance(at, farthest)
            missing.append(at[seen[at] <= core[at] ** 2])
    for at in rows.parts(torch.cat(missing) if missing else ids[:0, 0], 24 * n):
        all_rows = torch.cdist(
            rows.points[at], rows.points, compute_mode="donot_use_mm_for_euclid_dist"
        )
        all_rows[torch.arange(len(at), device=device), at] = torch.inf
        # Its square is not the exact sum, but as near to it as any order of summing.
        order = all_rows.sort(dim=1, stable=True)
        names = order.indices[:, : room + 1]
        exact = rows.exact(at, names)
        _store(rows, lists, at, names[:, :room], exact[:, :room], k)
        seen[at] = exact[:, -1] * (1 - 1e-12)
    return lists


def _store(rows: _Rows, lists: _Lists, at: Tensor, names: Tensor, exact: Tensor, k: int) -> None:
    """Put lists sorted by exact distance in, and their core distances."""
    exact, order = exact.sort(dim=1, stable=True)
    names = names.gather(1, order)
    lists.ids[at], lists.squares[at] = names, exact
    need = k - (rows.weight[at] - 1)
    enough = rows.weight[names].cumsum(1) >= need[:, None]
    place = enough.int().argmax(1)
    found = exact.gather(1, place[:, None])[:, 0].sqrt()
    # Where the list is too short the row is done again; infinity says so.
    found = torch.where(enough.any(1), found, torch.inf)
    lists.core[at] = torch.where(need <= 0, 0.0, found)


def _links(rows: _Rows, lists: _Lists) -> Tensor:
    """For each row the row of its ball that is first by (core distance, number), or itself."""
    n, device = rows.n, rows.points.device
    place = torch.empty(n, dtype=torch.int64, device=device)
    order = lists.core.argsort(stable=True)
    place[order] = torch.arange(n, device=device)
    parent = torch.arange(n, device=device)
    if lists.ids.shape[1] == 0:
        return parent
    for at in rows.parts(torch.arange(n, device=device), 32 * lists.ids.shape[1]):
        places = place[lists.ids[at]]
        places[lists.squares[at].sqrt() > lists.core[at, None]] = n
        least = places.amin(1)
        better = least < place[at]
        parent[at[better]] = order[least[better]]
    return parent


def _join(rows: _Rows, lists: _Lists, parent: Tensor) -> tuple[np.ndarray, np.ndarray]:
    root = parent
    while True:
        above = root[root]
        if bool((above == root).all()):
            break
        root = above
    names, component = torch.unique(root, return_inverse=True)
    forest = Forest(component.cpu().numpy(), len(names))
    floor = torch.maximum(lists.core, lists.seen.clamp(min=0).sqrt())
    edges = _listed(rows, lists, component)
    while forest.count > 1:
        keep = component[edges[0]] != component[edges[1]]
        edges = tuple(e[keep] for e in edges)
        best = _Best(forest.count, rows)
        best.offer(component[edges[0]], *edges)
        best.offer(component[edges[1]], *edges)
        least = torch.full_like(best.weight, torch.inf)
        least = least.scatter_reduce(0, component, floor, "amin")
        which = torch.isfinite(best.weight) & (least >= best.weight)
        if not bool(which.any()):
            which = torch.ones_like(which)
            which[torch.bincount(component, minlength=forest.count).argmax()] = False
            _search(rows, lists, component, floor, which, best)
        chosen = torch.nonzero(which)[:, 0]
        taken = zip(
            best.weight[chosen].tolist(),
            best.first[chosen].tolist(),
            best.second[chosen].tolist(),
            strict=True,
        )
        renamed = forest.take(sorted(set(taken)))
        component = torch.from_numpy(renamed).to(component.device)[component]
    return forest.taken()


class _Best:
    """The lightest edge known out of every component, ties to the lower ends."""

    def __init__(self, count: int, rows: _Rows) -> None:
        device = rows.points.device
        self.n = rows.n
        self.weight = torch.full((count,), torch.inf, dtype=torch.float64, device=device)
        self.key = torch.full((count,), torch.iinfo(torch.int64).max, device=device)

    @property
    def first(self) -> Tensor:
        return self.key // self.n

    @property
    def second(self) -> Tensor:
        return self.key % self.n

    def offer(self, owner: Tensor, first: Tensor, second: Tensor, weight: Tensor) -> None:
        """Take edges where they are the best of their owner."""
        least = self.weight.scatter_reduce(0, owner, weight, "amin")
        self.key[least < self.weight] = torch.iinfo(torch.int64).max
        self.weight = least
        level = weight == least[owner]
        key = torch.minimum(first, second) * self.n + torch.maximum(first, second)
        self.key.scatter_reduce_(0, owner[level], key[level], "amin")


def _listed(rows: _Rows, lists: _Lists, component: Tensor) -> tuple[Tensor, ...]:
    """(first, second, weight) of the listed edges between components."""
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    device = component.device
    for at in rows.parts(torch.arange(rows.n, device=device), 64 * max(lists.ids.shape[1], 1)):
        names = lists.ids[at]
        row, column = torch.nonzero(component[names] != component[at, None], as_tuple=True)
        i, j = at[row], names[row, column]
        weight = torch.maximum(lists.core[i], lists.core[j])
        weight = torch.maximum(weight, lists.squares[at][row, column].sqrt())
        found.append((i, j, weight))
    return tuple(torch.cat(parts) for parts in zip(*found, strict=True))


def _search(
    rows: _Rows,
    lists: _Lists,
    component: Tensor,
    floor: Tensor,
    which: Tensor,
    best: _Best,
) -> None:
    """Make the best edges of the components ``which`` exact."""
    core = lists.core
    wanted = torch.nonzero(which[component] & (floor < best.weight[component]))[:, 0]
    for at in rows.parts(wanted, 24 * rows.n):
        d = rows.products(at).double()
        own = component[at]
        d[own[:, None] == component[None, :]] = torch.inf
        reach = torch.maximum(d.sqrt(), core[None, :])
        nearest = reach.argmin(1)
        _offer_exact(rows, core, component, best, at, nearest)
        limit = best.weight[own]
        slack = rows.allowance(at, limit**2) * 1.25
        close = (d <= (limit**2 + slack)[:, None]) & (core[None, :] <= limit[:, None])
        close &= (core[at] <= limit)[:, None]
        row, column = torch.nonzero(close, as_tuple=True)
        _offer_exact(rows, core, component, best, at[row], column)


def _offer_exact(
    rows: _Rows, core: Tensor, component: Tensor, best: _Best, i: Tensor, j: Tensor
) -> None:
    weight = torch.maximum(torch.maximum(core[i], core[j]), rows.exact(i, j).sqrt())
    best.offer(component[i], i, j, weight)
