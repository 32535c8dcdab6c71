"""Throughput and latency of `tamperscope serve` against a plain loop over the same pictures.

    python benchmarks/serve.py --clients 1 4 16 --requests 48

The loop calls `localize` on one picture after another in a process of its own, once with one thread
and once with as many as the service has workers. Loop and service take turns; the service is asked
over HTTP, answers with the mask as PNG, and every answer is checked against the loop's mask. The
record is written to results/serve.json.
"""

import argparse
import base64
import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import numpy as np
from PIL import Image as PILImage

from tamperscope.bench import Record
from tamperscope.bench.speed import synthetic_jpeg

RULE = (
    "wall seconds from sending a JPEG to having read its answer; throughput is pictures over the "
    "wall time of all; the first answers of each worker are not counted; loop and service take "
    "turns for as many rounds as stated, medians are given"
)
LOOP = """
import json, os, sys, time
from tamperscope import catalog
method, threads, count, *files = sys.argv[1:]
data = [open(file, "rb").read() for file in files]
localizer = catalog.load(method)
if torch := sys.modules.get("torch"):
    torch.set_num_threads(int(threads))
for one in data:
    result = localizer.localize(one)
masks = [int(localizer.localize(one).mask.sum()) for one in data]
print(json.dumps({"masks": masks, "describe": localizer.describe()}), flush=True)
for line in sys.stdin:
    seconds = []
    for i in range(int(count)):
        start = time.perf_counter()
        localizer.localize(data[i % len(data)])
        seconds.append(time.perf_counter() - start)
    print(json.dumps(seconds), flush=True)
"""
OPENER = build_opener(ProxyHandler({}))


class Loop:
    """The plain loop, ready in a process of its own."""

    def __init__(self, method: str, threads: int, count: int, files: Sequence[Path]) -> None:
        command = [sys.executable, "-c", LOOP, method, str(threads), str(count), *map(str, files)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_env(threads)
        )
        self.facts = self._line()

    def run(self) -> list[float]:
        """Seconds of every picture."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        seconds: list[float] = self._line()
        return seconds

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)

    def _line(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())


@contextmanager
def service(method: str, workers: int) -> Iterator[str]:
    """A running service; gives its address once all workers are ready."""
    command = [sys.executable, "-m", "tamperscope", "serve", "--port", "0", "--queue", "64"]
    command += ["--method", method, "--workers", str(workers)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_env(1))
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


def ask(address: str, data: bytes, expected: int) -> float:
    """Seconds of one request; fails where the answer is not the loop's mask."""
    headers = {"Content-Type": "multipart/form-data; boundary=picture"}
    head = b'--picture\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
    body = head + data + b"\r\n--picture--\r\n"
    start = time.perf_counter()
    with OPENER.open(Request(f"{address}/v1/localize", body, headers), timeout=600) as response:
        answer = response.read()
    seconds = time.perf_counter() - start
    png = base64.b64decode(json.loads(answer)["mask"]["base64"])
    marked = int((np.asarray(PILImage.open(io.BytesIO(png))) > 127).sum())
    if marked != expected:
        raise AssertionError(f"the service marks {marked} pixels, the loop {expected}")
    return seconds


def load_test(
    address: str, pictures: Sequence[bytes], masks: Sequence[int], clients: int, requests: int
) -> tuple[float, list[float]]:
    """Wall seconds of all requests, and the seconds of each."""

    def one(i: int) -> float:
        return ask(address, pictures[i % len(pictures)], masks[i % len(masks)])

    start = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        seconds = list(pool.map(one, range(requests)))
    return time.perf_counter() - start, seconds


def numbers_of(wall: Sequence[float], seconds: Sequence[float], count: int) -> dict[str, Any]:
    """Pictures per second (median of the rounds) and percentiles over all of them."""
    p50, p95, p99 = np.percentile(seconds, [50, 95, 99])
    return {
        "pictures_per_second": count / float(np.median(wall)),
        "p50": float(p50),
        "p95": float(p95),
        "p99": float(p99),
        "rounds": len(wall),
    }


def measure(options: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The numbers, and what the loop says about the method."""
    pictures = [synthetic_jpeg(options.megapixels, seed=seed) for seed in range(4)]
    files = [folder / f"{i}.jpg" for i in range(len(pictures))]
    for file, data in zip(files, pictures, strict=True):
        file.write_bytes(data)
    threads = sorted({1, options.workers})
    loops = {n: Loop(options.method, n, options.requests, files) for n in threads}
    masks = loops[1].facts["masks"]
    walls: dict[str, list[float]] = {}
    singles: dict[str, list[float]] = {}
    with service(options.method, options.workers) as address:
        load_test(address, pictures, masks, 2 * options.workers, 4 * options.workers)
        for _ in range(options.rounds):
            for n, loop in loops.items():
                seconds = loop.run()
                _note(walls, singles, f"loop, {n} thread(s)", sum(seconds), seconds)
            for clients in options.clients:
                wall, seconds = load_test(address, pictures, masks, clients, options.requests)
                _note(walls, singles, f"service, {clients} client(s)", wall, seconds)
    for loop in loops.values():
        loop.close()
    rows = {name: numbers_of(walls[name], singles[name], options.requests) for name in walls}
    return {"rows": rows, **costs(rows, options)}, loops[1].facts["describe"]


def costs(rows: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """What the service adds: to one picture, and to the throughput of the machine."""
    single, alone = rows["loop, 1 thread(s)"], rows.get("service, 1 client(s)")
    best_loop = max(r["pictures_per_second"] for n, r in rows.items() if n.startswith("loop"))
    best = max(r["pictures_per_second"] for n, r in rows.items() if n.startswith("service"))
    added = None if alone is None else alone["p50"] / single["p50"] - 1
    return {
        "latency_added_to_one_picture": added,
        "throughput_against_the_best_loop": best / best_loop,
    }


def _note(
    walls: dict[str, list[float]],
    singles: dict[str, list[float]],
    name: str,
    wall: float,
    seconds: Sequence[float],
) -> None:
    walls.setdefault(name, []).append(wall)
    singles.setdefault(name, []).extend(seconds)


def _get(url: str) -> str:
    try:
        with OPENER.open(url, timeout=10) as response:
            return str(response.read(), "utf-8")
    except (HTTPError, OSError):
        return ""


def _env(threads: int) -> dict[str, str]:
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    return {**os.environ, **{name: str(threads) for name in names}}


def main() -> int:
    """Measure, print, and write the record."""
    import tempfile

    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        numbers, described = measure(options, Path(folder))
    for name, row in numbers["rows"].items():
        print(
            f"{name:24} {row['pictures_per_second']:7.2f} pictures/s"
            f"   p50 {row['p50']:.3f} s   p95 {row['p95']:.3f} s   p99 {row['p99']:.3f} s"
        )
    print({name: value for name, value in numbers.items() if name != "rows"})
    weights = described.get("weights")
    Record(
        kind="service",
        method={"name": options.method, "settings": described},
        weights=weights if isinstance(weights, dict) else {},
        protocol={"name": "service", "rule": RULE, "workers": options.workers},
        dataset={"name": f"synthetic JPEG, 4:3, quality 92, {options.megapixels:g} Mpx"},
        numbers=numbers,
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
    parser.add_argument("--megapixels", type=float, default=0.25, help="size of the pictures")
    parser.add_argument("--output", type=Path, default=Path("results/serve.json"), help="record")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
