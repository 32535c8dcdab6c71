"""Archives to examine, and a strict look at what a run has left behind."""

import io
import sqlite3
import tarfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image as PILImage

from tamperscope.batch import BatchConfig, run_batch

LOADER = "web.toys:load"
HANG, DIE, HUNGRY, RAISE = (250, 0, 0), (251, 0, 0), (252, 0, 0), (253, 0, 0)
VOLATILE = ("seconds", "retries")


def pixels(seed: int = 0, first: tuple[int, int, int] | None = None) -> NDArray[np.uint8]:
    """Dark, with a bright block whose place depends on the seed."""
    picture = np.full((24, 32, 3), 20, np.uint8)
    picture[seed % 16 : seed % 16 + 6, seed % 20 : seed % 20 + 8] = 240
    picture[-1, -1] = (seed % 150, seed // 150, 7)
    picture[0, 0] = first or (20, 20, 20)
    return picture


def encoded(seed: int = 0, first: tuple[int, int, int] | None = None) -> bytes:
    buffer = io.BytesIO()
    PILImage.fromarray(pixels(seed, first)).save(buffer, "PNG")
    return buffer.getvalue()


def write(path: Path, seed: int = 0, first: tuple[int, int, int] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(seed, first))
    return path


def archive(folder: Path, count: int, *, hundredths: int = 0) -> list[str]:
    """So many pictures; each takes so many hundredths of a second. Returns their ids, in order."""
    first = (254, hundredths, 0) if hundredths else None
    names = [f"{i // 10:02}/{i:04}.png" for i in range(count)]
    for i, name in enumerate(names):
        write(folder / name, i, first)
    return names


def config(source: Path | str, output: Path, **values: Any) -> BatchConfig:
    """A run of the toy method with one worker."""
    options = {"method": "bright", "workers": 1, "loader": LOADER, "part_rows": 4, **values}
    return BatchConfig(source=str(source), output=output, **options)


def examine(source: Path | str, output: Path, **values: Any) -> dict[str, Any]:
    return run_batch(config(source, output, **values))


def rows(output: Path) -> list[dict[str, Any]]:
    """All rows, part after part."""
    files = sorted((output / "rows").glob("part-*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def stable(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what differs between two runs."""
    return {name: value for name, value in row.items() if name not in VOLATILE}


def mask_of(output: Path, row: dict[str, Any]) -> NDArray[np.bool_]:
    """The mask that a row points to, found in both ways."""
    file, _, member = row["mask"].partition(".tar/")
    path = output / (file + ".tar")
    with path.open("rb") as raw:
        raw.seek(row["mask_offset"])
        data = raw.read(row["mask_length"])
    with tarfile.open(path) as tar:
        found = tar.extractfile(member)
        assert found is not None
        assert found.read() == data
    return np.asarray(PILImage.open(io.BytesIO(data))) == 255


def check_whole(output: Path, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Exactly one row for each id, in order; whole files, and no others."""
    found = rows(output)
    assert Counter(row["id"] for row in found) == Counter(ids)
    assert [row["id"] for row in found] == list(ids)
    for row in found:
        if row["error"] is None and row["flagged"]:
            mask = mask_of(output, row)
            assert mask.shape == (row["height"], row["width"])
            assert mask.mean() == row["forged_fraction"]
    names = {path.name for room in ("rows", "masks") for path in (output / room).glob("*")}
    with sqlite3.connect(output / "state" / "shard-00000.sqlite") as state:
        parts = {number for (number,) in state.execute("SELECT number FROM parts")}
        assert state.execute("SELECT count(*) FROM spool").fetchone() == (0,)
    state.close()
    assert parts == set(range(len(parts)))
    known = {f"part-00000-{number:05}.{kind}" for number in parts for kind in ("parquet", "tar")}
    assert names <= known
    return found
