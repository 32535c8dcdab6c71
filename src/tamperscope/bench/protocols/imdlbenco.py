"""Protocol ``imdlbenco``: F1, IoU and AUC at the network's size, authentic pictures scoring 0."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from tamperscope.bench.protocols import image_numbers, reduce
from tamperscope.bench.protocols.base import Number, Prediction, Protocol
from tamperscope.metrics import bootstrap, confusion

SIZE = (512, 512)
THRESHOLD = 0.5
EPSILON = 1e-8


def measure(prediction: Prediction, truth: NDArray[np.bool_] | None) -> dict[str, float]:
    """Pixel numbers at 512 x 512; 0 for an authentic picture."""
    row = {"flagged": float(prediction.image_score > THRESHOLD)}
    if truth is None or not truth.any():
        listed = math.nan if truth is None else 0.0
        return row | {"f1": 0.0, "f1_tampered": listed, "iou": 0.0, "auc": 0.0}
    scores, forged = _resized(prediction.score_map), _resized_mask(truth)
    counts = confusion(scores > THRESHOLD, forged)
    precision = counts.tp / (counts.tp + counts.fp + EPSILON)
    recall = counts.tp / (counts.tp + counts.fn + EPSILON)
    f1 = 2 * precision * recall / (precision + recall + EPSILON)
    iou = counts.tp / (counts.tp + counts.fp + counts.fn + EPSILON)
    area = auc_by_pixel_order(scores, forged)
    return row | {"f1": f1, "f1_tampered": f1, "iou": iou, "auc": area}


def auc_by_pixel_order(scores: NDArray[np.float32], truth: NDArray[np.bool_]) -> float:
    """Area under a ROC curve drawn pixel by pixel, equal scores in the order of their pixels.

    Wrong wherever scores are equal: a constant map has any value from 0 to 1, according to where
    the forgery lies, in place of .5, and so has every mask. Kept to reproduce published numbers.

    Returns:
        0 without a forged pixel, NaN without a pristine one.
    """
    if not truth.any():
        return 0.0
    if truth.all():
        return math.nan
    order = np.argsort(-scores.ravel(), kind="stable")
    ranked = truth.ravel()[order]
    above = np.cumsum(ranked, dtype=np.int64)[~ranked]
    return int(above.sum()) / (int(ranked.sum()) * int((~ranked).sum()))


def _resized(found: NDArray[np.floating]) -> NDArray[np.float32]:
    if found.shape == SIZE:
        return np.asarray(found, np.float32)
    scaled = cv2.resize(np.asarray(found, np.float32), SIZE[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(scaled, np.float32)


def _resized_mask(truth: NDArray[np.bool_]) -> NDArray[np.bool_]:
    if truth.shape == SIZE:
        return truth
    scaled = cv2.resize(truth.astype(np.uint8), SIZE[::-1], interpolation=cv2.INTER_NEAREST)
    return np.asarray(scaled) > 0


IMDLBENCO = Protocol(
    name="imdlbenco",
    title="IMDLBenCo, released code",
    source="Ma et al.: IMDL-BenCo (NeurIPS 2024), evaluators of the released code",
    mask_polarity="white is forged",
    geometry="squashed to 512 x 512, aspect not kept (padding, its other way, is another number)",
    scoring_resolution="the network's input, 512 x 512, the ground truth scaled to it (nearest)",
    threshold_rule="strictly above .5 of the map, whatever mask the method ships",
    averaging="mean over all pictures, authentic ones included, of the per-picture number",
    empty_mask_rule=(
        "an authentic picture has F1 0, IoU 0 and AUC 0 whatever is predicted, the right answer "
        "included"
    ),
    border_band="none: every pixel counts",
    permutation="none (its modes reverse and double are not reproduced)",
    pictures_counted="all; f1_tampered leaves authentic ones out",
    ties=(
        "ignored: equal scores are taken in the order of their pixels, so that the AUC of masks, "
        "clusters and constant maps is meaningless"
    ),
    image_level="F1 at image score above .5, exact AUC, accuracy",
    departures=(
        "the map is scaled to 512 x 512 (bilinear) from the size it was answered in, which costs a "
        "perfect map of a small picture about .01; equal scores keep the order of their pixels, "
        "where the original leaves it to an unstable sort"
    ),
    numbers=(
        Number(
            name="f1",
            title="pixel F1 @ .5",
            meaning="F1 of the forged pixels, 0 on authentic pictures",
            over="all",
            against="f1",
            why=(
                "every authentic picture counts as 0, also when answered rightly; the map is "
                "cut at .5, at 512 x 512"
            ),
        ),
        Number(
            name="f1_tampered",
            title="pixel F1 @ .5, tampered only",
            meaning="F1 of the forged pixels over tampered pictures",
            against="f1",
            why="the map is cut at .5, at 512 x 512",
        ),
        Number(
            name="iou",
            title="pixel IoU @ .5",
            meaning="IoU of the forged pixels, 0 on authentic pictures",
            over="all",
            against="iou",
            why=(
                "every authentic picture counts as 0, also when answered rightly; the map is "
                "cut at .5, at 512 x 512"
            ),
        ),
        Number(
            name="auc",
            title="pixel AUC (ties ignored)",
            meaning="area under a ROC curve that takes equal scores in pixel order",
            over="all",
            against="auc",
            why=(
                "equal scores are ranked by where they lie in the picture, and every authentic "
                "picture counts as 0"
            ),
        ),
        Number(
            name="image_f1",
            title="image F1 @ .5",
            meaning="F1 of tampered pictures at image score above .5",
            over="all",
            level="image",
            reduce=reduce.of_means("flagged", number=image_numbers.f1),
            against="image_f1",
            why="the image score is cut at .5; the mask has no say",
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
            name="image_accuracy",
            title="image accuracy",
            meaning="share of pictures right at image score above .5",
            over="all",
            level="image",
            reduce=reduce.of_means("flagged", number=image_numbers.accuracy),
            why="the larger class decides: flagging nothing has the share of authentic pictures",
        ),
    ),
    measure=measure,
)
