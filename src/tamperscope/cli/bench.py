"""``tamperscope bench``: a method measured on a set, or a whole study."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tamperscope.cli import _console


class _SetUnlessNamed(TyperGroup):
    """``bench casia1 DIR`` is short for ``bench set casia1 DIR``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["set", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_SetUnlessNamed,
    help="Measure methods on pictures with known masks: tamperscope bench casia1 DIR is short for "
    "tamperscope bench set casia1 DIR.",
    no_args_is_help=True,
)


@app.command("set")
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


@app.command("dolos")
def dolos(
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            help="A set of the DOLOS layout, as made by: tamperscope data build dolos.",
            show_default=False,
        ),
    ],
    study: Annotated[
        Path | None,
        typer.Option(
            "--study",
            help="Study file (TOML): trained localizers and what to test them on. Without one, "
            "the methods on every generator of the set.",
            show_default=False,
        ),
    ] = None,
    methods: Annotated[
        str,
        typer.Option(
            "--methods",
            metavar="NAME,...",
            help="Only these methods; by default all of the study, or all that ship weights.",
            show_default=False,
        ),
    ] = "",
    weights: Annotated[
        list[str] | None,
        typer.Option(
            "--weights",
            metavar="NAME=FILE",
            help="Weights of a localizer of the study, or of a method; may be repeated.",
            show_default=False,
        ),
    ] = None,
    runs: Annotated[Path, typer.Option("--runs", help="The folder of the study's weights.")] = Path(
        "runs/dolos"
    ),
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Folder for record, tables, pictures, and for what is measured on the way: "
            "the same command goes on from there.",
        ),
    ] = Path("dolos-study"),
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            min=1,
            help="At most so many pictures of each set, evenly spaced.",
            show_default=False,
        ),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Leave out localizers whose weights are not there.")
    ] = False,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")] = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the record as JSON instead of the tables.")
    ] = False,
) -> None:
    """Measure DOLOS localizers across set-ups, face sets and generators.

    Writes a record, three kinds of table and pictures of the generator matrix. What was measured
    before, with the same weights on the same pictures, is not measured again.
    """
    from tamperscope.bench.dolos import main_dolos

    console = _console.stderr()
    with _console.progress_bar(console) as bar:
        task = bar.add_task("", total=None)

        def show(done: int, total: int, name: str) -> None:
            bar.update(task, completed=done, total=total, description=_console.shorten(name))

        record = main_dolos(
            data,
            study=study,
            methods=[name.strip() for name in methods.split(",") if name.strip()],
            weights=weights or (),
            runs=runs,
            output=output,
            limit=limit,
            partial=partial,
            device=device,
            progress=show,
        )
    if as_json:
        _console.print_json(record)
        return
    print((output / "dolos.md").read_text(encoding="utf-8"))
    for line in _remarks(record, output):
        console.print(line, markup=False)


def _remarks(record: dict[str, Any], output: Path) -> list[str]:
    lines = [f"written to {output}: {', '.join(record['files'])}"]
    if missing := record["numbers"]["missing"]:
        lines.append(f"left out, for want of weights: {', '.join(missing)}")
    if record["hint"]:
        lines.append(record["hint"])
    return lines


def _table(record: dict[str, Any]) -> str:
    from tamperscope.bench.tables import markdown_content, markdown_table

    records = [record, *record.get("references", [])]
    content = record["kind"] == "content-overlap"
    return markdown_content(records) if content else markdown_table(records, intervals=True)
