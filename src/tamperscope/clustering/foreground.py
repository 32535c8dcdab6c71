"""Which clusters are forged: named rules from labels to a mask, with a trace of what was decided.

A clustering only says that parts of a picture differ, not which part is the inserted one. Every
answer to that is a convention, so each is a named value of :class:`ForegroundConfig`.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tamperscope.errors import ClusteringError, ConfigError

NOISE = -1

_Kind = TypeVar("_Kind", bound=StrEnum)


class PristineRule(StrEnum):
    """How the pristine cluster is told from the forged ones.

    LARGEST: the cluster with most pixels is pristine, all others are forged (the papers' rule). Of
        equally large ones the one with most pixels on the picture's outermost row and column lines
        wins, then the lowest label.
    RELEASED: the rule of FOCAL's released code, for the two labels 0 and 1: label 1 is forged; if
        it has strictly more pixels than label 0 the two are exchanged.
    BORDER: the cluster with most pixels on the outermost lines is pristine; ties go to the larger
        cluster, then to the lowest label.
    EVIDENCE: a cluster is forged where the mean of a given evidence map exceeds the threshold;
        none, some or all may be.
    """

    LARGEST = "largest"
    RELEASED = "released"
    BORDER = "border"
    EVIDENCE = "evidence"


class NoiseRule(StrEnum):
    """What becomes of pixels without a cluster (label -1), where there are two clusters or more.

    FORGED_CLUSTER: together they are one more cluster, which is forged (under EVIDENCE: judged by
        its own mean evidence, like the others).
    NEAREST: each follows the cluster whose mean feature is nearest (Euclidean); needs features.
    PRISTINE: they are pristine.
    """

    FORGED_CLUSTER = "forged-cluster"
    NEAREST = "nearest"
    PRISTINE = "pristine"


class HalfRule(StrEnum):
    """What to do when more than half of the pixels came out forged: KEEP the mask, SWAP forged and
    pristine, or call the picture CLEAN."""

    KEEP = "keep"
    SWAP = "swap"
    CLEAN = "clean"


@dataclass(frozen=True, kw_only=True)
class ForegroundConfig:
    """The three rules, as members or by value; ``evidence_threshold`` is on the scale of the
    evidence map given (0 suits logits, 0.5 probabilities)."""

    pristine: PristineRule = PristineRule.LARGEST
    noise: NoiseRule = NoiseRule.FORGED_CLUSTER
    more_than_half: HalfRule = HalfRule.KEEP
    evidence_threshold: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "pristine", _rule(PristineRule, "pristine", self.pristine))
        object.__setattr__(self, "noise", _rule(NoiseRule, "noise", self.noise))
        half = _rule(HalfRule, "more_than_half", self.more_than_half)
        object.__setattr__(self, "more_than_half", half)
        if not np.isfinite(self.evidence_threshold):
            raise ConfigError(
                f"evidence_threshold must be a finite number, got {self.evidence_threshold}"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Foreground:
    """mask: bool (h, w), True = forged; pristine, forged: labels in that role (-1 among them where
    noise is a cluster of its own; both empty without two clusters); trace: JSON-able record."""

    mask: NDArray[np.bool_]
    pristine: tuple[int, ...]
    forged: tuple[int, ...]
    trace: dict[str, Any] = field(default_factory=dict)


def select_forged(
    labels: NDArray[np.integer],
    config: ForegroundConfig | None = None,
    *,
    features: NDArray[np.floating] | None = None,
    evidence: NDArray[np.floating] | None = None,
) -> Foreground:
    """Turn cluster labels into a mask.

    Fewer than two clusters mean that nothing was told apart, so the picture is clean, whatever the
    rules and however many noise pixels there are. The roles are settled on the clusters themselves;
    noise joins afterwards and sways neither size nor border counts.

    Args:
        labels: (h, w) integer; -1 = noise.
        config: the rules; default: largest is pristine, noise is forged, no limit at half.
        features: (h, w, C) float, for ``NoiseRule.NEAREST``.
        evidence: (h, w) float, larger = more likely forged, for ``PristineRule.EVIDENCE``.

    Raises:
        ClusteringError: arrays that do not fit, labels below -1, labels other than 0 and 1 under
            ``RELEASED``, evidence or features that are not finite.
        ConfigError: a rule whose array is missing.
    """
    config = config or ForegroundConfig()
    _check(labels, config, features, evidence)
    clusters = [int(c) for c in np.unique(labels) if c != NOISE]
    trace: dict[str, Any] = {
        "rules": {
            "pristine": config.pristine.value,
            "noise": config.noise.value,
            "more_than_half": config.more_than_half.value,
        },
        "pixels": {str(c): int((labels == c).sum()) for c in clusters},
        "noise_pixels": int((labels == NOISE).sum()),
    }
    if len(clusters) < 2:
        decision = "clean: one cluster" if clusters else "clean: no cluster"
        return _clean(labels, trace, decision)
    forged = _forged_clusters(labels, clusters, config, evidence, trace)
    intact = [c for c in clusters if c not in forged]
    if (labels == NOISE).any():
        labels = _join_noise(labels, clusters, config, features)
        if (labels == NOISE).any():
            (forged if _noise_is_forged(labels, config, evidence) else intact).append(NOISE)
    return _apply_half_rule(labels, intact, forged, config, trace)


def cluster_centres(
    features: NDArray[np.floating], labels: NDArray[np.integer], wanted: tuple[int, ...]
) -> NDArray[np.float64]:
    """Mean feature of each wanted cluster: (..., C) features and (...) labels to (len(wanted), C).

    Raises:
        ClusteringError: shapes that do not fit, or a wanted label that does not occur.
    """
    _check_features(features, labels)
    rows, flat = features.reshape(-1, features.shape[-1]), labels.ravel()
    centres = np.zeros((len(wanted), features.shape[-1]))
    for centre, label in zip(centres, wanted, strict=True):
        member = flat == label
        if not member.any():
            raise ClusteringError(f"no pixel has label {label}; pass labels that occur")
        centre[:] = rows[member].mean(0, dtype=np.float64)
    return centres


def _forged_clusters(
    labels: NDArray[np.integer],
    clusters: list[int],
    config: ForegroundConfig,
    evidence: NDArray[np.floating] | None,
    trace: dict[str, Any],
) -> list[int]:
    sizes = {c: int((labels == c).sum()) for c in clusters}
    border = _border_counts(labels, clusters)
    if config.pristine is PristineRule.EVIDENCE:
        means = _mean_evidence(labels, clusters, evidence)
        trace["mean_evidence"] = {str(c): means[c] for c in clusters}
        trace["evidence_threshold"] = float(config.evidence_threshold)
        return [c for c in clusters if means[c] > config.evidence_threshold]
    if config.pristine is PristineRule.RELEASED:
        return [0] if sizes[1] > sizes[0] else [1]
    if config.pristine is PristineRule.BORDER:
        trace["border_pixels"] = {str(c): border[c] for c in clusters}
        pristine = max(clusters, key=lambda c: (border[c], sizes[c], -c))
    else:
        pristine = max(clusters, key=lambda c: (sizes[c], border[c], -c))
    return [c for c in clusters if c != pristine]


def _mean_evidence(
    labels: NDArray[np.integer], clusters: list[int], evidence: NDArray[np.floating] | None
) -> dict[int, float]:
    evidence = _given(evidence, "evidence", "evidence")
    return {c: float(evidence[labels == c].mean(dtype=np.float64)) for c in clusters}


def _given(array: NDArray[np.floating] | None, rule: str, name: str) -> NDArray[np.floating]:
    if array is None:
        raise ConfigError(f"the {rule!r} rule needs an array it was not given; pass {name}=")
    return array


def _border_counts(labels: NDArray[np.integer], clusters: list[int]) -> dict[int, int]:
    frame = np.ones(labels.shape, dtype=bool)
    frame[1:-1, 1:-1] = False
    return {c: int((labels[frame] == c).sum()) for c in clusters}


def _join_noise(
    labels: NDArray[np.integer],
    clusters: list[int],
    config: ForegroundConfig,
    features: NDArray[np.floating] | None,
) -> NDArray[np.integer]:
    if config.noise is not NoiseRule.NEAREST:
        return labels
    features = _given(features, "nearest", "features")
    centres = cluster_centres(features, labels, tuple(clusters))
    noise = labels == NOISE
    # argmin |x - c|^2 without the |x|^2 all centres share.
    distances = (centres**2).sum(1) - 2 * features[noise].astype(np.float64) @ centres.T
    joined = labels.copy()
    joined[noise] = np.asarray(clusters, dtype=labels.dtype)[distances.argmin(1)]
    return joined


def _noise_is_forged(
    labels: NDArray[np.integer], config: ForegroundConfig, evidence: NDArray[np.floating] | None
) -> bool:
    if config.noise is NoiseRule.PRISTINE:
        return False
    if config.pristine is PristineRule.EVIDENCE:
        return _mean_evidence(labels, [NOISE], evidence)[NOISE] > config.evidence_threshold
    return True


def _apply_half_rule(
    labels: NDArray[np.integer],
    pristine: list[int],
    forged: list[int],
    config: ForegroundConfig,
    trace: dict[str, Any],
) -> Foreground:
    mask = np.isin(labels, forged)
    decision = f"{len(forged)} forged, {len(pristine)} pristine"
    if 2 * int(mask.sum()) > mask.size:
        if config.more_than_half is HalfRule.CLEAN:
            return _clean(labels, trace, "clean: more than half came out forged")
        if config.more_than_half is HalfRule.SWAP:
            mask, pristine, forged = ~mask, forged, pristine
            decision = f"{len(forged)} forged, {len(pristine)} pristine, swapped: more than half"
    trace.update(decision=decision, pristine=sorted(pristine), forged=sorted(forged))
    return Foreground(
        mask=mask, pristine=tuple(sorted(pristine)), forged=tuple(sorted(forged)), trace=trace
    )


def _clean(labels: NDArray[np.integer], trace: dict[str, Any], decision: str) -> Foreground:
    trace.update(decision=decision, pristine=[], forged=[])
    mask = np.zeros(labels.shape, dtype=bool)
    return Foreground(mask=mask, pristine=(), forged=(), trace=trace)


def _rule(kind: type[_Kind], name: str, value: str) -> _Kind:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(repr(item.value) for item in kind)
        raise ConfigError(f"unknown {name} rule {value!r}; use one of {known}") from None


def _check(
    labels: NDArray[np.integer],
    config: ForegroundConfig,
    features: NDArray[np.floating] | None,
    evidence: NDArray[np.floating] | None,
) -> None:
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer) or labels.size == 0:
        raise ClusteringError(
            f"labels must be a non-empty integer array (h, w), got {labels.dtype} {labels.shape}"
        )
    if labels.min() < NOISE:
        raise ClusteringError(f"labels must be -1 (noise) or higher, got {int(labels.min())}")
    if config.pristine is PristineRule.RELEASED and labels.max() > 1:
        raise ClusteringError(
            f"the 'released' rule knows labels 0 and 1 only, got {int(labels.max())}; use 'largest'"
        )
    if config.noise is NoiseRule.NEAREST and (labels == NOISE).any():
        _check_features(_given(features, "nearest", "features"), labels)
    if config.pristine is PristineRule.EVIDENCE:
        evidence = _given(evidence, "evidence", "evidence")
        if evidence.shape != labels.shape or not np.isfinite(evidence).all():
            raise ClusteringError(
                f"evidence must be finite and {labels.shape} like labels, got {evidence.shape}"
            )


def _check_features(features: NDArray[np.floating], labels: NDArray[np.integer]) -> None:
    if features.shape[:-1] != labels.shape or not np.isfinite(features).all():
        raise ClusteringError(
            f"features must be finite and {(*labels.shape, 'C')}, got {features.shape}"
        )
