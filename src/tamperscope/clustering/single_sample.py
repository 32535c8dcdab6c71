"""Single-sample clustering (FakeLocator, Huang et al., IEEE TIFS 2022): real from fake on pictures
of a generator nobody trained on, with the label of one of them.

A classifier's boundary does not carry over to another generator, while the features in front of it
often still lie apart. So the features of the whole set, one row per picture, are brought to two or
three dimensions by t-SNE, split into two groups, and one picture of known label names its group;
the other group gets the other label. How well that works depends on which picture was labelled:
`accuracy_of_draws` repeats it.

Everything is a function of the arrays and the seed; global random state is neither used nor
changed, and no step runs on more than one thread, because threads would add up in another order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tamperscope.errors import ClusteringError, ConfigError, DataError

Grouping = Literal["kmeans", "hdbscan"]

FEWEST = 5
"""Pictures below which there is no neighbourhood to speak of."""
_COMPONENTS = 50
_LIKENESS_ROWS = 2000


@dataclass(frozen=True, kw_only=True)
class SingleSampleConfig:
    """Attributes:
        dimensions: of the embedding, 2 or 3.
        perplexity: of t-SNE, about how many pictures count as neighbours; at most a third of the
            others: fewer pictures lower it.
        grouping: ``kmeans`` (k = 2) as published, or ``hdbscan``: its clusters are merged by
            Ward's criterion until two are left, and noise joins the nearest clustered picture.
        min_cluster_size: of HDBSCAN; 0: a twentieth of the pictures, at least 5.
        iterations: of t-SNE, at least 500: the first 250 only gather neighbours.
        seed: of t-SNE and k-means.

    Raises ConfigError for values out of range.
    """

    dimensions: int = 2
    perplexity: float = 30.0
    grouping: Grouping = "kmeans"
    min_cluster_size: int = 0
    iterations: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.dimensions not in (2, 3):
            raise ConfigError(f"dimensions must be 2 or 3, got {self.dimensions}")
        if not 1 < self.perplexity < float("inf"):
            raise ConfigError(f"perplexity must be above 1, got {self.perplexity}")
        if self.grouping not in ("kmeans", "hdbscan"):
            raise ConfigError(f"unknown grouping {self.grouping!r}; use 'kmeans' or 'hdbscan'")
        if self.min_cluster_size < 0 or self.min_cluster_size == 1:
            raise ConfigError(
                f"min_cluster_size must be 0 or at least 2, got {self.min_cluster_size}"
            )
        if self.iterations < 500:
            raise ConfigError(f"iterations must be at least 500, got {self.iterations}")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"seed must be 0 to 2^32 - 1, got {self.seed}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Embedding:
    """points: (n, 2 or 3) float32. perplexity: the one used, or 0 where all rows are equal and all
    points zero."""

    points: NDArray[np.float32]
    perplexity: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Groups:
    """Two groups of points.

    Attributes:
        labels: (n,) int64, 0 or 1; the first point's group is 0. All 0 where there is only one.
        margin: (n,) float64 in [-1, 1]: how much nearer a point is to the centre of its group than
            to the other's, as a share of the sum of both distances; 0 where there is one group.
        found: clusters before merging: always 2 for k-means, unless all points are equal.
        silhouette: mean silhouette (Rousseeuw, 1987) in [-1, 1], on at most 2000 points; None for
            one group. Halves of one round cloud have about .4.
    """

    labels: NDArray[np.int64]
    margin: NDArray[np.float64]
    found: int
    silhouette: float | None


@dataclass(frozen=True, kw_only=True, eq=False)
class SingleSample:
    """The answer for a set of pictures.

    Attributes:
        fake: (n,) bool, True = named fake.
        embedding, groups: what it rests on.
        agreeing: how many of the known labels agree with the names of the groups.
    """

    fake: NDArray[np.bool_]
    embedding: Embedding
    groups: Groups
    agreeing: int


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Accuracies, in [0, 1], when single pictures name the groups; each over all other pictures.

    Attributes:
        samples: the rows that were drawn.
        values: the accuracy with each of them.
        expected: the mean over *all* rows as the known one, which more draws would approach.
        best: the accuracy over all pictures with the better of the two namings: how well the
            groups separate the classes, whoever names them.
    """

    samples: tuple[int, ...]
    values: tuple[float, ...]
    expected: float
    best: float

    @cached_property
    def mean(self) -> float:
        """Over the draws."""
        return float(np.mean(self.values))

    @cached_property
    def std(self) -> float:
        """Over the draws, of the population (n, not n - 1)."""
        return float(np.std(self.values))


