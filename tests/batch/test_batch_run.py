"""One row per input, in order; the same rows however the run went."""

import json
import math
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch import archive
from tamperscope.batch import BatchConfig, parts, run_batch
from tamperscope.batch import run as driver
from tamperscope.batch.config import Shard
from tamperscope.batch.local import LocalEngine
from tamperscope.batch.summary import Progress, text
from tamperscope.errors import ConfigError, DataError, ResultError


def test_every_input_has_a_row_in_order(tmp_path: Path) -> None:
    ids = archive.archive(tmp_path / "in", 11)
    (tmp_path / "in" / "01" / "text.jpg").write_bytes(b"Dear sir or madam")
    told: list[Progress] = []
    report = run_batch(archive.config(tmp_path / "in", tmp_path / "out"), tell=told.append)
    found = archive.check_whole(tmp_path / "out", [*ids, "01/text.jpg"])
    assert len(list((tmp_path / "out" / "rows").iterdir())) == 3
    for i, row in enumerate(found[:-1]):
        assert (row["height"], row["width"], row["error"]) == (24, 32, None)
        assert row["boxes"] == [[i % 20, i % 16, i % 20 + 8, i % 16 + 6]]
        mask = archive.mask_of(tmp_path / "out", row)
        assert np.array_equal(mask, archive.pixels(i).mean(axis=2) > 0.7 * 255)
    assert found[-1]["error"] == "NotAnImageError"
    assert found[-1]["error_message"].startswith("is not a picture; give a JPEG")
    assert report["inputs"] == 12
    assert report["errors"] == {"NotAnImageError": 1}
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report
    assert told[-1].done == 12


def test_a_finished_run_takes_up_what_is_new(tmp_path: Path) -> None:
    archive.archive(tmp_path / "in", 6)
    archive.examine(tmp_path / "in", tmp_path / "out")
    before = archive.rows(tmp_path / "out")
    again = archive.examine(tmp_path / "in", tmp_path / "out")
    assert archive.rows(tmp_path / "out") == before
    assert (again["inputs"], again["calls"]) == (6, 2)
    archive.write(tmp_path / "in" / "00" / "0000a.png", 99)
    archive.examine(tmp_path / "in", tmp_path / "out")
    assert [row["id"] for row in archive.rows(tmp_path / "out")[6:]] == ["00/0000a.png"]


def test_a_finished_run_loads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = archive.archive(tmp_path / "in", 3)
    weights = tmp_path / "toy.bin"
    weights.write_text("one")
    values: dict[str, Any] = {"loader": "batch.toys:load_weighted", "weights": str(weights)}
    archive.examine(tmp_path / "in", tmp_path / "out", **values)
    with monkeypatch.context() as patch:
        patch.setattr(LocalEngine, "start", _loading)
        assert archive.examine(tmp_path / "in", tmp_path / "out", **values)["calls"] == 2
        with pytest.raises(ConfigError, match=r"with other settings \(masks\); choose"):
            archive.examine(tmp_path / "in", tmp_path / "out", masks="none", **values)
        other = {**values, "weights": "./" + str(weights)}
        with pytest.raises(AssertionError, match="loading"):
            archive.examine(tmp_path / "in", tmp_path / "out", **other)
        weights.write_text("two")
        with pytest.raises(AssertionError, match="loading"):
            archive.examine(tmp_path / "in", tmp_path / "out", **values)
    with pytest.raises(ConfigError, match=r"with other settings \(weights\); choose"):
        archive.examine(tmp_path / "in", tmp_path / "out", **values)
    weights.write_text("one")
    archive.write(tmp_path / "in" / "new.png", 8)
    archive.examine(tmp_path / "in", tmp_path / "out", **values)
    archive.check_whole(tmp_path / "out", [*ids, "new.png"])


def _loading(engine: LocalEngine) -> dict[str, Any]:
    raise AssertionError("loading")


def test_a_run_whose_memory_is_lost_is_not_begun_anew(tmp_path: Path) -> None:
    archive.archive(tmp_path / "in", 9)
    archive.examine(tmp_path / "in", tmp_path / "out")
    before = archive.rows(tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "state")
    with pytest.raises(ResultError, match=r"state does not know all part files in .*: put it back"):
        archive.examine(tmp_path / "in", tmp_path / "out")
    assert archive.rows(tmp_path / "out") == before


