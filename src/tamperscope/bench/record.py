"""Benchmark records: numbers together with everything needed to know what they are numbers of."""

import json
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from tamperscope.errors import DataError
from tamperscope.provenance import JSON, json_safe, tool_commit, tool_version
from tamperscope.result import write_atomic

FORMAT = "tamperscope-record"
VERSION = 1
LIBRARIES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "pillow",
    "opencv-python-headless",
    "torch",
    "timm",
    "onnxruntime",
    "numba",
    "hdbscan",
)
KINDS = (
    "content-overlap",
    "speed",
    "precision",
    "dolos-study",
    "fakelocator-study",
    "benchmark",
    "clustering",
    "service",
    "metrics-speed",
    "face-parsing",
    "near-duplicates",
    "batch",
    "diagnosis",
    "engines",
    "methods-speed",
    "copied-regions",
    "untouched-photos",
)
PARTS = ("method", "weights", "protocol", "dataset", "numbers", "environment")
"""What every record holds, each a table."""

_REMEDY = "give a record (JSON) that `tamperscope bench` wrote"


@dataclass(frozen=True, kw_only=True)
class Record:
    """One benchmark of one method, as it is kept under `results/`.

    kind: one of `KINDS`. method: name, title and settings. weights: checkpoint -> sha256.
    protocol, dataset, numbers, environment: plain JSON values. rows: one dict per picture, or None.
    """

    kind: str
    method: dict[str, JSON]
    weights: dict[str, str]
    protocol: dict[str, JSON]
    dataset: dict[str, JSON]
    numbers: dict[str, JSON]
    environment: dict[str, JSON] = field(default_factory=lambda: environment())
    rows: list[dict[str, JSON]] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `rows` only where there are any.

        Raises ResultError for a number JSON cannot hold.
        """
        parts: dict[str, object] = {
            "format": FORMAT,
            "version": VERSION,
            "kind": self.kind,
            "method": without_folders(json_safe(self.method, where="method")),
            "weights": self.weights,
            "protocol": self.protocol,
            "dataset": self.dataset,
            "numbers": self.numbers,
            "environment": self.environment,
        }
        if self.rows is not None:
            parts["rows"] = self.rows
        safe = json_safe(parts, where="record")
        assert isinstance(safe, dict)
        return safe

    def save(self, path: Path) -> Path:
        """Write the record as JSON; the file appears whole or not at all."""
        return write_record(self.to_dict(), path)


def write_record(record: Mapping[str, Any], path: Path) -> Path:
    """Write a record's dict as indented JSON; ResultError when the file cannot be written."""
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    return write_atomic(path, (text + "\n").encode())


def read_record(path: Path, *, kind: str | None = None) -> dict[str, Any]:
    """A record's dict; with ``kind`` only one of that kind.

    Raises DataError, which names the file: none there, none that can be read, no record, or one of
    another version or kind.
    """
    record = _json_of(path)
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise DataError(f"{path} is not a {FORMAT}: {_REMEDY}")
    if record.get("version") != VERSION or record.get("kind") not in KINDS:
        raise DataError(
            f"{path} has version {record.get('version')!r} and kind {record.get('kind')!r}, this "
            f"release reads version {VERSION} of {', '.join(KINDS)}: run the benchmark again"
        )
    if lost := [part for part in PARTS if not isinstance(record.get(part), dict)]:
        raise DataError(f"{path} has no {', '.join(lost)}: run the benchmark again")
    if kind is not None and record["kind"] != kind:
        raise DataError(
            f"{path} is a record of kind {record['kind']!r}: give one of kind {kind!r}"
            + (", which `tamperscope bench run` writes" if kind == "benchmark" else "")
        )
    return record


def _json_of(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise DataError(f"no such file: {path}: {_REMEDY}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): {_REMEDY}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {_REMEDY}") from error


def environment(argv: Sequence[str] | None = None) -> dict[str, JSON]:
    """Version and commit of the tool, libraries, machine, UTC date and the command that ran."""
    return {
        "tool": {"version": tool_version(), "commit": tool_commit()},
        "libraries": _libraries(),
        "machine": _machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command_line(sys.argv if argv is None else argv),
    }


def command_line(argv: Sequence[str]) -> str:
    """The command as it can be typed again, folders above the last name of a path left out.

    Records are published, and the folders of somebody's machine are nobody else's business.
    """
    program = Path(argv[0]).name if argv else ""
    return shlex.join([program, *(_short_argument(word) for word in argv[1:])])


def without_folders(value: JSON) -> JSON:
    """`value` with every absolute path in it cut down to `.../` and its last name."""
    if isinstance(value, dict):
        return {key: without_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_folders(item) for item in value]
    return _short_path(value) if isinstance(value, str) else value


def _short_argument(word: str) -> str:
    option, equals, value = word.partition("=")
    # NAME=PATH names a data set; a path may itself hold an equals sign.
    if equals and os.sep not in option:
        return f"{option}={_short_path(value)}"
    return _short_path(word)


def _short_path(text: str) -> str:
    if "\n" in text or not (os.path.isabs(text) or text.startswith(("~", ".."))):
        return text
    return f".../{Path(text).name}"


def _libraries() -> dict[str, JSON]:
    found: dict[str, JSON] = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _machine() -> dict[str, JSON]:
    machine: dict[str, JSON] = {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    # Only a method that uses torch has imported it by now; a reference should not pay for it.
    torch = sys.modules.get("torch")
    if torch is not None:
        machine["threads"] = int(torch.get_num_threads())
        if torch.cuda.is_available():
            machine["gpu"] = str(torch.cuda.get_device_name())
    return machine


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
