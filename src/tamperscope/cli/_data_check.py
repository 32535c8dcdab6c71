"""Bodies of ``tamperscope data check`` and ``tamperscope data info``: sets one already has."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from tamperscope.cli import _console
from tamperscope.report.plain import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tamperscope.data.check import Finding, SetReport
    from tamperscope.data.datasets import DatasetCard

_SHOWN = 3
_NOTES = {"unlisted": "left out, since its list does not name them"}
_STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}
_VERDICTS = {"broken": "bold red", "usable with care": "yellow", "sound": "green"}


class SetUnlessNamed(TyperGroup):
    """``check casia1 DIR`` is short for ``check set casia1 DIR``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["set", *args]
        return super().parse_args(ctx, args)


def check_set(
    name: Annotated[
        str, typer.Argument(help="The set, one of: tamperscope data info.", show_default=False)
    ],
    root: Annotated[
        Path, typer.Argument(help="The folder that holds it, or its list.", show_default=False)
    ],
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            metavar="NAME=ROOT",
            help="Also look for its pictures in this set; may be repeated.",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="One option of the set, see: tamperscope data info NAME; may be repeated.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Threads.", show_default=False)
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 for warnings too.")] = False,
    full: Annotated[bool, typer.Option("--full", help="List everything concerned.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Read a whole set and say whether numbers measured on it would mean something.

    Counts against the known ones, pairs, polarity, sizes, unreadable files, empty masks,
    duplicates and near-duplicates, also in other sets. Exit code 1 if anything is broken.
    """
    options = _console.parse_settings(settings or [])
    others = [_parse_set(text) for text in against or []]
    from tamperscope.data.check import check_set as run

    with _console.progress_bar(_console.stderr()) as bar:
        task = bar.add_task("", total=None)
        report = run(
            name,
            root,
            against=others,
            options=options,
            workers=workers,
            progress=lambda what, done, total: bar.update(
                task, completed=done, total=total, description=f"reading {what}"
            ),
        )
    if as_json:
        _console.print_json(report.to_dict())
    else:
        _console.stdout().print(_rendered(report, full))
    if report.verdict == "broken" or (strict and report.verdict != "sound"):
        raise typer.Exit(_console.SOME_FAILED)


def _parse_set(text: str) -> tuple[str, Path]:
    name, equals, root = text.partition("=")
    if not (name and equals and root):
        _console.usage_error(f"--against takes NAME=ROOT, got {text!r}")
    return name, Path(root)


def _rendered(report: "SetReport", full: bool) -> "RenderableType":
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    counts = ", ".join(f"{number:,} {what}" for what, number in report.counts.items())
    lines = [
        Text.assemble((printable(report.title), "bold"), f"  {printable(report.root)}"),
        Text(f"pictures: {counts}"),
        Text(f"masks: {report.polarity}{_share(report.forged_share)}"),
    ]
    lines += [Text(f"compared with {printable(text)}") for text in report.compared]
    lines += [
        Text(f"{_NOTES.get(name, name)}: {printable(str(note))}")
        for name, note in report.notes.items()
        if note
    ]
    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in report.findings:
        level = Text(finding.level, style=_STYLES[finding.level])
        table.add_row(level, Text(_described(finding, full)))
    style = _VERDICTS[report.verdict]
    verdict = Text.assemble("verdict: ", (report.verdict, style), f" - {report.advice}")
    return Group(*lines, *([table] if report.findings else []), verdict)


def _share(share: float | None) -> str:
    return "" if share is None else f", half of them mark less than {share:.1%} of the picture"


def _described(finding: "Finding", full: bool) -> str:
    items = finding.items if full else finding.items[:_SHOWN]
    left = len(finding.items) - len(items)
    rest = [f"  ... and {left} more (--full)"] if left else []
    return "\n".join([printable(finding.text), *(f"  {printable(item)}" for item in items), *rest])


def info(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A set, or a folder of one's own; all sets in short without.", show_default=False
        ),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Argument(
            help="The folder that holds it, or its list: its masks are read.", show_default=False
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="With a folder: one option of the set; may be repeated.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Say what is known of a set: paper, terms, where to get it, counts, layouts, traps, masks.

    With its folder also what lies there: how many pictures, which values the masks hold, which of
    them mark what is forged, and how much of a picture they mark. Nothing is downloaded: getting a
    set, and keeping to its terms, is up to you.
    """
    options = _console.parse_settings(settings or [])
    from tamperscope.data.datasets import DATASETS, dataset_card

    if name is not None and root is None and name not in DATASETS and Path(name).is_dir():
        name, root = "folder", Path(name)
    if options and root is None:
        _console.usage_error("--set says how a folder is read: give the set and its folder")
    cards = list(DATASETS.values()) if name is None else [dataset_card(name)]
    found = _found(cards[0].name, root, options) if root is not None else {}
    if as_json:
        values = [{**card.to_dict(), **found} for card in cards]
        _console.print_json(values if name is None else values[0])
    elif name is None:
        _console.stdout().print(_listing(cards))
    else:
        _console.stdout().print(_details(cards[0], found))


def _found(name: str, root: Path, options: dict[str, Any]) -> dict[str, Any]:
    """What lies at ``root``: counts, and the masks in numbers."""
    from tamperscope.data.datasets import read_dataset
    from tamperscope.data.mask_summary import summarize_masks

    dataset = read_dataset(name, root, **options)
    with _console.progress_bar(_console.stderr()) as bar:
        task = bar.add_task("masks", total=None)
        masks = summarize_masks(
            dataset,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    return {
        "root": str(root),
        "forged": len(dataset.forged),
        "authentic": len(dataset.authentic),
        "masks": masks.to_dict(),
    }


def _listing(cards: "list[DatasetCard]") -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for card in cards:
        table.add_row(Text(card.name, style="bold"), Text(f"{card.title}: {card.summary}"))
    return table


def _details(card: "DatasetCard", found: dict[str, Any]) -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    rows = [
        ("what", card.summary),
        ("paper", card.paper),
        ("terms", card.terms),
        ("get it at", card.source),
        *(("counts", count.line()) for count in card.counts),
        ("masks", f"{card.polarity}: {card.mask_values}" if card.polarity else ""),
        *(("layout", layout) for layout in card.layouts),
        *(("option", f"{option}: {about}") for option, about in card.options),
        *(("mind", trap) for trap in card.traps),
        *(_found_rows(found) if found else ()),
    ]
    table = Table(
        title=Text.assemble((card.name, "bold"), f"  {card.title}"),
        title_justify="left",
        show_header=False,
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    last = ""
    for label, text in rows:
        if text:
            table.add_row(Text("" if label == last else label, style="dim"), Text(text))
            last = label
    return table


def _found_rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    masks = found["masks"]
    here = f"{found['forged']:,} forged, {found['authentic']:,} authentic in {found['root']}"
    rows = [("here", printable(here))]
    if forged := masks["forged"]:
        values = ", ".join(f"{level} ({share:.1%})" for level, share in masks["values"].items())
        rows += [
            ("masks here", f"{masks['polarity']}: {masks['meaning']}"),
            ("values", f"{values} of the pixels of {masks['masks']:,} masks"),
            (
                "forged",
                f"{forged['median']:.1%} of a picture (median), {forged['mean']:.1%} (mean), "
                f"{forged['lowest']:.1%} to {forged['highest']:.1%}",
            ),
        ]
    rows += [("unreadable", printable(line)) for line in masks["unreadable"][:_SHOWN]]
    if (left := len(masks["unreadable"]) - _SHOWN) > 0:
        rows.append(("unreadable", f"... and {left} more (--json)"))
    return rows
