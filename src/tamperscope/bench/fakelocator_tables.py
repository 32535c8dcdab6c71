"""The tables of a FakeLocator study, made from its record alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from tamperscope.bench.fakelocator_findings import markdown_findings
from tamperscope.bench.fakelocator_lookup import (
    Cell,
    Record,
    Row,
    check,
    crossings,
    find_cell,
    places_of,
    row_named,
    title_of,
    trained_rows,
)
from tamperscope.bench.fakelocator_sets import UNSEEN
from tamperscope.bench.markdown import NOTHING, interval, percent, short, table


def markdown_study(record: Record) -> str:
    """A whole page: what was measured, the tables, and what they say.

    Raises DataError for a record of another kind.
    """
    check(record)
    parts = [
        f"# {record['method']['title']}\n",
        _preamble(record),
        "## Localization\n",
        markdown_localization(record),
        "## Detection\n",
        markdown_detection(record),
        "## Across generators\n",
        markdown_crossing(record),
        "## Across attributes\n",
        markdown_attributes(record),
        "## Robustness\n",
        markdown_robustness(record),
        "## What the numbers say\n",
        markdown_findings(record),
    ]
    return "\n".join(parts)


def markdown_localization(record: Record) -> str:
    """COSS, PSNR and SSIM on every generator and variant, references among the localizers."""
    check(record)
    parts = []
    for generator, variant in places_of(record):
        if generator == UNSEEN:
            continue
        lines = [
            [
                title_of(row),
                _how(row, generator),
                interval(cell["coss"]),
                _decibels(cell["psnr"]),
                interval(cell["ssim"]),
                short(cell["mae"]["mean"]) if cell["mae"] else NOTHING,
            ]
            for row in record["method"]["rows"]
            if (cell := find_cell(record, row["name"], generator, variant)) is not None
        ]
        heads = ["Localizer", "Trained on it", "COSS", "PSNR, dB", "SSIM", "Mean error"]
        parts.append(f"### {generator}, {variant}\n\n{table(heads, lines, left=2)}")
    return "\n".join(parts)


def markdown_detection(record: Record) -> str:
    """Accuracy on every generator and variant; generators that training saw in bold."""
    check(record)
    places = places_of(record)
    lines = []
    for row in trained_rows(record):
        if row["regions"]:
            continue
        cells = [find_cell(record, row["name"], *place) for place in places]
        found = [
            _accuracy(cell, place[0] in row["generators"])
            for cell, place in zip(cells, places, strict=True)
        ]
        lines.append([row["name"], *found, _real_right(cells)])
    heads = ["Localizer", *("/".join(place) for place in places), "Real right"]
    return table(heads, lines, left=1)


def markdown_crossing(record: Record) -> str:
    """Trained on some generators, tested on others: raw, with partial augmentation, clustered."""
    check(record)
    found = crossings(record)
    if not found:
        return "No localizer without and with partial augmentation.\n"
    lines = []
    for line in found:
        name = f"**{line.generator}**" if line.seen else line.generator
        accuracies = [short(line.raw), short(line.partial), _spread(line.clustering)]
        best = short(None if line.clustering is None else line.clustering["best"])
        lines.append([line.trained_on or line.row, name, *accuracies, best])
    heads = [
        "Trained on", "Tested on (bold: seen)", "Raw", "+ partial augmentation",
        "+ single-sample clustering", "clusters named right",
    ]  # fmt: skip
    note = (
        "Accuracy over fake and real pictures. Clustering: mean ± standard deviation of the draws "
        "of one labelled picture.\n"
    )
    return f"{table(heads, lines, left=2)}\n{note}"


def markdown_attributes(record: Record) -> str:
    """Localizers of some face regions, on those regions and on others."""
    check(record)
    lines = []
    for cell in record["numbers"]["attributes"]:
        row = row_named(record, cell["row"])
        detection = cell["detection"]
        lines.append(
            [
                ", ".join(row["regions"]),
                row["attention"] or "-",
                f"{cell['generator']}, {cell['reach']} regions",
                str(cell["pictures"]),
                interval(cell["coss"]),
                interval(cell["ssim"]),
                interval(detection["accuracy"]) if detection else NOTHING,
            ]
        )
    if not lines:
        return "No localizer was trained on some face regions only.\n"
    heads = ["Trained on", "Attention", "Tested on", "Pictures", "COSS", "SSIM", "Accuracy"]
    return table(heads, lines, left=3)


def markdown_robustness(record: Record) -> str:
    """Similarity and accuracy under every perturbation, on few pictures of the home generator."""
    check(record)
    found = record["numbers"]["robustness"]
    if not found:
        return "No localizer was perturbed.\n"
    lines = [
        [
            cell["row"],
            cell["condition"],
            interval(cell["coss"]),
            interval(cell["ssim"]),
            interval(cell["detection"]["accuracy"]),
            percent(cell["detection"]["fake_right"]),
            percent(cell["detection"]["real_right"]),
        ]
        for cell in found
        if cell["detection"] is not None
    ]
    heads = ["Localizer", "Perturbation", "COSS", "SSIM", "Accuracy", "Fake right", "Real right"]
    return table(heads, lines, left=2)


def _preamble(record: Record) -> str:
    protocol = record["protocol"]
    counts = ", ".join(
        f"{name} {values['pictures']}" for name, values in record["dataset"]["sets"].items()
    )
    missing = record["numbers"].get("missing") or []
    lines = [
        f"Protocol {protocol['name']}: {protocol['resolution']}. {protocol['averaging']}; "
        f"{protocol['empty_rule']}.",
        f"Intervals: {protocol['confidence']:.0%} percentile bootstrap over pictures. Detection: "
        f"{protocol['image_level']} (JPEG quality {protocol['recompression_quality']}).",
        f"Pictures ({record['dataset']['split']}, faces in no other split): {counts}.",
    ]
    if missing:
        lines.append(f"Not measured, for want of weights: {', '.join(missing)}.")
    return "\n\n".join(lines) + "\n"


# ----------------------------------------------------------------------------------- wording


def _how(row: Row, generator: str) -> str:
    if row["reference"]:
        return "-"
    if not row["generators"]:
        return "not known"
    return "yes" if generator in row["generators"] else "no"


def _decibels(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return NOTHING
    return f"{found['mean']:.1f} [{found['low']:.1f}, {found['high']:.1f}]"


def _accuracy(cell: Cell | None, seen: bool) -> str:
    if cell is None or cell["detection"] is None:
        return NOTHING
    text = short(cell["detection"]["accuracy"]["mean"])
    return f"**{text}**" if seen else text


def _real_right(cells: Sequence[Cell | None]) -> str:
    """On the real pictures of the built set, the same for every generator of it."""
    for cell in cells:
        if cell is not None and cell["generator"] != UNSEEN and cell["detection"] is not None:
            return percent(cell["detection"]["real_right"])
    return NOTHING


def _spread(found: Mapping[str, Any] | None) -> str:
    return NOTHING if found is None else f"{short(found['mean'])} ± {short(found['std'])}"
