"""From 8-bit pixels to what a network was trained on. A weights card names the mode to use."""

from typing import Literal, get_args

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tamperscope.errors import ConfigError, ImageValueError

Preprocessing = Literal["focal", "native"]


def preprocess(
    pixels: NDArray[np.uint8], mode: Preprocessing = "native", *, size: int = 1024
) -> Tensor:
    """A picture as network input.

    Args:
        pixels: RGB uint8 (h, w, 3).
        mode: ``"focal"`` resizes straight to ``size`` x ``size``, not keeping the aspect ratio,
            with OpenCV's bilinear interpolation (no antialiasing) on 8-bit values, as the released
            FOCAL code does. ``"native"`` keeps every pixel.
        size: Side for ``"focal"``; ignored by ``"native"``.

    Returns:
        float32 (3, h', w') in [0, 1]: divided by 255, no mean or standard deviation taken off.

    Raises:
        ImageValueError: pixels are not uint8 (h, w, 3) with h, w >= 1.
        ConfigError: unknown mode, or size < 1.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ImageValueError(
            f"pixels must be RGB uint8 (h, w, 3), not {pixels.dtype} {pixels.shape}: "
            "read the picture with tamperscope.read_image"
        )
    if mode not in get_args(Preprocessing):
        known = ", ".join(get_args(Preprocessing))
        raise ConfigError(f"unknown preprocessing {mode!r}; known: {known}")
    if mode == "focal":
        pixels = _squash(pixels, size)
    scaled = np.ascontiguousarray(pixels.transpose(2, 0, 1)).astype(np.float32) / np.float32(255)
    return torch.from_numpy(scaled)


def preprocess_mask(mask: NDArray[np.bool_], *, size: int) -> NDArray[np.bool_]:
    """A ground-truth mask bool (h, w) on a ``size`` x ``size`` feature grid, as FOCAL trains on it.

    White is 255: bilinear resize without antialiasing, then forged where the value is above 127.

    Raises:
        ImageValueError: mask is not bool (h, w) with h, w >= 1.
        ConfigError: size < 1.
    """
    if mask.dtype != np.bool_ or mask.ndim != 2 or not mask.size:
        raise ImageValueError(
            f"a mask must be bool (h, w), not {mask.dtype} {mask.shape}: "
            "read it with tamperscope.image.read_mask"
        )
    forged: NDArray[np.bool_] = _squash(mask.astype(np.uint8) * np.uint8(255), size) > 127
    return forged


def _squash(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    if size < 1:
        raise ConfigError(f"size must be at least 1 pixel, not {size}")
    resized = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)
