"""Protocol ``catnet``: mean IoU of both classes, and the larger one with the classes swapped."""

import math

import numpy as np
from numpy.typing import NDArray

from tamperscope.bench.protocols import reduce
from tamperscope.bench.protocols.base import Number, Prediction, Protocol, map_at
from tamperscope.bench.protocols.image_numbers import Array, Side
from tamperscope.metrics import Confusion, confusion

THRESHOLD = 0.5
COUNTS = ("tp", "fp", "fn", "tn")


def measure(prediction: Prediction, truth: NDArray[np.bool_] | None) -> dict[str, float]:
    """Both mean IoU, and the pixel counts they come from."""
    if truth is None:
        return dict.fromkeys((*COUNTS, "miou", "p_miou"), math.nan)
    counts = confusion(map_at(prediction, truth.shape) > THRESHOLD, truth)
    swapped = Confusion(tp=counts.fn, fp=counts.tn, fn=counts.tp, tn=counts.fp)
    plain = mean_iou(counts.tp, counts.fp, counts.fn, counts.tn)
    other = mean_iou(swapped.tp, swapped.fp, swapped.fn, swapped.tn)
    row = {name: float(getattr(counts, name)) for name in COUNTS}
    return row | {"miou": plain, "p_miou": max(plain, other)}


def mean_iou(tp: float, fp: float, fn: float, tn: float) -> float:
    """Mean of the IoU of the forged and the pristine class; a class nobody sees has 0."""
    wrong = fp + fn
    return 0.5 * (tp / max(1.0, tp + wrong) + tn / max(1.0, tn + wrong))


def pooled(tampered: Side, authentic: Side) -> Array:
    """Mean IoU of all pixels thrown together."""
    tp, tn = tampered["tp"], tampered["tn"]
    wrong = tampered["fp"] + tampered["fn"]
    tiny = np.finfo(np.float64).tiny
    return 0.5 * (tp / np.maximum(tp + wrong, tiny) + tn / np.maximum(tn + wrong, tiny))


CATNET = Protocol(
    name="catnet",
    title="CAT-Net, released code",
    source="Kwon et al.: CAT-Net (WACV 2021; IJCV 2022), validation of the released code",
    mask_polarity="forged is 1",
    geometry="the picture at its own size, padded to the blocks of its JPEG grid",
    scoring_resolution="the ground truth's own size, the map scaled to it (bilinear)",
    threshold_rule=(
        "the likelier of the two classes: strictly above .5 of the map, whatever mask the method "
        "ships"
    ),
    averaging="mean over pictures of the mean IoU of both classes",
    empty_mask_rule=(
        "a class that neither prediction nor ground truth shows has IoU 0: nothing special for "
        "empty masks, which keep the IoU of the pristine class"
    ),
    border_band="none: every pixel counts",
    permutation="miou: none; p_miou: the larger of the mean IoU with and without swapped classes",
    pictures_counted=(
        "tampered ones here; the code averages over whatever its list holds, and an authentic "
        "picture answered without a fault has mean IoU .5 there"
    ),
    ties="no ranking",
    image_level="none",
    departures="scored on maps, not on logits, which is the same decision",
    numbers=(
        Number(
            name="miou",
            title="mIoU",
            meaning="mean IoU of the forged and pristine class",
            against="iou",
            why=(
                "the IoU of the pristine class counts as much, so that an empty mask is near "
                ".5; the map is cut at .5"
            ),
        ),
        Number(
            name="p_miou",
            title="p-mIoU",
            meaning="the larger of mIoU and of mIoU with the predicted classes swapped",
            against="iou",
            why="as miou, and each picture may be turned round if that is better",
        ),
        Number(
            name="pooled_miou",
            title="mIoU, pooled",
            meaning="mean IoU of both classes over all pixels of the set thrown together",
            reduce=reduce.of_means(*COUNTS, number=pooled, both=False),
            against="iou",
            why=(
                "as miou, but pixels are thrown together: large pictures and large forgeries decide"
            ),
        ),
    ),
    measure=measure,
)
