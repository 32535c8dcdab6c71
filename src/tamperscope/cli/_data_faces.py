"""Bodies of ``tamperscope data build|check dolos|fakelocator``: sets of fake faces."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tamperscope.cli import _console
from tamperscope.report.plain import printable

if TYPE_CHECKING:
    from tamperscope.data.datasets._checking import CheckReport
    from tamperscope.data.faces.config import BuildConfig
    from tamperscope.data.generators.registry import GeneratorChoice

_Out = Annotated[Path, typer.Argument(help="The folder to write.", show_default=False)]
_Faces = Annotated[
    Path,
    typer.Option(
        "--faces",
        help="Folder of faces: images/ and masks/ (label maps), or CelebAMask-HQ as it comes.",
        show_default=False,
    ),
]
_Generators = Annotated[
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
]
_Labels = Annotated[
    Path | None,
    typer.Option("--labels", help="Folder of label maps named as the faces.", show_default=False),
]
_Numbering = Annotated[
    str, typer.Option("--numbering", help="Of the label maps: celebamask or bisenet.")
]
_Regions = Annotated[
    list[str] | None,
    typer.Option(
        "--region",
        metavar="NAME[+NAME...]",
        help="Choose among these regions instead of the default ones, such as hair or "
        "eyes+brows; may be repeated.",
        show_default=False,
    ),
]
_Weights = Annotated[
    list[str] | None,
    typer.Option(
        "--weights",
        metavar="LABEL=FILE",
        help="Weights of a generator in place of the shipped ones; may be repeated.",
        show_default=False,
    ),
]
_Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one setting (small, dilation, least, size, collection), or one of a "
        "generator as LABEL.KEY; may be repeated.",
        show_default=False,
    ),
]
_Variants = Annotated[
    int, typer.Option("--variants", min=1, help="Manipulations of a region of each face.")
]
_VaryMasks = Annotated[
    bool, typer.Option("--vary-masks", help="Draw other regions for each generator.")
]
_Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, help="Use the first so many faces.", show_default=False),
]
_Seed = Annotated[int, typer.Option("--seed", min=0, help="Same seed, same pictures.")]
_Workers = Annotated[int, typer.Option("--workers", min=1, help="Processes, each of one thread.")]
_Device = Annotated[str, typer.Option("--device", help="Where generators that are networks run.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
_Root = Annotated[Path, typer.Argument(help="The folder of the set.", show_default=False)]
_Hashes = Annotated[
    bool, typer.Option("--hashes", help="Also compare every file with the manifest.")
]


def build_dolos(
    out: _Out,
    faces: _Faces,
    generators: _Generators,
    labels: _Labels = None,
    numbering: _Numbering = "celebamask",
    regions: _Regions = None,
    weights: _Weights = None,
    settings: _Settings = None,
    variants: _Variants = 1,
    whole: Annotated[
        bool,
        typer.Option("--whole", help="Also regenerate whole faces, with generators that can."),
    ] = False,
    vary_masks: _VaryMasks = False,
    limit: _Limit = None,
    seed: _Seed = 0,
    workers: _Workers = 1,
    device: _Device = "cpu",
    as_json: _Json = False,
) -> None:
    """Write real faces and the same faces with regions regenerated, with masks and a manifest.

    The layout is that of DOLOS: masks are black where a picture is fake. A call that was
    interrupted goes on where it stopped when it is given again, and more generators can be added.
    """
    choices, config = _parse(generators, weights, settings, seed, regions, numbering, vary_masks)
    from tamperscope.data.faces.build import build_dolos

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


def build_fakelocator(
    out: _Out,
    faces: _Faces,
    generators: _Generators,
    only: Annotated[
        str | None,
        typer.Option(
            "--only",
            metavar="KIND",
            help="whole: only whole faces, which need no label maps; region: only regions.",
            show_default=False,
        ),
    ] = None,
    labels: _Labels = None,
    numbering: _Numbering = "celebamask",
    regions: _Regions = None,
    weights: _Weights = None,
    settings: _Settings = None,
    variants: _Variants = 1,
    vary_masks: _VaryMasks = False,
    limit: _Limit = None,
    seed: _Seed = 0,
    workers: _Workers = 1,
    device: _Device = "cpu",
    as_json: _Json = False,
) -> None:
    """Write real faces and the same faces regenerated, whole and in one region, as pairs.

    The grey-scale fakeness map of a fake is its difference from the real face of the same name.
    Generators that can only fill regions make no whole faces. A call that was interrupted goes on
    where it stopped when it is given again, and more generators can be added.
    """
    choices, config = _parse(generators, weights, settings, seed, regions, numbering, vary_masks)
    kind = None if only is None else _kind(only)
    from tamperscope.data.faces.build import build_fakelocator

    with _console.progress_bar(_console.stderr()) as bar:
        task = bar.add_task("making fakes", total=None)
        report = build_fakelocator(
            faces,
            out,
            generators=choices,
            config=config,
            only=kind,
            variants=variants,
            labels=labels,
            limit=limit,
            workers=workers,
            device=device,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    _report_build(report, out, as_json)


def _kind(only: str) -> Literal["whole", "region"]:
    if only == "whole":
        return "whole"
    if only != "region":
        _console.usage_error(f"--only takes whole or region, got {only!r}")
    return "region"


def _parse(
    asked: list[str],
    weights: list[str] | None,
    settings: list[str] | None,
    seed: int,
    regions: list[str] | None,
    numbering: str,
    vary_masks: bool,
) -> "tuple[list[GeneratorChoice], BuildConfig]":
    options = _console.parse_settings(settings or [])
    choices = _generators(asked, _parse_weights(weights or []), options)
    return choices, _build_config(options, seed, regions, numbering, vary_masks)


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
    from tamperscope.data.faces.config import config_from_dict

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
    else:
        _print_build(report, out)
    if report["failed"]:
        raise typer.Exit(_console.SOME_FAILED)


def _print_build(report: dict[str, Any], out: Path) -> None:
    counts = ", ".join(f"{name} {count}" for name, count in report["pictures"].items())
    print(f"{printable(str(out))}: {report['made']} pictures made; in the set: {counts}")
    if report["without_region"]:
        print(f"{len(report['without_region'])} faces have none of the regions")
    if report["failed"]:
        print(f"{len(report['failed'])} faces could not be used")


def check_dolos(root: _Root, hashes: _Hashes = False, as_json: _Json = False) -> None:
    """Say what is in a set of the DOLOS layout, and what is missing.

    Exit code 1 if anything is.
    """
    from tamperscope.data.datasets.dolos import check

    _report_check(check(root, hashes=hashes), as_json)


def check_fakelocator(root: _Root, hashes: _Hashes = False, as_json: _Json = False) -> None:
    """Say what is in a set of pairs that was built here, and what is missing.

    Exit code 1 if anything is.
    """
    from tamperscope.data.faces.pairs import check

    _report_check(check(root, hashes=hashes), as_json)


def _report_check(report: "CheckReport", as_json: bool) -> None:
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
