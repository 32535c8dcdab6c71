"""The compact network: our own small forensic backbone for a plain CPU, about two million
parameters, stride 4.

Three forms of the picture meet in it: the colours, high-pass residuals (where resampling, blur and
noise show, and content does not), and the phase of the 8x8 block DCT against a set of quantization
steps (where earlier JPEG saves show). Residual stages at strides 2 to 16 follow, two self-attention
blocks that let every place be compared with the rest of the picture, and a top-down path back to
stride 4. Ours; inspired by the input streams common in the field (SRM residuals, DCT streams) and
by FOCAL's aim, features that only have to differ within one picture.
"""

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tamperscope.backbones.base import Backbone
from tamperscope.errors import ConfigError

_STEPS = (2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 13.0, 17.0)
_HEADS = 4


class HighPass(nn.Module):
    """Second-order residuals of each colour, horizontal, vertical and both: 9 channels in [-1, 1].

    A residual is ``gain`` times (2 b - a - c) / 2 of three neighbours a, b, c, then tanh, so that
    one grey level is about 0.06 and an edge saturates.
    """

    kernels: Tensor

    def __init__(self, gain: float = 16.0) -> None:
        super().__init__()
        line = torch.tensor([-1.0, 2.0, -1.0]) / 2
        zero = torch.zeros(3)
        horizontal = torch.stack([zero, line, zero])
        both = torch.outer(line, line)
        bank = torch.stack([horizontal, horizontal.T, both]) * gain
        self.register_buffer("kernels", bank.repeat(3, 1, 1)[:, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, h, w) in [0, 1] to (B, 9, h, w)."""
        # In bfloat16 neighbours on either side of a power of two are rounded to different steps,
        # which leaves a residual that the picture does not have.
        with torch.autocast(x.device.type, enabled=False):
            padded = F.pad(x.float(), (1, 1, 1, 1), mode="replicate")
            return torch.tanh(F.conv2d(padded, self.kernels, groups=3))


class BlockPhase(nn.Module):
    """Where the low-frequency DCT coefficients of each 8x8 block lie between multiples of
    quantization steps.

    For coefficient c and step q the channel is cos(2 pi c / q): 1 on the lattice that a JPEG save
    with this step leaves, and without a mean elsewhere. Blocks are aligned with the picture's
    corner, as in a file that was not cropped.
    """

    basis: Tensor
    steps: Tensor

    def __init__(self, coefficients: int = 14) -> None:
        super().__init__()
        order = sorted(
            ((u, v) for u in range(8) for v in range(8) if u + v > 0),
            key=lambda f: (f[0] + f[1], f[0]),
        )[:coefficients]
        n = torch.arange(8, dtype=torch.float64)
        rows = []
        for u, v in order:
            cu, cv = (math.sqrt(1 / 8) if k == 0 else 0.5 for k in (u, v))
            row = cu * torch.cos((2 * n + 1) * u * math.pi / 16)
            column = cv * torch.cos((2 * n + 1) * v * math.pi / 16)
            rows.append(torch.outer(row, column))
        self.register_buffer("basis", torch.stack(rows)[:, None].float(), persistent=False)
        self.register_buffer("steps", torch.tensor(_STEPS), persistent=False)
        self.channels = coefficients * (len(_STEPS) + 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, h, w) in [0, 1], sides multiples of 8, to (B, channels, h/8, w/8)."""
        # Phases need float32: in bfloat16 a coefficient of 200 is known to the nearest unit only.
        with torch.autocast(x.device.type, enabled=False):
            weights = torch.tensor([0.299, 0.587, 0.114], device=x.device)
            luma = (x.float() * 255.0 * weights[:, None, None]).sum(1, keepdim=True) - 128.0
            coefficients = F.conv2d(luma, self.basis, stride=8)
            phase = torch.cos(2 * math.pi * coefficients[:, None] / self.steps[:, None, None, None])
            size = torch.log1p(coefficients.abs())[:, None] / 3.0
            return torch.cat([phase, size], 1).flatten(1, 2)


def conv_bn(cin: int, cout: int, *, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(cout),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """Two 3x3 convolutions beside an identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv_bn(channels, channels)
        self.second = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))


class Attention(nn.Module):
    """Pre-norm self-attention and MLP over all places; a depth-wise convolution gives position."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.position = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels)
        self.norm1 = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(
            nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        x = x + self.position(x)
        tokens = x.flatten(2).transpose(1, 2)
        heads = self.qkv(self.norm1(tokens)).view(b, h * w, 3, _HEADS, c // _HEADS)
        q, k, v = heads.unbind(2)
        mixed = F.scaled_dot_product_attention(
            q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        )
        tokens = tokens + self.out(mixed.transpose(1, 2).reshape(b, h * w, c))
        tokens = tokens + self.mlp(self.norm2(tokens))
        return cast(Tensor, tokens.transpose(1, 2).reshape(b, c, h, w))


class CompactBackbone(Backbone):
    """(B, 3, h, w) in [0, 1] to (B, ``channels``, ceil(h / 4), ceil(w / 4)).

    Args:
        widths: channels at strides 2, 4, 8 and 16.
        depths: residual blocks at these strides.
        channels: channels of the output.
        attention: self-attention blocks at stride 16.
        colour_dropout: in training, the share of pictures shown without colours, so that traces
            alone must do.

    Raises:
        ConfigError: not four widths and four depths, or a last width that four attention heads do
            not divide.
    """

    def __init__(
        self,
        *,
        widths: tuple[int, int, int, int] = (32, 64, 96, 160),
        depths: tuple[int, int, int, int] = (1, 2, 2, 1),
        channels: int = 64,
        attention: int = 2,
        colour_dropout: float = 0.0,
    ) -> None:
        super().__init__(name="compact", stride=4, channels=channels, multiple=16)
        self.colour_dropout = colour_dropout
        self.high_pass = HighPass()
        self.phase = BlockPhase()
        if len(widths) != 4 or len(depths) != 4:
            raise ConfigError(
                f"compact needs four widths and four depths, not {len(widths)} and {len(depths)}"
            )
        w1, w2, w3, w4 = widths
        if attention and w4 % _HEADS:
            raise ConfigError(f"compact: the last width must be a multiple of {_HEADS}, not {w4}")
        self.stem = conv_bn(12 * 4, w1)
        self.stage1 = nn.Sequential(*(Residual(w1) for _ in range(depths[0])))
        self.down2 = conv_bn(w1, w2, stride=2)
        self.stage2 = nn.Sequential(*(Residual(w2) for _ in range(depths[1])))
        self.down3 = conv_bn(w2, w3, stride=2)
        self.phase_in = nn.Sequential(conv_bn(self.phase.channels, 64, kernel=1), conv_bn(64, w3))
        self.stage3 = nn.Sequential(*(Residual(w3) for _ in range(depths[2])))
        self.down4 = conv_bn(w3, w4, stride=2)
        self.stage4 = nn.Sequential(*(Residual(w4) for _ in range(depths[3])))
        self.attention = nn.Sequential(*(Attention(w4) for _ in range(attention)))
        self.lateral4 = conv_bn(w4, channels, kernel=1)
        self.lateral3 = conv_bn(w3, channels, kernel=1)
        self.lateral2 = conv_bn(w2, channels, kernel=1)
        self.merge3 = conv_bn(channels, channels)
        self.merge2 = conv_bn(channels, channels)

    def features(self, x: Tensor) -> Tensor:
        s2 = self.stage2(self.down2(self.stage1(self.stem(self._forms(x)))))
        s3 = self.stage3(self.down3(s2) + self.phase_in(self.phase(x)))
        s4 = self.attention(self.stage4(self.down4(s3)))
        top = self.merge3(self.lateral3(s3) + _double(self.lateral4(s4)))
        return cast(Tensor, self.merge2(self.lateral2(s2) + _double(top)))

    def _forms(self, x: Tensor) -> Tensor:
        colours = (x - 0.5) * 2
        if self.training and self.colour_dropout > 0:
            keep = torch.rand(len(x), 1, 1, 1, device=x.device) >= self.colour_dropout
            colours = colours * keep
        return F.pixel_unshuffle(torch.cat([colours, self.high_pass(x)], 1), 2)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