def test_copies_are_answered_once(tmp_path: Path) -> None:
    archive.archive(tmp_path / "in", 6)
    for name in ("00/0003b.png", "z.png"):
        archive.write(tmp_path / "in" / name, 3)
    (tmp_path / "in" / "x1.jpg").write_bytes(b"broken")
    (tmp_path / "in" / "x2.jpg").write_bytes(b"broken")
    report = archive.examine(tmp_path / "in", tmp_path / "out", workers=2)
    found = {row["id"]: row for row in archive.rows(tmp_path / "out")}
    first = found["00/0003.png"]
    assert first["duplicate_of"] is None
    for name in ("00/0003b.png", "z.png"):
        copy = found[name]
        assert copy["duplicate_of"] == "00/0003.png"
        for column in ("sha256", "score", "boxes", "mask", "mask_offset", "weights"):
            assert copy[column] == first[column]
    assert found["x2.jpg"]["duplicate_of"] == "x1.jpg"
    assert found["x2.jpg"]["error"] == "NotAnImageError"
    assert (report["examined"], report["copies"], report["errors"]) == (
        6,
        2,
        {"NotAnImageError": 2},
    )
    assert report["inputs"] == 10
    assert (report["flagged"], report["flagged_copies"]) == (8, 2)
    flagged = "of which flagged"
    assert text(report)[1:4] == [
        f"  examined    6, {flagged} 6",
        f"  copies      2 with the bytes of one of these, {flagged} 2",
        "  errors      2: NotAnImageError 2",
    ]


def test_rows_do_not_depend_on_workers_or_parts(tmp_path: Path) -> None:
    archive.archive(tmp_path / "in", 9)
    archive.examine(tmp_path / "in", tmp_path / "one", part_rows=100)
    archive.examine(tmp_path / "in", tmp_path / "two", part_rows=100, workers=2)
    one, two = archive.rows(tmp_path / "one"), archive.rows(tmp_path / "two")
    assert [archive.stable(row) for row in one] == [archive.stable(row) for row in two]
    archive.examine(tmp_path / "in", tmp_path / "small", part_bytes=1)
    assert len(list((tmp_path / "small" / "rows").iterdir())) == 9


def test_masks_as_run_lengths(tmp_path: Path) -> None:
    archive.archive(tmp_path / "in", 3)
    archive.write(tmp_path / "in" / "copy.png", 1)
    (tmp_path / "in" / "broken.png").write_bytes(b"")
    archive.examine(tmp_path / "in", tmp_path / "out", masks="rle")
    found = {row["id"]: row for row in archive.rows(tmp_path / "out")}
    for i in range(3):
        counts = found[f"00/{i:04}.png"]["mask_counts"]
        values = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
        expected = archive.pixels(i).mean(axis=2) > 0.7 * 255
        assert np.array_equal(values.reshape(32, 24).T, expected)
    assert found["broken.png"]["mask_counts"] is None
    assert found["copy.png"]["mask_counts"] is None
    assert found["copy.png"]["duplicate_of"] == "00/0001.png"
    assert not (tmp_path / "out" / "masks").exists()


def test_no_masks(tmp_path: Path) -> None:
    archive.archive(tmp_path / "in", 2)
    archive.examine(tmp_path / "in", tmp_path / "out", masks="none")
    assert {(row["flagged"], row["mask"]) for row in archive.rows(tmp_path / "out")} == {
        (True, None)
    }


def test_shards_are_a_partition_and_share_a_folder(tmp_path: Path) -> None:
    ids = archive.archive(tmp_path / "in", 12)
    counts = [
        archive.examine(tmp_path / "in", tmp_path / "out", shard=Shard(i, 3))["inputs"]
        for i in range(3)
    ]
    assert sum(counts) == 12
    assert sorted(row["id"] for row in archive.rows(tmp_path / "out")) == sorted(ids)
    assert (tmp_path / "out" / "report-00002.json").is_file()
    with pytest.raises(ConfigError, match=r"holds a run with other settings \(shards\); choose"):
        archive.examine(tmp_path / "in", tmp_path / "out", shard=Shard(0, 2))


def test_a_limit_is_of_the_source_and_can_be_lifted(tmp_path: Path) -> None:
    ids = archive.archive(tmp_path / "in", 7)
    archive.examine(tmp_path / "in", tmp_path / "out", limit=2)
    archive.examine(tmp_path / "in", tmp_path / "out", limit=2)
    archive.check_whole(tmp_path / "out", ids[:2])
    archive.examine(tmp_path / "in", tmp_path / "out")
    archive.check_whole(tmp_path / "out", ids)


def test_other_settings_are_refused(tmp_path: Path) -> None:
    archive.archive(tmp_path / "in", 1)
    archive.examine(tmp_path / "in", tmp_path / "out")
    with pytest.raises(ConfigError, match=r"holds a run with other settings \(masks\); choose"):
        archive.examine(tmp_path / "in", tmp_path / "out", masks="none")
    with pytest.raises(ConfigError, match=r"holds a run with other settings \(method\); choose"):
        archive.examine(tmp_path / "in", tmp_path / "out", method="dark")
    archive.archive(tmp_path / "other", 1)
    with pytest.raises(ConfigError, match=r"holds a run with other settings \(source\); choose"):
        archive.examine(tmp_path / "other", tmp_path / "out")


