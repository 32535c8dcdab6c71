"""What a source lists: every input once, in a steady order, and nothing that lies outside."""

import errno
import json
import os
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch import archive
from tamperscope.batch import remote, sources
from tamperscope.batch.config import Shard
from tamperscope.batch.reading import ReadingError, read_task
from tamperscope.batch.sources import in_shard, open_source
from tamperscope.batch.work import Task, name_bytes, readable
from tamperscope.errors import DataError, MissingExtraError, UnknownNameError


def tasks(source: Path | str, **values: Any) -> list[Task]:
    return list(open_source(archive.config(source, Path("unused-output"), **values)).tasks())


def problems(source: Path, **values: Any) -> dict[str, str | None]:
    return {t.id: t.problem[0] if t.problem else None for t in tasks(source, **values)}


# --- folders -----------------------------------------------------------------------------------


def test_folders_are_walked_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["b.png", "a/2.JPG", "a/10.jpg", "a b/c/d.webp", "ä.png", "a.png"]
    for name in [*names, ".hidden.png", ".git/x.png", "notes.txt", "a/readme"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    ids = [task.id for task in tasks(tmp_path)]
    assert sorted(ids) == sorted(names)
    monkeypatch.setattr(sources, "_SORTED_AT_ONCE", 2)
    assert [task.id for task in tasks(tmp_path)] == ids
    assert len({task.key for task in tasks(tmp_path)}) == len(names)
    assert open_source(archive.config(tmp_path, tmp_path / "out")).count() == len(names)


def test_names_that_are_no_text(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9\n.png")
    archive.write(tmp_path / "in" / name, 3)
    archive.examine(tmp_path / "in", tmp_path / "out")
    (row,) = archive.rows(tmp_path / "out")
    assert row["id"] == "caf\\xe9\n.png"
    assert row["error"] is None


def test_a_deep_tree(tmp_path: Path) -> None:
    depth, here = 1200, os.open(tmp_path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(os.open("x.png", os.O_CREAT, dir_fd=here))
    os.close(here)
    try:
        assert [task.id.count("d/") for task in tasks(tmp_path)] == [depth]
    finally:
        # Deeper than what Python's own removal of temporary folders can recurse.
        subprocess.run(["rm", "-rf", os.fspath(tmp_path / "d")], check=True)


def test_links_out_of_the_folder(tmp_path: Path) -> None:
    outside = archive.write(tmp_path / "outside" / "x.png")
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "link.png").symlink_to(outside)
    (folder / "folder").symlink_to(outside.parent)
    (task,) = tasks(folder)
    with pytest.raises(ReadingError, match="leads out of the folder of the source; --allow-out"):
        read_task(task, 10**6)
    (task,) = tasks(folder, allow_outside=True)
    assert read_task(task, 10**6) == archive.encoded()


def test_shards_do_not_depend_on_what_else_is_listed() -> None:
    every = [Task(key=str(i), id=f"{i}.png", source="") for i in range(300)]
    shares = [list(in_shard(every, Shard(i, 4))) for i in range(4)]
    assert sorted(int(t.key) for share in shares for t in share) == list(range(300))
    assert all(50 < len(share) < 100 for share in shares)
    assert list(in_shard(every[::2], Shard(1, 4))) == [t for t in shares[1] if int(t.key) % 2 == 0]


# --- lists and tables --------------------------------------------------------------------------

ENTRIES: dict[str, str | None] = {
    "a.png": None,
    "sub/../a.png": "OutsideSource",
    "../a.png": "OutsideSource",
    "/etc/passwd": "OutsideSource",
    "..\\a.png": "OutsideSource",
    "\\\\host\\share\\a.png": "OutsideSource",
    "file:///etc/passwd": "OutsideSource",
    "FILE:///etc/passwd": "OutsideSource",
    "local://etc/passwd": "OutsideSource",
    "simplecache::s3://bucket/a.png": "OutsideSource",
    "zip://a.png::file:///etc/archive.zip": "OutsideSource",
    "ssh://host/a.png": "OutsideSource",
    "s3://bucket/a.png": None,
    "https://example.org/a.png": None,
    "..a/..b.png": None,
}


def test_entries_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("\n".join(ENTRIES))
    assert problems(tmp_path / "list.txt") == ENTRIES
    assert set(problems(tmp_path / "list.txt", allow_outside=True).values()) == {None}


def test_lists(tmp_path: Path) -> None:
    source = tmp_path / "list.txt"
    source.write_bytes(b"\xef\xbb\xbfa.png\r\n\n  b c.png  \na.png\n")
    found = tasks(source)
    assert [task.id for task in found] == ["a.png", "b c.png", "a.png"]
    assert len({task.key for task in found}) == 3
    assert found[0].path == str(tmp_path / "a.png")
    assert open_source(archive.config(source, tmp_path)).count() == 3
    with pytest.raises(DataError, match="a list has no columns; leave out --column"):
        tasks(source, column="path")
    source.write_bytes(b"x" * (2 << 20))
    with pytest.raises(DataError, match="has a line longer than 1 MiB; is it a list?"):
        tasks(source)


def test_the_same_path_twice_has_two_rows(tmp_path: Path) -> None:
    archive.write(tmp_path / "a.png")
    (tmp_path / "list.txt").write_text("a.png\na.png\nmissing.png\n")
    archive.examine(tmp_path / "list.txt", tmp_path / "out")
    found = archive.check_whole(tmp_path / "out", ["a.png", "a.png", "missing.png"])
    assert [row["duplicate_of"] for row in found] == [None, "a.png", None]
    assert found[2]["error"] == "UnreadableFile"


def test_csv(tmp_path: Path) -> None:
    source = tmp_path / "t.csv"
    source.write_text('name,path\none,a.png\n"two, too","b.png"\nthree\nfour,\n')
    found = tasks(source, id_column="name")
    assert [(task.id, task.problem is None) for task in found] == [
        ("one", True),
        ("two, too", True),
        ("three", False),
        ("four", False),
    ]
    assert found[2].problem == ("MalformedEntry", "line 4 has no path; mend the table")
    assert [task.id for task in tasks(source)][2:] == ["line 4", "line 5"]
    with pytest.raises(UnknownNameError, match="unknown column of .*'pth'; did you mean 'path'"):
        tasks(source, column="pth")
    with pytest.raises(UnknownNameError, match="unknown column of .*'nam'; did you mean 'name'"):
        tasks(source, id_column="nam")
    source.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"none of its columns \(a, b\) is called path, file"):
        tasks(source)
    source.write_text('path\n"' + f"{'x' * 99}\n" * 20_000)
    with pytest.raises(DataError, match=r"line 2 is no CSV \(field larger than field limit"):
        tasks(source)


def test_quotation_marks_inside_a_table(tmp_path: Path) -> None:
    source = tmp_path / "t.csv"
    source.write_text('path,note\n"a\nb.png",x\n5" pipe.jpg,y\nc.png,6" pipe\nd.png,"say ""hi"""\n')
    assert [task.id for task in tasks(source)] == ["a\nb.png", '5" pipe.jpg', "c.png", "d.png"]


@pytest.mark.parametrize("rest", ["c.png,y\nd.png,z\n", '"c.png",y\nd.png,z\n'])
def test_a_quotation_mark_that_is_never_closed(tmp_path: Path, rest: str) -> None:
    source = tmp_path / "t.csv"
    source.write_text(f'path,note\na.png,x\nb.png,"open\n{rest}')
    found = open_source(archive.config(source, tmp_path / "out")).tasks()
    assert next(found).id == "a.png"
    with pytest.raises(
        DataError, match=r"t\.csv: a quotation mark on line 3 is never closed; mend the table"
    ):
        next(found)


def test_columns_that_are_not_read_may_be_long(tmp_path: Path) -> None:
    source = tmp_path / "t.csv"
    source.write_text(f"path,note\na.png,{'x' * 200_000}\nb.png,y\n")
    assert [task.id for task in tasks(source)] == ["a.png", "b.png"]


def test_malformed_rows_are_named_by_their_line(tmp_path: Path) -> None:
    source = tmp_path / "t.csv"
    source.write_text('\npath,text\n\na.png,"two\nlines"\n,nothing\n\n ,\nb.png\n,"or\n\nmore"\n')
    found = {task.id: task.problem and task.problem[1] for task in tasks(source)}
    assert found == {
        "a.png": None,
        "line 6": "line 6 has no path; mend the table",
        " ": None,
        "b.png": None,
        "line 10": "line 10 has no path; mend the table",
    }


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_the_separator_is_found_by_the_header(tmp_path: Path, separator: str, ending: str) -> None:
    source = tmp_path / f"t.{ending}"
    lines = [["name", "my, path", "n;o|t\te"], ["one", "a, b;c|d.png", ""]]
    quoted = (separator.join(f'"{cell}"' for cell in line) for line in lines)
    source.write_text("\n".join(quoted))
    (task,) = tasks(source, column="my, path", id_column="name")
    assert (task.id, task.source) == ("one", "a, b;c|d.png")


def test_separators_of_headers_that_could_be_several(tmp_path: Path) -> None:
    source = tmp_path / "t.csv"
    source.write_text("path;of;it,path\nx,a;b.png\n")
    assert [task.id for task in tasks(source)] == ["a;b.png"]
    source.write_text("path\na;b,c.png\n")
    assert [task.id for task in tasks(source)] == ["a;b"]
    source.write_text("a;b, c;d\n1;2;3\n")
    with pytest.raises(DataError, match=r"none of its columns \(a, b, c, d\) is called path, file"):
        tasks(source)
    source.write_text("")
    with pytest.raises(DataError, match=r"none of its columns \(none\) is called path"):
        tasks(source)


def test_tsv(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("file\tlabel\na, b.png\t1\n")
    assert [task.id for task in tasks(tmp_path / "t.tsv")] == ["a, b.png"]


def test_json_lines(tmp_path: Path) -> None:
    lines = ['{"url": "a.png", "n": 7}', "{", "[1]", '{"url": 3}', '{"n": 8}', "[" * 100_000]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    found = tasks(tmp_path / "t.jsonl", id_column="n")
    assert [task.id for task in found] == ["7", "line 2", "line 3", "line 4", "8", "line 6"]
    assert found[1].problem == ("MalformedEntry", "line 2 is no JSON object; mend the list")
    assert found[3].problem == ("MalformedEntry", "line 4 has no path in 'url'; mend the list")


LONE = "\ud800"


def test_names_that_only_json_can_spell(tmp_path: Path) -> None:
    archive.write(tmp_path / "a.png", 1)
    lines = [
        {"path": "a.png", "id": "first"},
        {"path": f"{LONE}.png", "id": "second"},
        {"path": "a.png", "id": LONE},
        {"path": f"../{LONE}.png", "id": f"\udcff{LONE}"},
        {"path": f"{LONE}{LONE}.png", "id": None},
    ]
    source = tmp_path / "t.jsonl"
    source.write_text("\n".join(json.dumps(line) for line in lines))
    report = archive.examine(source, tmp_path / "out", id_column="id")
    ids = ["first", "second", "\\ud800", "\\udcff\\ud800", "\\ud800\\ud800.png"]
    found = archive.check_whole(tmp_path / "out", ids)
    assert [row["source"] for row in found][1] == "\\ud800.png"
    assert [row["duplicate_of"] for row in found] == [None, None, "first", None, None]
    assert report["errors"] == {"UnreadableFile": 2, "OutsideSource": 1}
    listed = tasks(source, id_column="id")
    shares = [[task.key for task in in_shard(listed, Shard(i, 2))] for i in range(2)]
    assert sorted(shares[0] + shares[1]) == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("ä.png", "ä.png".encode()),
        (os.fsdecode(b"caf\xe9"), b"caf\xe9"),
        (f"a{LONE}", b"a\\ud800"),
        (f"{LONE}\udce9", b"\\ud800\\udce9"),
    ],
)
def test_the_bytes_of_a_name(name: str, known: bytes) -> None:
    assert name_bytes(name) == known
    assert readable(name).encode().decode() == known.decode("utf-8", "backslashreplace")


