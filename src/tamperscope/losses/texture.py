"""Losses of generators that look at detail: a plain absolute error alone is smallest for a blur."""

import torch
import torch.nn.functional as F
from torch import Tensor


def laplacian_loss(a: Tensor, b: Tensor, *, levels: int = 3) -> Tensor:
    """Mean absolute difference of the levels of two Laplacian pyramids (2 x 2 box filter).

    Args:
        a, b: (B, C, h, w); h and w multiples of ``2 ** levels``.
        levels: band-pass levels, each with the same weight; the low-pass rest does not count.

    Returns:
        A scalar; 0 for equal pictures and for pictures that differ by a constant.
    """
    gap, total = a - b, a.new_zeros(())
    for _ in range(levels):
        small = F.avg_pool2d(gap, 2)
        total = total + (gap - F.interpolate(small, scale_factor=2.0, mode="nearest")).abs().mean()
        gap = small
    return total / levels


def spectrum_loss(a: Tensor, b: Tensor, *, size: int = 16) -> Tensor:
    """Mean absolute difference of log magnitudes of the spectra of small windowed tiles.

    It asks for the right amount of texture and not for its phase, which no low-rate code carries.
    (The idea of a loss on spectra: Jiang et al., "Focal frequency loss", ICCV 2021.)

    Args:
        a, b: (B, C, h, w) float, at least ``size`` high and wide; values about [-1, 1].
        size: side of the tiles in pixels; they do not overlap, and a rest at the edge is left out.
    """
    window = torch.hann_window(size, device=a.device)
    window = window[:, None] * window[None]

    def magnitudes(x: Tensor) -> Tensor:
        tiles = x.unfold(2, size, size).unfold(3, size, size)
        return torch.log(torch.fft.rfft2(tiles * window).abs() + 0.05)

    return (magnitudes(a) - magnitudes(b)).abs().mean()
