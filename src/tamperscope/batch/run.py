"""The driver of a run: lists inputs, keeps the engine busy, writes finished rows in order."""

import itertools
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tamperscope.batch import parts, summary
from tamperscope.batch.again import Again
from tamperscope.batch.agreement import Agreement, save
from tamperscope.batch.config import BatchConfig
from tamperscope.batch.local import Engine, LocalEngine
from tamperscope.batch.rows import Rows, add, counted
from tamperscope.batch.sources import Source, in_shard, open_source
from tamperscope.batch.state import State, hashed, named
from tamperscope.batch.summary import Progress
from tamperscope.batch.work import Finished, Task, failure, readable
from tamperscope.errors import ConfigError, ResultError, TamperscopeError, missing_extra

_AHEAD = 10_000
"""Inputs that may be finished before their turn: one that takes long must not stop the others."""
_PATIENCE = 0.5
_LISTED_AT_ONCE = 1000

Tell = Callable[[Progress], None]


def run_batch(config: BatchConfig, *, tell: Tell = lambda progress: None) -> dict[str, Any]:
    """Examine every input of a source and write one row for each.

    A run that ended early, for whatever reason, goes on where it was when it is called again. The
    method is loaded only if there is something to examine, or to find out whether it is the same.

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
    if config.runtime == "onnx" and config.engine == "local" and find_spec("onnxruntime") is None:
        raise missing_extra("--runtime onnx", "onnx")
    parts.warm_up()
    source = open_source(config)
    state = State(config.output / "state" / f"shard-{config.shard.index:05}.sqlite")
    try:
        engine = _engine(config, state)
        try:
            return _Run(config, source, state, engine, tell).go()
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
        self._agreement = Agreement(config, source)
        self._again = Again(config.output, config.shard, state)
        self._settings: dict[str, Any] = {}
        self._loaded = False
        self._total: int | None = None
        self._done = 0
        self._fresh = 0
        self._errors = 0
        self._started = self._noted = time.monotonic()

    def go(self) -> dict[str, Any]:
        """Do all of it; returns the report."""
        try:
            self._prepare()
            self._work()
        except BaseException as error:
            status = "failed" if isinstance(error, TamperscopeError) else "stopped"
            if self._settings:
                self._leave(status)
            raise
        return self._report("complete")

    def _prepare(self) -> None:
        config = self._config
        known = self._agreement.known()
        if known is None:
            self._load()
        else:
            self._settings = known
        parts.check_known(config.output, config.shard, self._state.parts())
        parts.clear_drafts(config.output, config.shard)
        self._state.add("calls")
        self._again.settle()
        if config.retry_errors:
            self._again.mark(config.retry_errors)
        self._count_in_background()

    def _load(self) -> None:
        """Have the engine ready, with the method that the run began with."""
        self._settings = self._agreement.settle(self._engine.start())
        self._loaded = True
        self._started = self._noted = time.monotonic()

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
        self._again.replace(Rows(self._state, self._settings), self._config.masks)
        self._show()

    # --- inputs --------------------------------------------------------------------------------

    def _listed(self) -> Iterator[Task]:
        tasks = self._source.tasks()
        if self._config.shard.count > 1:
            tasks = in_shard(tasks, self._config.shard)
        return itertools.islice(tasks, self._config.limit)

    def _feed(self) -> None:
        """Give the engine as much as it takes."""
        for _ in range(_LISTED_AT_ONCE):
            busy = self._loaded and self._engine.free <= 0
            if busy or len(self._order) >= self._config.part_rows + _AHEAD:
                return
            task = next(self._tasks, None)
            if task is None:
                self._exhausted = True
                return
            self._place(task)

    def _place(self, task: Task) -> None:
        key = hashed(task.key)
        kept = self._state.spooled_bytes(key)
        if self._state.is_done(key):
            if kept is not None or not self._wanted_again(key, task):
                self._done += 1
                return
        else:
            self._order.append(key)
        if kept is not None:
            self._ready[key] = kept
            self._done += 1
        elif task.problem is not None:
            self._keep(Finished(task, failure(*task.problem), None))
        else:
            if not self._loaded:
                self._load()
            self._flying += 1
            self._engine.submit(task)

    def _wanted_again(self, key: bytes, task: Task) -> bool:
        return self._state.wanted_again(key, named(readable(task.id), task.source))

    def _keep(self, finished: Finished) -> None:
        self._state.keep(finished)
        key = hashed(finished.task.key)
        if not self._state.is_done(key):
            self._ready[key] = len(finished.mask)
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
        rows = Rows(self._state, self._settings)
        fresh: dict[bytes, dict[str, Any]] = {}
        counts: dict[str, float] = {}
        for key in self._part:
            entry = self._state.entry(key)
            assert entry is not None
            row, mask = rows.of(entry, fresh)
            row = part.add(row, mask)
            if entry.sha is not None and row["duplicate_of"] is None:
                fresh[entry.sha] = row
            add(counts, counted(row))
        counts["seconds"] = self._lap()
        part.write()
        # From here on the part counts: written before, so that it cannot be missing; the same
        # name, so that a part without this line is replaced.
        self._state.commit_part(number, self._part, fresh, counts)
        self._part, self._part_bytes = [], 0

    # --- reports -------------------------------------------------------------------------------

    def _report(self, status: str) -> dict[str, Any]:
        # What was examined since the last part was written.
        self._state.add("seconds", self._lap())
        report = summary.report(
            self._state.counts(),
            status=status,
            settings=self._settings,
            parts=self._state.parts(),
        )
        save(report_path(self._config), report, self._config.output)
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
