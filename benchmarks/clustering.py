"""Time exact HDBSCAN against the libraries, each in processes of its own, taking turns.

    python benchmarks/clustering.py
    python benchmarks/clustering.py --sizes 16384 --dims 256 --min-samples 500 --limit 600
    python benchmarks/clustering.py --latency

Writes results/clustering.json, .md and .svg. What was measured before stays in the record unless it
is measured again, so that a large grid can be filled piece by piece; the record belongs to one
machine. Needs `pip install fast_hdbscan hdbscan matplotlib`; a competitor that is not installed is
left out.
"""

import argparse
import importlib.util
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from clustering_parts.agreement import Clustering, compare, differing, saddle_points
from clustering_parts.cells import COMPETITORS, DATA, OURS, Book, Cell, Plan, grid, key_of
from clustering_parts.competitors import Settings
from clustering_parts.data import RULES, WEIGHTS, PointSets, largest_picture
from clustering_parts.latency import CASES, ENGINES, points_of, prepare_localize
from clustering_parts.process import Outcome, Processes, enough, load_and_prepare
from clustering_parts.report import markdown, plot, summary

from tamperscope.bench import Record
from tamperscope.bench.record import environment, read_record, write_record
from tamperscope.errors import ConfigError, DataError, TamperscopeError
from tamperscope.image import Image
from tamperscope.provenance import tool_commit
from tamperscope.weights import card_for

MIN_CLUSTER_SIZE = 500
MEBIBYTE = 1 << 20
RULE = (
    "wall and CPU seconds of one call on float32 features in memory, from features to labels, with "
    "everything imported, compiled and warm; every run in a fresh process held to the same cores; "
    "the competitors take turns, and the median of their rounds counts; memory is the peak over "
    "what the process held with its input loaded, child processes included"
)
LIBRARIES = {
    "hdbscan": "hdbscan",
    "hdbscan-default": "hdbscan",
    "sklearn-tree": "sklearn",
    "sklearn-brute": "sklearn",
    "fast-hdbscan": "fast_hdbscan",
}
REFERENCES = ("hdbscan", "sklearn-tree", "sklearn-brute")


