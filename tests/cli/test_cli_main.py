import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

import tamperscope
from tamperscope import catalog, errors
from tamperscope.cli import _console
from tamperscope.image import read_image

Cli = Callable[..., Result]
HEAVY = ("torch", "numpy", "scipy", "sklearn", "PIL", "cv2", "timm", "jinja2")
VERBS = (
    ["localize"],
    ["methods"],
    ["batch"],
    ["export"],
    ["weights"],
    ["weights", "list"],
    ["weights", "verify"],
    ["weights", "convert"],
    ["data"],
    ["data", "synthesize"],
    ["data", "build", "dolos"],
    ["data", "check"],
    ["data", "check", "set"],
    ["data", "check", "dolos"],
    ["data", "info"],
    ["train"],
    ["bench"],
    ["bench", "run"],
    ["bench", "compare"],
    ["bench", "explain"],
    ["bench", "diagnose"],
    ["bench", "set"],
    ["bench", "dolos"],
)


@pytest.mark.parametrize("verb", [[], *VERBS], ids=" ".join)
def test_every_verb_has_help(cli: Cli, verb: list[str]) -> None:
    for flag in ("--help", "-h"):
        result = cli(*verb, flag)
        assert result.exit_code == 0
        assert "Usage:" in result.stdout


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from tamperscope.cli.main import app\n"
        "try:\n    app(['--help'])\n"
        "except SystemExit as stop:\n    assert not stop.code\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "print('loaded', loaded)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Find manipulated regions" in done.stdout
    assert done.stdout.rstrip().endswith("loaded []")


def test_help_is_quick() -> None:
    command = [sys.executable, "-m", "tamperscope.cli.main", "--help"]

    def processor_seconds() -> float:
        spent = os.times()
        return spent.children_user + spent.children_system

    seconds = []
    for _ in range(3):
        before = processor_seconds()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(processor_seconds() - before)
    # Not the clock on the wall, and the best of three: other work on the machine only adds.
    assert min(seconds) < 0.5


def test_version(cli: Cli) -> None:
    assert cli("--version").stdout == f"tamperscope {tamperscope.__version__}\n"


def test_no_arguments_show_help_and_code_2(cli: Cli) -> None:
    result = cli()
    assert result.exit_code == 2
    assert "Usage:" in result.output


