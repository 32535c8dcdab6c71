"""What a trained network of FakeLocator means by its label and its map, fitted on the validation
faces.

The paper decides by the larger of the two logits, which is what an uncalibrated card does. A
logistic regression turns their difference into the probability of a fake where fakes and real
pictures are equally many. The map has no threshold in the paper; for those who want a mask the card
names the level that fits the changed pixels of partly changed faces best.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from tamperscope.train.config import Recipe
from tamperscope.train.fitting import (
    Calibration,
    ScoredMask,
    answers,
    best_cut,
    fakes_among,
    logistic,
)
from tamperscope.train.tasks.base import Record
from tamperscope.train.tasks.fakelocator import FakeLocatorTask
from tamperscope.train.tasks.fakelocator_data import HeldBackFakeness

_CUTS = np.array([0.002, 0.004, 0.007, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.15])


def calibrate(
    network: nn.Module,
    recipe: Recipe,
    *,
    data_root: str | Path,
    pictures: int = 400,
    progress: Callable[[int], None] | None = None,
) -> Calibration:
    """Fit the decision of a network on held-back faces of its own recipe.

    Args:
        network: of the recipe, with its final weights, left in eval mode.
        recipe: of the run.
        data_root: the set of pairs.
        pictures: most pictures to look at, half of them real.
        progress: called with the number of pictures done.

    Returns:
        In ``decision``: ``image_scale`` and ``image_bias`` of the difference of the logits;
        ``map_threshold`` of the mean of the map; ``threshold`` of the map, if some pictures are
        changed in a part only. In ``numbers`` beside those of `FakeLocatorTask`, whose ``accuracy``
        is that of the larger logit: ``decision_accuracy`` of the fitted probability,
        ``map_accuracy`` of ``map_threshold`` and ``mask_iou`` of ``threshold``.

    Raises:
        TrainingError: fewer than two pictures of either kind.
        DataError: the set lacks something.
    """
    task = FakeLocatorTask(recipe)
    source = task.source(Path(data_root), "val")
    assert isinstance(source, HeldBackFakeness)
    records, seen = _look(network, task, source, min(pictures, len(source)), progress)
    fake = fakes_among(records)
    decision = logistic(seen.margins, fake)
    numbers = {k: v for k, v in task.summarize(records).items() if "/" not in k}
    called = decision["image_scale"] * seen.margins + decision["image_bias"] > 0
    numbers["decision_accuracy"] = float((called == fake).mean())
    decision["map_threshold"], numbers["map_accuracy"] = _best_level(seen.means, fake)
    if seen.parts:
        decision["threshold"], numbers["mask_iou"] = best_cut(seen.parts, _CUTS)
    return Calibration.of(decision, numbers, fake)


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """margins, means: (n,) difference of the logits and mean of the map; parts: maps and changed
    pixels of partly changed pictures."""

    margins: NDArray[np.float64]
    means: NDArray[np.float64]
    parts: list[ScoredMask]


def _look(
    network: nn.Module,
    task: FakeLocatorTask,
    source: HeldBackFakeness,
    count: int,
    progress: Callable[[int], None] | None,
) -> tuple[list[Record], _Seen]:
    records: list[Record] = []
    margins: list[float] = []
    means: list[float] = []
    parts: list[ScoredMask] = []
    for batch, outputs in answers(network, task, source, count, progress):
        records += task.numbers(outputs, batch)
        logits = outputs["label_logits"].double()
        margins += (logits[:, 1] - logits[:, 0]).tolist()
        found = outputs["map_logits"][:, 0].sigmoid().numpy()
        means += found.mean((1, 2), dtype=np.float64).tolist()
        changed = batch["mask"].numpy() > 0
        parts += [(f, c) for f, c in zip(found, changed, strict=True) if c.any() and not c.all()]
    return records, _Seen(margins=np.array(margins), means=np.array(means), parts=parts)


def _best_level(scores: NDArray[np.float64], fake: NDArray[np.bool_]) -> tuple[float, float]:
    """The level above which pictures count as fake with the best balanced accuracy, and that."""
    levels = np.unique(scores)
    middles = (levels[:-1] + levels[1:]) / 2 if levels.size > 1 else levels
    hits = [((scores > m)[fake].mean() + (scores <= m)[~fake].mean()) / 2 for m in middles]
    best = int(np.argmax(hits))
    return float(middles[best]), float(hits[best])
