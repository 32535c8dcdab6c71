import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from bench.dolos_toys import SEEN, STUDY, make_set, offer, write_runs

Cli = Callable[..., Result]


@pytest.fixture
def study(here: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command, but for what each test adds to it."""
    offer(monkeypatch)
    make_set(here / "set")
    write_runs(here / "runs", **SEEN)
    small = STUDY.replace('generators = ["red", "green", "blue"]', 'generators = ["red"]')
    (here / "study.toml").write_text(small, encoding="utf-8")
    return ["bench", "dolos", "--data", "set", "--study", "study.toml", "--runs", "runs"]


def test_a_study_prints_its_tables_and_says_what_it_wrote(
    cli: Cli, study: list[str], here: Path
) -> None:
    result = cli(*study, "-o", "out", "--limit", "2")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("# Colours\n")
    assert "### Colour, full-c, celebahq" in result.stdout
    assert result.stderr.splitlines() == [
        "written to out: dolos.json, dolos.md, matrix-1.svg, matrix-1.png"
    ]
    assert (here / "out" / "dolos.md").read_text(encoding="utf-8").strip() == result.stdout.strip()


def test_json_is_the_record(cli: Cli, study: list[str]) -> None:
    result = cli(*study, "--json", "--methods", "dolos-other, dolos-colour-weak")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    names = [row["name"] for row in record["method"]["rows"] if not row["reference"]]
    assert names == ["weak-red", "other-red"]
    assert record["files"][:2] == ["dolos.json", "dolos.md"]


def test_missing_weights_are_one_line_or_left_out(cli: Cli, study: list[str], here: Path) -> None:
    (here / "runs" / "weak-red.safetensors").unlink()
    result = cli(*study)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert "no weights for 1 localizers, first 'weak-red'" in line
    result = cli(*study, "--partial", "--methods", "dolos-other,dolos-colour-weak")
    assert result.exit_code == 0
    assert "left out, for want of weights: weak-red" in result.stderr
