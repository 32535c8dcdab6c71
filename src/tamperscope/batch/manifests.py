"""Inputs from text: a list with a path or URL on each line, CSV, or JSON lines."""

import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, BinaryIO

from tamperscope.batch import remote
from tamperscope.batch.sources import LISTS, Place, Source
from tamperscope.batch.work import MALFORMED, Task, readable
from tamperscope.errors import DataError, unknown

COLUMNS = ("path", "file", "filename", "file_name", "url", "image", "source")
"""Where the paths are, if no column is named: the first of these that there is."""

SEPARATORS = (",", ";", "\t", "|")

_LONGEST_LINE = 1 << 20
_BOM = b"\xef\xbb\xbf"


def manifest(
    name: str, suffix: str, column: str | None, id_column: str | None, allow_outside: bool
) -> Source:
    """The source in a text file.

    Args:
        name: its path or URL.
        suffix: of the name; tells the format.
        column: that holds paths or URLs.
        id_column: that holds ids; by default the path is the id.
        allow_outside: whether entries may lead out of the file's folder.

    Raises:
        DataError: it cannot be read, or has no such column.
    """
    if suffix in LISTS:
        if column or id_column:
            raise DataError(f"{name}: a list has no columns; leave out --column and --id-column")
        return ListSource(name, allow_outside)
    if suffix in (".csv", ".tsv"):
        return CsvSource(name, column, id_column, allow_outside)
    return JsonLinesSource(name, column, id_column, allow_outside)


class ListSource:
    """One path or URL on each line; empty lines are left out."""

    def __init__(self, name: str, allow_outside: bool) -> None:
        self._name = name
        self._place = Place(name, allow_outside)
        self._digest, self._lines = _survey(name)

    def fingerprint(self) -> str:
        """See `Source.fingerprint`."""
        return self._digest

    def count(self) -> int | None:
        """See `Source.count`."""
        return self._lines

    def tasks(self) -> Iterator[Task]:
        """See `Source.tasks`."""
        for number, line in _lines(self._name):
            yield self._place.task(str(number), line.strip())


class CsvSource(ListSource):
    """A table with a header; one input for each row. Its separator is the one of `SEPARATORS` that
    makes a column of the header the one with the paths; that of its ending comes first."""

    def __init__(
        self, name: str, column: str | None, id_column: str | None, allow_outside: bool
    ) -> None:
        super().__init__(name, allow_outside)
        usual = "\t" if name.lower().endswith(".tsv") else ","
        headers = {other: self._header(other) for other in dict.fromkeys((usual, *SEPARATORS))}
        wanted = COLUMNS if column is None else (column,)
        fits = [key for key, header in headers.items() if not set(wanted).isdisjoint(header)]
        # Without any, the one that makes most columns, for the error that names them.
        self._separator = fits[0] if fits else max(headers, key=lambda key: len(headers[key]))
        header = headers[self._separator]
        self._column = header.index(_choose(name, column, header))
        if id_column is not None and id_column not in header:
            raise unknown(f"column of {name}", id_column, header)
        self._id_column = None if id_column is None else header.index(id_column)

    def count(self) -> int | None:
        """See `Source.count`. A quoted field may hold several lines: at most so many."""
        return max(0, (self._lines or 1) - 1)

    def tasks(self) -> Iterator[Task]:
        """See `Source.tasks`."""
        rows = self._rows(self._separator)
        next(rows, None)
        for number, (line, row) in enumerate(rows):
            yield self._task(str(number), line, row)

    def _task(self, key: str, line: int, row: list[str]) -> Task:
        columns = (self._column, self._id_column or 0)
        if len(row) <= max(columns) or not row[self._column]:
            problem = _malformed(key, line, "has no path; mend the table")
            return replace(problem, id=self._id(row) or problem.id)
        return self._place.task(key, row[self._column], self._id(row))

    def _id(self, row: list[str]) -> str | None:
        if self._id_column is None or len(row) <= self._id_column:
            return None
        return readable(row[self._id_column])

    def _header(self, separator: str) -> list[str]:
        return next((row for _, row in self._rows(separator)), [])

    def _rows(self, separator: str) -> Iterator[tuple[int, list[str]]]:
        """The line of the file on which a row begins, and its fields."""
        begun: list[int] = []
        quotes = 0

        def read() -> Iterator[str]:
            nonlocal quotes
            for number, line in _lines(self._name):
                begun.append(number)
                quotes += line.count('"')
                yield line

        # Columns that are not read may be long as well.
        csv.field_size_limit(_LONGEST_LINE)
        try:
            for row in csv.reader(read(), delimiter=separator):
                if len(begun) > 1 and quotes % 2:
                    # All lines to the end went into one field.
                    raise DataError(
                        f"{self._name}: a quotation mark on line {begun[0]} is never closed; mend "
                        "the table"
                    )
                yield begun[0], row
                begun.clear()
                quotes = 0
        except csv.Error as error:
            raise DataError(
                f"{self._name}: line {begun[0]} is no CSV ({error}); mend the table"
            ) from error


