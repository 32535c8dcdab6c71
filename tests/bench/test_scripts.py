import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from tamperscope import catalog
from tamperscope.bench import REFERENCES, load_records

SCRIPTS = Path(__file__).parents[2] / "benchmarks"


def run(script: str, *arguments: object, patch: pytest.MonkeyPatch) -> int:
    patch.setattr(sys, "argv", [script, *(str(argument) for argument in arguments)])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(SCRIPTS / script), run_name="__main__")
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


class Instant:
    """Answers at once, and counts how often it was asked."""

    title = "Instant"
    name = "instant"

    def __init__(self) -> None:
        self.calls = 0

    def localize(self, source: bytes, *, id: str | None = None) -> None:
        self.calls += 1


def test_speed_writes_one_record_for_each_preset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: dict[str, Instant] = {}

    def load(name: str, *, preset: str, device: str) -> Any:
        return made.setdefault(preset, Instant())

    monkeypatch.setattr(catalog, "load", load)
    options = ("--presets", "x", "y", "--megapixels", "0.01", "--repeats", "2")
    assert run("localize_speed.py", *options, "--output", tmp_path, patch=monkeypatch) == 0
    assert [made[name].calls for name in ("x", "y")] == [3, 3]
    assert [r["method"]["preset"] for r in load_records(tmp_path)] == ["x", "y"]
    printed = capsys.readouterr().out
    assert "| 0.01 Mpx |" in printed
    assert "| Instant (y) |" in printed


def test_speed_says_what_is_wrong_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("localize_speed.py", "--method", "fcal", patch=monkeypatch) == 2
    assert "unknown method 'fcal'; did you mean 'focal'?" in capsys.readouterr().out
    assert "fcal" not in REFERENCES
