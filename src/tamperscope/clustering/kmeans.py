"""k-means on the features of one picture."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from tamperscope.errors import ClusteringError, ConfigError

KMeansMetric = Literal["released", "cosine", "euclidean"]


@dataclass(frozen=True, kw_only=True, eq=False)
class KMeansResult:
    """labels: int64 (n,) in 0..k-1; centres: (k, C) float32; inertia: sum of squared Euclidean
    distances to the own centre; iterations: how many were run; converged: within the limit."""

    labels: Tensor
    centres: Tensor
    inertia: float
    iterations: int
    converged: bool


@torch.no_grad()
def kmeans(
    features: Tensor,
    *,
    k: int = 2,
    metric: KMeansMetric = "released",
    restarts: int = 8,
    max_iter: int = 100,
    tol: float = 1e-4,
    seed: int = 0,
) -> KMeansResult:
    """Lloyd's k-means with random restarts, as in the released code of FOCAL.

    Every metric updates a centre to the plain mean of its rows and picks the restart with the least
    Euclidean inertia; they differ in how a row x finds its centre c:

    - ``released``: largest x.c. The released code asks its library for cosine similarity, but the
      centres are never scaled to unit length, so that the tighter cluster (whose mean is longer)
      draws rows from the other. All reference labels follow this rule and not the next;
    - ``cosine``: largest angle cosine x.c / |c|;
    - ``euclidean``: least |x - c|, the ordinary algorithm.

    A picture's result depends on its features and the seed only: starts are drawn on the CPU by a
    generator of its own (in the released code they depend on the other pictures of the batch).

    Args:
        features: (n, C) float, one row per pixel; normalise them first if length must not count.
        k: clusters. A cluster that loses all rows keeps its centre and may stay empty, so fewer
            than k labels can occur (all rows equal: only label 0).
        restarts: independent starts, each from k different rows.
        max_iter, tol: stop when the mean distance the centres moved is below tol in every restart.
        seed: of the starts.

    Raises:
        ClusteringError: fewer than k rows, or values that are not finite.
        ConfigError: an option out of range.
    """
    if k < 1 or restarts < 1 or max_iter < 1:
        raise ConfigError(
            f"k, restarts and max_iter must be at least 1, got {k}, {restarts}, {max_iter}"
        )
    if metric not in ("released", "cosine", "euclidean"):
        raise ConfigError(f"unknown metric {metric!r}; use 'released', 'cosine' or 'euclidean'")
    rows = _check(features, k)
    centres = _starts(rows, k, restarts, seed)
    iterations, converged = 0, False
    while iterations < max_iter and not converged:
        moved = _means(rows, _assign(rows, centres, metric), centres)
        converged = bool(((moved - centres).norm(dim=-1).mean(-1) < tol).all())
        centres, iterations = moved, iterations + 1
    labels = _assign(rows, centres, metric)
    inertia = _inertia(rows, labels, centres)
    best = int(inertia.argmin())
    return KMeansResult(
        labels=labels[best],
        centres=centres[best],
        inertia=float(inertia[best]),
        iterations=iterations,
        converged=converged,
    )


def _check(features: Tensor, k: int) -> Tensor:
    if features.ndim != 2 or not features.is_floating_point():
        raise ClusteringError(
            f"features must be a float tensor (n, C), got {features.dtype} {tuple(features.shape)}"
        )
    if len(features) < k:
        raise ClusteringError(f"{k} clusters need at least {k} rows, got {len(features)}; lower k")
    if not bool(torch.isfinite(features).all()):
        raise ClusteringError(
            "features hold NaN or infinity; run the network in float32 or check its weights"
        )
    return features.float()


def _starts(rows: Tensor, k: int, restarts: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    picks = [torch.randperm(len(rows), generator=generator)[:k] for _ in range(restarts)]
    return rows[torch.stack(picks).to(rows.device)]


def _assign(rows: Tensor, centres: Tensor, metric: KMeansMetric) -> Tensor:
    """Labels (restarts, n) of the nearest centre; the lowest label wins a tie."""
    if metric == "cosine":
        # The length of a row scales its similarity to every centre alike: no need to normalise it.
        centres = F.normalize(centres, dim=-1)
    products = rows @ centres.transpose(1, 2)
    if metric == "euclidean":
        products = products - centres.square().sum(-1)[:, None] / 2
    return products.argmax(-1)


def _means(rows: Tensor, labels: Tensor, centres: Tensor) -> Tensor:
    member = F.one_hot(labels, centres.shape[1]).to(rows.dtype)
    counts = member.sum(1)[..., None]
    means = member.transpose(1, 2) @ rows / counts.clamp_min(1)
    return torch.where(counts > 0, means, centres)


def _inertia(rows: Tensor, labels: Tensor, centres: Tensor) -> Tensor:
    return torch.stack(
        [(rows - c[own]).double().square().sum() for own, c in zip(labels, centres, strict=True)]
    )
