"""``tamperscope data``: training and test material."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tamperscope.cli import _console
from tamperscope.report.plain import printable

if TYPE_CHECKING:
    from tamperscope.data.faces.build import BuildConfig
    from tamperscope.data.generators.registry import GeneratorChoice

app = typer.Typer(help="Make sets of forged pictures.", no_args_is_help=True)
# Each has a callback: a group of one command without one swallows the command's name.
build = typer.Typer(help="Build a data set like a published one.", no_args_is_help=True)
check = typer.Typer(help="Check that a data set is complete.", no_args_is_help=True)
app.add_typer(build, name="build")
app.add_typer(check, name="check")


@app.command()
def synthesize(
    out: Annotated[Path, typer.Argument(help="The folder to write.", show_default=False)],
    photos: Annotated[
        Path,
        typer.Option("--photos", help="Folder of ordinary photos.", show_default=False),
    ],
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Pictures to make.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same pictures.")] = 0,
    size: Annotated[
        str,
        typer.Option(
            "--size", metavar="HxW", help="Height and width in pixels, multiples of 8; or one side."
        ),
    ] = "256x384",
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes.")] = 1,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change one setting of the synthesis; may be repeated.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Write a set of forgeries with exact masks, made from ordinary photos, with a manifest.

    A call that was interrupted goes on where it stopped when it is given again.
    """
    options = _console.parse_settings(settings or [])
    shape = _parse_size(size)
    from tamperscope.data.synthesis.writer import write_dataset

    with _console.progress_bar(_console.stderr()) as bar:
        task = bar.add_task("making forgeries", total=count)
        report = write_dataset(
            photos,
            out,
            count=count,
            seed=seed,
            size=shape,
            options=options,
            workers=workers,
            progress=lambda done: bar.update(task, completed=done),
        )
    if as_json:
        _console.print_json(report)
    else:
        print(f"wrote {count} pictures to {printable(str(out))}")


def _parse_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)(?:[x×](\d+))?", text.strip())
    if match is None:
        _console.usage_error(f"--size takes HEIGHTxWIDTH such as 256x384, got {text!r}")
    height = int(match[1])
    return height, int(match[2] or height)


@build.callback()
def _build() -> None:
    """Build a data set like a published one."""


@check.callback()
def _check() -> None:
    """Check that a data set is complete."""


