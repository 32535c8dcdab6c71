"""A small latent inpainter: the whole picture passes through an autoencoder.

As in latent diffusion (Rombach et al., CVPR 2022) the region is filled at 1/8 of the resolution
and the decoder then makes every pixel, also those that nobody asked to change. Pixels inside and
outside the region carry the same decoder's traces, which is why such pictures are the hardest to
localize.
"""

from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from tamperscope.data.generators._running import (
    load_network,
    paint_each,
    paint_once,
    weights_file,
)
from tamperscope.data.generators.base import Family, check_masks, check_seed, everywhere
from tamperscope.data.generators.decoders import (
    STRIDE,
    Residual,
    down,
    he_init,
    upsampler,
)

LATENT_CHANNELS = 8
LATENT_STRIDE = 8
CODE_CHANNELS = 4
CODE_NOISE = 0.15


class LatentPainter(nn.Module):
    """Encoder to (8, h/8, w/8), a filler of masked latents, and one decoder for all of them.

    The filler sees the latents around the region and a low-rate noisy code of the picture (as
    `RegionDecoder` does), so that what it fills in is plausible in its place.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, 48, 3, padding=1),
            down(48, 64),
            Residual(64),
            nn.ReLU(),
        )
        self.to_latent = nn.Conv2d(64, LATENT_CHANNELS, 3, padding=1)
        self.to_code = nn.Conv2d(64, CODE_CHANNELS, 3, padding=1)
        self.filler = nn.Sequential(
            nn.Conv2d(CODE_CHANNELS + LATENT_CHANNELS + 1, 64, 3, padding=1),
            Residual(64),
            Residual(64),
            nn.ReLU(),
            nn.Conv2d(64, LATENT_CHANNELS, 3, padding=1),
        )
        self.enter = nn.Sequential(
            nn.Conv2d(LATENT_CHANNELS, 64, 3, padding=1), Residual(64), Residual(64), nn.ReLU()
        )
        self.up64 = upsampler("nearest", 64, 48)
        self.refine = nn.Sequential(Residual(48), nn.ReLU())
        self.up128 = upsampler("nearest", 48, 32)
        self.up256 = upsampler("nearest", 32, 16)
        self.out = nn.Conv2d(16, 3, 3, padding=1)
        he_init(self)
        with torch.no_grad():
            self.out.weight.mul_(0.3)

    def forward(self, pictures: Tensor, masks: Tensor, noise: Tensor) -> Tensor:
        """Encode, fill the latents whose cell touches the mask, decode everything.

        Args:
            pictures: (B, 3, h, w) in [-1, 1]; h and w multiples of 16.
            masks: (B, 1, h, w), 1 where to fill.
            noise: (B, 4, h/8, w/8) standard normal.

        Returns:
            (B, 3, h, w), about [-1, 1].
        """
        features = self.stem(pictures)
        latent = torch.tanh(self.to_latent(features))
        code = torch.tanh(self.to_code(features)) + CODE_NOISE * noise
        cells = F.max_pool2d(masks, LATENT_STRIDE)
        seen = torch.cat([code, latent * (1 - cells), cells], dim=1)
        filled = torch.tanh(self.filler(seen))
        x = self.enter(torch.where(cells > 0, filled, latent))
        x = self.refine(self.up64(x))
        x = F.relu(self.up128(x))
        x = F.relu(self.up256(x))
        return cast(Tensor, self.out(x))

    def draw_noise(self, generator: torch.Generator, batch: int, height: int, width: int) -> Tensor:
        """The noise `forward` takes for pictures of this size."""
        shape = (batch, CODE_CHANNELS, height // LATENT_STRIDE, width // LATENT_STRIDE)
        return torch.randn(shape, generator=generator)


class LatentGenerator:
    """`LatentPainter` as a generator. All pixels change; the region is what has new content.

    The filled region covers whole cells of 8 x 8 pixels, so it can reach 7 pixels beyond the mask.
    """

    name = "latent"
    family: Family = "latent"
    whole_image = True

    def __init__(
        self, *, weights: str | Path | None = None, device: str | torch.device = "cpu"
    ) -> None:
        """Load the shipped weights, or ``weights``.

        Raises:
            WeightsNotFoundError, WeightsMismatchError: no such file, or not this network's.
        """
        self._device = torch.device(device)
        network = load_network(LatentPainter(), weights_file(self.name, weights))
        self._network = cast(LatentPainter, network.to(self._device))

    def inpaint(
        self, images: NDArray[np.uint8], masks: NDArray[np.bool_], *, seed: int
    ) -> NDArray[np.uint8]:
        """See `Generator.inpaint`; an empty mask gives the re-encoded picture."""
        check_masks(images, masks)
        paint = partial(paint_once, self._network)
        return paint_each(
            images, masks, paint, seed=check_seed(seed), stride=STRIDE, device=self._device
        )

    def regenerate(self, images: NDArray[np.uint8], *, seed: int) -> NDArray[np.uint8]:
        """See `Generator.regenerate`; all latents are filled from the low-rate code."""
        return self.inpaint(images, everywhere(images), seed=seed)
