"""Protocol ``dolos``: IoU and PBCA at two resolutions and AP over redraws, as DOLOS scores."""

import math
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from tamperscope.bench.protocols import reduce
from tamperscope.bench.protocols.base import Number, Prediction, Protocol
from tamperscope.metrics import dolos

NAMES = ("iou_lg", "iou_sm", "pbca_lg", "pbca_sm")


def measure(prediction: Prediction, truth: NDArray[np.bool_] | None) -> dict[str, float]:
    """The four numbers; the small ones only where the method names a grid."""
    if truth is None:
        return dict.fromkeys(NAMES, math.nan)
    found = np.asarray(prediction.score_map, np.float32)
    grid = prediction.feature_grid
    if grid is None or found.shape == grid:
        numbers = asdict(dolos.score_map(found, truth))
        return numbers if grid else numbers | {"iou_sm": math.nan, "pbca_sm": math.nan}
    large = dolos.resize_map(found, (truth.shape[0], truth.shape[1])) > dolos.THRESHOLD
    small, reduced = _at_centres(found, grid) > dolos.THRESHOLD, dolos.reduce_truth(truth, grid)
    return {
        "iou_lg": dolos.iou(large, truth),
        "iou_sm": dolos.iou(small, reduced),
        "pbca_lg": dolos.pbca(large, truth),
        "pbca_sm": dolos.pbca(small, reduced),
    }


def _at_centres(found: NDArray[np.float32], grid: tuple[int, int]) -> NDArray[np.float32]:
    """The map at the nearest pixel of each cell's centre, where scaling up left it as it was."""
    h, w = grid
    picture = PILImage.fromarray(found)
    return np.asarray(picture.resize((w, h), PILImage.Resampling.NEAREST), np.float32)


DOLOS = Protocol(
    name="dolos",
    title="DOLOS, released code",
    source="Tantaru, Oneata, Oneata (WACV 2024), evaluation of the released code",
    mask_polarity="white (255) on disk is real, anything else forged; turned round on reading",
    geometry="squashed to 299 x 299, aspect not kept; its pictures are square",
    scoring_resolution=(
        "lg: the map at the ground truth's size by Pillow's bicubic; sm: the ground truth at the "
        "network's own grid, nearest pixel"
    ),
    threshold_rule="forged is what is strictly above .5 of the map, whatever mask the method ships",
    averaging="mean over partly regenerated pictures of the per-picture number",
    empty_mask_rule="IoU is 1 where neither map nor ground truth is forged",
    border_band="none: every pixel counts",
    permutation="none: forged is forged",
    pictures_counted="tampered for IoU and PBCA, both kinds for AP",
    ties="exact",
    image_level=(
        "average precision of the image score on as many fake as real pictures, 5 redraws "
        "(Python's random, seed 1337), mean plus or minus two standard deviations; the order of "
        "the pictures decides what is drawn"
    ),
    departures=(
        "a map that comes at the picture's size is read at the centres of the grid's cells for sm, "
        "and sm is left out for methods that name no grid; pictures are taken in the order of "
        "their names; masks are read as the set codes them"
    ),
    failure_rule=(
        "a picture the method refuses counts as an empty mask with an image score of 0, in "
        "`bench dolos` with the lowest of its kind, and is listed"
    ),
    numbers=(
        Number(
            name="iou_lg",
            title="IoU-lg",
            meaning="intersection over union of the forged class at the ground truth's size",
            against="iou",
            why="the map is cut at .5, not where the method cuts it",
        ),
        Number(
            name="iou_sm",
            title="IoU-sm",
            meaning="intersection over union of the forged class at the network's grid",
            against="iou",
            why=(
                "the map is cut at .5, and compared at the network's grid with every "
                "ground-truth cell reduced to one pixel"
            ),
        ),
        Number(
            name="pbca_lg",
            title="PBCA-lg",
            meaning="share of pixels that are right at the ground truth's size",
            why=(
                "pristine pixels count as much as forged ones: an empty mask has one minus the "
                "forged share"
            ),
        ),
        Number(
            name="pbca_sm",
            title="PBCA-sm",
            meaning="share of cells that are right at the network's grid",
            why="as PBCA-lg, at the network's grid",
        ),
        Number(
            name="ap",
            title="AP ± 2σ",
            meaning="average precision of the image score over 5 balanced redraws",
            over="all",
            level="image",
            reduce=reduce.balanced_redraws,
            against="image_ap",
            why=(
                "as many fake as real pictures are drawn, which puts a guess at .5 whatever the "
                "set holds"
            ),
        ),
    ),
    measure=measure,
)
