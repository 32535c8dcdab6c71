"""What happened in a run: the report as JSON values and as text for people."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tamperscope.batch.again import NOT_LISTED
from tamperscope.batch.state import SUCCEEDED, TRIED

FORMAT = "tamperscope-batch-report"
VERSION = 2

_ERROR = "error: "
_REPLACED = "worker replaced: "


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    done: int
    """Inputs with a finished row, earlier runs included."""
    total: int | None
    fresh: int
    """Of these, finished since this run began."""
    seconds: float
    """Since the first input of this run was handed over."""
    errors: int
    """Rows of this run that say an error."""

    @property
    def rate(self) -> float:
        """Inputs per second in this run."""
        return self.fresh / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """None where that cannot be told."""
        if self.total is None or self.rate == 0:
            return None
        return max(0, self.total - self.done) / self.rate

    def line(self) -> str:
        """One line for people."""
        of = "" if self.total is None else f" of {self.total:,}"
        left = "" if self.seconds_left is None else f", {clock(self.seconds_left)} left"
        errors = f", {self.errors:,} errors" if self.errors else ""
        return f"{self.done:,}{of} done, {self.rate:.2f}/s{left}{errors}"


def report(
    counts: Mapping[str, float], *, status: str, settings: Mapping[str, Any], parts: int
) -> dict[str, Any]:
    """The report of a run, over all its calls. Every row is one of: examined, a copy (of one that
    was examined), an error (copies of errors too).

    Args:
        counts: as `State.counts` gives them.
        status: ``complete``, ``stopped`` or ``failed``.
        settings: of the run.
        parts: how many part files there are.
    """
    rows, seconds = int(counts.get("rows", 0)), counts.get("seconds", 0.0)
    flagged, copies = (int(counts.get(name, 0)) for name in ("flagged", "flagged copies"))
    return {
        "format": FORMAT,
        "version": VERSION,
        "status": status,
        "inputs": rows,
        "examined": int(counts.get("examined", 0)),
        "copies": int(counts.get("copies", 0)),
        "errors": _named(counts, _ERROR),
        "flagged": flagged + copies,
        "flagged_copies": copies,
        "tried_again": {
            "inputs": int(counts.get(TRIED, 0)),
            "succeeded": int(counts.get(SUCCEEDED, 0)),
            "not_listed": int(counts.get(NOT_LISTED, 0)),
        },
        "retries": int(counts.get("retries", 0)),
        "smaller_tiles": int(counts.get("noted", 0)),
        "workers_replaced": _named(counts, _REPLACED),
        "calls": int(counts.get("calls", 0)),
        "seconds": seconds,
        "inputs_per_second": rows / seconds if seconds else None,
        "parts": parts,
        "settings": dict(settings),
    }


def text(report: Mapping[str, Any]) -> list[str]:
    """A report as lines for people."""
    errors, replaced, again = (report[n] for n in ("errors", "workers_replaced", "tried_again"))
    copies = report["flagged_copies"]
    files = "part file" if report["parts"] == 1 else "part files"
    lines = [
        f"{report['status']}: {report['inputs']:,} rows in {report['parts']:,} {files}",
        f"  examined    {report['examined']:,}, of which flagged {report['flagged'] - copies:,}",
    ]
    if report["copies"]:
        flagged = f"of which flagged {copies:,}"
        lines.append(
            f"  copies      {report['copies']:,} with the bytes of one of these, {flagged}"
        )
    if errors:
        lines.append(f"  errors      {sum(errors.values()):,}: {_list(errors)}")
    if again["inputs"]:
        succeeded = f"of which {again['succeeded']:,} succeeded"
        lines.append(f"  tried again {again['inputs']:,}, {succeeded}")
    if again["not_listed"]:
        lines.append(f"  not listed  {again['not_listed']:,} to be tried again")
    if replaced:
        lines.append(f"  workers     {sum(replaced.values()):,} replaced: {_list(replaced)}")
    if report["retries"]:
        lines.append(f"  retries     {report['retries']:,}")
    if report["smaller_tiles"]:
        lines.append(f"  memory      {report['smaller_tiles']:,} examined in smaller tiles")
    if report["inputs_per_second"]:
        rate = f"{report['inputs_per_second']:.2f} inputs/s"
        lines.append(f"  time        {clock(report['seconds'])}, {rate}")
    return lines


def clock(seconds: float) -> str:
    """Seconds as people say them.

    >>> clock(59.4), clock(3700), clock(200_000)
    ('59 s', '1 h 01 min', '2 d 07 h')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 172_800:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600:02} h"


def _named(counts: Mapping[str, float], prefix: str) -> dict[str, int]:
    named = {name: int(n) for name, n in counts.items() if name.startswith(prefix)}
    return {name.removeprefix(prefix): n for name, n in named.items() if n}


def _list(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {n:,}" for name, n in ordered)
