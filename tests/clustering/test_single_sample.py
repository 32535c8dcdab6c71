"""Two clouds of features, one of them labelled; and everything that is not two clouds."""

import threading
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tamperscope.clustering.single_sample import (
    FEWEST,
    SingleSampleConfig,
    accuracy_of_draws,
    embed,
    name_groups,
    single_sample,
    split,
)
from tamperscope.errors import ClusteringError, ConfigError, DataError

QUICK = SingleSampleConfig(iterations=500)


def clouds(
    real: int, fake: int, *, apart: float = 30.0, dimensions: int = 8, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Features (n, D) of real and fake pictures in a random order, and which are fake."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat([False, True], [real, fake]))
    features = rng.standard_normal((real + fake, dimensions)) + apart * truth[:, None]
    return features.astype(np.float32), truth


# ------------------------------------------------------------------------------- the whole way


@settings(max_examples=5)
@given(
    real=st.integers(6, 30),
    fake=st.integers(6, 30),
    seed=st.integers(0, 1000),
    row=st.integers(0, 11),
)
def test_one_label_names_every_picture(real: int, fake: int, seed: int, row: int) -> None:
    features, truth = clouds(real, fake, seed=seed)
    found = single_sample(features, {row: bool(truth[row])})
    np.testing.assert_array_equal(found.fake, truth)
    assert found.agreeing == 1
    assert found.groups.found == 2
    assert (found.groups.margin > 0).all()


@settings(max_examples=5)
@given(seed=st.integers(0, 1000), row=st.integers(0, 19), says=st.booleans())
def test_the_other_label_turns_every_answer_round(seed: int, row: int, says: bool) -> None:
    features, _ = clouds(10, 10, apart=1.0, seed=seed)
    one = single_sample(features, {row: says}, QUICK)
    other = single_sample(features, {row: not says}, QUICK)
    np.testing.assert_array_equal(one.fake, ~other.fake)
    assert one.fake[row] == says


@pytest.mark.parametrize("grouping", ["kmeans", "hdbscan"])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_both_groupings_in_both_dimensions(grouping: Any, dimensions: int) -> None:
    features, truth = clouds(40, 25, dimensions=64)
    config = SingleSampleConfig(iterations=500, grouping=grouping, dimensions=dimensions)
    found = single_sample(features, {7: bool(truth[7])}, config)
    np.testing.assert_array_equal(found.fake, truth)
    assert found.embedding.points.shape == (65, dimensions)
    assert found.groups.silhouette is not None
    assert found.groups.silhouette > 0.5


def test_the_same_input_gives_the_same_bytes_whatever_chance_did() -> None:
    features, _ = clouds(30, 30, apart=0.5)
    first = embed(features, QUICK)
    np.random.seed(7)  # noqa: NPY002 the global state is what must not matter
    state = np.random.get_state()[1].copy()  # type: ignore[index, union-attr]  # noqa: NPY002
    again = embed(features, QUICK)
    assert first.points.tobytes() == again.points.tobytes()
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    other = embed(features, SingleSampleConfig(iterations=500, seed=1, dimensions=3))
    assert other.points.shape == (60, 3)


def test_it_answers_from_any_thread() -> None:
    features, truth = clouds(8, 8)
    answers: list[NDArray[np.bool_]] = []

    def ask() -> None:
        answers.append(single_sample(features, {0: bool(truth[0])}, QUICK).fake)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((answer == truth).all() for answer in answers)
    assert len(answers) == 2


# ------------------------------------------------------------------------------------ few and odd


@pytest.mark.parametrize("count", [FEWEST, 6, 9, 20])
def test_fewer_pictures_than_the_perplexity_lower_it(count: int) -> None:
    features, truth = clouds(count - count // 2, count // 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = single_sample(features, {0: bool(truth[0])}, QUICK)
    assert found.embedding.perplexity == pytest.approx((count - 1) / 3)
    assert found.embedding.points.shape == (count, 2)
    assert np.isfinite(found.embedding.points).all()
    few = embed(clouds(60, 60)[0], SingleSampleConfig(iterations=500, perplexity=5))
    assert few.perplexity == 5


@pytest.mark.parametrize("dimensions", [1, 2, 4, 2048])
@pytest.mark.parametrize("target", [2, 3])
def test_features_of_any_width(dimensions: int, target: int) -> None:
    features, truth = clouds(7, 7, dimensions=dimensions)
    config = SingleSampleConfig(iterations=500, dimensions=target)
    found = single_sample(features, {3: bool(truth[3])}, config)
    assert found.embedding.points.shape == (14, target)
    assert found.fake[3] == truth[3]


@pytest.mark.parametrize("grouping", ["kmeans", "hdbscan"])
def test_equal_features_are_one_group_and_all_get_the_label(grouping: Any) -> None:
    config = SingleSampleConfig(iterations=500, grouping=grouping)
    for says in (True, False):
        found = single_sample(np.ones((9, 4), np.float32), {2: says}, config)
        assert (found.fake == says).all()
        assert (found.groups.found, found.groups.silhouette) == (1, None)
        assert not found.groups.margin.any()
        assert found.embedding.perplexity == 0


def test_density_finds_one_group_where_there_is_one() -> None:
    grid = np.stack(np.meshgrid(np.arange(8.0), np.arange(8.0)), -1).reshape(-1, 2)
    found = split(grid, SingleSampleConfig(grouping="hdbscan"))
    assert found.found == 1
    assert not found.labels.any()
    halves = split(grid, SingleSampleConfig())
    assert halves.labels.sum() == 32


def test_several_dense_clusters_become_two_and_noise_joins_its_neighbour() -> None:
    rng = np.random.default_rng(0)
    places = np.array([[0, 0], [6, 0], [60, 0], [66, 0]], float)
    points = np.concatenate([rng.normal(place, 0.5, (30, 2)) for place in places])
    points = np.concatenate([points, [[20, 0], [45, 0]]])
    found = split(points, SingleSampleConfig(grouping="hdbscan"))
    assert found.found == 4
    np.testing.assert_array_equal(found.labels[:120], np.repeat([0, 1], 60))
    np.testing.assert_array_equal(found.labels[120:], [0, 1])


@settings(max_examples=8)
@given(seed=st.integers(0, 1000))
def test_the_first_picture_s_group_is_zero(seed: int) -> None:
    points = clouds(10, 10, dimensions=2, seed=seed)[0]
    labels = split(points, SingleSampleConfig(seed=seed)).labels
    assert labels[0] == 0
    order = np.random.default_rng(seed).permutation(20)
    other = split(points[order], SingleSampleConfig(seed=seed)).labels
    np.testing.assert_array_equal(other == other[order.argsort()[0]], labels[order] == 0)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.zeros((4, 3)), "4 pictures are too few to cluster: give at least 5"),
        (np.zeros((0, 3)), "0 pictures are too few to cluster"),
        (np.zeros((9, 3), np.int64), "features must be floats .*got int64"),
        (np.zeros(9), "features must be floats"),
        (np.zeros((9, 0)), "features must be floats"),
        (np.full((9, 2), np.nan), "features hold NaN or infinity"),
    ],
)
def test_what_cannot_be_clustered(features: Any, message: str) -> None:
    with pytest.raises(ClusteringError, match=message):
        single_sample(features, {0: True})
    with pytest.raises(ClusteringError, match=message):
        split(features)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dimensions": 4}, "dimensions must be 2 or 3, got 4"),
        ({"perplexity": 1}, "perplexity must be above 1, got 1"),
        ({"perplexity": float("nan")}, "perplexity must be above 1"),
        ({"grouping": "dbscan"}, "unknown grouping 'dbscan'; use 'kmeans' or 'hdbscan'"),
        ({"min_cluster_size": 1}, "min_cluster_size must be 0 or at least 2"),
        ({"iterations": 499}, "iterations must be at least 500"),
        ({"seed": -1}, "seed must be 0 to"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SingleSampleConfig(**options)


# -------------------------------------------------------------------------------- naming, drawing


def test_several_labels_vote_and_the_first_breaks_a_tie() -> None:
    labels = np.array([0, 0, 0, 1, 1])
    fake, agreeing = name_groups(labels, {0: False, 1: False, 2: True})
    assert (fake.tolist(), agreeing) == ([False, False, False, True, True], 2)
    fake, agreeing = name_groups(labels, {3: False, 0: False})
    assert (fake.tolist(), agreeing) == ([True, True, True, False, False], 1)
    fake, agreeing = name_groups(labels, {0: False, 3: False})
    assert (fake.tolist(), agreeing) == ([False, False, False, True, True], 1)


def test_labels_that_name_nothing() -> None:
    with pytest.raises(DataError, match="no picture of known label: give at least one"):
        name_groups(np.zeros(5, np.int64), {})
    with pytest.raises(DataError, match="a label is given for row 5, the last one is 4"):
        name_groups(np.zeros(5, np.int64), {5: True})


def brute_force(labels: NDArray[np.int64], fake: NDArray[np.bool_]) -> NDArray[np.float64]:
    each = []
    for row in range(len(labels)):
        named, _ = name_groups(labels, {row: bool(fake[row])})
        others = np.arange(len(labels)) != row
        each.append((named == fake)[others].mean())
    return np.array(each)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=20))
