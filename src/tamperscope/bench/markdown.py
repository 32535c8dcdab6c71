"""Numbers and tables as all pages and records' tables write them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NOTHING = "n/a"


def table(heads: Sequence[str], lines: Iterable[Sequence[str]], *, left: int) -> str:
    """A table whose first ``left`` columns are words and the others numbers."""
    rule = "|".join("---" if place < left else "---:" for place in range(len(heads)))
    rows = [f"| {' | '.join(map(escaped, line))} |" for line in (heads, *lines)]
    return "\n".join([rows[0], f"|{rule}|", *rows[1:]]) + "\n"


def short(value: float | None) -> str:
    """Three decimals without a leading zero."""
    if value is None:
        return NOTHING
    text = f"{round(value, 3) + 0.0:.3f}"  # no minus before a zero
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def number(found: Mapping[str, Any] | None, with_interval: bool = False) -> str:
    """``.912`` of a mean, with ``[.901, .922]`` where asked."""
    if found is None:
        return NOTHING
    mean = short(found["mean"])
    return f"{mean} [{short(found['low'])}, {short(found['high'])}]" if with_interval else mean


def interval(found: Mapping[str, Any] | None) -> str:
    """``.912 [.901, .922]`` of a mean with its interval."""
    return number(found, with_interval=True)


def difference(found: Mapping[str, Any] | None) -> str:
    """``+.012 [-.003, +.027]`` of a paired difference."""
    if found is None:
        return NOTHING
    mean, low, high = (_signed(found[name]) for name in ("difference", "low", "high"))
    return f"{mean} [{low}, {high}]"


def _signed(value: float) -> str:
    text = short(value)
    return text if text.startswith("-") else f"+{text}"


def p_value(value: float) -> str:
    """``.012``, or ``< .001``."""
    return "< .001" if value < 0.001 else short(value)


def percent(found: Mapping[str, Any] | None) -> str:
    """``12.3 %`` of a mean."""
    return NOTHING if found is None else f"{100 * found['mean']:.1f} %"


def seconds(value: float) -> str:
    """Two digits below ten seconds, whole ones above."""
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"


def escaped(text: str) -> str:
    """One line of text that cannot end a table's cell."""
    return " ".join(text.replace("|", "\\|").split())
