"""One picture evaluated against its ground truth, by this project and the way peers do it.

Runs in measured processes (`clustering_parts.process`): input in memory, everything imported,
compiled and warm.
"""

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from clustering_parts.competitors import start_pool
from numpy.typing import NDArray
from PIL import Image as PILImage

from tamperscope import Localization, catalog
from tamperscope.clustering.postprocess import resize_map, resize_mask
from tamperscope.image import read_image
from tamperscope.methods.focal.config import resolve
from tamperscope.methods.focal.decision import Calibration, decide
from tamperscope.methods.focal.features import FeatureMaps
from tamperscope.methods.focal.network import network_for
from tamperscope.metrics.batch import pixel_metrics

WEIGHTS = "focal-compact"
STRIDE = 4
NAMES = ("f1", "iou", "auc")
PARTS = ("network", "clustering", "metrics")
PEERS = "peers"
_PUBLISHED = "as-published"


@dataclass(frozen=True)
class Way:
    """title: for tables. same: whether it does what the peers' way does, so that answers must
    agree. settings: of `tamperscope.load`."""

    title: str
    same: bool
    settings: dict[str, Any]


WAYS = {
    PEERS: Way("PyTorch, hdbscan, scikit-learn", True, {}),
    "published": Way(
        "tamperscope, the same settings",
        True,
        {
            "preset": _PUBLISHED,
            "weights": WEIGHTS,
            "geometry": "native",
            "align": False,
            "image_threshold": 0.0,
        },
    ),
    "default": Way("tamperscope, `default`", False, {"preset": "default"}),
    "default-onnx": Way("tamperscope, `default`, onnx", False, {"engine": "onnx"}),
}


@dataclass(frozen=True)
class Evaluated:
    """One answer, its numbers against the truth, and the seconds its parts took."""

    mask: NDArray[np.bool_]
    scores: NDArray[np.float32]
    numbers: dict[str, float]
    parts: dict[str, float]


class Evaluator(Protocol):
    """A way, loaded."""

    def warm(self, data: bytes) -> None:
        """Run the network on a picture, so that memory of that size is at hand."""
        ...

    def evaluate(self, data: bytes, truth: NDArray[np.bool_]) -> Evaluated:
        """From the file to the numbers."""
        ...


def prepare(
    way: str, data: Path, truth: Path, answer: Path | None, device: str, threads: int
) -> tuple[Callable[[], Evaluated], Callable[[Evaluated], dict[str, Any]]]:
    """Ready to be timed on a JPEG file and its ground truth, bool (h, w) in a .npy file; mask and
    scores are kept in the .npz file `answer`."""
    picture, forged = data.read_bytes(), np.load(truth)
    evaluator: Evaluator = (
        Peers(device, threads) if way == PEERS else Ours(way, max(forged.shape), device)
    )
    evaluator.evaluate(*_small(picture))
    evaluator.warm(picture)

    def finish(found: Evaluated) -> dict[str, Any]:
        if answer is not None:
            np.savez(answer, mask=found.mask, scores=found.scores)
        return {"parts": found.parts, "numbers": found.numbers}

    return partial(evaluator.evaluate, picture, forged), finish