def test_accuracy_of_draws_is_that_of_naming_by_each(pairs: list[tuple[bool, bool]]) -> None:
    labels = np.array([one for one, _ in pairs], np.int64)
    fake = np.array([other for _, other in pairs])
    found = accuracy_of_draws(labels, fake, draws=5, seed=3)
    each = brute_force(labels, fake)
    assert found.values == pytest.approx([each[row] for row in found.samples])
    assert found.expected == pytest.approx(each.mean())
    assert 0.5 <= found.best <= 1
    turned = accuracy_of_draws(1 - labels, fake, draws=5, seed=3)
    assert turned == found


def test_draws_are_seeded_and_summed_up() -> None:
    labels = np.repeat([0, 1], 20)
    fake = labels == 1
    fake[0] = True
    found = accuracy_of_draws(labels, fake)
    assert len(found.values) == len(set(found.samples)) == 10
    assert found == accuracy_of_draws(labels, fake)
    assert found.samples != accuracy_of_draws(labels, fake, seed=1).samples
    assert found.mean == pytest.approx(np.mean(found.values))
    assert found.std == pytest.approx(np.std(found.values))
    assert found.best == 39 / 40
    assert len(accuracy_of_draws(labels[:3], fake[:3], draws=10).values) == 10


def test_draws_that_cannot_be() -> None:
    labels, fake = np.zeros(4, np.int64), np.zeros(4, np.bool_)
    with pytest.raises(ConfigError, match="draws is 0: draw at least once"):
        accuracy_of_draws(labels, fake, draws=0)
    for wrong in (fake[:3], fake.astype(int)):
        with pytest.raises(DataError, match="accuracy needs groups and bool truth"):
            accuracy_of_draws(labels, wrong)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="of at least 2 pictures"):
        accuracy_of_draws(labels[:1], fake[:1])
