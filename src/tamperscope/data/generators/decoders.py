"""Small face decoders that differ in one thing: how they upsample.

A GAN's decoder leaves traces of its upsampling (Odena et al., "Deconvolution and checkerboard
artifacts", Distill 2016; Zhang et al., "Detecting and simulating artifacts in GAN fake images",
WIFS 2019). To study how a detector carries over from one kind of trace to another, these three
networks have the same encoders, the same losses and the same training, and make their pixels by
transposed convolution, by nearest-neighbour upsampling and convolution, or by pixel shuffle.
"""

from functools import partial
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from tamperscope.data.generators._running import (
    load_network,
    match_border,
    match_mean,
    paint_each,
    paint_once,
    weights_file,
)
from tamperscope.data.generators.base import (
    Family,
    check_masks,
    check_seed,
    everywhere,
    keep_outside,
)
from tamperscope.errors import ConfigError

Upsampling = Literal["transposed", "nearest", "shuffle"]
UPSAMPLINGS: tuple[Upsampling, ...] = ("transposed", "nearest", "shuffle")

STRIDE = 16
"""Pictures are padded to multiples of this."""
CODE_CHANNELS = 6
CODE_STRIDE = 8
CODE_NOISE = 0.1
"""Standard deviation of the noise on the code, whose values lie in [-1, 1]."""
BORDER_REACH = 8.0
"""Pixels over which a region's colours are matched to the picture around it."""


