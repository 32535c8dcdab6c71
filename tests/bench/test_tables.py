from pathlib import Path
from typing import Any

import pytest

from tamperscope.bench import REFERENCES, load_records
from tamperscope.bench.content import content_record
from tamperscope.bench.record import Record, write_record
from tamperscope.bench.tables import markdown_content, markdown_speed
from tamperscope.data.datasets.authentic import read_objects
from tamperscope.errors import DataError


def record(kind: str, **numbers: Any) -> dict[str, Any]:
    return Record(
        kind=kind,
        method={"name": "a", "title": "A"},
        weights={},
        protocol={"name": kind},
        dataset={},
        numbers=numbers,
        environment={"machine": {"cpu": "C", "cores": 2}},
    ).to_dict()


def test_content_and_speed_tables(object_folder: Path) -> None:
    objects = read_objects(object_folder)
    content = content_record(REFERENCES["full"], objects).to_dict()
    line = markdown_content([content]).splitlines()[2]
    assert line == "| Full mask | 2 | .333 | .500 | 100.0 % | 100.0 % | .500 |"
    seconds = {"12": {"median": 34.56}, "0.25": {"median": 0.5}}
    speed = record("speed", seconds=seconds)
    lines = markdown_speed([speed, content]).splitlines()
    assert lines[0] == "| Method | Machine | 0.25 Mpx | 12 Mpx |"
    assert lines[2:] == ["| A | C, 2 threads | 0.5 | 35 |"]


def test_records_of_a_folder(tmp_path: Path) -> None:
    for name, kind in (("b", "content-overlap"), ("c", "content-overlap"), ("a", "speed")):
        write_record(record(kind), tmp_path / f"{name}.json")
    assert [r["kind"] for r in load_records(tmp_path)] == ["speed", *2 * ["content-overlap"]]
    assert len(load_records(tmp_path, kind="content-overlap")) == 2
    with pytest.raises(DataError, match=r"no folder .*: give the folder of benchmark records"):
        load_records(tmp_path / "gone")
