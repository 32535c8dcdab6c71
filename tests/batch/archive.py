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
from tamperscope.batch.rows import counted

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


def check_rows(output: Path, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Exactly one row for each id, in order; masks that are there."""
    found = rows(output)
    assert Counter(row["id"] for row in found) == Counter(ids)
    assert [row["id"] for row in found] == list(ids)
    for row in found:
        if row["flagged"] and (output / "masks").exists():
            mask = mask_of(output, row)
            assert mask.shape == (row["height"], row["width"])
            assert mask.mean() == row["forged_fraction"]
    return found


def check_whole(output: Path, ids: Sequence[str]) -> list[dict[str, Any]]:
    """As `check_rows`; no files but whole ones that count, and nothing left to do."""
    found = check_rows(output, ids)
    names = {path.name for room in ("rows", "masks") for path in (output / room).glob("*")}
    with sqlite3.connect(output / "state" / "shard-00000.sqlite") as state:
        parts = {number for (number,) in state.execute("SELECT number FROM parts")}
        for table in ("spool", "again", "stale"):
            assert state.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
        _check_counts(dict(state.execute("SELECT name, n FROM counts")), found)
    state.close()
    assert parts == set(range(len(parts)))
    known = {f"part-00000-{number:05}.{kind}" for number in parts for kind in ("parquet", "tar")}
    known |= {row["mask"].split("/")[1] for row in found if row["mask"]}
    assert names <= known
    return found


def _check_counts(counts: dict[str, float], found: list[dict[str, Any]]) -> None:
    """What was counted on the way is what the rows say in the end."""
    expected: Counter[str] = Counter()
    for row in found:
        for name, n in counted(row).items():
            expected[name] += int(n)
    told = {name: n for name, n in counts.items() if name in expected or name.startswith("error: ")}
    assert {name: n for name, n in told.items() if n} == {n: v for n, v in expected.items() if v}
