"""Approximations: near the exact answer where clusters are clear, and never silent."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tamperscope.clustering.approximate import pooled, subsampled
from tamperscope.clustering.hdbscan import hdbscan
from tamperscope.errors import ClusteringError, ConfigError


def halves(h: int = 40, w: int = 60, channels: int = 6) -> NDArray[np.float32]:
    """A grid whose right third differs from the rest."""
    rng = np.random.default_rng(3)
    grid = rng.normal(scale=0.05, size=(h, w, channels))
    grid[:, : 2 * w // 3, 0] += 1
    grid[:, 2 * w // 3 :, 1] += 1
    return grid.astype(np.float32)


def agreement(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    """Share of the rows that are alike in whether they are in the first one's cluster or not."""
    same = (a == a[0]) == (b == b[0])
    return float(same.mean())


def test_subsample_finds_clear_clusters_and_says_what_it_is() -> None:
    rows = halves().reshape(-1, 6)
    exact, _ = hdbscan(rows, min_cluster_size=200)
    some = subsampled(rows, points=600, min_cluster_size=200)
    assert some.approximation == "subsample: 600 of 2400 points"
    assert set(exact) - {-1} == set(some.labels) - {-1} == {0, 1}
    assert agreement(exact, some.labels) > 0.9
    assert ((some.probabilities > 0) == (some.labels >= 0)).all()
    again = subsampled(rows, points=600, min_cluster_size=200)
    np.testing.assert_array_equal(again.labels, some.labels)


def test_subsample_of_few_points_is_exact_and_says_so() -> None:
    rows = halves(20, 30).reshape(-1, 6)
    some = subsampled(rows, points=600, min_cluster_size=50)
    assert some.approximation == ""
    np.testing.assert_array_equal(some.labels, hdbscan(rows, min_cluster_size=50)[0])


def test_subsample_by_cosine_takes_no_notice_of_lengths() -> None:
    rows = halves().reshape(-1, 6)
    lengths = 2.0 ** np.random.default_rng(4).integers(-6, 7, (len(rows), 1))
    even, uneven = (
        subsampled(r, points=600, min_cluster_size=200, metric="cosine")
        for r in (rows, rows * lengths.astype(np.float32))
    )
    assert set(even.labels) - {-1} == {0, 1}
    np.testing.assert_array_equal(uneven.labels, even.labels)
    np.testing.assert_allclose(uneven.probabilities, even.probabilities, atol=1e-5)


@pytest.mark.parametrize("shape", [(40, 60), (41, 61)])
def test_pooled_grid_gives_squares_their_cluster(shape: tuple[int, int]) -> None:
    grid = halves(*shape)
    found = pooled(grid, factor=2, min_cluster_size=200)
    h, w = shape
    assert found.approximation == f"pooled: {-(-h // 2)} x {-(-w // 2)} of {h} x {w} cells"
    labels = found.labels.reshape(shape)
    np.testing.assert_array_equal(labels[0::2][: h // 2], labels[1::2])
    truth = np.zeros(shape, bool)
    truth[:, 2 * w // 3 :] = True
    assert ((labels == labels[0, -1]) == truth).mean() > 0.9


def test_pooling_by_one_is_exact() -> None:
    grid = halves(20, 30)
    found = pooled(grid, factor=1, min_cluster_size=50)
    assert found.approximation == ""
    np.testing.assert_array_equal(
        found.labels, hdbscan(grid.reshape(-1, 6), min_cluster_size=50)[0]
    )


def test_errors() -> None:
    with pytest.raises(ConfigError, match="points must be at least 2, got 1"):
        subsampled(halves().reshape(-1, 6), points=1)
    with pytest.raises(ConfigError, match="factor must be at least 1, got 0"):
        pooled(halves(), factor=0)
    with pytest.raises(ClusteringError, match=r"must be \(h, w, C\), got \(2400, 6\)"):
        pooled(halves().reshape(-1, 6))
    with pytest.raises(ClusteringError, match="NaN or infinity"):
        pooled(np.full((8, 8, 2), np.nan))
