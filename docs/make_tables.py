"""Put the tables made from results/ into README.md and docs/training.md, between their markers.

    python docs/make_tables.py

Numbers get into the README in no other way, so that each has a record behind it.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tamperscope.bench.board_tables import (
    accuracy_tables,
    protocol_tables,
    robustness_tables,
)
from tamperscope.bench.tables import (
    load_records,
    markdown_content,
    markdown_kinds,
    markdown_speed,
    markdown_table,
)

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
TRAINING = ROOT / "docs" / "training.md"
RESULTS = ROOT / "results"
NONE_YET = "No record yet.\n"

Records = Sequence[Mapping[str, Any]]


def _generators(records: Records) -> str:
    """IoU of each localizer on each generator's faces, and on real faces the share flagged."""
    record = records[0]
    names = record["method"]["generators"]
    lines = [
        f"| Localizer | {' | '.join(names)} | real faces: pixels flagged |",
        f"|---|{'---:|' * (len(names) + 1)}",
    ]
    real = {row["row"]: row for row in record["numbers"]["real"]}
    cells = {(c["row"], c["generator"]): c for c in record["numbers"]["cells"]}
    for row in real:
        found = (cells[row, name]["iou_lg"]["mean"] for name in names)
        values = " | ".join(f"{value:.3f}".lstrip("0") for value in found)
        flagged = real[row]["flagged_pixels"]["mean"]
        lines.append(f"| {row} | {values} | {100 * flagged:.1f} % |")
    return "\n".join(lines) + "\n"


TABLES: dict[str, tuple[str, Callable[[Records], str]]] = {
    "localization": ("localization", lambda records: markdown_table(records, intervals=True)),
    "kinds": ("localization", markdown_kinds),
    "content": ("content-overlap", markdown_content),
    "speed": ("speed", markdown_speed),
    "dolos": ("dolos-study", _generators),
    "accuracy": ("benchmark", accuracy_tables),
    "protocols": ("benchmark", protocol_tables),
    "robustness": ("benchmark", robustness_tables),
}
"""Name of a marker -> kind of record it needs, function that makes its table."""

MARKED = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def filled(text: str, records: Records) -> str:
    """The text with every marked table made anew from the records."""

    def fill(match: re.Match[str]) -> str:
        kind, make = TABLES[match[2]]
        chosen = [record for record in records if record["kind"] == kind]
        return match[1] + (make(chosen) if chosen else NONE_YET) + match[3]

    return MARKED.sub(fill, text)


RUNS = re.compile(r"(<!-- runs -->\n).*?(<!-- end of runs -->)", re.DOTALL)


def with_runs(text: str, folder: Path) -> str:
    """The text with the validation numbers of every training log of FOCAL in ``folder``."""
    lines = [
        "| run | samples | loss | AUC | F1 | IoU | authentic cells flagged |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row["event"] != "validation" or "evidence_auc" not in row:
                continue
            numbers = (
                f"{row[name]:.3f}"
                for name in ("loss", "evidence_auc", "evidence_f1", "evidence_iou", "false_alarm")
            )
            lines.append(f"| {path.stem} | {row['samples']} | {' | '.join(numbers)} |")
    table = "\n".join(lines) + "\n"
    return RUNS.sub(lambda match: match[1] + table + match[2], text)


if __name__ == "__main__":
    TRAINING.write_text(
        with_runs(TRAINING.read_text(encoding="utf-8"), RESULTS / "training"), encoding="utf-8"
    )
    README.write_text(
        filled(README.read_text(encoding="utf-8"), load_records(RESULTS)), encoding="utf-8"
    )
