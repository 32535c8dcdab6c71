import json
import sys
from pathlib import Path

import pytest

from tamperscope.train.logging import RunLog


def _log(run: Path, samples: int = 0, *, tensorboard: bool = False, active: bool = True) -> RunLog:
    return RunLog(run, total=100, samples=samples, tensorboard=tensorboard, active=active)


def _lines(run: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_one_json_line_per_record_and_one_plain_line_without_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with _log(tmp_path) as log:
        log.record("train", 8, {"loss": 1.23456789, "loss/splice": 2.0})
    assert _lines(tmp_path) == [
        {"event": "train", "samples": 8, "loss": 1.23457, "loss/splice": 2.0}
    ]
    assert capsys.readouterr().err == "train              8 samples  loss 1.235\n"


def test_resuming_drops_lines_after_the_checkpoint_and_a_cut_one(tmp_path: Path) -> None:
    with _log(tmp_path) as log:
        for samples in (8, 16, 24):
            log.record("train", samples, {"loss": 1.0})
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"event": "tra')
    with _log(tmp_path, samples=16) as log:
        log.record("train", 24, {"loss": 2.0})
    assert [(line["samples"], line["loss"]) for line in _lines(tmp_path)] == [
        (8, 1.0),
        (16, 1.0),
        (24, 2.0),
    ]


def test_other_processes_write_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with _log(tmp_path, active=False, tensorboard=True) as log:
        log.say("hello")
        log.record("train", 8, {"loss": 1.0})
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err == ""


def test_tensorboard_events_when_it_is_there(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    with _log(tmp_path, tensorboard=True) as log:
        log.record("train", 8, {"loss": 1.0})
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1


def test_one_line_says_how_to_get_tensorboard(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with _log(tmp_path, tensorboard=True) as log:
        log.record("train", 8, {"loss": 1.0})
    assert "pip install 'tamperscope[train]'" in capsys.readouterr().err
    assert len(_lines(tmp_path)) == 1
