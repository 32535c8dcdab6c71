"""What a named way of evaluating is: every choice in words, and the functions that make it so."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from tamperscope.bench.evaluation import Evaluation, Interval
from tamperscope.bench.protocols.reduce import Reducer, mean
from tamperscope.errors import DataError
from tamperscope.provenance import JSON

Row = Mapping[str, float]
"""What `Protocol.score` says of one picture; NaN where the protocol gives no number."""

Over = Literal["tampered", "authentic", "all"]
Level = Literal["pixel", "image"]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a method says of one picture.

    Attributes:
        score_map: float32 (h, w), rising with suspicion.
        mask: bool (h, w), True = forged, as the method ships it.
        image_score: rising with suspicion.
        threshold: of ``score_map``, where the method draws the border of its mask.
        feature_grid: (rows, columns) of the features the answer was made from, where it has any.
    """

    score_map: NDArray[np.float32]
    mask: NDArray[np.bool_]
    image_score: float
    threshold: float = 0.5
    feature_grid: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Number:
    """One column of a protocol's table.

    Attributes:
        name: of the number in rows and summaries.
        title: of the column.
        meaning: in words.
        over: the pictures it is computed from.
        level: "pixel" needs the forged region, and leaves wholly generated pictures out.
        higher_is_better: or lower, as for false alarms.
        oracle: chosen with the ground truth in hand, out of reach in use.
        against: the number of protocol ``ours`` it is read as, "" for none.
        why: what makes it another number than that one.
        reduce: rows -> the set's number with its interval.
    """

    name: str
    title: str
    meaning: str
    over: Over = "tampered"
    level: Level = "pixel"
    higher_is_better: bool = True
    oracle: bool = False
    against: str = ""
    why: str = ""
    reduce: Reducer = mean

    def describe(self) -> dict[str, JSON]:
        """Everything but the function."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "reduce"}


Measure = Callable[[Prediction, NDArray[np.bool_] | None], dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class Protocol(Evaluation):
    """A named way of turning predictions into numbers. Numbers of two protocols do not compare.

    The sentences say what is done; ``describe`` prints every one. Results hold for the numbers
    named in ``numbers`` and no others.
    """

    title: str
    source: str
    mask_polarity: str
    geometry: str
    scoring_resolution: str
    threshold_rule: str
    averaging: str
    empty_mask_rule: str
    border_band: str
    permutation: str
    pictures_counted: str
    ties: str
    image_level: str
    departures: str
    numbers: tuple[Number, ...]
    measure: Measure = field(repr=False, compare=False)
    failure_rule: str = (
        "a picture the method refuses counts as an empty mask with a constant map and image score "
        "0, and is listed"
    )

    def score(
        self, prediction: Prediction, truth: NDArray[np.bool_] | None, *, whole: bool = False
    ) -> dict[str, float]:
        """One picture's numbers.

        Args:
            prediction: of the picture; one of another size than ``truth`` is brought to it (map
                bilinear, mask nearest).
            truth: bool (h, w), True = forged, or None for an authentic picture.
            whole: every pixel is generated, so that there is no region to find: pixel numbers are
                NaN, and ``whole`` is 1.

        Returns:
            Every name in ``numbers`` that is made of single pictures (NaN where it has none here),
            and two that are always there: ``tampered`` (1 or 0) and ``image_score``.

        Raises:
            DataError: arrays that are no prediction and ground truth of one picture.
        """
        check(prediction, truth, self.max_aspect_change)
        row = {"tampered": float(truth is not None), "image_score": float(prediction.image_score)}
        row |= self.measure(prediction, truth)
        if whole:
            row |= {n.name: math.nan for n in self.numbers if n.level == "pixel"} | {"whole": 1.0}
        return row

    def summarize(self, rows: Sequence[Row]) -> dict[str, Interval | None]:
        """The set's numbers from the rows of its pictures, in the order of ``numbers``.

        Returns:
            For each number {"mean", "low", "high", "count"}: the value, its bootstrap interval and
            the pictures it rests on; None where no picture has it.
        """
        return {number.name: self._reduced(rows, number) for number in self.numbers}

    def _reduced(self, rows: Sequence[Row], number: Number) -> Interval | None:
        chosen = select(rows, number.over)
        if number.level == "image":
            return number.reduce(chosen, number.name, self)
        known = [row for row in chosen if not row.get("whole")]
        lost = len(known) < len(chosen) and not any(row["tampered"] for row in known)
        return None if lost else number.reduce(known, number.name, self)

    def describe(self) -> dict[str, JSON]:
        """Every field, for a record; the function is left out."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "measure"}
        return plain | {"numbers": [number.describe() for number in self.numbers]}


def select(rows: Sequence[Row], over: Over) -> list[Row]:
    """The tampered, the authentic or all rows."""
    if over == "all":
        return list(rows)
    return [row for row in rows if bool(row["tampered"]) == (over == "tampered")]


def check(prediction: Prediction, truth: NDArray[np.bool_] | None, aspect: float) -> None:
    """DataError unless these are arrays of one picture."""
    mask, score = prediction.mask, prediction.score_map
    if mask.dtype != np.bool_ or mask.ndim != 2:
        raise DataError(f"the mask must be bool (h, w), got {mask.dtype} {mask.shape}; compare")
    if score.ndim != 2 or not np.issubdtype(score.dtype, np.floating):
        raise DataError(f"the score map must be floats (h, w), got {score.dtype} {score.shape}")
    if not np.isfinite(score).all() or not np.isfinite(prediction.image_score):
        raise DataError("the prediction holds NaN or infinity, which has no rank; fix the method")
    if truth is None:
        return
    if truth.dtype != np.bool_ or truth.ndim != 2:
        raise DataError(
            f"ground truth must be bool (h, w), True = forged, got {truth.dtype} {truth.shape}; "
            "compare first"
        )
    (h, w), (th, tw) = mask.shape, truth.shape
    if abs((h / w) / (th / tw) - 1) > aspect:
        raise DataError(
            f"the picture is {h} x {w} and its mask {th} x {tw} (rows x columns): another "
            "picture's mask, or one turned by EXIF; replace it"
        )


def map_at(prediction: Prediction, size: tuple[int, ...]) -> NDArray[np.float32]:
    """The score map at ``size`` = (h, w), bilinear where it has another."""
    found = np.asarray(prediction.score_map, np.float32)
    if found.shape == size:
        return found
    h, w = size
    picture = PILImage.fromarray(found)
    return np.asarray(picture.resize((w, h), PILImage.Resampling.BILINEAR), np.float32)


def mask_at(mask: NDArray[np.bool_], size: tuple[int, ...]) -> NDArray[np.bool_]:
    """A mask at ``size`` = (h, w), the nearest pixel where it has another."""
    if mask.shape == size:
        return mask
    h, w = size
    picture = PILImage.fromarray(mask.astype(np.uint8))
    return np.asarray(picture.resize((w, h), PILImage.Resampling.NEAREST)).astype(np.bool_)
