"""Options that several verbs have."""

from pathlib import Path
from typing import Annotated

import typer

Preset = Annotated[
    str | None,
    typer.Option("--preset", help="A named set of settings of the method.", show_default=False),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")]
Precision = Annotated[str, typer.Option("--precision", help="auto, fp32 or bf16.")]
Engine = Annotated[
    str,
    typer.Option("--engine", help="What runs the networks: torch, or onnx for ONNX Runtime."),
]
Onnx = Annotated[
    list[Path] | None,
    typer.Option(
        "--onnx",
        metavar="FILE",
        help="For --engine onnx: a file of `tamperscope export`; may be repeated. By default the "
        "networks are exported on first use, into the user's cache.",
        show_default=False,
    ),
]
Recursive = Annotated[
    bool, typer.Option("--recursive", "-r", help="Enter the folders inside folders.")
]
MaxPixels = Annotated[
    int, typer.Option("--max-pixels", min=1, help="Refuse pictures with more pixels.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one setting of the method; may be repeated.",
        show_default=False,
    ),
]

Methods = Annotated[
    list[str],
    typer.Argument(
        metavar="METHOD...",
        help="Methods, NAME or NAME:PRESET; `tamperscope methods` lists them.",
        show_default=False,
    ),
]
MethodWeights = Annotated[
    list[str] | None,
    typer.Option(
        "--weights",
        metavar="METHOD=FILE",
        help="Weights of a method; may be repeated.",
        show_default=False,
    ),
]
NoReferences = Annotated[
    bool, typer.Option("--no-references", help="Leave the reference rows out.")
]

SetLimit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        min=1,
        help="At most so many forged and so many authentic pictures of each set, evenly spaced.",
        show_default=False,
    ),
]
StudyLimit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        min=1,
        help="At most so many pictures of each set, evenly spaced.",
        show_default=False,
    ),
]
StudyOutput = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        help="Folder for record, tables, pictures, and for what is measured on the way: the "
        "same command goes on from there.",
    ),
]
StudyRuns = Annotated[Path, typer.Option("--runs", help="The folder of the study's weights.")]
Partial = Annotated[
    bool, typer.Option("--partial", help="Leave out localizers whose weights are not there.")
]
TablesAsJson = Annotated[
    bool, typer.Option("--json", help="Print the record as JSON instead of the tables.")
]
