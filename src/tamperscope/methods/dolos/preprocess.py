"""From 8-bit pixels and masks to what the networks of DOLOS see and are trained on."""

from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PILImage
from torch import Tensor

from tamperscope.errors import ConfigError, ImageValueError
from tamperscope.face_parsing.preprocess import Resample as Resample
from tamperscope.face_parsing.preprocess import squeeze

MaskResample = Literal["nearest", "bilinear"]

INPUT_SIZE = 299


def prepare(
    pixels: NDArray[np.uint8], *, resample: Resample = "bilinear", size: int = INPUT_SIZE
) -> Tensor:
    """A picture as network input: resized to a square, its aspect ratio not kept, as DOLOS does.

    Args:
        pixels: RGB uint8 (h, w, 3).
        resample: Pillow's filter. DOLOS trains Patches and Grad-CAM from labels with ``"lanczos"``,
            everything else with ``"bilinear"``; both are antialiased.
        size: side in pixels.

    Returns:
        float32 (3, size, size) in [-1, 1]: value / 255 * 2 - 1 of the resized 8-bit picture.

    Raises:
        ImageValueError: pixels are not uint8 (h, w, 3) with h, w >= 1.
        ConfigError: unknown filter, or size < 1.
    """
    _check(resample, get_args(Resample), size)
    return squeeze(pixels, size, resample=resample)


def training_mask(mask: NDArray[np.bool_], *, grid: int, resample: MaskResample) -> Tensor:
    """A ground-truth mask on a network's ``grid`` x ``grid`` map, as DOLOS trains on it.

    Real is white, 255: resized as 8-bit, and below half is fake.

    Args:
        mask: bool (h, w), True = fake.
        grid: side of the map: 37 for Patches after block 2, 19 for Grad-CAM and Attention.
        resample: ``"nearest"`` for Patches and Grad-CAM, ``"bilinear"`` (antialiased) for
            Attention.

    Returns:
        float32 (grid, grid), 1 = fake and 0 = real.

    Raises:
        ImageValueError: mask is not bool (h, w) with h, w >= 1.
        ConfigError: unknown filter, or grid < 1.
    """
    if mask.dtype != np.bool_ or mask.ndim != 2 or not mask.size:
        raise ImageValueError(
            f"a mask must be bool (h, w), not {mask.dtype} {mask.shape}: "
            "read it with tamperscope.image.read_mask"
        )
    _check(resample, get_args(MaskResample), grid)
    real = PILImage.fromarray((~mask).astype(np.uint8) * np.uint8(255))
    resized = np.asarray(real.resize((grid, grid), _filter(resample)))
    # 127 of 255 is below one half, 128 is not.
    return torch.from_numpy((resized < 128).astype(np.float32))


def _filter(name: str) -> PILImage.Resampling:
    return PILImage.Resampling[name.upper()]


def _check(name: str, known: tuple[str, ...], size: int) -> None:
    if name not in known:
        raise ConfigError(f"dolos has no resampling {name!r} here; known: {', '.join(known)}")
    if size < 1:
        raise ConfigError(f"size must be at least 1 pixel, not {size}")
