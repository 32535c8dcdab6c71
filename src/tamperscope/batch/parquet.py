"""Inputs from a Parquet file: paths, URLs, or the encoded pictures themselves."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tamperscope.batch import remote
from tamperscope.batch.manifests import COLUMNS
from tamperscope.batch.sources import Place
from tamperscope.batch.work import MALFORMED, Task, readable
from tamperscope.errors import DataError, missing_extra, unknown

BYTES_COLUMNS = ("bytes", "image", "picture", "data")

_ROWS_AT_ONCE = 8
_BUFFER = 1 << 20


class ParquetSource:
    """One input for each row.

    Args:
        name: path or URL of the file.
        column: of paths, URLs (text), or encoded pictures (binary, or a struct with a binary field
            ``bytes``).
        id_column: that holds ids; by default the path, or the number of the row.
        allow_outside: whether paths may lead out of the file's folder.

    Raises:
        DataError: it is no Parquet file, or has no such column.
        MissingExtraError: pyarrow is not installed.
    """

    def __init__(
        self, name: str, column: str | None, id_column: str | None, allow_outside: bool
    ) -> None:
        self._name = name
        self._place = Place(name, allow_outside)
        with self._file() as file:
            schema = file.schema_arrow
            self._rows = int(file.metadata.num_rows)
            self._digest = _digest(file.metadata)
        self._column = _choose(name, column, schema)
        _check_kind(name, self._column, schema.field(self._column).type)
        if id_column is not None and id_column not in schema.names:
            raise unknown(f"column of {name}", id_column, schema.names)
        self._id_column = id_column

    def fingerprint(self) -> str:
        """See `Source.fingerprint`. Of the footer, which holds the size and statistics of all
        columns: reading a whole archive would take too long."""
        return self._digest

    def count(self) -> int:
        """See `Source.count`."""
        return self._rows

    def tasks(self) -> Iterator[Task]:
        """See `Source.tasks`."""
        columns = [self._column, *([self._id_column] if self._id_column else [])]
        number = 0
        with self._file() as file:
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=columns):
                values = batch.column(self._column)
                ids = batch.column(self._id_column) if self._id_column else None
                for i in range(batch.num_rows):
                    id = None if ids is None else _id(ids[i].as_py())
                    yield self._task(str(number), values[i].as_py(), id)
                    number += 1

    def _task(self, key: str, value: Any, id: str | None) -> Task:
        if isinstance(value, dict):
            data = value.get("bytes")
            value = value.get("path") if data is None else data
        where = f"{self._name.rpartition('/')[2]}#{key}"
        if isinstance(value, bytes):
            return Task(key=key, id=id or where, source=where, data=value)
        if isinstance(value, str) and value:
            return self._place.task(key, value, id)
        message = f"row {key} holds neither a path nor bytes; mend the table"
        return Task(key=key, id=id or where, source=where, problem=(MALFORMED, message))

    @contextmanager
    def _file(self) -> Iterator[Any]:
        pq = _pyarrow_parquet()
        stream = None
        try:
            if remote.is_url(self._name):
                stream = remote.open_url(self._name)
            # Buffered: a group of rows may hold gigabytes of pictures.
            with pq.ParquetFile(
                stream or self._name, buffer_size=_BUFFER, pre_buffer=False
            ) as file:
                yield file
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{self._name}: cannot be read as Parquet ({reason})") from error
        finally:
            if stream is not None:
                stream.close()


def _pyarrow_parquet() -> Any:
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise missing_extra("reading Parquet", "batch") from error
    return pq


def _digest(metadata: Any) -> str:
    digest = hashlib.sha256(str(metadata.schema.to_arrow_schema()).encode())
    for i in range(metadata.num_row_groups):
        digest.update(str(metadata.row_group(i).to_dict()).encode())
    return digest.hexdigest()


def _check_kind(name: str, column: str, kind: Any) -> None:
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    plain = (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)
    views = (types.is_string_view, types.is_binary_view, types.is_fixed_size_binary)
    if not any(fits(kind) for fits in (*plain, *views, types.is_struct, types.is_null)):
        raise DataError(
            f"{name}: column {column!r} holds {kind}, neither paths nor pictures; name another by "
            "--column"
        )


def _choose(name: str, column: str | None, schema: Any) -> str:
    if column is not None:
        if column not in schema.names:
            raise unknown(f"column of {name}", column, schema.names)
        return column
    for candidate in dict.fromkeys((*BYTES_COLUMNS, *COLUMNS)):
        if candidate in schema.names:
            return candidate
    raise DataError(
        f"{name}: none of its columns ({', '.join(schema.names)}) is called "
        f"{', '.join(dict.fromkeys((*BYTES_COLUMNS, *COLUMNS)))}; name the one with the paths or "
        "pictures by --column"
    )


def _id(value: Any) -> str | None:
    """An empty cell is no id."""
    if isinstance(value, bytes):
        return readable(os.fsdecode(value)) or None
    return None if value is None else str(value) or None
