"""From feature and evidence maps to mask, score map and image score, on the feature grid.

``seeded`` gives a probability, and the raw mask is where it exceeds the threshold, which is chosen
for each picture by the F1 to be expected, or is the same for all. ``kmeans`` and
``hdbscan`` give labels, a rule names the forged ones, and the score map is the margin between the
similarities to both sides: 0.5 half-way between their centres, which is near the mask's boundary
but need not be on it. A picture without a second side is clean.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tamperscope.clustering.foreground import (
    Foreground,
    ForegroundConfig,
    HalfRule,
    NoiseRule,
    PristineRule,
    select_forged,
)
from tamperscope.clustering.kmeans import kmeans
from tamperscope.clustering.postprocess import (
    PostprocessConfig,
    clean_mask,
    margin_map,
    resize_mask,
)
from tamperscope.errors import ClusteringError, ConfigError, WeightsError
from tamperscope.methods.focal.config import FocalConfig
from tamperscope.methods.focal.features import FeatureMaps
from tamperscope.methods.focal.seeded import seeded_margin
from tamperscope.result import MapKind

_CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How evidence and margin become probabilities; fitted on held-back synthetic forgeries, kept
    on the weights card.

    A cell's probability is sigmoid(``evidence`` * e + ``margin`` * m + ``copies`` * c + ``sides`` *
    s + ``bias``) with evidence logit e, cluster margin m, confidence c that it stands in the
    picture twice, and s, which of the two places is the copy (`cell_cues`). The image score is
    sigmoid(``image_top`` * t + ``image_area`` * a + ``image_copies`` * k + ``image_bias``) with t
    the mean of the highest 1 % of the cells' logits, a the logit of the mean probability, and k
    the confidence in the surest copy.

    The probability is balanced: forged and pristine cells count as equally frequent.
    sigmoid(``cut_scale`` * logit + ``cut_bias``) is the one at the true frequency in a forged
    picture, from which `expected_f1_cut` takes the picture's own threshold.

    Attributes:
        cut_scale, cut_bias: see above; a scale of 0 leaves ``threshold`` for every picture.
        threshold: cells above it are forged, where no cut is chosen for each picture.
        image_threshold: pictures whose score is below it get an empty mask.
    """

    evidence: float = 1.0
    margin: float = 0.0
    copies: float = 0.0
    sides: float = 0.0
    bias: float = 0.0
    threshold: float = 0.5
    cut_scale: float = 0.0
    cut_bias: float = 0.0
    image_top: float = 1.0
    image_area: float = 0.0
    image_copies: float = 0.0
    image_bias: float = 0.0
    image_threshold: float = 0.0

    @classmethod
    def from_card(cls, values: Mapping[str, Any], name: str) -> "Calibration":
        """From a card's ``decision`` table.

        Raises:
            WeightsError: an unknown key, or a value that is no finite number.
        """
        unknown = sorted(set(values) - {f.name for f in fields(cls)})
        if unknown:
            raise WeightsError(
                f"the card of {name} has unknown decision keys {unknown}: it was written by "
                "another version, export it again"
            )
        bad = sorted(k for k, v in values.items() if not _is_number(v))
        if bad:
            raise WeightsError(
                f"the card of {name} has decision values that are no finite numbers ({bad}): "
                "export it again"
            )
        return cls(**{k: float(v) for k, v in values.items()})


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A verdict on the feature grid.

    Attributes:
        mask: bool (rows, columns).
        scores: float32 (rows, columns) in [0, 1].
        threshold: the score at the mask's boundary, before post-processing.
        image_score: [0, 1], how likely anything is forged at all.
        kind: what the scores are.
        trace: which rules applied, for the result's notes.
    """

    mask: NDArray[np.bool_]
    scores: NDArray[np.float32]
    threshold: float
    image_score: float
    kind: MapKind
    trace: dict[str, Any]


def decide(
    maps: FeatureMaps,
    config: FocalConfig,
    calibration: Calibration,
    *,
    device: torch.device = _CPU,
) -> Decision:
    """Cluster one picture's features and say which part is forged.

    ``device`` is where HDBSCAN runs; the answer does not depend on it.

    Raises:
        ConfigError: ``seeded`` clustering or the ``evidence`` rule without an evidence head.
        ClusteringError: features that are not finite.
    """
    check_evidence(config, maps.evidence is not None)
    if not bool(torch.isfinite(maps.features).all()):
        raise ClusteringError(
            "features hold NaN or infinity; run the network in float32 or check its weights"
        )
    if config.clustering == "seeded":
        raw = _decide_seeded(maps, config, calibration)
    else:
        raw = _decide_clustered(maps, config, calibration, device)
    gate = config.image_threshold
    if gate < 0:
        gate = calibration.image_threshold if maps.evidence is not None else 0.0
    mask, cleaned = _clean_up(raw.mask, config), raw.image_score < gate
    if cleaned:
        mask = np.zeros_like(mask)
    trace = {**raw.trace, "image_threshold": gate, "below_image_threshold": bool(cleaned)}
    return replace(raw, mask=mask, trace=trace)


def check_evidence(config: FocalConfig, available: bool) -> None:
    """Raise where the settings need an evidence head that the networks do not have.

    Raises:
        ConfigError: ``seeded`` clustering or the ``evidence`` rule without one.
    """
    if not available and (config.clustering == "seeded" or config.pristine == "evidence"):
        raise ConfigError(
            "these weights have no evidence head: use clustering=kmeans or clustering=hdbscan, "
            "and another rule for pristine than evidence"
        )


def cell_cues(maps: FeatureMaps) -> Tensor:
    """What a cell's probability is made of, (rows, columns, 4): evidence logit, cluster margin,
    confidence that it stands in the picture twice, and in [-1, 1] which of the two places is the
    copy: the one with more evidence is above 0, the other below. The last two are 0 where copies
    were not looked for.
    """
    assert maps.evidence is not None
    evidence = maps.evidence.flatten()
    margin, _ = seeded_margin(F.normalize(maps.features.flatten(0, 1), dim=1), evidence)
    copies = sides = torch.zeros_like(evidence)
    if maps.copies is not None and len(maps.copies):
        copies = maps.copies.amax((0, 1)).flatten()
        sides = _sides(maps.copies.flatten(2), evidence)
    return torch.stack([evidence, margin, copies, sides], 1).view(*maps.evidence.shape, 4)


def _sides(copies: Tensor, evidence: Tensor) -> Tensor:
    """Which of two like places has more evidence, per cell (n,), from shares (k, 2, n)."""
    apart = (copies[:, 0] - copies[:, 1]).clamp(-1, 1)
    first, second = apart.clamp(min=0), (-apart).clamp(min=0)
    more = (first @ evidence) / first.sum(1).clamp(min=1e-6)
    less = (second @ evidence) / second.sum(1).clamp(min=1e-6)
    return (torch.tanh(more - less)[:, None] * apart).sum(0).clamp(-1, 1)


def cell_logits(cues: Tensor, calibration: Calibration) -> Tensor:
    """Calibrated logits (rows, columns) of `cell_cues`."""
    c = calibration
    return cues @ torch.tensor([c.evidence, c.margin, c.copies, c.sides]) + c.bias


def surest_copy(maps: FeatureMaps) -> float:
    """The confidence in the surest copy, [0, 1]; 0 without any."""
    return float(maps.copies.max()) if maps.copies is not None and len(maps.copies) else 0.0


def image_statistics(logits: Tensor) -> tuple[float, float]:
    """What the image score is made of: mean of the highest 1 % of the logits, and the logit of the
    mean probability.
    """
    flat = logits.flatten().double()
    top = flat.topk(max(1, round(0.01 * flat.numel()))).values.mean()
    mean = torch.sigmoid(flat).mean().clamp(1e-6, 1 - 1e-6)
    return float(top), float(torch.logit(mean))


def expected_f1_cut(probabilities: Tensor) -> tuple[int, float]:
    """How many of the most probable cells to call forged, so that the expected F1 is highest.

    With p sorted in descending order the F1 to be expected of the first k is
    2 (p_1 + ... + p_k) / (k + p_1 + ... + p_n): a ratio of expectations, as in Lipton, Elkan and
    Narayanaswamy, "Optimal thresholding of classifiers to maximize F1 measure" (2014). A picture
    with a clear forgery gets a strict cut, one with a faint trace a lenient one.

    Args:
        probabilities: any shape, in [0, 1], that of each cell being forged.

    Returns:
        k >= 1, and the F1 to be expected of it in [0, 1].
    """
    ordered = probabilities.flatten().double().sort(descending=True).values
    counts = torch.arange(1, ordered.numel() + 1, dtype=torch.float64)
    expected = 2 * ordered.cumsum(0) / (counts + ordered.sum()).clamp(min=1e-12)
    best = int(expected.argmax())
    return best + 1, float(expected[best])


def own_threshold(logits: Tensor, calibration: Calibration) -> float:
    """The balanced probability that a cell of this picture has to exceed, in [0, 1)."""
    probabilities = torch.sigmoid(calibration.cut_scale * logits + calibration.cut_bias)
    count, _ = expected_f1_cut(probabilities)
    scores = torch.sigmoid(logits).flatten()
    last = scores.kthvalue(scores.numel() - count + 1).values.numpy()
    # Just below the last cell that is in, so that its equals are in as well.
    return float(np.nextafter(last, np.float32(0)))


def _is_number(value: Any) -> bool:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return plain and math.isfinite(value)


def image_score(logits: Tensor, calibration: Calibration, *, copy: float = 0.0) -> float:
    """How likely anything in the picture is forged, in [0, 1], from its calibrated logits and the
    confidence in its surest ``copy``.
    """
    c = calibration
    top, area = image_statistics(logits)
    value = c.image_top * top + c.image_area * area + c.image_copies * copy + c.image_bias
    return float(1.0 / (1.0 + np.exp(-np.clip(value, -50, 50))))


def _decide_seeded(maps: FeatureMaps, config: FocalConfig, calibration: Calibration) -> Decision:
    assert maps.evidence is not None
    logits = cell_logits(cell_cues(maps), calibration)
    scores = torch.sigmoid(logits).numpy().astype(np.float32)
    adaptive = config.threshold < 0 and config.cut == "expected-f1" and calibration.cut_scale > 0
    if adaptive:
        threshold = own_threshold(logits, calibration)
    else:
        threshold = calibration.threshold if config.threshold < 0 else config.threshold
    copy = surest_copy(maps)
    return Decision(
        mask=scores > threshold,
        scores=scores,
        threshold=threshold,
        image_score=image_score(logits, calibration, copy=copy),
        kind=MapKind.PROBABILITY,
        trace={
            "clustering": "seeded",
            "threshold": threshold,
            "cut": "expected-f1" if adaptive else "fixed",
            "surest_copy": copy,
        },
    )


def _decide_clustered(
    maps: FeatureMaps, config: FocalConfig, calibration: Calibration, device: torch.device
) -> Decision:
    features, evidence, pooled = _limit(maps, config.max_points)
    rows, columns, channels = features.shape
    flat = features.reshape(-1, channels)
    found, approximation = _labels(flat, config, device)
    labels = found.reshape(rows, columns)
    choice = select_forged(
        labels,
        ForegroundConfig(
            pristine=PristineRule(config.pristine),
            noise=NoiseRule(config.noise),
            more_than_half=HalfRule(config.majority),
        ),
        features=features.numpy(),
        evidence=None if evidence is None else evidence.numpy(),
    )
    scores, separation = _margin_scores(maps.features, features, labels, choice)
    mask = choice.mask
    if pooled is not None:
        mask = resize_mask(mask, (pooled[0], pooled[1]), method="nearest")
    if maps.evidence is None:
        score = separation if choice.mask.any() else 0.0
    else:
        logits = cell_logits(cell_cues(maps), calibration)
        score = image_score(logits, calibration, copy=surest_copy(maps))
    trace = {
        "clustering": config.clustering,
        "foreground": choice.trace,
        "separation": separation,
        "pooled_from": pooled,
        "approximation": approximation,
    }
    return Decision(
        mask=mask,
        scores=scores,
        threshold=0.5,
        image_score=score,
        kind=MapKind.CLUSTER_SIMILARITY,
        trace=trace,
    )


def _labels(
    flat: Tensor, config: FocalConfig, device: torch.device
) -> tuple[NDArray[np.int64], str]:
    """Labels of the vectors, and by what approximation, if by one."""
    if len(flat) < 2:
        return np.zeros(len(flat), np.int64), ""
    if config.clustering == "kmeans":
        found = kmeans(flat, restarts=config.kmeans_restarts, seed=config.seed)
        return found.labels.numpy().astype(np.int64), ""
    # Imported here: the compiler behind them takes a while to load, and only this needs it.
    from tamperscope.clustering.approximate import subsampled
    from tamperscope.clustering.hdbscan import hdbscan

    options: dict[str, Any] = {
        "min_cluster_size": config.min_cluster_size,
        "min_samples": config.min_samples or None,
        "metric": config.metric,
    }
    if config.approximation == "subsample":
        some = subsampled(flat.numpy(), seed=config.seed, **options)
        return some.labels, some.approximation
    rows = flat.to(device) if device.type == "cuda" else flat.numpy()
    return hdbscan(rows, **options)[0], ""


def _limit(maps: FeatureMaps, max_points: int) -> tuple[Tensor, Tensor | None, list[int] | None]:
    """The maps, pooled by area if they have more vectors than allowed, and the grid they were
    pooled from.
    """
    rows, columns = maps.features.shape[:2]
    if max_points == 0 or rows * columns <= max_points:
        return maps.features, maps.evidence, None
    scale = (max_points / (rows * columns)) ** 0.5
    # A strip keeps its one row or column, so the other side has to give way for both.
    short = max(1, int(min(rows, columns) * scale))
    long = max(1, min(int(max(rows, columns) * scale), max_points // short))
    grid = (short, long) if rows <= columns else (long, short)
    pooled = F.adaptive_avg_pool2d(maps.features.permute(2, 0, 1), grid)
    features = F.normalize(pooled, dim=0).permute(1, 2, 0).contiguous()
    evidence = None
    if maps.evidence is not None:
        evidence = F.adaptive_avg_pool2d(maps.evidence[None], grid)[0]
    return features, evidence, [rows, columns]


def _margin_scores(
    features: Tensor, clustered: Tensor, labels: NDArray[np.int64], choice: Foreground
) -> tuple[NDArray[np.float32], float]:
    """`margin_map` over all cells, and how far apart the two sides are.

    The separation, in [0, 1], is the share of the features' variance that lies between the two
    sides: 0 when there is one side only.
    """
    flat = clustered.reshape(-1, clustered.shape[-1]).numpy().astype(np.float64)
    forged = choice.mask.reshape(-1)
    channels = flat.shape[1]

    def centres(clusters: tuple[int, ...]) -> NDArray[np.float64]:
        found = [flat[labels.reshape(-1) == c].mean(0) for c in clusters]
        return np.stack(found) if found else np.zeros((0, channels))

    pristine, separation = centres(choice.pristine), 0.0
    if not choice.forged:
        pristine = flat.mean(0, keepdims=True)
    elif not forged.all():
        share = forged.mean()
        apart = float(((flat[forged].mean(0) - flat[~forged].mean(0)) ** 2).sum())
        separation = share * (1 - share) * apart / max(float(flat.var(0).sum()), 1e-12)
    scores = margin_map(features.numpy(), centres(choice.forged), pristine)
    return scores, float(np.clip(separation, 0.0, 1.0))


def _clean_up(mask: NDArray[np.bool_], config: FocalConfig) -> NDArray[np.bool_]:
    steps = PostprocessConfig(
        opening=config.opening,
        closing=config.closing,
        dilation=config.dilation,
        erosion=config.erosion,
        fill_holes=config.fill_holes,
        min_region_fraction=config.min_region,
        largest_component=config.largest_component,
    )
    return clean_mask(mask, steps)
