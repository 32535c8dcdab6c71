"""Per-picture numbers: one prediction against one ground truth, at the ground truth's size."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from tamperscope.bench.predictor import Method, Outcome, PredictionLike, predict, recompressed
from tamperscope.bench.protocol import Protocol
from tamperscope.data.sample import Dataset, Sample
from tamperscope.errors import DataError, ImageError
from tamperscope.image import Polarity, read_mask
from tamperscope.metrics import auc, f1, iou, mcc
from tamperscope.provenance import JSON

Progress = Callable[[int, int, str], None]
"""Called before each picture with (number done, number of pictures, id)."""

Scores = tuple[NDArray[np.float32], NDArray[np.bool_]]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One picture's numbers. Pixel numbers are None for an authentic picture."""

    id: str
    label: str
    kind: str | None
    size: tuple[int, int] | None
    flagged_pixels: float
    """Share of the picture in the mask."""
    image_score: float
    image_score_recompressed: float | None
    seconds: float
    forged_pixels: float | None = None
    f1: float | None = None
    iou: float | None = None
    mcc: float | None = None
    auc: float | None = None
    resized: bool = False
    failure: str | None = None

    def to_dict(self) -> dict[str, JSON]:
        """Every field, for the rows of a record."""
        values = asdict(self)
        values["size"] = None if self.size is None else list(self.size)
        return values


def measure(method: Method, sample: Sample, polarity: Polarity, protocol: Protocol) -> Row:
    """Run `method` on one picture as it is and recompressed, and score it by `protocol`.

    Raises DataError for a mask that cannot belong to the picture.
    """
    outcome = predict(method, sample.image_path)
    again = _recompressed_score(method, sample.image_path, protocol)
    found = outcome.prediction
    row: dict[str, Any] = {
        "id": sample.id,
        "label": sample.label,
        "kind": sample.kind,
        "size": None if found is None else (found.mask.shape[0], found.mask.shape[1]),
        "flagged_pixels": 0.0 if found is None else float(found.mask.mean(dtype=np.float64)),
        "image_score": 0.0 if found is None else float(found.image_score),
        "image_score_recompressed": again,
        "seconds": outcome.seconds,
        "failure": outcome.failure,
    }
    if sample.mask_path is None:
        return Row(**row)
    truth = read_mask(sample.mask_path, polarity=polarity)
    score, mask, resized = at_size(outcome, truth.shape, sample, protocol)
    return Row(**row, **pixel_numbers(score, mask, truth), resized=resized)


def pixel_numbers(
    score: NDArray[np.float32], mask: NDArray[np.bool_], truth: NDArray[np.bool_]
) -> dict[str, Any]:
    """F1, IoU, MCC of `mask` and AUC of `score` against `truth`, all (h, w)."""
    return {
        "forged_pixels": float(truth.mean(dtype=np.float64)),
        "f1": f1(mask, truth),
        "iou": iou(mask, truth),
        "mcc": mcc(mask, truth),
        "auc": None if truth.all() else auc(np.asarray(score, np.float32), truth),
    }


def at_size(
    outcome: Outcome, size: tuple[int, ...], sample: Sample, protocol: Protocol
) -> tuple[NDArray[np.float32], NDArray[np.bool_], bool]:
    """Map and mask at `size` = (h, w), and whether they had to be resized.

    Raises DataError when the two shapes differ by more than the protocol lets pass.
    """
    found = outcome.prediction
    if found is None:
        return np.zeros(size, np.float32), np.zeros(size, np.bool_), False
    if found.mask.shape == size:
        return found.score_map, found.mask, False
    (h, w), (th, tw) = found.mask.shape, size
    if abs((h / w) / (th / tw) - 1) > protocol.max_aspect_change:
        raise DataError(
            f"{sample.id}: the picture is {h} x {w} and its mask {th} x {tw} (rows x columns): "
            "another picture's mask, or one turned by EXIF; replace it"
        )
    return *_resized(found, th, tw), True


def check_masks(dataset: Dataset) -> None:
    """DataError naming the forged pictures whose mask is unreadable or marks nothing."""
    wrong = [s.id for s in dataset.forged if not _marks_something(s, dataset.polarity)]
    if wrong:
        raise DataError(
            f"{dataset.name}: {len(wrong)} masks of forged pictures mark nothing (first: "
            f"{wrong[0]!r}): check the polarity ({dataset.polarity}) or drop these pictures"
        )


def _marks_something(sample: Sample, polarity: Polarity) -> bool:
    assert sample.mask_path is not None
    try:
        return bool(read_mask(sample.mask_path, polarity=polarity).any())
    except ImageError as error:
        raise DataError(f"mask of {sample.id!r}: {error}") from error


def _recompressed_score(method: Method, path: Path, protocol: Protocol) -> float:
    try:
        source = recompressed(path, protocol.recompression_quality)
    except ImageError:
        return 0.0
    found = predict(method, source).prediction
    return 0.0 if found is None else float(found.image_score)


def _resized(found: PredictionLike, h: int, w: int) -> Scores:
    score = PILImage.fromarray(np.asarray(found.score_map, np.float32))
    mask = PILImage.fromarray(found.mask.astype(np.uint8))
    return (
        np.asarray(score.resize((w, h), PILImage.Resampling.BILINEAR), np.float32),
        np.asarray(mask.resize((w, h), PILImage.Resampling.NEAREST)).astype(np.bool_),
    )
