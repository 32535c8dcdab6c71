"""`tamperscope data build fakelocator` and `tamperscope data check fakelocator`, as typed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from data.faces.toys import write_faces

Cli = Callable[..., Result]
BUILD = ("data", "build", "fakelocator", "set", "--faces", "faces")
QUICK = ("--set", "size=48", "--set", "dilation=[1, 3]", "--set", "least=4")


@pytest.fixture(autouse=True)
def faces(here: Path) -> Path:
    return write_faces(here / "faces", 4)


def test_a_set_is_built_and_checked(cli: Cli, here: Path) -> None:
    result = cli(*BUILD, "-g", "telea", "-g", "nearest", *QUICK)
    assert result.exit_code == 0, result.output
    counts = "nearest 4, nearest-whole 4, real 4, telea 4"
    assert result.stdout == f"set: 16 pictures made; in the set: {counts}\n"
    assert "'telea' only fills regions" in result.stderr
    assert json.loads((here / "set/build.json").read_text())["format"] == "tamperscope-fakelocator"
    check = cli("data", "check", "fakelocator", "set", "--hashes")
    assert check.exit_code == 0, check.output
    assert check.stdout.splitlines()[-1] == "complete"
    next((here / "set").rglob("fake/*/whole/*/*.png")).unlink()
    check = cli("data", "check", "fakelocator", "set", "--json")
    assert check.exit_code == 1
    assert len(json.loads(check.stdout)["missing"]) == 1
    assert json.loads(cli(*BUILD, "-g", "nearest", *QUICK, "--json").stdout)["made"] == 1


def test_whole_faces_only(cli: Cli, here: Path) -> None:
    build = ("data", "build", "fakelocator", "set", "--faces", "faces/images", "-g", "nearest")
    result = cli(*build, "--only", "whole", *QUICK, "--json")
    assert json.loads(result.stdout)["pictures"] == {"nearest-whole": 4, "real": 4}


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("-g", "telae"), 2, "unknown generator 'telae'; did you mean 'telea'"),
        (("-g", "telea", "--only", "masks"), 2, "--only takes whole or region, got 'masks'"),
        (("-g", "telea", "--only", "whole"), 2, "only fills regions"),
        (("-g", "telea", "--set", "seed=3"), 2, "--set seed: has an option of its own"),
        (("-g", "telea", "--labels", "maps"), 1, "no folder maps: give a folder of label maps"),
    ],
)
def test_wrong_usage_is_one_line(
    cli: Cli, here: Path, options: tuple[str, ...], code: int, message: str
) -> None:
    result = cli(*BUILD, *options)
    assert (result.exit_code, len(result.stderr.splitlines())) == (code, 1), result.output
    assert message in result.stderr
    assert not (here / "set").exists()


def test_a_check_of_another_folder(cli: Cli) -> None:
    result = cli("data", "check", "fakelocator", "faces")
    assert result.exit_code == 1
    assert "holds no set of the layout" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize("verb", ["build fakelocator", "check fakelocator"])
def test_help(cli: Cli, verb: str) -> None:
    result = cli("data", *verb.split(), "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout
