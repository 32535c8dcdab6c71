"""The small interface of a face parser: pixels in, label map out."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tamperscope.errors import DataError


class FaceParser(Protocol):
    """Anything that can be called with pixels and gives the label map of the face in them."""

    def __call__(self, pixels: NDArray[np.uint8], /) -> NDArray[np.uint8]:
        """Label every pixel.

        Args:
            pixels: (h, w, 3) uint8 RGB.

        Returns:
            (h, w) integers, numbered as `tamperscope.face_parsing.parts.PARTS`.
        """
        ...


def parse_face(parser: FaceParser, pixels: NDArray[np.uint8], *, what: str) -> NDArray[np.uint8]:
    """The label map of a parser as (h, w) uint8; ``what`` names the picture in the error.

    Raises:
        DataError: the parser gave something that is no label map of the picture.
    """
    labels = np.asarray(parser(pixels))
    expected = pixels.shape[:2]
    if labels.dtype.kind not in "ui" or labels.shape != expected:
        raise DataError(
            f"{what}: the face parser gave {labels.dtype} {labels.shape}: "
            f"it must give integers of shape {expected}"
        )
    if labels.min() < 0 or labels.max() > 255:
        raise DataError(
            f"{what}: the face parser gave labels from {labels.min()} to {labels.max()}: "
            "they must be in 0..255"
        )
    return labels.astype(np.uint8)
