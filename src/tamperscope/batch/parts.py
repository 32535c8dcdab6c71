"""Part files: rows as Parquet, masks as tar. Each appears whole or not at all."""

import contextlib
import io
import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tamperscope.batch.config import Shard
from tamperscope.batch.state import stopped
from tamperscope.errors import ResultError, missing_extra
from tamperscope.result import write_atomic

COMPRESSION = "zstd"
_HEADER = 512
_VERSION = b"tamperscope:version"
"""In a part file that has replaced another one: how many it has replaced."""


def pyarrow() -> Any:
    """The pyarrow module.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError as error:
        raise missing_extra("tamperscope batch", "batch") from error
    return pa


def schema() -> Any:
    """Names and types of the columns of a part file."""
    pa = pyarrow()
    text, real, whole = pa.string(), pa.float64(), pa.int32()
    return pa.schema(
        [
            pa.field("id", text, nullable=False),
            pa.field("source", text, nullable=False),
            ("sha256", text),
            ("width", whole),
            ("height", whole),
            ("map_kind", text),
            ("score", real),
            ("threshold", real),
            ("image_threshold", real),
            ("flagged", pa.bool_()),
            ("forged_fraction", real),
            ("regions", whole),
            ("boxes", pa.list_(pa.list_(whole, 4))),
            pa.field("method", text, nullable=False),
            pa.field("preset", text, nullable=False),
            pa.field("weights", pa.map_(text, text), nullable=False),
            ("seconds", real),
            ("error", text),
            ("error_message", text),
            ("note", text),
            pa.field("retries", whole, nullable=False),
            ("duplicate_of", text),
            ("mask", text),
            ("mask_offset", pa.int64()),
            ("mask_length", pa.int64()),
            ("mask_counts", pa.list_(whole)),
        ]
    )


def warm_up() -> None:
    """Let pyarrow load now what it otherwise loads while the first part is waited for."""
    pa = pyarrow()
    table = pa.Table.from_pylist([], schema=schema())
    pa.parquet.write_table(table, io.BytesIO(), compression=COMPRESSION)


def part_name(shard: Shard, number: int) -> str:
    """``part-SSSSS-NNNNN``: which shard, which of its parts."""
    return f"part-{shard.index:05}-{number:05}"


def read_part(folder: Path, name: str, columns: Sequence[str] | None = None) -> Any:
    """The rows of a part file, as an Arrow table.

    Raises:
        ResultError: it is not there, or damaged.
    """
    path = folder / "rows" / f"{name}.parquet"
    pq = pyarrow().parquet
    try:
        with pq.ParquetFile(path) as file:
            return file.read(columns=columns)
    except (OSError, ValueError, KeyError) as error:
        why = " ".join(str(error).split())
        raise ResultError(
            f"{path} cannot be read ({why}): put it back, or choose another --output"
        ) from error


def version(table: Any) -> int:
    """How many part files the one with these rows has replaced."""
    return int((table.schema.metadata or {}).get(_VERSION, 0))


def check_known(folder: Path, shard: Shard, known: int) -> None:
    """Raise ResultError where there are more part files than the run remembers to have begun."""
    if (folder / "rows" / f"{part_name(shard, known + 1)}.parquet").exists():
        raise ResultError(
            f"{folder / 'state'} does not know all part files in {folder / 'rows'}: put it back, "
            "or choose another --output"
        )


def clear_drafts(folder: Path, shard: Shard) -> None:
    """Delete what an earlier run was writing when it ended."""
    for room in ("rows", "masks"):
        for draft in (folder / room).glob(f".part-{shard.index:05}-*.tmp"):
            draft.unlink(missing_ok=True)


class Part:
    """One part in the making.

    Args:
        folder: of the run.
        name: as `part_name` gives it.
        masks: one of `tamperscope.batch.config.MASKS`.
    """

    def __init__(self, folder: Path, name: str, masks: str) -> None:
        self._folder = folder
        self._name = name
        self._masks = masks
        self._rows: list[dict[str, Any]] = []
        self._counts: list[bytes] = []
        self._buffer = io.BytesIO()
        self._tar = tarfile.TarFile(fileobj=self._buffer, mode="w", format=tarfile.USTAR_FORMAT)
        self._files = 0

    def add(self, row: dict[str, Any], mask: bytes) -> dict[str, Any]:
        """Add a row and its mask; returns the row with the mask's place in it."""
        if mask and self._masks == "png":
            row = {**row, **self._place(mask)}
        self._rows.append(row)
        self._counts.append(mask if self._masks == "rle" else b"")
        return row

    def write(self) -> None:
        """Write the part's files.

        Raises:
            ResultError: the disk takes no more; nothing half-written counts.
        """
        with self._reported():
            self._save_masks()
            self._save("rows", f"{self._name}.parquet", self._parquet(self._table()))

    def replace(self, name: str, table: Any, places: Sequence[int], number: int) -> Any:
        """Write the masks, and then a part file anew, with rows of this part in some places.

        Masks of the rows that stay lie where they were: those of this part have a file of their
        own.

        Args:
            name: of the part file.
            table: its rows.
            places: in them, of the rows of this part.
            number: its `version` from now on.

        Returns:
            The rows of the new file.

        Raises:
            ResultError: the disk takes no more; the old file is whole.
        """
        order = np.arange(len(table))
        order[list(places)] = len(table) + np.arange(len(places))
        both = pyarrow().concat_tables([table, self._table()])
        table = both.take(order).replace_schema_metadata({_VERSION: str(number)})
        with self._reported():
            self._save_masks()
            self._save("rows", f"{name}.parquet", self._parquet(table))
        return table

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except ResultError as error:
            raise stopped(self._folder, reason(error)) from error

    def _save_masks(self) -> None:
        if self._files:
            self._tar.close()
            self._save("masks", f"{self._name}.tar", self._buffer.getbuffer())

    def _place(self, mask: bytes) -> dict[str, Any]:
        member = tarfile.TarInfo(f"{self._name}/{len(self._rows):07}.png")
        member.size = len(mask)
        offset = self._buffer.tell() + _HEADER
        self._tar.addfile(member, io.BytesIO(mask))
        self._files += 1
        return {
            "mask": f"masks/{self._name}.tar/{member.name}",
            "mask_offset": offset,
            "mask_length": len(mask),
        }

    def _table(self) -> Any:
        pa = pyarrow()
        table = pa.Table.from_pylist(self._rows, schema=schema())
        place = table.schema.get_field_index("mask_counts")
        return table.set_column(place, table.schema.field(place), self._run_lengths(pa))

    def _parquet(self, table: Any) -> memoryview:
        sink = io.BytesIO()
        pyarrow().parquet.write_table(table, sink, compression=COMPRESSION)
        return sink.getbuffer()

    def _run_lengths(self, pa: Any) -> Any:
        """The run lengths of all rows; null where there are none."""
        lengths = np.array([len(counts) // 4 for counts in self._counts], np.int32)
        offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
        values = np.frombuffer(
            b"".join(counts[: len(counts) // 4 * 4] for counts in self._counts), "<i4"
        )
        return pa.ListArray.from_arrays(
            pa.array(offsets), pa.array(values, pa.int32()), mask=pa.array(lengths == 0)
        )

    def _save(self, room: str, name: str, data: memoryview) -> None:
        path = write_atomic(self._folder / room / name, data)
        # The name as well must be on disk before the row counts as done.
        with contextlib.suppress(OSError):
            descriptor = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def reason(error: ResultError) -> str:
    """Why a file could not be written, in the words of the system."""
    cause = error.__cause__
    return (cause.strerror or str(cause)) if isinstance(cause, OSError) else str(error)
