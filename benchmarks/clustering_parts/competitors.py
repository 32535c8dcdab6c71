"""Each competitor as it is timed: input in memory, labels out. Imported in measured processes only.

All get float32 features, as a network gives them, and as many threads as the others. min_samples is
counted alike: scikit-learn, which counts the point itself, gets one more.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]
_WARM = 3000


@dataclass(frozen=True)
class Settings:
    """Of one run."""

    min_cluster_size: int
    min_samples: int
    threads: int


@dataclass(frozen=True)
class Found:
    """labels (n,); weights (n - 1,) of the spanning tree, ascending; edges (n - 1, 2) of ours."""

    labels: NDArray[np.int64]
    weights: NDArray[np.float64]
    edges: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Job:
    """What is timed, and how its answer becomes comparable, which is not."""

    work: Callable[[], Any]
    finish: Callable[[Any], Found]


def prepare(name: str, features: Features, settings: Settings) -> Job:
    """A competitor, imported, compiled and warm, ready to be timed on `features`."""
    return _MAKERS[name](features, settings)


def _found(labels: NDArray[Any], weights: NDArray[Any]) -> Found:
    return Found(labels.astype(np.int64), np.sort(weights.astype(np.float64)))


def _ours(features: Features, settings: Settings) -> Job:
    from tamperscope.clustering.engine import spanning_tree
    from tamperscope.clustering.hdbscan import hdbscan

    def work(rows: Any = features) -> Any:
        return hdbscan(
            rows, min_cluster_size=settings.min_cluster_size, min_samples=settings.min_samples
        )

    def finish(found: Any) -> Found:
        tree = spanning_tree(features, min_samples=settings.min_samples)
        return Found(found[0], tree.weights, tree.edges)

    work(features[:_WARM])
    return Job(work, finish)


def _ours_cuda(features: Features, settings: Settings) -> Job:
    import torch

    from tamperscope.clustering.engine import spanning_tree
    from tamperscope.clustering.hdbscan import hdbscan

    tensor = torch.from_numpy(features).cuda()

    def work(rows: Any = tensor) -> Any:
        found = hdbscan(
            rows, min_cluster_size=settings.min_cluster_size, min_samples=settings.min_samples
        )
        torch.cuda.synchronize()
        return found

    def finish(found: Any) -> Found:
        tree = spanning_tree(tensor, min_samples=settings.min_samples)
        return Found(found[0], tree.weights, tree.edges)

    # The whole set: what a device sets up depends on the sizes it sees.
    work()
    torch.cuda.reset_peak_memory_stats()
    return Job(work, finish)


def _library(features: Features, settings: Settings, **options: Any) -> Job:
    from hdbscan import hdbscan

    def work(rows: Features = features) -> Any:
        return hdbscan(
            rows,
            min_cluster_size=settings.min_cluster_size,
            min_samples=settings.min_samples,
            metric="euclidean",
            core_dist_n_jobs=settings.threads,
            gen_min_span_tree=True,
            **options,
        )

    def finish(found: Any) -> Found:
        return _found(found[0], found[5][:, 2])

    work(features[:300])
    start_pool(settings.threads)
    return Job(work, finish)


def start_pool(threads: int) -> None:
    """Start the processes that the hdbscan library uses from 16,385 points on."""
    from joblib import Parallel, delayed

    Parallel(n_jobs=threads)(delayed(_import_library)() for _ in range(4))


def _import_library() -> None:
    import hdbscan  # noqa: F401


def _library_exact(features: Features, settings: Settings) -> Job:
    return _library(features, settings, algorithm="boruvka_kdtree", approx_min_span_tree=False)


def _scikit_learn(features: Features, settings: Settings, algorithm: str) -> Job:
    from sklearn.cluster import HDBSCAN

    def work(rows: Features = features) -> Any:
        return HDBSCAN(
            min_cluster_size=settings.min_cluster_size,
            min_samples=min(settings.min_samples + 1, len(rows)),
            algorithm=algorithm,
            n_jobs=settings.threads,
            copy=False,
        ).fit(rows)

    def finish(found: Any) -> Found:
        return _found(found.labels_, found._single_linkage_tree_["value"])

    work(features[:600])
    return Job(work, finish)


def _fast(features: Features, settings: Settings) -> Job:
    """Its kd-tree, Boruvka and labels called one by one: above 30 dimensions its own front door
    leads to an approximation instead."""
    import numba
    from fast_hdbscan.boruvka import parallel_boruvka
    from fast_hdbscan.hdbscan import clusters_from_spanning_tree
    from fast_hdbscan.numba_kdtree import build_kdtree

    numba.set_num_threads(settings.threads)

    def work(rows: Features = features) -> Any:
        tree = build_kdtree(rows)
        edges, _, _ = parallel_boruvka(
            tree,
            settings.threads,
            min_samples=settings.min_samples,
            sample_weights=np.empty(1, np.float32),  # its word for none
            reproducible=False,
        )
        found = clusters_from_spanning_tree(edges, min_cluster_size=settings.min_cluster_size)
        return found[0], edges

    def finish(found: Any) -> Found:
        return _found(found[0], found[1][:, 2])

    work(features[:_WARM])
    return Job(work, finish)


_MAKERS: dict[str, Callable[[Features, Settings], Job]] = {
    "ours": _ours,
    "ours-cuda": _ours_cuda,
    "hdbscan": _library_exact,
    "hdbscan-default": _library,
    "sklearn-tree": lambda features, settings: _scikit_learn(features, settings, "kd_tree"),
    "sklearn-brute": lambda features, settings: _scikit_learn(features, settings, "brute"),
    "fast-hdbscan": _fast,
}