class Residual(nn.Module):
    """x + conv(relu(conv(relu(x)))); (B, C, h, w) to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(F.relu(self.first(F.relu(x))))
        return cast(Tensor, x + y)


def upsampler(kind: Upsampling, inputs: int, outputs: int) -> nn.Module:
    """A layer (B, inputs, h, w) -> (B, outputs, 2h, 2w).

    Raises:
        ConfigError: an unknown kind.
    """
    if kind == "transposed":
        return nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)
    if kind == "nearest":
        return nn.Sequential(
            nn.Upsample(scale_factor=2, mode="nearest"),
            nn.Conv2d(inputs, outputs, 3, padding=1),
        )
    if kind == "shuffle":
        return nn.Sequential(nn.Conv2d(inputs, 4 * outputs, 3, padding=1), nn.PixelShuffle(2))
    raise ConfigError(f"unknown upsampling {kind!r}; known: {', '.join(UPSAMPLINGS)}")


def down(inputs: int, outputs: int) -> nn.Module:
    """relu, then a 3x3 convolution with stride 2: (B, inputs, h, w) -> (B, outputs, h/2, w/2)."""
    return nn.Sequential(nn.ReLU(), nn.Conv2d(inputs, outputs, 3, stride=2, padding=1))


def he_init(network: nn.Module) -> None:
    """He et al. (2015) initialisation of every convolution, biases zero.

    PyTorch's default shrinks the signal at every layer, and there is no normalisation here to
    bring it back. Second layers of residual blocks get a fifth of it: a deep sum starts stable
    only with small summands.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            taps = module.weight[0, 0].numel()
            # Each output of a strided transposed convolution sees a quarter of the taps.
            shared = 4 if isinstance(module, nn.ConvTranspose2d) else 1
            nn.init.normal_(module.weight, std=(2 * shared / (module.in_channels * taps)) ** 0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in network.modules():
        if isinstance(module, Residual):
            with torch.no_grad():
                module.second.weight.mul_(0.2)


class RegionDecoder(nn.Module):
    """Re-creates a picture from a low-rate code of it and from the pixels around the region.

    The code (1/8 of the resolution, 6 channels, noisy) says roughly what is there, as the latent
    vector of a face editor does; the context encoder sees the picture with the region cut out.
    With a mask of ones only the code is left, and the whole face is made anew from it.
    """

    def __init__(self, upsampling: Upsampling = "transposed") -> None:
        super().__init__()
        self.upsampling = upsampling
        self.coder = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, 48, 3, padding=1),
            down(48, 48),
            Residual(48),
            nn.ReLU(),
            nn.Conv2d(48, CODE_CHANNELS, 3, padding=1),
        )
        self.context_fine = nn.Sequential(
            nn.PixelUnshuffle(4), nn.Conv2d(64, 32, 3, padding=1), down(32, 32), Residual(32)
        )
        self.context_coarse = down(32, 32)
        self.enter = nn.Sequential(
            nn.Conv2d(4 * CODE_CHANNELS + 32, 80, 3, padding=1), Residual(80), nn.ReLU()
        )
        self.up32 = upsampler(upsampling, 80, 48)
        self.join = nn.Sequential(
            nn.Conv2d(48 + 32 + CODE_CHANNELS, 48, 3, padding=1), Residual(48), nn.ReLU()
        )
        self.up64 = upsampler(upsampling, 48, 48)
        self.refine = nn.Sequential(Residual(48), nn.ReLU())
        self.up128 = upsampler(upsampling, 48, 32)
        self.up256 = upsampler(upsampling, 32, 16)
        self.out = nn.Conv2d(16, 3, 3, padding=1)
        he_init(self)
        with torch.no_grad():
            self.out.weight.mul_(0.3)

    def forward(self, pictures: Tensor, masks: Tensor, noise: Tensor) -> Tensor:
        """Re-create every pixel.

        Args:
            pictures: (B, 3, h, w) in [-1, 1]; h and w multiples of 16.
            masks: (B, 1, h, w), 1 where the context encoder must not look.
            noise: (B, 6, h/8, w/8) standard normal.

        Returns:
            (B, 3, h, w), about [-1, 1].
        """
        code = torch.tanh(self.coder(pictures)) + CODE_NOISE * noise
        fine = self.context_fine(torch.cat([pictures * (1 - masks), masks], dim=1))
        coarse = torch.cat([F.pixel_unshuffle(code, 2), self.context_coarse(fine)], dim=1)
        x = self.enter(coarse)
        x = self.join(torch.cat([F.relu(self.up32(x)), fine, code], dim=1))
        x = self.refine(self.up64(x))
        x = F.relu(self.up128(x))
        x = F.relu(self.up256(x))
        return cast(Tensor, self.out(x))

    def draw_noise(self, generator: torch.Generator, batch: int, height: int, width: int) -> Tensor:
        """The noise `forward` takes for pictures of this size."""
        shape = (batch, CODE_CHANNELS, height // CODE_STRIDE, width // CODE_STRIDE)
        return torch.randn(shape, generator=generator)


class DecoderGenerator:
    """One of the three decoders as a generator; see `RegionDecoder`.

    The region is decoded and gets the mean colour that it had, then its colours are matched to the
    picture at the border; the pixels outside the mask are the picture's own.
    """

    whole_image = False

    def __init__(
        self,
        upsampling: Upsampling,
        *,
        weights: str | Path | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        """Load the shipped weights, or ``weights``.

        Raises:
            ConfigError: an unknown upsampling.
            WeightsNotFoundError, WeightsMismatchError: no such file, or not this network's.
        """
        if upsampling not in UPSAMPLINGS:
            raise ConfigError(f"unknown upsampling {upsampling!r}; known: {', '.join(UPSAMPLINGS)}")
        self.name: str = upsampling
        self.family: Family = upsampling
        self._device = torch.device(device)
        network = load_network(RegionDecoder(upsampling), weights_file(upsampling, weights))
        self._network = cast(RegionDecoder, network.to(self._device))

    def inpaint(
        self, images: NDArray[np.uint8], masks: NDArray[np.bool_], *, seed: int
    ) -> NDArray[np.uint8]:
        """See `Generator.inpaint`."""
        check_masks(images, masks)
        filled = self._decode(images, masks, check_seed(seed))
        for index, mask in enumerate(masks):
            filled[index] = match_border(images[index], filled[index], mask, reach=BORDER_REACH)
        return keep_outside(images, filled, masks)

    def regenerate(self, images: NDArray[np.uint8], *, seed: int) -> NDArray[np.uint8]:
        """See `Generator.regenerate`; the faces come from their codes alone."""
        return self._decode(images, everywhere(images), check_seed(seed))

    def _decode(
        self, images: NDArray[np.uint8], masks: NDArray[np.bool_], seed: int
    ) -> NDArray[np.uint8]:
        paint = partial(paint_once, self._network)
        decoded = paint_each(images, masks, paint, seed=seed, stride=STRIDE, device=self._device)
        for index, mask in enumerate(masks):
            decoded[index] = match_mean(images[index], decoded[index], mask)
        return decoded