@build.command("dolos")
def build_dolos(
    out: Annotated[Path, typer.Argument(help="The folder to write.", show_default=False)],
    faces: Annotated[
        Path,
        typer.Option(
            "--faces",
            help="Folder of faces: images/ and masks/ (label maps), or CelebAMask-HQ as it comes.",
            show_default=False,
        ),
    ],
    generators: Annotated[
        list[str],
        typer.Option(
            "--generator",
            "-g",
            metavar="[LABEL=]NAME[:MODEL]",
            help="telea, ns, transposed, nearest, shuffle, diffusion, latent, "
            "diffusers-repaint:MODEL, diffusers-ldm:MODEL, onnx:FILE or torchscript:FILE; may be "
            "repeated.",
            show_default=False,
        ),
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels", help="Folder of label maps named as the faces.", show_default=False
        ),
    ] = None,
    numbering: Annotated[
        str, typer.Option("--numbering", help="Of the label maps: celebamask or bisenet.")
    ] = "celebamask",
    regions: Annotated[
        list[str] | None,
        typer.Option(
            "--region",
            metavar="NAME[+NAME...]",
            help="Choose among these regions instead of the default ones, such as hair or "
            "eyes+brows; may be repeated.",
            show_default=False,
        ),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            "--weights",
            metavar="LABEL=FILE",
            help="Weights of a generator in place of the shipped ones; may be repeated.",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change one setting (small, dilation, least, size, collection), or one of a "
            "generator as LABEL.KEY; may be repeated.",
            show_default=False,
        ),
    ] = None,
    variants: Annotated[
        int, typer.Option("--variants", min=1, help="Manipulations of each face.")
    ] = 1,
    whole: Annotated[
        bool,
        typer.Option("--whole", help="Also regenerate whole faces, with generators that can."),
    ] = False,
    vary_masks: Annotated[
        bool, typer.Option("--vary-masks", help="Draw other regions for each generator.")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="Use the first so many faces.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same pictures.")] = 0,
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Processes, each of one thread.")
    ] = 1,
    device: Annotated[
        str, typer.Option("--device", help="Where generators that are networks run.")
    ] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Write real faces and the same faces with regions regenerated, with masks and a manifest.

    The layout is that of DOLOS: masks are black where a picture is fake. A call that was
    interrupted goes on where it stopped when it is given again, and more generators can be added.
    """
    options = _console.parse_settings(settings or [])
    files = _parse_weights(weights or [])
    from tamperscope.data.faces.build import build_dolos

    choices = _generators(generators, files, options)
    config = _build_config(options, seed, regions, numbering, vary_masks)
    with _console.progress_bar(_console.stderr()) as bar:
        task = bar.add_task("making fakes", total=None)
        report = build_dolos(
            faces,
            out,
            generators=choices,
            config=config,
            variants=variants,
            whole=whole,
            labels=labels,
            limit=limit,
            workers=workers,
            device=device,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    _report_build(report, out, as_json)
    if report["failed"]:
        raise typer.Exit(_console.SOME_FAILED)


def _parse_weights(pairs: list[str]) -> dict[str, str]:
    files = {}
    for pair in pairs:
        label, equals, file = pair.partition("=")
        if not (label and equals and file):
            _console.usage_error(f"--weights takes LABEL=FILE, got {pair!r}")
        files[label] = file
    return files


def _generators(
    asked: list[str], files: dict[str, str], options: dict[str, Any]
) -> "list[GeneratorChoice]":
    """The generators as typed, with their weights, and their settings taken out of ``options``."""
    from tamperscope.data.generators.registry import parse_choice

    labels = [parse_choice(text).label for text in asked]
    own = {label: options.pop(label) for label in labels if isinstance(options.get(label), dict)}
    strange = sorted(set(files) - set(labels))
    if strange:
        _console.usage_error(
            f"--weights {strange[0]}: no generator of that label; given: {', '.join(labels)}"
        )
    return [parse_choice(text, weights=files, options=own) for text in asked]


def _build_config(
    options: dict[str, Any],
    seed: int,
    regions: list[str] | None,
    numbering: str,
    vary_masks: bool,
) -> "BuildConfig":
    from tamperscope.data.faces.build import config_from_dict

    given: dict[str, Any] = {"seed": seed, "numbering": numbering, "vary_masks": vary_masks}
    if regions:
        given["regions"] = regions
    for name in (*given, "regions"):
        if name in options:
            _console.usage_error(f"--set {name}: has an option of its own")
    return config_from_dict({**options, **given})


def _report_build(report: dict[str, Any], out: Path, as_json: bool) -> None:
    console = _console.stderr()
    for failure in report["failed"]:
        line = printable(f"{failure['face']}: {failure['reason']}")
        console.print(line, style="bold red", markup=False)
    for reason in report["not_whole"].values():
        console.print(printable(reason), markup=False)
    if as_json:
        _console.print_json(report)
        return
    counts = ", ".join(f"{name} {count}" for name, count in report["pictures"].items())
    print(f"{printable(str(out))}: {report['made']} pictures made; in the set: {counts}")
    if report["without_region"]:
        print(f"{len(report['without_region'])} faces have none of the regions")
    if report["failed"]:
        print(f"{len(report['failed'])} faces could not be used")


@check.command("dolos")
def check_dolos(
    root: Annotated[Path, typer.Argument(help="The folder of the set.", show_default=False)],
    hashes: Annotated[
        bool, typer.Option("--hashes", help="Also compare every file with the manifest.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Say what is in a set of the DOLOS layout, and what is missing.

    Exit code 1 if anything is.
    """
    from tamperscope.data.datasets.dolos import check

    report = check(root, hashes=hashes)
    if as_json:
        _console.print_json(report.to_dict())
    else:
        for group in report.groups:
            print(printable(group.line()))
        for line in report.missing:
            print(printable(f"missing: {line}"))
        print("complete" if not report.missing else f"{len(report.missing)} things are missing")
    if report.missing:
        raise typer.Exit(_console.SOME_FAILED)
