import json
from pathlib import Path

import numpy as np
import pytest

from tamperscope.bench.record import FORMAT, Record, command_line, read_record, without_folders
from tamperscope.errors import DataError


def test_published_commands_keep_no_folders() -> None:
    words = ["/x/bin/tool", "bench", "focal", "/home/me/casia1", "--output=/home/me/r", "-n"]
    assert command_line(words) == "tool bench focal .../casia1 --output=.../r -n"
    named = ["/x/tool", "--data", "casia1=/home/me/casia1", "/home/a=b/c=d"]
    assert command_line(named) == "tool --data casia1=.../casia1 .../c=d"
    assert without_folders({"a": ["/home/me/w.pt", "w.pt", 1]}) == {"a": [".../w.pt", "w.pt", 1]}


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = Record(
        kind="speed",
        method={"name": "a", "file": str(tmp_path / "w.pt")},
        weights={"w": "ab"},
        protocol={"name": "speed"},
        dataset={},
        numbers={"seconds": 1.5},
    )
    back = read_record(record.save(tmp_path / "r" / "one.json"))
    assert back == record.to_dict()
    assert set(back["environment"]) == {"tool", "libraries", "machine", "date", "command"}
    assert back["environment"]["libraries"]["numpy"] == np.__version__
    assert "rows" not in back
    assert str(tmp_path) not in json.dumps(back)


def test_other_files_are_not_records(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("{")
    with pytest.raises(DataError, match=r"x.json is not JSON: give a record \(JSON\) that"):
        read_record(path)
    path.write_text("{}")
    with pytest.raises(DataError, match="x.json is not a tamperscope-record: give a record"):
        read_record(path)
    path.write_text(json.dumps({"format": FORMAT, "version": 0, "kind": "speed"}))
    with pytest.raises(DataError, match="has version 0 and kind 'speed', this release reads"):
        read_record(path)
