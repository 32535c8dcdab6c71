"""Rows of inputs that failed are replaced: each by one row, in its place, at every moment."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from batch import archive
from tamperscope.batch import parts
from tamperscope.batch.config import Shard
from tamperscope.batch.local import LocalEngine
from tamperscope.batch.summary import text
from tamperscope.batch.work import PASSING, parse_kinds
from tamperscope.errors import ResultError, UnknownNameError

MASK = ("mask", "mask_offset", "mask_length")


def listed(folder: Path, count: int, *, missing: Sequence[int] = ()) -> tuple[Path, list[str]]:
    """A list of so many pictures, some of which are not there yet."""
    names = [f"{i:02}.png" for i in range(count)]
    for i, name in enumerate(names):
        if i not in missing:
            archive.write(folder / name, i)
    folder.mkdir(exist_ok=True)
    (folder / "list.txt").write_text("\n".join(names))
    return folder / "list.txt", names


def again(source: Path, output: Path, kinds: str = "passing", **values: Any) -> dict[str, Any]:
    return archive.examine(source, output, retry_errors=parse_kinds(kinds), **values)


def without_place(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without where their masks lie, and without what differs between runs."""
    return [{k: v for k, v in archive.stable(row).items() if k not in MASK} for row in rows]


def same_as_new(source: Path, output: Path, ids: Sequence[str], **values: Any) -> None:
    """What a run from the beginning gives."""
    found = archive.check_whole(output, ids)
    archive.examine(source, output.with_name("calm"), **values)
    assert without_place(found) == without_place(archive.rows(output.with_name("calm")))


def tried(report: dict[str, Any]) -> tuple[int, int, int]:
    values = report["tried_again"]
    return values["inputs"], values["succeeded"], values["not_listed"]


# --- what is replaced, and by what -------------------------------------------------------------


def test_what_can_be_read_now_gets_its_row(tmp_path: Path) -> None:
    source, names = listed(tmp_path / "in", 10, missing=(1, 2, 8, 9))
    report = archive.examine(source, tmp_path / "out")
    assert report["errors"] == {"UnreadableFile": 4}
    assert tried(report) == (0, 0, 0)
    before = archive.rows(tmp_path / "out")
    for i in (1, 8):
        archive.write(tmp_path / "in" / names[i], i)
    (tmp_path / "in" / names[9]).write_bytes(b"broken")
    report = again(source, tmp_path / "out")
    found = archive.check_whole(tmp_path / "out", names)
    assert [row["error"] for row in found[:3]] == [None, None, "UnreadableFile"]
    assert [row["error"] for row in found[8:]] == [None, "NotAnImageError"]
    assert found[1]["mask"] == "masks/part-00000-00000-r1.tar/part-00000-00000-r1/0000000.png"
    assert [row for i, row in enumerate(found) if i not in (1, 2, 8, 9)] == [
        row for i, row in enumerate(before) if i not in (1, 2, 8, 9)
    ]
    assert (report["examined"], report["errors"]) == (
        8,
        {"UnreadableFile": 1, "NotAnImageError": 1},
    )
    assert tried(report) == (4, 2, 0)
    assert "  tried again 4, of which 2 succeeded" in text(report)
    archive.write(tmp_path / "in" / names[2], 2)
    assert tried(again(source, tmp_path / "out")) == (5, 3, 0)
    (row,) = archive.check_whole(tmp_path / "out", names)[2:3]
    assert row["mask"].startswith("masks/part-00000-00000-r2.tar/")
    assert pq.read_table(tmp_path / "out" / "rows").schema.equals(parts.schema())


def test_time_that_was_too_short(tmp_path: Path) -> None:
    ids = archive.archive(tmp_path / "in", 3)
    for name in ("slow.png", "z-copy.png"):
        archive.write(tmp_path / "in" / name, first=(254, 200, 0))
    report = archive.examine(tmp_path / "in", tmp_path / "out", time_limit=1.5)
    assert report["errors"] == {"TimeLimitExceeded": 2}
    report = again(tmp_path / "in", tmp_path / "out", time_limit=60.0)
    same_as_new(tmp_path / "in", tmp_path / "out", [*ids, "slow.png", "z-copy.png"])
    assert (report["examined"], report["copies"], report["errors"]) == (4, 1, {})
    assert tried(report) == (2, 2, 0)


