"""Measure which limits tell near-duplicates from distinct photographs.

    python benchmarks/duplicates.py sets/bsds500 sets/ecssd sets/kodak24

Every sixth photograph is compared with copies of itself that were recompressed, resized, blurred,
cropped, made brighter and so on; every photograph with every other. Pairs of photographs that are
one picture (their 128 x 128 versions correlate above .95) are known duplicates and no false alarms.
Nothing but numbers is kept: the record is written to results/duplicates.json.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tamperscope.bench import Record
from tamperscope.data import read_dataset
from tamperscope.data.duplicates import (
    MAX_DISTANCE,
    MIN_CORRELATION,
    Fingerprint,
    correlation,
    fingerprint_of,
)
from tamperscope.data.manifest import fingerprint
from tamperscope.image import read_image
from tamperscope.perturb import parse

Pixels = NDArray[np.uint8]
Variation = Callable[[Pixels], Pixels]

RULE = (
    "a copy is found, and two photographs are taken for one, when their hashes differ in at most "
    "`bits` bits and their 32 x 32 versions have at least `correlation`"
)
BITS = (6, 8, 10, 12, 14, 16, 18, 20)
CORRELATIONS = (0.95, 0.9, 0.85, 0.8, 0.75, 0.7)
SAME_PICTURE = 0.95
PERTURBED = (
    *("jpeg:90", "jpeg:50", "jpeg:20", "webp:50", "double-jpeg:90,60", "resize:0.5"),
    *("resize:0.25", "resize:2", "blur:7", "noise:25", "whatsapp", "screenshot"),
    *("crop:0.98", "crop:0.95", "crop:0.9", "crop:0.8"),
)


def levels(factor: float = 1, offset: float = 0, gamma: float = 1) -> Variation:
    """255 (v / 255)^gamma factor + offset, clipped."""

    def vary(pixels: Pixels) -> Pixels:
        curve = 255 * (np.arange(256) / 255) ** gamma * factor + offset
        return np.rint(np.clip(curve, 0, 255)).astype(np.uint8)[pixels]

    return vary


VARIATIONS: dict[str, Variation] = {
    **{spec: lambda p, spec=spec: parse(spec).apply(p, seed=0) for spec in PERTURBED},  # type: ignore[misc]
    "brighter by 25 levels": levels(offset=25),
    "darker by 25 levels": levels(offset=-25),
    "1.5 times as bright": levels(factor=1.5),
    "gamma 0.7": levels(gamma=0.7),
    "gamma 1.5": levels(gamma=1.5),
    "grey": lambda p: cv2.cvtColor(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB),
    "mirrored": lambda p: np.ascontiguousarray(p[:, ::-1]),
    "turned by 90 degrees": lambda p: np.ascontiguousarray(np.rot90(p)),
}


def closeness(a: Fingerprint, b: Fingerprint) -> tuple[int, float]:
    """Bits apart (64 where one has none) and correlation."""
    if a.bits is None or b.bits is None:
        return 64, 0.0
    return (a.bits ^ b.bits).bit_count(), correlation(a, b)


def within(found: NDArray[np.float64], bits: int, least: float) -> NDArray[np.bool_]:
    """Which rows (bits apart, correlation) are taken for one picture."""
    return np.asarray((found[:, 0] <= bits) & (found[:, 1] >= least))


def grid(found: NDArray[np.float64]) -> dict[str, list[int]]:
    """Rows within each limit: bits -> a count for each of ``CORRELATIONS``."""
    return {str(b): [int(within(found, b, c).sum()) for c in CORRELATIONS] for b in BITS}


def copies(paths: Sequence[Path]) -> Iterator[dict[str, object]]:
    """For every variation, how many copies are found."""
    found: dict[str, list[tuple[int, float]]] = {name: [] for name in VARIATIONS}
    for path in paths:
        pixels = read_image(path).pixels
        original = fingerprint_of(pixels)
        for name, vary in VARIATIONS.items():
            found[name].append(closeness(original, fingerprint_of(vary(pixels))))
    for name, rows in found.items():
        table = np.array(rows, np.float64)
        yield {
            "name": name,
            "copies": len(rows),
            "found": float(within(table, MAX_DISTANCE, MIN_CORRELATION).mean()),
            "bits_95": float(np.quantile(table[:, 0], 0.95)),
            "correlation_5": float(np.quantile(table[:, 1], 0.05)),
            "within": grid(table),
        }


def distinct(paths: Sequence[Path]) -> dict[str, object]:
    """How many pairs of distinct photographs are taken for one."""
    prints = [fingerprint_of(read_image(path).pixels) for path in paths]
    bits = np.array([p.bits or 0 for p in prints], np.uint64)
    close, same = [], 0
    for i in range(len(prints)):
        near = np.flatnonzero(np.bitwise_count(bits[i] ^ bits[i + 1 :]) <= max(BITS))
        for j in (near + i + 1).tolist():
            row = closeness(prints[i], prints[j])
            if row[1] >= min(CORRELATIONS) and one_picture(paths[i], paths[j]):
                same += 1
            else:
                close.append(row)
    pairs = len(paths) * (len(paths) - 1) // 2 - same
    table = np.array(close, np.float64).reshape(-1, 2)
    return {
        "photographs": len(paths),
        "pairs": pairs,
        "known_duplicates": same,
        "taken_for_one": int(within(table, MAX_DISTANCE, MIN_CORRELATION).sum()),
        "within": grid(table),
    }


def one_picture(first: Path, second: Path) -> bool:
    """Whether two files show one photograph, by a look sixteen times as close."""
    a, b = (
        cv2.resize(
            cv2.cvtColor(read_image(path).pixels, cv2.COLOR_RGB2GRAY),
            (128, 128),
            interpolation=cv2.INTER_AREA,
        )
        for path in (first, second)
    )
    return bool(np.corrcoef(a.ravel(), b.ravel())[0, 1] >= SAME_PICTURE)


def main(folders: Sequence[Path], output: Path, step: int = 6) -> Path:
    """Measure and write the record."""
    sets = [read_dataset("authentic", folder) for folder in folders]
    paths = [sample.image_path for data in sets for sample in data.samples]
    record = Record(
        kind="near-duplicates",
        method={"name": "near-duplicates", "title": "Near-duplicates", "rule": RULE},
        weights={},
        protocol={"name": "near-duplicates"},
        dataset={
            d.root.name: {"photographs": len(d.samples), "sha256": fingerprint(d)} for d in sets
        },
        numbers={
            "correlations": list(CORRELATIONS),
            "limits": {"bits": MAX_DISTANCE, "correlation": MIN_CORRELATION},
            "variations": list(copies(paths[::step])),
            "distinct_pairs": distinct(paths),
        },
    )
    return record.save(output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, help="folders of photographs")
    parser.add_argument("--output", type=Path, default=Path("results/duplicates.json"))
    parser.add_argument("--step", type=int, default=6, help="copies of every so many-th")
    options = parser.parse_args()
    print(main(options.folders, options.output, options.step))