def test_rows_of_an_unknown_run_are_not_touched(tmp_path: Path) -> None:
    archive.archive(tmp_path / "in", 1)
    (tmp_path / "out" / "rows").mkdir(parents=True)
    (tmp_path / "out" / "rows" / "part-00000-00000.parquet").write_bytes(b"mine")
    with pytest.raises(ResultError, match="holds rows of an unknown run; choose another --output"):
        archive.examine(tmp_path / "in", tmp_path / "out")


def test_outputs_inside_the_source_are_not_inputs(tmp_path: Path) -> None:
    ids = archive.archive(tmp_path, 3)
    archive.examine(tmp_path, tmp_path / "out")
    archive.write(tmp_path / "out" / "mask.png")
    archive.examine(tmp_path, tmp_path / "out")
    archive.check_whole(tmp_path / "out", ids)


def test_what_was_finished_before_it_vanished_keeps_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = archive.archive(tmp_path / "in", 5)
    with monkeypatch.context() as patch:
        patch.setattr(parts.Part, "write", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            archive.examine(tmp_path / "in", tmp_path / "out")
    for name in ids[:2]:
        (tmp_path / "in" / name).unlink()
    archive.examine(tmp_path / "in", tmp_path / "out")
    found = archive.rows(tmp_path / "out")
    assert sorted(row["id"] for row in found) == ids
    assert all(row["error"] is None for row in found)


def _interrupted(part: parts.Part) -> None:
    raise KeyboardInterrupt


def test_memory_does_not_grow_with_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "_AHEAD", 50)
    peaks = [_peak(tmp_path, count) for count in (500, 4000)]
    assert peaks[1] < peaks[0] + 300_000


def _peak(folder: Path, count: int) -> int:
    source = folder / f"{count}.txt"
    source.write_text("".join(f"../{i}.png\n" for i in range(count)))
    tracemalloc.start()
    report = archive.examine(source, folder / f"out-{count}", part_rows=100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report["errors"] == {"OutsideSource": count}
    return peak


def test_limits_of_any_size_go_with_small_pictures(tmp_path: Path) -> None:
    archive.write(tmp_path / "in" / "a.png", 1)
    archive.examine(
        tmp_path / "in",
        tmp_path / "out",
        memory_limit=1 << 30,
        max_pixels=300_000_000,
        time_limit=3_000_000.0,
        start_limit=3_000_000.0,
    )
    (row,) = archive.check_whole(tmp_path / "out", ["a.png"])
    assert (row["error"], row["flagged"]) == (None, True)


def test_columns_can_be_read_by_others(tmp_path: Path) -> None:
    archive.archive(tmp_path / "in", 3)
    archive.examine(tmp_path / "in", tmp_path / "out", part_rows=2)
    table = pq.read_table(tmp_path / "out" / "rows")
    assert table.schema.equals(parts.schema())
    assert table.column("boxes").type == pa.list_(pa.list_(pa.int32(), 4))
    assert table.to_pydict()["flagged"] == [True] * 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"masks": "jpg"}, "masks 'jpg' is unknown; use png or rle or none"),
        ({"engine": "spark"}, "engine 'spark' is unknown; use local or ray"),
        ({"time_limit": 0.0}, "time_limit is 0.0; use at least 0.1"),
        ({"time_limit": math.inf}, "time_limit is inf; use at least 0.1"),
        ({"start_limit": math.nan}, "start_limit is nan; use at least 0.1"),
        ({"limit": 0}, "limit is 0; use at least 1"),
        ({"runtime": "tflite"}, "runtime 'tflite' is unknown; use torch or onnx"),
        ({"onnx": [Path("a.onnx")]}, "an ONNX file was given: give --runtime onnx as well to run"),
        ({"options": {"engine": "onnx"}}, "--set engine: is no setting of the method; use --runti"),
        ({"ray_address": "auto"}, "ray_address and gpus_per_worker belong to Ray: give --engine"),
    ],
)
def test_configurations_that_cannot_be(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BatchConfig(source="in", output=Path("out"), **values)


@pytest.mark.parametrize("text", ["3", "1/1", "4/4", "-1/3", "a/b", "0/0"])
def test_shards_that_cannot_be(text: str) -> None:
    with pytest.raises(ConfigError, match="shard"):
        Shard.parse(text)


def test_no_source(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing: no such file or folder; check the path"):
        archive.examine(tmp_path / "nothing", tmp_path / "out")
    (tmp_path / "notes.doc").write_text("hello")
    with pytest.raises(DataError, match="is neither a folder nor a list or table"):
        archive.examine(tmp_path / "notes.doc", tmp_path / "out")
