"""A tiny set of the DOLOS layout whose generators paint in colours, and a method that sees them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PILImage

from tamperscope import catalog
from tamperscope.catalog import LoadOptions
from tamperscope.errors import ImageValueError
from tamperscope.image import Image, ImageSource, read_image
from tamperscope.localizer import Localizer, MethodCard
from tamperscope.metrics.dolos import resize_map
from tamperscope.provenance import Provenance
from tamperscope.result import Localization, MapKind
from tamperscope.weights import sha256_of

SIZE, CELL = 32, 4
COLOURS = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}
COUNTS = {"train": 2, "valid": 1, "test": 4}


def make_set(root: Path, *, faces: Sequence[str] = ("celebahq",)) -> Path:
    """Grey faces; each generator fills a box in its colour, a quarter of the picture."""
    for name in faces:
        for split, count in COUNTS.items():
            for number in range(count):
                grey = np.full((SIZE, SIZE, 3), 100 + number, np.uint8)
                _save(grey, root / name / "real" / split / f"{number}.png")
                for generator, colour in COLOURS.items():
                    picture, mask = grey.copy(), np.full((SIZE, SIZE), 255, np.uint8)
                    picture[8:24, 8:24], mask[8:24, 8:24] = colour, 0
                    folder = root / name / "fake" / generator
                    _save(picture, folder / "images" / split / f"{number}.png")
                    _save(mask, folder / "masks" / split / f"{number}.png")
    return root


def _save(pixels: NDArray[np.uint8], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PILImage.fromarray(pixels).save(path)


class ColourBlind:
    """Sees the colours its weights file names, on a grid of cells; with ``raw`` or without."""

    def __init__(self, card: MethodCard, weights: Path, calls: list[str]) -> None:
        self.card = card
        self.refuses = ""
        self._weights = weights
        self._colours = [COLOURS[name] for name in weights.read_text().split()]
        self._calls = calls

    def raw(self, image: Image) -> tuple[NDArray[np.float32], float]:
        self._calls.append(image.id)
        if self.refuses and image.id.endswith(self.refuses):
            raise ImageValueError("too dull: brighten it")
        cells = image.pixels[CELL // 2 :: CELL, CELL // 2 :: CELL].astype(int)
        near = [np.abs(cells - colour).max(axis=2) < 60 for colour in self._colours]
        grid = np.any(near, axis=0).astype(np.float32)
        return grid, float(grid.mean()) * 10 - 5

    def localize(self, source: ImageSource, *, id: str | None = None) -> Localization:
        image = read_image(source, id=id)
        grid, score = self.raw(image)
        score_map = np.clip(resize_map(grid, image.size), 0, 1)
        return Localization(
            score_map=score_map,
            map_kind=MapKind.PROBABILITY,
            mask=score_map > 0.5,
            threshold=0.5,
            image_score=(score + 5) / 10,
            provenance=Provenance(
                version="0",
                commit=None,
                method=self.card.name,
                config={},
                weights={},
                device="cpu",
                precision="fp32",
                seed=0,
                seconds={},
                input_id=image.id,
                input_sha256=image.sha256,
                input_size=image.size,
            ),
        )

    def localize_batch(self, sources: Sequence[ImageSource]) -> list[Localization]:
        return [self.localize(source) for source in sources]

    def describe(self) -> dict[str, Any]:
        sha = sha256_of(self._weights)
        return {"config": {"preset": "default"}, "weights": {self._weights.stem: sha}}


def card(name: str, title: str) -> MethodCard:
    return MethodCard(
        name=name,
        title=title,
        paper="none",
        map_kind=MapKind.PROBABILITY,
        summary="colours",
        limits="everything else",
        weights=(),
        presets=("default",),
    )


Make = Callable[[MethodCard, Path, list[str]], Localizer]


def offer(monkeypatch: pytest.MonkeyPatch, make: Make = ColourBlind) -> list[str]:
    """Put the toy methods into the catalogue; returns the list that their calls are added to."""
    calls: list[str] = []

    def build(found: MethodCard, options: LoadOptions) -> Localizer:
        assert isinstance(options.weights, Path)
        return make(found, options.weights, calls)

    for name, title in [
        ("dolos-colour", "Colour"),
        ("dolos-colour-weak", "Colour, weak"),
        ("dolos-other", "Other"),
    ]:
        entry = catalog._Entry(card(name, title), build)
        monkeypatch.setitem(catalog._BY_NAME, name, entry)
    return calls


def write_runs(folder: Path, **colours: str) -> Path:
    """Weights files: name -> the colours it sees, separated by blanks."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, seen in colours.items():
        (folder / f"{name.replace('_', '-')}.safetensors").write_text(seen)
    return folder


STUDY = """
title = "Colours"
faces = ["celebahq"]
generators = ["red", "green", "blue"]
home = "red"

[[localizer]]
name = "full-red"
method = "dolos-colour"
setup = "full-c"
generators = ["red"]

[[localizer]]
name = "full-green"
method = "dolos-colour"
setup = "full-c"
generators = ["green"]

[[localizer]]
name = "all-but-blue"
method = "dolos-colour"
setup = "full-c"
generators = ["red", "green"]

[[localizer]]
name = "all-but-red"
method = "dolos-colour"
setup = "full-c"
generators = ["green", "blue"]

[[localizer]]
name = "weak-red"
method = "dolos-colour-weak"
setup = "weak-b"
generators = ["red"]

[[localizer]]
name = "other-red"
method = "dolos-other"
setup = "full-c"
generators = ["red"]
"""

SEEN = {
    "full_red": "red",
    "full_green": "green",
    "all_but_blue": "red green",
    "all_but_red": "green blue",
    "weak_red": "red",
    "other_red": "blue",
}
