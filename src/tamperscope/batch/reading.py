"""From a task to the bytes of its picture. Runs in a worker, because reading may hang as well."""

import os
import stat
from pathlib import Path

from tamperscope.batch import remote
from tamperscope.batch.work import CHANGED, OUTSIDE, UNREADABLE, Task
from tamperscope.errors import TamperscopeError

_NO_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class ReadingError(Exception):
    """There are no bytes to examine; ``kind`` is what the row's error says."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def read_task(task: Task, longest: int) -> bytes:
    """The encoded picture of a task.

    Args:
        task: what to read.
        longest: bytes; longer files are refused.

    Raises:
        ReadingError: it cannot be read, changed meanwhile, or lies where it must not.
        TamperscopeError: its kind of URL cannot be read here.
    """
    if task.data is not None:
        data = task.data
    elif task.path is None:
        raise ReadingError(*(task.problem or (UNREADABLE, "nothing to read")))
    elif remote.is_url(task.path):
        data = _from_url(task.path, longest)
    else:
        data = _from_file(task.path, task.root, longest)
    if len(data) > longest:
        raise _too_long()
    return data


def _from_url(url: str, longest: int) -> bytes:
    try:
        return remote.read_url(url, longest)
    except TamperscopeError:
        raise
    except Exception as error:  # stores fail in ways of their own
        message = (
            f"cannot be read ({remote.reason(error)}); check the address, or try again later with "
            "--retry-errors"
        )
        raise ReadingError(UNREADABLE, message) from error


def _from_file(path: str, root: str | None, longest: int) -> bytes:
    try:
        whole = os.path.realpath(path, strict=True)
        if root is not None and not Path(whole).is_relative_to(os.path.realpath(root)):
            raise ReadingError(
                OUTSIDE, "leads out of the folder of the source; --allow-outside permits that"
            )
        return _read_steadily(whole, longest)
    except FileNotFoundError as error:
        raise ReadingError(UNREADABLE, "no such file; it may have been moved meanwhile") from error
    except PermissionError as error:
        raise ReadingError(UNREADABLE, "permission denied; make the file readable") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ReadingError(UNREADABLE, f"cannot be read ({reason}); check the file") from error


def _read_steadily(path: str, longest: int) -> bytes:
    """A file's bytes, which must be the same file and the same size before and after."""
    # A pipe without a writer would keep us waiting for ever.
    descriptor = os.open(path, os.O_RDONLY | _NO_WAITING)
    with open(descriptor, "rb") as file:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise ReadingError(UNREADABLE, "is not a regular file; give the path of a picture")
        if before.st_size > longest:
            raise _too_long()
        # No more than there is: room for all that is asked for is taken at once.
        data = file.read(min(before.st_size, longest) + 1)
        after = os.fstat(descriptor)
    same = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    if not same or len(data) != after.st_size:
        raise ReadingError(CHANGED, "changed while it was read; examine it again when it is whole")
    return data


def _too_long() -> ReadingError:
    return ReadingError(
        "ImageTooLargeError",
        "the file is longer than any picture of the most pixels allowed; raise --max-pixels if it "
        "is one",
    )
