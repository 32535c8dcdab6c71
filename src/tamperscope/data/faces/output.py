"""The folder of a built set: where files go, whole files or none, settings and manifest."""

import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from tamperscope.data.faces.layout import LAYOUTS, Layout
from tamperscope.errors import ConfigError, DataError

MANIFEST = "manifest.jsonl"
SETTINGS = "build.json"
VERSION = 1
_LOCK = ".lock"

Row = dict[str, Any]
"""A line of the manifest."""


def png(pixels: NDArray[np.uint8]) -> bytes:
    """The bytes of a PNG of (h, w) or (h, w, 3) uint8."""
    buffer = io.BytesIO()
    PILImage.fromarray(pixels).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def write(path: Path, data: bytes) -> None:
    """Write a whole file or none, folders included.

    Raises:
        DataError: it cannot be written.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        raise DataError(
            f"cannot write {path}: {error.strerror}; make room, or choose another folder"
        ) from error


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold a set's folder for this process; the system lets go of it when the process ends.

    Raises:
        DataError: the folder cannot be made, or another process is writing to it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / _LOCK).open("a")
    except OSError as error:
        raise DataError(
            f"cannot write to {folder}: {error.strerror}; choose another folder"
        ) from error
    with file:
        _lock(file.fileno(), folder)
        yield


def _lock(descriptor: int, folder: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows: two builds at a time are not told apart there
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise DataError(
            f"another process is writing to {folder}: wait for it, or choose another folder"
        ) from error


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds anything but a built set.

    Raises:
        DataError: it is a file, or has other content.
    """
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file: choose another folder")
    if not folder.is_dir() or (folder / SETTINGS).is_file():
        return
    other = sorted(p.name for p in folder.iterdir() if p.name != _LOCK)
    if other:
        raise DataError(
            f"{folder} holds other files (first: {other[0]!r}): choose an empty or a new folder"
        )


def agree(
    folder: Path, layout: Layout, config: Mapping[str, Any], generators: Mapping[str, Any]
) -> None:
    """Write the settings, or check that the set in ``folder`` was made with the same.

    Generators may be added to a set; one that is there must stay what it was.

    Raises:
        ConfigError: a setting differs.
        DataError: the file of settings cannot be read or written.
    """
    path = folder / SETTINGS
    document = json.loads(json.dumps({"config": config, "generators": generators}))
    older = read_settings(folder, layout) if path.is_file() else {"config": {}, "generators": {}}
    for kind in ("config", "generators"):
        for key, value in document[kind].items():
            if key in older[kind] and older[kind][key] != value:
                raise ConfigError(
                    f"{folder} holds a set made with {_shown(key, older[kind][key])}, not "
                    f"{_shown(key, value)}: give the same settings, or use another folder"
                )
    merged = {**older["generators"], **document["generators"]}
    settings = {
        "format": layout.format,
        "version": VERSION,
        "config": document["config"],
        "generators": dict(sorted(merged.items())),
    }
    write(path, (json.dumps(settings, indent=2) + "\n").encode())
    for part in folder.rglob("*.part"):
        part.unlink(missing_ok=True)


def _shown(key: str, value: object) -> str:
    return f"{key} = {json.dumps(value)}"


def read_settings(folder: Path, layout: Layout) -> dict[str, Any]:
    """The settings a set was built with.

    Raises:
        DataError: no such file, not one of ours, or of a set of another layout.
    """
    path = folder / SETTINGS
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}): check the folder") from error
    except ValueError as error:
        raise DataError(f"{path}: not JSON: build the set again in another folder") from error
    formats = {known.format: known.command for known in LAYOUTS}
    if not isinstance(document, dict) or document.get("format") not in formats:
        raise DataError(f"{path}: not the settings of a built set: use another folder")
    if document["format"] != layout.format:
        raise DataError(
            f"{folder} holds a set of {formats[document['format']]!r}, not of {layout.command!r}: "
            "use another folder"
        )
    if document.get("version") != VERSION:
        raise DataError(
            f"{path}: version {document.get('version')}, this release reads {VERSION}: "
            "build the set again in another folder"
        )
    return document


def read_rows(folder: Path) -> dict[str, Row]:
    """Picture -> its line of the manifest. A line cut off by a kill is left out."""
    try:
        text = (folder / MANIFEST).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise DataError(
            f"{folder / MANIFEST}: cannot be read ({error.strerror}): check the file"
        ) from error
    rows: dict[str, Row] = {}
    for line in text.splitlines():
        try:
            row = json.loads(line)
            rows[row["image"]] = row
        except (ValueError, KeyError, TypeError):
            continue
    return rows


def finished(folder: Path, rows: Mapping[str, Row]) -> set[str]:
    """The pictures of the manifest whose files are there, their masks included."""
    return {
        image
        for image, row in rows.items()
        if (folder / image).is_file() and (row["mask"] is None or (folder / row["mask"]).is_file())
    }


def append_rows(folder: Path, rows: Iterable[Row]) -> None:
    """Add lines to the manifest; each says that its picture and mask are complete."""
    # Begins a line of its own, even after one that a kill cut off.
    text = "".join("\n" + json.dumps(row) + "\n" for row in rows)
    if not text:
        return
    try:
        with (folder / MANIFEST).open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise DataError(
            f"cannot write to {folder}: {error.strerror}; make room, or choose another folder"
        ) from error


def finish(folder: Path) -> list[Row]:
    """Put the manifest in order of its pictures, without what is no longer there."""
    rows = read_rows(folder)
    there = finished(folder, rows)
    kept = [rows[image] for image in sorted(there)]
    write(folder / MANIFEST, "".join(json.dumps(row) + "\n" for row in kept).encode())
    return kept
