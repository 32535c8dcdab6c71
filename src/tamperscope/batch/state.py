"""What a run remembers on disk: rows without a part file, parts, answers by content, retries.

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

from tamperscope.batch.work import Answer, Finished, name_bytes, readable
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
CREATE INDEX IF NOT EXISTS borrowers ON spool(sha) WHERE answer IS NULL;
CREATE TABLE IF NOT EXISTS again(
    part INTEGER NOT NULL, row INTEGER NOT NULL, name BLOB NOT NULL, key BLOB, was TEXT NOT NULL,
    PRIMARY KEY(part, row)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS again_names ON again(name) WHERE key IS NULL;
CREATE INDEX IF NOT EXISTS again_keys ON again(key) WHERE key IS NOT NULL;
CREATE TABLE IF NOT EXISTS stale(key BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notes(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
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


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A row in a part file whose input is to be examined again."""

    row: int
    """Its place in the part, from 0."""
    was: Mapping[str, float]
    """What it adds to the counts as it is."""
    name: bytes = b""
    """Of its input, as `named` makes it."""
    answer: Answer | None = None
    """That it gives, if that was lent to inputs with the same bytes."""
    key: bytes | None = None
    """Of the input, once it has been listed."""


def named(id: str, source: str) -> bytes:
    """What tells an input from others, as far as its row knows."""
    return hashed(f"{id}\0{source}")


