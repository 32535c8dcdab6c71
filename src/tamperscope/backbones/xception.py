"""Xception (Chollet, arXiv:1610.02357) that can end after any block, made of timm's blocks."""

from collections.abc import Iterator

import torch
from timm.models.xception import Block, SeparableConv2d
from torch import Tensor, nn

from tamperscope.errors import ConfigError

__all__ = [
    "BLOCKS",
    "MIDDLE_CHANNELS",
    "SeparableConv2d",
    "Xception",
    "init_normal",
    "init_xavier",
]

BLOCKS = 12
MIDDLE_CHANNELS = 728
"""Of the outputs of blocks 3 to 11."""

# width in, width out, repetitions, stride; the last block grows in its last convolution
_PLAN = (
    (64, 128, 2, 2),
    (128, 256, 2, 2),
    (256, 728, 2, 2),
    *((728, 728, 3, 1),) * 8,
    (728, 1024, 2, 2),
)
_EXIT_CHANNELS = 2048


class Xception(nn.Module):
    """The network up to one of its blocks, or whole, under timm's key names.

    The sides of a 299 x 299 picture become 74 after block 1, 37 after block 2, 19 after blocks 3 to
    11 and 10 after block 12.

    Args:
        blocks: the last block that exists, 1 to 12.
        classes: outputs of the classifier; it and the two convolutions before it exist if this is
            above 0, and need all 12 blocks.

    Attributes:
        channels: of the last block's output.

    Raises:
        ConfigError: no such block, or a classifier on fewer than 12.
    """

    name = "xception"

    def __init__(self, *, blocks: int = BLOCKS, classes: int = 0) -> None:
        super().__init__()
        if not 1 <= blocks <= BLOCKS:
            raise ConfigError(f"xception has blocks 1 to {BLOCKS}, not {blocks}")
        if classes and blocks < BLOCKS:
            raise ConfigError(f"the classifier of xception needs all {BLOCKS} blocks, not {blocks}")
        self.blocks = blocks
        self.classes = classes
        self.channels = _PLAN[blocks - 1][1]
        self.conv1 = nn.Conv2d(3, 32, 3, 2, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 64, 3, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        for number, (c_in, c_out, repetitions, stride) in enumerate(_PLAN[:blocks], start=1):
            block = Block(
                c_in, c_out, repetitions, stride,
                start_with_relu=number > 1, grow_first=number < BLOCKS,
            )  # fmt: skip
            setattr(self, f"block{number}", block)
        if classes:
            self.conv3 = SeparableConv2d(self.channels, 1536, 3, 1, 1)
            self.bn3 = nn.BatchNorm2d(1536)
            self.conv4 = SeparableConv2d(1536, _EXIT_CHANNELS, 3, 1, 1)
            self.bn4 = nn.BatchNorm2d(_EXIT_CHANNELS)
            self.fc = nn.Linear(_EXIT_CHANNELS, classes)

    def block(self, number: int) -> nn.Module:
        """One of the blocks, counted from 1."""
        found: nn.Module = getattr(self, f"block{number}")
        return found

    def features(self, x: Tensor, *, until: int | None = None) -> Tensor:
        """The output of block ``until`` (by default the last), which no ReLU has followed yet.

        Args:
            x: floating point (B, 3, h, w) in [-1, 1].
        """
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.run_blocks(x, 1, self.blocks if until is None else until)

    def run_blocks(self, x: Tensor, first: int, last: int) -> Tensor:
        """The output of block ``last`` for the input of block ``first``."""
        for number in range(first, last + 1):
            x = self.block(number)(x)
        return x

    def classify(self, x: Tensor) -> Tensor:
        """Logits (B, classes) for the output of block 12."""
        x = self.relu(self.bn3(self.conv3(x)))
        x = self.relu(self.bn4(self.conv4(x)))
        out: Tensor = self.fc(x.mean((2, 3)))
        return out

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes), or without a classifier the last block's output."""
        x = self.features(x)
        return self.classify(x) if self.classes else x


def _weighted_layers(module: nn.Module) -> Iterator[nn.Conv2d | nn.Linear | nn.BatchNorm2d]:
    """Every convolution, linear layer and batch normalisation in a network."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
            yield layer


@torch.no_grad()
def init_xavier(module: nn.Module, *, gain: float = 0.02) -> None:
    """Small random weights as Patches starts from under weak supervision: Xavier-normal with
    ``gain`` for convolutions and linear layers, batch-norm weights from N(1, gain), biases 0.
    """
    for layer in _weighted_layers(module):
        if isinstance(layer, nn.BatchNorm2d):
            layer.weight.normal_(1.0, gain)
        else:
            nn.init.xavier_normal_(layer.weight, gain=gain)
        if layer.bias is not None:
            layer.bias.zero_()


@torch.no_grad()
def init_normal(module: nn.Module, *, std: float = 0.01) -> None:
    """Convolutions and linear layers from N(0, std), as FFD's ``random`` start; biases 0."""
    for layer in _weighted_layers(module):
        if not isinstance(layer, nn.BatchNorm2d):
            layer.weight.normal_(0.0, std)
            if layer.bias is not None:
                layer.bias.zero_()
