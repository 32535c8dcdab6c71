"""Two tiny sets on disk and a predictor that cannot be mistaken for another."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PILImage

from tamperscope.bench import Prediction
from tamperscope.data import Dataset, Sample
from tamperscope.image import Image


def save(path: Path, pixels: NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    PILImage.fromarray(pixels).save(path)
    return path


def red_is_forged(image: Image) -> Prediction:
    """Red pixels are the mask; the score map is the red channel's lead."""
    lead = image.pixels[..., 0].astype(np.float32) - image.pixels[..., 1]
    mask = lead > 100
    return Prediction(np.clip(lead / 255, 0, 1), mask, float(mask.mean()))


@pytest.fixture
def predictor() -> Callable[[Image], Prediction]:
    return red_is_forged


@pytest.fixture
def forged_set(tmp_path: Path) -> Dataset:
    """40 x 60 grey pictures: red found in full, red found in part, no red at all; two clean."""
    samples = []
    reds = {"all": (0, 20), "half": (10, 30), "none": (0, 0)}
    for name, (start, stop) in reds.items():
        pixels = np.full((40, 60, 3), 128, np.uint8)
        pixels[:, start:stop] = (255, 0, 0)
        truth = np.zeros((40, 60), np.uint8)
        truth[:, :20] = 255
        samples.append(
            Sample(
                id=name,
                image_path=save(tmp_path / "images" / f"{name}.png", pixels),
                mask_path=save(tmp_path / "masks" / f"{name}.png", truth),
                label="forged",
                kind="splice" if name == "all" else "copymove",
            )
        )
    for name, width in [("clean", 0), ("alarm", 6)]:
        pixels = np.full((40, 60, 3), 128, np.uint8)
        pixels[:, :width] = (255, 0, 0)
        path = save(tmp_path / "authentic" / f"{name}.png", pixels)
        samples.append(Sample(id=name, image_path=path, mask_path=None, label="authentic"))
    return Dataset(name="tiny", root=tmp_path, samples=tuple(samples))


@pytest.fixture
def object_folder(tmp_path: Path) -> Path:
    """Two authentic pictures with a red object on the left third, of which b's is grey."""
    for name, colour in [("a", (255, 0, 0)), ("b", (128, 128, 128))]:
        pixels = np.full((40, 60, 3), 128, np.uint8)
        pixels[:, :20] = colour
        thing = np.zeros((40, 60), np.uint8)
        thing[:, :20] = 255
        save(tmp_path / "objects" / "images" / f"{name}.png", pixels)
        save(tmp_path / "objects" / "masks" / f"{name}.png", thing)
    return tmp_path / "objects"
