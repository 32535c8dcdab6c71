"""The spanning tree and the labels made of it: against brute force, and against the hdbscan library
with its approximation off."""

import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from reference.exact_tree import choices, exact_tree, library, mutual_reachability, same_partition
from reference.point_sets import CASES, modes
from tamperscope.clustering.engine import SpanningTree, spanning_tree
from tamperscope.clustering.hdbscan import clusters, hdbscan
from tamperscope.clustering.torch_engine import spanning_tree_torch
from tamperscope.errors import ClusteringError, ConfigError

NEIGHBOURS = (1, 5, 60, 10_000)
MEBIBYTE = 1 << 20


def assert_weights(found: NDArray[np.float64], wanted: NDArray[np.float64]) -> None:
    """Equal to 1e-12 of themselves, or of the heaviest weight."""
    scale = float(wanted.max(initial=0.0))
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12 * scale)


def assert_same_tree(found: SpanningTree, wanted: SpanningTree) -> None:
    np.testing.assert_array_equal(found.edges, wanted.edges)
    np.testing.assert_array_equal(found.weights, wanted.weights)
    np.testing.assert_array_equal(found.core_distances, wanted.core_distances)


def assert_minimal(tree: SpanningTree, features: NDArray[np.floating], min_samples: int) -> None:
    """A spanning tree whose edges weigh what they must, as light as the one by brute force."""
    n, reference = len(features), exact_tree(features, min_samples)
    assert tree.edges.shape == (max(n - 1, 0), 2)
    assert (tree.edges.dtype, tree.weights.dtype) == (np.int64, np.float64)
    assert tree.core_distances.dtype == np.float64
    assert_weights(tree.core_distances, reference.core_distances)
    assert (np.diff(tree.weights) >= 0).all()
    assert (tree.edges[:, 0] < tree.edges[:, 1]).all()
    assert_weights(tree.weights, reference.weights)
    assert_weights(tree.weights, mutual_reachability(features, tree.edges, tree.core_distances))
    if n:
        links = coo_array((np.ones(n - 1), tuple(tree.edges.T)), shape=(n, n))
        assert connected_components(links, directed=False)[0] == 1


# ------------------------------------------------------------------------------ the spanning tree


@pytest.mark.parametrize("min_samples", NEIGHBOURS)
@pytest.mark.parametrize("case", CASES)
def test_tree_is_minimal(case: str, min_samples: int) -> None:
    features = CASES[case]()
    assert_minimal(spanning_tree(features, min_samples=min_samples), features, min_samples)


@pytest.mark.parametrize("algorithm", ["prims_kdtree", "boruvka_kdtree"])
@pytest.mark.parametrize("min_samples", [1, 10, 100])
@pytest.mark.parametrize(
    "case",
    [
        "uniform, 2 dimensions",
        "uniform, 16 dimensions",
        "clusters",
        "clusters, background",
        "one mode",
        "shells",
        "duplicates",
        "collinear",
        "lattice",
        "tiny",
        "float32",
    ],
)
def test_weights_of_the_hdbscan_library(case: str, min_samples: int, algorithm: str) -> None:
    features = CASES[case]()
    tree = spanning_tree(features, min_samples=min_samples)
    wanted, _, _ = library(features, min_samples=min_samples, algorithm=algorithm)
    assert_weights(tree.weights, wanted)


@pytest.mark.parametrize("min_samples", [5, 50, 500])
def test_weights_on_a_picture(picture_features: NDArray[np.float32], min_samples: int) -> None:
    rows = picture_features[40:80, 60:100].reshape(-1, 64)
    tree = spanning_tree(rows, min_samples=min_samples)
    assert_minimal(tree, rows, min_samples)
    assert_weights(
        tree.weights, library(rows, min_samples=min_samples, algorithm="prims_kdtree")[0]
    )


def test_runs_of_sizes_around_block_borders() -> None:
    """Sizes at which a block is full, or holds one point more or less."""
    everything = modes(1200, 600, channels=10, spread=0.2, background=250)
    for size in (127, 128, 129, 255, 256, 257, 511, 512, 513, 1023, 1024, 1025, 2049):
        rows = everything[:size]
        assert_weights(weights_of(rows, 12), exact_tree(rows, 12).weights)


