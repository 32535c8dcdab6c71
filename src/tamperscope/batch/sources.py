"""Where inputs come from: folders, lists, tables, on this machine or behind a URL.

A source lists its inputs one after another; however many there are, it never holds them all.
"""

import hashlib
import heapq
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from tamperscope.batch import remote
from tamperscope.batch.config import BatchConfig, Shard
from tamperscope.batch.work import OUTSIDE, Task, name_bytes, readable
from tamperscope.errors import DataError
from tamperscope.image import SUFFIXES

LISTS = (".txt", ".lst", ".list")
TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")
PARQUET = (".parquet", ".pq")

_SORTED_AT_ONCE = 100_000


class Source(Protocol):
    """Lists inputs, in the same order each time as long as nothing changes."""

    def fingerprint(self) -> str:
        """Equal for the same source; of a file, by its content."""
        ...

    def tasks(self) -> Iterator[Task]:
        """One task per input."""
        ...

    def count(self) -> int | None:
        """How many tasks there are; None where that is not known."""
        ...


def open_source(config: BatchConfig) -> Source:
    """The source that a configuration names.

    Raises:
        DataError: there is none, or it lacks the column asked for.
        MissingExtraError: reading it needs an optional dependency.
    """
    source = _opened(config)
    folder = isinstance(source, FolderSource | RemoteFolderSource)
    if folder and (config.column or config.id_column):
        raise DataError(
            f"{config.source}: a folder has no columns; leave out --column and --id-column"
        )
    return source


def _opened(config: BatchConfig) -> Source:
    name = config.source
    if not remote.is_url(name) and not os.path.lexists(name):
        raise DataError(f"{name}: no such file or folder; check the path")
    suffix = os.path.splitext(name)[1].lower()
    if not remote.is_url(name) and os.path.isdir(name):
        return FolderSource(Path(name), skip=config.output, allow_outside=config.allow_outside)
    if suffix in PARQUET:
        from tamperscope.batch.parquet import ParquetSource

        return ParquetSource(name, config.column, config.id_column, config.allow_outside)
    if suffix in (*LISTS, *TABLES):
        from tamperscope.batch.manifests import manifest

        return manifest(name, suffix, config.column, config.id_column, config.allow_outside)
    if remote.is_url(name):
        return RemoteFolderSource(name)
    known = ", ".join((*LISTS, *TABLES, *PARQUET))
    raise DataError(f"{name}: is neither a folder nor a list or table ({known}); rename it")


def in_shard(tasks: Iterable[Task], shard: Shard) -> Iterator[Task]:
    """The tasks of one shard, told by the hash of their id: stable, whatever else is listed."""
    for task in tasks:
        digest = hashlib.sha256(name_bytes(task.id)).digest()
        if int.from_bytes(digest[:8], "big") % shard.count == shard.index:
            yield task


class FolderSource:
    """Pictures in a folder and the folders inside it, by their endings; hidden ones are left out.

    Folders that are links are not entered.

    Args:
        root: the folder.
        skip: a folder never entered: that of our own outputs.
        allow_outside: whether files may be links that lead out of the folder.
    """

    def __init__(self, root: Path, *, skip: Path, allow_outside: bool) -> None:
        self._root = os.fspath(root.resolve())
        self._skip = os.fspath(skip.resolve())
        self._confine = None if allow_outside else self._root

    def fingerprint(self) -> str:
        """See `Source.fingerprint`."""
        return readable(self._root)

    def count(self) -> int:
        """See `Source.count`."""
        return sum(1 for _ in self._names())

    def tasks(self) -> Iterator[Task]:
        """See `Source.tasks`."""
        for name in self._names():
            path = os.path.join(self._root, name)
            yield Task(
                key=name,
                id=readable(Path(name).as_posix()),
                source=readable(path),
                path=path,
                root=self._confine,
            )

    def _names(self) -> Iterator[str]:
        """Paths of the pictures, relative to the root."""
        # A stack of our own: a hostile tree may be deeper than Python's.
        open_folders = [self._entries("")]
        while open_folders:
            name = next(open_folders[-1], None)
            if name is None:
                open_folders.pop()
            elif name.endswith("/"):
                open_folders.append(self._entries(name))
            else:
                yield name

    def _entries(self, folder: str) -> Iterator[str]:
        return _in_order(self._seen(folder))

    def _seen(self, folder: str) -> Iterator[str]:
        path = os.path.join(self._root, folder)
        try:
            entries = os.scandir(path)
        except FileNotFoundError:  # vanished since its own folder was listed
            return
        except OSError as error:
            raise DataError(
                f"{readable(path)}: cannot be listed ({error.strerror}); make it readable"
            ) from error
        with entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if entry.path != self._skip:
                        yield f"{folder}{entry.name}/"
                elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
                    yield folder + entry.name


