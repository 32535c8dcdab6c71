"""What a study has left to do, as commands of ``tamperscope``, and doing it.

The scripts in ``benchmarks/`` are this with the settings of their own study.
"""

import argparse
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from rich.console import Console

from tamperscope.bench.plan import Row

Command = list[str]
RUNS = "{runs}"
"""In a setting: the folder of runs, so that a training may start from the weights of a row above.
"""


def arguments(
    description: str | None, *, name: str, study: Path, data: str
) -> argparse.ArgumentParser:
    """The options that all studies have.

    Args:
        description: the script's own.
        name: of the verb below ``bench``, and of the folders below ``runs/``.
        study: the study file to take by default.
        data: what ``--data`` is, in words.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help=data)
    parser.add_argument("--study", type=Path, default=study, help="a study file")
    parser.add_argument(
        "--runs", type=Path, default=Path(f"runs/{name}"), help="folder of runs and weights"
    )
    parser.add_argument(
        "--output", type=Path, default=Path(f"runs/{name}-study"), help="folder of the results"
    )
    parser.add_argument("--only", nargs="+", default=[], help="only these localizers, by name")
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="TABLE.KEY=VALUE",
        help="one setting for every training, such as schedule.total_samples=20000",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the commands that are left")
    return parser


def trainings(
    entries: Iterable[Row], options: argparse.Namespace, settings: Callable[[Row], Iterable[str]]
) -> Iterator[Command]:
    """Train and export every localizer of a recipe that has no weights yet.

    Args:
        options: of `arguments`.
        settings: ``table.key=value`` of a localizer; `RUNS` in them is replaced.
    """
    for entry in entries:
        file = options.runs / entry.weights
        if not entry.recipe or file.is_file() or (options.only and entry.name not in options.only):
            continue
        run = str(options.runs / entry.name)
        command = ["train", entry.recipe, "--data", str(options.data), "--output", run]
        chosen = [text.replace(RUNS, str(options.runs)) for text in settings(entry)]
        for setting in (*chosen, *options.settings):
            command += ["--set", setting]
        yield command
        yield ["weights", "export", run, str(file)]


def measuring(name: str, options: argparse.Namespace, *more: str) -> Command:
    """The command that measures the study; with ``--only`` it leaves out what is not there."""
    command = ["bench", name, "--data", str(options.data), "--study", str(options.study)]
    command += ["--runs", str(options.runs), "--output", str(options.output), *more]
    return [*command, *(["--partial"] if options.only else [])]


def carry_out(commands: Iterable[Command], *, dry_run: bool) -> int:
    """Run them one after the other, or print them; the exit code of the first that failed, or 0."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    for command in commands:
        line = shlex.join(["tamperscope", *command])
        if dry_run:
            print(line)
            continue
        console.print(line, style="bold", markup=False)
        done = subprocess.run([sys.executable, "-m", "tamperscope", *command])
        if done.returncode:
            return done.returncode
    return 0