def hashed(key: str) -> bytes:
    """A task's key in the form that is stored."""
    return hashlib.blake2b(name_bytes(key), digest_size=16).digest()


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
        self._retrying = self._looks_again()

    def close(self) -> None:
        """Release the file."""
        self._base.close()

    def is_done(self, key: bytes) -> bool:
        """Whether an input's row is in a part file."""
        return self._one("SELECT 1 FROM done WHERE key = ?", key) is not None

    def spooled_bytes(self, key: bytes) -> int | None:
        """Bytes of the mask of a finished input whose row is not written; None where it is none,
        or is to be examined again."""
        row = self._one(f"SELECT length(mask) FROM spool WHERE key = ? AND {_NOT_STALE}", key)
        return None if row is None else int(row[0])

    def knows(self, sha256: str) -> bool:
        """Whether these bytes have been answered."""
        sha = bytes.fromhex(sha256)
        return (
            self._one("SELECT 1 FROM answers WHERE sha = ?", sha) is not None
            or self._one(f"SELECT 1 FROM spool WHERE {_LENDS} AND {_NOT_STALE}", sha) is not None
        )

    def keep(self, finished: Finished) -> None:
        """Remember a finished input."""
        task, answer = finished.task, finished.answer
        lends = answer is None or answer.holds_for_copies
        sha = bytes.fromhex(finished.sha256) if finished.sha256 and lends else None
        text = None if answer is None else json.dumps(dataclasses.asdict(answer))
        key = hashed(task.key)
        row = (key, readable(task.id), task.source, sha, text, finished.mask)
        with self._transaction(durable=False) as base:
            base.execute("INSERT OR REPLACE INTO spool VALUES (?, ?, ?, ?, ?, ?)", row)
            if self._retrying and self._tried_again(key):
                error = self._error_of(sha) if answer is None else answer.error
                base.execute(_ADD, (TRIED, 1))
                base.execute(_ADD, (SUCCEEDED, error is None))

    def entry(self, key: bytes) -> Entry | None:
        """A finished input whose row is not written."""
        return _entry(self._one(f"{_SPOOLED} WHERE key = ?", key))

    def lender(self, sha: bytes) -> Entry | None:
        """A finished input whose row is not written and that has an answer for these bytes."""
        query = f"{_SPOOLED} WHERE {_LENDS} ORDER BY NOT {_NOT_STALE} LIMIT 1"
        return _entry(self._one(query, sha))

    def answered(self, sha: bytes) -> dict[str, Any] | None:
        """The row with the answer for these bytes, if a part file holds one."""
        row = self._one("SELECT row FROM answers WHERE sha = ?", sha)
        return None if row is None else dict(json.loads(row[0]))

    def leftovers(self) -> Iterator[bytes]:
        """Keys of finished inputs without a part file, in the order they were finished."""
        with self._reported(), self._lock:
            keys = self._base.execute(
                "SELECT key FROM spool WHERE NOT EXISTS (SELECT 1 FROM again WHERE again.key = "
                "spool.key) ORDER BY rowid"
            ).fetchall()
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
        with self._transaction() as base:
            base.execute("INSERT INTO parts VALUES (?, ?)", (number, len(listed)))
            base.executemany("INSERT INTO done VALUES (?)", listed)
            self._move(listed, answers, counts)

    # --- inputs that are examined again --------------------------------------------------------

    @property
    def retrying(self) -> bool:
        """Whether there are inputs to be examined again, or rows to be replaced."""
        return self._retrying

    def retry_parts(self, number: int, marks: Iterable[Mark]) -> None:
        """Have inputs with rows in a part examined again. Their answers hold no longer."""
        with self._transaction() as base:
            for mark in marks:
                row = (number, mark.row, mark.name, json.dumps(mark.was))
                query = "INSERT OR IGNORE INTO again VALUES (?, ?, ?, NULL, ?)"
                if base.execute(query, row).rowcount and mark.answer is not None:
                    self._forget(mark.answer)
        self._retrying = self._looks_again()

    def retry_spool(self, kinds: Iterable[str]) -> None:
        """Have finished inputs examined again whose row is not written and says such an error."""
        wanted = frozenset(kinds)
        with self._transaction() as base:
            # JSON has quotes in no text: what says this, says it of the error.
            query = "SELECT key, sha, answer FROM spool WHERE instr(answer, '\"error\": null') = 0"
            for key, sha, text in base.execute(query).fetchall():
                answer = Answer(**json.loads(text))
                if answer.error in wanted:
                    base.execute("INSERT OR IGNORE INTO stale VALUES (?)", (key,))
                    if sha is not None:
                        self._forget(answer)
        self._retrying = self._looks_again()

    def wanted_again(self, key: bytes, name: bytes) -> bool:
        """Whether an input whose row is written is to be examined again."""
        if not self._retrying:
            return False
        if self._one("SELECT 1 FROM again WHERE key = ?", key) is not None:
            return True
        place = self._one("SELECT part, row FROM again WHERE name = ? AND key IS NULL", name)
        if place is None:
            return False
        self._write("UPDATE again SET key = ? WHERE part = ? AND row = ?", (key, *place))
        return True

    def marked_parts(self) -> list[int]:
        """Numbers of the parts with rows to be replaced."""
        query = "SELECT DISTINCT part FROM again ORDER BY part"
        with self._reported(), self._lock:
            return [int(number) for (number,) in self._base.execute(query).fetchall()]

    def marks(self, number: int) -> list[Mark]:
        """The rows of a part that are to be replaced, in their order."""
        query = "SELECT row, key, was FROM again WHERE part = ? ORDER BY row"
        with self._reported(), self._lock:
            found = self._base.execute(query, (number,)).fetchall()
        return [Mark(row=row, key=key, was=json.loads(was)) for row, key, was in found]

    def commit_replaced(
        self, number: int, answers: Mapping[bytes, Mapping[str, Any]], counts: Mapping[str, float]
    ) -> None:
        """A part file is replaced by one with new rows. All of it happens, or nothing."""
        keys = [(mark.key,) for mark in self.marks(number) if mark.key is not None]
        with self._transaction() as base:
            self._move(keys, answers, counts)
            base.execute("DELETE FROM again WHERE part = ?", (number,))
            base.execute("DELETE FROM notes WHERE name = ?", (REPLACING,))
        self._retrying = self._looks_again()

    def note(self, name: str) -> str | None:
        """What was noted under a name."""
        row = self._one("SELECT value FROM notes WHERE name = ?", name)
        return None if row is None else str(row[0])

    def set_note(self, name: str, value: str) -> None:
        """Note something; it, and everything before, is on disk on return."""
        with self._transaction() as base:
            base.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value))

    # --- counts --------------------------------------------------------------------------------

    def add(self, name: str, n: float = 1) -> None:
        """Count something."""
        self._write(_ADD, (name, n))

    def counts(self) -> dict[str, float]:
        """Everything counted so far, by name."""
        with self._reported(), self._lock:
            return dict(self._base.execute("SELECT name, n FROM counts ORDER BY name").fetchall())

    def parts(self) -> int:
        """How many part files there are, numbered from 0."""
        return int(self._one("SELECT count(*) FROM parts")[0])

    # --- inside a transaction ------------------------------------------------------------------

    def _move(
        self,
        keys: list[tuple[bytes]],
        answers: Mapping[bytes, Mapping[str, Any]],
        counts: Mapping[str, float],
    ) -> None:
        """What was finished is now in a part."""
        rows = [(sha, json.dumps(row)) for sha, row in answers.items()]
        self._base.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", rows)
        for table in ("spool", "stale"):
            self._base.executemany(f"DELETE FROM {table} WHERE key = ?", keys)
        for name, n in counts.items():
            self._base.execute(_ADD, (name, n))

    def _forget(self, answer: Answer) -> None:
        """Lend an answer to no further input, and have those examined that it was lent to."""
        assert answer.sha256 is not None
        sha, text = bytes.fromhex(answer.sha256), json.dumps(dataclasses.asdict(answer))
        base = self._base
        base.execute("DELETE FROM answers WHERE sha = ?", (sha,))
        # They keep it for the case that they cannot be read any more.
        borrowers = "FROM spool WHERE sha = ? AND answer IS NULL"
        base.execute(f"INSERT OR IGNORE INTO stale SELECT key {borrowers}", (sha,))
        base.execute("UPDATE spool SET answer = ? WHERE sha = ? AND answer IS NULL", (text, sha))

    def _tried_again(self, key: bytes) -> bool:
        """Whether an input was wanted again; it is no longer stale."""
        if self._base.execute("DELETE FROM stale WHERE key = ?", (key,)).rowcount:
            return True
        query = "SELECT 1 FROM again WHERE key = ?"
        return self._base.execute(query, (key,)).fetchone() is not None

    def _error_of(self, sha: bytes | None) -> str | None:
        """The error in the answer that is known for these bytes."""
        for query in (
            "SELECT row FROM answers WHERE sha = ?",
            f"SELECT answer FROM spool WHERE {_LENDS} AND {_NOT_STALE}",
        ):
            if (found := self._base.execute(query, (sha,)).fetchone()) is not None:
                error = json.loads(found[0])["error"]
                return None if error is None else str(error)
        return None

    def _looks_again(self) -> bool:
        return self._one("SELECT 1 FROM again UNION ALL SELECT 1 FROM stale LIMIT 1") is not None

    def _one(self, query: str, *values: Any) -> Any:
        with self._reported(), self._lock:
            return self._base.execute(query, values).fetchone()

    def _write(self, query: str, values: tuple[Any, ...]) -> None:
        with self._reported(), self._lock:
            self._base.execute(query, values)

    @contextmanager
    def _transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """All of what is done within, or nothing; on disk afterwards where ``durable``."""
        with self._reported(), self._lock:
            base = self._base
            if durable:
                base.execute("PRAGMA synchronous=FULL")
            base.execute("BEGIN")
            try:
                yield base
                base.execute("COMMIT")
            except BaseException:
                if base.in_transaction:
                    base.execute("ROLLBACK")
                raise
            finally:
                if durable:
                    base.execute("PRAGMA synchronous=NORMAL")

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _explained(self._path, error) from error


TRIED, SUCCEEDED = "tried again", "succeeded again"
"""Counts of inputs."""
REPLACING = "replacing"
"""A note: which part file is being replaced by which version of it."""

_NOT_STALE = "NOT EXISTS (SELECT 1 FROM stale WHERE stale.key = spool.key)"
_LENDS = "sha = ? AND answer IS NOT NULL"
_SPOOLED = "SELECT id, source, sha, answer, mask FROM spool"
_ADD = "INSERT INTO counts VALUES (?, ?) ON CONFLICT(name) DO UPDATE SET n = n + excluded.n"


def _entry(row: Any) -> Entry | None:
    if row is None:
        return None
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
