"""The driver of a run: lists inputs, keeps the engine busy, writes finished rows in order."""

import dataclasses
import itertools
import json
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tamperscope.batch import parts, summary
from tamperscope.batch.config import BatchConfig
from tamperscope.batch.local import Engine, LocalEngine
from tamperscope.batch.sources import Source, in_shard, open_source
from tamperscope.batch.state import Entry, State, hashed, stopped
from tamperscope.batch.summary import Progress
from tamperscope.batch.work import Finished, Task, failure
from tamperscope.errors import ConfigError, ResultError, TamperscopeError
from tamperscope.provenance import config_digest
from tamperscope.result import write_atomic

SETTINGS = "settings.json"

_AHEAD = 10_000
"""Inputs that may be finished before their turn: one that takes long must not stop the others."""
_PATIENCE = 0.5

Tell = Callable[[Progress], None]


def run_batch(config: BatchConfig, *, tell: Tell = lambda progress: None) -> dict[str, Any]:
    """Examine every input of a source and write one row for each.

    A run that ended early, for whatever reason, goes on where it was when it is called again.

    Args:
        config: what to do.
        tell: called now and then with how far it is.

    Returns:
        The report, which is also in the folder of the run.

    Raises:
        TamperscopeError: it cannot start or go on; what is finished stays.
        KeyboardInterrupt: as above.
    """
    if not hasattr(select, "poll"):
        raise ConfigError("tamperscope batch needs Linux or macOS; on Windows run it in WSL")
    parts.warm_up()
    source = open_source(config)
    state = State(config.output / "state" / f"shard-{config.shard.index:05}.sqlite")
    try:
        engine = _engine(config, state)
        try:
            run = _Run(config, source, state, engine, tell)
            return run.go(engine.start())
        finally:
            engine.close()
    finally:
        state.close()


def report_path(config: BatchConfig) -> Path:
    """Where the report of a run lies."""
    name = "report" if config.shard.count == 1 else f"report-{config.shard.index:05}"
    return config.output / f"{name}.json"


def _engine(config: BatchConfig, state: State) -> Engine:
    if config.engine == "ray":
        from tamperscope.batch.ray_engine import RayEngine

        return RayEngine(config, state.knows, state.add)
    return LocalEngine(config, state.knows, state.add)


