"""Throughput and latency of `tamperscope serve` against plain loops over the same pictures.

    python benchmarks/serve.py --clients 1 4 16 --requests 48 --rounds 3 --output results/serve.json

A loop is as many processes of one thread as the service has workers, each calling `localize` on one
picture after another. It is run with one process, for one worker, and with `--workers` of them.
Loops and services take turns. The service is asked over HTTP by clients on the same machine and
answers with the mask as PNG; when the clock has stopped, every answer is checked against the loop's
mask. A service that may hand several pictures to a worker at once (`--max-batch`) takes its turn at
the largest number of clients.
"""

import argparse
import base64
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import numpy as np
from PIL import Image as PILImage

from tamperscope.bench import Record
from tamperscope.bench.speed import synthetic_jpeg

RULE = (
    "wall seconds from sending a JPEG to having read its answer, clients on the same cores; "
    "throughput is pictures over the wall time of all, median of the rounds; percentiles over all "
    "pictures of all rounds; cost is the median over the rounds of the service's wall time over "
    "that of the loop, less 1, the loop having as many processes as the service can keep busy "
    "workers (one client keeps one); every process has one thread; first answers are not counted; "
    "loops and services take turns"
)
LOOP = """
import json, sys, time
from tamperscope import catalog
method, *files = sys.argv[1:]
data = [open(file, "rb").read() for file in files]
localizer = catalog.load(method)
if torch := sys.modules.get("torch"):
    torch.set_num_threads(1)
masks = [int(localizer.localize(one).mask.sum()) for one in data for _ in range(2)][::2]
print(json.dumps({"masks": masks, "describe": localizer.describe()}), flush=True)
for line in sys.stdin:
    seconds = []
    for i in json.loads(line):
        start = time.perf_counter()
        localizer.localize(data[i % len(data)])
        seconds.append(time.perf_counter() - start)
    print(json.dumps(seconds), flush=True)
"""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
ENVIRONMENT = {**os.environ, **dict.fromkeys(THREADS, "1")}
OPENER = build_opener(ProxyHandler({}))


