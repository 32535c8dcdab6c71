"""Protocol ``ours``: the picture's own size, the method's own decision, exact ranking."""

import math

import numpy as np
from numpy.typing import NDArray

from tamperscope.bench.protocols import image_numbers, reduce
from tamperscope.bench.protocols.base import Number, Prediction, Protocol, map_at, mask_at
from tamperscope.metrics import bootstrap, confusion
from tamperscope.metrics._ranking import rank

PIXEL_NUMBERS = ("f1", "iou", "mcc", "auc", "ap", "oracle_f1")
FALSE_ALARM_RATE = 0.05


def measure(prediction: Prediction, truth: NDArray[np.bool_] | None) -> dict[str, float]:
    """Numbers of the shipped mask and of the map at the size of the ground truth."""
    row = {
        "flagged_pixels": float(prediction.mask.mean(dtype=np.float64)),
        "flagged": float(prediction.mask.any()),
    }
    if truth is None or not truth.any():
        return row | dict.fromkeys(PIXEL_NUMBERS, math.nan)
    counts = confusion(mask_at(prediction.mask, truth.shape), truth)
    order = rank(map_at(prediction, truth.shape).ravel(), truth.ravel())
    return row | {
        "f1": counts.f1(),
        "iou": counts.iou(),
        "mcc": counts.mcc(),
        "auc": order.auc() if order.negatives else math.nan,
        "ap": order.precision,
        "oracle_f1": order.best_f1,
    }


def flagged_pictures(
    tampered: image_numbers.Side, authentic: image_numbers.Side
) -> image_numbers.Array:
    """Share of authentic pictures with any pixel in the mask."""
    return authentic["flagged"]


OURS = Protocol(
    name="ours",
    title="Original size, shipped decision",
    source="this project",
    mask_polarity="forged is True",
    geometry="the picture as it is, answered by the method at the picture's own size",
    scoring_resolution="the ground truth's own size, normally that of the picture",
    threshold_rule="the mask the method ships; no threshold is chosen per picture or per set",
    averaging="mean over tampered pictures of the per-picture number; forged is positive",
    empty_mask_rule=(
        "an empty mask on a tampered picture has F1 0, IoU 0 and MCC 0; "
        "authentic pictures enter no pixel average"
    ),
    border_band="none: every pixel counts",
    permutation="none: forged is forged",
    pictures_counted=(
        "tampered for pixel numbers, authentic for false alarms, both kinds for the image level"
    ),
    ties=(
        "equal scores count one half, so that a constant map has AUC .5; AUC is undefined, and "
        "left out, where the ground truth covers the whole picture"
    ),
    image_level=(
        "AUC and AP of the image score, tampered against authentic; F1 and balanced accuracy of "
        "the decision that a picture with any pixel in its mask is tampered"
    ),
    departures="none",
    numbers=(
        Number(name="f1", title="F1", meaning="F1 of the forged pixels, shipped mask"),
        Number(name="iou", title="IoU", meaning="intersection over union of the forged pixels"),
        Number(name="mcc", title="MCC", meaning="Matthews correlation of mask and ground truth"),
        Number(name="auc", title="AUC", meaning="area under the ROC curve within a picture"),
        Number(name="ap", title="AP", meaning="average precision within a picture"),
        Number(
            name="oracle_f1",
            title="F1 (best threshold, oracle)",
            meaning="F1 at the threshold that suits each picture best, out of reach in use",
            oracle=True,
        ),
        Number(
            name="flagged_pixels",
            title="authentic: pixels flagged",
            meaning="share of an authentic picture's pixels in the mask",
            over="authentic",
            higher_is_better=False,
        ),
        Number(
            name="flagged_pictures",
            title="authentic: pictures flagged",
            meaning="share of authentic pictures with any pixel in the mask",
            over="authentic",
            level="image",
            higher_is_better=False,
            reduce=reduce.of_means("flagged", number=flagged_pictures, both=False),
        ),
        Number(
            name="image_auc",
            title="image AUC",
            meaning="area under the ROC curve of the image score",
            over="all",
            level="image",
            reduce=reduce.ranking(bootstrap.auc),
        ),
        Number(
            name="image_ap",
            title="image AP",
            meaning="average precision of the image score; that of a guess is the tampered share",
            over="all",
            level="image",
            reduce=reduce.ranking(bootstrap.average_precision),
        ),
        Number(
            name="image_f1",
            title="image F1",
            meaning="F1 of tampered pictures, flagged where the mask is not empty",
            over="all",
            level="image",
            reduce=reduce.of_means("flagged", number=image_numbers.f1),
        ),
        Number(
            name="image_balanced_accuracy",
            title="image bAcc",
            meaning="balanced accuracy, flagged where the mask is not empty",
            over="all",
            level="image",
            reduce=reduce.of_means("flagged", number=image_numbers.balanced_accuracy),
        ),
        Number(
            name="image_recall_at_5",
            title="tampered found at 5 % false alarms (oracle)",
            meaning=(
                "share of tampered pictures above the image score that flags at most 5 % of these "
                "authentic pictures"
            ),
            over="all",
            level="image",
            oracle=True,
            reduce=reduce.ranking(bootstrap.recall_at(FALSE_ALARM_RATE)),
        ),
    ),
    measure=measure,
)
