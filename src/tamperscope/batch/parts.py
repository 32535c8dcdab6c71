"""Part files: rows as Parquet, masks as tar. Each appears whole or not at all."""

import contextlib
import io
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

from tamperscope.batch.config import Shard
from tamperscope.batch.state import stopped
from tamperscope.errors import ResultError, missing_extra
from tamperscope.result import write_atomic

COMPRESSION = "zstd"
_HEADER = 512


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
        try:
            if self._files:
                self._tar.close()
                self._save("masks", ".tar", self._buffer.getbuffer())
            self._save("rows", ".parquet", self._parquet())
        except ResultError as error:
            raise stopped(self._folder, reason(error)) from error

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

    def _parquet(self) -> memoryview:
        pa = pyarrow()
        table = pa.Table.from_pylist(self._rows, schema=schema())
        place = table.schema.get_field_index("mask_counts")
        table = table.set_column(place, table.schema.field(place), self._run_lengths(pa))
        sink = io.BytesIO()
        pa.parquet.write_table(table, sink, compression=COMPRESSION)
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

    def _save(self, room: str, suffix: str, data: memoryview) -> None:
        path = write_atomic(self._folder / room / (self._name + suffix), data)
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
