"""What a FakeLocator study says of the targets of this project and of the paper's claims."""

from typing import Any

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
)
from tamperscope.bench.markdown import short

IN_DOMAIN_COSS, IN_DOMAIN_SSIM = 0.90, 0.85
GAIN, ENOUGH = 0.20, 0.95
"""What this project set out for: similarity on seen generators; accuracy by clustering on an unseen
one, gained over the raw classifier or reached."""


def markdown_findings(record: Record) -> str:
    """The targets and the paper's claims beside what this record has to say on each."""
    check(record)
    lines = [
        *_in_domain(record),
        *_against_references(record),
        *_by_clustering(record),
        *_by_attention(record),
    ]
    return "".join(f"- {line}\n" for line in lines) or "Too few rows to say anything.\n"


def _in_domain(record: Record) -> list[str]:
    lines = []
    for generator, variant in places_of(record):
        best = _best(record, generator, variant, "coss", seen=True)
        if best is None:
            continue
        row, cell = best
        coss, ssim = cell["coss"]["mean"], cell["ssim"]["mean"]
        met = "met" if coss >= IN_DOMAIN_COSS and ssim >= IN_DOMAIN_SSIM else "missed"
        lines.append(
            f"{generator}, {variant}, seen in training: best COSS {short(coss)} with SSIM "
            f"{short(ssim)} ({row['name']}). Target of {short(IN_DOMAIN_COSS)} and "
            f"{short(IN_DOMAIN_SSIM)} {met}."
        )
    return lines


def _against_references(record: Record) -> list[str]:
    lines = []
    for generator, variant in places_of(record):
        found = []
        for name in ("coss", "ssim"):
            best = _best(record, generator, variant, name, seen=True)
            plain = _best(record, generator, variant, name, seen=None)
            if best is not None and plain is not None:
                found.append(
                    f"{name.upper()} {short(plain[1][name]['mean'])} ({title_of(plain[0])}) "
                    f"without any network, {short(best[1][name]['mean'])} with one"
                )
        if found:
            lines.append(f"{generator}, {variant}, the best of each: {'; '.join(found)}.")
    return lines


def _by_clustering(record: Record) -> list[str]:
    """Published, trained on FaceForensics++: .490 / .988 / .999 on StarGAN, .369 / .500 / .975 on
    PGGAN."""
    lines = []
    for line in crossings(record):
        if line.seen or line.clustering is None:
            continue
        reached = float(line.clustering["mean"])
        before = line.raw if line.raw is not None else line.partial
        met = reached >= ENOUGH or (before is not None and reached - before >= GAIN)
        lines.append(
            f"Trained on {line.trained_on or line.row}, tested on {line.generator}: raw "
            f"{short(line.raw)}, with partial augmentation {short(line.partial)}, with clustering "
            f"{short(reached)}. Target (20 points above raw, or .950) "
            f"{'met' if met else 'missed'}."
        )
    if lines:
        lines.append(
            "Published for training on FaceForensics++: StarGAN .490, .988, .999; PGGAN .369, "
            ".500, .975."
        )
    return lines


def _by_attention(record: Record) -> list[str]:
    """Published: attention helps across attributes."""
    found: dict[tuple[Any, ...], dict[str, float]] = {}
    for cell in record["numbers"]["attributes"]:
        row = row_named(record, cell["row"])
        if cell["reach"] == "unseen" and cell["coss"] and row["attention"]:
            key = (cell["generator"], tuple(row["regions"]))
            found.setdefault(key, {})[row["attention"]] = cell["coss"]["mean"]
    return [
        f"Unseen face regions of {generator} (trained on {', '.join(regions)}): COSS "
        f"{short(scores['parts'])} with attention, {short(scores['none'])} without. Published: "
        "attention helps."
        for (generator, regions), scores in found.items()
        if {"parts", "none"} <= set(scores)
    ]


def _best(
    record: Record, generator: str, variant: str, name: str, *, seen: bool | None
) -> tuple[Row, Cell] | None:
    """The row with the largest mean: of references for None, else of localizers that saw the
    generator, or did not."""
    found = []
    for row in record["method"]["rows"]:
        cell = find_cell(record, row["name"], generator, variant)
        kind = None if row["reference"] else generator in row["generators"]
        if kind is seen and cell is not None and cell[name] is not None and not row["regions"]:
            found.append((row, cell))
    return max(found, key=lambda pair: pair[1][name]["mean"], default=None)
