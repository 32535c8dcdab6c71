"""A picture squeezed into a square, as networks for faces see it."""

from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PILImage
from torch import Tensor

from tamperscope.errors import ConfigError, ImageValueError

Resample = Literal["lanczos", "bilinear"]


def squeeze(pixels: NDArray[np.uint8], size: int, *, resample: Resample = "bilinear") -> Tensor:
    """A picture resized to a square by Pillow, its aspect ratio not kept, as a tensor.

    Args:
        pixels: RGB uint8 (h, w, 3).
        size: side in pixels.
        resample: Pillow's filter; both are antialiased.

    Returns:
        float32 (3, size, size) in [-1, 1]: value / 255 * 2 - 1 of the resized 8-bit picture.

    Raises:
        ImageValueError: pixels are not uint8 (h, w, 3) with h, w >= 1.
        ConfigError: unknown filter, or size < 1.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ImageValueError(
            f"pixels must be RGB uint8 (h, w, 3), not {pixels.dtype} {pixels.shape}: "
            "read the picture with tamperscope.read_image"
        )
    if resample not in get_args(Resample):
        known = ", ".join(get_args(Resample))
        raise ConfigError(f"there is no resampling {resample!r} here; known: {known}")
    if size < 1:
        raise ConfigError(f"size must be at least 1 pixel, not {size}")
    picture = PILImage.fromarray(np.ascontiguousarray(pixels))
    resized = np.asarray(picture.resize((size, size), PILImage.Resampling[resample.upper()]))
    scaled = resized.transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    return torch.from_numpy(np.ascontiguousarray(scaled * np.float32(2) - np.float32(1)))
