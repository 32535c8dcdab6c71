"""HDBSCAN on the features of one picture: exact, Euclidean or cosine."""

import warnings
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tamperscope.errors import ClusteringError, ConfigError

HdbscanMetric = Literal["euclidean", "cosine"]

MATRIX_LIMIT = 8192
"""Up to this many rows the full distance matrix may be formed (float64; at the limit 512 MiB, twice
that at the peak); above it the memory stays proportional to the rows."""

_TREE_DIMENSIONS = 12


def hdbscan(
    features: NDArray[np.floating],
    *,
    min_cluster_size: int = 500,
    min_samples: int | None = None,
    metric: HdbscanMetric = "euclidean",
    allow_single_cluster: bool = False,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """HDBSCAN (Campello et al. 2013), clusters by excess of mass; no approximation.

    Args:
        features: (n, C) float, one row per pixel.
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

    Returns:
        labels (n,): 0, 1, ... or -1 for noise; probabilities (n,) in [0, 1]: strength of membership
        in the own cluster, 0 for noise. One dense mode gives all -1: there is nothing to separate.
        So do fewer rows than min_cluster_size, and rows that are all equal.

    Raises:
        ClusteringError: values that are not finite, or an array that is not (n, C) float.
        ConfigError: an option out of range.
    """
    if min_cluster_size < 2:
        raise ConfigError(f"min_cluster_size must be at least 2, got {min_cluster_size}")
    if min_samples is not None and min_samples < 1:
        raise ConfigError(f"min_samples must be at least 1 or None, got {min_samples}")
    rows = _check(features)
    if metric == "cosine":
        rows = _unit(rows)
    elif metric != "euclidean":
        raise ConfigError(f"unknown metric {metric!r}; use 'euclidean' or 'cosine'")
    n = len(rows)
    if n < min_cluster_size or not np.ptp(rows, axis=0).any():
        return np.full(n, -1, np.int64), np.zeros(n)
    neighbours = min(min_cluster_size if min_samples is None else min_samples, n - 1)
    return _cluster(rows, min_cluster_size, neighbours, allow_single_cluster)


def _cluster(
    rows: NDArray[np.float64], min_cluster_size: int, neighbours: int, single: bool
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    # Imported here: it takes most of a second, which only this function should cost.
    from sklearn.cluster import HDBSCAN

    n, channels = rows.shape
    tree = n > MATRIX_LIMIT or channels <= _TREE_DIMENSIONS
    model = HDBSCAN(
        min_cluster_size=min_cluster_size,
        min_samples=neighbours + 1,
        metric="euclidean",
        algorithm="kd_tree" if tree else "brute",
        allow_single_cluster=single,
        copy=False,
    )
    with warnings.catch_warnings():
        # Coinciding rows merge at distance 0, whose density 1 / 0 the library means to be infinite.
        warnings.simplefilter("ignore", RuntimeWarning)
        model.fit(rows)
    return model.labels_.astype(np.int64), model.probabilities_.astype(np.float64)


def _check(features: NDArray[np.floating]) -> NDArray[np.float64]:
    if features.ndim != 2 or not np.issubdtype(features.dtype, np.floating):
        raise ClusteringError(
            f"features must be a float array (n, C), got {features.dtype} {features.shape}"
        )
    if not np.isfinite(features).all():
        raise ClusteringError(
            "features hold NaN or infinity; run the network in float32 or check its weights"
        )
    return np.array(features, dtype=np.float64, order="C")


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float64] = rows / np.where(norms > 0, norms, 1)
    return unit
