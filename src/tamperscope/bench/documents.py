"""Small JSON documents whose names are digests of everything their content depends on."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tamperscope.result import write_atomic


def read_document(path: Path, *, format: str, version: int) -> dict[str, Any] | None:
    """What `write_document` wrote, or None for no file, a damaged one or one of another kind."""
    try:
        stored = json.loads(path.read_bytes())
        ours = stored["format"] == format and stored["version"] == version
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return {k: v for k, v in stored.items() if k not in ("format", "version")} if ours else None


def write_document(path: Path, values: Mapping[str, Any], *, format: str, version: int) -> None:
    """Write ``values``; the file appears whole or not at all.

    Raises:
        ResultError: the file cannot be written.
    """
    text = json.dumps({"format": format, "version": version, **values}, allow_nan=False)
    write_atomic(path, text.encode())
