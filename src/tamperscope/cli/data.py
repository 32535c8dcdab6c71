"""``tamperscope data``: training and test material."""

import re
from pathlib import Path
from typing import Annotated

import typer

from tamperscope.cli import _console, _data_check, _data_faces
from tamperscope.report.plain import printable

app = typer.Typer(help="Make, check and look up sets of pictures.", no_args_is_help=True)
# Each has a callback: a group of one command without one swallows the command's name.
build = typer.Typer(help="Build a data set like a published one.", no_args_is_help=True)
check = typer.Typer(
    cls=_data_check.SetUnlessNamed,
    help="Check a data set: tamperscope data check casia1 DIR is short for tamperscope data check "
    "set casia1 DIR.",
    no_args_is_help=True,
)
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
    held_back: Annotated[
        float | None,
        typer.Option(
            "--held-back",
            metavar="SHARE",
            min=0,
            max=1,
            help="Only of photos that training with this val_share holds back.",
            show_default=False,
        ),
    ] = None,
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
            split="train" if held_back is None else "val",
            val_share=held_back or 0.0,
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


build.command("dolos")(_data_faces.build_dolos)
build.command("fakelocator")(_data_faces.build_fakelocator)
check.command("set")(_data_check.check_set)
check.command("dolos")(_data_faces.check_dolos)
check.command("fakelocator")(_data_faces.check_fakelocator)
app.command("info")(_data_check.info)
