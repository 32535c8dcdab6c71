"""From 8-bit pixels and part labels to what the network of FakeLocator sees."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PILImage
from torch import Tensor

from tamperscope.face_parsing.attention import attention_map
from tamperscope.face_parsing.preprocess import squeeze
from tamperscope.methods.fakelocator.network import INPUT_SIZE


def prepare(pixels: NDArray[np.uint8], *, size: int = INPUT_SIZE) -> Tensor:
    """A picture as network input: float32 (3, size, size) in [-1, 1], squeezed by Pillow's
    antialiased bilinear filter, its aspect ratio not kept.

    Args:
        pixels: RGB uint8 (h, w, 3).

    Raises:
        ImageValueError: pixels are not that.
        ConfigError: size < 1.
    """
    return squeeze(pixels, size)


def prepare_attention(labels: NDArray[np.uint8], weights: Mapping[str, float]) -> Tensor:
    """Part labels (h, w) as the network's attention input: float32 (1, h, w) in [0, 1].

    Raises:
        UnknownNameError, ConfigError: see `tamperscope.face_parsing.attention.part_weights`.
    """
    return torch.from_numpy(attention_map(labels, weights))[None]


def squeeze_labels(labels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Part labels (h, w) on the network's grid (size, size), by nearest neighbour."""
    small = PILImage.fromarray(labels).resize((size, size), PILImage.Resampling.NEAREST)
    return np.asarray(small)
