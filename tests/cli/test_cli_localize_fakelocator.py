"""``tamperscope localize --method fakelocator``: the fakeness map, and the parts by name."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage
from typer.testing import Result

from hostile import photo
from methods.fakelocator.toys import random_network, save_network, save_parser
from tamperscope.image import read_image
from tamperscope.result import Localization

Cli = Callable[..., Result]
OUT = Path("tamperscope-out")


@pytest.fixture
def run(cli: Cli, here: Path) -> Callable[..., Result]:
    """Examines one face with random weights that call every picture fake."""
    PILImage.fromarray(photo(90, 70)).save(here / "face.png")
    decision = {"image_threshold": 0.0, "threshold": 0.2}
    save_network(here / "net.safetensors", random_network(), decision=decision)
    save_parser(here / "parser.safetensors")
    return lambda *more: cli(
        *("localize", "face.png", "--method", "fakelocator", "--weights", "net.safetensors"),
        *("--set", "parser=parser.safetensors", "--set", "size=64", "--set", "face_share=0"),
        *("--device", "cpu", *more),
    )


def test_map_in_grey_levels_and_parts_by_name(run: Callable[..., Result]) -> None:
    result = run("--report")
    assert result.exit_code == 0, result.output
    record = json.loads((OUT / "face.json").read_text(encoding="utf-8"))
    assert record["outputs"]["fakeness"] == "face.fakeness.png"
    found = Localization.load(OUT / "face.npz")
    grey = read_image(OUT / "face.fakeness.png").pixels[..., 0]
    np.testing.assert_array_equal(grey, np.rint(found.score_map * np.float32(255)))
    parts = record["provenance"]["notes"]["parts"]
    best, value = next(iter(parts.items()))
    shown = f"{value:.2f}".removeprefix("0")
    assert f"({best} {shown}" in record["verdict"]
    assert f"({best} {shown}" in " ".join(result.stdout.split())
    page = (OUT / "face.html").read_text(encoding="utf-8")
    assert "Fakeness map" in page
    for name, mean in parts.items():
        text = f"{mean:.2f}".removeprefix("0")
        assert f'<th scope="row">{name}</th><td><div>{text}</div>' in page


def test_another_method_leaves_no_stale_map(run: Callable[..., Result], cli: Cli) -> None:
    run()
    assert (OUT / "face.fakeness.png").exists()
    assert cli("localize", "face.png", "--device", "cpu").exit_code == 0
    assert (OUT / "face.json").exists()
    assert not (OUT / "face.fakeness.png").exists()


def test_without_a_parser_no_part_is_named(run: Callable[..., Result]) -> None:
    assert run("--set", "parser=none", "--report").exit_code == 0
    record = json.loads((OUT / "face.json").read_text(encoding="utf-8"))
    assert record["provenance"]["notes"]["face"] is False
    assert "parts" not in record["provenance"]["notes"]
    assert "The parts of the face" not in (OUT / "face.html").read_text(encoding="utf-8")


def test_a_wrong_parser_is_one_line(run: Callable[..., Result]) -> None:
    result = run("--set", "parser=bisnet")
    assert result.exit_code == 2
    assert "unknown weights 'bisnet'; did you mean 'bisenet'" in result.stderr
