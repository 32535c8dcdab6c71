"""Feature maps as pictures, to look at what a network tells apart."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def feature_colours(features: Tensor, *, clip: float = 0.01) -> NDArray[np.uint8]:
    """The first three principal components of a feature map as red, green and blue.

    Vectors alike have colours alike; which colour means nothing. Each component is stretched
    between its quantiles ``clip`` and 1 - ``clip``; its sign is the one that makes most cells dark.

    Args:
        features: (rows, columns, C), C >= 3.

    Returns:
        uint8 (rows, columns, 3).
    """
    rows, columns, channels = features.shape
    flat = features.reshape(-1, channels).double()
    centred = flat - flat.mean(0)
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    parts = centred @ vectors[:, -3:].flip(1)
    parts = parts * torch.where(parts.median(0).values > parts.mean(0), -1.0, 1.0)
    low, high = torch.quantile(parts, clip, dim=0), torch.quantile(parts, 1 - clip, dim=0)
    scaled = ((parts - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
    return np.asarray((scaled * 255).round().reshape(rows, columns, 3).numpy(), np.uint8)
