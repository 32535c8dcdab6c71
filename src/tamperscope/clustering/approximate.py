"""Faster clusterings that are not exact. They are used only when asked for by name, and say so.

Exact clustering of a picture's features takes seconds (`engine`), so that these are for what is
larger than a picture. They can turn a mask inside out where two clusters are nearly equal in size.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamperscope.clustering.engine import checked
from tamperscope.clustering.hdbscan import hdbscan
from tamperscope.errors import ClusteringError, ConfigError


@dataclass(frozen=True, kw_only=True, eq=False)
class Approximate:
    """A clustering that is not that of all rows, and what it is."""

    labels: NDArray[np.int64]
    """-1 for noise."""
    probabilities: NDArray[np.float64]
    approximation: str
    """For people and for records, e.g. ``subsample: 8192 of 65536 points``; empty when the input
    was so small that nothing was left out."""


def subsampled(
    features: NDArray[np.floating],
    *,
    points: int = 8192,
    seed: int = 0,
    min_cluster_size: int = 500,
    min_samples: int | None = None,
    **options: Any,
) -> Approximate:
    """Cluster some of the rows; the others take label and strength of the nearest of these.

    Args:
        features: (n, C) float.
        points: how many rows, drawn without replacement.
        seed: of the draw.
        min_cluster_size, min_samples: for all n rows; lowered with the share that is drawn.
        **options: as for `hdbscan`.

    Raises:
        ClusteringError, ConfigError: as for `hdbscan`, and for fewer than 2 points.
    """
    if points < 2:
        raise ConfigError(f"points must be at least 2, got {points}")
    rows = checked(features)
    n = len(rows)
    if n <= points:
        labels, strength = hdbscan(
            rows, min_cluster_size=min_cluster_size, min_samples=min_samples, **options
        )
        return Approximate(labels=labels, probabilities=strength, approximation="")
    drawn = np.sort(np.random.default_rng(seed).choice(n, points, replace=False))
    share = points / n
    labels, strength = hdbscan(
        rows[drawn],
        min_cluster_size=max(2, round(min_cluster_size * share)),
        min_samples=None if min_samples is None else max(1, round(min_samples * share)),
        **options,
    )
    if options.get("metric") == "cosine":
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        rows = rows / np.maximum(lengths, np.finfo(rows.dtype).tiny)
    nearest = _nearest(rows, rows[drawn])
    nearest[drawn] = np.arange(points)
    return Approximate(
        labels=labels[nearest],
        probabilities=strength[nearest],
        approximation=f"subsample: {points} of {n} points",
    )


def pooled(
    grid: NDArray[np.floating],
    *,
    factor: int = 2,
    min_cluster_size: int = 500,
    min_samples: int | None = None,
    **options: Any,
) -> Approximate:
    """Cluster the means of squares of a grid of features; each cell takes its square's label.

    Args:
        grid: (h, w, C) float; sides that ``factor`` does not divide end in smaller squares.
        factor: side of the squares in cells.
        min_cluster_size, min_samples: for the cells; lowered by ``factor`` squared.
        **options: as for `hdbscan`.

    Returns:
        labels and strengths of all cells, (h * w,), row by row.

    Raises:
        ClusteringError: not (h, w, C), or as for `hdbscan`.
        ConfigError: ``factor`` below 1, or as for `hdbscan`.
    """
    if grid.ndim != 3:
        raise ClusteringError(f"a grid of features must be (h, w, C), got {grid.shape}")
    if factor < 1:
        raise ConfigError(f"factor must be at least 1, got {factor}")
    h, w, channels = grid.shape
    cells = checked(grid.reshape(-1, channels)).reshape(grid.shape)
    places = [np.arange(0, side, factor) for side in (h, w)]
    counts = [np.diff(np.append(at, side)) for at, side in zip(places, (h, w), strict=True)]
    total = np.add.reduceat(np.add.reduceat(cells, places[0], axis=0), places[1], axis=1)
    means = total / (counts[0][:, None] * counts[1][None, :])[..., None]
    area = factor**2
    labels, strength = hdbscan(
        means.reshape(-1, channels).astype(cells.dtype),
        min_cluster_size=max(2, round(min_cluster_size / area)),
        min_samples=None if min_samples is None else max(1, round(min_samples / area)),
        **options,
    )
    square = (np.arange(h) // factor)[:, None] * len(places[1]) + (np.arange(w) // factor)[None, :]
    small = (len(places[0]), len(places[1]))
    return Approximate(
        labels=labels[square.ravel()],
        probabilities=strength[square.ravel()],
        approximation=f"pooled: {small[0]} x {small[1]} of {h} x {w} cells" if factor > 1 else "",
    )


def _nearest(rows: NDArray[np.floating], others: NDArray[np.floating]) -> NDArray[np.intp]:
    centre = others.mean(axis=0)
    targets = others - centre
    lengths = np.einsum("ij,ij->i", targets, targets)
    found = np.empty(len(rows), np.intp)
    for start in range(0, len(rows), 2048):
        products = (rows[start : start + 2048] - centre) @ targets.T
        found[start : start + 2048] = (lengths - 2 * products).argmin(axis=1)
    return found