def test_input_is_left_alone() -> None:
    for case in ("duplicates", "float32", "not contiguous"):
        features = CASES[case]()
        before = features.copy()
        spanning_tree(features, min_samples=10)
        np.testing.assert_array_equal(features, before)
        features.setflags(write=False)
        spanning_tree(features, min_samples=10)


# ------------------------------------------------------------------------------------- the labels

LABELLED = (
    ("uniform, 2 dimensions", 40, 40),
    ("uniform, 2 dimensions", 15, 15),
    ("one dimension", 60, 5),
    ("clusters", 40, 40),
    ("clusters", 60, 5),
    ("clusters, background", 15, 15),
    ("touching clusters", 40, 40),
    ("touching clusters", 60, 5),
    ("one mode", 40, 40),
    ("shells", 60, 5),
    ("duplicates", 40, 40),
    ("duplicates", 60, 5),
    ("collinear", 60, 5),
    ("collinear", 15, 15),
    ("uneven axes", 40, 40),
    ("huge", 15, 15),
    ("tiny", 60, 5),
    ("float32", 15, 15),
)
"""Case, min_cluster_size, min_samples: such that the hierarchy is settled."""

THEIR_NAMES = {"selection": "cluster_selection_method"}


def assert_labels(
    features: NDArray[np.floating], min_cluster_size: int, min_samples: int, **options: Any
) -> None:
    """As the library's, but for points that may join either of two clusters: those join one."""
    tree = exact_tree(features, min_samples)
    undecided, settled = choices(tree.edges, tree.weights, min_cluster_size)
    assert settled, "take another case: here the hierarchy itself is a matter of order"
    assert undecided.mean() < 0.05
    labels, strength = hdbscan(
        features, min_cluster_size=min_cluster_size, min_samples=min_samples, **options
    )
    _, wanted, wanted_strength = library(
        features,
        min_samples=min_samples,
        algorithm="prims_kdtree",
        min_cluster_size=min_cluster_size,
        **{THEIR_NAMES.get(key, key): value for key, value in options.items()},
    )
    assert same_partition(labels[~undecided], wanted[~undecided])
    np.testing.assert_allclose(strength[~undecided], wanted_strength[~undecided], atol=1e-9)
    assert set(labels[undecided]) <= set(labels[~undecided]) | {-1}


@pytest.mark.parametrize("single", [False, True], ids=["several", "single"])
@pytest.mark.parametrize("selection", ["eom", "leaf"])
@pytest.mark.parametrize(("case", "min_cluster_size", "min_samples"), LABELLED)
def test_labels_of_the_hdbscan_library(
    case: str, min_cluster_size: int, min_samples: int, selection: str, single: bool
) -> None:
    assert_labels(
        CASES[case](),
        min_cluster_size,
        min_samples,
        selection=selection,
        allow_single_cluster=single,
    )


@pytest.mark.parametrize("selection", ["eom", "leaf"])
def test_labels_on_a_picture(picture_features: NDArray[np.float32], selection: str) -> None:
    rows = picture_features[40:80, 60:100].reshape(-1, 64)
    assert_labels(rows, 60, 60, selection=selection)
    assert_labels(rows, 30, 8, selection=selection)


def test_saddle_ties_exist_and_are_few() -> None:
    """The exception the contract makes is needed: at such a point clusters meet, and it decides
    their meeting by its own core distance."""
    for case, size in (("uniform, 2 dimensions", 15), ("touching clusters", 40)):
        tree = exact_tree(CASES[case](), size)
        undecided, settled = choices(tree.edges, tree.weights, size)
        assert settled
        assert 1 <= undecided.sum() <= 8
        for point in np.flatnonzero(undecided):
            edges = (tree.edges == point).any(1)
            np.testing.assert_allclose(
                tree.weights[edges].min(), tree.core_distances[point], rtol=1e-12
            )


