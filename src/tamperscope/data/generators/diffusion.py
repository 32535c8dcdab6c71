"""A small pixel-space diffusion inpainter.

The denoiser and its noise levels follow Karras et al., "Elucidating the design space of
diffusion-based generative models" (NeurIPS 2022). Two things make it work at this size: it starts
from a noisy version of the region rather than from noise alone, as SDEdit does (Meng et al., ICLR
2022), so coarse structure survives and detail is new; and the pixels around the region are put
back at every step at the right noise level, as RePaint does (Lugmayr et al., CVPR 2022).
"""

import math
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from tamperscope.data.generators._running import load_network, paint_each, weights_file
from tamperscope.data.generators.base import (
    Family,
    check_masks,
    check_seed,
    everywhere,
    keep_outside,
)
from tamperscope.data.generators.decoders import he_init
from tamperscope.errors import ConfigError

STRIDE = 16
SIGMA_DATA = 0.5
SIGMA_MIN, SIGMA_MAX = 0.05, 1.5
"""Noise levels for pictures in [-1, 1]. At the largest one, areas of 8 x 8 pixels still show."""
_RHO = 7.0
_TIME_FEATURES = 32


class _TimedResidual(nn.Module):
    """A residual block whose middle is scaled and shifted by the noise level."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.modulate = nn.Linear(_TIME_FEATURES, 2 * channels)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        scale, shift = self.modulate(time)[..., None, None].chunk(2, dim=1)
        y = self.first(F.relu(x)) * (1 + scale) + shift
        return cast(Tensor, x + self.second(F.relu(y)))


class Denoiser(nn.Module):
    """A U-Net on 4 x 4 patches that removes noise, given the picture around the region."""

    def __init__(self) -> None:
        super().__init__()
        self.unshuffle = nn.PixelUnshuffle(4)
        self.enter = nn.Conv2d(16 * 7, 48, 3, padding=1)
        self.block64 = _TimedResidual(48)
        self.down32 = nn.Conv2d(48, 64, 3, stride=2, padding=1)
        self.block32 = _TimedResidual(64)
        self.down16 = nn.Conv2d(64, 96, 3, stride=2, padding=1)
        self.block16 = _TimedResidual(96)
        self.up32 = nn.Conv2d(96, 64, 3, padding=1)
        self.back32 = _TimedResidual(64)
        self.up64 = nn.Conv2d(64, 48, 3, padding=1)
        self.back64 = _TimedResidual(48)
        self.leave = nn.Conv2d(48, 16 * 8, 3, padding=1)
        self.shuffle = nn.PixelShuffle(4)
        # 48 channels hold 4 x 4 pixels and nothing more, so fine noise is removed, and the patches
        # are made to meet, at full resolution.
        last = nn.Conv2d(16, 3, 3, padding=1)
        self.meet = nn.Sequential(
            nn.Conv2d(8 + 3, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1),
            nn.ReLU(),
            last,
        )
        he_init(self)
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, _TimedResidual):
                    module.second.weight.mul_(0.2)
                    module.modulate.weight.mul_(0.2)
            self.leave.weight.mul_(0.3)
            last.weight.mul_(0.3)

    def forward(self, noisy: Tensor, masked: Tensor, masks: Tensor, sigma: Tensor) -> Tensor:
        """Estimate the clean picture.

        Args:
            noisy: (B, 3, h, w) picture in [-1, 1] plus noise of standard deviation ``sigma``.
            masked: (B, 3, h, w) the clean picture, 0 inside the mask.
            masks: (B, 1, h, w), 1 inside.
            sigma: (B,) noise levels.

        Returns:
            (B, 3, h, w).
        """
        level = sigma.view(-1, 1, 1, 1)
        norm = (level.square() + SIGMA_DATA**2).sqrt()
        skip = SIGMA_DATA**2 / norm.square()
        return skip * noisy + (level * SIGMA_DATA / norm) * self.raw(
            noisy / norm, masked, masks, sigma
        )

    def raw(self, scaled: Tensor, masked: Tensor, masks: Tensor, sigma: Tensor) -> Tensor:
        """What the layers make of a noisy picture scaled to unit variance."""
        time = _time_features(sigma)
        a = self.block64(self.enter(self.unshuffle(torch.cat([scaled, masked, masks], 1))), time)
        b = self.block32(self.down32(F.relu(a)), time)
        c = self.block16(self.down16(F.relu(b)), time)
        b = self.back32(b + self.up32(F.interpolate(F.relu(c), scale_factor=2.0)), time)
        a = self.back64(a + self.up64(F.interpolate(F.relu(b), scale_factor=2.0)), time)
        x = self.shuffle(self.leave(F.relu(a)))
        y = self.meet(torch.cat([x, scaled], 1))
        return cast(Tensor, (x[:, :3] + y).float())

    def training_loss(self, pictures: Tensor, masks: Tensor, generator: torch.Generator) -> Tensor:
        """Mean squared error at a random noise level per picture, mostly inside the mask.

        Args:
            pictures: (B, 3, h, w) in [-1, 1].
            masks: (B, 1, h, w).
            generator: draws noise and levels (log-uniform between the smallest and the largest).
        """
        draw = torch.rand(len(pictures), generator=generator)
        span = math.log(SIGMA_MAX / SIGMA_MIN)
        sigma = SIGMA_MIN * torch.exp(draw * span)
        level = sigma.view(-1, 1, 1, 1)
        noisy = pictures + level * torch.randn(pictures.shape, generator=generator)
        norm = (level.square() + SIGMA_DATA**2).sqrt()
        target = (pictures - SIGMA_DATA**2 / norm.square() * noisy) / (level * SIGMA_DATA / norm)
        made = self.raw(noisy / norm, pictures * (1 - masks), masks, sigma)
        weight = 0.1 + 0.9 * masks
        return ((made - target).square() * weight).sum() / (3 * weight.sum())


def _time_features(sigma: Tensor) -> Tensor:
    """Sines and cosines of the logarithm of the noise level, (B,) -> (B, 32)."""
    position = torch.log(sigma)[:, None] / 4
    frequencies = torch.exp2(torch.arange(_TIME_FEATURES // 2, device=sigma.device) / 3)
    angles = position * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def noise_levels(steps: int, *, top: float = SIGMA_MAX) -> list[float]:
    """``steps`` levels falling from ``top`` to the smallest one (Karras et al., eq. 5)."""
    first, last = top ** (1 / _RHO), SIGMA_MIN ** (1 / _RHO)
    return [(first + i / max(1, steps - 1) * (last - first)) ** _RHO for i in range(steps)]


class DiffusionGenerator:
    """`Denoiser` as a generator: a few denoising steps from a noisy start."""

    name = "diffusion"
    family: Family = "diffusion"
    whole_image = False

    def __init__(
        self,
        *,
        weights: str | Path | None = None,
        device: str | torch.device = "cpu",
        steps: int = 4,
        start: float = 0.5,
    ) -> None:
        """Load the shipped weights, or ``weights``.

        Args:
            weights: a safetensors file.
            device: a torch device.
            steps: denoising steps; the time grows with them.
            start: noise level of the first step, between 0.05 and 1.5: how little of the region's
                own detail is left. The shipped weights make plausible faces up to about 0.6;
                beyond, the denoiser leaves blotches.

        Raises:
            ConfigError: no steps, or a start out of range.
            WeightsNotFoundError, WeightsMismatchError: no such file, or not this network's.
        """
        if steps < 1:
            raise ConfigError(f"steps must be at least 1, not {steps}")
        if not SIGMA_MIN < start <= SIGMA_MAX:
            raise ConfigError(
                f"start must be above {SIGMA_MIN} and at most {SIGMA_MAX}, not {start}"
            )
        self.steps, self.start = steps, start
        self._device = torch.device(device)
        network = load_network(Denoiser(), weights_file(self.name, weights))
        self._network = cast(Denoiser, network.to(self._device))

    def inpaint(
        self, images: NDArray[np.uint8], masks: NDArray[np.bool_], *, seed: int
    ) -> NDArray[np.uint8]:
        """See `Generator.inpaint`."""
        check_masks(images, masks)
        return keep_outside(images, self._denoise(images, masks, check_seed(seed)), masks)

    def regenerate(self, images: NDArray[np.uint8], *, seed: int) -> NDArray[np.uint8]:
        """See `Generator.regenerate`; at the default start areas of a few pixels keep
        their look, so this is a mild change."""
        return self._denoise(images, everywhere(images), check_seed(seed))

    def _denoise(
        self, images: NDArray[np.uint8], masks: NDArray[np.bool_], seed: int
    ) -> NDArray[np.uint8]:
        return paint_each(images, masks, self._paint, seed=seed, stride=STRIDE, device=self._device)

    def _paint(self, picture: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
        masked = picture * (1 - mask)
        levels = noise_levels(self.steps, top=self.start)
        clean = picture
        for level in levels:
            # Fresh noise at every step: what the denoiser failed to remove is not carried along.
            noise = torch.randn(picture.shape, generator=generator).to(picture.device)
            sigma = torch.full((1,), level, device=picture.device)
            clean = self._network(clean + level * noise, masked, mask, sigma)
            clean = torch.lerp(picture, clean.clamp(-1, 1), mask)
        return clean
