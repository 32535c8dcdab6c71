"""Markdown tables of what `benchmarks/methods_speed.py` and `benchmarks/engines.py` measure."""

from collections.abc import Mapping, Sequence
from typing import Any

from tamperscope.bench.markdown import NOTHING, seconds, short, table

Records = Sequence[Mapping[str, Any]]


def methods_table(records: Records) -> str:
    """Seconds of `localize` and throughput of batch runs, a line for each method and engine."""
    return "\n".join(_methods(record) for record in records)


def evaluation_table(records: Records) -> str:
    """One picture's evaluation by this project and the way peers do it."""
    return "\n".join(_evaluation(record) for record in records)


def hrnet_table(records: Records) -> str:
    """Pictures per second of HRNet-W32 on a graphics card; a sentence where there was none."""
    measured = [record for record in records if record["numbers"]["hrnet"] is not None]
    if not measured:
        return "HRNet-W32 at 1024 x 1024: no record yet; `--device cuda` makes one.\n"
    return "\n".join(_hrnet(record) for record in measured)


def engines_table(records: Records) -> str:
    """What each engine changes, a line for each method and engine."""
    return "\n".join(
        f"{engine_lines(record['numbers'])}\n{_pictures(record)} {_machine(record)}\n"
        for record in records
    )


def engine_lines(numbers: Mapping[str, Any]) -> str:
    """The table of the numbers of one run, without its facts."""
    heads = ["Method", "Engine", "s per picture", "times faster", "masks that hold"]
    heads += ["least IoU", "mean IoU", "largest change of the map"]
    lines = [
        [f"`{method}`", engine, *_engine_cells(row)]
        for method, engines in numbers.items()
        for engine, row in engines.items()
    ]
    return table(heads, lines, left=2)


def _engine_cells(row: Mapping[str, Any]) -> list[str]:
    masks = row["pictures_with_a_mask"]
    return [
        f"{row['seconds_per_picture']:.3f}",
        f"{row['speedup']:.2f}",
        f"{row['pictures_that_hold']} of {masks}" if masks else NOTHING,
        _iou(row["least_iou"]),
        _iou(row["mean_iou"]),
        f"{row['largest_map_difference']:.2g}",
    ]


def _pictures(record: Mapping[str, Any]) -> str:
    found = record["dataset"]
    return f"{found['pictures']} pictures ({found['name']}); all cores; engines taking turns."


def _methods(record: Mapping[str, Any]) -> str:
    methods = record["numbers"]["methods"]
    engines = [row for found in methods.values() for row in found.values()]
    sizes = sorted({size for row in engines for size in row["seconds"]}, key=float)
    batch = next((row["batch"] for row in engines if "batch" in row), None)
    heads = ["Method", "Engine", *(f"{size} Mpx" for size in sizes)]
    heads += ["batch" if batch is None else f"batch, {batch['megapixels']:g} Mpx"]
    heads += ["masks as with torch (least IoU)"]
    lines = [
        [f"`{method}`", engine, *_method_cells(row, sizes)]
        for method, found in methods.items()
        for engine, row in found.items()
    ]
    example = engines[0]["seconds"][sizes[0]]
    facts = (
        f"Seconds of `localize` (threads: {record['protocol']['cores']}; rounds: "
        f"{example['repeats']}; pictures of each size: {example['pictures']}, "
        f"{record['dataset']['name']})"
    )
    if batch is not None:
        facts += (
            " and pictures per second of `tamperscope batch` (as many worker processes of one "
            f"thread; rounds: {batch['rounds']})"
        )
    missing = record["numbers"]["left_out"]
    notes = [f"Left out: {name} ({why})." for name, why in missing.items()]
    parts = [table(heads, lines, left=2).rstrip("\n"), f"{facts}; medians. {_machine(record)}"]
    return "\n\n".join([*parts, *notes]) + "\n"


def _method_cells(row: Mapping[str, Any], sizes: Sequence[str]) -> list[str]:
    timed = [row["seconds"].get(size) for size in sizes]
    overlaps = [one["least_iou"] for one in timed if one and one["least_iou"] is not None]
    rate = f"{row['batch']['pictures_per_second']:.2f}/s" if "batch" in row else NOTHING
    shown = [NOTHING if one is None else f"{seconds(one['median'])} s" for one in timed]
    return [*shown, rate, _iou(min(overlaps, default=None))]


def _evaluation(record: Mapping[str, Any]) -> str:
    rows = record["numbers"]["evaluation"]
    heads = ["Mpx", "Features", "Way", "in all", "network", "clustering", "metrics", "rest"]
    heads += ["times faster", "same mask (least IoU)", "AUC differs by"]
    lines = [[f"{row['megapixels']:g}", f"{row['points']:,}", *_way_cells(row)] for row in rows]
    facts = (
        f"Seconds for one picture, from its file to F1, IoU and AUC; pictures of each size: "
        f"{max(row['pictures'] for row in rows)} ({record['dataset']['name']}); cores: "
        f"{record['protocol']['cores']}. {_machine(record)}"
    )
    return table(heads, lines, left=3) + f"\n{facts}\n"


def _way_cells(row: Mapping[str, Any]) -> list[str]:
    if row["status"] != "done":
        return [row["title"], _why_not(row), *[NOTHING] * 7]
    parts = row["parts"]
    rest = row["seconds"] - sum(parts.values())
    times = [row["seconds"], parts["network"], parts["clustering"], parts["metrics"], rest]
    faster = f"{row['times']:.1f}" if "times" in row else NOTHING
    # Another decision gives another answer: only the same work can be compared.
    agreement = [NOTHING, NOTHING]
    if "largest_auc_difference" in row:
        agreement = [_iou(row["least_mask_iou"]), f"{row['largest_auc_difference']:.1g}"]
    return [row["title"], *(seconds(max(0.0, value)) for value in times), faster, *agreement]


def _why_not(row: Mapping[str, Any]) -> str:
    if row["status"] == "timed out":
        return f"not finished in {row['limit']:g} s"
    reason = f" ({row['why']})" if row["why"] else ""
    return f"{row['status']}{reason}"


def _hrnet(record: Mapping[str, Any]) -> str:
    found = record["numbers"]["hrnet"]
    heads = ["Precision", "pictures per second", "network", "clustering"]
    lines = []
    for precision, row in found["precisions"].items():
        stages = row["stages_of_the_last_round"]
        parts = [f"{seconds(stages[name])} s" for name in ("features", "clustering")]
        lines.append([precision, f"{row['pictures_per_second']:.2f}", *parts])
    machine = record["environment"]["machine"]
    facts = f"HRNet-W32, weights: {found['weights']}; {machine.get('gpu', machine['cpu'])}."
    return table(heads, lines, left=1) + f"\n{facts}\n"


def _iou(value: float | None) -> str:
    return "no mask" if value is None else short(value)


def _machine(record: Mapping[str, Any]) -> str:
    return f"{record['environment']['machine']['cpu']}."
