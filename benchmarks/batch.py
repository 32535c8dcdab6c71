"""Throughput of `tamperscope batch` by the number of cores, against a plain loop and against Ray.

    python benchmarks/batch.py --workers 1 2 --count 64 --rounds 3 --ray

The loop calls `localize` on one file after another in one process with one thread. Everything runs
in processes of its own, kept to as many cores as there are workers, and takes turns. Scores of all
of them must be the same to the last bit. The record is written to results/batch-local.json.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from batch_parts.runs import BATCH, batch_arguments, fill, run

from tamperscope.bench import Record

RULE = (
    "pictures per second of wall time, from the moment the first ones (four for each worker) are "
    "done until the last one is: reading, hashing, decoding, examining, writing rows and masks; "
    "each candidate is kept to as many cores as it has workers; candidates take turns for as many "
    "rounds as stated, medians are given"
)
LOOP = """
import json, sys, time
from pathlib import Path
from tamperscope import catalog
method, device, folder, warm = sys.argv[1:5]
localizer = catalog.load(method, device=device)
if torch := sys.modules.get("torch"):
    torch.set_num_threads(1)
files = sorted(Path(folder).iterdir())
scores, times = {}, []
for file in files:
    scores[file.name] = localizer.localize(file).image_score
    times.append(time.perf_counter())
seconds = times[-1] - times[int(warm) - 1]
rate = (len(files) - int(warm)) / seconds
print(json.dumps({"rate": rate, "scores": scores, "describe": localizer.describe()}))
"""


def measure(options: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The numbers, and what the method says about itself."""
    warm = 4 * max(options.workers)
    loop = [options.method, options.device, str(folder), str(warm)]
    candidates = {"plain loop": (LOOP, loop, 1)}
    common = {"source": str(folder), "method": options.method, "device": options.device}
    for engine in ("local", "ray") if options.ray else ("local",):
        for n in options.workers:
            words = batch_arguments(warm, **common, engine=engine, workers=n)
            candidates[f"{engine}, {n} worker(s)"] = (BATCH, words, n)
    rates: dict[str, list[float]] = {name: [] for name in candidates}
    scores: dict[str, float] | None = None
    for _ in range(options.rounds):
        for name, (code, arguments, cores) in candidates.items():
            found = run(code, arguments, cores)
            rates[name].append(found["rate"])
            scores = found["scores"] if scores is None else scores
            if found["scores"] != scores:
                raise AssertionError(f"{name} gives other scores than the plain loop")
    return {**numbers_of(rates, options.workers), "pictures": len(scores or ())}, found["describe"]


def numbers_of(rates: Mapping[str, Sequence[float]], workers: Sequence[int]) -> dict[str, Any]:
    """Medians, and how the candidates compare; ratios are taken within each round."""
    rows = {
        name: {
            "pictures_per_second": float(np.median(values)),
            "least": min(values),
            "most": max(values),
            "rounds": len(values),
        }
        for name, values in rates.items()
    }
    low, high = (f"{n} worker(s)" for n in (min(workers), max(workers)))

    def ratio(one: str, other: str) -> float | None:
        if one not in rates or other not in rates or one == other:
            return None
        return float(np.median(np.divide(rates[one], rates[other])))

    return {
        "rows": rows,
        "scaling": ratio(f"local, {high}", f"local, {low}"),
        "workers": [min(workers), max(workers)],
        "one_worker_against_loop": ratio("local, 1 worker(s)", "plain loop"),
        "local_against_ray": ratio(f"local, {high}", f"ray, {high}"),
    }


def main() -> int:
    """Measure, print, and write the record."""
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        name = fill(
            Path(folder),
            count=options.count,
            megapixels=options.megapixels,
            pictures=options.pictures,
        )
        numbers, described = measure(options, Path(folder))
    for candidate, row in numbers["rows"].items():
        print(f"{candidate:24} {row['pictures_per_second']:8.3f} pictures/s")
    print({key: value for key, value in numbers.items() if key != "rows"})
    weights = described.get("weights")
    Record(
        kind="batch",
        method={"name": options.method, "settings": described},
        weights=weights if isinstance(weights, dict) else {},
        protocol={"name": "batch", "rule": RULE},
        dataset={"name": name, "pictures": numbers["pictures"]},
        numbers=numbers,
    ).save(options.output)
    return 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--method", default="focal", help="a method of the catalogue")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2], help="cores to try")
    parser.add_argument("--ray", action="store_true", help="also measure Ray on this machine")
    parser.add_argument("--count", type=int, default=64, help="pictures per round")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each")
    parser.add_argument("--megapixels", type=float, default=0.25, help="of made pictures")
    parser.add_argument("--pictures", type=Path, default=None, help="a folder of real ones")
    parser.add_argument("--output", type=Path, default=Path("results/batch-local.json"))
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
