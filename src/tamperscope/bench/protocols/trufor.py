"""Protocol ``trufor``: F1 at the best threshold and at .5, the better of mask and inverse."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from tamperscope.bench.protocols import reduce
from tamperscope.bench.protocols.base import Number, Prediction, Protocol, map_at
from tamperscope.bench.protocols.image_numbers import balanced_accuracy
from tamperscope.metrics import Confusion, bootstrap, confusion
from tamperscope.metrics._ranking import rank

ERODE, DILATE = 15, 11
THRESHOLD = 0.5


def measure(prediction: Prediction, truth: NDArray[np.bool_] | None) -> dict[str, float]:
    """Both F1, NaN where the original skips the picture."""
    row = {"flagged": float(prediction.image_score > THRESHOLD)}
    if truth is None:
        return row | {"f1_best": math.nan, "f1_fixed": math.nan}
    counted = counted_pixels(truth)
    scores, forged = map_at(prediction, truth.shape)[counted], truth[counted]
    counts = confusion(scores > THRESHOLD, forged)
    return row | {"f1_best": best_f1(scores, forged), "f1_fixed": permuted_f1(counts)}


def counted_pixels(truth: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """All but a band along the border of the forgery: 7 pixels inside it and 5 outside."""
    mask = truth.astype(np.uint8)
    inside = cv2.erode(mask, np.ones((ERODE, ERODE), np.uint8))
    around = cv2.dilate(mask, np.ones((DILATE, DILATE), np.uint8))
    return np.asarray((inside > 0) | (around == 0))


def best_f1(scores: NDArray[np.float32], forged: NDArray[np.bool_]) -> float:
    """The larger of the best F1 of "above" and of "not above", over all thresholds."""
    if not forged.size:
        return math.nan
    if not forged.any():
        return 0.0
    found = rank(scores, forged)
    return max(found.best_f1, found.best_inverse_f1)


def permuted_f1(counts: Confusion) -> float:
    """The larger of the F1 of a mask and of its inverse.

    NaN, and the picture is skipped, where all counted pixels are pristine and unflagged, or all
    forged and flagged: the original stumbles over a confusion matrix of one class.
    """
    if counts.fp + counts.fn == 0 and 0 in (counts.tp, counts.tn):
        return math.nan
    sides = ((counts.tp, counts.fp, counts.fn), (counts.fn, counts.tn, counts.tp))
    return max(2 * tp / max(2 * tp + fp + fn, 1) for tp, fp, fn in sides)


TRUFOR = Protocol(
    name="trufor",
    title="TruFor, released code",
    source="Guillaro et al.: TruFor (CVPR 2023), metrics of the released code",
    mask_polarity="forged is True; DSO-1 comes the other way round and is turned",
    geometry="the picture at its own size",
    scoring_resolution="the ground truth's own size",
    threshold_rule=(
        "f1_best: the threshold that suits the picture best, chosen with the ground truth; "
        "f1_fixed: strictly above .5 of the map, whatever mask the method ships"
    ),
    averaging="mean over tampered pictures of the per-picture number",
    empty_mask_rule=(
        "a picture of which all counted pixels are of one class in prediction and ground truth "
        "alike is skipped; where the eroded forgery has no pixel left, F1 is 0"
    ),
    border_band=(
        "left out: the forgery is eroded by a 15 x 15 window, the rest by an 11 x 11 one, so that "
        "7 pixels inside the border and 5 outside it do not count"
    ),
    permutation="the larger of the F1 of the mask and of its inverse",
    pictures_counted="tampered for F1, both kinds for detection",
    ties="exact",
    image_level="AUC of the image score; balanced accuracy at image score above .5",
    departures="none on arrays; a map of another size than its ground truth is scaled (bilinear)",
    numbers=(
        Number(
            name="f1_best",
            title="F1 (best threshold, oracle)",
            meaning="F1 at the threshold that suits each picture best, or of the inverse",
            oracle=True,
            against="f1",
            why=(
                "each picture gets the threshold that suits its own ground truth, its inverse "
                "if that is better, and the hard pixels along the border do not count"
            ),
        ),
        Number(
            name="f1_fixed",
            title="F1 @ .5",
            meaning="F1 of map above .5, or of its inverse if that is larger",
            against="f1",
            why=(
                "the map is cut at .5, each picture may be turned round if that is better, and "
                "the hard pixels along the border do not count"
            ),
        ),
        Number(
            name="image_auc",
            title="image AUC",
            meaning="area under the ROC curve of the image score",
            over="all",
            level="image",
            reduce=reduce.ranking(bootstrap.auc),
            against="image_auc",
            why="the same number",
        ),
        Number(
            name="image_balanced_accuracy",
            title="image bAcc @ .5",
            meaning="mean of the shares of tampered and authentic pictures right at .5",
            over="all",
            level="image",
            reduce=reduce.of_means("flagged", number=balanced_accuracy),
            against="image_balanced_accuracy",
            why="the image score is cut at .5; the mask has no say",
        ),
    ),
    measure=measure,
)
