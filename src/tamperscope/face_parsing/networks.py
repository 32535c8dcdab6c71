"""A network that labels parts, as a face parser: squeezes pictures, brings the labels back."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PILImage
from torch import Tensor, nn

from tamperscope.engines.precision import computing
from tamperscope.face_parsing.parts import PARTS


class NetworkParser:
    """Implements `tamperscope.face_parsing.parser.FaceParser`.

    Pictures are squeezed into the network's square whatever their aspect ratio, and labels come
    back at the picture's size by nearest neighbour.

    Args:
        network: gives logits (1, n, h, w) for what ``prepare`` makes of a picture; it is put into
            evaluation mode and its weights are frozen.
        prepare: from pixels RGB uint8 (h, w, 3) to (3, size, size).
        names: the part of each of the n logits.
        weights: sha256 of the weights, by name, for the record.
        device: where the network runs.
    """

    def __init__(
        self,
        network: nn.Module,
        prepare: Callable[[NDArray[np.uint8]], Tensor],
        *,
        names: tuple[str, ...] = PARTS,
        weights: Mapping[str, str],
        device: torch.device | str = "cpu",
    ) -> None:
        self.weights = dict(weights)
        self._device = torch.device(device)
        self._network = network.eval().requires_grad_(False).to(self._device)
        if self._device.type != "mps":
            self._network.to(memory_format=torch.channels_last)
        self._prepare = prepare
        self._table = np.array([PARTS.index(name) for name in names], np.uint8)

    def __call__(self, pixels: NDArray[np.uint8], /) -> NDArray[np.uint8]:
        """Label every pixel of RGB uint8 (h, w, 3): (h, w) uint8, numbered as `PARTS`."""
        with torch.inference_mode(), computing(self._device, torch.float32):
            logits = self._network(self._prepare(pixels)[None].to(self._device))
            winners = logits[0].argmax(0).to(torch.uint8).cpu().numpy()
        labels = PILImage.fromarray(self._table[winners])
        h, w = pixels.shape[:2]
        return np.asarray(labels.resize((w, h), PILImage.Resampling.NEAREST))
