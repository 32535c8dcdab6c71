"""How long every method takes by every engine, and one picture's evaluation against the peers' way.

    python benchmarks/methods_speed.py

In one run: seconds of `localize`; pictures per second of `tamperscope batch` with a worker process
for each core; and one picture from its file to F1, IoU and AUC, by this project and by the same
network run plainly, the hdbscan library and scikit-learn. Candidates take turns throughout. With
`--device cuda` also FOCAL's HRNet-W32 at 1024 x 1024 with exact clustering. Needs
`pip install hdbscan 'tamperscope[batch,onnx]'`. The record is written to
results/methods-speed.json.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from batch_parts.runs import fill
from clustering_parts.process import Processes
from speed_parts.candidates import ENGINES, Candidate, load_all, shipped
from speed_parts.hrnet import SIDE, measure_hrnet, random_weights
from speed_parts.latency import measure_latency
from speed_parts.pictures import scaled_pictures
from speed_parts.rivals import Rivals, summary
from speed_parts.throughput import Batches, most_pictures

from tamperscope.bench import Record
from tamperscope.bench.predictor import describe_method, weights_of
from tamperscope.bench.speed_tables import evaluation_table, hrnet_table, methods_table
from tamperscope.errors import DataError, TamperscopeError

RULE = {
    "localize": (
        "wall seconds of localize on a JPEG in memory, decoding included, in one process with a "
        "thread for each core; one round not counted, then the median of rounds in which all "
        "candidates take turns on every picture; masks are compared with those of PyTorch"
    ),
    "batch": (
        "pictures per second of tamperscope batch with a worker process of one thread for each "
        "core, reading to writing of rows and masks, from the moment the first ones (four for "
        "each worker) are done; median of rounds in which all candidates take turns"
    ),
    "evaluation": (
        "wall seconds from a JPEG in memory to F1, IoU and AUC against its ground truth, "
        "everything imported, compiled and warm, every run in a process of its own held to the "
        "same cores, ways taking turns, median of rounds, mean over pictures; the peers' way: "
        "PyTorch in float32, the whole picture in one forward pass, hdbscan.HDBSCAN on all "
        "features, f1_score, jaccard_score and roc_auc_score of scikit-learn on all pixels; "
        "which cluster is forged and the heat map come from the same functions in all ways"
    ),
    "hrnet": (
        "pictures per second of localize, preset as-published, on JPEGs of 1024 x 1024 in "
        "memory, decoding and exact HDBSCAN on the device included, one picture at a time; one "
        "round not counted, median of rounds in which precisions take turns"
    ),
}


class Bench:
    """One invocation."""

    def __init__(self, options: argparse.Namespace) -> None:
        # First: it checks the number of cores, and sets the threads of libraries not yet imported.
        self._processes = Processes(options.cores)
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
        torch.set_num_threads(options.cores)
        self._options = options
        self._started = time.monotonic()
        cuda = options.device.startswith("cuda")
        self._settle: Callable[[], None] = torch.cuda.synchronize if cuda else lambda: None
        self._method: dict[str, Any] = {}
        self._weights: dict[str, str] = {}

    def run(self, folder: Path) -> Record:
        """Measure everything.

        Raises:
            TamperscopeError: something asked for cannot be used.
        """
        options = self._options
        methods, left_out = self._localize()
        self._tell("localize")
        self._batch(methods, folder)
        self._tell("batch")
        rows = self._evaluation(folder)
        self._tell("evaluation")
        hrnet = self._hrnet(folder) if options.device.startswith("cuda") else None
        numbers: dict[str, Any] = {
            "methods": _nested(methods),
            "left_out": left_out,
            "evaluation": summary(rows),
            "hrnet": hrnet,
        }
        return Record(
            kind="methods-speed",
            method=self._method,
            weights=self._weights,
            protocol={"name": "methods-speed", "rule": dict(RULE), "cores": options.cores},
            dataset={"name": options.name},
            numbers=numbers,
            rows=rows,
        )

    def _localize(self) -> tuple[dict[Candidate, dict[str, Any]], dict[str, str]]:
        options = self._options
        localizers, left_out = load_all(
            options.methods or shipped(), options.engines, options.device
        )
        for one, localizer in localizers.items():
            self._method.setdefault(one.entrant, describe_method(localizer))
            self._weights.update(weights_of(localizer))
        found: dict[Candidate, dict[str, Any]] = {one: {"seconds": {}} for one in localizers}
        for size in sorted(options.megapixels):
            pictures = scaled_pictures(options.pictures, size, count=options.count)
            timed = measure_latency(localizers, pictures, options.repeats, settle=self._settle)
            for one, row in timed.items():
                found[one]["seconds"][f"{size:g}"] = row
        return found, left_out

    def _batch(self, methods: dict[Candidate, dict[str, Any]], folder: Path) -> None:
        options = self._options
        pictures = folder / "pictures"
        pictures.mkdir()
        fill(pictures, count=most_pictures(options.cores), megapixels=options.batch_megapixels)
        batches = Batches(
            folder=pictures,
            rounds=options.batch_rounds,
            seconds=options.batch_seconds,
            cores=options.cores,
            device=options.device,
        )
        smallest = f"{min(options.megapixels):g}"
        expected = {one: row["seconds"][smallest]["median"] for one, row in methods.items()}
        for one, row in batches.measure(expected).items():
            methods[one]["batch"] = {"megapixels": options.batch_megapixels, **row}

    def _evaluation(self, folder: Path) -> list[dict[str, Any]]:
        options = self._options
        rivals = Rivals(
            processes=self._processes,
            folder=folder,
            rounds=options.rounds,
            once=options.once,
            limit=options.limit,
            device=options.device,
            threads=options.cores,
        )
        rows = []
        for size in sorted(options.sizes):
            pictures = scaled_pictures(options.pictures, size, count=options.count)
            known = [picture for picture in pictures if picture.truth is not None]
            if not known:
                raise DataError(
                    f"no masks in {options.pictures}/masks: give some as NAME.png, white = forged"
                )
            rows += rivals.measure(size, known)
        return rows

    def _hrnet(self, folder: Path) -> dict[str, Any]:
        options = self._options
        pictures = scaled_pictures(options.pictures, 1.0, count=8, side=SIDE)
        weights = options.hrnet_weights
        if weights is None:
            weights = random_weights(folder / "random.safetensors", pictures[0])
        found = measure_hrnet(
            pictures, weights, options.repeats, device=options.device, settle=self._settle
        )
        return {"weights": "random numbers" if options.hrnet_weights is None else weights.name,
                "precisions": found}  # fmt: skip

    def _tell(self, part: str) -> None:
        minutes = (time.monotonic() - self._started) / 60
        print(f"[{minutes:.1f} min] {part} done", file=sys.stderr, flush=True)


def _nested(methods: dict[Candidate, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Method -> engine -> numbers."""
    found: dict[str, dict[str, Any]] = {}
    for one, row in methods.items():
        found.setdefault(one.entrant, {})[one.engine] = row
    return found


