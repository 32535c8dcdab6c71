"""From a network's map to score map, mask and image score at the picture's size."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from scipy import ndimage

from tamperscope.clustering.foreground import ForegroundConfig, NoiseRule, select_forged
from tamperscope.clustering.hdbscan import hdbscan
from tamperscope.clustering.postprocess import (
    PostprocessConfig,
    clean_mask,
    resize_map,
    resize_mask,
)
from tamperscope.errors import ConfigError
from tamperscope.methods.base import Decision
from tamperscope.methods.dolos.config import DolosConfig, ImageScore
from tamperscope.methods.dolos.maps import FAKE, DolosMap

THRESHOLD = 0.5
TOP_SHARE = 0.005
"""Of the cells, where neither configuration nor weights card say: 7 of 37 x 37."""


def image_score_rule(config: DolosConfig, method: str, supervision: str) -> ImageScore:
    """``image_score`` with ``paper`` resolved, and ``auto`` where no weights card resolved it.

    Raises:
        ConfigError: the network has no such score: a label is learned only from labels, and only by
            Grad-CAM and Attention; a saliency has no level that means anything.
    """
    name = f"dolos-{method}" + ("-weak" if supervision == "weak" else "")
    labelled = supervision == "weak" and method != "patches"
    rule = config.image_score
    if rule in ("auto", "paper"):
        return "logit" if labelled else "mean"
    if rule in ("logit", "softmax") and not labelled:
        raise ConfigError(f"{name} learns no label: use image_score=mean, max or top")
    if rule in ("mean", "max", "top") and name == "dolos-gradcam-weak":
        raise ConfigError(f"the map of {name} has no level: use image_score=logit or softmax")
    return rule


def raw_score(found: DolosMap, rule: ImageScore, top: float = TOP_SHARE) -> float:
    """The number that pictures are ranked by: unbounded for ``logit``.

    Args:
        top: share of the cells that the rule ``top`` averages.
    """
    if rule == "mean":
        return float(found.scores.mean(dtype=np.float64))
    if rule == "max":
        return float(found.scores.max())
    if rule == "top":
        return mean_of_top(found.scores, top)
    assert found.label is not None
    real, fake = found.label[1 - FAKE], found.label[FAKE]
    return float(fake) if rule == "logit" else _sigmoid(fake - real)


def mean_of_top(scores: NDArray[np.float32], share: float) -> float:
    """Mean of that share of the highest values, of one at least.

    The mean of a whole map drowns a small region in the noise of all other cells, its maximum
    hangs on one of them.
    """
    count = max(1, round(share * scores.size))
    highest = np.partition(scores, scores.size - count, axis=None)[-count:]
    return float(highest.mean(dtype=np.float64))


def bounded_score(
    raw: float, rule: ImageScore, calibration: tuple[float, float] | None = None
) -> float:
    """`raw_score` in [0, 1]: the sigmoid of scale x score + bias where a calibration is given, else
    in the same order."""
    if calibration is not None:
        return _sigmoid(calibration[0] * raw + calibration[1])
    return _sigmoid(raw) if rule == "logit" else raw


def _sigmoid(value: float) -> float:
    # np.exp of -value would overflow for very negative logits.
    return float(0.5 * (1.0 + np.tanh(0.5 * value)))


def decide(
    found: DolosMap,
    size: tuple[int, int],
    config: DolosConfig,
    *,
    rule: ImageScore,
    calibration: tuple[float, float] | None = None,
) -> Decision:
    """Bring a map to a picture of ``size`` (height, width) and find the mask.

    Args:
        config: its thresholds and ``image_top`` are 0 or more here.
        rule: from `image_score_rule`.
        calibration: (scale, bias) of the image score; see `bounded_score`.
    """
    scores = upsample(_smooth(found, config.smoothing), size, config.upsampling)
    raw = raw_score(found, rule, config.image_top)
    score = bounded_score(raw, rule, calibration)
    trace: dict[str, Any] = {"decision": config.decision, "image_score": rule, "raw_score": raw}
    trace["feature_grid"] = list(found.scores.shape)
    if config.decision == "threshold":
        mask = scores > np.float32(config.threshold)
        trace["threshold"] = config.threshold
    else:
        mask, trace["foreground"] = _clustered(found, config)
        mask = resize_mask(mask, size, method="nearest")
    mask = _clean_up(mask, found.cells, config)
    if score < config.image_threshold:
        mask = np.zeros_like(mask)
        trace["below_image_threshold"] = config.image_threshold
    return Decision(scores=scores, mask=mask, image_score=score, trace=trace)


def upsample(
    scores: NDArray[np.float32], size: tuple[int, int], method: str
) -> NDArray[np.float32]:
    """A map at another (height, width), by Pillow, cut to [0, 1] where bicubic overshoots."""
    picture = PILImage.fromarray(np.ascontiguousarray(scores, np.float32))
    kind = PILImage.Resampling[method.upper()]
    resized = np.asarray(picture.resize((size[1], size[0]), kind), np.float32)
    return np.ascontiguousarray(resized.clip(0.0, 1.0))


def _smooth(found: DolosMap, sigma: float) -> NDArray[np.float32]:
    if sigma <= 0:
        return found.scores
    # Grad-CAM's heat map is finer than the cells it was made of.
    pixels = [sigma * n / c for n, c in zip(found.scores.shape, found.cells, strict=True)]
    return np.asarray(ndimage.gaussian_filter(found.scores, pixels, mode="nearest"), np.float32)


def _clustered(found: DolosMap, config: DolosConfig) -> tuple[NDArray[np.bool_], dict[str, Any]]:
    """The mask (rows, columns) of the cells outside the largest cluster."""
    rows, columns = found.cells
    if config.cluster_on == "features":
        points = found.features
    else:
        points = resize_map(found.scores, found.cells)[..., None]
    smallest = config.cluster_size(rows * columns)
    labels, _ = hdbscan(
        points.reshape(rows * columns, -1),
        min_cluster_size=smallest,
        min_samples=config.min_samples or None,
    )
    choice = select_forged(
        labels.reshape(rows, columns),
        ForegroundConfig(noise=NoiseRule(config.noise)),
        features=points,
    )
    return choice.mask, {**choice.trace, "min_cluster_size": smallest}


def _clean_up(
    mask: NDArray[np.bool_], cells: tuple[int, int], config: DolosConfig
) -> NDArray[np.bool_]:
    # Radii are given in cells, so that they mean the same for pictures of every size.
    cell = (mask.shape[0] / cells[0] + mask.shape[1] / cells[1]) / 2
    steps = PostprocessConfig(
        opening=config.opening * cell,
        closing=config.closing * cell,
        dilation=config.dilation * cell,
        erosion=config.erosion * cell,
        fill_holes=config.fill_holes,
        min_region_fraction=max(config.min_region, 0.0),
        largest_component=config.largest_component,
    )
    return clean_mask(mask, steps)
