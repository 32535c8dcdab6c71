"""The exact minimum spanning tree of mutual reachability, in seconds for a picture's features.

Between two rows the mutual reachability is ``max(core(i), core(j), |x_i - x_j|)``, where ``core``
is the distance to the k-th nearest other row (Campello, Moulavi, Sander 2013). Nothing here is
approximate, and the n x n matrix is never formed:

1. Equal rows are merged (and counted), the rest is centred, turned to its principal axes, and
   ordered by a median-split tree, so that blocks of consecutive rows are compact.
2. Tiles of inner products, block against block, fill each row's list of near neighbours. A bound on
   the k-th distance, first from a sample and then from the list itself, keeps lists short; pairs of
   blocks that the bounds rule out are skipped. Products are float32; whatever their rounding error
   could decide otherwise is decided by float64 distances of the original features.
3. A row whose ball (radius: its core distance) holds a row of lower core distance is linked to it:
   no edge of it can be lighter than its own core distance, so that link is in a minimum spanning
   tree. Few rows, one per density peak, are left without.
4. What remains are trees to be joined by Boruvka's algorithm: best edges from the lists where these
   provably hold them, and else from a search through the blocks that can still matter.

Ties are broken by the order of the rows, so that the same features give the same tree with any
number of threads.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from tamperscope.clustering._join import join
from tamperscope.clustering._neighbours import neighbours
from tamperscope.clustering._order import arrange
from tamperscope.errors import ClusteringError, ConfigError
from tamperscope.workers.settings import cores_here

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class SpanningTree:
    """A minimum spanning tree of the mutual reachability graph of n rows."""

    edges: NDArray[np.int64]
    """(n - 1, 2) row numbers, the lower first."""
    weights: NDArray[np.float64]
    """(n - 1,) mutual reachability of the edges, ascending; ties in the order of the edges."""
    core_distances: NDArray[np.float64]
    """(n,) distance to the k-th nearest other row."""


def spanning_tree(
    features: "NDArray[np.floating] | Tensor",
    *,
    min_samples: int,
    max_memory: int | None = None,
    threads: int | None = None,
) -> SpanningTree:
    """The exact minimum spanning tree of the mutual reachability of the rows.

    Args:
        features: (n, C) float, finite. A torch tensor on a GPU stays there.
        min_samples: k of the core distance, not counting the row itself; at least 1, lowered to
            n - 1 where there are fewer rows.
        max_memory: bytes to use beyond the features, nearly; with less than all lists need,
            products are formed twice and lists kept short. The tree has the same weights; it can
            have other edges where edges tie, but the clusters made from it are the same.
        threads: how many to use; by default one for each core there is.

    Raises:
        ClusteringError: not (n, C) float, or values that are not finite.
        ConfigError: an option out of range; less memory than the least that is needed.
    """
    if not isinstance(features, np.ndarray):
        if features.device.type != "cpu":
            from tamperscope.clustering.torch_engine import spanning_tree_torch

            return spanning_tree_torch(features, min_samples=min_samples)
        features = features.numpy(force=True)
    points = checked(features)
    n = len(points)
    if min_samples < 1:
        raise ConfigError(f"min_samples must be at least 1, got {min_samples}")
    if threads is not None and threads < 1:
        raise ConfigError(f"threads must be at least 1, got {threads}")
    if n < 2:
        return SpanningTree(
            edges=np.empty((0, 2), np.int64), weights=np.empty(0), core_distances=np.zeros(n)
        )
    k = min(min_samples, n - 1)
    threads = cores_here() if threads is None else threads
    points, scale = _scaled(points)
    size = 512 if n >= 16_384 else 256
    blocks = arrange(points, size=size, dtype=np.float32)
    # Own threads with a product each beat products on many threads; nested ones are worst.
    with threadpool_limits(1, user_api="blas"):
        lists = neighbours(blocks, k, max_memory=max_memory, threads=threads)
        if lists is None:
            blocks = arrange(points, size=size, dtype=np.float64)
            lists = neighbours(blocks, k, max_memory=max_memory, threads=threads)
        assert lists is not None
        edges, weights, core = join(blocks, lists, threads=threads)
    return SpanningTree(edges=edges, weights=weights * scale, core_distances=core * scale)


def _scaled(points: NDArray[np.floating]) -> tuple[NDArray[np.floating], float]:
    """Features whose squared distances neither overflow nor vanish, and what to multiply by after.

    The factor is a power of two, so that scaling rounds nothing.
    """
    spread = float(np.max(points.max(axis=0).astype(np.float64) - points.min(axis=0), initial=0.0))
    if spread == 0.0 or 2.0**-20 < spread < 2.0**20:
        return points, 1.0
    scale = 2.0 ** int(np.frexp(spread)[1])
    return points.astype(np.float64) / scale, scale


def checked(features: NDArray[np.floating]) -> NDArray[np.floating]:
    """The features as a contiguous float32 or float64 array.

    Raises:
        ClusteringError: not (n, C) float, or values that are not finite.
    """
    if features.ndim != 2 or not np.issubdtype(features.dtype, np.floating):
        raise ClusteringError(
            f"features must be a float array (n, C), got {features.dtype} {features.shape}"
        )
    if not np.isfinite(features).all():
        raise ClusteringError(
            "features hold NaN or infinity; run the network in float32 or check its weights"
        )
    kept = np.float32 if features.dtype in (np.float16, np.float32) else np.float64
    return np.ascontiguousarray(features, dtype=kept)
