"""What a run remembers on disk: rows that have no part file yet, parts, answers by content.

One SQLite file per shard. It survives the end of the process at any moment, and it is locked as
long as a run has it open.
"""

import dataclasses
import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tamperscope.batch.work import Answer, Finished, readable
from tamperscope.errors import ResultError

_TABLES = """
CREATE TABLE IF NOT EXISTS parts(number INTEGER PRIMARY KEY, rows INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS done(key BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answers(sha BLOB PRIMARY KEY, row TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counts(name TEXT PRIMARY KEY, n REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spool(
    key BLOB PRIMARY KEY, id TEXT NOT NULL, source TEXT NOT NULL, sha BLOB, answer TEXT,
    mask BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS lenders ON spool(sha) WHERE answer IS NOT NULL;
"""


@dataclass(frozen=True)
class Entry:
    """A finished input without a part file."""

    id: str
    source: str
    sha: bytes | None
    """Of bytes whose answer holds for copies."""
    answer: Answer | None
    """None: it is that of another entry with the same bytes."""
    mask: bytes


def hashed(key: str) -> bytes:
    """A task's key in the form that is stored."""
    return hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=16).digest()


class State:
    """The memory of one shard's run.

    Args:
        path: of the database; made where there is none.

    Raises:
        ResultError: it cannot be read or written, or another run has it open.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # Threads that serve workers ask whether bytes are known.
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ResultError(
                f"cannot write to {path.parent}: {error.strerror}; choose another folder"
            ) from error
        with self._reported():
            self._open()

    def _open(self) -> None:
        self._base = sqlite3.connect(
            self._path, timeout=0, isolation_level=None, check_same_thread=False
        )
        # In this order: an exclusive log needs no shared memory, which network disks lack.
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=NORMAL"):
            self._base.execute(f"PRAGMA {pragma}").fetchall()
        self._base.executescript(_TABLES)

    def close(self) -> None:
        """Release the file."""
        self._base.close()

    def is_done(self, key: bytes) -> bool:
        """Whether an input's row is in a part file."""
        return self._one("SELECT 1 FROM done WHERE key = ?", key) is not None

    def spooled_bytes(self, key: bytes) -> int | None:
        """Bytes of the mask of a finished input without a part file; None where it is none."""
        row = self._one("SELECT length(mask) FROM spool WHERE key = ?", key)
        return None if row is None else int(row[0])

    def knows(self, sha256: str) -> bool:
        """Whether these bytes have been answered."""
        sha = bytes.fromhex(sha256)
        return (
            self._one("SELECT 1 FROM answers WHERE sha = ?", sha) is not None
            or self._one("SELECT 1 FROM spool WHERE sha = ? AND answer IS NOT NULL", sha)
            is not None
        )

    def keep(self, finished: Finished) -> None:
        """Remember a finished input."""
        task, answer = finished.task, finished.answer
        lends = answer is None or answer.holds_for_copies
        sha = bytes.fromhex(finished.sha256) if finished.sha256 and lends else None
        text = None if answer is None else json.dumps(dataclasses.asdict(answer))
        self._write(
            "INSERT OR REPLACE INTO spool VALUES (?, ?, ?, ?, ?, ?)",
            (hashed(task.key), readable(task.id), task.source, sha, text, finished.mask),
        )

    def entry(self, key: bytes) -> Entry:
        """A finished input without a part file."""
        row = self._one("SELECT id, source, sha, answer, mask FROM spool WHERE key = ?", key)
        return _entry(row)

    def lender(self, sha: bytes) -> Entry:
        """A finished input without a part file that has an answer for these bytes."""
        query = "SELECT id, source, sha, answer, mask FROM spool WHERE sha = ? AND answer NOT NULL"
        return _entry(self._one(query, sha))

    def answered(self, sha: bytes) -> dict[str, Any] | None:
        """The row with the answer for these bytes, if a part file holds one."""
        row = self._one("SELECT row FROM answers WHERE sha = ?", sha)
        return None if row is None else dict(json.loads(row[0]))

    def leftovers(self) -> Iterator[bytes]:
        """Keys of finished inputs without a part file, in the order they were finished."""
        with self._reported(), self._lock:
            keys = self._base.execute("SELECT key FROM spool ORDER BY rowid").fetchall()
        return (bytes(key) for (key,) in keys)

    def commit_part(
        self,
        number: int,
        keys: Iterable[bytes],
        answers: Mapping[bytes, Mapping[str, Any]],
        counts: Mapping[str, float],
    ) -> None:
        """A part file is written: its rows are done. All of it happens, or nothing."""
        listed = [(key,) for key in keys]
        rows = [(sha, json.dumps(row)) for sha, row in answers.items()]
        with self._reported(), self._lock:
            base = self._base
            base.execute("PRAGMA synchronous=FULL")
            base.execute("BEGIN")
            try:
                base.execute("INSERT INTO parts VALUES (?, ?)", (number, len(listed)))
                base.executemany("INSERT INTO done VALUES (?)", listed)
                base.executemany("INSERT INTO answers VALUES (?, ?)", rows)
                base.executemany("DELETE FROM spool WHERE key = ?", listed)
                for name, n in counts.items():
                    base.execute(_ADD, (name, n))
                base.execute("COMMIT")
            except BaseException:
                if base.in_transaction:
                    base.execute("ROLLBACK")
                raise
            base.execute("PRAGMA synchronous=NORMAL")

    def add(self, name: str, n: float = 1) -> None:
        """Count something."""
        self._write(_ADD, (name, n))

    def counts(self) -> dict[str, float]:
        """Everything counted so far, by name."""
        with self._reported(), self._lock:
            return dict(self._base.execute("SELECT name, n FROM counts ORDER BY name").fetchall())

    def parts(self) -> int:
        """How many part files there are."""
        row = self._one("SELECT count(*) FROM parts")
        return int(row[0])

    def _one(self, query: str, *values: Any) -> Any:
        with self._reported(), self._lock:
            return self._base.execute(query, values).fetchone()

    def _write(self, query: str, values: tuple[Any, ...]) -> None:
        with self._reported(), self._lock:
            self._base.execute(query, values)

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _explained(self._path, error) from error


_ADD = "INSERT INTO counts VALUES (?, ?) ON CONFLICT(name) DO UPDATE SET n = n + excluded.n"


def _entry(row: Any) -> Entry:
    id, source, sha, answer, mask = row
    known = None if answer is None else Answer(**json.loads(answer))
    return Entry(id, source, sha, known, mask)


def _explained(path: Path, error: sqlite3.Error) -> ResultError:
    text = str(error)
    if "locked" in text:
        return ResultError(
            f"{path} is in use: another run writes here; wait for it, or choose another --output"
        )
    if isinstance(error, sqlite3.OperationalError):
        return stopped(path.parent.parent, text)
    return ResultError(f"{path} is damaged ({text}); choose another --output and start again")


def stopped(folder: Path, reason: str) -> ResultError:
    """The error for a disk that takes no more."""
    return ResultError(
        f"cannot write to {folder} ({reason}): nothing finished is lost; free some space and run "
        "the same command again"
    )
