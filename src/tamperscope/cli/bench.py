"""``tamperscope bench``: a method measured on a set, or a whole study."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tamperscope.cli import (
    _bench_content,
    _bench_diagnose,
    _bench_fakelocator,
    _bench_run,
    _console,
    _options,
)


class _RunUnlessNamed(TyperGroup):
    """``bench focal --data ...`` is short for ``bench run``, and ``bench --compare A B`` for
    ``bench compare A B``.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _with_command(args, [*self.commands], ctx.help_option_names))


def _with_command(args: list[str], commands: list[str], helps: list[str]) -> list[str]:
    if not args or args[0] in (*commands, *helps):
        return args
    if "--compare" in args:
        return ["compare", *(word for word in args if word != "--compare")]
    return ["run", *args]


app = typer.Typer(
    cls=_RunUnlessNamed,
    help="Measure methods on pictures with known masks: tamperscope bench focal --data "
    "casia1=DIR is short for tamperscope bench run, tamperscope bench --compare A B for "
    "tamperscope bench compare.",
    no_args_is_help=True,
)


app.command("run")(_bench_run.run)
app.command("compare")(_bench_run.compare)
app.command("explain")(_bench_run.explain)
app.command("content")(_bench_content.content)
app.command("diagnose")(_bench_diagnose.diagnose)


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
    runs: _options.StudyRuns = Path("runs/dolos"),
    output: _options.StudyOutput = Path("dolos-study"),
    limit: _options.StudyLimit = None,
    partial: _options.Partial = False,
    device: _options.Device = "auto",
    as_json: _options.TablesAsJson = False,
) -> None:
    """Measure DOLOS localizers across set-ups, face sets and generators.

    Writes a record, three kinds of table and pictures of the generator matrix. What was measured
    before, with the same weights on the same pictures, is not measured again.
    """
    from tamperscope.bench.dolos import main_dolos

    console = _console.stderr()
    with _console.counted(console) as show:
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
    _console.show_study(console, record, output, "dolos.md", as_json=as_json)


app.command("fakelocator")(_bench_fakelocator.fakelocator)