# ----------------------------------------------------------------------------- what must not matter

VALUES = st.integers(-6, 6).map(float)
SHAPES = st.tuples(st.integers(2, 60), st.integers(1, 6))
POINTS = arrays.arrays(np.float64, SHAPES, elements=VALUES)
"""Points on a small lattice: many duplicates, many equal distances."""
SMOOTH = st.tuples(SHAPES, st.integers(0, 2**32 - 1)).map(
    lambda drawn: np.random.default_rng(drawn[1]).normal(size=drawn[0])
)
SAMPLES = st.integers(1, 70)
MANY = settings(max_examples=100)


def weights_of(features: NDArray[np.float64], min_samples: int) -> NDArray[np.float64]:
    return spanning_tree(features, min_samples=min_samples).weights


@MANY
@given(POINTS | SMOOTH, SAMPLES)
def test_any_tree_is_minimal(features: NDArray[np.float64], min_samples: int) -> None:
    assert_minimal(spanning_tree(features, min_samples=min_samples), features, min_samples)


@MANY
@given(POINTS | SMOOTH, SAMPLES, st.randoms(use_true_random=False))
def test_order_does_not_matter(features: NDArray[np.float64], k: int, random: Any) -> None:
    order = list(range(len(features)))
    random.shuffle(order)
    tree, shuffled = (spanning_tree(x, min_samples=k) for x in (features, features[order]))
    assert_weights(shuffled.weights, tree.weights)
    assert_weights(shuffled.core_distances, tree.core_distances[order])


@MANY
@given(
    POINTS | SMOOTH,
    st.integers(2, 12),
    st.integers(1, 12),
    st.sampled_from(["eom", "leaf"]),
    st.randoms(use_true_random=False),
)
def test_order_does_not_matter_to_labels(
    features: NDArray[np.float64],
    min_cluster_size: int,
    min_samples: int,
    selection: Literal["eom", "leaf"],
    random: Any,
) -> None:
    """Not even where many merges happen at one distance."""
    order = list(range(len(features)))
    random.shuffle(order)
    labels, shuffled = (
        hdbscan(
            rows, min_cluster_size=min_cluster_size, min_samples=min_samples, selection=selection
        )[0]
        for rows in (features, features[order])
    )
    assert same_partition(shuffled, labels[order])


@given(SMOOTH, SAMPLES, st.integers(0, 2**32 - 1))
def test_rotation_does_not_matter(features: NDArray[np.float64], k: int, seed: int) -> None:
    channels = features.shape[1]
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(channels, channels)))
    np.testing.assert_allclose(weights_of(features @ turn, k), weights_of(features, k), rtol=1e-10)


@given(POINTS | SMOOTH, SAMPLES, st.integers(-60, 60))
def test_scale_scales_the_weights(features: NDArray[np.float64], k: int, power: int) -> None:
    factor = 2.0**power  # exact, so nothing but the engine can round
    assert_weights(weights_of(features * factor, k), weights_of(features, k) * factor)


@given(POINTS, SAMPLES, arrays.arrays(np.float64, 6, elements=st.integers(-(10**6), 10**6)))
def test_translation_does_not_matter(
    features: NDArray[np.float64], k: int, shift: NDArray[np.float64]
) -> None:
    moved = features + shift[: features.shape[1]]  # whole numbers, so exact as well
    assert_weights(weights_of(moved, k), weights_of(features, k))


@given(POINTS | SMOOTH, SAMPLES)
def test_more_neighbours_weigh_more(features: NDArray[np.float64], k: int) -> None:
    few, many = weights_of(features, k), weights_of(features, k + 1)
    assert (many >= few * (1 - 1e-12)).all()


