"""HDBSCAN against library references (hdbscan_ref), on degenerate inputs, and as an estimator.

The spanning tree and labels at large are the business of test_engine.
"""

import inspect
from typing import Any

import hdbscan as hdbscan_library
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted

from reference import recipe
from reference.exact_tree import same_partition
from reference.point_sets import CASES
from tamperscope.clustering.estimator import HDBSCAN
from tamperscope.clustering.foreground import select_forged
from tamperscope.clustering.hdbscan import hdbscan
from tamperscope.errors import ClusteringError, ConfigError

ARRAYS = np.load(recipe.FOLDER / "hdbscan_ref.npz")


def blobs(*sizes: int, channels: int = 4, spread: float = 0.05) -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    rows = [
        np.eye(channels)[i] + rng.normal(size=(n, channels)) * spread for i, n in enumerate(sizes)
    ]
    return np.concatenate(rows)


@pytest.mark.parametrize("picture", ["forged", "pristine"])
@pytest.mark.parametrize("single", [False, True])
def test_reference_labels(picture: str, single: bool) -> None:
    """The references count the point itself as a neighbour: 50 there is 49 here."""
    rows = ARRAYS["X" if picture == "forged" else "X_pristine"]
    labels, strength = hdbscan(
        rows, min_cluster_size=50, min_samples=49, allow_single_cluster=single
    )
    assert same_partition(labels, ARRAYS[f"{picture}_single{int(single)}_labels"])
    assert labels.dtype == np.int64
    assert ((strength > 0) == (labels >= 0)).all()
    assert strength.max() <= 1


def test_reference_mask() -> None:
    labels, _ = hdbscan(ARRAYS["X"], min_cluster_size=50)
    mask = select_forged(labels.reshape(40, 40)).mask
    np.testing.assert_array_equal(mask, ARRAYS["forged_single0_mask"].reshape(40, 40) == 1)
    np.testing.assert_array_equal(mask, ARRAYS["truth"] == 1)


def test_one_mode_is_all_noise_and_clean() -> None:
    labels, strength = hdbscan(ARRAYS["X_pristine"], min_cluster_size=50)
    assert (labels == -1).all()
    assert (strength == 0).all()
    assert not select_forged(labels.reshape(40, 40)).mask.any()


@pytest.mark.parametrize("min_samples", [1, 5, 30, None])
@pytest.mark.parametrize("channels", [4, 24])
def test_min_samples_counts_like_the_hdbscan_library(
    min_samples: int | None, channels: int
) -> None:
    rows = blobs(150, 90, 60, channels=channels, spread=0.2 if channels == 4 else 0.12)
    labels, _ = hdbscan(rows, min_cluster_size=30, min_samples=min_samples)
    # Its default is approximate, and its exact Boruvka breaks ties between equal edges otherwise.
    other = hdbscan_library.HDBSCAN(
        min_cluster_size=30, min_samples=min_samples, algorithm="generic"
    ).fit(rows)
    assert same_partition(labels, other.labels_)
    assert set(labels) >= {0, 1}


def test_cosine_sees_directions_only() -> None:
    rows = blobs(120, 80)
    scaled = rows * np.random.default_rng(1).uniform(0.1, 50, size=(200, 1))
    labels, _ = hdbscan(scaled, min_cluster_size=40, metric="cosine")
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    assert same_partition(labels, hdbscan(unit, min_cluster_size=40)[0])
    assert same_partition(labels, np.repeat([0, 1], [120, 80]))


def test_too_few_rows_are_noise() -> None:
    assert (hdbscan(blobs(30, 19), min_cluster_size=50)[0] == -1).all()
    assert hdbscan(np.zeros((0, 3)), min_cluster_size=50)[0].shape == (0,)


def test_min_samples_is_lowered_to_what_there_is() -> None:
    rows = blobs(20, 20)
    many, all_others = (hdbscan(rows, min_cluster_size=10, min_samples=n)[0] for n in (10_000, 39))
    np.testing.assert_array_equal(many, all_others)


def test_equal_rows_are_noise() -> None:
    assert (hdbscan(np.ones((60, 3)), min_cluster_size=20)[0] == -1).all()


@pytest.mark.parametrize("channels", [4, 24])
def test_two_values_are_two_clusters(channels: int) -> None:
    rows = np.repeat(np.eye(2, channels), [40, 25], axis=0)
    labels, strength = hdbscan(rows, min_cluster_size=20)
    assert same_partition(labels, np.repeat([0, 1], [40, 25]))
    assert np.isfinite(strength).all()


def test_input_is_left_alone() -> None:
    rows = blobs(40, 40)
    before = rows.copy()
    hdbscan(rows, min_cluster_size=20, metric="cosine")
    np.testing.assert_array_equal(rows, before)


