"""`localize` on a whole picture, clustered by this project's engine or by scikit-learn."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clustering_parts.data import STRIDE, WEIGHTS
from tamperscope import Localization, catalog
from tamperscope.image import Image

ENGINES = ("tamperscope", "scikit-learn")
CASES: dict[str, dict[str, Any]] = {
    "native, hdbscan": {
        "preset": "default",
        "options": {"clustering": "hdbscan"},
        "warm": {},
        "points": lambda picture: -(-picture.height // STRIDE) * -(-picture.width // STRIDE),
    },
    "as-published": {
        "preset": "as-published",
        "options": {},
        "warm": {"square_size": 128},
        "points": lambda picture: (1024 // STRIDE) ** 2,
    },
}
"""Name -> preset and options of focal, options that make a warm-up short, and how many points the
clustering gets."""


def points_of(case: str, picture: Image) -> int:
    """How many points the clustering gets."""
    return int(CASES[case]["points"](picture))


def prepare_localize(
    engine: str, case: str, file: Path
) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
    """Ready to be timed on the pixels in the .npy `file`; answers with seconds of the clustering
    and the share of the picture found forged."""
    from tamperscope.clustering import hdbscan as module

    if engine == "scikit-learn":
        # FOCAL imports it when it is first needed, and then finds this one.
        module.hdbscan = scikit_learn
    chosen = CASES[case]
    pixels = np.load(file)

    def load(**more: Any) -> Any:
        options = {**chosen["options"], **more}
        return catalog.load(
            "focal", preset=chosen["preset"], weights=WEIGHTS, device="cpu", **options
        )

    load(**chosen["warm"]).localize(np.ascontiguousarray(pixels[:128, :128]))
    method = load()

    def finish(found: Localization) -> dict[str, float]:
        return {
            "clustering": found.provenance.seconds["clustering"],
            "forged_fraction": found.forged_fraction,
        }

    return lambda: method.localize(pixels), finish


def scikit_learn(
    features: NDArray[np.float32],
    *,
    min_cluster_size: int,
    min_samples: int | None,
    **_: Any,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """What FOCAL did before it had an engine of its own."""
    from sklearn.cluster import HDBSCAN

    neighbours = min(min_samples or min_cluster_size, len(features) - 1)
    model = HDBSCAN(
        min_cluster_size=min_cluster_size,
        min_samples=neighbours + 1,
        algorithm="kd_tree" if len(features) > 8192 else "brute",
        copy=True,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        model.fit(features.astype(np.float64))
    return model.labels_.astype(np.int64), model.probabilities_
