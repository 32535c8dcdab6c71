"""What the verbs share: consoles, one-line errors, option parsing, exit codes."""

import json
import os
import sys
import tomllib
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from tamperscope.report.plain import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

OK = 0
SOME_FAILED = 1
USAGE = 2
INTERRUPTED = 130


def stderr() -> "Console":
    """A console for progress and errors; made anew so that a redirected stream is honored."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def stdout() -> "Console":
    """A console for results; a pipe gets lines wide enough not to cut paths."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 160
    # Paths and addresses may hold what rich takes for a name of an emoji, such as ":b:".
    return Console(highlight=False, width=width, emoji=False)


def print_json(value: object) -> None:
    """One line of JSON on standard output, at once."""
    print(json.dumps(value, ensure_ascii=True, allow_nan=False), flush=True)


def show_error(console: "Console", name: str, error: BaseException) -> None:
    """One red line ``name: message``; the traceback as well under TAMPERSCOPE_DEBUG=1."""
    from rich.text import Text

    line = printable(f"{name}: {describe_error(error, name)}")
    console.print(Text(line, style="bold red"), soft_wrap=True)
    if debugging():
        console.print(Text("".join(traceback.format_exception(error))))


def describe_error(error: BaseException, name: str = "") -> str:
    """One line for any exception, without a leading repetition of the name."""
    from tamperscope.errors import TamperscopeError

    if isinstance(error, TamperscopeError):
        return " ".join(str(error).split()).removeprefix(f"{name}: ")
    if isinstance(error, MemoryError):
        return "not enough memory; give fewer pixels (--max-pixels refuses large pictures early)"
    if isinstance(error, OSError):
        return f"{error.strerror or error}; check the path, its permissions and the free space"
    text = " ".join(str(error).split()) or "no message"
    return (
        f"unexpected {type(error).__name__}: {text} "
        "(a bug in tamperscope; TAMPERSCOPE_DEBUG=1 shows where)"
    )


@contextmanager
def progress_bar(console: "Console") -> Iterator["Progress"]:
    """A progress bar on a terminal, nothing elsewhere; it leaves no trace when done."""
    from rich import progress

    with progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        yield bar


@contextmanager
def counted(console: "Console", *, longest: int = 32) -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar told by (number done, number in all, what is being done)."""
    with progress_bar(console) as bar:
        task = bar.add_task("", total=None)

        def show(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, description=shorten(name, longest))

        yield show


def shorten(name: str, longest: int = 32) -> str:
    """A name for a progress bar."""
    text = printable(name)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def show_study(
    console: "Console", record: dict[str, Any], output: Path, tables: str, *, as_json: bool
) -> None:
    """What a study prints: its record, or the file of tables in its folder and, on standard error,
    files written, localizers left out, why no pictures."""
    if as_json:
        print_json(record)
        return
    print((output / tables).read_text(encoding="utf-8"))
    lines = [f"written to {output}: {', '.join(record['files'])}"]
    if missing := record["numbers"]["missing"]:
        lines.append(f"left out, for want of weights: {', '.join(missing)}")
    if record["hint"]:
        lines.append(record["hint"])
    for line in lines:
        console.print(line, markup=False)


def debugging() -> bool:
    """Whether TAMPERSCOPE_DEBUG asks for tracebacks."""
    return os.environ.get("TAMPERSCOPE_DEBUG", "") not in ("", "0")


def usage_error(message: str) -> NoReturn:
    """Stop with one line and the exit code for wrong usage."""
    from rich.text import Text

    stderr().print(Text(printable(f"tamperscope: {message}"), style="bold red"))
    raise typer.Exit(USAGE)


def parse_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """``key=value`` pairs as a dict: values are read as TOML, anything else is a string.

    Dots in a key make nested dicts: ``a.b=1`` is ``{"a": {"b": 1}}``.
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        parts = [part.strip() for part in key.split(".")]
        if not separator or not all(parts):
            usage_error(f"--set takes key=value, got {pair!r}")
        place = settings
        for part in parts[:-1]:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                usage_error(f"--set {pair}: {part!r} was already given a plain value")
        place[parts[-1]] = _value(value.strip())
    return settings


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
