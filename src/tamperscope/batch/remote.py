"""Files behind URLs, through fsspec. Local paths never come here."""

import posixpath
import re
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, BinaryIO, TypeVar

from tamperscope.errors import DataError, TamperscopeError, missing_extra

STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "http", "https", "memory"})
"""Where inputs may be without --allow-outside: stores that hold no file of this machine."""

_TRIES = 3
_PAUSE = 0.5
_PIECE = 1 << 20

T = TypeVar("T")


def is_url(text: str) -> bool:
    """Whether it is an address such as ``s3://bucket/key`` rather than a path."""
    return re.match(r"[a-z][a-z0-9+.-]*(::|://)", text, re.IGNORECASE) is not None


def is_plain(url: str) -> bool:
    """Whether a URL leads to a store, without detours through archives or local files."""
    return "::" not in url and url.partition("://")[0].lower() in STORES


def open_url(url: str) -> BinaryIO:
    """The file behind a URL, for reading, piece by piece.

    Raises:
        MissingExtraError: fsspec or its part for this kind of URL is not installed.
        OSError: it cannot be opened.
    """
    system, path = file_system(url)
    try:
        file: BinaryIO = _patiently(lambda: system.open(path, "rb"))
    except OSError:
        raise
    except Exception as error:  # stores fail in ways of their own
        raise OSError(_reason(error)) from error
    return file


def file_system(url: str) -> tuple[Any, str]:
    """fsspec's file system for a URL, and the path in it.

    Raises:
        MissingExtraError: fsspec or its part for this kind of URL is not installed.
        DataError: there is no such kind of URL.
    """
    try:
        from fsspec.core import url_to_fs

        # Listings of an archive are long, and looked at once.
        system, path = url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        raise missing_extra(f"reading {url.partition('://')[0]}:// addresses", "cloud") from error
    except ValueError as error:
        raise DataError(f"{url}: {error}; check the address") from error
    return system, str(path)


def need(url: str) -> None:
    """Raise at once where a common store cannot be read here for want of an extra.

    Raises:
        MissingExtraError: fsspec or its part for this kind of URL is not installed.
    """
    if (scheme := url.partition("://")[0].lower()) in STORES:
        _needed(scheme)


@cache
def _needed(scheme: str) -> None:
    try:
        from fsspec import get_filesystem_class

        get_filesystem_class(scheme)
    except ImportError as error:
        raise missing_extra(f"reading {scheme}:// addresses", "cloud") from error


def read_url(url: str, longest: int) -> bytes:
    """The bytes of a file; one more than ``longest`` where there are more.

    Raises:
        OSError: it cannot be read, or is shorter than its store says.
    """
    system, path = file_system(url)

    def read() -> bytes:
        with system.open(path, "rb") as file:
            promised = getattr(file, "size", None)
            data = bytearray()
            while len(data) <= longest and (piece := file.read(_PIECE)):
                data += piece
        if isinstance(promised, int) and len(data) != promised and len(data) <= longest:
            raise ConnectionError(f"{len(data):,} of {promised:,} bytes arrived")
        return bytes(data[: longest + 1])

    return _patiently(read)


def walk_url(url: str) -> Iterator[str]:
    """Paths of all files below a folder, relative to it, sorted within each folder.

    Raises:
        DataError: there is no such folder, or it cannot be listed.
    """
    try:
        yield from _walk(url)
    except TamperscopeError:
        raise
    except Exception as error:  # stores fail in ways of their own
        raise DataError(
            f"{url}: cannot be listed ({_reason(error)}); check the address and the credentials"
        ) from error


def _walk(url: str) -> Iterator[str]:
    system, top = file_system(url)
    if not system.isdir(top):
        raise DataError(
            f"{url}: no such folder, and not a .txt, .csv, .tsv, .jsonl or .parquet file; check "
            "the address"
        )
    pending = [top]
    while pending:
        folder = pending.pop()
        entries = sorted(system.ls(folder, detail=True), key=lambda entry: str(entry["name"]))
        pending += [e["name"] for e in reversed(entries) if e["type"] == "directory"]
        for entry in entries:
            # Stores list a folder's own marker among its files.
            if entry["type"] == "file" and entry["name"].rstrip("/") != folder.rstrip("/"):
                yield posixpath.relpath(entry["name"], top)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _patiently(action: Callable[[], T]) -> T:
    """What it returns, tried again after failures that may pass."""
    for left in reversed(range(_TRIES)):
        try:
            return action()
        except (FileNotFoundError, PermissionError, IsADirectoryError):
            raise
        except OSError:
            if not left:
                raise
        time.sleep(_PAUSE * (_TRIES - left))
    raise AssertionError("the last try returns or raises")
