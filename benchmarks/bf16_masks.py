"""Compare the masks of one network in float32 and bfloat16, and the time each takes.

    python benchmarks/bf16_masks.py examples/*.jpg -o results/bf16-masks-focal.json

The processor's bfloat16 may stand in for float32 where every picture with a mask keeps it: overlap
(IoU) of the two masks at least 0.98.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tamperscope import Image, Localization, catalog, read_image
from tamperscope.bench import Record
from tamperscope.bench.predictor import describe_method, weights_of
from tamperscope.errors import TamperscopeError
from tamperscope.localizer import Localizer

LEAST_IOU = 0.98
RULE = (
    "the same pictures in float32 and in bfloat16 (autocast); IoU of the masks where either has "
    "any pixel, largest difference of the score maps; seconds are the median of rounds in which "
    "the two take turns"
)


def compare(exact: Localization, near: Localization) -> dict[str, Any]:
    """What changes from one result to the other.

    Returns:
        ``iou`` of the masks (None where both are empty), ``score_difference`` (largest, over the
        pixels), ``image_score_difference``, and the forged share of both.
    """
    union = int((exact.mask | near.mask).sum())
    shared = int((exact.mask & near.mask).sum())
    return {
        "iou": shared / union if union else None,
        "score_difference": float(np.abs(exact.score_map - near.score_map).max()),
        "image_score_difference": abs(exact.image_score - near.image_score),
        "forged_fp32": exact.forged_fraction,
        "forged_bf16": near.forged_fraction,
    }


def masks_hold(rows: Sequence[dict[str, Any]]) -> bool:
    """Whether every picture with a mask keeps it; False without any such picture."""
    overlaps = [row["iou"] for row in rows if row["iou"] is not None]
    return bool(overlaps) and min(overlaps) >= LEAST_IOU


def measure(
    exact: Localizer, near: Localizer, pictures: Sequence[Image], repeats: int
) -> list[dict[str, Any]]:
    """One row for each picture: `compare`, and the median seconds of both."""
    rows = []
    for picture in pictures:
        results: dict[str, Localization] = {}
        seconds: dict[str, list[float]] = {"fp32": [], "bf16": []}
        for turn in range(repeats + 1):
            for name, method in (("fp32", exact), ("bf16", near)):
                started = time.perf_counter()
                results[name] = method.localize(picture)
                if turn:  # the first round warms up
                    seconds[name].append(time.perf_counter() - started)
        row: dict[str, Any] = {"id": Path(picture.id).name, "size": list(picture.size)}
        row |= compare(results["fp32"], results["bf16"])
        row |= {f"seconds_{name}": statistics.median(times) for name, times in seconds.items()}
        rows.append(row)
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    lines = [
        "| Picture | IoU of masks | Largest score difference | fp32 s | bf16 s |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        iou = "no mask" if row["iou"] is None else f"{row['iou']:.3f}"
        lines.append(
            f"| {row['id']} | {iou} | {row['score_difference']:.3f} | "
            f"{row['seconds_fp32']:.2f} | {row['seconds_bf16']:.2f} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Measure, print, write; 2 when something cannot be used."""
    options = arguments()
    try:
        exact, near = (
            catalog.load("focal", weights=options.weights, device="cpu", precision=precision)
            for precision in ("fp32", "bf16")
        )
        pictures = [read_image(path) for path in options.pictures]
        rows = measure(exact, near, pictures, options.repeats)
    except TamperscopeError as error:
        print(error)
        return 2
    held = masks_hold(rows)
    overlaps = [row["iou"] for row in rows if row["iou"] is not None]
    numbers = {
        "masks_hold": held,
        "least_iou": min(overlaps, default=None),
        "median_iou": statistics.median(overlaps) if overlaps else None,
        "pictures_with_a_mask": len(overlaps),
        "pictures_that_hold": sum(iou >= LEAST_IOU for iou in overlaps),
        "largest_score_difference": max(row["score_difference"] for row in rows),
        "speedup": sum(r["seconds_fp32"] for r in rows) / sum(r["seconds_bf16"] for r in rows),
    }
    print(table(rows))
    print(
        f"masks {'hold' if held else 'do not hold'} in bfloat16: {numbers['pictures_that_hold']} "
        f"of {len(overlaps)} pictures with a mask have IoU of at least {LEAST_IOU:g}"
    )
    if options.output is not None:
        Record(
            kind="precision",
            method=describe_method(exact),
            weights=weights_of(exact),
            protocol={"name": "bf16-masks", "rule": RULE, "least_iou": LEAST_IOU},
            dataset={"name": options.name, "pictures": len(rows)},
            numbers=numbers,
            rows=rows,
        ).save(options.output)
    return 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", nargs="+", type=Path, help="picture files")
    parser.add_argument("--weights", help="a weights name or file; the shipped ones by default")
    parser.add_argument("--name", default="pictures given", help="for the record: what they are")
    parser.add_argument("--repeats", type=int, default=3, help="rounds timed")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="JSON record to write")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
