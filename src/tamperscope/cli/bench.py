"""``tamperscope bench``: a method measured on a set."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tamperscope.cli import _console


def bench(
    dataset: Annotated[
        str,
        typer.Argument(help="The set's reader, such as casia1 or imd2020.", show_default=False),
    ],
    root: Annotated[Path, typer.Argument(help="The folder that holds it.", show_default=False)],
    method: Annotated[
        str, typer.Option("--method", "-m", help="A method, or the name of a reference.")
    ] = "focal",
    preset: Annotated[
        str | None, typer.Option("--preset", help="Preset of the method.", show_default=False)
    ] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", help="Name or file.", show_default=False)
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            min=1,
            help="At most so many forged and so many authentic pictures, evenly spaced.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="A .json file for the record, or a folder for it.",
            show_default=False,
        ),
    ] = None,
    rows: Annotated[
        bool, typer.Option("--rows", help="Keep each picture's numbers in the record.")
    ] = False,
    references: Annotated[
        bool, typer.Option("--references", help="Also measure every reference method.")
    ] = False,
    stems: Annotated[
        Path | None,
        typer.Option(
            "--stems", help="Text file of ids, one a line: only these.", show_default=False
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the record as JSON instead of a table.")
    ] = False,
) -> None:
    """Measure a method on a set of pictures with known masks.

    The record says what was measured how: protocol, set, weights, version, machine.
    """
    from tamperscope.bench.run import main_bench

    with _console.progress_bar(_console.stderr()) as bar:
        task = bar.add_task("", total=None)

        def show(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, description=_console.shorten(name))

        record = main_bench(
            dataset,
            root,
            method=method,
            preset=preset,
            weights=weights,
            limit=limit,
            output=output,
            rows=rows,
            references=references,
            stems=stems,
            progress=show,
        )
    if as_json:
        _console.print_json(record)
    else:
        print(_table(record))


def _table(record: dict[str, Any]) -> str:
    from tamperscope.bench.tables import markdown_content, markdown_table

    records = [record, *record.get("references", [])]
    content = record["kind"] == "content-overlap"
    return markdown_content(records) if content else markdown_table(records, intervals=True)
