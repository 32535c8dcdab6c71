"""BiSeNet (Yu et al., ECCV 2018, arXiv:1808.00897) with ResNet-18, as the face parser of the
repository zllrunning/face-parsing.PyTorch, whose public weights (``79999_iter.pth``) it loads.

The key names are those of that file.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock

from tamperscope.face_parsing.parts import PARTS

INPUT_SIZE = 512
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class BiSeNet(nn.Module):
    """Labels faces in the ``bisenet`` numbering of `tamperscope.face_parsing.parts.NUMBERINGS`.

    Attributes:
        input_size: side in pixels of the pictures it was trained on; others work too.
    """

    input_size = INPUT_SIZE
    name = "bisenet"

    def __init__(self) -> None:
        super().__init__()
        self.cp = _ContextPath()
        self.ffm = _Fusion(256, 256)
        self.conv_out = _Head(256, 256)
        self.conv_out16 = _Head(128, 64)
        self.conv_out32 = _Head(128, 64)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, 19, h, w).

        Args:
            x: floating point (B, 3, h, w), normalised by `MEAN` and `STD`.
        """
        feature8, context8, _ = self.cp(x)
        return _enlarged(self.conv_out(self.ffm(feature8, context8)), x.shape[-2:])

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The logits of `forward`, and those of the two heads that only training needs."""
        feature8, context8, context16 = self.cp(x)
        outputs = (
            self.conv_out(self.ffm(feature8, context8)),
            self.conv_out16(context8),
            self.conv_out32(context16),
        )
        first, second, third = (_enlarged(output, x.shape[-2:]) for output in outputs)
        return first, second, third


class _ConvBNReLU(nn.Module):
    def __init__(self, before: int, after: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        activated: Tensor = F.relu(self.bn(self.conv(x)))
        return activated


class _ResNet18(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = _layer(64, 64, 1)
        self.layer2 = _layer(64, 128, 2)
        self.layer3 = _layer(128, 256, 2)
        self.layer4 = _layer(256, 512, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features of strides 8, 16 and 32."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        feature8 = self.layer2(self.layer1(x))
        feature16 = self.layer3(feature8)
        return feature8, feature16, self.layer4(feature16)


def _layer(before: int, after: int, stride: int) -> nn.Sequential:
    shortcut = None
    if before != after:
        shortcut = nn.Sequential(
            nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
        )
    return nn.Sequential(BasicBlock(before, after, stride, shortcut), BasicBlock(after, after))


class _AttentionRefinement(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv = _ConvBNReLU(before, after)
        self.conv_atten = nn.Conv2d(after, after, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.conv(x)
        weights: Tensor = self.bn_atten(self.conv_atten(_mean(features))).sigmoid()
        return features * weights


class _ContextPath(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.resnet = _ResNet18()
        self.arm16 = _AttentionRefinement(256, 128)
        self.arm32 = _AttentionRefinement(512, 128)
        self.conv_head32 = _ConvBNReLU(128, 128)
        self.conv_head16 = _ConvBNReLU(128, 128)
        self.conv_avg = _ConvBNReLU(512, 128, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The ResNet's features of stride 8, and the context at strides 8 and 16."""
        feature8, feature16, feature32 = self.resnet(x)
        context32 = self.arm32(feature32) + self.conv_avg(_mean(feature32))
        context16 = self.conv_head32(_repeated(context32, feature16))
        mixed16 = self.arm16(feature16) + context16
        return feature8, self.conv_head16(_repeated(mixed16, feature8)), context16


class _Fusion(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.convblk = _ConvBNReLU(before, after, 1)
        self.conv1 = nn.Conv2d(after, after // 4, 1, bias=False)
        self.conv2 = nn.Conv2d(after // 4, after, 1, bias=False)

    def forward(self, spatial: Tensor, context: Tensor) -> Tensor:
        features: Tensor = self.convblk(torch.cat([spatial, context], 1))
        weights: Tensor = self.conv2(F.relu(self.conv1(_mean(features)))).sigmoid()
        return features + features * weights


class _Head(nn.Module):
    def __init__(self, before: int, inner: int) -> None:
        super().__init__()
        self.conv = _ConvBNReLU(before, inner)
        self.conv_out = nn.Conv2d(inner, len(PARTS), 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.conv_out(self.conv(x))
        return logits


def _mean(x: Tensor) -> Tensor:
    return x.mean((2, 3), keepdim=True)


def _repeated(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="nearest")


def _enlarged(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=True)
