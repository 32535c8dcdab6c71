"""Inpainting without learning, as OpenCV has it: smooth continuation of what surrounds a region."""

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from tamperscope.data.generators.base import (
    Family,
    check_images,
    check_masks,
    check_seed,
    keep_outside,
    only_regions,
)
from tamperscope.errors import ConfigError

_FLAGS = {"telea": cv2.INPAINT_TELEA, "ns": cv2.INPAINT_NS}


class ClassicalInpainter:
    """A `Generator` from OpenCV: ``telea`` (Telea, J. Graphics Tools 2004, fast marching) or ``ns``
    (Bertalmio, Bertozzi and Sapiro, CVPR 2001, Navier-Stokes). The seed has no effect.

    Args:
        name: the algorithm.
        radius: of the neighbourhood each new pixel is made from, in pixels.

    Raises:
        ConfigError: a radius that is not positive.
    """

    family: Family = "classical"
    whole_image = False

    def __init__(self, name: Literal["telea", "ns"], *, radius: float = 3.0) -> None:
        if not isinstance(radius, int | float) or not 0 < radius < 256:
            raise ConfigError(f"radius must be above 0 and below 256 pixels, not {radius!r}")
        self.name: str = name
        self._flag = _FLAGS[name]
        self._radius = float(radius)

    def inpaint(
        self, images: NDArray[np.uint8], masks: NDArray[np.bool_], *, seed: int
    ) -> NDArray[np.uint8]:
        """See `Generator.inpaint`."""
        check_masks(images, masks)
        check_seed(seed)
        filled = np.empty_like(images)
        for i, (image, mask) in enumerate(zip(images, masks, strict=True)):
            filled[i] = cv2.inpaint(
                np.ascontiguousarray(image), mask.astype(np.uint8), self._radius, self._flag
            )
        return keep_outside(images, filled, masks)

    def regenerate(self, images: NDArray[np.uint8], *, seed: int) -> NDArray[np.uint8]:
        """Always raises: there would be nothing left to continue."""
        check_images(images)
        raise only_regions(self.name)
