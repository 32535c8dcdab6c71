"""What ran, on what, with which settings: the record every result carries."""

import dataclasses
import enum
import functools
import hashlib
import json
import math
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from tamperscope import __version__
from tamperscope.errors import ResultError

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a result comes from. Everything in it survives JSON unchanged.

    ``config`` and ``notes`` may be given with dataclasses, enums, paths, tuples, sets and numpy
    numbers in them: they are stored as plain JSON values (see `json_safe`).

    Raises:
        ResultError: a value has no JSON form, ``seed`` is not an integer, or ``input_size`` is
            not two positive integers.
    """

    version: str
    """tamperscope's version."""
    commit: str | None
    """Source revision (40 hex digits, ``-dirty`` after edits), or None where it is not known."""
    method: str
    config: dict[str, JSON]
    """The resolved configuration: every default filled in."""
    weights: dict[str, str]
    """Name of each checkpoint used -> sha256 of its file (64 hex digits)."""
    device: str
    precision: str
    seed: int
    seconds: dict[str, float]
    """Stage -> wall-clock seconds."""
    input_id: str
    input_sha256: str
    input_size: tuple[int, int]
    """(h, w) in pixels, in displayed orientation."""
    notes: dict[str, JSON] = field(default_factory=dict)
    """What the method found on the way: clusters, the decision rule that applied, ..."""

    def __post_init__(self) -> None:
        for name in ("config", "weights", "seconds", "notes"):
            value = json_safe(getattr(self, name), where=f"provenance.{name}")
            if not isinstance(value, dict):
                raise ResultError(f"provenance.{name} must be a dict, got {type(value).__name__}")
            object.__setattr__(self, name, value)
        object.__setattr__(self, "seed", _integer(self.seed, "seed"))
        size = tuple(_integer(n, "input_size") for n in self.input_size)
        if len(size) != 2 or min(size) < 1:
            raise ResultError(
                f"provenance.input_size must be (h, w), both positive, got {list(size)}"
            )
        object.__setattr__(self, "input_size", size)

    def to_dict(self) -> dict[str, JSON]:
        """A JSON-able dict; `from_dict` is its exact inverse."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        safe = json_safe(values, where="provenance")
        assert isinstance(safe, dict)
        return safe

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Provenance":
        """Rebuild a provenance from `to_dict`'s output.

        Raises:
            ResultError: fields are missing, unknown or of the wrong type.
        """
        names = {f.name for f in dataclasses.fields(cls)}
        if wrong := sorted(names ^ set(values)):
            raise ResultError(
                f"provenance has missing or unknown fields {wrong}: "
                "was it written by another version of tamperscope?"
            )
        try:
            return cls(**values)
        except TypeError as error:
            raise ResultError(f"provenance is malformed: {error}; write it again") from error


class Stopwatch:
    """Wall-clock seconds per named stage; a stage entered again adds to its sum.

    >>> watch = Stopwatch()
    >>> with watch.stage("features"):
    ...     pass
    >>> list(watch.seconds)
    ['features']
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the body of a ``with`` block, also when it raises."""
        start = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - start
            self._seconds[name] = self._seconds.get(name, 0.0) + elapsed

    @property
    def seconds(self) -> dict[str, float]:
        """A copy of the sums so far, in the order the stages were first entered."""
        return dict(self._seconds)


def json_safe(value: object, *, where: str = "value") -> JSON:
    """`value` as plain JSON types.

    Dataclasses and mappings become dicts with string keys, tuples and arrays become lists, sets
    become sorted lists, enums their values, paths strings, numpy scalars Python numbers.

    Args:
        value: what to convert.
        where: its name, for the error message.

    Raises:
        ResultError: NaN or infinity (JSON has neither), or a type with no JSON form.
    """
    if isinstance(value, enum.Enum):
        return json_safe(value.value, where=where)
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _finite(value, where)
    if isinstance(value, np.generic | np.ndarray):
        return json_safe(value.tolist(), where=where)
    if isinstance(value, os.PathLike):
        return str(os.fspath(value))
    return _json_container(value, where)


def config_digest(config: object) -> str:
    """sha256 (64 hex digits) of a configuration; equal settings in any key order agree."""
    text = json.dumps(json_safe(config, where="config"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def tool_version() -> str:
    """tamperscope's version, such as ``0.1.0``."""
    return __version__


@functools.cache
def tool_commit() -> str | None:
    """The source revision that runs: of the checkout, else of the VCS install, else None."""
    return _checkout_commit(Path(__file__).resolve().parents[2]) or _installed_commit()


def _json_container(value: object, where: str) -> JSON:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {_key(k, where): json_safe(v, where=f"{where}.{k}") for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(v, where=f"{where}[{i}]") for i, v in enumerate(value)]
    if isinstance(value, set | frozenset):
        items = [json_safe(v, where=where) for v in value]
        return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))
    raise ResultError(
        f"{where} is a {type(value).__name__}, which JSON cannot hold: "
        "store a number, string, list or dict"
    )


def _key(key: object, where: str) -> str:
    if isinstance(key, enum.Enum):
        key = key.value
    if not isinstance(key, str):
        raise ResultError(f"{where} has the key {key!r}: JSON keys must be strings")
    return str(key)


def _finite(value: float, where: str) -> float:
    if not math.isfinite(value):
        raise ResultError(f"{where} is {value}, which JSON cannot hold: store None instead")
    return float(value)


def _integer(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ResultError(f"provenance.{name} must hold integers, got {value!r}")
    return int(value)


def _checkout_commit(root: Path) -> str | None:
    # Only our own checkout counts: site-packages may lie inside somebody else's repository.
    if not (root / ".git").exists() or not (root / "src" / "tamperscope").is_dir():
        return None
    # A hook's GIT_DIR would name another repository, and looking must not lock this one's index.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    environment["GIT_OPTIONAL_LOCKS"] = "0"
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(
            [*command, "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
            env=environment,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _installed_commit() -> str | None:
    try:
        text = metadata.distribution("tamperscope").read_text("direct_url.json")
        commit = json.loads(text or "{}").get("vcs_info", {}).get("commit_id")
    except (metadata.PackageNotFoundError, ValueError, AttributeError):
        return None
    return commit if isinstance(commit, str) else None
