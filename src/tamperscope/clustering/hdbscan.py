"""HDBSCAN on the features of one picture, exact; `estimator` has it for scikit-learn."""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tamperscope.clustering._dendrogram import Selection, condense, label, select
from tamperscope.clustering.engine import SpanningTree, checked, spanning_tree
from tamperscope.errors import ConfigError

if TYPE_CHECKING:
    import torch

HdbscanMetric = Literal["euclidean", "cosine"]


def hdbscan(
    features: "NDArray[np.floating] | torch.Tensor",
    *,
    min_cluster_size: int = 500,
    min_samples: int | None = None,
    metric: HdbscanMetric = "euclidean",
    allow_single_cluster: bool = False,
    selection: Selection = "eom",
    max_memory: int | None = None,
    threads: int | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """HDBSCAN (Campello et al. 2013); no approximation.

    Args:
        features: (n, C) float, one row per pixel. A torch tensor on a GPU is clustered there; the
            answer is the same.
        min_cluster_size: smallest group that counts as a cluster, at least 2.
        min_samples: k of the core distance, *not* counting the point itself (the convention of the
            hdbscan library; scikit-learn counts it, so its value is one higher). None: the
            min_cluster_size. Values above n - 1 are lowered to n - 1.
        metric: ``cosine`` clusters the rows scaled to unit length by Euclidean distance. For unit
            vectors distance^2 = 2 - 2 cos, so both order all pairs alike and the tree of merges is
            the same; the condensed tree weighs levels by 1 / distance, so stability can differ from
            a run on 1 - cos.
        allow_single_cluster: accept one cluster that holds everything. Off in the published
            method: it merges a true pair of regions into one.
        selection: ``eom``: clusters by excess of mass; ``leaf``: those without clusters inside.
        max_memory: bytes to use beyond the features, nearly; less is slower. None: as many as it
            takes, about 6 KB a row at min_samples = 500. Not on a GPU.
        threads: CPU threads; None: one for each core.

    Returns:
        labels (n,): 0, 1, ... or -1 for noise; probabilities (n,) in [0, 1]: strength of membership
        in the own cluster, 0 for noise. One dense mode gives all -1: there is nothing to separate.
        So do fewer rows than min_cluster_size, and rows that are all equal. Where several merges
        happen at one distance they are taken as one, so that the order of the rows does not matter;
        a row on the saddle between two clusters, which other libraries give to either, is noise.

    Raises:
        ClusteringError: values that are not finite, or an array that is not (n, C) float.
        ConfigError: an option out of range.
    """
    _check_options(min_cluster_size, min_samples, metric, selection)
    n = len(features)
    k = min(min_cluster_size if min_samples is None else min_samples, max(n - 1, 1))
    rows: Any = features
    if not isinstance(features, np.ndarray) and features.device.type == "cpu":
        rows = features.numpy(force=True)
    if isinstance(rows, np.ndarray):
        rows = checked(rows)
        if metric == "cosine":
            rows = _unit(rows)
    if n < min_cluster_size:
        return np.full(n, -1, np.int64), np.zeros(n)
    tree = _tree(rows, k, metric, max_memory, threads)
    return clusters(
        tree,
        min_cluster_size=min_cluster_size,
        allow_single_cluster=allow_single_cluster,
        selection=selection,
    )


def clusters(
    tree: SpanningTree,
    *,
    min_cluster_size: int,
    allow_single_cluster: bool = False,
    selection: Selection = "eom",
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels and strengths from a spanning tree, as `hdbscan` returns them.

    Any minimum spanning tree of the same rows gives the same ones.
    """
    n = len(tree.core_distances)
    if n < min_cluster_size or not tree.weights.any():
        return np.full(n, -1, np.int64), np.zeros(n)
    condensed = condense(tree.edges, tree.weights, min_cluster_size)
    chosen = select(condensed, selection=selection, allow_single_cluster=allow_single_cluster)
    return label(condensed, chosen)


def _tree(
    rows: Any, k: int, metric: HdbscanMetric, max_memory: int | None, threads: int | None
) -> SpanningTree:
    if isinstance(rows, np.ndarray):
        return spanning_tree(rows, min_samples=k, max_memory=max_memory, threads=threads)
    from tamperscope.clustering.torch_engine import spanning_tree_torch

    return spanning_tree_torch(rows, min_samples=k, unit=metric == "cosine")


def _check_options(
    min_cluster_size: int, min_samples: int | None, metric: str, selection: str
) -> None:
    if min_cluster_size < 2:
        raise ConfigError(f"min_cluster_size must be at least 2, got {min_cluster_size}")
    if min_samples is not None and min_samples < 1:
        raise ConfigError(f"min_samples must be at least 1 or None, got {min_samples}")
    if metric not in ("euclidean", "cosine"):
        raise ConfigError(f"unknown metric {metric!r}; use 'euclidean' or 'cosine'")
    if selection not in ("eom", "leaf"):
        raise ConfigError(f"unknown selection {selection!r}; use 'eom' or 'leaf'")


def _unit(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    rows = rows.astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float64] = rows / np.where(norms > 0, norms, 1)
    return unit