def test_masks_as_run_lengths(tmp_path: Path) -> None:
    source, names = listed(tmp_path / "in", 5, missing=(2,))
    archive.examine(source, tmp_path / "out", masks="rle")
    archive.write(tmp_path / "in" / names[2], 2)
    again(source, tmp_path / "out", masks="rle")
    same_as_new(source, tmp_path / "out", names, masks="rle")
    counts = archive.rows(tmp_path / "out")[2]["mask_counts"]
    mask = np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(32, 24).T
    assert np.array_equal(mask, archive.pixels(2).mean(axis=2) > 0.7 * 255)
    assert not (tmp_path / "out" / "masks").exists()


def test_only_the_kinds_that_were_asked_for(tmp_path: Path) -> None:
    source, names = listed(tmp_path / "in", 4, missing=(1,))
    (tmp_path / "in" / names[3]).write_bytes(b"broken")
    source.write_text("\n".join([*names, "/etc/passwd"]))
    ids = [*names, "/etc/passwd"]
    archive.examine(source, tmp_path / "out")
    for i in (1, 3):
        archive.write(tmp_path / "in" / names[i], i)
    assert tried(again(source, tmp_path / "out", "OutOfMemory,WorkerDied")) == (0, 0, 0)
    assert tried(again(source, tmp_path / "out", "NotAnImageError")) == (1, 1, 0)
    found = archive.check_whole(tmp_path / "out", ids)
    errors = [row["error"] for row in found]
    assert errors == [None, "UnreadableFile", None, None, "OutsideSource"]
    assert tried(again(source, tmp_path / "out", "all")) == (3, 2, 0)
    found = archive.check_whole(tmp_path / "out", ids)
    assert [row["error"] for row in found] == [None] * 4 + ["OutsideSource"]


def test_only_the_share_and_the_first_ones_that_were_asked_for(tmp_path: Path) -> None:
    source, names = listed(tmp_path / "in", 9, missing=range(9))
    for i in range(2):
        archive.examine(source, tmp_path / "out", shard=Shard(i, 2))
    for i, name in enumerate(names):
        archive.write(tmp_path / "in" / name, i)
    report = again(source, tmp_path / "out", shard=Shard(1, 2), limit=2)
    assert report["tried_again"]["inputs"] == 2
    assert report["tried_again"]["not_listed"] == report["inputs"] - 2
    found = archive.rows(tmp_path / "out")
    assert sorted(row["id"] for row in found) == names
    assert sum(row["error"] is None for row in found) == 2


# --- the same bytes ----------------------------------------------------------------------------


def starving(folder: Path) -> tuple[dict[str, Any], Path]:
    """Settings of a run in which no picture gets memory until the file says "fed"."""
    bowl = folder / "bowl"
    bowl.write_text("hungry")
    return {"loader": "batch.toys:load_starving", "weights": str(bowl)}, bowl


def test_copies_follow_what_they_are_copies_of(tmp_path: Path) -> None:
    values, bowl = starving(tmp_path)
    for seed, pair in enumerate(["a1 a2", "b1 b2", "c1 c2", "d1 d2"]):
        for name in pair.split():
            archive.write(tmp_path / "in" / f"{name}.png", seed)
    archive.write(tmp_path / "in" / "e.png", 9)
    ids = [f"{name}.png" for name in ("a1", "a2", "b1", "b2", "c1", "c2", "d1", "d2", "e")]
    report = archive.examine(tmp_path / "in", tmp_path / "out", part_rows=3, **values)
    found = archive.check_whole(tmp_path / "out", ids)
    assert report["errors"] == {"OutOfMemory": 9}
    assert [row["duplicate_of"] for row in found[:4]] == [None, "a1.png", None, "b1.png"]
    bowl.write_text("fed")
    for name in ("b1", "c2", "d1", "d2"):
        (tmp_path / "in" / f"{name}.png").unlink()
    # One that is new takes the answer of one that is examined again.
    archive.write(tmp_path / "in" / "f.png", 0)
    report = again(tmp_path / "in", tmp_path / "out", part_rows=3, **values)
    found = archive.check_whole(tmp_path / "out", [*ids, "f.png"])
    row = {row["id"].removesuffix(".png"): row for row in found}
    errors = {name for name in row if row[name]["error"] is not None}
    assert errors == {"d1", "d2"}
    assert (row["d1"]["duplicate_of"], row["d2"]["duplicate_of"]) == (None, "d1.png")
    for names in (("a1", "a2", "f"), ("b1", "b2"), ("c1", "c2")):
        owners = [name for name in names if row[name]["duplicate_of"] is None]
        assert len(owners) == 1
        assert {row[n]["mask_offset"] for n in names} == {row[owners[0]]["mask_offset"]}
        assert {row[n]["duplicate_of"] for n in names} == {None, f"{owners[0]}.png"}
    assert tried(report) == (7, 7, 2)
    assert (report["examined"], report["copies"], report["errors"]) == (4, 4, {"OutOfMemory": 2})


