"""The best one can do without looking: one mask for every picture, fitted on training masks."""

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from tamperscope.bench.protocols import Prediction
from tamperscope.bench.references import Reference
from tamperscope.errors import DataError
from tamperscope.image import Image
from tamperscope.metrics import dolos

GRID = (64, 64)
LEVELS = tuple(level / 20 for level in range(1, 20))


def region_prior(masks: Iterable[NDArray[np.bool_]]) -> Reference:
    """A reference that flags, in every picture, where training masks often are.

    Faces are aligned and regions are face parts, so where to look is half of the answer. The level
    ("forged in more than so many masks") is the one of `LEVELS` with the best mean IoU over the
    training masks themselves; nothing is fitted on test pictures.

    Args:
        masks: of training pictures, bool (h, w), True = forged.

    Raises:
        DataError: no masks.
    """
    cells = [dolos.reduce_truth(mask, GRID) for mask in masks]
    if not cells:
        raise DataError("a region prior needs masks of training pictures: there are none")
    stack = np.stack(cells)
    share = stack.mean(axis=0)
    level = max(LEVELS, key=lambda level: _mean_iou(share > level, stack))
    flagged = share > level
    return Reference(
        name="region-prior",
        title="Region prior",
        rule=(
            f"the same mask for every picture: forged where more than {level:.0%} of "
            f"{len(stack)} training masks are ({flagged.mean():.1%} of the picture), the level "
            "with the best mean IoU on those masks; score 0.5; sha256 of its 64 x 64 bits "
            f"{hashlib.sha256(np.packbits(flagged).tobytes()).hexdigest()}"
        ),
        function=lambda image: _constant(flagged, image),
    )


def _mean_iou(mask: NDArray[np.bool_], stack: NDArray[np.bool_]) -> float:
    union = (mask | stack).sum(axis=(1, 2))
    overlap = (mask & stack).sum(axis=(1, 2))
    return float(np.where(union > 0, overlap / np.maximum(union, 1), 1.0).mean())


def _constant(flagged: NDArray[np.bool_], image: Image) -> Prediction:
    small = PILImage.fromarray(flagged.astype(np.uint8))
    large = small.resize((image.width, image.height), PILImage.Resampling.NEAREST)
    mask = np.asarray(large).astype(np.bool_)
    return Prediction(mask.astype(np.float32), mask, 0.5)