def single_sample(
    features: NDArray[np.floating],
    known: Mapping[int, bool],
    config: SingleSampleConfig | None = None,
) -> SingleSample:
    """Name all pictures of a set real or fake by the label of one of them, or of a few.

    Args:
        features: (n, D) float, one row per picture, n >= 5.
        known: row -> whether it is fake. Of several the majority decides; of two groups as well
            supported, the first label given.
        config: how.

    Raises:
        ClusteringError: features that cannot be clustered, or fewer than 5 rows.
        DataError: no known label, or one of a row that does not exist.
    """
    config = config or SingleSampleConfig()
    embedding = embed(features, config)
    groups = split(embedding.points, config)
    fake, agreeing = name_groups(groups.labels, known)
    return SingleSample(fake=fake, embedding=embedding, groups=groups, agreeing=agreeing)


def embed(features: NDArray[np.floating], config: SingleSampleConfig | None = None) -> Embedding:
    """t-SNE (van der Maaten and Hinton, 2008) of features (n, D), started from their principal
    components; features of more than 50 dimensions are first reduced to 50 by PCA, as is usual.

    The perplexity is lowered to (n - 1) / 3 where the configured one is higher.

    Raises:
        ClusteringError: not (n, D) finite floats, or n < 5.
    """
    config = config or SingleSampleConfig()
    rows = _checked(features)
    if not np.ptp(rows, axis=0).any():
        return Embedding(points=np.zeros((len(rows), config.dimensions), np.float32), perplexity=0)
    from threadpoolctl import threadpool_limits

    perplexity = min(config.perplexity, (len(rows) - 1) / 3)
    with threadpool_limits(1):
        points = _tsne(_reduced(rows), perplexity, config)
    return Embedding(points=points, perplexity=perplexity)


def split(points: NDArray[np.floating], config: SingleSampleConfig | None = None) -> Groups:
    """Two groups of points (n, d), by k-means or HDBSCAN.

    Raises:
        ClusteringError: not (n, d) finite floats, or n < 5.
    """
    config = config or SingleSampleConfig()
    rows = _checked(points)
    if not np.ptp(rows, axis=0).any():
        labels, found = np.zeros(len(rows), np.int64), 1
    elif config.grouping == "kmeans":
        labels, found = _two_means(rows, config.seed), 2
    else:
        labels, found = _by_density(rows, config.min_cluster_size)
    labels = np.where(labels == labels[0], 0, 1)
    if not labels.any():
        margin = np.zeros(len(rows))
        return Groups(labels=labels, margin=margin, found=found, silhouette=None)
    return Groups(
        labels=labels, margin=_margin(rows, labels), found=found, silhouette=_likeness(rows, labels)
    )


def name_groups(
    labels: NDArray[np.integer], known: Mapping[int, bool]
) -> tuple[NDArray[np.bool_], int]:
    """Which rows are fake, and how many of the known labels agree, when these name the groups.

    Args:
        labels: (n,) of 0 and 1.
        known: as for `single_sample`.

    Raises:
        DataError: no known label, or one of a row that does not exist.
    """
    if not known:
        raise DataError("no picture of known label: give at least one, real or fake")
    if wrong := [row for row in known if not 0 <= row < len(labels)]:
        raise DataError(f"a label is given for row {wrong[0]}, the last one is {len(labels) - 1}")
    ones = np.asarray(labels) == 1
    votes = sum(bool(ones[row]) == bool(fake) for row, fake in known.items())
    first, says = next(iter(known.items()))
    if 2 * votes == len(known):
        ones_are_fake = bool(ones[first]) == bool(says)
    else:
        ones_are_fake = 2 * votes > len(known)
    return (ones, votes) if ones_are_fake else (~ones, len(known) - votes)


def accuracy_of_draws(
    labels: NDArray[np.integer], fake: NDArray[np.bool_], *, draws: int = 10, seed: int = 0
) -> Draws:
    """How right the names are when they come from one random picture, for ``draws`` pictures.

    Args:
        labels: (n,) groups, 0 or 1.
        fake: (n,) the truth.
        draws: pictures to draw, each once while there are as many.
        seed: of the draws.

    Raises:
        DataError: arrays that do not fit, or fewer than two rows.
        ConfigError: fewer than one draw.
    """
    if draws < 1:
        raise ConfigError(f"draws is {draws}: draw at least once")
    if labels.shape != fake.shape or labels.ndim != 1 or len(labels) < 2 or fake.dtype != np.bool_:
        raise DataError(
            f"accuracy needs groups and bool truth (n,) of at least 2 pictures, got {labels.shape} "
            f"and {fake.dtype} {fake.shape}; pass one of each per picture"
        )
    n, right = len(labels), (labels == 1) == fake
    count = int(right.sum())
    # A known picture is right under the naming it causes, and does not count itself.
    each = (np.where(right, count, n - count) - 1) / (n - 1)
    rows = np.random.default_rng(seed).choice(n, size=draws, replace=draws > n)
    return Draws(
        samples=tuple(int(row) for row in rows),
        values=tuple(float(each[row]) for row in rows),
        expected=float(each.mean()),
        best=max(count, n - count) / n,
    )


