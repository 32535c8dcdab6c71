"""`tamperscope batch` as people use it; what a run does is tested in tests/batch."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from batch.archive import archive, check_whole, rows, write
from tamperscope.batch import BatchConfig
from tamperscope.batch import run as driver
from tamperscope.batch.summary import Progress, clock, report, text
from tamperscope.batch.work import PASSING, parse_kinds
from tamperscope.errors import DataError, ResultError, WeightsError

Cli = Callable[..., Result]


def test_help_tells_the_exit_codes(cli: Cli) -> None:
    result = cli("batch", "--help")
    assert result.exit_code == 0
    assert "0 every input has its row" in " ".join(result.stdout.split())


def test_an_archive_with_the_shipped_weights(cli: Cli, here: Path) -> None:
    write(here / "in" / "a.png", 1)
    write(here / "in" / "b.png", 1)
    (here / "in" / "c.png").write_bytes(b"broken")
    result = cli("batch", "in", "-o", "out", "--workers", 1, "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[:4] == [
        "complete: 3 rows in 1 part file",
        "  examined    1, of which flagged 0",
        "  copies      1 with the bytes of one of these, of which flagged 0",
        "  errors      1: NotAnImageError 1",
    ]
    found = check_whole(here / "out", ["a.png", "b.png", "c.png"])
    assert found[0]["method"] == "focal"
    assert dict(found[0]["weights"]).keys() == {"focal-compact"}
    again = cli("batch", "in", "-o", "out", "--workers", 1, "--device", "cpu", "--json")
    assert again.exit_code == 0
    assert json.loads(again.stdout) == json.loads((here / "out" / "report.json").read_text())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: no such file or folder; check the path"),
        (["in", "--shard", "4/4"], "shard 4/4 does not exist: shards of i/n count from 0 to n - 1"),
        (["in", "--masks", "bmp"], "masks 'bmp' is unknown; use png or rle or none"),
        (["in", "--engine", "dask"], "engine 'dask' is unknown; use local or ray"),
        (["in", "--set", "tile"], "--set takes key=value, got 'tile'"),
        (["in", "--onnx", "x.onnx"], "an ONNX file was given: give --runtime onnx as well"),
        (["in", "--runtime", "onnx", "--onnx", "x.onnx"], "x.onnx: check the path, or make one"),
        (["in", "--retry-errors", "OutOfMemry"], "did you mean 'OutOfMemory'? known: ChangedWhile"),
        (["in", "-m", "fcal"], "unknown method 'fcal'; did you mean 'focal'?"),
        (["in", "--weights", "none.pt"], "none.pt"),
    ],
)
def test_wrong_usage_is_one_line(cli: Cli, here: Path, arguments: list[str], message: str) -> None:
    write(here / "in" / "a.png")
    result = cli("batch", *arguments, "-o", "out")
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_what_is_tried_again(cli: Cli, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[frozenset[str]] = []

    def run(config: BatchConfig, **options: object) -> dict[str, Any]:
        asked.append(config.retry_errors)
        return report({}, status="complete", settings={}, parts=0)

    monkeypatch.setattr(driver, "run_batch", run)
    for arguments in (
        [],
        ["--retry-errors"],
        ["--retry-errors", "--json"],
        ["--retry-errors", "WorkerDied,OutOfMemory"],
        ["--retry-errors=all"],
    ):
        assert cli("batch", "in", "-o", "out", *arguments).exit_code == 0
    two = frozenset({"WorkerDied", "OutOfMemory"})
    assert asked == [frozenset(), PASSING, PASSING, two, parse_kinds("all")]


def test_a_missing_extra_is_named(cli: Cli, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pyarrow", None)
        result = cli("batch", "in", "-o", "out")
    assert result.exit_code == 1
    assert "needs an optional dependency: pip install 'tamperscope[batch]'" in result.stderr
    write(here / "in" / "a.png")
    monkeypatch.setitem(sys.modules, "ray", None)
    result = cli("batch", "in", "-o", "out", "--engine", "ray")
    assert result.exit_code == 1
    assert "--engine ray needs an optional dependency" in result.stderr
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    result = cli("batch", "in", "-o", "out", "--runtime", "onnx")
    assert result.exit_code == 1
    line = "--runtime onnx needs an optional dependency: pip install 'tamperscope[onnx]'"
    assert result.stderr.strip().endswith(line)


def test_a_full_disk_is_one_line_and_exit_code_1(
    cli: Cli, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(here / "in" / "a.png")

    def full(*arguments: object, **options: object) -> None:
        raise ResultError("cannot write to out (No space left on device): nothing finished is lost")

    monkeypatch.setattr(driver, "run_batch", full)
    result = cli("batch", "in", "-o", "out")
    assert result.exit_code == 1
    assert result.stderr.strip().endswith("(No space left on device): nothing finished is lost")


@pytest.mark.parametrize(("begun", "code"), [(False, 2), (True, 1)])
@pytest.mark.parametrize("error", [DataError, WeightsError])
def test_what_cannot_begin_is_wrong_usage_and_what_stops_midway_is_not(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, error: type[Exception], begun: bool, code: int
) -> None:
    def run(config: BatchConfig, *, tell: Callable[[Progress], None]) -> None:
        if begun:
            tell(Progress(done=1, total=3, fresh=1, seconds=1.0, errors=0))
        raise error("t.csv: line 3 is no CSV; mend the table")

    monkeypatch.setattr(driver, "run_batch", run)
    result = cli("batch", "t.csv", "-o", "out")
    assert result.exit_code == code
    assert result.stderr == "tamperscope: t.csv: line 3 is no CSV; mend the table\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="signals of Unix")
def test_sigterm_stops_in_order(here: Path) -> None:
    ids = archive(here / "in", 300)
    command = [sys.executable, "-m", "tamperscope", "batch", "in", "-o", "out", "--workers", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 100
    while not (here / "out" / "settings.json").exists() and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr == "stopped; the same command goes on from there\n"
    assert '"status": "stopped"' in (here / "out" / "report.json").read_text()
    assert len(rows(here / "out")) < len(ids)


def test_progress_says_rate_and_time_left() -> None:
    progress = Progress(done=1200, total=5000, fresh=1000, seconds=50.0, errors=3)
    assert progress.line() == "1,200 of 5,000 done, 20.00/s, 3 min 10 s left, 3 errors"
    assert Progress(done=7, total=None, fresh=0, seconds=0.0, errors=0).line() == "7 done, 0.00/s"
    assert clock(100_000) == "27 h 46 min"


def test_a_report_says_what_happened() -> None:
    counts = {
        "rows": 10.0,
        "examined": 7.0,
        "copies": 1.0,
        "flagged": 3.0,
        "flagged copies": 1.0,
        "tried again": 4.0,
        "succeeded again": 3.0,
        "not listed again": 1.0,
        "error: TimeLimitExceeded": 2.0,
        "worker replaced: took too long": 2.0,
        "retries": 1.0,
        "noted": 1.0,
        "seconds": 20.0,
    }
    lines = text(report(counts, status="complete", settings={}, parts=2))
    assert lines == [
        "complete: 10 rows in 2 part files",
        "  examined    7, of which flagged 3",
        "  copies      1 with the bytes of one of these, of which flagged 1",
        "  errors      2: TimeLimitExceeded 2",
        "  tried again 4, of which 3 succeeded",
        "  not listed  1 to be tried again",
        "  workers     2 replaced: took too long 2",
        "  retries     1",
        "  memory      1 examined in smaller tiles",
        "  time        20 s, 0.50 inputs/s",
    ]
