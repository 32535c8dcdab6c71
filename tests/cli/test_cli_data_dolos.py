"""`tamperscope data build dolos` and `tamperscope data check dolos`, as they are typed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from data.faces.toys import write_faces

Cli = Callable[..., Result]
BUILD = ("data", "build", "dolos", "set", "--faces", "faces")
QUICK = ("--set", "size=48", "--set", "dilation=[1, 3]", "--set", "least=4")


@pytest.fixture(autouse=True)
def faces(here: Path) -> Path:
    return write_faces(here / "faces", 4)


def last_line(result: Result) -> str:
    return str(result.stderr.splitlines()[-1])


def test_a_set_is_built_and_checked(cli: Cli, here: Path) -> None:
    result = cli(*BUILD, "-g", "telea", "-g", "soft=ns", "--set", "soft.radius=9.0", *QUICK)
    assert result.exit_code == 0, result.output
    assert result.stdout == "set: 12 pictures made; in the set: real 4, soft 4, telea 4\n"
    settings = json.loads((here / "set" / "build.json").read_text())
    assert settings["config"]["dilation"] == [1, 3]
    assert settings["generators"]["soft"]["options"] == {"radius": 9.0}
    report = cli(*BUILD, "-g", "telea", *QUICK, "--variants", "2", "--json")
    assert json.loads(report.stdout)["pictures"] == {"real": 4, "soft": 4, "telea": 8}
    check = cli("data", "check", "dolos", "set", "--hashes")
    assert check.exit_code == 0, check.output
    assert check.stdout.splitlines()[-1] == "complete"
    next((here / "set").rglob("fake/*/masks/*/*.png")).unlink()
    check = cli("data", "check", "dolos", "set", "--json")
    assert check.exit_code == 1
    assert len(json.loads(check.stdout)["missing"]) == 2


def test_regions_and_seed(cli: Cli, here: Path) -> None:
    options = ("--region", "nose", "--region", "eyes+brows", "--seed", "5", "--limit", "3")
    result = cli(*BUILD, "-g", "telea", *options, *QUICK, "--json")
    report = json.loads(result.stdout)
    assert set(report["regions"]) <= {"nose", "eyes+brows"}
    assert report["without_region"] == ["f0"]
    assert json.loads((here / "set" / "build.json").read_text())["config"]["seed"] == 5


def test_faces_that_cannot_be_used_make_exit_code_1(cli: Cli, here: Path) -> None:
    (here / "faces" / "images" / "f2.png").write_bytes(b"no picture")
    result = cli(*BUILD, "-g", "telea", *QUICK)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == "1 faces could not be used"
    (line,) = result.stderr.splitlines()
    assert line.startswith("f2: ")
    assert "is not a picture" in line


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("-g", "telae"), 2, "unknown generator 'telae'; did you mean 'telea'"),
        (("-g", "telea", "--region", "noze"), 2, "did you mean 'nose'"),
        (("-g", "telea", "--weights", "telea"), 2, "--weights takes LABEL=FILE, got 'telea'"),
        (("-g", "telea", "--weights", "ns=a"), 2, "--weights ns: no generator of that label; giv"),
        (("-g", "telea", "--set", "seed=3"), 2, "--set seed: has an option of its own"),
        (("-g", "telea", "--set", "sice=3"), 2, "did you mean 'size'"),
        (("-g", "telea", "--set", "telea.radios=3"), 2, "did you mean 'radius'"),
        (("-g", "telea", "--whole"), 2, "only fills regions"),
        (("-g", "telea", "--labels", "maps"), 1, "no folder maps: give a folder of label maps"),
        (("-g", "onnx:no.onnx"), 1, "no file no.onnx: give the exported network"),
    ],
)
def test_wrong_usage_is_one_line(
    cli: Cli, here: Path, options: tuple[str, ...], code: int, message: str
) -> None:
    result = cli(*BUILD, *options)
    assert (result.exit_code, len(result.stderr.splitlines())) == (code, 1), result.output
    assert message in result.stderr
    assert not (here / "set").exists()


def test_without_labels_the_ways_to_give_them_are_named(cli: Cli, here: Path) -> None:
    (here / "faces" / "masks").rename(here / "maps")
    result = cli(*BUILD, "-g", "telea")
    assert result.exit_code == 1
    assert "no parsing labels" in last_line(result)
    assert "(--labels), or from Python a parser" in last_line(result)
    assert cli(*BUILD, "-g", "telea", "--labels", "maps", *QUICK).exit_code == 0


def test_a_check_of_another_folder(cli: Cli) -> None:
    result = cli("data", "check", "dolos", "faces")
    assert result.exit_code == 1
    assert "holds no set of the layout" in last_line(result)


@pytest.mark.parametrize("verb", ["build", "build dolos", "check", "check dolos"])
def test_help(cli: Cli, verb: str) -> None:
    result = cli("data", *verb.split(), "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout
