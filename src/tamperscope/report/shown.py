"""How a score map is shown: brightened where its kind leaves most of the scale unused."""

import numpy as np
from numpy.typing import NDArray

from tamperscope.report import overlay as draw
from tamperscope.result import Localization, MapKind

__all__ = ["grey_levels", "shown_map", "shown_top"]


def shown_top(result: Localization) -> float:
    """The score, in (0, 1], that pictures of the map show lightest; higher ones look the same.

    1, but for fakeness: generators change few grey levels, so the top is the map's highest score,
    and at least twice the mask's threshold, lest noise look like a finding.
    """
    if result.map_kind is not MapKind.FAKENESS:
        return 1.0
    top = max(float(result.score_map.max()), 2.0 * result.threshold)
    return min(top, 1.0) or 1.0


def shown_map(result: Localization) -> NDArray[np.float32]:
    """The score map over `shown_top`: float32 (h, w) in [0, 1]."""
    top = shown_top(result)
    if top == 1.0:
        return result.score_map
    scaled: NDArray[np.float32] = (result.score_map / np.float32(top)).clip(0.0, 1.0)
    return scaled


def grey_levels(result: Localization, max_side: int | None = None) -> NDArray[np.uint8]:
    """The score map itself as grey levels uint8 (h, w), 255 = 1, optionally scaled down."""
    levels = np.rint(result.score_map * np.float32(255)).astype(np.uint8)
    return levels if max_side is None else draw.shrink(levels, max_side)