class JsonLinesSource(ListSource):
    """One JSON object on each line."""

    def __init__(
        self, name: str, column: str | None, id_column: str | None, allow_outside: bool
    ) -> None:
        super().__init__(name, allow_outside)
        self._id_column = id_column
        _, line = next(_lines(name), (0, "{}"))
        first = _object(line)
        self._column = column or _choose(name, None, list(first or {}))

    def tasks(self) -> Iterator[Task]:
        """See `Source.tasks`."""
        for number, line in _lines(self._name):
            yield self._task(str(number), _object(line))

    def _task(self, key: str, values: dict[str, Any] | None) -> Task:
        if values is None:
            return _malformed(key, int(key), "is no JSON object; mend the list")
        entry = values.get(self._column)
        id = None if self._id_column is None else values.get(self._id_column, key)
        if not isinstance(entry, str) or not entry:
            problem = _malformed(key, int(key), f"has no path in {self._column!r}; mend the list")
            return problem if id in (None, key) else replace(problem, id=readable(str(id)))
        return self._place.task(key, entry, None if id is None else str(id))


def _malformed(key: str, line: int, message: str) -> Task:
    where = f"line {line}"
    return Task(key=key, id=where, source=where, problem=(MALFORMED, f"{where} {message}"))


def _choose(name: str, column: str | None, there: list[str]) -> str:
    if column is not None:
        if column not in there:
            raise unknown(f"column of {name}", column, there)
        return column
    for candidate in COLUMNS:
        if candidate in there:
            return candidate
    raise DataError(
        f"{name}: none of its columns ({', '.join(there) or 'none'}) is called "
        f"{', '.join(COLUMNS)}; name the one with the paths by --column"
    )


def _object(line: str) -> dict[str, Any] | None:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def _open(name: str) -> BinaryIO:
    try:
        return remote.open_url(name) if remote.is_url(name) else open(name, "rb")
    except OSError as error:
        raise DataError(
            f"{name}: cannot be read ({remote.reason(error)}); check the path"
        ) from error


def _raw_lines(name: str) -> Iterator[bytes]:
    # Files behind an address read lines of any length only.
    rest = b""
    with _open(name) as file:
        while piece := file.read(_LONGEST_LINE):
            *lines, rest = (rest + piece).split(b"\n")
            for line in (*lines, rest):
                if len(line) > _LONGEST_LINE:
                    raise DataError(f"{name}: has a line longer than 1 MiB; is it a list?")
            yield from (line + b"\n" for line in lines)
    if rest:
        yield rest


def _lines(name: str) -> Iterator[tuple[int, str]]:
    """Number (from 1) and text of every line that is not empty."""
    for number, line in enumerate(_raw_lines(name), 1):
        text = line.removeprefix(_BOM) if number == 1 else line
        if text.strip():
            yield number, text.decode("utf-8", "surrogateescape")


def _survey(name: str) -> tuple[str, int]:
    """sha256 of a text file, and how many of its lines are not empty."""
    digest, count = hashlib.sha256(), 0
    for line in _raw_lines(name):
        digest.update(line)
        count += bool(line.strip())
    return digest.hexdigest(), count
