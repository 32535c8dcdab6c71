"""Train every localizer of a FakeLocator study that has no weights yet, then measure all of them.

    python benchmarks/fakelocator_study.py --data PAIRS --labels FACES --stylegan OTHERS

PAIRS is what `tamperscope data build fakelocator` wrote, with the generators of the study, whole
and in regions. --labels are the label maps of the same faces, which localizers with attention learn
from; without them these are left out. OTHERS is a folder with fake/ and real/ faces. A setting
of a row may start from the weights of a row above it: {runs} in it becomes the folder of runs.
Stopped at any point, the same command goes on from there. --dry-run only prints the commands; each
can be given by hand.
"""

import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from tamperscope.bench import steps
from tamperscope.bench.fakelocator_study import Entry, Study, read_study
from tamperscope.errors import TamperscopeError

HERE = Path(__file__).parent


def main() -> int:
    """Do it; the exit code is that of the first command that failed, 2 for a wrong study."""
    parser = steps.arguments(
        __doc__, name="fakelocator", study=HERE / "fakelocator_study.toml", data="a set of pairs"
    )
    parser.add_argument("--labels", type=Path, help="folder of faces with label maps")
    parser.add_argument("--stylegan", type=Path, help="folder with fake/ and real/ faces")
    options = parser.parse_args()
    try:
        study = read_study(options.study)
    except TamperscopeError as error:
        print(error, file=sys.stderr)
        return 2
    return steps.carry_out(commands(study, options), dry_run=options.dry_run)


def commands(study: Study, options: Namespace) -> Iterator[steps.Command]:
    """What is left to do, as arguments of tamperscope: train, export, at last measure."""

    def settings(entry: Entry) -> Iterator[str]:
        yield f"fakelocator.faces={json.dumps(study.faces)}"
        if entry.generators:
            yield f"fakelocator.generators={json.dumps(list(entry.generators))}"
        if entry.augment:
            yield f"fakelocator.augment={json.dumps(entry.augment)}"
        if entry.attention:
            yield f"model.config.attention={json.dumps(entry.attention)}"
        if entry.attention == "parts" and options.labels:
            yield f"fakelocator.labels={json.dumps(str(options.labels.absolute()))}"
        if entry.regions:
            yield 'fakelocator.variant="region"'
            yield f"fakelocator.regions={json.dumps(list(entry.regions))}"
        yield from entry.settings

    blind = [e.name for e in study.entries if e.attention == "parts" and not options.labels]
    chosen = [entry for entry in study.entries if entry.name not in blind]
    if blind:
        print(f"without --labels not trained: {', '.join(blind)}", file=sys.stderr)
    yield from steps.trainings(chosen, options, settings)
    more = [] if options.stylegan is None else ["--stylegan", str(options.stylegan)]
    measure = steps.measuring("fakelocator", options, *more)
    yield measure if "--partial" in measure or not blind else [*measure, "--partial"]


if __name__ == "__main__":
    raise SystemExit(main())
