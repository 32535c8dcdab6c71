"""The files a study leaves behind."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tamperscope.bench.record import Record, write_record
from tamperscope.errors import MissingExtraError
from tamperscope.result import write_atomic


def write_study(
    found: Record,
    missing: Sequence[str],
    output: Path,
    *,
    name: str,
    tables: Callable[[dict[str, Any]], str],
    draw: Callable[[dict[str, Any]], Iterable[Path]],
) -> dict[str, Any]:
    """Write ``name.json``, the tables as ``name.md``, and pictures where they can be drawn.

    Args:
        found: what was measured.
        missing: localizers left out, noted among the numbers.
        output: a folder.
        name: of the files.
        tables: makes Markdown from the record.
        draw: draws and names the pictures; MissingExtraError where it cannot.

    Returns:
        The record, with ``"files"``, the names of what was written, and ``"hint"``, why there are
        no pictures, or None.
    """
    record = found.to_dict()
    record["numbers"]["missing"] = list(missing)
    write_record(record, output / f"{name}.json")
    write_atomic(output / f"{name}.md", tables(record).encode())
    hint, drawn = None, list[str]()
    try:
        drawn = [path.name for path in draw(record)]
    except MissingExtraError as error:  # numbers do not fail for a picture
        hint = str(error)
    return {**record, "files": [f"{name}.json", f"{name}.md", *drawn], "hint": hint}