def main() -> int:
    """Measure, print, write; 2 when something cannot be used."""
    options = arguments()
    try:
        with tempfile.TemporaryDirectory() as folder:
            record = Bench(options).run(Path(folder))
        record.save(options.output)
    except TamperscopeError as error:
        print(error)
        return 2
    records = [record.to_dict()]
    print("\n".join(make(records) for make in (methods_table, evaluation_table, hrnet_table)))
    return 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--methods", nargs="+", metavar="NAME[:PRESET]", help="all whose weights ship")
    add("--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES), help="all")
    add("--pictures", type=Path, default=Path("examples"), help="a folder, with masks/NAME.png")
    add("--name", default="pictures in examples/, scaled", help="for the record: what they are")
    add("--count", type=int, default=2, help="pictures of each size")
    add("--megapixels", nargs="+", type=float, default=[0.25, 1], help="sizes for localize")
    add("--repeats", type=int, default=3, help="rounds of localize")
    add("--batch-megapixels", type=float, default=0.25, help="of the pictures made for batch")
    add("--batch-rounds", type=int, default=2, help="rounds of batch; 0 leaves it out")
    add("--batch-seconds", type=float, default=3.0, help="roughly, of what is counted in a run")
    add("--sizes", nargs="+", type=float, default=[0.1, 0.25, 1], help="Mpx, for the evaluation")
    add("--rounds", type=int, default=3, help="rounds of the evaluation")
    add("--once", type=float, default=8.0, help="an evaluation of more seconds is not repeated")
    add("--limit", type=float, default=60.0, help="seconds after which an evaluation is ended")
    add("--cores", type=int, default=2, help="cores, threads and worker processes")
    add("--device", default="cpu", help="cpu or cuda")
    add("--hrnet-weights", type=Path, metavar="FILE", help="of HRNet-W32; random numbers without")
    add("--output", type=Path, default=Path("results/methods-speed.json"), help="record to write")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
