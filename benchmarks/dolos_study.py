"""Train every localizer of a study that has no weights yet, then measure all of them.

    python benchmarks/dolos_study.py --data SET

SET is what `tamperscope data build dolos` wrote, with the generators of the study (and, for set-up
A, whole pictures of its home generator). A setting of a row may start from the weights of a row
above it: {runs} in it becomes the folder of runs. Stopped at any point, the same command goes on from there.
--dry-run only prints the commands; each can be given by hand.
"""

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from tamperscope.bench.dolos_study import Entry, Study, read_study
from tamperscope.errors import TamperscopeError

HERE = Path(__file__).parent


def main() -> int:
    """Do it; the exit code is that of the first command that failed, 2 for a wrong study."""
    options = arguments()
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        study = read_study(options.study)
    except TamperscopeError as error:
        console.print(str(error), style="red", markup=False)
        return 2
    for command in commands(study, options):
        line = shlex.join(["tamperscope", *command])
        if options.dry_run:
            print(line)
            continue
        console.print(line, style="bold", markup=False)
        done = subprocess.run([sys.executable, "-m", "tamperscope", *command])
        if done.returncode:
            return done.returncode
    return 0


def commands(study: Study, options: argparse.Namespace) -> Iterator[list[str]]:
    """What is left to do, as arguments of tamperscope: train, export, at last measure."""
    chosen = [e for e in study.entries if not options.only or e.name in options.only]
    for entry in chosen:
        file = options.runs / entry.weights
        if entry.recipe and not file.is_file():
            yield training(entry, options)
            yield ["weights", "export", str(options.runs / entry.name), str(file)]
    measure = ["bench", "dolos", "--data", str(options.data), "--study", str(options.study)]
    measure += ["--runs", str(options.runs), "--output", str(options.output)]
    yield [*measure, *(["--partial"] if options.only else [])]


def training(entry: Entry, options: argparse.Namespace) -> list[str]:
    """The command that trains one localizer on its own faces and generators."""
    settings = [
        f"dolos.faces={json.dumps(entry.faces)}",
        f"dolos.generators={json.dumps(list(entry.generators))}",
        *(setting.replace("{runs}", str(options.runs)) for setting in entry.settings),
        *options.settings,
    ]
    command = ["train", entry.recipe, "--data", str(options.data)]
    command += ["--output", str(options.runs / entry.name)]
    return [*command, *(word for setting in settings for word in ("--set", setting))]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Raw)
    parser.add_argument("--data", type=Path, required=True, help="a set of the DOLOS layout")
    parser.add_argument(
        "--study", type=Path, default=HERE / "dolos_study.toml", help="a study file"
    )
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/dolos"), help="folder of runs and weights"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("runs/dolos-study"), help="folder of the results"
    )
    parser.add_argument("--only", nargs="+", default=[], help="only these localizers, by name")
    parser.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="TABLE.KEY=VALUE",
        help="one setting for every training, such as schedule.total_samples=20000",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="print the commands that are left")
    return parser.parse_args()


class _Raw(argparse.RawDescriptionHelpFormatter):
    """Keeps the example in the description as it is written."""


if __name__ == "__main__":
    raise SystemExit(main())