class Bench:
    """One invocation: measures cells and keeps the rows.

    Args:
        folder: for point sets and answers.
    """

    def __init__(self, plan: Plan, processes: Processes, sets: PointSets, folder: Path) -> None:
        self._plan, self._processes, self._sets, self._folder = plan, processes, sets, folder
        self._book = Book()

    def measure(self, cell: Cell, threads: int) -> list[dict[str, Any]]:
        """A row for each competitor."""
        limit = self._plan.limit_for(cell)
        file = self._sets.file(cell.data, cell.points, cell.dims)
        settings = Settings(
            min_cluster_size=min(MIN_CLUSTER_SIZE, max(2, cell.points // 8)),
            min_samples=cell.min_samples,
            threads=threads,
        )
        skipped = {
            name: why
            for name in self._plan.competitors
            if (why := self._book.reason_to_skip(name, cell, limit))
        }
        going = [name for name in self._plan.competitors if name not in skipped]
        runs: dict[str, list[Outcome]] = {name: [] for name in going}
        for turn in range(self._plan.rounds):
            first = turn % max(1, len(going))  # another one goes first in every round
            for name in going[first:] + going[:first]:
                if enough(runs[name], self._plan.once):
                    continue
                answer = None if turn else self._answer(cell, name)
                outcome = self._processes.run(
                    load_and_prepare, name, file, settings, answer, limit=limit
                )
                runs[name].append(outcome)
        for name, outcomes in runs.items():
            if any(one.status == "timed out" for one in outcomes):
                self._book.timed_out(name, cell, limit)
        rows = [_row(cell, name, runs.get(name, []), settings, limit) for name in runs]
        rows += [
            {**_row(cell, name, [], settings, limit), "status": "skipped", "why": why}
            for name, why in skipped.items()
        ]
        self._book.compared(
            cell, {r["competitor"]: r["seconds"] for r in rows if r["status"] == "done"}
        )
        self._compare(cell, rows, settings.min_cluster_size)
        return rows

    def _answer(self, cell: Cell, name: str) -> Path:
        shape = f"{cell.data}-{cell.points}-{cell.dims}-{cell.min_samples}"
        return self._folder / f"{shape}-{name}.npz"

    def _compare(self, cell: Cell, rows: Sequence[dict[str, Any]], min_cluster_size: int) -> None:
        reference = next((n for n in REFERENCES if self._answer(cell, n).exists()), None)
        if reference is None:
            return
        expected, _ = _load(self._answer(cell, reference))
        tree = next((e for n in OURS if (e := self._edges(cell, n)) is not None), None)
        saddle = None
        if tree is not None:
            saddle = saddle_points(tree[0], tree[1], min_cluster_size)
        for row in rows:
            answer = self._answer(cell, row["competitor"])
            if row["status"] != "done" or not answer.exists():
                continue
            found, _ = _load(answer)
            row.update(compare(found, expected), reference=reference)
            if saddle is not None:
                other = differing(found.labels, expected.labels)
                row["saddle"] = int((other & saddle).sum())

    def _edges(self, cell: Cell, name: str) -> tuple[Any, Any] | None:
        if not self._answer(cell, name).exists():
            return None
        found, edges = _load(self._answer(cell, name))
        return None if edges is None else (edges, found.weights)


def _load(path: Path) -> tuple[Clustering, Any]:
    with np.load(path) as answer:
        return Clustering(answer["labels"], answer["weights"]), answer.get("edges")


def _row(
    cell: Cell, name: str, outcomes: Sequence[Outcome], settings: Settings, limit: float
) -> dict[str, Any]:
    """The record of one competitor in one cell: medians where every run got through."""
    bad = next((one for one in outcomes if one.status != "done"), None)
    done = [one for one in outcomes if one.status == "done"]
    whole = bool(done) and bad is None
    return {
        "data": cell.data,
        "points": cell.points,
        "dims": cell.dims,
        "min_samples": cell.min_samples,
        "min_cluster_size": settings.min_cluster_size,
        "threads": settings.threads,
        "competitor": name,
        "title": COMPETITORS[name].title,
        "status": bad.status if bad else "done",
        "why": bad.why if bad else None,
        "limit": limit,
        "seconds": _median([one.seconds for one in done]) if whole else None,
        "seconds_of_runs": [one.seconds for one in done],
        "cpu_seconds": _median([one.cpu_seconds for one in done]) if whole else None,
        "peak_mib": _mebibytes([one.peak_bytes for one in done]) if whole else None,
        "device_mib": _mebibytes([one.device_bytes for one in done]) if whole else None,
        "commit": tool_commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _mebibytes(values: Sequence[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(max(known) / MEBIBYTE, 1) if known else None


def measure_latency(
    processes: Processes, picture: Image, folder: Path, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """`localize` on one picture with clustering by each engine."""
    file = folder / "picture.npy"
    np.save(file, picture.pixels)
    rows = []
    for case in CASES:
        runs: dict[str, list[Outcome]] = {engine: [] for engine in ENGINES}
        for _ in range(options.rounds):
            for engine in ENGINES:
                if not enough(runs[engine], options.once):
                    limit = options.latency_limit
                    runs[engine].append(
                        processes.run(prepare_localize, engine, case, file, limit=limit)
                    )
        for engine, outcomes in runs.items():
            print(f"latency, {case}, {engine}: {_told(outcomes)}", flush=True)
            rows.append(_latency_row(picture, case, engine, outcomes, options.latency_limit))
    return rows


def _latency_row(
    picture: Image, case: str, engine: str, outcomes: Sequence[Outcome], limit: float
) -> dict[str, Any]:
    last = outcomes[-1]
    done = last.status == "done"
    return {
        "picture": f"{picture.id}, {picture.width} x {picture.height}",
        "settings": case,
        "engine": engine,
        "status": last.status,
        "why": last.why,
        "limit": limit,
        "points": points_of(case, picture),
        "seconds": _median([one.seconds for one in outcomes]) if done else None,
        "clustering_seconds": (
            _median([one.extra["clustering"] for one in outcomes]) if done else None
        ),
        "cpu_seconds": _median([one.cpu_seconds for one in outcomes]) if done else None,
        "peak_mib": _mebibytes([one.peak_bytes for one in outcomes]) if done else None,
        "forged_fraction": last.extra["forged_fraction"] if done else None,
    }


def _told(outcomes: Sequence[Outcome]) -> str:
    seconds = [f"{one.seconds:.2f} s" if one.seconds else one.status for one in outcomes]
    return ", ".join(seconds)


def merged(path: Path, rows: Sequence[dict[str, Any]], latency: Sequence[dict[str, Any]]) -> Any:
    """Rows and latency with what an earlier record of this machine has besides.

    Raises DataError for a record of another machine, or none of clustering.
    """
    if not path.exists():
        return list(rows), list(latency)
    old = read_record(path)
    if old["kind"] != "clustering":
        raise DataError(f"{path} is a record of {old['kind']}: give another --output")
    here, there = environment()["machine"], old["environment"]["machine"]
    assert isinstance(here, dict)
    if any(here.get(name) != there.get(name) for name in ("cpu", "cores", "system")):
        raise DataError(f"{path} was measured on another machine: give another --output")
    new = {key_of(row) for row in rows}
    kept = [row for row in old.get("rows", []) if key_of(row) not in new]
    both = sorted([*kept, *rows], key=key_of)
    before = old["numbers"].get("latency", [])
    timed = {(row["settings"], row["engine"]) for row in latency}
    return both, [r for r in before if (r["settings"], r["engine"]) not in timed] + list(latency)


def save(
    options: argparse.Namespace,
    picture: Image,
    rows: Sequence[dict[str, Any]],
    latency: Sequence[dict[str, Any]],
) -> str:
    """Write record, tables and plot; the tables."""
    rows, latency = merged(options.output, rows, latency)
    card = card_for(WEIGHTS)
    record = Record(
        kind="clustering",
        method={"name": "hdbscan", "title": "HDBSCAN", "settings": {"metric": "euclidean"}},
        weights={WEIGHTS: card.sha256} if card else {},
        protocol={
            "name": "clustering",
            "rule": RULE,
            "data": dict(RULES),
            "rounds": options.rounds,
            "once_above_seconds": options.once,
            "versions": _versions(),
        },
        dataset={
            "name": "one picture and synthetic points",
            "pictures": [{"id": picture.id, "sha256": picture.sha256}],
        },
        numbers={"summary": summary(rows), "latency": latency},
        rows=list(rows),
    ).to_dict()
    write_record(record, options.output)
    text = markdown(record["rows"], record["numbers"]["latency"])
    options.output.with_suffix(".md").write_text(text, encoding="utf-8")
    if rows and importlib.util.find_spec("matplotlib"):
        plot(record["rows"], options.output.with_suffix(".svg"))
    return text


def _versions() -> dict[str, str]:
    found = {}
    for name in ("hdbscan", "fast_hdbscan", "scikit-learn", "numba", "numpy", "torch"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def installed(names: Sequence[str] | None) -> list[str]:
    """The competitors asked for, or all that can run here.

    Raises ConfigError for one that was named and cannot.
    """
    found = []
    for name in names or COMPETITORS:
        missing = name in LIBRARIES and importlib.util.find_spec(LIBRARIES[name]) is None
        if name == "ours-cuda":
            missing = not _cuda()
        if missing and names:
            raise ConfigError(f"{name} cannot run here: install {LIBRARIES.get(name, 'CUDA')}")
        if not missing:
            found.append(name)
    return found


def _cuda() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def run(options: argparse.Namespace, folder: Path) -> str:
    """Measure what was asked for; the tables."""
    cells = (
        []
        if options.latency
        else grid(options.data, options.sizes, options.dims, options.min_samples)
    )
    names = installed(options.competitors)
    plan = Plan(cells, names, options.limit, options.rounds, options.once)
    picture = largest_picture(options.pictures)
    processes = Processes(options.threads)
    if options.latency:
        return save(options, picture, [], measure_latency(processes, picture, folder, options))
    print(
        f"{len(cells)} cells x {len(names)} competitors: about {plan.estimate() / 60:.0f} minutes"
    )
    bench = Bench(plan, processes, PointSets(folder, picture), folder)
    started, text = time.monotonic(), ""
    for number, cell in enumerate(cells, 1):
        rows = bench.measure(cell, options.threads)
        told = ", ".join(f"{row['competitor']} {_told_row(row)}" for row in rows)
        minutes = (time.monotonic() - started) / 60
        print(f"[{number}/{len(cells)}, {minutes:.1f} min] {cell}: {told}", flush=True)
        text = save(options, picture, rows, [])
    return text


def _told_row(row: dict[str, Any]) -> str:
    if row["status"] == "done":
        return f"{row['seconds']:.2f} s"
    return {"timed out": f"> {row['limit']:g} s"}.get(row["status"], row["status"])


def main() -> int:
    """Measure, print, write; 2 when something cannot be used."""
    options = arguments()
    try:
        with tempfile.TemporaryDirectory() as temporary:
            folder = options.keep or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            print(run(options, folder))
    except TamperscopeError as error:
        print(error)
        return 2
    return 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--sizes", nargs="+", type=int, metavar="N", help="points (4096 16384 65536)")
    add("--dims", nargs="+", type=int, metavar="C", help="dimensions (32 64 256)")
    add("--min-samples", nargs="+", type=int, metavar="K", help="neighbours (10 50 500)")
    add("--data", nargs="+", choices=DATA, default=list(DATA), help="kinds of points")
    add("--competitors", nargs="+", choices=list(COMPETITORS), help="who takes part (all)")
    add("--pictures", type=Path, default=Path("examples"), help="folder; its largest is used")
    add("--threads", type=int, default=2, help="cores, and threads of every library")
    add("--rounds", type=int, default=3, help="runs of each, of which the median counts")
    add("--once", type=float, default=3.0, help="a run of more seconds is not repeated")
    add(
        "--limit",
        type=float,
        default=60.0,
        help="seconds a run may take at the largest min_samples; a quarter at the others",
    )
    add("--latency", action="store_true", help="time whole pictures instead of the grid")
    add("--latency-limit", type=float, default=600.0, help="seconds a picture may take")
    add("--keep", type=Path, metavar="FOLDER", help="keep point sets and answers there")
    add("--output", type=Path, default=Path("results/clustering.json"), help="record to write")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
