"""Metrics of one picture: bool masks and float score maps against a bool ground truth, all (h, w).

Papers disagree on a ground truth without a forged pixel, so no function assumes an answer. Without
``empty`` such a picture is an error; with it the value is

- ``one``   1 if nothing was flagged either, else 0 (FOCAL and MVSS for F1 and IoU);
- ``zero``  0 always (IMDLBenCo);
- ``half``  0.5, the AUC of a guess (ranking metrics only);
- ``nan``   NaN, for an average that leaves authentic pictures out.

Everything else is settled: flagging nothing on a forged picture has precision, recall, F1, IoU and
MCC 0, and MCC is 0 where the prediction or the ground truth covers the whole picture.
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from tamperscope.errors import ConfigError, DataError
from tamperscope.metrics import _ranking

EmptyRule = Literal["one", "zero", "nan"]
RankingEmptyRule = Literal["one", "zero", "half", "nan"]

_FIXED = {"one": 1.0, "zero": 0.0, "half": 0.5, "nan": float("nan")}


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Pixel counts, forged is positive. Add them up over pictures for pooled metrics."""

    tp: int
    fp: int
    fn: int
    tn: int

    def __add__(self, other: "Confusion") -> "Confusion":
        return Confusion(
            tp=self.tp + other.tp,
            fp=self.fp + other.fp,
            fn=self.fn + other.fn,
            tn=self.tn + other.tn,
        )

    def precision(self, *, empty: EmptyRule | None = None) -> float:
        """Share of the flagged that is forged."""
        return self._ratio(self.tp, self.tp + self.fp, empty)

    def recall(self, *, empty: EmptyRule | None = None) -> float:
        """Share of the forged that was flagged."""
        return self._ratio(self.tp, self.tp + self.fn, empty)

    def f1(self, *, empty: EmptyRule | None = None) -> float:
        """2 tp / (2 tp + fp + fn)."""
        return self._ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn, empty)

    def iou(self, *, empty: EmptyRule | None = None) -> float:
        """tp / (tp + fp + fn), of the forged class."""
        return self._ratio(self.tp, self.tp + self.fp + self.fn, empty)

    def mcc(self, *, empty: EmptyRule | None = None) -> float:
        """Matthews correlation in [-1, 1]."""
        sides = (
            (self.tp + self.fp, self.tn + self.fn),
            (self.tp + self.fn, self.tn + self.fp),
        )
        # Python integers: the product of four counts leaves 64 bits at a few megapixels.
        product = sides[0][0] * sides[0][1] * sides[1][0] * sides[1][1]
        numerator = self.tp * self.tn - self.fp * self.fn
        return self._ratio(numerator, product**0.5, empty)

    def accuracy(self) -> float:
        """Share of pixels that are right (pixel-wise binary classification accuracy)."""
        return (self.tp + self.tn) / max(self.tp + self.fp + self.fn + self.tn, 1)

    def false_alarm_rate(self) -> float:
        """Share of the pristine that was flagged; 0 where nothing is pristine."""
        return self.fp / max(self.fp + self.tn, 1)

    def _ratio(self, part: float, whole: float, empty: EmptyRule | None) -> float:
        if self.tp + self.fn == 0:
            return _without_forged(empty, flagged=self.fp > 0)
        return part / whole if whole else 0.0


def confusion(
    predicted: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    *,
    ignore: NDArray[np.bool_] | None = None,
) -> Confusion:
    """Count; pixels where ``ignore`` is True count for nothing.

    Raises:
        DataError: not bool, or shapes that differ.
    """
    _check_masks(predicted, truth, ignore)
    if ignore is not None:
        predicted, truth = predicted[~ignore], truth[~ignore]
    tp, flagged = int(np.count_nonzero(predicted & truth)), int(np.count_nonzero(predicted))
    forged = int(np.count_nonzero(truth))
    return Confusion(
        tp=tp, fp=flagged - tp, fn=forged - tp, tn=int(truth.size) - flagged - forged + tp
    )


def precision(
    predicted: NDArray[np.bool_], truth: NDArray[np.bool_], *, empty: EmptyRule | None = None
) -> float:
    """Share of the flagged pixels that is forged; 0 where nothing is flagged."""
    return confusion(predicted, truth).precision(empty=empty)


def recall(
    predicted: NDArray[np.bool_], truth: NDArray[np.bool_], *, empty: EmptyRule | None = None
) -> float:
    """Share of the forged pixels that was flagged."""
    return confusion(predicted, truth).recall(empty=empty)


def f1(
    predicted: NDArray[np.bool_], truth: NDArray[np.bool_], *, empty: EmptyRule | None = None
) -> float:
    """F1 of the forged class (not the macro average of :func:`focal_f1`)."""
    return confusion(predicted, truth).f1(empty=empty)


def iou(
    predicted: NDArray[np.bool_], truth: NDArray[np.bool_], *, empty: EmptyRule | None = None
) -> float:
    """Intersection over union of the forged class."""
    return confusion(predicted, truth).iou(empty=empty)


def mcc(
    predicted: NDArray[np.bool_], truth: NDArray[np.bool_], *, empty: EmptyRule | None = None
) -> float:
    """Matthews correlation coefficient in [-1, 1]."""
    return confusion(predicted, truth).mcc(empty=empty)


