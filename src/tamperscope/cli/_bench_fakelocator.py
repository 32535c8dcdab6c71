"""``tamperscope bench fakelocator``."""

from pathlib import Path
from typing import Annotated

import typer

from tamperscope.cli import _console, _options


def fakelocator(
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            help="A set of pairs, as made by: tamperscope data build fakelocator.",
            show_default=False,
        ),
    ],
    study: Annotated[
        Path | None,
        typer.Option(
            "--study",
            help="Study file (TOML): trained localizers and what to test them on. Without one, the "
            "shipped weights on every generator of the set.",
            show_default=False,
        ),
    ] = None,
    unseen: Annotated[
        Path | None,
        typer.Option(
            "--stylegan",
            metavar="DIR",
            help="Folder with fake/ and real/: faces of a generator no localizer was trained on, "
            "and portraits. Both are recompressed alike.",
            show_default=False,
        ),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            "--weights",
            metavar="NAME=FILE",
            help="Weights of a localizer of the study; without a study NAME is yours to choose. "
            "May be repeated.",
            show_default=False,
        ),
    ] = None,
    runs: _options.StudyRuns = Path("runs/fakelocator"),
    output: _options.StudyOutput = Path("fakelocator-study"),
    limit: _options.StudyLimit = None,
    partial: _options.Partial = False,
    device: _options.Device = "auto",
    as_json: _options.TablesAsJson = False,
) -> None:
    """Measure FakeLocator across generators, face regions and perturbations.

    Writes a record, tables and pictures: similarity of fakeness maps, detection, single-sample
    clustering, robustness. What was measured before, with the same weights on the same pictures, is
    not measured again.
    """
    from tamperscope.bench.fakelocator import main_fakelocator

    console = _console.stderr()
    with _console.counted(console) as show:
        record = main_fakelocator(
            data,
            study=study,
            unseen=unseen,
            weights=weights or (),
            runs=runs,
            output=output,
            limit=limit,
            partial=partial,
            device=device,
            progress=show,
        )
    _console.show_study(console, record, output, "fakelocator.md", as_json=as_json)