@given(POINTS | SMOOTH, st.integers(2, 12), st.integers(1, 12))
def test_clusters_have_the_size_asked_for(
    features: NDArray[np.float64], min_cluster_size: int, min_samples: int
) -> None:
    labels, strength = hdbscan(features, min_cluster_size=min_cluster_size, min_samples=min_samples)
    assert labels.shape == strength.shape == (len(features),)
    assert (strength >= 0).all()
    assert (strength <= 1).all()
    assert (strength[labels == -1] == 0).all()
    found, sizes = np.unique(labels[labels >= 0], return_counts=True)
    np.testing.assert_array_equal(found, np.arange(len(found)))
    assert (sizes >= min_cluster_size).all()
    assert len(found) != 1


@given(SMOOTH, st.integers(2, 8), st.integers(1, 8), st.sampled_from(["eom", "leaf"]))
def test_any_labels_are_the_library_s(
    features: NDArray[np.float64], min_cluster_size: int, min_samples: int, selection: str
) -> None:
    assume(len(features) > min_cluster_size)
    tree = exact_tree(features, min_samples)
    undecided, settled = choices(tree.edges, tree.weights, min_cluster_size)
    assume(settled and undecided.mean() < 0.05)
    assert_labels(features, min_cluster_size, min_samples, selection=selection)


# ------------------------------------------------------------------- determinism, threads, memory


@pytest.mark.parametrize("case", ["duplicates", "lattice", "shells", "float32"])
def test_same_answer_every_time_and_on_any_number_of_threads(case: str) -> None:
    features = CASES[case]()
    first = spanning_tree(features, min_samples=20, threads=1)
    for threads in (1, 2, 3, None):
        assert_same_tree(spanning_tree(features, min_samples=20, threads=threads), first)


def test_less_memory_gives_the_same_tree(picture_features: NDArray[np.float32]) -> None:
    rows = picture_features[:64, :64].reshape(-1, 64)
    default = spanning_tree(rows, min_samples=100)
    tight = spanning_tree(rows, min_samples=100, max_memory=32 * MEBIBYTE)
    np.testing.assert_array_equal(tight.weights, default.weights)
    np.testing.assert_array_equal(tight.core_distances, default.core_distances)


PEAK = """
import sys
import numpy as np
from tamperscope.clustering.engine import spanning_tree

def status(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))

n, channels, neighbours, limit = map(int, sys.argv[1:])
rows = np.random.default_rng(0).normal(size=(n, channels)).astype(np.float32)
spanning_tree(rows[:600], min_samples=9, max_memory=limit)
before = status("VmRSS")
spanning_tree(rows, min_samples=neighbours, max_memory=limit)
print(status("VmHWM") - before)
"""


def peak(points: int, channels: int, neighbours: int, limit: int) -> int:
    """Bytes over the input at the peak, in a process of its own."""
    arguments = (str(value) for value in (points, channels, neighbours, limit))
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *arguments], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")
def test_memory_stays_below_the_limit() -> None:
    """16,384 points: a matrix of their distances alone takes 1 GiB in float32."""
    for limit in (192 * MEBIBYTE, 512 * MEBIBYTE):
        assert peak(16_384, 16, 300, limit) < limit


# ------------------------------------------------------------------------------------------ torch


@pytest.mark.parametrize("min_samples", [1, 15, 10_000])
@pytest.mark.parametrize("case", CASES)
def test_tensors_give_the_same_tree(case: str, min_samples: int) -> None:
    """The engine of graphics cards, run on the processor."""
    features = CASES[case]()
    tensor = torch.from_numpy(np.ascontiguousarray(features))
    assert_minimal(spanning_tree_torch(tensor, min_samples=min_samples), features, min_samples)
    # In small parts too, as a picture is done.
    parts = spanning_tree_torch(tensor, min_samples=min_samples, part_bytes=100_000)
    assert_minimal(parts, features, min_samples)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("case", ["clusters", "touching clusters", "duplicates", "float32"])
def test_tensors_give_the_same_labels(case: str, metric: Literal["euclidean", "cosine"]) -> None:
    features = CASES[case]()
    tensor = torch.from_numpy(np.ascontiguousarray(features))
    tree = spanning_tree_torch(tensor, min_samples=30, unit=metric == "cosine")
    found = clusters(tree, min_cluster_size=30)
    for labels, strength in (found, hdbscan(tensor, min_cluster_size=30, metric=metric)):
        wanted, wanted_strength = hdbscan(features, min_cluster_size=30, metric=metric)
        np.testing.assert_array_equal(labels, wanted)
        np.testing.assert_allclose(strength, wanted_strength, rtol=1e-9)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("min_samples", NEIGHBOURS)
