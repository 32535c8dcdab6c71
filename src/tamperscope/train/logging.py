"""What a run tells: JSON lines, TensorBoard events, a progress bar or plain lines."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, SupportsFloat

from tamperscope.train.checkpoint import write_text


class RunLog:
    """Log of one run; only the main process writes (``active``).

    Each line of ``log.jsonl`` is an object with ``event`` (``train`` or ``validation``),
    ``samples`` and numbers. On resume, lines from after the checkpoint are dropped: those samples
    are about to be seen again.
    """

    def __init__(
        self, run_dir: Path, *, total: int, samples: int, tensorboard: bool, active: bool
    ) -> None:
        self.active = active
        self._path = run_dir / "log.jsonl"
        self._events: Any = None
        self._bar: Any = None
        if not active:
            return
        _drop_later_lines(self._path, samples)
        if tensorboard:
            self._events = self._open_tensorboard(run_dir / "tensorboard", samples)
        if sys.stderr.isatty():
            self._bar = _progress_bar(total, samples)

    def say(self, text: str) -> None:
        """One line for the person watching."""
        if not self.active:
            return
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)

    def record(self, event: str, samples: int, numbers: Mapping[str, float]) -> None:
        """Append one line and its TensorBoard scalars."""
        if not self.active:
            return
        line = {"event": event, "samples": samples}
        line |= {k: float(f"{v:.6g}") for k, v in numbers.items()}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self._events is not None:
            for name, value in numbers.items():
                self._events.add_scalar(f"{event}/{name}", value, samples)
        if self._bar is None or event != "train":
            self.say(f"{event:<10} {samples:>9} samples  {_short(numbers)}")

    def advance(self, samples: int, loss: SupportsFloat) -> None:
        """Move the progress bar, when there is one."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=samples, loss=f"{float(loss):.4f}")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._events is not None:
            self._events.close()

    def _open_tensorboard(self, folder: Path, samples: int) -> Any:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self.say(
                "no TensorBoard events: pip install 'tamperscope[train]' to have them"
                " (log.jsonl has the same numbers)"
            )
            return None
        return SummaryWriter(str(folder), purge_step=samples + 1 if samples else None)


def _drop_later_lines(path: Path, samples: int) -> None:
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            keep = json.loads(line)["samples"] <= samples
        except (ValueError, KeyError):
            # A kill can cut the last line short.
            keep = False
        if keep:
            kept.append(line + "\n")
    write_text(path, "".join(kept))


def _progress_bar(total: int, samples: int) -> Any:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    bar.add_task("training", total=total, completed=samples, loss="-")
    return bar


def _short(numbers: Mapping[str, float]) -> str:
    return "  ".join(f"{k} {v:.4g}" for k, v in numbers.items() if "/" not in k)
