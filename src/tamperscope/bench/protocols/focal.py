"""Protocol ``focal``: macro-F1 and IoU on the feature grid, as the released FOCAL code scores."""

import math

import numpy as np
from numpy.typing import NDArray

from tamperscope.bench.protocols.base import Number, Prediction, Protocol, mask_at
from tamperscope.metrics import focal_f1, focal_iou

DEFAULT_GRID = (64, 64)
"""Of the released ViT and of its fusion with HRNet, for methods that name no grid."""


def measure(prediction: Prediction, truth: NDArray[np.bool_] | None) -> dict[str, float]:
    """Macro-F1 and IoU of the shipped mask on the grid."""
    if truth is None:
        return {"macro_f1": math.nan, "iou": math.nan}
    grid = prediction.feature_grid or DEFAULT_GRID
    mask = mask_at(prediction.mask, truth.shape)
    return {
        "macro_f1": focal_f1(mask, truth, grid=grid),
        "iou": focal_iou(mask, truth, grid=grid),
    }


FOCAL = Protocol(
    name="focal",
    title="FOCAL, released code",
    source="Wu, Chen, Zhou: FOCAL, evaluation of the released code",
    mask_polarity="white (above 127) is forged",
    geometry="squashed to 1024 x 1024, aspect not kept; here: as the method answers",
    scoring_resolution=(
        "the method's feature grid, 64 x 64 where it names none (256 x 256 for HRNet alone): "
        "prediction and ground truth as bytes 0/255, bilinear without antialiasing, above 127"
    ),
    threshold_rule="the mask the method ships: its clusters, no threshold",
    averaging=(
        "mean over pictures; F1 is itself the mean of the F1 of the forged and of the pristine "
        "class"
    ),
    empty_mask_rule=(
        "IoU 1 where both are empty; F1 over the classes that occur, so that both empty is 1 and "
        "an empty mask keeps the F1 of the pristine class"
    ),
    border_band="none: every cell counts",
    permutation="none: forged is forged",
    pictures_counted="tampered ones; authentic pictures enter no number",
    ties="no ranking",
    image_level="none in the released code",
    departures=(
        "masks are scaled from the picture's own size, not from 1024 x 1024; the pixel and image "
        "AUC of the paper come without a stated rule and are left out"
    ),
    numbers=(
        Number(
            name="macro_f1",
            title="macro-F1 (grid)",
            meaning="mean F1 of the forged and the pristine class on the feature grid",
            against="f1",
            why=(
                "the pristine class counts as much as the forged one, so that an empty mask is "
                "near .5; both masks are shrunk to the feature grid, where small forgeries and "
                "thin errors vanish"
            ),
        ),
        Number(
            name="iou",
            title="IoU (grid)",
            meaning="intersection over union of the forged class on the feature grid",
            against="iou",
            why=(
                "both masks are shrunk to the feature grid, where small forgeries and thin "
                "errors vanish; where both vanish the picture scores 1"
            ),
        ),
    ),
    measure=measure,
)