class RemoteFolderSource:
    """Pictures below a URL that its store can list, by their endings."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        # Fails early where a part of fsspec is missing.
        remote.file_system(self._url)

    def fingerprint(self) -> str:
        """See `Source.fingerprint`."""
        return self._url

    def count(self) -> None:
        """See `Source.count`. Listing a store twice costs time and money."""
        return None

    def tasks(self) -> Iterator[Task]:
        """See `Source.tasks`."""
        for name in remote.walk_url(self._url):
            hidden = any(part.startswith(".") for part in name.split("/"))
            if not hidden and os.path.splitext(name)[1].lower() in SUFFIXES:
                url = f"{self._url}/{name}"
                yield Task(key=name, id=name, source=url, path=url)


class Place:
    """The folder of a list or table, from which its relative entries count.

    Args:
        file: path or URL of the list or table.
        allow_outside: whether entries may lead out of its folder.
    """

    def __init__(self, file: str, allow_outside: bool) -> None:
        self._remote = remote.is_url(file)
        self._base = file.rpartition("/")[0] if self._remote else _folder_of(file)
        self._allow_outside = allow_outside

    def task(self, key: str, entry: str, id: str | None = None) -> Task:
        """The task for an entry; one with a problem where the entry leads out of the folder."""
        name = readable(entry)
        task = Task(key=key, id=id or name, source=name)
        if (problem := self._problem(entry)) is not None:
            message = f"{problem}; --allow-outside permits that"
            return replace(task, problem=(OUTSIDE, message))
        if remote.is_url(entry):
            # Without the extra every such entry would fail, and its row would be final.
            remote.need(entry)
            return replace(task, path=entry)
        if self._remote:
            return replace(task, path=f"{self._base}/{entry}")
        root = None if self._allow_outside else self._base
        return replace(task, path=os.path.join(self._base, entry), root=root)

    def _problem(self, entry: str) -> str | None:
        if self._allow_outside:
            return None
        if remote.is_url(entry):
            return (
                None if remote.is_plain(entry) else "is no address of a plain web or object store"
            )
        if os.path.isabs(entry) or entry.startswith(("/", "\\")):
            return "is an absolute path, not one below the folder of the list"
        if ".." in entry.replace("\\", "/").split("/"):
            return "leads out of the folder of the list"
        return None


def _folder_of(file: str) -> str:
    return os.fspath(Path(file).resolve().parent)


def _in_order(names: Iterator[str]) -> Iterator[str]:
    """Names sorted; more than fit comfortably in memory are sorted on disk."""
    runs: list[Iterator[str]] = []
    run: list[str] = []
    for name in names:
        run.append(name)
        if len(run) >= _SORTED_AT_ONCE:
            runs.append(_spilled(sorted(run)))
            run.clear()
    return heapq.merge(*runs, sorted(run))


def _spilled(names: list[str]) -> Iterator[str]:
    file = tempfile.TemporaryFile()  # noqa: SIM115 (closed when it has been read)
    for name in names:
        file.write(os.fsencode(name).replace(b"\n", b"\0") + b"\n")
    file.seek(0)

    def read() -> Iterator[str]:
        with file:
            for line in file:
                yield os.fsdecode(line[:-1].replace(b"\0", b"\n"))

    return read()
