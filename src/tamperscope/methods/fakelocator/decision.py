"""From a network's fakeness map and label to score map, mask, image score and parts by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamperscope.clustering.postprocess import PostprocessConfig, clean_mask, resize_map
from tamperscope.face_parsing.parts import PARTS, REGIONS
from tamperscope.methods.base import Decision
from tamperscope.methods.fakelocator.config import FakeLocatorConfig

FROM_CARD: Mapping[str, float] = {
    "threshold": 0.1,
    "image_threshold": 0.5,
    "map_threshold": 0.02,
}
"""Fields that a negative value leaves to the weights card, and what they are without one."""
CALIBRATION: Mapping[str, float] = {"image_scale": 1.0, "image_bias": 0.0}
"""What a weights card may add: the probability of fake is sigmoid(scale x logit + bias)."""

NAMED_REGIONS = tuple(name for name in REGIONS if name not in ("face", "lips"))
"""Regions that do not overlap: what a map is told by name of."""
_INNER_FACE = tuple(PARTS.index(part) for part in REGIONS["face"])
_LEAST_PIXELS = 16


@dataclass(frozen=True, eq=False, kw_only=True)
class Fakeness:
    """One picture's answer.

    Attributes:
        scores: float32 (size, size), the map on the network's grid, in [0, 1].
        label: float64 (2,), the logits of real and fake.
        embedding: float32 (D,), means and maxima over places of the encoder's features.
        labels: uint8 (size, size) part labels numbered as `PARTS`, or None without a face.
    """

    scores: NDArray[np.float32]
    label: NDArray[np.float64]
    embedding: NDArray[np.float32]
    labels: NDArray[np.uint8] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Examined:
    """What is measured of a picture: scores float32 (size, size) in [0, 1], image_score in [0, 1],
    fake: the decision, features float32 (D,)."""

    scores: NDArray[np.float32]
    image_score: float
    fake: bool
    features: NDArray[np.float32]


def has_face(labels: NDArray[np.uint8], face_share: float) -> bool:
    """Whether the inner face covers at least ``face_share`` of a label map, and a pixel of it."""
    counts = np.bincount(labels.ravel(), minlength=len(PARTS))
    inner = int(counts[list(_INNER_FACE)].sum())
    return inner > 0 and inner >= face_share * labels.size


def fakeness_of_parts(scores: NDArray[np.float32], labels: NDArray[np.uint8]) -> dict[str, float]:
    """The mean fakeness of every region of `NAMED_REGIONS` in a picture, the highest first.

    Args:
        scores: (h, w).
        labels: (h, w) numbered as `PARTS`; regions of fewer than 16 pixels are left out.
    """
    counts = np.bincount(labels.ravel(), minlength=len(PARTS))
    sums = np.bincount(labels.ravel(), weights=scores.ravel(), minlength=len(PARTS))
    found = {}
    for name in NAMED_REGIONS:
        numbers = [PARTS.index(part) for part in REGIONS[name]]
        pixels = int(counts[numbers].sum())
        if pixels >= _LEAST_PIXELS:
            found[name] = float(sums[numbers].sum() / pixels)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def image_score(
    found: Fakeness, config: FakeLocatorConfig, calibration: tuple[float, float] = (1.0, 0.0)
) -> float:
    """In [0, 1]: the label's probability of fake, or the mean of the map.

    Args:
        calibration: scale and bias of the difference of the logits.
    """
    if config.decision == "map":
        return float(found.scores.mean(dtype=np.float64))
    logit = calibration[0] * float(found.label[1] - found.label[0]) + calibration[1]
    # np.exp of -logit would overflow for very negative ones.
    return float(0.5 * (1.0 + np.tanh(0.5 * logit)))


def image_level(config: FakeLocatorConfig) -> float:
    """The image score above which a picture counts as fake; thresholds are 0 or more here."""
    return config.image_threshold if config.decision == "label" else config.map_threshold


def decide(
    found: Fakeness,
    size: tuple[int, int],
    config: FakeLocatorConfig,
    *,
    calibration: tuple[float, float] = (1.0, 0.0),
) -> Decision:
    """Bring a map to a picture of ``size`` (height, width) and find the mask.

    Args:
        config: its thresholds are 0 or more here.
        calibration: see `image_score`.
    """
    scores = resize_map(found.scores, size).clip(0.0, 1.0)
    score = image_score(found, config, calibration)
    level = image_level(config)
    fake = score > level
    if fake or config.mask_real:
        mask = _cleaned(scores > np.float32(config.threshold), config)
    else:
        mask = np.zeros(size, np.bool_)
    trace: dict[str, Any] = {
        "picture": "fake" if fake else "real",
        "decision": config.decision,
        "image_threshold": level,
        "map_mean": float(found.scores.mean(dtype=np.float64)),
        "map_max": float(found.scores.max()),
        "face": found.labels is not None,
    }
    if found.labels is not None:
        trace["parts"] = fakeness_of_parts(found.scores, found.labels)
    return Decision(scores=scores, mask=mask, image_score=score, trace=trace)


def _cleaned(mask: NDArray[np.bool_], config: FakeLocatorConfig) -> NDArray[np.bool_]:
    pixel = (mask.shape[0] + mask.shape[1]) / (2 * config.size)
    return clean_mask(
        mask,
        PostprocessConfig(
            opening=config.opening * pixel,
            closing=config.closing * pixel,
            fill_holes=config.fill_holes,
            min_region_fraction=config.min_region,
            largest_component=config.largest_component,
        ),
    )
