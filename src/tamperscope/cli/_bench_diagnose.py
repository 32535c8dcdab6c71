"""``tamperscope bench diagnose``: what a method misses, and what draws it."""

from pathlib import Path
from typing import Annotated

import typer

from tamperscope.cli import _console, _options
from tamperscope.report.plain import printable


def diagnose(
    method: Annotated[
        str,
        typer.Argument(
            metavar="METHOD",
            help="A method, NAME or NAME:PRESET; `tamperscope methods` lists them.",
            show_default=False,
        ),
    ],
    data: Annotated[
        list[str],
        typer.Option(
            "--data",
            metavar="NAME=ROOT",
            help="A set: the name of its reader and its folder; may be repeated.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write the record here.", show_default=False
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option("--weights", metavar="FILE", help="Weights of it.", show_default=False),
    ] = None,
    limit: _options.SetLimit = None,
    shift: Annotated[
        bool,
        typer.Option("--shift", help="Also answer forged pictures cut by 4 pixels."),
    ] = False,
    settings: _options.Settings = None,
    device: _options.Device = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the record as JSON instead of tables.")
    ] = False,
) -> None:
    """Ask of a method what it misses, and which plain content draws its score map.

    By kind and size of forgery: the share found, found in part, answered elsewhere and missed; what
    the decision loses against the best cut of the map; rim against interior. On authentic pictures:
    what the map follows, from edges to brightness.
    """
    options = _console.parse_settings(settings or [])
    from tamperscope import catalog
    from tamperscope.bench.command import read_sets
    from tamperscope.bench.diagnosis import diagnose as run
    from tamperscope.bench.diagnosis import diagnosis_tables
    from tamperscope.bench.record import write_record

    name, _, preset = method.partition(":")
    examined = catalog.load(name, preset=preset or None, weights=weights, device=device, **options)
    sets = read_sets(data)
    if limit is not None:
        sets = {name: found.spread(limit) for name, found in sets.items()}
    console = _console.stderr()
    with _console.counted(console) as show:
        record = run(examined, sets, shifted=shift, progress=show).to_dict()
    for name, numbers in record["numbers"].items():
        for one in numbers["excluded"]:
            line = printable(f"{name}: {one['id']}: left out: {one['why']}")
            console.print(line, markup=False)
    if output is not None:
        write_record(record, output)
    if as_json:
        _console.print_json(record)
    else:
        print(diagnosis_tables(record), end="")
