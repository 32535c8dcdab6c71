"""``tamperscope train``: a network from a recipe."""

from pathlib import Path
from typing import Annotated

import typer

from tamperscope.cli import _console


def train(
    recipe: Annotated[
        str,
        typer.Argument(help="A .toml file, or the name of a shipped recipe.", show_default=False),
    ],
    data: Annotated[
        Path,
        typer.Option("--data", help="Photos, faces or pairs: see the recipe.", show_default=False),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The run's folder.", show_default=False)
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="TABLE.KEY=VALUE",
            help="Change one setting of the recipe; may be repeated.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        str,
        typer.Option(
            "--resume",
            help="auto goes on with what the run's folder holds, never refuses it; or a "
            "checkpoint or run folder to start from.",
        ),
    ] = "auto",
) -> None:
    """Train a network by a recipe: FOCAL on forgeries made from photos on the fly, others on faces.

    Ctrl-C saves a checkpoint and stops; the same command goes on from there. For several GPUs:
    accelerate launch -m tamperscope.train RECIPE --data DIR --output DIR.
    """
    from tamperscope.train import load_recipe, run_training

    chosen = load_recipe(recipe, settings or [])
    report = run_training(chosen, data_root=data, output=output, resume=resume)
    if not report.finished:
        print(f"stopped at {report.samples} samples; the same command goes on from there")
        raise typer.Exit(_console.INTERRUPTED)
    line = f"finished {report.samples} samples"
    if report.best_value is not None:
        line += f"; best {report.best_metric} {report.best_value:.4f}"
    print(f"{line}; see {report.run_dir}")
