"""From a spanning tree to clusters: single linkage, condensed tree, selection, strength.

Campello, Moulavi, Sander: Density-Based Clustering Based on Hierarchical Density Estimates (2013);
Campello et al.: Hierarchical Density Estimates for Data Clustering, Visualization, and Outlier
Detection (2015) for excess of mass. Density levels are lambda = 1 / distance, infinite for 0.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tamperscope.clustering import _kernels as kernels

Selection = Literal["eom", "leaf"]


@dataclass(frozen=True, kw_only=True, eq=False)
class CondensedTree:
    """Clusters of at least ``min_cluster_size`` rows that appear as the density level rises.

    Cluster 0 is the root with all rows; a cluster's number is above that of its parent.
    """

    parent: NDArray[np.int64]
    """(clusters,) -1 for the root."""
    birth: NDArray[np.float64]
    """(clusters,) lambda at which the cluster splits off its parent; 0 for the root."""
    size: NDArray[np.int64]
    """(clusters,) rows at birth."""
    cluster: NDArray[np.int64]
    """(n,) the last cluster each row is in."""
    level: NDArray[np.float64]
    """(n,) lambda at which the row leaves it."""


def condense(
    edges: NDArray[np.int64], weights: NDArray[np.float64], min_cluster_size: int
) -> CondensedTree:
    """The condensed tree of a spanning tree whose edges are sorted by weight.

    Args:
        edges: (n - 1, 2), with n >= 2.
        weights: (n - 1,) ascending.
        min_cluster_size: smallest side of a split that is a cluster.
    """
    n = len(edges) + 1
    children = np.empty((n - 1, 2), np.int64)
    sizes = np.ones(2 * n - 1, np.int64)
    kernels.linkage(edges, n, children, sizes)
    most = 2 * (n // min_cluster_size) + 1
    parents, counts = np.empty(most, np.int64), np.empty(most, np.int64)
    births = np.empty(most)
    cluster, level = np.empty(n, np.int64), np.empty(n)
    found = kernels.condense(
        children, sizes, weights, n, min_cluster_size, parents, births, counts, cluster, level
    )
    return CondensedTree(
        parent=parents[:found],
        birth=births[:found],
        size=counts[:found],
        cluster=cluster,
        level=level,
    )


def select(
    tree: CondensedTree, *, selection: Selection, allow_single_cluster: bool
) -> NDArray[np.bool_]:
    """Which clusters of the tree are kept; no two of them on one branch.

    The root is no leaf: with ``leaf`` everything is noise where nothing splits.
    """
    count = len(tree.parent)
    has_children = np.zeros(count, np.bool_)
    has_children[tree.parent[1:]] = True
    if selection == "leaf":
        chosen = ~has_children
        chosen[0] = False
        return chosen
    stability = kernels.stability(tree.parent, tree.birth, tree.size, tree.cluster, tree.level)
    below = np.zeros(count)
    better = np.zeros(count, np.bool_)
    for c in range(count - 1, -1, -1):
        better[c] = not below[c] > stability[c]
        if c:
            below[tree.parent[c]] += max(below[c], stability[c])
    better[0] &= allow_single_cluster
    chosen = np.zeros(count, np.bool_)
    covered = np.zeros(count, np.bool_)
    for c in range(count):
        covered[c] = c > 0 and (covered[tree.parent[c]] or chosen[tree.parent[c]])
        chosen[c] = better[c] and not covered[c]
    return chosen


def label(
    tree: CondensedTree, chosen: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels (n,), -1 for noise, and strengths (n,) in [0, 1], 0 for noise."""
    count = len(tree.parent)
    holder = np.full(count, -1)
    for c in range(count):
        holder[c] = c if chosen[c] else (holder[tree.parent[c]] if c else -1)
    densest = np.zeros(count)
    np.maximum.at(densest, tree.cluster, tree.level)
    np.maximum.at(densest, tree.parent[1:], tree.birth[1:])
    inside = holder[tree.cluster]
    if chosen[0]:
        # A root that is chosen holds everything; its own outskirts are noise all the same.
        inside = np.where(tree.level >= densest[0], inside, -1)
    names = np.cumsum(chosen) - 1
    labels = np.where(inside >= 0, names[inside], -1)
    top = densest[inside]
    with np.errstate(invalid="ignore", divide="ignore"):
        strength = np.minimum(tree.level, top) / top
    strength[(top == 0) | ~np.isfinite(tree.level)] = 1.0
    strength[labels < 0] = 0.0
    return labels.astype(np.int64), strength
