import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.dolos_toys import STUDY
from bench.test_scripts import run

ROWS = STUDY.replace('setup = "full-c"', 'setup = "full-c"\nrecipe = "dolos-patches-full-c"')


@pytest.fixture
def options(tmp_path: Path) -> list[object]:
    (tmp_path / "study.toml").write_text(ROWS, encoding="utf-8")
    paths = {"--data": "set", "--study": "study.toml", "--runs": "runs", "--output": "out"}
    return [word for key, name in paths.items() for word in (key, tmp_path / name)]


def test_the_commands_that_are_left_are_printed(
    options: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "full-red.safetensors").write_bytes(b"there")
    more = ("--set", "schedule.total_samples=100", "--dry-run")
    assert run("dolos_study.py", *options, *more, patch=monkeypatch) == 0
    lines = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    # Trained already: full-red. Without a recipe: weak-red.
    names = [Path(line[6]).name for line in lines if line[1] == "train"]
    assert names == ["full-green", "all-but-blue", "all-but-red", "other-red"]
    train, export = lines[2:4]
    assert train[2:5] == ["dolos-patches-full-c", "--data", str(tmp_path / "set")]
    assert train[7:] == [
        "--set", 'dolos.faces="celebahq"',
        "--set", 'dolos.generators=["red", "green"]',
        "--set", "schedule.total_samples=100",
    ]  # fmt: skip
    assert export[1:3] == ["weights", "export"]
    assert export[4] == str(tmp_path / "runs" / "all-but-blue.safetensors")
    assert lines[-1][1:3] == ["bench", "dolos"]
    assert "--partial" not in lines[-1]


def test_commands_run_in_order_until_one_fails(
    options: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []

    def pretend(command: list[str], **_: Any) -> SimpleNamespace:
        ran.append(command)
        return SimpleNamespace(returncode=130 if len(ran) == 3 else 0)

    monkeypatch.setattr(subprocess, "run", pretend)
    assert run("dolos_study.py", *options, "--only", "full-green", patch=monkeypatch) == 130
    assert [command[:4] for command in ran[:2]] == [
        [sys.executable, "-m", "tamperscope", "train"],
        [sys.executable, "-m", "tamperscope", "weights"],
    ]
    assert ran[2][3:5] == ["bench", "dolos"]
    assert ran[2][-1] == "--partial"


def test_a_wrong_study_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = ("--data", tmp_path, "--study", tmp_path / "gone.toml")
    assert run("dolos_study.py", *gone, patch=monkeypatch) == 2
    assert "cannot read the study" in capsys.readouterr().err
