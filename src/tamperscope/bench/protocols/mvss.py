"""Protocol ``mvss``: F1 at .5 on tampered pictures; a picture's score is its highest pixel."""

import math

import numpy as np
from numpy.typing import NDArray

from tamperscope.bench.protocols import image_numbers, reduce
from tamperscope.bench.protocols.base import Number, Prediction, Protocol, map_at
from tamperscope.bench.protocols.image_numbers import Array, Side
from tamperscope.metrics import bootstrap, confusion

THRESHOLD = 0.5
EPSILON = 1e-6


def measure(prediction: Prediction, truth: NDArray[np.bool_] | None) -> dict[str, float]:
    """Pixel F1 of the map as a byte picture, and its highest pixel."""
    found = map_at(prediction, prediction.mask.shape if truth is None else truth.shape)
    scores = as_bytes(found) / 255
    highest = float(scores.max())
    row = {"max_score": highest, "flagged": float(highest > THRESHOLD)}
    if truth is None:
        return row | {"f1": math.nan}
    counts = confusion(scores > THRESHOLD, truth)
    wrong = counts.fp + counts.fn
    f1 = 1.0 if counts.tp + wrong == 0 else 2 * counts.tp / (2 * counts.tp + wrong + EPSILON)
    return row | {"f1": f1}


def as_bytes(found: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The map as the original keeps it between inference and scoring: bytes, cut down."""
    return np.asarray(np.clip(found, 0.0, 1.0) * np.float32(255), np.uint8)


def combined(tampered: Side, authentic: Side) -> Array:
    """Harmonic mean of the pixel F1 and of the image-level "F1"."""
    image = image_numbers.harmonic(tampered, authentic)
    return 2 * tampered["f1"] * image / (tampered["f1"] + image + EPSILON)


MVSS = Protocol(
    name="mvss",
    title="MVSS-Net, released code",
    source="Chen et al.: MVSS-Net (ICCV 2021; TPAMI 2022), evaluation of the released code",
    mask_polarity="anything but black is forged",
    geometry="squashed to 512 x 512, aspect not kept; the map is scaled back; here: as answered",
    scoring_resolution="the picture's own size, the map as a byte picture (values cut to k / 255)",
    threshold_rule="strictly above .5 of the map, whatever mask the method ships",
    averaging="mean over tampered pictures of the per-picture number",
    empty_mask_rule="F1 is 1 where neither map nor ground truth is forged",
    border_band="none: every pixel counts",
    permutation="none: forged is forged",
    pictures_counted="tampered for pixel F1, both kinds for the image level",
    ties="exact",
    image_level=(
        "the image score is the highest pixel of the map, whatever score the method ships; flagged "
        'above .5; "F1" is the harmonic mean of sensitivity and specificity, not F1'
    ),
    departures=(
        "a ground truth of another size than its picture is scaled to, where the original leaves "
        'the picture out; the image-level "F1" is 0, not undefined, where sensitivity and '
        "specificity are both 0; masks are read as the set codes them"
    ),
    numbers=(
        Number(
            name="f1",
            title="pixel F1 @ .5",
            meaning="F1 of the forged pixels at .5",
            against="f1",
            why=(
                "the map is cut at .5, after it was rounded down to bytes, and an empty map on "
                "an empty ground truth scores 1"
            ),
        ),
        Number(
            name="image_auc",
            title="image AUC (highest pixel)",
            meaning="area under the ROC curve of the highest pixel",
            over="all",
            level="image",
            reduce=reduce.ranking(bootstrap.auc, "max_score"),
            against="image_auc",
            why="the highest pixel of the map stands for the image score",
        ),
        Number(
            name="image_accuracy",
            title="image accuracy",
            meaning="share of pictures right, flagged where any pixel is above .5",
            over="all",
            level="image",
            reduce=reduce.of_means("flagged", number=image_numbers.accuracy),
            why="the larger class decides: flagging nothing has the share of authentic pictures",
        ),
        Number(
            name="image_sensitivity",
            title="sensitivity",
            meaning="share of tampered pictures with a pixel above .5",
            over="all",
            level="image",
            reduce=reduce.of_means("flagged", number=image_numbers.sensitivity),
            why="one pixel above .5 is enough",
        ),
        Number(
            name="image_specificity",
            title="specificity",
            meaning="share of authentic pictures without a pixel above .5",
            over="all",
            level="image",
            reduce=reduce.of_means("flagged", number=image_numbers.specificity),
            why="one pixel above .5 is too many",
        ),
        Number(
            name="image_harmonic",
            title='image "F1" (harmonic mean of sensitivity and specificity)',
            meaning="harmonic mean of sensitivity and specificity, printed as F1 by the original",
            over="all",
            level="image",
            reduce=reduce.of_means("flagged", number=image_numbers.harmonic),
            against="image_f1",
            why=(
                "called F1, but the harmonic mean of sensitivity and specificity; one pixel "
                "above .5 is enough"
            ),
        ),
        Number(
            name="combined",
            title="combined F1",
            meaning='harmonic mean of pixel F1 and image "F1"',
            over="all",
            reduce=reduce.of_means("flagged", "f1", number=combined),
            why="pixels and pictures in one number: 0 as soon as every or no picture is flagged",
        ),
    ),
    measure=measure,
)