def auc(
    scores: NDArray[np.floating],
    truth: NDArray[np.bool_],
    *,
    empty: RankingEmptyRule | None = None,
) -> float:
    """Exact area under the ROC curve, ties one half, so that it is right for masks and cluster
    maps.

    Undefined when only one class occurs, forged or pristine: then ``empty`` decides (``one`` is
    plainly 1 here, there being no flagged set), or it is a DataError.

    Raises:
        DataError: NaN, not float against bool, shapes that differ; or one class and no ``empty``.
    """
    found = _ranking.rank(*_ranking.check_scores(scores, truth, "ground truth"))
    if found.positives and found.negatives:
        return found.auc()
    return _undefined(empty, "pristine" if found.positives else "forged")


def average_precision(
    scores: NDArray[np.floating],
    truth: NDArray[np.bool_],
    *,
    empty: RankingEmptyRule | None = None,
) -> float:
    """Average precision: sum of precision x gain in recall over the distinct scores.

    Raises:
        DataError: as :func:`auc`; undefined only without a forged pixel.
    """
    found = _ranking.rank(*_ranking.check_scores(scores, truth, "ground truth"))
    return found.precision if found.positives else _undefined(empty, "forged")


def oracle_f1(
    scores: NDArray[np.floating],
    truth: NDArray[np.bool_],
    *,
    empty: RankingEmptyRule | None = None,
) -> tuple[float, float]:
    """Best F1 over all thresholds, chosen with the ground truth: an upper bound, never a result.

    Papers report it as "best F1"; nobody can reach it on a picture whose answer is unknown, and a
    constant map scores 2f / (1 + f) for a forged share f.

    Returns:
        the F1, and the threshold: ``scores >= threshold`` attains it (NaN where ``empty`` decides).

    Raises:
        DataError: as :func:`average_precision`.
    """
    found = _ranking.rank(*_ranking.check_scores(scores, truth, "ground truth"))
    if found.positives:
        return found.best_f1, found.best_threshold
    return _undefined(empty, "forged"), float("nan")


def oracle_iou(
    scores: NDArray[np.floating],
    truth: NDArray[np.bool_],
    *,
    empty: RankingEmptyRule | None = None,
) -> tuple[float, float]:
    """Best IoU over all thresholds, an upper bound as :func:`oracle_f1`, at the same threshold: IoU
    is F1 / (2 - F1)."""
    best, threshold = oracle_f1(scores, truth, empty=empty)
    return best / (2 - best), threshold


# ------------------------------------------------------------- as FOCAL's released code computes it


def focal_f1(
    predicted: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    *,
    grid: tuple[int, int] | None = None,
) -> float:
    """Mean F1 of the classes, forged and pristine, that occur in either mask.

    Not comparable with :func:`f1`: an empty mask scores about .47 on a picture that is one tenth
    forged, and 1 on an authentic one.

    Args:
        grid: (height, width) to reduce both masks to before scoring, in the official evaluation the
            feature grid: bytes 0/255, bilinear without antialiasing, forged above 127.
    """
    counts = confusion(*_on_grid(predicted, truth, grid))
    flipped = Confusion(tp=counts.tn, fp=counts.fn, fn=counts.fp, tn=counts.tp)
    sides = [c for c in (counts, flipped) if c.tp + c.fp + c.fn > 0]
    return sum(2 * c.tp / (2 * c.tp + c.fp + c.fn) for c in sides) / max(len(sides), 1)


def focal_iou(
    predicted: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    *,
    grid: tuple[int, int] | None = None,
) -> float:
    """tp / (tp + fp + fn + 1e-6), and 1 where both masks are empty; ``grid`` as in
    :func:`focal_f1`."""
    counts = confusion(*_on_grid(predicted, truth, grid))
    union = counts.tp + counts.fp + counts.fn
    return counts.tp / (union + 1e-6) if union else 1.0


def _on_grid(
    predicted: NDArray[np.bool_], truth: NDArray[np.bool_], grid: tuple[int, int] | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    if grid is None:
        return predicted, truth
    _ranking.check_truth(predicted, "prediction")
    _ranking.check_truth(truth, "ground truth")
    return _reduce(predicted, grid), _reduce(truth, grid)


def _reduce(mask: NDArray[np.bool_], grid: tuple[int, int]) -> NDArray[np.bool_]:
    height, width = grid
    small = cv2.resize(mask.astype(np.uint8) * 255, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(small) > 127


def _without_forged(empty: EmptyRule | None, *, flagged: bool) -> float:
    value = _undefined(empty, "forged", known=("one", "zero", "nan"))
    return 0.0 if empty == "one" and flagged else value


def _undefined(
    empty: RankingEmptyRule | None, missing: str, known: tuple[str, ...] = tuple(_FIXED)
) -> float:
    if empty is None:
        raise DataError(
            f"the ground truth has no {missing} pixel, and papers disagree on the value then; "
            f"leave the picture out or choose empty= one of {', '.join(known)}"
        )
    if empty not in known:
        raise ConfigError(f"unknown empty rule {empty!r}; use one of {', '.join(known)}")
    return _FIXED[empty]


def _check_masks(
    predicted: NDArray[np.bool_], truth: NDArray[np.bool_], ignore: NDArray[np.bool_] | None
) -> None:
    named = {"prediction": predicted, "ground truth": truth}
    for what, mask in (named if ignore is None else {**named, "ignore": ignore}).items():
        _ranking.check_truth(mask, what)
        if mask.shape != truth.shape:
            raise DataError(
                f"{what} {mask.shape} and ground truth {truth.shape} differ in shape; resize first"
            )