class Loop:
    """A plain loop in processes of its own, ready to run."""

    def __init__(self, method: str, processes: int, files: Sequence[Path]) -> None:
        command = [sys.executable, "-c", LOOP, method, *map(str, files)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._processes = [
            subprocess.Popen(command, env=ENVIRONMENT, **pipes) for _ in range(processes)
        ]
        self.facts = [self._line(process) for process in self._processes].pop()

    def run(self, count: int) -> tuple[float, list[float]]:
        """Wall seconds of that many pictures, and the seconds of each."""
        start = time.perf_counter()
        for k, process in enumerate(self._processes):
            assert process.stdin is not None
            process.stdin.write(json.dumps(list(range(k, count, len(self._processes)))) + "\n")
            process.stdin.flush()
        seconds = [one for process in self._processes for one in self._line(process)]
        return time.perf_counter() - start, seconds

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.communicate(timeout=60)

    def _line(self, process: "subprocess.Popen[str]") -> Any:
        assert process.stdout is not None
        return json.loads(process.stdout.readline())


@contextmanager
def service(method: str, workers: int, max_batch: int = 1) -> Iterator[str]:
    """A running service; gives its address once all workers are ready."""
    command = [sys.executable, "-m", "tamperscope", "serve", "--port", "0", "--queue", "64"]
    command += ["--method", method, "--workers", str(workers), "--spare", "0"]
    command += ["--max-batch", str(max_batch)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        address = found.group()
        while f"tamperscope_workers_ready {workers}.0" not in _get(address + "/metrics"):
            time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(60)


def load_test(
    address: str, pictures: Sequence[bytes], masks: Sequence[int], clients: int, count: int
) -> tuple[float, list[float]]:
    """Wall seconds of that many requests, and the seconds of each.

    Raises AssertionError where an answer is not the loop's mask.
    """
    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        answers = list(pool.map(lambda i: _ask(address, pictures[i % len(pictures)]), range(count)))
    wall = time.perf_counter() - start
    for i, (_, answer) in enumerate(answers):
        png = base64.b64decode(json.loads(answer)["mask"]["base64"])
        marked = int((np.asarray(PILImage.open(io.BytesIO(png))) > 127).sum())
        expected = masks[i % len(masks)]
        if marked != expected:
            raise AssertionError(f"the service marks {marked} pixels, the loop {expected}")
    return wall, [seconds for seconds, _ in answers]


def _ask(address: str, data: bytes) -> tuple[float, bytes]:
    headers = {"Content-Type": "multipart/form-data; boundary=picture"}
    head = b'--picture\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
    body = head + data + b"\r\n--picture--\r\n"
    start = time.perf_counter()
    with OPENER.open(Request(f"{address}/v1/localize", body, headers), timeout=600) as response:
        answer = response.read()
    return time.perf_counter() - start, answer


def _get(url: str) -> str:
    try:
        with OPENER.open(url, timeout=10) as response:
            return str(response.read(), "utf-8")
    except (HTTPError, OSError):
        return ""


@dataclass(kw_only=True)
class Row:
    """One contender and what its rounds took."""

    what: str
    """``loop`` or ``service``."""
    processes: int
    clients: int = 0
    max_batch: int = 1
    walls: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def numbers(self, count: int, loops: dict[int, "Row"]) -> dict[str, Any]:
        """What the record holds of it."""
        p50, p95, p99 = (float(value) for value in np.percentile(self.seconds, [50, 95, 99]))
        found: dict[str, Any] = {
            "what": self.what,
            "processes": self.processes,
            "pictures_per_second": count / float(np.median(self.walls)),
            "p50": p50,
            "p95": p95,
            "p99": p99,
        }
        if self.what == "loop":
            return found
        loop = loops[min(self.processes, self.clients)]
        ratios = np.divide(self.walls, loop.walls)
        batch = {"clients": self.clients, "max_batch": self.max_batch}
        return {**found, **batch, "cost": float(np.median(ratios)) - 1}


def contenders(options: argparse.Namespace) -> list[Row]:
    """Everything that takes turns, loops first."""
    counts = sorted({1, options.workers})
    rows = [Row(what="loop", processes=n) for n in counts]
    for n in counts:
        # One worker is asked by no more clients than show its own pace.
        clients = [c for c in options.clients if n == options.workers or c <= 4]
        rows += [Row(what="service", processes=n, clients=c) for c in clients]
    if options.max_batch > 1:
        most = {"clients": max(options.clients), "max_batch": options.max_batch}
        rows.append(Row(what="service", processes=options.workers, **most))
    return rows


def measure(options: argparse.Namespace, folder: Path) -> tuple[list[dict[str, Any]], Any]:
    """The rows, and what the loop says about the method."""
    pictures = [synthetic_jpeg(options.megapixels, seed=seed) for seed in range(4)]
    files = [folder / f"{i}.jpg" for i in range(len(pictures))]
    for file, data in zip(files, pictures, strict=True):
        file.write_bytes(data)
    rows = contenders(options)
    with ExitStack() as stack:
        loops: dict[int, Loop] = {}
        addresses: dict[tuple[int, int], str] = {}
        for row in rows:
            key = (row.processes, row.max_batch)
            if row.what == "loop":
                loops[row.processes] = loop = Loop(options.method, row.processes, files)
                stack.callback(loop.close)
            elif key not in addresses:
                addresses[key] = stack.enter_context(service(options.method, *key))
        facts = loops[1].facts
        for (workers, _), address in addresses.items():
            load_test(address, pictures, facts["masks"], 2 * workers, 4 * workers)
        for _ in range(options.rounds):
            for row in rows:
                if row.what == "loop":
                    wall, seconds = loops[row.processes].run(options.requests)
                else:
                    address = addresses[row.processes, row.max_batch]
                    load = (pictures, facts["masks"], row.clients, options.requests)
                    wall, seconds = load_test(address, *load)
                row.walls.append(wall)
                row.seconds += seconds
    by_size = {row.processes: row for row in rows if row.what == "loop"}
    return [row.numbers(options.requests, by_size) for row in rows], facts["describe"]


def line(row: dict[str, Any]) -> str:
    """A row for people."""
    name = f"{row['what']}, {row['processes']} process(es)"
    if row["what"] == "service":
        name += f", {row['clients']} client(s)"
        name += f", batches of {row['max_batch']}" if row["max_batch"] > 1 else ""
    times = "   ".join(f"{p} {row[p]:.3f} s" for p in ("p50", "p95", "p99"))
    cost = f"   cost {100 * row['cost']:+.1f} %" if "cost" in row else ""
    return f"{name:52} {row['pictures_per_second']:6.2f} pictures/s   {times}{cost}"


def main() -> int:
    """Measure, print, and write the record."""
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        rows, described = measure(options, Path(folder))
    print("\n".join(line(row) for row in rows))
    weights = described.get("weights")
    Record(
        kind="service",
        method={"name": options.method, "settings": described},
        weights=weights if isinstance(weights, dict) else {},
        protocol={"name": "service", "rule": RULE},
        dataset={"name": f"synthetic JPEG, 4:3, quality 92, {options.megapixels:g} Mpx"},
        numbers={"requests": options.requests, "rounds": options.rounds, "rows": rows},
    ).save(options.output)
    return 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--method", default="focal", help="a method of the catalogue")
    parser.add_argument("--workers", type=int, default=2, help="processes of the service")
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 4, 16], help="at once")
    parser.add_argument("--requests", type=int, default=48, help="pictures per round")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each")
    parser.add_argument("--max-batch", type=int, default=8, help="to compare with; 1: leave it out")
    parser.add_argument("--megapixels", type=float, default=0.25, help="size of the pictures")
    parser.add_argument("--output", type=Path, default=Path("results/serve.json"), help="record")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
