"""The small fits that turn a network's raw output into a decision."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import nn

from tamperscope.errors import TrainingError
from tamperscope.train.batches import SampleSource, collate
from tamperscope.train.tasks.base import Record, Task
from tamperscope.train.tasks.draws import REAL

_BATCH = 8

ScoredMask = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""A map of a fake picture and its true mask, both (h, w)."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A fitted decision and how the network does on the pictures it was fitted on.

    Attributes:
        decision: for the weights card.
        numbers: of the task on all validation pictures, of the fits, and how many fake and real
            pictures there were.
    """

    decision: dict[str, float]
    numbers: dict[str, float]

    @classmethod
    def of(
        cls, decision: Mapping[str, float], numbers: Mapping[str, float], fake: NDArray[np.bool_]
    ) -> "Calibration":
        """With the pictures counted, and digits that mean nothing left out."""
        counts = {"fake_pictures": fake.sum(), "real_pictures": (~fake).sum()}
        return cls(
            decision={k: float(f"{v:.6g}") for k, v in decision.items()},
            numbers={k: round(float(v), 4) for k, v in {**numbers, **counts}.items()},
        )


def fakes_among(records: Sequence[Record]) -> NDArray[np.bool_]:
    """Which validation records are of fake pictures, bool (n,).

    Raises:
        TrainingError: fewer than two of either kind.
    """
    fake = np.array([record["kind"] != REAL for record in records])
    if min(fake.sum(), (~fake).sum()) < 2:
        raise TrainingError(
            "calibration needs at least two fake and two real validation pictures: build more faces"
        )
    return fake


def answers(
    network: nn.Module,
    task: Task,
    source: SampleSource,
    count: int,
    progress: Callable[[int], None] | None,
) -> Iterator[tuple[dict[str, Any], Any]]:
    """The first ``count`` samples in batches, and the network's outputs on the CPU without
    gradients; it is left in eval mode. ``progress`` gets the number of pictures done."""
    network.eval()
    for start in range(0, count, _BATCH):
        stop = min(start + _BATCH, count)
        batch = collate([source[i] for i in range(start, stop)])
        with torch.no_grad():
            outputs = network(*task.network_inputs(batch, torch.device("cpu"), channels_last=False))
        yield batch, outputs
        if progress is not None:
            progress(stop)


def logistic(scores: NDArray[np.float64], fake: NDArray[np.bool_]) -> dict[str, float]:
    """``image_scale`` and ``image_bias``: the sigmoid of scale x score + bias is the probability of
    a fake where fake and real pictures are equally many.

    Args:
        scores: (n,), higher = more fake.
        fake: (n,), with both kinds.
    """
    middle, spread = float(scores.mean()), max(float(scores.std()), 1e-6)
    # The penalty matters where both kinds separate: without it the slope grows for ever.
    model = LogisticRegression(C=1.0, class_weight="balanced")
    model.fit(((scores - middle) / spread)[:, None], fake)
    scale = float(model.coef_[0, 0]) / spread
    return {"image_scale": scale, "image_bias": float(model.intercept_[0]) - scale * middle}


def best_cut(
    maps: Sequence[ScoredMask], cuts: Sequence[float] | NDArray[np.float64]
) -> tuple[float, float]:
    """The cut with the best mean IoU of map > cut with the masks, and that IoU."""
    means = [float(np.mean([iou(score > cut, mask) for score, mask in maps])) for cut in cuts]
    best = int(np.argmax(means))
    return round(float(cuts[best]), 4), means[best]


def iou(flagged: NDArray[np.bool_], mask: NDArray[np.bool_]) -> float:
    """Intersection over union of two masks, 0 for two empty ones."""
    return float((flagged & mask).sum() / max((flagged | mask).sum(), 1))
