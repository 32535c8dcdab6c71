"""Time F1, IoU, MCC, AUC and AP of one picture against scikit-learn's functions, taking turns.

    python benchmarks/metrics_speed.py --megapixels 0.25 1 --repeats 7

Maps are of four kinds, since ties decide what sorting costs: all values different, a smooth map,
one of 256 values, and a mask. Values must agree within 1e-9, or nothing is timed. The record is
written to results/metrics-speed.json.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import sklearn.metrics
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from tamperscope.bench import Record
from tamperscope.metrics.batch import pixel_metrics

NAMES = ("f1", "iou", "mcc", "auc", "ap")
RULE = (
    "wall seconds of the five numbers of one picture, mask and float32 map in memory; one call not "
    "counted, then the median of rounds in which both take turns; scikit-learn's f1_score, "
    "jaccard_score, matthews_corrcoef, roc_auc_score and average_precision_score"
)
TOLERANCE = 1e-9

Picture = tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.bool_]]


def ours(picture: Picture) -> dict[str, float]:
    """All five by this project."""
    mask, scores, truth = picture
    found = pixel_metrics(mask[None], scores[None], truth[None], names=NAMES)
    return {name: float(values[0]) for name, values in found.items()}


def theirs(picture: Picture) -> dict[str, float]:
    """All five by scikit-learn."""
    mask, scores, truth = (part.ravel() for part in picture)
    return {
        "f1": sklearn.metrics.f1_score(truth, mask),
        "iou": sklearn.metrics.jaccard_score(truth, mask),
        "mcc": sklearn.metrics.matthews_corrcoef(truth, mask),
        "auc": sklearn.metrics.roc_auc_score(truth, scores),
        "ap": sklearn.metrics.average_precision_score(truth, scores),
    }


def pictures(megapixels: float, seed: int = 0) -> dict[str, Picture]:
    """One picture of each kind of map, a tenth of it forged."""
    side = round((megapixels * 1e6) ** 0.5)
    rng = np.random.default_rng(seed)
    field = gaussian_filter(rng.standard_normal((side, side)), side / 20)
    truth = field > np.quantile(field, 0.9)
    noisy = 0.3 + 0.3 * truth + 0.15 * rng.standard_normal(truth.shape)
    smooth = gaussian_filter(noisy, 4)
    maps = {
        "all different": np.clip(noisy, 0, 1),
        "smooth": np.clip(smooth, 0, 1),
        "256 values": np.round(np.clip(smooth, 0, 1) * 255) / 255,
        "mask": (smooth > 0.45).astype(np.float64),
    }
    return {
        name: (values.astype(np.float32) > 0.5, values.astype(np.float32), truth)
        for name, values in maps.items()
    }


def measure(picture: Picture, repeats: int) -> dict[str, Any]:
    """Median seconds of both and their ratio; SystemExit when the values differ."""
    first, second = ours(picture), theirs(picture)
    difference = max(abs(first[name] - second[name]) for name in NAMES)
    if difference > TOLERANCE:
        raise SystemExit(f"values differ by {difference:.2g}: {first} and {second}")
    rivals: tuple[Callable[[Picture], dict[str, float]], ...] = (ours, theirs)
    seconds: tuple[list[float], ...] = ([], [])
    for _ in range(repeats):
        for taken, rival in zip(seconds, rivals, strict=True):
            start = time.perf_counter()
            rival(picture)
            taken.append(time.perf_counter() - start)
    medians = [statistics.median(taken) for taken in seconds]
    return {
        "tamperscope": medians[0],
        "scikit-learn": medians[1],
        "times": statistics.median(b / a for a, b in zip(*seconds, strict=True)),
        "largest_difference": difference,
        "repeats": repeats,
    }


def main() -> int:
    """Measure, print a table, write the record."""
    options = arguments()
    numbers: dict[str, Any] = {}
    print("| Mpx | Map | tamperscope | scikit-learn | times |\n|---:|---|---:|---:|---:|")
    for size in options.megapixels:
        for kind, picture in pictures(size).items():
            found = measure(picture, options.repeats)
            numbers.setdefault(f"{size:g}", {})[kind] = found
            ms = [f"{1000 * found[name]:.1f} ms" for name in ("tamperscope", "scikit-learn")]
            print(f"| {size:g} | {kind} | {ms[0]} | {ms[1]} | {found['times']:.0f} |")
    record = Record(
        kind="metrics-speed",
        method={"name": "metrics", "title": "Pixel metrics"},
        weights={},
        protocol={"name": "metrics-speed", "rule": RULE},
        dataset={"name": "synthetic maps, a tenth forged"},
        numbers={"seconds": numbers},
    )
    record.save(options.output / "metrics-speed.json")
    return 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--megapixels", nargs="+", type=float, default=[0.25, 1], help="picture sizes"
    )
    parser.add_argument("--repeats", type=int, default=7, help="rounds")
    parser.add_argument("--output", type=Path, default=Path("results"), help="folder of records")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
