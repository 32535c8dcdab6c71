"""Put the tables made from results/ into README.md and docs/training.md, between their markers, and
write docs/published.md.

    python docs/make_tables.py

Numbers get into the README in no other way, so that each has a record behind it. A marker takes all
records of its kind, ``<!-- table: accuracy -->``, or those of the files it names,
``<!-- table: accuracy benchmark-main benchmark-faces -->``.
"""

import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tamperscope.bench.board_tables import (
    accuracy_tables,
    kinds_tables,
    protocol_tables,
    robustness_tables,
)
from tamperscope.bench.diagnosis import diagnosis_tables
from tamperscope.bench.markdown import NOTHING, table
from tamperscope.bench.record import read_record
from tamperscope.bench.speed_tables import (
    engines_table,
    evaluation_table,
    hrnet_table,
    methods_table,
)
from tamperscope.bench.tables import load_records, markdown_content, markdown_speed

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PUBLISHED = ROOT / "docs" / "published.md"
TRAINING = ROOT / "docs" / "training.md"
SCALE = ROOT / "docs" / "scale.md"
SERVE = ROOT / "docs" / "serve.md"
DIAGNOSIS = ROOT / "docs" / "diagnosis.md"
SPEED = ROOT / "docs" / "speed.md"
EXPORT = ROOT / "docs" / "export.md"
METHODS = ROOT / "docs" / "methods.md"
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