class _Run:
    """The state of one call.

    Args:
        config, source, state, engine, tell: as in `run_batch`.
    """

    def __init__(
        self, config: BatchConfig, source: Source, state: State, engine: Engine, tell: Tell
    ) -> None:
        self._config = config
        self._source = source
        self._state = state
        self._engine = engine
        self._tell = tell
        self._tasks = self._listed()
        self._exhausted = False
        self._order: deque[bytes] = deque()
        self._ready: dict[bytes, int] = {}
        self._flying = 0
        self._part: list[bytes] = []
        self._part_bytes = 0
        self._numbers = itertools.count(state.parts())
        self._settings: dict[str, Any] = {}
        self._total: int | None = None
        self._done = 0
        self._fresh = 0
        self._errors = 0
        self._started = self._noted = time.monotonic()

    def go(self, introduction: Mapping[str, Any]) -> dict[str, Any]:
        """Do all of it; returns the report."""
        self._settings = self._agreed(introduction)
        parts.clear_drafts(self._config.output, self._config.shard)
        self._state.add("calls")
        self._count_in_background()
        self._started = self._noted = time.monotonic()
        try:
            self._work()
        except BaseException as error:
            status = "failed" if isinstance(error, TamperscopeError) else "stopped"
            self._leave(status)
            raise
        return self._report("complete")

    def _work(self) -> None:
        while not (self._exhausted and not self._flying):
            self._feed()
            if self._flying:
                for finished in self._engine.wait(_PATIENCE):
                    self._flying -= 1
                    self._keep(finished)
            self._write_parts()
            self._show()
        if self._config.limit is None:
            # Listed and finished by an earlier call, and gone from the source since.
            pending = set(self._order) | set(self._part)
            self._order += [key for key in self._state.leftovers() if key not in pending]
            self._ready.update({key: self._state.spooled_bytes(key) or 0 for key in self._order})
        self._write_parts()
        if self._part:
            self._write_part()
        self._show()

    # --- inputs --------------------------------------------------------------------------------

    def _listed(self) -> Iterator[Task]:
        tasks = self._source.tasks()
        if self._config.shard.count > 1:
            tasks = in_shard(tasks, self._config.shard)
        return itertools.islice(tasks, self._config.limit)

    def _feed(self) -> None:
        """Give the engine as much as it takes."""
        while self._engine.free > 0 and len(self._order) < self._config.part_rows + _AHEAD:
            task = next(self._tasks, None)
            if task is None:
                self._exhausted = True
                return
            self._place(task)

    def _place(self, task: Task) -> None:
        key = hashed(task.key)
        if self._state.is_done(key):
            self._done += 1
            return
        self._order.append(key)
        kept = self._state.spooled_bytes(key)
        if kept is not None:
            self._ready[key] = kept
            self._done += 1
        elif task.problem is not None:
            self._keep(Finished(task, failure(*task.problem), None))
        else:
            self._flying += 1
            self._engine.submit(task)

    def _keep(self, finished: Finished) -> None:
        self._state.keep(finished)
        self._ready[hashed(finished.task.key)] = len(finished.mask)
        self._done += 1
        self._fresh += 1
        self._errors += finished.answer is not None and finished.answer.error is not None

    # --- parts ---------------------------------------------------------------------------------

    def _write_parts(self) -> None:
        """Write what is complete, in order."""
        while self._order and self._order[0] in self._ready:
            key = self._order.popleft()
            self._part.append(key)
            self._part_bytes += self._ready.pop(key)
            full = len(self._part) >= self._config.part_rows
            if full or self._part_bytes >= self._config.part_bytes:
                self._write_part()

    def _write_part(self) -> None:
        config, number = self._config, next(self._numbers)
        part = parts.Part(config.output, parts.part_name(config.shard, number), config.masks)
        fresh: dict[bytes, dict[str, Any]] = {}
        counts: dict[str, float] = {}
        for key in self._part:
            entry = self._state.entry(key)
            row, mask = self._row(entry, fresh)
            row = part.add(row, mask)
            if entry.sha is not None and row["duplicate_of"] is None:
                fresh[entry.sha] = row
            _count(row, counts)
        counts["seconds"] = self._lap()
        part.write()
        # From here on the part counts: written before, so that it cannot be missing; the same
        # name, so that a part without this line is replaced.
        self._state.commit_part(number, self._part, fresh, counts)
        self._part, self._part_bytes = [], 0

    def _row(
        self, entry: Entry, fresh: Mapping[bytes, dict[str, Any]]
    ) -> tuple[dict[str, Any], bytes]:
        """The row of an entry, and its mask: of bytes that were answered before, a copy."""
        names = {"id": entry.id, "source": entry.source}
        answer, mask = entry.answer, entry.mask
        if entry.sha is not None:
            first = fresh.get(entry.sha) or self._state.answered(entry.sha)
            if first is not None:
                own = {"duplicate_of": first["id"], "seconds": 0.0, "retries": 0}
                return {**first, **names, **own}, b""
            if answer is None:
                lender = self._state.lender(entry.sha)
                answer, mask = lender.answer, lender.mask
        assert answer is not None
        return {**self._common(), **names, **dataclasses.asdict(answer)}, mask

    def _common(self) -> dict[str, Any]:
        described = self._settings["method"]
        return {
            "method": described["method"],
            "preset": self._settings["preset"],
            "weights": described.get("weights", {}),
            "duplicate_of": None,
            "mask": None,
        }

    # --- settings and report -------------------------------------------------------------------

    def _agreed(self, introduction: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of the run, which must be those it began with.

        Raises:
            ConfigError: they differ.
            ResultError: the folder holds rows of something else.
        """
        config, path = self._config, self._config.output / SETTINGS
        settings = {
            "method": introduction["describe"],
            "preset": introduction["preset"],
            "masks": config.masks,
            "max_pixels": config.max_pixels,
            "source": self._source.fingerprint(),
            "columns": [config.column, config.id_column],
            "allow_outside": config.allow_outside,
            "shards": config.shard.count,
        }
        settings["digest"] = config_digest(settings)
        begun = _read_settings(path)
        if begun is None:
            if next((config.output / "rows").glob("part-*"), None) is not None:
                raise ResultError(
                    f"{config.output} holds rows of an unknown run; choose another --output"
                )
            _save(path, settings, config.output)
        elif begun.get("digest") != settings["digest"]:
            names = [name for name in settings if name != "digest"]
            changed = [name for name in names if begun.get(name) != settings[name]] or ["digest"]
            raise ConfigError(
                f"{config.output} holds a run with other settings ({', '.join(changed)}); "
                "choose another --output, or give those it began with (settings.json)"
            )
        return settings

    def _report(self, status: str) -> dict[str, Any]:
        # What was examined since the last part was written.
        self._state.add("seconds", self._lap())
        report = summary.report(
            self._state.counts(),
            status=status,
            settings=self._settings,
            parts=self._state.parts(),
        )
        _save(report_path(self._config), report, self._config.output)
        return report

    def _leave(self, status: str) -> None:
        """Write what can still be written on the way out."""
        try:
            self._report(status)
        except ResultError:  # the disk is full, which is being reported already
            return

    def _lap(self) -> float:
        now = time.monotonic()
        seconds, self._noted = now - self._noted, now
        return seconds

    def _count_in_background(self) -> None:
        """Find out how many inputs there are, without keeping anybody waiting."""

        def count() -> None:
            try:
                total = self._source.count()
            except TamperscopeError:  # the listing itself will report it
                return
            if total is not None:
                total = -(-total // self._config.shard.count)
                self._total = min(total, self._config.limit or total)

        threading.Thread(target=count, daemon=True).start()

    def _show(self) -> None:
        seconds = time.monotonic() - self._started
        total = max(self._total, self._done) if self._total is not None else None
        self._tell(Progress(self._done, total, self._fresh, seconds, self._errors))


def _count(row: Mapping[str, Any], counts: dict[str, float]) -> None:
    names = ["rows"]
    if row["error"] is None:
        names.append("ok")
    else:
        names.append(f"error: {row['error']}")
    names += [
        name
        for name, found in (
            ("flagged", row["flagged"]),
            ("duplicates", row["duplicate_of"] is not None),
            ("noted", row["note"] is not None and row["duplicate_of"] is None),
        )
        if found
    ]
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    counts["retries"] = counts.get("retries", 0) + row["retries"]


def _read_settings(path: Path) -> dict[str, Any] | None:
    try:
        settings = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ResultError(f"{path} cannot be read ({error}); choose another --output") from error
    if not isinstance(settings, dict):
        raise ResultError(f"{path} holds no settings; choose another --output")
    return settings


def _save(path: Path, values: Mapping[str, Any], folder: Path) -> None:
    text = json.dumps(values, indent=1, ensure_ascii=True, allow_nan=False)
    try:
        write_atomic(path, (text + "\n").encode())
    except ResultError as error:
        raise stopped(folder, parts.reason(error)) from error