@pytest.mark.parametrize("case", CASES)
def test_cuda_gives_the_same_tree(case: str, min_samples: int) -> None:
    features = CASES[case]()
    tensor = torch.from_numpy(np.ascontiguousarray(features)).cuda()
    assert_minimal(spanning_tree(tensor, min_samples=min_samples), features, min_samples)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_on_a_whole_picture(picture_features: NDArray[np.float32]) -> None:
    rows = picture_features.reshape(-1, 64)
    tensor = torch.from_numpy(rows).cuda()
    for k in (10, 500):
        found, wanted = (spanning_tree(x, min_samples=k).weights for x in (tensor, rows))
        assert_weights(found, wanted)


# ----------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_must_be_finite(bad: float, dtype: type[np.floating]) -> None:
    features = CASES["clusters"]().astype(dtype)
    features[123, 4] = bad
    for rows in (features, torch.from_numpy(features)):
        with pytest.raises(ClusteringError, match="features hold NaN or infinity"):
            spanning_tree(rows, min_samples=5)
        with pytest.raises(ClusteringError, match="features hold NaN or infinity"):
            hdbscan(rows, min_cluster_size=20)
    with pytest.raises(ClusteringError, match="features hold NaN or infinity"):
        spanning_tree_torch(torch.from_numpy(features), min_samples=5)


def test_features_must_be_rows_of_floats() -> None:
    for wrong in (
        np.zeros((5, 3), np.int64),
        np.zeros(5),
        np.zeros((2, 3, 4)),
        np.zeros((5, 3), bool),
    ):
        with pytest.raises(ClusteringError, match=r"must be a float array \(n, C\), got"):
            spanning_tree(wrong, min_samples=2)


def test_options_must_make_sense() -> None:
    features = CASES["clusters"]()
    with pytest.raises(ConfigError, match="min_samples must be at least 1, got 0"):
        spanning_tree(features, min_samples=0)
    with pytest.raises(ConfigError, match="threads must be at least 1, got 0"):
        spanning_tree(features, min_samples=2, threads=0)
    with pytest.raises(ConfigError, match="max_memory must be at least"):
        spanning_tree(features, min_samples=2, max_memory=1)


# --------------------------------------------------------------------------------- whole pictures


@pytest.mark.slow
@pytest.mark.parametrize("min_samples", [10, 500])
def test_a_whole_picture_like_the_library(
    picture_features: NDArray[np.float32], min_samples: int
) -> None:
    """17,120 points of 64 dimensions."""
    rows = picture_features.reshape(-1, 64)
    tree = spanning_tree(rows, min_samples=min_samples)
    wanted, labels, _ = library(
        rows, min_samples=min_samples, algorithm="boruvka_kdtree", min_cluster_size=200
    )
    assert_weights(tree.weights, wanted)
    undecided, settled = choices(tree.edges, tree.weights, 200)
    assert settled
    ours, _ = hdbscan(rows, min_cluster_size=200, min_samples=min_samples)
    assert same_partition(ours[~undecided], labels[~undecided])


@pytest.mark.slow
@pytest.mark.parametrize(("scale", "channels"), [(2, 32), (1, 256)])
def test_many_points_like_the_library(scale: int, channels: int) -> None:
    sizes = (4600 * scale, 2000 * scale, 1100 * scale)
    rows = modes(*sizes, channels=channels, spread=0.3 / channels**0.5, background=492 * scale)
    rows = rows.astype(np.float32)
    assert len(rows) == 8192 * scale
    tree = spanning_tree(rows, min_samples=100)
    wanted, _, _ = library(rows, min_samples=100, algorithm="boruvka_kdtree")
    assert_weights(tree.weights, wanted)