def test_parquet_of_paths_and_of_pictures(tmp_path: Path) -> None:
    data = [archive.encoded(i) for i in range(20)]
    paths = [f"{i}.png" for i in range(19)] + [None]
    table = {"path": paths, "image": data, "n": list(range(20))}
    pq.write_table(pa.table(table), tmp_path / "t.parquet", row_group_size=6)
    found = tasks(tmp_path / "t.parquet")
    assert [task.data for task in found] == data
    assert found[7].id == "t.parquet#7"
    found = tasks(tmp_path / "t.parquet", column="path", id_column="n")
    assert [task.id for task in found] == [str(i) for i in range(20)]
    assert found[19].problem == (
        "MalformedEntry",
        "row 19 holds neither a path nor bytes; mend the table",
    )
    with pytest.raises(UnknownNameError, match="unknown column of .*'imag'; did you mean 'image'"):
        tasks(tmp_path / "t.parquet", column="imag")
    with pytest.raises(DataError, match="column 'n' holds int64, neither paths nor pictures"):
        tasks(tmp_path / "t.parquet", column="n")


def test_ids_in_parquet(tmp_path: Path) -> None:
    ids = [b"one", b"", None, b"caf\xe9"]
    table = {
        "image": [archive.encoded(i) for i in range(4)],
        "path": [f"{i}.png" for i in range(4)],
        "raw": ids,
        "text": ["one", "", None, "two"],
    }
    pq.write_table(pa.table(table), tmp_path / "t.parquet")

    def found(column: str, id_column: str) -> list[str]:
        listed = tasks(tmp_path / "t.parquet", column=column, id_column=id_column)
        return [task.id for task in listed]

    assert found("image", "raw") == ["one", "t.parquet#1", "t.parquet#2", "caf\\xe9"]
    assert found("path", "raw") == ["one", "1.png", "2.png", "caf\\xe9"]
    assert found("path", "text") == ["one", "1.png", "2.png", "two"]