class Ours:
    """`localize`, and the metrics of this project."""

    def __init__(self, way: str, side: int, device: str) -> None:
        settings = dict(WAYS[way].settings)
        if WAYS[way].same:
            settings["tile"] = max(256, -(-side // 32) * 32)  # all of it in one forward pass
        self._localizer = catalog.load("focal", device=device, **settings)
        self._settle = torch.cuda.synchronize if device.startswith("cuda") else lambda: None

    def warm(self, data: bytes) -> None:
        """See `Evaluator.warm`."""
        self._localizer.feature_maps(data)  # type: ignore[attr-defined]

    def evaluate(self, data: bytes, truth: NDArray[np.bool_]) -> Evaluated:
        """See `Evaluator.evaluate`."""
        found: Localization = self._localizer.localize(data)
        self._settle()
        start = time.perf_counter()
        values = pixel_metrics(found.mask[None], found.score_map[None], truth[None], names=NAMES)
        seconds = found.provenance.seconds
        parts = {
            "network": seconds["features"],
            "clustering": seconds["clustering"],
            "metrics": time.perf_counter() - start,
        }
        numbers = {name: float(value[0]) for name, value in values.items()}
        return Evaluated(found.mask, found.score_map, numbers, parts)


class Peers:
    """A plain forward pass, the hdbscan library on all features, scikit-learn's metrics.

    Which cluster is forged, and the heat map, come from the functions that `Ours` runs.
    """

    def __init__(self, device: str, threads: int) -> None:
        from tamperscope.clustering import hdbscan as module

        # FOCAL imports it when it is first needed, and then finds this one.
        module.hdbscan = partial(_library, threads=threads)  # type: ignore[assignment]
        start_pool(threads)
        self._network = network_for(WEIGHTS)[0].eval().to(device)
        self._device = device
        self._config = resolve(_PUBLISHED, {})

    def warm(self, data: bytes) -> None:
        """See `Evaluator.warm`."""
        self._features(np.asarray(PILImage.open(io.BytesIO(data)).convert("RGB")))

    def evaluate(self, data: bytes, truth: NDArray[np.bool_]) -> Evaluated:
        """See `Evaluator.evaluate`."""
        pixels = np.asarray(PILImage.open(io.BytesIO(data)).convert("RGB"))
        times = [time.perf_counter()]
        features = self._features(pixels)
        times.append(time.perf_counter())
        decision = decide(FeatureMaps(features, None), self._config, Calibration())
        times.append(time.perf_counter())
        mask = resize_mask(decision.mask, truth.shape, method="nearest")
        scores = resize_map(decision.scores, truth.shape)
        scored = time.perf_counter()
        numbers = _scikit_learn(mask, scores, truth)
        parts = {
            "network": times[1] - times[0],
            "clustering": times[2] - times[1],
            "metrics": time.perf_counter() - scored,
        }
        return Evaluated(mask, scores, numbers, parts)

    def _features(self, pixels: NDArray[np.uint8]) -> torch.Tensor:
        x = torch.from_numpy(pixels.copy()).to(self._device).permute(2, 0, 1)[None].float() / 255
        with torch.no_grad():
            found = F.normalize(self._network(x)["features"], dim=1)
        return found[0].permute(1, 2, 0).contiguous().cpu()


def _library(
    features: NDArray[np.float32], *, min_cluster_size: int, threads: int, **_: Any
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """hdbscan as its users call it: everything but the size of clusters left alone."""
    from hdbscan import HDBSCAN

    model = HDBSCAN(min_cluster_size=min_cluster_size, core_dist_n_jobs=threads).fit(features)
    return model.labels_.astype(np.int64), model.probabilities_


def _scikit_learn(
    mask: NDArray[np.bool_], scores: NDArray[np.float32], truth: NDArray[np.bool_]
) -> dict[str, float]:
    from sklearn.metrics import f1_score, jaccard_score, roc_auc_score

    expected, found = truth.ravel(), mask.ravel()
    return {
        "f1": float(f1_score(expected, found, zero_division=0)),
        "iou": float(jaccard_score(expected, found, zero_division=0)),
        "auc": float(roc_auc_score(expected, scores.ravel())),
    }


def _small(data: bytes, side: int = 128) -> tuple[bytes, NDArray[np.bool_]]:
    """A corner of a picture, half of it called forged."""
    corner = read_image(data).pixels[:side, :side]
    buffer = io.BytesIO()
    PILImage.fromarray(np.ascontiguousarray(corner)).save(buffer, "JPEG")
    truth = np.zeros(corner.shape[:2], np.bool_)
    truth[: len(truth) // 2] = True
    return buffer.getvalue(), truth
