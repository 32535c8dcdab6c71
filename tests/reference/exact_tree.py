"""HDBSCAN's spanning tree by brute force, and where its hierarchy leaves a choice.

Written to be obviously right, not fast: a full distance matrix and Prim's algorithm in float64.
"""

from itertools import pairwise
from typing import Any, NamedTuple

import hdbscan as hdbscan_library
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

TIE = 1e-12
"""Weights this close, relatively, count as equal: rounding may order them either way."""


class ExactTree(NamedTuple):
    """edges (n - 1, 2), weights (n - 1,) ascending, core_distances (n,)."""

    edges: NDArray[np.int64]
    weights: NDArray[np.float64]
    core_distances: NDArray[np.float64]


def exact_tree(features: NDArray[np.floating], min_samples: int) -> ExactTree:
    """The minimum spanning tree of mutual reachability; k of the core distance does not count the
    point itself, and is lowered to n - 1. At most a few thousand rows."""
    rows = features.astype(np.float64)
    n = len(rows)
    if n == 0:
        return ExactTree(np.zeros((0, 2), np.int64), np.zeros(0), np.zeros(0))
    distances = cdist(rows, rows)
    k = min(min_samples, n - 1)
    core = np.partition(distances, k, axis=1)[:, k]
    reach = np.maximum(distances, np.maximum(core[:, None], core[None, :]))
    edges, weights = _prim(reach)
    order = np.argsort(weights, kind="stable")
    return ExactTree(edges[order], weights[order], core)


def _prim(reach: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    n = len(reach)
    nearest, source = reach[0].copy(), np.zeros(n, np.int64)
    outside = np.ones(n, bool)
    outside[0] = False
    edges, weights = np.zeros((n - 1, 2), np.int64), np.zeros(n - 1)
    for step in range(n - 1):
        new = int(np.where(outside, nearest, np.inf).argmin())
        edges[step], weights[step] = (source[new], new), nearest[new]
        outside[new] = False
        closer = outside & (reach[new] < nearest)
        nearest[closer], source[closer] = reach[new][closer], new
    return edges, weights


def mutual_reachability(
    features: NDArray[np.floating], edges: NDArray[np.int64], core: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What the edges must weigh: the largest of the distance and both core distances."""
    rows = features.astype(np.float64)
    a, b = edges.T
    distances = np.sqrt(((rows[a] - rows[b]) ** 2).sum(1))
    return np.maximum(distances, np.maximum(core[a], core[b]))


class Choices(NamedTuple):
    """points: bool (n,), those that may join either of two clusters; settled: whether everything
    but these points is the same however equal weights are ordered."""

    points: NDArray[np.bool_]
    settled: bool


def choices(
    edges: NDArray[np.int64], weights: NDArray[np.float64], min_cluster_size: int
) -> Choices:
    """Where the hierarchy leaves a choice: the saddle ties.

    The parts that are joined at a weight (connected by lighter edges) are the same for every
    minimum spanning tree, but the libraries join two at a time, so that where more than two parts
    meet at one weight their order is arbitrary. Consider the parts that meet there:

    - with two or more of at least ``min_cluster_size``, clusters meet. Each of the smaller parts
      joins one of them first, and is labelled like that one: its points may differ. Typically that
      is one point, whose own core distance is the weight at which the clusters meet;
    - where smaller parts together reach ``min_cluster_size`` beside a cluster, or twice that
      without one, their order decides whether clusters meet at all: nothing is settled.
    """
    n = len(weights) + 1
    parts: list[list[int]] = [[i] for i in range(n)]
    part_of = list(range(n))
    open_points, settled = np.zeros(n, bool), True
    for start, stop in _equal_weights(weights):
        for group in _meeting(edges[start:stop], part_of):
            small = [p for p in group if len(parts[p]) < min_cluster_size]
            clusters = len(group) - len(small)
            enough = min_cluster_size * (1 if clusters else 2)
            settled &= sum(len(parts[p]) for p in small) < enough
            if clusters >= 2:
                for p in small:
                    open_points[parts[p]] = True
            largest = max(group, key=lambda p: len(parts[p]))
            for p in group:
                if p != largest:
                    for point in parts[p]:
                        part_of[point] = largest
                    parts[largest] += parts[p]
    return Choices(open_points, settled)


def _equal_weights(weights: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Runs (start, stop) of ascending weights that are equal."""
    if len(weights) == 0:
        return []
    new = np.flatnonzero(np.diff(weights) > TIE * weights[1:]) + 1
    bounds = [0, *new.tolist(), len(weights)]
    return list(pairwise(bounds))


def _meeting(edges: NDArray[np.int64], part_of: list[int]) -> list[list[int]]:
    """Groups of parts that these edges join."""
    parent: dict[int, int] = {}

    def find(part: int) -> int:
        while parent.setdefault(part, part) != part:
            part = parent[part]
        return part

    for a, b in edges.tolist():
        parent[find(part_of[a])] = find(part_of[b])
    groups: dict[int, list[int]] = {}
    for part in list(parent):
        groups.setdefault(find(part), []).append(part)
    return list(groups.values())


def library(
    features: NDArray[np.floating], *, min_samples: int, algorithm: str, **options: Any
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """The hdbscan library with its approximation off: sorted weights, labels, probabilities."""
    found = hdbscan_library.hdbscan(
        features,
        metric="euclidean",
        min_samples=min_samples,
        algorithm=algorithm,
        approx_min_span_tree=False,
        gen_min_span_tree=True,
        core_dist_n_jobs=1,
        **options,
    )
    return np.sort(found[5][:, 2]), found[0], found[1]


def same_partition(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Equal up to the names of the clusters; noise is noise."""
    pairs = set(zip(a.tolist(), b.tolist(), strict=True))
    return len(pairs) == len({x for x, _ in pairs}) == len({y for _, y in pairs}) and all(
        (x == -1) == (y == -1) for x, y in pairs
    )
