"""Files behind URLs, through fsspec. Local paths never come here."""

import errno
import os
import posixpath
import re
import ssl
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any, BinaryIO, TypeVar

from tamperscope.errors import DataError, TamperscopeError, missing_extra

STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "http", "https", "memory"})
"""Where inputs may be without --allow-outside: stores that hold no file of this machine."""

_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError)
_BUSY = (408, 429)
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
        raise OSError(reason(error)) from error
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
            f"{url}: cannot be listed ({reason(error)}); check the address and the credentials"
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
        listed = _patiently(partial(system.ls, folder, detail=True))
        entries = sorted(listed, key=lambda entry: str(entry["name"]))
        pending += [e["name"] for e in reversed(entries) if e["type"] == "directory"]
        for entry in entries:
            # Stores list a folder's own marker among its files.
            if entry["type"] == "file" and entry["name"].rstrip("/") != folder.rstrip("/"):
                yield posixpath.relpath(entry["name"], top)


def reason(error: BaseException) -> str:
    """Why a store failed, in one line: what its error was made from says it best."""
    # Web stores say of whatever goes wrong that there is no such file.
    for cause in reversed(_causes(error)):
        if text := _said(cause):
            return text
    return "no such file" if isinstance(error, FileNotFoundError) else type(error).__name__


def _causes(error: BaseException) -> list[BaseException]:
    """An error, what it was raised from, and so on."""
    causes = [error]
    while (cause := causes[-1].__cause__) is not None and cause not in causes:
        causes.append(cause)
    return causes


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if (status := _status(error)) is not None:
        return f"{status} {getattr(error, 'message', '')}".rstrip()
    if isinstance(error, TimeoutError) and not text:
        return "timed out"
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
        if error.errno is not None and error.errno in errno.errorcode:
            return os.strerror(error.errno)
        # Nothing but the name of the file, which the row has.
        name = isinstance(error, FileNotFoundError) and (is_url(text) or text.startswith("/"))
        return "" if name else " ".join(str(error.strerror or text).split())
    return text


def _status(error: BaseException) -> int | None:
    """The status that a web server answered with."""
    status = getattr(error, "status", None)
    return status if isinstance(status, int) else None


def _may_pass(error: Exception) -> bool:
    """Whether another try may go well: the network failed, or the server, not the address."""
    for cause in _causes(error):
        status = _status(cause)
        if status is not None and (status >= 500 or status in _BUSY):
            return True
        if isinstance(cause, OSError) and not isinstance(cause, _FINAL):
            return True
    return False


def _patiently(action: Callable[[], T]) -> T:
    """What it returns, tried again after failures that may pass."""
    for left in reversed(range(_TRIES)):
        try:
            return action()
        except Exception as error:  # stores fail in ways of their own
            if not left or not _may_pass(error):
                raise
        time.sleep(_PAUSE * (_TRIES - left))
    raise AssertionError("the last try returns or raises")
