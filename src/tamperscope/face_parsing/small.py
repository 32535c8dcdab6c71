"""A small network that labels the parts of a face: a slim U-Net with a view of the whole picture.

Ordinary 3x3 convolutions only, which processors run fast in bfloat16 too.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tamperscope.errors import ConfigError, unknown
from tamperscope.face_parsing.parts import PARTS

_DEFAULTS: dict[str, Any] = {"widths": (24, 40, 64, 96, 128), "size": 256}


class SmallParser(nn.Module):
    """A U-Net whose first level has half the picture's resolution.

    Args:
        widths: channels of the levels, at 1/2, 1/4, 1/8, ... of the picture's size.
        size: side in pixels that pictures are squeezed into before it sees them.

    Attributes:
        input_size: ``size``; the network itself takes any.
        stride: pixels per cell of its deepest level.
    """

    def __init__(self, widths: Sequence[int], size: int) -> None:
        super().__init__()
        self.input_size = size
        self.stride = 2 ** len(widths)
        self.stem = _unit(3, widths[0], stride=2)
        self.first = _unit(widths[0], widths[0])
        self.down = nn.ModuleList(
            nn.Sequential(_unit(before, after, stride=2), _unit(after, after))
            for before, after in pairwise(widths)
        )
        deepest = widths[-1]
        self.context = nn.Linear(deepest, deepest)
        self.bottom = _unit(deepest, deepest)
        self.up = nn.ModuleList(
            nn.Sequential(_unit(below + here, here), _unit(here, here))
            for here, below in reversed(list(pairwise(widths)))
        )
        self.head = nn.Conv2d(widths[0], len(PARTS), 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, 19, h, w) in the order of `PARTS`.

        Args:
            x: floating point (B, 3, h, w) in [-1, 1], of any size.
        """
        size = x.shape[-2:]
        x = _pad(x, self.stride)
        levels = [self.first(self.stem(x))]
        for step in self.down:
            levels.append(step(levels[-1]))
        deepest = levels.pop()
        # Left and right eye look alike: only where they are in the face tells them apart.
        whole = self.context(deepest.mean((2, 3)))
        features = self.bottom(deepest + whole[:, :, None, None])
        for step in self.up:
            skip = levels.pop()
            features = step(torch.cat([_upsample(features, skip.shape[-2:]), skip], 1))
        logits = _upsample(self.head(features), x.shape[-2:])
        return logits[..., : size[0], : size[1]]


def build_small_parser(config: Mapping[str, Any]) -> SmallParser:
    """A parser with random weights from PyTorch's global generator, in training mode.

    Args:
        config: ``widths``: channels per level, 2 to 7 of them (default 24, 40, 64, 96, 128: 1.0
            million weights); ``size``: side that pictures are squeezed into (default 256).

    Raises:
        UnknownNameError: another key.
        ConfigError: a value that cannot be.
    """
    for key in config:
        if key not in _DEFAULTS:
            raise unknown("option of the face parser", key, _DEFAULTS)
    values = _DEFAULTS | dict(config)
    widths, size = list(values["widths"]), values["size"]
    if not 2 <= len(widths) <= 7 or not all(type(w) is int and 1 <= w <= 4096 for w in widths):
        raise ConfigError(f"face parser: widths must be 2 to 7 whole numbers, not {widths}")
    if type(size) is not int or not 32 <= size <= 4096:
        raise ConfigError(f"face parser: size must be from 32 to 4096 pixels, not {size!r}")
    return SmallParser(widths, size)


def _unit(before: int, after: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride, 1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


def _pad(x: Tensor, stride: int) -> Tensor:
    below, right = -x.shape[-2] % stride, -x.shape[-1] % stride
    return F.pad(x, (0, right, 0, below), mode="replicate") if below or right else x


def _upsample(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)