def test_folders_have_no_columns(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a folder has no columns; leave out --column"):
        tasks(tmp_path, column="path")


def test_parquet_of_structs_with_bytes(tmp_path: Path) -> None:
    values = [{"bytes": archive.encoded(1), "path": "x.png"}, {"bytes": None, "path": "y.png"}]
    values.append({"bytes": b"", "path": "z.png"})
    pq.write_table(pa.table({"image": values}), tmp_path / "t.parquet")
    first, second, empty = tasks(tmp_path / "t.parquet")
    assert first.data == archive.encoded(1)
    assert empty.data == b""
    assert second.path == str(tmp_path / "y.png")


def test_a_run_over_parquet(tmp_path: Path) -> None:
    data = [*(archive.encoded(i) for i in range(5)), b"broken", b"", archive.encoded(2)]
    pq.write_table(pa.table({"bytes": data}), tmp_path / "t.parquet")
    archive.examine(tmp_path / "t.parquet", tmp_path / "out")
    found = archive.check_whole(tmp_path / "out", [f"t.parquet#{i}" for i in range(8)])
    assert [row["error"] for row in found[4:]] == [None, "NotAnImageError", "EmptyImageError", None]
    assert found[7]["duplicate_of"] == "t.parquet#2"


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1", os.urandom(999)])
def test_what_is_no_parquet(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "t.parquet").write_bytes(data)
    with pytest.raises(DataError, match=r"t\.parquet: cannot be read as Parquet"):
        tasks(tmp_path / "t.parquet")


def test_fingerprints_are_of_the_content(tmp_path: Path) -> None:
    def fingerprint(name: str) -> str:
        return open_source(archive.config(tmp_path / name, tmp_path)).fingerprint()

    for name, text in (("a.txt", "1.png\n"), ("b.txt", "1.png\n"), ("c.txt", "2.png\n")):
        (tmp_path / name).write_text(text)
    assert fingerprint("a.txt") == fingerprint("b.txt") != fingerprint("c.txt")
    for name, value in (("a.parquet", b"1"), ("b.parquet", b"1"), ("c.parquet", b"2")):
        pq.write_table(pa.table({"bytes": [value]}), tmp_path / name)
    assert fingerprint("a.parquet") == fingerprint("b.parquet") != fingerprint("c.parquet")


# --- reading -----------------------------------------------------------------------------------


def test_a_file_that_changes_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archive.write(tmp_path / "a.png")
    task = Task(key="a", id="a", source="a", path=str(path))
    original, calls = os.fstat, [0]

    def meddling(descriptor: int) -> os.stat_result:
        calls[0] += 1
        if calls[0] == 1:
            found = original(descriptor)
            with path.open("ab") as file:
                file.write(b"more")
            return found
        return original(descriptor)

    monkeypatch.setattr(os, "fstat", meddling)
    with pytest.raises(ReadingError, match="changed while it was read; examine it again") as found:
        read_task(task, 10**6)
    assert found.value.kind == "ChangedWhileRead"


def test_files_that_are_too_long(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ReadingError, match="longer than any picture of the most pixels allowed"):
        read_task(Task(key="a", id="a", source="a", path=str(path)), 1000)
    with pytest.raises(ReadingError, match="longer than any picture"):
        read_task(Task(key="a", id="a", source="a", data=bytes(1001)), 1000)


def test_small_files_take_little_memory_however_long_they_might_be(tmp_path: Path) -> None:
    path = archive.write(tmp_path / "a.png")
    task = Task(key="a", id="a", source="a", path=str(path))
    tracemalloc.start()
    try:
        assert read_task(task, 1 << 32) == archive.encoded()
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["a\0b.png", "x" * 5000, "missing/a.png"])
def test_paths_that_cannot_be(tmp_path: Path, name: str) -> None:
    with pytest.raises(ReadingError) as found:
        read_task(Task(key="a", id="a", source="a", path=str(tmp_path / name)), 1000)
    assert found.value.kind == "UnreadableFile"


