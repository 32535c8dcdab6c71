import shlex
import subprocess
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.fakelocator_toys import STUDY
from bench.test_scripts import run
from tamperscope.train import load_recipe

ROWS = STUDY.replace("regions =", 'recipe = "fakelocator"\nregions =')


@pytest.fixture
def options(tmp_path: Path) -> list[object]:
    (tmp_path / "study.toml").write_text(ROWS, encoding="utf-8")
    paths = {"--data": "set", "--study": "study.toml", "--runs": "runs", "--output": "out"}
    return [word for key, name in paths.items() for word in (key, tmp_path / name)]


def printed(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    return [shlex.split(line) for line in capsys.readouterr().out.splitlines()]


def settings(line: list[str]) -> list[str]:
    return [word for flag, word in pairwise(line) if flag == "--set"]


def test_every_row_is_trained_as_it_says(
    options: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    more = ("--labels", tmp_path / "faces", "--stylegan", tmp_path / "others", "--dry-run")
    assert run("fakelocator_study.py", *options, *more, patch=monkeypatch) == 0
    lines = printed(capsys)
    trained = {Path(line[6]).name: settings(line) for line in lines if line[1] == "train"}
    # Those without a recipe are not ours to train.
    assert list(trained) == ["red-partial", "hair-attention", "hair-plain"]
    assert trained["red-partial"] == [
        'fakelocator.faces="celebahq"', 'fakelocator.generators=["red"]',
        'fakelocator.augment="real"', "fakelocator.augment='real'",
    ]  # fmt: skip
    assert trained["hair-attention"] == [
        'fakelocator.faces="celebahq"', 'fakelocator.generators=["red"]',
        'model.config.attention="parts"', f'fakelocator.labels="{tmp_path / "faces"}"',
        'fakelocator.variant="region"', 'fakelocator.regions=["hair"]',
    ]  # fmt: skip
    for chosen in trained.values():
        assert load_recipe("fakelocator", chosen).fakelocator.generators == ("red",)
    assert lines[-1][1:3] == ["bench", "fakelocator"]
    assert lines[-1][-2:] == ["--stylegan", str(tmp_path / "others")]


def test_without_labels_attention_is_left_out(
    options: list[object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("fakelocator_study.py", *options, "--dry-run", patch=monkeypatch) == 0
    captured = capsys.readouterr()
    assert captured.err == "without --labels not trained: hair-attention\n"
    lines = [shlex.split(line) for line in captured.out.splitlines()]
    assert "hair-attention" not in {Path(line[6]).name for line in lines if line[1] == "train"}
    assert lines[-1][-1] == "--partial"


def test_what_is_trained_is_not_trained_again(
    options: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "hair-plain.safetensors").write_bytes(b"there")
    assert run("fakelocator_study.py", *options, "--dry-run", patch=monkeypatch) == 0
    names = [Path(line[6]).name for line in printed(capsys) if line[1] == "train"]
    assert names == ["red-partial"]


def test_commands_run_until_one_fails(
    options: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []

    def pretend(command: list[str], **_: Any) -> SimpleNamespace:
        ran.append(command[3:])
        return SimpleNamespace(returncode=3 if len(ran) == 2 else 0)

    monkeypatch.setattr(subprocess, "run", pretend)
    assert run("fakelocator_study.py", *options, "--only", "red-partial", patch=monkeypatch) == 3
    assert [command[:2] for command in ran] == [["train", "fakelocator"], ["weights", "export"]]


def test_a_wrong_study_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = ("--data", tmp_path, "--study", tmp_path / "gone.toml")
    assert run("fakelocator_study.py", *gone, patch=monkeypatch) == 2
    assert "cannot read the study" in capsys.readouterr().err
