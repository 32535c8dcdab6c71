"""``tamperscope weights``: what weights there are, whether a file is whole, and conversion."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from tamperscope.cli import _console
from tamperscope.report.plain import printable

app = typer.Typer(help="List, check and convert network weights.", no_args_is_help=True)

_Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@app.command("list")
def list_(as_json: _Json = False) -> None:
    """List the known weights: what they are for, where they come from, under which terms."""
    from tamperscope.weights import list_weights

    cards = list_weights()
    if as_json:
        _console.print_json([dataclasses.asdict(card) for card in cards])
        return
    for card in cards:
        size = f"{card.bytes / 1e6:.1f} MB" if card.bytes else "size not known"
        where = "ships with tamperscope" if card.shipped else f"not shipped; {card.source}"
        _describe(
            card.name,
            card.summary,
            {
                "For": f"{card.method}, backbone {card.backbone}",
                "File": f"{where}; {size}",
                "sha256": card.sha256 or "not pinned",
                "Data": card.data,
                "Terms": card.terms,
                "Measured": ", ".join(f"{key} {value:g}" for key, value in card.numbers.items()),
            },
        )


@app.command()
def verify(
    weights: Annotated[str, typer.Argument(help="A known name, or a file.", show_default=False)],
    as_json: _Json = False,
) -> None:
    """Check weights: hash, every tensor's name and shape, and one finite forward pass."""
    from tamperscope.catalog import build_network
    from tamperscope.weights import verify as run

    report = run(weights, build=build_network)
    if as_json:
        _console.print_json(_plain(report))
        return
    pinned = "as its card says" if report.pinned else "no card states what it should be"
    _describe(
        report.name,
        "all right",
        {
            "File": str(report.path),
            "sha256": f"{report.sha256} ({pinned})",
            "Tensors": f"{report.tensors} with {report.values} numbers",
        },
    )


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="A published checkpoint.", show_default=False)],
    target: Annotated[
        Path, typer.Argument(help="The .safetensors file to write.", show_default=False)
    ],
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            help="What it is: auto, focal-hrnet, focal-vit, dolos-patches, dolos-patches-weak, "
            "ffd-xcp-reg or xception-imagenet.",
        ),
    ] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    as_json: _Json = False,
) -> None:
    """Turn a published checkpoint into safetensors, with a card beside it.

    The file is read without running any code in it, and must hold every tensor of its network.
    """
    from tamperscope.catalog import build_network
    from tamperscope.weights import convert as run

    report = run(source, target, build=build_network, kind=kind, overwrite=overwrite)
    if as_json:
        _console.print_json(_plain(report))
        return
    facts = {"Card": str(report.card_path), "Kind": report.card.kind, "sha256": report.card.sha256}
    _describe(str(report.path), report.card.summary, facts)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A folder that train wrote.", show_default=False)],
    target: Annotated[
        Path, typer.Argument(help="The .safetensors file to write.", show_default=False)
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Photos, faces or pairs of the run: calibrate on those it held back.",
            show_default=False,
        ),
    ] = None,
    which: Annotated[
        str, typer.Option("--which", help="Which weights: best, latest or latest-raw.")
    ] = "best",
    dtype: Annotated[
        str, typer.Option("--dtype", help="float16, bfloat16 or float32.")
    ] = "float16",
    average: Annotated[
        Path | None,
        typer.Option(
            "--average",
            help="Weights of the same network to average those of the run with.",
            show_default=False,
        ),
    ] = None,
    share: Annotated[
        float, typer.Option("--share", help="The run's share in that average, above 0 to 1.")
    ] = 0.5,
    flagged_real: Annotated[
        float,
        typer.Option(
            "--flagged-real",
            min=0.0,
            max=0.5,
            help="DOLOS: cut where this share of real pictures lies above; 0 = at one half.",
        ),
    ] = 0.0,
    summary: Annotated[str, typer.Option("--summary", help="One line for the card.")] = "",
    data_note: Annotated[
        str, typer.Option("--data-note", help="For the card: what it was trained on.")
    ] = "",
    terms: Annotated[str, typer.Option("--terms", help="For the card: terms of use.")] = "",
    as_json: _Json = False,
) -> None:
    """Turn a training run into one weights file with a card, ready for --weights.

    With --data the thresholds are fitted on forgeries made from photos that training held back.
    """
    from tamperscope.train.export import export_run

    given = {"summary": summary, "data": data_note, "terms": terms}
    with _console.progress_bar(_console.stderr()) as bar:
        task = bar.add_task("calibrating", total=None)
        card = export_run(
            run,
            target,
            data_root=data,
            which=which,
            dtype=dtype,
            card_fields={k: v for k, v in given.items() if v},
            average=average,
            share=share,
            progress=lambda done: bar.update(task, completed=done),
            **({"flagged_real": flagged_real} if flagged_real else {}),
        )
    if as_json:
        _console.print_json(dataclasses.asdict(card))
        return
    facts = {"Card": str(target.with_suffix(".toml")), "sha256": card.sha256}
    facts["Measured"] = ", ".join(f"{key} {value:g}" for key, value in card.numbers.items())
    _describe(str(target), card.summary, facts)


def _plain(report: Any) -> Any:
    from tamperscope.provenance import json_safe

    return json_safe(report)


def _describe(title: str, summary: str, facts: dict[str, str]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    console = _console.stdout()
    console.print(Text.assemble((printable(title), "bold"), f"  {summary}"))
    for label, value in facts.items():
        line = Text.assemble((f"{label}: ", "dim"), printable(value or "none"))
        console.print(Padding(line, (0, 0, 0, 2), expand=False))