# --- addresses ---------------------------------------------------------------------------------


@pytest.fixture
def store() -> Iterator[Any]:
    """fsspec's store in memory, empty again afterwards."""
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def test_folders_behind_an_address(store: Any) -> None:
    for name in ("b.png", "a/2.jpg", "a/1.jpg", "a/notes.txt", ".hidden/x.png"):
        store.pipe(f"/archive/{name}", archive.encoded(1))
    found = tasks("memory://archive")
    assert [task.id for task in found] == ["b.png", "a/1.jpg", "a/2.jpg"]
    assert found[1].path == "memory://archive/a/1.jpg"
    assert read_task(found[1], 10**6) == archive.encoded(1)
    store.rm("/archive/a/1.jpg")
    with pytest.raises(ReadingError, match="cannot be read .*; check the address"):
        read_task(found[1], 10**6)


def test_tables_behind_an_address(store: Any, tmp_path: Path) -> None:
    store.pipe("/archive/t.csv", b"path\nsub/a.png\n../b.png\n/c.png\n")
    found = tasks("memory://archive/t.csv")
    assert [task.path for task in found] == ["memory://archive/sub/a.png", None, None]
    pq.write_table(pa.table({"bytes": [b"1", b"2"]}), tmp_path / "t.parquet")
    store.pipe("/archive/t.parquet", (tmp_path / "t.parquet").read_bytes())
    assert [task.data for task in tasks("memory://archive/t.parquet")] == [b"1", b"2"]


