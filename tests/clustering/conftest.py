"""One picture's features, for all tests of clustering."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tamperscope import read_image
from tamperscope.methods.focal.config import FocalConfig
from tamperscope.methods.focal.features import extract
from tamperscope.methods.focal.network import network_for

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="session")
def picture_features() -> NDArray[np.float32]:
    """Features (rows, columns, 64) of an example by the shipped network, one for 4 x 4 pixels."""
    network, _ = network_for("focal-compact")
    pixels = read_image(EXAMPLES / "launch_spliced.jpg").pixels
    maps = extract(
        [network.eval()],
        pixels,
        FocalConfig(copies=False),
        device=torch.device("cpu"),
        dtype=torch.float32,
    )
    found: NDArray[np.float32] = maps.features.numpy()
    return found
