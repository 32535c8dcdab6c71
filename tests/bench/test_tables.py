from pathlib import Path
from typing import Any

import pytest

from tamperscope.bench import REFERENCES, load_records, markdown_table
from tamperscope.bench.content import content_record
from tamperscope.bench.record import Record, write_record
from tamperscope.bench.tables import markdown_content, markdown_kinds, markdown_speed
from tamperscope.data.datasets.authentic import read_objects
from tamperscope.errors import DataError


def around(value: float) -> dict[str, Any]:
    return {"mean": value, "low": value - 0.01, "high": value + 0.01, "count": 9}


def localization(title: str, dataset: str, f1: float, *, authentic: bool = True) -> dict[str, Any]:
    tampered = {"count": 9, "f1": around(f1), "iou": around(0.2), "auc": around(0.75)}
    tampered["mcc"] = around(-0.1)
    share = around(0.08) if authentic else None
    image = around(0.6) if authentic else None
    numbers: dict[str, Any] = {
        "tampered": tampered,
        "by_kind": {"splice": tampered} if authentic else {},
        "authentic": {"count": 4, "flagged_pixels": share, "flagged_pictures": share},
        "image_auc": {"original": image, "recompressed": image},
        "seconds": {"median": 0.1234, "mean": 0.2},
    }
    return Record(
        kind="localization",
        method={"name": title.lower(), "title": title, "preset": "default"},
        weights={},
        protocol={"name": "ours"},
        dataset={"name": dataset, "forged": 9, "authentic": 4 if authentic else 0},
        numbers=numbers,
    ).to_dict()


def test_table_is_ordered_by_set_and_f1() -> None:
    records = [
        localization("Low", "casia1", 0.1),
        localization("Other", "imd2020", 1.0, authentic=False),
        localization("High", "casia1", 0.3),
    ]
    lines = markdown_table(records).splitlines()
    assert lines[0].startswith("| Method | Set | F1 | IoU | AUC | MCC | Authentic: pixels flagged")
    assert lines[1].count("|") == lines[0].count("|") == lines[2].count("|")
    assert lines[2] == (
        "| High (default) | casia1 (9 + 4) | .300 | .200 | .750 | -.100 | 8.0 % | 8.0 % "
        "| .600 / .600 | 0.12 |"
    )
    assert lines[3].startswith("| Low (default) | casia1")
    assert lines[4] == (
        "| Other (default) | imd2020 (9 + 0) | 1.000 | .200 | .750 | -.100 | n/a | n/a | n/a "
        "| 0.12 |"
    )


def test_intervals_on_request() -> None:
    table = markdown_table([localization("High", "casia1", 0.3)], intervals=True)
    assert "| .300 [.290, .310] | .200 [.190, .210] |" in table


def test_kinds_have_their_own_table() -> None:
    table = markdown_kinds([localization("High", "casia1", 0.3)])
    assert table.splitlines()[0] == "| Method | Set | splice |"
    assert ".300 / .200 / .750" in table
    assert markdown_kinds([localization("Other", "imd2020", 1.0, authentic=False)]) == ""


def test_protocols_are_never_mixed() -> None:
    other = localization("High", "casia1", 0.3)
    other["protocol"] = {"name": "theirs"}
    with pytest.raises(DataError, match=r"different protocols \(ours, theirs\): make one table"):
        markdown_table([localization("High", "casia1", 0.3), other])


def test_content_and_speed_tables(object_folder: Path) -> None:
    objects = read_objects(object_folder)
    content = content_record(REFERENCES["full"], objects).to_dict()
    line = markdown_content([content]).splitlines()[2]
    assert line == "| Full mask | 2 | .333 | .500 | 100.0 % | 100.0 % | .500 |"
    seconds = {"12": {"median": 34.56}, "0.25": {"median": 0.5}}
    speed = Record(
        kind="speed",
        method={"name": "a", "title": "A"},
        weights={},
        protocol={"name": "speed"},
        dataset={},
        numbers={"seconds": seconds},
        environment={"machine": {"cpu": "C", "cores": 2}},
    ).to_dict()
    lines = markdown_speed([speed, content]).splitlines()
    assert lines[0] == "| Method | Machine | 0.25 Mpx | 12 Mpx |"
    assert lines[2:] == ["| A | C, 2 threads | 0.5 | 35 |"]


def test_records_of_a_folder(tmp_path: Path) -> None:
    for name in ("casia1", "imd2020"):
        write_record(localization("High", name, 0.3), tmp_path / f"{name}-high.json")
    write_record({**localization("X", "y", 0.1), "kind": "speed"}, tmp_path / "a.json")
    records = load_records(tmp_path)
    assert [r["kind"] for r in records] == ["speed", "localization", "localization"]
    assert len(load_records(tmp_path, kind="localization")) == 2
    assert "| High (default) | imd2020 (9 + 4) |" in markdown_table(records)
    with pytest.raises(DataError, match=r"no folder .*: give the folder of benchmark records"):
        load_records(tmp_path / "gone")