def test_help_states_the_exit_codes(cli: Cli) -> None:
    text = " ".join(cli("localize", "--help").stdout.split())
    for part in ("0 every picture was examined", "1 some could not be", "2 wrong usage"):
        assert part in text


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (errors.UnknownNameError("unknown method 'x'"), 2, "tamperscope: unknown method 'x'"),
        (errors.ConfigError("level must be positive"), 2, "tamperscope: level must be positive"),
        (errors.WeightsError("two\nlines"), 1, "tamperscope: two lines"),
        (MemoryError(), 1, "tamperscope: not enough memory; give fewer pixels"),
        (OSError(28, "No space left on device"), 1, "tamperscope: No space left on device; check"),
    ],
)
def test_errors_are_one_line(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, line: str
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(catalog, "list_methods", fail)
    result = cli("methods")
    assert result.exit_code == code
    (shown,) = result.stderr.splitlines()
    assert shown.startswith(line)


def test_ctrl_c_is_130(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(catalog, "list_methods", stop)
    result = cli("methods")
    assert result.exit_code == 130
    assert result.stderr == "stopped\n"


def test_a_bug_is_not_hidden(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(catalog, "list_methods", fail)
    assert isinstance(cli("methods").exception, ZeroDivisionError)


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m tamperscope.cli.main methods | true"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("pairs", "settings"),
    [
        ([], {}),
        (["a=1"], {"a": 1}),
        (["a=1.5", "b=true", "c=[1, 2]"], {"a": 1.5, "b": True, "c": [1, 2]}),
        (["rule=largest", "text='3'"], {"rule": "largest", "text": "3"}),
        (["a.b=1", "a.c=x=y"], {"a": {"b": 1, "c": "x=y"}}),
        (["a=1", "a=2"], {"a": 2}),
        (["a="], {"a": ""}),
    ],
)
def test_settings(pairs: list[str], settings: dict[str, object]) -> None:
    assert _console.parse_settings(pairs) == settings


# -------------------------------------------------------------------------------- other verbs


def test_methods_for_people_and_programs(cli: Cli) -> None:
    text = " ".join(cli("methods").stdout.split())
    card = catalog.list_methods()[0]
    assert card.title in text
    assert card.limits in text
    listed = json.loads(cli("methods", "--json").stdout)
    assert [entry["name"] for entry in listed] == [c.name for c in catalog.list_methods()]
    assert listed[0]["map_kind"] == card.map_kind.value


def test_weights_list_for_people_and_programs(cli: Cli) -> None:
    from tamperscope.weights import list_weights

    text = cli("weights", "list").stdout
    hashes = [line for line in text.splitlines() if line.startswith("  sha256: ")]
    assert hashes == [line.rstrip() for line in hashes] != []
    listed = json.loads(cli("weights", "list", "--json").stdout)
    assert [entry["name"] for entry in listed] == [card.name for card in list_weights()]
    for card in list_weights():
        assert card.name in text


def test_weights_verify_of_an_unknown_name_is_one_line(cli: Cli) -> None:
    result = cli("weights", "verify", "nosuch")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert "nosuch" in line


def test_weights_convert_of_a_missing_file_is_one_line(cli: Cli, here: Path) -> None:
    result = cli("weights", "convert", "gone.pth", "new.safetensors")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "gone.pth" in line
    assert list(here.iterdir()) == []


def test_train_of_an_unknown_recipe_is_one_line(cli: Cli) -> None:
    result = cli("train", "nosuch", "--data", "photos", "--output", "run")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert "nosuch" in line


def test_train_passes_everything_on(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from tamperscope.train import loop

    seen: dict[str, object] = {}

    def run(recipe: object, **options: object) -> loop.TrainReport:
        seen.update(options, recipe=recipe)
        return loop.TrainReport(
            run_dir=tmp_path,
            samples=640,
            steps=10,
            finished=not str(options["output"]).endswith("short"),
            best_metric="iou",
            best_value=0.25,
            best_samples=640,
            metrics={},
            checkpoint=tmp_path,
            seconds=1.0,
        )

    monkeypatch.setattr(loop, "run_training", run)
    command = ["train", "smoke", "--data", "photos", "--set", "optim.lr=0.5", "--resume", "never"]
    result = cli(*command, "-o", "run")
    assert result.exit_code == 0
    assert result.stdout.startswith("finished 640 samples; best iou 0.2500")
    assert (seen["data_root"], seen["resume"]) == (Path("photos"), "never")
    assert seen["recipe"].optim.lr == 0.5  # type: ignore[attr-defined]
    assert cli(*command, "-o", "short").exit_code == 130


def test_data_synthesize_makes_a_set(cli: Cli, here: Path) -> None:
    examples = Path(__file__).resolve().parents[2] / "examples"
    command = ["data", "synthesize", "set", "--photos", examples, "-n", "2", "--size", "64x96"]
    result = cli(*command, "--seed", "3", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["count"] == 2
    sizes = {read_image(path).size for path in (here / "set" / "images").iterdir()}
    assert sizes == {(64, 96)}
    assert cli(*command, "--seed", "3").stdout == "wrote 2 pictures to set\n"
    other = cli(*command, "--seed", "4")
    assert other.exit_code == 2
    (line,) = other.stderr.splitlines()
    assert "other settings" in line


@pytest.mark.parametrize("size", ["big", "64x", "x64", "64x64x3", "-64"])
def test_data_synthesize_refuses_what_is_no_size(cli: Cli, size: str) -> None:
    result = cli("data", "synthesize", "set", "--photos", ".", f"--size={size}")
    assert result.exit_code == 2
    assert f"--size takes HEIGHTxWIDTH such as 256x384, got '{size}'" in result.stderr
