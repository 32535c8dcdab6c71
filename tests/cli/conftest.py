"""The command line in an empty folder, with a method that needs no weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage
from typer.testing import CliRunner, Result

from cli.bright import BrightIsForged
from tamperscope import catalog
from tamperscope.cli.main import app
from tamperscope.errors import ConfigError


@pytest.fixture
def method(monkeypatch: pytest.MonkeyPatch) -> BrightIsForged:
    """The method every `catalog.load` gives, with the options it was last loaded with."""
    dummy = BrightIsForged()

    def load(name: str, **options: Any) -> BrightIsForged:
        if "level" in options and not isinstance(options["level"], float):
            raise ConfigError("level must be a number; write --set level=0.5")
        dummy.level = options.get("level", 0.5)
        dummy.weights = options.get("weights")
        dummy.max_pixels = options["max_pixels"]
        return dummy

    monkeypatch.setattr(catalog, "load", load)
    return dummy


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def cli(here: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs the command line in `here`: `cli("localize", "a.png")`."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("TAMPERSCOPE_DEBUG", raising=False)

    def run(*arguments: str | Path) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def picture(here: Path) -> Callable[..., Path]:
    """Writes a picture: dark, with a bright square unless `bright` is 0."""

    def make(
        name: str, size: tuple[int, int] = (24, 32), bright: int = 250, dark: int = 40
    ) -> Path:
        pixels = np.full((*size, 3), dark, np.uint8)
        if bright:
            pixels[size[0] // 4 : size[0] // 2, size[1] // 4 : size[1] // 2] = bright
        path = here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        PILImage.fromarray(pixels).save(path)
        return path

    return make
