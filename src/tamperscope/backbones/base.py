"""What every feature network has in common: attributes, input checks, padding and cropping."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from tamperscope.errors import ImageValueError


def _reflected(size: int, padded: int, device: torch.device) -> Tensor:
    """Indices (padded,) that walk 0..size-1 and back, as often as needed (a size of 1 repeats)."""
    period = max(2 * (size - 1), 1)
    index = torch.arange(padded, device=device) % period
    return torch.where(index < size, index, period - index)


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Extend a batch (B, C, h, w) at the bottom and right to sides that divide by ``multiple``.

    The new pixels mirror the picture (numpy's ``reflect``, repeated where the picture is smaller
    than what is missing): unlike a constant border they keep its noise. Nothing is added at the
    top or left, so the grid of features, and any 8x8 JPEG grid below it, stays where it was.
    """
    h, w = x.shape[-2:]
    padded_h, padded_w = -(-h // multiple) * multiple, -(-w // multiple) * multiple
    if padded_h != h:
        x = x.index_select(-2, _reflected(h, padded_h, x.device))
    if padded_w != w:
        x = x.index_select(-1, _reflected(w, padded_w, x.device))
    return x


class Backbone(nn.Module, ABC):
    """A feature network: picture in, one feature map out, not normalised.

    Attributes:
        name: What `create_backbone` calls it.
        stride: Picture pixels per feature pixel, along each side.
        channels: Length of a feature vector.
        multiple: The sides that the network itself needs; other sizes are padded and cropped.
    """

    name: str
    stride: int
    channels: int
    multiple: int

    def __init__(self, *, name: str, stride: int, channels: int, multiple: int) -> None:
        super().__init__()
        self.name = name
        self.stride = stride
        self.channels = channels
        self.multiple = multiple

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """(B, 3, h, w), sides dividing by ``multiple``, to (B, channels, h/stride, w/stride)."""

    def forward(self, x: Tensor) -> Tensor:
        """Features of a batch of RGB pictures.

        Args:
            x: Floating point (B, 3, h, w) with values in [0, 1]; any h, w >= 1. Sides that do not
                divide by ``multiple`` are mirrored up to it (see `pad_to_multiple`).

        Returns:
            (B, channels, ceil(h / stride), ceil(w / stride)), of the precision computed in.

        Raises:
            ImageValueError: x has another shape or is not floating point.
        """
        if x.ndim != 4 or x.shape[1] != 3 or 0 in x.shape:
            raise ImageValueError(
                f"{self.name} needs a batch (B, 3, h, w) with h, w >= 1, not {tuple(x.shape)}: "
                "reorder to channels first and add the batch axis"
            )
        if not x.is_floating_point():
            raise ImageValueError(
                f"{self.name} needs floating point values in [0, 1], not {x.dtype}: "
                "divide 8-bit pixels by 255"
            )
        rows, columns = -(-x.shape[2] // self.stride), -(-x.shape[3] // self.stride)
        return self.features(pad_to_multiple(x, self.multiple))[..., :rows, :columns]
