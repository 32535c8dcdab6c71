"""From measured pictures to the numbers of a FakeLocator study."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from tamperscope.bench.documents import read_document, write_document
from tamperscope.bench.evaluation import auc_interval, mean_interval
from tamperscope.bench.fakelocator_cells import Measured, Picture
from tamperscope.bench.fakelocator_study import PROTOCOL
from tamperscope.bench.measured import scores_of
from tamperscope.clustering.single_sample import (
    SingleSampleConfig,
    accuracy_of_draws,
    embed,
    split,
)
from tamperscope.errors import ClusteringError
from tamperscope.provenance import JSON, config_digest

MAP_NUMBERS = ("coss", "psnr", "ssim", "mae")
CLUSTERING = "tamperscope fakelocator clustering"
CLUSTERING_VERSION = 1

Numbers = dict[str, JSON]


def localization(fakes: Sequence[Picture]) -> Numbers:
    """Mean and interval of every map number; None without a ground truth."""
    return {name: mean(getattr(p, name) for p in fakes) for name in MAP_NUMBERS}


def detection(fakes: Sequence[Picture], reals: Sequence[Picture]) -> Numbers | None:
    """Accuracy over both, the shares of fakes and of real pictures that are right, and the AUC of
    the image score; None for a reference, which decides nothing, or without pictures."""
    decided = [(p.fake, True) for p in fakes] + [(p.fake, False) for p in reals]
    if not fakes or not reals or any(fake is None for fake, _ in decided):
        return None
    right = [float(fake == truth) for fake, truth in decided]
    return {
        "accuracy": mean(right),
        "fake_right": mean(right[: len(fakes)]),
        "real_right": mean(right[len(fakes) :]),
        "auc": auc_interval(scores_of(fakes), scores_of(reals), PROTOCOL),
    }


def failures(pictures: Iterable[Picture]) -> list[JSON]:
    """Refused pictures and why."""
    return [{"id": p.id, "why": p.failure} for p in pictures if p.failure is not None]


def clustering(
    fakes: Measured, reals: Measured, store: Path, *, draws: int, config: SingleSampleConfig
) -> Numbers | None:
    """Single-sample clustering of fake and real pictures together; None where it cannot be done.

    Embeddings take seconds: they are kept in ``store`` by the content of the features.

    Returns:
        ``accuracy`` of the draws (mean, std, values, expected, best), ``points`` of the embedding,
        ``groups`` and ``fake``, the truth, in the order of the pictures, ``perplexity``,
        ``silhouette``.
    """
    if fakes.features is None or reals.features is None:
        return None
    rows = np.concatenate([fakes.features, reals.features])
    truth = np.repeat([True, False], [len(fakes.features), len(reals.features)])
    seen = np.isfinite(rows).all(axis=1)
    rows, truth = rows[seen], truth[seen]
    key = config_digest(
        {
            "version": CLUSTERING_VERSION,
            "features": hashlib.sha256(rows.tobytes()).hexdigest(),
            "fakes": int(truth.sum()),
            "config": asdict(config),
            "draws": draws,
        }
    )
    path = store / f"{key}.json"
    known = read_document(path, format=CLUSTERING, version=CLUSTERING_VERSION)
    if known is not None:
        return known
    try:
        found = _clustered(rows, truth, draws, config)
    except ClusteringError:
        return None
    write_document(path, found, format=CLUSTERING, version=CLUSTERING_VERSION)
    return found


def _clustered(rows: Any, truth: Any, draws: int, config: SingleSampleConfig) -> Numbers:
    embedding = embed(rows, config)
    groups = split(embedding.points, config)
    drawn = accuracy_of_draws(groups.labels, truth, draws=draws, seed=config.seed)
    return {
        "accuracy": {
            "mean": drawn.mean,
            "std": drawn.std,
            "values": list(drawn.values),
            "expected": drawn.expected,
            "best": drawn.best,
        },
        "pictures": len(truth),
        "perplexity": embedding.perplexity,
        "silhouette": groups.silhouette,
        "points": [[round(float(v), 3) for v in point] for point in embedding.points],
        "groups": [int(label) for label in groups.labels],
        "fake": [bool(value) for value in truth],
    }


def without_points(found: Mapping[str, JSON]) -> Numbers:
    """The numbers of a clustering without its points, for the record."""
    return {k: v for k, v in found.items() if k not in ("points", "groups", "fake")}


def mean(values: Iterable[float | None]) -> JSON:
    """Mean with its interval over the values that are there; None for none."""
    found = mean_interval([value for value in values if value is not None], PROTOCOL)
    return None if found is None else dict(found)