def test_a_copy_of_what_is_something_else_now_stands_for_itself(tmp_path: Path) -> None:
    values, _ = starving(tmp_path)
    for name in ("a", "b", "c"):
        archive.write(tmp_path / "in" / f"{name}.png", 1)
    archive.examine(tmp_path / "in", tmp_path / "out", **values)
    (tmp_path / "in" / "a.png").write_bytes(b"broken")
    for name in ("b", "c"):
        (tmp_path / "in" / f"{name}.png").unlink()
    assert tried(again(tmp_path / "in", tmp_path / "out", **values)) == (1, 0, 2)
    found = archive.check_whole(tmp_path / "out", ["a.png", "b.png", "c.png"])
    assert [row["error"] for row in found] == ["NotAnImageError", "OutOfMemory", "OutOfMemory"]
    assert [row["duplicate_of"] for row in found] == [None, None, "b.png"]
    # Its answer still holds for its bytes, and is forgotten as others are.
    archive.write(tmp_path / "in" / "b.png", 1)
    (tmp_path / "bowl").write_text("fed")
    again(tmp_path / "in", tmp_path / "out", **values)
    found = archive.check_whole(tmp_path / "out", ["a.png", "b.png", "c.png"])
    assert [row["error"] for row in found] == ["NotAnImageError", None, None]


def test_what_was_found_before_the_end_of_a_call_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, bowl = starving(tmp_path)
    for name in ("a", "b"):
        archive.write(tmp_path / "in" / f"{name}.png", 1)
    archive.examine(tmp_path / "in", tmp_path / "out", **values)
    bowl.write_text("fed")
    with monkeypatch.context() as patch:
        patch.setattr(parts.Part, "replace", _interrupted_at(parts.Part.replace, 1))
        with pytest.raises(KeyboardInterrupt):
            again(tmp_path / "in", tmp_path / "out", **values)
    (tmp_path / "in" / "b.png").unlink()
    report = again(tmp_path / "in", tmp_path / "out", "all", **values)
    found = archive.check_whole(tmp_path / "out", ["a.png", "b.png"])
    assert [row["error"] for row in found] == [None, None]
    assert [row["duplicate_of"] for row in found] == [None, "a.png"]
    assert tried(report) == (2, 2, 0)


# --- runs that were stopped --------------------------------------------------------------------


def test_inputs_of_a_stopped_run_whose_rows_are_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, bowl = starving(tmp_path)
    ids = archive.archive(tmp_path / "in", 7)
    for name in ("x.png", "y.png"):
        archive.write(tmp_path / "in" / name, 5)
    ids += ["x.png", "y.png"]
    with monkeypatch.context() as patch:
        # One part is written, with the first of three that have the same bytes not in it.
        patch.setattr(parts.Part, "write", _interrupted_at(parts.Part.write, 2))
        with pytest.raises(KeyboardInterrupt):
            archive.examine(tmp_path / "in", tmp_path / "out", **values)
    (tmp_path / "in" / "x.png").unlink()
    bowl.write_text("fed")
    report = again(tmp_path / "in", tmp_path / "out", **values)
    found = archive.rows(tmp_path / "out")
    # What had been listed before it vanished may or may not have been examined then.
    assert sorted({*ids} - {"x.png"}) == sorted({row["id"] for row in found} - {"x.png"})
    assert len(found) == len({row["id"] for row in found})
    assert {row["error"] for row in found} == {None}
    assert report["errors"] == {}
    archive.check_whole(tmp_path / "out", [row["id"] for row in found])
    assert report["tried_again"]["inputs"] == report["tried_again"]["succeeded"] >= 4


def _interrupted_at(original: Any, call: int) -> Any:
    calls = [0]

    def counted(*arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] == call:
            raise KeyboardInterrupt
        return original(*arguments)

    return counted


