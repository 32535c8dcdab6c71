"""A tiny set of pairs whose generators tint grey faces, and a method that sees some tints."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PILImage

from bench.dolos_toys import ColourBlind, card
from tamperscope import catalog
from tamperscope.catalog import LoadOptions
from tamperscope.data.faces import output
from tamperscope.data.faces.layout import FAKELOCATOR
from tamperscope.errors import ImageValueError
from tamperscope.image import Image
from tamperscope.localizer import Localizer, MethodCard

SIZE = 24
COUNTS = {"train": 3, "valid": 1, "test": 6}
CHANNELS = {"red": 0, "green": 1, "blue": 2}
PARTS = (["hair"], ["nose"])


def tinted(grey: NDArray[np.uint8], colour: str, *, part: bool) -> NDArray[np.uint8]:
    """Half way to a colour, everywhere or in a box."""
    goal = np.zeros(3)
    goal[CHANNELS[colour]] = 255
    made = np.rint((grey + goal) / 2).astype(np.uint8)
    if not part:
        return made
    picture = grey.copy()
    picture[6:16, 6:18] = made[6:16, 6:18]
    return picture


def faces(number: int) -> NDArray[np.uint8]:
    """A grey face with soft structure, another one for every number."""
    y, x = np.mgrid[:SIZE, :SIZE]
    level = 110 + 20 * np.sin((x + number) / 5) + 15 * np.cos(y / 4) + 2 * number
    return np.repeat(level[..., None], 3, axis=2).astype(np.uint8)


def write_pairs(root: Path, *, splits: Sequence[str] = tuple(COUNTS)) -> Path:
    """Real faces; each generator's whole ones and regions, of hair and nose in turn."""
    rows: list[dict[str, Any]] = []

    def add(pixels: NDArray[np.uint8], image: str, **row: Any) -> None:
        _save(pixels, root / image)
        rows.append({"image": image, "mask": None, "seed": 0, **row})

    for place, split in enumerate(splits):
        for number in range(COUNTS[split]):
            grey, name = faces(10 * place + number), f"{split}{number}"
            about = {"id": name, "face": name, "split": split}
            add(grey, FAKELOCATOR.real_path("celebahq", split, name), kind="real", **about)
            for generator in CHANNELS:
                own = {"generator": generator, **about}
                path = FAKELOCATOR.whole_path("celebahq", generator, split, name)
                add(tinted(grey, generator, part=False), path, kind="whole", **own)
                path = FAKELOCATOR.region_path("celebahq", generator, split, name)
                picture = tinted(grey, generator, part=True)
                add(picture, path, kind="fake", parts=PARTS[number % 2], **own)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (root / output.MANIFEST).write_text(lines, encoding="utf-8")
    output.agree(root, FAKELOCATOR, {}, {name: {} for name in CHANNELS})
    return root


def write_unseen(root: Path) -> Path:
    """Blue fakes and grey portraits, of another size and as JPEG."""
    for number in range(7):
        large = np.kron(faces(40 + number), np.ones((2, 2, 1), np.uint8))
        _save(tinted(large, "blue", part=False), root / "fake" / f"fake_{number}.jpg")
    for number in range(5):
        large = np.kron(faces(60 + number), np.ones((2, 2, 1), np.uint8))
        _save(large, root / "real" / f"real_{number}.jpg")
    return root


def _save(pixels: NDArray[np.uint8], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PILImage.fromarray(pixels).save(path)


class TintBlind(ColourBlind):
    """Its map is how colourful a pixel is, in the colours that its weights file names."""

    def examine(self, image: Image) -> SimpleNamespace:
        self._calls.append(image.id)
        if self.refuses and self.refuses in image.id:
            raise ImageValueError("too dull: brighten it")
        pixels = image.pixels.astype(np.float32) / 255
        chroma = pixels.max(axis=2) - pixels.min(axis=2)
        names = np.array(list(CHANNELS))
        seen = np.isin(names[pixels.argmax(axis=2)], self._weights.read_text().split())
        scores = np.where(seen & (chroma > 0.2), chroma / 2, 0).astype(np.float32)
        score = float(scores.mean())
        features = pixels.mean(axis=(0, 1)) + 0.2 * pixels.std(axis=(0, 1))
        return SimpleNamespace(
            scores=scores, image_score=score, fake=score > 0.01, features=features
        )


def offer(monkeypatch: pytest.MonkeyPatch, make: Any = TintBlind) -> list[str]:
    """Put the toy into the catalogue as ``fakelocator``; returns the list of what it looked at."""
    calls: list[str] = []

    def build(found: MethodCard, options: LoadOptions) -> Localizer:
        assert isinstance(options.weights, Path)
        made: Localizer = make(found, options.weights, calls)
        return made

    entry = catalog._Entry(card("fakelocator", "Tints"), build)
    monkeypatch.setitem(catalog._BY_NAME, "fakelocator", entry)
    return calls


STUDY = """
title = "Tints"
generators = ["red", "green"]
home = "red"
robust = ["red-partial"]
robust_limit = 2
perturbations = ["none", "jpeg:90", "jpeg:50", "noise:9"]

[[localizer]]
name = "red-raw"
generators = ["red"]
augment = "none"

[[localizer]]
name = "red-partial"
generators = ["red"]
augment = "real"
recipe = "fakelocator"
settings = ["fakelocator.augment='real'"]

[[localizer]]
name = "green-raw"
generators = ["green"]
augment = "none"

[[localizer]]
name = "hair-attention"
generators = ["red"]
attention = "parts"
regions = ["hair"]

[[localizer]]
name = "hair-plain"
generators = ["red"]
attention = "none"
regions = ["hair"]
"""

SEEN = {
    "red_raw": "red",
    "red_partial": "red green",
    "green_raw": "green",
    "hair_attention": "red",
    "hair_plain": "green",
}
"""What each weights file sees: the partly augmented one sees more than it was trained on."""
