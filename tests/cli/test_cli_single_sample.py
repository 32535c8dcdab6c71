import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PILImage
from typer.testing import Result

from cli.bright import BrightIsForged
from tamperscope import catalog
from tamperscope.errors import ImageValueError
from tamperscope.image import Image

Cli = Callable[..., Result]


class MeanColour(BrightIsForged):
    """A picture's features are its mean colour and how it varies."""

    refuses = ""

    def features(self, source: Image) -> NDArray[np.float32]:
        if self.refuses and self.refuses in source.id:
            raise ImageValueError("too dull: brighten it")
        pixels = source.pixels.astype(np.float32)
        return np.concatenate([pixels.mean((0, 1)), pixels.std((0, 1))])


@pytest.fixture
def method(monkeypatch: pytest.MonkeyPatch) -> MeanColour:
    found = MeanColour()
    monkeypatch.setattr(catalog, "load", lambda name, **options: found)
    return found


@pytest.fixture
def pictures(here: Path) -> Path:
    """Dark real pictures and bright fake ones, 9 each."""
    rng = np.random.default_rng(0)
    (here / "set").mkdir()
    for number in range(9):
        for kind, level in (("real", 40), ("fake", 200)):
            pixels = rng.integers(level, level + 20, (16, 16, 3), np.uint8)
            PILImage.fromarray(pixels).save(here / "set" / f"{kind}-{number}.png")
    return here / "set"


def record(here: Path, folder: str = "single-sample") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((here / folder / "single-sample.json").read_text())
    return found


def answers(found: dict[str, Any]) -> dict[str, str]:
    return {row["picture"]: row["answer"] for row in found["pictures"]}


@pytest.mark.parametrize(("label", "says"), [("real-3.png", "real"), ("fake-0.png", "fake")])
def test_one_label_names_the_whole_folder(
    cli: Cli, method: MeanColour, pictures: Path, here: Path, label: str, says: str
) -> None:
    result = cli("single-sample", "set", "--label", f"set/{label}={says}", "-o", "out")
    assert result.exit_code == 0, result.output
    found = record(here, "out")
    named = answers(found)
    assert len(named) == 18
    assert all(name.startswith(answer) for name, answer in named.items())
    assert found["fake"] == 9
    assert found["labels"] == {"given": 1, "agreeing": 1}
    assert found["draws"] is None
    assert found["clustering"]["perplexity_used"] == pytest.approx(17 / 3)
    assert "9 of 18 pictures named fake" in result.stdout
    assert f"{label} " in result.stdout
    assert result.stderr == ""
    assert found["plots"] == ["single-sample.svg", "single-sample.png"]
    svg = (here / "out" / "single-sample.svg").read_text()
    for words in ("18 pictures, 9 named fake", "named real", "label given"):
        assert words in svg


def test_folders_of_known_labels_are_tried_one_by_one(
    cli: Cli, method: MeanColour, pictures: Path, here: Path
) -> None:
    (here / "known").mkdir()
    for number in range(3):
        (pictures / f"real-{number}.png").rename(here / "known" / f"real-{number}.png")
    words = ("--label", "known=real", "--label", "set/fake-1.png=fake")
    result = cli("single-sample", "set", *words, "--grouping", "hdbscan", "--draws", "4", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found == record(here)
    assert {row["picture"] for row in found["pictures"]} >= {"known/real-0.png", "set/fake-1.png"}
    assert found["labels"] == {"given": 4, "agreeing": 4}
    assert (found["draws"]["count"], found["draws"]["accuracy_mean"]) == (4, 1)
    assert found["draws"]["accuracy_std"] == 0
    given = {row["picture"]: row["label"] for row in found["pictures"] if row["label"]}
    assert given["set/fake-1.png"] == "fake"
    assert len(given) == 4


def test_several_labels_are_summed_up(
    cli: Cli, method: MeanColour, pictures: Path, here: Path
) -> None:
    words = [f"--label=set/real-{n}.png=real" for n in range(3)]
    result = cli("single-sample", "set", *words, "--label", "set/fake-0.png=real")
    assert result.exit_code == 0, result.output
    assert "3 of 4 labels agree with the names" in result.stdout
    assert "one label alone: accuracy 0.5" in result.stdout


def test_what_cannot_be_read_is_one_line_and_the_rest_goes_on(
    cli: Cli, method: MeanColour, pictures: Path, here: Path
) -> None:
    (pictures / "broken.png").write_bytes(b"no picture")
    method.refuses = "fake-8"
    result = cli("single-sample", "set", "--label", "set/real-0.png=real")
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("set/broken.png: ")
    assert lines[1] == "set/fake-8.png: too dull: brighten it"
    found = record(here)
    assert len(found["pictures"]) == 17
    assert [failure["picture"] for failure in found["failures"]] == [
        "set/broken.png", "set/fake-8.png",
    ]  # fmt: skip


def test_equal_pictures_are_one_group(cli: Cli, method: MeanColour, here: Path) -> None:
    (here / "set").mkdir()
    for number in range(6):
        PILImage.new("RGB", (8, 8), "red").save(here / "set" / f"{number}.png")
    result = cli("single-sample", "set", "--label", "set/0.png=fake")
    assert result.exit_code == 0, result.output
    assert "only one group was found: every picture got the label" in result.stdout
    assert set(answers(record(here)).values()) == {"fake"}


def test_without_matplotlib_the_rest_is_written(
    cli: Cli, method: MeanColour, pictures: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = cli("single-sample", "set", "--label", "set/real-0.png=real")
    assert result.exit_code == 0
    assert "pip install 'tamperscope[plots]'" in result.stderr
    assert record(here)["plots"] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--label", "set/real-0.png"], "--label takes PATH=real or PATH=fake, got"),
        (["--label", "set/real-0.png=maybe"], "--label takes PATH=real or PATH=fake, got"),
        (["--label", "set/gone.png=real"], "no labelled picture was found"),
        (
            ["--label", "set/real-0.png=real", "--label", "set=fake"],
            "real-0.png is labelled both real and fake: decide",
        ),
        (["--label", "set=real", "--grouping", "dbscan"], "unknown grouping 'dbscan'"),
        (["--label", "set=real", "-m", "fakelocater"], "did you mean 'fakelocator'?"),
        ([], "Missing option '--label'"),
    ],
)
def test_wrong_usage(
    cli: Cli, method: MeanColour, pictures: Path, words: list[str], message: str
) -> None:
    result = cli("single-sample", "set", *words)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_method_without_features_is_refused(
    cli: Cli, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "load", lambda name, **options: BrightIsForged())
    result = cli("single-sample", "set", "--label", "set/real-0.png=real", "-m", "focal")
    assert result.exit_code == 2
    assert "method 'focal' offers no features of whole pictures" in result.stderr


def test_too_few_pictures_are_explained(cli: Cli, method: MeanColour, here: Path) -> None:
    (here / "set").mkdir()
    PILImage.new("RGB", (8, 8)).save(here / "set" / "one.png")
    result = cli("single-sample", "set", "--label", "set/one.png=real")
    assert result.exit_code == 1
    assert "1 pictures are too few to cluster: give at least 5" in result.stderr


def test_a_label_that_cannot_be_read_names_nothing(
    cli: Cli, method: MeanColour, pictures: Path
) -> None:
    (pictures / "broken.png").write_bytes(b"no picture")
    result = cli("single-sample", "set", "--label", "set/broken.png=real")
    assert result.exit_code == 2
    assert "no labelled picture could be read: label another one" in result.stderr
