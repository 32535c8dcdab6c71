"""How far two clusterings agree."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

_TIE = 1e-12


@dataclass(frozen=True)
class Clustering:
    """labels (n,), -1 = noise; weights (n - 1,) of the spanning tree, ascending."""

    labels: NDArray[np.int64]
    weights: NDArray[np.float64]


def compare(found: Clustering, reference: Clustering) -> dict[str, Any]:
    """weights_difference: largest, of the sorted trees; rand: adjusted Rand index, noise being one
    more group; differing: points labelled otherwise once clusters are matched by overlap."""
    from sklearn.metrics import adjusted_rand_score

    return {
        "weights_difference": float(np.abs(found.weights - reference.weights).max(initial=0.0)),
        "rand": float(adjusted_rand_score(reference.labels, found.labels)),
        "differing": int(differing(found.labels, reference.labels).sum()),
        "clusters": int(found.labels.max(initial=-1)) + 1,
    }


def differing(labels: NDArray[np.int64], reference: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Points whose label differs under the best one-to-one renaming; noise keeps its name."""
    counts = np.zeros((labels.max(initial=-1) + 1, reference.max(initial=-1) + 1), np.int64)
    both = (labels >= 0) & (reference >= 0)
    np.add.at(counts, (labels[both], reference[both]), 1)
    names = np.full(counts.shape[0] + 1, -2, np.int64)
    names[-1] = -1
    if counts.size:
        rows, columns = linear_sum_assignment(counts, maximize=True)
        names[rows] = columns
    different: NDArray[np.bool_] = names[labels] != reference
    return different


def saddle_points(
    edges: NDArray[np.int64], weights: NDArray[np.float64], min_cluster_size: int
) -> NDArray[np.bool_]:
    """Points that hang on the tree by a weight at which two clusters meet: those may be counted to
    either, and libraries differ in which."""
    n = len(weights) + 1
    lightest = np.full(n, np.inf)
    for ends in edges.T:
        np.minimum.at(lightest, ends, weights)
    meetings = np.asarray(_meetings(edges, weights, min_cluster_size))
    if len(meetings) == 0:
        return np.zeros(n, bool)
    at = np.searchsorted(meetings, lightest * (1 - _TIE)).clip(max=len(meetings) - 1)
    close: NDArray[np.bool_] = np.abs(meetings[at] - lightest) <= 2 * _TIE * lightest
    return close


def _meetings(
    edges: NDArray[np.int64], weights: NDArray[np.float64], min_cluster_size: int
) -> list[float]:
    """Weights, ascending, at which both sides have `min_cluster_size` points."""
    parent = list(range(len(weights) + 1))
    size = [1] * len(parent)
    found = []
    for (a, b), weight in zip(edges.tolist(), weights.tolist(), strict=True):
        while parent[a] != a:
            parent[a] = a = parent[parent[a]]
        while parent[b] != b:
            parent[b] = b = parent[parent[b]]
        if min(size[a], size[b]) >= min_cluster_size:
            found.append(weight)
        if size[a] < size[b]:
            a, b = b, a
        parent[b], size[a] = a, size[a] + size[b]
    return found