def test_addresses_of_nothing(store: Any) -> None:
    with pytest.raises(DataError, match=r"no such folder, and not a \.txt, \.csv"):
        tasks("memory://nothing")
    with pytest.raises(DataError, match="check the address"):
        tasks("gopher://host/folder")
    with pytest.raises(DataError, match=r"t\.txt: cannot be read"):
        tasks("memory://nothing/t.txt")


def test_stores_that_fail_in_ways_of_their_own(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoCredentialsError(Exception):
        pass

    def refuse(*args: Any, **values: Any) -> None:
        raise NoCredentialsError("no credentials\nhere")

    store.pipe("/archive/a.png", b"1")
    monkeypatch.setattr(type(store), "ls", refuse)
    with pytest.raises(DataError, match=r"cannot be listed \(no credentials here\); check the add"):
        tasks("memory://archive")
    monkeypatch.setattr(type(store), "open", refuse)
    for name in ("t.txt", "t.parquet"):
        with pytest.raises(DataError, match=r"cannot be read .*no credentials here"):
            tasks(f"memory://archive/{name}")


def test_a_listing_that_fails_once_is_tried_again(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("b.png", "a/1.jpg"):
        store.pipe(f"/archive/{name}", b"1")
    original, failed = type(store).ls, set()

    def shaky(system: Any, path: str, **options: Any) -> Any:
        if path not in failed:
            failed.add(path)
            raise ConnectionError("gone")
        return original(system, path, **options)

    monkeypatch.setattr(remote, "_PAUSE", 0.0)
    monkeypatch.setattr(type(store), "ls", shaky)
    assert [task.id for task in tasks("memory://archive")] == ["b.png", "a/1.jpg"]
    assert failed == {"/archive", "/archive/a"}


def test_a_missing_part_of_fsspec_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(
        MissingExtraError, match=r"reading s3:// addresses needs .*tamperscope\[clo"
    ):
        tasks("s3://bucket/folder")


def test_passing_failures_are_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_PAUSE", 0.0)
    outcomes: list[Any] = [TimeoutError("slow"), ConnectionError("gone"), b"data"]

    def action() -> Any:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    assert remote._patiently(action) == b"data"
    outcomes[:] = [TimeoutError("slow")] * 3
    with pytest.raises(TimeoutError, match="slow"):
        remote._patiently(action)
    outcomes[:] = [FileNotFoundError("no"), b"never"]
    with pytest.raises(FileNotFoundError):
        remote._patiently(action)
    refused = FileNotFoundError("http://host/a.png")
    refused.__cause__ = ConnectionRefusedError(111, "Connect call failed")
    outcomes[:] = [refused, refused, b"data"]
    assert remote._patiently(action) == b"data"


class Answered(Exception):
    """As web clients raise them."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}, message={message!r}, url='http://host/a.png'")
        self.status, self.message = status, message


@pytest.mark.parametrize(
    ("error", "cause", "said", "passes"),
    [
        (FileNotFoundError("http://h/a"), Answered(404, "Not Found"), "404 Not Found", False),
        (FileNotFoundError("http://h/a"), Answered(503, "Busy"), "503 Busy", True),
        (FileNotFoundError("http://h/a"), Answered(429, ""), "429", True),
        (
            FileNotFoundError("http://h/a"),
            ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 1)"),
            "Connection refused",
            True,
        ),
        (
            FileNotFoundError("http://h/a"),
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            "Name or service not known",
            True,
        ),
        (FileNotFoundError("http://h/a"), TimeoutError(), "timed out", True),
        (OSError("x"), ssl.SSLError(1, "certificate verify failed"), "certificate verify", True),
        (FileNotFoundError("/bucket/a"), None, "no such file", False),
        (
            FileNotFoundError("The specified key\ndoes not exist"),
            None,
            "The specified key do",
            False,
        ),
        (PermissionError("Access denied"), None, "Access denied", False),
        (KeyError(), None, "KeyError", False),
    ],
)
def test_the_cause_of_a_failure_is_told(
    error: Exception, cause: Exception | None, said: str, passes: bool
) -> None:
    error.__cause__ = cause
    assert said in remote.reason(error)
    assert "\n" not in remote.reason(error)
    assert remote._may_pass(error) is passes


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The folder ``web``, over HTTP."""
    (tmp_path / "web").mkdir()
    handler = partial(Quiet, directory=str(tmp_path / "web"))
    socketserver.TCPServer.allow_reuse_address = True
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_run_over_http(tmp_path: Path, web: str) -> None:
    for i in range(3):
        archive.write(tmp_path / "web" / f"{i}.png", i)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}/a.png"
    lines = ["0.png", f"{web}/1.png", "missing.png", "2.png", nobody]
    (tmp_path / "web" / "list.txt").write_text("\n".join(lines))
    # A driver of its own: fsspec leaves a thread and sockets behind.
    code = (
        "import json, sys; from pathlib import Path; from batch.archive import examine\n"
        "print(json.dumps(examine(sys.argv[1], Path(sys.argv[2]))['errors']))"
    )
    command = [sys.executable, "-c", code, f"{web}/list.txt", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"UnreadableFile": 2}
    found = archive.check_whole(tmp_path / "out", lines)
    assert [row["error"] is None for row in found] == [True, True, False, True, False]
    advice = "check the address, or try again later with --retry-errors"
    assert found[2]["error_message"] == f"cannot be read (404 File not found); {advice}"
    assert found[4]["error_message"] == f"cannot be read (Connection refused); {advice}"


@pytest.mark.slow
def test_a_run_over_s3(tmp_path: Path) -> None:
    pytest.importorskip("s3fs")
    pytest.importorskip("moto.server")
    for i in range(12):
        archive.write(tmp_path / "in" / f"{i // 5}" / f"{i:02}.png", i)
    # The store lives in the driver's process: it leaves threads and sockets behind.
    code = """
import os, sys
from pathlib import Path
os.environ |= dict(AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x", AWS_DEFAULT_REGION="us-east-1")
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
os.environ["AWS_ENDPOINT_URL"] = f"http://{host}:{port}"
import s3fs
store = s3fs.S3FileSystem()
store.mkdir("archive")
store.put(sys.argv[1], "archive/2024", recursive=True)
from batch.archive import examine
report = examine("s3://archive/2024", Path(sys.argv[2]))
assert report["errors"] == {}, report
os._exit(0)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "in"), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    ids = [f"{i // 5}/{i:02}.png" for i in range(12)]
    archive.check_whole(tmp_path / "out", ids)
    archive.examine(tmp_path / "in", tmp_path / "local")
    for row, other in zip(
        archive.rows(tmp_path / "out"), archive.rows(tmp_path / "local"), strict=True
    ):
        assert row["source"].startswith("s3://archive/2024/")
        assert {**archive.stable(row), "source": ""} == {**archive.stable(other), "source": ""}


def test_a_missing_extra_stops_a_list_before_any_row_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(scheme: str) -> None:
        raise ImportError(scheme)

    monkeypatch.setattr(fsspec, "get_filesystem_class", absent)
    remote._needed.cache_clear()
    (tmp_path / "list.txt").write_text("a.jpg\ns3://bucket/b.jpg\n")
    with pytest.raises(MissingExtraError, match=r"reading s3:// addresses needs .*\[cloud\]"):
        tasks(tmp_path / "list.txt")
    monkeypatch.undo()
    remote._needed.cache_clear()
    (tmp_path / "list.txt").write_text("memory://b.jpg\n")
    assert [t.path for t in tasks(tmp_path / "list.txt")] == ["memory://b.jpg"]
