"""Ground truth as the sets store it, in whatever colours, read as True = forged."""

import os
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from tamperscope.errors import ConfigError
from tamperscope.image import DEFAULT_MAX_PIXELS, read_image, read_mask

MaskCoding: TypeAlias = Literal["forged-white", "forged-black", "forged-nonzero", "forged-green"]
"""How a mask file marks what is forged: above mid-grey, at or below it, anything but 0, or green
rather than red (the edge masks of the Columbia set)."""

MEANINGS: MappingProxyType[MaskCoding, str] = MappingProxyType(
    {
        "forged-white": "values of 128 to 255 (white) mark what is forged",
        "forged-black": "values of 0 to 127 (black) mark what is forged",
        "forged-nonzero": "every value but 0 marks what is forged",
        "forged-green": "pixels with more green than red mark what is forged",
    }
)
"""Which values of a mask file mark what is forged, in words."""

CODINGS: tuple[MaskCoding, ...] = get_args(MaskCoding)


def read_truth(
    path: str | os.PathLike[str],
    coding: MaskCoding = "forged-white",
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> NDArray[np.bool_]:
    """The ground truth in a mask file: True = forged, (h, w), in displayed orientation.

    Raises:
        ImageError: as for `tamperscope.image.read_mask`.
        ConfigError: an unknown coding.
    """
    if coding not in CODINGS:
        raise ConfigError(f"mask coding {coding!r} must be one of: {', '.join(CODINGS)}")
    if coding == "forged-green":
        rgb = read_image(path, max_pixels=max_pixels).pixels.astype(np.int16)
        green: NDArray[np.bool_] = rgb[..., 1] > rgb[..., 0]
        return green
    if coding == "forged-nonzero":
        return read_mask(path, threshold=0, max_pixels=max_pixels)
    return read_mask(path, polarity=coding, max_pixels=max_pixels)