def test_errors() -> None:
    rows = blobs(30, 30)
    with pytest.raises(ClusteringError, match="NaN or infinity; run the network in float32"):
        hdbscan(np.full((60, 3), np.nan), min_cluster_size=20)
    with pytest.raises(ClusteringError, match=r"must be a float array \(n, C\), got int64"):
        hdbscan(np.zeros((60, 3), np.int64))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="min_cluster_size must be at least 2, got 1"):
        hdbscan(rows, min_cluster_size=1)
    with pytest.raises(ConfigError, match="min_samples must be at least 1 or None, got 0"):
        hdbscan(rows, min_samples=0)
    with pytest.raises(ConfigError, match="unknown metric 'l1'; use 'euclidean' or 'cosine'"):
        hdbscan(rows, metric="l1")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="unknown selection 'best'; use 'eom' or 'leaf'"):
        hdbscan(rows, selection="best")  # type: ignore[arg-type]


def test_leaves_are_finer_than_excess_of_mass() -> None:
    """Two far groups, one of which falls into two near ones."""
    near = np.array([[0.0, 0.0], [0.0, 0.6], [20.0, 0.0]])
    rng = np.random.default_rng(2)
    rows = np.repeat(near, 80, axis=0) + rng.normal(size=(240, 2)) * 0.1
    leaf, _ = hdbscan(rows, min_cluster_size=20, min_samples=5, selection="leaf")
    eom, _ = hdbscan(rows, min_cluster_size=20, min_samples=5)
    assert len(set(leaf[leaf >= 0])) >= 3
    for label in set(leaf[leaf >= 0]):
        assert len(set(eom[leaf == label]) - {-1}) <= 1


def test_one_cluster_only_when_allowed() -> None:
    rows = blobs(200, channels=3)
    assert set(hdbscan(rows, min_cluster_size=50)[0]) == {-1}
    labels, strength = hdbscan(rows, min_cluster_size=50, allow_single_cluster=True)
    assert set(labels) <= {-1, 0}
    assert (labels == 0).sum() >= 50
    assert strength.max() == 1


# ------------------------------------------------------------------------------- the estimator

NOT_OURS: dict[str, str] = {}
"""Checks of scikit-learn that this estimator is not meant to pass, and why."""


@parametrize_with_checks(
    [HDBSCAN(min_cluster_size=5), HDBSCAN(min_cluster_size=4, min_samples=2, selection="leaf")],
    expected_failed_checks=lambda _: NOT_OURS,
)
def test_scikit_learn_takes_it_for_an_estimator(estimator: Any, check: Any) -> None:
    check(estimator)


def test_estimator_gives_what_the_function_gives() -> None:
    rows = CASES["touching clusters"]()
    for options in (
        {"min_cluster_size": 40},
        {"min_cluster_size": 40, "min_samples": 5},
        {"min_cluster_size": 30, "selection": "leaf"},
        {"min_cluster_size": 30, "metric": "cosine", "allow_single_cluster": True},
    ):
        model = HDBSCAN(**options)
        labels, strength = hdbscan(rows, **options)  # type: ignore[arg-type]
        np.testing.assert_array_equal(model.fit_predict(rows), labels)
        np.testing.assert_array_equal(model.labels_, labels)
        np.testing.assert_array_equal(model.probabilities_, strength)
        assert model.n_features_in_ == 4


def test_estimator_parameters_are_those_of_the_function() -> None:
    parameters = HDBSCAN().get_params()
    function = inspect.signature(hdbscan).parameters
    for name, value in parameters.items():
        assert function[name].default == value
    changed = HDBSCAN().set_params(min_cluster_size=7, selection="leaf")
    assert (changed.min_cluster_size, changed.selection) == (7, "leaf")
    assert clone(changed).get_params() == changed.get_params()
    with pytest.raises(ValueError, match="Invalid parameter 'min_size'"):
        HDBSCAN().set_params(min_size=3)
    assert set(parameters) == set(function) - {"features"}


def test_estimator_errors() -> None:
    rows = blobs(30, 30)
    with pytest.raises(ConfigError, match="min_cluster_size must be at least 2, got 1"):
        HDBSCAN(min_cluster_size=1).fit(rows)
    with pytest.raises(ValueError, match="NaN"):
        HDBSCAN(min_cluster_size=5).fit(np.full((60, 3), np.nan))
    with pytest.raises(NotFittedError, match="not fitted"):
        check_is_fitted(HDBSCAN())


def test_estimator_in_a_pipeline() -> None:
    rows = blobs(90, 70)
    labels = make_pipeline(StandardScaler(), HDBSCAN(min_cluster_size=30)).fit_predict(rows)
    scaled = (rows - rows.mean(0)) / rows.std(0)
    assert same_partition(labels, hdbscan(scaled, min_cluster_size=30)[0])
    assert set(labels) >= {0, 1}
