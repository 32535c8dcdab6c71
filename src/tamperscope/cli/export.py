"""``tamperscope export``: the networks of a method as files for other programs."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from tamperscope.cli import _console, _options
from tamperscope.report.plain import printable


def export(
    method: Annotated[
        str,
        typer.Argument(
            metavar="METHOD",
            help="Method; `tamperscope methods` lists them. Or face-parser.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The file to write; further networks of the method go beside it.",
            show_default=False,
        ),
    ],
    format_: Annotated[str, typer.Option("--format", help="onnx.")] = "onnx",
    preset: _options.Preset = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            help="Name or file of the weights; by default those the method ships with.",
            show_default=False,
        ),
    ] = None,
    untrained: Annotated[
        bool,
        typer.Option(
            "--untrained",
            help="Random numbers in place of the weights, to try a network out without them.",
        ),
    ] = False,
    settings: _options.Settings = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing file.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON list instead of text.")
    ] = False,
) -> None:
    """Write the networks of a method as ONNX files, for other programs or --engine onnx.

    A file takes any batch of pictures of any size, as far as the network does, and says in its
    metadata what it is: weights and their sha256, what the numbers of its input are, stride, terms.
    It holds the network alone: how pictures are decoded before and maps decided on after it, the
    page about exporting explains.
    """
    if output.exists() and not overwrite:
        _console.usage_error(f"{output} exists already: choose another name, or use --overwrite")
    from tamperscope.export import export as run

    config = _console.parse_settings(settings or [])
    files = run(
        method,
        output,
        format=format_,
        preset=preset,
        weights=weights,
        untrained=untrained,
        overwrite=overwrite,
        **config,
    )
    if as_json:
        plain = [dataclasses.asdict(file) | {"path": str(file.path)} for file in files]
        _console.print_json(plain)
        return
    for file in files:
        size = "any size" if file.side is None else f"{file.side} x {file.side}"
        print(
            f"{printable(str(file.path))}: {printable(file.weights)}, {file.bytes / 1e6:.1f} MB, "
            f"{', '.join(file.inputs)} -> {', '.join(file.outputs)}, pictures of {size}"
        )
