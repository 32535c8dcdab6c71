"""What engines other than plain PyTorch change in results and speed, on a folder of pictures.

    python benchmarks/engines.py --pictures DIR --count 40 -o results/engines.json

For each method: ONNX Runtime, torch.compile and, for the networks named by --int8, int8 variants of
the ONNX file, each against PyTorch on the same pictures. An engine may stand in for PyTorch where
every picture with a mask keeps it: overlap (IoU) of the two masks at least 0.98.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from engines_parts.compiled import CompiledEngine
from engines_parts.int8 import VARIANTS, write_int8
from engines_parts.pictures import load_pictures
from engines_parts.turns import compare, take_turns

from tamperscope import Image, catalog
from tamperscope.bench import Record
from tamperscope.bench.predictor import describe_method, weights_of
from tamperscope.bench.speed_tables import engine_lines
from tamperscope.errors import TamperscopeError
from tamperscope.export import export
from tamperscope.localizer import Localizer

METHODS = ("focal", "dolos-patches", "dolos-patches-weak", "dolos-attention", "fakelocator")
INT8 = ("focal", "dolos-patches")
LEAST_IOU = 0.98
RULE = (
    "every picture by every engine, engines taking turns on each picture; one round not counted, "
    "seconds are medians of wall time of localize on the decoded picture; IoU of the masks where "
    "either has any pixel; differences of the score maps and of the image score are the largest"
)


def measure(
    engines: dict[str, Localizer], pictures: Sequence[Image], repeats: int
) -> dict[str, list[dict[str, Any]]]:
    """Engine -> a row for each picture; the first engine is the one others are compared with."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in engines}
    for picture in pictures:
        results, seconds = take_turns(engines, picture, repeats)
        exact = next(iter(results.values()))
        for name, result in results.items():
            median = statistics.median(seconds[name])
            rows[name].append({"seconds": median, **compare(exact, result)})
    return rows


def numbers_of(rows: list[dict[str, Any]], exact: list[dict[str, Any]]) -> dict[str, Any]:
    """An engine's rows as numbers."""
    overlaps = [row["iou"] for row in rows if row["iou"] is not None]
    own, other = (sum(row["seconds"] for row in some) for some in (rows, exact))
    return {
        "pictures": len(rows),
        "pictures_with_a_mask": len(overlaps),
        "masks_hold": bool(overlaps) and min(overlaps) >= LEAST_IOU,
        "least_iou": min(overlaps, default=None),
        "mean_iou": statistics.fmean(overlaps) if overlaps else None,
        "pictures_that_hold": sum(iou >= LEAST_IOU for iou in overlaps),
        "pixels_changed": sum(row["pixels"] for row in rows),
        "largest_map_difference": max(row["map"] for row in rows),
        "largest_image_score_difference": max(row["image_score"] for row in rows),
        "seconds_per_picture": own / len(rows),
        "speedup": other / own,
    }


def engines_for(
    method: str, options: argparse.Namespace, pictures: Sequence[Image], folder: Path
) -> Iterator[tuple[str, Callable[[], Localizer]]]:
    """Name and loader of every engine that is measured for a method, PyTorch first."""
    yield "torch", lambda: catalog.load(method, device="cpu")
    files = [file.path for file in export(method, folder / f"{method}.onnx")]
    yield "onnx", lambda: catalog.load(method, engine="onnx", onnx=files)
    if not options.no_compile:
        yield "compile", lambda: catalog.load(method, device="cpu", engine=CompiledEngine())
    if method in options.int8:
        for variant in VARIANTS:
            file = write_int8(files[0], folder / f"{method}-{variant}.onnx", variant, pictures[:8])
            yield (
                f"int8-{variant}",
                lambda file=file: catalog.load(method, engine="onnx", onnx=[file, *files[1:]]),
            )


def study(method: str, options: argparse.Namespace, pictures: Sequence[Image]) -> dict[str, Any]:
    """Everything about one method."""
    with tempfile.TemporaryDirectory() as folder:
        loaded, setup = {}, {}
        for name, load in engines_for(method, options, pictures, Path(folder)):
            started = time.perf_counter()
            loaded[name] = load()
            loaded[name].localize(pictures[0])
            setup[name] = time.perf_counter() - started
        # Those that int8 was calibrated on say nothing about how well it holds.
        rows = measure(loaded, pictures[8:], options.repeats)
    first = next(iter(rows.values()))
    return {
        "method": describe_method(loaded["torch"]),
        "weights": weights_of(loaded["torch"]),
        "engines": {
            name: {**numbers_of(found, first), "first_answer_seconds": setup[name]}
            for name, found in rows.items()
        },
    }


def main() -> int:
    """Measure, print, write; 2 when something cannot be used."""
    options = arguments()
    try:
        pictures = load_pictures(options.pictures, options.count, side=options.side)
        found = {}
        for method in options.methods:
            found[method] = study(method, options, pictures)
            print(f"{method} done", file=sys.stderr)
    except TamperscopeError as error:
        print(error)
        return 2
    numbers = {method: study["engines"] for method, study in found.items()}
    print(engine_lines(numbers))
    if options.output is not None:
        Record(
            kind="engines",
            method={name: study["method"] for name, study in found.items()},
            weights={k: v for study in found.values() for k, v in study["weights"].items()},
            protocol={"name": "engines", "rule": RULE, "least_iou": LEAST_IOU},
            dataset={"name": options.name, "pictures": len(pictures) - 8},
            numbers=numbers,
        ).save(options.output)
    return 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=Path, required=True, help="a folder of pictures")
    parser.add_argument(
        "--count", type=int, default=40, help="of them; half as many forgeries are made from them"
    )
    parser.add_argument("--side", type=int, default=640, help="longest side in pixels")
    parser.add_argument("--name", default="pictures given", help="for the record: what they are")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), help="of the catalogue")
    parser.add_argument("--int8", nargs="*", default=list(INT8), help="methods to try in int8")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--repeats", type=int, default=3, help="rounds timed")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="JSON record to write")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
