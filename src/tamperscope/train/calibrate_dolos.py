"""What a trained network of DOLOS means by its image score, fitted on the validation faces.

The paper ranks pictures by the mean of the map or by a raw logit and cuts the map at one half.
A map's mean drowns small regions: where the mean of its highest cells ranks the validation faces
better, the card asks for that. A logistic regression turns the score into the probability of a fake
where fakes and real pictures are equally many; the cut stays at one half unless another one is
asked for.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from tamperscope.losses.dolos import fake_logits
from tamperscope.methods.dolos.decision import TOP_SHARE, mean_of_top
from tamperscope.metrics import image_level
from tamperscope.train.config import Recipe
from tamperscope.train.fitting import (
    Calibration,
    ScoredMask,
    answers,
    best_cut,
    fakes_among,
    iou,
    logistic,
)
from tamperscope.train.tasks.base import Record
from tamperscope.train.tasks.dolos import DolosTask, map_of
from tamperscope.train.tasks.dolos_data import HeldBackSource
from tamperscope.train.tasks.draws import REAL

_CUTS = np.arange(0.05, 0.96, 0.05)


def calibrate(
    network: nn.Module,
    recipe: Recipe,
    *,
    data_root: str | Path,
    pictures: int = 400,
    fit_threshold: bool = False,
    flagged_real: float = 0.0,
    progress: Callable[[int], None] | None = None,
) -> Calibration:
    """Fit the decision of a network on held-back faces of its own set-up.

    Args:
        network: of the recipe, with its final weights, left in eval mode.
        recipe: of the run.
        data_root: the face set.
        pictures: most pictures to look at, half of them real.
        fit_threshold: put the best cut of the map on the card too, in place of one half.
        flagged_real: put the cut on the card above which this share of the cells of real pictures
            lies; unlike ``fit_threshold`` it needs no mask. 0 for none.
        progress: called with the number of pictures done.

    Returns:
        In ``decision``: ``image_scale`` and ``image_bias``: the sigmoid of ``image_scale`` x score
        + ``image_bias`` is the probability of a fake, the score being the paper's (the mean of the
        map, or the fake logit where a label was learned) or, with ``image_top``, the mean of that
        share of the highest cells; and ``threshold`` of the map, if asked for. In ``numbers``
        beside those of `DolosTask`: ``best_threshold`` and ``best_iou``: the cut of the map that
        fits fakes best.

    Raises:
        TrainingError: fewer than two pictures of either kind.
        DataError: the set lacks something.
    """
    task = DolosTask(recipe)
    source = task.source(Path(data_root), "val")
    assert isinstance(source, HeldBackSource)
    records, tops, maps, reals = _look(network, task, source, min(pictures, len(source)), progress)
    scores = np.array([float(record["score"]) for record in records])
    fake = fakes_among(records)
    decision, ranked = _image_score(scores, tops, fake)
    numbers = {k: v for k, v in task.summarize(records).items() if "/" not in k}
    if maps:
        cut, best = best_cut(maps, _CUTS)
        numbers |= {"best_threshold": cut, "best_iou": best}
        if fit_threshold:
            decision["threshold"] = cut
    if maps and flagged_real:
        cut = float(np.quantile(np.concatenate(reals), 1 - flagged_real))
        decision["threshold"] = cut
        numbers["iou_at_threshold"] = float(np.mean([iou(s > cut, m) for s, m in maps]))
    return Calibration.of(decision, numbers | ranked, fake)


def _look(
    network: nn.Module,
    task: DolosTask,
    source: HeldBackSource,
    count: int,
    progress: Callable[[int], None] | None,
) -> tuple[list[Record], NDArray[np.float64], list[ScoredMask], list[NDArray[np.float32]]]:
    """Validation records, the means of the highest cells (empty without a map), the maps of fake
    pictures with their true cells, and the cells of real pictures."""
    records: list[Record] = []
    tops: list[float] = []
    maps: list[ScoredMask] = []
    reals: list[NDArray[np.float32]] = []
    for batch, outputs in answers(network, task, source, count, progress):
        records += task.numbers(outputs, batch)
        if (logits := map_of(outputs)) is not None:
            found = fake_logits(logits).sigmoid().numpy()
            tops += [mean_of_top(scores, TOP_SHARE) for scores in found]
            pairs = zip(found, batch["mask"].numpy(), strict=True)
            maps += [(scores, cells == 1) for scores, cells in pairs if cells.any()]
            kinds = zip(found, batch["kind"], strict=True)
            reals += [scores.ravel() for scores, kind in kinds if kind == REAL]
    return records, np.array(tops), maps, reals


def _image_score(
    scores: NDArray[np.float64], tops: NDArray[np.float64], fake: NDArray[np.bool_]
) -> tuple[dict[str, float], dict[str, float]]:
    """The decision on the better of the paper's score and the mean of the highest cells, and the
    average precision of the latter."""
    if not tops.size:
        return logistic(scores, fake), {}
    paper, top = (image_level.average_precision(s, fake) for s in (scores, tops))
    if top <= paper:
        return logistic(scores, fake), {"ap_top": top}
    return {**logistic(tops, fake), "image_top": TOP_SHARE}, {"ap_top": top}
