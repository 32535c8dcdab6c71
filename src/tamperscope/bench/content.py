"""Content shortcut: does a method outline objects, whether or not anything was forged?

A network trained on pasted objects learns to find objects. On an authentic picture the salient
object is as untouched as its background, so a mask that prefers it was drawn from content alone.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamperscope.bench.cells import to_prediction
from tamperscope.bench.entrants import entrants
from tamperscope.bench.evaluation import mean_interval
from tamperscope.bench.pictures import describe_set
from tamperscope.bench.predictor import Method, Outcome, describe_method, predict, weights_of
from tamperscope.bench.progress import Progress
from tamperscope.bench.protocols import OURS, Protocol
from tamperscope.bench.protocols.base import check, map_at, mask_at
from tamperscope.bench.record import Record, write_record
from tamperscope.data import Dataset, Sample, fingerprint
from tamperscope.data.datasets.authentic import read_objects
from tamperscope.data.synthesis.sources import held_back
from tamperscope.errors import DataError
from tamperscope.image import read_mask
from tamperscope.metrics import auc, f1, iou
from tamperscope.provenance import JSON

KIND = "content-overlap"
NAMES = ("iou", "f1", "flagged_object", "flagged_background", "auc")


def main_content(
    methods: Sequence[str],
    root: Path,
    output: Path,
    *,
    weights: Sequence[str] = (),
    references: bool = True,
    device: str = "auto",
    limit: int | None = None,
    stems: Path | None = None,
    share: float | None = None,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """The command ``bench content``: writes ``objects-METHOD.json`` for each method and reference.

    Args:
        methods, weights, references, device: as in `tamperscope.bench.entrants.entrants`.
        root: as `read_objects` reads it.
        limit: at most so many pictures, evenly spaced in the order of their names.
        stems: a text file of ids, one a line; only these.
        share: only what training with this ``val_share`` holds back.

    Returns:
        The records, methods first.

    Raises:
        UnknownNameError: a method. DataError: a set or a list that cannot be used.
    """
    chosen = tuple(entrants(methods, weights, references=references, device=device))
    data = read_objects(root)
    if stems is not None:
        data = data.only(read_stems(stems))
    if share is not None:
        kept = [s.id for s in data.samples if held_back(s.id, share)]
        if not kept:
            raise DataError(f"training holds back nothing of {root}: give a larger share")
        data = data.only(kept)
    if limit is not None:
        data = data.spread(limit)
    records = []
    for entrant in chosen:
        record = content_record(entrant.load(), data, progress=progress).to_dict()
        label = entrant.name.replace(":", "-")
        write_record(record, output / f"{data.name}-{label}.json")
        records.append(record)
    return records


def content_record(
    method: Method, data: Dataset, *, protocol: Protocol = OURS, progress: Progress | None = None
) -> Record:
    """The record of `content_overlap` on the whole set."""
    return Record(
        kind=KIND,
        method=describe_method(method),
        weights=weights_of(method),
        protocol=protocol.describe(),
        dataset=describe_set(data, fingerprint(data)),
        numbers=content_overlap(method, data, protocol=protocol, progress=progress),
    )


def content_overlap(
    method: Method,
    dataset: Dataset,
    *,
    protocol: Protocol = OURS,
    progress: Progress | None = None,
) -> dict[str, JSON]:
    """Agreement of masks and maps with the salient objects of authentic pictures.

    dataset: as `read_objects` reads it, or a part of it, for example what training held back.

    Returns means over pictures with intervals, each {"mean", "low", "high", "count"}:
        iou, f1: mask against object (0 for an empty mask). Low is good; a mask at random has some.
        flagged_object, flagged_background: share of each that is in the mask. Equal is blind to
            content; both 0 is best.
        auc: score map against object, ties one half. 0.5 is blind to content.
    "count", the number of pictures, and "failures", those the method refused (empty mask).

    Raises DataError for a set without object masks, or an object mask that covers nothing or the
    whole picture.
    """
    values: dict[str, list[float]] = {name: [] for name in NAMES}
    failures: list[JSON] = []
    for done, sample in enumerate(dataset.samples):
        if progress is not None:
            progress(done, len(dataset.samples), sample.id)
        thing = _object(sample)
        outcome = predict(method, sample.image_path)
        if outcome.failure is not None:
            failures.append({"id": sample.id, "why": outcome.failure})
        for name, value in _overlap(*_at_size(outcome, sample, thing, protocol), thing).items():
            values[name].append(value)
    means: dict[str, JSON] = {name: _interval(values[name], protocol) for name in NAMES}
    return {"count": len(dataset.samples), **means, "failures": failures}


def read_stems(path: Path) -> list[str]:
    """The ids in a text file, one a line; blank lines and lines from # on are left out.

    Raises DataError when the file cannot be read or lists nothing.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}): give a text file with one id a line"
        ) from error
    stems = [line.partition("#")[0].strip() for line in lines]
    stems = [stem for stem in stems if stem]
    if not stems:
        raise DataError(f"{path} lists no ids: write one a line")
    return stems


def _object(sample: Sample) -> NDArray[np.bool_]:
    if sample.object_mask_path is None:
        raise DataError(
            f"{sample.id!r} has no object mask: give images/ with masks/ of the same stems"
        )
    thing = read_mask(sample.object_mask_path)
    if thing.all() or not thing.any():
        raise DataError(
            f"object mask of {sample.id!r} covers all or nothing: leave the picture out"
        )
    return thing


def _at_size(
    outcome: Outcome, sample: Sample, thing: NDArray[np.bool_], protocol: Protocol
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Map and mask at the size of the object's mask; nothing flagged where the method refused."""
    if outcome.prediction is None:
        return np.zeros(thing.shape, np.float32), np.zeros(thing.shape, np.bool_)
    found = to_prediction(outcome.prediction)
    try:
        check(found, thing, protocol.max_aspect_change)
    except DataError as error:
        raise DataError(f"{sample.id}: {error}") from error
    return map_at(found, thing.shape), mask_at(found.mask, thing.shape)


def _overlap(
    score: NDArray[np.float32], mask: NDArray[np.bool_], thing: NDArray[np.bool_]
) -> dict[str, float]:
    return {
        "iou": iou(mask, thing),
        "f1": f1(mask, thing),
        "flagged_object": float(mask[thing].mean(dtype=np.float64)),
        "flagged_background": float(mask[~thing].mean(dtype=np.float64)),
        "auc": auc(score, thing),
    }


def _interval(values: Sequence[float], protocol: Protocol) -> JSON:
    found = mean_interval(values, protocol)
    return None if found is None else dict(found)
