"""How well a face parser labels the 19 parts of held-back faces.

    python benchmarks/face_parser.py FACES -o results/face-parser.json
    python benchmarks/face_parser.py FACES --parser 79999_iter.pth

FACES is a folder of labelled faces in a layout of CelebAMask-HQ. Only faces of the test split are
looked at, which no recipe trains on. IoU of a part: over the pixels of all faces together; the mean
is over the parts that occur.
"""

import argparse
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from tamperscope.bench.record import Record, write_record
from tamperscope.data.faces.celebamask import find_faces, read_face
from tamperscope.data.faces.splits import split_of
from tamperscope.errors import DataError, TamperscopeError
from tamperscope.face_parsing.parts import PARTS
from tamperscope.face_parsing.registry import load_parser

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def confusion(pairs: Iterable[Pair]) -> NDArray[np.int64]:
    """Pixels by true part (rows) and found part (columns), over (true, found) label maps."""
    count = len(PARTS)
    total = np.zeros((count, count), np.int64)
    for truth, found in pairs:
        cells = truth.astype(np.int64).ravel() * count + found.ravel()
        total += np.bincount(cells, minlength=count * count).reshape(count, count)
    return total


def part_iou(total: NDArray[np.int64]) -> dict[str, float | None]:
    """IoU by part, None for a part that neither occurs nor was found, and ``mean``."""
    shared = total.diagonal().astype(float)
    union = total.sum(0) + total.sum(1) - total.diagonal()
    values = {
        part: float(shared[i] / union[i]) if union[i] else None for i, part in enumerate(PARTS)
    }
    present = [values[part] or 0.0 for i, part in enumerate(PARTS) if total[i].any()]
    return {**values, "mean": float(np.mean(present))}


def measure(root: Path, parser_name: str) -> Record:
    """The record of one parser on the test faces of a folder.

    Raises:
        DataError: no labelled test face there. WeightsError: the parser cannot be loaded.
    """
    parser = load_parser(parser_name)
    faces = [face for face in find_faces(root)[0] if split_of(face.id) == "test"]
    if not faces:
        raise DataError(f"{root} has no labelled faces of the test split: check the folder")
    pairs: list[Pair] = []
    seconds = []
    for face in track(faces, description="faces"):
        read = read_face(face)
        started = time.perf_counter()
        found = parser(read.pixels)
        seconds.append(time.perf_counter() - started)
        pairs.append((read.labels, found))
    total = confusion(pairs)
    accuracy = float(total.diagonal().sum() / total.sum())
    return Record(
        kind="face-parsing",
        method={"name": parser_name, "title": "Face parser"},
        weights=dict(parser.weights),
        protocol={
            "split": "test",
            "resolution": "of the face",
            "mean": "over the parts that occur",
        },
        dataset={"name": "celebamask", "faces": len(faces)},
        numbers={
            "iou": dict(part_iou(total)),
            "pixel_accuracy": accuracy,
            "seconds_per_face": float(np.median(seconds)),
        },
    )


def main() -> int:
    """Measure, print, write; 1 for faces or weights that cannot be used."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("faces", type=Path)
    parser.add_argument("--parser", default="shipped", help="as for localize --set parser=")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    try:
        record = measure(options.faces, options.parser)
        if options.output:
            write_record(record.to_dict(), options.output)
    except TamperscopeError as error:
        print(error)
        return 1
    for part, value in record.numbers["iou"].items():  # type: ignore[union-attr]
        print(f"{part:12}", "n/a" if value is None else f"{value:.3f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
