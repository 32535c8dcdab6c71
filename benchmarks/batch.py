"""Throughput of `tamperscope batch` by the number of cores, against a plain loop and against Ray.

    python benchmarks/batch.py --workers 1 2 --count 64 --rounds 3 --ray

The loop calls `localize` on one file after another in one process with one thread. Everything runs
in processes of its own, kept to as many cores as there are workers, and takes turns. Scores of all
of them must be the same to the last bit. The record is written to results/batch-local.json.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tamperscope.bench import Record
from tamperscope.bench.speed import synthetic_jpeg
from tamperscope.image import SUFFIXES

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
BATCH = """
import json, sys, tempfile, time
from pathlib import Path
import pyarrow.parquet as pq
from tamperscope.batch import BatchConfig, run_batch
method, device, folder, warm, engine, workers = sys.argv[1:7]
times = []
with tempfile.TemporaryDirectory() as output:
    config = BatchConfig(source=folder, output=Path(output), method=method, device=device,
                         engine=engine, workers=int(workers))
    report = run_batch(config, tell=lambda p: times.append((time.perf_counter(), p.done)))
    rows = pq.read_table(Path(output, "rows"), columns=["id", "score"]).to_pylist()
assert not report["errors"], report["errors"]
first, done = next((t, n) for t, n in times if n >= int(warm))
rate = (report["inputs"] - done) / (times[-1][0] - first)
scores = {row["id"]: row["score"] for row in rows}
print(json.dumps({"rate": rate, "scores": scores, "describe": report["settings"]["method"]}))
"""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def run(code: str, arguments: Sequence[str], cores: int) -> dict[str, Any]:
    """What a candidate says, run once on so many cores."""
    allowed = sorted(os.sched_getaffinity(0))[:cores]
    if len(allowed) < cores:
        print(f"only {len(allowed)} core(s) for {cores} workers", file=sys.stderr)
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, **dict.fromkeys(THREADS, "1")},
        preexec_fn=lambda: os.sched_setaffinity(0, allowed),
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(options: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The numbers, and what the method says about itself."""
    warm = str(4 * max(options.workers))
    common = [options.method, options.device, str(folder), warm]
    candidates = {"plain loop": (LOOP, common, 1)}
    for engine in ("local", "ray") if options.ray else ("local",):
        for n in options.workers:
            candidates[f"{engine}, {n} worker(s)"] = (BATCH, [*common, engine, str(n)], n)
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


def pictures(options: argparse.Namespace, folder: Path) -> str:
    """Put the pictures to examine into a folder; returns what they are."""
    if options.pictures is None:
        for i in range(options.count):
            data = synthetic_jpeg(options.megapixels, seed=i)
            (folder / f"{i:05}.jpg").write_bytes(data)
        return f"synthetic JPEG, 4:3, quality 92, {options.megapixels:g} Mpx"
    files = sorted(f for f in options.pictures.rglob("*") if f.suffix.lower() in SUFFIXES)
    # Evenly spaced, and copied: links would lead out of the folder.
    for i in np.unique(np.linspace(0, len(files) - 1, options.count).astype(int)):
        (folder / f"{i:05}{files[i].suffix}").write_bytes(files[i].read_bytes())
    return f"{options.pictures.name}, evenly spaced"


def main() -> int:
    """Measure, print, and write the record."""
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        name = pictures(options, Path(folder))
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
