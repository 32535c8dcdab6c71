"""What every named way of evaluating settles, and the intervals that follow from it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from tamperscope.errors import ConfigError
from tamperscope.metrics import aggregate, bootstrap
from tamperscope.provenance import JSON

Interval = dict[str, float]
"""{"mean", "low", "high", "count"}."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The settings of a named way of evaluating, whatever it measures.

    Attributes:
        max_aspect_change: largest relative difference in height / width between a prediction and
            its ground truth that is still resized; more is taken for a wrong pair.
        recompression_quality: JPEG quality (1-100) of the copies for a second image-level number.
        bootstrap_samples, confidence, seed: percentile bootstrap over pictures.

    Raises:
        ConfigError: values out of range.
    """

    name: str
    max_aspect_change: float = 0.05
    recompression_quality: int = 90
    bootstrap_samples: int = 2000
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_aspect_change < 0:
            raise ConfigError(f"max_aspect_change is {self.max_aspect_change}: give 0 or more")
        if not 1 <= self.recompression_quality <= 100:
            raise ConfigError(
                f"recompression_quality is {self.recompression_quality}: give 1 to 100"
            )
        if self.bootstrap_samples < 1:
            raise ConfigError(f"bootstrap_samples is {self.bootstrap_samples}: give 1 or more")
        if not 0 < self.confidence < 1:
            raise ConfigError(f"confidence is {self.confidence}: give a share between 0 and 1")

    def describe(self) -> dict[str, JSON]:
        """Every field, for a record."""
        return asdict(self)


def mean_interval(values: Sequence[float], evaluation: Evaluation) -> Interval | None:
    """The mean of per-picture values; None for no values.

    low, high: percentile bootstrap (Efron, 1979) of the mean at the evaluation's confidence.
    """
    if not values:
        return None
    found = aggregate.mean_interval(
        values,
        level=evaluation.confidence,
        resamples=evaluation.bootstrap_samples,
        seed=evaluation.seed,
    )
    return plain(found)


def ranking_interval(
    forged: Sequence[float],
    authentic: Sequence[float],
    statistic: bootstrap.Statistic,
    evaluation: Evaluation,
) -> Interval | None:
    """A statistic of image scores; None when a class is empty. Both classes are resampled."""
    if not forged or not authentic:
        return None
    found = bootstrap.tally_interval(
        forged,
        authentic,
        statistic,
        level=evaluation.confidence,
        resamples=evaluation.bootstrap_samples,
        seed=evaluation.seed,
    )
    return plain(found)


def auc_interval(
    forged: Sequence[float], authentic: Sequence[float], evaluation: Evaluation
) -> dict[str, JSON] | None:
    """The AUC of image scores; None when a class is empty.

    Exact with ties (Mann-Whitney U / (m n), ties one half). Both classes are resampled.
    """
    found = ranking_interval(forged, authentic, bootstrap.auc, evaluation)
    return None if found is None else {**found}


def plain(found: aggregate.Summary) -> Interval:
    """A summary as records have it."""
    return {"mean": found.mean, "low": found.low, "high": found.high, "count": found.count}
