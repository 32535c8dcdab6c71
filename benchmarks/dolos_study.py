"""Train every localizer of a study that has no weights yet, then measure all of them.

    python benchmarks/dolos_study.py --data SET

SET is what `tamperscope data build dolos` wrote, with the generators of the study (and, for set-up
A, whole pictures of its home generator). A setting of a row may start from the weights of a row
above it: {runs} in it becomes the folder of runs. Stopped at any point, the same command goes on
from there. --dry-run only prints the commands; each can be given by hand.
"""

import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from tamperscope.bench import steps
from tamperscope.bench.dolos_study import Entry, Study, read_study
from tamperscope.errors import TamperscopeError

HERE = Path(__file__).parent


def main() -> int:
    """Do it; the exit code is that of the first command that failed, 2 for a wrong study."""
    options = steps.arguments(
        __doc__, name="dolos", study=HERE / "dolos_study.toml", data="a set of the DOLOS layout"
    ).parse_args()
    try:
        study = read_study(options.study)
    except TamperscopeError as error:
        print(error, file=sys.stderr)
        return 2
    return steps.carry_out(commands(study, options), dry_run=options.dry_run)


def commands(study: Study, options: Namespace) -> Iterator[steps.Command]:
    """What is left to do, as arguments of tamperscope: train, export, at last measure."""

    def settings(entry: Entry) -> Iterator[str]:
        yield f"dolos.faces={json.dumps(entry.faces)}"
        yield f"dolos.generators={json.dumps(list(entry.generators))}"
        yield from entry.settings

    yield from steps.trainings(study.entries, options, settings)
    yield steps.measuring("dolos", options)


if __name__ == "__main__":
    raise SystemExit(main())