STEPS = (
    # before any is marked, and after some are
    *(("state.State.retry_parts", 1), ("state.State.retry_parts", 2)),
    *(("state.State.retry_spool", 1), ("state.State.keep", 1), ("state.State.keep", 3)),
    # around the masks and rows of the first part
    *(("parts.Part.replace", 1), ("parts.Part._save_masks", 1), ("parts.Part._parquet", 1)),
    *(("state.State.commit_replaced", 1), ("state.State._move", 1)),
    # the same for another one
    *(("parts.Part._parquet", 1), ("state.State.commit_replaced", 1)),
)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="signals of Unix")
@pytest.mark.slow
def test_killed_at_every_step_of_a_replacement(tmp_path: Path) -> None:
    source, names = listed(tmp_path / "in", 12, missing=(0, 3, 9, 11))
    archive.examine(source, tmp_path / "out")
    (tmp_path / "in" / "00.png").write_bytes((tmp_path / "in" / "01.png").read_bytes())
    for i in (3, 9):
        archive.write(tmp_path / "in" / names[i], 30)
    run = [sys.executable, "-m", "batch.drive", str(source), str(tmp_path / "out"), "1", "passing"]
    for step, number in STEPS:
        done = subprocess.run([*run, step, str(number)], timeout=100)
        assert done.returncode == -signal.SIGKILL, step
        archive.check_rows(tmp_path / "out", names)
    assert subprocess.run(run[:-1], timeout=100).returncode == 0
    found = archive.check_whole(tmp_path / "out", names)
    assert [row["id"] for row in found if row["error"] is not None] == ["11.png"]
    assert found[0]["duplicate_of"] == "01.png"
    report = archive.examine(source, tmp_path / "out")
    assert (report["examined"], report["copies"]) == (9, 2)
    assert tried(report) == (4, 3, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="signals of Unix")
@pytest.mark.parametrize("step", ["parts.Part._parquet", "state.State.commit_replaced"])
def test_killed_around_the_new_part_file(tmp_path: Path, step: str) -> None:
    source, names = listed(tmp_path / "in", 6, missing=(1, 2))
    archive.examine(source, tmp_path / "out")
    for i in (1, 2):
        archive.write(tmp_path / "in" / names[i], i)
    run = [sys.executable, "-m", "batch.drive", str(source), str(tmp_path / "out"), "1", "passing"]
    killed = subprocess.run([*run, step, "1"], timeout=100)
    assert killed.returncode == -signal.SIGKILL
    found = archive.check_rows(tmp_path / "out", names)
    errors = 0 if step.endswith("commit_replaced") else 2
    assert sum(row["error"] is not None for row in found) == errors
    report = archive.examine(source, tmp_path / "out")
    same_as_new(source, tmp_path / "out", names)
    assert tried(report) == (2, 2, 0)


def test_a_full_disk_leaves_the_old_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, names = listed(tmp_path / "in", 6, missing=(1, 5))
    archive.examine(source, tmp_path / "out")
    for i in (1, 5):
        archive.write(tmp_path / "in" / names[i], i)
    original = os.fsync

    def full(descriptor: int) -> None:
        if "/rows/.part" in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(28, "No space left on device")
        original(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(
            ResultError, match=r"\(No space left on device\): nothing finished is lo"
        ):
            again(source, tmp_path / "out")
    found = archive.check_rows(tmp_path / "out", names)
    assert [row["error"] for row in found if row["error"]] == ["UnreadableFile"] * 2
    monkeypatch.setattr(LocalEngine, "start", _not_needed)
    assert tried(again(source, tmp_path / "out")) == (2, 2, 0)
    archive.check_whole(tmp_path / "out", names)


def _not_needed(engine: LocalEngine) -> None:
    raise AssertionError("the method is loaded")


def test_a_part_file_that_is_gone(tmp_path: Path) -> None:
    source, _ = listed(tmp_path / "in", 3, missing=(1,))
    archive.examine(source, tmp_path / "out")
    (tmp_path / "out" / "rows" / "part-00000-00000.parquet").unlink()
    with pytest.raises(
        ResultError, match=r"part-00000-00000\.parquet cannot be read .*: put it ba"
    ):
        again(source, tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("passing", PASSING),
        ("WorkerDied", {"WorkerDied"}),
        ("WorkerDied, ChangedWhileRead", {"WorkerDied", "ChangedWhileRead"}),
    ],
)
def test_kinds_of_errors(text: str, kinds: set[str]) -> None:
    assert parse_kinds(text) == kinds
    assert kinds <= parse_kinds("all")


@pytest.mark.parametrize("text", ["", "timelimitexceeded", "WorkerDied,", "all,passing"])
def test_kinds_that_there_are_not(text: str) -> None:
    with pytest.raises(UnknownNameError, match="unknown kind of error '.*'; .*known: ChangedWhile"):
        parse_kinds(text)
