"""``tamperscope bench content``: whether methods outline objects where nothing was forged."""

from pathlib import Path
from typing import Annotated

import typer

from tamperscope.cli import _console, _options


def content(
    methods: _options.Methods,
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            metavar="DIR",
            help="Untouched photographs in images/, masks of their salient objects in masks/.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the records.")
    ] = Path("benchmark"),
    weights: _options.MethodWeights = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", min=1, help="At most so many pictures, evenly spaced.", show_default=False
        ),
    ] = None,
    stems: Annotated[
        Path | None,
        typer.Option(
            "--stems", help="Text file of ids, one a line: only these.", show_default=False
        ),
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(
            "--held-back",
            metavar="SHARE",
            min=0,
            max=1,
            help="Only what training with this val_share holds back.",
            show_default=False,
        ),
    ] = None,
    device: _options.Device = "auto",
    no_references: _options.NoReferences = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the records as JSON instead of a table.")
    ] = False,
) -> None:
    """Measure on untouched photographs how far masks follow the objects in them.

    A method that was trained on pasted objects may have learnt to find objects. Writes a record
    for each method and reference.
    """
    from tamperscope.bench.content import main_content
    from tamperscope.bench.tables import markdown_content

    with _console.counted(_console.stderr()) as show:
        records = main_content(
            methods,
            data,
            output,
            weights=weights or (),
            references=not no_references,
            device=device,
            limit=limit,
            stems=stems,
            share=share,
            progress=show,
        )
    if as_json:
        _console.print_json(records)
    else:
        print(markdown_content(records), end="")
