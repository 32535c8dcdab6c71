import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from bench.dolos_toys import write_runs
from bench.fakelocator_toys import SEEN, STUDY, offer, write_pairs, write_unseen

Cli = Callable[..., Result]


@pytest.fixture
def study(here: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command, but for what each test adds to it."""
    offer(monkeypatch)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    write_pairs(here / "set")
    write_runs(here / "runs", **SEEN)
    short = "[[localizer]]".join(STUDY.split("[[localizer]]")[:3])
    (here / "study.toml").write_text(short, encoding="utf-8")
    return ["bench", "fakelocator", "--data", "set", "--study", "study.toml", "--runs", "runs"]


def test_a_study_prints_its_tables_and_says_what_it_wrote(
    cli: Cli, study: list[str], here: Path
) -> None:
    write_unseen(here / "others")
    result = cli(*study, "-o", "out", "--limit", "5", "--stylegan", "others")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("# Tints\n")
    assert "| red | stylegan2 |" in result.stdout
    first, second = result.stderr.splitlines()
    assert first == "written to out: fakelocator.json, fakelocator.md"
    assert "pip install 'tamperscope[plots]'" in second
    page = (here / "out" / "fakelocator.md").read_text(encoding="utf-8")
    assert page.strip() == result.stdout.strip()


def test_json_is_the_record(cli: Cli, study: list[str]) -> None:
    result = cli(*study, "--json", "--limit", "5")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert record["kind"] == "fakelocator-study"
    assert record["files"][:2] == ["fakelocator.json", "fakelocator.md"]


def test_missing_weights_are_one_line_or_left_out(cli: Cli, study: list[str], here: Path) -> None:
    (here / "runs" / "red-partial.safetensors").unlink()
    result = cli(*study)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert "no weights for 1 localizers, first 'red-partial'" in line
    result = cli(*study, "--partial", "--limit", "5")
    assert result.exit_code == 0
    assert "left out, for want of weights: red-partial" in result.stderr


def test_a_wrong_folder_is_one_line(cli: Cli, study: list[str], here: Path) -> None:
    result = cli(*study, "--stylegan", "gone")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "no such folder: gone" in line
