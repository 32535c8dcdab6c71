"""What `run_batch` needs to know, checked once."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tamperscope.catalog import ENGINES as RUNTIMES
from tamperscope.errors import ConfigError
from tamperscope.workers.settings import at_least

MIB = 1 << 20
ENGINES = ("local", "ray")
MASKS = ("png", "rle", "none")
_OPTIONS = ("name", "preset", "weights", "device", "precision", "max_pixels", "engine", "onnx")
"""What a method is loaded with beside its own settings."""


@dataclass(frozen=True)
class Shard:
    """Number ``index`` of ``count`` shares of the inputs, counted from 0."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not (1 <= self.count < 100_000 and 0 <= self.index < self.count):
            raise ConfigError(
                f"shard {self.index}/{self.count} does not exist: shards of i/n count from 0 to "
                f"n - 1, as in 0/{max(1, self.count)}"
            )

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """``i/n`` as a shard.

        Raises:
            ConfigError: something else, or no such shard.
        """
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if match is None:
            raise ConfigError(f"--shard takes i/n such as 0/16, got {text!r}")
        return cls(int(match[1]), int(match[2]))


@dataclass(frozen=True, kw_only=True)
class BatchConfig:
    """One run over one source.

    Raises:
        ConfigError: a value out of range.
    """

    source: str
    """A folder, a list (.txt), a table (.csv, .tsv, .jsonl, .parquet), or the URL of one."""
    output: Path
    method: str = "focal"
    preset: str | None = None
    weights: str | None = None
    device: str = "auto"
    precision: str = "auto"
    max_pixels: int = 100_000_000
    options: Mapping[str, Any] = field(default_factory=dict)
    """Single settings of the method."""
    runtime: str = "torch"
    """What runs the networks: ``torch``, or ``onnx`` for ONNX Runtime."""
    onnx: Sequence[Path] = ()
    """Files that ``tamperscope export`` made; without one they are exported on first use."""
    column: str | None = None
    """Of a table: where the paths, URLs or encoded pictures are."""
    id_column: str | None = None
    allow_outside: bool = False
    """Whether inputs may lie outside the folder of the source."""
    masks: str = "png"
    shard: Shard = Shard()
    limit: int | None = None
    """Only so many inputs, the first ones."""
    retry_errors: frozenset[str] = frozenset()
    """Inputs whose row says one of these errors are examined again; see `work.parse_kinds`."""
    engine: str = "local"
    workers: int = 0
    """0: one for each core this process may use, or for each graphics device."""
    ray_address: str | None = None
    gpus_per_worker: float = 0.0
    time_limit: float = 120.0
    """Seconds one picture may take."""
    memory_limit: int = 4096 * MIB
    """Bytes a worker may take on top of its loaded method."""
    start_limit: float = 300.0
    """Seconds a worker may take to load the method."""
    part_rows: int = 1000
    part_bytes: int = 64 * MIB
    """A part file ends after so many rows, or bytes of masks."""
    loader: str = "tamperscope.catalog:load"
    """``module:function`` workers load the method with: `tamperscope.load`, or one that takes the
    same arguments."""

    def __post_init__(self) -> None:
        for name, known in (("engine", ENGINES), ("masks", MASKS), ("runtime", RUNTIMES)):
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"{name} {getattr(self, name)!r} is unknown; use {' or '.join(known)}"
                )
        for name, least in (("max_pixels", 1), ("part_rows", 1), ("part_bytes", 1), ("workers", 0)):
            at_least(name, getattr(self, name), least)
        for name in ("time_limit", "start_limit"):
            at_least(name, getattr(self, name), 0.1)
        at_least("memory_limit", self.memory_limit, 64 * MIB)
        at_least("gpus_per_worker", self.gpus_per_worker, 0)
        if self.limit is not None:
            at_least("limit", self.limit, 1)
        for name in set(_OPTIONS) & self.options.keys():
            option = {"name": "method", "engine": "runtime"}.get(name, name).replace("_", "-")
            raise ConfigError(f"--set {name}: is no setting of the method; use --{option}")
        if self.engine != "ray" and (self.ray_address or self.gpus_per_worker):
            raise ConfigError("ray_address and gpus_per_worker belong to Ray: give --engine ray")
        if self.onnx and self.runtime != "onnx":
            raise ConfigError("an ONNX file was given: give --runtime onnx as well to run it")

    def worker_settings(self) -> dict[str, Any]:
        """What a worker is told at its start; plain JSON values."""
        names = ("method", "preset", "weights", "device", "precision", "max_pixels", "options")
        more = ("masks", "memory_limit", "loader", "runtime")
        # Whole paths: a worker on another machine may be started in another folder.
        files = [str(Path(file).expanduser().absolute()) for file in self.onnx]
        return {**{name: getattr(self, name) for name in (*names, *more)}, "onnx": files}
