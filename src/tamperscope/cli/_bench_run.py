"""``tamperscope bench`` on methods and sets: measuring, comparing, explaining."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from tamperscope.cli import _console, _options
from tamperscope.report.plain import printable


def run(
    methods: _options.Methods,
    data: Annotated[
        list[str],
        typer.Option(
            "--data",
            metavar="[LABEL:]NAME=ROOT",
            help="A set: the name of its reader and its folder, and what to call it in the tables; "
            "may be repeated.",
            show_default=False,
        ),
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="SET.KEY=VALUE",
            help="An option of a set's reader, see: tamperscope data info NAME; may be repeated.",
            show_default=False,
        ),
    ] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            "--protocol",
            metavar="NAME",
            help="How numbers are made; may be repeated, or all. One pass serves every protocol.  "
            "[default: ours]",
            show_default=False,
        ),
    ] = None,
    perturb: Annotated[
        list[str] | None,
        typer.Option(
            "--perturb",
            metavar="SPEC",
            help="Also measure perturbed pictures: jpeg:70, resize:0.5+jpeg:80, grid, small-grid; "
            "may be repeated.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Folder for record, tables, plots and page, and for what is measured on the way: "
            "the same command goes on from there.",
        ),
    ] = Path("benchmark"),
    weights: _options.MethodWeights = None,
    limit: _options.SetLimit = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the perturbations.")] = 0,
    device: _options.Device = "auto",
    precision: _options.Precision = "auto",
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            min=0,
            help="Threads that read, perturb and score; 0 takes what the machine has.",
        ),
    ] = 0,
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache",
            metavar="DIR",
            help="Where answers are kept, to be shared between runs.  [default: DIR/cache]",
            show_default=False,
        ),
    ] = None,
    no_maps: Annotated[
        bool,
        typer.Option(
            "--no-maps",
            help="Keep numbers only: less disk, but another protocol means another run.",
        ),
    ] = False,
    no_references: _options.NoReferences = False,
    pictures: Annotated[
        int,
        typer.Option("--pictures", min=0, help="Pictures in each group of the page; 0 for none."),
    ] = 3,
    no_plots: Annotated[
        bool, typer.Option("--no-plots", help="Draw no heat tables and curves.")
    ] = False,
    rows: Annotated[
        bool, typer.Option("--rows", help="Keep each picture's numbers in the record.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Print all of benchmark.md instead of its main numbers.")
    ] = False,
    as_json: _options.TablesAsJson = False,
) -> None:
    """Measure methods on sets by named protocols, with a reference row for every easy way out.

    Prints a line for each method and set: the numbers of the protocol, or of several the main one
    of each. DIR gets benchmark.json (record), benchmark.csv, benchmark.md, benchmark.html (tables,
    best, worst and most surprising pictures, in one file) and plots. What was measured before, with
    the same weights on the same pictures, is not measured again. A picture that cannot be read is
    one line on standard error, and the rest goes on.
    """
    from tamperscope.bench.command import Options, main_benchmark

    console = _console.stderr()
    with _console.counted(console, longest=48) as show:
        record = main_benchmark(
            methods,
            data,
            output,
            protocols=protocol or (),
            perturb=perturb or (),
            weights=weights or (),
            settings=_console.parse_settings(settings or []),
            options=Options(
                device=device,
                precision=precision,
                references=not no_references,
                limit=limit,
                seed=seed,
                workers=workers,
                rows=rows,
                cache=cache,
                keep_maps=not no_maps,
                pictures=pictures,
                plots=not no_plots,
            ),
            progress=show,
            note=lambda line: console.print(printable(line), markup=False),
        )
    lines = _written(record, output)
    if as_json:
        _console.print_json(record)
    elif full:
        print((output / "benchmark.md").read_text(encoding="utf-8"))
    else:
        from tamperscope.bench.board_tables import summary_benchmark

        print(summary_benchmark(record))
        lines.append(_more(record))
    for line in lines:
        console.print(line, markup=False)


def compare(
    before: Annotated[Path, typer.Argument(help="A record (JSON).", show_default=False)],
    after: Annotated[
        Path, typer.Argument(help="A later record of the same benchmark.", show_default=False)
    ],
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=0, help="A smaller change is none.")
    ] = 0.005,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print every change as JSON instead of a table.")
    ] = False,
) -> None:
    """Look for what has become worse: exit code 1 when anything has, 2 when that cannot be said.

    Numbers are compared where both records have them, of the same method on the same pictures by
    the same protocol: picture by picture where the records keep that (a paired interval beside 0),
    else by the first record's interval.
    """
    from tamperscope.bench.compare import compare_files, markdown_comparison

    with _usable_records():
        found = compare_files(before, after, tolerance=tolerance)
    if as_json:
        _console.print_json(found.to_dict())
    else:
        print(markdown_comparison(found), end="")
    for line in found.remarks:
        _console.stderr().print(printable(line), markup=False)
    if found.regressions:
        raise typer.Exit(_console.SOME_FAILED)


def explain(
    record: Annotated[
        Path, typer.Argument(help="A record made by `tamperscope bench run`.", show_default=False)
    ],
    method: Annotated[
        str | None,
        typer.Option("--method", "-m", help="Only this one of its rows.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Show how one result moves across the protocols of a record, and why."""
    from tamperscope.bench.board import KIND
    from tamperscope.bench.explained import explain_record
    from tamperscope.bench.record import read_record

    with _usable_records():
        found = list(explain_record(read_record(record, kind=KIND), method=method))
    if as_json:
        keys = ("method", "dataset", "explanation")
        lines = [(name, data, made.to_dict()) for name, data, made in found]
        _console.print_json([dict(zip(keys, line, strict=True)) for line in lines])
        return
    for name, data, made in found:
        print(printable(f"{name} on {data}") + f"\n\n{made.to_markdown()}")


@contextmanager
def _usable_records() -> Iterator[None]:
    """A record that cannot be used is wrong usage: exit code 1 says that a number is worse."""
    from tamperscope.errors import DataError

    try:
        yield
    except DataError as error:
        _console.show_error(_console.stderr(), "tamperscope", error)
        raise typer.Exit(_console.USAGE) from None


def _more(record: dict[str, Any]) -> str:
    """What the files hold beyond the lines that are printed."""
    numbers = record["numbers"]
    found = ["paired differences"] if numbers["differences"] else []
    if any(cell["by_kind"] for cell in numbers["cells"]):
        found.append("kinds of forgery")
    if perturbed := len(numbers["conditions"]) - 1:
        found.append(f"{perturbed} perturbations")
    if len(record["protocol"]) > 1:
        found.append("every number of each protocol")
    return f"in benchmark.md, or here with --full: {', '.join([*found, 'the rules'])}"


def _written(record: dict[str, Any], output: Path) -> list[str]:
    left = sum(len(about["excluded"]) for about in record["dataset"].values())
    refused = sum(len(cell["failures"]) for cell in record["numbers"]["cells"])
    shown = [name for name in record["files"] if not name.endswith(".png")]
    lines = [f"written to {output}: {', '.join(shown)}"]
    if left:
        lines.append(f"left out of every row: {left} pictures, named above and in the record")
    if refused:
        lines.append(f"refused by a method: {refused} answers, counted as empty masks")
    if record["hint"]:
        lines.append(record["hint"])
    return lines