def _service(records: Records) -> str:
    """Throughput and latency of the service beside the plain loops that took turns with it."""
    record = records[0]
    lines = [
        "| | pictures per second | p50 | p95 | p99 | more time than the loop |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in record["numbers"]["rows"]:
        name = f"loop, processes: {row['processes']}"
        if row["what"] == "service":
            name = f"service, workers: {row['processes']}, clients: {row['clients']}"
            name += f", batches of up to {row['max_batch']}" if row["max_batch"] > 1 else ""
        times = " | ".join(f"{row[p]:.2f} s" for p in ("p50", "p95", "p99"))
        cost = f"{100 * row['cost']:+.1f} %" if "cost" in row else ""
        lines.append(f"| {name} | {row['pictures_per_second']:.2f} | {times} | {cost} |")
    numbers, machine = record["numbers"], record["environment"]["machine"]
    lines += [
        "",
        f"`{record['method']['name']}`; {record['dataset']['name']}; {numbers['rounds']} rounds of "
        f"{numbers['requests']} pictures; {machine['cpu']}, {machine['cores']} cores.",
    ]
    return "\n".join(lines) + "\n"


def _scale(records: Records) -> str:
    """Throughput of batch runs, what a million pictures cost, and what that comes to elsewhere."""
    return "\n".join(_scale_of(record) for record in records)


def _scale_of(record: Mapping[str, Any]) -> str:
    numbers, machine = record["numbers"], record["environment"]["machine"]
    lines = [
        "| | pictures per second | hours per million | in all on 16 cores (projected) |",
        "|---|---:|---:|---:|",
    ]
    for name, row in numbers["rows"].items():
        rate = row["pictures_per_second"]
        words = name.split()
        cores = int(words[1]) if words[1].isdecimal() else 1
        hours = 1e6 / rate / 3600
        lines.append(f"| {name} | {rate:.2f} | {hours:,.1f} | {hours * cores / 16:,.1f} h |")
    low, high = numbers["workers"]
    ratios = (
        (f"{high} workers against {low}", numbers["scaling"]),
        ("one worker against the plain loop", numbers["one_worker_against_loop"]),
        ("local engine against Ray", numbers["local_against_ray"]),
    )
    found = "; ".join(f"{name}: {value:.2f}x" for name, value in ratios if value is not None)
    rounds = max(row["rounds"] for row in numbers["rows"].values())
    facts = (
        f"`{record['method']['name']}`; {record['dataset']['name']}; {rounds} rounds of "
        f"{numbers['pictures']} pictures; {machine['cpu']}."
    )
    return "\n".join([*lines, "", f"{found}.", "", facts]) + "\n"


def _copied(records: Records) -> str:
    """How many copy-moves are found, at each share of untouched pictures flagged."""
    numbers = records[0]["numbers"]
    ways = {
        "keypoints and offsets": "by_keypoints_and_offsets",
        "offsets alone": "by_offsets_alone",
    }
    shares = [row["false_alarms"] for row in numbers["by_offsets_alone"]]
    lines = [
        "| Copy-moves found, with untouched pictures flagged: | "
        f"{' | '.join(f'{share:.1%}' for share in shares)} |",
        f"|---|{'---:|' * len(shares)}",
    ]
    for name, key in ways.items():
        cells = [f"{row['found']:.0%}" for row in numbers[key]]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    sides = numbers["which_is_the_copy"]
    facts = (
        f"{numbers['copy_moves']} copy-moves, {numbers['untouched']} untouched pictures. Of "
        f"{sides['pictures']} pairs the place with more evidence is the copy in "
        f"{sides['right']:.0%}."
    )
    return "\n".join([*lines, "", facts]) + "\n"


def _untouched(records: Records) -> str:
    """Mean image score and share flagged of untouched photos, by folder, sort and weights."""
    rows = records[0]["numbers"]["rows"]
    labels = list(dict.fromkeys(row["weights"] for row in rows))
    cells = {(r["folder"], r["sort"], r["weights"]): r for r in rows}
    lines = [
        f"| Photos of | n | as | {' | '.join(f'score, {n} | flagged, {n}' for n in labels)} |",
        f"|---|---:|---|{'---:|' * 2 * len(labels)}",
    ]
    for folder, sort in dict.fromkeys((row["folder"], row["sort"]) for row in rows):
        found = [cells[folder, sort, label] for label in labels]
        values = " | ".join(f"{r['score']:.2f} | {r['flagged']:.0%}" for r in found)
        lines.append(f"| {folder} | {found[0]['pictures']} | {sort} | {values} |")
    return "\n".join(lines).replace("0.", ".") + "\n"


TABLES: dict[str, tuple[str, Callable[[Records], str]]] = {
    "content": ("content-overlap", markdown_content),
    "speed": ("speed", markdown_speed),
    "dolos": ("dolos-study", _generators),
    "accuracy": ("benchmark", partial(accuracy_tables, references=3)),
    "by_kind": ("benchmark", partial(kinds_tables, references=3)),
    "protocols": ("benchmark", protocol_tables),
    "robustness": ("benchmark", robustness_tables),
    "service": ("service", _service),
    "scale": ("batch", _scale),
    "diagnosis": ("diagnosis", lambda records: "\n".join(map(diagnosis_tables, records))),
    "copied": ("copied-regions", _copied),
    "untouched": ("untouched-photos", _untouched),
    "engines": ("engines", engines_table),
    "methods_speed": ("methods-speed", methods_table),
    "evaluation_speed": ("methods-speed", evaluation_table),
    "hrnet_speed": ("methods-speed", hrnet_table),
}
"""Name of a marker -> kind of record it needs, function that makes its table."""

MARKED = re.compile(r"(<!-- table: (\w+)((?: [\w-]+)*) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def filled(text: str, records: Records) -> str:
    """The text with every marked table made anew from the records."""

    def fill(match: re.Match[str]) -> str:
        kind, make = TABLES[match[2]]
        chosen = [record for record in records if record["kind"] == kind]
        if match[3]:
            files = (RESULTS / f"{name}.json" for name in match[3].split())
            chosen = [read_record(path) for path in files if path.is_file()]
        return match[1] + (make(chosen) if chosen else NONE_YET) + match[4]

    return MARKED.sub(fill, text)


PUBLISHED_HEAD = """# Numbers others published

<!-- Made by docs/make_tables.py from results/published.toml; edit that. -->

**As published, not measured here, by other protocols: not comparable with the tables of this
project unless the protocol named beside them is the same** ([protocols](protocols.md)), and then
only on the same pictures. They say where the bar is. What was measured here is in
[results](../results/README.md).
"""


def published_page(text: str) -> str:
    """docs/published.md from the text of results/published.toml."""
    parts = [PUBLISHED_HEAD]
    for one in tomllib.loads(text)["table"]:
        named = f"`{one['protocol']}`" if one["protocol"] else "none of those named here"
        lines = [[cell or NOTHING for cell in row] for row in one["rows"]]
        parts += [
            f"## {one['title']}\n",
            f"- Source: {one['source']}\n- Protocol: {named}; {one['note']}\n",
            table(["As published", *one["columns"]], lines, left=1),
        ]
    return "\n".join(parts)


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
    published = (RESULTS / "published.toml").read_text(encoding="utf-8")
    PUBLISHED.write_text(published_page(published), encoding="utf-8")
    for page in (README, SCALE, SERVE, DIAGNOSIS, SPEED, EXPORT, METHODS):
        page.write_text(
            filled(page.read_text(encoding="utf-8"), load_records(RESULTS)), encoding="utf-8"
        )