# ------------------------------------------------------------------------------------- the steps


def _checked(features: NDArray[np.floating]) -> NDArray[np.float64]:
    if (
        features.ndim != 2
        or not np.issubdtype(features.dtype, np.floating)
        or not features.shape[1]
    ):
        raise ClusteringError(
            f"features must be floats (pictures, dimensions), got {features.dtype} {features.shape}"
        )
    if len(features) < FEWEST:
        raise ClusteringError(
            f"{len(features)} pictures are too few to cluster: give at least {FEWEST}, better 50"
        )
    if not np.isfinite(features).all():
        raise ClusteringError(
            "features hold NaN or infinity; run the network in float32 or check its weights"
        )
    return features.astype(np.float64)


def _reduced(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    from sklearn.decomposition import PCA

    if rows.shape[1] <= _COMPONENTS:
        return rows
    components = min(_COMPONENTS, len(rows) - 1)
    return np.asarray(PCA(components, svd_solver="full").fit_transform(rows))


def _tsne(
    rows: NDArray[np.float64], perplexity: float, config: SingleSampleConfig
) -> NDArray[np.float32]:
    from sklearn.manifold import TSNE

    dimensions = config.dimensions
    model = TSNE(
        dimensions,
        perplexity=perplexity,
        # Principal components cannot start more dimensions than the rows have.
        init="pca" if min(rows.shape) >= dimensions else "random",
        # The usual least step of 50 throws a small set apart in three dimensions.
        learning_rate="auto" if dimensions == 2 else max(len(rows) / 24, 5.0),
        max_iter=config.iterations,
        random_state=config.seed,
        n_jobs=1,
    )
    return np.asarray(model.fit_transform(rows), np.float32)


def _two_means(rows: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    import torch

    from tamperscope.clustering.kmeans import kmeans

    # Centred and scaled: the stopping rule of k-means is a distance.
    scaled = (rows - rows.mean(axis=0)) / rows.std()
    found = kmeans(torch.from_numpy(scaled), k=2, metric="euclidean", seed=seed)
    return np.asarray(found.labels.numpy(), np.int64)


def _by_density(rows: NDArray[np.float64], min_cluster_size: int) -> tuple[NDArray[np.int64], int]:
    """Labels 0 and 1, and how many clusters there were before merging; all 0 without two."""
    from scipy.spatial import cKDTree

    from tamperscope.clustering.hdbscan import hdbscan

    labels, _ = hdbscan(rows, min_cluster_size=min_cluster_size or max(5, len(rows) // 20))
    found = int(labels.max()) + 1
    if found < 2:
        return np.zeros(len(rows), np.int64), 1
    merged = _merged(rows, labels, found)
    clustered = np.flatnonzero(labels >= 0)
    _, nearest = cKDTree(rows[clustered]).query(rows)
    return merged[labels[clustered[nearest]]], found


def _merged(rows: NDArray[np.float64], labels: NDArray[np.int64], found: int) -> NDArray[np.int64]:
    """Which of two groups each cluster goes to: the two whose union costs least variance first."""
    sizes = {k: int((labels == k).sum()) for k in range(found)}
    centres = {k: rows[labels == k].mean(axis=0) for k in range(found)}
    owner = np.arange(found)
    while len(sizes) > 2:
        pairs = [(a, b) for a in sizes for b in sizes if a < b]
        a, b = min(pairs, key=lambda pair: _cost(pair, sizes, centres))
        total = sizes[a] + sizes[b]
        centres[a] = (sizes[a] * centres[a] + sizes.pop(b) * centres.pop(b)) / total
        sizes[a] = total
        owner[owner == b] = a
    return np.asarray(owner == max(sizes), np.int64)


def _cost(
    pair: tuple[int, int], sizes: Mapping[int, int], centres: Mapping[int, NDArray[np.float64]]
) -> float:
    """Ward's criterion (1963): the growth of the sum of squares."""
    a, b = pair
    weight = sizes[a] * sizes[b] / (sizes[a] + sizes[b])
    return weight * float(np.square(centres[a] - centres[b]).sum())


def _margin(rows: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    centres = np.stack([rows[labels == k].mean(axis=0) for k in (0, 1)])
    distances = np.linalg.norm(rows[:, None] - centres, axis=2)
    own = distances[np.arange(len(rows)), labels]
    other = distances[np.arange(len(rows)), 1 - labels]
    total = own + other
    return np.asarray(np.divide(other - own, total, out=np.zeros(len(rows)), where=total > 0))


def _likeness(rows: NDArray[np.float64], labels: NDArray[np.int64]) -> float | None:
    from sklearn.metrics import silhouette_score

    step = -(-len(rows) // _LIKENESS_ROWS)
    part, own = rows[::step], labels[::step]
    if len(np.unique(own)) < 2:
        return None
    return float(silhouette_score(part, own))
